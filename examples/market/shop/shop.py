"""The shop of the market: what there is to buy, and what the blog has to say about it. Only the standard library."""

import html
import json
import os
import signal
import threading
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

GOODS = {"Storm lantern": 48, "Hemp rope, 20 m": 31, "Brass bell": 75}
NEWS = "http://web.blog.{HOMEPORT_ENVIRONMENT}.internal:8080/blog/posts.json".format_map(os.environ)
"""The blog's private name: its group `web`, whichever instances that has just now."""


def news() -> str:
    """A list of the newest posts; a sentence where the blog isn't up: the shop goes on selling."""
    try:
        with urllib.request.urlopen(NEWS, timeout=2) as answer:
            posts = json.load(answer)
    except (OSError, ValueError):
        return "<p>The blog is away just now.</p>"
    rows = (f'<li><a href="{html.escape(each["path"])}">{html.escape(each["title"])}</a></li>' for each in posts)
    return f"<ul>{''.join(rows)}</ul>"


def page() -> str:
    goods = "".join(f"<li>{html.escape(name)}: {price} €</li>" for name, price in GOODS.items())
    about = "{HOMEPORT_INSTANCE}, release {HOMEPORT_RELEASE}".format_map(os.environ)
    head = '<!doctype html><html lang="en"><meta charset="utf-8"><title>The market</title>'
    return f"{head}<h1>The market</h1><ul>{goods}</ul><h2>From the blog</h2>{news()}<p>{about}</p></html>\n"


class Handler(BaseHTTPRequestHandler):
    wbufsize = -1  # head and body in one packet: a health check hangs up once it has seen the status

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        text = {"/": page, "/healthz": lambda: "well\n"}.get(path)
        body = (text() if text else "There is no such page.\n").encode()
        self.send_response(200 if text else 404)
        self.send_header("Content-Type", f"text/{'html' if path == '/' else 'plain'}; charset=utf-8")
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
