"""The form as a browser without JavaScript meets it: drawn, posted back, wrong, remembered."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from hpcspawner import form, menu
from hpcspawner.options import OptionError, Person, validate
from hpcspawner.sitemodel import Environment, Profile, Site

from . import htmlkit
from .choicekit import ALICE, BOB, CAROL, CLOSED, GIB, HOUR, INVENTORY, SITE

LIVE: dict[str, Any] = {"rocket": INVENTORY}
ALL = Person("carol", frozenset({"ml"}), frozenset({"p200"}))


def drawn(person: Person = ALICE, site: Site = SITE, **given: Any) -> htmlkit.Element:
    shown = menu.describe(site, person, LIVE, {"rocket": 25.0})
    root = htmlkit.read(form.render(shown, **given))
    htmlkit.check_names(root)
    return root


def refused(given: dict[str, Any], person: Person = ALICE) -> OptionError:
    with pytest.raises(OptionError) as caught:
        validate(SITE, given, person, LIVE)
    return caught.value


def control(root: htmlkit.Element, name: str) -> htmlkit.Element:
    return next(element for element in root.all("input", "select") if element["name"] == name)


def value(root: htmlkit.Element, name: str) -> str:
    return htmlkit.posted(root)[name][0]


@pytest.mark.parametrize("person", [ALICE, BOB, CAROL, ALL])
def test_posting_the_form_as_it_is_starts_what_each_card_promises(person: Person) -> None:
    shown = menu.describe(SITE, person, LIVE)
    assert shown.cards
    for card in shown.cards:
        asked = {"profile": card.profile} if card.profile else {"cluster": card.cluster}
        root = htmlkit.read(form.render(shown, last=asked))
        assert validate(SITE, form.parse(htmlkit.posted(root)), person, LIVE) == validate(SITE, asked, person, LIVE)


CHOICES: list[tuple[Person, dict[str, Any]]] = [
    (ALICE, {"profile": "small", "cores": 5, "memory": "6G", "walltime": "03:30:00", "environment": "stats"}),
    (ALICE, {"profile": "small", "workdir": '~/a "b'.replace('"', ""), "account": "own"}),
    (ALICE, {"profile": "course", "partition": "main", "walltime": "08:00:00", "reservation": "day1"}),
    (BOB, {"profile": "gpu", "gpus": 2, "gpu_type": "mig", "app": "code"}),
    (BOB, {"cluster": "rocket", "partition": "gpu", "gpus": 1, "gpu_type": "mig", "nodes": 2, "qos": "long"}),
    (ALICE, {"cluster": "iris", "account": "p100", "environment": "iris-only"}),
]


@pytest.mark.parametrize(("person", "asked"), CHOICES)
def test_the_last_choice_is_drawn_and_posted_back_as_the_same_choice(person: Person, asked: dict[str, Any]) -> None:
    choice = validate(SITE, asked, person, LIVE)
    root = drawn(person, last=choice.canonical())
    assert validate(SITE, form.parse(htmlkit.posted(root)), person, LIVE) == choice


def test_only_the_chosen_card_counts() -> None:
    posted = htmlkit.posted(drawn())
    assert {name.split(".")[0] for name in posted if "." in name} == {"small", "course", "@rocket", "@iris"}
    posted["profile"] = ["course"]
    posted["small.cores"] = ["999"]
    asked = form.parse(posted)
    assert asked["profile"] == "course"
    assert "cores" not in asked
    posted["profile"] = ["@iris"]
    assert form.parse(posted)["cluster"] == "iris"
    assert "profile" not in form.parse(posted)


def test_parse_keeps_what_must_be_refused_and_drops_what_is_empty() -> None:
    assert form.parse({"profile": ["small"], "small.cores": [""], "cores": ["3"], "_xsrf": ["x"]}) == {
        "profile": "small",
        "cores": "3",
    }
    assert form.parse({"profile": ["small"], "small.batch_script": ["x"]})["batch_script"] == "x"
    assert form.parse({"profile": ["small", "gpu"]}) == {"profile": ["small", "gpu"]}
    assert form.parse({"profile": ["small"], "small.cores": ["1", "2"]})["cores"] == ["1", "2"]
    assert form.parse({}) == {}


def test_an_error_stands_beside_its_field_with_what_was_typed() -> None:
    asked = {"profile": "small", "cores": "200", "memory": "6G"}
    root = drawn(error=refused(asked), posted=asked)
    cores = control(root, "small.cores")
    assert cores["value"] == "200"
    assert cores["aria-invalid"] == "true"
    assert "is-invalid" in cores["class"]
    error = htmlkit.by_id(root)[cores["aria-describedby"].split()[0]]
    assert error.text == "200 is more than 8, the most of profile small."
    assert value(root, "small.memory") == "6G"
    assert [element["aria-invalid"] for element in root.all("input", "select")].count("true") == 1


def test_an_error_without_a_field_on_the_card_stands_at_its_head() -> None:
    asked = {"profile": "small", "nodes": "2"}
    alerts = [element.text for element in drawn(error=refused(asked), posted=asked).all() if element["role"] == "alert"]
    assert alerts == ["nodes: 2 is not possible, profile small always has 1"]


def test_an_error_below_more_options_opens_it() -> None:
    assert not any("open" in details.attrs for details in drawn().all("details"))
    asked = {"profile": "small", "workdir": "nowhere"}
    root = drawn(error=refused(asked), posted=asked)
    assert ["open" in details.attrs for details in root.all("details")].count(True) == 1
    assert control(root, "small.workdir")["value"] == "nowhere"


@pytest.mark.parametrize(
    "last",
    [
        {"profile": "gone", "cores": 4},
        {"profile": "small", "cores": 999, "memory": "1T", "walltime": "9-0", "environment": "gone"},
        {"profile": "small", "cores": ["x"], "memory": {}, "walltime": None},
        {"cluster": "mars"},
        {"profile": ["a", "b"]},
    ],
)
def test_a_last_choice_that_no_longer_fits_falls_back_to_the_defaults(last: dict[str, Any]) -> None:
    root = drawn(last=last)
    choice = validate(SITE, form.parse(htmlkit.posted(root)), ALICE, LIVE)
    assert (choice.profile, choice.cores, choice.memory, choice.walltime) == ("small", 2, 4 * GIB, 2 * HOUR)


NASTY = "\"><script>alert(1)</script>&amp;{{7*7}}'</fieldset>"


def test_no_text_of_a_user_or_of_the_site_becomes_html() -> None:
    profile = dataclasses.replace(SITE.profiles["small"], title=NASTY, description=NASTY)
    site = dataclasses.replace(
        SITE, profiles={"small": profile}, environments={"a": Environment("a", NASTY), "b": Environment("b", NASTY)}
    )
    posted = {"profile": "small", "cores": NASTY, "account": NASTY, "workdir": NASTY}
    root = drawn(site=site, error=refused(posted), posted=posted, problems=[NASTY], ending=NASTY)
    assert control(root, "small.cores")["value"] == NASTY
    assert len(list(root.all("script"))) == 1
    assert "49" not in "".join(element.text for element in root.all("label"))


def test_the_form_tells_how_the_last_job_ended() -> None:
    assert htmlkit.by_id(drawn(ending="Your last job ended."))["hpc-ending"].text == "Your last job ended."
    assert "hpc-ending" not in htmlkit.by_id(drawn())


def test_one_card_is_chosen_and_each_cluster_has_a_heading() -> None:
    root = drawn(ALL)
    radios = [element for element in root.all("input") if element["type"] == "radio"]
    assert [radio["value"] for radio in radios] == ["small", "course", "gpu", "@rocket", "project", "@iris"]
    assert ["checked" in radio.attrs for radio in radios].count(True) == 1
    assert {radio["name"] for radio in radios} == {"profile"}
    assert [heading.text for heading in root.all("h2")] == ["Rocket", "Iris"]
    assert not list(drawn(site=CLOSED).all("h2"))


def test_who_may_use_nothing_is_told_so() -> None:
    root = drawn(site=Site("x", title="Demo", clusters=SITE.clusters, profiles={"gpu": SITE.profiles["gpu"]}))
    assert "There is no profile that you may use. Please ask the people who run Demo." in root.text


def test_a_hidden_value_is_not_drawn_and_a_fixed_one_is_not_asked() -> None:
    names = set(htmlkit.posted(drawn(last={"profile": "course"})))
    assert not names & {"course.environment", "course.cores", "course.nodes"}
    assert {"course.partition", "course.walltime", "course.reservation"} <= names


def test_help_names_limits_in_words_and_per_partition_where_they_differ() -> None:
    root = drawn(BOB)
    ids = htmlkit.by_id(root)

    def help_of(name: str) -> str:
        return ids[control(root, name)["aria-describedby"].split()[-1]].text

    assert help_of("small.cores") == "Up to 8 cores."
    assert help_of("small.memory").startswith("1 GiB to 32 GiB.")
    assert help_of("small.walltime").startswith("Up to 12 h.")
    assert help_of("@rocket.cores").startswith("main: up to 20 cores; gpu: up to 64 cores.")
    assert help_of("@rocket.memory").startswith("main: up to 96 GiB; testing: none.")
    assert "gpu: up to 2 GPUs" in help_of("@rocket.gpus")


def test_cards_tell_what_they_give_and_how_busy_it_is() -> None:
    cards = {card.key: card for card in menu.describe(SITE, BOB, LIVE).cards}
    assert cards["small"].facts == ("2 cores", "4 GiB", "2 h", "Main")
    assert (cards["small"].live.state, cards["small"].live.text) == ("free", "87 cores free, 3 of 12 nodes idle")
    assert cards["gpu"].facts == ("8 cores", "1 × NVIDIA A100", "4 h", "GPU nodes")
    assert (cards["gpu"].live.state, cards["gpu"].live.text) == ("down", "starts no jobs at present")
    assert cards["course"].facts == ("4 cores", "whole node", "2 h", "testing")
    assert cards["course"].live.state == ""
    busy = dataclasses.replace(INVENTORY.partitions[0], free_cores=1, free_nodes=0)
    inventory = dataclasses.replace(INVENTORY, partitions=(busy,))
    assert menu.describe(SITE, ALICE, {"rocket": inventory}).cards[0].live.state == "busy"


def test_a_card_that_cannot_start_says_why_and_breaks_nothing() -> None:
    tiny = dataclasses.replace(INVENTORY.partitions[0], cores=1)
    site = dataclasses.replace(
        SITE,
        profiles={
            "bad": Profile(
                "bad", fields={"cores": dataclasses.replace(SITE.fields["nodes"], default=9, max=8, fixed=True)}
            )
        },
    )
    shown = menu.describe(site, ALICE, {"rocket": dataclasses.replace(INVENTORY, partitions=(tiny,))})
    assert shown.cards[0].problem == "cores: 9 is more than 8, the most of profile bad"
    assert "9 is more than 8" in htmlkit.read(form.render(shown)).text


def test_the_menu_is_json() -> None:
    told = json.loads(json.dumps(menu.as_dict(menu.describe(SITE, ALL, LIVE, {"rocket": 3.5}))))
    assert told["clusters"][0]["cards"][0]["fields"][0]["option"] == "cores"
    assert told["clusters"][0]["age"] == 3.5


@pytest.mark.parametrize(
    ("card", "partition"),
    [("course", "main"), ("course", "testing"), *[("@rocket", name) for name in ("main", "testing", "gpu")]],
)
def test_another_partition_needs_no_javascript(card: str, partition: str) -> None:
    asked: dict[str, Any] = {"profile": card} if card[0] != "@" else {"cluster": card[1:]}
    posted = htmlkit.posted(drawn(BOB, last=asked))
    posted[f"{card}.partition"] = [partition]
    assert validate(SITE, form.parse(posted), BOB, LIVE).partition == partition
