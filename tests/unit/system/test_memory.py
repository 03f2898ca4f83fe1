"""A command looks for garbage seldom, what stays as Python does by itself."""

import json
import subprocess
import sys

PROGRAM = """
import gc, json, sys
from homeport.{room}.main import main
from homeport.system.memory import tidied_as_usual
usual, said = gc.get_threshold(), []
sys.argv = ["it", "--version"]
try:
    main()
except SystemExit:
    said = [gc.get_threshold()[0] > usual[0], gc.get_freeze_count() > 1000]
tidied_as_usual()
print(json.dumps([*said, gc.get_threshold() == usual]))
"""


def test_programs_look_for_garbage_seldom() -> None:
    for room in ("cli", "agent"):
        argv = (sys.executable, "-c", PROGRAM.format(room=room))
        done = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=60)
        assert json.loads(done.stdout.splitlines()[-1]) == [True, True, True], room
