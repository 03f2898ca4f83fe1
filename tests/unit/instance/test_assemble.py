import os
import stat
import subprocess
from pathlib import Path

import pytest

from homeport.errors import Unavailable
from homeport.instance.assemble import Assembly, assemble
from homeport.instance.service import LogLimits, service_tree


def an_assembly(directory: Path, **fields: object) -> Assembly:
    source = directory / "source"
    source.mkdir(exist_ok=True)
    (source / "app.py").write_text("print(1)")
    os.utime(source / "app.py", (1_000_000_000, 1_000_000_000))
    known: dict[str, object] = {
        "directory": directory / "instance",
        "logs": directory / "logs/web-1",
        "source": source,
        "dependencies": {},
        "processes": {"web": "python3 app.py", "worker": "true"},
        "ports": {"web": 20000, "worker": 20001},
        "environment": [("common", {"A": "1"})],
        "hostname": "web-1",
    }
    return Assembly(**(known | fields))  # type: ignore[arg-type]


def test_what_lies_on_disk(tmp_path: Path) -> None:
    spec = assemble(an_assembly(tmp_path, log_limits=LogLimits(file_bytes=5000, files=3)))
    app = tmp_path / "instance/app"
    assert (app / "app.py").stat().st_mtime == 1_000_000_000
    assert (tmp_path / "logs/web-1/worker/config").read_text() == "s5000\nn3\n"
    for name in ("web", "worker"):
        for script in ("run", "start", "finish", "once", "control/t", "log/run"):
            path = tmp_path / f"instance/service/{name}/{script}"
            assert stat.S_IMODE(path.stat().st_mode) == 0o755
            subprocess.run(["bash", "-n", path], check=True)
    assert stat.S_IMODE((tmp_path / "instance").stat().st_mode) == 0o700
    writable = {mount.target for mount in spec.mounts if mount.kind == "writable"}
    assert writable == {
        *("/app", "/home", "/tmp", "/run/homeport/log/web", "/run/homeport/log/worker"),
        *(f"/run/homeport/service/{each}/supervise" for each in ("web", "web/log", "worker", "worker/log")),
    }
    assert spec.files == {"/run/homeport/env/0-common/A": b"1"}


def test_the_limits_of_logs_can_be_read_by_the_apps_user(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        assemble(an_assembly(tmp_path))
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "logs/web-1/web/config").stat().st_mode) == 0o644


def test_again_makes_it_anew_but_keeps_home_and_logs(tmp_path: Path) -> None:
    assembly = an_assembly(tmp_path)
    assemble(assembly)
    instance = tmp_path / "instance"
    for path in ("app/left", "tmp/left", "home/left", "service/stopping", "service/web/supervise/left"):
        (instance / path).write_text("")
    (tmp_path / "logs/web-1/web/current").write_text("line")
    assemble(assembly)
    left = sorted(str(path.relative_to(instance)) for path in instance.rglob("*") if path.name in ("left", "stopping"))
    assert left == ["home/left"]
    assert (tmp_path / "logs/web-1/web/current").read_text() == "line"


def test_dependencies_are_bound_and_first_in_the_path(tmp_path: Path) -> None:
    layer = tmp_path / "layer"
    layer.mkdir()
    spec = assemble(an_assembly(tmp_path, dependencies={".venv": layer, "node_modules": layer}))
    bound = {mount.target: mount for mount in spec.mounts if mount.source == layer}
    assert {(target, mount.kind) for target, mount in bound.items()} == {
        ("/app/.venv", "read_only"),
        ("/app/node_modules", "read_only"),
    }
    assert spec.environment["PATH"].startswith("/app/.venv/bin:/app/node_modules/.bin:/usr/")


def test_a_link_in_the_source_leads_no_mount_point_astray(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    assembly = an_assembly(tmp_path, dependencies={"web/node_modules": outside})
    (assembly.source / "web").symlink_to(outside)
    assemble(assembly)
    assert list(outside.iterdir()) == []


def test_a_source_that_is_gone_is_said(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"can't assemble web-1 in .*/instance: .*No such file"):
        assemble(an_assembly(tmp_path, source=tmp_path / "missing"))


def test_a_command_line_is_kept_as_it_is() -> None:
    line = """echo 'a b' "$PORT" && exec x --y='{z}' `date`"""
    tree = service_tree(
        {"web": line},
        ports={"web": 1},
        env_directories=(),
        exact=None,
        directory="/app",
        service_directory="/s",
        log_directory="/l",
    )
    script = tree["web/start"][0].replace("exec /bin/bash -c", "printf %s").replace("cd /app && ", "")
    assert subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True).stdout == line
