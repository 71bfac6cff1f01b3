"""Bad starts make longer and longer pauses, and name their node."""

from __future__ import annotations

from hpcspawner.gateway.patience import FIRST, MOST, Patience


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_many_bad_starts_at_one_time_are_one() -> None:
    clock = Clock()
    patience = Patience(clock)
    for _ in range(50):
        patience.bad("a job ended", ("n3",))
    assert patience.left() == FIRST
    assert patience.text == "a job ended [n3]"
    assert patience.nodes == {"n3": 50}


def test_pauses_double_up_to_a_limit_and_a_good_start_forgets_them() -> None:
    clock = Clock()
    patience, pauses = Patience(clock), []
    for _ in range(10):
        patience.bad("a job ended")
        pauses.append(patience.left())
        clock.now += patience.left()
    assert pauses[:3] == [FIRST, 2 * FIRST, 4 * FIRST]
    assert pauses[-1] == MOST
    patience.good()
    assert (patience.left(), patience.text) == (0.0, "")
    patience.bad("again")
    assert patience.left() == FIRST
