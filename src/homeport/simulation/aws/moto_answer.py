"""moto's answers, the same byte for byte, written sooner: half of what the simulator computes is answers, since
everybody asks all the time. Each change is a function of its own, held by a test that compares with moto's own way, and
fails once that isn't dearer. Called by `simulator`; moto's version is pinned.
"""

from collections.abc import Iterator
from datetime import datetime
from types import SimpleNamespace
from typing import Any
from xml.sax.saxutils import escape, quoteattr

import moto.core.serialize
from moto.core.serialize import AttributePickerContext, ResponseSerializer, XFormedAttributePicker

from homeport.system.aws_model import full_time

serialize: Any = moto.core.serialize
TEXT, HEAD = "#text", '<?xml version="1.0" encoding="utf-8"?>\n'
VALUE = ResponseSerializer.get_value
XML = serialize.xmltodict
TIME = serialize.parse_to_aware_datetime


def sooner() -> None:
    values_found_once()
    written_straight()
    times_read_as_written()


def values_found_once() -> None:
    """Under which names a member of an answer may stand in moto's objects is found once for each kind of object. moto
    asks six classes for each member of each thing that it lists."""

    def names(picker: Any, value: Any, key: str, shape: Any) -> tuple[str, ...]:
        known: dict[tuple[str, type], tuple[str, ...]] = shape.__dict__.setdefault("names_of_values", {})
        place = (key, type(value))
        if place not in known:
            context = AttributePickerContext(obj=value, key=key, shape=shape)
            known[place] = tuple(dict.fromkeys(picker.get_possible_keys(context)))
        return known[place]

    def get_value(self: Any, value: Any, key: str, shape: Any) -> Any:
        picker = self._value_picker
        if type(picker) is not XFormedAttributePicker or hasattr(value, "Meta"):
            return VALUE(self, value, key, shape)
        found = _first(value, names(picker, value, key, shape))
        if picker.response_transformers:
            path = ".".join((*self.path, key))
            for end, transform in picker.response_transformers.items():
                if path.endswith(end):
                    return transform(found)
        return found

    ResponseSerializer.get_value = get_value  # type: ignore[method-assign]


def _first(value: Any, names: tuple[str, ...]) -> Any:
    if type(value) is dict:
        return next((value[each] for each in names if each in value), None)
    tried = (serialize.get_value(value, each, serialize.MISSING) for each in names)
    return next((each for each in tried if each is not serialize.MISSING), None)


def written_straight() -> None:
    """An answer in XML is put together from its parts. moto has xmltodict do it, which checks each name of an element,
    letter by letter, each time, and tells a parser's events to a writer."""

    def unparse(document: dict[str, Any], *, short_empty_elements: bool = False, **said: Any) -> str:
        full = said.get("full_document", True)
        if not short_empty_elements or said.get("pretty") or (full and len(document) != 1):
            return str(XML.unparse(document, short_empty_elements=short_empty_elements, **said))
        return (HEAD if full else "") + "".join(
            part for name, value in document.items() for part in _written(name, value)
        )

    serialize.xmltodict = SimpleNamespace(unparse=unparse)


def _written(name: str, value: Any) -> Iterator[str]:
    for each in value if isinstance(value, list | tuple) else (value,):
        inner = each if isinstance(each, dict) else {TEXT: each}
        attributes, parts = "", []
        for key, found in inner.items():
            if key == TEXT:
                parts.append("" if found is None else escape(_text(found)))
            elif key.startswith("@"):
                attributes += f" {key[1:]}={quoteattr(_text(found) if found is not None else '')}"
            else:
                parts.extend(_written(key, found))
        text = "".join(parts)
        yield f"<{name}{attributes}>{text}</{name}>" if text else f"<{name}{attributes}/>"


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def times_read_as_written() -> None:
    """Times that moto keeps as text in ISO 8601 are read as such. moto asks a parser that takes any way to write a
    time, for each object of each list."""

    def read(value: Any) -> datetime:
        aware: datetime = full_time(value) or TIME(value)
        return aware

    serialize.parse_to_aware_datetime = read
