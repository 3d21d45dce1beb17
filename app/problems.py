"""Errors as application/problem+json (RFC 9457): the one map from our errors to HTTP statuses."""

from __future__ import annotations

import json
import logging
import sqlite3
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from app.errors import Conflict, FatalError, NotFound, Refused, RelogitError, RequestError, TransientError
from app.schemas import Problem, RecomputeBody

log = logging.getLogger(__name__)

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


def _answer(request: Request, status: int, code: str, detail: str, errors: list[dict[str, Any]]) -> JSONResponse:
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
    return _answer(request, status, error.code, error.message, items)


def _validation_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    items = [_validation_item(item) for item in error.errors()]
    codes = {item["code"] for item in items}
    code = codes.pop() if len(codes) == 1 else "invalid-request"
    status = 400 if code == "malformed-json" else 422
    return _answer(request, status, code, " ".join(item["detail"] for item in items), items)


def _validation_item(item: dict[str, Any]) -> dict[str, Any]:
    where = [str(part) for part in item["loc"][1:]]
    pointer = "#/" + "/".join(where)
    message = item["msg"].removeprefix("Value error, ")
    if item["type"] == "json_invalid":
        detail = f"The request body is not JSON: {item.get('ctx', {}).get('error', message)}."
        return {"code": "malformed-json", "detail": detail}
    if item["type"] == "extra_forbidden":
        fields = sorted(RecomputeBody.model_fields)
        detail = f"There is no field {where[-1]!r}. There are: {', '.join(fields)}."
        return {"code": "unknown-field", "detail": detail, "pointer": pointer, "available": fields}
    shown = json.dumps(item.get("input"), default=str)[:80]
    name = ".".join(where) or "The request body"
    return {"code": "invalid-value", "detail": f"{name}: {message} (got {shown}).", "pointer": pointer}


def _http_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    code = HTTPStatus(error.status_code).phrase.lower().replace(" ", "-")
    detail = f"{error.detail}: {request.method} {request.url.path}. GET /docs shows what there is."
    answer = _answer(request, error.status_code, code, detail, [])
    answer.headers.update(error.headers or {})
    return answer


def _store_error(request: Request, error: Exception) -> JSONResponse:
    log.error("the job store failed in %s %s: %s", request.method, request.url.path, error)
    detail = f"The job store cannot be used just now: {error}. Nothing was changed; try again when that is mended."
    return _answer(request, 503, "store-unusable", detail, [])


def _bug(request: Request, error: Exception) -> JSONResponse:
    log.exception("unexpected error in %s %s", request.method, request.url.path, exc_info=error)
    detail = "relogit met an error of its own; the service's log has the details."
    return _answer(request, 500, "internal-error", detail, [])
