"""One field of a card, as a form or another page shows it. Texts are as a user types them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from .fields import FIELDS, Value


@dataclasses.dataclass(frozen=True)
class Part:
    """What one partition makes of a field, where partitions differ. Texts as a user types them."""

    low: str = ""
    high: str = ""
    default: str = ""
    off: str = ""
    """Why the field means nothing there; empty: it does."""


@dataclasses.dataclass(frozen=True)
class MenuField:
    """One option to choose. Texts are as a user types them."""

    option: str
    label: str
    kind: str
    help: str = ""
    default: str = ""
    low: str = ""
    high: str = ""
    choices: tuple[tuple[str, str], ...] = ()
    """Value and words; empty: any text or number within the limits."""
    blank: str = ""
    """Words for giving nothing, where there are choices and that is possible."""
    suggestions: tuple[tuple[str, str], ...] = ()
    aside: bool = False
    parts: Mapping[str, Part] = dataclasses.field(default_factory=dict)

    def takes(self, value: Value) -> bool:
        """Whether a value kept from an earlier start may still be shown."""
        try:
            parsed = FIELDS[self.option].parse(value)
            low, high = (FIELDS[self.option].parse(text) if text else None for text in (self.low, self.high))
        except ValueError:
            return False
        if self.choices and FIELDS[self.option].text(parsed) not in [choice for choice, _ in self.choices]:
            return False
        if isinstance(parsed, int):
            return not ((isinstance(low, int) and parsed < low) or (isinstance(high, int) and parsed > high))
        return True
