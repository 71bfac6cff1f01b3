"""YAML text as a tree that remembers lines, and leaves the meaning of a value to whoever knows its type.

YAML 1.1 reads 02:00:00 as 7200, `no` as false and an account 0123 as 83. Here a scalar stays the text that the admin
wrote; the reader of the site file, who knows what the key wants, turns it into a value.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import yaml

_EMPTY = ("", "~", "null", "Null", "NULL")


@dataclasses.dataclass(frozen=True)
class Problem:
    """One thing that is wrong. line 0: not known. field: dotted path, '' for the whole file."""

    file: str
    line: int
    field: str
    text: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {self.field}: {self.text}" if self.field else f"{place}: {self.text}"


class SiteError(Exception):
    """A site file that can't be used. str() has one line for each problem."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = sorted(problems, key=lambda problem: (problem.file, problem.line))
        super().__init__("\n".join(str(problem) for problem in self.problems))


@dataclasses.dataclass(frozen=True)
class Text:
    """A scalar as it was written."""

    text: str
    line: int
    quoted: bool = False

    @property
    def empty(self) -> bool:
        """Nothing was written ('key:' alone, or a null)."""
        return not self.quoted and self.text in _EMPTY


@dataclasses.dataclass(frozen=True)
class Sequence:
    items: tuple[Item, ...]
    line: int


@dataclasses.dataclass(frozen=True)
class Mapping:
    items: dict[str, Item]
    line: int
    lines: dict[str, int]
    """Key -> the line of the key."""


Item = Text | Sequence | Mapping


def load(text: str, file: str) -> tuple[Mapping, list[Problem]]:
    """The tree and what is wrong with it (keys written twice, tags). Raises SiteError where it is no YAML mapping."""
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        words = ", ".join(part for part in (error.context, error.problem) if part)
        raise SiteError([Problem(file, mark.line + 1 if mark else 0, "", f"this is no YAML: {words}")]) from None
    except yaml.YAMLError as error:
        raise SiteError([Problem(file, 0, "", f"this is no YAML: {error}")]) from None
    if not isinstance(root, yaml.MappingNode):
        raise SiteError([Problem(file, 1, "", "the file must hold keys and values, such as 'name: mysite'")])
    tree = _Tree(file)
    top = tree.mapping(root, "", ())
    return top, tree.problems


class _Tree:
    def __init__(self, file: str) -> None:
        self.file = file
        self.problems: list[Problem] = []

    def item(self, node: Any, path: str, above: tuple[Any, ...]) -> Item:
        line = node.start_mark.line + 1
        if any(node is other for other in above):  # an alias inside the thing it stands for would never end
            self.fail(node, path, "this alias contains itself")
            return Text("", line)
        if not node.tag.startswith("tag:yaml.org,2002:") or "python" in node.tag:
            self.fail(node, path, f"tags such as {node.tag} are not allowed here")
        if isinstance(node, yaml.MappingNode):
            return self.mapping(node, path, above)
        if isinstance(node, yaml.SequenceNode):
            parts = (self.item(part, f"{path}[{n}]", (*above, node)) for n, part in enumerate(node.value))
            return Sequence(tuple(parts), line)
        return Text(node.value, line, node.style is not None)

    def mapping(self, node: Any, path: str, above: tuple[Any, ...]) -> Mapping:
        items: dict[str, Item] = {}
        lines: dict[str, int] = {}
        merged: list[Mapping] = []
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                self.fail(key_node, path, "a key must be a word")
                continue
            key = key_node.value
            if key_node.tag == "tag:yaml.org,2002:merge":
                merged += self.merged(value_node, path, (*above, node))
                continue
            below = f"{path}.{key}" if path else key
            if key in items:
                self.fail(key_node, below, f"is written twice, first in line {lines[key]}")
                continue
            items[key] = self.item(value_node, below, (*above, node))
            lines[key] = key_node.start_mark.line + 1
        for other in merged:
            for key, item in other.items.items():
                if key not in items:
                    items[key], lines[key] = item, other.lines[key]
        return Mapping(items, node.start_mark.line + 1, lines)

    def merged(self, node: Any, path: str, above: tuple[Any, ...]) -> list[Mapping]:
        parts = node.value if isinstance(node, yaml.SequenceNode) else [node]
        trees = [self.item(part, path, above) for part in parts]
        if any(not isinstance(tree, Mapping) for tree in trees):
            self.fail(node, path, "'<<' takes a mapping that has a name (&name)")
        return [tree for tree in trees if isinstance(tree, Mapping)]

    def fail(self, node: Any, path: str, text: str) -> None:
        self.problems.append(Problem(self.file, node.start_mark.line + 1, path, text))
