"""Our planner and Fast Downward, which shares nothing with it, agree on domains no brute force walks.

Fast Downward (https://www.fast-downward.org) is the planner of the planning community; `sas` says how
it is asked.
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, files
from pathlib import Path as FilePath
from random import Random

import pytest

from kraken.model.catalog import Catalog
from kraken.model.module import (
    Action,
    Change,
    Condition,
    Discovery,
    KrakenModule,
    Mutation,
    Observes,
    Variable,
)
from kraken.planning import search
from kraken.planning.path import DIFFERENT, NoPath, Path
from kraken.planning.planner import Planner
from tests.property.sas import OTHER, Task, optimum, task_of

LOOK = Action("tcp", None, FilePath())
UNKNOWN = "UNKNOWN"


def fast_downward() -> FilePath | None:
    """The program in the wheel; None where there is no wheel for this platform."""
    try:
        found = [
            file for file in files("up-fast-downward") or () if file.name == "downward" and not file.suffix
        ]
    except PackageNotFoundError:
        return None
    return FilePath(str(found[0].locate())) if found else None


PROGRAM = fast_downward()
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        PROGRAM is None, reason="up-fast-downward is not installed; it has wheels for Linux on x86-64 only"
    ),
]


class Domain:
    """A random domain with every feature of the language, and a question in it.

    Of its variables the first few are the centre: everything may depend on them, on later ones of
    them less often, as services need a booted node more than a boot needs services. All others
    depend on the centre only, and are many: their product is what brute force cannot walk.
    """

    def __init__(self, seed: int, centre: tuple[int, int], others: tuple[int, int]) -> None:
        self.random = random = Random(seed)
        self.centre = random.randint(*centre)
        self.names = [f"v{i}" for i in range(self.centre + random.randint(*others))]
        self.closed = {
            name: None if random.random() < 0.15 else tuple("ABCDE"[: random.randint(2, 4)])
            for name in self.names
        }
        self.literals = {name: self.closed[name] or ("A", "B") for name in self.names}
        self.mutations: dict[str, Mutation] = {}
        self.discoveries: dict[str, Discovery] = {}
        variables = {
            name: Variable("m", name, self.closed[name], known_when=self.known_when(i))
            for i, name in enumerate(self.names)
        }
        for i in range(len(self.names)):
            self.mutate(i)
        for i, name in enumerate(self.names):
            if random.random() < 0.6:
                self.discover(i, name)
        module = KrakenModule(
            "m",
            "",
            FilePath("m.yml"),
            variables=variables,
            mutations=self.mutations,
            discoveries=self.discoveries,
        )
        self.catalog = Catalog([module])
        values = {name: random.choice(["x", "x", "x", "y", ["x", "y"], None]) for name in ("arch", "bmc")}
        self.attributes = {name: value for name, value in values.items() if value is not None}
        seen = {
            name: random.choice([self.concrete(name), self.concrete(name), UNKNOWN]) for name in self.names
        }
        self.dsc = self.catalog.known(seen, self.attributes)
        self.blind = frozenset(key for key in self.catalog.discoveries if random.random() < 0.1)
        wishes = {name: self.concrete(name) for name in self.names}
        if random.random() < 0.8:
            wishes = self.wander(wishes)
        wished = random.sample(list(wishes), min(len(wishes), random.randint(3, 7)))
        self.cfg = {name: wishes[name] for name in sorted(wished)}

    def wander(self, cfg: dict[str, str]) -> dict[str, str]:
        """Where many steps at random lead, as far as it is another place: wishes that can come true."""
        task = task_of(self.catalog, self.attributes, self.dsc, cfg, self.blind)
        state = dict(task.start)
        for _ in range(100):
            ready = [op for op in task.operators if all(state[n] == value for n, value in op.before.items())]
            if ready:
                state.update(self.random.choice(ready).after)
        return {
            name: value for name, value in state.items() if value not in (UNKNOWN, OTHER, task.start[name])
        } or cfg

    def concrete(self, name: str) -> str:
        return self.random.choice([*self.literals[name], *(["W", "Z"] if self.closed[name] is None else [])])

    def some_of(self, name: str, most: int = 3) -> tuple[str, ...]:
        literals = self.literals[name]
        return tuple(self.random.sample(literals, self.random.randint(1, min(most, len(literals)))))

    def condition(self, below: int, own: str = "") -> Condition:
        """On an earlier variable most of the time; on a later one, or on an attribute, now and then."""
        if self.random.random() < 0.03:
            return Condition(
                self.random.choice(["arch", "bmc"]), (self.random.choice(["x", "x", "y", "ANY"]),)
            )
        upto = min(below, self.centre) if below and self.random.random() < 0.9 else self.centre
        name = self.random.choice([n for n in self.names[:upto] if n != own])
        if self.random.random() < 0.15:
            return Condition(name, ("ANY",))
        return Condition(name, (*self.some_of(name), *self.random.choice([(), (), (), (UNKNOWN,)])))

    def known_when(self, i: int) -> tuple[Condition, ...]:
        if not i or self.random.random() < 0.6:
            return ()
        found = [self.condition(i) for _ in range(self.random.choice([1, 1, 2]))]
        return tuple(c for c in found if c.name not in self.names[i:])  # on earlier ones only: no circles

    def mutate(self, i: int) -> None:
        random, name = self.random, self.names[i]
        for target in [*self.literals[name], *(["$cfg"] if self.closed[name] is None else [])]:
            for _ in range(random.choice([1, 1, 2])):
                unknown = random.choice([(), (UNKNOWN,)])
                sources = None if random.random() < 0.25 else (*self.some_of(name, 2), *unknown)
                changes = [Change(name, sources, target)]
                if random.random() < 0.2:
                    other = random.choice([n for n in self.names[: self.centre] if n != name])
                    values = [UNKNOWN, "$cfg", *self.literals[other]]
                    also = random.choice([None, self.some_of(other)])
                    changes.append(Change(other, also, random.choice(values)))
                key = f"o{len(self.mutations)}"
                self.mutations[key] = Mutation(
                    "m",
                    key,
                    tuple(changes),
                    tuple(self.condition(i, name) for _ in range(random.choice([0, 1, 1, 2]))),
                    tuple(self.condition(i, name) for _ in range(random.choice([0, 0, 0, 0, 0, 1]))),
                    cost=random.choice([0.0, 0.1, 0.5, 1.0, 1.0, 2.0, 3.0, 7.0]),
                    disruptive=random.random() < 0.25,
                    fails_to={name: self.literals[name][0]},
                )

    def discover(self, i: int, name: str) -> None:
        random = self.random
        seen = dict.fromkeys([name, *random.sample(self.names, random.choice([0, 0, 1]))])
        key = f"d{i}"
        self.discoveries[key] = Discovery(
            "m",
            key,
            tuple(Observes(n, self.some_of(n) if random.random() < 0.4 else None) for n in seen),
            LOOK,
            tuple(self.condition(i, name) for _ in range(random.choice([0, 1]))),
            cost=random.choice([0.5, 1.0, 2.0]),
        )


TANGLED = [pytest.param(seed, (8, 12), (0, 0), id=f"tangled-{seed}") for seed in range(100)]
STARS = [pytest.param(seed, (3, 4), (6, 14), id=f"star-{seed}") for seed in range(100)]


@pytest.mark.parametrize(("seed", "centre", "others"), TANGLED + STARS)
def test_a_path_costs_what_an_independent_planner_finds_cheapest(
    seed: int,
    centre: tuple[int, int],
    others: tuple[int, int],
    tmp_path: FilePath,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(search, "VERTICES_MAX", 1_000_000)  # what is given up has tests of its own
    domain = Domain(seed, centre, others)
    task = task_of(domain.catalog, domain.attributes, domain.dsc, domain.cfg, domain.blind)
    assert PROGRAM is not None

    cheapest = optimum(task, PROGRAM, tmp_path)
    answer = Planner(domain.catalog).find_path(domain.attributes, domain.dsc, domain.cfg, blind=domain.blind)

    if isinstance(answer, NoPath):
        assert cheapest is None, f"there is a path of cost {float(cheapest)}: {answer.reasons}"
        return
    assert cheapest is not None, f"there is no path, ours is {[s.operator.name for s in answer.steps]}"
    assert abs(answer.cost - float(cheapest)) < 1e-9
    assert follow(task, answer), "a step is not applicable, or does not do what it says"


def follow(task: Task, path: Path) -> bool:
    """Whether the task, which knows nothing of our planner, allows this path.

    A step says only what matters for Cfg; where its operator has several ways to do that, all are
    followed.
    """

    def as_said(name: str, value: str, said: str) -> bool:
        return value == said or (said == DIFFERENT and value in (OTHER, task.start[name]))

    states = [task.start]
    for step in path.steps:
        reached = [
            after
            for state in states
            for op in task.operators
            if op.name == step.operator.key and all(state[n] == value for n, value in op.before.items())
            for after in [{**state, **op.after}]
            if all(as_said(name, after[name], said) for name, said in step.effects.items())
        ]
        states = list({tuple(state.values()): state for state in reached}.values())
    return any(all(state[name] == value for name, value in task.goal.items()) for state in states)


def test_the_random_domains_ask_for_everything_the_language_has() -> None:
    paths: list[Path] = []
    for seed in range(60):
        domain = Domain(seed, (3, 4), (6, 14))
        answer = Planner(domain.catalog).find_path(
            domain.attributes, domain.dsc, domain.cfg, blind=domain.blind
        )
        paths += [answer] if isinstance(answer, Path) else []
    steps = [step for path in paths for step in path.steps]
    mutations = [step.operator for step in steps if isinstance(step.operator, Mutation)]

    assert 35 < len(paths) < 60  # some have none
    assert max(len(path.steps) for path in paths) >= 8
    assert len(mutations) < len(steps)  # discoveries, too
    assert any(UNKNOWN in step.effects.values() for step in steps)
    assert any(mutation.disruptive for mutation in mutations)
    assert any(len(mutation.changes) > 1 for mutation in mutations)
    assert any(change.target == "$cfg" for mutation in mutations for change in mutation.changes)
    assert any(mutation.requires for mutation in mutations)
    assert any(mutation.excludes for mutation in mutations)
