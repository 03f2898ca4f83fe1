"""The unpack filter against crafted archives, and its way of leaving a complete directory or none."""

import hashlib
import io
import os
import signal
import subprocess
import sys
import tarfile
import threading
from pathlib import Path

import pytest
import zstandard

from homeport.errors import Failed, Invalid, Unavailable
from homeport.instance.unpack import unpack, verify

Member = tuple[tarfile.TarInfo, bytes]


def member(
    name: str, content: bytes = b"", *, kind: bytes = tarfile.REGTYPE, link: str = "", mode: int = 0o644
) -> Member:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode, info.size, info.mtime = kind, link, mode, len(content), 1_700_000_000
    return info, content


def link(name: str, target: str) -> Member:
    return member(name, kind=tarfile.SYMTYPE, link=target)


def hard(name: str, target: str) -> Member:
    return member(name, kind=tarfile.LNKTYPE, link=target)


def layer(path: Path, *members: Member) -> Path:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for info, content in members:
            archive.addfile(info, io.BytesIO(content))
    path.write_bytes(zstandard.compress(stream.getvalue()))
    return path


def test_a_layer_comes_out_as_it_is(tmp_path: Path) -> None:
    archive = layer(
        tmp_path / "layer",
        member("app.py", b"print(1)"),
        member("bin", kind=tarfile.DIRTYPE),
        member("bin/run", b"#!/bin/sh", mode=0o755),
        member("no/parent/listed", b"x"),
        link(".venv/bin/python", "/usr/bin/python3"),
        link(".venv/lib64", "lib"),
        link("bin/up", "../app.py"),
        hard("bin/again", "app.py"),
    )
    unpack(archive, tmp_path / "out", owner=4711 if os.getuid() == 0 else None)
    out = tmp_path / "out"
    assert (out / "app.py").read_bytes() == (out / "bin/up").read_bytes() == (out / "bin/again").read_bytes()
    assert (out / "bin/run").stat().st_mode & 0o7777 == 0o755
    assert (out / "app.py").stat().st_mode & 0o7777 == 0o644
    assert (out / "app.py").stat().st_mtime == 1_700_000_000
    assert os.readlink(out / ".venv/bin/python") == "/usr/bin/python3"
    owner = 4711 if os.getuid() == 0 else os.getuid()
    assert {path.lstat().st_uid for path in [out, *out.rglob("*")]} == {owner}


ATTACKS = {
    "absolute path": (member("/etc/evil", b"x"), "/etc/evil"),
    "path up": (member("../evil", b"x"), "../evil"),
    "path up in the middle": (member("a/../../evil", b"x"), "a/../../evil"),
    "link up": (link("a", "../outside"), "a -> ../outside"),
    "link up from below": (link("a/b", "../../outside"), "a/b -> ../../outside"),
    "link up after a name": (link("a", "b/../../outside"), "a -> b/../../outside"),
    "link to the host": (link("a", "/etc/shadow"), "a -> /etc/shadow"),
    "link through the image": (link("a", "/usr/../etc/shadow"), "a -> /usr/../etc/shadow"),
    "link to the root": (link("a", "/"), "a -> /"),
    "empty link": (link("a", ""), "a -> "),
    "hard link to the host": (hard("a", "/etc/shadow"), "a is a hard link"),
    "hard link up": (hard("a", "../evil"), "a is a hard link"),
    "hard link to nothing": (hard("a", "none"), "a is a hard link"),
    "hard link to a link": (hard("a", "inner"), "a is a hard link"),
    "device": (member("null", kind=tarfile.CHRTYPE), "null is a device"),
    "block device": (member("disk", kind=tarfile.BLKTYPE), "disk is a device"),
    "pipe": (member("pipe", kind=tarfile.FIFOTYPE), "pipe is a device"),
    "through a link": (member("usr/evil", b"x"), "usr/evil lies below"),
    "over a link": (member("usr", b"x"), "usr is there twice"),
    "directory over a link": (member("usr", kind=tarfile.DIRTYPE), "usr is there twice"),
    "below a file": (member("file/evil", b"x"), "file/evil lies below"),
    "twice": (member("./file", b"y"), "file is there twice"),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_is_refused_by_name_and_leaves_nothing(tmp_path: Path, name: str) -> None:
    evil, said = ATTACKS[name]
    (tmp_path / "outside").mkdir()
    inside = tmp_path / "machine"
    inside.mkdir()
    archive = layer(
        tmp_path / "layer", link("inner", "file"), member("file", b"x"), link("usr", "/usr"), evil, member("last", b"x")
    )
    with pytest.raises(Invalid) as caught:
        unpack(archive, inside / "out")
    assert said in caught.value.message
    assert any(said in line for line in caught.value.details)
    assert list(inside.iterdir()) == []
    assert list((tmp_path / "outside").iterdir()) == []
    assert not any(Path(path).exists() for path in ("/etc/evil", "/usr/evil", tmp_path / "evil"))


def test_every_refused_member_is_named(tmp_path: Path) -> None:
    archive = layer(tmp_path / "layer", member("../a", b""), link("b", "/etc/passwd"), member("c", b""))
    with pytest.raises(Invalid, match="2 members") as caught:
        unpack(archive, tmp_path / "out")
    assert len(caught.value.details) == 2


def test_set_id_and_writable_for_all_are_dropped(tmp_path: Path) -> None:
    archive = layer(tmp_path / "layer", member("su", b"x", mode=0o6777), member("d", kind=tarfile.DIRTYPE, mode=0o7777))
    unpack(archive, tmp_path / "out")
    assert [(tmp_path / "out" / each).stat().st_mode & 0o7777 for each in ("su", "d")] == [0o755, 0o755]


def test_a_chain_of_links_ends_inside_or_in_the_image(tmp_path: Path) -> None:
    # each may exist by itself; none of them can leave, since steps up stand only at a target's beginning
    archive = layer(tmp_path / "layer", member("d/e/f", b"x"), link("d/e/top", "../.."), link("x", "d/e/top/d/e/f"))
    unpack(archive, tmp_path / "out")
    assert (tmp_path / "out/x").resolve() == tmp_path / "out/d/e/f"


@pytest.mark.parametrize("damage", ["cut", "flipped", "rubbish", "empty"])
def test_a_damaged_archive(tmp_path: Path, damage: str) -> None:
    archive = layer(tmp_path / "layer", member("a", os.urandom(300_000)), member("b", b"y"))
    data = bytearray(archive.read_bytes())
    if damage == "flipped":
        data[6] ^= 0xFF
    archive.write_bytes({"cut": data[:100_000], "flipped": data, "rubbish": b"not a tar", "empty": b""}[damage])
    with pytest.raises(Invalid, match="isn't a whole tar archive"):
        unpack(archive, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["layer"]


def test_an_archive_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="layer"):
        unpack(tmp_path / "layer", tmp_path / "out")


def test_what_is_there_is_complete_and_left_alone(tmp_path: Path) -> None:
    archive = layer(tmp_path / "layer", member("a", b"1"))
    unpack(archive, tmp_path / "out")
    (tmp_path / "out/a").write_text("2")
    unpack(archive, tmp_path / "out")
    assert (tmp_path / "out/a").read_text() == "2"


def test_many_at_once(tmp_path: Path) -> None:
    archive = layer(tmp_path / "layer", *(member(f"f{n}", b"x" * 1000) for n in range(50)))
    threads = [threading.Thread(target=unpack, args=(archive, tmp_path / "layers/out")) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [path.name for path in (tmp_path / "layers").iterdir()] == ["out"]
    assert len(list((tmp_path / "layers/out").iterdir())) == 50


@pytest.mark.parametrize("point", ["archive.write_file:after", "unpack.place:before", "unpack.place:after"])
def test_killed_on_the_way_the_next_one_cleans_up(tmp_path: Path, point: str) -> None:
    archive = layer(tmp_path / "layer", member("a", b"1"), member("b", b"2"))
    script = (
        "import sys; from pathlib import Path; from homeport.instance.unpack import unpack;"
        "unpack(Path(sys.argv[1]), Path(sys.argv[2]))"
    )
    command = (sys.executable, "-c", script, str(archive), str(tmp_path / "layers/out"))
    done = subprocess.run(command, env={**os.environ, "HOMEPORT_CRASH": point}, check=False)
    assert done.returncode == -signal.SIGKILL
    assert (tmp_path / "layers/out").exists() == (point == "unpack.place:after")
    unpack(archive, tmp_path / "layers/out")
    assert [path.name for path in (tmp_path / "layers").iterdir()] == ["out"]
    assert sorted(path.name for path in (tmp_path / "layers/out").iterdir()) == ["a", "b"]


def test_verify(tmp_path: Path) -> None:
    path = tmp_path / "layer"
    path.write_bytes(b"whole")
    digest = hashlib.sha256(b"whole").hexdigest()
    verify(path, digest)
    path.write_bytes(b"Whole")
    with pytest.raises(Failed, match=f"expected {digest}"):
        verify(path, digest)
    with pytest.raises(Unavailable):
        verify(tmp_path / "none", digest)
