"""Who may ask, and who it says it is."""

from __future__ import annotations

import hashlib
import hmac
import re
import stat
from pathlib import Path
from typing import Any

import yaml
from litestar import Request
from litestar.types import ASGIApp, Receive, Scope, Send

from kraken.errors import ConfigError

_NAME = re.compile(r"[A-Za-z0-9._@-]{1,64}")
CALLER = "kraken.caller"  # in the scope of a request over TCP: the name of its token


def who(request: Request[Any, Any, Any]) -> str:
    """The caller's name: its token's over TCP, what it says of itself over the socket."""
    named = request.scope.get("state", {}).get(CALLER)
    if isinstance(named, str):
        return named
    claimed = request.headers.get("kraken-user", "")
    return claimed if _NAME.fullmatch(claimed) else "api"


class Tokens:
    """The bearer tokens of a file: name -> token, or name -> `sha256:` and the token's digest.

    Raises:
        ConfigError: the file is missing, wrong, or readable by others.
    """

    def __init__(self, file: Path) -> None:
        self._digests = _read_tokens(file)

    def name_of(self, token: str) -> str | None:
        """Whose token it is; None when nobody's. Takes as long whatever the token."""
        digest = hashlib.sha256(token.encode()).hexdigest()
        found = None
        for name, known in self._digests.items():
            if hmac.compare_digest(digest, known):
                found = name
        return found


def bearer_only(app: ASGIApp, tokens: Tokens) -> ASGIApp:
    """The app, for callers over TCP: without a right token there is no answer but 401."""

    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            header = dict(scope["headers"]).get(b"authorization", b"").decode("latin-1")
            scheme, _, token = header.partition(" ")
            name = tokens.name_of(token.strip()) if scheme.lower() == "bearer" else None
            if name is None:
                await _refuse(send)
                return
            scope.setdefault("state", {})[CALLER] = name  # type: ignore[typeddict-item]
        await app(scope, receive, send)

    return guarded


async def _refuse(send: Send) -> None:
    body = (
        b'{"type":"urn:kraken:problem:unauthorized","title":"Unauthorized","status":401,'
        b'"detail":"a right token is wanted: Authorization: Bearer TOKEN"}'
    )
    headers = [(b"content-type", b"application/problem+json"), (b"www-authenticate", b"Bearer")]
    await send({"type": "http.response.start", "status": 401, "headers": headers})  # type: ignore[typeddict-item]
    await send({"type": "http.response.body", "body": body, "more_body": False})


def _read_tokens(file: Path) -> dict[str, str]:
    key = "api.tokens_file"
    try:
        mode = file.stat().st_mode
        content = yaml.safe_load(file.read_text())
    except OSError as error:
        raise ConfigError(f"cannot read {file}: {error.strerror}", key=key) from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{file} is not YAML", key=key) from error
    if stat.S_IMODE(mode) & 0o077:
        raise ConfigError(f"{file} can be read by others", key=key, hint=f"chmod 600 {file}")
    if not isinstance(content, dict) or not content:
        raise ConfigError(f"{file} holds no tokens", key=key, hint="write lines like `ci: TOKEN`")
    digests: dict[str, str] = {}
    for name, token in content.items():
        if not isinstance(token, str) or not _NAME.fullmatch(str(name)):
            raise ConfigError(f"{file}: {name!r} is not a name with a token", key=key)
        if token.startswith("sha256:"):
            digests[str(name)] = token.removeprefix("sha256:").lower()
        elif len(token) < 16:
            raise ConfigError(f"{file}: the token {name!r} is shorter than 16 characters", key=key)
        else:
            digests[str(name)] = hashlib.sha256(token.encode()).hexdigest()
    return digests
