"""One hub for all browser tests; a browser for each module, since another module brings its own Playwright."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

from . import kit


@pytest.fixture(scope="package")
def place() -> Iterator[kit.Place]:
    with kit.place() as made:
        yield made


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        made = kit.launch(playwright)
        yield made
        made.close()


@pytest.fixture(scope="module")
def people(browser: Browser, place: kit.Place) -> dict[str, kit.Person]:
    return {name: kit.Person(browser, place, name) for name in kit.PASSWORDS}


@pytest.fixture
def alice(place: kit.Place, people: dict[str, kit.Person]) -> Iterator[kit.Person]:
    """Alice, with no server at the beginning and at the end."""
    yield people["alice"]
    people["alice"].close()
    place.clear()


@pytest.fixture
def bob(place: kit.Place, people: dict[str, kit.Person]) -> Iterator[kit.Person]:
    yield people["bob"]
    people["bob"].close()
    place.clear()
