"""What `ansible-inventory --list` costs with plugin kraken.hpc.nodes, beside the same content in other forms.

    python tests/benchmarks/bench_inventory.py [--nodes 10000] [--rounds 3] [--yaml-rounds 1]

    plain        nodes with all their variables and groups; peers: a script that prints the same content as
                 JSON, and the same content as a static YAML file
    constructed  the same with seven expressions in compose, groups and keyed_groups; peer: the same plugin
                 with the methods of Ansible's own Constructable, which evaluate each for each host

A daemon in another process serves the nodes over its unix socket; they have no BMC and fake hands, and
none is looked at meanwhile. CPU is that of ansible-inventory and what it started; what the daemon spent is
told apart. Rounds alternate; medians are compared. Ratios count: other work on this machine hits all of them.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from kraken.api.server import answering, unix_socket
from kraken.daemon.config import Api, Config
from kraken.daemon.operations import Operations, Request
from kraken.engine.settings import Settings
from kraken.executors.fake import FakeWorld
from kraken.testing.daemons import LAB, living

ROOT = Path(__file__).resolve().parents[2]
COMMAND = Path(sys.executable).with_name("ansible-inventory")
EXPRESSIONS: dict[str, Any] = {
    "strict": False,
    "compose": {
        "rack": "kraken_attributes['rack']",
        "powered": "kraken_dsc['power'] | default('UNKNOWN') == 'ON'",
        "unit": "kraken_attributes['service.unit'] ~ '.service'",
    },
    "groups": {
        "serving": "kraken_dsc['service'] | default('') == 'RUNNING'",
        "late": "kraken_cause not in ['CONVERGED', 'RUNNING']",
    },
    "keyed_groups": [
        {"key": "kraken_attributes['arch']", "prefix": "arch"},
        {"key": "rack", "prefix": "in", "parent_group": "racks"},
    ],
}
PEER = '''
DOCUMENTATION = """
name: each
short_description: kraken.hpc.nodes with Ansible's own Constructable
description: Evaluates each expression for each host.
options:
  plugin: {description: x, required: true, type: str}
%s
extends_documentation_fragment: [kraken.hpc.connection.plugin, constructed, inventory_cache]
"""
from ansible_collections.kraken.hpc.plugins.inventory import nodes


class Each:
    def __init__(self, plugin):
        self.plugin = plugin
        self.options = [plugin.get_option(key) for key in ("compose", "groups", "keyed_groups", "strict")]

    def construct(self, name, variables):
        compose, groups, keyed, strict = self.options
        self.plugin._set_composite_vars(compose, variables, name, strict=strict)
        self.plugin._add_host_to_composed_groups(groups, variables, name, strict=strict)
        self.plugin._add_host_to_keyed_groups(keyed, variables, name, strict=strict)


class InventoryModule(nodes.InventoryModule):
    NAME = "each"

    def parse(self, *args, **kwargs):
        nodes.Constructor = Each
        super().parse(*args, **kwargs)
'''


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--nodes", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--yaml-rounds", type=int, default=1, help="of static YAML, which takes longest")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.serve:
        asyncio.run(serve(chosen.serve, chosen.nodes))
        return
    with tempfile.TemporaryDirectory() as name, served(Path(name), chosen.nodes) as daemon:
        place = Path(name)
        prepare(place)
        sources = {
            "plugin": "plain.kraken.yml",
            "script": "script",
            "YAML": "static.yml",
            "plugin, constructed": "constructed.kraken.yml",
            "Constructable": "each.kraken.yml",
        }
        taken: dict[str, list[tuple[float, float, float]]] = {what: [] for what in sources}
        for number in range(chosen.rounds):
            for what, file in sources.items():
                if what != "YAML" or number < chosen.yaml_rounds:
                    taken[what].append(measured(place, file, daemon.pid))
        assert listed(place, "constructed.kraken.yml") == listed(place, "each.kraken.yml"), (
            "not the same inventory"
        )
        show(chosen.nodes, taken)


def show(nodes: int, taken: dict[str, list[tuple[float, float, float]]]) -> None:
    median = {
        what: [statistics.median(part) for part in zip(*rows, strict=True)] for what, rows in taken.items()
    }
    print(f"{nodes} nodes              CPU s   wall s   daemon's CPU s")
    for what, (cpu_s, wall_s, theirs_s) in median.items():
        print(f"{what:<20} {cpu_s:8.2f} {wall_s:8.2f} {theirs_s:8.2f}")
    for ours, peer, goal in (
        ("plugin", "YAML", 0.15),
        ("plugin", "script", 1.0),
        ("plugin, constructed", "Constructable", 0.3),
    ):
        cpu, wall = (median[ours][part] / median[peer][part] for part in (0, 1))
        print(f"{ours} / {peer}: CPU {cpu:.2f}, wall {wall:.2f} (goal {goal})")


def measured(place: Path, source: str, daemon: int) -> tuple[float, float, float]:
    """CPU and wall seconds of one listing, and CPU seconds of the daemon meanwhile."""
    theirs, before, began = cpu_of(daemon), resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    with (place / "out").open("w") as out:
        command = [COMMAND, "-i", source, "--list"]
        subprocess.run(command, cwd=place, env=environ(place), stdout=out, check=True)
    wall_s, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return cpu_s, wall_s, cpu_of(daemon) - theirs


def cpu_of(process: int) -> float:
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def environ(place: Path) -> dict[str, str]:
    paths = {"ANSIBLE_COLLECTIONS_PATH": str(ROOT), "ANSIBLE_INVENTORY_PLUGINS": str(place / "plugins")}
    kinds = {"ANSIBLE_INVENTORY_ENABLED": "auto,script,yaml", "HOME": str(place)}
    return {**os.environ, **paths, **kinds}


def listed(place: Path, source: str) -> Any:
    """The inventory as data, without ages, and without Ansible's marks for text that is no template."""

    def plain(value: Any) -> Any:
        if isinstance(value, list):
            return [plain(part) for part in value]
        if isinstance(value, dict):
            if list(value) == ["__ansible_unsafe"]:
                return value["__ansible_unsafe"]
            return {key: plain(part) for key, part in value.items() if key != "kraken_dsc_age"}
        return value

    command = [COMMAND, "-i", source, "--list"]
    done = subprocess.run(command, cwd=place, env=environ(place), stdout=subprocess.PIPE, check=True)
    return plain(json.loads(done.stdout))


def prepare(place: Path) -> None:
    """The sources that are compared, of equal content."""
    (place / "ansible.cfg").touch()
    ours = {"plugin": "kraken.hpc.nodes", "socket": str(place / "sock")}
    (place / "plain.kraken.yml").write_text(yaml.safe_dump(ours))
    (place / "constructed.kraken.yml").write_text(yaml.safe_dump({**ours, **EXPRESSIONS}))
    (place / "each.kraken.yml").write_text(yaml.safe_dump({**ours, **EXPRESSIONS, "plugin": "each"}))
    documented = yaml.safe_load(doc_of("kraken.hpc.nodes"))["options"]
    own = ("nodeset", "cause", "group", "collector", "cache_when_away")
    options = {k: v for k, v in documented.items() if k in own or k.startswith("group_")}
    (place / "plugins").mkdir()
    indented = "".join(f"  {line}\n" for line in yaml.safe_dump(options).splitlines())
    (place / "plugins" / "each.py").write_text(PEER % indented.rstrip())
    content = listed(place, "plain.kraken.yml")
    (place / "content.json").write_text(json.dumps(content))
    (place / "script").write_text(f"#!/bin/sh\nexec cat {place}/content.json\n")
    (place / "script").chmod(0o755)
    children = {
        name: {"hosts": dict.fromkeys(group.get("hosts", []))}
        for name, group in content.items()
        if name not in ("_meta", "all")
    }
    static = {"all": {"hosts": content["_meta"]["hostvars"], "children": children}}
    (place / "static.yml").write_text(yaml.dump(static, Dumper=yaml.CSafeDumper))


def doc_of(plugin: str) -> str:
    plugins = ROOT / "ansible_collections/kraken/hpc/plugins/inventory"
    source = (plugins / f"{plugin.split('.')[-1]}.py").read_text()
    return source.split('DOCUMENTATION = r"""')[1].split('"""')[0]


@contextlib.contextmanager
def served(place: Path, nodes: int) -> Iterator[subprocess.Popen[str]]:
    """A daemon in a process of its own, all of whose nodes are settled."""
    command = [sys.executable, __file__, "--serve", str(place), "--nodes", str(nodes)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as daemon:
        assert daemon.stdout is not None
        try:
            assert daemon.stdout.readline() == "ready\n"
            yield daemon
        finally:
            daemon.terminate()


async def serve(place: Path, nodes: int) -> None:
    names = [f"n{number:05}" for number in range(nodes)]
    world = FakeWorld({name: {"power": "OFF", "service": "STOPPED"} for name in names})
    (place / "state").mkdir()
    (place / "modules").mkdir()
    (place / "modules" / "lab.yml").write_text(LAB.replace("every: 30s", "every: 1h"))
    async with living(place, world=world, settings=Settings()) as daemon:
        with unix_socket(Config(api=Api(socket=place / "sock"))) as local:
            async with answering(daemon, local):
                document = {"nodes": {name: declared(number) for number, name in enumerate(names)}}
                await Operations(daemon).apply(document, Request("bench", allow_unreachable=True, yes=True))
                settled = ("CONVERGED", "REQUIRES_UNMET")
                while any(daemon.collector.cause(name) not in settled for name in names):  # noqa: ASYNC110
                    await asyncio.sleep(0.2)
                print("ready", flush=True)
                await asyncio.Event().wait()


def declared(number: int) -> dict[str, Any]:
    """A node: 64 in a rack, few of another architecture, one in a hundred whose image nothing can write."""
    rack = f"r{number // 64:03}"
    attributes = {
        "arch": "x86_64" if number % 50 else "arm64",
        "rack": rack,
        "serial": f"J3K4L{number:05}",
        "mac": f"52:54:00:12:{number >> 8:02x}:{number & 255:02x}",
        "ansible_host": f"10.1.{number >> 8}.{number & 255}",
        "ansible_user": "root",
        "service.unit": "demo",
        "site.row": "abcdefgh"[number // 64 % 8],
    }
    cfg = {"power": "ON", "service": "RUNNING"} if number % 100 else {"power": "ON", "image": "rocky9"}
    return {"attributes": attributes, "cfg": cfg, "groups": ["compute", f"rack-{rack}"]}


if __name__ == "__main__":
    main()
