"""A scripted Kraken: the calls of docs/api.md that the collection makes, over a unix socket or TCP.

It stands for the daemon where the daemon itself is not the subject. What it answers follows
docs/api.md; test_contract.py holds it to that page.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from kraken.errors import NodeSetError
from kraken.model.nodeset import expand, fold

CHANGED_MAX = 32
STATUS = {"nodeset": 400, "malformed": 400, "unauthorized": 401, "unknown-node": 404, "not-found": 404}
STATUS |= {"needs-confirmation": 409, "unreachable": 409, "document": 422, "store": 507}
STATUS |= {"opposed": 409, "plan-changed": 409, "refused": 409}


class Refusal(Exception):
    """Ends a request with a problem document."""

    def __init__(self, kind: str, detail: str, **more: Any) -> None:
        super().__init__(detail)
        self.status = STATUS[kind]
        self.document = {
            "type": f"urn:kraken:problem:{kind}",
            "title": kind.replace("-", " ").capitalize(),
            "status": self.status,
            "detail": detail,
            **more,
        }


@dataclass
class Asked:
    """One request as it arrived; header names in lower case."""

    method: str
    path: str
    query: dict[str, str]
    body: Any
    headers: dict[str, str]


@dataclass
class FakeKraken:
    """The nodes, what the next answers are, and what was asked.

    Attributes:
        unreachable: (variable, value) -> reason; a Cfg that says so is refused.
        variables: variable -> its values; any other is a wrong document.
        script: steps done one by one, each after one answer to GET /v1/nodes: how the world goes on.
        raw: answers (status, content type, body) sent instead, one by one.
        calls: (method, path) -> what answers it, beside those that are answered here; see fake_calls.py.
        refusals: (method, path) -> how it is refused, whatever is asked.
        lacking: node -> why a hold that is set is not in force there.
    """

    nodes: dict[str, dict[str, Any]] = field(default_factory=dict)
    variables: dict[str, list[str]] = field(default_factory=dict)
    unreachable: dict[tuple[str, str], str] = field(default_factory=dict)
    script: list[Callable[[], object]] = field(default_factory=list)
    raw: list[tuple[int, str, bytes]] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    calls: dict[tuple[str, str], Callable[[Asked], Any]] = field(default_factory=dict)
    refusals: dict[tuple[str, str], Refusal] = field(default_factory=dict)
    lacking: dict[str, str] = field(default_factory=dict)
    token: str | None = None

    def add(self, names: str, **parts: Any) -> None:
        """Declare nodes, alike but for `{name}` in their attributes."""
        for name in expand(names):
            node: dict[str, Any] = {
                "name": name,
                "groups": [],
                "cfg": {},
                "dsc": {},
                "cause": "CONVERGED",
                "reason": "",
                "since": 1_790_000_000.0,
                "attributes": {},
                "holds": [],
            }
            node.update(json.loads(json.dumps(parts)))
            node["attributes"] = {
                key: value.replace("{name}", name) if isinstance(value, str) else value
                for key, value in node["attributes"].items()
            }
            self.nodes[name] = node

    def become(self, names: str, cause: str, reason: str = "", **dsc: str) -> None:
        """The world goes on: these nodes have this cause now, and this was seen of them."""
        for name in expand(names):
            self.nodes[name].update(cause=cause, reason=reason)
            self.nodes[name]["dsc"].update(dsc)

    def converge(self, names: str) -> None:
        """These nodes are now what their Cfg says."""
        for name in expand(names):
            self.become(name, "CONVERGED", **self.nodes[name]["cfg"])

    def answer(self, asked: Asked) -> Any:
        """The document that answers a request."""
        if self.token is not None and asked.headers.get("authorization") != f"Bearer {self.token}":
            raise Refusal(
                "unauthorized", "no right token; nothing was done", hint="send Authorization: Bearer"
            )
        if refusal := self.refusals.get((asked.method, asked.path)):
            raise refusal
        if call := self.calls.get((asked.method, asked.path)):
            return call(asked)
        match asked.method, asked.path:
            case "GET", "/v1/nodes":
                answer = json.loads(json.dumps(self._list(asked.query)))  # as it was when asked
                if self.script:
                    self.script.pop(0)()
                return answer
            case "PATCH", "/v1/cfg":
                return self._patch(asked.body)
        raise Refusal("not-found", f"no such address {asked.path}")

    def _list(self, query: dict[str, str]) -> Any:
        names = self.names(query["nodeset"]) if "nodeset" in query else list(self.nodes)
        chosen = [self.nodes[name] for name in names]
        if "cause" in query:
            chosen = [node for node in chosen if node["cause"] == query["cause"]]
        if "group" in query:
            known = sorted({group for node in self.nodes.values() for group in node["groups"]})
            if query["group"] not in known:
                hint = f"known are: {', '.join(known)}"
                raise Refusal("nodeset", f"unknown group @{query['group']}", hint=hint, part=query["group"])
            chosen = [node for node in chosen if query["group"] in node["groups"]]
        if "collector" in query:
            chosen = [node for node in chosen if node.get("collector") == query["collector"]]
        view = {"names": lambda node: node["name"], "brief": brief, "full": full}[query.get("view", "brief")]
        return {"nodes": [view(node) for node in chosen]}

    def _patch(self, body: dict[str, Any]) -> Any:
        if ("nodeset" in body) == bool(body.get("all")):
            raise Refusal("nodeset", "name a nodeset or say all, one of the two")
        names = self.names(body["nodeset"]) if "nodeset" in body else list(self.nodes)
        changes = dict.fromkeys(body.get("unset", [])) | body.get("set", {})
        self._check(changes)
        items = []
        for name in names:
            cfg = self.nodes[name]["cfg"]
            diff = {key: [cfg.get(key), value] for key, value in changes.items() if cfg.get(key) != value}
            items.append({"node": name, "changed": bool(diff), "diff": diff, "message": ""})
        changed = [item["node"] for item in items if item["changed"]]
        reasons = {
            fold(names): self.unreachable[pair] for pair in changes.items() if pair in self.unreachable
        }
        if reasons and not body.get("allow_unreachable"):
            raise Refusal(
                "unreachable",
                f"no path leads to this Cfg for {len(names)} nodes; nothing was done",
                details=reasons,
            )
        if len(changed) > CHANGED_MAX and not body.get("yes"):
            detail = f"{len(changed)} nodes would change; nothing was done"
            raise Refusal("needs-confirmation", detail, nodes=len(changed), hint='say "yes": true')
        if not body.get("dry_run"):
            for item in items:
                self._set(item["node"], changes, item["changed"])
        return {"changed": len(changed), "items": items}

    def _check(self, changes: dict[str, Any], where: str = "set") -> None:
        for variable, value in changes.items():
            known = self.variables.get(variable)
            if known is None or (value is not None and value not in known):
                raise Refusal(
                    "document", f"no variable {variable} with value {value}", key=f"{where}.{variable}"
                )

    def _set(self, name: str, changes: dict[str, Any], changed: bool) -> None:
        node = self.nodes[name]
        for variable, value in changes.items():
            if value is None:
                node["cfg"].pop(variable, None)
            else:
                node["cfg"][variable] = value
        if changed:
            there = all(node["dsc"].get(variable) == value for variable, value in node["cfg"].items())
            node.update(cause="CONVERGED" if there else "RUNNING", reason="" if there else "power_on")

    def names(self, nodeset: str) -> list[str]:
        """The declared nodes that are meant."""
        groups: dict[str, list[str]] = {}
        for node in self.nodes.values():
            for group in node["groups"]:
                groups.setdefault(group, []).append(node["name"])
        try:
            names = expand(nodeset, groups)
        except NodeSetError as error:
            raise Refusal("nodeset", error.message, hint=error.hint, part=error.part) from error
        unknown = [name for name in names if name not in self.nodes]
        if unknown:
            folded = fold(unknown)
            detail = f"unknown node {folded}; nothing was done"
            raise Refusal("unknown-node", detail, hint="`kraken nodes` lists those declared", part=folded)
        return names


def brief(node: dict[str, Any]) -> dict[str, Any]:
    """A node in the brief view."""
    keys = ("name", "groups", "cfg", "dsc", "cause", "reason", "since")
    return {**{key: node[key] for key in keys}, "collector": node.get("collector", "")}


def full(node: dict[str, Any]) -> dict[str, Any]:
    """A node in the full view."""
    cfg = {
        variable: {"value": value, "since": node["since"], "seen_at": node["since"], "source": "root"}
        for variable, value in node["cfg"].items()
    }
    dsc = {
        variable: {
            "value": value,
            "since": node["since"],
            "seen_at": node["since"] + 5,
            "age_s": 2.5,
            "source": "power_status",
            "stale": variable in node.get("stale", []),
        }
        for variable, value in node["dsc"].items()
    }
    return brief(node) | {
        "attributes": node["attributes"],
        "records": {"cfg": cfg, "dsc": dsc},
        "explanation": {
            "node": node["name"],
            "cause": node["cause"],
            "reason": node["reason"],
            "fact": None,
            "since": node["since"],
            "next": "",
            "next_at": None,
        },
        "path": node.get("path", []),
        "other_modules": node.get("other_modules", ""),
        "running": node.get("running", []),
        "holds": node["holds"],
        "failures": node.get("failures", 0),
    }


@contextlib.contextmanager
def serving(kraken: FakeKraken, address: Path | tuple[str, int], tls: Any = None) -> Iterator[Any]:
    """Answer at a unix socket (a path) or TCP (host, port; 0 chooses one) until left; gives where."""
    handler = type("Handler", (_Handler,), {"kraken": kraken})
    if isinstance(address, Path):
        server: Any = _UnixServer(str(address), handler)
        where: Any = address
    else:
        server = _TcpServer(address, handler)
        where = server.server_address
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield where
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
        if isinstance(address, Path):
            address.unlink(missing_ok=True)


class _Quiet(socketserver.ThreadingMixIn):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up in the middle is part of the tests."""


class _UnixServer(_Quiet, socketserver.UnixStreamServer):
    request_queue_size = 64


class _TcpServer(_Quiet, socketserver.TCPServer):
    allow_reuse_address = True


class _Handler(BaseHTTPRequestHandler):
    kraken: FakeKraken
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer()

    do_PATCH = do_POST = do_GET

    def address_string(self) -> str:
        return "client"

    def log_message(self, *args: Any) -> None:
        """Tests print nothing."""

    def _answer(self) -> None:
        split = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(split.query).items()}
        data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {key.lower(): value for key, value in self.headers.items()}
        asked = Asked(self.command, split.path, query, json.loads(data) if data else None, headers)
        self.kraken.asked.append(asked)
        if self.kraken.raw:
            self._send(*self.kraken.raw.pop(0))
            return
        try:
            status, kind, document = 200, "application/json", self.kraken.answer(asked)
        except Refusal as refusal:
            status, kind, document = refusal.status, "application/problem+json", refusal.document
        self._send(status, kind, json.dumps(document).encode())

    def _send(self, status: int, kind: str, body: bytes) -> None:
        if kind == "hang":
            time.sleep(status)
            self.close_connection = True
            return
        self.send_response(status)
        self.send_header("Content-Type", kind)
        cut = kind == "cut"
        self.send_header("Content-Length", str(len(body) + (100 if cut else 0)))
        self.send_header("ETag", hashlib.sha256(body).hexdigest()[:16])
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = cut
