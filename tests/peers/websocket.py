"""A WebSocket server and a client, from the package `websockets`.

    websocket.py server        prints its port; rejects the first token it sees, as if it had been revoked
    websocket.py client URL    talks to that server, prints "ok"
"""

import asyncio
import http
import sys

import websockets
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve


async def server():
    rejected = None

    def check(connection, request):
        nonlocal rejected
        token = request.headers.get("Authorization")
        rejected = rejected or token
        if token is None or token == rejected:
            response = connection.respond(http.HTTPStatus.UNAUTHORIZED, "token not accepted\n")
            response.headers["WWW-Authenticate"] = 'Bearer error="invalid_token"'
            return response
        return None

    async def echo(connection):
        async for message in connection:
            if message == "close":
                await connection.close(4321, "as you wish")
            else:
                await connection.send(message)

    async with serve(echo, "127.0.0.1", 0, process_request=check, max_size=None, subprotocols=["chat"]) as listening:
        print(listening.sockets[0].getsockname()[1], flush=True)
        await asyncio.get_running_loop().create_future()


async def client(url):
    # No proxy of the environment, and everything that a handshake can carry.
    options = {"proxy": None, "max_size": None, "subprotocols": ["chat"]}
    async with connect(url + "/chat?room=1", **options) as one:
        assert one.subprotocol == "chat", one.subprotocol
        for message in ["text", b"bytes", "x" * 1_000_000, b"\0" * 3_000_000]:
            await one.send(message)
            assert await one.recv() == message
        await (await one.ping())
        # Fragments, one after the other.
        await one.send(part for part in ["frag", "men", "ted"])
        assert await one.recv() == "fragmented"
        async with connect(url + "/chat", compression=None, **options) as other:
            await asyncio.gather(*[other.send(str(n)) for n in range(200)])
            assert [await other.recv() for _ in range(200)] == [str(n) for n in range(200)]
        await one.send("close")
        try:
            await one.recv()
            raise AssertionError("not closed")
        except websockets.ConnectionClosed as closed:
            assert (closed.rcvd.code, closed.rcvd.reason) == (4321, "as you wish"), closed
    print("ok")


asyncio.run(server() if sys.argv[1] == "server" else client(sys.argv[2]))
