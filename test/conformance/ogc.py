"""Check a document against the schemas of OGC API - Processes 1.0 (see ``schemas/README.md``)."""

from functools import cache
from pathlib import Path

import yaml
from jsonschema.exceptions import best_match
from openapi_schema_validator import OAS30Validator, oas30_format_checker
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT4

SCHEMAS = Path(__file__).parent / "schemas" / "processes-1.0.yaml"
EXCEPTIONS = "http://www.opengis.net/def/exceptions/ogcapi-processes-1/1.0/"
RELATIONS = "http://www.opengis.net/def/rel/ogc/1.0/"
CONFORMANCE_CLASSES = "http://www.opengis.net/spec/ogcapi-processes-1/1.0/conf/"
_DOCUMENT_URI = "urn:ogcapi-processes-1.0"


@cache
def validator(schema: str) -> OAS30Validator:
    """Return the validator of a document, such as ``"process.yaml"``; KeyError for a name there is not."""
    name = schema.removesuffix(".yaml")
    document = yaml.safe_load(SCHEMAS.read_text())
    if name not in document:
        raise KeyError(f"There is no schema {schema!r}; there are: {', '.join(sorted(document))}")
    registry = Registry().with_resource(_DOCUMENT_URI, Resource.from_contents(document, DRAFT4))
    return OAS30Validator({"$ref": f"{_DOCUMENT_URI}#/{name}"}, registry=registry, format_checker=oas30_format_checker)


def faults(instance: object, schema: str) -> list[str]:
    """List what is wrong with a document, each fault with its JSON pointer; empty when it is valid."""
    found = [best_match([error]) for error in validator(schema).iter_errors(instance)]
    return sorted(f"/{'/'.join(map(str, error.absolute_path))}: {error.message}" for error in found)


def assert_valid(instance: object, schema: str) -> None:
    """Fail with every fault unless the document is valid."""
    found = faults(instance, schema)
    assert not found, f"Not a valid {schema}:\n" + "\n".join(found)
