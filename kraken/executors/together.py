"""Results that come one by one, reported many at a time."""

from __future__ import annotations

import asyncio

from kraken.executors import Report
from kraken.model.run import NodeResult


class Together:
    """Reports results that come in one turn of the loop in one call."""

    def __init__(self, report: Report) -> None:
        self._report: Report | None = report
        self._results: list[NodeResult] = []

    async def __aenter__(self) -> Together:
        return self

    async def __aexit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self._flush()
        self._report = None

    def add(self, finished: asyncio.Task[NodeResult]) -> None:
        if finished.cancelled() or finished.exception() is not None:
            return
        if not self._results:
            asyncio.get_running_loop().call_soon(self._flush)
        self._results.append(finished.result())

    def _flush(self) -> None:
        results, self._results = self._results, []
        if results and self._report is not None:
            self._report(results)
