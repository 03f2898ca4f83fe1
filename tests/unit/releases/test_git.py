"""How far two commits are apart."""

from pathlib import Path

import pytest

from homeport.releases.git import apart
from tests.app_repository import commit, git


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    git(tmp_path, "init", "--quiet", "--initial-branch=main")
    return tmp_path


def test_both_ways_are_counted(repository: Path) -> None:
    first = commit(repository, {"a": "1"}, message="First")
    second = commit(repository, {"a": "2"}, message="Second: two  words")
    git(repository, "checkout", "--quiet", "-b", "other", first)
    third = commit(repository, {"b": "3"}, message="Third")
    found = apart(repository, third, second)
    assert found is not None
    assert (found.ahead, found.behind) == (1, 1)
    assert [(each.sha, each.subject) for each in found.commits] == [(second, "Second: two  words")]
    back = apart(repository, second, first)
    assert back is not None
    assert (back.ahead, back.behind, back.commits) == (0, 1, ())


def test_only_so_many_are_named(repository: Path) -> None:
    first, *_, last = (commit(repository, {"a": str(number)}, message=f"{number}") for number in range(5))
    found = apart(repository, first, last, most=2)
    assert found is not None
    assert (found.ahead, [each.subject for each in found.commits]) == (4, ["4", "3"])


def test_below_the_top_only_what_changes_something_there_counts(repository: Path) -> None:
    first = commit(repository, {"shop/a": "1"})
    commit(repository, {"blog/a": "1"})
    last = commit(repository, {"shop/a": "2"}, message="Shop")
    found = apart(repository / "shop", first, last)
    assert found is not None
    assert (found.ahead, [each.subject for each in found.commits]) == (1, ["Shop"])


@pytest.mark.parametrize("other", ["0" * 40, "tarball-123456789abc", "--all", ""])
def test_what_is_not_there_is_unknown(repository: Path, other: str) -> None:
    first = commit(repository, {"a": "1"})
    assert apart(repository, first, other) is None
    assert apart(repository / "nowhere", first, first) is None
