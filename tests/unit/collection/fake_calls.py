"""The calls of docs/api.md beside those on Cfg, for the scripted Kraken.

test_contract.py holds them to that page.
"""

from __future__ import annotations

import json
import time
from types import ModuleType
from typing import Any

from kraken.model.nodeset import expand, fold

CHANGED_MAX = 32
ROW = {"heard_s": 1.2, "lag_s": 0.02, "nodes": 64, "key": "0rM&Lz.2bK", "changing_key": False}
ROW |= {"modules": "SAME", "modules_since": 1.0, "health": "", "health_since": None}
ROW |= {"invited_at": 1.0, "expires_at": None, "joined_at": 2.0, "revoked_at": None, "flow": None}


def teach(kraken: Any, fake_api: ModuleType) -> Calls:
    """Have the scripted Kraken answer them; gives back what they did."""
    return Calls(kraken, fake_api)


class Calls:
    """What was ordered of the scripted Kraken, and what it tells of that.

    Attributes:
        stages: how power commands stand, one for each time they are asked for; the last one stays.
        collectors: name -> state, as in `GET /v1/collectors`.
        listen: where collectors connect; None: nobody takes any.
        waiting: those for which nodes wait until they are said to be stopped.
        words: node -> what is said of it when something is declared.
        others: `other_modules` of a plan.
    """

    def __init__(self, kraken: Any, fake_api: ModuleType) -> None:
        self.kraken = kraken
        self.refusal = fake_api.Refusal
        self.commands: dict[str, dict[str, Any]] = {}
        self.stages = ["OK"]
        self.waiting: set[str] = set()
        self.collectors: dict[str, str] = {}
        self.listen: str | None = "*:7411"
        self.words: dict[str, str] = {}
        self.others: list[dict[str, Any]] = []
        self.numbers = 0
        kraken.does = self
        kraken.calls |= {
            ("GET", "/v1/drift"): self.drift,
            ("GET", "/v1/explain"): self.explain,
            ("POST", "/v1/apply"): self.apply,
            ("POST", "/v1/nodes/delete"): self.delete,
            ("GET", "/v1/holds"): self.holds,
            ("POST", "/v1/holds"): self.hold,
            ("POST", "/v1/holds/release"): self.release,
            ("GET", "/v1/power"): self.power,
            ("POST", "/v1/power"): self.command,
            ("POST", "/v1/plan"): self.plan,
            ("POST", "/v1/plan/apply"): self.apply_plan,
            ("POST", "/v1/observations"): self.observe,
            ("POST", "/v1/playbooks"): self.keep_played,
            ("GET", "/v1/collectors"): self.listed,
            ("POST", "/v1/collectors/invite"): self.invite,
            ("POST", "/v1/collectors/revoke"): self.revoke,
        }

    def drift(self, asked: Any) -> Any:
        rows = []
        for name in self._chosen(asked.query):
            node = self.kraken.nodes[name]
            for variable, wanted in node["cfg"].items():
                if (seen := node["dsc"].get(variable, "UNKNOWN")) != wanted:
                    known = "unknown" if seen == "UNKNOWN" else "differs"
                    row = {"nodeset": name, "count": 1, "variable": variable, "wanted": wanted, "seen": seen}
                    rows.append(row | {"known": known, "since": 1.0, "age_s": 12.5, "cause": node["cause"]})
        return {"nodes": 1, "differing": len(rows), "certain": 0, "unconfirmed": 0, "rows": rows}

    def explain(self, asked: Any) -> Any:
        nodes = [self.kraken.nodes[name] for name in self._chosen(asked.query)]
        each = [
            {key: node[key] for key in ("cause", "reason", "since")}
            | {
                "node": node["name"],
                "fact": None,
                "next": "",
                "next_at": None,
                "reachable": {},
                "collector": "",
            }
            for node in nodes
        ]
        alike: dict[tuple[str, str], list[str]] = {}
        for node in nodes:
            alike.setdefault((node["cause"], node["reason"]), []).append(node["name"])
        folded = [
            {"cause": c, "count": len(names), "nodeset": fold(names), "topic": "", "reason": r}
            for (c, r), names in alike.items()
        ]
        return {"nodes": each if asked.query["view"] == "each" else [], "folded": folded}

    def apply(self, asked: Any) -> Any:
        items: dict[str, dict[str, Any]] = {}
        wishes: list[tuple[str, Any]] = []
        for nodeset, fields in asked.body["document"]["nodes"].items():
            names = self.kraken.names(nodeset) if nodeset.startswith("@") else expand(nodeset)
            if found := set((fields or {}).get("attributes", {})) & set(self.kraken.variables):
                key = f"nodes.{nodeset}.attributes.{found.pop()}"
                raise self.refusal("document", "a variable is no attribute", key=key)
            wishes += [(name, fields or {}) for name in names]
        for name, fields in wishes:
            node = self.kraken.nodes.get(name, {"attributes": {}, "groups": []})
            item = items.setdefault(name, _item(name) | {"created": name not in self.kraken.nodes})
            for key, value in fields.get("attributes", {}).items():
                if node["attributes"].get(key) != value:
                    item["attributes"][key] = [node["attributes"].get(key), value]
            if "groups" in fields and fields["groups"] != node["groups"]:
                item["groups"] = [node["groups"], fields["groups"]]
            item["changed"] = bool(item["created"] or item["attributes"] or item["groups"])
            item["message"] = self.words.get(name, "")
        self._confirm(items.values(), asked.body)
        if not asked.body.get("dry_run"):
            for name, fields in wishes:
                if name not in self.kraken.nodes:
                    self.kraken.add(name)
                node = self.kraken.nodes[name]
                node["groups"] = fields.get("groups", node["groups"])
                node["attributes"] |= fields.get("attributes", {})
                node["attributes"] = {k: v for k, v in node["attributes"].items() if v is not None}
        return _changes(items.values())

    def delete(self, asked: Any) -> Any:
        names = self.kraken.names(asked.body["nodeset"])
        items = [_item(name) | {"changed": True, "message": "forgotten"} for name in names]
        self._confirm(items, asked.body)
        for name in names:
            del self.kraken.nodes[name]
        return _changes(items)

    def holds(self, asked: Any) -> Any:
        frozen = {
            id(hold): hold
            for node in self.kraken.nodes.values()
            for hold in node["holds"]
            if "*" in hold["id"]
        }
        return {"holds": [hold | {"nodeset": "*"} for hold in list(frozen.values())[:1]]}

    def hold(self, asked: Any) -> Any:
        names = self.kraken.names(asked.body["nodeset"])
        items = [_item(n) | {"changed": True, "message": f"held: {asked.body['reason']}"} for n in names]
        self._confirm(items, asked.body)
        now, for_s = time.time(), asked.body["for_s"]
        if for_s is not None and not 0 < for_s <= 100 * 365.25 * 86400.0:
            raise self.refusal("document", f"a hold cannot last {for_s:g} s", key="for_s")
        for name in names:
            self.numbers += 1
            hold = {
                "id": f"h{self.numbers}",
                "owner": asked.headers["kraken-user"],
                "reason": asked.body["reason"],
            }
            hold |= {"created_at": now, "until": None if for_s is None else now + for_s}
            self.kraken.nodes[name]["holds"].append(hold)
        return _changes(items) | {"lacking": self.kraken.lacking}

    def release(self, asked: Any) -> Any:
        id_, owner = asked.body["id"], asked.body["owner"]
        items = []
        for name in self.kraken.names(asked.body["nodeset"]):
            holds = self.kraken.nodes[name]["holds"]
            gone = [
                h
                for h in holds
                if id_ in (None, h["id"]) and owner in (None, h["owner"]) and "*" not in h["id"]
            ]
            self.kraken.nodes[name]["holds"] = [hold for hold in holds if hold not in gone]
            message = "; ".join(f"released: {hold['reason']}" for hold in gone)
            items.append(_item(name) | {"changed": bool(gone), "message": message})
        return _changes(items)

    def power(self, asked: Any) -> Any:
        stage = self.stages.pop(0) if len(self.stages) > 1 else self.stages[0]
        rows = []
        for name in self._chosen(asked.query):
            command = self.commands.get(name)
            if command is not None and not command["over"]:
                over = stage not in ("QUEUED", "SENT", "ACKNOWLEDGED")
                command |= {
                    "stage": stage,
                    "over": over,
                    "message": "" if stage in ("OK", "SENT") else "no answer",
                }
                if stage == "OK":
                    on = command["name"] in ("power_on", "power_reset", "power_cycle")
                    self.kraken.nodes[name]["dsc"]["phys_state"] = "POWER_ON" if on else "POWER_OFF"
            value = self.kraken.nodes[name]["dsc"].get("phys_state", "UNKNOWN")
            row = {"node": name, "value": value, "seen_at": 1.0, "stale": False, "looking": False, "said": ""}
            rows.append(row | {"reach": "OK", "command": None if command is None else dict(command)})
        return {"at": time.time(), "nodes": rows}

    def command(self, asked: Any) -> Any:
        names, do = self.kraken.names(asked.body["nodeset"]), asked.body["do"]
        on = [n for n in names if self.kraken.nodes[n]["dsc"].get("phys_state") == "POWER_ON"]
        if do != "on" and on and not asked.body["hold"] and not asked.body["yes"]:
            raise self.refusal("needs-confirmation", f"it ends whatever runs on {fold(on)}", nodes=len(names))
        answer = {"id": "", "at": 1.0, "do": do, "nodeset": fold(names), "count": len(names), "repeated": ""}
        if asked.body["dry_run"]:
            return answer
        self.numbers += 1
        id_ = f"c{self.numbers}"
        under_way = {n for n, c in self.commands.items() if not c["over"] and c["name"] == f"power_{do}"}
        for name in set(names) - under_way:
            command = {"id": id_, "name": f"power_{do}", "by": asked.headers["kraken-user"], "at": 1.0}
            self.commands[name] = command | {"stage": "SENT", "over": False, "ended_at": None, "message": ""}
        return answer | {"id": id_, "repeated": fold(under_way & set(names))}

    def plan(self, asked: Any) -> Any:
        names = self.kraken.names(asked.body["nodeset"])
        self.kraken._check(asked.body["set"])
        step = {"name": "power_on", "module": "power_ipmi", "kind": "mutation", "summary": "Power on."}
        step |= {"effects": asked.body["set"], "disruptive": False, "cost": 5, "after": []}
        groups = []
        for name in names:
            node, folded = self.kraken.nodes[name], {"nodeset": name, "count": 1}
            reasons = [
                self.kraken.unreachable[p] for p in asked.body["set"].items() if p in self.kraken.unreachable
            ]
            if reasons:
                lack = {
                    "variables": list(asked.body["set"]),
                    "reasons": reasons,
                    "unmet": [],
                    "reachable": {},
                }
                groups.append(folded | {"no_path": lack})
                continue
            there = all(node["dsc"].get(k) == v for k, v in asked.body["set"].items())
            steps = [] if there else [step | {"disruptive": node["cause"] == "STALE"}]
            groups.append(
                folded | {"start": {}, "cost": 5 * len(steps), "makespan": 5 * len(steps), "steps": steps}
            )
        generation = {"declared": "1-5", "modules": "2900b383b1f21493"}
        head = {"kraken_plan": 1, "made_at": 1.0, "generation": generation, "set": asked.body["set"]}
        head |= {"unset": asked.body["unset"], "changes": True, "undeclared": [], "mutations": {}}
        return head | {"nodes": len(names), "groups": groups, "other_modules": self.others}

    def apply_plan(self, asked: Any) -> Any:
        plan = asked.body["plan"]
        if plan.get("kraken_plan") != 1:
            raise self.refusal("document", "this is no plan", key="kraken_plan")
        nodeset = ",".join(group["nodeset"] for group in plan["groups"])
        body = {key: asked.body[key] for key in ("dry_run", "yes")}
        body |= {"nodeset": nodeset, "set": plan["set"], "unset": plan["unset"]}
        answer: dict[str, Any] = self.kraken._patch(body)
        left = {"nodeset": nodeset, "count": plan["nodes"], "done": 0, "left": 1, "cause": "RUNNING"}
        return answer | {"left": [left]}

    def observe(self, asked: Any) -> Any:
        seen: dict[str, dict[str, str]] = {}
        age_s = asked.body["age_s"]
        if not 0 <= age_s <= 86400:
            raise self.refusal("document", f"an observation cannot be {age_s:g} s old", key="age_s")
        for nodeset, values in asked.body["observations"].items():
            self.kraken._check(values, f"observations.{nodeset}")
            for name in self.kraken.names(nodeset):
                seen.setdefault(name, {}).update(values)
        items = []
        for name, values in seen.items():
            dsc = self.kraken.nodes[name]["dsc"]
            diff = {k: [dsc.get(k), v] for k, v in values.items() if dsc.get(k) != v}
            items.append(_item(name) | {"changed": bool(diff), "diff": diff})
        self._confirm(items, asked.body)
        if not asked.body["dry_run"]:
            for name, values in seen.items():
                self.kraken.nodes[name]["dsc"] |= values
        return _changes(items)

    def keep_played(self, asked: Any) -> Any:
        hosts = [host for row in asked.body["results"] for host in row["hosts"]]
        kept = sum(host in self.kraken.nodes for host in hosts)
        return {"kept": kept, "unknown": len(hosts) - kept}

    def listed(self, asked: Any) -> Any:
        rows = [
            {"name": name, "parent": "head1", "state": state, "since": 1.0, **ROW}
            for name, state in self.collectors.items()
        ]
        head = {"at": 1.0, "name": "head1", "nodes": 2, "listen": self.listen, "addresses": ["head1:7411"]}
        return head | {"parent": None, "collectors": rows, "unanswered": {}, "refused": {}}

    def invite(self, asked: Any) -> Any:
        name = asked.body["name"]
        joined = self.collectors.get(name) in ("CONNECTED", "SILENT", "TWINS", "AWAY")
        self.collectors[name] = self.collectors[name] if joined else "INVITED"
        self.numbers += 1
        answer = {"name": name, "parent": "head1", "token": f"KRK1-secret{self.numbers}", "replaces": joined}
        return answer | {"expires_at": 1.0 + asked.body["expires_s"], "addresses": ["head1:7411"]}

    def revoke(self, asked: Any) -> Any:
        name = asked.body["name"]
        waits = asked.body["stopped"] and name in self.waiting
        if name not in self.collectors and not waits:
            raise self.refusal("not-found", f"no collector '{name}' was invited here; nothing was done")
        had_joined = self.collectors.get(name) in ("CONNECTED", "SILENT", "TWINS", "AWAY")
        if (had_joined or waits) and not asked.body["yes"]:
            raise self.refusal("needs-confirmation", f"revoking {name}: it is heard no more", nodes=3)
        self.collectors[name] = "REVOKED"
        if asked.body["stopped"]:
            self.waiting.discard(name)
        return {
            "name": name,
            "had_joined": had_joined,
            "elsewhere": "n1",
            "endless": "n4",
            "nowhere": "n[2-3]",
        }

    def _chosen(self, query: dict[str, str]) -> list[str]:
        return (
            list(self.kraken.nodes) if "nodeset" not in query else list(self.kraken.names(query["nodeset"]))
        )

    def _confirm(self, items: Any, body: dict[str, Any]) -> None:
        changed = [item["node"] for item in items if item["changed"]]
        if len(changed) > CHANGED_MAX and not body.get("yes") and not body.get("dry_run"):
            detail = f"{len(changed)} nodes would change; nothing was done"
            raise self.refusal("needs-confirmation", detail, nodes=len(changed), hint='say "yes": true')


def _item(name: str) -> dict[str, Any]:
    return {
        "node": name,
        "changed": False,
        "created": False,
        "diff": {},
        "attributes": {},
        "groups": None,
        "message": "",
    }


def _changes(items: Any) -> dict[str, Any]:
    found = json.loads(json.dumps(list(items)))
    return {"changed": sum(item["changed"] for item in found), "items": found}
