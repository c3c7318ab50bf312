# Copyright: the Kraken developers
# Apache License 2.0 (see LICENSE or https://www.apache.org/licenses/LICENSE-2.0)
"""Nodesets in ClusterShell's syntax: names folded into what a person can read, and expanded again.

Modules leave expanding to the server, which knows all nodes and groups; playbooks have lookup and filters.
"""

from __future__ import annotations

import itertools
import re

LAST_NUMBER = re.compile(r"^(.*?)(\d+)(\D*)$", re.S)
OPERATOR = re.compile(r"([,!&^])(?![^\[\]]*\])")
BRACKETS = re.compile(r"\[([^\[\]]*)\]")
RANGE = re.compile(r"\s*([0-9]+)\s*(?:-\s*([0-9]+)\s*(?:/\s*([0-9]+)\s*)?)?")
EXPAND_MAX = 1000000  # a typing error like n[1-99999999] must not eat the machine


class NodesetError(ValueError):
    """A nodeset that cannot be read; the message says why, and what to do."""


def expand(text, groups=None):
    """The names a nodeset selects, each once, in the order in which it names them; [] where it selects none.

    Args:
        text: ClusterShell's syntax: `n[0001-0128],login1`, `r[1-2]n[1-9/2]`, `@group`, `a!b` (without),
            `a&b` (in both), `a^b` (in one); operators count from left to right.
        groups: group -> names, for `@group`; `@*` is everybody who is in some group.

    Raises:
        NodesetError: it is empty or cannot be read, names an unknown group, or more than EXPAND_MAX nodes.
    """
    if not str(text).strip():
        raise NodesetError("an empty nodeset: name one like n[0001-0008]")
    pieces = OPERATOR.split(str(text))
    selected = {}
    for operator, pattern in zip([","] + pieces[1::2], pieces[::2]):
        names = dict.fromkeys(_named(pattern.strip(), text, groups or {}))
        if operator == ",":
            selected.update(names)
        elif operator == "!":
            selected = {name: None for name in selected if name not in names}
        elif operator == "&":
            selected = {name: None for name in selected if name in names}
        else:
            both = selected.keys() & names.keys()
            selected = {name: None for name in itertools.chain(selected, names) if name not in both}
    return list(selected)


def fold(names):
    """The nodeset that names exactly these: n1, n2, n3 -> "n[1-3]"; "" for none.

    Only the last number of a name is folded. Numbers of one width with leading zeros stay apart
    from plain ones, so that n01 and n1 remain two nodes.
    """
    plain, numbered = set(), {}
    for name in set(names):
        match = LAST_NUMBER.match(name)
        if match:
            head, digits, tail = match.groups()
            numbered.setdefault((head, tail), []).append(digits)
        else:
            plain.add(name)
    parts = [(name, name) for name in plain]
    for (head, tail), numbers in numbered.items():
        for width, values in _by_width(numbers):
            ranges = _ranges(values, width)
            inside = ",".join(ranges)
            single = len(ranges) == 1 and "-" not in inside
            parts.append((head + "%09d" % values[0], head + (inside if single else "[%s]" % inside) + tail))
    return ",".join(text for dummy, text in sorted(parts))


def portions(names, length_max=6000):
    """The names as folded nodesets, none much longer than length_max: each fits into an address."""
    portion, length = [], 0
    for name in names:
        if portion and length + len(name) + 1 > length_max:
            folded = fold(portion)
            if len(folded) * 2 > length_max:
                yield folded
                portion, length = [], 0
            else:
                length = len(folded)
        portion.append(name)
        length += len(name) + 1
    if portion:
        yield fold(portion)


def _named(pattern, text, groups):
    """The names one operand stands for."""
    if not pattern:
        raise NodesetError("nodeset %s: a name is missing beside one of , ! & ^" % text)
    if not pattern.startswith("@"):
        return _patterned(pattern, text)
    if pattern == "@*":
        return [name for names in groups.values() for name in names]
    found = []
    for group in _patterned(pattern[1:], text):
        if group not in groups:
            known = ", ".join("@" + name for name in sorted(groups)) or "none"
            raise NodesetError("nodeset %s: there is no group @%s (groups: %s)" % (text, group, known))
        found += groups[group]
    return found


def _patterned(pattern, text):
    """A pattern with its brackets written out: r[1-2]n[1-2] -> r1n1, r1n2, r2n1, r2n2."""
    parts = BRACKETS.split(pattern)
    rest = "".join(parts[::2])
    if "[" in rest or "]" in rest or "][" in pattern:
        raise NodesetError("nodeset %s: brackets in %s do not match: write n[1-3]" % (text, pattern))
    if "*" in rest or "?" in rest:
        raise NodesetError("nodeset %s: %s has a wildcard, which only @* may have" % (text, pattern))
    if not pattern or re.search(r"\s", rest) or "@" in rest:
        raise NodesetError("nodeset %s: %r is no name: put commas between names" % (text, pattern))
    choices, total = [[parts[0]]], 1
    for before, inside, after in zip(parts[::2], parts[1::2], parts[2::2]):
        ranges = [_range(one, before[-1:].isdigit(), text) for one in inside.split(",")]
        total *= sum(len(numbers) for numbers, dummy in ranges)
        if total > EXPAND_MAX:
            raise NodesetError("nodeset %s names more than %d nodes" % (text, EXPAND_MAX))
        choices.append([str(number).zfill(width) for numbers, width in ranges for number in numbers])
        choices.append([after])
    return ["".join(chosen) for chosen in itertools.product(*choices)]


def _range(one, follows_digit, text):
    """(numbers, width) of `7`, `1-8` or `01-15/2`."""
    match = RANGE.fullmatch(one)
    if not match:
        raise NodesetError("nodeset %s: %r is no range: write 1-8, 01-15/2 or 7" % (text, one))
    first, last, step = match[1], match[2] or match[1], int(match[3] or 1)
    padded = any(len(number) > 1 and number.startswith("0") for number in (first, last))
    if len(first) != len(last) and (padded or follows_digit):
        raise NodesetError("nodeset %s: the ends of %s must be written with as many digits" % (text, one))
    if int(last) < int(first) or step < 1:
        raise NodesetError("nodeset %s: %s counts nothing" % (text, one))
    return range(int(first), int(last) + 1, step), len(first) if padded else 0


def _by_width(numbers):
    """Zero-padded numbers by their width, then the plain ones (width 0), each ascending."""
    padded = {len(digits) for digits in numbers if digits[0] == "0" and len(digits) > 1}
    found = {}
    for digits in numbers:
        found.setdefault(len(digits) if len(digits) in padded else 0, []).append(int(digits))
    return sorted((width, sorted(values)) for width, values in found.items())


def _ranges(values, width):
    ranges = []
    first = last = values[0]
    for value in values[1:] + [None]:
        if value is not None and value == last + 1:
            last = value
            continue
        low, high = str(first).zfill(width), str(last).zfill(width)
        ranges.append(low if first == last else low + "-" + high)
        if value is not None:
            first = last = value
    return ranges
