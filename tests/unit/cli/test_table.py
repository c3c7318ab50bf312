"""Tables fit the terminal, lose nothing without one, and are safe to look at."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kraken.cli.table import Cell, Column, Painter, cell_len, layout

PLAIN, COLOURED = Painter(False), Painter(True)
COLUMNS = (
    Column("NAME"),
    Column("COUNT", right=True),
    Column("NODESET", wraps=True, lines_max=2),
    Column("REASON", wraps=True),
)


def test_columns_line_up_and_numbers_stand_right() -> None:
    rows = [["a", "1", "n1", "x"], ["longer", "100", "n[1-100]", "y"]]

    assert layout(COLUMNS, rows, width=None, paint=PLAIN) == [
        "NAME    COUNT  NODESET   REASON",
        "a           1  n1        x",
        "longer    100  n[1-100]  y",
    ]


def test_a_column_that_is_empty_everywhere_is_left_out() -> None:
    lines = layout(COLUMNS, [["a", "", "n1", ""]], width=None, paint=PLAIN)

    assert lines == ["NAME  NODESET", "a     n1"]


def test_no_rows_make_no_table() -> None:
    assert layout(COLUMNS, [], width=80, paint=PLAIN) == []


def test_without_a_terminal_nothing_is_cut_or_wrapped() -> None:
    nodeset = ",".join(f"n{i}" for i in range(1, 4000, 2))
    lines = layout(COLUMNS, [["a", "2000", nodeset, "x" * 500]], width=None, paint=PLAIN)

    assert len(lines) == 2
    assert nodeset in lines[1]


@given(
    st.lists(
        st.tuples(st.text(max_size=12), st.integers(0, 10**6), st.text(max_size=200), st.text(max_size=300)),
        min_size=1,
        max_size=5,
    ),
    st.integers(60, 200),
)
def test_no_line_is_wider_than_the_terminal(rows: list[tuple[str, int, str, str]], width: int) -> None:
    cells = [[name[:8], str(number), nodeset, reason] for name, number, nodeset, reason in rows]
    lines = layout(COLUMNS, cells, width=width, paint=PLAIN)

    # eight characters may each show as \uXXXX, which a column that does not wrap must keep whole
    assert all(cell_len(line) <= max(width, 8 * 6 + 60) for line in lines)


@given(st.text(alphabet="ab ,", max_size=300))
def test_wrapping_keeps_every_word(text: str) -> None:
    columns = (Column("REASON", wraps=True, lines_max=1000),)
    lines = layout(columns, [[text]], width=20, paint=PLAIN)

    assert "".join(lines[1:]).replace(" ", "") == text.replace(" ", "")


def test_a_long_nodeset_is_cut_on_a_terminal_with_an_ellipsis() -> None:
    nodeset = ",".join(f"n{i}" for i in range(1, 400, 2))
    lines = layout(COLUMNS, [["a", "200", nodeset, "because"]], width=80, paint=PLAIN)

    assert len(lines) == 3
    assert lines[-1].endswith("…")
    assert all(len(line) <= 80 for line in lines)


def test_what_a_bmc_says_cannot_steer_the_terminal() -> None:
    evil = "\x1b[2J\x1b]0;owned\x07 \u202eright to left\r\nnext"
    (_, line) = layout((Column("REASON"),), [[evil]], width=None, paint=COLOURED)

    assert line == r"\x1b[2J\x1b]0;owned\x07 \u202eright to left\x0d next"


def test_colours_are_only_for_terminals_that_want_them() -> None:
    cell = [Cell("QUARANTINED", "QUARANTINED")]

    assert layout((Column("CAUSE"),), [cell], width=80, paint=PLAIN)[1] == "QUARANTINED"
    assert layout((Column("CAUSE"),), [cell], width=80, paint=COLOURED)[1] == "\x1b[1;31mQUARANTINED\x1b[0m"


def test_colours_do_not_shift_columns() -> None:
    rows = [[Cell("HELD", "HELD"), "1", "n1", "x"], [Cell("CONVERGED", "CONVERGED"), "1", "n2", "y"]]
    lines = layout(COLUMNS, rows, width=None, paint=COLOURED)
    bare = layout(COLUMNS, rows, width=None, paint=PLAIN)

    import re

    assert [re.sub("\x1b\\[[0-9;]*m", "", line) for line in lines] == bare


def test_wide_characters_take_two_columns() -> None:
    assert cell_len("節点1") == 5
    assert cell_len("e\u0301") == 1
