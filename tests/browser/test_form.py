"""The form in a real browser: choosing, mistakes, memory, small screens, other people's servers."""

from __future__ import annotations

import re

import pytest

from . import kit
from .kit import expect

pytestmark = [pytest.mark.browser, pytest.mark.other_user, pytest.mark.flaky(reruns=1)]


def test_login_leads_to_the_form_with_the_profiles_one_may_use(place: kit.Place, alice: kit.Person) -> None:
    page = alice.window().browser.new_context().new_page()  # type: ignore[union-attr]
    kit.log_in(page, place, "alice", "wrong")
    expect(page.get_by_text("Invalid username or password")).to_be_visible()
    kit.log_in(page, place, "alice")
    expect(page.locator(".hpc-title")).to_have_text(["Small", "Flexible", "Broken"])
    expect(kit.card(page, "Small").locator(".hpc-radio")).to_be_checked()
    expect(kit.card(page, "Small").locator(".hpc-fact")).to_contain_text(["1 core", "1 GiB", "1 h"])
    page.context.close()


def test_only_the_chosen_card_shows_its_fields_and_keys_choose_too(alice: kit.Person) -> None:
    page = alice.form()
    flexible = kit.card(page, "Flexible")
    expect(flexible.get_by_label("Cores", exact=True)).to_be_hidden()
    kit.choose(page, "Flexible")
    expect(flexible.get_by_label("Cores", exact=True)).to_be_visible()
    expect(flexible.get_by_label("Cores", exact=True)).to_have_value("1")
    flexible.locator(".hpc-radio").press("ArrowDown")
    expect(kit.card(page, "Broken").locator(".hpc-radio")).to_be_checked()
    expect(flexible.get_by_label("Cores", exact=True)).to_be_hidden()


def test_free_cores_of_the_machine_are_shown(place: kit.Place, alice: kit.Person) -> None:
    page = alice.form()

    def shown() -> bool:
        page.reload()
        return kit.card(page, "Small").locator(".hpc-live").count() == 1

    kit.until(shown, "the inventory is known")
    expect(kit.card(page, "Small").locator(".hpc-live")).to_contain_text("cores free")


def test_wrong_value_is_told_next_to_its_field_and_what_was_typed_stays(place: kit.Place, alice: kit.Person) -> None:
    page = alice.form("lab-1")
    kit.choose(page, "Flexible", cores="3", memory="lots")
    kit.start(page)
    flexible = kit.card(page, "Flexible")
    memory = flexible.get_by_label("Memory", exact=True)
    expect(memory).to_have_value("lots")
    expect(memory).to_have_attribute("aria-invalid", "true")
    error = page.locator(f"#{memory.get_attribute('id')}-error")
    expect(error).to_contain_text("'lots'")
    expect(memory).to_have_accessible_description(re.compile(f"^{re.escape(error.inner_text())}"))
    expect(flexible.locator(".hpc-radio")).to_be_checked()
    expect(flexible.get_by_label("Cores", exact=True)).to_have_value("3")
    assert not place.hub.job("alice", "lab-1")
    # Mended in the same page, it starts the server that was asked for.
    memory.fill("2G")
    with place.full():
        kit.start(page)
        kit.waits(page, place, "alice", "lab-1")
        expect(page.locator(".hpc-summary")).to_contain_text("3 cores")
    assert not place.hub.job("alice")


def test_number_beyond_the_limit_does_not_leave_the_browser(alice: kit.Person) -> None:
    page = alice.form()
    kit.choose(page, "Flexible", cores="5")
    kit.start(page)
    cores = kit.card(page, "Flexible").get_by_label("Cores", exact=True)
    assert cores.evaluate("field => field.validity.rangeOverflow")
    expect(page).to_have_url(alice.place.url("spawn/alice"))


def test_last_valid_choice_is_remembered_and_a_refused_one_is_not(place: kit.Place, alice: kit.Person) -> None:
    with place.full():
        page = alice.form()
        kit.choose(page, "Flexible", cores="4", memory="3G")
        kit.start(page)
        kit.waits(page, place, "alice")
    place.clear()
    page.goto(place.url("spawn/alice"))
    kit.choose(page, "Flexible", cores="2", memory="1000G")
    kit.start(page)
    error = kit.card(page, "Flexible").locator(".invalid-feedback")
    expect(error).to_have_text("1000G is more than 8G, the most of profile flexible.")
    page.goto(place.url("spawn/alice"))
    flexible = kit.card(page, "Flexible")
    expect(flexible.locator(".hpc-radio")).to_be_checked()
    expect(flexible.get_by_label("Cores", exact=True)).to_have_value("4")
    expect(flexible.get_by_label("Memory", exact=True)).to_have_value("3G")


def test_admin_starts_somebody_elses_server_with_the_owners_profiles(
    place: kit.Place, alice: kit.Person, bob: kit.Person
) -> None:
    place.hub.add_user("alice")
    page = bob.form()
    expect(kit.card(page, "For Bob alone")).to_be_visible()
    page = bob.form(owner="alice")
    expect(page.get_by_text("Spawning server for alice")).to_be_visible()
    expect(kit.card(page, "For Bob alone")).to_have_count(0)
    with place.full():
        kit.choose(page, "Flexible", cores="2")
        kit.start(page)
        kit.waits(page, place, "alice")
        assert not place.hub.job("bob")
        page.get_by_role("button", name="Cancel").click()
        place.hub.stopped("alice")


def test_narrow_screen_needs_no_sideways_scrolling(place: kit.Place, alice: kit.Person) -> None:
    page = alice.form(viewport={"width": 400, "height": 800})
    kit.choose(page, "Flexible", memory="a very long value that is wrong and not to be read as anything")
    kit.fits(page)
    kit.start(page)
    expect(page.locator(".invalid-feedback")).to_be_visible()
    kit.fits(page)
    kit.choose(page, "Broken")
    with place.full():
        kit.start(page)
        kit.waits(page, place, "alice")
        kit.fits(page)
    expect(page.locator("#hpc-heading")).to_have_text("The server did not start")
    kit.fits(page)
    page.reload()
    expect(page.locator(".hpc-failure pre")).to_be_visible()
    kit.fits(page)
