"""A batch is checked a part at a time, and says where it is wrong."""

from __future__ import annotations

import pytest

from controller.rest.configuration import CHECKED, Batch
from controller.rest.problem import Problem
from controller.rest.validation import validate

GOOD = {"method": "DELETE", "path": "/v1/networks/1"}


def test_a_long_batch_is_whole() -> None:
    count = 2 * CHECKED + 7
    assert len(validate(Batch, {"operations": [GOOD] * count}).operations) == count


def test_what_is_wrong_far_behind_is_found_where_it_is() -> None:
    operations: list[object] = [GOOD] * (3 * CHECKED)
    operations[2 * CHECKED + 5] = {"method": "FETCH", "path": "/v1/networks/1", "colour": "red"}
    with pytest.raises(Problem) as caught:
        validate(Batch, {"operations": operations})
    at = f"/operations/{2 * CHECKED + 5}"
    assert {e.pointer for e in caught.value.errors} == {f"{at}/method", f"{at}/colour"}


def test_a_million_wrong_operations_cost_no_more_than_some() -> None:
    with pytest.raises(Problem) as caught:
        validate(Batch, {"operations": [[]] * 1_000_000})
    assert len(caught.value.errors) <= CHECKED
