"""Errors as RFC 9457 problem documents."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import Any

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException, ValidationException
from litestar.openapi.datastructures import ResponseSpec

from kraken.api import answers, plans
from kraken.api.words import said_plainly
from kraken.daemon.contract import PlanChangedError
from kraken.daemon.declare import NeedsConfirmationError
from kraken.daemon.membership import UnknownCollectorError
from kraken.daemon.operations import UnknownHoldError
from kraken.daemon.power import OpposedError
from kraken.errors import (
    KrakenError,
    LocatedError,
    NodeSetError,
    RefusedError,
    StoreError,
    UnknownNodeError,
    UnreachableError,
    WireError,
)

log = logging.getLogger("kraken.api")

MEDIA_TYPE = "application/problem+json"
PLAN = "/v1/plan"
NOTHING_DONE = "; nothing was done"
Asked = Request[Any, Any, Any]


class NotFoundError(KrakenError, LookupError):
    """No such run, module or address."""


class NotAvailableError(KrakenError):
    """This head lacks what the answer needs; the hint says what to install."""


# The first class that fits names the problem: subclasses stand before their parents.
_KINDS: tuple[tuple[type[Exception], str, int, str], ...] = (
    (NodeSetError, "nodeset", 400, "Unreadable nodeset"),
    (UnknownNodeError, "unknown-node", 404, "Unknown node"),
    (UnknownHoldError, "not-found", 404, "Not found"),
    (UnknownCollectorError, "not-found", 404, "Not found"),
    (NotFoundError, "not-found", 404, "Not found"),
    (NotAvailableError, "refused", 501, "Not available here"),
    (NeedsConfirmationError, "needs-confirmation", 409, "Many nodes"),
    (PlanChangedError, "plan-changed", 409, "Not as planned"),
    (UnreachableError, "unreachable", 409, "No path"),
    (OpposedError, "opposed", 409, "Against what is declared"),
    (RefusedError, "refused", 409, "Refused"),
    (LocatedError, "document", 422, "Wrong document"),
    (StoreError, "store", 507, "State not written"),
    (WireError, "store", 507, "State not written"),
    (KrakenError, "refused", 409, "Refused"),
)
_BY_STATUS = {
    400: ("malformed", "Malformed request"),
    401: ("unauthorized", "Unauthorized"),
    404: ("not-found", "Not found"),
    405: ("method", "Method not allowed"),
    413: ("too-large", "Too large"),
}
_MEANING = {
    400: "The request is malformed, or its nodeset cannot be read or is missing.",
    404: "A node nobody declared, or no such run, module, hold or collector.",
    409: "Many nodes want a yes, no path leads there, a plan no longer holds, or safety forbids it; "
    "nothing was done.",
    413: "The body is larger than 64 MiB.",
    422: "A wrong key, variable or value; nothing was done.",
    501: "This head lacks a program.",
    507: "The state could not be written; nothing was changed.",
}


def fails(*statuses: int) -> dict[int, ResponseSpec]:
    """What a call answers when it does not do what was asked, for the OpenAPI document."""
    return {
        status: ResponseSpec(
            answers.Problem, generate_examples=False, description=_MEANING[status], media_type=MEDIA_TYPE
        )
        for status in sorted({400, *statuses})
    }


def problem(
    kind: str, status: int, title: str, detail: str, headers: Mapping[str, str] | None = None, **more: Any
) -> Response[bytes]:
    """A problem document; members without a value are left out."""
    body = {"type": f"urn:kraken:problem:{kind}", "title": title, "status": status, "detail": detail}
    body |= {name: value for name, value in more.items() if value is not None}
    return Response(msgspec.json.encode(body), status_code=status, media_type=MEDIA_TYPE, headers=headers)


def of_kraken(request: Asked, error: KrakenError) -> Response[bytes]:
    """An error Kraken raised on purpose."""
    kind, status, title = next(row[1:] for row in _KINDS if isinstance(error, row[0]))
    more: dict[str, Any] = {"hint": error.hint, "part": error.part}
    if isinstance(error, NeedsConfirmationError):
        more["nodes"] = error.nodes
    if isinstance(error, PlanChangedError):
        more["differences"] = plans.differences(error.differences)
    if isinstance(error, OpposedError):
        more["details"] = error.details
    if isinstance(error, UnreachableError):
        more |= {"details": error.details, "reachable": error.reachable}
    if isinstance(error, LocatedError):
        more |= {"key": error.key or None, "file": error.file, "line": error.line}
    return problem(kind, status, title, _told(request, error.message), **more)


def of_http(request: Asked, error: HTTPException) -> Response[bytes]:
    """An error of the web framework: a wrong address, method, body or header."""
    status = error.status_code
    if isinstance(error, ValidationException):
        return _of_validation(request, error)
    if status == 404:
        detail = f"there is nothing at {request.url.path}"
        return problem("not-found", 404, "Not found", detail, hint="GET /v1/openapi.json lists what there is")
    if status == 405:
        allowed = ", ".join(allowed_methods(request))
        detail = f"{request.method} is not for {request.url.path}"
        headers = {"Allow": allowed}
        return problem("method", 405, "Method not allowed", detail, headers, hint=f"use {allowed}")
    if status == 413:
        return problem(
            "too-large", 413, "Too large", "the body is larger than 64 MiB", hint="send it in parts"
        )
    if "disconnected" in error.detail:  # nobody reads this, but it is no fault of ours
        return _malformed("the connection ended before the whole body came")
    if status >= 500:
        return of_fault(request, error)
    if status == 400:
        return _malformed(_unreadable(error.detail))
    kind, title = _BY_STATUS.get(status, ("malformed", "Malformed request"))
    return problem(kind, status, title, error.detail)


def of_depth(_: Asked, error: RecursionError) -> Response[bytes]:
    """JSON nested deeper than anything that means something (or a fault of ours)."""
    if "deserializing" not in str(error):
        raise error
    return _malformed("the body is nested too deeply")


def of_fault(request: Asked, error: Exception) -> Response[bytes]:
    """A fault of Kraken's own."""
    extra = {"method": request.method, "path": request.url.path}
    log.error("request failed", extra=extra, exc_info=error)
    return problem("internal", 500, "Internal error", "a fault of Kraken's; the daemon's log has it")


def allowed_methods(request: Asked) -> list[str]:
    """The methods of the address that was asked for."""
    path = request.url.path.rstrip("/")
    return sorted(
        {
            method
            for route in request.app.routes
            if re.fullmatch(re.sub(r"\\{[^}]*\\}|\{[^}]*\}", "[^/]+", route.path_format), path)
            for method in getattr(route, "methods", ())
        }
    )


def _told(request: Asked, message: str) -> str:
    """The message; who only asks is not told that nothing was done."""
    asks = request.method in ("GET", "HEAD") or request.url.path == PLAN
    return message.removesuffix(NOTHING_DONE) if asks else message


def _malformed(detail: str) -> Response[bytes]:
    return problem("malformed", 400, "Malformed request", detail, hint="send one whole JSON object")


def _unreadable(detail: str) -> str:
    if "truncated" in detail:
        return "the JSON of the body is cut off"
    what = detail.removeprefix("JSON is malformed: ")
    return f"the body is not JSON: {what[:1].lower()}{what[1:]}"


def _of_validation(request: Asked, error: ValidationException) -> Response[bytes]:
    extra = error.extra if isinstance(error.extra, list) else []
    first: Mapping[str, Any] = extra[0] if extra and isinstance(extra[0], Mapping) else {}
    message = str(first.get("message") or error.detail)
    key = str(first.get("key") or "")
    if key == "data":
        key = ""
        if message == "'data'" or "got `null`" in message:
            return _malformed("the request has no body")
    known = ()
    field = request.route_handler.parsed_data_field
    if field is not None and first.get("source") == "body":
        known = tuple(getattr(field.annotation, "__struct_fields__", ()))
    key, message, hint = said_plainly(key, message, known)
    return problem("document", 422, "Wrong document", message, hint=hint, part=key or None, key=key or None)
