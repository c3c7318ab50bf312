"""Graphviz, run as a program: text in its language becomes an SVG."""

from __future__ import annotations

import shutil
import subprocess

from kraken.errors import KrakenError

DOT_S = 30.0


class GraphvizError(KrakenError):
    """There is no Graphviz, or it did not draw."""


def svg_of(text: str) -> bytes:
    """The picture of a text in the language of `dot`. Blocks while `dot` draws, up to DOT_S.

    Raises:
        GraphvizError: Graphviz is not installed, failed or took too long.
    """
    program = shutil.which("dot")
    if program is None:
        raise GraphvizError(
            "drawing SVG needs Graphviz", hint="apt-get install graphviz, or take the format dot"
        )
    try:
        done = subprocess.run([program, "-Tsvg"], input=text.encode(), capture_output=True, timeout=DOT_S)
    except subprocess.TimeoutExpired:
        raise GraphvizError(
            f"dot took longer than {DOT_S:g} s", hint="draw fewer variables, or take the format dot"
        ) from None
    except OSError as error:
        raise GraphvizError(f"dot cannot be run: {error.strerror}", part=program) from error
    if done.returncode != 0:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()[:1]
        raise GraphvizError(
            f"dot failed with {done.returncode}{''.join(f': {line}' for line in said)}",
            hint="take the format dot",
        )
    return done.stdout
