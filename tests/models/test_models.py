"""The models of the protocol in docs/models: what is promised holds in every state, and each rule is needed.

Spin makes a program of a model, which visits every state that the bounds let it reach.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from kraken.testing.cluster.packages import MODEL_CHECKER, install_missing

pytestmark = pytest.mark.slow

MODELS = Path(__file__).parents[2] / "docs" / "models"
MEMORY_MB = 2000
LESS_THAN_ALL = ("max search depth too small", "out of memory", "Search not completed", "Bit statespace")
NOBODY_FALLS = "-DP_FALLS=0 -DA_FALLS=0"
NEITHER_FALLS = "-DW_FALLS=0 -DR_FALLS=0"

HOLDS = [
    ("lease", ""),
    ("lease", f"-DWAY=2 -DUNSHARES=0 {NOBODY_FALLS}"),
    ("lease", f"-DLEASE=1 -DRUN=2 -DASKINGS=2 {NOBODY_FALLS}"),
    ("lease", f"-DLEASE=1 -DRUN=2 -DASKINGS=2 -DUP=2 -DUNSHARES=0 {NOBODY_FALLS}"),
    ("lease", "-DLEASE=1 -DRUN=2 -DASKINGS=1 -DA_FALLS=0"),
    ("lease", "-DA_FALLS=2 -DP_FALLS=0"),
    ("lease", "-DSELF=1 -DA_FALLS=0"),
    ("lease", "-DRECOVERS -DMOVES=1"),
    ("exchange", NEITHER_FALLS),
    ("exchange", f"-DCHANGES=1 -DTROUBLES=2 {NEITHER_FALLS}"),
    ("exchange", "-DCHANGES=1 -DR_FALLS=0"),
    ("exchange", "-DCHANGES=1 -DW_FALLS=0"),
    ("exchange", "-DCHANGES=1 -DTROUBLES=0"),
    ("exchange", f"-DCHANGES=1 -DSPOILS=1 -DFIRST=0 {NEITHER_FALLS}"),
]
"""Model and bounds; together some 140 s of CPU."""

BROKEN = [
    ("lease", "ARRIVAL", ""),
    ("lease", "HELD", ""),
    ("lease", "END", "-DRUN=2"),
    ("lease", "ALONE", ""),
    ("lease", "PROMISE", ""),
    ("lease", "ABSOLVE", "-DLEASE=1 -DRUN=2 -DASKINGS=1 -DA_FALLS=0"),
    ("lease", "STRANGE", ""),
    ("lease", "BOUND", ""),
    ("lease", "FORGOT", ""),
    ("lease", "TWICE", "-DA_FALLS=2 -DP_FALLS=0"),
    ("lease", "SELF", "-DSELF=1 -DA_FALLS=0"),
    ("lease", "NUMBER", f"-DLEASE=1 -DRUN=2 -DASKINGS=2 {NOBODY_FALLS}"),
    ("lease", "RESERVE", f"-DLEASE=1 -DRUN=2 -DASKINGS=1 {NOBODY_FALLS}"),
    ("lease", "RUNS", f"-DLEASE=1 -DRUN=2 -DASKINGS=2 {NOBODY_FALLS}"),
    ("lease", "AFTER", f"-DLEASE=1 -DRUN=2 -DASKINGS=2 -DUP=2 -DUNSHARES=0 {NOBODY_FALLS}"),
    ("lease", "LEFT", "-DRECOVERS"),
    ("lease", "WORD", "-DRECOVERS"),
    ("lease", "ONCE", "-DRECOVERS"),
    ("lease", "WAIT", "-DRECOVERS"),
    ("exchange", "SESSION", "-DCHANGES=1"),
    ("exchange", "LATE", NEITHER_FALLS),
    ("exchange", "GONE", NEITHER_FALLS),
    ("exchange", "ORDER", NEITHER_FALLS),
    ("exchange", "RESEND", NEITHER_FALLS),
    ("exchange", "LAST", f"-DFIRST=0 {NEITHER_FALLS}"),
    ("exchange", "HELLO", NEITHER_FALLS),
    ("exchange", "EXTRA", f"-DCHANGES=1 -DSPOILS=1 -DFIRST=0 {NEITHER_FALLS}"),
]
"""Model, rule that is broken, and bounds within which that is found out."""


@pytest.fixture(scope="module", autouse=True)
def checker() -> None:
    install_missing(MODEL_CHECKER)


def told_by_checking(model: str, defines: str, where: Path, *, optimised: bool = True) -> str:
    """What the model's checker says, after every state, or at the first error."""
    for file in MODELS.glob("*.pml"):
        shutil.copy(file, where)
    compiler = ["gcc", "-O1" if optimised else "-O0", "-w", "-DSAFETY", "-DNOREDUCE", f"-DMEMLIM={MEMORY_MB}"]
    for command in (
        ["spin", *defines.split(), "-a", f"{model}.pml"],
        [*compiler, "-o", "pan", "pan.c"],
        ["./pan", "-m100000", "-w22"],
    ):
        done = subprocess.run(command, cwd=where, capture_output=True, text=True)
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


def rules_of(model: str) -> set[str]:
    """The rules that can be broken in it."""
    text = "".join(file.read_text() for file in MODELS.glob(f"{model}*.pml"))
    return set(re.findall(r"^#ifn?def BREAK_(\w+)", text, re.MULTILINE))


@pytest.mark.parametrize(("model", "bounds"), HOLDS)
def test_what_the_model_promises_holds_in_every_state(model: str, bounds: str, tmp_path: Path) -> None:
    told = told_by_checking(model, bounds, tmp_path)

    assert "errors: 0" in told, told
    for sign_of_less in LESS_THAN_ALL:
        assert sign_of_less not in told


@pytest.mark.parametrize(("model", "rule", "bounds"), BROKEN)
def test_a_rule_that_is_broken_is_found_out(model: str, rule: str, bounds: str, tmp_path: Path) -> None:
    told = told_by_checking(model, f"-DBREAK_{rule} {bounds}", tmp_path, optimised=False)

    assert re.search(r"assertion violated", told), told
    assert "errors: 1" in told


@pytest.mark.parametrize("model", ["lease", "exchange"])
def test_every_rule_that_can_be_broken_is_told_of_and_tried(model: str) -> None:
    tried = {rule for name, rule, _ in BROKEN if name == model}
    page = (MODELS / "README.md").read_text()

    assert rules_of(model) == tried
    assert {rule for rule in tried if f"| `{rule}` |" not in page} == set()
