"""Problem documents."""

from __future__ import annotations

import falcon
import falcon.testing
import pytest

from controller.rest.problem import KINDS, LONGEST, FieldError, Problem, field_problem, install


def test_kinds() -> None:
    assert {slug: kind.status for slug, kind in KINDS.items()} == {
        "malformed": 400, "unauthorized": 401, "forbidden": 403, "not-found": 404, "method": 405,
        "conflict": 409, "refused": 409, "precondition": 412, "too-large": 413, "too-long": 414,
        "media-type": 415, "invalid": 422, "rate": 429, "headers": 431, "internal": 500,
        "unsupported": 501, "failed": 502, "unreadable": 502, "unavailable": 503, "timeout": 504,
    }  # fmt: skip


def test_a_document() -> None:
    error = FieldError("too large", pointer="/a")
    assert Problem("invalid", "It is wrong.", [error]).document() == {
        "type": "/v1/docs#invalid",
        "title": "The document is not valid",
        "status": 422,
        "detail": "It is wrong.",
        "errors": [{"pointer": "/a", "detail": "too large"}],
    }
    assert FieldError("no", pointer="").document() == {"pointer": "", "detail": "no"}
    assert len(Problem("invalid", "x" * 9999).document()["detail"]) == LONGEST
    with pytest.raises(KeyError):
        Problem("unheard-of", "?")


def test_the_sentence_of_field_errors() -> None:
    one = FieldError("missing", parameter="limit")
    assert field_problem("malformed", [one]).detail == "limit: missing"
    assert field_problem("malformed", [one, one]).detail.startswith("2 things are wrong")


def test_a_status_without_a_slug_says_what_http_says() -> None:
    class Teapot:
        def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
            raise falcon.HTTPError(418, headers={"X-Pot": "tea"})

    app = falcon.App()
    install(app)
    app.add_route("/", Teapot())
    result = falcon.testing.TestClient(app).simulate_get("/")
    assert result.status_code == 418
    assert result.headers["x-pot"] == "tea"
    assert result.json == {
        "type": "about:blank", "title": "I'm a Teapot", "status": 418, "detail": "",
    }  # fmt: skip
