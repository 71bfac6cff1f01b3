"""The first step, and what is printed: no machine is needed."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from hpcspawner import check, cli, sitefile
from hpcspawner.check.steps import Steps
from tests.sitekit import SMALL

from .kit import Page


def written(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize("preset", sorted(sitefile.presets()))
def test_every_preset_is_a_valid_file(preset: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert check.run(preset, file_only=True) == 0
    assert Page(capsys.readouterr().out).step("site file").state == "ok"


def test_a_valid_file_tells_what_is_in_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check.run(written(tmp_path / "site.yaml", SMALL), file_only=True) == 0
    found = Page(capsys.readouterr().out).step("site file").found
    assert "1 cluster, 1 profile, 1 environment, 1 app" in found


def test_all_problems_are_told_at_once_with_their_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path / "site.yaml", SMALL.replace("slurm", "slrum").replace("cores: 2", "cores: 200"))
    assert check.run(path, file_only=True) == 1
    page = Page(capsys.readouterr().out)
    assert page.failed() == ["site file"]
    below = page.advice("site file")
    assert f"| {path}:4: clusters.main.scheduler" in below
    assert "profiles.small.fields.cores" in below
    assert "-> " in below


def test_a_missing_file_and_no_file_at_all_are_failures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert check.run(str(tmp_path / "none.yaml"), file_only=True) == 1
    assert "No such file" in Page(capsys.readouterr().out).advice("site file")
    monkeypatch.delenv("HPCSPAWNER_SITE", raising=False)
    assert check.run(None) == 1
    assert "HPCSPAWNER_SITE" in Page(capsys.readouterr().out).advice("site file")


def test_the_variable_names_the_site(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HPCSPAWNER_SITE", "demo")
    assert check.run(None, file_only=True) == 0
    assert "demo.yaml" in Page(capsys.readouterr().out).step("site file").found


def test_the_command_line_reaches_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path / "site.yaml", SMALL)
    assert cli.main(["check", path, "--file-only"]) == 0
    assert capsys.readouterr().out.startswith("ok    site file: ")


def test_a_step_is_one_line_with_advice_below() -> None:
    out = io.StringIO()
    steps = Steps(out)
    assert steps.ok("one", "fine", "a note")
    assert steps.code == 0
    assert not steps.skip("two", "not now")
    assert steps.code == 0
    assert not steps.fail("three", "broken", "mend it", lines=["said \x1b[31mred"])
    assert steps.code == 1
    steps.summary()
    assert out.getvalue().splitlines() == [
        "ok    one: fine",
        "      a note",
        "skip  two: not now",
        "FAIL  three: broken",
        "      | said ?[31mred",
        "      -> mend it",
        "",
        "1 ok, 1 failed, 1 skipped",
    ]
