#!/usr/bin/env python3
"""Arranges what record_pages has recorded: spreads the failovers of "night", and makes "hostile" of "ok"."""

import datetime
import json
import pathlib

FOLDER = pathlib.Path(__file__).parent
# Times of the four failovers: hours and minutes before the status, which is at 07:30.
NIGHT = ("23:14", "01:52", "03:07", "04:40")
MORNING = "07:30:12"
# Pause between two faults of the recorder, at least.
PAUSE = datetime.timedelta(seconds=3)
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
    """Changes of one failover and of the failback after it, one list for each fault."""
    found = []
    for change in sorted(changes, key=lambda it: moment(it["at"])):
        is_failover = change["to"] == "active" and change["own"]["node"] == "r2" and change["group"] == "office"
        if is_failover or not found:
            found.append([])
        found[-1].append(change)
    return found


def night():
    status, history = read("night", "status"), read("night", "history")
    now = moment(status["at"])
    morning = now.replace(hour=7, minute=30, second=12, microsecond=0)
    begin, *faults = clusters(history["changes"])
    assert len(faults) == len(NIGHT), [it[0]["at"] for it in faults]
    # a recorded time, and by how much all that follows it is moved
    moves = []
    for cluster, clock in zip(faults, NIGHT):
        at = moment(cluster[0]["at"])
        hour, minute = map(int, clock.split(":"))
        target = morning.replace(hour=hour, minute=minute, second=at.second)
        if hour > 12:
            target -= datetime.timedelta(days=1)
        moves.append((at - PAUSE, target - at))
    start = moment(begin[0]["at"])
    early = morning - datetime.timedelta(days=1, hours=3) - start

    def moved(text):
        try:
            at = moment(text)
        except ValueError:
            return text
        if at.tzinfo is None or text.startswith("1970"):
            return text
        if abs(at - now) < datetime.timedelta(seconds=2):
            return (at + (morning - now)).isoformat(timespec="milliseconds")
        shift = early
        for since, by in moves:
            if at >= since:
                shift = by
        return (at + shift).isoformat(timespec="milliseconds")

    def walk(value):
        if isinstance(value, dict):
            return {key: walk(it) for key, it in value.items()}
        if isinstance(value, list):
            return [walk(it) for it in value]
        is_time = isinstance(value, str) and len(value) >= 20 and value[4:5] == "-" and value[10:11] == "T"
        return moved(value) if is_time else value

    write("night", "status", walk(status))
    write("night", "history", walk(history))
    write("night", "why", walk(read("night", "why")))


def hostile():
    number = 0

    def evil(value):
        nonlocal number
        if isinstance(value, dict):
            return {key: evil(it) for key, it in value.items()}
        if isinstance(value, list):
            return [evil(it) for it in value]
        is_time = isinstance(value, str) and value[4:5] == "-" and value[10:11] == "T"
        if not isinstance(value, str) or is_time or value in ("active", "backup", "r1", "r2", "up", "office", "phones"):
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
hostile()
