#!/usr/bin/python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Accounting sessions that both nodes know: a plugin in Python, which exec.so runs.

    sparectl exec change start 17f2 anna    # on the active node; the other one knows it
    sparectl exec ask list

The greater stamp of a record wins, whatever comes twice, or late. A removed session has no user.
"""
import collections, errno, os, select, socket, struct, sys

CONFIGURE, START, STOP, DRAIN, SETTLE, ROLE, QUERY, CHANNEL, PING, CHECK_ONLY = 1, 2, 3, 4, 5, 6, 7, 10, 15, 17
RETURNED, LOG, CHECK, IN_SYNC, PONG = 2, 4, 5, 7, 10  # to the daemon
UP, DOWN, MESSAGE = 1, 2, 3  # the first byte of a record of the channel to the peer
WARN, ACTIVE, RESTART = 2, 2, 2  # a level, a role, and a status: only a new process can use this file

# ---- CBOR: the shortest numbers, sorted keys

def head(major, number):
    if number < 24:
        return bytes([major << 5 | number])
    size = next(it for it in (1, 2, 4, 8) if number < 1 << 8 * it)
    return bytes([major << 5 | 23 + size.bit_length()]) + number.to_bytes(size, "big")

def encode(it):
    if isinstance(it, bool):
        return b"\xf5" if it else b"\xf4"
    if isinstance(it, int):
        return head(0, it) if it >= 0 else head(1, -1 - it)
    if isinstance(it, str):
        return head(3, len(it.encode())) + it.encode()
    if isinstance(it, list):
        return head(4, len(it)) + b"".join(map(encode, it))
    pairs = sorted((encode(key), encode(value)) for key, value in it.items())
    return head(5, len(pairs)) + b"".join(key + value for key, value in pairs)

def decode(data, at=0, depth=0):  # returns the value at this place, and the place behind it
    major, number, at = data[at] >> 5, data[at] & 31, at + 1
    size = 1 << number - 24 if number > 23 else 0
    if number > 27 or depth > 40 or at + size > len(data):
        raise ValueError("no message")
    raw, at = data[at : at + size], at + size
    if major == 7:
        return (struct.unpack(">d", raw)[0] if size == 8 else number == 21), at
    number = int.from_bytes(raw, "big") if size else number
    if major < 2:
        return (number if major == 0 else -1 - number), at
    if major < 4:
        raw, at = data[at : at + number], at + number
        return (raw if major == 2 else raw.decode()), at
    items = []
    for _ in range(number * 2 if major == 5 else number):
        item, at = decode(data, at, depth + 1)
        items.append(item)
    return (dict(zip(items[::2], items[1::2])) if major == 5 else items), at

# ---- the plugin

class Plugin:
    def __init__(self):
        self.daemon = socket.socket(fileno=int(os.environ["SPARED_SOCKET"]))
        self.daemon.set_inheritable(False)
        self.peer, self.ups, self.is_up = None, 0, False
        self.queue, self.drain = collections.deque(), 0  # records for the peer; the token of a pending drain
        self.table, self.clock = {}, 0  # sessions: id -> [user, stamp]
        self.file, self.limit, self.node, self.is_active, self.only_checks = None, 1000, "", False, False

    def tell(self, kind, *fields):  # what is 0, false or empty is not sent
        self.daemon.send(encode({0: kind, 1: {key: it for key, it in enumerate(fields) if it}}))

    def answer(self, token, status=0, why="", key="", rows=()):
        failures = [{0: key, 1: why}] if why else []
        self.tell(RETURNED, token, status, failures, [{0: key, 1: value} for key, value in rows])

    def run(self):
        while True:
            wanted = [self.peer] if self.peer and self.queue else []
            ready, room, _ = select.select([it for it in (self.peer, self.daemon) if it], wanted, [])
            if room:
                self.flush()
            if self.peer in ready:
                self.read_peer()
            if self.daemon in ready:
                data, fds, _, _ = socket.recv_fds(self.daemon, 196608, 16, socket.MSG_CMSG_CLOEXEC)
                message = decode(data)[0] if data else {0: STOP}  # the daemon is gone
                if self.handle(message[0], message.get(1, {}), fds):
                    return

    def handle(self, kind, body, fds):  # true: that was the last message
        token = body.get(0, 0)
        if kind == CONFIGURE:
            self.answer(token, *self.configure(body.get(1, {}), body.get(2, False), body.get(3, {})))
            return self.only_checks
        if kind == CHECK_ONLY:
            self.only_checks = True
        elif kind == PING:
            self.tell(PONG, 0, token)
        elif kind == CHANNEL:
            self.read_peer()  # the last words of the old one count
            self.lose_peer()
            self.peer, self.ups = socket.socket(fileno=fds[0]), 0
        elif kind == DRAIN and self.queue:
            self.drain = token
        elif kind == QUERY:
            self.answer(token, *self.query(body.get(1, [])))
        elif kind in (START, STOP, DRAIN, SETTLE, ROLE):
            if kind == SETTLE:
                self.read_peer()  # what has arrived is applied
            if kind == ROLE:
                self.is_active = body[1][1] == ACTIVE  # of its one group: see follow
            if token:
                self.answer(token)
            return kind == STOP
        elif kind & 1 << 31:
            sys.exit("a message of the daemon must be understood: update this program")

    def configure(self, file, check, surroundings):
        settings = file.get("settings", {})
        limit = settings.get("limit", 1000)
        for key in settings.keys() - {"limit"}:
            return -errno.EINVAL, "unknown key, allowed: limit", f"settings.{key}"
        if type(limit) is not int or not 1 <= limit <= 100000:
            return -errno.EINVAL, f"found {limit!r}, allowed 1-100000", "settings.limit"
        if check or self.only_checks:
            return 0,
        program = [file["program"], file.get("arguments")]
        if self.file not in (None, program):
            return RESTART,
        self.file, self.limit, self.node = program, limit, surroundings.get(0, "")
        self.report()  # what room there is depends on this key
        return 0,

    def report(self):  # a node without room is less fit: its peer gets the role
        state = 100 if len(self.table) < self.limit else 0
        self.tell(CHECK, "room", 100, state, f"{len(self.table)} of {self.limit} sessions")

    def query(self, words):
        users = {id: user for id, (user, _) in self.table.items() if user}
        if words == ["status"]:
            return 0, "", "", [("sessions", len(users))]
        if words == ["ask", "list"]:
            return 0, "", "", [(f"session.{id}", user) for id, user in users.items()]
        if words[0] == "ask":
            return -errno.EINVAL, "usage: sparectl exec ask list"
        if not self.is_active:
            return -errno.EBUSY, "this node is not active"
        match words[1:]:
            case ["start", id, user] if id in self.table or len(self.table) < self.limit:
                return self.change(id, user)
            case ["start", _, _]:
                return -errno.ENOSPC, f"no room: settings.limit is {self.limit}"
            case ["stop", id] if id in users:
                return self.change(id, "")
        return -errno.EINVAL, "usage: sparectl exec change start ID USER, or stop and an ID of the list"

    def change(self, id, user):
        self.clock += 1
        self.table[id] = [user, [self.clock, self.node]]
        self.send([id, *self.table[id]])
        self.report()
        return 0,

    # ---- the same plugin on the other node

    def send(self, message):
        if self.is_up:
            self.queue.append(encode(message))
            self.flush()

    def flush(self):
        kind = bytes([MESSAGE | self.ups - 1 << 4 & 0xF0])  # with the number of the up: no later peer takes it
        try:
            while self.queue:
                self.peer.send(kind + self.queue[0], socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
                self.queue.popleft()
        except BlockingIOError:
            return  # run() goes on when there is room
        except OSError:
            self.queue.clear()  # DOWN or the end follows
        if self.drain:
            self.answer(self.drain)
            self.drain = 0

    def read_peer(self):
        while self.peer:
            try:
                record = self.peer.recv(65537, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            except OSError:
                record = b""
            if record[:1] == bytes([MESSAGE]):
                self.handle_peer(record[1:])
                continue
            self.lose_peer()
            if not record:
                self.peer = None
            elif record[0] == UP:
                self.is_up, self.ups = True, self.ups + 1
                self.tell(IN_SYNC, False, "receives sessions")
                for id, record in self.table.items():
                    self.send([id, *record])
                self.send([])  # the end of the snapshot

    def lose_peer(self):
        self.is_up = False
        self.queue.clear()
        self.flush()  # nobody is left for a drain
        self.tell(IN_SYNC, True)

    def handle_peer(self, data):
        try:  # the bytes come from another machine
            message = decode(data)[0]
            if not message:
                return self.tell(IN_SYNC, True)  # that was the snapshot
            id, user, (clock, node) = message
            if [type(it) for it in (id, user, clock, node)] != [str, str, int, str] or clock >= 1 << 60:
                raise ValueError("no session")
        except (ValueError, TypeError, LookupError, struct.error) as error:
            return self.tell(LOG, WARN, f"the peer plugin sent nonsense: {error}")
        self.clock = max(self.clock, clock)
        if id not in self.table and len(self.table) >= self.limit:
            self.tell(LOG, WARN, f"no room for session {id}")
        elif [clock, node] > self.table.get(id, ["", [0, ""]])[1]:
            self.table[id] = [user, [clock, node]]
            self.report()

Plugin().run()
