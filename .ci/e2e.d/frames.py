"""Just enough of raft-net's frame format to recognise a vote in the bytes of a socket. The format is
FORMAT.md's.

    0  length, counted from here   4  CRC-32 of all from 8 on   8  kind   9  three zero bytes   12  group
    20 from   28 to   36 length of the header   40  header, then payloads          all little endian

The header of kind 1 is a postcard Message: a variant number, then its fields, numbers as varints.
"""

import struct
import zlib
from dataclasses import dataclass

FIXED = struct.Struct("<IIB3xQQQI")
RAFT = 1
VOTE, VOTE_REPLY = 2, 3
LONGEST = 1 << 20


@dataclass(frozen=True)
class Frame:
    kind: int
    group: int
    sender: int
    receiver: int
    header: bytes

    @property
    def variant(self):
        return self.header[0] if self.kind == RAFT and self.header else None

    @property
    def term(self):
        """Of a vote or the answer to one: the first field."""
        return _varint(self.header, 1)[0]

    @property
    def grants_a_vote(self):
        if self.variant != VOTE_REPLY:
            return False
        _, after = _varint(self.header, 1)
        return self.header[after] == 1


def _varint(data, at):
    number = shift = 0
    while True:
        byte = data[at]
        at += 1
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return number, at


def find(data):
    """All whole frames in the bytes, wherever they begin: the CRC tells a frame from what is none."""
    frames, at = [], 0
    while at + FIXED.size <= len(data):
        length, crc, kind, group, sender, receiver, header = FIXED.unpack_from(data, at)
        whole = FIXED.size <= length <= LONGEST and at + length <= len(data) and header <= length - FIXED.size
        if whole and zlib.crc32(data[at + 8 : at + length]) == crc:
            begin = at + FIXED.size
            frames.append(Frame(kind, group, sender, receiver, bytes(data[begin : begin + header])))
            at += length
        else:
            at += 1
    return frames


def encode(frame):
    """The bytes of a frame without payloads, for the tests of this module."""
    rest = (
        FIXED.pack(0, 0, frame.kind, frame.group, frame.sender, frame.receiver, len(frame.header))[8:]
        + frame.header
    )
    return struct.pack("<II", len(rest) + 8, zlib.crc32(rest)) + rest
