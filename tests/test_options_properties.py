"""No option value adds a directive, a shell word or a template construct; what the hub accepts, the helper accepts."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from hpcspawner import form, options, schedulers
from hpcspawner.fields import FIELDS, PATH
from hpcspawner.job import Job
from hpcspawner.options import OptionError, validate

from .choicekit import ALICE, BOB, CAROL, GIB, HOUR, INVENTORY, SITE

NASTY = [
    "\n",
    "\r",
    "\x00",
    "\x1b",
    "\u2028",
    "\x85",
    "'",
    '"',
    "`",
    "$(id)",
    "{{x}}",
    "{user}",
    ";",
    "&&",
    "|",
    "#SBATCH",
]
TEXTS = st.one_of(
    st.text(max_size=40),
    st.lists(st.sampled_from([*NASTY, "main", "a", "/", "~/", "-", "--qos=x", " ", "8G", "1:00:00"]), max_size=5).map(
        "".join
    ),
)
REAL: dict[str, list[Any]] = {
    "cluster": ["rocket", "iris"],
    "profile": list(SITE.profiles),
    "partition": ["main", "testing", "gpu", "batch"],
    "account": ["p100", "p200", "secret", "own"],
    "qos": ["normal", "long"],
    "reservation": ["course"],
    "nodes": [1, 2, 4],
    "cores": [1, "2", 8, 20, 40],
    "memory": ["1G", "4096", 8 * GIB, "180G"],
    "gpus": [0, "1", 2, 7],
    "gpu_type": ["a100", "mig"],
    "walltime": ["30", 60, "02:00:00", "2-0"],
    "environment": ["base", "stats", "iris-only"],
    "app": ["lab", "code"],
    "workdir": ["~/x y", "/data"],
}
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXTS, inner, max_size=3)),
    max_leaves=5,
)
PEOPLE = st.sampled_from([ALICE, BOB, CAROL])
LIVE: dict[str, Any] = {"rocket": INVENTORY}


def real_choices() -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional={name: st.sampled_from(values) for name, values in REAL.items()})


def mixed_choices() -> st.SearchStrategy[dict[Any, Any]]:
    """Mostly sound choices with a nasty value somewhere."""
    return st.builds(
        lambda sound, bad: {**sound, **bad},
        real_choices(),
        st.dictionaries(st.sampled_from(list(REAL)), TEXTS, max_size=2),
    )


FAST = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def choice_of(asked: Any, person: Any, live: Any = None) -> options.Choice | None:
    try:
        return validate(SITE, asked, person, live)
    except OptionError as error:
        refusal = str(error)
    assert refusal.isprintable()
    return None


@FAST
@given(st.dictionaries(st.one_of(TEXTS, st.sampled_from(list(REAL))), JSON, max_size=4), PEOPLE)
def test_whatever_is_sent_gives_a_choice_or_an_option_error(asked: dict[str, Any], person: Any) -> None:
    choice_of(asked, person)


@FAST
@given(mixed_choices(), PEOPLE)
@example({"workdir": "~/a\n#SBATCH --qos=high"}, ALICE)
@example({"account": "p;reboot"}, ALICE)
def test_no_value_that_passes_is_more_than_text(asked: dict[str, Any], person: Any) -> None:
    choice = choice_of(asked, person)
    if choice is None:
        return
    for name, value in choice.canonical().items():
        text = str(value)
        assert text.isprintable()
        assert not set(text) & set("'\"`$\\{};&|<>*?\n\r\t\x00")
        assert not text.startswith(("-", "#", "%"))
        if FIELDS[name].kind != PATH:
            assert " " not in text


@FAST
@given(real_choices(), PEOPLE, st.booleans())
def test_the_helper_accepts_what_the_hub_accepted_and_makes_the_same_of_it(
    asked: dict[str, Any], person: Any, live: bool
) -> None:
    choice = choice_of(asked, person, LIVE if live else None)
    if choice is not None:
        canonical = json.loads(json.dumps(choice.canonical()))
        assert options.recheck(SITE, canonical, person) == choice
        assert options.validate(SITE, canonical, person, LIVE if live else None) == choice
        assert options.restored(canonical) == choice


@FAST
@given(mixed_choices(), PEOPLE)
def test_a_script_has_the_same_lines_whatever_the_values(asked: dict[str, Any], person: Any) -> None:
    choice = choice_of(asked, person)
    if choice is None:
        return
    cluster = SITE.clusters[choice.cluster].cluster
    dialect = schedulers.load(cluster.scheduler)
    job = Job(
        name="demo-0a1b2c-aaaaaaaaaa",
        user="alice",
        command=("true",),
        resources=options.resources(SITE, choice),
        partition=choice.partition,
        account=choice.account,
        qos=choice.qos,
        reservation=choice.reservation,
        workdir="/home/alice",
    )
    directives = [line for line in dialect.script(cluster, job).splitlines() if line.startswith("#SBATCH")]
    names = [line.split()[1].split("=")[0] for line in directives]
    assert len(names) == len(set(names))
    for name, wanted in (("--partition", choice.partition), ("--account", choice.account), ("--qos", choice.qos)):
        assert (name in names) == bool(wanted)


@FAST
@given(st.dictionaries(TEXTS, st.lists(TEXTS, max_size=3), max_size=5))
def test_a_form_body_of_any_kind_is_read_without_failing(posted: dict[str, list[str]]) -> None:
    asked = form.parse(posted)
    choice_of(asked, ALICE)


@FAST
@given(st.integers(min_value=1, max_value=48 * HOUR))
def test_a_walltime_is_read_back_as_it_was_written(seconds: int) -> None:
    field = FIELDS["walltime"]
    if seconds >= field.least:
        assert field.parse(field.text(seconds)) == seconds


@FAST
@given(st.integers(min_value=1, max_value=1024**3))
def test_a_memory_is_read_back_as_it_was_written(mib: int) -> None:
    assert FIELDS["memory"].parse(FIELDS["memory"].text(mib)) == mib
