"""Amounts of money at HTTP edges: decimal strings outside, micros inside (domain.md §6)."""

from typing import Annotated, Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import PydanticCustomError, core_schema

from souk.contracts.money import Micros, format_amount, parse_amount


class JsonNumber(int):
    """An integer as a client wrote it, to be told from an integer of ours: `{"budget": 5}` must not
    be read as five micros. Routes parse request bodies with it; everywhere else it is an int."""


class _AtEdges:
    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        return core_schema.json_or_python_schema(
            json_schema=core_schema.no_info_after_validator_function(
                _parse, core_schema.str_schema(strict=True)
            ),
            python_schema=core_schema.no_info_plain_validator_function(_parse_or_keep),
            serialization=core_schema.plain_serializer_function_ser_schema(
                format_amount, return_schema=core_schema.str_schema()
            ),
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {
            "type": "string",
            "pattern": r"^-?\d{1,12}(\.\d{1,6})?$",
            "examples": ["12.345678"],
            "description": "decimal string with at most six places",
        }


def _parse(text: str) -> Micros:
    try:
        return parse_amount(text)
    except ValueError as error:
        raise PydanticCustomError("amount", "{why}", {"why": str(error)}) from error


def _parse_or_keep(value: object) -> Micros:
    if isinstance(value, str):
        return _parse(value)
    if type(value) is int:
        return Micros(value)
    raise PydanticCustomError("amount", "an amount is a decimal string, not a number")


Amount = Annotated[Micros, _AtEdges]
"""In request models a decimal string is read ("12.5" is 12_500_000 micros) and a finer one refused; in
response models micros are given and written with six places. JSON numbers are refused: they pass
through floating point in too many clients."""
