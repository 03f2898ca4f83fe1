"""A WSGI app for gunicorn, on the standard library: answers as `plain` does, its release being what VERSION says."""

import email.message
import html
import json
import logging
import os
import sqlite3
import urllib.request
import xml.dom.minidom
from pathlib import Path

WEIGHT = (email.message, html, json, logging, sqlite3, urllib.request, xml.dom.minidom)
"""What an app of some size imports: its boot takes a moment."""
VERSION = Path(__file__).with_name("VERSION").read_text().strip()


def application(environ, start_response):
    length = int(environ.get("CONTENT_LENGTH") or 0)
    if environ["REQUEST_METHOD"] == "POST":
        body = environ["wsgi.input"].read(length)
    else:
        body = f"plain 1 {VERSION} {os.getpid()}\n".encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
