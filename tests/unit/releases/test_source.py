"""Source: commits, work trees, tarballs; what can't be released, said clearly."""

import io
import os
import subprocess
import tarfile
from datetime import UTC, datetime
from pathlib import Path

import pytest

from homeport.errors import Invalid, Unavailable
from homeport.releases.source import Source, export_tree, from_tarball, list_files, open_source, read_files, tag_release
from tests.app_repository import commit, git


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    path = tmp_path / "shop"
    path.mkdir()
    git(path, "init", "--quiet", "--initial-branch=main")
    commit(path, {"Procfile": "web: run\n", "app.py": "one\n", "sub/app.py": "sub\n", ".gitignore": "*.log\n"})
    return path


def exported(source: Source, destination: Path) -> dict[str, str]:
    export_tree(source, destination)
    return {
        str(path.relative_to(destination)): path.read_text()
        for path in sorted(destination.rglob("*"))
        if path.is_file()
    }


def test_a_release_is_made_of_the_commit_not_of_the_tree(repository: Path, tmp_path: Path) -> None:
    (repository / "app.py").write_text("two\n")
    (repository / "new.py").write_text("new\n")
    source = open_source(repository)
    assert (source.commit, source.subject, source.dirty) == (git(repository, "rev-parse", "HEAD"), "Change", False)
    assert source.uncommitted
    assert source.committed_at == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert read_files(source, ["app.py", "new.py", "none"]) == {"app.py": "one\n"}
    assert list_files(source) == [".gitignore", "Procfile", "app.py", "sub/app.py"]
    assert exported(source, tmp_path / "out")["app.py"] == "one\n"


def test_dirty_is_what_lies_there_except_what_git_ignores(repository: Path, tmp_path: Path) -> None:
    (repository / "app.py").write_text("two\n")
    (repository / "new.py").write_text("new\n")
    (repository / "debug.log").write_text("x")
    (repository / "Procfile").unlink()
    (repository / "link").symlink_to("new.py")
    source = open_source(repository, dirty=True)
    assert source.dirty
    assert source.committed_at > datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    files = exported(source, tmp_path / "out")
    assert files == {
        ".gitignore": "*.log\n",
        "app.py": "two\n",
        "link": "new\n",
        "new.py": "new\n",
        "sub/app.py": "sub\n",
    }
    assert (tmp_path / "out/link").is_symlink()
    assert list_files(source) == sorted(files)
    assert read_files(source, ["*"]) == files


def test_asking_for_a_dirty_tree_that_is_clean(repository: Path) -> None:
    source = open_source(repository, dirty=True)
    assert (source.dirty, source.uncommitted) == (False, False)


def test_an_older_commit(repository: Path, tmp_path: Path) -> None:
    first = git(repository, "rev-parse", "HEAD")
    commit(repository, {"app.py": "two\n"})
    assert exported(open_source(repository, commit=first[:8]), tmp_path / "a")["app.py"] == "one\n"
    assert exported(open_source(repository, commit="main"), tmp_path / "b")["app.py"] == "two\n"
    with pytest.raises(Invalid, match="no commit 'v9'"):
        open_source(repository, commit="v9")
    with pytest.raises(Invalid, match="one of the two"):
        open_source(repository, commit="main", dirty=True)


def test_an_app_in_a_directory_of_a_repository(repository: Path, tmp_path: Path) -> None:
    source = open_source(repository / "sub")
    assert list_files(source) == ["app.py"]
    assert read_files(source, ["*.py"]) == {"app.py": "sub\n"}
    assert exported(source, tmp_path / "a") == {"app.py": "sub\n"}
    (repository / "app.py").write_text("elsewhere\n")
    assert not open_source(repository / "sub").uncommitted
    (repository / "sub/new.py").write_text("new\n")
    assert exported(open_source(repository / "sub", dirty=True), tmp_path / "b") == {
        "app.py": "sub\n",
        "new.py": "new\n",
    }
    (repository / "later").mkdir()
    with pytest.raises(Invalid, match="has nothing in"):
        open_source(repository / "later")


def test_any_name_and_any_byte(repository: Path, tmp_path: Path) -> None:
    name = "sub/" + os.fsdecode("é ".encode() + b"\xff")
    (repository / name).write_bytes(b"\xff\r\n\0")
    commit(repository, {"a b.txt": "x"})
    source = open_source(repository)
    assert read_files(source, [name, "a b.txt"]) == {name: "\udcff\r\n\0", "a b.txt": "x"}
    export_tree(source, tmp_path / "out")
    assert (tmp_path / "out" / name).read_bytes() == b"\xff\r\n\0"


def test_modes_and_links_are_kept(repository: Path, tmp_path: Path) -> None:
    (repository / "run").write_text("#!/bin/sh\n")
    (repository / "run").chmod(0o755)
    (repository / "config").symlink_to("sub")
    (repository / "settings.py").symlink_to("sub/app.py")
    commit(repository, {})
    source = open_source(repository)
    assert read_files(source, ["settings.py", "config"]) == {"settings.py": "sub\n"}
    export_tree(source, tmp_path / "out")
    assert os.access(tmp_path / "out/run", os.X_OK)
    assert os.readlink(tmp_path / "out/config") == "sub"


@pytest.mark.parametrize("dirty", [False, True])
def test_links_out_of_the_tree_are_named(repository: Path, tmp_path: Path, dirty: bool) -> None:
    (repository / "shared").symlink_to("../elsewhere")
    (repository / "sub/secret").symlink_to("/etc/shadow")
    if not dirty:
        commit(repository, {})
    source = open_source(repository, dirty=dirty)
    with pytest.raises(Invalid) as caught:
        export_tree(source, tmp_path / "out")
    assert set(caught.value.details) == {
        "shared -> ../elsewhere leaves the app",
        "sub/secret -> /etc/shadow leaves the app",
    }
    assert str(repository) in caught.value.message
    assert read_files(source, ["shared", "sub/secret"]) == {}


def test_large_files_are_told_not_refused(repository: Path, tmp_path: Path) -> None:
    with (repository / "video.mp4").open("wb") as file:
        file.truncate(200_000_000)
    source = open_source(repository, dirty=True)
    notices = export_tree(source, tmp_path / "out")
    assert notices == ("video.mp4 is 200 MB: every instance gets a copy",)


# --- what is no source ------------------------------------------------------------------------------------------------


def test_not_a_repository(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="isn't in a git repository") as caught:
        open_source(tmp_path)
    assert caught.value.hint
    assert "git init" in caught.value.hint
    with pytest.raises(Invalid, match="isn't a directory"):
        open_source(tmp_path / "none")


def test_no_commits(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet")
    with pytest.raises(Invalid, match="has no commits") as caught:
        open_source(tmp_path)
    assert caught.value.hint == "git add -A && git commit -m 'first'"


def test_a_repository_that_git_refuses(repository: Path) -> None:
    (repository / ".git/HEAD").write_text("rubbish")
    with pytest.raises(Invalid, match="git refuses the repository"):
        open_source(repository)


def test_git_is_missing(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(Unavailable, match="git isn't installed") as caught:
        open_source(repository)
    assert caught.value.hint == "apt-get install git"


def test_inside_a_git_hook_another_repository_is_still_meant(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    monkeypatch.setenv("GIT_INDEX_FILE", "/nowhere/index")
    assert open_source(repository).subject == "Change"


# --- submodules -------------------------------------------------------------------------------------------------------


def with_submodule(repository: Path, tmp_path: Path) -> None:
    library = tmp_path / "library"
    library.mkdir()
    git(library, "init", "--quiet", "--initial-branch=main")
    commit(library, {"lib.py": "lib\n"})
    git(repository, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(library), "vendor/lib")
    commit(repository, {})


@pytest.mark.parametrize("dirty", [False, True])
def test_submodules_that_are_there_are_included(repository: Path, tmp_path: Path, dirty: bool) -> None:
    with_submodule(repository, tmp_path)
    if dirty:
        (repository / "vendor/lib/new.py").write_text("new\n")
    files = exported(open_source(repository, dirty=dirty), tmp_path / "out")
    assert files["vendor/lib/lib.py"] == "lib\n"
    assert ("vendor/lib/new.py" in files) == dirty


def test_submodules_that_are_not_there_are_named(repository: Path, tmp_path: Path) -> None:
    with_submodule(repository, tmp_path)
    git(repository, "submodule", "--quiet", "deinit", "--force", "--all")
    with pytest.raises(Invalid, match=r"submodule vendor/lib of .* isn't there") as caught:
        export_tree(open_source(repository), tmp_path / "out")
    assert caught.value.hint == f"git -C {repository} submodule update --init --recursive"


# --- tarballs ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["tar", "tar.gz", "tar.xz"])
@pytest.mark.parametrize("prefix", ["", "shop-1.0/"])
def test_a_tarball_of_git(repository: Path, tmp_path: Path, suffix: str, prefix: str) -> None:
    path = tmp_path / f"shop.{suffix}"
    plain = tmp_path / "plain.tar"
    git(repository, "archive", f"--prefix={prefix}", f"--output={plain}", "HEAD")
    if suffix == "tar":
        plain.rename(path)
    else:
        with path.open("wb") as file:
            subprocess.run(("gzip" if suffix == "tar.gz" else "xz", "-c", str(plain)), stdout=file, check=True)
    source = from_tarball(path)
    assert source.commit == git(repository, "rev-parse", "HEAD")
    assert source.committed_at == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert list_files(source) == [".gitignore", "Procfile", "app.py", "sub/app.py"]
    assert read_files(source, ["app.py", "sub/*"]) == {"app.py": "one\n", "sub/app.py": "sub\n"}
    assert exported(source, tmp_path / "out") == exported(open_source(repository), tmp_path / "other")
    assert tag_release(source, "shop", "staging", 1) is None


def test_a_tarball_of_anything_else(tmp_path: Path) -> None:
    path = tmp_path / "shop.tar"
    with tarfile.open(path, "w") as archive:
        info = tarfile.TarInfo("./app.py")
        info.size, info.mtime = 4, 1_700_000_000
        archive.addfile(info, io.BytesIO(b"one\n"))
    source = from_tarball(path)
    assert source.commit.startswith("tarball-")
    assert source.commit == from_tarball(path).commit
    assert exported(source, tmp_path / "out") == {"app.py": "one\n"}
    assert read_files(source, ["app.py"]) == {"app.py": "one\n"}


def test_what_is_no_tarball(tmp_path: Path) -> None:
    (tmp_path / "x.tar.gz").write_text("rubbish")
    with pytest.raises(Invalid, match="isn't a whole tar archive"):
        from_tarball(tmp_path / "x.tar.gz")
    with pytest.raises(Unavailable, match="No such file"):
        from_tarball(tmp_path / "none.tar.gz")


# --- tags -------------------------------------------------------------------------------------------------------------


def test_a_release_of_a_clean_tree_is_tagged(repository: Path) -> None:
    source = open_source(repository)
    assert tag_release(source, "shop", "staging", 3) is None
    assert git(repository, "rev-parse", "homeport/staging/r3") == source.commit
    assert tag_release(source, "shop", "staging", 3) is None
    commit(repository, {"app.py": "two\n"})
    notice = tag_release(open_source(repository), "shop", "staging", 3)
    assert notice
    assert "homeport/staging/r3" in notice
    assert git(repository, "rev-parse", "homeport/staging/r3") == source.commit


def test_a_release_of_a_dirty_tree_is_not(repository: Path) -> None:
    (repository / "app.py").write_text("two\n")
    assert tag_release(open_source(repository), "shop", "staging", 3) is None
    assert git(repository, "tag") == ""


def test_a_tag_never_fails_a_deploy(repository: Path) -> None:
    source = open_source(repository)
    (repository / ".git").rename(repository / ".gone")
    notice = tag_release(source, "shop", "staging", 3)
    assert notice
    assert "isn't tagged" in notice


def test_patterns_cross_directories_and_brackets_are_exact(repository: Path) -> None:
    commit(repository, {"pages/[id].html": "x", "config/production/web/env": "A=1"})
    source = open_source(repository)
    assert set(read_files(source, ["config/*", "pages/[id].html"])) == {"config/production/web/env", "pages/[id].html"}
