"""Who may ask, and who it says it is."""

from __future__ import annotations

import hashlib
import hmac
import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kraken.api.asgi import App, Receive, Scope, Send
from kraken.errors import ConfigError
from kraken.model.document import parse_document

if TYPE_CHECKING:  # what stands before the interface must not load it
    from litestar import Request

TOKEN_MIN = 16

_DIGEST = re.compile(r"[0-9a-f]{64}")
NAME = re.compile(r"[A-Za-z0-9._@-]{1,64}")
CALLER = "kraken.caller"  # in the scope of a request over TCP: the name of its token


def who(request: Request[Any, Any, Any]) -> str:
    """The caller's name: its token's over TCP, what it says of itself over the socket."""
    named = request.scope.get("state", {}).get(CALLER)
    if isinstance(named, str):
        return named
    claimed = request.headers.get("kraken-user", "")
    return claimed if NAME.fullmatch(claimed) else "api"


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


def bearer_only(app: App, tokens: Tokens) -> App:
    """The app, for callers over TCP: without a right token there is no answer but 401."""

    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            header = dict(scope["headers"]).get(b"authorization", b"").decode("latin-1")
            scheme, _, token = header.partition(" ")
            name = tokens.name_of(token.strip()) if scheme.lower() == "bearer" else None
            if name is None:
                await _refuse(send)
                return
            scope.setdefault("state", {})[CALLER] = name
        await app(scope, receive, send)

    return guarded


async def _refuse(send: Send) -> None:
    body = (
        b'{"type":"urn:kraken:problem:unauthorized","title":"Unauthorized","status":401,'
        b'"detail":"a right token is wanted","hint":"send the header Authorization: Bearer TOKEN"}'
    )
    headers = [(b"content-type", b"application/problem+json"), (b"www-authenticate", b"Bearer")]
    await send({"type": "http.response.start", "status": 401, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})


def _read_tokens(file: Path) -> dict[str, str]:
    key = "api.tokens_file"
    try:
        mode = file.stat().st_mode
        text = file.read_text()
    except OSError as error:
        raise ConfigError(f"cannot read {file}: {error.strerror}", key=key) from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file} is not text", key=key) from error
    if stat.S_IMODE(mode) & 0o077:
        raise ConfigError(f"{file} can be read by others", key=key, hint=f"chmod 600 {file}")
    content = parse_document(text, ConfigError, file=str(file)) if text.strip() else None
    tokens = {} if content is None else content.plain()  # errors quote no value: one may be a token
    if not isinstance(tokens, dict) or not tokens:
        raise ConfigError(f"{file} holds no tokens", key=key, hint="write lines like `ci: TOKEN`")
    return {str(name): _digest(file, name, token) for name, token in tokens.items()}


def _digest(file: Path, name: object, token: object) -> str:
    if not isinstance(name, str) or not NAME.fullmatch(name):
        what = f"{file}: {name!r} cannot be the name of a token"
        raise ConfigError(what, key="api.tokens_file", hint="use letters, digits, dots, @ and dashes")
    if not isinstance(token, str):
        raise ConfigError(f"{file}: the token {name!r} is not text", key="api.tokens_file", hint="quote it")
    if token.startswith("sha256:"):
        digest = token.removeprefix("sha256:").lower()
        if not _DIGEST.fullmatch(digest):
            raise ConfigError(
                f"{file}: what follows sha256: for {name!r} is not 64 hexadecimal digits",
                key="api.tokens_file",
                hint="printf %s TOKEN | sha256sum",
            )
        return digest
    if len(token) < TOKEN_MIN:
        raise ConfigError(
            f"{file}: the token {name!r} is shorter than {TOKEN_MIN} characters",
            key="api.tokens_file",
            hint="openssl rand -hex 32",
        )
    return hashlib.sha256(token.encode()).hexdigest()
