"""`python -m kraken.testing.trial`: tries the mutations of modules; a line of JSON for each verdict.

    {"tasks": KEY, "verdict": ..., "message": ...}                 read by ansible-playbook, not run
    {"mutation": KEY, "cfg": {...}, "verdict": ..., "message": ...}
    {"error": ..., "hint": ...}                                    and exit status 2: nothing was tried

`kraken module test` shows them to people. Exit status 1: something failed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

from kraken.daemon.assembly import build_vault_settings
from kraken.daemon.config import Ansible, Config
from kraken.errors import KrakenError, ModuleError
from kraken.executors.ansible import AnsibleExecutor
from kraken.executors.ansible.syntax import misread
from kraken.model.catalog import Catalog
from kraken.model.loading import load_paths
from kraken.model.module import Discovery, KrakenModule, Mutation
from kraken.model.update import Value
from kraken.testing.trial.cases import CaseFile, needed_attributes, read_cases
from kraken.testing.trial.stages import Pretended, Virtual, collection_paths
from kraken.testing.trial.trial import Trial, Verdict


def main(argv: Sequence[str] | None = None) -> int:
    """The program; gives back its exit status."""
    parser = argparse.ArgumentParser(prog="python -m kraken.testing.trial", description=__doc__)
    parser.add_argument("paths", nargs="+", type=Path)
    parser.add_argument("--with", dest="beside", action="append", type=Path, default=[])
    parser.add_argument("--nodes", type=int, default=0)
    parser.add_argument("--vault-password-file", type=Path)
    parser.add_argument("--vault-id", dest="vault_ids", action="append", default=[])
    parser.add_argument("--vault-file", dest="vault_files", action="append", type=Path, default=[])
    options = parser.parse_args(argv)
    config = Config(
        vault_password_file=options.vault_password_file,
        vault_ids=",".join(options.vault_ids),
        ansible=Ansible(vault_files=options.vault_files),
    )
    try:
        return asyncio.run(_try(options.paths, options.beside, options.nodes, config))
    except KrakenError as error:
        place = ""
        if isinstance(error, ModuleError):
            place = f"{error.file}:{error.line or 1}: " + (f"{error.key}: " if error.key else "")
        _tell({"error": place + error.message, "hint": error.hint})
        return 2


async def _try(paths: list[Path], beside: list[Path], nodes: int, config: Config) -> int:
    catalog, modules = _modules(paths, beside)
    files = {module.name: read_cases(module, catalog) for module in modules}
    ways = collection_paths([*paths, *beside])
    failed = not _read_tasks(modules, ways, config)
    async for verdict in _verdicts(catalog, modules, files, ways, nodes, config):
        failed = failed or verdict.verdict == "FAILED"
        _tell(
            {
                "mutation": verdict.mutation,
                "cfg": dict(verdict.cfg),
                "verdict": verdict.verdict,
                "message": verdict.message,
            }
        )
    return 1 if failed else 0


async def _verdicts(
    catalog: Catalog,
    modules: list[KrakenModule],
    files: dict[str, CaseFile],
    ways: list[Path],
    nodes: int,
    config: Config,
) -> AsyncIterator[Verdict]:
    given: dict[str, Value] = {}
    for file in files.values():
        given.update(file.attributes)
    todo = [(catalog.mutations[m.key], files[name]) for name, m in _mutations(modules)]
    if nodes:
        async with Virtual(nodes, ways, given, config) as stage:
            async for verdict in Trial(catalog, stage).run(todo):
                yield verdict
        return
    for mutation, file in todo:  # each on a node of the kind that it is for
        attributes = given | needed_attributes([mutation, *_operators(modules)], catalog, given)
        async with Pretended(catalog, attributes) as node:
            async for verdict in Trial(catalog, node).run([(mutation, file)]):
                yield verdict


def _modules(paths: list[Path], beside: list[Path]) -> tuple[Catalog, list[KrakenModule]]:
    """All that is declared, and the modules that are tried."""
    catalog, problems = load_paths(paths, beside)
    asked = {path.resolve() for path in paths}

    def is_asked(file: Path) -> bool:
        return bool(asked & {file.resolve(), *file.resolve().parents})

    for error in problems:
        if error.file is not None and is_asked(Path(error.file)):
            raise error
    modules = [module for module in catalog.modules.values() if is_asked(module.file)]
    if not any(module.mutations for module in modules):
        raise KrakenError(
            f"no mutation is declared in {', '.join(map(str, paths))}", hint="see `kraken module check`"
        )
    return catalog, modules


def _read_tasks(modules: list[KrakenModule], ways: list[Path], config: Config) -> bool:
    """Whether ansible-playbook can read all tasks; tells of each that it cannot."""
    program = AnsibleExecutor().find_playbook_command()
    operators = _operators(modules)
    wrong = misread(program, operators, ways, build_vault_settings(config).identities)
    for operator in operators:
        if operator.action is not None and operator.action.kind == "ansible":
            said = wrong.get(operator.key, "")
            _tell({"tasks": operator.key, "verdict": "FAILED" if said else "OK", "message": said})
    return not wrong


def _mutations(modules: list[KrakenModule]) -> Iterator[tuple[str, Mutation]]:
    """With the name of the module of each."""
    for module in modules:
        for mutation in module.mutations.values():
            yield module.name, mutation


def _operators(modules: list[KrakenModule]) -> list[Mutation | Discovery]:
    found: list[Mutation | Discovery] = []
    for module in modules:
        found += [*module.discoveries.values(), *module.mutations.values()]
    return found


def _tell(line: dict[str, Any]) -> None:
    print(json.dumps(line), flush=True)


if __name__ == "__main__":
    sys.exit(main())
