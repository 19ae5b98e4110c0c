"""What test_openapi.py has schemathesis do beside its own checks; loaded by schemathesis."""

from __future__ import annotations

import itertools
import json
import os
import re
from typing import Any

import schemathesis
from schemathesis import Case, CheckContext, HookContext, Response
from schemathesis.generation.meta import TestPhase

from controller.rest.preconditions import PATTERN
from controller.rest.writes import MAX_WAIT
from tests.support.rest import Rest

OF_HTTP = {
    "cache-control",
    "connection",
    "content-length",
    "content-type",
    "date",
    "keep-alive",
    "transfer-encoding",
    "x-content-type-options",
}
"""Headers that every answer may have."""
GARDEN: list[dict[str, Any]] = [
    {"method": "PUT", "path": "/v1/switches/1", "body": {"vtep": "192.0.2.1"}},
    {"method": "PUT", "path": "/v1/switches/2", "body": {"vtep": "192.0.2.2"}},
    {"method": "PUT", "path": "/v1/switches/3", "body": {"peer_ports": {"192.0.2.1": "to-1"}}},
    {"method": "PUT", "path": "/v1/networks/100", "body": {"name": "red", "vteps": ["192.0.2.77"]}},
    {"method": "PUT", "path": "/v1/networks/100/attachments/1/h1"},
    {"method": "PUT", "path": "/v1/networks/100/attachments/2/h2"},
    {"method": "PUT", "path": "/v1/networks/100/attachments/3/away"},
    {"method": "PUT", "path": "/v1/networks/100/endpoints/02:00:00:00:77:01",
     "body": {"vtep": "192.0.2.77"}},
    {"method": "PUT", "path": "/v1/networks/100/endpoints/02:00:00:00:77:02",
     "body": {"switch": "1", "port": "h1"}},
    {"method": "PUT", "path": "/v1/networks/200", "body": {"name": "blue", "learning": False}},
    {"method": "PUT", "path": "/v1/networks/200/attachments/1/h3", "body": {"vlan": 20}},
]  # fmt: skip
"""What there is to be found, and to be spoilt."""
PATIENCE = 0.1
"""Seconds."""
EVERY = 40
"""Calls after which it is planted again."""

calls = itertools.count()


def plant(rest: Rest) -> None:
    """Nothing is configured but the garden."""
    networks = rest.items("/v1/networks")
    switches = [s for s in rest.items("/v1/switches") if s["revision"] is not None]
    gone = [f"/v1/networks/{network['vni']}" for network in networks]
    gone += [f"/v1/switches/{switch['dpid']}" for switch in switches]
    # At first everything goes: names, ports and addresses may have come to be elsewhere.
    rest.batch(*({"method": "DELETE", "path": path} for path in [*gone, "/v1/defaults"]), *GARDEN)


@schemathesis.hook
def before_call(context: HookContext, case: Case[Any], kwargs: dict[str, Any]) -> None:
    """Keeps most requests from ending in 404 or 412."""
    number = next(calls)
    # Within a scenario, what is deleted is to stay so: use_after_free looks whether it does.
    within = case.meta is not None and case.meta.phase.name == TestPhase.STATEFUL
    if number % EVERY == 0 and not within:
        with Rest(os.environ["WEFT_URL"], os.environ["WEFT_TOKEN"]) as rest:
            plant(rest)
    # Who waits for a switch that is away waits as long as was asked for, and learns no more.
    patience = case.query.get("timeout")
    if isinstance(patience, int | float) and PATIENCE < patience <= MAX_WAIT:
        case.query["timeout"] = PATIENCE
    if within and case.method == "DELETE":
        case.query.pop("dry_run", None)  # what it says deletes nothing
    for name in ("If-Match", "If-None-Match"):
        # Right ones rarely hold; those that are malformed must be refused.
        if number % 4 and re.fullmatch(PATTERN, str(case.headers.get(name, ""))):
            del case.headers[name]


@schemathesis.check
def no_header_undocumented(ctx: CheckContext, response: Response, case: Case[Any]) -> None:
    """Every header is in the document."""
    found = case.operation.responses.find_by_status_code(response.status_code)
    if found is not None and case.method != "OPTIONS":
        known = OF_HTTP | {name.lower() for name, _ in found.headers.items()}
        unknown = sorted(set(response.headers) - known)
        assert not unknown, f"headers that are not documented: {unknown}"


@schemathesis.check
def problems_are_whole(ctx: CheckContext, response: Response, case: Case[Any]) -> None:
    """Every error is a problem document of a kind that the documentation explains, and says the
    status that the answer has."""
    if response.status_code < 400 or case.method == "HEAD":
        return
    kinds = {kind["slug"]: kind for kind in case.operation.schema.raw_schema["x-problems"]}
    said = json.loads(response.content)
    if "problems" in said:  # /readyz
        return
    kind = kinds[said["type"].removeprefix("/v1/docs#")]
    assert said["status"] == response.status_code == kind["status"], said
    assert said["title"] == kind["title"], said
    assert said["detail"], said
