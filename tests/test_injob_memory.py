"""Rules of telling an end for lack of memory from other ends: what the kernel counted for the job's control group."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpcspawner.injob.hpcspawner_memory import killed


@pytest.mark.parametrize(
    ("own", "file", "text", "count"),
    [
        ("0::/slurm/job_7\n", "slurm/job_7/memory.events", "low 0\nmax 12\noom 3\noom_kill 2\n", 2),
        ("9:cpu:/x\n4:memory:/slurm/job_7\n", "memory/slurm/job_7/memory.oom_control", "under_oom 0\noom_kill 1\n", 1),
        ("0::/slurm/job_7\n", "slurm/job_8/memory.events", "oom_kill 2\n", 0),
        ("0::/slurm/job_7\n", "slurm/job_7/memory.events", "oom_kill many\n", 0),
        ("nonsense", "memory.events", "oom_kill 2\n", 0),
    ],
)
def test_the_kernel_s_count_is_read(tmp_path: Path, own: str, file: str, text: str, count: int) -> None:
    (tmp_path / "own").write_text(own)
    (tmp_path / "mount" / file).parent.mkdir(parents=True)
    (tmp_path / "mount" / file).write_text(text)
    assert killed(str(tmp_path / "own"), str(tmp_path / "mount")) == count


def test_a_machine_that_tells_nothing_counts_none(tmp_path: Path) -> None:
    assert killed(str(tmp_path / "none"), str(tmp_path)) == 0
