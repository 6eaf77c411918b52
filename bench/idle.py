"""Connections that have been used once and then do nothing: how much memory each takes."""

from __future__ import annotations

import select
import socket
import ssl
import struct
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from .contenders import Running
from .cost import memory
from .servers import BenchError
from .turns import Figures, Pace
from .world import is_h2, is_tls

SETTLE_SECONDS = 1.0
# Less than any proxy's timeout for idle connections.
OPEN_SECONDS = 55.0
FIRST = 20
# RFC 9113 §3.4, then an empty SETTINGS frame.
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
SETTINGS_ACK = b"\x00\x00\x00\x04\x01\x00\x00\x00\x00"
# Flags and kinds of frames (RFC 9113 §6).
ACK, END_STREAM, END_HEADERS = 0x1, 0x1, 0x4
DATA, HEADERS, RST_STREAM, SETTINGS, GOAWAY = 0x0, 0x1, 0x3, 0x4, 0x7


@dataclass(frozen=True)
class Idle:
    """Opens connections, sends one request on each, and lets them rest."""

    def figures(self, running: Running, pace: Pace) -> Figures:
        """Bytes of resident memory for each connection."""
        if not running.server:
            raise BenchError("there is no proxy to hold connections")
        running.wait()
        # What the first connections allocate for good does not count.
        with held(running, FIRST):
            time.sleep(SETTLE_SECONDS)
        before = memory(running.pids())
        with held(running, pace.idle_connections):
            time.sleep(SETTLE_SECONDS)
            after = memory(running.pids())
        grown = after.resident - before.resident
        return {"per_connection": grown / pace.idle_connections, "resident": after.resident / (1 << 20), "idle": pace.idle_connections}

    def requests(self, running: Running) -> None:
        """Not traced: nothing happens."""


@contextmanager
def held(running: Running, count: int) -> Iterator[None]:
    """Connections that are open until the block ends."""
    setup = running.contender.setup
    context = None
    if is_tls(setup.caller):
        context = ssl.create_default_context(cafile=str(running.world.certificates.ca))
        context.set_alpn_protocols(["h2" if is_h2(setup.caller) else "http/1.1"])
    ask = ask_h2 if is_h2(setup.caller) else ask_http1
    deadline = time.monotonic() + OPEN_SECONDS
    closed = select.poll()
    with ExitStack() as stack:
        for number in range(count):
            if time.monotonic() > deadline:
                raise BenchError(f"only {number} connections were opened within {OPEN_SECONDS:.0f} s")
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", running.port), timeout=10))
            # Frames go out as they are written; else each connection would wait for a delayed acknowledgement.
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if context:
                connection = stack.enter_context(context.wrap_socket(connection, server_hostname="localhost"))
            ask(connection, running.port)
            closed.register(connection, select.POLLRDHUP)
        yield
        # One that closes what is idle would need no memory at all.
        gone = len(closed.poll(0))
        if gone:
            raise BenchError(f"{running.contender.label} closed {gone} of {count} idle connections")


def ask_http1(connection: socket.socket, port: int) -> None:
    """One request, one answer of 100 bytes."""
    connection.sendall(f"GET /small HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n\r\n".encode())
    answer = b""
    while b"\r\n\r\n" not in answer or len(answer.partition(b"\r\n\r\n")[2]) < 100:
        more = connection.recv(65536)
        if not more:
            break
        answer += more
    if not answer.startswith(b"HTTP/1.1 200"):
        raise BenchError(f"a connection got {answer[:40]!r} instead of an answer")


def ask_h2(connection: socket.socket, port: int) -> None:
    """The same over HTTP/2, until the stream ends."""
    authority = f"127.0.0.1:{port}".encode()
    scheme = b"\x87" if isinstance(connection, ssl.SSLSocket) else b"\x86"
    # RFC 7541: indexed `:method: GET` and `:scheme`, then `:path` and `:authority` as literals that are not indexed.
    block = b"\x82" + scheme + b"\x04\x06/small" + b"\x01" + bytes([len(authority)]) + authority
    flags = END_STREAM | END_HEADERS
    connection.sendall(PREFACE + frame_head(len(block), HEADERS, flags) + block)
    received = connection.makefile("rb")
    while True:
        head = received.read(9)
        if len(head) < 9:
            raise BenchError("a connection ended without an answer")
        length, kind, flags = int.from_bytes(head[:3], "big"), head[3], head[4]
        body = received.read(length)
        if kind == SETTINGS and not flags & ACK:
            connection.sendall(SETTINGS_ACK)
        # 0x88 is `:status: 200` in RFC 7541's static table; a dynamic table size update may stand before it.
        if kind in (RST_STREAM, GOAWAY) or (kind == HEADERS and b"\x88" not in body[:4]):
            raise BenchError(f"a connection got frame {kind} with {body[:20]!r} instead of an answer")
        if flags & END_STREAM and kind in (DATA, HEADERS):
            received.close()
            return


def frame_head(length: int, kind: int, flags: int) -> bytes:
    """The nine bytes before a frame of stream 1."""
    return struct.pack(">I", length)[1:] + bytes([kind, flags]) + struct.pack(">I", 1)
