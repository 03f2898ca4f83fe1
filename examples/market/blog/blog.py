"""The blog of the market: each file in `posts` is a page, its first line the title. Only the standard library.

It is asked under /blog, as its route says; the paths it is asked for begin with that.
"""

import html
import json
import os
import signal
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

HEAD = '<!doctype html><html lang="en"><meta charset="utf-8">'


def posts() -> dict[str, tuple[str, str]]:
    """Path → (title, text), the newest first: files are named by their date."""
    found = {}
    for file in sorted((Path(__file__).parent / "posts").glob("*.txt"), reverse=True):
        title, _, text = file.read_text().partition("\n")
        found[f"/blog/{file.stem}"] = (title, text.strip())
    return found


POSTS = posts()


def index() -> str:
    rows = (f'<li><a href="{path}">{html.escape(title)}</a></li>' for path, (title, _) in POSTS.items())
    return f'{HEAD}<title>The blog</title><h1>The blog</h1><ul>{"".join(rows)}</ul><p><a href="/">The market</a></p>\n'


def page(path: str) -> tuple[str, str] | None:
    """(type, text), or None."""
    if path in ("/blog", "/blog/"):
        return "text/html", index()
    if path == "/blog/posts.json":
        return "application/json", json.dumps([{"path": each, "title": POSTS[each][0]} for each in list(POSTS)[:3]])
    if path == "/blog/healthz":
        return "text/plain", "well\n"
    if path in POSTS:
        title, text = (html.escape(each) for each in POSTS[path])
        return "text/html", f'{HEAD}<title>{title}</title><h1>{title}</h1><p>{text}</p><p><a href="/blog">All</a></p>\n'
    return None


class Handler(BaseHTTPRequestHandler):
    wbufsize = -1  # head and body in one packet: a health check hangs up once it has seen the status

    def do_GET(self) -> None:
        found = page(self.path.partition("?")[0])
        kind, text = found or ("text/plain", "There is no such page.\n")
        body = text.encode()
        self.send_response(200 if found else 404)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_HEAD = do_GET


class Server(ThreadingHTTPServer):
    daemon_threads = False  # server_close waits for answers that are under way


def main() -> None:
    server = Server(("0.0.0.0", int(os.environ["PORT"])), Handler)
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    server.serve_forever()
    server.server_close()


if __name__ == "__main__":
    main()
