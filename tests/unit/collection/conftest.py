"""Makes the collection importable as Ansible does, and a scripted Kraken to talk to."""

from __future__ import annotations

import importlib
import importlib.util
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from ansible.module_utils import basic
from ansible.plugins.loader import init_plugin_loader

ROOT = Path(__file__).resolve().parents[3]
init_plugin_loader([str(ROOT)])


def load(file: str) -> ModuleType:
    """A file of tests/unit/collection, which no package holds."""
    name = f"kraken_{file}"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{file}.py"))
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


@pytest.fixture(scope="session")
def fake_api() -> ModuleType:
    return load("fake_api")


@pytest.fixture
def kraken(fake_api: ModuleType) -> Any:
    """A scripted Kraken with three variables and no nodes, which nobody serves yet."""
    kraken = fake_api.FakeKraken(
        variables={
            "phys_state": ["POWER_OFF", "POWER_ON"],
            "run_state": ["INIT", "SYNC", "ERROR"],
            "service": ["STOPPED", "RUNNING", "FAILED"],
        }
    )
    load("fake_calls").teach(kraken, fake_api)
    return kraken


@pytest.fixture
def returned() -> dict[str, set[str]]:
    """Module -> paths of keys that its runs have returned."""
    found: dict[str, set[str]] = load("returns").RETURNED
    return found


Run = Callable[..., dict[str, Any]]


@pytest.fixture
def task(socket: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a module as Ansible does: its name and arguments in, its result out; `failed` is always there."""

    def run(name: str, /, check: bool = False, diff: bool = False, no_log: bool = False, **args: Any) -> Any:
        module = importlib.import_module(f"ansible_collections.kraken.hpc.plugins.modules.{name}")
        ways = {"_ansible_check_mode": check, "_ansible_diff": diff, "_ansible_no_log": no_log}
        where = {} if "url" in args else {"socket": socket}
        given = {"ANSIBLE_MODULE_ARGS": {**where, **args, **ways}}
        monkeypatch.setattr(basic, "_ANSIBLE_ARGS", json.dumps(given).encode())
        monkeypatch.setattr(basic, "_ANSIBLE_PROFILE", "legacy", raising=False)  # since 2.19
        with pytest.raises(SystemExit):
            module.main()
        result = {"failed": False, **json.loads(capsys.readouterr().out)}
        load("returns").check(name, result)
        return result

    return run


@pytest.fixture
def socket(
    fake_api: ModuleType, kraken: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """The unix socket where that Kraken answers; the environment names no other."""
    for name in ("KRAKEN_URL", "KRAKEN_SOCKET", "KRAKEN_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    with fake_api.serving(kraken, tmp_path / "kraken.sock") as path:
        yield str(path)
