"""What a site must fulfil beyond types: names that exist, limits that fit, addresses, paths, directives."""

from __future__ import annotations

import pytest

from hpcspawner import sitefile
from hpcspawner.job import Inventory, PartitionInfo
from tests.sitekit import SMALL, changed, only_problem, problems

CLUSTER = "scheduler: slurm"
PROFILE = "profiles:\n  small:\n"
FIELDS = 'fields: {partition: cpu, cores: 2, memory: 4G, walltime: "02:00:00"}'


def cluster_with(line: str) -> str:
    return changed(CLUSTER, f"{CLUSTER}\n    {line}")


def profile_with(fields: str) -> str:
    return changed(FIELDS, f"fields: {{{fields}}}")


@pytest.mark.parametrize(
    ("text", "field", "words"),
    [
        (changed("name: uni", "name: ''"), "name", "is empty"),
        (changed("name: uni", "name: uni\nprefix: my-hub"), "prefix", "letters and digits"),
        (changed("name: uni", "name: uni\nformat: 99"), "format", "newer than this hpcspawner reads"),
        (changed("name: uni", "name: uni\nstate_dir: jobs"), "state_dir", "must begin with"),
        (changed("name: uni", "name: uni\nstate_dir: /scratch"), "state_dir", "put {user} into it"),
        (changed("name: uni", "name: uni\nstate_dir: '~/{uid}'"), "state_dir", "{uid}' is not replaced"),
        (changed("name: uni", "name: uni\nstate_dir: ~/../x"), "state_dir", "must not hold '..'"),
        (changed("name: uni", "name: uni\nlog_dir: logs"), "log_dir", "must begin with"),
        (changed("name: uni", 'name: uni\ntitle: "a\\eb"'), "title", "control characters"),
        (cluster_with("ports: 9100-9000"), "clusters.main.ports", "no range of ports"),
        (cluster_with("ports: 80-90"), "clusters.main.ports", "within 1024-65535"),
        (cluster_with("ports: 1-2-3"), "clusters.main.ports", "one range"),
        (cluster_with("address: eth0"), "clusters.main.address", "must be hostname, fqdn, interface:NAME"),
        (cluster_with("address: '{host}-ib'"), "clusters.main.address", "template with {node}"),
        (cluster_with("address: 'a b{node}'"), "clusters.main.address", "template with {node}"),
        (cluster_with("node_networks: [10.0.0.1/16]"), "clusters.main.node_networks[0]", "has host bits set"),
        (cluster_with("hub_url: hub:8081"), "clusters.main.hub_url", "must look like"),
        (cluster_with("hub_url: http://hub:8081/"), "clusters.main.hub_url", "must look like"),
        (cluster_with("hub_url: http://hub:x/hub/api"), "clusters.main.hub_url", "is no URL"),
        (cluster_with("hub_url: http://127.0.0.1:8081/hub/api"), "clusters.main.hub_url", "another machine"),
        (cluster_with("commands: bin"), "clusters.main.commands", "must begin with '/'"),
        (cluster_with("server: bin/python"), "clusters.main.server.python", "must begin with '/' or '~/'"),
        (cluster_with("server: 'python 3'"), "clusters.main.server.python", "must be a path, or the name"),
        (cluster_with("proxies: {'a-b': x}"), "clusters.main.proxies.a-b", "no name of a variable"),
        (cluster_with("switches: {turbo: true}"), "clusters.main.switches.turbo", "no switch"),
        (cluster_with("way: {kind: sudo, helper: h.pyz}"), "clusters.main.way.helper", "must begin with '/'"),
        (cluster_with("way: {kind: sudo, host: login}"), "clusters.main.way.host", "of use for ssh only"),
        (cluster_with("accounts: [a, 'b c']"), "clusters.main.accounts[1]", "is no name"),
        (
            cluster_with("accounts: [phys]\n    account_rules: {phsy: {users: [a]}}"),
            "clusters.main.account_rules.phsy",
            "did you mean phys?",
        ),
        (changed("omit: [memory]", "omit: [app]"), "clusters.main.partitions.gpu.omit[0]", "can't be left out"),
        (changed("a100:", "'a 100':"), "clusters.main.partitions.gpu.gpu_types.a 100", "is no name"),
        (changed("science:", "'a/b':"), "environments.a/b", "is no name"),
        (changed("python: python3", "clusters: [man]"), "environments.science.clusters[0]", "did you mean main?"),
        (changed("url: /lab", "url: //evil"), "apps.lab.url", "must begin with one '/'"),
        (changed("url: /lab", "command: [rserver]"), "apps.lab.command", "must hold {port}"),
        (changed(PROFILE, PROFILE + "    cluster: mian\n"), "profiles.small.cluster", "did you mean main?"),
    ],
)
def test_each_rule_names_its_field(text: str, field: str, words: str) -> None:
    problem = only_problem(text)
    assert problem.field == field
    assert words in problem.text


@pytest.mark.parametrize(
    ("fields", "field", "words"),
    [
        ("partition: cpus", "partition", "did you mean cpu?"),
        ("environment: science2", "environment", "did you mean science?"),
        ("app: labs", "app", "did you mean lab?"),
        ("gpu_type: a10", "gpu_type", "did you mean a100?"),
        ("cores: {default: 9, max: 8}", "cores", "9 is more than 8, max"),
        ("memory: {default: 1G, min: 2G}", "memory", "1G is less than 2G, min"),
        ("walltime: {min: 3600, max: 60}", "walltime", "is more than max 01:00:00"),
        ("cores: {default: 3, choices: [1, 2]}", "cores", "not among the choices"),
        ("cores: {fixed: true}", "cores", "needs a default"),
        ("cores: {default: 1, max: 2, fixed: true}", "cores", "have no meaning"),
        ("partition: cpu, cores: 41", "cores", "41 is more than 40, the most of partition cpu"),
        ("partition: cpu, cores: {min: 41}", "cores", "min 41 is more than 40"),
        ("partition: cpu, cores: [8, 80]", "cores", "80 is more than 40"),
        ("partition: cpu, walltime: 2-00:00:00", "walltime", "2-00:00:00 is more than 1-00:00:00"),
        ("partition: gpu, memory: 4G", "memory", "must not get it (omit)"),
        ("partition: cpu, gpus: 1", "gpus", "partition cpu has no gpu_types"),
        ("partition: gpu, gpus: 5", "gpus", "5 is more than 4, the most of partition gpu"),
    ],
)
def test_a_profile_that_could_never_start_is_told(fields: str, field: str, words: str) -> None:
    problem = only_problem(profile_with(fields))
    assert problem.field == f"profiles.small.fields.{field}"
    assert words in problem.text


def test_limits_of_the_whole_site_bind_profiles() -> None:
    text = SMALL + 'fields: {walltime: {max: "01:00:00"}}\n'
    assert only_problem(text).text == "02:00:00 is more than 01:00:00, the most of the whole site"


def test_an_option_that_the_scheduler_cant_carry_is_told() -> None:
    text = changed("scheduler: slurm", "scheduler: lsf").replace("partition: cpu, ", "partition: cpu, qos: high, ")
    assert only_problem(text).text == "LSF does not know this option"


def test_a_cluster_without_partitions_has_none_to_choose() -> None:
    text = "name: a\nclusters: {c: {scheduler: slurm}}\nprofiles: {p: {fields: {partition: main}}}\n"
    assert "'main' is no partition of this site" in only_problem(text).text


def test_something_must_be_startable() -> None:
    assert only_problem("name: a\nclusters: {c: {scheduler: slurm}}\n").field == "profiles"
    assert not problems("name: a\nclusters: {c: {scheduler: slurm}}\nfree_choice: true\n")
    assert only_problem("name: a\nfree_choice: true\n").text.startswith("is missing") or problems("name: a\n")


def test_ssh_needs_host_account_key_and_pinned_host_keys() -> None:
    found = problems(cluster_with("way: ssh"))
    assert [problem.field.rpartition(".")[2] for problem in found] == ["host", "account", "identity", "known_hosts"]
    whole = "way: {kind: ssh, host: 'login:2222', account: jup, identity: ~/.ssh/id, known_hosts: /etc/known}"
    assert not problems(cluster_with(whole))
    assert "no host name" in only_problem(cluster_with(whole.replace("login", "-oProxyCommand=x"))).text


@pytest.mark.parametrize(
    ("scheduler", "line", "words"),
    [
        ("slurm", "--mem=4G", "--mem is set from the options"),
        ("slurm", "-t 10", "-t is set from the options"),
        ("slurm", "-N2", "-N is set from the options"),
        ("slurm", "--job-name x", "--job-name is set"),
        ("slurm", "--export=ALL", "--export is set"),
        ("slurm", "#SBATCH --constraint=a", "leave out #SBATCH"),
        ("slurm", "constraint=a", "must begin with an option"),
        ("lsf", "-W 10", "-W is set"),
        ("cobalt", "-A proj", "-A is set"),
    ],
)
def test_directives_never_repeat_what_options_set(scheduler: str, line: str, words: str) -> None:
    text = f"name: a\nfree_choice: true\nclusters: {{c: {{scheduler: {scheduler}, directives: [{line!r}]}}}}\n"
    problem = only_problem(text)
    assert problem.field == "clusters.c.directives[0]"
    assert words in problem.text


def test_directives_are_free_otherwise() -> None:
    assert not problems(cluster_with("directives: ['--constraint=\"a&b\"', '-C fast', --switches=1]"))


def test_a_directive_is_one_line() -> None:
    assert "must be one line" in only_problem(cluster_with('directives: ["--comment=a\\r--uid=0"]')).text


def test_the_live_inventory_is_compared() -> None:
    live = Inventory((PartitionInfo("cpu", cores=1, max_walltime=3600), PartitionInfo("gpus")))
    with pytest.raises(sitefile.SiteError) as caught:
        sitefile.read_text(SMALL, "site.yaml", live)
    assert {problem.field: problem.text for problem in caught.value.problems} == {
        "clusters.main.partitions.gpu": "the scheduler shows no partition of this name (did you mean gpus?)",
        "profiles.small.fields.cores": "2 is more than 1, the most of partition cpu, as the scheduler shows it,",
        "profiles.small.fields.walltime": "02:00:00 is more than 01:00:00, the most of partition cpu, as the scheduler "
        "shows it,",
    }
