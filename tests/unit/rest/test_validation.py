"""Pydantic's errors in plain words, with their places."""

from __future__ import annotations

from typing import Annotated, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, model_validator

from controller.rest.problem import FieldError, Problem
from controller.rest.validation import pointer, validate, validate_parameters
from tests.unit.rest.toy import NoteFilter


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Inner(Strict):
    colour: Literal["red", "green"] = "red"
    size: int = Field(1, strict=True, gt=0)


class Left(Strict):
    side: Literal["left"]
    left: int


class Right(Strict):
    side: Literal["right"]
    right: int


class Outer(Strict):
    name: str = Field("x", min_length=1, max_length=3, pattern="^x")
    inner: Inner | None = None
    inners: list[Inner] = Field([], max_length=2)
    port: Annotated[int, Field(strict=True)] | str = 1
    ways: dict[int, Inner] = {}
    side: Annotated[Left | Right, Field(discriminator="side")] | None = None
    flag: bool = Field(True, strict=True)
    other: str = Field("", alias="an-other")

    @model_validator(mode="after")
    def _together(self) -> Outer:
        if self.name == "xx" and not self.flag:
            raise ValueError("not both")
        return self


@pytest.mark.parametrize(
    ("document", "errors"),
    [
        ([], [("", "an object is expected")]),
        ({"name": ""}, [("/name", "too short: at least 1 character")]),
        ({"name": "xxxx"}, [("/name", "too long: at most 3 characters")]),
        ({"name": "a"}, [("/name", "text that matches ^x is expected")]),
        ({"name": None}, [("/name", "text is expected")]),
        ({"name": "xx", "flag": False}, [("", "not both")]),
        ({"flag": "yes"}, [("/flag", "true or false is expected")]),
        ({"inner": {"size": 0}}, [("/inner/size", "must be greater than 0")]),
        ({"inner": {"size": "1"}}, [("/inner/size", "an integer is expected")]),
        ({"inner": {"size": 1.5}}, [("/inner/size", "an integer is expected")]),
        ({"inners": {}}, [("/inners", "a list is expected")]),
        ({"inners": [{}] * 3}, [("/inners", "too long: at most 2 items")]),
        ({"inners": [{}, {"colour": "blue"}]}, [
            ("/inners/1/colour", "'red' or 'green' is expected")]),
        ({"inners": [{"color": "red"}]}, [
            ("/inners/0/color",
             "unknown member (did you mean 'colour'?); known are: colour, size")]),
        ({"port": []}, [("/port", "an integer or text is expected")]),
        ({"ways": {"a/b~c": {}}}, [("/ways/a~1b~0c", "an integer is expected")]),
        ({"ways": {"1": {"size": -1}}}, [("/ways/1/size", "must be greater than 0")]),
        ({"side": {"side": "up"}}, [("/side", "one of 'left', 'right' is expected as 'side'")]),
        ({"side": {"side": "left", "left": "x"}}, [("/side/left", "an integer is expected")]),
        ({"side": {"side": "left", "lift": 1}}, [
            ("/side/left", "this member is required"),
            ("/side/lift", "unknown member (did you mean 'left'?); known are: "
             "side, left, right")]),
        ({"zzz": 1}, [("/zzz", "unknown member; known are: name, inner, inners, port, ways, side, "
                       "flag, an-other")]),
    ],
)  # fmt: skip
def test_words_and_places(document: object, errors: list[tuple[str, str]]) -> None:
    with pytest.raises(Problem) as caught:
        validate(Outer, document)
    assert caught.value.slug == "invalid"
    assert [(error.pointer, error.detail) for error in caught.value.errors] == errors


def test_part_of_a_larger_document() -> None:
    with pytest.raises(Problem) as caught:
        validate(Outer, {"name": 1}, prefix="/operations/3/body")
    assert caught.value.errors == (
        FieldError("text is expected", pointer="/operations/3/body/name"),
    )


def test_a_parameter_is_named_not_pointed_to() -> None:
    with pytest.raises(Problem) as caught:
        validate_parameters(NoteFilter, {"limit": "many", "tag": ["a"], "knd": "x"})
    assert caught.value.slug == "malformed"
    assert [(error.parameter, error.pointer) for error in caught.value.errors] == [
        ("limit", None),
        ("knd", None),
    ]


def test_what_is_right_is_taken() -> None:
    assert validate(Outer, {"port": "a", "an-other": "b"}).other == "b"
    assert validate_parameters(NoteFilter, {"limit": "7"}).limit == 7


def test_a_million_errors_are_not_all_listed() -> None:
    with pytest.raises(Problem) as caught:
        validate(Outer, {f"m{n}": n for n in range(5000)})
    assert len(caught.value.errors) == 100


def test_pointers() -> None:
    assert pointer([]) == ""
    assert pointer(["a/b", 0, "~", ""]) == "/a~1b/0/~0/"


NAMES = st.sampled_from([*Outer.model_fields, "size", "colour", "left", "[key]", "int", "", "/"])
DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3) | NAMES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)


@given(DOCUMENTS)
def test_every_pointer_is_of_a_member_or_of_a_missing_one(document: object) -> None:
    try:
        validate(Outer, document)
    except Problem as problem:
        errors = problem.errors
    else:
        errors = ()
    for error in errors:
        at: object = document
        assert error.pointer is not None
        *above, last = error.pointer.split("/")
        for part in [p.replace("~1", "/").replace("~0", "~") for p in above[1:]]:
            at = at[int(part)] if isinstance(at, list) else at[part]  # type: ignore[index]
        assert not error.pointer or isinstance(at, dict | list)
        assert last or not above or isinstance(at, dict)
