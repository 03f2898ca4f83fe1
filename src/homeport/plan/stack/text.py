"""YAML text as nodes and located values, with errors that name file, line and column. Used by everything that reads a
file of a stack project.

PyYAML's C parser finds nodes; what a scalar means is decided here and in `template`, because the two differ: templates
are YAML 1.1, as CloudFormation reads them; settings keep what was typed (`no` is a country, 0123 an account).
"""

import re
from collections.abc import Iterator
from typing import Any

import yaml

from homeport.errors import Invalid
from homeport.model.located import Located, Mark, Scalar, Tagged

LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
MOST_NODES = 2_000_000
DEEPEST = 5_000
"""Beyond some 20,000 the C parser overruns its stack, which ends the process."""
STANDARD = "tag:yaml.org,2002:"
DECIMAL = re.compile(r"[-+]?[0-9]+")
FRACTION = re.compile(r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?")


def decode(data: bytes, file: str) -> str:
    """The text of a file. Raises `Invalid` where it isn't UTF-8."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start]
        column = error.start - (before.rfind(b"\n") + 1) + 1
        where = f"{file}:{before.count(10) + 1}:{column}"
        raise Invalid(f"{where}: expected UTF-8, found byte {data[error.start]:#04x}") from error


def compose(text: str, file: str) -> yaml.Node | None:
    """The root node, every alias a reference to its anchor's node; None: nothing but blanks and comments.
    Raises `Invalid` for what isn't YAML, has a key twice, refers to itself, or grows beyond measure by aliases."""
    if _too_deep(text):
        raise Invalid(f"{file}: nested too deeply")
    try:
        root: yaml.Node | None = yaml.compose(text, Loader=LOADER)
    except yaml.MarkedYAMLError as error:
        where = error.problem_mark or error.context_mark
        place = f"{file}:{where.line + 1}:{where.column + 1}" if where else file
        said = " ".join(each for each in (error.problem, error.context) if each)
        raise Invalid(f"{place}: not YAML: {said}") from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise Invalid(f"{file}:{line}: not YAML: {error.reason}") from error
    except RecursionError as error:
        raise Invalid(f"{file}: not YAML: nested too deeply") from error
    if root is not None:
        try:
            _measure(root, file, {}, set())
        except RecursionError as error:
            raise Invalid(f"{file}: nested too deeply") from error
    return root


def read(text: str, file: str) -> Located:
    """The document as located values; an empty one as an empty mapping. Raises `Invalid`."""
    root = compose(text, file)
    return Located({}, Mark(file, 1, 1)) if root is None else _located(root, file)


def mark(node: yaml.Node, file: str) -> Mark:
    return Mark(file, node.start_mark.line + 1, node.start_mark.column + 1)


def locate(text: str, file: str, *keys: str) -> str:
    """The place of what stands under these keys, as far as they lead: `file:3:5`; for what isn't YAML only the file."""
    try:
        node = yaml.compose(text, Loader=LOADER)
    except (yaml.YAMLError, RecursionError):
        return file
    found = file
    for key in keys:
        pairs_of = node.value if isinstance(node, yaml.MappingNode) else ()
        match = next(((one, value) for one, value in pairs_of if getattr(one, "value", None) == key), None)
        if match is None:
            break
        found, node = str(mark(match[0], file)), match[1]
    return found


def children(node: yaml.Node) -> Iterator[yaml.Node]:
    """Direct ones; of a mapping its keys and values."""
    if isinstance(node, yaml.SequenceNode):
        yield from node.value
    elif isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield key
            yield value


def pairs(node: yaml.MappingNode, file: str) -> Iterator[tuple[str, yaml.Node]]:
    """Key, as it was written, and value. Raises `Invalid` for a key that isn't a scalar, or comes twice."""
    seen: dict[str, yaml.Node] = {}
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise Invalid(f"{mark(key, file)}: expected a name as key, found a {key.id}")
        name = str(key.value)
        if name in seen:
            raise Invalid(f"{mark(key, file)}: {name!r} is there twice, first in line {seen[name].start_mark.line + 1}")
        seen[name] = key
        yield name, value


def _too_deep(text: str) -> bool:
    """A guess from above, nearly free where there is little to count."""
    if text.count("[") + text.count("{") > DEEPEST:
        depth = 0
        for bracket in re.finditer(r"[\[\]{}]", text):
            depth = depth + 1 if bracket[0] in "[{" else max(0, depth - 1)
            if depth > DEEPEST:
                return True
    return text.count("- ") > DEEPEST and any(line.count("- ") > DEEPEST for line in text.splitlines())


def _measure(node: yaml.Node, file: str, known: dict[int, int], above: set[int]) -> int:
    """Number of nodes with aliases written out."""
    if isinstance(node, yaml.ScalarNode):
        return 1
    if id(node) in above:
        raise Invalid(f"{mark(node, file)}: an alias in it refers to itself")
    if id(node) not in known:
        above.add(id(node))
        known[id(node)] = 1 + sum(_measure(child, file, known, above) for child in children(node))
        above.remove(id(node))
        if known[id(node)] > MOST_NODES:
            raise Invalid(f"{mark(node, file)}: more than {MOST_NODES} values once aliases are written out")
    return known[id(node)]


def _located(node: yaml.Node, file: str) -> Located:
    at = mark(node, file)
    if not node.tag.startswith(STANDARD) and node.tag != "!":
        plain = _scalar_of_tag(node, at) if isinstance(node, yaml.ScalarNode) else _plain(node, file, at)
        return Located(Tagged(node.tag.removeprefix("!"), plain), at)
    return _plain(node, file, at)


def _scalar_of_tag(node: yaml.ScalarNode, at: Mark) -> Located:
    return Located(str(node.value), at, text=str(node.value))


def _plain(node: yaml.Node, file: str, at: Mark) -> Located:
    if isinstance(node, yaml.ScalarNode):
        return Located(_scalar(node), at, text=str(node.value))
    if isinstance(node, yaml.SequenceNode):
        return Located([_located(each, file) for each in node.value], at)
    assert isinstance(node, yaml.MappingNode)
    return Located({key: _located(value, file) for key, value in pairs(node, file)}, at)


def _scalar(node: yaml.ScalarNode) -> Scalar:
    """As YAML 1.2 has it, and a text where 1.1 saw more in it (yes, 012, 1:30, dates)."""
    text = str(node.value)
    match node.tag.removeprefix(STANDARD):
        case "null":
            return None
        case "bool" if text.lower() in ("true", "false"):
            return text.lower() == "true"
        case "int" if DECIMAL.fullmatch(text):
            return int(text)
        case "float" if FRACTION.fullmatch(text):
            return float(text)
    return text
