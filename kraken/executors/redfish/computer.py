"""The node's system as its BMC shows it: where it is, how it is, and how it is changed."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final, NamedTuple

from kraken.executors.place import Reach
from kraken.executors.redfish import system
from kraken.executors.redfish.talk import Talk
from kraken.executors.redfish.words import Document, RedfishLimits, Reply, Trouble, Verb
from kraken.model.run import Outcome

_AS_IT_IS: Final = frozenset({400, 409})  # with which BMCs refuse what already is as wished


class Seen(NamedTuple):
    """The last whole answer about the power.

    Attributes:
        etag: of the document it was in; None: it has none.
    """

    phys_state: str
    etag: str | None
    at: float


class Computer:
    """One ComputerSystem (DSP0268), spoken of in the turn of whoever asks. Its methods raise Trouble.

    Attributes:
        sent: a request that changes the node has left, and nothing says that it was refused.
    """

    def __init__(self, talk: Talk, limits: RedfishLimits) -> None:
        self.sent = False
        self._talk = talk
        self._limits = limits
        self._found: tuple[str, str] | None = None  # Id as declared, path
        self._seen: Seen | None = None
        self._etags_lie = False
        self._is_doubted = False

    def is_found(self, wanted: str) -> bool:
        """Whether it is known where the system of this Id is."""
        return self._found is not None and self._found[0] == wanted

    @property
    def path(self) -> str:
        """Where the system is that was found."""
        assert self._found is not None, "it is looked for before it is spoken of"
        return self._found[1]

    async def find(self, wanted: str, systems: str) -> str:
        """Know where it is; its path.

        Args:
            wanted: its Id; "": there is only one.
            systems: path of the list of systems.
        """
        listed = self._talk.read(await self._talk.ask("GET", systems), "the list of systems")
        path = self._talk.told(lambda: system.member(listed, wanted))
        self._found = wanted, path
        return path

    def doubt(self) -> None:
        """Something happened: ask for the whole answer next, whatever its ETag."""
        self._is_doubted = True

    async def look(self) -> str:
        """The power, as the BMC says it now; a "not modified" is believed for `unchanged_s`."""
        seen, headers = self._seen, None
        doubted, self._is_doubted = self._is_doubted or self._etags_lie, False
        believed = seen is not None and not doubted and self._now() - seen.at < self._limits.unchanged_s
        if seen is not None and seen.etag is not None and believed:
            headers = {"If-None-Match": seen.etag}
        reply = await self._ask(headers)
        if reply.status == 304 and seen is not None and headers is not None:
            return seen.phys_state
        document = self._talk.read(reply, "power status")
        try:
            found = system.power_state(document)
        except system.StillTurningOn as exc:
            raise Trouble(Reach.OK, Outcome.FAILED, f"{exc}: looked at again") from None
        except ValueError as exc:
            raise self._talk.nonsense(exc) from None
        etag = reply.headers.get("ETag")
        if seen is not None and etag is not None and etag == seen.etag and found != seen.phys_state:
            self._etags_lie = True
        self._seen = Seen(found, etag, self._now())
        return found

    async def change(self, verb: Verb) -> Reply | None:
        """Ask for a change once; what the BMC replied, None: it refused, as all is as wished already."""
        self._seen = None  # what was known of the power is no longer good enough
        if verb.kind == "power":
            return await self._reset(verb)
        if verb.kind == "boot_device":
            return await self._boot(verb)
        return await self._identify(verb)

    async def _reset(self, verb: Verb) -> Reply | None:
        document = await self._read()
        target, where = self._talk.told(lambda: system.reset_target(document))
        info: Document | None = None
        if where is not None:
            info = self._talk.read(await self._talk.ask("GET", where), "what it can do")
        body = self._talk.told(lambda: system.reset_body(document, info, verb.word))
        reply = await self._send("POST", target, body)
        refused = reply.status in _AS_IT_IS and verb.word in ("on", "off")
        if refused and system.is_as_wished(await self._read(), verb.word):
            return None
        return reply

    async def _boot(self, verb: Verb) -> Reply:
        document, etag = await self._read_with_etag()
        body = self._talk.told(lambda: system.boot_body(document, verb))
        assert self._found is not None
        return await self._send_change(self._found[1], body, etag)

    async def _identify(self, verb: Verb) -> Reply:
        """The light of the system, else that of the chassis it sits in."""
        document, etag = await self._read_with_etag()
        assert self._found is not None
        path, body = self._found[1], system.identify_body(document, verb.word)
        if body is None:
            chassis = self._talk.told(lambda: system.chassis_of(document))
            if chassis is not None:
                reply = await self._talk.ask("GET", chassis)
                path, etag = chassis, reply.headers.get("ETag")
                body = system.identify_body(self._talk.read(reply, "its chassis"), verb.word)
        if body is None:
            text = "has no light to identify by: neither the system nor its chassis shows one"
            raise Trouble(Reach.OK, Outcome.FAILED, text)
        return await self._send_change(path, body, etag)

    async def _send_change(self, path: str, body: Mapping[str, object], etag: str | None) -> Reply:
        """Change a resource as it was read; 412 says that it is not that any more."""
        reply = await self._send("PATCH", path, body, {"If-Match": etag} if etag else None)
        if reply.status == 412:
            again = (await self._talk.ask("GET", path)).headers.get("ETag")
            # The same one again: firmware that does not know its own ETags.
            header = {"If-Match": again} if again and again != etag else None
            reply = await self._send("PATCH", path, body, header)
        return reply

    async def _send(
        self,
        method: str,
        path: str,
        body: Mapping[str, object],
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        self.sent = True
        reply = await self._talk.ask(method, path, body, headers)
        self.sent = reply.status < 300  # refused: nothing happened
        return reply

    async def _read(self) -> Document:
        return (await self._read_with_etag())[0]

    async def _read_with_etag(self) -> tuple[Document, str | None]:
        reply = await self._ask(None)
        return self._talk.read(reply, "what it says of the system"), reply.headers.get("ETag")

    async def _ask(self, headers: Mapping[str, str] | None) -> Reply:
        """Ask for the system; where it has moved, find it again once."""
        assert self._found is not None
        wanted, path = self._found
        reply = await self._talk.ask("GET", path, headers=headers)
        if reply.status != 404:
            return reply
        self._found = self._seen = None
        self._talk.forget()
        return await self._talk.ask("GET", await self.find(wanted, await self._talk.open()))

    def _now(self) -> float:
        return asyncio.get_running_loop().time()
