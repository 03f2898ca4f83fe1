"""The watchman is watched: daemon and HAProxy as services of a runit tree of their own. Called by the CLI (start,
stop), by the installed unit at boot, and by the daemon (HAProxy's service; `keep`, in case runsvdir is gone).

    runsvdir services/             restarts a runsv that has died
    ├── runsv daemon               restarts the daemon       └── svlogd → engine/daemon/
    └── runsv haproxy              restarts HAProxy          └── svlogd → engine/haproxy/

How it heals, whatever is killed -9: daemon or HAProxy: by its runsv, at once (after 1 s if it hadn't run so long);
HAProxy's workers end with their master. A runsv: its service dies with it (pdeathsig), so that there are never two;
runsvdir starts runsv and service again within 5 s. runsvdir: its runsvs go on; `start` or `keep` makes a new one,
whose own runsvs find the services locked and are retried every few seconds until they are needed. It is found by what
it executes (runsvdir and the services' path), so that nothing need be recorded between a start and a crash.
"""

import os
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import NoReturn

from homeport.engines.local.balancer import MASTER_SOCKET, program
from homeport.engines.local.haproxy import Runtime
from homeport.engines.local.service import Service
from homeport.errors import Unavailable
from homeport.plan.balancer_text import CONFIG, SOCKET
from homeport.system import process, text_file
from homeport.system.clock import pause
from homeport.system.effect import effect
from homeport.system.home import Home

DAEMON, HAPROXY = "daemon", "haproxy"
RUNIT = "runsvdir"
START_SECONDS = 10.0
LOG_SECONDS = 1.5
"""runsv lets a service that ran for less than a second be, for one more."""
POLL_SECONDS = 0.005
SECRETS = "secrets"
LOG_BYTES = 5_000_000
LOG_FILES = 10


class WatchTree:
    """The tree of one $HOMEPORT_HOME. `stop_grace`: from TERM to KILL."""

    def __init__(self, home: Home, stop_grace: timedelta = timedelta(seconds=20)) -> None:
        self._stop_grace_seconds = stop_grace.total_seconds()
        self._home = home
        self._services = home.services
        self._daemon = Service(home.services / DAEMON)
        self._haproxy = Service(home.services / HAPROXY)
        self._runtime = Runtime(home.runtime / SOCKET, home.runtime / MASTER_SOCKET)
        self._seen: tuple[int, int] | None = None
        """Pid and start time of the runsvdir that was found last: to look through all processes takes 15 ms."""

    def start(
        self, daemon_argv: tuple[str, ...], environ: Mapping[str, str], secrets: Mapping[str, str] | None = None
    ) -> None:
        """The tree runs, and its daemon is to run with exactly this environment; HAProxy if there is a configuration.
        One that runs already is adopted: what is stated differently holds from the service's next start. `secrets`:
        variables that must not be seen on a command line; those given last, where there are none now. Raises
        `Unavailable`."""
        configured = self._define_both(daemon_argv, environ, secrets or {})
        self.keep()
        self._wait(lambda: self._daemon.supervised() and self._haproxy.supervised(), "runsvdir started no services")
        self._daemon.control("u")
        self._wait(lambda: self._daemon.pid() is not None, "the daemon doesn't start")
        if configured:
            self.start_haproxy()

    def become(
        self, daemon_argv: tuple[str, ...], environ: Mapping[str, str], secrets: Mapping[str, str] | None = None
    ) -> NoReturn:
        """This very process is the tree's runsvdir from now on, for whoever watches it: systemd. What `start` says of
        the daemon holds; it starts HAProxy. Where there is a runsvdir, that one ends; its services go on, each adopted
        when it is next started. Raises `Unavailable`."""
        self._define_both(daemon_argv, environ, secrets or {})
        self._end_runsvdir()
        self._daemon.control("u")  # whoever was interrupted in `stop` has left it down
        os.utime(self._services, (1, 1))
        self._execute()

    def keep(self) -> bool:
        """Whether runsvdir was gone and has been started again, with the services as they are: for the daemon, now and
        then. Takes some ms. Raises `Unavailable`."""
        if self._seen is not None and process.alive(*self._seen):
            return False
        found = self._runsvdirs()
        if found:
            started = process.start_time(found[0])
            self._seen = None if started is None else (found[0], started)
            return False
        # With a fresh time of change runsvdir would wait a second before it looks inside.
        os.utime(self._services, (1, 1))
        self._spawn()
        return True

    def running(self) -> bool:
        """Whether the tree and its daemon run."""
        return bool(self._runsvdirs()) and self.daemon_pid() is not None

    def daemon_pid(self) -> int | None:
        """None: it isn't running just now."""
        return self._daemon.pid()

    def start_haproxy(self) -> None:
        """HAProxy runs on the text and answers, and will be started with the tree. Repeating it is harmless. Raises
        `Unavailable`, with the last words of HAProxy where it doesn't come up."""
        down = self._haproxy.directory / "down"
        if down.exists():
            self._enable(down)
        self._haproxy.control("u")
        try:
            self._wait(self.haproxy_running, "HAProxy doesn't start")
        except Unavailable as error:
            log = text_file.read(self._home.engine_logs / HAPROXY / "current") or ""
            raise Unavailable(error.message, hint="homeport doctor", details=tuple(log.splitlines()[-10:])) from error

    def haproxy_running(self) -> bool:
        """Whether it runs and answers."""
        return self._haproxy.pid() is not None and self._runtime.answer() is not None

    def stop(self) -> None:
        """Daemon, runsvdir, HAProxy and their supervisors have ended, in this order: the daemon would start the others
        again. What doesn't end after TERM is killed. Repeating it is harmless. Raises `Unavailable` where something is
        left."""
        self._down(self._daemon, "d")
        self._end_runsvdir()
        for service in (self._daemon, self._haproxy):
            self._end(service)

    # --- the tree --------------------------------------------------------------------------------------------------

    def _define_both(
        self, daemon_argv: tuple[str, ...], environ: Mapping[str, str], secrets: Mapping[str, str]
    ) -> bool:
        """Whether there is a configuration for HAProxy."""
        configured = (self._home.runtime / CONFIG).exists()
        # HAProxy's environment is empty: the daemon's may hold what isn't its business.
        haproxy = (program(), "-W", "-db", "-S", self._master_socket(), "-f", str(self._home.runtime / CONFIG))
        self._define(self._haproxy, haproxy, {}, down=not configured)
        kept = self._keep_secret(self._daemon.directory / SECRETS, secrets)
        self._define(self._daemon, (*kept, *daemon_argv), environ, down=False)
        return configured

    def _define(self, service: Service, argv: tuple[str, ...], environ: Mapping[str, str], *, down: bool) -> None:
        """The service's directory, complete, as runit wants it."""
        directory = service.directory
        log = self._home.engine_logs / directory.name
        # Without its supervisor a service would go on, and the next supervisor would start a second one.
        command = shlex.join(("env", "-i", *(f"{name}={value}" for name, value in sorted(environ.items())), *argv))
        run = f"#!/bin/sh\nexec 2>&1 </dev/null\ncd /\nexec setpriv --pdeathsig KILL {command}\n"
        texts = {
            directory / "log" / "run": f"#!/bin/sh\nexec svlogd -ttt {shlex.quote(str(log))}\n",
            log / "config": f"s{LOG_BYTES}\nn{LOG_FILES}\n",
            directory / "run": run,
        }
        if down and not (directory / "run").exists():
            texts = {directory / "down": "", **texts}
        for path, text in texts.items():
            if text_file.read(path) != text:
                self._write(path, text)

    def _keep_secret(self, directory: Path, secrets: Mapping[str, str]) -> tuple[str, ...]:
        """What goes before a command for it to get these variables, or those that were kept before."""
        if secrets:
            for old in directory.glob("[!.]*"):
                if old.name not in secrets:
                    self._write(old, "")  # chpst takes a variable with an empty file away
            for name, value in secrets.items():
                self._write(directory / name, value + "\n")
        return ("chpst", "-e", str(directory)) if directory.is_dir() else ()

    @effect("watch_tree.write")
    def _write(self, path: Path, text: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        text_file.replace(path, text, 0o700 if path.name == "run" else 0o600)

    @effect("watch_tree.enable")
    def _enable(self, down: Path) -> None:
        down.unlink(missing_ok=True)

    @effect("watch_tree.spawn")
    def _spawn(self) -> None:
        argv = ("setsid", "--fork", *self._runsvdir())  # a child of init: nobody here has to reap it
        try:
            subprocess.run(
                argv,
                env={"PATH": _path()},
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                check=True,
            )
        except (OSError, subprocess.CalledProcessError) as error:
            raise Unavailable(f"can't start runsvdir: {error}", hint="apt-get install runit") from error
        # whoever comes next, should we be killed, sees it and starts no second one
        self._wait(lambda: bool(self._runsvdirs()), "runsvdir doesn't start")

    @effect("watch_tree.become")
    def _execute(self) -> NoReturn:
        path = shutil.which(RUNIT, path=_path())
        if path is None:
            raise Unavailable("runsvdir isn't installed", hint="apt-get install runit")
        os.chdir("/")
        # As in `_spawn`: while supervisors of another runsvdir live, those of this one complain every few seconds.
        null = os.open(os.devnull, os.O_RDWR)
        for each in (0, 1, 2):
            os.dup2(null, each)
        os.execve(path, self._runsvdir(), {"PATH": _path()})

    def _runsvdir(self) -> tuple[str, ...]:
        return RUNIT, "-P", str(self._services)

    def _end_runsvdir(self) -> None:
        """It alone has ended."""
        for pid in self._runsvdirs():
            started = process.start_time(pid)
            if started is not None:
                process.send(pid, started, signal.SIGTERM)
        self._wait(lambda: not self._runsvdirs(), "runsvdir doesn't end")

    def _runsvdirs(self) -> list[int]:
        """Pids of the tree's runsvdir: one, or none."""
        wanted = b"-P\0" + os.fsencode(self._services) + b"\0"
        found = []
        for entry in Path("/proc").iterdir():
            try:
                if (
                    entry.name.isdigit()
                    and entry.stat().st_uid == os.getuid()
                    and process.name(int(entry.name)) == RUNIT
                ):
                    found += [int(entry.name)] if (entry / "cmdline").read_bytes().endswith(wanted) else []
            except OSError:  # it has ended
                continue
        return found

    def _master_socket(self) -> str:
        return f"{self._home.runtime / MASTER_SOCKET},mode,600,level,admin"

    def _end(self, service: Service) -> None:
        """The service and its supervisor have ended."""
        if not self._down(service, "dx"):
            return
        try:
            self._wait(lambda: not service.supervised(), "", LOG_SECONDS)
        except Unavailable:
            self._end_log(service)

    def _end_log(self, service: Service) -> None:
        """Something that the service has left behind may keep its log open; one that waits for room on a full disk
        hears nothing but KILL."""
        log = Service(service.directory / "log")
        log.control("t")
        try:
            self._wait(lambda: not service.supervised(), "", LOG_SECONDS)
        except Unavailable:
            log.control("k")
            self._wait(lambda: not service.supervised(), f"the supervisor of {service.directory.name} doesn't end")

    def _down(self, service: Service, commands: str) -> bool:
        """Whether somebody supervised it; then the service has ended."""
        if not service.control(commands):
            return False
        try:
            self._wait(lambda: service.pid() is None, "", self._stop_grace_seconds)
        except Unavailable:
            service.control("k")
            self._wait(lambda: service.pid() is None, f"the service {service.directory.name} doesn't end")
        return True

    def _wait(self, condition: Callable[[], bool], problem: str, seconds: float = START_SECONDS) -> None:
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                raise Unavailable(f"{problem} (waited {seconds:.0f} s)", retry_after=timedelta(seconds=1))
            pause(POLL_SECONDS)


def _path() -> str:
    """Where runit's programs and what they start are found; an ordinary user's PATH often lacks the last."""
    return f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin:/usr/bin:/bin"
