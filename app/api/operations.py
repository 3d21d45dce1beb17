"""Look up in the OpenAPI document what a request's operation accepts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from fastapi import Request

Schema = dict[str, Any]


def query_parameters(request: Request) -> list[str]:
    """List the query parameters of the request's operation, sorted."""
    parameters = _operation(request).get("parameters", ())
    return sorted(parameter["name"] for parameter in parameters if parameter["in"] == "query")


def body_fields(request: Request, location: Iterable[str | int]) -> list[str]:
    """List the fields of an object in the request's body, sorted.

    Args:
        request: that reached an operation with a JSON body.
        location: field names and list positions that lead to the object; empty for the body itself.
    """
    schema: Schema = _operation(request)["requestBody"]["content"]["application/json"]["schema"]
    definitions: Schema = request.app.openapi()["components"]["schemas"]
    for part in location:
        schema = _resolve(schema, definitions)
        schema = schema.get("items", {}) if isinstance(part, int) else schema.get("properties", {}).get(part, {})
    return sorted(_resolve(schema, definitions).get("properties", {}))


def _operation(request: Request) -> Schema:
    method = "get" if request.method == "HEAD" else request.method.lower()  # HEAD takes what GET takes
    operation: Schema = request.app.openapi()["paths"][request.scope["route"].path_format][method]
    return operation


def _resolve(schema: Schema, definitions: Schema) -> Schema:
    """Follow a reference, or that of an optional value."""
    for option in (schema, *schema.get("anyOf", ())):
        if "$ref" in option:
            resolved: Schema = definitions[option["$ref"].rpartition("/")[2]]
            return resolved
    return schema
