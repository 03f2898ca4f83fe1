"""The release task. APP_TASK=fail|hang."""

import os
import signal
import sys

print(f"release task of {os.environ.get('HOMEPORT_RELEASE', '')}", flush=True)
match os.environ.get("APP_TASK", ""):
    case "fail":
        print("the migration failed as told", file=sys.stderr)
        sys.exit(7)
    case "hang":
        signal.pause()
