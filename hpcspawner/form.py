"""The form: a menu drawn as HTML that works without JavaScript, and the posted fields read back.

Each card's fields carry the card's key in their names ('small.cores'), so that a browser may post all of them and only
those of the chosen card count.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import jinja2

from . import cards
from .fields import COUNT, FIELDS
from .menu import Card, ClusterMenu, Menu, key_of
from .menufield import MenuField
from .options import OptionError

RADIO = "profile"
"""Name of the radio buttons; the value is the key of a card."""


@dataclasses.dataclass(frozen=True)
class Input:
    """A field as it is drawn."""

    field: MenuField
    id: str
    name: str
    value: str
    error: str = ""

    @property
    def described(self) -> str:
        """Ids of the texts that belong to it."""
        return " ".join(self.id + end for end, text in (("-error", self.error), ("-help", self.field.help)) if text)

    @property
    def numeric(self) -> bool:
        return self.field.kind == COUNT

    @property
    def parts(self) -> str:
        """For the script: what each partition makes of the field."""
        return json.dumps({name: dataclasses.asdict(part) for name, part in self.field.parts.items()})


@dataclasses.dataclass(frozen=True)
class Drawn:
    """A card as it is drawn."""

    card: Card
    id: str
    checked: bool
    inputs: tuple[Input, ...]
    aside: tuple[Input, ...]
    error: str = ""

    @property
    def open(self) -> bool:
        """Whether 'More options' must be seen: something there is set or wrong."""
        return any(item.error or item.value != item.field.default for item in self.aside)


def render(
    menu: Menu,
    last: Mapping[str, Any] | None = None,
    error: OptionError | None = None,
    posted: Mapping[str, Any] | None = None,
    problems: Sequence[str] = (),
    ending: str = "",
) -> str:
    """Inner HTML of the hub's form. last: the choice of an earlier start; error and posted: of a refused one; ending:
    how the last job of this server ended."""
    shown = dict(posted if posted is not None else last or {})
    key = _chosen(menu, shown)
    drawn = {card.key: _draw(card, number, key, shown, error) for number, card in enumerate(menu.cards)}
    groups = [(cluster, [drawn[card.key] for card in cluster.cards]) for cluster in menu.clusters]
    told = {"problems": problems, "ending": ending}
    return str(_template().render(menu=menu, groups=groups, radio=RADIO, stamp=_stamp, **told))


def parse(posted: Mapping[str, Iterable[Any]]) -> dict[str, Any]:
    """The options of the chosen card. Names without a card's key count too; unknown ones stay, to be refused."""
    lists = {str(name): list(values) for name, values in posted.items() if not str(name).startswith("_")}
    keys = lists.pop(RADIO, [])
    key = keys[0] if len(keys) == 1 and isinstance(keys[0], str) else ""
    found: dict[str, Any] = {} if len(keys) < 2 else {RADIO: keys}
    if key.startswith("@"):
        found["cluster"] = key[1:]
    elif key:
        found[RADIO] = key
    for name, values in lists.items():
        head, dot, option = name.rpartition(".")
        if dot and head != key:
            continue
        value = values[0] if len(values) == 1 else values
        if value not in ("", []):
            found[option] = value
    return found


def _chosen(menu: Menu, shown: Mapping[str, Any]) -> str:
    keys = [card.key for card in menu.cards]
    key = key_of(shown)
    if key in keys:
        return key
    return keys[0] if keys else ""


def _draw(card: Card, number: int, chosen: str, shown: Mapping[str, Any], error: OptionError | None) -> Drawn:
    checked = card.key == chosen
    mine = shown if checked and key_of(shown) in (card.key, "") else {}
    wrong = error if checked else None
    identity = f"hpc-{number}-{re.sub(r'[^A-Za-z0-9_-]', '-', card.key)}"
    inputs = [_input(card, identity, field, mine, wrong) for field in card.fields]
    placed = wrong is None or card.field(wrong.field) is not None
    return Drawn(
        card=card,
        id=identity,
        checked=checked,
        inputs=tuple(item for item in inputs if not item.field.aside),
        aside=tuple(item for item in inputs if item.field.aside),
        error="" if placed else str(wrong),
    )


def _input(card: Card, identity: str, field: MenuField, shown: Mapping[str, Any], error: OptionError | None) -> Input:
    wrong = error is not None and error.field == field.option
    value = field.default
    given = _one(shown.get(field.option))
    if given is not None and (error is not None or field.takes(given)):
        # What was just posted is shown as it was typed, also where it is wrong.
        value = str(given)[:1024]
    return Input(
        field=field,
        id=f"{identity}-{field.option}",
        name=f"{card.key}.{field.option}",
        value=value,
        error=_sentence(error.text) if error is not None and wrong else "",
    )


def _one(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        value = value[0] if len(value) == 1 else None
    return value if isinstance(value, (str, int)) and not isinstance(value, bool) else None


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")


def _stamp(cluster: ClusterMenu) -> str:
    return "" if cluster.age is None else cards.age(cluster.age)


@functools.lru_cache(maxsize=1)
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("hpcspawner", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["fields"] = FIELDS
    return environment.get_template("form.html")
