"""The bodies of requests; what else they hold is an error that names it."""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec

NAME_MAX: Final = 256
"""Characters of what a playbook names: hosts, plays, tasks."""
MESSAGE_MAX: Final = 1_000
PLAYS_MAX: Final = 50


class Body(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What every body refuses: keys nobody knows."""


class Selection(Body, kw_only=True):
    """Which nodes: a nodeset, or `all`; neither and both are errors."""

    nodeset: str | None = None
    all: bool = False
    yes: bool = False


class Application(Body, kw_only=True):
    """A document of `apply`."""

    document: dict[str, Any]
    dry_run: bool = False
    allow_unreachable: bool = False
    yes: bool = False


class Change(Selection, kw_only=True):
    """Values to set and to withdraw."""

    set: dict[str, Any] = {}
    unset: list[str] = []
    dry_run: bool = False
    allow_unreachable: bool = False


class PlanQuestion(Selection, kw_only=True):
    """What would be done if these values were declared."""

    set: dict[str, Any] = {}
    unset: list[str] = []


class PlanApplication(Body, kw_only=True):
    """A plan, as `POST /v1/plan` answered with it."""

    plan: dict[str, Any]
    dry_run: bool = False
    yes: bool = False


class NewHold(Selection, kw_only=True):
    """`for_s`: seconds; null: until released."""

    reason: str
    for_s: float | None = None


class Look(Selection, kw_only=True):
    """`variable`: only what sees it is asked; null: everything that can look."""

    variable: str | None = None


class Observations(Body, kw_only=True):
    """`observations`: nodeset -> variable -> value seen. `age_s`: how long ago, seconds."""

    observations: dict[str, dict[str, Any]]
    age_s: float = 0.0
    dry_run: bool = False
    yes: bool = False


Count = Annotated[int, msgspec.Meta(ge=0, le=1_000_000)]
Name = Annotated[str, msgspec.Meta(max_length=NAME_MAX)]


class PlaybookFailure(Body, kw_only=True):
    """The first task that failed for good, or did not reach its host."""

    task: Name
    message: Annotated[str, msgspec.Meta(max_length=MESSAGE_MAX)] = ""
    play: Name = ""


class PlaybookHosts(Body, kw_only=True):
    """Hosts that fared alike; tasks are counted as in Ansible's recap. `plays`: those that had one."""

    hosts: list[Name]
    plays: Annotated[list[Name], msgspec.Meta(max_length=PLAYS_MAX)] = []
    ok: Count = 0
    changed: Count = 0
    failed: Count = 0
    unreachable: Count = 0
    skipped: Count = 0
    rescued: Count = 0
    ignored: Count = 0
    failure: PlaybookFailure | None = None


class Playbook(Body, kw_only=True):
    """`started_at`, `ended_at`: seconds since the epoch. `user`, `controller`: who ran it, and where."""

    playbook: Annotated[str, msgspec.Meta(min_length=1, max_length=NAME_MAX)]
    started_at: Annotated[float, msgspec.Meta(ge=0)]
    ended_at: Annotated[float, msgspec.Meta(ge=0)]
    results: list[PlaybookHosts]
    check: bool = False
    user: Name = ""
    controller: Name = ""


class PowerOrder(Selection, kw_only=True):
    """`do`: on, off, cycle, reset or soft. `hold`: why the nodes are held first; null: they are not.

    `dry_run`: only whether it would be done. From a collector above, with a question, too: `id`: of the whole
    request; `held`: the holds that must have come down first.
    """

    do: str
    hold: str | None = None
    dry_run: bool = False
    id: str | None = None
    held: list[str] = []


class PowerWish(Selection, kw_only=True):
    """`do`: on or off."""

    do: str


class LightOrder(Selection, kw_only=True):
    """`do`: on or off. `seconds`: on for so long, 1 to 255; null: until it is switched off."""

    do: str
    seconds: int | None = None


class RotateOrder(Selection, kw_only=True):
    """`name`: of the credential. `look`: change nothing. `held`: held nodes, too."""

    name: str
    look: bool = False
    held: bool = False


class Invite(Body, kw_only=True):
    """`expires_s`: how long the token is good. `addresses`: where the child reaches us; []: as configured."""

    name: str
    expires_s: float = 3600.0
    addresses: list[str] = []


class Revoke(Body, kw_only=True):
    """`name`: of the collector. `stopped`: it runs nothing any more, a person vouches for that."""

    name: str
    stopped: bool = False
    yes: bool = False


class NewKey(Body, kw_only=True):
    """`name`: of the collector below; null: this one, for its parent."""

    name: str | None = None


class Release(Selection, kw_only=True):
    """Lift every hold of the nodes, or only that of this id, or this owner's."""

    id: str | None = None
    owner: str | None = None


class Freeze(Body, kw_only=True):
    """Leave every node alone."""

    reason: str
