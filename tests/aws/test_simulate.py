"""`homeport simulate aws` as a person types it."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import boto3
import pytest

from tests.app_repository import git, make_repository
from tests.e2e.person import FILE, Person
from tests.e2e.role import wait_for

ON_AWS = FILE.replace("interval = ", "# interval = ").replace('grace = "30s"', 'grace = "300s"') + (
    '[environments.production]\nengine = "aws"\naccount = "210987654321"\nregion = "eu-central-1"\n'
)
# a busy machine's answers to probes may be late
ON_AWS = ON_AWS.replace("[groups.web]", 'unhealthy_after = "50s"\n[groups.web]')


def person(tmp_path: Path, file: str) -> Person:
    app = make_repository("plain", tmp_path, edits={"homeport.toml": file, "Procfile": "web: exec python3 web.py\n"})
    return Person(app, tmp_path / "home", environ={"AWS_PROFILE": "none-of-theirs"})


def test_the_whole_of_an_environment_is_rehearsed_without_a_failed_request(tmp_path: Path) -> None:
    ada = person(tmp_path, ON_AWS)
    git(ada.app, "rm", "--quiet", "--cached", "homeport.toml")
    git(ada.app, "commit", "--quiet", "--message", "Without the file")
    said = ada("simulate", "aws", "--pace", "20")
    assert "homeport.toml isn't committed yet: taken as it lies there" in said
    assert "plain r3 is good" in said
    assert "plain/production is down" in said
    assert "answers at http://127.0.0.1:" in said
    assert ", 0 failed" in said
    assert not ada.home.exists()
    assert git(ada.app, "tag") == ""


def test_a_command_runs_in_it_with_its_exit_code(tmp_path: Path) -> None:
    ada = person(tmp_path, ON_AWS)
    ask = "import boto3, sys; print(boto3.client('sts').get_caller_identity()['Account']); sys.exit(7)"
    assert "210987654321" in ada("simulate", "aws", "--", sys.executable, "-c", ask, code=7)
    assert "can't run nothing-of-that-name" in ada("simulate", "aws", "--", "nothing-of-that-name", code=2)


def test_without_an_environment_on_aws_there_is_nothing_to_rehearse(tmp_path: Path) -> None:
    ada = person(tmp_path, FILE)
    said = ada("simulate", "aws", code=3)
    assert "no environment in homeport.toml is on AWS" in said
    assert "homeport init --engine aws" in said


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 0), (signal.SIGHUP, 129)])
def test_it_serves_until_it_is_interrupted(tmp_path: Path, number: signal.Signals, code: int) -> None:
    ada = person(tmp_path, FILE)
    terminal = ada.begin("simulate", "aws", "--serve", "--json", stdin=subprocess.DEVNULL)
    try:
        assert terminal.stdout is not None
        text = ""
        while not text.endswith("\n}\n"):
            line = terminal.stdout.readline()
            assert line, "it has ended"
            text += line
        variables = json.loads(text)["variables"]
        client = boto3.client(
            "s3",
            endpoint_url=variables["AWS_ENDPOINT_URL"],
            region_name=variables["AWS_REGION"],
            aws_access_key_id=variables["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=variables["AWS_SECRET_ACCESS_KEY"],
        )
        assert client.list_buckets()["Buckets"] == []
    finally:
        terminal.send_signal(number)
        terminal.communicate(timeout=120)
    assert terminal.returncode == code
    wait_for(lambda: not Path(variables["HOMEPORT_HOME"]).parent.exists(), "nothing is left", 60)
