"""What stands behind `!name` in settings: each resolver, nested ones, secrets, mistakes with their place."""

import base64
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import pytest

from homeport.model.secret import Secret
from homeport.model.stack import Unknown, Value
from homeport.plan.stack.text import read
from homeport.stacks.resolve_local import ARMOR
from homeport.stacks.resolver import BUILT_IN, Context, Resolver, resolve
from homeport.stores.encryption import AgeEncryption
from homeport.testing.lookup import FakeLookup
from tests.stack_project import SETTINGS, Site

CLOUD = {
    "parameter /plain": "v",
    "parameter /hidden": Secret("s"),
    "secret db user": "u",
    "image of self name=web-*": "ami-1",
    "image of a,b tag:role=web,proxy": "ami-2",
    "container shop/web": "repo@sha256:1",
    "container shop/web live": "repo@sha256:2",
    "security group web": "sg-1",
    "topic alarms": "arn:topic",
    "certificate www.example.com": "arn:certificate",
    "vpc Name=main": "vpc-1",
    "subnets tier=public": "subnet-1,subnet-2",
}


@pytest.fixture
def ask(tmp_path: Path) -> Callable[[str], Value]:
    """From a value as it is written to what it comes to."""
    site = Site(tmp_path, {"config.yaml": f"{SETTINGS}variables: {{domain: example.com}}\n", "a.yaml": "template: t\n"})
    encryption = AgeEncryption(tmp_path / "identity")
    packed = encryption.encrypt(Secret("swordfish\n"))
    armored = f"{ARMOR}\n{packed}\n{ARMOR.replace('BEGIN', 'END')}\n"
    site.write({"files/motd": "hello\n", "files/armored.age": armored})
    (site.root / "files/secret.age").write_bytes(base64.b64decode(packed))
    outputs = {"network/Vpc": "vpc-9", "network/Open": Unknown(("network/Open",))}
    context = Context(
        stack=site.project.stack("a"),
        root=site.root,
        environ={"HOME": "/home/ann", "PATH": "/usr/bin:/bin"},
        output=lambda stack, name: outputs[f"{stack}/{name}"],
        external_output=lambda stack, name, region, role: f"{stack} {name} {region} {role}",
        lookup=lambda: FakeLookup(CLOUD, lambda _: None),
        encryption=lambda: encryption,
    )
    return lambda text: resolve(read(text, "a.yaml"), context)


@pytest.mark.parametrize(
    ("written", "found"),
    [
        ("plain", "plain"),
        ("[1, true, no]", ["1", "true", "no"]),
        ("!env HOME", "/home/ann"),
        ("!env {name: NONE, default: d}", "d"),
        ("!file files/motd", "hello\n"),
        ("!command [sh, -c, 'echo $HOME']", "/home/ann"),
        ("!command {run: printf a}", "a"),
        ("!join ['-', [a, !env HOME]]", "a-/home/ann"),
        ("!split [',', 'a,b']", ["a", "b"]),
        ("!select [-1, !split [',', 'a,b']]", "b"),
        ('!sub "${stack}.${domain}/${environment}${!x}"', "a.example.com/${x}"),
        ("!sub ['${x}-y', {x: !env HOME}]", "/home/ann-y"),
        ("!stack_output network/Vpc", "vpc-9"),
        ("!stack_output_external other/Out", "other Out  "),
        ("!stack_output_external {stack: o, output: P, region: eu-west-2, role: r}", "o P eu-west-2 r"),
        ("!ssm_parameter /plain", "v"),
        ("!latest_ami {filters: {name: 'web-*'}}", "ami-1"),
        ("!latest_ami {filters: {'tag:role': [web, proxy]}, owners: [a, b]}", "ami-2"),
        ("!latest_container shop/web", "repo@sha256:1"),
        ("!latest_container {repository: shop/web, tag: live}", "repo@sha256:2"),
        ("!security_group web", "sg-1"),
        ("!sns_topic alarms", "arn:topic"),
        ("!acm_certificate www.example.com", "arn:certificate"),
        ("!vpc {Name: main}", "vpc-1"),
        ("!subnets {tags: {tier: public}}", ["subnet-1", "subnet-2"]),
    ],
)
def test_what_each_comes_to(ask: Callable[[str], Value], written: str, found: Value) -> None:
    assert ask(written) == found


@pytest.mark.parametrize(
    ("written", "found"),
    [
        ("!ssm_parameter /hidden", "s"),
        ("!secrets_manager {id: db, key: user}", "u"),
        ("!encrypted_file files/secret.age", "swordfish"),
        ("!encrypted_file files/armored.age", "swordfish"),
        ("!env {name: HOME, secret: true}", "/home/ann"),
        ("!join [':', [a, !ssm_parameter /hidden]]", "a:s"),
        ("!sub ['${p}!', {p: !ssm_parameter /hidden}]", "s!"),
    ],
)
def test_secrets_stay_secrets(ask: Callable[[str], Value], written: str, found: str) -> None:
    value = ask(written)
    assert isinstance(value, Secret)
    assert (value.reveal(), str(value)) == (found, "***")


def test_what_depends_on_the_unknown_is_unknown(ask: Callable[[str], Value]) -> None:
    assert ask("!join ['-', [a, !stack_output network/Open]]") == Unknown(("network/Open",))


def test_all_are_tried() -> None:
    tried = " ".join(
        f"{mark.args[1]}" for test in (test_what_each_comes_to, test_secrets_stay_secrets) for mark in test.pytestmark
    )
    assert [each for each in BUILT_IN if f"!{each} " not in tried] == []


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("!env NONE", r"a.yaml:1:1: !env: the environment has no variable NONE"),
        ("!env {nmae: HOME}", r'no argument .nmae., did you mean "name"'),
        ("!evn HOME", r'a.yaml:1:1: no resolver !evn, did you mean "env"'),
        ("!file none", r"no file none in stacks"),
        ("!command [false]", r"!command: false ended with 1"),
        ("!command [no-such-program]", r"can't run no-such-program"),
        ("!select [5, [a]]", r"there is no value 5 among 1"),
        ("!sub '${domian}'", r'no variable .domian., did you mean "domain"'),
        ("!join [a]", r"expected \[separator, \[values\]\]"),
        ("!stack_output network", r"expected !stack_output stack/Output, found .network."),
        ("!ssm_parameter /none", r"!ssm_parameter: no parameter /none"),
        ("!encrypted_file files/motd", r"a.yaml:1:1: !encrypted_file: "),
    ],
)
def test_mistakes_have_a_place(ask: Callable[[str], Value], written: str, expected: str) -> None:
    with pytest.raises(Exception, match=expected):
        ask(written)


def test_others_come_by_entry_points(ask: Callable[[str], Value], monkeypatch: pytest.MonkeyPatch) -> None:
    def shout(argument: Value, context: Context) -> Value:
        return f"{argument}!".upper()

    theirs: Resolver = shout
    entry = SimpleNamespace(name="shout", load=lambda: theirs)
    monkeypatch.setattr(metadata, "entry_points", lambda group: [entry] if group == "homeport.resolvers" else [])
    assert ask("!shout hello") == "HELLO!"
