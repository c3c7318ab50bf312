"""Templates in tasks that fail whatever the node are told without Ansible, and with their place."""

from __future__ import annotations

from pathlib import Path

import pytest

from kraken.cli.modulefiles import Checked, check_files

MODULE = """\
kraken_module: 1
name: web
variables:
  web: {values: [ABSENT, PRESENT]}
  web.port: {values: any}
discoveries:
  look:
    observes: [web, web.port]
    tasks: [{ansible.builtin.debug: {}}]
mutations:
  install:
    mutates: {web: [ABSENT, PRESENT]}
    timeout: 60s
    tasks:
      - ansible.builtin.copy:
          dest: /etc/web
          content: TEXT
  open:
    mutates: {web.port: [ANY, $cfg]}
    timeout: 60s
    tasks:
      - ansible.builtin.debug: {}
"""


def checked(tmp_path: Path, text: str) -> Checked:
    (tmp_path / "web.yml").write_text(MODULE.replace("TEXT", text))
    return check_files([tmp_path])


@pytest.mark.parametrize(
    ("text", "code", "what", "todo"),
    [
        ("'{{ kraken.cfg.web'", "bad-template", "the template cannot be read: ", "mend"),
        ("'{% if x %}a'", "bad-template", "the template cannot be read: ", "mend"),
        ("'{{ kraken.cgf.web }}'", "unknown-in-template", "tasks find no kraken.cgf", "did you mean cfg?"),
        ("'{{ kraken.cfg.wbe }}'", "unknown-in-template", "no module declares wbe", "did you mean web?"),
        ("\"{{ kraken['dsc']['wbe'] }}\"", "unknown-in-template", "no module declares wbe", "did you mean"),
    ],
)
def test_a_template_that_fails_on_every_node_is_a_warning_with_its_place(
    tmp_path: Path, text: str, code: str, what: str, todo: str
) -> None:
    (warning,) = checked(tmp_path, text).warnings

    assert (warning.code, warning.name, warning.error.line) == (code, "web.install", 17)
    assert warning.error.key == "mutations.install.tasks[0].ansible.builtin.copy.content"
    assert what in warning.error.message
    assert todo in str(warning.error.hint)


def test_a_variable_of_two_words_wants_brackets_and_is_told_so(tmp_path: Path) -> None:
    text = MODULE.replace("  web: {values: [ABSENT, PRESENT]}\n", "").replace(
        "observes: [web, ", "observes: ["
    )
    text = text.replace("mutates: {web: [ABSENT, PRESENT]}", "mutates: {web.port: [UNKNOWN, x]}")
    (tmp_path / "web.yml").write_text(
        text.replace("TEXT", "'{{ kraken.cfg.web.port }}'").replace("x]", "$cfg]")
    )
    (warning,) = check_files([tmp_path]).warnings

    assert warning.error.hint == "write kraken.cfg['web.port']"


def test_conditions_of_tasks_are_templates_without_braces(tmp_path: Path) -> None:
    (warning,) = checked(tmp_path, "x\n        when: [kraken.cfg.web == 'A', kraken.nam == 'n1']").warnings

    assert warning.error.message == "tasks find no kraken.nam"


@pytest.mark.parametrize(
    "text",
    [
        "'{{ kraken.cfg.web }} {{ kraken.cfg[''web.port''] }} {{ kraken.attributes.rack.x }}'",
        "'{{ kraken.cfg.get(''a'') }} {{ kraken.dsc.items() }} {{ kraken.cfg[item] }} {{ item.kraken.foo }}'",
        "'{{ kraken.name.split(''-'') | kraken.hpc.fold }} {{ x is acme.site.odd }} {% do x.append(1) %}'",
        "!unsafe '{{ kraken.cfg.web'",
        "no template }} at all",
    ],
)
def test_what_may_be_right_is_left_to_ansible(tmp_path: Path, text: str) -> None:
    found = checked(tmp_path, text)

    assert (found.problems, found.warnings) == ([], [])


def test_what_is_found_can_be_accepted(tmp_path: Path) -> None:
    (tmp_path / "web.yml").write_text(MODULE.replace("TEXT", "'{{ kraken.cgf }}'"))
    found = check_files([tmp_path], ignores=["unknown-in-template:web.*"])

    assert (found.warnings, found.unused) == ([], [])
