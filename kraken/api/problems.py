"""Errors as RFC 9457 problem documents."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import Any

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException, ValidationException

from kraken.daemon.declare import NeedsConfirmationError
from kraken.errors import (
    KrakenError,
    LocatedError,
    NodeSetError,
    RefusedError,
    StoreError,
    UnknownNodeError,
    UnreachableError,
)

log = logging.getLogger("kraken.api")

MEDIA_TYPE = "application/problem+json"

# The first class that fits names the problem: subclasses stand before their parents.
_KINDS: tuple[tuple[type[Exception], str, int, str], ...] = (
    (NodeSetError, "nodeset", 400, "Unreadable nodeset"),
    (UnknownNodeError, "unknown-node", 404, "Unknown node"),
    (NeedsConfirmationError, "needs-confirmation", 409, "Many nodes"),
    (UnreachableError, "unreachable", 409, "No path"),
    (RefusedError, "refused", 409, "Refused"),
    (LocatedError, "document", 422, "Wrong document"),
    (StoreError, "store", 507, "State not written"),
    (KrakenError, "refused", 409, "Refused"),
)
_BY_STATUS = {
    400: ("malformed", "Malformed request"),
    401: ("unauthorized", "Unauthorized"),
    404: ("not-found", "Not found"),
    405: ("method", "Method not allowed"),
    413: ("too-large", "Too large"),
    501: ("refused", "Not available here"),
}


class NotFoundError(KrakenError, LookupError):
    """No such run, module or address."""


class NotAvailableError(KrakenError):
    """This head lacks what the answer needs; the hint says what to install."""


def problem(kind: str, status: int, title: str, detail: str, **more: Any) -> Response[bytes]:
    """A problem document; members without a value are left out."""
    body = {"type": f"urn:kraken:problem:{kind}", "title": title, "status": status, "detail": detail}
    body |= {name: value for name, value in more.items() if value is not None}
    return Response(msgspec.json.encode(body), status_code=status, media_type=MEDIA_TYPE)


def of_kraken(_: Request[Any, Any, Any], error: KrakenError) -> Response[bytes]:
    """An error Kraken raised on purpose."""
    if isinstance(error, NotFoundError):
        return problem("not-found", 404, "Not found", error.message, hint=error.hint, part=error.part)
    if isinstance(error, NotAvailableError):
        return problem("refused", 501, "Not available here", error.message, hint=error.hint)
    kind, status, title = next(row[1:] for row in _KINDS if isinstance(error, row[0]))
    more: dict[str, Any] = {"hint": error.hint, "part": error.part}
    if isinstance(error, NeedsConfirmationError):
        more["nodes"] = error.nodes
    if isinstance(error, UnreachableError):
        more["details"] = error.details
    if isinstance(error, LocatedError):
        more |= {"key": error.key or None, "file": error.file, "line": error.line}
    return problem(kind, status, title, error.message, **more)


def of_http(request: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    """An error of the web framework: a wrong address, method, body or header."""
    if isinstance(error, ValidationException):
        return _of_validation(error)
    status = error.status_code
    kind, title = _BY_STATUS.get(status, ("malformed", "Malformed request"))
    if status >= 500 and status != 501:
        return of_fault(request, error)
    detail = error.detail
    if status in (404, 405):
        detail = f"{request.method} {request.url.path} is not part of this interface"
    elif status == 413:
        detail = "the body is larger than this daemon takes (64 MiB)"
    return problem(kind, status, title, detail)


def of_fault(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """A fault of Kraken's own."""
    extra = {"method": request.method, "path": request.url.path}
    log.error("request failed", extra=extra, exc_info=error)
    detail = "a fault of Kraken's; the daemon's log has it"
    return problem("internal", 500, "Internal error", detail)


def _of_validation(error: ValidationException) -> Response[bytes]:
    extra = error.extra if isinstance(error.extra, list) else []
    first: Mapping[str, Any] = extra[0] if extra and isinstance(extra[0], Mapping) else {}
    message = str(first.get("message") or error.detail)
    if not first and "malformed" in error.detail.lower():
        return problem("malformed", 400, "Malformed request", f"the body cannot be read: {message}")
    key = str(first.get("key") or "")
    unknown = re.search(r"unknown field `([^`]+)`", message)
    if unknown:
        key = unknown.group(1)
    return problem("document", 422, "Wrong document", message, key=key or None)
