"""The application speaks to its framework as that wants to be spoken to."""

from __future__ import annotations

import warnings

from kraken.api.app import build_app
from kraken.daemon.daemon import Daemon

UNMARKED = "Inferred dependency|Reserved kwarg|declared using deprecated|Deprecated '"
"""What Litestar says of a parameter that does not say where its value comes from."""


async def test_every_parameter_of_a_call_says_where_its_value_comes_from(daemon: Daemon) -> None:
    """What is not marked works no longer with Litestar 3, and each daemon that starts says so 75 times."""
    with warnings.catch_warnings():
        warnings.filterwarnings("error", rf".*({UNMARKED})")
        build_app(daemon)
