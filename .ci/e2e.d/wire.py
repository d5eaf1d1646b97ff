"""A Kafka connection that sends exactly one Produce request at a time and nothing else.

For what no client library can show: which bytes on which socket are the answer to which record. Produce
version 7 with acks=all, one uncompressed record in one batch, no producer id. The formats are those of
Kafka's protocol guide.
"""

import itertools
import socket
import struct
import time

PRODUCE, PRODUCE_VERSION = 0, 7
_POLYNOMIAL = 0x82F63B78  # CRC-32C (Castagnoli), reflected


def _table():
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = (crc >> 1) ^ (_POLYNOMIAL if crc & 1 else 0)
        yield crc


_TABLE = tuple(_table())


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _TABLE[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


def _varint(number):
    zigzag = (number << 1) ^ (number >> 63)
    out = bytearray()
    while zigzag > 0x7F:
        out.append(zigzag & 0x7F | 0x80)
        zigzag >>= 7
    out.append(zigzag)
    return bytes(out)


def record_batch(value, timestamp_ms):
    """A batch (magic 2) of one record without a key."""
    record = b"\0" + _varint(0) + _varint(0) + _varint(-1) + _varint(len(value)) + value + _varint(0)
    covered = (
        struct.pack(">hiqqqhii", 0, 0, timestamp_ms, timestamp_ms, -1, -1, -1, 1)
        + _varint(len(record))
        + record
    )
    after_length = struct.pack(">ibI", -1, 2, crc32c(covered)) + covered
    return struct.pack(">qi", 0, len(after_length)) + after_length


def _string(text):
    data = text.encode()
    return struct.pack(">h", len(data)) + data


class ProduceError(Exception):
    def __init__(self, code):
        super().__init__(f"Kafka error code {code}")
        self.code = code


class Connection:
    """To the leader of one partition."""

    def __init__(self, address, within=30):
        host, port = address.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), timeout=within)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.local_port = self.socket.getsockname()[1]
        self.ids = itertools.count(1)

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def produce(self, topic, partition, value, timeout_ms=30_000):
        """Sends one record and waits for the answer. Returns its offset and the seconds that it took."""
        batch = record_batch(value, int(time.time() * 1000))
        correlation = next(self.ids)
        body = (
            struct.pack(">hhi", PRODUCE, PRODUCE_VERSION, correlation)
            + _string("e2e")
            + struct.pack(">hhii", -1, -1, timeout_ms, 1)
            + _string(topic)
            + struct.pack(">iii", 1, partition, len(batch))
            + batch
        )
        begin = time.monotonic()
        self.socket.sendall(struct.pack(">i", len(body)) + body)
        answer = self._frame()
        seconds = time.monotonic() - begin
        return self._offset(answer, correlation, topic), seconds

    def _frame(self):
        (length,) = struct.unpack(">i", self._exactly(4))
        return self._exactly(length)

    def _exactly(self, count):
        data = bytearray()
        while len(data) < count:
            piece = self.socket.recv(count - len(data))
            if not piece:
                raise ConnectionError("closed by the broker in the middle of an answer")
            data += piece
        return bytes(data)

    @staticmethod
    def _offset(answer, correlation, topic):
        echoed, topics, name = struct.unpack_from(">iih", answer)
        assert (echoed, topics, name) == (correlation, 1, len(topic)), (
            f"not the answer to this request: {answer!r}"
        )
        _count, _partition, error, offset = struct.unpack_from(">iihq", answer, 10 + len(topic))
        if error:
            raise ProduceError(error)
        return offset
