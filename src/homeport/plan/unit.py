"""The text of the systemd unit that brings an engine back at boot. Pure. Called by `daemon` for `engine install`.

Rules of quoting: systemd.syntax(7), systemd.service(5) (COMMAND LINES), systemd.exec(5) (Environment=).
"""

from collections.abc import Mapping, Sequence

from msgspec import Struct

_TEXT = """\
# Written by `homeport engine install`; `homeport engine uninstall` removes it.
[Unit]
Description=Homeport engine of {home}
Documentation=man:runsvdir(8)
{after}RequiresMountsFor={mounts}
# However often it fails, it is tried again.
StartLimitIntervalSec=0

[Service]
Type=exec
ExecStart={start}
ExecStop={stop}
{environment}
# Instances are processes of this unit, and they outlive the engine: only the main process is ever signalled, no number
# of tasks is too many, and one that runs out of memory takes no other along.
KillMode=process
TasksMax=infinity
OOMPolicy=continue
Delegate=yes
LimitNOFILE=524288
# A main process that was killed is started again; after `homeport engine stop`, or `down` of the last environment, it
# has ended well and stays away until the next boot or `homeport up`.
Restart=on-failure
RestartSec=1s
TimeoutStopSec=90s

[Install]
WantedBy={wanted_by}
"""
_NETWORK = "Wants=network-online.target\nAfter=network-online.target\n"


class Unit(Struct, frozen=True, kw_only=True):
    """`start`, `stop`: command lines. `user`: it belongs to a user's own systemd, not to the machine's."""

    home: str
    start: Sequence[str]
    stop: Sequence[str]
    environment: Mapping[str, str]
    user: bool


def unit_name(key: str) -> str:
    """The unit's file name. `key`: tells a home from the machine's others."""
    return f"homeport-{key}.service"


def render(unit: Unit) -> str:
    """The unit's text; paths and values come out of systemd as they went in."""
    lines = (f"Environment={_quoted(f'{name}={value}')}" for name, value in sorted(unit.environment.items()))
    return _TEXT.format(
        home="".join(each if each in '\\"' else _escaped(each) for each in unit.home),
        # a user's systemd knows nothing of the network
        after="" if unit.user else _NETWORK,
        mounts=_quoted(unit.home),
        start=_command(unit.start),
        stop=_command(unit.stop),
        environment="\n".join(lines),
        wanted_by="default.target" if unit.user else "multi-user.target",
    )


def _command(words: Sequence[str]) -> str:
    """Only a command line knows `$`."""
    return " ".join(_quoted(word).replace("$", "$$") for word in words)


def _quoted(text: str) -> str:
    """In double quotes, with C's escapes byte by byte where a character isn't plain; `%` would begin a specifier."""
    plain = "".join(_escaped(each) for each in text)
    return f'"{plain}"'


def _escaped(character: str) -> str:
    if character in '\\"':
        return f"\\{character}"
    if character == "%":
        return "%%"
    if character.isprintable():
        return character
    return "".join(f"\\x{byte:02x}" for byte in character.encode("utf-8", "surrogateescape"))
