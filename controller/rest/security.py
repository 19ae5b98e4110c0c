"""Who asks, and whether they may: the Guardian; and the audit line that each write leaves.

Time is an argument: seconds of a clock that only goes forward.
"""

from __future__ import annotations

import ipaddress
import logging
import math
import re
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from controller.rest import tokens as token_file
from controller.rest.problem import Problem
from controller.rest.tokens import Role, Token, TokenFileError, new_token, parse_tokens

__all__ = [
    "Guardian",
    "Identity",
    "Rate",
    "Role",
    "RoleTooLow",
    "Token",
    "TokenFileError",
    "audit",
    "is_loopback",
    "new_token",
    "parse_tokens",
]

REALM: Final = "weft"

_audit = logging.getLogger("weft.audit")


@dataclass(frozen=True, slots=True)
class Identity:
    """Who sent a request."""

    name: str
    """Name of the token; ``anonymous`` where none is needed."""
    role: Role
    peer: str
    """Address that the connection comes from."""


@dataclass(frozen=True, slots=True)
class Rate:
    """A token bucket: so many requests per second, and so many at once."""

    per_second: float
    burst: int


READS: Final = Rate(per_second=200, burst=400)
WRITES: Final = Rate(per_second=100, burst=400)


class Buckets:
    """A bucket per key. At most ``most`` are kept; the longest unused is forgotten first."""

    def __init__(self, rate: Rate, most: int = 4096) -> None:
        self._rate, self._most = rate, most
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()  # (level, since)

    def take(self, key: str, now: float) -> float:
        """Seconds until there is something to take; 0: taken."""
        level, since = self._levels.pop(key, (float(self._rate.burst), now))
        level = min(self._rate.burst, level + max(0.0, now - since) * self._rate.per_second)
        wait = 0.0 if level >= 1 else (1 - level) / self._rate.per_second
        self._levels[key] = (level - 1 if level >= 1 else level, now)
        if len(self._levels) > self._most:
            self._levels.popitem(last=False)
        return wait

    def __len__(self) -> int:
        return len(self._levels)


def is_loopback(host: str) -> bool:
    """Whether a name or address is that of this machine only."""
    if host.lower().rstrip(".") == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class Guardian:
    """Admits requests.

    ``tokens`` None: there is no token file, and everybody who reaches the loopback address that
    the API is bound to (``bind``) is an admin. Raises ValueError where ``bind`` is any other.
    """

    def __init__(
        self,
        tokens: Iterable[Token] | None,
        *,
        bind: str = "127.0.0.1",
        reads: Rate | None = READS,
        writes: Rate | None = WRITES,
    ) -> None:
        self.tokens = None if tokens is None else tuple(tokens)
        """May be replaced while the API runs: the file has been read again."""
        if self.tokens is None and not is_loopback(bind):
            raise ValueError(
                f"the API would be open to everybody who reaches {bind}: "
                "give a token file, or bind it to 127.0.0.1 or ::1"
            )
        self._reads = None if reads is None else Buckets(reads)
        self._writes = None if writes is None else Buckets(writes)

    def admit(
        self,
        *,
        needed: Role,
        write: bool,
        now: float,
        peer: str,
        authorization: str | None,
        host: str | None,
        origin: str | None,
    ) -> Identity:
        """Who sent a request with these headers, if it may be answered.

        Raises the problems ``unauthorized`` (401), ``forbidden`` (403) or ``rate`` (429).
        """
        identity = self.identify(peer, authorization, host, origin, now)
        limited = identity.peer if self.tokens is None else identity.name
        self._limit(self._writes if write else self._reads, limited, now)
        if identity.role < needed:
            raise RoleTooLow(identity, needed)
        return identity

    def identify(
        self, peer: str, authorization: str | None, host: str | None, origin: str | None, now: float
    ) -> Identity:
        """Who sent a request, without asking what it wants."""
        if self.tokens is None:
            _refuse_foreign(host, origin)
            return Identity("anonymous", Role.ADMIN, peer)
        scheme, _, presented = (authorization or "").strip().partition(" ")
        if scheme.lower() != "bearer":
            self._limit(self._reads, f"peer {peer}", now)  # no name contains a space
            # RFC 6750 section 3.1: no error code where nothing was presented
            sentence = "This needs a token: 'Authorization: Bearer TOKEN'."
            raise Problem("unauthorized", sentence, headers=_challenge())
        token = token_file.find(self.tokens, presented.strip())
        if token is None:
            self._limit(self._reads, f"peer {peer}", now)
            sentence = "The token is not known."
            raise Problem("unauthorized", sentence, headers=_challenge("invalid_token"))
        return Identity(token.name, token.role, peer)

    def _limit(self, buckets: Buckets | None, key: str, now: float) -> None:
        wait = 0.0 if buckets is None else buckets.take(key, now)
        if wait:
            seconds = math.ceil(wait)
            sentence = f"The next request is answered in {seconds} second{'s' * (seconds > 1)}."
            raise Problem("rate", sentence, headers={"Retry-After": str(seconds)})


class RoleTooLow(Problem):
    """The problem (403) of somebody known who may not do this."""

    def __init__(self, identity: Identity, needed: Role) -> None:
        self.identity = identity
        super().__init__(
            "forbidden",
            f"The role {needed.word} is needed; {identity.name} is {identity.role.word}.",
            headers=_challenge("insufficient_scope", needed.word),
        )


def _challenge(error: str = "", scope: str = "") -> dict[str, str]:
    """WWW-Authenticate, as RFC 6750 section 3 wants it."""
    words = {"realm": REALM, "error": error, "scope": scope}
    said = ", ".join(f'{word}="{value}"' for word, value in words.items() if value)
    return {"WWW-Authenticate": f"Bearer {said}"}


def _refuse_foreign(host: str | None, origin: str | None) -> None:
    """Without tokens a browser is the danger: any page that it shows may send requests to us.

    A page whose name was made to resolve to 127.0.0.1 (DNS rebinding) is known by Host, a page
    from elsewhere by Origin (RFC 6454 section 7).
    """
    if host is None or not is_loopback(_host_of(f"//{host}")):
        raise Problem(
            "forbidden",
            "Without a token file, Host must be localhost or a loopback address: "
            "so no foreign page can use a browser of this machine.",
        )
    if origin is not None and not is_loopback(_host_of(origin)):
        raise Problem("forbidden", "Requests from foreign pages are refused (Origin).")


def _host_of(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def audit(
    identity: Identity | None,
    *,
    peer: str,
    method: str,
    path: str,
    query: str,
    status: int,
    revision: int | None,
    generation: int | None,
) -> None:
    """One line about a write to the logger ``weft.audit``, whether it was done or refused."""
    words = {
        "who": identity.name if identity else "-",
        "role": identity.role.word if identity else "-",
        "peer": peer,
        "method": method,
        "path": path,
        "query": query or "-",
        "status": str(status),
        "revision": "-" if revision is None else str(revision),
        "generation": "-" if generation is None else str(generation),
    }
    _audit.info(" ".join(f"{word}={_visible(value)}" for word, value in words.items()))


def _visible(text: str) -> str:
    """Without anything that could end the line, or look like the next word."""
    return re.sub(r"[^\x21-\x7e]|[\\]", lambda found: ascii(found[0])[1:-1], text).replace(
        " ", "\\x20"
    )
