"""From pydantic's errors to ours: every one of them, in plain words, each with its place."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from controller.rest.problem import FieldError, field_problem

M = TypeVar("M", bound=BaseModel)

_MOST: Final = 100
"""Errors that are listed; a document of 64 MiB could have a million."""

_NOUNS: Final[Mapping[str, str]] = {
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "int_type": "an integer",
    "int_parsing": "an integer",
    "int_from_float": "an integer",
    "int_parsing_size": "an integer of less size",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "string_type": "text",
    "string_unicode": "text",
    "bytes_type": "text",
    "list_type": "a list",
    "tuple_type": "a list",
    "set_type": "a list",
    "frozen_set_type": "a list",
    "dict_type": "an object",
    "mapping_type": "an object",
    "model_type": "an object",
    "model_attributes_type": "an object",
    "none_required": "null",
}


def pointer(parts: Iterable[str | int]) -> str:
    """A JSON pointer (RFC 6901 section 3): ``~`` is written ``~0``, ``/`` is written ``~1``."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts)


def validate(model: type[M], document: Any, *, prefix: str = "") -> M:
    """A document as a value of its model.

    Raises the ``invalid`` problem (422) with all errors; ``prefix`` stands before their
    pointers where the document is part of a larger one.
    """
    try:
        return model.model_validate(document)
    except ValidationError as error:
        found = explain(error, model, document)
        wrong = [FieldError(detail, pointer=prefix + pointer(place)) for place, detail in found]
        raise field_problem("invalid", wrong) from None


def validate_parameters(model: type[M], parameters: Mapping[str, str | list[str]]) -> M:
    """The parameters of a query. Raises the ``malformed`` problem (400) with all errors."""
    try:
        return model.model_validate(parameters)
    except ValidationError as error:
        found = explain(error, model, parameters, member="parameter")
        wrong = [
            FieldError(detail, parameter=str(place[0]) if place else "query")
            for place, detail in found
        ]
        raise field_problem("malformed", wrong) from None


def unknown_members(model: type[BaseModel], patch: Mapping[str, Any]) -> list[FieldError]:
    """Members of a merge patch that the model does not know.

    Those that are null would go unnoticed otherwise: merging drops them.
    """
    known = _members(model, ())
    return [
        FieldError(_unknown(name, known, "member"), pointer=pointer([name]))
        for name in patch
        if name not in known
    ][:_MOST]


def explain(
    error: ValidationError, model: type[BaseModel], document: Any, *, member: str = "member"
) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """(place, what is wrong there); what the branches of a union say is put together."""
    at: dict[tuple[str | int, ...], list[tuple[str, str]]] = {}  # place: [(how, text)]
    for detail in error.errors(include_url=False, include_input=False):
        if len(at) >= _MOST:
            break
        kind, loc = detail["type"], detail["loc"]
        place = _place(loc, document)
        if kind == "missing":
            place, text = (*place, loc[-1]), f"this {member} is required"
        elif kind == "extra_forbidden":
            text = _unknown(str(loc[-1]), _members(model, loc[:-1]), member)
        elif kind in _NOUNS:
            at.setdefault(place, []).append(("expected", _NOUNS[kind]))
            continue
        else:
            text = _words(kind, str(detail["msg"]), detail.get("ctx", {}))
        at.setdefault(place, []).append(("said", text))
    for place, said in at.items():
        expected = dict.fromkeys(noun for how, noun in said if how == "expected")
        # A branch that takes this type, but not this value, knows better than the others.
        texts = dict.fromkeys(text for how, text in said if how == "said")
        yield place, "; ".join(texts) or f"{' or '.join(expected)} is expected"


def _place(loc: tuple[str | int, ...], document: Any) -> tuple[str | int, ...]:
    """Where in the document that was sent. Pydantic also names branches of unions, and keys."""
    place: list[str | int] = []
    for part in loc:
        is_member = isinstance(document, Mapping) and part in document
        is_item = isinstance(document, list) and isinstance(part, int) and part < len(document)
        if is_member or is_item:
            document = document[part]
            place.append(part)
    return tuple(place)


def _words(kind: str, message: str, context: Mapping[str, Any]) -> str:
    match kind:
        case "value_error" | "assertion_error":
            return str(context.get("error", message))
        case "literal_error" | "enum":
            return f"{context['expected']} is expected"
        case "string_too_short" | "too_short":
            return f"too short: at least {_count(kind, context, 'min_length')}"
        case "string_too_long" | "too_long":
            return f"too long: at most {_count(kind, context, 'max_length')}"
        case "greater_than_equal":
            return f"too small: at least {context['ge']}"
        case "less_than_equal":
            return f"too large: at most {context['le']}"
        case "string_pattern_mismatch":
            return f"text that matches {context['pattern']} is expected"
        case "union_tag_invalid":
            return f"one of {context['expected_tags']} is expected as {context['discriminator']}"
    return re.sub("^Input should be", "must be", message)


def _count(kind: str, context: Mapping[str, Any], which: str) -> str:
    number = context[which]
    noun = "character" if kind.startswith("string") else "item"
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _unknown(name: str, known: list[str], member: str) -> str:
    near = difflib.get_close_matches(name, known, 1)
    hint = f" (did you mean '{near[0]}'?)" if near else ""
    return f"unknown {member}{hint}; known are: {', '.join(known) or 'none'}"


def _members(model: type[BaseModel], loc: tuple[str | int, ...]) -> list[str]:
    """The names that a model knows at a place."""
    models = [model]
    for part in loc:
        fields = [each.model_fields[part] for each in models if part in each.model_fields]
        inner = [each for field in fields for each in _models(field.annotation)]
        models = inner or models  # an index, a key and the branch of a union lead no further
    known = (item for each in models for item in each.model_fields.items())
    return list(dict.fromkeys(field.alias or name for name, field in known))


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models(argument)
