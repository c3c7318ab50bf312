"""Of what a collector is not well is said above, in a few words, each time that becomes another."""

from __future__ import annotations

import pytest

from kraken.daemon.collector import Collector
from kraken.daemon.condition import HEALTH_MAX, Lack, ailments, said, say
from kraken.daemon.outage import Outage
from kraken.engine.settings import Settings
from kraken.sync.registry import HEALTH
from kraken.sync.tree import Tree
from kraken.testing.simulation.domains import services
from tests.unit.daemon.grove import Grove

FULL = ["its state cannot be written"]


def reason(grove: Grove, name: str, at: str = "root") -> str | None:
    """Of what the collector is not well, as is known at that one."""
    record = said(grove.collectors[at], name)
    return None if record is None else str(record.value)


def test_each_ailment_is_a_few_words_and_who_has_none_is_well() -> None:
    lacks = [Lack("", "m.see_os", "the vault is shut", 1.0)]

    outage = Outage(("a1", "a2", "a3"), 4, 1.0, 11.2)

    assert ailments(writes=True, refused=0, outage=None, lacks=[]) == []
    assert ailments(writes=False, refused=1, outage=outage, lacks=lacks) == [
        "its state cannot be written",
        "1 Kraken module was refused",
        "3 of its 4 children fell silent within 12 s: likely their network or power, not each of them",
        "it cannot do m.see_os: the vault is shut",
    ]
    assert ailments(writes=True, refused=2, outage=None, lacks=[]) == ["2 Kraken modules were refused"]


def test_it_is_known_above_until_it_is_over() -> None:
    grove = Grove("c1", "c2")
    grove.wait(15.0)
    say(grove.collectors["c1"], FULL, grove.now)
    began_at = grove.now
    grove.wait(5.0)
    record = said(grove.collectors["root"], "c1")

    assert record is not None
    assert record.value == "its state cannot be written"
    assert record.since == pytest.approx(began_at, abs=1.0)
    assert reason(grove, "c2") is None

    say(grove.collectors["c1"], [], grove.now)
    grove.wait(5.0)

    assert reason(grove, "c1") is None


def test_every_level_above_knows_it() -> None:
    grove = Grove("row")
    grove.start("row", "root", "c1")
    grove.start("c1", "row")
    grove.wait(50.0)
    say(grove.collectors["c1"], FULL, grove.now)
    grove.wait(5.0)

    assert reason(grove, "c1", at="row") == reason(grove, "c1") == FULL[0]
    assert reason(grove, "row") is None


def test_it_is_said_when_it_becomes_another_and_not_again() -> None:
    grove = Grove("c1")
    grove.wait(15.0)
    branch = grove.collectors["c1"].branch
    assert branch is not None
    stamps = []
    for found in ([], FULL, FULL, FULL, [*FULL, "more"], [], []):
        say(grove.collectors["c1"], found, grove.now)
        record = branch.tree.registry["@c1"].get(HEALTH)
        stamps.append(None if record is None else record.stamp.sequence)
        grove.wait(1.0)

    assert stamps[0] is None, "who always was well says nothing"
    assert stamps[1] == stamps[2] == stamps[3]
    assert len(set(stamps)) == 4
    assert stamps[5] == stamps[6]


def test_however_much_it_is_what_is_said_has_an_end() -> None:
    grove = Grove("c1")
    grove.wait(15.0)
    say(grove.collectors["c1"], [f"it cannot do m.m{number}: no" for number in range(1_000)], grove.now)
    grove.wait(5.0)
    told = reason(grove, "c1")

    assert told is not None
    assert len(told) == HEALTH_MAX
    assert told.endswith("…")


def test_another_life_that_is_well_says_nothing_and_what_the_one_before_said_is_over() -> None:
    grove = Grove("c1")
    grove.wait(15.0)
    say(grove.collectors["c1"], FULL, grove.now)
    grove.wait(5.0)
    assert reason(grove, "c1") == FULL[0]
    grove.start("c1", "root")
    grove.wait(50.0)

    assert reason(grove, "c1") is None


def test_who_is_in_no_tree_has_nobody_to_tell() -> None:
    alone = Collector(services().catalog, Settings(), incarnation=1)
    say(alone, FULL, 1.0)

    assert said(alone, "c1") is None
    assert alone.branch is None


def test_the_root_says_it_to_nobody_and_knows_nothing_of_who_is_not_there() -> None:
    root = Collector(services().catalog, Settings(), incarnation=1)
    root.join(Tree("root", 1, root.table, root.holds, 1.0), 1.0)
    say(root, FULL, 1.0)

    assert said(root, "c1") is None
