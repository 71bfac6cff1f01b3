"""The hub's pages that we extend: what they show, and that the cancel button means the server of the page."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jinja2
import pytest

from hpcspawner.lastending import LastEnding

from . import htmlkit

_data = pytest.importorskip("jupyterhub._data")
STOCK = str(Path(_data.DATA_FILES_PATH) / "templates")
OURS = str(Path(__file__).parent.parent / "hpcspawner" / "templates")
NASTY = "</script><b>\"'&"


def page(name: str, **context: Any) -> str:
    """A page in the frame of the installed hub, as the hub renders it."""
    loader = jinja2.ChoiceLoader(
        [
            jinja2.FileSystemLoader([OURS, STOCK]),
            jinja2.PrefixLoader({"templates": jinja2.FileSystemLoader(STOCK)}),
        ]
    )
    user = SimpleNamespace(name="al/ice", escaped_name="al%2Fice", json_escaped_name="al/ice", url="/user/al/")
    frame = {
        "base_url": "/hub/",
        "prefix": "/",
        "user": user,
        "no_spawner_check": True,
        "parsed_scopes": {},
        "services": [],
        "static_url": lambda path, **_: f"/hub/static/{path}",
    }
    environment = jinja2.Environment(loader=loader, autoescape=True)
    return environment.get_template(name).render(**{**frame, **context})


def pending(**spawner: Any) -> str:
    known = {"name": "", "job_id": "", "_summary": "", "_submitted": 0.0, **spawner}
    return page("spawn_pending.html", spawner=SimpleNamespace(**known), progress_url="/hub/api/x?_xsrf=a&b=c")


def main(html: str) -> htmlkit.Element:
    found = re.search(r'<div id="hpc-wait".*</noscript>\s*</div>', html, re.S)
    assert found
    root = htmlkit.read(found.group().strip())
    htmlkit.by_id(root)
    return root


def test_the_waiting_page_shows_summary_and_job_and_says_that_it_may_be_closed() -> None:
    html = pending(job_id="4711", _summary="Small · main · 2 cores", _submitted=1700000000.5)
    ids = htmlkit.by_id(main(html))
    assert ids["hpc-id"].text == "4711"
    assert "hidden" not in ids["hpc-id"].attrs
    assert ids["hpc-wait"]["data-submitted"] == "1700000000.5"
    assert ids["progress-message"]["aria-live"] == "polite"
    assert "Small · main · 2 cores" in html
    assert "You can close this page" in html
    assert 'new EventSource("/hub/api/x?_xsrf=a\\u0026b=c")' in html


@pytest.mark.parametrize(("name", "there"), [("", '"";'), ("gpu one", '"gpu one";')])
def test_the_cancel_button_means_the_server_and_owner_of_the_page(name: str, there: str) -> None:
    html = pending(name=name)
    assert f"const server = {there}" in html
    assert 'const owner = "al/ice";' in html
    assert "stop_named_server(encodeURIComponent(owner), encodeURIComponent(server)" in html
    assert "stop-server-btn" not in html
    link = htmlkit.by_id(main(html))["hpc-again"]["href"]
    assert link == "/hub/spawn/al%2Fice" + ("/gpu%20one" if name else "")


def test_no_name_becomes_html_or_script() -> None:
    html = pending(name=NASTY, job_id=NASTY, _summary=NASTY)
    assert "<b>" not in html
    assert htmlkit.by_id(main(html))["hpc-id"].text == NASTY


def test_the_page_of_a_server_that_ended_tells_why() -> None:
    ended = LastEnding("The server was idle for 1 minute <b>.", 1700000000.0, "77")
    spawners = {"x": SimpleNamespace(last_ending=ended), "": SimpleNamespace(last_ending=LastEnding())}
    user = SimpleNamespace(name="alice", escaped_name="alice", url="/user/alice/", spawners=spawners)
    told = page("not_running.html", server_name="x", spawn_url="/x", user=user)
    assert "Your last job (77) ended on 2023-11-1" in told
    assert "The server was idle for 1 minute &lt;b&gt;." in told
    for name in ("", "gone"):
        assert "hpc-ending" not in page("not_running.html", server_name=name, spawn_url="/x", user=user)


def test_a_held_job_is_offered_a_new_try() -> None:
    html = pending(job_id="4711")
    held = htmlkit.by_id(main(html))["hpc-held"]
    assert "hidden" in held.attrs
    assert "Cancel it and try again" in held.text
    assert "held = facts.held" in html


def test_a_failed_start_is_told_as_it_was_written() -> None:
    told = page("not_running.html", server_name="", spawn_url="/x", failed=True, failed_message="Job 1:\n<no>")
    assert '<div class="hpc-failure-text">Job 1:\n&lt;no&gt;</div>' in told
    block = "<p>Job 1 ended.</p><pre class='hpc-log'>a\nb</pre>"
    told = page("not_running.html", server_name="x", spawn_url="/x", failed=True, failed_html_message=block)
    assert f'<div class="alert alert-danger hpc-failure">{block}</div>' in told
    assert "server x failed" in told
    assert "The server is not running" in page("not_running.html", server_name="", spawn_url="/x")
