"""The simulated tree itself: rules of its protocol, broken on purpose, are noticed by a story or some seed.

docs/decisions/0044-*.md has which rule is noticed where, and which are harmless to break, and why.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from kraken.sync import above as above_module
from kraken.sync import children as children_module
from kraken.sync import feed as feed_module
from kraken.sync import link as link_module
from kraken.sync import longer as longer_module
from kraken.sync import tree as tree_module
from kraken.sync.above import Above
from kraken.sync.children import Children
from kraken.sync.events import Forget, Outgrow
from kraken.sync.feed import Feed
from kraken.sync.lease import Promises
from kraken.sync.leases import Leases
from kraken.sync.letters import Delta
from kraken.sync.link import Link
from kraken.sync.links import Links
from kraken.sync.longer import Longer
from kraken.sync.mirror import Mirror
from kraken.sync.placement import Placement
from kraken.sync.placing import Placing
from kraken.sync.registry import Registry
from kraken.sync.tree import Tree
from kraken.sync.twins import Doubt, Twins
from kraken.testing.tree.chaos import Chaos
from kraken.testing.tree.forest import BrokenPromiseError
from kraken.testing.tree.member import Member
from tests.simulation import spoilt
from tests.simulation.stories import STORIES, disks, leases, longer, machines, twins, words

Breaks = Callable[[pytest.MonkeyPatch], None]
Story = Callable[[], None]


def chaos(seeds: int) -> Story:
    """The lives of so many seeds."""

    def told() -> None:
        for seed in range(seeds):
            Chaos(seed).run()

    return told


def replaces(owner: Any, name: str, does: Callable[..., Any]) -> Breaks:
    return lambda monkeypatch: monkeypatch.setattr(owner, name, does)


def sets(owner: Any, name: str, value: float) -> Breaks:
    return lambda monkeypatch: monkeypatch.setattr(owner, name, value)


def both(*breaks: Breaks) -> Breaks:
    return lambda monkeypatch: [one(monkeypatch) for one in breaks].clear()


BREAKAGES: dict[str, tuple[Breaks, Story]] = {
    "letters of former lives are heard": (
        replaces(Link, "hear", spoilt.hears_every_life),
        words.a_letter_of_a_former_life_comes_late,
    ),
    "a smaller life is believed at once": (
        replaces(Link, "_hear_hello", spoilt.believes_any_life),
        words.a_hello_of_a_former_life_comes_late,
    ),
    "a later life of a collector stands for ever": (
        replaces(Registry, "merge", spoilt.keeps_the_greatest_life),
        words.a_collector_that_lost_its_disk_starts_when_its_clock_was_set_back,
    ),
    "withdrawals are left out": (
        replaces(Feed, "delta", spoilt.tells_nobody_is_gone),
        words.a_node_is_withdrawn,
    ),
    "what is gone is remembered for who is away": (
        replaces(Link, "_limit", spoilt.does_nothing),
        words.nodes_come_and_go_for_months_while_their_collector_is_away,
    ),
    "a session is ended at one end only": (
        replaces(Link, "_limit", spoilt.ends_no_session),
        words.nodes_come_and_go_for_months_while_their_collector_is_away,
    ),
    "what is gone is forgotten in the same session": (
        replaces(Link, "_limit", spoilt.forgets_what_is_gone),
        words.nodes_went_to_another_while_their_collector_was_away_for_long,
    ),
    "what was taken is no answer to who forgot": (
        replaces(Placement, "switches_none", lambda *args: True),
        machines.a_root_gets_a_disk_back_from_before_a_bmc_moved,
    ),
    "nobody ever dies": (sets(link_module, "DEAD_S", 1e9), chaos(5)),
    "what changed is told once": (
        sets(feed_module, "RESEND_S", 1e9),
        words.what_is_declared_is_lost_on_its_way,
    ),
    "what is lacking is asked for once": (
        replaces(Mirror, "ask", spoilt.asks_once),
        words.a_question_is_lost,
    ),
    "late changes are taken in again": (
        replaces(Mirror, "delta", spoilt.takes_late_ones),
        words.what_is_declared_comes_twice_and_the_second_time_late,
    ),
    "copies are never compared": (replaces(Mirror, "hello", spoilt.believes_to_be_whole), chaos(5)),
    "nothing is given back": (replaces(Mirror, "_given", lambda *args: []), chaos(5)),
    "the way of a letter takes no time": (
        both(
            *(
                replaces(module, "updates_of", spoilt.forgets_the_way)
                for module in (above_module, children_module)
            )
        ),
        chaos(20),
    ),
    "what is given back does not grow older": (
        replaces(Mirror, "_given", spoilt.gives_what_it_gave),
        chaos(40),
    ),
    "seen again is told before what was seen, and taken for what is held": (
        both(
            replaces(Feed, "__contains__", lambda *args: False),
            replaces(Member, "_again", spoilt.touches_whatever_it_has),
        ),
        words.a_value_is_seen_again_before_it_was_told,
    ),
    "that a value was seen again is never told": (
        replaces(Tree, "seen_again", spoilt.does_nothing),
        words.a_value_that_is_seen_again_is_told_now_and_then,
    ),
    "own sleep is the silence of others": (
        replaces(Links, "forgive", spoilt.does_nothing),
        words.a_parent_sleeps_while_its_network_is_down,
    ),
    "children are not greeted by who became whole": (
        replaces(Link, "greet_now", spoilt.does_nothing),
        words.whoever_becomes_whole_says_so_at_once,
    ),
    "claims of who has not the node are believed": (
        replaces(Children, "_may_tell", lambda *args: True),
        words.a_word_of_a_former_holder_comes_late,
    ),
    "claims under a former lease are believed": (
        replaces(Children, "_may_tell", spoilt.looks_at_no_number),
        words.a_word_of_a_deleted_node_comes_after_its_namesake,
    ),
    "what was told under a former lease is not told again": (
        replaces(Links, "mark", spoilt.tells_its_parent_what_changed_alone),
        words.a_value_is_seen_while_its_lease_gets_another_number,
    ),
    "claims of a former parent are believed": (
        replaces(Registry, "may_tell", lambda *args: True),
        words.a_collector_moves_and_its_former_parent_speaks_of_it_late,
    ),
    "former lives of collectors are believed": (
        replaces(Registry, "merge", spoilt.keeps_what_former_lives_said),
        words.a_collector_restarts_without_a_child_it_had,
    ),
    "former stamps are not outgrown": (
        both(
            replaces(Above, "_adopt", spoilt.without(Outgrow, spoilt.ADOPT)),
            replaces(Placing, "place", spoilt.without(Outgrow, spoilt.PLACE)),
            replaces(Above, "hear", spoilt.without(Outgrow, spoilt.HEAR_PARENT)),
        ),
        words.a_node_comes_to_a_collector_that_restarted_less_often,
    ),
    "a node that comes back is not forgotten first": (
        replaces(Above, "_adopt", spoilt.without(Forget, spoilt.ADOPT)),
        words.a_node_is_deleted_and_declared_anew_while_its_holder_is_cut_off,
    ),
    "a lease counts from its arrival": (
        replaces(Leases, "hear_grant", spoilt.counts_from_arrival),
        leases.the_last_hello_comes_late,
    ),
    "what is promised to who is silent does not count": (
        replaces(Leases, "grant", spoilt.promises_the_silent_nothing),
        leases.a_collector_that_is_not_heard_hears_of_its_lease_still,
    ),
    "a lease counts before what it means is known": (
        replaces(Leases, "hear_grant", spoilt.counts_at_once),
        leases.a_lease_comes_before_the_word_that_the_node_is_gone,
    ),
    "nodes are given away at once": (replaces(Placement, "is_free", spoilt.gives_at_once), chaos(10)),
    "holders who think they are alone are not waited for": (
        replaces(Placement, "_bound", spoilt.binds_by_the_lease_alone),
        longer.a_mutation_begun_without_a_lease_is_over_before_another_gets_the_node,
    ),
    "who let go is asked once": (
        sets(tree_module, "CHECK_S", 1e9),
        leases.what_was_let_go_is_asked_for_and_the_question_is_lost,
    ),
    "all is bound by the lease at once": (
        replaces(Leases, "_is_bound", spoilt.is_bound_whatever_was_begun),
        longer.a_mutation_begun_without_a_lease_is_over_before_another_gets_the_node,
    ),
    "promises to children are no matter to who is above": (
        replaces(Leases, "_is_bound", spoilt.is_bound_whatever_was_begun),
        longer.what_a_child_was_promised_before_is_over_too,
    ),
    "who is asked what it let go answers before it knows what it had": (
        replaces(Leases, "answer", spoilt.answers_at_once),
        leases.a_question_overtakes_the_word_that_the_node_is_given_and_taken,
    ),
    "a lease is of a name, whatever machine that is": (
        replaces(Placement, "switched_as", spoilt.does_nothing),
        machines.a_node_is_deleted_and_its_bmc_another_nodes,
    ),
    "a node that has another BMC stays with who has it": (
        replaces(Placing, "_take_rewired", spoilt.does_nothing),
        machines.a_rack_is_cut_off_from_its_row_when_its_bmc_moves,
    ),
    "a node that has another BMC goes back to who has it at once": (
        replaces(Placement, "is_free", spoilt.gives_back_whatever_its_bmc),
        machines.two_nodes_exchange_their_bmcs,
    ),
    "a life after another forgets which machines were given": (
        replaces(Leases, "memory", spoilt.forgets_machines),
        machines.the_root_restarts_after_a_bmc_became_another_nodes,
    ),
    "what was let go under a former lease counts for the last": (
        replaces(Placement, "let_go", spoilt.lets_go_under_any_number),
        leases.what_was_let_go_before_is_told_late,
    ),
    "what was bound under a former lease counts for the last": (
        replaces(Leases, "hear_checked", spoilt.hears_of_any_number),
        leases.what_was_bound_before_is_told_late,
    ),
    "a life after another forgets who thinks that it is alone": (
        both(
            replaces(Placement, "restore", spoilt.restores_nobody_alone),
            replaces(Placement, "restore_leaving", spoilt.restores_nobody_leaving_alone),
        ),
        leases.a_parent_restarts_while_a_holder_thinks_that_it_is_alone,
    ),
    "a daemon that was let in again goes on with the session of before": (
        replaces(Tree, "add_child", spoilt.adds_under_the_same_life),
        leases.a_collector_is_revoked_and_let_in_again_while_its_daemon_runs,
    ),
    "what was begun is waited for until its time is over": (
        replaces(Leases, "ended", lambda *args: False),
        leases.a_mutation_ends_before_its_time_when_its_node_was_taken_away,
    ),
    "a node is let go while a mutation runs on it": (
        replaces(Leases, "busy_until", lambda *args: float("-inf")),
        leases.a_mutation_ends_before_its_time_when_its_node_was_taken_away,
    ),
    "a longer lease is asked for to the second": (
        sets(longer_module, "SKEW", 0.0),
        longer.a_longer_lease_is_over_by_the_clock_that_goes_slower,
    ),
    "longer leases are never given back": (
        replaces(Longer, "give_back", spoilt.does_nothing),
        longer.a_longer_lease_is_given_back_and_that_is_lost,
    ),
    "longer leases are given back once": (
        sets(longer_module, "GIVE_BACK_S", 1e9),
        longer.a_longer_lease_is_given_back_and_that_is_lost,
    ),
    "a longer lease is given back while the mutation runs": (
        replaces(Longer, "_is_over", lambda *args: True),
        longer.a_longer_lease_is_not_given_back_while_its_mutation_runs,
    ),
    "a longer lease is given back while a child needs it": (
        replaces(Leases, "_begun_until", Leases.busy_until),
        longer.a_longer_lease_is_not_given_back_while_a_child_needs_it,
    ),
    "what is given back late ends a newer asking": (
        replaces(Promises, "give_back", spoilt.takes_back_at_any_time),
        longer.a_longer_lease_is_asked_for_anew_before_it_comes_that_the_former_was_given_back,
    ),
    "a grant counts that comes after it was given back": (
        replaces(Longer, "hear_reserved", spoilt.takes_any_grant),
        longer.a_longer_lease_is_granted_after_it_was_given_back,
    ),
    "a parent that restarts is bound by nothing of before": (
        replaces(Placement, "promise_to", spoilt.is_bound_by_nothing_of_before),
        longer.a_parent_restarts_while_a_child_has_a_longer_lease,
    ),
    "a parent that restarts is bound by what it could promise now": (
        replaces(Leases, "memory", spoilt.forgets_what_it_could_promise),
        longer.a_parent_restarts_with_other_modules_while_a_child_has_a_longer_lease,
    ),
    "whoever is heard first after a restart has the nodes": (
        replaces(Placing, "_is_to_come", lambda *args: False),
        leases.a_parent_restarts_and_hears_the_next_candidate_first,
    ),
    "each life of a child is called its first": (
        replaces(Tree, "_greeting", spoilt.calls_each_life_the_first),
        disks.a_parent_restarts_and_its_child_loses_its_disk_while_a_mutation_runs,
    ),
    "who was revoked and comes back is met for the first time": (
        replaces(Placement, "waits_for", lambda *args: False),
        disks.a_collector_that_lost_its_disk_is_revoked_and_comes_back_under_its_name,
    ),
    "who was revoked by a parent that forgot is met for the first time": (
        replaces(Placement, "waits_for", spoilt.waits_for_what_it_took_itself),
        disks.a_collector_is_revoked_by_a_parent_that_forgot_and_comes_back_under_its_name,
    ),
    "nobody can vouch for who was revoked": (
        replaces(Tree, "remove_child", spoilt.forgets_who_was_revoked),
        leases.a_person_vouches_for_a_collector_that_was_revoked_before,
    ),
    "who was revoked by a life that is forgotten has nothing": (
        replaces(Tree, "add_former_child", lambda *args: None),
        disks.a_parent_loses_its_disk_after_it_revoked_a_child,
    ),
    "who starts goes on with what it remembers at once": (
        replaces(Tree, "is_whole", property(lambda tree: True)),
        leases.a_person_vouches_for_a_collector_that_is_let_in_again,
    ),
    "a disk that was put back is believed": (
        replaces(Tree, "_look_back", lambda *args: []),
        disks.a_root_gets_a_disk_back_from_before_it_gave_a_node_away,
    ),
    "a node stays with who is no neighbour any more": (
        replaces(Placing, "_is_taken", spoilt.stays_with_strangers),
        leases.a_parent_ends_when_a_child_was_revoked_and_that_is_not_kept_beside_who_has_which_node,
    ),
    "a child's lease may outlast that of its parent": (
        replaces(Leases, "covers", lambda *args: True),
        leases.a_node_is_given_to_a_child_shortly_before_the_lease_of_its_parent_ends,
    ),
    "a child that forgot lets go of everything at once": (
        replaces(Leases, "busy_until", lambda leases, key: leases._busy(key)),
        disks.a_node_is_taken_from_a_collector_that_loses_its_disk_while_it_is_down,
    ),
    "a parent that forgot gives away at once": (
        replaces(Placement, "is_free", spoilt.knows_no_strangers),
        disks.a_parent_loses_its_disk_and_a_child_is_not_heard_until_long_after,
    ),
    "what a forgotten life ran itself is no matter": (
        replaces(Leases, "may_have_begun", lambda *args: False),
        disks.a_collector_loses_its_disk_while_its_own_mutation_runs,
    ),
    "what a forgotten life ran itself matters where it is listed still": (
        replaces(Leases, "may_have_begun", spoilt.looks_whom_it_lists_now),
        disks.a_collector_loses_its_disk_while_its_mutation_runs_on_a_node_that_lists_it_no_more,
    ),
    "who forgot what it began begins something beside it": (
        replaces(Tree, "is_unsure", property(lambda tree: False)),
        disks.a_collector_that_lost_its_disk_begins_nothing_beside_what_it_does_not_remember,
    ),
    "who waits for what it may have begun tells who remembers that it has nothing": (
        replaces(Tree, "_may_lack", spoilt.waits_for_neighbours_alone),
        disks.a_child_goes_on_while_its_parent_waits_for_what_it_may_have_begun,
    ),
    "a life after one that forgot thinks that it knows": (
        replaces(Placement, "forgotten", property(lambda placement: sorted(placement.strange))),
        disks.a_collector_that_lost_its_disk_restarts_again_while_its_mutation_runs,
    ),
    "a child that forgot has nothing": (
        replaces(Leases, "knows", spoilt.forgets_that_it_forgot),
        disks.a_child_loses_its_disk_long_after_its_parent_did,
    ),
    "a parent that forgot is whole at once": (
        replaces(Tree, "_may_lack", lambda *args: False),
        disks.a_parent_that_lost_its_disk_takes_nothing_from_who_remembers,
    ),
    "nodes stay where they are when their collector moves": (
        replaces(Placing, "reconsider", spoilt.does_nothing),
        leases.a_collector_moves_and_takes_its_nodes_with_it,
    ),
    "who is given a node is not told of it": (
        replaces(Links, "mark", spoilt.tells_fields_alone),
        leases.a_collector_moves_and_takes_its_nodes_with_it,
    ),
    "two daemons under one name are not noticed": (
        replaces(Twins, "speak", lambda *args: False),
        twins.two_speak_and_neither_begins_anything_until_one_is_silent,
    ),
    "who has one life is one": (
        replaces(Tree, "reached", spoilt.hears_all_over_one_connection),
        twins.two_go_on_from_one_snapshot_of_memory,
    ),
    "whoever has a former life is two": (
        replaces(Twins, "hear", spoilt.counts_every_life),
        chaos(5),
    ),
    "two that speak have leases": (
        replaces(Leases, "grant", spoilt.gives_two_leases),
        twins.two_speak_and_neither_begins_anything_until_one_is_silent,
    ),
    "a life that was told is forgotten with it": (
        replaces(Leases, "memory", spoilt.forgets_its_doubt),
        twins.one_of_two_is_cut_off_when_it_was_told_and_starts_again,
    ),
    "who is alone begins before it is over what the other began": (
        replaces(Twins, "bind", lambda twins, life, now, longest_s: twins.speak(now)),
        twins.one_of_two_is_switched_off_while_its_mutation_runs,
    ),
    "what one of two lets go the other has let go": (
        replaces(Leases, "binds_us", lambda *args: False),
        twins.a_node_is_taken_from_two_while_a_mutation_of_one_runs,
    ),
    "who is alone begins before it holds what its parent holds": (
        replaces(Doubt, "hear", spoilt.believes_at_once),
        twins.a_node_is_taken_from_the_other_while_one_is_cut_off,
    ),
    "two that speak give leases to their children": (
        replaces(Leases, "grant", spoilt.gives_leases_in_doubt),
        twins.children_of_two_are_given_nothing,
    ),
}

HARMLESS: dict[str, tuple[Breaks, Story]] = {
    "a longer lease is given under any number": (
        replaces(Longer, "hear_reserve", spoilt.promises_under_any_number),
        longer.a_longer_lease_is_asked_for_anew_before_it_comes_that_the_former_was_given_back,
    ),
    "a grant of a former session counts": (
        replaces(Leases, "hear_grant", spoilt.counts_grants_of_former_sessions),
        leases.a_lease_comes_before_the_word_that_the_node_is_gone,
    ),
    "a node is let go that was given again": (
        replaces(Leases, "_is_left", spoilt.lets_go_what_it_has_again),
        leases.a_question_overtakes_the_word_that_the_node_is_given_and_taken,
    ),
    "late acknowledgements count": (
        replaces(Feed, "acknowledge", spoilt.acknowledges_late_ones),
        words.what_is_declared_comes_twice_and_the_second_time_late,
    ),
    "gaps are taken in": (
        replaces(Mirror, "delta", spoilt.takes_gaps),
        words.a_letter_of_a_former_life_comes_late,
    ),
    "seen again is told before what was seen": (
        replaces(Feed, "__contains__", lambda *args: False),
        words.a_value_is_seen_again_before_it_was_told,
    ),
    "seen again is taken for what is held": (
        replaces(Member, "_again", spoilt.touches_whatever_it_has),
        words.a_value_is_seen_again_before_it_was_told,
    ),
    "former stamps are not outgrown when a node is adopted": (
        replaces(Above, "_adopt", spoilt.without(Outgrow, spoilt.ADOPT)),
        words.a_node_comes_to_a_collector_that_restarted_less_often,
    ),
    "former stamps are not outgrown when a node is gained": (
        replaces(Placing, "place", spoilt.without(Outgrow, spoilt.PLACE)),
        words.a_node_comes_to_a_collector_that_restarted_less_often,
    ),
}
"""Another rule does the same: broken alone, nothing follows."""


def test_what_a_breakage_spoils_comes_out_well_unspoiled() -> None:
    """Else a story that fails by itself would be taken for one that notices."""
    lives = chaos(1).__qualname__
    stories = [story for _, story in (BREAKAGES | HARMLESS).values() if story.__qualname__ != lives]

    assert [story for story in stories if story not in STORIES] == []


@pytest.mark.simulation
@pytest.mark.parametrize("breakage", BREAKAGES)
def test_a_broken_rule_of_the_tree_is_noticed(breakage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A promise is seen broken, or the protocol crashes over it."""
    breaks, story = BREAKAGES[breakage]
    breaks(monkeypatch)

    with pytest.raises((BrokenPromiseError, AssertionError, KeyError)):
        story()


@pytest.mark.simulation
@pytest.mark.parametrize("breakage", HARMLESS)
def test_a_rule_that_another_stands_behind_may_break(breakage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    breaks, story = HARMLESS[breakage]
    breaks(monkeypatch)
    story()
    chaos(3)()


@pytest.mark.simulation
def test_a_gap_never_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A feed tells on from what was acknowledged in the same life, so nothing is missing before it."""
    take, taken = Mirror.delta, 0

    def takes_in(mirror: Mirror, delta: Delta) -> bool:
        nonlocal taken
        taken += 1

        assert mirror.have < 0 or delta.base <= mirror.have

        return take(mirror, delta)

    monkeypatch.setattr(Mirror, "delta", takes_in)
    chaos(20)()

    assert taken > 1000
