"""What the engine is thought to do, in states where the planner's first answer will not serve."""

from __future__ import annotations

from typing import Any

from kraken.planning.analysis.policy import Policy, backward
from kraken.planning.analysis.slices import slices_of
from kraken.planning.analysis.space import Space
from kraken.planning.planner import Planner


def test_steps_in_any_order_are_done_in_that_of_their_declaration(words: Any) -> None:
    for name in ("left", "right", "whole"):
        words.variable(name, "NO YES")
        words.discovery(f"look_at_{name}", name)
    words.mutation("do_left", changes={"left": (("NO", "UNKNOWN"), "YES")}, cost=5.0)
    words.mutation("do_right", changes={"right": ("NO", "YES")}, cost=5.0)
    words.mutation("do_whole", {"left": "YES", "right": "YES"}, changes={"whole": ("NO", "YES")})
    catalog = words.catalog()
    (slice_,) = slices_of(catalog, lambda condition: catalog.meets(condition, {}, {}))
    space = Space(slice_, 100)
    names = slice_.problem.names
    dsc = {"right": "NO", "whole": "NO"}
    state = tuple(slice_.code(var, dsc.get(name, "UNKNOWN")) for var, name in enumerate(names))
    whole = names.index("whole")
    policy = Policy(space, {whole: slice_.code(whole, "YES")}, backward(space))

    for blind, expected in (
        (frozenset[str](), ["m.look_at_left", "m.do_right", "m.do_whole"]),
        (frozenset({"m.look_at_left"}), ["m.do_left", "m.do_right", "m.do_whole"]),
        (frozenset({"m.look_at_left", "m.look_at_whole"}), ["m.do_left", "m.do_right", "m.do_whole"]),
    ):
        planned = Planner(catalog).find_path({}, dsc, {"whole": "YES"}, blind=blind)

        assert [step.operator.key for step in planned.steps] == expected
        assert [m.act.edge.operator.key for _, m in policy.path(space.index[state], blind)] == expected
