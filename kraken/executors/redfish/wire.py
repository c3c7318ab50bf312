"""The one file that touches aiohttp: one request, one reply, and why there is none."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import functools
import hashlib
import ssl
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Final

import aiohttp
import msgspec
from yarl import URL

from kraken.executors.place import Reach
from kraken.executors.redfish.words import RedfishLimits, Reply, Server, Trouble
from kraken.model.run import Outcome

_BODY_BYTES_MAX: Final = 1024 * 1024
_KEPT_LONGER_S: Final = 15.0  # a connection outlives the session on it, so that it can be given back
_EVENTS: Final = "text/event-stream"
_OURS: Final = {
    "Accept": "application/json",
    "Accept-Encoding": "identity",
    "OData-Version": "4.0",
    "User-Agent": "Kraken",
}

Trust = ssl.SSLContext | aiohttp.Fingerprint | bool


class Wire:
    """Connections to BMCs, kept while they are used. Belongs to one event loop."""

    def __init__(self, limits: RedfishLimits) -> None:
        self._limits = limits
        self._session: aiohttp.ClientSession | None = None
        self._trust: dict[tuple[str, str | None, bytes | None], Trust] = {}

    async def ask(
        self,
        server: Server,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: Mapping[str, object] | None,
        ends_at: float,
    ) -> Reply:
        """Send one request and give back its reply, whatever it says.

        Sent once, but for a question (GET) on a kept connection that turns out to be closed.

        Raises:
            Trouble: there is no reply, or the BMC is not the one it should be.
        """
        now = asyncio.get_running_loop().time()
        if now >= ends_at:  # over a kept connection it would be on its way before a timer rings
            text = "was not asked: the time for it was over"
            raise Trouble(Reach.BUSY, Outcome.UNREACHABLE, text, tried=False)
        patience_s = min(self._limits.request_s, ends_at - now)
        if server.name != server.place.host:
            headers = {**headers, "Host": server.name if server.is_default_port else server.authority}
        data = None
        if body is not None:
            data, headers = msgspec.json.encode(body), {**headers, "Content-Type": "application/json"}
        try:
            async with (
                asyncio.timeout(patience_s),
                self._opened().request(
                    method,
                    _url(f"{server.scheme}://{server.place}", path),
                    headers=headers,
                    data=data,
                    allow_redirects=False,
                    ssl=self._trusted(server),
                    server_hostname=server.name if server.name != server.place.host else None,
                ) as response,
            ):
                content = await _read(response)
                return Reply(response.status, response.headers, content)
        except aiohttp.ServerFingerprintMismatch as exc:
            raise _stranger(server, bytes(exc.got), "it is not the one in bmc.fingerprint") from None
        except aiohttp.ClientConnectorCertificateError as exc:
            shown = await self._shown_fingerprint(server)
            raise _stranger(server, shown, _in_words(exc.certificate_error)) from None
        except aiohttp.ConnectionTimeoutError:
            raise _silent(f"does not let us connect within {self._limits.connect_s:g} s") from None
        except TimeoutError:
            within = f"within {round(patience_s, 1):g} s" if patience_s >= 0.1 else "in the time of this run"
            text = f"did not answer a request {within}: reset the BMC if that lasts"
            raise Trouble(Reach.NO_ANSWER, Outcome.UNREACHABLE, text, unsure=True) from None
        except aiohttp.ClientConnectorSSLError as exc:
            text = f"does not agree with us on TLS ({_ssl_reason(exc)}): is it HTTPS that listens there?"
            raise Trouble(Reach.REFUSED, Outcome.FAILED, text) from None
        except aiohttp.ClientConnectorError as exc:
            raise _silent(_why_not_connected(exc)) from None
        except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError, ConnectionError):
            text = "ended the connection before it had answered: it may be restarting; asked again later"
            raise Trouble(Reach.NO_ANSWER, Outcome.UNREACHABLE, text, unsure=True) from None
        except (aiohttp.ClientError, ValueError):
            text = "answered with what is no HTTP: what listens there is no Redfish service"
            raise Trouble(Reach.REFUSED, Outcome.FAILED, text, unsure=True) from None

    @contextlib.asynccontextmanager
    async def listen(
        self, server: Server, path: str, headers: Mapping[str, str]
    ) -> AsyncIterator[aiohttp.StreamReader]:
        """The bytes of an event stream, without end, over a connection of its own.

        Raises:
            Trouble: there is none, or it broke.
        """
        if server.name != server.place.host:
            headers = {**headers, "Host": server.name if server.is_default_port else server.authority}
        opened = self._opened().request(
            "GET",
            _url(f"{server.scheme}://{server.place}", path),
            headers={**headers, "Accept": _EVENTS},
            allow_redirects=False,
            ssl=self._trusted(server),
            server_hostname=server.name if server.name != server.place.host else None,
        )
        response: aiohttp.ClientResponse | None = None
        try:
            async with asyncio.timeout(self._limits.request_s):
                response = await opened
            if response.status != 200 or response.content_type != _EVENTS:
                text = f"gave no event stream ({response.status}, {response.content_type[:60]!r})"
                raise Trouble(Reach.REFUSED, Outcome.FAILED, text)
            yield response.content
        except TimeoutError:
            text = f"did not open its event stream within {self._limits.request_s:g} s"
            raise Trouble(Reach.NO_ANSWER, Outcome.UNREACHABLE, text) from None
        except (aiohttp.ClientError, OSError) as exc:
            text = f"broke its event stream off ({type(exc).__name__})"
            raise Trouble(Reach.NO_ANSWER, Outcome.UNREACHABLE, text) from None
        finally:
            if response is not None:
                response.close()

    async def close(self) -> None:
        """Close every connection. Idempotent."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            kept_s = self._limits.idle_s + _KEPT_LONGER_S
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=kept_s, use_dns_cache=False),
                headers=_OURS,
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._limits.connect_s),
            )
        return self._session

    def _trusted(self, server: Server) -> Trust:
        """What checks its certificate: one object per kind of trust, or no connection would be kept."""
        if server.scheme == "http":
            return True
        key = (server.scheme, server.ca, server.fingerprint)
        found = self._trust.get(key)
        if found is None:
            found = self._trust[key] = _trust(server)
        return found

    async def _shown_fingerprint(self, server: Server) -> bytes | None:
        """The fingerprint of the certificate it shows, without saying anything to it."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        writer: asyncio.StreamWriter | None = None
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(self._limits.connect_s):
                place = server.place
                _, writer = await asyncio.open_connection(
                    place.host, place.port, ssl=context, server_hostname=server.name
                )
        if writer is None:
            return None
        shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        writer.transport.abort()
        return hashlib.sha256(shown).digest() if shown else None


async def _read(response: aiohttp.ClientResponse) -> bytes:
    if (response.content_length or 0) <= _BODY_BYTES_MAX:
        content = b""
        async for chunk in response.content.iter_any():
            content = content + chunk if content else chunk
            if len(content) > _BODY_BYTES_MAX:
                break
        else:
            return content
    response.close()
    text = f"answered with more than {_BODY_BYTES_MAX:,} bytes, which is not read; update its firmware"
    raise Trouble(Reach.REFUSED, Outcome.FAILED, text, unsure=True)


def _trust(server: Server) -> Trust:
    if server.fingerprint is not None:
        return aiohttp.Fingerprint(server.fingerprint)
    if server.ca is None:
        return ssl.create_default_context()
    try:
        return ssl.create_default_context(cadata=Path(server.ca).read_text(encoding="ascii"))
    except (OSError, ValueError, ssl.SSLError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) and not isinstance(exc, ssl.SSLError) else None
        text = f"cannot be trusted: bmc.ca {server.ca} {reason or 'holds no certificates in PEM'}"
        raise Trouble(Reach.CERTIFICATE, Outcome.FAILED, text) from None


def _stranger(server: Server, shown: bytes | None, why: str) -> Trouble:
    """It shows a certificate we cannot know it by."""
    what = "another certificate than it should" if server.fingerprint else "a certificate nobody vouches for"
    text = f"shows {what} ({why})"
    if shown is not None:
        text += f", sha256:{shown.hex()}: if that is what the BMC itself names, declare it"
        text += " (kraken set NODE --attr bmc.fingerprint=...)"
    return Trouble(Reach.CERTIFICATE, Outcome.FAILED, f"{text}; nothing was said to it")


def _silent(text: str) -> Trouble:
    advice = "check its cable, its power, bmc.address, bmc.port, and that Redfish is enabled"
    return Trouble(Reach.NO_ANSWER, Outcome.UNREACHABLE, f"{text}: {advice}")


def _why_not_connected(exc: aiohttp.ClientConnectorError) -> str:
    if exc.os_error.errno == errno.ECONNREFUSED:
        return "refuses the connection"
    return f"cannot be reached ({exc.os_error.strerror or type(exc.os_error).__name__})"


def _in_words(exc: Exception) -> str:
    message = getattr(exc, "verify_message", "") or type(exc).__name__
    return str(message)[:120]


def _ssl_reason(exc: aiohttp.ClientConnectorError) -> str:
    reason = getattr(exc.os_error, "reason", None) or "no reason given"
    return str(reason).lower().replace("_", " ")[:80]


@functools.lru_cache(maxsize=65536)
def _url(base: str, path: str) -> URL:
    """Parsed once: paths of BMCs are few, and asked for again and again."""
    return URL(base + path, encoded=True)
