"""Reads HTML strictly: tags that nest, ids that are unique, and what a form's controls are called and described by."""

from __future__ import annotations

from collections.abc import Iterator
from html.parser import HTMLParser

VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}
BLOCKS = {"div", "p", "fieldset", "details", "h1", "h2", "ul", "dl", "pre", "form", "table", "section"}


class Element:
    def __init__(self, tag: str, attrs: dict[str, str | None], parent: Element | None) -> None:
        self.tag, self.attrs, self.parent = tag, attrs, parent
        self.children: list[Element] = []
        self.texts: list[str] = []

    def __getitem__(self, name: str) -> str:
        return self.attrs.get(name) or ""

    @property
    def text(self) -> str:
        return " ".join(" ".join([*self.texts, *(child.text for child in self.children)]).split())

    def all(self, *tags: str) -> Iterator[Element]:
        for child in self.children:
            if not tags or child.tag in tags:
                yield child
            yield from child.all(*tags)

    def inside(self, tag: str) -> bool:
        return self.parent is not None and (self.parent.tag == tag or self.parent.inside(tag))


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = self.at = Element("#root", {}, None)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"<{tag}> has an attribute twice: {names}"
        element = Element(tag, dict(attrs), self.at)
        for closed in ("p", "label", "span", "button"):
            inside = self.at.tag == closed or self.at.inside(closed)
            assert not (tag in BLOCKS and inside), f"<{tag}> within <{closed}>"
        self.at.children.append(element)
        if tag not in VOID:
            self.at = element

    def handle_endtag(self, tag: str) -> None:
        assert self.at.tag == tag, f"</{tag}> closes <{self.at.tag}>"
        assert self.at.parent is not None
        self.at = self.at.parent

    def handle_data(self, data: str) -> None:
        self.at.texts.append(data)


def read(html: str) -> Element:
    """The tree of well-formed HTML; AssertionError otherwise."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    assert reader.at is reader.root, f"<{reader.at.tag}> is not closed"
    return reader.root


def by_id(root: Element) -> dict[str, Element]:
    """Elements by id, which must be unique and without blanks."""
    found: dict[str, Element] = {}
    for element in root.all():
        identity = element.attrs.get("id")
        if identity is not None:
            assert identity, f"<{element.tag}> has an empty id"
            assert not set(identity) & set(" \t\n"), identity
            assert identity not in found, f"id {identity} is there twice"
            found[identity] = element
    return found


def check_names(root: Element) -> None:
    """Every control has a label; every reference leads somewhere."""
    ids = by_id(root)
    labels = {label["for"] for label in root.all("label")}
    assert labels <= set(ids)
    for element in root.all():
        for name in ("aria-describedby", "aria-labelledby", "list"):
            for identity in element[name].split():
                assert identity in ids, f"{name} of <{element.tag}> leads to no {identity}"
        if element.tag in ("input", "select", "textarea") and element["type"] != "hidden":
            assert element["id"] in labels, f"no label for {element.attrs}"
    for label in root.all("label"):
        assert label.text, f"label of {label['for']} is empty"
    for group in root.all("fieldset"):
        assert group.children, "an empty fieldset"
        assert group.children[0].tag == "legend", "a fieldset begins with its legend"


def posted(root: Element) -> dict[str, list[str]]:
    """What a browser without JavaScript sends: every named control, whether it is shown or not."""
    found: dict[str, list[str]] = {}
    for element in root.all("input", "select"):
        if "disabled" in element.attrs or (element["type"] == "radio" and "checked" not in element.attrs):
            continue
        value = element["value"]
        if element.tag == "select":
            options = list(element.all("option"))
            chosen = [option for option in options if "selected" in option.attrs] or options[:1]
            value = chosen[0]["value"]
        found.setdefault(element["name"], []).append(value)
    return found
