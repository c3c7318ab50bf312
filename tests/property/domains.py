"""Random domains that are small enough for a naive planner, with every feature of the language."""

from __future__ import annotations

from pathlib import Path as FilePath
from random import Random

from hypothesis import strategies as st

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
from tests.property.naive import UNKNOWN

LOOK = Action("tcp", None, FilePath())


@st.composite
def domains(draw, variables_max=5, operators_max=8):
    """(catalog, attributes, dsc, cfg, blind) with every feature of the language."""
    names = [f"v{i}" for i in range(draw(st.integers(1, variables_max)))]
    closed = {}
    for name in names:
        closed[name] = draw(st.sampled_from([("A", "B"), ("A", "B", "C"), None, ("A",)]))
    literals = {name: closed[name] or ("A", "B") for name in names}

    def values_of(name, unknown=False):
        pool = [*literals[name], *([UNKNOWN] if unknown else [])]
        return draw(st.lists(st.sampled_from(pool), min_size=1, max_size=2, unique=True).map(tuple))

    def condition(among, attributes=True):
        if attributes and draw(st.integers(0, 5)) == 0:
            return Condition(draw(st.sampled_from(["arch", "bmc"])), (draw(st.sampled_from(["x", "y"])),))
        name = draw(st.sampled_from(among))
        if draw(st.integers(0, 7)) == 0:
            return Condition(name, ("ANY",))
        return Condition(name, values_of(name, unknown=draw(st.booleans())))

    variables = {}
    for i, name in enumerate(names):
        known = ()
        if i and draw(st.integers(0, 2)) == 0:
            known = tuple(condition(names[:i]) for _ in range(draw(st.integers(1, 2))))
        variables[name] = Variable("m", name, closed[name], known_when=known)

    def some(maker, most):
        return tuple(maker() for _ in range(draw(st.integers(0, most))))

    mutations, discoveries = {}, {}
    for i in range(draw(st.integers(1, operators_max))):
        requires = some(lambda: condition(names), 2) if draw(st.booleans()) else ()
        excludes = some(lambda: condition(names), 1) if draw(st.integers(0, 2)) == 0 else ()
        cost = draw(st.sampled_from([1.0, 1.0, 2.0, 0.5, 0.1, 0.0, 7.0]))
        if draw(st.integers(0, 3)) == 0:
            seen = draw(st.lists(st.sampled_from(names), min_size=1, max_size=3, unique=True))
            observes = tuple(Observes(n, values_of(n) if draw(st.booleans()) else None) for n in seen)
            discoveries[f"d{i}"] = Discovery("m", f"d{i}", observes, LOOK, requires, excludes, cost=cost)
        else:
            changed = draw(st.lists(st.sampled_from(names), min_size=1, max_size=2, unique=True))
            changes = []
            for name in changed:
                sources = values_of(name, unknown=True) if draw(st.integers(0, 2)) else None
                targets = [*literals[name], "$cfg"] + ([UNKNOWN] if draw(st.integers(0, 5)) == 0 else [])
                changes.append(Change(name, sources, draw(st.sampled_from(targets))))
            mutations[f"o{i}"] = Mutation(
                "m",
                f"o{i}",
                tuple(changes),
                requires,
                excludes,
                cost=cost,
                disruptive=draw(st.booleans()),
                fails_to={changed[0]: literals[changed[0]][0]},
            )
    catalog = Catalog(
        [
            KrakenModule(
                "m",
                "",
                FilePath("m.yml"),
                variables=variables,
                mutations=mutations,
                discoveries=discoveries,
            )
        ]
    )
    attributes = {}
    for name in ("arch", "bmc"):
        value = draw(st.sampled_from(["x", "x", "y", ["x", "y"], None]))
        if value is not None:
            attributes[name] = value

    def concrete(name):
        return draw(st.sampled_from([*literals[name], *(["W", "Z"] if closed[name] is None else [])]))

    dsc = {name: concrete(name) for name in names if draw(st.integers(0, 3))}
    wished = draw(st.lists(st.sampled_from(names), min_size=1, max_size=3, unique=True))
    cfg = {name: concrete(name) for name in sorted(wished)}
    blind = frozenset(d.key for d in discoveries.values() if draw(st.integers(0, 4)) == 0)
    return catalog, attributes, catalog.known(dsc, attributes), cfg, blind


def long_domain(seed: int):
    """As `domains`, from a seed and with longer paths: chains of mutations that need one another."""
    random = Random(seed)
    names = [f"v{i}" for i in range(random.randint(3, 6))]
    closed = {
        name: None if random.random() < 0.15 else tuple("ABCD"[: random.randint(2, 3)]) for name in names
    }
    literals = {name: closed[name] or ("A", "B") for name in names}

    def some_of(name, most=2):
        return tuple(random.sample(literals[name], random.randint(1, min(most, len(literals[name])))))

    def others(name, count):
        picked = random.sample([n for n in names if n != name], random.randint(0, count))
        return tuple(Condition(n, some_of(n)) for n in picked)

    variables = {}
    for i, name in enumerate(names):
        known = ()
        if i and random.random() < 0.4:
            on = random.choice(names[:i])
            known = (Condition(on, some_of(on)),)
        variables[name] = Variable("m", name, closed[name], known_when=known)
    mutations, discoveries = {}, {}

    def cost():
        return random.choice([0.0, 0.5, 1.0, 1.0, 1.0, 2.0, 3.0])

    for name in names:
        targets = [*literals[name], *(["$cfg"] if closed[name] is None or random.random() < 0.1 else [])]
        for target in targets:
            for _ in range(random.choice([1, 1, 1, 2, 0])):
                sources = (
                    None if random.random() < 0.3 else (*some_of(name), *random.choice([(), ("UNKNOWN",)]))
                )
                changes = [Change(name, sources, target)]
                if random.random() < 0.25:
                    other = random.choice([n for n in names if n != name])
                    changes.append(Change(other, None, random.choice(["UNKNOWN", *literals[other]])))
                key = f"o{len(mutations)}"
                mutations[key] = Mutation(
                    "m",
                    key,
                    tuple(changes),
                    others(name, 2) if random.random() < 0.6 else (),
                    others(name, 1) if random.random() < 0.25 else (),
                    cost=cost(),
                    disruptive=random.random() < 0.3,
                )
    for i in range(random.randint(0, 3)):
        seen = random.sample(names, random.randint(1, 3))
        observes = tuple(Observes(n, some_of(n) if random.random() < 0.4 else None) for n in seen)
        needs = others(seen[0], 1)
        discoveries[f"d{i}"] = Discovery("m", f"d{i}", observes, LOOK, needs, cost=cost())
    module = KrakenModule(
        "m", "", FilePath("m.yml"), variables=variables, mutations=mutations, discoveries=discoveries
    )
    catalog = Catalog([module])
    dsc = {name: random.choice([*literals[name], "UNKNOWN"]) for name in names}
    wished = [name for name in names if random.random() < 0.7] or names[:1]
    cfg = {
        name: random.choice([*literals[name], *(["W"] if closed[name] is None else [])]) for name in wished
    }
    return catalog, {}, catalog.known(dsc, {}), cfg, frozenset()
