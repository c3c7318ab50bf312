# Copyright: the Kraken developers
# Apache License 2.0 (see LICENSE or https://www.apache.org/licenses/LICENSE-2.0)
"""Documentation of the options by which every module and plugin reaches Kraken."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  socket:
    description:
      - Unix socket of Kraken's daemon, on the machine where this runs (the controller, or the host delegated to).
      - Whoever may open the socket is an administrator; no token is needed.
      - If neither O(socket) nor O(url) is given, E(KRAKEN_URL) counts, then E(KRAKEN_SOCKET), then
        C(/run/kraken/kraken.sock).
    type: path
  url:
    description:
      - Address of Kraken's daemon when it listens on TCP, C(https://head.example:8080).
      - Mutually exclusive with O(socket). Proxies are not used and redirections not followed.
      - If neither O(socket) nor O(url) is given, E(KRAKEN_URL) counts.
    type: str
  token_file:
    description:
      - File that holds the bearer token for O(url), and nothing else. It must not be readable by others.
      - If it is not given, E(KRAKEN_TOKEN_FILE) counts.
      - Needed with O(url), unused with O(socket).
    type: path
  ca_path:
    description:
      - File with the certificates (PEM) of the authorities that may vouch for Kraken, when O(url) begins with C(https).
      - If it is not given, E(KRAKEN_CACERT) counts, then the system's own authorities.
    type: path
  timeout:
    description:
      - Seconds one request may take, its whole answer included, before Kraken counts as away.
    type: float
    default: 30.0
"""

    PLUGIN = r"""
options:
  socket:
    description:
      - Unix socket of Kraken's daemon, on the controller.
      - Whoever may open the socket is an administrator; no token is needed.
      - If neither O(socket) nor O(url) is in the configuration, E(KRAKEN_URL) counts, then E(KRAKEN_SOCKET), then
        C(/run/kraken/kraken.sock).
    type: path
    env:
      - name: KRAKEN_SOCKET
  url:
    description:
      - Address of Kraken's daemon when it listens on TCP, C(https://head.example:8080).
      - Not together with O(socket). Proxies are not used and redirections not followed.
    type: str
    env:
      - name: KRAKEN_URL
  token_file:
    description:
      - File that holds the bearer token for O(url), and nothing else. It must not be readable by others.
      - Needed with O(url), unused with O(socket).
    type: path
    env:
      - name: KRAKEN_TOKEN_FILE
  ca_path:
    description:
      - File with the certificates (PEM) of the authorities that may vouch for Kraken, when O(url) begins with C(https).
      - Without it the system's own authorities count.
    type: path
    env:
      - name: KRAKEN_CACERT
  timeout:
    description:
      - Seconds one request may take, its whole answer included, before Kraken counts as away.
    type: float
    default: 30.0
"""

    CALLBACK = r"""
options:
  socket:
    description:
      - Unix socket of Kraken's daemon, on the controller.
      - Whoever may open the socket is an administrator; no token is needed.
      - If neither O(socket) nor O(url) is in the configuration, E(KRAKEN_URL) counts, then E(KRAKEN_SOCKET), then
        C(/run/kraken/kraken.sock).
    type: path
    ini:
      - section: callback_kraken_journal
        key: socket
  url:
    description:
      - Address of Kraken's daemon when it listens on TCP, C(https://head.example:8080).
      - Not together with O(socket). Proxies are not used and redirections not followed.
      - If neither O(socket) nor O(url) is in the configuration, E(KRAKEN_URL) counts.
    type: str
    ini:
      - section: callback_kraken_journal
        key: url
  token_file:
    description:
      - File that holds the bearer token for O(url), and nothing else. It must not be readable by others.
      - If it is not in the configuration, E(KRAKEN_TOKEN_FILE) counts.
      - Needed with O(url), unused with O(socket).
    type: path
    ini:
      - section: callback_kraken_journal
        key: token_file
  ca_path:
    description:
      - File with the certificates (PEM) of the authorities that may vouch for Kraken, when O(url) begins with C(https).
      - If it is not in the configuration, E(KRAKEN_CACERT) counts, then the system's own authorities.
    type: path
    ini:
      - section: callback_kraken_journal
        key: ca_path
  timeout:
    description:
      - Seconds the end of a playbook waits for Kraken before it counts as away.
    type: float
    default: 5.0
    ini:
      - section: callback_kraken_journal
        key: timeout
"""
