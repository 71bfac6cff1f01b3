"""What all tests share: markers, and the count of tests that ran on real parts."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

REAL = os.environ.get("HPCSPAWNER_TEST_REAL") == "1"
"""Set by deploy/test where every real part is there: a test that needs one then runs, and never skips."""


def _sandbox_is_strict() -> bool:
    conf = Path(os.environ.get("SLURM_CONF", "/nonexistent"))
    return REAL and conf.is_file() and "JobSubmitPlugins=lua" in conf.read_text()


STRICT = _sandbox_is_strict()
"""Whether the Slurm is that of `deploy/slurm-sandbox up --strict`: then only tests marked strict or strict_too run."""

MARKERS = {
    "slurm": "runs on a real Slurm",
    "other_user": "acts as another user of this machine",
    "browser": "drives a real browser",
}
AT_LEAST = {"slurm": 150, "other_user": 250, "browser": 15}
"""Fewer than these in a whole run on real parts is a failure, however green the rest."""
AT_LEAST_STRICT = {"slurm": 30, "other_user": 30}
"""The same for the second run, on the strict sandbox."""

ALONE = ("test_counts", "test_crash", "test_faults", "test_requeue", "test_sight", "test_strict")
"""Modules that stop the scheduler's daemons, take nodes away or count commands: no other test is on Slurm meanwhile."""

_ran: Counter[str] = Counter()
_again: list[str] = []


def pytest_configure(config: pytest.Config) -> None:
    for name, text in MARKERS.items():
        config.addinivalue_line("markers", f"{name}: {text}")
    config.addinivalue_line("markers", "strict: needs the strict Slurm")
    config.addinivalue_line("markers", "strict_too(yes=True): runs on the plain and on the strict Slurm")


def _runs_here(item: pytest.Item) -> bool:
    strict, both = item.get_closest_marker("strict"), item.get_closest_marker("strict_too")
    return bool(strict or (both and both.args != (False,))) if STRICT else not strict


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if REAL:
        config.hook.pytest_deselected(items=[item for item in items if not _runs_here(item)])
        items[:] = [item for item in items if _runs_here(item)]
    items.sort(key=_turn)  # stable: the order within a module stays
    for item in items:
        needs = [name for name in MARKERS if item.get_closest_marker(name)]
        if needs and not REAL:
            item.add_marker(pytest.mark.skip(reason=f"needs {', '.join(needs)}: run deploy/test as root on Debian"))


def _turn(item: pytest.Item) -> tuple[int, int]:
    """Long modules first, those that need Slurm for themselves between those that don't need it at all.

    Two workers then seldom wait for each other.
    """
    names = ALONE[2], "browser", ALONE[1], "test_dialects", *ALONE[:1], "test_upgrades", *ALONE[3:]
    for turn, name in enumerate(names):
        if name in item.nodeid:
            return 0, turn
    return (2, 0) if item.get_closest_marker("slurm") else (1, 0)


def _on_slurm(request: pytest.FixtureRequest) -> bool:
    marks = getattr(request.module, "pytestmark", [])
    return any(mark.name == "slurm" for mark in (marks if isinstance(marks, list) else [marks]))


@pytest.fixture(scope="module", autouse=True)
def turn(request: pytest.FixtureRequest) -> Iterator[None]:
    """Tests in several processes share one Slurm: those that stop its daemons have it for themselves."""
    if not REAL or not _on_slurm(request):
        yield
        return
    alone = request.module.__name__.rpartition(".")[2] in ALONE
    with (Path(tempfile.gettempdir()) / "hpcspawner-test.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        yield


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.when == "call" and report.outcome == "passed":
        _ran.update(name for name in MARKERS if name in report.keywords)
    if report.outcome == "rerun":
        _again.append(report.nodeid)


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    if REAL:
        counts = ", ".join(f"{_ran[name]} {text}" for name, text in MARKERS.items())
        terminalreporter.write_line(f"On real parts{', strict Slurm' if STRICT else ''}: {counts}")
    for nodeid in _again:
        terminalreporter.write_line(f"Needed a second try: {nodeid}")


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    whole = not session.config.option.keyword and not session.config.option.markexpr
    whole = whole and all(
        arg.rstrip("/").endswith("tests") or arg == str(session.config.rootpath) for arg in session.config.args
    )
    if not (REAL and whole and exitstatus == 0) or hasattr(session.config, "workerinput"):
        return
    for name, least in (AT_LEAST_STRICT if STRICT else AT_LEAST).items():
        if _ran[name] < least:
            print(f"\nonly {_ran[name]} tests ran '{MARKERS[name]}', at least {least} must")
            session.exitstatus = 1
