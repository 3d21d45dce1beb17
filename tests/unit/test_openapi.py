"""The OpenAPI document describes every answer, and what it documents is what requests are checked against."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI

from tests.fakes import DIGITS, Home
from tests.unit.asgi import send


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield method, path and operation of a document."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method, path, operation


def filled(path: str) -> str:
    """Put a value in place of each of a path's parameters."""
    return re.sub(r"\{\w+\}", "x", path)


def untyped(document: dict[str, Any]) -> set[tuple[str, str]]:
    """Find the operations with a JSON answer that is not an object with named fields."""

    def is_typed(schema: dict[str, Any]) -> bool:
        options = schema.get("anyOf", [schema])
        named = [
            document["components"]["schemas"].get(option.get("$ref", "").rpartition("/")[2]) for option in options
        ]
        return all(model is not None and model.get("properties") for model in named)

    return {
        (method, path)
        for method, path, operation in operations(document)
        for status, response in operation["responses"].items()
        for content_type, content in response.get("content", {}).items()
        if status.startswith("2") and content_type == "application/json" and not is_typed(content["schema"])
    }


def test_every_json_answer_has_a_model(app: FastAPI) -> None:
    """A client can be generated from the document: no answer is an object of unknown fields."""
    document = app.openapi()
    assert app.openapi() is document, "each request's parameters are looked up in it"
    assert untyped(document) == set()
    assert len(list(operations(document))) > 30


def test_a_free_form_answer_is_noticed() -> None:
    """An object of any fields, and none that is documented, count as untyped."""
    app = FastAPI()

    @app.get("/object")
    def free_form() -> dict[str, Any]:
        return {}

    @app.get("/numbers")
    def numbers() -> dict[str, int]:
        return {}

    @app.get("/anything", response_model=None)
    def anything() -> Any:
        return {}

    document = app.openapi() | {"components": {"schemas": {}}}
    assert untyped(document) == {("get", "/object"), ("get", "/numbers"), ("get", "/anything")}


def test_every_operation_refuses_parameters_that_it_does_not_document(app: FastAPI) -> None:
    """A misspelt parameter is refused with the documented names; HEAD takes what GET takes."""
    for method, path, operation in operations(app.openapi()):
        documented = [item["name"] for item in operation.get("parameters", ()) if item["in"] == "query"]
        response = send(app, method, f"{filled(path)}?misspelt=1")
        assert response.status_code == 422, (method, path, response.text)
        [error] = response.json()["errors"]
        assert (error["code"], error["parameter"]) == ("unknown-parameter", "misspelt"), (method, path)
        assert error["available"] == sorted(documented), (method, path)
        if method == "get":
            assert send(app, "HEAD", f"{filled(path)}?misspelt=1").status_code == 422, path


def test_head_has_the_length_of_what_get_sends(app: FastAPI, home: Home) -> None:
    """Also where a number has two spellings: 1e-05 and 0.00001."""
    home.declare(f"{DIGITS}\n[digits.network]\nbatch_norm_eps = 1e-5\n")
    for path in ("/datasets", "/jobs?limit=1", "/healthz"):
        head, get = (send(app, method, path) for method in ("HEAD", "GET"))
        assert (head.status_code, head.headers["Content-Length"]) == (200, str(len(get.content))), path


@pytest.mark.parametrize(
    ("path", "body", "pointer", "available"),
    [
        (
            "/splits/import",
            {"name": "new", "lists": [{"name": "val", "base": "test", "indices": [0], "nope": 1}]},
            "#/lists/0/nope",
            ["base", "indices", "name"],
        ),
        ("/rows/prune", {"nope": 1}, "#/nope", ["max_bytes", "older_than_s"]),
        (
            "/gc",
            {"nope": 1},
            "#/nope",
            ["artifacts_max_bytes", "dry_run", "jobs_older_than_s", "rows_max_bytes", "rows_older_than_s"],
        ),
    ],
    ids=["object-in-a-list", "body", "optional-body"],
)
def test_an_unknown_field_is_answered_with_those_of_its_object(
    app: FastAPI, path: str, body: dict[str, Any], pointer: str, available: list[str]
) -> None:
    """The names that would have been right are those of the object that has the field, however deep it lies."""
    response = send(app, "POST", path, body)
    errors = {error["pointer"]: error for error in response.json()["errors"]}
    assert response.status_code == 422
    assert errors[pointer]["code"] == "unknown-field"
    assert errors[pointer]["available"] == available
