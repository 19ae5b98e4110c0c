"""What the API consists of: a list of operations, each declared once.

The list makes both the application (:mod:`controller.rest.routing`) and its description
(:mod:`controller.rest.openapi`). A handler is a plain function from a :class:`Call` to a
:class:`Reply`; it raises :class:`~controller.rest.problem.Problem` for what it cannot do.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NamedTuple, TypeVar
from urllib.parse import urlencode

import falcon
from pydantic import BaseModel, ConfigDict

from controller import model
from controller.model import Dpid, Mac, PortRef, Vni, VtepAddress
from controller.resources.documents import DPID_PATTERN
from controller.rest import bodies, paging
from controller.rest.bodies import JSON
from controller.rest.paging import Groups, Order, PageQuery
from controller.rest.preconditions import Preconditions
from controller.rest.problem import FieldError, Problem
from controller.rest.security import Identity, Role
from controller.rest.validation import pointer

M = TypeVar("M", bound=BaseModel)
K = TypeVar("K")
V = TypeVar("V")

Method = Literal["GET", "PUT", "PATCH", "DELETE", "POST"]
RoleWord = Literal["viewer", "operator", "admin", "public"]
"""``public``: needs no token; such operations are not guarded in any way."""


class NoQuery(BaseModel):
    """No parameters."""

    model_config = ConfigDict(extra="forbid", frozen=True)


MAC_PATTERN: Final = (
    "^[0-9a-fA-F][02468aceACE]((:[0-9a-fA-F]{2}){5}|(-[0-9a-fA-F]{2}){5}|[0-9a-fA-F]{10})$"
)
"""The usual forms of an individual Ethernet address, for schemas."""


class PathParameter(NamedTuple):
    """How a variable part of a path is understood, and described."""

    parse: Callable[[str], Any]
    """Raises ValueError with a sentence."""
    schema: Mapping[str, Any]
    """JSON schema, with description and examples."""


PATH_PARAMETERS: Final[dict[str, PathParameter]] = {
    "vni": PathParameter(
        model.parse_vni,
        {
            "type": "integer",
            "minimum": 0,
            "maximum": model.MAX_VNI,
            "description": "VXLAN network identifier; decimal, or 0x...",
            "examples": [100],
        },
    ),
    "dpid": PathParameter(
        model.parse_dpid,
        {
            "type": "string",
            "description": "Datapath id: 16 hex digits, 0x..., decimal or 00:00:00:00:00:00:00:01",
            "pattern": DPID_PATTERN,
            "examples": ["0000000000000001"],
        },
    ),
    "mac": PathParameter(
        model.parse_mac,
        {
            "type": "string",
            "description": "Individual Ethernet address, in any usual notation",
            "pattern": MAC_PATTERN,
            "examples": ["02:00:00:00:00:01"],
        },
    ),
    "port": PathParameter(
        model.parse_port,
        {
            "type": "string",
            "description": "Port of a switch: OpenFlow number, or name",
            "pattern": r"^([1-9][0-9]{0,8}|[A-Za-z_][A-Za-z0-9_.@:-]{0,14})$",
            "examples": ["h1"],
        },
    ),
    "address": PathParameter(
        model.parse_vtep,
        {
            "type": "string",
            "description": "Unicast IPv4 or IPv6 underlay address",
            "anyOf": [{"format": "ipv4"}, {"format": "ipv6"}],
            "examples": ["192.0.2.1"],
        },
    ),
}
"""The names that a path may use; another module may add to them before it declares paths."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What a handler answers."""

    status: int = 200
    body: Any = None
    """A pydantic model, anything JSON-able (models may be inside), text or bytes; None: nothing."""
    headers: Mapping[str, str] = field(default_factory=dict)
    etag: int | None = None
    """Revision of the resource shown; becomes its ETag."""
    revision: int | None = None
    """After a write: revision of the store; becomes Weft-Revision, and is audited."""
    generation: int | None = None
    """After a write: becomes Weft-Generation, and is audited."""
    stream: Iterable[bytes] | None = None
    """Instead of a body; its ``close`` is called at the end, if it has one."""
    media_type: str = JSON


@dataclass(frozen=True, slots=True)
class Call:
    """A request that was admitted and understood."""

    operation: Operation
    identity: Identity
    path: Mapping[str, Any]
    """The variable parts of the path, parsed; also as :attr:`vni`, :attr:`dpid` and so on."""
    url: str
    """The path as it was asked for."""
    parameters: BaseModel
    pairs: tuple[tuple[str, str], ...]
    """The parameters of the query as they were sent."""
    json: Mapping[str, Any]
    """The JSON object sent, without the read-only members; a merge patch, for PATCH."""
    document: BaseModel | None
    preconditions: Preconditions
    headers: Mapping[str, str]
    """Names in upper case."""

    @property
    def vni(self) -> Vni:
        return Vni(self.path["vni"])

    @property
    def dpid(self) -> Dpid:
        return Dpid(self.path["dpid"])

    @property
    def mac(self) -> Mac:
        return Mac(self.path["mac"])

    @property
    def port(self) -> PortRef:
        port: PortRef = self.path["port"]
        return port

    @property
    def address(self) -> VtepAddress:
        return VtepAddress(self.path["address"])

    def query(self, kind: type[M]) -> M:
        """The parameters of the query; ``kind`` is the operation's ``query`` or a base of it."""
        if not isinstance(self.parameters, kind):
            raise TypeError(f"{self.operation} takes no {kind.__name__}")
        return self.parameters

    def body(self, kind: type[M]) -> M:
        """The document sent; ``kind`` is the operation's ``body``. Not for merge patches."""
        if not isinstance(self.document, kind):
            raise TypeError(f"{self.operation} takes no {kind.__name__}")
        return self.document

    def prefers(self, *media_types: str) -> str:
        """Which of these Accept wants most (RFC 9110 section 12.5.1); the first where it says
        nothing, or none of them."""
        try:
            wanted = falcon.mediatypes.best_match(media_types, self.headers.get("ACCEPT", "*/*"))
        except ValueError:
            wanted = ""
        return wanted or media_types[0]

    def listing(
        self,
        keys: Iterable[K] = (),
        *,
        groups: Groups[K] | None = None,
        order: Callable[[K], Order],
        show: Callable[[K], V | None],
        keep: Callable[[K], bool] = lambda key: True,
        pause: Callable[[], None] = lambda: None,
    ) -> Reply:
        """A page of a list, as :func:`controller.rest.paging.page` makes it of keys, or
        :func:`controller.rest.paging.page_of_groups` of groups; for an operation whose ``query``
        is a :class:`~controller.rest.paging.PageQuery`."""
        asked = self.query(PageQuery)
        filters = [(name, value) for name, value in self.pairs if name not in ("cursor", "limit")]

        def shown(key: K) -> bytes | None:
            item = show(key)
            return None if item is None else bodies.encode(item)

        page = paging.page_of_groups(
            [((), lambda: keys)] if groups is None else groups,
            order=order,
            show=shown,
            keep=keep,
            cursor=asked.cursor,
            limit=asked.limit,
            scope=f"{self.url}?{urlencode(sorted(filters))}",
            pause=pause,
        )
        headers = {} if page.next is None else next_page(self, page.next)
        # Put together from items that were encoded one by one, with pauses.
        following = bodies.encode(page.next)
        body = b'{"items":[' + b",".join(page.items) + b'],"next":' + following + b"}"
        return Reply(body=body, headers=headers)


Handler = Callable[[Call], Reply]
Answer = type[BaseModel] | str | None
"""A model (JSON), the media type of something else, or nothing."""


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One method of one path."""

    method: Method
    path: str
    """Such as ``/v1/networks/{vni}``; the names in braces are keys of PATH_PARAMETERS."""
    handler: Handler
    summary: str
    description: str = ""
    tag: str
    role: RoleWord = "viewer"
    query: type[BaseModel] = NoQuery
    """What is unknown to it is refused; a member that is a list may be repeated."""
    body: type[BaseModel] | None = None
    """What must be sent; with ``merge_patch`` that of which a part may be sent."""
    merge_patch: bool = False
    read_only: Mapping[str, str | None] = field(default_factory=dict)
    """Members of the document sent that are taken and ignored, as they come back from a GET.
    Those with the name of a path parameter must say the same as the URL."""
    responses: Mapping[int, Answer | tuple[Answer, ...]] = field(
        default_factory=lambda: {204: None}
    )
    etag: bool | None = None
    """Whether the answers have one. None: where the path also has PUT."""
    headers: tuple[str, ...] = ()
    """Headers of the answers beyond those that follow from the rest."""
    problems: tuple[str, ...] = ()
    """Slugs beyond those that follow from the rest."""
    most_bytes: int | None = None
    """Size of a body; None: the application's limit."""
    operation_id: str = ""
    """Name for generated clients; that of the handler if empty."""
    request_example: Any = None
    response_examples: Mapping[int, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in self.path_names:
            if name not in PATH_PARAMETERS:
                raise ValueError(f"{self}: '{name}' is not in PATH_PARAMETERS")
        if self.merge_patch and self.body is None:
            raise ValueError(f"{self}: a merge patch is a patch of something; give its body")

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def path_names(self) -> tuple[str, ...]:
        return tuple(re.findall(r"{(\w+)}", self.path))

    @property
    def writes(self) -> bool:
        return self.method != "GET"

    @property
    def needed(self) -> Role | None:
        """The least role; None for public operations."""
        return None if self.role == "public" else Role[self.role.upper()]

    @property
    def name(self) -> str:
        return self.operation_id or getattr(self.handler, "__name__", "").strip("_<>")


def without_read_only(
    document: Mapping[str, Any],
    read_only: Mapping[str, str | None],
    path: Mapping[str, Any],
) -> tuple[dict[str, Any], list[FieldError]]:
    """A document without its read-only members, and what is wrong with those.

    ``read_only`` names for each the path parameter that it must equal; None: it is ignored.
    ``path`` are the parsed path parameters.
    """
    rest = {name: value for name, value in document.items() if name not in read_only}
    errors = []
    for member, name in read_only.items():
        if name is None or member not in document:
            continue
        value = document[member]
        try:
            if isinstance(value, bool) or not isinstance(value, int | str):
                raise ValueError
            same = PATH_PARAMETERS[name].parse(str(value)) == path[name]
        except ValueError:
            same = False
        if not same:
            sentence = "this cannot be changed: it differs from what the URL says"
            errors.append(FieldError(sentence, pointer=pointer([member])))
    return rest, errors


def next_page(call: Call, cursor: str) -> dict[str, str]:
    """The header that leads to the next page (RFC 8288 section 3)."""
    rest = [(name, value) for name, value in call.pairs if name != "cursor"]
    query = urlencode([*rest, ("cursor", cursor)])
    return {"Link": f'<{call.url}?{query}>; rel="next"'}


def bad_path(name: str, error: ValueError) -> Problem:
    """The problem of a part of the path that cannot be understood."""
    return Problem("malformed", f"{name}: {error}", [FieldError(str(error), parameter=name)])
