"""Which credentials there are, by name, and which nodes log in with them. No secret passes here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kraken.daemon.daemon import Daemon
from kraken.daemon.keeper import Keeper
from kraken.errors import CredentialError
from kraken.model.module import as_text

CREDENTIAL = "bmc.credential"


@dataclass(frozen=True, slots=True)
class Use:
    """A credential, in the file or named by nodes; those say it in their attributes.

    Attributes:
        name: "" stands for nodes with a BMC that name none.
        known: the file has it.
        rotating: some of its BMCs may have the password before this one yet.
    """

    name: str
    known: bool
    rotating: bool
    nodes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Overview:
    """`problem`: why the file cannot be used; "" when it can."""

    file: str
    problem: str
    uses: tuple[Use, ...]


async def overview(daemon: Daemon, keeper: Keeper | None, names: Sequence[str]) -> Overview:
    """The credentials that these nodes log in with, and those that are there for nobody."""
    known: tuple[str, ...] = ()
    rotating: tuple[str, ...] = ()
    problem = "" if keeper is not None else "this daemon was given no credentials"
    if keeper is not None:
        await keeper.refresh_aside()
        try:
            known, rotating = keeper.names(), keeper.rotating()
        except CredentialError as error:
            problem = str(error)
    used: dict[str, list[str]] = {name: [] for name in known}
    table = daemon.collector.table
    for name in names:
        attributes = table[name].attribute_values() if name in table else {}
        if "bmc.address" in attributes:
            used.setdefault(as_text(attributes.get(CREDENTIAL)), []).append(name)
    uses = (Use(n, n in known, n in rotating, tuple(nodes)) for n, nodes in sorted(used.items()))
    file = "" if keeper is None or keeper.file is None else str(keeper.file)
    return Overview(file, problem, tuple(uses))
