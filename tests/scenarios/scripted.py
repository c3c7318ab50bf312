"""A daemon that answers by a script, over a unix socket or TCP: the outside world of the CLI's tests.

    python scripted.py answers/lab.yml /tmp/k.sock     serves one by hand

A script is a list of rules, tried in order; the first that fits answers:

    - call: GET /v1/nodes            method and path
      query: {cause: STALE}          only calls whose query has these
      body: {"yes": true}            only calls whose body has these
      once: true                     used up after one call
      status: 409                    default 200; from 400 on a problem document
      answer: {...}                  sent as JSON; "$now-12.5" becomes a time
      text: "..."                    sent as it stands instead, as `type`
      events: [[dsc, {...}], ...]    sent as server-sent events; the stream then stays open
      cut: 10                        only so many bytes of the answer are sent, then the end
      stays: true                    more of the answer would follow, and never does
      hang: true                     accepted and never answered
"""

from __future__ import annotations

import json
import re
import socket
import socketserver
import sys
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import yaml

Rule = dict[str, Any]


class Scripted:
    """Serves a script from entering to leaving; `calls` are those it got, in order."""

    def __init__(
        self,
        rules: list[Rule],
        *,
        path: Path | None = None,
        token: str | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.rules = list(rules)
        self.calls: list[dict[str, Any]] = []
        self.now = now
        self.token = token
        self.ended = threading.Event()
        self._lock = threading.Lock()
        server_type = _TcpServer if path is None else _UnixServer
        self._server = server_type(("127.0.0.1", 0) if path is None else str(path), _Handler)
        self._server.script = self  # type: ignore[union-attr]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def url(self) -> str:
        host, port = self._server.server_address[:2]
        return f"http://{host!s}:{port}"

    def __enter__(self) -> Scripted:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.ended.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)

    def answer(self, call: dict[str, Any]) -> Rule:
        """The rule that answers this call; it is kept in `calls`."""
        with self._lock:
            self.calls.append(call)
            for rule in self.rules:
                if _fits(rule, call):
                    if rule.get("once"):
                        self.rules.remove(rule)
                    return rule
        detail = f"the script has no answer for {call['method']} {call['path']} {call['query']}"
        return {"status": 404, "answer": {"type": "urn:kraken:problem:not-found", "detail": detail}}

    def timed(self, value: Any) -> Any:
        """The value with its "$now-12" replaced."""
        if isinstance(value, dict):
            return {key: self.timed(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.timed(item) for item in value]
        found = re.fullmatch(r"\$now([+-][\d.]+)?", value) if isinstance(value, str) else None
        return self.now() + float(found.group(1) or 0) if found else value


def load(file: Path) -> list[Rule]:
    """The rules in a file."""
    rules: list[Rule] = yaml.safe_load(file.read_text())
    return rules


def _fits(rule: Rule, call: dict[str, Any]) -> bool:
    if rule["call"] != f"{call['method']} {call['path']}":
        return False
    query, body = rule.get("query", {}), rule.get("body", {})
    sent = call["body"] if isinstance(call["body"], dict) else {}
    return all(call["query"].get(key) == value for key, value in query.items()) and all(
        sent.get(key) == value for key, value in body.items()
    )


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def _handle(self) -> None:
        script: Scripted = self.server.script  # type: ignore[attr-defined]
        parts = urlsplit(self.path)
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        call = {
            "method": self.command,
            "path": parts.path,
            "query": dict(parse_qsl(parts.query)),
            "body": json.loads(raw) if raw else None,
            "headers": dict(self.headers.items()),
        }
        self.close_connection = True
        if script.token is not None and self.headers.get("Authorization") != f"Bearer {script.token}":
            script.calls.append(call)
            problem = {"type": "urn:kraken:problem:unauthorized", "detail": "the token is not right"}
            self._reply({"status": 401, "answer": problem})
            return
        rule = script.answer(call)
        if rule.get("hang"):
            script.ended.wait()
        elif "events" in rule:
            self._stream(script, rule["events"])
        else:
            self._reply({**rule, "answer": script.timed(rule.get("answer"))})
            if rule.get("stays"):
                script.ended.wait()

    do_GET = do_POST = do_PATCH = do_DELETE = _handle

    def _reply(self, rule: Rule) -> None:
        status = rule.get("status", 200)
        kind = "application/problem+json" if status >= 400 else "application/json"
        content = (rule["text"] if "text" in rule else json.dumps(rule.get("answer") or {})).encode()
        self.send_response(status)
        self.send_header("Content-Type", rule.get("type", kind))
        if not rule.get("stays"):
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: rule["cut"]] if "cut" in rule else content)
        self.wfile.flush()

    def _stream(self, script: Scripted, events: list[Any]) -> None:
        """Events, each after its pause; then silence until the script ends. "END" ends the stream."""
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        try:
            for number, event in enumerate(events, 1):
                if event == "END":
                    return
                if isinstance(event, int | float):
                    self.wfile.flush()
                    script.ended.wait(event)
                    continue
                kind, data = event
                lines = f"id: 1-{number}\nevent: {kind}\ndata: {json.dumps(script.timed(data))}\n\n"
                self.wfile.write(f": keep\n{lines}".encode())
            self.wfile.flush()
            while not script.ended.wait(0.1):
                self.wfile.write(b":\n")
        except (BrokenPipeError, ConnectionResetError):
            return

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: what was asked is in `calls`."""

    def address_string(self) -> str:
        return "client"


class _Quiet:
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is its own business."""


class _UnixServer(_Quiet, socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    script: Scripted


class _TcpServer(_Quiet, socketserver.ThreadingMixIn, socketserver.TCPServer):
    address_family = socket.AF_INET
    allow_reuse_address = True
    script: Scripted


if __name__ == "__main__":
    with Scripted(load(Path(sys.argv[1])), path=Path(sys.argv[2])):
        threading.Event().wait()
