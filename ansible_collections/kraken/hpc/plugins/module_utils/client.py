# Copyright: the Kraken developers
# Apache License 2.0 (see LICENSE or https://www.apache.org/licenses/LICENSE-2.0)
"""Speaks to Kraken's HTTP interface, over its unix socket or over TCP.

Nothing here knows what a call means; modules and plugins do. Python's standard library and
Ansible's own utilities only: the collection works where the kraken package is not installed.
"""

from __future__ import annotations

import errno
import getpass
import grp
import http.client
import json
import os
import pwd
import re
import socket
import ssl
import stat
from urllib.parse import quote, urlsplit

from ansible.module_utils.urls import make_context

from ansible_collections.kraken.hpc.plugins.module_utils import timely

DEFAULT_SOCKET = "/run/kraken/kraken.sock"
AGENT = "kraken.hpc"
PROBLEM_PREFIX = "urn:kraken:problem:"
USER = re.compile(r"^[A-Za-z0-9._@-]{1,64}$")
UNSENT = (errno.ENOENT, errno.ECONNREFUSED, errno.EACCES, errno.EPERM, errno.ENOTSOCK, errno.EHOSTUNREACH, errno.ENETUNREACH)
TIMEOUT_S_MAX = 86400.0
DETAILS_MAX = 5  # as many reasons as fit a message; all of them are in `details`


class KrakenError(Exception):
    """A call that did not do what was asked; the message is a sentence for a person."""


class SettingsError(KrakenError):
    """The options, not Kraken, are wrong: nothing was sent."""


class AwayError(KrakenError):
    """Nobody answers, or the one who answers is not Kraken.

    Attributes:
        may_be_done: what was asked may have arrived, and so may be done.
    """

    may_be_done = True


class Problem(KrakenError):
    """Kraken refused, with a problem document (RFC 9457).

    Attributes:
        type: the last part of the document's type, "unknown-node"; "" when it carried none.
        status: HTTP status.
        document: the whole of it.
    """

    def __init__(self, status, document):
        self.status = status
        self.document = document
        kind = str(document.get("type") or "")
        self.type = kind[len(PROBLEM_PREFIX):] if kind.startswith(PROBLEM_PREFIX) else kind
        super().__init__(self.sentence())

    def sentence(self, hints=None, options=None):
        """The problem in one sentence: what, where, why in detail, what to do.

        Args:
            options: how the key of what is wrong begins -> how the caller's own option is called.
            hints: type -> what to do about it in the words of the caller's own options, where
                Kraken's hint would speak of another tool's.
        """
        document = self.document
        text = str(document.get("detail") or document.get("title") or "Kraken answered with status %s" % self.status)
        key = _of_options(str(document.get("key") or ""), options or {})
        if key and key not in text:
            text = "%s: %s" % (key, text)
        text += _reasons(document.get("details"), text)
        hint = (hints or {}).get(self.type) or document.get("hint")
        if self.type == "nodeset" and "unknown group @" in text:
            hint = document.get("hint")  # the nodeset is well written, and Kraken knows which groups there are
        return "%s (%s)" % (text, hint) if hint else text

    def as_result(self):
        """What a failed module returns about it, beside the message."""
        return {"problem": dict(self.document, type=self.type, status=self.status)}


class Client:
    """One Kraken daemon.

    Args:
        options: socket, url, token_file, ca_path, timeout, as the user wrote them (None: not
            given). What is written wins over the environment, whatever the kind of address.
        environ: where KRAKEN_URL, KRAKEN_SOCKET, KRAKEN_TOKEN_FILE and KRAKEN_CACERT are looked up.

    Attributes:
        address: where Kraken is, for messages and cache keys; never holds a secret.
        warnings: what the user should know about these settings; empty when all is well.
        user: who Kraken takes us for; None over TCP, where it is the name of the token.
        login: who we are on this machine.
    """

    def __init__(self, options, environ=None):
        environ = os.environ if environ is None else environ
        self.timeout_s = _timeout_s(options.get("timeout"))
        self.warnings = []
        self.login = _user()
        self._headers = {"Accept": "application/json", "Kraken-User": self.login, "User-Agent": AGENT}
        self.socket, self.url = _where(options.get("socket"), options.get("url"), environ)
        self.address = self.socket or self.url
        self.user = None if self.url else self._headers["Kraken-User"]
        self._token_file = self._ca_path = self._context = None
        if self.url:
            self._over_tcp(
                options.get("token_file") or environ.get("KRAKEN_TOKEN_FILE"),
                options.get("ca_path") or environ.get("KRAKEN_CACERT"),
            )

    def claim(self, user):
        """Be this user; whoever may open the socket is believed.

        Raises:
            SettingsError: no name that Kraken would take.
        """
        if not USER.match(user):
            raise SettingsError("owner %s is no name: 64 letters, digits, dots, dashes, @ and underscores at most" % user)
        self.user = self._headers["Kraken-User"] = user

    def nodes(self, **query):
        """The nodes a query selects; a value of None is left out of it."""
        return self.call("GET", "/v1/nodes", query=query, expect="nodes")

    def call(self, method, path, query=None, body=None, expect=None):
        """Send one request; give back the answer, decoded.

        Args:
            expect: give back only this part of the answer, which must be there.

        Raises:
            Problem: Kraken says no.
            AwayError: no answer, or none of Kraken's.
        """
        pairs = [(k, v) for k, v in sorted((query or {}).items()) if v is not None]
        if pairs:
            path += "?" + "&".join("%s=%s" % (k, quote(str(v), safe="[],-@!*.:")) for k, v in pairs)
        headers = dict(self._headers)
        data = None
        if body is not None:
            try:
                data = json.dumps(body, allow_nan=False).encode("utf-8")
            except ValueError:
                raise SettingsError("one of the numbers given is infinite, or none (nan); nothing was done")
            headers["Content-Type"] = "application/json"
        try:
            status, kind, answer = self._send(method, path, data, headers)
        except (OSError, http.client.HTTPException) as error:
            away = AwayError(self._why_away(error))
            away.may_be_done = not _was_never_sent(error)
            raise away from error
        document = self._decode(method, path, status, kind, answer)
        if expect is None:
            return document
        if not isinstance(document, dict) or expect not in document:
            raise AwayError("%s %s at %s: the answer has no %r; is that Kraken?" % (method, path, self.address, expect))
        return document[expect]

    def _over_tcp(self, token_file, ca_path):
        if not token_file:
            raise SettingsError(
                "Kraken at %s wants a token: name the file that holds it in token_file (or KRAKEN_TOKEN_FILE)" % self.url
            )
        self._headers["Authorization"] = "Bearer " + read_token(token_file)
        self._token_file, self._ca_path = token_file, ca_path
        split = urlsplit(self.url)
        if split.scheme == "http" and split.hostname not in ("localhost", "127.0.0.1", "::1"):
            self.warnings.append("the token for %s travels unencrypted; use https" % self.url)
        if split.scheme == "https":
            try:
                self._context = make_context(cafile=ca_path)
            except OSError as error:
                raise SettingsError("cannot read the certificates in ca_path %s: %s" % (ca_path, error)) from error

    def _connection(self):
        """One to Kraken, and what the paths there begin with."""
        if self.socket:
            return timely.over_unix(self.socket, self.timeout_s), ""
        split = urlsplit(self.url)
        return timely.over_tcp(split.hostname, split.port, self.timeout_s, self._context), split.path

    def _send(self, method, path, data, headers):
        connection, lead = self._connection()
        path = lead + path
        try:
            connection.request(method, path, body=data, headers=headers)
            response = connection.getresponse()
            return response.status, response.getheader("Content-Type", ""), response.read()
        finally:
            connection.close()

    def _decode(self, method, path, status, kind, answer):
        where = "%s %s at %s" % (method, path.split("?")[0], self.address)
        try:
            document = json.loads(answer.decode("utf-8")) if answer else None
        except ValueError:
            raise AwayError("%s: the answer (status %s, %s) is not JSON; is that Kraken?" % (where, status, kind or "no type"))
        if 200 <= status < 300:
            return document
        if not isinstance(document, dict):
            raise AwayError("%s: status %s without a problem document; is that Kraken?" % (where, status))
        if status == 401 and self._token_file:
            hint = "the daemon does not know the one in %s; its api.tokens_file has those it takes" % self._token_file
            document = dict(document, hint=hint)
        if not str(document.get("type") or "").startswith(PROBLEM_PREFIX):
            said = document.get("detail") or document.get("title") or "no reason"
            raise AwayError("%s: status %s, %s; is that Kraken?" % (where, status, said))
        raise Problem(status, document)

    def _why_away(self, error):
        if isinstance(error, socket.timeout):
            return "Kraken at %s did not answer within %g s" % (self.address, self.timeout_s)
        if isinstance(error, http.client.HTTPException):
            hint = "" if isinstance(error, http.client.IncompleteRead) else self._by_tls()
            return "Kraken at %s broke off its answer (%s)%s" % (self.address, type(error).__name__, hint)
        if isinstance(error, ssl.SSLCertVerificationError):
            return "no certificate for Kraken at %s: %s (%s)" % (
                self.address,
                error.verify_message,
                "ca_path is %s" % self._ca_path if self._ca_path else "name who vouches for it in ca_path, or KRAKEN_CACERT",
            )
        if isinstance(error, ssl.SSLError) and getattr(error, "reason", "") == "WRONG_VERSION_NUMBER":
            return "cannot reach Kraken at %s: it does not speak TLS; does it want http?" % self.address
        text = "cannot reach Kraken at %s: %s" % (self.address, getattr(error, "strerror", None) or error)
        code = getattr(error, "errno", None)
        if not self.socket:
            return text + self._by_tls() if isinstance(error, ConnectionResetError) else text
        if code == errno.ENOENT:
            return text + " (is the daemon running on this machine, %s? delegate_to the head, or give url)" % socket.gethostname()
        if code in (errno.EACCES, errno.EPERM):
            return text + " (user %s may not open it: %s)" % (_user(), who_may_open(self.socket))
        if code == errno.ECONNREFUSED:
            if os.path.isfile(self.socket):
                return text + " (it is a file, and no socket)"
            return text + " (the daemon is not running; the socket was left behind)"
        return text

    def _by_tls(self):
        """What may be why a connection ends before there is an answer."""
        return "; does it want https?" if str(self.url).startswith("http:") else ""


def connection_spec():
    """The options of doc fragment kraken.hpc.connection, for a module's argument_spec."""
    return {
        "socket": {"type": "path"},
        "url": {"type": "str"},
        "token_file": {"type": "path", "no_log": False},
        "ca_path": {"type": "path"},
        "timeout": {"type": "float", "default": 30.0},
    }


CONNECTION_EXCLUSIVE = [("socket", "url")]


def read_token(path):
    """The token in a file.

    Raises:
        SettingsError: the file is missing, empty, more than one word, or others may read it.
    """
    path = os.path.expanduser(path)
    try:
        with open(path, encoding="ascii") as file:
            mode = os.fstat(file.fileno()).st_mode
            token = file.read(4096).strip()
    except (OSError, ValueError) as error:
        raise SettingsError("cannot read the token in %s: %s" % (path, getattr(error, "strerror", None) or "not plain text"))
    if mode & stat.S_IROTH:
        raise SettingsError("everybody may read the token in %s: chmod o-r %s" % (path, path))
    if not token or len(token.split()) != 1:
        raise SettingsError("%s must hold one token and nothing else" % path)
    return token


def who_may_open(path):
    """Who may open the socket at this path, and what others do, for a person."""
    try:
        about = os.stat(path)
    except OSError:
        return "nor its directory; become root, or ask whose it is"
    owner = _name_of(pwd.getpwuid, about.st_uid)
    if about.st_mode & stat.S_IWGRP:
        return "become %s, or one of the group %s" % (owner, _name_of(grp.getgrgid, about.st_gid))
    return "it is for %s alone; become that, or have the daemon's api.socket_mode be 0660 and join its api.socket_group" % owner


def _name_of(look_up, number):
    try:
        return look_up(number)[0]
    except KeyError:  # of another machine, or a container's
        return str(number)


def _where(unix_socket, url, environ):
    """(socket, None) or (None, url): written options first, then the environment, then the default."""
    if unix_socket and url:
        raise SettingsError("give socket or url, not both")
    if not unix_socket and not url:
        url = environ.get("KRAKEN_URL")
        unix_socket = None if url else environ.get("KRAKEN_SOCKET") or DEFAULT_SOCKET
    if unix_socket:
        return os.path.expanduser(unix_socket), None
    split = urlsplit(url)
    if split.scheme not in ("http", "https") or not split.hostname or not _has_good_port(split):
        raise SettingsError("url %s is not an address like https://head.example:8080" % (url.rsplit("@")[-1],))
    if split.username or split.password:
        raise SettingsError("url must not hold a user or password; the token comes from token_file")
    return None, url.rstrip("/")


def _has_good_port(split):
    try:
        return split.port != 0
    except ValueError:  # no number, or above 65535
        return False


def _timeout_s(timeout):
    """Seconds that one request may take."""
    if timeout is None:
        return 30.0
    timeout_s = float(timeout)
    if not 0 < timeout_s <= TIMEOUT_S_MAX:
        raise SettingsError("timeout is %g, where seconds above 0 are wanted, a day of them at most" % timeout_s)
    return timeout_s


def _was_never_sent(error):
    """Whether there was no connection at all."""
    return isinstance(error, (socket.gaierror, ssl.SSLCertVerificationError)) or getattr(error, "errno", None) in UNSENT


def _user():
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        return "uid-%d" % os.getuid()


def _of_options(key, options):
    for beginning, option in options.items():
        if key.startswith(beginning):
            return option + key[len(beginning):]
    return key


def _reasons(details, said):
    """The reasons of single nodes that were not said yet, in brackets; a few of them."""
    if not isinstance(details, dict):
        return ""
    unsaid = ["%s: %s" % pair for pair in sorted(details.items()) if str(pair[1]) not in said]
    shown = unsaid[:DETAILS_MAX]
    if len(unsaid) > DETAILS_MAX:
        shown.append("and %d more" % (len(unsaid) - DETAILS_MAX))
    return " [%s]" % "; ".join(shown) if shown else ""
