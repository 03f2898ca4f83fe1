"""Modules and templates in a bucket: read, pinned, kept; and what is said where that can't be."""

import hashlib
import io
import zipfile
from datetime import timedelta
from pathlib import Path

import pytest

from homeport.errors import HomeportError, Invalid, NotFound, Unavailable
from homeport.model.stack_plan import Action
from homeport.stacks.apply import Outcome
from homeport.stacks.compose import Composed, Composer
from homeport.stacks.remote import Remote
from homeport.stores import s3
from tests.bucket import Bucket
from tests.stack_project import SETTINGS, Site

TOPIC = """
Parameters: {Name: {Type: String}}
Modules: {Queue: {Source: parts/queue.yaml, Properties: {Name: !Ref Name}}}
Resources: {Topic: {Type: "AWS::SNS::Topic", Properties: {TopicName: !Ref Name}}}
"""
QUEUE = """
Parameters: {Name: {Type: String}}
Resources: {It: {Type: "AWS::SQS::Queue", Properties: {QueueName: !Ref Name}}}
"""
MAIN = "Modules: {A: {Source: '%s', Properties: {Name: a}}}\n"


def composed(directory: Path, source: str, kept: Path | None = None) -> Composed:
    (directory / "main.yaml").write_text(MAIN % source)
    return Composer(directory, remote=Remote(kept)).compose("main.yaml")


def pinned(bucket: Bucket, key: str, text: str) -> str:
    bucket.put(key, text.encode())
    return f"{bucket.url(key)}#sha256={hashlib.sha256(text.encode()).hexdigest()}"


def test_modules_and_what_they_are_made_of(bucket: Bucket, tmp_path: Path) -> None:
    bucket.put("kit/topic.yaml", TOPIC.encode())
    bucket.put("kit/parts/queue.yaml", QUEUE.encode())
    made = composed(tmp_path, bucket.url("kit/topic.yaml"))
    assert list(made.body["Resources"]) == ["ATopic", "AQueueIt"]
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("parts/queue.yaml", QUEUE)
    bucket.put("kit.zip", packed.getvalue())
    text = f"Packages: {{kit: {{Source: '{bucket.url('kit.zip')}'}}}}\n{MAIN % '$kit/parts/queue.yaml'}"
    (tmp_path / "packed.yaml").write_text(text)
    assert list(Composer(tmp_path).compose("packed.yaml").body["Resources"]) == ["AIt"]


def test_what_is_pinned_is_asked_for_once(bucket: Bucket, tmp_path: Path) -> None:
    source, kept = pinned(bucket, "queue.yaml", QUEUE), tmp_path / "home" / "modules"
    first = composed(tmp_path, source, kept)
    (copy,) = kept.iterdir()
    with bucket.gone():
        assert composed(tmp_path, source, kept).text == first.text
        copy.write_text("spoiled")
        with pytest.raises(Unavailable, match="there is no bucket"):
            composed(tmp_path, source, kept)
        with pytest.raises(Unavailable, match="there is no bucket"):
            composed(tmp_path, source)
    assert composed(tmp_path, source, kept).text == first.text
    assert copy.read_text() == QUEUE
    copy.unlink()
    bucket.put("queue.yaml", QUEUE.replace("Name", "Title").encode())
    with pytest.raises(Invalid, match=r"queue.yaml isn't what was pinned: its SHA-256 is [0-9a-f]{64}") as refused:
        composed(tmp_path, source, kept)
    assert refused.value.hint is not None
    assert list(kept.iterdir()) == []


@pytest.mark.parametrize(
    ("source", "kind", "expected"),
    [
        ("s3://BUCKET/none.yaml", NotFound, r"main.yaml: there is no s3://BUCKET/none.yaml"),
        ("s3://not-there/none.yaml", Unavailable, r"main.yaml: .*there is no bucket not-there"),
        ("s3://BUCKET", Invalid, r"main.yaml: expected s3://bucket/key, found 's3://BUCKET'"),
        ("s3://BUCKET/a.yaml#sha1=0", Invalid, "expected #sha256= and 64 hexadecimal digits, found #sha1=0"),
        ("s3://BUCKET/a.py", Invalid, "programs are only run from files of the project"),
        ("s3://BUCKET/broken.yaml", Invalid, r"s3://BUCKET/broken.yaml:2:1: not YAML"),
    ],
)
def test_what_cant_be_read(
    bucket: Bucket, tmp_path: Path, source: str, kind: type[HomeportError], expected: str
) -> None:
    bucket.put("broken.yaml", b"{")
    with pytest.raises(kind, match=expected.replace("BUCKET", bucket.name)):
        composed(tmp_path, source.replace("BUCKET", bucket.name))


def test_no_credentials(bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    with pytest.raises(Invalid, match="AWS_SECRET_ACCESS_KEY is set in the environment, and AWS_ACCESS_KEY_ID isn't"):
        composed(tmp_path, bucket.url("a.yaml"))
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setattr(s3, "PATIENCE", timedelta(0))
    with pytest.raises(Unavailable, match=r"main.yaml: .*there are no credentials") as refused:
        composed(tmp_path, bucket.url("a.yaml"))
    assert "AWS_PROFILE" in (refused.value.hint or "")


def test_a_stack_whose_templates_lie_in_a_bucket(bucket: Bucket, tmp_path: Path) -> None:
    outer = "Resources: {In: {Type: 'AWS::CloudFormation::Stack', Properties: {TemplateURL: '%s'}}}\n"
    bucket.put("site/main.yaml", (outer % "i.y").encode())
    bucket.put("site/i.y", b"Resources: {Topic: {Type: 'AWS::SNS::Topic'}}")
    files = {
        "config.yaml": f"{SETTINGS}bucket: templates\n",
        "site.yaml": f"template: {bucket.url('site/main.yaml')}\n",
        "other.yaml": "template: other.template\n",
        "other.template": outer % bucket.url("site/i.y"),
    }
    site = Site(tmp_path, files)
    for id in ("site", "other"):
        assert [each.logical_id for each in site.one(id).resources] == ["In", "In/Topic"]
    assert {each.outcome for each in site.apply().values()} == {Outcome.DONE}
    assert {each.action for each in site.plan().stacks} == {Action.NONE}
    assert len(site.cloud.world.objects) == 1
    site.edit("site.yaml", "main.yaml", "mian.yaml")
    (problem,) = site.plan().problems
    assert problem.message == f"the template: there is no {bucket.url('site/mian.yaml')}"
