"""Errors as application/problem+json (RFC 9457): the one map from our errors to HTTP statuses."""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.routing import Match

from app.api.schemas import Problem
from app.domain.errors import Conflict, FatalError, NotFound, Refused, RelogitError, RequestError, TransientError

log = logging.getLogger(__name__)

EXPECTED = {
    "tuple_type": "a list is expected",
    "list_type": "a list is expected",
    "string_type": "a text is expected",
    "model_attributes_type": "a JSON object is expected",
    "dict_type": "a JSON object is expected",
    "too_short": "the list is empty; at least one item is expected",
}
"""What pydantic says in Python's words."""

# The most specific class comes first.
STATUS: tuple[tuple[type[RelogitError], int], ...] = (
    (NotFound, 404),
    (Conflict, 409),
    (RequestError, 422),
    (TransientError, 503),
    (FatalError, 500),
    (RelogitError, 500),
)


def install(app: FastAPI) -> None:
    """Answer every error of the app with a problem."""
    app.add_exception_handler(RelogitError, _relogit_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(sqlite3.OperationalError, _store_error)
    app.add_exception_handler(Exception, _bug)
    plain = app.openapi
    app.openapi = lambda: _described(plain())  # type: ignore[method-assign]  # FastAPI's documented way


def _described(document: dict[str, Any]) -> dict[str, Any]:
    """The OpenAPI document with our problems in place of FastAPI's own validation errors."""
    schemas = document["components"]["schemas"]
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas |= problem.pop("$defs") | {"Problem": problem}
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    answer = {"description": "What is wrong, and what would have been right (RFC 9457)", "content": content}
    for operations in document["paths"].values():
        for operation in operations.values():
            operation["responses"].pop("422", None)
            operation["responses"]["4XX"] = answer
    return document


def answer(request: Request, status: int, code: str, detail: str, errors: list[dict[str, Any]]) -> JSONResponse:
    """A problem."""
    body = {
        "type": f"urn:relogit:problem:{code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "instance": request.url.path,
        "code": code,
        "errors": errors,
    }
    return JSONResponse(body, status, media_type="application/problem+json")


def _relogit_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RelogitError)
    status = next(status for kind, status in STATUS if isinstance(error, kind))
    causes: list[RelogitError] = list(error.problems) if isinstance(error, Refused) else [error]
    items = [{"code": cause.code, "detail": cause.message, **cause.details} for cause in causes]
    return answer(request, status, error.code, error.message, items)


def _validation_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    if isinstance(error.body, bytes) and error.body:
        sent = request.headers.get("Content-Type", "no Content-Type")
        detail = f"The body came as {sent}; Content-Type: application/json is expected."
        return answer(request, 415, "unsupported-media-type", detail, [])
    fields = _body_fields(request)
    items = [_validation_item(item, fields) for item in error.errors()]
    codes = {item["code"] for item in items}
    code = codes.pop() if len(codes) == 1 else "invalid-request"
    status = 400 if code == "malformed-json" else 422
    return answer(request, status, code, " ".join(item["detail"] for item in items), items)


def _body_fields(request: Request) -> list[str]:
    """Names of what the route's body may hold."""
    body = getattr(request.scope.get("route"), "body_field", None)
    model = body.field_info.annotation if body else None
    return sorted(getattr(model, "model_fields", {}))


def _validation_item(item: dict[str, Any], fields: list[str]) -> dict[str, Any]:
    place, *where = (str(part) for part in item["loc"])
    name = ".".join(where) or "The request body"
    at = {"parameter": where[0]} if place in ("query", "path") else {"pointer": json_pointer(where)}
    message = EXPECTED.get(item["type"], item["msg"].removeprefix("Value error, "))
    if item["type"] == "json_invalid":
        detail = f"The request body is not JSON: {item.get('ctx', {}).get('error', message)}."
        return {"code": "malformed-json", "detail": detail}
    if item["type"] == "extra_forbidden":
        detail = f"There is no field {where[-1]!r}. There are: {', '.join(fields)}."
        return {"code": "unknown-field", "detail": detail, "available": fields} | at
    shown = json.dumps(item.get("input"), default=str)[:80]
    return {"code": "invalid-value", "detail": f"{name}: {message} (got {shown})."} | at


def json_pointer(parts: Iterable[str]) -> str:
    """A place in the request's body, as the fragment of RFC 6901."""
    return "#/" + "/".join(part.replace("~", "~0").replace("/", "~1") for part in parts)


def _http_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    code = HTTPStatus(error.status_code).phrase.lower().replace(" ", "-")
    detail = f"{error.detail}: {request.method} {request.url.path}. GET /docs shows what there is."
    problem = answer(request, error.status_code, code, detail, [])
    problem.headers.update(error.headers or {})
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        problem.headers["Allow"] = ", ".join(sorted(_methods(request)))
    return problem


def _methods(request: Request) -> set[str]:
    # The router names the methods of the first route that fits the path; there may be more.
    def fits(method: str) -> bool:
        scope = {**request.scope, "method": method}
        return any(route.matches(scope)[0] is Match.FULL for route in request.app.routes)

    return {method for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE") if fits(method)}


def _store_error(request: Request, error: Exception) -> JSONResponse:
    log.error("the job store failed in %s %s: %s", request.method, request.url.path, error)
    detail = f"The job store cannot be used just now: {error}. Nothing was changed; try again when that is mended."
    return answer(request, 503, "store-unusable", detail, [])


def _bug(request: Request, error: Exception) -> JSONResponse:
    log.exception("unexpected error in %s %s", request.method, request.url.path, exc_info=error)
    detail = "relogit met an error of its own; the service's log has the details."
    return answer(request, 500, "internal-error", detail, [])
