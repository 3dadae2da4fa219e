"""Percentages as clients write and read them."""

from typing import Annotated

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, TypeAdapter, ValidationError

from souk.chassis.percent import Percent, ShownPercent

READ: TypeAdapter[int] = TypeAdapter(Percent)
SHOWN: TypeAdapter[int] = TypeAdapter(ShownPercent)


@pytest.mark.parametrize(
    ("text", "points"), [("33", 3_300), ("12.5", 1_250), ("12.05", 1_205), ("0", 0), ("999.99", 99_999)]
)
def test_a_percentage_is_read_as_basis_points(text, points):
    assert READ.validate_python(text) == points


@pytest.mark.parametrize("text", ["", "12.505", "-1", "1e1", " 1", "1.", ".5", "1000", "１", 12, 12.5, None])
def test_whatever_is_finer_or_no_plain_decimal_string_is_refused(text):
    with pytest.raises(ValidationError):
        READ.validate_python(text)


@given(st.integers(0, 99_999))
def test_what_is_shown_is_read_as_the_same(points):
    assert READ.validate_python(SHOWN.dump_python(points)) == points


def test_bounds_are_in_basis_points():
    margin: TypeAdapter[int] = TypeAdapter(Annotated[Percent, Field(lt=10_000)])

    assert margin.validate_python("99.99") == 9_999
    with pytest.raises(ValidationError):
        margin.validate_python("100")
