"""How the last job ended is kept with the server and told in one sentence."""

from __future__ import annotations

from typing import Any

import pytest

from hpcspawner.lastending import LastEnding


def test_it_goes_through_the_hub_s_database() -> None:
    ending = LastEnding("A node of the job failed.", 1700000000.0, "77")
    assert LastEnding.from_json({**ending.as_json(), "newer": 1}) == ending
    assert ending.words.startswith("Your last job (77) ended on 2023-11-1")
    assert ending.words.endswith(": A node of the job failed.")


@pytest.mark.parametrize("given", [None, {}, [], "x", {"text": 3}, {"at": 1}])
def test_what_another_version_wrote_does_no_harm(given: Any) -> None:
    assert not LastEnding.from_json(given)
    assert LastEnding.from_json(given).words == ""
    assert LastEnding().as_json() == {}


def test_odd_parts_are_passed_over() -> None:
    assert LastEnding.from_json({"text": "x", "at": "soon", "job_id": None}) == LastEnding("x")
