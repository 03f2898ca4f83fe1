"""Carries out attacks when asked over HTTP: POST /attack?name=…&name=… with the targets as JSON."""

import json
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import attack


class Handler(BaseHTTPRequestHandler):
    def answer(self, body: dict) -> None:
        data = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self) -> None:
        self.answer({"pid": os.getpid(), "uid": os.getuid(), "instance": os.environ.get("HOMEPORT_INSTANCE", "")})

    def do_POST(self) -> None:
        targets = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.answer(attack.run(targets, parse_qs(urlsplit(self.path).query).get("name")))


ThreadingHTTPServer((os.environ.get("HOST", "0.0.0.0"), int(os.environ.get("PORT", "8000"))), Handler).serve_forever()
