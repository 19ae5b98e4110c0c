"""HTTP as eventlet speaks it, but for what is refused before the application sees it: that is
told by problem documents, too."""

from __future__ import annotations

import json
import re
import ssl
from typing import Any, Final

from eventlet import wsgi

from controller.rest.problem import MEDIA_TYPE, Problem

HEAD_TIMEOUT: Final = 10.0
"""Seconds that a connection may be silent before and within a request's head."""


class Protocol(wsgi.HttpProtocol):  # type: ignore[misc]  # eventlet has no types
    """For ``eventlet.wsgi.server``."""

    def _read_request_line(self) -> Any:
        try:
            line = super()._read_request_line()
            # Who says nothing holds a place that others need.
            self.connection.settimeout(HEAD_TIMEOUT)
        except ssl.SSLError as problem:
            self.server.log.debug("no TLS with %s: %s", self.client_address, problem)
            return b""
        if len(line) < self.server.url_length_limit:
            return line
        most = self.server.url_length_limit - 1
        self._refuse(Problem("too-long", f"The request's first line has at most {most} bytes."))
        return b""

    def parse_request(self) -> bool:
        """Whether the request's head can be understood; else it is answered."""
        try:
            if not super().parse_request():
                return False
        except wsgi.HeaderLineTooLong:
            sentence = f"A header has at most {wsgi.MAX_HEADER_LINE} bytes."
            return self._refuse(Problem("headers", sentence))
        except wsgi.HeadersTooLarge:
            sentence = f"All headers have at most {wsgi.MAX_TOTAL_HEADER_SIZE} bytes."
            return self._refuse(Problem("headers", sentence))
        if self.headers.defects or any(re.search(r"[\0\r\n]", v) for v in self.headers.values()):
            # RFC 9112 section 5: lines that are no headers, and values that go on in the next
            return self._refuse(Problem("malformed", "There are lines that are no headers."))
        if len(self.headers.get_all("Host", [])) > 1:
            return self._refuse(Problem("malformed", "There is more than one Host."))
        lengths = self.headers.get_all("Content-Length", [])
        coding = self.headers.get("Transfer-Encoding")
        if any(not (each.isascii() and each.isdecimal()) for each in lengths) or len(lengths) > 1:
            return self._refuse(Problem("malformed", "Content-Length is one decimal number."))
        if lengths and coding is not None:
            # RFC 9112 section 6.1: what two servers may read in two ways
            sentence = "Content-Length and Transfer-Encoding exclude each other."
            return self._refuse(Problem("malformed", sentence))
        if coding is not None and coding.strip().lower() != "chunked":
            sentence = "The only Transfer-Encoding that is understood is chunked."
            return self._refuse(Problem("malformed", sentence))
        self.connection.settimeout(self.server.socket_timeout)
        return True

    def get_environ(self) -> Any:
        """As the standard wants it, but for a Content-Type where none was sent."""
        environ = super().get_environ()
        if "Content-Type" not in self.headers:
            environ["CONTENT_TYPE"] = ""
        return environ

    def send_error(self, code: int, message: str | None = None, explain: Any = None) -> None:
        """What the standard library finds wrong: headers beyond number, no HTTP, HTTP/3.0."""
        slug = {414: "too-long", 431: "headers"}.get(code, "malformed")
        self._refuse(Problem(slug, f"This is no request of HTTP/1.1: {message}."))

    def _refuse(self, problem: Problem) -> bool:
        """Tell it, and end the connection: nobody knows where the next request begins."""
        body = json.dumps(problem.document()).encode()
        head = (
            f"HTTP/1.1 {problem.status} {problem.kind.title}\r\n"
            f"Content-Type: {MEDIA_TYPE}\r\nContent-Length: {len(body)}\r\n"
            "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n"
            f"Date: {self.date_time_string()}\r\nConnection: close\r\n\r\n"
        )
        self.wfile.write(head.encode() + body)
        self.close_connection = True
        return False
