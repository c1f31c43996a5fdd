#!/usr/bin/env python3
"""Arranges what record_pages has recorded: spreads the failovers of "night", and makes "hostile" of "ok"."""

import datetime
import json
import pathlib

FOLDER = pathlib.Path(__file__).parent
# Times of the four failovers before the status, which is at 07:30, and minutes until the return to r1.
NIGHT = (("23:14", 14), ("01:52", 6), ("03:07", 31), ("04:40", 3))
# Time between a failover and the return in the record, at least.
PAUSE = datetime.timedelta(seconds=2)
# Time before a failover in which changes belong to it, as those of another group.
EARLIER = datetime.timedelta(milliseconds=200)
HOSTILE = (
    "</td></script><script>alert('r2')</script>",
    "\" onmouseover=\"alert(1)\" x=\"",
    "\u202eevil\u202c and \u0000\u001b[31mred\u009b",
    "שלום-الراوتر-مرحبا",
    "x" * 10240,
    "a\u0301\u0302\u0303\u0304 `rm -rf /` : sparectl force reset x; reboot",
    "<img src=https://192.0.2.1/x.png>",
    "line\nbreak\u2028and\ttab",
)


def read(name, verb):
    return json.loads((FOLDER / f"{name}.{verb}.json").read_text())


def write(name, verb, document):
    (FOLDER / f"{name}.{verb}.json").write_text(json.dumps(document, ensure_ascii=False, separators=(",", ":")) + "\n")


def moment(text):
    return datetime.datetime.fromisoformat(text)


def clusters(changes):
    """Changes of each failover of "office" to r2, and of the return to r1; those before the four of the night go first."""
    found = [[]]
    for change in sorted(changes, key=lambda it: moment(it["at"])):
        if change["to"] == "active" and change["own"]["node"] == "r2" and change["group"] == "office":
            found.append([])
        found[-1].append(change)
    *before, first, second, third, fourth = found
    return sum(before, []), (first, second, third, fourth)


def is_time(value):
    return isinstance(value, str) and len(value) >= 20 and value[4:5] == "-" and value[10:11] == "T"


def walk(value, moved):
    """The document with other times."""
    if isinstance(value, dict):
        return {key: walk(it, moved) for key, it in value.items()}
    if isinstance(value, list):
        return [walk(it, moved) for it in value]
    return moved(moment(value)).isoformat(timespec="milliseconds") if is_time(value) else value


def rest(name, seconds):
    """All but the last seconds of a sample happened nine days before, and the record of both nodes is whole."""
    documents = {verb: read(name, verb) for verb in ("status", "history", "why")}
    now = moment(documents["status"]["at"])
    days = datetime.timedelta(days=9)
    recent = now - datetime.timedelta(seconds=seconds)
    moved = lambda at: at if at >= recent else at - days
    documents = {verb: walk(document, moved) for verb, document in documents.items()}
    text = lambda at: at.isoformat(timespec="seconds")
    silent = documents["history"]["silent"]
    findings = documents["status"]["verdict"]["findings"]
    documents["history"].update({
        "findings": [{key: it[key] for key in ("id", "node", "thing", "text")} | {"began": it["since"], "ended": None, "times": 1}
                     for it in findings],
        "runs": [{"node": node, "began": text(now - days), "ended": None} for node in ("r1", "r2") if node != silent],
        "since": text(now - days),
        "is_cut": False,
    })
    for verb, document in documents.items():
        write(name, verb, document)


class Night:
    """Moves recorded times to those of the night."""

    def __init__(self, status, history):
        self.now = moment(status["at"])
        self.morning = self.now.replace(hour=7, minute=30, second=12, microsecond=0)
        before, faults = clusters(history["changes"])
        self.early = self.morning - datetime.timedelta(hours=27) - moment(before[0]["at"])
        self.faults = []
        for changes, (clock, minutes) in zip(faults, NIGHT):
            at = moment(changes[0]["at"])
            hour, minute = map(int, clock.split(":"))
            target = self.morning.replace(hour=hour, minute=minute, second=at.second)
            target -= datetime.timedelta(days=1 if hour > 12 else 0)
            back = next(moment(it["at"]) for it in changes if moment(it["at"]) - at > PAUSE)
            self.faults.append((at, target, back, target + datetime.timedelta(minutes=minutes)))

    def moved(self, at):
        if at >= self.now:
            return self.morning + (at - self.now)
        shift = self.early
        for failed, target, back, returned in self.faults:
            if at >= failed - EARLIER:
                shift = target - failed
            if at >= back - EARLIER:
                shift = returned - back
        return at + shift

    def record(self):
        """Findings and runs of the daemons, as the history has them."""
        start, second = self.morning - datetime.timedelta(days=31), datetime.timedelta(seconds=1)
        text = lambda at: at.isoformat(timespec="seconds")
        findings = []
        for number, (_, failed, _, returned) in enumerate(self.faults):
            known = ("SP-0403", "lan", 'r1: interface "lan" has no carrier') if number == 2 else (
                "SP-0101", "", f"r1 was last heard {failed:%Y-%m-%d %H:%M:%S} on hot, warm, lan and wan")
            findings.append({"id": known[0], "node": "r1", "thing": known[1], "text": known[2], "began": text(failed + second),
                             "ended": text(returned - 9 * second), "times": 1, "is_end_unknown": False})
        _, killed, _, back = self.faults[1]
        runs = [{"node": "r2", "began": text(start), "ended": None},
                {"node": "r1", "began": text(start), "ended": text(killed)},
                {"node": "r1", "began": text(back - 9 * second), "ended": None}]
        return {"findings": findings, "runs": runs, "since": text(start), "is_cut": False}


def night():
    documents = {verb: read("night", verb) for verb in ("status", "history", "why")}
    moves = Night(documents["status"], documents["history"])
    for verb, document in documents.items():
        document = walk(document, moves.moved)
        write("night", verb, {**document, **moves.record()} if verb == "history" else document)


def hostile():
    number = 0

    def evil(value):
        nonlocal number
        if isinstance(value, dict):
            return {key: evil(it) for key, it in value.items()}
        if isinstance(value, list):
            return [evil(it) for it in value]
        if not isinstance(value, str) or is_time(value) or value in ("active", "backup", "r1", "r2", "up", "office", "phones"):
            return value
        number += 1
        return HOSTILE[number % len(HOSTILE)]

    status, history, why = (read("ok", verb) for verb in ("status", "history", "why"))
    peer = status["peer"]["status"]
    for key in ("checks", "interfaces", "plugins", "config", "version"):
        peer[key] = evil(peer[key])
    peer["rows"] = {HOSTILE[at % 8]: evil(rows) for at, (_, rows) in enumerate(peer["rows"].items())}
    status["verdict"]["word"] = "degraded"
    findings = [{"id": "SP-0401", "node": "r2", "thing": text, "text": f"r2: check {text} fails: {text}",
                 "since": status["at"], "todo": f"See `{text}`."} for text in HOSTILE]
    status["verdict"]["findings"] = findings
    history["changes"] = [{**it, "why": HOSTILE[at % 8]} for at, it in enumerate(history["changes"])]
    history["findings"] = [{"id": "SP-0401", "node": "r2", "thing": text, "text": text, "began": status["at"], "ended": None}
                           for text in HOSTILE]
    for name, document in (("status", status), ("history", history), ("why", why)):
        write("hostile", name, document)


night()
for name, seconds in (("ok", 0), ("warn", 4.2), ("conflict", 3.9), ("switching", 1), ("alone", 4), ("twenty", 0)):
    rest(name, seconds)
hostile()
