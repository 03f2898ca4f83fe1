"""A small server to stand behind the balancer: `python target.py <name> <address> <port>`.

Paths: /healthz (what /health?<status> said last), /wait?<seconds>, /events (one event, then silence), /die (ends the
connection without an answer), /hits, and any other: what the request looked like.
An Upgrade gets an echo. Counts every request (until /forget) but those about itself, as "<method> <path>".
"""

import asyncio
import collections
import json
import sys

NAME, ADDRESS, PORT = sys.argv[1], sys.argv[2], int(sys.argv[3])
HITS: collections.Counter[str] = collections.Counter()
HEALTH = ["200"]


def answer(body: object, status: str = "200") -> bytes:
    data = json.dumps(body).encode()
    return f"HTTP/1.1 {status} X\r\nContent-Length: {len(data)}\r\n\r\n".encode() + data


async def respond(
    line: str, headers: dict[str, str], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> bool:
    """Whether the connection goes on."""
    method, target, _ = line.split()
    path, _, query = target.partition("?")
    if "content-length" in headers:
        await reader.readexactly(int(headers["content-length"]))
    goes_on = headers.get("connection") != "close"
    if path == "/healthz":
        writer.write(answer(NAME, HEALTH[0]))
        return goes_on
    if path == "/hits":
        writer.write(answer(dict(HITS)))
        return goes_on
    if path == "/forget":
        HITS.clear()
        HEALTH[0] = "200"
    elif path == "/health":
        HEALTH[0] = query
    else:
        HITS[f"{method} {path}"] += 1
    if path == "/die":
        return False
    if path == "/wait":
        await asyncio.sleep(float(query))
    if path == "/events":
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: first\n\n")
        await reader.read()
        return False
    if headers.get("upgrade") == "websocket":
        # The answer to the one key that the tests send (RFC 6455, 1.3).
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n")
        writer.write(b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n")
        writer.write(NAME.encode() + b"\n")
        while data := await reader.read(1000):
            writer.write(data)
        return False
    writer.write(answer({"name": NAME, "method": method, "target": target, "headers": headers}))
    return goes_on


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            headers = {key.lower(): value.strip() for key, _, value in (each.partition(":") for each in head[1:])}
            if not await respond(head[0], headers, reader, writer):
                break
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def main() -> None:
    server = await asyncio.start_server(serve, ADDRESS, PORT)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(main())
