"""The answers of docs/api.md as types: what `views` builds and the OpenAPI document shows.

Annotations are evaluated here: Litestar sees NotRequired only so.
"""

from typing import Any, NotRequired, TypedDict

from kraken.api.collectorcounts import CollectorCounts
from kraken.model.update import Value

Pair = list[Value]
"""Before and after; null: not declared."""


class Problem(TypedDict):
    """RFC 9457, and what helps to act on it."""

    type: str
    title: str
    status: int
    detail: str
    hint: NotRequired[str]
    part: NotRequired[str]
    key: NotRequired[str]
    file: NotRequired[str]
    line: NotRequired[int]
    nodes: NotRequired[int]
    details: NotRequired[dict[str, str]]
    reachable: NotRequired[dict[str, dict[str, list[str]]]]
    differences: NotRequired[list["PlanDifference"]]


class NodeHold(TypedDict):
    """A hold as its node shows it."""

    id: str
    owner: str
    reason: str
    created_at: float
    until: float | None


class FoldedHold(TypedDict):
    """Holds set together; `id` null when they are several, nodeset `*`: the freeze."""

    id: str | None
    nodeset: str
    owner: str
    reason: str
    created_at: float
    until: float | None


class Holds(TypedDict):
    holds: list[FoldedHold]


class Frozen(TypedDict):
    """`lacking`, to who freezes: collectors that may not know of it yet -> why."""

    frozen: FoldedHold | None
    lacking: NotRequired[dict[str, str]]


class Thawed(Frozen):
    """`lifted`: the freezes that stood; empty when nothing was frozen."""

    lifted: list[FoldedHold]


class RefusedFile(TypedDict):
    file: str | None
    error: str


class ModuleCounts(TypedDict):
    loaded: int
    refused: list[RefusedFile]


class PlannerCache(TypedDict):
    entries: int
    hits: int
    misses: int


class LimitUse(TypedDict):
    """A limit of the configuration, and how much of it is in use, all its counts together.

    `in_flight` nodes have a place, `watts` are what they are counted to draw, `waiting` nodes wait.
    `in_flight_max`, `per_second` and `watts_max` are what each count may have; null: no such measure.
    `mutations` are those it counts; none: it holds nothing back.
    """

    name: str
    counts: list[str]
    by: str
    mutations: list[str]
    in_flight: int
    in_flight_max: int | None
    per_second: float | None
    watts: float
    watts_max: float | None
    waiting: int


class Fault(TypedDict):
    """What a collector cannot do, on whatever node; `name` of a mutation or discovery.

    `collector`: "" for this one; of others is told what their nodes wait for.
    """

    collector: str
    name: str
    reason: str
    since: float


class Health(TypedDict):
    """`status` is `ok`, or `degraded`: this daemon is not well, or a collector below says so of itself.

    `reasons`: of what, in a few words each; runs wait where it is that the state cannot be written.
    """

    status: str
    reasons: list[str]
    version: str
    incarnation: int
    uptime_s: float
    nodes: int
    causes: dict[str, int]
    frozen: FoldedHold | None
    modules: ModuleCounts
    faults: list[Fault]
    runs: int
    limits: list[LimitUse]
    planner: PlannerCache
    collectors: CollectorCounts


class BriefNode(TypedDict):
    """A node in a list; `dsc` holds what is known, `collector` who runs it ("": nobody, or the only one)."""

    name: str
    groups: list[str]
    cfg: dict[str, str]
    dsc: dict[str, str]
    cause: str
    reason: str
    since: float
    collector: str


class Record(TypedDict):
    value: Value
    since: float
    seen_at: float
    source: str


class SeenRecord(Record):
    age_s: float
    stale: bool


class Records(TypedDict):
    cfg: dict[str, Record]
    dsc: dict[str, SeenRecord]


class Fact(TypedDict):
    variable: str
    value: str
    wanted: str
    source: str
    age_s: float | None
    side: str


class Explanation(TypedDict):
    node: str
    cause: str
    reason: str
    fact: Fact | None
    since: float
    next: str
    next_at: float | None
    reachable: dict[str, list[str]]
    collector: str


class Step(TypedDict):
    """`after`: positions of the steps this one waits for."""

    name: str
    module: str
    kind: str
    summary: str
    effects: dict[str, str]
    disruptive: bool
    cost: float
    after: list[int]


class NoPath(TypedDict):
    """`reachable`: what each of `variables` can be instead."""

    variables: list[str]
    reasons: list[str]
    unmet: list[str]
    reachable: dict[str, list[str]]


class Running(TypedDict):
    name: str
    phase: str
    run: str | None
    since: float
    deadline: float


class FullNode(BriefNode):
    """`other_modules`: that who runs the node has other Kraken modules than those that `path` was found with,
    and may go another way; "" where it has not.
    """

    attributes: dict[str, Value]
    records: Records
    explanation: Explanation
    path: list[Step]
    no_path: NoPath | None
    running: list[Running]
    holds: list[NodeHold]
    failures: int
    quarantined: str | None
    other_modules: str


class NodeList(TypedDict):
    """Names, brief or full nodes, as `view` says."""

    nodes: list[str | BriefNode | FullNode]


class FoldedExplanation(TypedDict):
    """`topic`: what they have in common; `reason`: their whole reason where they share it."""

    cause: str
    count: int
    nodeset: str
    topic: str
    reason: str


class OtherModules(TypedDict):
    """Nodes of a collector with other Kraken modules than the one that answers: what this one finds for them
    may not be what that one does. `since`: when it came to have those, as far as it said; null: it has not
    said which it has. `message`: in words.
    """

    collector: str
    nodeset: str
    count: int
    since: float | None
    message: str


class Explanations(TypedDict):
    """`nodes` is empty where only the fold was asked for. `other_modules`: of nodes with no way, for a cause
    of modules.
    """

    nodes: list[Explanation]
    folded: list[FoldedExplanation]
    other_modules: list[OtherModules]


class ChangedNode(TypedDict):
    node: str
    changed: bool
    created: bool
    diff: dict[str, Pair]
    attributes: dict[str, Pair]
    groups: list[list[str]] | None
    message: str


class Changes(TypedDict):
    changed: int
    items: list[ChangedNode]


class Held(Changes):
    """`lacking`: folded nodes on which the hold may not be in force yet -> why."""

    lacking: dict[str, str]


class AskedNode(TypedDict):
    node: str
    changed: bool
    diff: dict[str, Pair]
    message: str
    discoveries: list[str]


class Asked(TypedDict):
    changed: int
    items: list[AskedNode]


class PlanGroup(TypedDict):
    """Either `start`, `cost`, `makespan` and `steps`, or `no_path`.

    `start`: variables the steps change -> the values they have before. `makespan`: seconds with side
    by side what can be; `cost`: one after another.
    """

    nodeset: str
    count: int
    start: NotRequired[dict[str, list[str]]]
    cost: NotRequired[float]
    makespan: NotRequired[float]
    steps: NotRequired[list[Step]]
    no_path: NotRequired[NoPath]


class Generation(TypedDict):
    """What a plan was made on: the newest stamp, and a fingerprint of the Kraken modules."""

    declared: str
    modules: str


class Plan(TypedDict):
    """What would be done; `POST /v1/plan/apply` takes it back as it is.

    `undeclared`: those of `unset` that none of the nodes had. `mutations`: each mutation and discovery
    on a path -> a fingerprint of how it is done. `nodes`: how many the groups have. `other_modules`: for
    which of them it may not be what is done.
    """

    kraken_plan: int
    made_at: float
    generation: Generation
    set: dict[str, str]
    unset: list[str]
    changes: bool
    undeclared: list[str]
    mutations: dict[str, str]
    nodes: int
    groups: list[PlanGroup]
    other_modules: list[OtherModules]


class PlanDifference(TypedDict):
    """Nodes a plan no longer holds for; `planned`, `now`: the steps; `now` null: no path."""

    nodeset: str
    count: int
    reason: str
    planned: list[str]
    now: list[str] | None


class PlanLeft(TypedDict):
    """Nodes with so many steps of the plan behind and before them, and their cause now."""

    nodeset: str
    count: int
    done: int
    left: int
    cause: str


class AppliedPlan(Changes):
    left: list[PlanLeft]


class DriftRow(TypedDict):
    """Nodes with a variable that is not surely as declared.

    `known`: `differs`, `stale`, `unknown` or `unconfirmed`. `since`: of the first node that differs;
    `age_s`: of the oldest look, null: nobody ever saw it.
    """

    nodeset: str
    count: int
    variable: str
    wanted: str
    seen: str
    known: str
    since: float
    age_s: float | None
    cause: str


class Drift(TypedDict):
    """Numbers of nodes: asked about, that differ, of which that is certain; unconfirmed."""

    nodes: int
    differing: int
    certain: int
    unconfirmed: int
    rows: list[DriftRow]


class RunResult(TypedDict):
    """`outcome` and `at` are null while it is under way."""

    node: str
    outcome: str | None
    message: str
    observed: dict[str, str]
    at: float | None


class Run(TypedDict):
    id: str
    name: str
    module: str
    kind: str
    nodeset: str
    issued_at: float
    timeout_s: float
    ended_at: float | None
    out: int
    outcomes: dict[str, str]


class RunWithResults(Run):
    results: list[RunResult]


class Runs(TypedDict):
    """`elsewhere`: other collectors that run nodes, by name; what they run is in their own journals."""

    runs: list[Run]
    elsewhere: list[str]


class Entry(TypedDict):
    id: int
    at: float
    node: str
    kind: str
    text: str
    source: str
    data: dict[str, Any]


class History(TypedDict):
    """`next`: to be given as `before` for older entries. `elsewhere`: collector in whose own journal is more
    -> the chosen that it is of: nodes it runs, collectors below it. "": of whatever is its own.
    """

    entries: list[Entry]
    next: int | None
    elsewhere: dict[str, str]
