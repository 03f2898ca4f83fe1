"""Packing: the same tree gives the same bytes; what goes in comes out."""

import os
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some

from homeport.errors import Invalid
from homeport.instance.unpack import unpack, verify
from homeport.releases.archive import link_problem, relative_target
from homeport.releases.pack import pack

AT = datetime(2026, 1, 2, tzinfo=UTC)


def make_tree(root: Path) -> Path:
    (root / "bin").mkdir(parents=True)
    (root / "bin/run").write_text("#!/bin/sh\n")
    (root / "bin/run").chmod(0o4711)
    (root / "Procfile").write_text("web: bin/run\n")
    (root / "é name with blanks").write_bytes(b"\xff\0")
    (root / ("long" * 50)).write_text("x")
    (root / os.fsdecode(b"bytes-\xff")).write_text("x")
    (root / ".venv/bin").mkdir(parents=True)
    (root / ".venv/bin/python").symlink_to("/usr/bin/python3")
    (root / "here").symlink_to("/app/bin/run")
    (root / "empty").mkdir(mode=0o700)
    os.link(root / "Procfile", root / "bin/Procfile")
    return root


def names(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*"))


def test_the_same_tree_gives_the_same_bytes(tmp_path: Path) -> None:
    first = pack(make_tree(tmp_path / "one"), tmp_path / "one.tar.zst", modified_at=AT)
    other = make_tree(tmp_path / "else/where")
    for path in other.rglob("*"):
        os.utime(path, (1, 1), follow_symlinks=False)
    if os.getuid() == 0:
        shutil.chown(other / "Procfile", 4711, 4711)
    second = pack(other, tmp_path / "two.tar.zst", modified_at=AT)
    assert first == second
    assert (tmp_path / "one.tar.zst").stat().st_size == first.size_bytes
    verify(tmp_path / "two.tar.zst", first.sha256)


def test_what_goes_in_comes_out(tmp_path: Path) -> None:
    root = make_tree(tmp_path / "one")
    pack(root, tmp_path / "layer", modified_at=AT)
    unpack(tmp_path / "layer", tmp_path / "out")
    assert names(tmp_path / "out") == names(root)
    assert (tmp_path / "out/bin/run").stat().st_mode & 0o7777 == 0o755
    assert (tmp_path / "out/empty").stat().st_mode & 0o7777 == 0o755
    assert (tmp_path / "out/Procfile").stat().st_mtime == AT.timestamp()
    assert (tmp_path / "out/bin/Procfile").read_text() == "web: bin/run\n"
    assert os.readlink(tmp_path / "out/.venv/bin/python") == "/usr/bin/python3"
    assert (tmp_path / "out/here").read_text() == "#!/bin/sh\n"


def test_a_part_and_the_rest_make_the_whole(tmp_path: Path) -> None:
    root = make_tree(tmp_path / "one")
    (root / "vendor/bundle/gem").mkdir(parents=True)
    (root / "vendor/own").write_text("x")
    parts = (".venv", "vendor/bundle")
    pack(root, tmp_path / "a", modified_at=AT, only=parts)
    pack(root, tmp_path / "b", modified_at=AT, without=parts)
    unpack(tmp_path / "a", tmp_path / "out/a")
    unpack(tmp_path / "b", tmp_path / "out/b")
    assert names(tmp_path / "out/a") == [
        ".venv",
        ".venv/bin",
        ".venv/bin/python",
        "vendor",
        "vendor/bundle",
        "vendor/bundle/gem",
    ]
    assert sorted({*names(tmp_path / "out/a"), *names(tmp_path / "out/b")}) == names(root)
    assert "vendor/own" in names(tmp_path / "out/b")
    assert "vendor/bundle" not in names(tmp_path / "out/b")


def test_links_out_and_special_files_are_refused_by_name(tmp_path: Path) -> None:
    root = make_tree(tmp_path / "one")
    (root / "bin/secret").symlink_to("/etc/shadow")
    (root / "up").symlink_to("../../x")
    os.mkfifo(root / "pipe")
    with pytest.raises(Invalid) as caught:
        pack(root, tmp_path / "layer", modified_at=AT)
    assert caught.value.details == (
        "bin/secret -> /etc/shadow leaves the app",
        "pipe is a socket, a pipe or a device",
        "up -> ../../x leaves the app",
    )
    assert not (tmp_path / "layer").exists()


segments = some.sampled_from(["a", "b", "..", ".", "", "usr", "app"])


@given(
    some.lists(some.sampled_from(["a", "b"]), min_size=1, max_size=3), some.lists(segments, max_size=6), some.booleans()
)
def test_a_link_that_may_be_there_stays_inside(name: list[str], target: list[str], absolute: bool) -> None:
    text = ("/" if absolute else "") + "/".join(target)
    path = "/".join(name)
    relative = relative_target(path, text)
    if link_problem(path, relative) is not None:
        return
    # normpath keeps two slashes at the beginning, which Linux takes for one
    whole = os.path.normpath(os.path.join("/app", os.path.dirname(path), relative)).replace("//", "/")
    assert whole == "/app" or whole.startswith(("/app/", "/usr/")) or whole == "/usr"
    if text.startswith("/app"):
        assert whole == os.path.normpath(text)
