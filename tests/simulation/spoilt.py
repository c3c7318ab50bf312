"""What a rule of the tree is replaced with when it is broken on purpose."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec

from kraken.model.node import NodeTable
from kraken.model.update import Stamp
from kraken.sync.above import Above
from kraken.sync.children import Children
from kraken.sync.events import Event, Memory
from kraken.sync.feed import Feed
from kraken.sync.lease import Promises
from kraken.sync.leases import Leases
from kraken.sync.letters import NONE_BEFORE, Ask, Check, Checked, Delta, Doc, Hello, Letter, Reserve, Reserved
from kraken.sync.link import DEAD_S, HELLO_S, Heard, Link
from kraken.sync.links import Links
from kraken.sync.longer import Longer
from kraken.sync.mirror import Mirror
from kraken.sync.placement import Placement
from kraken.sync.placing import COLLECTORS, Placing
from kraken.sync.registry import Registry
from kraken.sync.shelf import updates_of
from kraken.sync.tree import Tree
from kraken.sync.twins import Doubt, Speaker, Twins
from kraken.testing.tree.member import Member


def does_nothing(*question: Any, **more: Any) -> None:
    return None


# -- of lives and feeds ---------------------------------------------------------------------------

HEAR, TELL, ASK, GIVEN = Link.hear, Feed.delta, Mirror.ask, Mirror._given


def hears_every_life(link: Link, letter: Letter, now: float) -> Heard:
    if not isinstance(letter.body, Hello):
        letter = msgspec.structs.replace(letter, life=link.their_life, your_life=link.life)
    return HEAR(link, letter, now)


HELLO = Link._hear_hello


def believes_any_life(link: Link, letter: Letter, hello: Hello, now: float) -> Heard:
    if letter.life < link.their_life:
        link.heard_at = None
    return HELLO(link, letter, hello, now)


def tells_nobody_is_gone(feed: Feed, read: Any, now: float) -> Delta | None:
    delta = TELL(feed, read, now)
    return None if delta is None else msgspec.structs.replace(delta, gone=[])


def ends_no_session(link: Link) -> None:
    if not link.is_up and len(link.feed) > 2 * (link._count() + 1):
        link._begin()


def forgets_what_is_gone(link: Link) -> None:
    feed = link.feed
    if not link.is_up and len(feed) > 2 * (link._count() + 1):
        feed._dirty = {key: dirty for key, dirty in feed._dirty.items() if not dirty.gone}


def takes_gaps(mirror: Mirror, delta: Delta) -> bool:
    if mirror.have < 0 or delta.upto <= mirror.have:
        return False
    mirror.have = delta.upto
    return True


def takes_late_ones(mirror: Mirror, delta: Delta) -> bool:
    if mirror.have < 0 or delta.base > mirror.have:
        return False
    mirror.have = max(mirror.have, delta.upto)
    return True


def believes_to_be_whole(mirror: Mirror, hello: Hello) -> bool:
    if not hello.whole or mirror.have >= 0:
        return False
    mirror.have = hello.upto
    return True


def asks_once(mirror: Mirror, now: float) -> Ask | None:
    ask = ASK(mirror, now)
    if ask is not None and mirror._exchange is not None:
        mirror._exchange.again_at = float("inf")
    return ask


def gives_what_it_gave(mirror: Mirror, keys: Any) -> list[Doc]:
    exchange = mirror._exchange
    former: dict[int, list[Doc]] = mirror.__dict__.setdefault("former", {})
    if exchange is None or exchange.asked is None:
        return GIVEN(mirror, keys)
    return former.setdefault(exchange.asked.number, GIVEN(mirror, keys))


def forgets_the_way(doc: Doc, now: float, lag_s: float, sides: Any) -> Any:
    return updates_of(doc, now, 0.0, sides)


AGAIN = Member._again


def touches_whatever_it_has(
    member: Member, node: str, variable: str, seen_at: float, stamp: Stamp, *, ours: bool
) -> None:
    found = member.table.get(node)
    old = None if found is None else found.dsc.get(variable)
    AGAIN(member, node, variable, seen_at, stamp if old is None else old.stamp, ours=ours)


# -- of who may say what --------------------------------------------------------------------------

ADOPT, HEAR_PARENT = Above._adopt, Above.hear
PLACE = Placing.place


def looks_at_no_number(children: Children, child: str, doc: Doc) -> bool:
    return children._placement.holder.get(doc.key) == child


MERGE = Registry.merge


def keeps_what_former_lives_said(registry: Registry, updates: Any, through: str | None) -> Any:
    told = list(updates)
    before = {update.node: dict(registry._docs.get(update.node, {})) for update in told}
    standing = MERGE(registry, told, through)
    for key, records in before.items():
        registry._docs[key] = records | registry._docs[key]
    return standing


def keeps_the_greatest_life(registry: Registry, updates: Any, through: str | None) -> Any:
    return MERGE(
        registry,
        [
            update
            for update in updates
            if all(
                r.stamp.incarnation <= update.stamp.incarnation
                for r in registry.get(update.node, {}).values()
            )
        ],
        through,
    )


def without(kind: type[Event], decide: Callable[..., list[Event]]) -> Callable[..., list[Event]]:
    return lambda *question: [event for event in decide(*question) if not isinstance(event, kind)]


ADD_CHILD = Tree.add_child


def adds_under_the_same_life(tree: Tree, name: str, now: float, **more: Any) -> None:
    tree._parted.clear()
    ADD_CHILD(tree, name, now, **more)


REMOVE_CHILD = Tree.remove_child


def forgets_who_was_revoked(tree: Tree, name: str, now: float, **more: Any) -> list[Event]:
    return REMOVE_CHILD(tree, name, now, **more) if name in tree.links else []


# -- of leases ------------------------------------------------------------------------------------

GRANTED, GRANT = Leases.hear_grant, Leases.grant


def counts_from_arrival(
    leases: Leases, link: Link, hello: Hello | None, written_at: float, **more: Any
) -> None:
    GRANTED(leases, link, hello, written_at if link.heard_at is None else link.heard_at, **more)


def promises_the_silent_nothing(leases: Leases, link: Link, now: float) -> int:
    promises = leases.placement.promise_to(link.name)
    until, lease_ms = promises.until, GRANT(leases, link, now)
    if link.heard_at is not None and now - link.heard_at > HELLO_S + 1.0:
        promises.until = until
    return lease_ms


def counts_at_once(leases: Leases, link: Link, hello: Hello | None, written_at: float, **more: Any) -> None:
    if hello is not None and hello.lease_ms:
        leases.tenure.granted(written_at, hello.lease_ms / 1000)


def gives_at_once(placement: Placement, key: str, *rest: Any) -> bool:
    return key not in placement.holder


IS_FREE = Placement.is_free


def gives_back_whatever_its_bmc(placement: Placement, key: str, to: str, now: float, bmc: str | None) -> bool:
    former = placement.former(key)
    return IS_FREE(placement, key, to, now, bmc) or (former is not None and former[0] == to)


def binds_by_the_lease_alone(placement: Placement, key: str) -> float:
    known = placement._let_go.get(key)
    return placement.promise_to(placement._leaving[key][0]).binds(key) if known is None else known


def knows_no_strangers(placement: Placement, key: str, to: str, now: float, bmc: str | None) -> bool:
    if key in placement.holder:
        return False
    if key in placement._leaving:
        return placement._leaving[key][0] == to or now >= placement._bound(key)
    return True


KNOWS = Leases.knows


def forgets_that_it_forgot(leases: Leases, now: float) -> int:
    return max(0, KNOWS(leases, now))


def is_bound_by_nothing_of_before(placement: Placement, child: str) -> Promises:
    return placement._promises.setdefault(child, Promises(float("-inf")))


GREETING = Tree._greeting


def calls_each_life_the_first(tree: Tree, neighbour: str, now: float) -> Hello:
    hello = GREETING(tree, neighbour, now)
    return hello if neighbour == tree.parent else msgspec.structs.replace(hello, has=NONE_BEFORE)


def is_bound_whatever_was_begun(leases: Leases, key: str, now: float) -> bool:
    return key in leases.placement.shared and key not in leases.placement.alone


RESTORE, RESTORE_LEAVING = Placement.restore, Placement.restore_leaving


def restores_nobody_alone(placement: Placement, *known: Any, alone: bool, **more: Any) -> None:
    RESTORE(placement, *known, alone=False, **more)


def restores_nobody_leaving_alone(placement: Placement, *known: Any, alone: bool, **more: Any) -> None:
    RESTORE_LEAVING(placement, *known, alone=False, **more)


def stays_with_strangers(placing: Placing, holder: str, wanted: str | None) -> bool:
    return (holder in placing._links or holder == Placement.OURS) and wanted not in (None, holder)


ANSWER, CHECKED = Leases.answer, Leases.hear_checked


def answers_at_once(leases: Leases, body: Check, now: float) -> None:
    ANSWER(leases, msgspec.structs.replace(body, upto=-1), now)


def lets_go_under_any_number(placement: Placement, child: str, key: str, epoch: int, now: float) -> None:
    if key in placement._leaving and placement._leaving[key][0] == child:
        placement._let_go[key] = now


def hears_of_any_number(leases: Leases, child: str, body: Checked, now: float) -> None:
    bound = {key: leases.placement.epoch.get(key, epoch) for key, epoch in body.bound.items()}
    CHECKED(leases, child, msgspec.structs.replace(body, bound=bound), now)


MEMORY = Leases.memory


def forgets_what_it_could_promise(leases: Leases, *question: Any) -> Memory:
    return replace(MEMORY(leases, *question), longest_s=0.0)


MAY_HAVE_BEGUN = Leases.may_have_begun


def looks_whom_it_lists_now(leases: Leases, key: str, now: float) -> bool:
    listed = leases._table[key].attribute(COLLECTORS)
    is_ours = leases._links.parent is None or (isinstance(listed, list) and "m" in listed)
    return is_ours and MAY_HAVE_BEGUN(leases, key, now)


def waits_for_neighbours_alone(tree: Tree, link: Link, now: float) -> bool:
    return not tree._remembers and link.they_have > 0 and now - tree.started_at < DEAD_S


def waits_for_what_it_took_itself(placement: Placement, child: str) -> bool:
    return any(former == child for former, _ in placement._leaving.values())


def takes_back_at_any_time(promises: Promises, keys: Any, number: int) -> list[str]:
    promises.begin_session()
    return GIVE_BACK(promises, keys, number)


def takes_any_grant(longer: Longer, body: Reserved, now: float) -> list[Event]:
    if body.number in longer._reserving:
        longer._counts_above.clear()
    return HEAR_RESERVED(longer, body, now)


GIVE_BACK, HEAR_RESERVED = Promises.give_back, Longer.hear_reserved
MARK = Links.mark


def tells_fields_alone(links: Links, name: str, key: str, fields: Any = None) -> None:
    if fields is not None:
        MARK(links, name, key, fields)


def tells_its_parent_what_changed_alone(links: Links, name: str, key: str, fields: Any = None) -> None:
    if fields is not None or name != links.parent:
        MARK(links, name, key, fields)


IS_LEFT = Leases._is_left


def lets_go_what_it_has_again(leases: Leases, key: str, now: float) -> bool:
    table, leases._table = leases._table, NodeTable()
    is_left = IS_LEFT(leases, key, now)
    leases._table = table
    return is_left


def counts_grants_of_former_sessions(
    leases: Leases, link: Link, hello: Hello | None, written_at: float, **more: Any
) -> bool:
    return GRANTED(leases, link, hello, written_at, restarted=False)


RESERVE = Longer.hear_reserve


def promises_under_any_number(longer: Longer, child: str, body: Reserve, now: float) -> list[Event]:
    keys = {key: longer._placement.epoch.get(key, epoch) for key, epoch in body.keys.items()}
    return RESERVE(longer, child, msgspec.structs.replace(body, keys=keys), now)


ACKNOWLEDGE = Feed.acknowledge


def acknowledges_late_ones(feed: Feed, have: int) -> list[tuple[str, bool]]:
    feed.acked = min(feed.acked, have)
    return ACKNOWLEDGE(feed, have)


# -- of two under one name ------------------------------------------------------------------------

REACHED = Tree.reached


def hears_all_over_one_connection(tree: Tree, neighbour: str, now: float, connection: int) -> None:
    REACHED(tree, neighbour, now)


HEAR_LIFE, DOUBT = Twins.hear, Doubt.hear


def counts_every_life(
    twins_heard: Twins, who: Speaker, now: float, written_at: float | None, *, holds: bool | None
) -> None:
    HEAR_LIFE(twins_heard, who, now, now + 1.0, holds=holds)


def gives_two_leases(leases: Leases, link: Link, now: float) -> int:
    link.twins._until, until = float("-inf"), link.twins._until
    lease_ms = GRANT(leases, link, now)
    link.twins._until = until
    return lease_ms


def gives_leases_in_doubt(leases: Leases, link: Link, now: float) -> int:
    leases.doubt.stands, stands = False, leases.doubt.stands
    lease_ms = GRANT(leases, link, now)
    leases.doubt.stands = stands
    return lease_ms


def forgets_machines(leases: Leases, *args: Any) -> Memory:
    return replace(MEMORY(leases, *args), bmcs={})


def forgets_its_doubt(leases: Leases, *args: Any) -> Memory:
    return replace(MEMORY(leases, *args), doubts=False)


def believes_at_once(doubt: Doubt, said: int, upto: int, have: int, *, restarted: bool) -> bool:
    return DOUBT(doubt, said, -1, have, restarted=restarted)
