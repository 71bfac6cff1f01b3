"""The tree of a site file -> the classes of the model. What each key takes is known from sitekeys."""

from __future__ import annotations

import sys
from typing import Any

from . import sitefields, sitekeys
from .job import Cluster
from .sitekeys import REQUIRED, Key
from .sitemodel import ClusterSite, FieldRule, GpuType, Rules, Site
from .siteyaml import Item, Mapping, Problem, Sequence, Text
from .units import parse_int, parse_memory, shown

_CLUSTER_FIELDS = ("scheduler", "commands", "environment", "family", "switches")
_FLAGS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}

HUB_PYTHON = "{hub_python}"
"""Stands for the Python that reads the file; of use where nodes share it with the hub, as in the demo."""


class Reader:
    """Turns the tree into the classes of the model and notes what is wrong; a bad value reads as the default."""

    def __init__(self, file: str, problems: list[Problem] | None = None) -> None:
        self.file = file
        self.problems = problems if problems is not None else []
        self.lines: dict[str, int] = {}

    def fail(self, path: str, text: str) -> None:
        self.problems.append(Problem(self.file, self.line(path), path, text))

    def line(self, path: str) -> int:
        """Line of a field, or of the closest field above it that is in the file."""
        while path and path not in self.lines:
            cut = max(path.rfind("."), path.rfind("["), 0)
            path = path[:cut]
        return self.lines.get(path, 1)

    def site(self, tree: Mapping) -> Site:
        values = self.section(Site, tree, "")
        return Site(**{"name": "", **values})

    def section(self, cls: type, item: Mapping, path: str) -> dict[str, Any]:
        """The values of a section by key; what is not in the file is left out."""
        known = sitekeys.keys(cls)
        aliases = sitekeys.ALIASES.get(cls, {})
        values: dict[str, Any] = {}
        for word, part in item.items.items():
            below = f"{path}.{word}" if path else word
            self.lines[below] = item.lines[word]
            name = aliases.get(word, word)
            if name not in known:
                self.fail(below, "is no key of this section" + sitekeys.spelling(word, known))
            elif name in values:
                self.fail(below, f"means the same as {name}; only one of them may be there")
            elif isinstance(part, Text) and part.empty:
                self.fail(below, 'has no value; leave the line out, or write {}, [] or ""')
            else:
                # From here on a second name of a key is forgotten, so that checks find its line.
                below = f"{path}.{name}" if path else name
                self.lines[below] = item.lines[word]
                self.put(values, known[name], part, below)
        for key in known.values():
            if key.default is REQUIRED and key.name not in values:
                self.missing(path, key)
                values[key.name] = ""
        return values

    def missing(self, path: str, key: Key) -> None:
        below = f"{path}.{key.name}" if path else key.name
        if below not in self.lines:
            self.fail(below, f"is missing: {key.doc[0].lower()}{key.doc[1:]}")

    def put(self, values: dict[str, Any], key: Key, item: Item, path: str) -> None:
        try:
            values[key.name] = self.value(key, item, path)
        except ValueError as error:
            self.fail(path, str(error))

    def value(self, key: Key, item: Item, path: str) -> Any:
        """One value; raises ValueError in words."""
        method = getattr(self, "kind_" + key.kind.replace(" ", "_"))
        return method(key, item, path)

    # One method for each kind of sitekeys.KINDS.

    def kind_text(self, key: Key, item: Item, path: str) -> str:
        text = _scalar(item).text
        if "\n" in text:  # a block of lines is one sentence here
            text = " ".join(text.split())
        if key.words and text not in key.words:
            raise ValueError(f"{shown(text)} is not known" + sitekeys.spelling(text, key.words))
        return text

    def kind_path(self, key: Key, item: Item, path: str) -> str:
        text = self.kind_text(key, item, path)
        return text.replace(HUB_PYTHON, sys.executable) if key.name == "python" else text

    kind_url = kind_text

    def kind_integer(self, key: Key, item: Item, path: str) -> int:
        return int(_least(key, parse_int(_scalar(item).text)))

    def kind_memory(self, key: Key, item: Item, path: str) -> int:
        return parse_memory(_scalar(item).text)

    def kind_number(self, key: Key, item: Item, path: str) -> float:
        text = _scalar(item).text
        try:
            number = float(text)
        except ValueError:
            raise ValueError(f"{shown(text)} is no number") from None
        if not abs(number) <= 10**9:  # also refuses nan
            raise ValueError(f"{shown(text)} is no number of use here")
        return _least(key, number)

    def kind_flag(self, key: Key, item: Item, path: str) -> bool:
        text = _scalar(item).text
        if text.lower() not in _FLAGS:
            raise ValueError(f"{shown(text)} is neither true nor false")
        return _FLAGS[text.lower()]

    def kind_texts(self, key: Key, item: Item, path: str) -> tuple[str, ...]:
        texts = tuple(part.text for part in self.parts(item, path))
        if not texts and key in sitekeys.keys(Rules).values():
            raise ValueError("is an empty list, which would allow everybody; leave it out if that is meant")
        return texts

    def kind_words(self, key: Key, item: Item, path: str) -> tuple[str, ...]:
        if isinstance(item, Text):
            raise ValueError("must be a list of words, such as [jupyter, lab]; no shell reads it")
        return self.kind_texts(key, item, path)

    def kind_lines(self, key: Key, item: Item, path: str) -> tuple[str, ...]:
        return tuple(line for part in self.parts(item, path) for line in part.text.split("\n") if line.strip())

    def kind_omit(self, key: Key, item: Item, path: str) -> tuple[str, ...]:
        return self.kind_texts(key, item, path)

    def kind_ports(self, key: Key, item: Item, path: str) -> tuple[int, int]:
        words = [part.text for part in self.parts(item, path)]
        if len(words) == 1:
            words = words[0].split("-")
        if len(words) > 2:
            raise ValueError("must be one range such as 9000-9100")
        numbers = [parse_int(word) for word in words]
        return numbers[0], numbers[-1]

    def kind_texts_by_name(self, key: Key, item: Item, path: str) -> dict[str, str]:
        out = {}
        for name, part, below in self.entries(item, path):
            if isinstance(part, Text) and not part.empty:
                out[name] = part.text
            else:
                self.fail(below, "must be a single value")
        return out

    def kind_switches(self, key: Key, item: Item, path: str) -> dict[str, Any]:
        return {name: _plain(part) for name, part, _below in self.entries(item, path)}

    def kind_object(self, key: Key, item: Item, path: str) -> Any:
        assert key.of is not None
        return self.build(key.of, item, path, "")

    def kind_named(self, key: Key, item: Item, path: str) -> dict[str, Any]:
        assert key.of is not None
        return {name: self.build(key.of, part, below, name) for name, part, below in self.entries(item, path)}

    def kind_fields(self, key: Key, item: Item, path: str) -> dict[str, FieldRule]:
        return sitefields.read(self, item, path)

    # What several kinds share.

    def build(self, cls: type, item: Item, path: str, name: str) -> Any:
        """A section as an instance. An entry without a value ('main:') has all defaults."""
        if isinstance(item, Text) and not item.empty and cls in sitekeys.SHORT:
            short = sitekeys.SHORT[cls]
            item = Mapping({short: item}, item.line, {short: item.line})
        if isinstance(item, Text) and item.empty:
            item = Mapping({}, item.line, {})
        if not isinstance(item, Mapping):
            self.fail(path, "must hold keys" + sitekeys.spelling("", sitekeys.keys(cls)))
            item = Mapping({}, item.line, {})
        values = self.section(cls, item, path)
        if cls is Rules and not item.items:
            self.fail(path, "names nobody, which would allow everybody; leave it out if that is meant")
        if cls is ClusterSite:
            parts = {field: values.pop(field) for field in _CLUSTER_FIELDS if field in values}
            values["cluster"] = Cluster(name, **{"scheduler": "", **parts})
        elif cls is GpuType:
            values.setdefault("request", name)
        elif sitekeys.named(cls):
            values["name"] = name
        return cls(**values)

    def entries(self, item: Item, path: str) -> list[tuple[str, Item, str]]:
        """Name, value and path of the entries of a mapping."""
        if not isinstance(item, Mapping):
            raise ValueError("must hold entries by name, such as 'name: ...'")
        out = []
        for name, part in item.items.items():
            below = f"{path}.{name}"
            self.lines[below] = item.lines[name]
            out.append((name, part, below))
        return out

    def parts(self, item: Item, path: str) -> list[Text]:
        """The scalars of a list, or the one that stands for a list."""
        if isinstance(item, Mapping):
            raise ValueError("must be a list")
        parts = item.items if isinstance(item, Sequence) else (item,)
        for number, part in enumerate(parts):
            self.lines[f"{path}[{number}]"] = part.line
        texts = [_scalar(part) for part in parts]
        if any(text.empty for text in texts):
            raise ValueError("holds an entry without a value")
        return texts


def _scalar(item: Item) -> Text:
    if not isinstance(item, Text):
        raise ValueError("must be a single value")
    return item


def _least(key: Key, number: float) -> float:
    if key.least is not None and number < key.least:
        raise ValueError(f"{number:g} is less than {key.least:g}")
    return number


def _plain(item: Item) -> Any:
    """What the text means in JSON's terms, for values whose type only a dialect knows."""
    if isinstance(item, Mapping):
        return {key: _plain(part) for key, part in item.items.items()}
    if isinstance(item, Sequence):
        return [_plain(part) for part in item.items]
    if not item.quoted:
        if item.text in ("true", "false"):
            return item.text == "true"
        for kind in (parse_int, float):
            try:
                return kind(item.text)
            except ValueError:
                pass
    return item.text
