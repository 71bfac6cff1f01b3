"""Rules of judging a report: what is taken, what is refused, and with which answer."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcspawner.job import Cluster
from hpcspawner.report import Changed, Expected, Known, New, ReportError, Same, is_node, judge
from hpcspawner.sitemodel import ClusterSite

TAG = "jupyter-abcdef-aaaaaaaaaa"


def report(**changes: Any) -> dict[str, Any]:
    return {
        "protocol": 1,
        "tag": TAG,
        "job_id": "77",
        "run": 0,
        "host": "node1",
        "port": 9001,
        "url_scheme": "http",
        **changes,
    }


def expected(**changes: Any) -> Expected:
    site = {name: changes.pop(name) for name in ("address", "ports", "node_networks") if name in changes}
    cluster = ClusterSite(cluster=Cluster("main", "slurm"), **site)
    return Expected(**{"tag": TAG, "cluster": cluster, "nodes": ("node1",), **changes})


def refusal(given: Any, known: Expected, addresses: tuple[str, ...] = (), **more: Any) -> tuple[int, str]:
    with pytest.raises(ReportError) as caught:
        judge(given, known, Known(addresses, **more))
    return caught.value.status, caught.value.text


def test_the_first_report_tells_where_the_server_is() -> None:
    verdict = judge(report(), expected())
    assert type(verdict) is New
    assert (verdict.host, verdict.port, verdict.job_id, verdict.run) == ("node1", 9001, "77", 0)
    assert verdict.url == "http://node1:9001"


def test_an_ipv6_address_is_written_with_brackets() -> None:
    verdict = judge(report(host="fd00::5"), expected(node_networks=("fd00::/8",)))
    assert verdict.url == "http://[fd00::5]:9001"


def test_the_same_report_again_changes_nothing() -> None:
    assert type(judge(report(), expected(url="http://node1:9001"))) is Same
    assert type(judge(report(run=2), expected(url="http://node1:9001/", run=2))) is Same


@pytest.mark.parametrize("change", [{"port": 9002}, {"host": "node2"}, {"url_scheme": "https"}])
def test_a_different_report_of_the_same_run_is_a_conflict(change: dict[str, Any]) -> None:
    status, _ = refusal(report(**change), expected(url="http://node1:9001", nodes=("node1", "node2")))
    assert status == 409


def test_a_later_run_may_be_somewhere_else_and_an_earlier_one_is_over() -> None:
    known = expected(url="http://node1:9001", run=1, nodes=("node1", "node2"))
    verdict = judge(report(run=2, host="node2"), known)
    assert type(verdict) is Changed
    assert verdict.run == 2
    assert refusal(report(run=0), known)[0] == 409


@pytest.mark.parametrize(
    ("change", "status", "field"),
    [
        ({"protocol": 2}, 400, "protocol"),
        ({"protocol": None}, 400, "protocol"),
        ({"more": 1}, 400, "more"),
        ({"tag": "jupyter-abcdef-bbbbbbbbbb"}, 403, "tag"),
        ({"tag": None}, 400, "tag"),
        ({"job_id": "7; rm"}, 400, "job_id"),
        ({"job_id": 77}, 400, "job_id"),
        ({"run": -1}, 400, "run"),
        ({"run": True}, 400, "run"),
        ({"run": "1"}, 400, "run"),
        ({"port": 0}, 400, "port"),
        ({"port": 65536}, 400, "port"),
        ({"port": 9001.0}, 400, "port"),
        ({"port": "9001"}, 400, "port"),
        ({"port": True}, 400, "port"),
        ({"port": 22}, 403, "port"),
        ({"url_scheme": "file"}, 400, "url_scheme"),
        ({"host": ""}, 400, "host"),
        ({"host": "node1/evil"}, 400, "host"),
        ({"host": "node1:80"}, 400, "host"),
        ({"host": "a@node1"}, 400, "host"),
        ({"host": "node1\n"}, 400, "host"),
        ({"host": "127.1"}, 400, "host"),
        ({"host": "2130706433"}, 400, "host"),
        ({"host": "0x7f.0x1"}, 400, "host"),
        ({"host": "x" * 300}, 400, "host"),
        ({"host": ["node1"]}, 400, "host"),
        ({"host": "node2"}, 403, "host"),
        ({"host": "10.0.0.1"}, 403, "host"),
    ],
)
def test_what_is_wrong_is_refused_and_the_field_is_named(change: dict[str, Any], status: int, field: str) -> None:
    got, text = refusal(report(**change), expected())
    assert (got, text.split(":")[0]) == (status, field)
    assert len(text) < 300


@pytest.mark.parametrize("given", [None, [], "x", 5, [report()]])
def test_anything_but_an_object_is_refused(given: Any) -> None:
    assert refusal(given, expected())[0] == 400


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.8.8.8",
        "::1",
        "::ffff:127.0.0.1",
        "localhost",
        "a.localhost",
        "169.254.169.254",
        "fe80::1",
        "0.0.0.0",
        "::",
        "224.0.0.1",
    ],
)
def test_loopback_and_link_local_addresses_are_refused_whatever_the_networks(host: str) -> None:
    status, _ = refusal(report(host=host), expected(nodes=(host,), node_networks=("0.0.0.0/0", "::/0")))
    assert status == 403


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
def test_a_local_job_may_listen_on_loopback(host: str) -> None:
    assert judge(report(host=host), expected(local=True, nodes=())).host == host


def test_a_local_job_may_not_name_a_cloud_metadata_service() -> None:
    assert refusal(report(host="169.254.169.254"), expected(local=True))[0] == 403


def test_a_port_outside_of_the_clusters_range_is_refused_with_the_range() -> None:
    status, text = refusal(report(port=8999), expected(ports=(9000, 9100)))
    assert status == 403
    assert "9000-9100" in text
    assert judge(report(port=9100), expected(ports=(9000, 9100))).port == 9100


def test_another_job_that_uses_the_files_of_this_one_is_refused() -> None:
    assert refusal(report(job_id="78"), expected(job_id="77"))[0] == 403
    assert judge(report(job_id=""), expected(job_id="77")).job_id == ""
    assert judge(report(job_id="78"), expected(job_id="")).job_id == "78"


def test_before_the_nodes_are_known_the_job_is_asked_to_try_again() -> None:
    assert refusal(report(), expected(nodes=()))[0] == 503


def test_an_address_in_a_network_of_the_nodes_needs_no_node_list() -> None:
    known = expected(nodes=(), node_networks=("10.1.0.0/16",))
    assert judge(report(host="10.1.2.3"), known).host == "10.1.2.3"
    assert judge(report(host="node9"), known, Known(("10.1.2.3",))).host == "node9"
    assert refusal(report(host="10.2.0.1"), known)[0] == 403


def test_a_name_that_leads_out_of_the_networks_is_refused_though_it_looks_like_a_node() -> None:
    known = expected(node_networks=("10.1.0.0/16",))
    assert refusal(report(host="node1.example.org"), known, ("203.0.113.5",))[0] == 403
    assert refusal(report(host="node1"), known, ("10.1.0.1", "203.0.113.5"))[0] == 403


@pytest.mark.parametrize("rule", ["fqdn", "{fqdn}"])
def test_a_domain_that_the_job_chose_must_lead_to_the_node_and_is_replaced_by_its_address(rule: str) -> None:
    """Whoever owns evil.example could lead node1.evil.example anywhere, today or after the hub has looked."""
    known, there = expected(address=rule), ("10.1.0.7",)
    assert refusal(report(host="node1.evil.example"), known, ("203.0.113.5",), nodes=there)[0] == 403
    assert refusal(report(host="node1.evil.example"), known, (*there, "10.1.0.1"), nodes=there)[0] == 403
    assert refusal(report(host="node1.evil.example"), known)[0] == 403
    verdict = judge(report(host="node1.cluster"), known, Known(there, there))
    assert verdict.url == "http://10.1.0.7:9001"
    again = expected(address=rule, url=verdict.url)
    assert type(judge(report(host="node1.cluster"), again, Known(there, there))) is Same
    told = expected(address=rule, nodes=("node1.cluster",))
    assert judge(report(host="node1.cluster"), told).host == "node1.cluster"


def test_a_name_within_the_networks_cannot_lead_elsewhere_tomorrow() -> None:
    known = expected(nodes=("node1",), node_networks=("10.1.0.0/16",))
    assert judge(report(host="x.evil.example"), known, Known(("10.1.0.9", "10.1.0.7"))).host == "10.1.0.7"
    assert judge(report(host="node1"), known, Known(("10.1.0.7",))).host == "node1"


def test_the_hubs_own_address_is_refused_though_it_lies_in_the_networks() -> None:
    known = expected(node_networks=("10.1.0.0/16",))
    for host in ("10.1.0.1", "hub", "node1.cluster"):
        assert refusal(report(host=host), known, ("10.1.0.1",), own=("10.1.0.1",))[0] == 403
    # The scheduler itself says that the hub's machine is the job's node.
    assert judge(report(), known, Known(("10.1.0.1",), own=("10.1.0.1",))).host == "node1"


def test_a_name_that_leads_to_the_hub_itself_is_refused() -> None:
    assert refusal(report(host="node1.example.org"), expected(), ("127.0.0.1",))[0] == 403
    assert refusal(report(host="node1.example.org"), expected(), ("10.0.0.1", "169.254.169.254"))[0] == 403


def test_a_node_that_is_the_hubs_own_machine_may_have_a_loopback_address() -> None:
    assert judge(report(host="node1"), expected(), Known(("127.0.1.1",))).host == "node1"
    assert judge(report(host="node1"), expected(nodes=("node1.cluster",)), Known(("127.0.1.1",))).host == "node1"


@pytest.mark.parametrize(
    ("host", "node", "rule", "same"),
    [
        ("node1", "node1", "hostname", True),
        ("NODE1", "node1", "hostname", True),
        ("node1.cluster", "node1", "fqdn", True),
        ("node1", "node1.cluster", "hostname", True),
        ("node1.cluster", "node1.cluster", "fqdn", True),
        ("node1.other", "node1.cluster", "fqdn", False),
        ("node10", "node1", "hostname", False),
        ("node", "node1", "hostname", False),
        ("node1-ib0.cluster", "node1", "{node}-ib0.cluster", True),
        ("node1-ib0.cluster", "node1.site.org", "{node}-ib0.cluster", True),
        ("node2-ib0.cluster", "node1", "{node}-ib0.cluster", False),
        ("node1", "node1", "{node}-ib0.cluster", False),
        ("node1-ib0xcluster", "node1", "{node}-ib0.cluster", False),
        ("ib.node1.site.org", "node1", "ib.{fqdn}", True),
        ("ib.node2.site.org", "node1", "ib.{fqdn}", False),
    ],
)
def test_names_of_nodes_are_compared_as_the_address_rule_makes_them(
    host: str, node: str, rule: str, same: bool
) -> None:
    assert is_node(host.lower(), node, rule) is same


def test_a_sites_own_batch_script_reports_a_port_only() -> None:
    assert judge({"port": 9001}, expected(plain=True)).url == "http://node1:9001"
    assert refusal({"port": 9001}, expected(plain=True, nodes=()))[0] == 503
    assert refusal({"port": 9001}, expected())[0] == 400


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(JSON | st.builds(lambda key, value: report(**{key: value}), st.sampled_from(sorted(report())), JSON))
def test_no_report_makes_anything_but_a_verdict_or_a_refusal(given: Any) -> None:
    try:
        verdict = judge(given, expected())
    except ReportError:
        return
    assert verdict.host.split(".")[0] == "node1"
