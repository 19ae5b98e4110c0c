"""The controller itself: status, health, metrics, events."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Final

from pydantic import BaseModel, Field, WithJsonSchema

from controller.events import OLDEST, EventType, Filter, timestamp
from controller.model import format_mac, parse_mac
from controller.resources.documents import Address, DpidMember
from controller.rest import sse
from controller.rest.backend import Backend
from controller.rest.metrics import Metrics
from controller.rest.operations import MAC_PATTERN, Call, NoQuery, Operation, Reply, next_page
from controller.rest.paging import Listing
from controller.rest.problem import FieldError, field_problem

EVENT_PAGE: Final = 1000


class SwitchCounts(BaseModel):
    known: int
    connected: int
    synced: int


class StatusView(BaseModel):
    """The controller at a glance."""

    version: str
    started: str
    instance: int = Field(description="Which start of the controller this is")
    revision: int = Field(description="Of the configuration")
    generation: int = Field(description="Of the changes sent to switches")
    networks: int
    endpoints: int
    vteps: int = Field(description="Foreign VTEPs, counted once per network")
    switches: SwitchCounts
    observations: dict[str, int] = Field(description="Packet-ins by what they meant")
    store: dict[str, Any]
    config_problem: str = Field(description="What was wrong with the file at the last reload")


class EventView(BaseModel):
    """An event; what it tells beside these members depends on its type."""

    model_config = {"extra": "allow"}

    id: str
    time: str
    type: EventType


TYPES: Final = sorted({*EventType, *(f"{t.partition('.')[0]}.*" for t in EventType)})
TypeFilter = Annotated[str, WithJsonSchema({"type": "string", "enum": TYPES})]


class EventQuery(BaseModel):
    """Which events."""

    model_config = NoQuery.model_config

    type: list[TypeFilter] = Field(
        default_factory=list, max_length=20,
        description="A type, or a family such as vtep.*; may be repeated",
    )  # fmt: skip
    vni: int | None = Field(None, ge=0, le=2**24 - 1, description="About this network")
    mac: str | None = Field(
        None, max_length=23, json_schema_extra={"pattern": MAC_PATTERN},
        description="About this endpoint",
    )  # fmt: skip
    switch: DpidMember | None = None
    vtep: Address | None = None
    last_event_id: str | None = Field(None, max_length=100, description="As Last-Event-ID")
    since: str | None = Field(
        None, max_length=10, json_schema_extra={"enum": ["0"]},
        description="0: all events that are kept",
    )  # fmt: skip
    heartbeat: float = Field(15.0, ge=1, le=60, description="Seconds between two signs of life")
    limit: int = Field(100, ge=1, le=EVENT_PAGE, description="Events of a page (JSON only)")
    cursor: str | None = Field(None, max_length=100, description="'next' of the page before")


class Health(BaseModel):
    """Whether the controller can work."""

    status: str
    problems: list[str]


class System:
    """Handlers."""

    def __init__(
        self,
        backend: Backend,
        metrics: Metrics,
        monotonic: Callable[[], float],
        problems: Callable[[], list[str]],
    ) -> None:
        """``monotonic`` is a clock in seconds; ``problems`` says why requests should not be sent
        here now."""
        self._backend = backend
        self._metrics = metrics
        self._monotonic = monotonic
        self._problems = problems

    def operations(self) -> list[Operation]:
        return [
            Operation(method="GET", path="/v1/status", tag="Controller", handler=self.get_status,
                      summary="The controller at a glance", responses={200: StatusView}),
            Operation(method="GET", path="/v1/events", tag="Events", handler=self.get_events,
                      summary="Follow what happens, or read what has happened",
                      description="A stream of server-sent events that never ends; with 'Accept: "
                      "application/json' a page of past events. 'Last-Event-ID' resumes after an "
                      "event; where that is not possible, a 'gap' event comes first.",
                      query=EventQuery,
                      responses={200: (Listing[EventView], sse.CONTENT_TYPE)},
                      headers=("Link", "X-Accel-Buffering")),
            Operation(method="GET", path="/metrics", tag="Controller", handler=self.get_metrics,
                      summary="Figures for Prometheus",
                      responses={200: ("text/plain", "application/openmetrics-text")}),
            Operation(method="GET", path="/healthz", tag="Controller", role="public",
                      handler=self.get_healthz, summary="Whether the process is alive",
                      responses={200: Health}),
            Operation(method="GET", path="/readyz", tag="Controller", role="public",
                      handler=self.get_readyz, summary="Whether requests should be sent here",
                      responses={200: Health, 503: Health}),
        ]  # fmt: skip

    def get_status(self, call: Call) -> Reply:
        backend = self._backend
        overlay = backend.engine.overlay
        states = [backend.switch(dpid) for dpid in backend.connected()]
        foreign = 0
        for count, vni in enumerate(list(overlay.config.networks)):
            foreign += len(overlay.foreign(vni))
            if count % 2000 == 1999:
                backend.pause()
        return Reply(
            body=StatusView(
                version=backend.version,
                started=timestamp(backend.started),
                instance=backend.instance,
                revision=backend.registry.revision,
                generation=backend.engine.generation,
                networks=len(overlay.config.networks),
                endpoints=sum(map(len, list(overlay.endpoints.values()))),
                vteps=foreign,
                switches=SwitchCounts(
                    known=len(overlay.switches),
                    connected=len(states),
                    synced=sum(state is not None and state.synced for state in states),
                ),
                observations={
                    verdict.name.lower(): n for verdict, n in backend.engine.verdicts.items()
                },
                store=dict(backend.store_status()),
                config_problem=backend.config_problem(),
            )
        )

    # --- events --------------------------------------------------------------------------

    def get_events(self, call: Call) -> Reply:
        asked = call.query(EventQuery)
        wanted = _filter(asked)
        try:
            after = sse.resume_after(
                call.headers.get("LAST-EVENT-ID"), asked.last_event_id, asked.since
            )
        except ValueError as error:
            wrong = FieldError(str(error), parameter="since")
            raise field_problem("malformed", [wrong]) from None
        if "text/event-stream" not in (accept := call.headers.get("ACCEPT", "*/*")) and (
            "application/json" in accept
        ):
            return self._past(call, wanted, asked.cursor or after or OLDEST)
        reader = self._backend.events.reader(after, wanted, call.identity.name)
        chunks = sse.stream(
            reader,
            self._backend.wait_for_events,
            asked.heartbeat,
            self._monotonic,
            self._backend.now,
        )
        return Reply(
            stream=chunks, media_type=sse.CONTENT_TYPE, headers={"X-Accel-Buffering": "no"}
        )

    def _past(self, call: Call, wanted: Filter, after: str) -> Reply:
        asked = call.query(EventQuery)
        reader = self._backend.events.reader(after, wanted)
        found: list[dict[str, Any]] = []
        while reader.behind and len(found) < asked.limit:
            events = reader.read(asked.limit - len(found), self._backend.now())
            found += [event.data() for event in events]
            self._backend.pause()
        following = reader.position if reader.behind else None
        reader.close()
        headers = {} if following is None else next_page(call, following)
        return Reply(body={"items": found, "next": following}, headers=headers)

    # --- for machines ----------------------------------------------------------------------

    def get_metrics(self, call: Call) -> Reply:
        text, content_type = self._metrics.exposition(call.headers.get("ACCEPT"))
        return Reply(body=text, media_type=content_type)

    def get_healthz(self, call: Call) -> Reply:
        return Reply(body=Health(status="ok", problems=[]))

    def get_readyz(self, call: Call) -> Reply:
        problems = self._problems()
        status = "not ready" if problems else "ready"
        return Reply(503 if problems else 200, body=Health(status=status, problems=problems))


def _filter(asked: EventQuery) -> Filter:
    mac = None
    if asked.mac is not None:
        try:
            mac = format_mac(parse_mac(asked.mac))
        except ValueError as error:
            wrong = FieldError(str(error), parameter="mac")
            raise field_problem("malformed", [wrong]) from None
    unknown = [t for t in asked.type if t not in TYPES]
    if unknown:
        sentence = f"'{unknown[0]}' is no type of event: {', '.join(TYPES)}"
        raise field_problem("malformed", [FieldError(sentence, parameter="type")])
    return Filter(
        types=tuple(asked.type), vni=asked.vni, mac=mac, switch=asked.switch, vtep=asked.vtep
    )
