"""The OpenAPI document says what is true: its references, its shapes, its paths."""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec
import pytest

from dashboards.api import openapi, page_data
from dashboards.api.verdicts import Verdicts
from tests.unit.released import snapshot, undecided, verdict

DOCUMENT = openapi.document(openapi.OPERATIONS, version="1.2.3")


PLAIN: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "boolean": (bool,),
    "null": (type(None),),
    "integer": (int,),
    "number": (int, float),
}


def conforms(value: Any, schema: dict[str, Any]) -> bool:
    """Whether a JSON value is of a schema; as much of JSON Schema as msgspec writes."""
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[1]
        return conforms(value, DOCUMENT["components"]["schemas"][name])
    if "anyOf" in schema:
        return any(conforms(value, one) for one in schema["anyOf"])
    if "enum" in schema:
        return value in schema["enum"]
    kind = schema["type"]
    if kind == "object":
        return is_object(value, schema)
    if kind == "array":
        return isinstance(value, list) and all(conforms(one, schema["items"]) for one in value)
    return isinstance(value, PLAIN[kind]) and (kind == "boolean" or not isinstance(value, bool))


def is_object(value: Any, schema: dict[str, Any]) -> bool:
    """Whether a value has every required field, and none that the schema does not know."""
    fields = schema.get("properties", {})
    rest = schema.get("additionalProperties", {})
    return (
        isinstance(value, dict)
        and set(schema.get("required", ())) <= set(value)
        and (not fields or set(value) <= set(fields))
        and all(conforms(value[name], fields.get(name, rest)) for name in value)
    )


def schema_of(path: str) -> dict[str, Any]:
    content = DOCUMENT["paths"][path]["get"]["responses"]["200"]["content"]
    schema: dict[str, Any] = content["application/json"]["schema"]
    return schema


def test_every_reference_points_at_a_schema_that_is_there() -> None:
    text = json.dumps(DOCUMENT)
    names = set(re.findall(r'"#/components/schemas/([^"]+)"', text))
    assert names
    assert names <= set(DOCUMENT["components"]["schemas"])


def test_the_document_names_its_version_and_licence() -> None:
    assert DOCUMENT["openapi"] == "3.1.0"
    assert DOCUMENT["info"]["version"] == "1.2.3"
    assert DOCUMENT["info"]["license"]["identifier"] == "Apache-2.0"


def test_path_parameters_are_those_of_the_path() -> None:
    for path, methods in DOCUMENT["paths"].items():
        for said in methods.values():
            told = {p["name"] for p in said.get("parameters", ()) if p["in"] == "path"}
            assert told == set(re.findall(r"{(\w+)}", path))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("/v1/verdicts", Verdicts([verdict(), undecided(reasons=[])])),
        ("/v1/verdicts/{deployment}", verdict()),
        ("/v1/page", page_data.page_of(snapshot(verdict()), version="1")),
    ],
)
def test_what_is_answered_is_what_the_document_says(path: str, value: object) -> None:
    assert conforms(json.loads(msgspec.json.encode(value)), schema_of(path))


def test_a_field_that_the_document_does_not_know_is_found() -> None:
    told = json.loads(msgspec.json.encode(verdict()))
    assert not conforms({**told, "surprise": 1}, schema_of("/v1/verdicts/{deployment}"))
    told.pop("action")
    assert not conforms(told, schema_of("/v1/verdicts/{deployment}"))
