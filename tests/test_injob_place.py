"""Rules of where a job is: ids, addresses, and ports nobody else gets."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from hpcspawner.injob import hpcspawner_place as place


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("0.0.0.0", 0))
        sock.listen()
        yield sock


def test_the_first_variable_that_is_set_holds_the_job_id() -> None:
    plan = {"job_id_variables": ["SLURM_JOB_ID", "SLURM_JOBID"]}
    assert place.job_id(plan, {"SLURM_JOBID": "12"}) == "12"
    assert place.job_id(plan, {"SLURM_JOB_ID": "", "SLURM_JOBID": "12"}) == "12"
    assert place.job_id(plan, {}) == ""


@pytest.mark.parametrize(("text", "run"), [("", 0), ("0", 0), ("3", 3), ("x", 0), ("-1", 0)])
def test_the_run_counts_restarts_and_is_0_where_nobody_counts(text: str, run: int) -> None:
    assert place.run({"run_variable": "SLURM_RESTART_COUNT"}, {"SLURM_RESTART_COUNT": text}) == run
    assert place.run({"run_variable": ""}, {"": text}) in (0, run)


def test_an_end_that_is_not_known_is_none() -> None:
    plan = {"end_variables": ["SLURM_JOB_END_TIME"]}
    assert place.ends(plan, {"SLURM_JOB_END_TIME": "1700000000"}) == 1700000000
    assert place.ends(plan, {"SLURM_JOB_END_TIME": "Unknown"}) is None
    assert place.ends(plan, {}) is None


def test_the_address_follows_the_sites_rule() -> None:
    name = socket.gethostname()
    assert place.host({"address": "hostname"}) == name
    assert place.host({"address": "{node}-ib0.cluster"}) == name.split(".")[0] + "-ib0.cluster"
    assert place.host({"address": "interface:lo"}) == "127.0.0.1"
    assert place.host({"address": "hostname", "local": True}) == "127.0.0.1"


def test_a_missing_interface_is_named_with_those_that_are_there() -> None:
    with pytest.raises(place.PlaceError, match=r"no interface 'ib7'.*lo"):
        place.host({"address": "interface:ib7"})


def test_a_loopback_wish_of_the_hub_is_not_followed_on_another_machine() -> None:
    environ = {"JUPYTERHUB_SERVICE_URL": "http://127.0.0.1:0/user/a/"}
    assert place.bind_address({}, environ) == "0.0.0.0"
    assert place.bind_address({"local": True}, environ) == "127.0.0.1"
    assert place.bind_address({}, {"JUPYTERHUB_SERVICE_URL": "http://:0/user/a/"}) == ""
    assert place.bind_address({}, {"JUPYTERHUB_SERVICE_URL": "http://10.0.0.3:0/"}) == "10.0.0.3"


def test_the_service_url_gets_the_port_and_keeps_its_path() -> None:
    assert place.with_port("http://127.0.0.1:0/user/a/", 9001, "0.0.0.0") == "http://0.0.0.0:9001/user/a/"
    assert place.with_port("https://:0/user/a/", 9001, "") == "https://:9001/user/a/"
    assert place.with_port("http://x/", 9001, "fd00::1") == "http://[fd00::1]:9001/"


def test_a_port_in_use_is_passed_over(listener: socket.socket) -> None:
    taken = listener.getsockname()[1]
    held = place.hold_port((taken, taken + 40), "0.0.0.0")
    assert taken < held.port <= taken + 40
    held.release()


def test_a_full_range_is_an_error_that_names_it(listener: socket.socket) -> None:
    taken = listener.getsockname()[1]
    with pytest.raises(place.PlaceError, match=f"no port from {taken} to {taken} is free"):
        place.hold_port((taken, taken), "0.0.0.0")


def test_two_jobs_never_hold_one_port() -> None:
    one = place.hold_port((0, 0), "0.0.0.0")
    with pytest.raises(OSError, match="in use"), socket.socket() as strange:
        strange.bind(("0.0.0.0", one.port))
    two = place.hold_port((one.port, one.port + 40), "0.0.0.0")
    assert two.port != one.port
    one.release()
    two.release()


@pytest.mark.parametrize("bind", ["127.0.0.1", "0.0.0.0", ""])
def test_a_server_can_listen_on_the_held_port(bind: str) -> None:
    held = place.hold_port((0, 0), bind)
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind((bind, held.port))
        server.listen()
        held.release()
        socket.create_connection(("127.0.0.1", held.port)).close()


def test_the_port_of_the_try_before_is_taken_again() -> None:
    first = place.hold_port((0, 0), "0.0.0.0")
    first.release()
    again = place.hold_port((0, 0), "0.0.0.0", first.port)
    assert again.port == first.port
    again.release()
