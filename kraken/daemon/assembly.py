"""A daemon from its configuration: modules read, hands grown, memory opened."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from kraken.daemon.clock import Clock
from kraken.daemon.config import Config, listed
from kraken.daemon.daemon import Daemon
from kraken.daemon.garbage import share_one_heap
from kraken.daemon.neighbours import Neighbours
from kraken.daemon.news import News
from kraken.errors import ModuleError
from kraken.executors import Executor
from kraken.executors.credentials import Credentials
from kraken.executors.deferred import Deferred, DeferredBmc
from kraken.executors.tcp import TcpExecutor
from kraken.executors.vault import Vault
from kraken.model.catalog import Catalog
from kraken.model.loading import load_all
from kraken.model.search import default_collection_paths
from kraken.store.group import GroupCommit
from kraken.store.records import Memory
from kraken.store.store import Store

if TYPE_CHECKING:
    from kraken.executors.ansible import VaultSettings
    from kraken.executors.deferred import BmcExecutor


def collection_paths(config: Config, environ: Mapping[str, str]) -> list[Path]:
    """Where collections are looked for: the configured paths first, then Ansible's."""
    return [*config.collections_paths, *default_collection_paths(environ)]


def load_modules(config: Config, environ: Mapping[str, str]) -> tuple[Catalog, list[ModuleError]]:
    """Every Kraken module of the collections and of `module_dirs`, linked; and those refused."""
    return load_all(collection_paths(config, environ), config.module_dirs)


def build_credentials(config: Config) -> Credentials:
    """The file of credentials, for all who log in."""
    return Credentials(config.credentials_file, vault=build_vault(config))


def build_vault(config: Config) -> Vault:
    """Who opens what is encrypted."""
    return Vault(config.vault_password_file, ids=tuple(listed(config.vault_ids)))


def build_executors(
    config: Config,
    environ: Mapping[str, str],
    credentials: Credentials,
    on_news: Callable[[str], None] | None = None,
    *,
    is_leaf: bool = False,
) -> dict[str, Executor]:
    """One hand for each kind of action.

    Args:
        on_news: is told of nodes that should be looked at.
        is_leaf: as `Neighbours.is_leaf`.
    """
    return {
        "ansible": Deferred("kraken.executors.ansible", lambda: _ansible(config, environ, is_leaf=is_leaf)),
        "ipmi": DeferredBmc("kraken.executors.ipmi", lambda: _ipmi(config, credentials)),
        "redfish": DeferredBmc("kraken.executors.redfish", lambda: _redfish(config, credentials, on_news)),
        "tcp": TcpExecutor(),
    }


# What follows imports as it is called: a collector that has no BMCs, as an agent has none, would hold 14 MB
# of libraries for them (ADR 49).


def build_vault_settings(config: Config) -> VaultSettings:
    """What runs of Ansible are told of vaults."""
    from kraken.executors.ansible import VaultSettings

    password = config.vault_password_file
    default = () if password is None else (f"default@{password}",)
    return VaultSettings(
        identities=(*default, *listed(config.vault_ids)), files=tuple(config.ansible.vault_files)
    )


def _ansible(config: Config, environ: Mapping[str, str], *, is_leaf: bool) -> Executor:
    from kraken.executors.ansible import AnsibleExecutor, Limits, SshSettings

    pins = config.state_dir / "known_hosts" if config.ansible.host_keys == "accept-new" else None
    return AnsibleExecutor(
        playbook_command=config.ansible.playbook_command,
        forks=config.ansible.forks,
        vault=build_vault_settings(config),
        ssh=SshSettings(
            connect_timeout_s=config.ansible.connect_s,
            persist_s=config.ansible.persist_s,
            common_args=config.ansible.ssh_args or "",
            pipelining=config.ansible.pipelining,
            private_key=config.ansible.private_key_file,
            known_hosts=config.ansible.known_hosts_file,
            pins=pins,
        ),
        forkserver=config.ansible.starter != "process",
        forks_here=config.ansible.starter == "forkserver" or not is_leaf,
        config=config.ansible.config,
        collections=collection_paths(config, environ),
        limits=Limits(config.ansible.processes_max, config.ansible.memory_max),
    )


def _ipmi(config: Config, credentials: Credentials) -> BmcExecutor:
    from kraken.executors.ipmi import IpmiExecutor, IpmiLimits

    ipmi = config.ipmi
    limits = IpmiLimits(
        login_s=ipmi.login_s,
        command_s=ipmi.command_s,
        idle_s=ipmi.idle_s,
        keepalive_s=ipmi.keepalive_s,
        locked_s=ipmi.locked_s,
        logins_at_once=ipmi.logins_at_once,
        packets_per_s=ipmi.packets_per_s,
    )
    return IpmiExecutor(credentials, limits)


def _redfish(config: Config, credentials: Credentials, on_news: Callable[[str], None] | None) -> BmcExecutor:
    from kraken.executors.redfish import RedfishExecutor, RedfishLimits

    redfish = config.redfish
    limits = RedfishLimits(
        connect_s=redfish.connect_s,
        request_s=redfish.request_s,
        idle_s=redfish.idle_s,
        locked_s=redfish.locked_s,
        unchanged_s=redfish.unchanged_s,
        logins_at_once=redfish.logins_at_once,
        requests_per_s=redfish.requests_per_s,
        events=redfish.events,
    )
    return RedfishExecutor(credentials, limits, on_news)


def open_store(config: Config) -> tuple[Store, int, Memory]:
    """The memory, this life's number, and what is remembered.

    Raises:
        StoreError: it cannot be opened; says why and what to do.
    """
    store = Store.open(config.state_dir / "kraken.db")
    try:
        return store, store.next_incarnation(), store.load()
    except BaseException:
        store.close()
        raise


async def start_daemon(config: Config) -> Daemon:
    """A daemon that runs; close it with `Daemon.close`.

    Raises:
        StoreError: its memory cannot be opened.
        WireError: its keys cannot be read, or nobody can listen where it should.
    """
    environ = dict(os.environ)
    catalog, problems = load_modules(config, environ)
    store, incarnation, memory = open_store(config)
    seed = config.engine.seed
    credentials = build_credentials(config)
    news = News()
    clock = Clock()
    try:
        neighbours = Neighbours(config.state_dir, config.tree, clock)
    except BaseException:
        store.close()
        raise
    if neighbours.is_leaf:
        share_one_heap()
    daemon = Daemon(
        catalog,
        problems,
        config.engine_settings(),
        build_executors(config, environ, credentials, news.add, is_leaf=neighbours.is_leaf),
        GroupCommit(store),
        clock,
        incarnation=incarnation,
        seed=secrets.randbits(32) if seed is None else seed,
        load_modules=lambda: load_modules(config, environ),
        keep_s=config.journal.keep_days * 86400.0,
        rows_max=config.journal.rows_max,
        credentials=credentials,
        neighbours=neighbours,
        unknown_after_s=config.tree.unknown_after_s,
    )
    try:
        await daemon.start(memory)
        news.look = daemon.look
    except BaseException:
        await daemon.close()
        raise
    return daemon
