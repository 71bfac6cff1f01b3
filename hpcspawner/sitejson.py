"""Site <-> JSON: what the hub sends to the helper, and what an installed helper keeps beside it.

Standard library only, and Python 3.8 or newer. An exact round trip: load(dump(site)) == site.
"""

from __future__ import annotations

import dataclasses
import typing
from typing import Any, Dict, Mapping, Tuple, Type, TypeVar, cast

from .job import plain
from .sitemodel import SITE_FORMAT, Site

T = TypeVar("T")

_HINTS: Dict[type, Dict[str, Any]] = {}


def dump(site: Site) -> Dict[str, Any]:
    """The site as JSON can carry it; values that are defaults are left out."""
    return cast(Dict[str, Any], plain(site))


def load(data: Any) -> Site:
    """The site of such a dict. Raises ValueError that names the field, also for keys of a newer format."""
    if isinstance(data, Mapping) and isinstance(data.get("format"), int) and data["format"] > SITE_FORMAT:
        raise ValueError(
            "site: its format is {}, this helper reads up to {}; install the helper of the hub's version".format(
                data["format"], SITE_FORMAT
            )
        )
    return _build(Site, data, "site")


def _build(cls: Type[T], data: Any, path: str) -> T:
    if not isinstance(data, Mapping):
        raise ValueError("{}: must be an object".format(path))
    hints = _HINTS.get(cls)
    if hints is None:
        hints = _HINTS[cls] = typing.get_type_hints(cls)
    values = {}
    for key, item in data.items():
        if key not in hints:
            raise ValueError("{}: unknown key {!r}".format(path, key))
        values[key] = _value(hints[key], item, "{}.{}".format(path, key))
    try:
        return cls(**values)
    except TypeError as error:  # a required key is missing; the class names it
        raise ValueError("{}: {}".format(path, error)) from None


def _value(hint: Any, item: Any, path: str) -> Any:
    if hint is Any:
        return item
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return _build(hint, item, path)
    origin = getattr(hint, "__origin__", None)
    if origin is None:
        return _scalar((hint,), item, path)
    inner: Tuple[Any, ...] = hint.__args__
    if origin is tuple:
        if not isinstance(item, (list, tuple)) or (inner[-1] is not Ellipsis and len(item) != len(inner)):
            raise ValueError("{}: must be a list".format(path))
        return tuple(_value(inner[0], part, path) for part in item)
    if origin is typing.Union:
        return _scalar(inner, item, path)
    if not isinstance(item, Mapping) or not all(isinstance(key, str) for key in item):
        raise ValueError("{}: must be an object".format(path))
    return {key: _value(inner[1], part, "{}.{}".format(path, key)) for key, part in item.items()}


def _scalar(types: Tuple[Any, ...], item: Any, path: str) -> Any:
    # bool is an int to Python, and JSON writes 2.0 as 2: neither may pass as the other kind.
    if type(item) in types:
        return item
    if float in types and type(item) is int:
        return float(item)
    names = " or ".join(sorted("null" if kind is type(None) else kind.__name__ for kind in types))
    raise ValueError("{}: must be {}".format(path, names))
