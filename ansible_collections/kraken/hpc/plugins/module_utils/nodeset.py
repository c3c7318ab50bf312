# Copyright: the Kraken developers
# Apache License 2.0 (see LICENSE or https://www.apache.org/licenses/LICENSE-2.0)
"""Folding names into nodesets a person can read; expanding them is the server's work."""

from __future__ import annotations

import re

LAST_NUMBER = re.compile(r"^(.*?)(\d+)(\D*)$", re.S)


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
