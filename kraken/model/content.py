"""What Ansible does for a mutation or discovery: its tasks, and the keywords of the play they are run in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from kraken.model import terms
from kraken.model.document import Part
from kraken.model.module import Action

TASK_KEYS: Final = ("tasks", "tasks_from", "role")
PLAY_KEYS: Final = ("vars", "become", "become_user", "become_method", "throttle", "check_mode")
ROLE_KEYS: Final = ("name", "tasks_from")

_OURS = ("kraken", "kraken_dsc")  # variables that Kraken gives, or reads
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ROLE = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")


def read_content(key: str, fields: Mapping[str, Part], directory: Path) -> Action:
    """What stands under one of TASK_KEYS, with the keywords beside it.

    Args:
        directory: where the module file lies; other files are looked for from there.
    """
    part = fields[key]
    if key == "tasks":
        tasks = _tasks(part)
    elif key == "tasks_from":
        tasks = [{"ansible.builtin.import_tasks": _file(part, directory)}]
    else:
        tasks = [{"ansible.builtin.import_role": _role(part, directory)}]
    return Action("ansible", tasks, directory, _play(fields))


def count(part: Part | None, hint: str) -> int | None:
    """A whole number from 1 on; None when it was left out."""
    if part is None:
        return None
    if isinstance(part.value, bool) or not isinstance(part.value, int) or part.value < 1:
        raise part.fail(f"expected a number from 1 on, found {part.describe()}", hint=hint)
    return part.value


def _tasks(part: Part) -> list[Any]:
    if isinstance(part.value, str):
        raise part.fail(
            f"expected a list of tasks, found {part.describe()}", hint=f"write tasks_from: {part.value}"
        )
    elements = part.elements("a list of tasks")
    if not elements:
        raise part.fail(
            "the list of tasks is empty", hint="leave the key out of a mutation that only waits for the world"
        )
    for element in elements:
        if not element.items("a task, which is a mapping"):
            raise element.fail("the task is empty")
    return [element.plain() for element in elements]


def _file(part: Part, directory: Path) -> str:
    """A file of tasks beside the module, as Ansible will find it."""
    if not isinstance(part.value, str) or not part.value:
        raise part.fail(
            f"expected a file of tasks, found {part.describe()}", hint="for example tasks/drain.yml"
        )
    path = Path(part.value)
    if path.is_absolute() or ".." in path.parts:
        raise part.fail(
            f"{part.value} does not lie beside the module",
            hint=f"put it into {directory}, or share it between modules as a role",
        )
    if not (directory / path).is_file():
        raise part.fail(
            f"there is no file {directory / path}", hint="names are relative to the module's file"
        )
    return part.value


def _role(part: Part, directory: Path) -> dict[str, str]:
    """What `import_role` is told; a plain name is of `roles` beside the module, else of its collection."""
    fields = part.fields(ROLE_KEYS, required=("name",)) if isinstance(part.value, dict) else {"name": part}
    name = fields["name"]
    if not isinstance(name.value, str) or not _ROLE.fullmatch(name.value):
        raise name.fail(
            f"expected the name of a role, found {name.describe()}", hint="for example acme.site.web"
        )
    role = {"name": name.value}
    if "." not in name.value and not (directory / "roles" / name.value).is_dir():
        role["name"] = _of_collection(name, directory)
    if "tasks_from" in fields:
        role["tasks_from"] = terms.text(fields["tasks_from"])
    return role


def _of_collection(name: Part, directory: Path) -> str:
    """The full name of a role in the collection whose `extensions/kraken` this directory is."""
    beside = directory / "roles" / name.value
    if directory.parts[-2:] != ("extensions", "kraken"):
        raise name.fail(
            f"there is no role {beside}", hint="a role of a collection is named in full, acme.site.web"
        )
    collection = directory.absolute().parents[1]
    if not (collection / "roles" / name.value).is_dir():
        raise name.fail(
            f"there is no role {name.value} in {collection / 'roles'}",
            hint="a role of another collection is named in full, acme.site.web",
        )
    return f"{collection.parent.name}.{collection.name}.{name.value}"


def _play(fields: Mapping[str, Part]) -> dict[str, Any]:
    """The keywords that were given, as Ansible reads them."""
    play: dict[str, Any] = {}
    if "vars" in fields:
        play["vars"] = _variables(fields["vars"])
    for key in ("become", "check_mode"):
        if key in fields:
            play[key] = terms.boolean(fields[key])
    for key in ("become_user", "become_method"):
        if key in fields:
            play[key] = terms.text(fields[key])
            if not play.get("become"):
                raise fields[key].fail(f"{key} without become", hint="write become: true beside it")
    throttle = count(fields.get("throttle"), "so many nodes do a task at the same time")
    if throttle is not None:
        play["throttle"] = throttle
    return play


def _variables(part: Part) -> dict[str, Any]:
    for name, entry in part.items("a mapping of variables"):
        if name in _OURS:
            raise entry.fail(f"{name} is Kraken's own", hint="give the variable another name")
        if not _VARIABLE.fullmatch(name):
            raise entry.fail(
                f"{name!r} cannot name a variable of Ansible", hint="use letters, digits and underscores"
            )
    found: dict[str, Any] = part.plain()
    return found
