"""Actions done by Ansible: one ansible-playbook per run, its results node by node.

    executor    the Executor: asyncio on one side, a thread per run on the other
    content     what ansible-playbook is given: playbook, inventory, environment   (pure)
    account     its events folded into results                                     (pure)
    reasons     why a host failed, in one line                                     (pure)
    playrun     one ansible-playbook under way; the only user of ansible-runner
    keeper      a program around it that leaves no process behind
    groups      cgroups of runs: what one may have of this machine, where those are ours to make
    starter     the fork server of an executor: `forkserver`, a program with Ansible imported,
                `payloads`, what it keeps of what its runs built, and `entry`, a program that hands it a run
    callback    Ansible's plugin that tells what becomes of hosts, over that of ansible-runner
    syntax      tasks read by ansible-playbook and not run
    workspace   where runs keep their files, and the ssh masters

Never here: an import of `ansible` itself, but in `forkserver` and `callback`, which run under Ansible's own
interpreter; a decision about what to run or when. The daemon and tests import it.
"""

from kraken.executors.ansible.content import SshSettings, VaultSettings
from kraken.executors.ansible.executor import AnsibleExecutor
from kraken.executors.ansible.groups import Limits

__all__ = ["AnsibleExecutor", "Limits", "SshSettings", "VaultSettings"]
