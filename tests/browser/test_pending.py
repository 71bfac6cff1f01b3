"""The waiting page: what it tells, its cancel button, a second window, a reload, a hub that restarts."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page

from . import kit
from .kit import expect

pytestmark = [pytest.mark.browser, pytest.mark.other_user, pytest.mark.flaky(reruns=1)]


@pytest.fixture(autouse=True)
def full(place: kit.Place) -> Iterator[None]:
    with place.full():
        yield


def started(alice: kit.Person, name: str = "") -> Page:
    page = alice.form(name)
    kit.choose(page, "Flexible", cores="2")
    kit.start(page)
    return page


def test_job_state_reason_and_time_are_shown(place: kit.Place, alice: kit.Person) -> None:
    page = started(alice)
    kit.waits(page, place, "alice")
    expect(page.locator(".hpc-summary")).to_contain_text("Flexible")
    expect(page.locator(".hpc-summary")).to_contain_text("2 cores")
    expect(page.locator("#hpc-reason")).to_have_text("waiting for free cores or memory of this machine")
    expect(page.locator("#hpc-elapsed")).to_have_text(re.compile(r"^[1-9]\d* s$"))
    expect(page.locator("#progress-message")).to_contain_text("waits in the queue")
    expect(page.locator("#progress-bar")).to_have_attribute("aria-valuenow", "20")


@pytest.mark.parametrize("name", ["", "second"])
def test_cancel_button_ends_the_server_of_the_page_and_no_other(place: kit.Place, alice: kit.Person, name: str) -> None:
    other = "second" if not name else ""
    kept = started(alice, other)
    job = kit.waits(kept, place, "alice", other)
    page = started(alice, name)
    kit.waits(page, place, "alice", name)
    page.get_by_role("button", name="Cancel the start").click()
    page.wait_for_url("**/hub/home")
    place.hub.stopped("alice", name)
    assert place.hub.job("alice", other) == job
    expect(kept.locator("#hpc-state")).to_have_text("waiting in the queue")


def test_second_window_and_reload_show_the_same_job(place: kit.Place, alice: kit.Person) -> None:
    first = started(alice)
    job = kit.waits(first, place, "alice")
    second = first.context.new_page()
    second.goto(place.url("spawn/alice"))
    kit.waits(second, place, "alice")
    first.reload()
    assert kit.waits(first, place, "alice") == job
    second.get_by_role("button", name="Cancel the start").click()
    expect(first.locator("h1")).to_have_text("The server is not running")
    first.get_by_role("button", name="Launch").click()
    expect(kit.card(first, "Flexible").get_by_label("Cores", exact=True)).to_have_value("2")


def test_page_that_stays_open_finds_the_job_again_after_a_hub_restart(place: kit.Place, alice: kit.Person) -> None:
    page = started(alice)
    job = kit.waits(page, place, "alice")
    place.hub.kill()
    try:
        expect(page.locator("#progress-message")).to_contain_text("The hub does not answer")
    finally:
        place.hub.start()
    expect(page.locator("#progress-message")).to_contain_text(f"Job {job}: waits in the queue")
    assert kit.waits(page, place, "alice") == job
    expect(page.locator(".hpc-summary")).to_contain_text("2 cores")
    page.get_by_role("button", name="Cancel the start").click()
    page.wait_for_url("**/hub/home")
    place.hub.stopped("alice")
