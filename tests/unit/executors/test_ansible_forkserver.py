"""What the fork server decides for itself; what it does shows in test_ansible."""

from __future__ import annotations

import pytest

from kraken.executors.ansible.forkserver import poll_s


@pytest.mark.parametrize(
    ("forks", "configured", "expected"),
    [("1", 0.01, 0.01), ("32", 0.01, 0.032), ("500", 0.01, 0.05), ("32", 0.2, 0.2), ("many", 0.01, 0.01)],
)
def test_a_run_of_many_looks_for_results_less_often(forks: str, configured: float, expected: float) -> None:
    command = ["ansible-playbook", "-i", "inventory", "--forks", forks, "playbook.yml"]

    assert poll_s(command, configured) == pytest.approx(expected)
    assert poll_s(["ansible-playbook"], configured) == configured
