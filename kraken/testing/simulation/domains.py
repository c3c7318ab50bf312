"""What nodes can be in a simulation: the base modules, and small ones that are hard in one way each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Literal

from kraken.model.action import BMC_VARIABLE
from kraken.model.byhand import PROTOCOL
from kraken.model.catalog import Catalog
from kraken.model.loading import link, load_directory
from kraken.model.module import (
    ANY,
    CFG_VALUE,
    Action,
    Change,
    Condition,
    Discovery,
    KrakenModule,
    Mutation,
    Observes,
    Variable,
)
from kraken.model.update import UNKNOWN, Value

BASE = Path(__file__).parents[3] / "ansible_collections/kraken/hpc"


@dataclass(frozen=True, slots=True)
class Domain:
    """A vocabulary, and how its world goes beyond what modules declare.

    Attributes:
        attributes: of every node; "%d" becomes the node's number.
        wishes: variable -> values an operator may wish.
        truths: states a node may be found in at the start.
        drifts: variable -> values it may take behind Kraken's back.
        optional: attributes that may be withdrawn.
        initial: the value a variable has as soon as it can have one.
        settles: variable -> {value: what it truly is}: a booted node is a fit one.
        seen_as: discovery -> {true value: what it reports}.
        reports: kinds of action whose mutations observe their own effect.
    """

    name: str
    catalog: Catalog
    wishes: Mapping[str, tuple[str, ...]]
    truths: tuple[Mapping[str, str], ...]
    drifts: Mapping[str, tuple[str, ...]]
    attributes: Mapping[str, Value] = field(default_factory=dict)
    optional: tuple[str, ...] = ()
    initial: Mapping[str, str] = field(default_factory=dict)
    settles: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    seen_as: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    reports: tuple[str, ...] = ("ansible",)

    @property
    def has_power(self) -> bool:
        """Whether its nodes have power that people can command."""
        return BMC_VARIABLE in self.catalog.variables and PROTOCOL in self.attributes

    def attributes_of(self, number: int) -> dict[str, Value]:
        """What the operator declares of the node of this number."""
        return {
            name: value % number if isinstance(value, str) and "%d" in value else value
            for name, value in self.attributes.items()
        }

    def reported(self, discovery: Discovery, variable: str, truth: str) -> str | None:
        """What a look says of a true value; None: it cannot see it."""
        observes = next(o for o in discovery.observes if o.variable == variable)
        value = self.seen_as.get(discovery.key, {}).get(truth, truth)
        return value if observes.values is None or value in observes.values else None


def module(name: str, parts: Iterable[Variable | Discovery | Mutation]) -> KrakenModule:
    """A module of these parts."""
    parts = list(parts)
    return KrakenModule(
        name,
        "",
        Path(f"{name}.yml"),
        variables={part.name: part for part in parts if isinstance(part, Variable)},
        discoveries={part.name: part for part in parts if isinstance(part, Discovery)},
        mutations={part.name: part for part in parts if isinstance(part, Mutation)},
    )


@cache
def base() -> Domain:
    """The base modules as they ship: power over IPMI, boot, one service."""
    modules, errors = load_directory(BASE)
    catalog, misfits = link(modules)
    assert not errors, errors
    assert not misfits, misfits
    up = {"phys_state": "POWER_ON", "run_state": "SYNC"}
    return Domain(
        "base",
        catalog,
        wishes={
            "phys_state": ("POWER_ON", "POWER_ON", "POWER_ON", "POWER_OFF"),
            "run_state": ("SYNC", "SYNC", "INIT"),
            "service": ("RUNNING", "RUNNING", "STOPPED"),
        },
        truths=(
            {"phys_state": "POWER_OFF"},
            {"phys_state": "POWER_ON"},
            {**up, "service": "RUNNING"},
            {**up, "service": "STOPPED"},
        ),
        drifts={
            "phys_state": ("POWER_OFF", "POWER_ON"),
            "run_state": ("ERROR", "SYNC"),
            "service": ("STOPPED", "FAILED", "RUNNING"),
        },
        attributes={"bmc.protocol": "ipmi", "bmc.address": "10.0.0.%d", "service.unit": "work"},
        optional=("bmc.protocol", "service.unit"),
        initial={"service": "STOPPED"},
        settles={"run_state": {"INIT": "SYNC"}},
        seen_as={"boot.ssh_answers": {"SYNC": "INIT", "ERROR": "INIT"}},
    )


IPMI = Action("ipmi", {"power": "on"}, Path())
ANSIBLE = Action("ansible", [{"ansible.builtin.ping": {}}], Path())


def look(module: str, name: str, *variables: str, every_s: float | None = 20.0, **more: object) -> Discovery:
    observes = tuple(Observes(variable) for variable in variables)
    return Discovery(module, name, observes, ANSIBLE, every_s=every_s, timeout_s=15.0, **more)  # type: ignore[arg-type]


@cache
def services(runs_on: Literal["collector", "node"] = "collector") -> Domain:
    """An operating system with three services that start side by side; one excludes another.

    Args:
        runs_on: where tasks run: what looks at services, and what starts and stops all but one of them.
    """
    up = (Condition("os", ("UP",)),)
    parts: list[Variable | Discovery | Mutation] = [
        Variable("side", "os", ("DOWN", "UP"), fresh_for_s=70.0),
        look("side", "see_os", "os"),
        Mutation("side", "raise", (Change("os", ("DOWN",), "UP"),), timeout_s=60.0, cost=10.0, action=IPMI),
        Mutation(
            "side",
            "lower",
            (Change("os", ("UP",), "DOWN"),),
            timeout_s=60.0,
            cost=10.0,
            disruptive=True,
            action=IPMI,
        ),
    ]
    for name in ("web", "db", "log"):
        parts += [
            Variable("side", name, ("STOPPED", "RUNNING"), fresh_for_s=120.0, known_when=up),
            Mutation(
                "side",
                f"start_{name}",
                (Change(name, ("STOPPED",), "RUNNING"),),
                requires=up if name != "web" else (*up, Condition("db", ("RUNNING",))),
                timeout_s=30.0,
                cost=3.0,
                action=ANSIBLE if name != "log" else IPMI,
                runs_on=runs_on if name != "log" else "collector",
            ),
            Mutation(
                "side",
                f"stop_{name}",
                (Change(name, ("RUNNING",), "STOPPED"),),
                requires=up,
                excludes=(Condition("web", ("RUNNING",)),) if name == "db" else (),
                timeout_s=30.0,
                cost=3.0,
                disruptive=True,
                action=ANSIBLE if name != "log" else IPMI,
                runs_on=runs_on if name != "log" else "collector",
            ),
        ]
    parts.append(look("side", "see_services", "web", "db", "log", every_s=30.0, requires=up, runs_on=runs_on))
    running = {"os": "UP", "web": "RUNNING", "db": "RUNNING", "log": "RUNNING"}
    stopped = dict.fromkeys(("web", "db", "log"), "STOPPED")
    return Domain(
        "services",
        Catalog([module("side", parts)]),
        wishes={
            "os": ("UP", "UP", "UP", "DOWN"),
            **dict.fromkeys(("web", "db", "log"), ("RUNNING", "RUNNING", "STOPPED")),
        },
        truths=({"os": "DOWN"}, running, {"os": "UP", **stopped}),
        drifts={"os": ("DOWN", "UP"), **dict.fromkeys(("web", "db", "log"), ("RUNNING", "STOPPED"))},
        initial=stopped,
    )


@cache
def images() -> Domain:
    """An image with an open domain, written by a disruptive mutation, under a cascade of known_when."""
    on = Condition("power", ("ON",))
    imaged = Condition("image", (ANY,))
    parts: list[Variable | Discovery | Mutation] = [
        Variable("disk", "power", ("OFF", "ON"), fresh_for_s=90.0),
        Variable("disk", "image", None, fresh_for_s=200.0, known_when=(on,)),
        Variable("disk", "kernel", ("OLD", "NEW"), fresh_for_s=200.0, known_when=(on, imaged)),
        Variable("disk", "mount", ("NONE", "DONE"), known_when=(Condition("kernel", ("NEW",)),)),
        look("disk", "see_power", "power"),
        look("disk", "see_disk", "image", "kernel", "mount", every_s=45.0, requires=(on,)),
        Mutation("disk", "on", (Change("power", ("OFF",), "ON"),), timeout_s=40.0, cost=5.0, action=IPMI),
        Mutation(
            "disk",
            "off",
            (Change("power", ("ON",), "OFF"),),
            timeout_s=40.0,
            cost=5.0,
            disruptive=True,
            fails_to={"power": "ON"},
            action=IPMI,
        ),
        Mutation(
            "disk",
            "write",
            (Change("image", None, CFG_VALUE), Change("kernel", None, "OLD")),
            requires=(on,),
            timeout_s=120.0,
            cost=60.0,
            disruptive=True,
            action=ANSIBLE,
        ),
        Mutation(
            "disk",
            "install",
            (Change("image", (UNKNOWN,), CFG_VALUE),),
            requires=(on,),
            timeout_s=120.0,
            cost=80.0,
            action=IPMI,
        ),
        Mutation(
            "disk",
            "upgrade",
            (Change("kernel", ("OLD",), "NEW"),),
            requires=(on, imaged),
            timeout_s=60.0,
            cost=20.0,
            action=IPMI,
        ),
        Mutation(
            "disk",
            "mount",
            (Change("mount", ("NONE",), "DONE"),),
            requires=(Condition("kernel", ("NEW",)),),
            timeout_s=30.0,
            cost=2.0,
            action=ANSIBLE,
        ),
    ]
    return Domain(
        "images",
        Catalog([module("disk", parts)]),
        wishes={
            "power": ("ON", "ON", "OFF"),
            "image": ("rocky9", "rocky10", "debian13"),
            "kernel": ("NEW", "OLD"),
            "mount": ("DONE",),
        },
        truths=(
            {"power": "OFF"},
            {"power": "ON"},
            {"power": "ON", "image": "rocky9", "kernel": "OLD"},
            {"power": "ON", "image": "rocky10", "kernel": "NEW", "mount": "DONE"},
        ),
        drifts={"power": ("OFF", "ON"), "image": ("centos7", "rocky9"), "kernel": ("OLD", "NEW")},
        initial={"mount": "NONE", "kernel": "OLD"},
    )


@cache
def unseen() -> Domain:
    """Things nobody can look at, looks that come only when asked for, and waits for the world."""
    warm = Condition("heat", ("WARM",))
    parts: list[Variable | Discovery | Mutation] = [
        Variable("dark", "heat", ("COLD", "WARM"), fresh_for_s=300.0),
        Variable("dark", "steam", ("NONE", "FULL"), known_when=(warm,)),
        Variable("dark", "seal", ("OPEN", "SHUT")),
        Variable("dark", "label", None),
        look("dark", "see_heat", "heat", every_s=None),
        look("dark", "see_steam", "steam", every_s=None, requires=(warm,)),
        Mutation("dark", "warm", (Change("heat", ("COLD",), "WARM"),), timeout_s=30.0, action=IPMI),
        Mutation(
            "dark", "cool", (Change("heat", ("WARM",), "COLD"),), timeout_s=30.0, disruptive=True, action=IPMI
        ),
        Mutation(
            "dark",
            "steam_up",
            (Change("steam", ("NONE",), "FULL"),),
            requires=(warm,),
            timeout_s=90.0,
            cost=20.0,
        ),
        Mutation(
            "dark",
            "shut",
            (Change("seal", (UNKNOWN, "OPEN"), "SHUT"),),
            timeout_s=30.0,
            action=IPMI,
            asserts=True,
        ),
        Mutation(
            "dark",
            "open",
            (Change("seal", (UNKNOWN, "SHUT"), "OPEN"),),
            timeout_s=30.0,
            action=IPMI,
            asserts=True,
        ),
        Mutation("dark", "name", (Change("label", None, CFG_VALUE),), timeout_s=30.0, action=ANSIBLE),
    ]
    return Domain(
        "unseen",
        Catalog([module("dark", parts)]),
        wishes={
            "heat": ("WARM", "WARM", "COLD"),
            "steam": ("FULL", "FULL", "NONE"),
            "seal": ("SHUT", "OPEN"),
            "label": ("a1", "b2"),
        },
        truths=({"heat": "COLD"}, {"heat": "WARM", "steam": "FULL"}, {"heat": "COLD", "seal": "OPEN"}),
        drifts={"heat": ("COLD", "WARM"), "steam": ("NONE",)},
        initial={"steam": "NONE"},
    )


DOMAINS = {"base": base, "services": services, "images": images, "unseen": unseen}
