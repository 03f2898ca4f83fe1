"""Which images run what was built on another one."""

import pytest

from homeport.plan.image import misfits

HERE = "debian-12 glibc-2.36 x86_64 python-3.11.2 python-3.12.4 node-18.19.0"


@pytest.mark.parametrize(
    "built_on",
    [
        HERE,
        "debian-12 glibc-2.36 x86_64 python-3.11.9",
        "debian-12 glibc-2.31 x86_64 python-3.12.1 python-3.9.2",
        "debian-12 glibc-2.36 x86_64 python-3.11.2 node-18.2.1",
        "debian-12 glibc-2.36 x86_64",
    ],
)
def test_runs(built_on: str) -> None:
    assert misfits(built_on, HERE) == ()


@pytest.mark.parametrize(
    ("built_on", "said"),
    [
        ("debian-13 glibc-2.36 x86_64", "it was built on debian-13, this is debian-12"),
        ("debian-12 glibc-2.36 aarch64", "it was built for aarch64, this is x86_64"),
        ("debian-12 glibc-2.41 x86_64", "it was built with glibc-2.41, here is glibc-2.36"),
        ("debian-12 musl-1.2 x86_64", "it was built with musl-1.2, here is glibc-2.36"),
        (
            "debian-12 glibc-2.36 x86_64 python-3.13.0 python-3.11.2",
            "it was built with python-3.13.0, here is python-3.11.2, python-3.12.4",
        ),
        ("debian-12 glibc-2.36 x86_64 node-20.1.0", "it was built with node-20.1.0, here is node-18.19.0"),
    ],
)
def test_does_not_run(built_on: str, said: str) -> None:
    assert misfits(built_on, HERE) == (said,)


def test_an_interpreter_that_is_not_there() -> None:
    there = "debian-12 glibc-2.36 x86_64 python-3.11.2"
    assert misfits(f"{there} node-18.1.0", there) == ("it was built with node-18.1.0, here is no node",)
