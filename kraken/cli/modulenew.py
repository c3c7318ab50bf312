"""`module new`: a module that works, with its tasks and its trial, to be changed into one's own."""

from __future__ import annotations

import re
from pathlib import Path

import click

from kraken.cli.errors import CommandError, Exit
from kraken.cli.session import Session, pass_session

_NAME = re.compile(r"[a-z][a-z0-9_]*")

MODULE = """\
kraken_module: 1
name: NAME
summary: Whether a node has /etc/NAME.conf.  # say what is true of a node, not how it is done

variables:
  NAME:
    summary: PRESENT - the file is there, as Cfg names it; ABSENT - it is not.
    values: [ABSENT, PRESENT]
    known_when: {run_state: SYNC}  # of kraken.hpc: Ansible has reached the node and found it fit
    fresh_for: 10m

discoveries:
  NAME_status:
    summary: Look whether the file is there.
    observes: [NAME]
    requires: {run_state: SYNC}
    every: 5m
    cost: 2
    tasks:
      - &look
        ansible.builtin.import_tasks: tasks/NAME_look.yml

mutations:
  add_NAME:
    summary: Write the file.
    mutates: {NAME: [ABSENT, PRESENT]}
    requires: {run_state: SYNC}
    timeout: 60s
    cost: 3
    tasks:
      - name: Write the file
        ansible.builtin.copy:
          dest: /etc/NAME.conf
          content: "written for {{ kraken.name }}\\n"
          mode: '0644'
      - *look

  remove_NAME:
    summary: Remove the file.
    mutates: {NAME: [PRESENT, ABSENT]}
    requires: {run_state: SYNC}
    timeout: 60s
    cost: 3
    tasks:
      - name: Remove the file
        ansible.builtin.file:
          path: /etc/NAME.conf
          state: absent
      - *look
"""
TASKS = """\
# What is seen is reported as kraken_dsc: after looking, never as it was meant.
- name: Look for the file
  ansible.builtin.stat:
    path: /etc/NAME.conf
  register: NAME_file
- name: Report whether it is there
  ansible.builtin.set_fact:
    kraken_dsc:
      NAME: "{{ 'PRESENT' if NAME_file.stat.exists else 'ABSENT' }}"
"""
TRIAL = """\
# What `kraken module test` tries. Without an entry, a mutation is tried once for each value $cfg can have.
kraken_test: 1
module: NAME
attributes: {}  # of the nodes it is tried on
mutations:
  add_NAME:
    - {NAME: PRESENT}  # what Cfg names, once for each case
# skip:
#   remove_NAME: the reason why it is not to be tried
"""


@click.command(name="new")
@click.argument("name")
@click.argument("directory", type=click.Path(path_type=Path, exists=True, file_okay=False), default=".")
@pass_session
def new(session: Session, name: str, directory: Path) -> int:
    """Write a module that works, with its tasks and its trial, into a collection.

    DIRECTORY is that of the collection (it holds galaxy.yml); without one, the directory you are in.
    Written are extensions/kraken/NAME.yml, extensions/kraken/tasks/NAME_look.yml and
    tests/kraken/NAME.yml. No file is overwritten. The module builds on run_state of kraken.hpc.

    \b
    kraken module new motd ansible_collections/acme/site
    kraken module test ansible_collections/acme/site --with ~/.ansible/collections
    """
    if not _NAME.fullmatch(name):
        raise click.UsageError(
            f"{name!r} cannot be the name: a lower-case letter, then letters, digits and _, since its"
            " variable, its tasks and its files are named after it"
        )
    if not (directory / "galaxy.yml").is_file():
        raise CommandError(
            f"{directory} is no collection: there is no galaxy.yml in it",
            hint="make one with `ansible-galaxy collection init acme.site --init-path ansible_collections`",
        )
    files = {
        directory / "extensions" / "kraken" / f"{name}.yml": MODULE,
        directory / "extensions" / "kraken" / "tasks" / f"{name}_look.yml": TASKS,
        directory / "tests" / "kraken" / f"{name}.yml": TRIAL,
    }
    for file in files:
        if file.exists():
            raise CommandError(
                f"{file} exists; nothing was written", hint="choose another name, or remove it"
            )
    written = []
    try:
        for file, text in files.items():
            file.parent.mkdir(parents=True, exist_ok=True)
            with file.open("x", encoding="utf-8") as stream:
                written.append(file)
                stream.write(text.replace("NAME", name))
            session.output.line(f"wrote {file}")
    except OSError as error:
        for file in written:
            file.unlink(missing_ok=True)
        raise CommandError(f"cannot write {error.filename}: {error.strerror}; nothing was left") from error
    session.output.line(f"Try it: kraken module test {directory} --with PATH (where kraken.hpc is installed)")
    return Exit.DONE
