"""Counts the stock every few seconds, to have something that is no web process. Ends at TERM."""

import os
import signal
import threading

from catalogue import ARTICLES

stopping = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: stopping.set())

release = os.environ.get("HOMEPORT_RELEASE", "none")
count = 0
while not stopping.wait(5 if count else 0):
    count += 1
    print(f"stock counted {count} times: {len(ARTICLES)} articles, release {release}", flush=True)
print("worker ends", flush=True)
