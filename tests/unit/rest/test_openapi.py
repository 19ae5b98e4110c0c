"""The description is a right OpenAPI document, and says what the API does."""

from __future__ import annotations

import json
import re
from typing import Any

import jsonschema_rs
import pytest
import schemathesis
from schemathesis.core.result import Ok

from controller.rest.operations import PATH_PARAMETERS
from controller.rest.problem import KINDS
from tests.unit.rest.toy import Notes, client_of


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    found: dict[str, Any] = client_of(Notes()).simulate_get("/v1/openapi.json").json
    return found


def references(node: Any) -> list[str]:
    if isinstance(node, list):
        return [found for item in node for found in references(item)]
    if isinstance(node, dict):
        own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
        return own + [found for item in node.values() for found in references(item)]
    return []


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    found = references(document)
    assert found
    for reference in found:
        at: Any = document
        for part in reference.removeprefix("#/").split("/"):
            at = at[part]


def test_every_schema_is_one(document: dict[str, Any]) -> None:
    # JSON Schema 2020-12, which OpenAPI 3.1 is built on
    for name, schema in document["components"]["schemas"].items():
        jsonschema_rs.meta.validate(
            {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
        )
        assert name


def test_others_can_load_it(document: dict[str, Any]) -> None:
    schema = schemathesis.openapi.from_dict(document)
    schema.validate()
    results = list(schema.get_all_operations())
    loaded = {result.ok().label for result in results if isinstance(result, Ok)}
    assert len(loaded) == len(results)
    assert loaded == {
        f"{method.upper()} {path}" for path, ops in document["paths"].items() for method in ops
    }
    assert len(loaded) == 8


def test_an_operation(document: dict[str, Any]) -> None:
    put = document["paths"]["/v1/notes/{vni}"]["put"]
    assert put["operationId"] == "put_note"
    assert put["security"] == [{"token": []}]
    assert put["requestBody"]["content"] == {
        "application/json": {
            "schema": {"$ref": "#/components/schemas/NoteSent"},
            "example": {"text": "mind the gap", "stars": 3},
        }
    }
    sent = document["components"]["schemas"]["NoteSent"]
    assert sent["properties"]["revision"]["readOnly"] is True
    assert sent["required"] == ["text"]
    assert list(put["responses"]) == [
        "200", "201", "400", "401", "403", "404", "409", "412", "413", "414", "415", "422", "429",
        "431", "500", "503",
    ]  # fmt: skip
    assert list(put["responses"]["201"]["headers"]) == ["Weft-Revision", "Weft-Generation", "ETag"]
    assert put["responses"]["201"]["links"]["get_note"]["parameters"] == {
        "vni": "$request.path.vni"
    }
    names = [parameter.get("name") or parameter["$ref"] for parameter in put["parameters"]]
    assert names == [
        "vni", "#/components/parameters/IfMatch", "#/components/parameters/IfNoneMatch",
    ]  # fmt: skip


def test_a_list_and_its_query(document: dict[str, Any]) -> None:
    listing = document["paths"]["/v1/notes"]["get"]
    parameters = {parameter["name"]: parameter for parameter in listing["parameters"]}
    assert parameters["limit"]["schema"] == {
        "type": "integer", "minimum": 1, "maximum": 1000, "default": 100,
    }  # fmt: skip
    assert parameters["kind"]["schema"] == {"type": "string", "enum": ["plain", "loud"]}
    assert parameters["tag"]["schema"] == {"type": "array", "items": {"type": "string"}}
    assert not any(parameter["required"] for parameter in parameters.values())
    assert "Link" in listing["responses"]["200"]["headers"]
    content = listing["responses"]["200"]["content"]["application/json"]
    assert content["schema"] == {"$ref": "#/components/schemas/NoteViewList"}


def test_a_patch_requires_nothing(document: dict[str, Any]) -> None:
    patch = document["paths"]["/v1/notes/{vni}"]["patch"]["requestBody"]["content"]
    assert list(patch) == ["application/merge-patch+json", "application/json"]
    schema = document["components"]["schemas"]["NotePatch"]
    assert "required" not in schema
    jsonschema_rs.validate(schema, {"stars": None})
    assert not jsonschema_rs.is_valid(schema, {"stras": 1})


def test_a_public_operation(document: dict[str, Any]) -> None:
    healthz = document["paths"]["/healthz"]["get"]
    assert healthz["security"] == []
    assert list(healthz["responses"]) == ["200", "400", "414", "431", "500"]


def test_problems_are_like_their_schema(document: dict[str, Any]) -> None:
    schema = document["components"]["schemas"]["Problem"]
    for slug, response in zip(KINDS, document["components"]["responses"].values(), strict=True):
        example = response["content"]["application/problem+json"]["example"]
        jsonschema_rs.validate(schema, example)
        assert example["type"].endswith(f"#{slug}")
    assert [kind["slug"] for kind in document["x-problems"]] == list(KINDS)
    bad = client_of(Notes()).simulate_put("/v1/notes/x", json={})
    jsonschema_rs.validate(schema, bad.json)


def test_answers_are_like_their_schemas(document: dict[str, Any]) -> None:
    client = client_of(Notes())
    client.simulate_put("/v1/notes/1", json={"text": "a"})
    for path, url in (("/v1/notes", "/v1/notes"), ("/v1/notes/{vni}", "/v1/notes/1")):
        response = document["paths"][path]["get"]["responses"]["200"]
        schema = response["content"]["application/json"]["schema"]
        whole = schema | {"components": document["components"]}
        jsonschema_rs.validate(whole, client.simulate_get(url).json)


@pytest.mark.parametrize("name", list(PATH_PARAMETERS))
def test_what_path_parameters_say_of_themselves_is_so(name: str) -> None:
    parse, schema = PATH_PARAMETERS[name].parse, dict(PATH_PARAMETERS[name].schema)
    for example in schema["examples"]:
        jsonschema_rs.validate(schema, example)
        parse(str(example))


@pytest.mark.parametrize(
    ("name", "texts"),
    [
        ("dpid", ["0x1", "00:00:00:00:00:00:00:01", "18", "ffffffffffffffff"]),
        ("mac", ["02-00-00-00-00-01", "020000000001", "FE:00:00:00:00:01"]),
        ("port", ["1", "999999999", "s1-eth1", "eth0.100"]),
    ],
)
def test_patterns_agree_with_parsers(name: str, texts: list[str]) -> None:
    parse, schema = PATH_PARAMETERS[name]
    for text in texts:
        assert re.fullmatch(schema["pattern"], text)
        parse(text)


def test_it_is_the_same_each_time(document: dict[str, Any]) -> None:
    again = client_of(Notes()).simulate_get("/v1/openapi.json").text
    assert json.loads(again) == document
