"""A process in front of a server, which can be killed and stopped as the server could.

    front.py ADDRESS:PORT [OWN_PORT]      prints its port; ends when its standard input does
"""

import asyncio
import os
import sys

BEHIND = sys.argv[1].rsplit(":", 1)
PORT = int(sys.argv[2]) if len(sys.argv) > 2 else 0


async def pour(reader, writer):
    try:
        while some := await reader.read(65536):
            writer.write(some)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()


async def serve(reader, writer):
    try:
        there, back = await asyncio.open_connection(*BEHIND)
    except OSError:
        writer.transport.abort()
        return
    await asyncio.gather(pour(reader, back), pour(there, writer))


async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", PORT)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)
    os._exit(0)


asyncio.run(main())
