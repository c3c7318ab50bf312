from __future__ import annotations

from pathlib import Path

import pytest

from kraken.errors import DocumentError
from kraken.model.catalog import Catalog
from kraken.model.module import Change, Condition, KrakenModule, Mutation, Variable
from kraken.model.update import Value

POWER_ON = Condition("phys_state", ("POWER_ON",))
SYNC = Condition("run_state", ("SYNC",))


@pytest.fixture
def catalog() -> Catalog:
    """Three variables, each known only while the one before is as it should be; declared last first."""
    return Catalog(
        [
            KrakenModule(
                name="m",
                summary="",
                file=Path("m.yml"),
                variables={
                    "service": Variable("m", "service", ("RUNNING",), known_when=(SYNC,)),
                    "run_state": Variable("m", "run_state", ("INIT", "SYNC"), known_when=(POWER_ON,)),
                    "phys_state": Variable("m", "phys_state", ("POWER_OFF", "POWER_ON")),
                    "image": Variable("m", "image", None),
                },
                mutations={
                    "go": Mutation(
                        "m",
                        "go",
                        (Change("run_state", ("INIT",), "SYNC"),),
                        requires=(POWER_ON, Condition("arch", ("x86_64",))),
                        excludes=(Condition("broken", ("true",)),),
                    )
                },
            )
        ]
    )


def test_while_all_holds_everything_that_was_seen_counts(catalog: Catalog) -> None:
    seen = {"service": "RUNNING", "run_state": "SYNC", "phys_state": "POWER_ON", "image": "i1"}

    assert catalog.known(seen, {}) == seen


def test_powering_off_forgets_what_depends_on_power_and_what_depends_on_that(catalog: Catalog) -> None:
    seen = {"service": "RUNNING", "run_state": "SYNC", "phys_state": "POWER_OFF", "image": "i1"}

    assert catalog.known(seen, {}) == {"phys_state": "POWER_OFF", "image": "i1"}


def test_unknown_is_the_same_as_not_seen(catalog: Catalog) -> None:
    seen = {"service": "RUNNING", "run_state": "UNKNOWN", "phys_state": "POWER_ON"}

    assert catalog.known(seen, {}) == {"phys_state": "POWER_ON"}


def test_a_mutation_applies_where_it_requires_and_nothing_excludes_it(catalog: Catalog) -> None:
    go = catalog.mutations["m.go"]
    fits: dict[str, Value] = {"arch": "x86_64"}

    assert catalog.applies(go, {"phys_state": "POWER_ON"}, fits)
    assert not catalog.applies(go, {"phys_state": "POWER_OFF"}, fits)
    assert not catalog.applies(go, {}, fits)
    assert not catalog.applies(go, {"phys_state": "POWER_ON"}, {})
    assert not catalog.applies(go, {"phys_state": "POWER_ON"}, {**fits, "broken": True})


@pytest.mark.parametrize(
    ("value", "wanted", "meets"),
    [
        ("ipmi", ("ipmi",), True),
        ("ipmi", ("redfish", "ipmi"), True),
        ("ipmi", ("redfish",), False),
        (4, ("4",), True),
        (1.5, ("1.5",), True),
        (True, ("true",), True),
        (False, ("false",), True),
        (["a", "b"], ("b",), True),
        (["a", "b"], ("c",), False),
        (None, ("ipmi",), False),
        ("x", ("ANY",), True),
        (0, ("ANY",), True),
        (False, ("ANY",), True),
        ("", ("ANY",), False),
        ([], ("ANY",), False),
        (None, ("ANY",), False),
    ],
)
def test_attributes_are_compared_as_text(
    catalog: Catalog, value: Value, wanted: tuple[str, ...], meets: bool
) -> None:
    assert catalog.meets(Condition("attribute", wanted), {}, {"attribute": value}) is meets


def test_any_asks_a_variable_only_to_be_known(catalog: Catalog) -> None:
    known = Condition("run_state", ("ANY",))

    assert catalog.meets(known, {"run_state": "INIT"}, {})
    assert not catalog.meets(known, {"run_state": "UNKNOWN"}, {})
    assert not catalog.meets(known, {}, {})
    assert not catalog.meets(known, {}, {"run_state": "an attribute of that name"})


def test_a_variable_may_be_required_to_be_unknown(catalog: Catalog) -> None:
    unknown = Condition("run_state", ("UNKNOWN", "INIT"))

    assert catalog.meets(unknown, {}, {})
    assert not catalog.meets(unknown, {"run_state": "SYNC"}, {})


def test_attributes_are_the_names_that_nobody_declares(catalog: Catalog) -> None:
    assert catalog.attributes == ("arch", "broken")


def test_a_cfg_of_declared_variables_and_values_is_accepted(catalog: Catalog) -> None:
    cfg = {"phys_state": "POWER_ON", "image": "rocky-9.4"}

    assert catalog.check_cfg(cfg) == cfg
    assert catalog.check_cfg({"image": 9}) == {"image": "9"}


@pytest.mark.parametrize(
    ("cfg", "key", "message"),
    [
        ({"phys_stat": "POWER_ON"}, "phys_stat", "unknown variable 'phys_stat' (did you mean phys_state?"),
        ({"phys_state": "ON"}, "phys_state", "phys_state cannot be 'ON' (one of POWER_OFF, POWER_ON)"),
        ({"phys_state": True}, "phys_state", "YAML reads on, off, yes and no as booleans"),
        ({"phys_state": "UNKNOWN"}, "phys_state", "phys_state cannot be wished UNKNOWN"),
        ({"phys_state": None}, "phys_state", "phys_state cannot be wished empty"),
        ({"image": ""}, "image", "image cannot be wished empty (any text)"),
        ({"image": "x" * 16_385}, "image", "a value of 16,385 characters (16,384 at most)"),
    ],
)
def test_a_wrong_cfg_names_its_variable_and_what_would_be_right(
    catalog: Catalog, cfg: dict[str, object], key: str, message: str
) -> None:
    with pytest.raises(DocumentError) as caught:
        catalog.check_cfg(cfg)

    assert caught.value.key == key
    assert message in str(caught.value)
