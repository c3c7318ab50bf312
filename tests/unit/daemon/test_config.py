"""Configuration: who wins, what is refused, and that the documentation says the same."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from kraken.daemon import config as module
from kraken.daemon.config import Config, load_config
from kraken.daemon.given import Key, keys
from kraken.engine.limit import Limit
from kraken.engine.settings import Settings
from kraken.errors import ConfigError
from kraken.executors.ipmi.words import IpmiLimits
from kraken.executors.redfish import RedfishLimits

Write = Callable[..., Path]
DOCUMENT = Path(__file__).parents[3] / "docs" / "configuration.md"


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def make(text: str, name: str = "kraken.yaml") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    return make


@pytest.fixture(autouse=True)
def default_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stands for /etc/kraken/kraken.yaml."""
    path = tmp_path / "etc" / "kraken.yaml"
    monkeypatch.setattr(module, "DEFAULT_FILE", path)
    return path


def refused(
    file: Path | None = None,
    environ: Mapping[str, str] | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        load_config(file, environ or {}, overrides or {})
    return caught.value


def test_without_any_file_the_defaults_hold() -> None:
    assert load_config(None, {}, {}) == Config()


def test_the_files_of_conf_d_follow_in_the_order_of_their_names(write: Write) -> None:
    write("state_dir: /a\nansible: {forks: 1, runs_max: 1}\nlog: {level: error}", "etc/kraken.yaml")
    write("ansible: {forks: 3}", "etc/conf.d/20-late.yaml")
    write("ansible: {forks: 2, runs_max: 2}", "etc/conf.d/10-early.yml")
    write("nonsense", "etc/conf.d/README")
    config = load_config(None, {}, {})

    assert (config.ansible.forks, config.ansible.runs_max) == (3, 2)
    assert config.state_dir == Path("/a")
    assert config.log.level == "error"


def test_a_file_that_is_named_is_read_instead_of_the_default_ones(write: Write) -> None:
    write("ansible: {forks: 1}", "etc/kraken.yaml")
    named = write("ansible: {runs_max: 2}", "other.yaml")

    for config in (load_config(named, {}, {}), load_config(None, {"KRAKEN_CONFIG": str(named)}, {})):
        assert (config.ansible.forks, config.ansible.runs_max) == (32, 2)


def test_the_environment_wins_over_files_and_the_command_line_over_all(write: Write) -> None:
    file = write("ansible: {forks: 1, runs_max: 1}\nlog: {level: error}")
    environ = {"KRAKEN_ANSIBLE_FORKS": "2", "KRAKEN_ANSIBLE_RUNS_MAX": "2"}
    config = load_config(file, environ, {"ansible.forks": 3, "log.level": None})

    assert (config.ansible.forks, config.ansible.runs_max, config.log.level) == (3, 2, "error")


def test_null_and_an_empty_variable_give_the_default_back(write: Write) -> None:
    file = write("ansible: {forks: null}\napi: {listen: '127.0.0.1:1', tokens_file: t}\nlog:\n")
    config = load_config(file, {"KRAKEN_API_LISTEN": ""}, {})

    assert (config.ansible.forks, config.api.listen) == (32, None)


def test_a_file_of_comments_says_nothing(write: Write) -> None:
    assert load_config(write("# everything as it is\n"), {}, {}) == Config()


def test_relative_paths_are_relative_to_the_file_that_names_them(write: Write, tmp_path: Path) -> None:
    config = load_config(write("state_dir: state\nmodule_dirs: [modules, /abs]"), {}, {})

    assert config.state_dir == tmp_path / "state"
    assert config.module_dirs == [tmp_path / "modules", Path("/abs")]


def test_elsewhere_they_are_relative_to_where_the_daemon_was_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    environ = {"KRAKEN_MODULE_DIRS": "modules:/abs", "HOME": str(tmp_path)}
    config = load_config(None, environ, {"state_dir": "state"})

    assert config.state_dir == tmp_path / "state"
    assert config.module_dirs == [tmp_path / "modules", Path("/abs")]


@pytest.mark.parametrize("text", ["0660", "'0660'", "'660'"])
def test_a_mode_is_octal_with_or_without_quotes(write: Write, text: str) -> None:
    assert int(load_config(write(f"api: {{socket_mode: {text}}}"), {}, {}).api.socket_mode, 8) == 0o660


@pytest.mark.parametrize(
    ("listen", "address"),
    [("127.0.0.1:8080", ("127.0.0.1", 8080)), ("[::1]:80", ("::1", 80)), ("head:443", ("head", 443))],
)
def test_an_address_is_host_and_port(listen: str, address: tuple[str, int]) -> None:
    config = load_config(None, {}, {"api.listen": listen, "api.tokens_file": "/t"})

    assert config.api.address == address


def test_an_unknown_key_is_named_with_file_line_and_the_nearest_one(write: Write) -> None:
    file = write("state_dir: /s\napi:\n  sokcet: /x\n")

    assert str(refused(file)).startswith(f"{file}:3: api.sokcet: unknown key")
    assert "did you mean socket?" in str(refused(file))


@pytest.mark.parametrize(
    ("text", "line", "key"),
    [
        ("ansible:\n  forks: many", 2, "ansible.forks"),
        ("ansible:\n  forks: 1.5", 2, "ansible.forks"),
        ("ansible:\n  forks: 0", 2, "ansible.forks"),
        ("ansible:\n  forks: true", 2, "ansible.forks"),
        ("ansible:\n  forks: [1]", 2, "ansible.forks"),
        ("ansible: {processes_max: 8}", 1, "ansible.processes_max"),
        ("ansible: {memory_max: 120%}", 1, "ansible.memory_max"),
        ("ansible: {memory_max: 8 GB}", 1, "ansible.memory_max"),
        ("ansible: {memory_max: '0'}", 1, "ansible.memory_max"),
        ("ipmi: {login_s: -1}", 1, "ipmi.login_s"),
        ("ipmi: {login_s: .inf}", 1, "ipmi.login_s"),
        ("ipmi: {login_s: nan}", 1, "ipmi.login_s"),
        ("log: {level: loud}", 1, "log.level"),
        ("vault_ids: bmcs@relative", 1, "vault_ids"),
        ("vault_ids: 'bmcs@/one, /two'", 1, "vault_ids"),
        ("ansible: {host_keys: 'no'}", 1, "ansible.host_keys"),
        ("api: {socket_mode: '9999'}", 1, "api.socket_mode"),
        ("api: {listen: 8080, tokens_file: t}", 1, "api.listen"),
        ("api: {listen: 'head:99999', tokens_file: t}", 1, "api.listen"),
        ("api:\n  listen: 'head:443'", 2, "api.listen"),
        ("api:\n  tls:\n    key: k", 3, "api.tls.key"),
        (f"api: {{socket: /{'x' * 120}}}", 1, "api.socket"),
        ("module_dirs: modules", 1, "module_dirs"),
        ("module_dirs: [1]", 1, "module_dirs"),
        ("state_dir: {a: b}", 1, "state_dir"),
        ("engine: {backoff_s: 400}", 1, "engine.backoff_s"),
        ("api: /run/kraken.sock", 1, "api"),
        ("state_dir: /a\nstate_dir: /b", 2, "state_dir"),
    ],
)
def test_a_wrong_value_is_refused_with_file_line_and_key(
    write: Write, text: str, line: int, key: str
) -> None:
    file = write(text)
    error = refused(file)

    assert (error.file, error.line, error.key) == (str(file), line, key)


@pytest.mark.parametrize("text", ["a: [", "- a", "\tx: 1", "a: 1\n---\nb: 2"])
def test_a_file_that_is_no_mapping_is_refused(write: Write, text: str) -> None:
    file = write(text)

    assert refused(file).file == str(file)


def test_a_file_that_was_named_must_exist(tmp_path: Path) -> None:
    assert str(tmp_path / "none.yaml") in str(refused(tmp_path / "none.yaml"))


def test_a_wrong_value_in_the_environment_names_the_variable() -> None:
    assert "KRAKEN_ANSIBLE_FORKS: ansible.forks" in str(refused(environ={"KRAKEN_ANSIBLE_FORKS": "x"}))


@pytest.mark.parametrize("variable", ["KRAKEN_STATEDIR", "KRAKEN_API_SOKCET", "KRAKEN_LOG_COLOUR"])
def test_a_variable_that_looks_like_a_slip_is_refused(variable: str) -> None:
    assert variable in str(refused(environ={variable: "x"}))


@pytest.mark.parametrize("variable", ["KRAKEN_SOCKET", "KRAKEN_TOKEN_FILE", "KRAKEN_SERVICE_HOST", "HOME"])
def test_variables_of_others_are_left_alone(variable: str) -> None:
    assert load_config(None, {variable: "/x"}, {}) == Config()


def test_an_unknown_key_on_the_command_line_is_refused() -> None:
    assert "did you mean api.socket?" in str(refused(overrides={"api.sockt": "/x"}))


def test_no_two_keys_share_a_variable() -> None:
    variables = [key.variable for key in keys(Config)]

    assert len(set(variables)) == len(variables)


def test_the_defaults_are_those_of_the_rooms_that_use_them() -> None:
    assert Config().engine_settings() == Settings()
    assert IpmiLimits(**msgspec.structs.asdict(Config().ipmi)) == IpmiLimits()
    assert RedfishLimits(**msgspec.structs.asdict(Config().redfish)) == RedfishLimits()


def row(key: Key) -> str:
    """The line of the table in docs/configuration.md for a key."""
    default = key.default if key.default not in (None, [], ()) else ""
    default = str(default).lower() if key.kind is bool else default  # as YAML has it
    shown = f"`{default}`" if default != "" else ""
    words = f": {', '.join(f'`{word}`' for word in key.kind)}" if isinstance(key.kind, tuple) else ""
    meaning = f"{key.meta.description}{words}"
    cells = [f"`{key.name}`", _kind(key), shown, meaning]
    return "|" + "|".join(f" {cell} " if cell else " " for cell in cells) + "|"


def _kind(key: Key) -> str:
    if isinstance(key.kind, tuple):
        return "word"
    if key.kind is bool:
        return "true or false"
    if key.kind is float and key.name.endswith(("_s", "_s_max")):
        return "seconds"
    return {dict: "limits", str: "text", Path: "path", list: "paths", int: "number", float: "number"}[
        key.kind
    ]


def test_the_documentation_has_exactly_the_keys_there_are() -> None:
    documented = re.findall(r"^\| `[a-z_.]+` \|.*$", DOCUMENT.read_text(), re.MULTILINE)

    assert documented == [row(key) for key in keys(Config)]


LIMITS = """
limits:
  rack-power:
    counts: phys_state=POWER_ON
    by: rack
    watts: 12000
    watts_each: 800
    seconds: 5
  gently:
    counts: [disruptive, power_ipmi.power_on]
    by: bmc.address/24
    in_flight: 8
    per_second: 0.5
    burst: 4
"""


def test_addresses_of_collectors_are_lists_with_commas(write: Write) -> None:
    text = "tree: {listen: '*:7411', addresses: 'head1:7411, [fd00::1]:7411', name: head, parent: top:7411}"
    tree = load_config(write(text), {}, {}).tree

    assert tree.own_addresses == ["head1:7411", "[fd00::1]:7411"]
    assert tree.parent_addresses == ["top:7411"]
    assert load_config(None, {"KRAKEN_TREE_LISTEN": "head1:7411"}, {}).tree.listen == "head1:7411"


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("listen", "7411", "'7411' is no address of a collector"),
        ("listen", "head1:99999", "'head1:99999' is no address of a collector"),
        ("parent", "*:7411", "nobody elsewhere can connect to *:7411"),
        ("parent", "head1", "'head1' is no address of a collector"),
        ("addresses", "head1:7411, head2", "'head2' is no address of a collector"),
        ("name", "a b", "'a b' cannot be the name of a collector"),
    ],
)
def test_what_is_no_address_or_name_of_a_collector_is_told_with_its_line(
    write: Write, key: str, value: str, message: str
) -> None:
    error = refused(write(f"tree:\n  {key}: '{value}'\n"))

    assert (error.key, error.line, error.message) == (f"tree.{key}", 2, message)
    assert error.hint


def test_addresses_for_children_without_listening_are_a_slip(write: Write) -> None:
    assert "without tree.listen" in refused(write("tree: {addresses: 'head1:7411'}")).message


def test_limits_are_read_as_they_are_stated(write: Write) -> None:
    limits = load_config(write(LIMITS), {}, {}).engine_settings().limits

    assert limits == (
        Limit("rack-power", ("phys_state=POWER_ON",), by="rack", watts=12000, watts_each=800, seconds=5),
        Limit(
            "gently",
            ("disruptive", "power_ipmi.power_on"),
            by="bmc.address/24",
            in_flight=8,
            per_second=0.5,
            burst=4,
        ),
    )


@pytest.mark.parametrize(
    ("limit", "key", "says"),
    [
        ("{in_flight: 1}", "x", "'counts' is missing"),
        ("{counts: disruptive}", "x", "limits nothing (say one or more of in_flight"),
        ("{counts: [], in_flight: 1}", "x.counts", "counts nothing"),
        ("{counts: 'Power On', in_flight: 1}", "x.counts", "expected a kind of mutation"),
        ("{counts: [disruptive, 3], in_flight: 1}", "x.counts[1]", "expected a kind of mutation"),
        ("{counts: disruptive, in_flight: 0}", "x.in_flight", "at least 1; `kraken freeze`"),
        ("{counts: disruptive, in_flight: 1.5}", "x.in_flight", "whole number"),
        ("{counts: disruptive, per_second: -1}", "x.per_second", "above 0"),
        ("{counts: disruptive, per_second: .inf}", "x.per_second", "above 0"),
        ("{counts: disruptive, watts: much}", "x.watts", "expected a number"),
        ("{counts: disruptive, watts: yes}", "x.watts", "expected a number"),
        ("{counts: disruptive, in_flight: 1, burst: 3}", "x.burst", "says nothing without per_second"),
        ("{counts: disruptive, in_flight: 1, seconds: 3}", "x.seconds", "says nothing without watts"),
        ("{counts: disruptive, in_flight: 1, by: 'a b'}", "x.by", "expected an attribute"),
        ("{counts: disruptive, in_flight: 1, by: bmc.address/200}", "x.by", "the length of no network"),
        ("{counts: disruptive, inflight: 1}", "x.inflight", "did you mean in_flight?"),
        ("3", "x", "expected a mapping"),
    ],
)
def test_a_limit_that_is_none_is_refused_with_its_place(
    write: Write, limit: str, key: str, says: str
) -> None:
    file = write(f"limits:\n  x: {limit}")
    error = refused(file)

    assert (error.file, error.line, error.key) == (str(file), 2, f"limits.{key}")
    assert says in str(error)


def test_a_limit_needs_a_name_and_a_file(write: Write) -> None:
    assert "name of a limit" in str(refused(write("limits: {'a b': {counts: disruptive, in_flight: 1}}")))
    assert "only a file" in str(refused(environ={"KRAKEN_LIMITS": "x"}))
