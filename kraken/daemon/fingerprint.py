"""Fingerprints of what Kraken modules declare: alike in every process, wherever their files lie."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path as File
from typing import Any

from kraken.model.catalog import Catalog
from kraken.model.module import Discovery, Mutation


def fingerprint(operator: Mutation | Discovery) -> str:
    """Of how it is done and what that does; other than its costs, times, conditions and words.

    What stands in files that its tasks import is not in it: nobody but Ansible reads them.
    """
    action = operator.action
    how = [operator.runs_on, None if action is None else [action.kind, action.spec, action.play]]
    if isinstance(operator, Mutation):
        return _digest([*how, operator.changes, operator.disruptive, operator.fails_to, operator.asserts])
    return _digest([*how, operator.observes])


def modules_fingerprint(catalog: Catalog) -> str:
    """Of everything the Kraken modules declare, wherever their files lie."""
    declared = (catalog.variables, catalog.mutations, catalog.discoveries)
    return _digest([list(one.items()) for one in declared])  # their order breaks ties


def _digest(content: Any) -> str:
    return hashlib.blake2b(json.dumps(_plain(content), sort_keys=True).encode(), digest_size=8).hexdigest()


def _plain(value: Any) -> Any:
    """The value as JSON can hold it, alike in every process."""
    if is_dataclass(value):
        return {one.name: _plain(getattr(value, one.name)) for one in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, File):
        return ""  # where the files lie is no part of what they say
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)
