"""Resolvers that look at this machine: !env, !file, !encrypted_file, !command. Relative paths start at `stacks/`."""

import base64
import os
import shlex
import subprocess

from homeport.errors import Failed, Invalid, NotFound
from homeport.model.secret import Secret
from homeport.model.stack import Value
from homeport.plan.mistake import meant
from homeport.stacks.resolver import Context, fields, plain
from homeport.system.effect import effect

COMMAND_SECONDS = 60
ARMOR = "-----BEGIN AGE ENCRYPTED FILE-----"


def env(argument: Value, context: Context) -> Value:
    """`!env NAME`, or {name, default}."""
    said = fields(argument, "name", "default")
    name = plain(said["name"], "the name of a variable")
    if name in context.environ:
        return context.environ[name]
    if "default" in said:
        return said["default"]
    raise NotFound(f"the environment has no variable {name}{meant(name, context.environ)}", hint=f"export {name}=…")


def file(argument: Value, context: Context) -> Value:
    """`!file files/motd`: its content."""
    path = plain(argument, "a path")
    try:
        return _bytes(path, context).decode("utf-8")
    except UnicodeDecodeError as error:
        raise Invalid(f"{path} isn't UTF-8") from error


def encrypted_file(argument: Value, context: Context) -> Value:
    """`!encrypted_file secrets/password.age`: what age encrypted for Homeport's identity, without its last newline."""
    data = _bytes(plain(argument, "a path"), context)
    if data.lstrip().startswith(ARMOR.encode()):
        lines = data.decode("ascii", "replace").strip().splitlines()
        packed = "".join(lines[1:-1])
    else:
        packed = base64.b64encode(data).decode("ascii")
    return Secret(context.encryption().decrypt(packed).reveal().removesuffix("\n"))


def command(argument: Value, context: Context) -> Value:
    """`!command [git, rev-parse, HEAD]`, or {run: …}: what it prints, without the last newline. There is no shell."""
    said = fields(argument, "run")["run"]
    argv = [plain(each) for each in said] if isinstance(said, list) else shlex.split(plain(said, "a command"))
    if not argv:
        raise Invalid("expected a command")
    try:
        done = _run(argv, context)
    except OSError as error:
        raise NotFound(f"can't run {argv[0]}: {error.strerror}") from error
    except subprocess.TimeoutExpired as error:
        raise Failed(f"{argv[0]} didn't end within {COMMAND_SECONDS} s") from error
    if done.returncode != 0:
        said_last = tuple(done.stderr.decode("utf-8", "replace").splitlines()[-5:])
        raise Failed(f"{argv[0]} ended with {done.returncode}", details=said_last)
    return done.stdout.decode("utf-8", "surrogateescape").removesuffix("\n")


@effect("resolver.run_command")
def _run(argv: list[str], context: Context) -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(
        argv,
        cwd=context.root,
        env=dict(context.environ),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=COMMAND_SECONDS,
        check=False,
    )


def _bytes(path: str, context: Context) -> bytes:
    try:
        return (context.root / os.path.expanduser(path)).read_bytes()
    except FileNotFoundError as error:
        raise NotFound(f"no file {path} in {context.root.name}") from error
    except OSError as error:
        raise Invalid(f"can't read {path}: {error.strerror}") from error
