# SPDX-License-Identifier: Apache-2.0
"""A TCP load balancer as it stands before a control plane: each new connection goes to the next server that takes it,
bytes are passed on unread. Its own process (python3 balancer.py PORT HOST:PORT ...), so that it takes no time from a
suite; ends with SIGTERM."""
import asyncio
import signal
import sys

CHUNK_BYTES = 1 << 18
CONNECT_SECONDS = 2


async def connect(targets, first):
    """A connection to one of the targets, from first on; raises when none takes it."""
    for i in range(len(targets)):
        host, port = targets[(first + i) % len(targets)]
        try:
            return await asyncio.wait_for(asyncio.open_connection(host, port), CONNECT_SECONDS)
        except (OSError, asyncio.TimeoutError):
            continue
    raise OSError("no server takes a connection")


async def pass_on(reader, writer):
    try:
        while data := await reader.read(CHUNK_BYTES):
            writer.write(data)
            await writer.drain()
        writer.write_eof()
    except (OSError, RuntimeError):
        writer.close()


async def main(port, targets):
    count = 0

    async def serve(reader, writer):
        nonlocal count
        count += 1
        try:
            far_reader, far_writer = await connect(targets, count)
        except OSError:
            writer.close()
            return
        await asyncio.gather(pass_on(reader, far_writer), pass_on(far_reader, writer))
        for side in (writer, far_writer):
            side.close()
    server = await asyncio.start_server(serve, "127.0.0.1", port)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, sys.exit, 0)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), [(t.rsplit(":", 1)[0], int(t.rsplit(":", 1)[1])) for t in sys.argv[2:]]))
