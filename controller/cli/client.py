"""HTTP: requests out, documents in, and every way to fail as an exception of
:mod:`controller.cli.errors`.
"""

from __future__ import annotations

import http.client
import ipaddress
import re
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, urlsplit

import requests

from controller import __version__
from controller.cli import conflicts
from controller.cli.errors import (
    Conflict,
    Failure,
    NotAllowed,
    NotFound,
    PreconditionFailed,
    Refused,
    Unreachable,
)
from controller.cli.settings import Settings

CONNECT_TIMEOUT: Final = 5.0
READ_TIMEOUT: Final = 30.0
"""Seconds without a byte of the answer; what the request asks to wait for comes on top."""
PAGE: Final = 1000
MAX_RETRIES: Final = 3
MAX_RETRY_AFTER: Final = 10.0
"""Seconds: a controller that asks to come back later than this is not waited for."""

Query = Mapping[str, str | int | float | bool | list[str] | None]
"""Query parameters; None: left out."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A successful answer."""

    status: int
    body: Any
    """The JSON document; None where there is none."""
    headers: Mapping[str, str]


def path(*parts: object) -> str:
    """A path below ``/v1``, each part encoded: a port's name may hold anything."""
    return "/v1/" + "/".join(quote(str(part), safe=":") for part in parts)


class Client:
    """A session with one controller."""

    def __init__(self, settings: Settings, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self.settings = settings
        self._sleep = sleep
        self._session = requests.Session()
        self._session.headers["User-Agent"] = f"weft/{__version__}"
        # A callable, even without a token: requests would look into ~/.netrc otherwise.
        self._session.auth = self._authorize
        if _is_loopback(urlsplit(settings.url).hostname or ""):
            self._session.trust_env = False  # a proxy has another loopback interface

    def get(self, where: str, query: Query | None = None) -> dict[str, Any]:
        """The document at a path."""
        body = self.send("GET", where, query=query).body
        if not isinstance(body, dict):
            raise self._stranger("its answer is not a JSON object")
        return body

    def items(
        self,
        where: str,
        query: Query | None = None,
        *,
        page: Callable[[int], None] = lambda _: None,
    ) -> Iterator[dict[str, Any]]:
        """All items of a list, page after page; ``page`` is told how many there are so far."""
        cursor: str | None = None
        count = 0
        while True:
            body = self.get(where, {**(query or {}), "limit": PAGE, "cursor": cursor})
            items = body.get("items")
            if not isinstance(items, list):
                raise self._stranger("it answers with something that is not a list")
            yield from items
            count += len(items)
            page(count)
            following = body.get("next")
            if not following:
                return
            if following == cursor:
                raise self._stranger("its pages do not end")
            cursor = following

    def send(
        self,
        method: str,
        where: str,
        body: Any = None,
        *,
        query: Query | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float = READ_TIMEOUT,
    ) -> Answer:
        """The answer to a request that succeeded.

        Raises Unreachable, or what the problem document says.
        """
        sent = {"Accept": "application/json", **(headers or {})}
        if body is not None:
            patch = method == "PATCH"
            sent["Content-Type"] = "application/merge-patch+json" if patch else "application/json"
        for attempt in range(MAX_RETRIES + 1):
            response = self._request(
                method, where, body=body, query=query, headers=sent, timeout=timeout
            )
            after = _retry_after(response)
            if response.status_code != 429 or after is None or attempt == MAX_RETRIES:
                break
            self._sleep(after)
        if not 200 <= response.status_code < 300:
            raise self._problem(response, body)
        if response.status_code == 204 or not response.content:
            return Answer(response.status_code, None, response.headers)
        try:
            return Answer(response.status_code, response.json(), response.headers)
        except ValueError:
            raise self._stranger("its answer is not JSON") from None

    def stream(
        self, where: str, query: Query, headers: Mapping[str, str], timeout: float
    ) -> requests.Response:
        """An answer whose body is still to come; ``timeout``: seconds without a byte of it."""
        sent = {"Accept": "text/event-stream", "Accept-Encoding": "identity", **headers}
        response = self._request(
            "GET", where, query=query, headers=sent, timeout=timeout, stream=True
        )
        if not 200 <= response.status_code < 300:
            raise self._problem(response)
        return response

    def _request(
        self,
        method: str,
        where: str,
        *,
        body: Any = None,
        query: Query | None,
        headers: Mapping[str, str],
        timeout: float,
        stream: bool = False,
    ) -> requests.Response:
        try:
            with warnings.catch_warnings():
                if self.settings.verify is False:  # --insecure says that this is known
                    warnings.filterwarnings("ignore", message="Unverified HTTPS request")
                return self._session.request(
                    method,
                    self.settings.url + where,
                    params=_encoded(query or {}),
                    json=body,
                    headers=dict(headers),
                    timeout=(CONNECT_TIMEOUT, timeout),
                    allow_redirects=False,
                    stream=stream,
                    # Each time: REQUESTS_CA_BUNDLE would win over the session's.
                    verify=self.settings.verify,
                )
        except requests.RequestException as error:
            raise self._unreachable(error) from None

    def _authorize(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self.settings.token:
            request.headers["Authorization"] = f"Bearer {self.settings.token}"
        return request

    def _at(self) -> str:
        return f"{self.settings.url} ({self.settings.url_from})"

    def _stranger(self, why: str) -> Unreachable:
        return Unreachable(
            f"what answers at {self._at()} does not seem to be Weft's REST API: {why}",
            hint="give the controller's URL with --url or WEFT_URL",
        )

    def _unreachable(self, error: requests.RequestException) -> Failure:
        reason = _reason(error)
        if isinstance(error, requests.exceptions.SSLError):
            if "CERTIFICATE_VERIFY_FAILED" not in str(error):
                return Unreachable(
                    f"no TLS with {self._at()}: {reason}",
                    hint="is it https there, or http? Its log may tell more",
                )
            if re.search("mismatch|not valid for|doesn't match", f"{reason} {error}"):
                return Unreachable(
                    f"the certificate of {self._at()} is for another name: {reason}",
                    hint="use a name of the certificate in the URL",
                )
            return Unreachable(
                f"no trust in the certificate of {self._at()}: {reason}",
                hint="name the authority that signed it with --ca-file; "
                "--insecure trusts anybody, who can read the token then",
            )
        if isinstance(error, requests.exceptions.ReadTimeout):
            return Unreachable(
                f"{self._at()} does not answer in time",
                hint="if this was a change, look whether it was made before trying again",
            )
        return Unreachable(
            f"cannot connect to {self._at()}: {reason}",
            hint="is the controller running, with its REST API there? "
            "Name another URL with --url or WEFT_URL",
        )

    def _problem(self, response: requests.Response, sent: Any = None) -> Failure:
        """A problem document (RFC 9457) as an exception; ``sent``: the body of the request."""
        try:
            problem = response.json()
        except ValueError:
            problem = None
        if not isinstance(problem, dict) or "title" not in problem:
            return self._stranger(f"it answers {response.status_code} {response.reason}")
        message = str(problem.get("detail") or problem["title"])
        errors = problem.get("errors")
        errors = [e for e in errors if isinstance(e, dict)] if isinstance(errors, list) else []
        status = response.status_code
        advice = ""
        if status == 409:
            explained = [conflicts.explain(error, sent) for error in errors]
            details = [sentence for sentence, _ in explained]
            advice = next(filter(None, (hint for _, hint in explained)), "")
        else:
            details = [_error(error) for error in errors]
        if len(details) == 1:  # the sentence above it would only say the same
            message, details = details[0], []
        if status == 404 and (missing := re.fullmatch(r"There is no network (\d+)\.", message)):
            advice = f"to make it: weft network set {missing[1]}"
        if status in (401, 403):
            return NotAllowed(message, details=details, hint=self._token_hint(status))
        kinds: dict[int, tuple[type[Failure], str]] = {
            404: (NotFound, advice),
            409: (Conflict, advice),
            412: (
                PreconditionFailed,
                "somebody else has changed it in the meantime: look at it, and try again",
            ),
            429: (Refused, "the controller limits requests: try again later"),
            503: (
                Refused,
                "'weft switches' tells which switches are connected"
                if "not connected" in message
                else "try again; 'weft status' tells how the controller is",
            ),
            504: (Refused, "try again; 'weft switches' tells which switches are connected"),
        }
        kind, hint = kinds.get(status, (Refused, ""))
        return kind(message, details=details, hint=hint)

    def _token_hint(self, status: int) -> str:
        settings = self.settings
        if not settings.token:
            return "give a token with --token-file, WEFT_TOKEN or the configuration file"
        if status == 401:
            return (
                f"the token from {settings.token_from} is not known there: give another; if it is "
                "new: the controller reads its token file on SIGHUP"
            )
        return f"the token from {settings.token_from} may not do this: it takes a higher role"


def _encoded(query: Query) -> dict[str, Any]:
    return {
        key: str(value).lower() if isinstance(value, bool) else value
        for key, value in query.items()
        if value is not None
    }


def _error(error: Mapping[str, Any]) -> str:
    """``/attachments/0/vlan: VLAN 5000 is out of range``"""
    where = error.get("pointer") or error.get("parameter")
    return f"{where}: {error.get('detail', '')}" if where else str(error.get("detail", ""))


def _retry_after(response: requests.Response) -> float | None:
    """The seconds to wait before another try; None where it is not worth it."""
    try:
        seconds = float(response.headers["Retry-After"])
    except (KeyError, ValueError):
        return None
    return seconds if 0 <= seconds <= MAX_RETRY_AFTER else None


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _reason(error: BaseException) -> str:
    """The system's word for what went wrong, from under the layers of libraries."""
    seen: set[int] = set()
    layers: list[BaseException] = [error]
    while layers:
        layer = layers.pop()
        if id(layer) in seen:
            continue
        seen.add(id(layer))
        verify = getattr(layer, "verify_message", None)
        if verify:
            return str(verify)
        if isinstance(layer, http.client.RemoteDisconnected):
            return "the connection was closed without an answer (is it https there?)"
        if isinstance(layer, OSError) and layer.strerror:
            return layer.strerror.lower()
        if isinstance(layer, requests.exceptions.ConnectTimeout):
            return f"no answer within {CONNECT_TIMEOUT:.0f} s"
        inner = [layer.__cause__, layer.__context__, getattr(layer, "reason", None), *layer.args]
        layers += [item for item in inner if isinstance(item, BaseException)]
    return str(error)
