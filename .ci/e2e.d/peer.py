"""A stranger at a manager's peer port that passes the hand-shake, as a broker would, in order to misbehave
after it.

The format of the hand-shake is FORMAT.md's: "FLOT", version, length; kind, purpose, flags, count; digest of
the founders; node, disk, cluster; the genesis replicas; CRC-32 of all before it. Little endian.
"""

import os
import socket
import struct
import zlib

PREAMBLE = struct.Struct("<4sHH")
BODY = struct.Struct("<BBBBIQ16s16s")
MAGIC, VERSION, HELLO = b"FLOT", 1, 1
CONNECT, FORM = 1, 2
HAS_CLUSTER = 1
STRANGER = 990


def hello(founders, node, disk, purpose, cluster=None):
    digest = zlib.crc32(b"".join(struct.pack("<Q", founder) for founder in sorted(founders)))
    body = BODY.pack(
        HELLO, purpose, HAS_CLUSTER if cluster else 0, 0, digest, node, disk, cluster or bytes(16)
    )
    front = PREAMBLE.pack(MAGIC, VERSION, PREAMBLE.size + len(body) + 4) + body
    return front + struct.pack("<I", zlib.crc32(front))


def cluster_of(answer):
    """The cluster's id in the answer to a hello."""
    kind, _purpose, flags, _count, _digest, _node, _disk, cluster = BODY.unpack_from(answer, PREAMBLE.size)
    if kind != HELLO or not flags & HAS_CLUSTER:
        raise ConnectionError(f"no hello from a formed cluster: {answer!r}")
    return cluster


def connect(port, founders, node=STRANGER):
    """A socket past its hand-shake. Asks first which cluster this is, as every new node does."""
    disk = os.urandom(16)
    with _dial(port) as asking:
        asking.sendall(hello(founders, node, disk, FORM))
        cluster = cluster_of(_greeting(asking))
    connection = _dial(port)
    try:
        connection.sendall(hello(founders, node, disk, CONNECT, cluster))
        cluster_of(_greeting(connection))
        return connection
    except BaseException:
        connection.close()
        raise


def _dial(port):
    return socket.create_connection(("127.0.0.1", port), timeout=10)


def _greeting(connection):
    front = _exactly(connection, PREAMBLE.size)
    return front + _exactly(connection, PREAMBLE.unpack(front)[2] - len(front))


def _exactly(connection, count):
    data = b""
    while len(data) < count:
        piece = connection.recv(count - len(data))
        if not piece:
            raise ConnectionError(f"closed after {data!r}")
        data += piece
    return data
