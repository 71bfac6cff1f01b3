"""From the form to a server: a cell runs, a start fails with its reason, and all of it without JavaScript."""

from __future__ import annotations

import json

import pytest

from . import kit
from .kit import expect

pytestmark = [pytest.mark.browser, pytest.mark.other_user, pytest.mark.flaky(reruns=1)]

FILE = "hpcspawner-browser-test.ipynb"
CONTENTS = f"/user/alice/api/contents/{FILE}"
CELL = "import os, getpass; print('result', 6 * 7, getpass.getuser(), os.environ['HPCSPAWNER_JOB_CORES'])"
NOTEBOOK = {
    "type": "notebook",
    "format": "json",
    "content": {
        "cells": [
            {"cell_type": "code", "id": "one", "execution_count": None, "metadata": {}, "outputs": [], "source": CELL}
        ],
        "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    },
}
ASK = """([method, path, body]) => fetch(path, {
  method, body: body || undefined, headers: {"X-XSRFToken": document.cookie.match(/_xsrf=([^;]*)/)[1]},
}).then((answer) => answer.status)"""


def test_jupyterlab_opens_and_a_cell_runs_as_the_user_in_the_job(place: kit.Place, alice: kit.Person) -> None:
    page = alice.form()
    kit.choose(page, "Flexible", cores="2")
    with place.full():
        kit.start(page)
        job = kit.waits(page, place, "alice")
    page.wait_for_url("**/user/alice/lab**", wait_until="commit")
    assert place.hub.job("alice") == job
    page.wait_for_load_state("load")
    assert page.evaluate(ASK, ["PUT", CONTENTS, json.dumps(NOTEBOOK)]) in (200, 201)
    try:
        page.goto(f"{place.hub.url}/user/alice/lab/tree/{FILE}?reset", wait_until="commit")
        expect(page.locator(".jp-Notebook-ExecutionIndicator")).to_have_attribute("data-status", "idle")
        page.locator(".jp-Notebook .jp-CodeCell .cm-content").first.click()
        page.keyboard.press("Shift+Enter")
        expect(page.locator(".jp-OutputArea-output").first).to_have_text("result 42 alice 2")
    finally:
        page.evaluate(ASK, ["DELETE", CONTENTS, ""])


def test_job_that_dies_shows_the_end_of_its_log(place: kit.Place, alice: kit.Person) -> None:
    page = alice.form()
    kit.choose(page, "Broken")
    with place.full():
        kit.start(page)
        job = kit.waits(page, place, "alice")
    expect(page.locator("#hpc-heading")).to_have_text("The server did not start")
    expect(page.locator("#progress-message")).to_contain_text(f"Job {job} ended before the server was ready")
    expect(page.locator("#progress-message pre")).to_contain_text("module: R/9 <beta> is not known here")
    page.reload()
    expect(page.locator("h1")).to_have_text("The server did not start")
    expect(page.locator(".hpc-failure")).to_contain_text(f"Job {job} ended before the server was ready")
    expect(page.locator(".hpc-failure pre")).to_contain_text("module: R/9 <beta> is not known here")
    page.locator("#start").click()
    expect(kit.card(page, "Broken").locator(".hpc-radio")).to_be_checked()


def test_everything_works_without_javascript(place: kit.Place, alice: kit.Person) -> None:
    page = alice.page(java_script_enabled=False)
    page.context.clear_cookies()
    kit.log_in(page, place, "alice")
    chosen = kit.choose(page, "Flexible", cores="9")
    kit.start(page)
    expect(chosen.locator(".invalid-feedback")).to_have_text("9 is more than 4, the most of profile flexible.")
    cores = chosen.get_by_label("Cores", exact=True)
    expect(cores).to_have_value("9")
    cores.fill("3")
    with place.full():
        kit.start(page)
        job = place.hub.pending("alice")
        page.reload()
        expect(page.locator("#hpc-id")).to_have_text(job)
        expect(page.locator(".hpc-summary")).to_contain_text("3 cores")
    place.hub.ready("alice")
    page.get_by_role("link", name="Load this page again").click()
    page.wait_for_url("**/user/alice/lab**", wait_until="commit")
