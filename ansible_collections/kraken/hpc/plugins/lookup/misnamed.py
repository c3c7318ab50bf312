# Copyright: the Kraken developers
# Apache License 2.0 (see LICENSE or https://www.apache.org/licenses/LICENSE-2.0)
"""Lookup that finds variables somebody has set and a playbook does not know."""

from __future__ import annotations

DOCUMENTATION = r"""
name: misnamed
short_description: Find variables that a playbook does not know
version_added: 0.1.0
description:
  - Ansible does not mind a variable that nobody reads, so C(-e roll_atonce=8) left C(roll_at_once) at its default. This lookup
    names such variables, with the one that is meant where one is nearly the same.
  - A variable given with C(-e) is told when it begins as those of the playbook do. One of the inventory, or of who imports
    the playbook, is told only when it is nearly the same as one of the playbook's.
options:
  _terms:
    description:
      - The variables the playbook knows. What all of them begin with, up to an underscore, is how its variables begin.
    type: list
    elements: str
    required: true
author:
  - The Kraken developers (@kraken-hpc)
"""

EXAMPLES = r"""
- name: Insist that no variable is mistyped
  ansible.builtin.assert:
    that: misnamed | length == 0
    fail_msg: "{{ misnamed | join('; ') }}"
  vars:
    misnamed: "{{ query('kraken.hpc.misnamed', 'patch_nodes', 'patch_at_once') }}"
"""

RETURN = r"""
_raw:
  description: A text for each such variable, in the order of their names; none where all are known.
  type: list
  elements: str
"""

import difflib
import os

from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase
from ansible.utils.vars import load_extra_vars

NEARLY = 0.9  # of difflib: one letter of five is another, or missing


class LookupModule(LookupBase):
    def run(self, terms, variables=None, **kwargs):
        """What is to be said of each variable that is not known."""
        if kwargs:
            raise AnsibleError("kraken.hpc.misnamed: there is no option %s" % sorted(kwargs)[0])
        known = [str(term) for term in terms]
        lead = os.path.commonprefix(known).rpartition("_")[0]
        if not lead:
            raise AnsibleError("kraken.hpc.misnamed: the names of the playbook's variables begin alike, as roll_nodes and roll_cfg do")
        typed = set(load_extra_vars(self._loader))
        told = []
        for name in sorted({*(variables or {}), *typed} - set(known)):
            meant = nearest(name, known)
            if meant:
                told.append("%s is no variable of this playbook; is %s meant?" % (name, meant))
            elif name in typed and name.startswith(lead + "_"):
                told.append("%s is no variable of this playbook, which knows %s" % (name, ", ".join(known)))
        return told


def nearest(name, known):
    """The variable that is nearly the same; None when none is."""
    for one in known:
        if squeezed(one) == squeezed(name):
            return one
    near = difflib.get_close_matches(name, known, 1, NEARLY)
    return near[0] if near else None


def squeezed(name):
    return name.replace("_", "").lower()
