"""Rules of telling the hub: for as long as it takes, but not after a no."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from hpcspawner.injob import hpcspawner_report as report

from .injobkit import Hub

BODY = {"protocol": 1, "port": 9000}
ENVIRON = {"JUPYTERHUB_API_TOKEN": "secret-token"}


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub() as hub:
        yield hub


def deliver(hub: Hub, tries: int = 20) -> tuple[bool, list[str], list[float]]:
    told: list[str] = []
    waits: list[float] = []

    def wait(seconds: float) -> bool:
        waits.append(seconds)
        return len(waits) >= tries

    return report.deliver(hub.report, BODY, ENVIRON, told.append, wait), told, waits


def test_a_report_carries_the_servers_token_and_is_sent_once(hub: Hub) -> None:
    assert deliver(hub) == (True, [], [])
    assert hub.reports == [BODY]
    assert hub.tokens == ["token secret-token"]


@pytest.mark.parametrize("status", [500, 502, 503, 429, 409, 302])
def test_what_may_pass_is_tried_again(hub: Hub, status: int) -> None:
    hub.answers = [(status, '{"message": "later"}')] * 3 + [(200, "{}")]
    done, told, waits = deliver(hub)
    assert done
    assert len(hub.reports) == 4
    assert len(told) == 1
    assert waits[0] < waits[1] < waits[2]


@pytest.mark.parametrize("status", [400, 403, 404, 413])
def test_a_no_of_the_hub_is_final_and_says_why(hub: Hub, status: int) -> None:
    hub.answers = [(status, '{"message": "another job"}')]
    with pytest.raises(report.Refused, match=f"{status}.*another job"):
        deliver(hub)


def test_the_error_page_of_a_proxy_is_no_word_of_the_hub(hub: Hub) -> None:
    hub.answers = [(403, "<html>maintenance</html>"), (404, "[]"), (200, "{}")]
    assert deliver(hub)[0]


def test_a_hub_that_is_away_is_waited_for_without_flooding_it() -> None:
    hub = Hub()
    hub.up()
    hub.down()
    done, told, waits = deliver(hub, tries=12)
    assert not done
    assert len(told) == 1
    assert max(waits) <= report.SLOWEST * 1.2


def test_a_hub_that_comes_back_gets_the_report() -> None:
    hub = Hub()
    hub.up()
    hub.down()
    back = threading.Event()

    def wait(_: float) -> bool:
        if not back.is_set():
            hub.up()
            back.set()
        return False

    assert report.deliver(hub.report, BODY, ENVIRON, lambda _: None, wait)
    assert hub.reports == [BODY]
    hub.down()


def test_another_url_is_tried_where_the_first_does_not_answer(hub: Hub) -> None:
    urls = ["http://127.0.0.1:1/hub/api/batchspawner", *hub.report["urls"]]
    assert report.deliver({"urls": urls}, BODY, ENVIRON, lambda _: None, lambda _: True)


def test_a_proxy_gets_the_whole_url(hub: Hub) -> None:
    answer = report.send("http://hub.invalid/hub/api/batchspawner", BODY, ENVIRON, f"http://127.0.0.1:{hub.port}")
    assert answer.status == 200
    assert hub.reports == [BODY]


@pytest.mark.parametrize("url", ["", "no url", "ftp://x/", "http://", "http://[::1"])
def test_a_wrong_url_is_an_answer_in_words_not_an_exception(url: str) -> None:
    answer = report.send(url, BODY, ENVIRON)
    assert answer.status == 0
    assert answer.text


def test_a_wish_to_wait_is_respected(hub: Hub) -> None:
    answer = report._answer(503, '{"message": "x"}', "17")
    assert answer.after == 17.0
    assert report._answer(503, "", "Fri, 21 Nov 2026").after is None
