"""The 'fields' of a site file: what a profile, a partition or the whole site allows for single options.

`cores: 4`: the user gets 4 and is not asked. `cores: [1, 2, 4]`: one of these; the first is the default.
`cores: {default: 2, min: 1, max: 8}`: asked for, within limits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import sitekeys
from .fields import FIELDS, Value
from .sitemodel import FieldRule
from .siteyaml import Item, Mapping, Sequence, Text

if TYPE_CHECKING:
    from .sitereader import Reader


def read(reader: Reader, item: Item, path: str) -> dict[str, FieldRule]:
    """Option -> rule of a 'fields' mapping."""
    out: dict[str, FieldRule] = {}
    for word, part, below in reader.entries(item, path):
        option = "partition" if word == "queue" else word
        if option not in sitekeys.FIELD_OPTIONS:
            known = sitekeys.spelling(word, sitekeys.FIELD_OPTIONS)
            inside = word in ("cluster", "profile")
            reader.fail(below, "is set beside 'fields', not in it" if inside else f"is no option{known}")
        elif option in out:
            reader.fail(below, "queue and partition are the same option; only one of them may be there")
        else:
            reader.lines[f"{path}.{option}"] = reader.lines[below]
            out[option] = _rule(reader, option, part, f"{path}.{option}")
    return out


def _rule(reader: Reader, option: str, item: Item, path: str) -> FieldRule:
    try:
        if isinstance(item, Text):
            if item.empty:
                raise ValueError("has no value; leave the line out")
            return FieldRule(default=FIELDS[option].parse(item.text), fixed=True)
        if isinstance(item, Sequence):
            choices = _choices(reader, option, item, path)
            return FieldRule(default=choices[0], choices=choices)
    except ValueError as error:
        reader.fail(path, str(error))
        return FieldRule()
    return _full(reader, option, item, path)


def _full(reader: Reader, option: str, item: Mapping, path: str) -> FieldRule:
    values = {}
    known = sitekeys.keys(FieldRule)
    for word, part in item.items.items():
        below = f"{path}.{word}"
        reader.lines[below] = item.lines[word]
        try:
            if word not in known:
                raise ValueError("is no key of a field" + sitekeys.spelling(word, known))
            values[word] = _key(reader, option, word, part, below)
        except ValueError as error:
            reader.fail(below, str(error))
    if values.get("hidden"):
        values["fixed"] = True
    if values.get("choices") and "default" not in values:
        values["default"] = values["choices"][0]
    return FieldRule(**values)


def _key(reader: Reader, option: str, word: str, item: Item, path: str) -> Any:
    if isinstance(item, Text) and item.empty:
        raise ValueError("has no value; leave the line out")
    if word in ("fixed", "hidden"):
        return reader.value(sitekeys.keys(FieldRule)[word], item, path)
    if word == "choices":
        return _choices(reader, option, item, path)
    if word in ("min", "max") and option not in sitekeys.NUMBERS:
        raise ValueError(f"{option} is no number; use choices")
    if not isinstance(item, Text):
        raise ValueError("must be a single value")
    return FIELDS[option].parse(item.text)


def _choices(reader: Reader, option: str, item: Item, path: str) -> tuple[Value, ...]:
    values = tuple(FIELDS[option].parse(part.text) for part in reader.parts(item, path))
    if not values:
        raise ValueError("is an empty list; nothing could be chosen")
    if len(set(values)) < len(values):
        raise ValueError("holds a value twice")
    return values
