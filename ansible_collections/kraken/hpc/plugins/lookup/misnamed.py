# Copyright: the Kraken developers
# Apache License 2.0 (see LICENSE or https://www.apache.org/licenses/LICENSE-2.0)
"""Lookup that finds variables somebody has set and a playbook, or a role, does not know."""

from __future__ import annotations

DOCUMENTATION = r"""
name: misnamed
short_description: Find variables that a playbook or a role does not know
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
  whose:
    description: Whose variables they are, as the texts have it.
    type: str
    default: this playbook
  alike_only:
    description:
      - Tell also of a variable given with C(-e) only when it is nearly the same as one of these. For roles, in whose plays the site has
        variables of its own, which may begin as those of a role do.
    type: bool
    default: false
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

- name: The same in a role
  ansible.builtin.assert:
    that: misnamed | length == 0
    fail_msg: "{{ misnamed | join('; ') }}"
  vars:
    misnamed: "{{ query('kraken.hpc.misnamed', 'patch_nodes', 'patch_at_once', whose='the role acme.site.patch', alike_only=true) }}"
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
        unknown = sorted(set(kwargs) - {"whose", "alike_only"})
        if unknown:
            raise AnsibleError("kraken.hpc.misnamed: there is no option %s" % unknown[0])
        self.set_options(var_options=variables, direct=kwargs)
        whose, alike_only = self.get_option("whose"), self.get_option("alike_only")
        known = [str(term) for term in terms]
        lead = os.path.commonprefix(known).rpartition("_")[0]
        if not lead and not alike_only:
            raise AnsibleError("kraken.hpc.misnamed: the names of the playbook's variables begin alike, as roll_nodes and roll_cfg do")
        typed = set(load_extra_vars(self._loader))
        told = []
        for name in sorted({*(variables or {}), *typed} - set(known)):
            meant = nearest(name, known)
            if meant:
                told.append("%s is no variable of %s; is %s meant?" % (name, whose, meant))
            elif not alike_only and name in typed and name.startswith(lead + "_"):
                told.append("%s is no variable of %s, which knows %s" % (name, whose, ", ".join(known)))
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
