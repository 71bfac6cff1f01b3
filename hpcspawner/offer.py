"""What may be given for one option. Standard library only, and Python 3.8 or newer."""

from __future__ import annotations

import dataclasses

from . import units
from .fields import Field, Value


@dataclasses.dataclass(frozen=True)
class Limit:
    """A smallest or largest number, and who sets it in words ('partition main')."""

    value: int
    where: str


@dataclasses.dataclass(frozen=True)
class Offer:
    """What may be given for one option."""

    field: Field
    default: Value | None = None
    """Value where none is given; None: not sent, the scheduler's default holds."""
    low: Limit | None = None
    high: Limit | None = None
    choices: tuple[Value, ...] | None = None
    """The only values; None: any within the limits."""
    excluded: tuple[Value, ...] = ()
    """Values that are not for this person."""
    closed: str = ""
    """Who fixes the value, in words; empty: it may be chosen."""
    omitted: str = ""
    """Why the option is not sent at all; empty: it is."""
    hidden: bool = False

    @property
    def open(self) -> bool:
        return not (self.closed or self.omitted)

    def check(self, value: Value) -> None:
        """Raises ValueError in words that name value and limit. The value has passed Field.parse."""
        if self.omitted:
            # What the profile itself gives is no mistake of the user: it is left out without a word.
            if value not in (self.default, self.field.neutral):
                self._refuse(value, f"is not possible, {self.omitted}")
            return
        if self.closed and value != self.default:
            self._refuse(value, f"is not possible, {self._closed_words()}")
        if self.choices is not None and value not in self.choices:
            self._refuse(value, self._unknown_words())
        if value in self.excluded:
            self._refuse(value, "is not known")
        if isinstance(value, int) and self.high is not None and value > self.high.value:
            self._refuse(value, "is more than {}".format(self._limit_words(self.high, "most")))
        if isinstance(value, int) and self.low is not None and value < self.low.value:
            self._refuse(value, "is less than {}".format(self._limit_words(self.low, "least")))

    def fits(self, value: int) -> bool:
        """Whether the number is within the limits."""
        over = self.high is not None and value > self.high.value
        under = self.low is not None and value < self.low.value
        return not (over or under)

    def fitted(self) -> Offer:
        """The default moved inside the limits: a profile's usual 8 hours become 2 in a partition of 2 hours."""
        value = self.default
        if not isinstance(value, int):
            return self
        if self.choices is None:
            if self.high is not None:
                value = min(value, self.high.value)
            if self.low is not None:
                value = max(value, self.low.value)
            return dataclasses.replace(self, default=value)
        fitting = tuple(choice for choice in self.choices if isinstance(choice, int) and self.fits(choice))
        if value not in fitting and fitting:
            value = max([choice for choice in fitting if choice <= value] or [min(fitting)])
        return dataclasses.replace(self, default=value, choices=fitting)

    def _refuse(self, value: Value, text: str) -> None:
        shown = units.shown(value) if isinstance(value, str) else self.field.text(value)
        raise ValueError(f"{shown} {text}")

    def _limit_words(self, limit: Limit, word: str) -> str:
        return f"{self.field.text(limit.value)}, the {word} of {limit.where}"

    def _closed_words(self) -> str:
        if self.default is None or self.default == "":
            return f"{self.closed} gives no choice of it"
        return f"{self.closed} always has {self.field.text(self.default)}"

    def _unknown_words(self) -> str:
        known = ", ".join(self.field.text(choice) for choice in self.choices or ())
        if self.field.numeric:
            return "is not one of {}".format(known or "none")
        return f"is not known; known: {known}" if known else "is not known"
