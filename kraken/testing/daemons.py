"""A real daemon over a small fake world: what tests and benchmarks of the daemon and the API stand on."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

from kraken.daemon.clock import Clock
from kraken.daemon.config import Tree
from kraken.daemon.daemon import Daemon
from kraken.daemon.neighbours import Neighbours
from kraken.engine.settings import Settings
from kraken.executors import Executor
from kraken.executors.fake import FakeExecutor, FakeWorld
from kraken.model.loading import load_all
from kraken.store.group import GroupCommit
from kraken.store.store import Store

LAB = """\
kraken_module: 1
name: lab
summary: Power and one service.
variables:
  power: {values: ['OFF', 'ON', HUNG]}
  service: {values: [STOPPED, RUNNING], known_when: {power: 'ON'}}
  image: {values: any}
discoveries:
  look_power:
    observes: {power: ['OFF', 'ON']}
    every: 30s
    timeout: 5s
    tasks: [{ansible.builtin.debug: {}}]
  look_service:
    observes: [service]
    requires: {power: 'ON'}
    every: 30s
    timeout: 5s
    tasks: [{ansible.builtin.debug: {}}]
mutations:
  switch_on:
    mutates: {power: ['OFF', 'ON']}
    timeout: 60s
    cost: 5
    fails_to: {power: HUNG}
    ipmi: {power: 'on'}
  switch_off: {mutates: {power: ['ON', 'OFF']}, timeout: 60s, disruptive: true, ipmi: {power: 'off'}}
  start_service:
    mutates: {service: [STOPPED, RUNNING]}
    requires: {power: 'ON', service.unit: ANY}
    timeout: 60s
    tasks: [{ansible.builtin.debug: {}}]
  write_image:
    mutates: {image: [ANY, $cfg]}
    requires: {power: 'ON', image.store: ANY}
    timeout: 60s
    asserts: true
    tasks: [{ansible.builtin.debug: {}}]
"""
QUICK = Settings(
    backoff_s=0.02,
    backoff_s_max=0.05,
    confirm_s=(0.02,),
    linger_s={},
    gather_s={},
    look_retry_s=0.02,
    grace_s=0.2,
)
KINDS = ("ipmi", "ansible", "tcp")


@contextlib.asynccontextmanager
async def living(
    directory: Path,
    *,
    world: FakeWorld | None = None,
    executors: Mapping[str, Executor] | None = None,
    settings: Settings = QUICK,
    clock: Callable[[], float] | None = None,
    tree: Tree | None = None,
) -> AsyncIterator[Daemon]:
    """A daemon whose state is in `directory`/state, with the module files of `directory`/modules.

    The module LAB is put there when there is none. With `tree` it has a wire to other collectors. On the
    way out the daemon is closed.
    """
    modules = directory / "modules"
    if not modules.is_dir():
        modules.mkdir(parents=True)
        (modules / "lab.yml").write_text(LAB)
    catalog, problems = load_all([], [modules])
    store = Store.open(directory / "state" / "kraken.db")
    incarnation, memory = store.next_incarnation(), store.load()
    hand = FakeExecutor(world)
    clock = clock or Clock()
    daemon = Daemon(
        catalog,
        problems,
        settings,
        dict.fromkeys(KINDS, hand) if executors is None else executors,
        GroupCommit(store),
        clock,
        incarnation=incarnation,
        load_modules=lambda: load_all([], [modules]),
        neighbours=None if tree is None else Neighbours(directory / "state", tree, clock),
    )
    try:
        await daemon.start(memory)
        yield daemon
    finally:
        await daemon.close()
