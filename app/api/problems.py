"""Answer errors as application/problem+json (RFC 9457), or as pages; maps relogit's errors to HTTP statuses."""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.routing import Match

from app.api.foreign_pages import ForeignPage
from app.api.html import page_answer, prefers_html
from app.api.schemas import Problem
from app.domain.errors import Conflict, NotFound, Refused, RelogitError, RequestError, TransientError
from app.pages.templating import render

log = logging.getLogger(__name__)

MESSAGES = {
    "tuple_type": "a list is expected",
    "list_type": "a list is expected",
    "string_type": "a text is expected",
    "model_attributes_type": "a JSON object is expected",
    "dict_type": "a JSON object is expected",
    "too_short": "the list is empty; at least one item is expected",
}
"""Type of a pydantic error → message in the words of JSON; pydantic's own speak of Python."""

# The first class that an error is an instance of decides, so subclasses come first.
STATUSES: tuple[tuple[type[RelogitError], int], ...] = (
    (ForeignPage, 403),
    (NotFound, 404),
    (Conflict, 409),
    (RequestError, 422),
    (TransientError, 503),
    (RelogitError, 500),
)


def install(app: FastAPI) -> None:
    """Make the app answer and document errors as problems."""
    app.add_exception_handler(RelogitError, _relogit_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(sqlite3.OperationalError, _store_error)
    app.add_exception_handler(Exception, _bug)

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = get_openapi(title=app.title, version=app.version, summary=app.summary, routes=app.routes)
            app.openapi_schema = _with_problems(document)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way to extend the document


def _with_problems(document: dict[str, Any]) -> dict[str, Any]:
    """Replace FastAPI's validation errors in the document with problems."""
    schemas = document["components"]["schemas"]
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas |= problem.pop("$defs") | {"Problem": problem}
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    response = {"description": "What is wrong, and what would have been right (RFC 9457)", "content": content}
    for operations in document["paths"].values():
        for operation in operations.values():
            operation["responses"].pop("422", None)
            operation["responses"]["4XX"] = response
    return document


def answer(request: Request, status: int, code: str, detail: str, errors: list[dict[str, Any]]) -> Response:
    """Build the problem that answers a request; a page for a browser that asked for one.

    `errors` are items as of `ProblemItem`.
    """
    title = HTTPStatus(status).phrase
    if is_page(request) and prefers_html(request.headers.get("Accept", "")):
        causes = [item["detail"] for item in errors if item["detail"] != detail]
        html = render("problem.html", title=title, detail=detail, causes=causes, path=request.url.path)
        page = page_answer(html, headers={"Vary": "Accept"})
        page.status_code = status
        return page
    body = {
        "type": f"urn:relogit:problem:{code}",
        "title": title,
        "status": status,
        "detail": detail,
        "instance": request.url.path,
        "code": code,
        "errors": errors,
    }
    headers = {"Vary": "Accept"} if is_page(request) else None
    return JSONResponse(body, status, headers, media_type="application/problem+json")


def is_page(request: Request) -> bool:
    """Tell whether a request is for a page, or for an address that nothing lies at."""
    path = request.url.path
    page = path in ("/", "/docs", "/redoc") or path.startswith("/ui/") or path.endswith("/report")
    return page or request.scope.get("route") is None


def _relogit_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RelogitError)
    status = next(status for kind, status in STATUSES if isinstance(error, kind))
    causes: list[RelogitError] = list(error.problems) if isinstance(error, Refused) else [error]
    items = [{"code": cause.code, "detail": cause.message, **cause.details} for cause in causes]
    return answer(request, status, error.code, error.message, items)


def _validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    if isinstance(error.body, bytes) and error.body:
        sent = request.headers.get("Content-Type", "no Content-Type")
        detail = f"The body came as {sent}; Content-Type: application/json is expected."
        return answer(request, 415, "unsupported-media-type", detail, [])
    items = [_validation_item(request, item) for item in error.errors()]
    codes = {item["code"] for item in items}
    code = codes.pop() if len(codes) == 1 else "invalid-request"
    status = 400 if code == "malformed-json" else 422
    return answer(request, status, code, " ".join(item["detail"] for item in items), items)


def _validation_item(request: Request, item: dict[str, Any]) -> dict[str, Any]:
    source, *location = item["loc"]
    names = [str(part) for part in location]
    message = MESSAGES.get(item["type"], item["msg"].removeprefix("Value error, "))
    if item["type"] == "json_invalid":
        detail = f"The request body is not JSON: {item.get('ctx', {}).get('error', message)}."
        return {"code": "malformed-json", "detail": detail}
    pointer = "#/" + "/".join(name.replace("~", "~0").replace("/", "~1") for name in names)  # RFC 6901
    place = {"parameter": names[0]} if source in ("query", "path") else {"pointer": pointer}
    if item["type"] == "extra_forbidden":
        fields = _body_fields(request, location[:-1])
        detail = f"There is no field {names[-1]!r}. There are: {', '.join(fields)}."
        return {"code": "unknown-field", "detail": detail, "available": fields} | place
    value = json.dumps(item.get("input"), default=str)[:80]
    detail = f"{'.'.join(names) or 'The request body'}: {message} (got {value})."
    return {"code": "invalid-value", "detail": detail} | place


def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = HTTPStatus(error.status_code).phrase.lower().replace(" ", "-")
    detail = f"{error.detail}: {request.method} {request.url.path}. GET /docs lists all operations."
    problem = answer(request, error.status_code, code, detail, [])
    problem.headers.update(error.headers or {})
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        problem.headers["Allow"] = ", ".join(sorted(_methods(request)))
    return problem


def _methods(request: Request) -> set[str]:
    # Starlette's Allow header has only the methods of the first route that matches the path.
    def matches(method: str) -> bool:
        scope = {**request.scope, "method": method}
        return any(route.matches(scope)[0] is Match.FULL for route in request.app.routes)

    return {method for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE") if matches(method)}


def _store_error(request: Request, error: Exception) -> Response:
    log.error("the job store failed in %s %s: %s", request.method, request.url.path, error)
    detail = f"The job store cannot be used: {error}. Nothing was changed; try again once this is fixed."
    return answer(request, 503, "store-unusable", detail, [])


def _bug(request: Request, error: Exception) -> Response:
    log.exception("unexpected error in %s %s", request.method, request.url.path, exc_info=error)
    detail = "This request met a bug in relogit; the service's log has the details."
    return answer(request, 500, "internal-error", detail, [])


async def refuse_unknown_parameters(request: Request) -> None:
    """Refuse query parameters that the operation does not have.

    FastAPI ignores them, so a misspelt parameter would go unnoticed.

    Raises:
        RequestError: `unknown-parameter`.
    """
    if not request.query_params or not _documented(request):
        return
    known = _query_parameters(request)
    for name in request.query_params:
        if name not in known:
            remedy = f"There are: {', '.join(known)}." if known else "There are none here."
            message = f"There is no query parameter {name!r}. {remedy}"
            raise RequestError("unknown-parameter", message, parameter=name, available=known)


def _documented(request: Request) -> bool:
    """Tell whether the OpenAPI document has the request's operation: pages are not in it."""
    return request.scope["route"].path_format in request.app.openapi()["paths"]


def _query_parameters(request: Request) -> list[str]:
    """List the query parameters of the request's operation, sorted."""
    parameters = _operation(request).get("parameters", ())
    return sorted(parameter["name"] for parameter in parameters if parameter["in"] == "query")


def _body_fields(request: Request, location: Iterable[str | int]) -> list[str]:
    """List the body's fields at that location, sorted."""
    schema: dict[str, Any] = _operation(request)["requestBody"]["content"]["application/json"]["schema"]
    definitions = request.app.openapi()["components"]["schemas"]
    for part in location:
        schema = _resolve(schema, definitions)
        schema = schema.get("items", {}) if isinstance(part, int) else schema.get("properties", {}).get(part, {})
    return sorted(_resolve(schema, definitions).get("properties", {}))


def _operation(request: Request) -> dict[str, Any]:
    method = "get" if request.method == "HEAD" else request.method.lower()  # HEAD takes what GET takes
    operation: dict[str, Any] = request.app.openapi()["paths"][request.scope["route"].path_format][method]
    return operation


def _resolve(schema: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """Follow a reference, or that of an optional value."""
    for option in (schema, *schema.get("anyOf", ())):
        if "$ref" in option:
            resolved: dict[str, Any] = definitions[option["$ref"].rpartition("/")[2]]
            return resolved
    return schema
