"""The farm and the relay before it, seen by programs that nobody here wrote."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest

from kraken.testing.cluster import packages
from kraken.testing.ipmi.farm import PASSWORD, PER_PROCESS, USER, Farm, is_bound
from kraken.testing.ipmi.relay import Relay, Weather, front

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("farm")]

SIZE = PER_PROCESS + 6


@pytest.fixture(scope="module")
def farm() -> Iterator[Farm]:
    packages.install_missing()
    with Farm(SIZE) as made:
        yield made


@pytest.fixture
def relay(farm: Farm) -> Iterator[Relay]:
    with Relay(farm.addresses[:4], farm.port, seed=1) as made:
        yield made


def says(address: str, port: int, timeout_s: float = 10.0, repeats: int = 4) -> str:
    """What ipmitool says of the power; "" when it got no answer."""
    words = f"ipmitool -I lanplus -C 3 -N 1 -R {repeats} -H {address} -p {port} -U {USER} -P {PASSWORD}"
    try:
        done = subprocess.run(
            [*words.split(), "power", "status"],
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def test_every_bmc_of_every_process_answers_at_its_own_address(farm: Farm) -> None:
    for address in (farm.addresses[0], farm.addresses[1], farm.addresses[PER_PROCESS], farm.addresses[-1]):
        assert says(address, farm.port) == "Chassis Power is off"


def test_a_farm_leaves_nothing_behind() -> None:
    packages.install_missing()
    with Farm(2, network=4) as farm:
        assert is_bound(farm.addresses[0], farm.port)

    assert not is_bound(farm.addresses[0], farm.port)


def test_through_the_relay_a_bmc_answers_unless_it_is_silenced(farm: Farm, relay: Relay) -> None:
    first, second = farm.addresses[:2]
    assert says(front(first), farm.port) == "Chassis Power is off"

    relay.weather(Weather(silent=[first]))
    assert says(front(first), farm.port, timeout_s=3.0, repeats=1) == ""
    assert says(front(second), farm.port) == "Chassis Power is off"

    relay.weather(Weather(delay_s=0.01, jitter_s=0.02))
    assert says(front(first), farm.port) == "Chassis Power is off"


def test_a_bmc_falls_silent_in_the_middle_of_something(farm: Farm, relay: Relay) -> None:
    relay.weather(Weather(cut_after={farm.addresses[2]: 4}))

    assert says(front(farm.addresses[2]), farm.port, timeout_s=5.0, repeats=1) == ""
