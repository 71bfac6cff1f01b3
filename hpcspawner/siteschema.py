"""JSON schema of the site file, for editors that complete and check YAML while an admin types."""

from __future__ import annotations

from typing import Any

from . import sitekeys
from .sitekeys import REQUIRED, Key
from .sitemodel import FieldRule, Site

_TEXT: dict[str, Any] = {"type": ["string", "number"]}
_WHOLE = {"type": "integer"}
_NUMERIC: dict[str, dict[str, Any]] = {
    "memory": {"type": ["string", "integer"], "pattern": r"^[0-9]+(\.[0-9]+)? ?[KMGTPkmgtp]?(i?[Bb])?$"},
    "walltime": {"type": ["string", "integer"], "pattern": r"^([0-9]+-)?[0-9]+(:[0-9]{2}){0,2}$"},
}
_LIST = {"anyOf": [_TEXT, {"type": "array", "items": _TEXT}]}


def schema() -> dict[str, Any]:
    """The schema (draft 7, which editors know), with the manual of each key as its description."""
    definitions = {cls.__name__: _section(cls) for cls in sitekeys.SECTIONS if cls not in (Site, FieldRule)}
    definitions["fields"] = _fields()
    top = _section(Site)
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Site file of hpcspawner",
        **top,
        "definitions": definitions,
    }


def _section(cls: type) -> dict[str, Any]:
    known = sitekeys.keys(cls)
    properties = {key.name: _described(key) for key in known.values()}
    for alias, name in sitekeys.ALIASES.get(cls, {}).items():
        properties[alias] = {**properties[name], "description": f"The same as {name}."}
    out: dict[str, Any] = {"type": "object", "additionalProperties": False, "properties": properties}
    required = [key.name for key in known.values() if key.default is REQUIRED]
    if required:
        out["required"] = required
    short = sitekeys.SHORT.get(cls)
    if short:
        return {"anyOf": [_value(known[short]), out]}
    return out


def _described(key: Key) -> dict[str, Any]:
    value = _value(key)
    if "$ref" in value:  # siblings of $ref are ignored in draft 7
        value = {"allOf": [value]}
    out = {"description": key.doc, **value}
    if key.default is not REQUIRED and isinstance(key.default, (str, int, float)) and key.default != "":
        out["default"] = key.default
    return out


def _value(key: Key) -> dict[str, Any]:
    if key.words:
        return {"enum": list(key.words)}
    if key.kind in ("object", "named"):
        assert key.of is not None
        entry: dict[str, Any] = {"$ref": f"#/definitions/{key.of.__name__}"}
        if key.kind == "object":
            return entry
        # An entry may stand without a value: 'main:'.
        return {"type": "object", "additionalProperties": {"anyOf": [{"type": "null"}, entry]}}
    if key.kind in ("integer", "number"):
        least = {} if key.least is None else {"minimum": key.least}
        return {"type": key.kind, **least}
    kinds: dict[str, dict[str, Any]] = {
        "flag": {"type": "boolean"},
        "memory": _NUMERIC["memory"],
        "texts": _LIST,
        "lines": _LIST,
        "words": {"type": "array", "items": _TEXT},
        "omit": {"type": "array", "items": {"enum": list(sitekeys.OMITTABLE)}},
        "ports": {"anyOf": [{"type": "string", "pattern": "^[0-9]+(-[0-9]+)?$"}, _WHOLE, _pair()]},
        "texts by name": {"type": "object", "additionalProperties": _TEXT},
        "switches": {"type": "object"},
        "fields": {"$ref": "#/definitions/fields"},
    }
    return kinds.get(key.kind, _TEXT)


def _pair() -> dict[str, Any]:
    return {"type": "array", "items": _WHOLE, "minItems": 2, "maxItems": 2}


def _fields() -> dict[str, Any]:
    properties = {}
    known = sitekeys.keys(FieldRule)
    for option in sitekeys.FIELD_OPTIONS:
        value = _NUMERIC.get(option, _WHOLE if option in sitekeys.NUMBERS else _TEXT)
        full: dict[str, Any] = {}
        for key in known.values():
            if key.name in ("min", "max") and option not in sitekeys.NUMBERS:
                continue
            kind = {"value": value, "values": {"type": "array", "items": value, "minItems": 1}}
            full[key.name] = {"description": key.doc, **kind.get(key.kind, {"type": "boolean"})}
        properties[option] = {
            "anyOf": [
                value,
                {"type": "array", "items": value, "minItems": 1},
                {"type": "object", "additionalProperties": False, "properties": full},
            ]
        }
    properties["queue"] = properties["partition"]
    return {"type": "object", "additionalProperties": False, "properties": properties}
