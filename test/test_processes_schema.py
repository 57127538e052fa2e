"""The one schema generator: OpenAPI 3.0's dialect, and the same verdicts as the validators."""

import datetime
import enum
import json
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openapi_schema_validator import OAS30Validator, oas30_format_checker
from pydantic import BaseModel, Field, JsonValue, TypeAdapter, ValidationError

from gristmill.errors import ConfigurationError
from gristmill.processes.hints import make_adapter
from gristmill.processes.schema import openapi_schema


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Inner(BaseModel):
    at: int | None = None
    kind: Literal["inner"] = "inner"


class Other(BaseModel):
    kind: Literal["other"]
    pair: tuple[int, str]


class Outer(BaseModel):
    """An outer thing."""

    inner: Inner
    more: list[Inner] = []
    either: Annotated[Inner | Other, Field(discriminator="kind")]


class Tree(BaseModel):
    children: list["Tree"] = []


TYPES: list[Any] = [
    int,
    float,
    str,
    bool,
    bytes,
    datetime.date,
    datetime.datetime,
    Literal["a", "b", 3],
    Literal["only"],
    Color,
    list[int],
    set[str],
    tuple[int, str],
    tuple[float, ...],
    dict[str, int],
    JsonValue,
    int | None,
    Color | None,
    Literal["a"] | None,
    int | float,
    int | str | None,
    str | list[float],
    Inner | Other,
    Outer,
    list[Outer],
    dict[str, Outer | None],
    Annotated[int, Field(ge=1, le=5)],
    Annotated[int, Field(gt=1, lt=5)] | None,
    Annotated[float, Field(gt=0, multiple_of=0.5)],
    Annotated[str, Field(min_length=1, max_length=3, pattern="^[a-z]+$")],
    Annotated[list[int], Field(min_length=1, max_length=2)],
    Annotated[str, Field(examples=["x", "y"], description="Text.")],
]
ABSENT = {"const", "prefixItems", "$defs", "$ref", "examples", "discriminator", "propertyNames", "patternProperties"}


def schema_of(kind: Any) -> dict[str, Any]:
    return openapi_schema(make_adapter(kind))


def every_schema(schema: Any) -> list[dict[str, Any]]:
    found = [schema]
    for key in ("properties",):
        found += [one for part in schema.get(key, {}).values() for one in every_schema(part)]
    for key in ("items", "additionalProperties", "not"):
        if isinstance(schema.get(key), dict):
            found += every_schema(schema[key])
    for key in ("oneOf", "anyOf", "allOf"):
        found += [one for part in schema.get(key, ()) for one in every_schema(part)]
    return found


@pytest.mark.parametrize("kind", TYPES, ids=str)
def test_a_schema_is_in_the_dialect_of_openapi_3_0(kind: Any) -> None:
    schema = schema_of(kind)

    OAS30Validator.check_schema(schema)
    json.dumps(schema)
    for one in every_schema(schema):
        assert not one.keys() & ABSENT, one
        assert one.get("type") in {None, "string", "number", "integer", "boolean", "array", "object"}
        assert isinstance(one.get("exclusiveMinimum", True), bool)
        assert isinstance(one.get("exclusiveMaximum", True), bool)
        assert one.get("type") != "array" or "items" in one


def test_a_single_literal_becomes_an_enumeration_of_one() -> None:
    assert schema_of(Literal["only"]) == {"type": "string", "enum": ["only"]}


def test_null_becomes_nullable() -> None:
    assert schema_of(int | None) == {"type": "integer", "nullable": True}
    assert schema_of(Literal["a"] | None) == {"type": "string", "enum": ["a", None], "nullable": True}


def test_open_ranges_become_boolean_keywords() -> None:
    assert schema_of(Annotated[int, Field(gt=1, lt=5)]) == {
        "type": "integer",
        "minimum": 1,
        "exclusiveMinimum": True,
        "maximum": 5,
        "exclusiveMaximum": True,
    }


def test_a_union_of_distinct_kinds_is_one_of_and_an_ambiguous_one_any_of() -> None:
    assert schema_of(str | list[int]) == {
        "oneOf": [{"type": "string"}, {"type": "array", "items": {"type": "integer"}}]
    }
    assert schema_of(int | float) == {"type": "number"}
    assert "anyOf" in schema_of(Inner | Other)


def test_a_fixed_tuple_keeps_its_length() -> None:
    assert schema_of(tuple[int, str]) == {
        "type": "array",
        "items": {"oneOf": [{"type": "integer"}, {"type": "string"}]},
        "minItems": 2,
        "maxItems": 2,
    }


def test_bytes_are_base64() -> None:
    assert schema_of(bytes) == {
        "type": "string",
        "format": "byte",
        "contentEncoding": "base64",
        "contentMediaType": "application/octet-stream",
    }


def test_a_property_named_like_a_keyword_stays() -> None:
    class Odd(BaseModel):
        const: int
        examples: list[int]

    assert set(schema_of(Odd)["properties"]) == {"const", "examples"}


def test_a_type_that_refers_to_itself_is_refused_by_name() -> None:
    with pytest.raises(ConfigurationError, match="Tree refers to itself"):
        schema_of(Tree)


def test_complex_numbers_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="complex"):
        schema_of(complex)


STRINGS = ["", "a", "only", "red", "abc", "inner", "2020-02-03", "2020-02-03T04:05:06Z"]
FRACTIONS = st.floats(-9, 9).filter(lambda one: not one.is_integer())
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | FRACTIONS | st.sampled_from(STRINGS),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["inner", "either", "more", "at", "kind", "pair"]), inner, max_size=4)
    ),
    max_leaves=6,
)
FORMATS_DIFFER = {bytes, datetime.datetime}
CHECKED = [one for one in TYPES if one not in FORMATS_DIFFER and not str(one).startswith("set")]


@given(kind=st.sampled_from(CHECKED), value=JSON_VALUES)
def test_schema_and_validator_agree_on_every_value(kind: Any, value: Any) -> None:
    adapter: TypeAdapter[Any] = make_adapter(kind)
    by_schema = OAS30Validator(openapi_schema(adapter), format_checker=oas30_format_checker).is_valid(value)

    try:
        adapter.validate_json(json.dumps(value), strict=True)
        by_validator = True
    except ValidationError:
        by_validator = False

    if "tuple[int, str]" in str(kind) or kind in {Outer, list[Outer], dict[str, Outer | None], Inner | Other}:
        assert by_schema or not by_validator  # the schema knows the kinds of a tuple's items, not their order
    else:
        assert by_schema == by_validator
