"""The request as the hub sent it: read once, limited in size, every field checked for its type."""

from __future__ import annotations

import json
import re
from typing import Any, BinaryIO, Dict, List

from .. import HELPER_PROTOCOL, __version__
from .faults import Fault

LIMIT = 1_000_000
"""Most bytes of a request."""

TAG = re.compile(r"[A-Za-z0-9]{1,12}-[0-9a-f]{6}-[a-z2-7]{10}\Z")
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@+\\-]{0,127}\Z")
_MOST = 20_000


class Request:
    """A request, field by field. Each method raises a protocol Fault that names the field."""

    def __init__(self, fields: Dict[str, Any]) -> None:
        self.fields = fields
        self.verb = self.text("verb")
        self.cluster = self.text("cluster")
        self.user = self.text("user")
        if self.user and not _USER.match(self.user):
            raise Fault("protocol", "user: {!r} is not a user name".format(self.user))

    def text(self, name: str, default: str = "") -> str:
        value = self.fields.get(name, default)
        if not _is_text(value):
            raise Fault("protocol", "{}: must be a text".format(name))
        return str(value)

    def number(self, name: str, default: float, low: float, high: float) -> float:
        """A number, moved into low..high."""
        value = self.fields.get(name, default)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value:
            raise Fault("protocol", "{}: must be a number".format(name))
        return min(max(value, low), high)

    def texts(self, name: str) -> List[str]:
        value = self.fields.get(name, [])
        if not isinstance(value, list) or len(value) > _MOST or not all(_is_text(x) for x in value):
            raise Fault("protocol", "{}: must be a list of texts".format(name))
        return value

    def table(self, name: str) -> Dict[str, Any]:
        value = self.fields.get(name, {})
        if not isinstance(value, dict):
            raise Fault("protocol", "{}: must be an object".format(name))
        return value

    def tag(self) -> str:
        value = self.text("tag")
        if not TAG.match(value):
            raise Fault("protocol", "tag: {!r} is not the tag of a job".format(value))
        return value

    def tags(self, name: str) -> List[str]:
        values = self.texts(name)
        for value in values:
            if not TAG.match(value):
                raise Fault("protocol", "{}: {!r} is not the tag of a job".format(name, value))
        return values


def _is_text(value: Any) -> bool:
    """Text that system calls and UTF-8 files can carry."""
    return isinstance(value, str) and "\0" not in value and not any("\ud800" <= x <= "\udfff" for x in value)


def read(stream: BinaryIO) -> bytes:
    """All of the request."""
    data = stream.read(LIMIT + 1)
    if len(data) > LIMIT:
        raise Fault("protocol", "the request is larger than {} bytes".format(LIMIT))
    return data


def parse(data: bytes) -> Request:
    """The request; raises a protocol Fault where this helper must not or cannot understand it."""
    try:
        fields = json.loads(data.decode("utf-8"))
    except (ValueError, RecursionError):
        raise Fault("protocol", "the request is not JSON") from None
    if not isinstance(fields, dict):
        raise Fault("protocol", "the request is not a JSON object")
    theirs = fields.get("protocol")
    if theirs != HELPER_PROTOCOL or isinstance(theirs, bool):
        raise Fault("protocol", _mismatch(theirs))
    return Request(fields)


def _mismatch(theirs: Any) -> str:
    return (
        "this helper (hpcspawner {}) speaks protocol {}, the hub speaks {!r}: "
        "install the same version of hpcspawner on both sides".format(__version__, HELPER_PROTOCOL, theirs)
    )
