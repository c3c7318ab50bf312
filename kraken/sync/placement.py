"""Which neighbour has each node, and when another may have it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from kraken.sync.lease import Promises
from kraken.sync.machines import Machines


class Placement:
    """Which neighbour has each node, and how one comes to another: the old lease must be over first.

    Args:
        epoch: numbers of leases begin above it; never the same in two lives.
        strange_until: until when what a former life of ours promised may still bind us.
        strange: children who had nodes of us in a life that is forgotten. A node of which nobody knows who
            had it is given away when each of them has said that it has nothing to do with it. OURS among
            them: we may have run some ourselves.
        quiet_until: when what we began in such a life is over at the latest.

    Attributes:
        holder: node -> who has it: a child, or `OURS`.
        epoch: node -> number of that lease. taken: of the one with which its holder came to have it.
        shared: nodes of which that lease says that others could come to have them.
        alone: nodes whose holder may not know that others could come to have them: it goes on for as
            long as it likes, so nobody else gets them until it says that it let go.
        machines: the BMCs that leases cover, those of nodes that are not let go among them.
        strange: those of the children that have not said yet that they have nothing at all.
        had_children: lives of ours that are forgotten had some, who may have nodes of those.
        changed: nodes of which something here became another, since the caller last emptied it; OURS, when
            `forgotten` did.
    """

    OURS: Final = ""

    def __init__(
        self, epoch: int, strange_until: float, strange: Iterable[str], quiet_until: float = float("-inf")
    ) -> None:
        self.holder: dict[str, str] = {}
        self.epoch: dict[str, int] = {}
        self.taken: dict[str, int] = {}
        self.shared: set[str] = set()
        self.alone: set[str] = set()
        self.changed: set[str] = set()
        self.machines = Machines()
        self._number = epoch
        self._strange_until = strange_until
        self.strange = set(strange) - {self.OURS}
        self._quiet_until = quiet_until
        self._is_quiet = quiet_until > float("-inf")
        self._former = set(
            self.strange
        )  # children of the lives that are forgotten, but those that are ours no more
        self.had_children = bool(self._former)  # in those lives
        self._promises: dict[str, Promises] = {}
        self._of: dict[str, dict[str, None]] = {}  # holder -> nodes
        self._leaving: dict[str, tuple[str, int]] = {}  # node -> whom it was taken from, and that lease
        self._let_go: dict[str, float] = {}  # node of those -> when the lease that it knew ends
        self._known: set[str] = set()  # nodes of which this life, or its memory, knows who had them
        self._cleared: dict[str, set[str]] = {}  # node -> children that said they have nothing to do with it

    @property
    def number(self) -> int:
        """Of the last lease that was given."""
        return self._number

    def restore(
        self,
        key: str,
        holder: str,
        epoch: int,
        taken: int,
        *,
        shared: bool,
        alone: bool,
        bmc: str | None = None,
    ) -> None:
        """A former life had given it so, for this BMC."""
        self._set(key, holder, epoch, shared=shared, bmc=bmc)
        self.taken[key] = taken
        if alone:
            self.alone.add(key)

    def restore_leaving(
        self, key: str, former: str, epoch: int, *, alone: bool, bmc: str | None = None
    ) -> None:
        """A former life had taken it from this holder, and did not come to know that it let go."""
        self._leaving[key] = (former, epoch)
        self.machines.cover(key, bmc)
        self._number = max(self._number, epoch)
        if alone:
            self.alone.add(key)

    def of(self, holder: str) -> Mapping[str, None]:
        """The nodes it has."""
        return self._of.get(holder, {})

    def promise_to(self, child: str) -> Promises:
        """What binds us to this child."""
        found = self._promises.get(child)
        if found is None:
            found = self._promises[child] = Promises(self._strange_until)
        return found

    def is_free(self, key: str, to: str, now: float, bmc: str | None = None) -> bool:
        """Whether nobody but this holder may be running mutations on the node, and nobody switches its BMC
        as that of another: it may be given to it.
        """
        if key in self.holder or self.switched_as(key, bmc, now) is not None:
            return False
        if key in self._leaving:
            stays = self._leaving[key][0] == to and self.machines.of.get(key) == bmc
            return stays or now >= self._bound(key)
        return self.unsaid(key) <= {to}

    def switched_as(self, key: str, bmc: str | None, now: float) -> str | None:
        """The other node as which somebody may switch this BMC; None: there is none."""
        if bmc is None:
            return None
        others = self.machines.others(bmc, key)
        return next((other for other in others if other in self.holder or now < self._bound(other)), None)

    def is_unknown(self, key: str) -> bool:
        """Whether neither this life nor its memory knows who had the node."""
        return key not in self._known

    def unsaid(self, key: str) -> set[str]:
        """The children that may have such a node from a life of ours that is forgotten: they have not said
        that they have nothing to do with it.
        """
        return set() if key in self._known else self.strange - self._cleared.get(key, set())

    def forget_all(self, children: Iterable[str], quiet_until: float) -> None:
        """Who has which node is not known: each of these children may have had any, and we ourselves. Who is
        no child any more says nothing: what was taken from such a one is waited for as before.
        """
        asked = {self.OURS, *children}
        for key in list(self.holder):
            self._drop(key)
            self.alone.discard(key)
            self.machines.uncover(key)
        for key, (former, _) in list(self._leaving.items()):
            if former in asked:
                self._leave(key)
        self._known.clear()
        self._cleared.clear()
        for child in children:
            self.estrange(child)
        self._quiet_until, self._is_quiet = quiet_until, True
        self.changed.add(self.OURS)

    def is_first(self, now: float) -> None:
        """No life of ours was before this one: nothing is under way that is forgotten."""
        self._quiet_until = min(self._quiet_until, now)

    def estrange(self, child: str) -> None:
        """This child was heard in a life of ours that is forgotten."""
        self.strange.add(child)
        self._former.add(child)
        self.had_children = True
        self.changed.add(self.OURS)

    def absolve(self, child: str, now: float) -> bool:
        """It has nothing of any life of ours, and nothing of its is under way; whether that is news."""
        self.promise_to(child).absolve(now)
        return self._know(child)

    def part_with(self, child: str) -> None:
        """A person vouches that it has nothing of any life of ours, and it is ours no more: no later life
        of ours would hear so from itself.
        """
        self._former.discard(child)
        self.changed.add(self.OURS)
        self._know(child)

    @property
    def forgotten(self) -> list[str]:
        """`strange` of the next life: while we wait for what we may have begun ourselves, it will, too."""
        return sorted(self.strange | self._former | {self.OURS} if self._is_quiet else self.strange)

    def clear(self, child: str, key: str) -> None:
        """The child says that it has nothing to do with a node of which nobody knows who had it."""
        if key not in self._known:
            self._cleared.setdefault(key, set()).add(child)

    def unknown(self, child: str, keys: Iterable[str]) -> list[str]:
        """Those of these nodes of which this child is to be asked whether it has them."""
        if child not in self.strange:
            return []
        return [k for k in keys if k not in self._known and child not in self._cleared.get(k, ())]

    def take(self, key: str, holder: str, *, shared: bool, bmc: str | None = None) -> None:
        """Give a free node, which has this BMC, to this holder, under a new number."""
        self._number += 1
        self._set(key, holder, self._number, shared=shared, bmc=bmc)
        if holder != self.OURS:
            self.alone.add(key)

    def share(self, key: str, *, shared: bool) -> bool:
        """Others could (or could not) come to have it: a new lease, if that is new; whether it is."""
        if (key in self.shared) == shared:
            return False
        self._number += 1
        self.epoch[key] = self._number
        (self.shared.add if shared else self.shared.discard)(key)
        if not shared and self.holder[key] != self.OURS:
            self.alone.add(key)
        self.changed.add(key)
        return True

    def release(self, key: str, busy_until: float = float("-inf")) -> None:
        """Take the node from whom has it, who may go on until its lease is over.

        Args:
            busy_until: when our own last mutation on it ends at the latest, if it is ours.
        """
        epoch = self.epoch.get(key, 0)
        former = self._drop(key)
        if former is None:
            return
        self._leaving[key] = (former, epoch)
        self._let_go.pop(key, None)
        if former == self.OURS:
            self.alone.discard(key)
            self._let_go[key] = busy_until

    def let_go(self, child: str, key: str, epoch: int, now: float) -> None:
        """The child says that nothing of its runs on the node, nor will, under this lease."""
        if self._leaving.get(key) == (child, epoch):
            self._let_go[key] = now

    def keys(self) -> Mapping[str, None]:
        """Every node of which something is known here, in an order that is the same in every process."""
        return dict.fromkeys((*self.holder, *self._leaving))

    def former(self, key: str) -> tuple[str, int] | None:
        """Whom the node was taken from, and the number of that lease, while that may matter."""
        return self._leaving.get(key)

    def free_at(self, key: str) -> float | None:
        """When nothing of whom the node was taken from can run any more; infinity: when that one, or a
        person, says so. None: it was taken from nobody.
        """
        return self._bound(key) if key in self._leaving else None

    def tidy(self, now: float) -> None:
        """Forget who left, where nothing of it can be under way any more."""
        for key in [k for k in self._leaving if now >= self._bound(k)]:
            self._leave(key)
            self._known.add(key)
        if self._is_quiet and now >= self._quiet_until:
            self._is_quiet = False
            self.changed.add(self.OURS)
        for promises in self._promises.values():
            promises.tidy(now)

    def leaving(self, child: str) -> dict[str, int]:
        """Nodes taken from this child that it has not let go -> number of that lease."""
        return {k: e for k, (former, e) in self._leaving.items() if former == child and k not in self._let_go}

    def waits_for(self, child: str) -> bool:
        """Whether a node may have its mutation running still: one that was taken from this child, or any
        that a life of ours gave it which is forgotten.
        """
        return child in self.strange or any(former == child for former, _ in self._leaving.values())

    def is_left(self, key: str, now: float) -> bool:
        """Whether nobody below may be running anything on the node, as far as this life knows."""
        if key in self.holder:
            return False
        if key in self._leaving:
            return now >= self._bound(key)
        return not self.unsaid(key)

    def switches_none(self, now: float) -> bool:
        """Whether nobody may be switching a BMC, whichever, as a node that was taken from him."""
        return all(now >= self._bound(key) for key in self._leaving if key in self.machines.of)

    def fence(self, child: str, now: float) -> None:
        """A person vouches that this child runs nothing any more."""
        self._former.discard(child)
        self.changed.add(self.OURS)
        for key, (former, _) in self._leaving.items():
            if former == child:
                self._let_go[key] = now

    def next_at(self, now: float) -> float | None:
        """When some node becomes free."""
        times = (self._quiet_until, *map(self._bound, self._leaving))
        return min((t for t in times if now < t < float("inf")), default=None)

    def _know(self, child: str) -> bool:
        """It is strange no more; whether it was."""
        if child not in self.strange:
            return False
        self.strange.discard(child)
        self.changed.add(self.OURS)
        return True

    def _bound(self, key: str) -> float:
        known = self._let_go.get(key)
        if known is not None:
            return known
        return float("inf") if key in self.alone else self.promise_to(self._leaving[key][0]).binds(key)

    def _set(self, key: str, holder: str, epoch: int, *, shared: bool, bmc: str | None) -> None:
        self._leave(key)
        self.machines.cover(key, bmc)
        self.holder[key] = holder
        self.epoch[key] = self.taken[key] = epoch
        self._number = max(self._number, epoch)
        self._of.setdefault(holder, {})[key] = None
        (self.shared.add if shared else self.shared.discard)(key)
        self._known.add(key)
        self._cleared.pop(key, None)
        self.changed.add(key)

    def _leave(self, key: str) -> None:
        if self._leaving.pop(key, None) is not None:
            self.changed.add(key)
        self._let_go.pop(key, None)
        self.alone.discard(key)
        self.machines.uncover(key)

    def _drop(self, key: str) -> str | None:
        former = self.holder.pop(key, None)
        self.epoch.pop(key, None)
        self.taken.pop(key, None)
        self.shared.discard(key)
        if former is not None:
            del self._of[former][key]
            self.changed.add(key)
        return former
