"""A process without a port: a line every APP_WORKER_SECONDS (1), until TERM. APP_WORKER=exit|crash|ignore-term."""

import os
import signal
import sys
import threading

stopping = threading.Event()
behaviour = os.environ.get("APP_WORKER", "")
signal.signal(signal.SIGTERM, (lambda *_: None) if behaviour == "ignore-term" else (lambda *_: stopping.set()))

if behaviour == "exit":
    print("worker exits as told", flush=True)
    sys.exit(1)
number = 0
while True:
    number += 1
    print(f"tick {number} {os.environ.get('HOMEPORT_INSTANCE', '')}", flush=True)
    if stopping.wait(float(os.environ.get("APP_WORKER_SECONDS", "1"))):
        break
    if behaviour == "crash":
        os._exit(4)
print("worker got TERM", flush=True)
