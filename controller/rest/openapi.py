"""The API described: an OpenAPI 3.1 document, made from the same list that makes the API."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from controller.rest.bodies import JSON, MERGE_PATCH
from controller.rest.operations import PATH_PARAMETERS, Answer, Operation
from controller.rest.paging import PageQuery
from controller.rest.preconditions import PATTERN
from controller.rest.problem import KINDS, MEDIA_TYPE, FieldError, Problem

Json = dict[str, Any]
Schemas = Mapping[tuple[type[BaseModel], JsonSchemaMode], Json]
"""References to the components that models became."""

_COMPONENT: Final = "#/components/schemas/{model}"


@dataclass(frozen=True, slots=True)
class About:
    """What the document says of the API as a whole."""

    title: str = "Weft"
    version: str = "1"
    description: str = ""
    tags: tuple[tuple[str, str], ...] = ()
    """(name, description), in the order of reading; others follow as they come."""


_HEADERS: Final[Json] = {
    "ETag": {
        "description": 'Revision of what is configured, such as "7"; for If-Match. Absent where '
        "nothing is configured, and with dry_run",
        "schema": {"type": "string", "examples": ['"7"']},
    },
    "Link": {
        "description": "The next page, rel=next (RFC 8288); absent on the last one",
        "schema": {"type": "string"},
    },
    "Weft-Revision": {
        "description": "Revision of the store; after a write, but not after dry_run",
        "schema": {"type": "integer", "minimum": 0},
    },
    "Weft-Generation": {
        "description": "Generation of the switches' programs that the write became part of; "
        "not with dry_run",
        "schema": {"type": "integer", "minimum": 0},
    },
    "Retry-After": {
        "description": "Seconds to wait",
        "schema": {"type": "integer", "minimum": 1},
    },
    "WWW-Authenticate": {
        "description": "How to authenticate (RFC 6750 section 3)",
        "schema": {"type": "string"},
    },
    "Accept": {"description": "The media type that is taken", "schema": {"type": "string"}},
    "Accept-Patch": {
        "description": "The media types that are taken (RFC 5789 section 2.2)",
        "schema": {"type": "string"},
    },
    "Accept-Encoding": {
        "description": "The content coding that is taken (RFC 9110 section 12.5.3)",
        "schema": {"type": "string"},
    },
    "X-Accel-Buffering": {
        "description": "no: a proxy is to pass on each event at once",
        "schema": {"type": "string"},
    },
}
_HEADERS_OF: Final[Mapping[str, Mapping[str, bool]]] = {
    "unauthorized": {"WWW-Authenticate": True},
    "forbidden": {"WWW-Authenticate": False},
    "media-type": {"Accept": False, "Accept-Patch": False, "Accept-Encoding": False},
    "rate": {"Retry-After": True},
    "unavailable": {"Retry-After": False},
}
"""The headers of problems; whether each is always there."""

_CONDITIONS: Final[Json] = {
    "IfMatch": {
        "name": "If-Match",
        "in": "header",
        "description": "ETags, one of which the resource must have; *: it must be configured",
        "schema": {"type": "string", "pattern": PATTERN, "examples": ['"7"', "*"]},
    },
    "IfNoneMatch": {
        "name": "If-None-Match",
        "in": "header",
        "description": "*: the resource must not be configured yet",
        "schema": {"type": "string", "pattern": PATTERN, "examples": ["*"]},
    },
}

_PROBLEM: Final[Json] = {
    "type": "object",
    "description": "A problem document (RFC 9457)",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string", "format": "uri-reference"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "instance": {
            "type": "string",
            "format": "uri-reference",
            "description": "Of a failure of the server: the name under which its log tells more",
        },
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["detail"],
                "properties": {
                    "pointer": {
                        "type": "string",
                        "description": "JSON pointer (RFC 6901) into the document that was sent",
                    },
                    "parameter": {
                        "type": "string",
                        "description": "A parameter of path or query, or a header",
                    },
                    "detail": {"type": "string"},
                },
            },
        },
    },
}


def describe(operations: Sequence[Operation], about: About) -> Json:
    """The OpenAPI 3.1 document of a list of operations.

    Raises ValueError where two operations have the same id.
    """
    schemas, components = _schemas(operations)
    paths: dict[str, Json] = {}
    configured = {operation.path for operation in operations if operation.method == "PUT"}
    ids: dict[str, Operation] = {}
    for operation in operations:
        if not operation.name or operation.name in ids:
            raise ValueError(f"{operation} needs an operation_id of its own, not {operation.name}")
        ids[operation.name] = operation
        described = _operation(operation, schemas, components)
        if (operation.etag is None and operation.path in configured) or operation.etag:
            _add_etag(described)
        if links := _links(operation, operations):
            for status in described["responses"].keys() & {"200", "201"}:
                described["responses"][status]["links"] = links
        paths.setdefault(operation.path, {})[operation.method.lower()] = described
    used = dict.fromkeys(operation.tag for operation in operations)
    tags = {name: text for name, text in about.tags if name in used}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": about.title,
            "version": about.version,
            "description": about.description,
        },
        "tags": [{"name": k, "description": v} for k, v in tags.items()]
        + [{"name": name} for name in used if name not in tags],
        "paths": paths,
        "components": {
            "schemas": {**components, "Problem": _PROBLEM},
            "responses": {_camel(slug): _problem(slug) for slug in KINDS},
            "headers": _HEADERS,
            "parameters": _CONDITIONS,
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A token of the token file. Roles: viewer, operator, admin; "
                    "each includes those before it. Without a token file, nothing is needed.",
                }
            },
        },
        "x-problems": [{"slug": slug, **kind._asdict()} for slug, kind in KINDS.items()],
    }


def _schemas(operations: Iterable[Operation]) -> tuple[Schemas, dict[str, Json]]:
    wanted: dict[tuple[type[BaseModel], JsonSchemaMode], None] = {}
    for operation in operations:
        if operation.body is not None:
            wanted[operation.body, "validation"] = None
        for answers in operation.responses.values():
            for answer in _each(answers):
                if isinstance(answer, type):
                    wanted[answer, "serialization"] = None
    schemas, definitions = models_json_schema(list(wanted), ref_template=_COMPONENT)
    references = {(model, mode): schemas[model, mode] for model, mode in wanted}
    components = definitions.get("$defs", {})
    # Pydantic calls Listing[NetworkView] "Listing_NetworkView_"; its title is what we call it.
    names = {name: part["title"] for name, part in components.items() if name.endswith("_")}
    return _renamed(references, names), _renamed(
        {names.get(name, name): part for name, part in components.items()}, names
    )


def _renamed(node: Any, names: Mapping[str, str]) -> Any:
    """With references to other names of components."""
    if isinstance(node, list):
        return [_renamed(item, names) for item in node]
    if not isinstance(node, dict):
        return node
    renamed = {name: _renamed(item, names) for name, item in node.items()}
    if isinstance(reference := node.get("$ref"), str):
        name = reference.rpartition("/")[2]
        renamed["$ref"] = _COMPONENT.format(model=names.get(name, name))
    return renamed


def _each(answers: Answer | tuple[Answer, ...]) -> tuple[Answer, ...]:
    return answers if isinstance(answers, tuple) else (answers,)


def _operation(operation: Operation, schemas: Schemas, components: dict[str, Json]) -> Json:
    described: Json = {
        "operationId": operation.name,
        "summary": operation.summary,
        "tags": [operation.tag],
        "parameters": _parameters(operation, components),
        "responses": _responses(operation, schemas),
        "security": [] if operation.role == "public" else [{"token": []}],
        "x-role": operation.role,
    }
    if operation.description:
        described["description"] = operation.description
    if operation.body is not None:
        described["requestBody"] = _request_body(operation, operation.body, schemas, components)
    return described


def _parameters(operation: Operation, components: dict[str, Json]) -> list[Json]:
    found = []
    for name in operation.path_names:
        schema = dict(PATH_PARAMETERS[name].schema)
        found.append({"name": name, "in": "path", "required": True, **_described(schema)})
    query = operation.query.model_json_schema(ref_template=_COMPONENT)
    components.update(query.get("$defs", {}))
    for name, member in query.get("properties", {}).items():
        parameter = {"name": name, "in": "query", "required": name in query.get("required", ())}
        found.append(parameter | _described(_without_null(member)))
    if _conditional(operation):
        found += [{"$ref": f"#/components/parameters/{name}"} for name in _CONDITIONS]
    return found


def _described(schema: Json) -> Json:
    """A parameter's schema, with the description where OpenAPI wants it."""
    description = schema.pop("description", None)
    schema.pop("title", None)
    return {"schema": schema} | ({"description": description} if description else {})


def _without_null(schema: Json) -> Json:
    """A query has no null: what may be left out is left out."""
    branches = [each for each in schema.get("anyOf", ()) if each.get("type") != "null"]
    if not branches or len(branches) == len(schema["anyOf"]):
        return dict(schema)
    rest = {name: value for name, value in schema.items() if name != "anyOf"}
    if rest.get("default", 0) is None:
        del rest["default"]
    return rest | (branches[0] if len(branches) == 1 else {"anyOf": branches})


def _conditional(operation: Operation) -> bool:
    """Whether If-Match may guard it: it writes one resource, or all of them; not a flush."""
    one = operation.method == "DELETE" and operation.path.endswith("}")
    return one or operation.method in ("PUT", "PATCH") or operation.path.endswith("/batch")


def _request_body(
    operation: Operation, body: type[BaseModel], schemas: Schemas, components: dict[str, Json]
) -> Json:
    reference = schemas[body, "validation"]
    if operation.read_only or operation.merge_patch:
        name = str(reference["$ref"]).rpartition("/")[2]
        kind = "Patch" if operation.merge_patch else "Sent"
        schema = (_patch_of if operation.merge_patch else copy.deepcopy)(components[name])
        for member, in_path in operation.read_only.items():
            schema.setdefault("properties", {}).setdefault(
                member, {"readOnly": True, "description": _TAKEN[in_path is not None]}
            )
        # Two operations may take the same model with other read-only members.
        title = name + kind
        if components.setdefault(title, schema) != schema:
            title = f"{operation.name}_{kind}"
            components[title] = schema
        reference = {"$ref": _COMPONENT.format(model=title)}
    content: Json = {"schema": reference}
    if operation.request_example is not None:
        content["example"] = operation.request_example
    media_types = (MERGE_PATCH, JSON) if operation.merge_patch else (JSON,)
    return {"required": True, "content": dict.fromkeys(media_types, content)}


_TAKEN: Final = ("Taken as it comes back, and ignored", "If it is there, as in the URL")
"""What is said of read-only members; whether they stand in the URL, too."""


def _patch_of(schema: Json) -> Json:
    """What a merge patch of an object looks like: every member may be left out, or be null."""
    members = {
        name: {"anyOf": [_plain(member), {"type": "null"}]}
        for name, member in schema.get("properties", {}).items()
    }
    return {
        "type": "object",
        "description": "A merge patch (RFC 7396); null removes a member. "
        + str(schema.get("description", "")),
        "properties": members,
        "additionalProperties": False,
    }


def _plain(schema: Json) -> Json:
    """Without the default: what a patch leaves out stays as it is."""
    return {name: value for name, value in schema.items() if name not in ("default", "title")}


def _responses(operation: Operation, schemas: Schemas) -> Json:
    found: Json = {}
    for status, answers in operation.responses.items():
        response: Json = {"description": _MEANINGS.get(status, "Done")}
        if headers := _headers(operation):
            response["headers"] = {name: _header(name) for name in headers}
        content: Json = {
            answer: {"schema": {"type": "string"}}
            for answer in _each(answers)
            if isinstance(answer, str)
        }
        models = [answer for answer in _each(answers) if isinstance(answer, type)]
        if models:
            references = [schemas[model, "serialization"] for model in models]
            schema = references[0] if len(references) == 1 else {"anyOf": references}
            content = {JSON: {"schema": schema}, **content}
            if status in operation.response_examples:
                content[JSON]["example"] = operation.response_examples[status]
        if content:
            response["content"] = content
        found[str(status)] = response
    for slug in problems_of(operation):
        found[str(KINDS[slug].status)] = {"$ref": f"#/components/responses/{_camel(slug)}"}
    return found


_MEANINGS: Final = {
    200: "Done",
    201: "Created",
    202: "Accepted: some switches have not confirmed yet",
    204: "Done; there is nothing to say",
}


def _headers(operation: Operation) -> list[str]:
    found = ["Link"] if issubclass(operation.query, PageQuery) else []
    if operation.writes:
        found += ["Weft-Revision", "Weft-Generation"]
    return [*found, *operation.headers]


def _header(name: str) -> Json:
    return {"$ref": f"#/components/headers/{name}"}


def _links(operation: Operation, operations: Iterable[Operation]) -> Json:
    """From what was put: to what else can be done with it, and to the lists below it. From a
    list: to what can be done with its first item."""
    parameters = {name: f"$request.path.{name}" for name in operation.path_names}
    if operation.method == "GET" and issubclass(operation.query, PageQuery):
        return {
            each.name: {
                "operationId": each.name,
                "description": f"{each.summary} (the first one listed)",
                "parameters": parameters
                | {
                    # What a path calls dpid, an attachment calls its switch.
                    name: "$response.body#/items/0/"
                    + ("switch" if name == "dpid" and "port" in names else name)
                    for name in names
                },
            }
            for each in operations
            if re.fullmatch(re.escape(operation.path) + r"(/{\w+})+", each.path)
            for names in [each.path_names[len(operation.path_names) :]]
        }
    if operation.method != "PUT":
        return {}
    return {
        each.name: {
            "operationId": each.name, "description": each.summary, "parameters": parameters
        }
        for each in operations
        if (each.path == operation.path and each is not operation)
        or (each.path.startswith(f"{operation.path}/") and each.path_names == operation.path_names)
    }  # fmt: skip


def _add_etag(described: Json) -> None:
    """To the answers that show the resource; a deletion shows none."""
    for status in ("200", "201"):
        if status in described["responses"] and "204" not in described["responses"]:
            described["responses"][status].setdefault("headers", {})["ETag"] = _header("ETag")


def problems_of(operation: Operation) -> list[str]:
    """The slugs of all problems that an operation may answer, by status."""
    slugs = {"malformed", "too-long", "headers", "internal", *operation.problems}
    if operation.role != "public":
        slugs |= {"unauthorized", "forbidden", "rate"}
    if operation.path_names and operation.method != "DELETE":
        slugs.add("not-found")
    if _conditional(operation):
        slugs.add("precondition")
    if operation.body is not None:
        slugs |= {"too-large", "media-type", "invalid"}
    if operation.writes:
        slugs |= {"conflict", "unavailable"}
    return sorted(slugs, key=lambda slug: KINDS[slug].status)


def _problem(slug: str) -> Json:
    errors = {
        "malformed": [FieldError("too large: at most 1000", parameter="limit")],
        "invalid": [FieldError("too large: at most 4094", pointer="/vlan")],
    }.get(slug, [])
    example = Problem(slug, errors[0].detail if errors else KINDS[slug].advice, errors)
    response: Json = {
        "description": KINDS[slug].title,
        "content": {
            MEDIA_TYPE: {
                "schema": {"$ref": _COMPONENT.format(model="Problem")},
                "example": example.document(),
            }
        },
    }
    if headers := _HEADERS_OF.get(slug):
        response["headers"] = {
            name: {**_HEADERS[name], "required": True} if always else _header(name)
            for name, always in headers.items()
        }
    return response


def _camel(slug: str) -> str:
    return re.sub(r"(?:^|-)(\w)", lambda found: found[1].upper(), slug)
