# Copyright: the Kraken developers
# Apache License 2.0 (see LICENSE or https://www.apache.org/licenses/LICENSE-2.0)
"""Documentation of the options by which modules say which nodes they mean."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  nodes:
    description:
      - The nodes meant, as nodesets in ClusterShell's syntax. V(n[0001-0128],login1), V(@compute), V(@compute!n7).
      - There is no default. Neither the current host nor every node is ever assumed.
      - A node that nobody declared to Kraken is an error, and then nothing is done.
    type: list
    elements: str
    required: true
"""

    READING = r"""
options:
  nodes:
    description:
      - The nodes meant, as nodesets in ClusterShell's syntax. V(n[0001-0128],login1), V(@compute), V(@compute!n7).
      - A node that nobody declared to Kraken is an error.
      - Give either this or O(all). The current host is never assumed.
    type: list
    elements: str
  all:
    description:
      - Every node that is declared.
    type: bool
"""

    CONFIRM = r"""
options:
  confirm_many:
    description:
      - Say that a change of more than 32 nodes is meant. Kraken refuses it otherwise.
    type: bool
    default: false
"""
