"""Whatever changes the world carries a label, so that tests can kill the program exactly there."""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "src/homeport"
ROOMS = ("agent", "engines", "instance", "stacks", "releases", "stores", "control")

FUNCTIONS = {
    f"{module}.{name}"
    for module, names in (
        ("os", "kill killpg rename replace unlink remove rmdir chown lchown fchown chmod fchmod"),
        ("os", "link symlink mkfifo mknod truncate ftruncate"),
        ("shutil", "rmtree move copy copy2 copyfile copytree chown"),
        ("subprocess", "Popen run call check_call check_output"),
        ("signal", "pidfd_send_signal"),
    )
    for name in re.findall(r"\w+", names)
}
METHODS = {"write_text", "write_bytes", "unlink", "touch", "chmod", "rmdir", "symlink_to", "hardlink_to"}

# "module:function" → why there is no label of its own.
EXCEPTIONS = {
    "engines/local/balancer.py:_validate": "asks HAProxy about a text; nothing is changed",
    "instance/sandbox.py:_memory_file": "memory of this process only",
    "instance/sandbox.py:_pipe": "a pipe of this process only",
    "instance/sandbox.py:start": "opens the files that the labelled spawn is given",
    "instance/assemble.py:_run": "called by labelled functions only",
    "releases/mirror.py:_alone": "called by a labelled function only",
    "releases/mirror.py:_locked": "an empty file to lock",
    "releases/pack.py:pack": "removes what the labelled write could not finish",
}


def dotted(node: ast.expr) -> str:
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=value, attr=name):
            return f"{dotted(value)}.{name}"
    return "?"


def opens_for_writing(call: ast.Call, name: str) -> bool:
    """`open(path, "w")` and `path.open("w")`."""
    if name.rpartition(".")[2] != "open" or name == "os.open":
        return False
    place = 1 if name == "open" else 0
    modes = [*call.args[place : place + 1], *(each.value for each in call.keywords if each.arg == "mode")]
    return any(isinstance(mode, ast.Constant) and set(str(mode.value)) & set("wax+") for mode in modes)


def changes_world(call: ast.Call) -> bool:
    name = dotted(call.func)
    method = name.rpartition(".")[2]
    if isinstance(call.func, ast.Attribute) and method in ("rename", "replace"):
        # Path.replace(target) has one argument; those of str, datetime and msgspec have two, or keywords
        return name in FUNCTIONS or (len(call.args) == 1 and not call.keywords)
    return (
        name in FUNCTIONS
        or (isinstance(call.func, ast.Attribute) and method in METHODS)
        or opens_for_writing(call, name)
    )


def label(decorator: ast.expr) -> str | None:
    match decorator:
        case ast.Call(func=ast.Name(id="effect"), args=[ast.Constant(value=str() as text)]):
            return text
    return None


def unlabelled(node: ast.AST, where: str, labelled: bool) -> Iterator[tuple[str, int]]:
    """(function, line) of each call that changes the world outside a function with a label."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            inside = labelled or any(label(each) for each in child.decorator_list)
            yield from unlabelled(child, child.name, inside)
            continue
        if isinstance(child, ast.Call) and not labelled and changes_world(child):
            yield where, child.lineno
        yield from unlabelled(child, where, labelled)


def modules() -> list[tuple[str, ast.Module]]:
    paths = sorted(path for room in ROOMS for path in (SOURCE / room).rglob("*.py"))
    return [(str(path.relative_to(SOURCE)), ast.parse(path.read_text())) for path in paths]


def test_the_check_sees_what_it_should() -> None:
    text = """
def a(path): path.unlink()
def b(path): "x".replace("a", "b"); moment.replace(tzinfo=None)
def c(path): path.replace(other)
@effect("file.write")
def d(path):
    def inner(): path.write_text("x")
def e(path):
    with open(path, "w") as file: subprocess.run(["true"])
def f(path): open(path); path.open("rb")
"""
    assert list(unlabelled(ast.parse(text), "", False)) == [("a", 2), ("c", 4), ("e", 9), ("e", 9)]


def test_every_change_of_the_world_is_labelled() -> None:
    found = {}
    for name, tree in modules():
        for function, line in unlabelled(tree, "<module>", False):
            found.setdefault(f"{name}:{function}", line)
    wrong = [f"{key} (line {line})" for key, line in found.items() if key not in EXCEPTIONS]
    assert not wrong, "these change the world without @effect:\n" + "\n".join(wrong)
    stale = [key for key in EXCEPTIONS if key not in found]
    assert not stale, f"exceptions that are none any more: {stale}"


def test_labels_are_unique_and_say_noun_and_verb() -> None:
    labels = [
        text
        for _, tree in modules()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef)
        for decorator in node.decorator_list
        if (text := label(decorator))
    ]
    assert [text for text, count in Counter(labels).items() if count > 1] == []
    assert [text for text in labels if not re.fullmatch(r"[a-z_]+\.[a-z_]+", text)] == []
