#!/usr/bin/python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Makes another plugin of exec.so: name.py exec.so NOTE acme-mine.so

NOTE is a file with the lines of the descriptor, as docs/plugin.md lists them.
"""
import struct, sys

source, note, target = sys.argv[1:]
with open(source, "rb") as file:
    data = bytearray(file.read())
with open(note, "rb") as file:
    text = file.read()
if not text.startswith(b"contract = "):
    sys.exit(f"{note}: the first line has to be contract = 1")
at = data.index(b"spared\0\0contract = ") + 8
end = at + (struct.unpack_from("=I", data, at - 16)[0] + 3 & ~3)
room = end - at + 12 + struct.unpack_from("=I", data, end + 4)[0]
if len(text) > 4096:
    sys.exit(f"{note}: found {len(text)} bytes, allowed 4096")
struct.pack_into("=I", data, at - 16, len(text))
padded = text + bytes(-len(text) % 4)
# the rest of the room is a note without a name
rest = struct.pack("=3I", 0, room - len(padded) - 12, 0)
data[at : at + room] = (padded + rest).ljust(room, b"\0")
with open(target, "wb") as file:
    file.write(data)
