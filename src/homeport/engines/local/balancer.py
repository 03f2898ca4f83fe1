"""Keeps HAProxy equal to the desired `Balancer`: its files on disk, and the running one. Called by the local engine.

Stateless: what to do follows from the desired state, the files, and what HAProxy itself says. So a daemon that was
killed anywhere in `sync` calls it again, and one that finds another daemon's HAProxy adopts it.
"""

import errno
import hashlib
import logging
import os
import pwd
import re
import resource
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path

from msgspec.structs import replace

from homeport.engines.local import certificate
from homeport.engines.local.haproxy import Runtime, Usage, attempts, parse_server
from homeport.engines.local.service import Service
from homeport.errors import Conflict, HomeportError, Invalid, Unavailable
from homeport.model.certificate import Certificate
from homeport.model.platform import Tls
from homeport.plan.balancer import LISTEN, Balancer, ServerId, check
from homeport.plan.balancer_change import Change, difference
from homeport.plan.balancer_text import CONFIG, ROUTES, SOCKET, STATE, Files, Setting, render
from homeport.system import text_file
from homeport.system.effect import effect
from homeport.system.home import Home

log = logging.getLogger("homeport.balancer")
MASTER_SOCKET = "haproxy-master.sock"
STATE_HEADER = "1\n"
LONGEST_SOCKET_PATH = 80
"""HAProxy binds `<path>.<pid>.tmp` first, and that must stay below 97 bytes."""
RELOAD_SECONDS = 30.0
EQUAL_SECONDS = 2.0


def program() -> str:
    """Path of haproxy. Raises `Unavailable` where there is none. An ordinary user's PATH often lacks /usr/sbin."""
    found = shutil.which("haproxy", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/usr/local/sbin")
    if found is None:
        raise Unavailable("haproxy isn't installed", hint="apt-get install haproxy")
    return found


class HaproxyBalancer:
    """The balancer of one $HOMEPORT_HOME. Methods may be called from any thread."""

    def __init__(self, home: Home) -> None:
        self._directory = home.runtime
        self._config = home.runtime / CONFIG
        self._map = str(home.runtime / ROUTES)
        self._state = home.runtime / STATE
        self._certificates = home.runtime / "haproxy" / "tls"
        self._runtime = Runtime(home.runtime / SOCKET, home.runtime / MASTER_SOCKET)
        self._service = Service(home.services / "haproxy")
        self._one_at_a_time = threading.Lock()
        self._refused: dict[str, str] = {}
        """Frontend → why the certificate that lies there isn't the one that is served."""

    def sync(self, desired: Balancer) -> None:
        """Files and the running HAProxy equal `desired`. Where it isn't running: the files, for its supervisor to start
        it with. Repeating it is harmless. Raises `Invalid` and `Conflict` (an address is taken), then nothing was
        changed; `Unavailable` where the running one can't be brought there."""
        check(desired)
        with self._one_at_a_time:
            self._make_directories()
            running = self._exists()
            certificates = {each.name: self._pem(each.name, each.tls) for each in desired.frontends if each.tls}
            setting = self._setting({name: str(path) for name, (path, _) in certificates.items()})
            files = render(desired, setting)
            before = text_file.read(self._config)
            for error in self._blocked(desired, before if running else None).values():
                raise error
            for path, text in certificates.values():
                if not path.exists():
                    self._write(path, text)
            self._write_files(files)
            if self._exists():
                self._bring(desired, files, before)
            self._forget_certificates({path for path, _ in certificates.values()})

    def certificate(self, frontend: str) -> Certificate | None:
        """What the frontend's clients are shown; None: it speaks plain HTTP, or that can't be read."""
        path = self._served(frontend)
        if path is None:
            return None
        try:
            found = certificate.read(path.read_text(), str(path))
        except (Invalid, OSError):  # a renewal takes the file away
            return None
        return replace(found, trouble=self._refused.get(frontend, ""))

    def blocked(self, desired: Balancer) -> dict[str, HomeportError]:
        """Names of the frontends that can't listen, because their address is taken or isn't this machine's, or their
        certificate can't be used → why."""
        with self._one_at_a_time:
            return self._blocked(desired, text_file.read(self._config) if self._exists() else None)

    def in_flight(self) -> dict[ServerId, int]:
        """(backend, server) → requests and open connections, those of replaced workers included; empty while HAProxy
        isn't running. Raises `Unavailable`: not known. While clients keep idle connections to a replaced worker (up to
        10 s), each of its servers has one more: one of them may yet bring a request, and that worker can't be told
        that the server drains."""
        return {server: each.in_flight for server, each in self.usage().items()}

    def usage(self) -> dict[ServerId, Usage]:
        """(backend, server) → counts over all workers that live; as `in_flight` else."""
        if not self._runtime.listening():
            return {}
        total: dict[ServerId, Usage] = {}
        for worker in self._runtime.processes().workers:
            for server, usage in self._runtime.usage(worker).items():
                total[server] = total.get(server, Usage()) + usage
        return total

    def end_requests(self, servers: Iterable[ServerId]) -> None:
        """Requests in flight to these (backend, server) are ended: what may be repeated, and no answer to which had
        begun, goes to another server. Those of replaced workers go on. Raises `Unavailable`."""
        if self._runtime.listening():
            self._runtime.tell(*(f"shutdown sessions server {backend}/{server}" for backend, server in servers))

    def server_checks(self) -> dict[ServerId, bool | None]:
        """(backend, server) → what HAProxy's checks say: up, down, or None (not yet, or not checked); empty while it
        isn't running. Notes the ones that are down, for a HAProxy that starts after a crash: it would believe that they
        are up until their checks have failed again. Raises `Unavailable`."""
        if not self._runtime.listening():
            return {}
        text = self._runtime.ask("show servers state")
        with self._one_at_a_time:
            self._note_down(text)
        parsed = (parse_server(line) for line in text.splitlines())
        return {each[0]: each[1].up for each in parsed if each is not None}

    # --- files ---------------------------------------------------------------------------------------------------

    def _make_directories(self) -> None:
        longest = self._directory / MASTER_SOCKET
        if len(os.fsencode(longest)) > LONGEST_SOCKET_PATH:
            raise Invalid(
                f"the runtime directory {self._directory} is too long for socket names "
                f"({len(os.fsencode(longest))} bytes, at most {LONGEST_SOCKET_PATH})",
                hint="set XDG_RUNTIME_DIR to a shorter path",
            )
        for path in (self._directory / "haproxy", self._certificates, self._directory / "haproxy" / "empty"):
            if not path.is_dir():
                self._make_directory(path)
        if not self._state.exists():
            self._write(self._state, STATE_HEADER)

    @effect("haproxy.make_directory")
    def _make_directory(self, path: Path) -> None:
        path.mkdir(mode=0o700, exist_ok=True)

    @effect("haproxy.write")
    def _write(self, path: Path, text: str) -> None:
        text_file.replace(path, text)

    def _write_files(self, files: Files) -> None:
        """The text goes last, since it names the others, and only after HAProxy itself has found it to be right."""
        changed = [name for name, text in files.texts.items() if text_file.read(self._directory / name) != text]
        for name in changed:
            if name != CONFIG:
                self._write(self._directory / name, files.texts[name])
        if CONFIG in changed:
            if files.fingerprint not in (text_file.read(self._config) or ""):
                self._validate(files.texts[CONFIG])
            self._write(self._config, files.texts[CONFIG])

    def _validate(self, text: str) -> None:
        candidate = self._config.with_name("haproxy-candidate.cfg")
        self._write(candidate, text)
        try:
            result = subprocess.run(
                (program(), "-c", "-f", str(candidate)), capture_output=True, text=True, timeout=60, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise Unavailable(f"haproxy can't check its configuration: {error}") from error
        if result.returncode != 0:
            said = tuple(line for line in result.stderr.splitlines() if "[ALERT]" in line)
            raise Invalid(f"haproxy refuses the configuration (exit {result.returncode})", details=said)

    def _pem(self, frontend: str, tls: Tls) -> tuple[Path, str]:
        """Where the combined file belongs, and its content. Named by its content: a renewed certificate changes the
        text, so it is loaded. One that can't be used leaves the one that is served; raises `Invalid` where none is."""
        try:
            text = certificate.combined(tls)
            path = self._certificates / f"{frontend}.{hashlib.sha256(text.encode()).hexdigest()[:16]}.pem"
            if not path.exists():
                certificate.check_pair(tls)
        except Invalid as error:
            kept = self._served(frontend)
            if kept is None:
                raise Invalid(f"{frontend}: {error.message}", hint=error.hint) from error
            if self._refused.get(frontend) != error.message:
                log.warning("%s: %s; the certificate from before is served on", frontend, error.message)
            self._refused[frontend] = error.message
            return kept, kept.read_text()
        self._refused.pop(frontend, None)
        return path, text

    def _served(self, frontend: str) -> Path | None:
        found = self._certificates.glob(f"{frontend}.{'[0-9a-f]' * 16}.pem")
        return max(found, key=lambda each: each.stat().st_mtime, default=None)

    def _forget_certificates(self, wanted: set[Path]) -> None:
        for path in self._certificates.glob("*.pem"):
            if path not in wanted:
                self._remove_certificate(path)

    @effect("haproxy.remove_certificate")
    def _remove_certificate(self, path: Path) -> None:
        path.unlink(missing_ok=True)

    def _setting(self, certificates: dict[str, str]) -> Setting:
        root = os.getuid() == 0
        user = next((each.pw_name for each in pwd.getpwall() if root and each.pw_name == "haproxy"), None)
        files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        # A proxied connection takes two descriptors; HAProxy refuses to start where they don't suffice.
        most = 10_000 if files == resource.RLIM_INFINITY else min(10_000, max(50, (files - 200) // 2))
        servers = text_file.read(Path("/etc/resolv.conf")) or ""
        return Setting(
            directory=str(self._directory),
            maxconn=most,
            user=user,
            group=user,
            chroot=str(self._directory / "haproxy" / "empty") if user else None,
            resolver=re.search(r"^nameserver", servers, re.MULTILINE) is not None,
            certificates=certificates,
        )

    def _blocked(self, desired: Balancer, text: str | None) -> dict[str, HomeportError]:
        """As `blocked`; `text` is what HAProxy runs on (None: it doesn't)."""
        held = set(re.findall(r"^    bind (\S+)", text or "", re.MULTILINE))
        found: dict[str, HomeportError] = {}
        for frontend in desired.frontends:
            if frontend.tls is not None:
                try:
                    self._pem(frontend.name, frontend.tls)
                except Invalid as error:
                    found[frontend.name] = error
            for listen in filter(None, (frontend.listen, frontend.redirect_from)):
                if listen not in held:
                    try:
                        # One that was killed a moment ago may still be going.
                        _check_address(frontend.name, listen, patience_seconds=1.0 if text is None else 0.0)
                    except (Conflict, Invalid) as error:
                        found[frontend.name] = error
        return found

    # --- the running one -----------------------------------------------------------------------------------------

    def _exists(self) -> bool:
        """Also while it is starting, for then it may have read the text that was there before."""
        return self._runtime.listening() or self._service.pid() is not None

    def _bring(self, desired: Balancer, files: Files, before: str | None) -> None:
        self._wait_for_answer()
        change = self._equalise(desired, files)
        self._note_down(self._runtime.ask("show servers state"))
        if change.reload:
            self._reload(files.fingerprint, before)
            change = self._equalise(desired, files)
        wanted = {(backend.name, each.name) for backend in desired.backends for each in backend.servers}
        # A removed server that still ends connections stays, in maintenance; the next sync removes it.
        if change.first or change.then or change.routes is not None or wanted & set(change.removed):
            raise Unavailable(
                "HAProxy doesn't take the change",
                details=(*change.first, *change.then, *(f"del server {b}/{s}" for b, s in change.removed)),
                retry_after=timedelta(seconds=1),
            )

    def _equalise(self, desired: Balancer, files: Files) -> Change:
        """What is left to do after runtime commands have done what they can."""
        for _ in attempts(EQUAL_SECONDS):
            change = difference(desired, files.fingerprint, self._runtime.running(self._map))
            if not (change.first or change.then or change.removed or change.routes is not None):
                break
            self._apply(change)
        return change

    def _apply(self, change: Change) -> None:
        if change.first:
            self._runtime.tell(*change.first)
        if change.routes is not None:
            self._set_routes(change.routes)
        if change.then:
            self._runtime.tell(*change.then)
        for backend, server in change.removed:
            target = f"{backend}/{server}"
            # Each by itself: a server whose connections have just been shut down may be deleted a moment later.
            self._runtime.tell(f"set server {target} state maint", f"shutdown sessions server {target}")
            self._runtime.tell(f"del server {target}")

    def _set_routes(self, table: tuple[tuple[str, str], ...]) -> None:
        """All entries at once: no request sees a half table."""
        answer = self._runtime.tell(f"prepare map {self._map}")
        version = re.search(r"\d+", answer)
        if version is None:
            raise Unavailable(f"HAProxy doesn't prepare a route table: {answer.strip()!r}")
        self._runtime.tell(*(f"add map @{version[0]} {self._map} {key} {value}" for key, value in table))
        self._runtime.tell(f"commit map @{version[0]} {self._map}")

    def _note_down(self, servers_state: str) -> None:
        """HAProxy reads this file when it starts or reloads. Only servers that its checks have found down are in it
        (and none in drain or maintenance: that is the text's to say)."""
        lines = servers_state.splitlines(keepends=True)
        header = [line for line in lines if line.startswith("#")]
        kept = []
        for line in lines:
            parsed = parse_server(line)
            if parsed is not None and parsed[1].up is False and parsed[1].state == "ready":
                kept.append(line)
        text = STATE_HEADER + "".join(header + kept if kept else [])
        if text_file.read(self._state) != text:
            self._write(self._state, text)

    def _reload(self, fingerprint: str, before: str | None) -> None:
        """A new worker runs on the text. Raises `Unavailable` where the master couldn't start one; then the old text is
        back, for a restart must not find one that can't be started."""
        failed = self._runtime.processes().failed
        self._runtime.reload()
        for _ in attempts(RELOAD_SECONDS):
            now = self._runtime.answer()
            if now is None:
                continue
            if now[0] == fingerprint:
                return
            if now[1].failed > failed:
                break
        if before is not None:
            self._write(self._config, before)
        raise Unavailable("HAProxy couldn't reload its configuration", hint="homeport doctor")

    def _wait_for_answer(self) -> None:
        for _ in attempts(RELOAD_SECONDS):
            if self._runtime.answer() is not None:
                return
        raise Unavailable("HAProxy has a master but no worker answers", retry_after=timedelta(seconds=1))


def _check_address(frontend: str, listen: str, patience_seconds: float) -> None:
    match = LISTEN.fullmatch(listen)
    assert match is not None  # `check` was asked before
    host, port = match[1].strip("[]"), int(match[2])
    error: OSError | None = None
    for _ in attempts(patience_seconds):
        try:
            family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            with socket.socket(family, socket.SOCK_STREAM) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(address)
            return
        except OSError as problem:
            error = problem
            if problem.errno != errno.EADDRINUSE:
                break
    if error is not None and error.errno == errno.EADDRINUSE:
        raise Conflict(
            f"{listen} is taken, {frontend} can't listen there", hint=f"ss -ltnp 'sport = :{port}'"
        ) from error
    raise Invalid(f"{frontend} can't listen on {listen}: {error}", hint="state another `listen`") from error
