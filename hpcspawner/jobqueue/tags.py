"""Tags: the unique names of jobs."""

from __future__ import annotations

import re
import secrets

TAG = re.compile(r"[A-Za-z0-9]{1,12}-[0-9a-f]{6}-[a-z2-7]{10}\Z")
_LETTERS = "abcdefghijklmnopqrstuvwxyz234567"


def new(prefix: str, instance: str) -> str:
    """A tag that has never been used: <prefix>-<instance>-<50 random bits>."""
    tag = f"{prefix}-{instance}-{''.join(secrets.choice(_LETTERS) for _ in range(10))}"
    if not TAG.match(tag):
        raise ValueError(f"site prefix {prefix!r} or instance id {instance!r} cannot be part of a job's name")
    return tag


def valid(tag: str) -> bool:
    """Whether it has the shape of a tag."""
    return bool(TAG.match(tag))
