"""A web process that fails on purpose, in ways that a load generator must see: what it breaks, it counts.

Of every hundred requests one is closed without an answer, one reset, one answered by half a body, one by 500, one by
another body. `python bench/planted.py` is such a process; on TERM it says what it broke, as JSON.
"""

import asyncio
import json
import os
import signal
import socket
import struct
from collections import Counter

KINDS = {7: "closed", 23: "reset", 41: "cut", 59: "status", 83: "wrong body"}
OF = 100


class Planted:
    def __init__(self) -> None:
        self.requests = 0
        self.broken: Counter[str] = Counter()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self._answer(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Whether the connection can carry another request."""
        head = await reader.readuntil(b"\r\n\r\n")
        lines = head.decode().lower().split("\r\n")
        length = next((int(each.split(":")[1]) for each in lines if each.startswith("content-length:")), 0)
        body = await reader.readexactly(length)
        if not lines[0].startswith("post"):
            body = b"plain 1 r1 planted\n"
        kind = KINDS.get(self.requests % OF, "")
        self.requests += 1
        if kind:
            self.broken[kind] += 1
        if kind == "closed":
            return False
        if kind == "reset":
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
            return False
        status = "500 Broken" if kind == "status" else "200 OK"
        sent = body[: len(body) // 2] if kind == "cut" else body.swapcase() if kind == "wrong body" else body
        writer.write(f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + sent)
        await writer.drain()
        return kind != "cut" and "connection: close" not in lines


async def _main() -> None:
    planted = Planted()
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    host, port = os.environ.get("HOST", "127.0.0.1"), int(os.environ.get("PORT", "0"))
    server = await asyncio.start_server(planted.serve, host, port)
    print(server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await ended.wait()
    print(json.dumps(planted.broken), flush=True)


if __name__ == "__main__":
    asyncio.run(_main())
