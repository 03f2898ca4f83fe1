"""A web process on the standard library alone: listens within milliseconds, and misbehaves as APP_* say (README.md)."""

import asyncio
import base64
import hashlib
import json
import os
import signal
import struct
import sys
from urllib.parse import parse_qs, urlsplit

VERSION = "1"

OPTIONS = {key[4:].lower(): value for key, value in os.environ.items() if key.startswith("APP_")}
START = OPTIONS.get("start", "listen")
HEALTH = OPTIONS.get("health", "200")
HOST = os.environ.get("HOST", "0.0.0.0")
PORT = int(os.environ.get("PORT", "8000"))

Reader = asyncio.StreamReader
Writer = asyncio.StreamWriter
counted = 0
answered = 0
open_requests = 0
stopping = asyncio.Event()


def say(*words):
    print(*words, flush=True)


async def respond(
    writer: Writer,
    status: int,
    body: str | bytes | dict,
    headers: dict[str, str] | None = None,
    *,
    bodiless: bool = False,
) -> None:
    content_type = "text/plain; charset=utf-8"
    if isinstance(body, dict):
        body, content_type = json.dumps(body), "application/json"
    data = body.encode("utf-8", "surrogateescape") if isinstance(body, str) else body
    fields = {"Content-Type": content_type, "Content-Length": str(len(data)), "X-Version": VERSION, **(headers or {})}
    if stopping.is_set():
        fields["Connection"] = "close"
    head = f"HTTP/1.1 {status} Status\r\n" + "".join(f"{key}: {value}\r\n" for key, value in fields.items()) + "\r\n"
    writer.write(head.encode() + (b"" if bodiless else data))
    await writer.drain()


async def health(writer: Writer) -> None:
    ill_on = OPTIONS.get("ill_on", "").split(",")
    if answered > int(OPTIONS.get("ill_after", answered)) or os.environ.get("HOMEPORT_INSTANCE") in ill_on:
        await respond(writer, 503, "ill, as told\n")
        return
    match HEALTH:
        case "slow":
            await asyncio.sleep(float(OPTIONS.get("health_seconds", "3")))
            await respond(writer, 200, "late\n")
        case "never":
            await asyncio.sleep(3600)
        case "301":
            await respond(writer, 301, "moved\n", {"Location": f"https://127.0.0.1:{PORT}/healthz"})
        case status:
            await respond(writer, int(status), f"health says {status}\n")


async def websocket(reader: Reader, writer: Writer, headers: dict[str, str]) -> None:
    """Echoes text, prefixed by this instance's name, until the client closes or the process is asked to stop."""
    key = headers["sec-websocket-key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
    accept = base64.b64encode(hashlib.sha1(key.encode()).digest()).decode()
    writer.write(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        + f"Sec-WebSocket-Accept: {accept}\r\n\r\n".encode()
    )

    def frame(opcode: int, data: bytes) -> bytes:
        size = bytes([len(data)]) if len(data) < 126 else b"\x7e" + struct.pack(">H", len(data))
        return bytes([0x80 | opcode]) + size + data

    async def echo() -> None:
        while True:
            first, second = await reader.readexactly(2)
            length = second & 0x7F
            if length == 126:
                (length,) = struct.unpack(">H", await reader.readexactly(2))
            mask = await reader.readexactly(4)
            data = bytes(byte ^ mask[i % 4] for i, byte in enumerate(await reader.readexactly(length)))
            match first & 0x0F:
                case 8:
                    writer.write(frame(8, data))
                    return
                case 9:
                    writer.write(frame(10, data))
                case _:
                    writer.write(frame(1, os.environ.get("HOMEPORT_INSTANCE", "plain").encode() + b": " + data))
            await writer.drain()

    echoing, stop = asyncio.ensure_future(echo()), asyncio.ensure_future(stopping.wait())
    done, _ = await asyncio.wait({echoing, stop}, return_when=asyncio.FIRST_COMPLETED)
    echoing.cancel()
    stop.cancel()
    if stop in done:
        writer.write(frame(8, struct.pack(">H", 1001)))
    await writer.drain()


async def events(writer: Writer, query: dict[str, str]) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\n")
    writer.write(b"Connection: close\r\n\r\n")
    for number in range(int(query.get("count", "5"))):
        writer.write(f"id: {number}\ndata: event {number}\n\n".encode())
        await writer.drain()
        await asyncio.sleep(float(query.get("seconds", "0.1")))


async def answer(reader: Reader, writer: Writer) -> bool:
    """One request. True: the connection can carry another."""
    global answered, counted, open_requests
    head = await reader.readuntil(b"\r\n\r\n")
    method, target, _ = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ")
    lines = head.decode("latin-1").split("\r\n")[1:]
    headers = {key.strip().lower(): value.strip() for key, _, value in (line.partition(":") for line in lines) if value}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    url = urlsplit(target)
    query = {key: values[-1] for key, values in parse_qs(url.query).items()}
    open_requests += 1
    answered += url.path != "/healthz"
    try:
        match url.path.strip("/").split("/"):
            case ["healthz"]:
                await health(writer)
            case ["env"]:
                await respond(writer, 200, dict(os.environ))
            case ["headers"]:
                await respond(writer, 200, {"path": target, **headers})
            case ["echo"]:
                await respond(writer, 200, body)
            case ["count"]:
                counted += method == "POST"
                await respond(writer, 200, {"count": counted, "instance": os.environ.get("HOMEPORT_INSTANCE", "")})
            case ["slow"]:
                await asyncio.sleep(float(query.get("seconds", "1")))
                await respond(writer, 200, "slow\n")
            case ["status", code]:
                await respond(writer, int(code), f"{code}\n")
            case ["write"]:
                with open("written", "ab") as file:
                    file.write(body)
                await respond(writer, 200, f"{os.path.getsize('written')}\n")
            case ["events"]:
                await events(writer, query)
                return False
            case ["ws"]:
                await websocket(reader, writer, headers)
                return False
            case ["crash"]:
                say("crash asked for")
                os._exit(int(query.get("code", "3")))
            case _:
                await asyncio.sleep(float(OPTIONS.get("answer_seconds", "0")))
                release, instance = os.environ.get("HOMEPORT_RELEASE", ""), os.environ.get("HOMEPORT_INSTANCE", "")
                said = f"plain {VERSION} {release} {instance} {os.getpid()}\n"
                await respond(writer, 200, said, bodiless=method == "HEAD")
    finally:
        open_requests -= 1
    return headers.get("connection", "").lower() != "close" and not stopping.is_set()


async def serve(reader: Reader, writer: Writer) -> None:
    try:
        while await answer(reader, writer):
            pass
    except (asyncio.IncompleteReadError, ConnectionError, asyncio.LimitOverrunError):
        pass
    finally:
        writer.close()


async def main() -> None:
    loop = asyncio.get_running_loop()
    if OPTIONS.get("ignore_term"):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    else:
        loop.add_signal_handler(signal.SIGTERM, stopping.set)
    if "crash_after" in OPTIONS:
        loop.call_later(float(OPTIONS["crash_after"]), lambda: (say("crashing as told"), os._exit(3)))
    if "needs" in OPTIONS:
        try:
            await asyncio.open_connection(*OPTIONS["needs"].split(":"))
        except OSError as error:
            sys.exit(f"what it needs isn't there: {error}")
    await asyncio.sleep(float(OPTIONS.get("start_seconds", "0")))
    server = None
    match START:
        case "exit":
            say("exiting as told")
            sys.exit(int(OPTIONS.get("exit_code", "1")))
        case "never-listen":
            say("not listening as told")
        case "wrong-port":
            server = await asyncio.start_server(serve, HOST, 0)
        case "localhost":
            server = await asyncio.start_server(serve, "127.0.0.1", PORT)
        case _:
            server = await asyncio.start_server(serve, HOST, PORT, backlog=1024)
    if server:
        say(f"plain {VERSION} listens on", *server.sockets[0].getsockname()[:2])
    await stopping.wait()
    say("TERM received")
    if server:
        server.close()
    while open_requests:
        await asyncio.sleep(0.01)


asyncio.run(main())
