"""Which workers share a job, which jobs an array, and which refusals mean 'not so many'."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcspawner.gateway import grouping


@given(st.integers(0, 300), st.integers(1, 9), st.integers(1, 50))
def test_every_worker_is_in_one_job_of_one_array(count: int, per_job: int, most: int) -> None:
    jobs = grouping.groups(list(range(count)), per_job)
    arrays = grouping.chunks(jobs, most)
    assert [item for array in arrays for job in array for item in job] == list(range(count))
    assert all(0 < len(job) <= per_job for job in jobs)
    assert all(0 < len(array) <= most for array in arrays)
    assert len(arrays) == -(-len(jobs) // most)


@pytest.mark.parametrize(
    "text",
    [
        "sbatch: error: QOSMaxSubmitJobPerUserLimit",
        "Batch job submission failed: Job violates accounting/QOS policy (job submit limit, user's size and/or time)",
        "sbatch: error: AssocMaxSubmitJobLimit",
        "sbatch: error: Batch job submission failed: Invalid job array specification",
        "Job array limit: array size exceeds MaxArraySize",
        "User <alice>: Pending job threshold reached. Retrying in 60 seconds...",
        "Bad argument for option -J. Job array size exceeds the limit",
        "The limit of 20 queued jobs per user has been reached",
    ],
)
def test_a_refusal_for_a_limit_is_known(text: str) -> None:
    assert grouping.is_limit(text)


@pytest.mark.parametrize(
    "text",
    [
        "sbatch: error: Batch job submission failed: Invalid account or account/partition combination specified",
        "Requested node configuration is not available",
        "folder: No space left on device",
    ],
)
def test_other_refusals_are_no_limit(text: str) -> None:
    assert not grouping.is_limit(text)


def test_indexes_are_gathered_by_tag() -> None:
    assert grouping.together([("a", 1), ("b", 2), ("a", 3)]) == {"a": {1, 3}, "b": {2}}
