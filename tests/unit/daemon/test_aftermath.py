"""What agents do still that a former life asked for is asked after, until it is over."""

from __future__ import annotations

from kraken.daemon.aftermath import ASK_AGAIN_S, Aftermath
from kraken.daemon.collector import Collector
from kraken.daemon.remembering import remembered
from kraken.engine.settings import Settings
from kraken.model.run import NodeFacts, NodeResult, Outcome, Run
from kraken.model.update import PRESENCE, PRESENT, Side, Stamp, StateUpdate
from kraken.store.records import Memory, UnfinishedRun
from kraken.testing.simulation.domains import services

CATALOG = services("node").catalog


class Story:
    """A daemon that started at 100.0, and an agent that is done at some time; pauses cost none."""

    def __init__(self, done_at: float, *, nodes: tuple[str, ...] = ("n1",)) -> None:
        self.now = 100.0
        self.done_at = done_at
        self.asked: list[str] = []
        self.told: list[tuple[float, NodeResult]] = []
        self.one = Collector(CATALOG, Settings(), incarnation=2)
        known = [StateUpdate("n1", Side.ATTRIBUTE, PRESENCE, PRESENT, Stamp(1, 1), 0.0, "ann")]
        self.one.restore(known, [], self.now)
        unfinished = tuple(UnfinishedRun("1-1", "side.start_db", node, 95.0, 20.0) for node in nodes)
        remembered(self.one, Memory(unfinished=unfinished), self.now, "c1")
        self.after = Aftermath(self.one, self.is_over, self.tell, lambda: self.now, self.pause)

    async def is_over(self, run: Run, facts: NodeFacts) -> bool:
        self.asked.append(facts.name)
        return self.now >= self.done_at

    async def pause(self, seconds: float) -> None:
        self.now += seconds

    def tell(self, run: Run, result: NodeResult) -> None:
        self.told.append((self.now, result))


async def test_it_is_told_as_soon_as_the_agent_says_so() -> None:
    story = Story(105.0)
    [(run, node)] = story.after.runs()
    await story.after.follow(run, node)
    [(at, result)] = story.told

    assert 105.0 <= at <= 105.0 + ASK_AGAIN_S
    assert (result.run_id, result.node, result.outcome) == ("1-1", "n1", Outcome.INTERRUPTED)
    assert not result.asked
    assert "its agent does nothing of it any more" in result.message


async def test_who_does_not_say_so_is_asked_for_no_longer_than_it_may_take() -> None:
    story = Story(float("inf"))
    await story.after.follow(*story.after.runs()[0])
    [(at, result)] = story.told

    assert 120.0 <= at <= 120.0 + ASK_AGAIN_S
    assert "the time is over" in result.message


async def test_of_a_node_that_is_gone_nobody_is_asked() -> None:
    story = Story(105.0, nodes=("n9",))
    await story.after.follow(*story.after.runs()[0])

    assert story.asked == []
    assert len(story.told) == 1


def test_each_node_of_a_run_is_followed() -> None:
    story = Story(105.0, nodes=("n1", "n9"))

    assert [node for _, node in story.after.runs()] == ["n1", "n9"]
