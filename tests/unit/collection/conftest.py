"""Makes the collection importable as Ansible does, and a scripted Kraken to talk to."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from ansible.plugins.loader import init_plugin_loader

ROOT = Path(__file__).resolve().parents[3]
init_plugin_loader([str(ROOT)])


def load_fake_api() -> ModuleType:
    """tests/unit/collection/fake_api.py, which no package holds."""
    name = "kraken_fake_api"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name("fake_api.py"))
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


@pytest.fixture(scope="session")
def fake_api() -> ModuleType:
    return load_fake_api()


@pytest.fixture
def kraken(fake_api: ModuleType) -> Any:
    """A scripted Kraken with three variables and no nodes, which nobody serves yet."""
    return fake_api.FakeKraken(
        variables={
            "phys_state": ["POWER_OFF", "POWER_ON"],
            "run_state": ["INIT", "SYNC", "ERROR"],
            "service": ["STOPPED", "RUNNING", "FAILED"],
        }
    )


@pytest.fixture
def socket(
    fake_api: ModuleType, kraken: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """The unix socket where that Kraken answers; the environment names no other."""
    for name in ("KRAKEN_URL", "KRAKEN_SOCKET", "KRAKEN_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    with fake_api.serving(kraken, tmp_path / "kraken.sock") as path:
        yield str(path)
