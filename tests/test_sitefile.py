"""Reading a site file: values mean what an admin sees, and every mistake is told with file, line and field."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcspawner import sitefile
from hpcspawner.sitemodel import FieldRule, GpuType, Rules
from tests.sitekit import SMALL, changed, only_problem, problems


def test_the_small_file_is_valid() -> None:
    site = sitefile.read_text(SMALL)
    assert site.clusters["main"].cluster.scheduler == "slurm"
    assert list(site.clusters["main"].partitions) == ["cpu", "gpu"]
    assert site.profiles["small"].fields["memory"] == FieldRule(default=4096, fixed=True)


@pytest.mark.parametrize(
    ("written", "rule"),
    [
        ("cores: 2", FieldRule(default=2, fixed=True)),
        ("cores: '2'", FieldRule(default=2, fixed=True)),
        ("cores: [4, 1, 2]", FieldRule(default=4, choices=(4, 1, 2))),
        ("cores: {default: 2, min: 1, max: 8}", FieldRule(default=2, min=1, max=8)),
        ("cores: {choices: [1, 2]}", FieldRule(default=1, choices=(1, 2))),
        ("cores: {default: 2, hidden: yes}", FieldRule(default=2, fixed=True, hidden=True)),
        ("cores: {max: 8}", FieldRule(max=8)),
        ("walltime: 02:00:00", FieldRule(default=7200, fixed=True)),
        ("walltime: 1-12:00:00", FieldRule(default=129600, fixed=True)),
        ("walltime: 90", FieldRule(default=5400, fixed=True)),
        ("memory: 8GiB", FieldRule(default=8192, fixed=True)),
        ("account: 0123", FieldRule(default="0123", fixed=True)),
        ("qos: no", FieldRule(default="no", fixed=True)),
        ("qos: 1.10", FieldRule(default="1.10", fixed=True)),
    ],
)
def test_fields_mean_what_is_written(written: str, rule: FieldRule) -> None:
    text = changed('fields: {partition: cpu, cores: 2, memory: 4G, walltime: "02:00:00"}', f"fields: {{{written}}}")
    assert sitefile.read_text(text).profiles["small"].fields[written.split(":")[0]] == rule


def test_queue_and_queues_are_partition_and_partitions() -> None:
    text = changed("partitions:", "queues:").replace("{partition: cpu", "{queue: cpu")
    assert sitefile.read_text(text) == sitefile.read_text(SMALL)
    both = changed("  gpu:\n", "  gpu:\n").replace("environments:", "    queues: {}\nenvironments:")
    assert only_problem(both).text == "means the same as partitions; only one of them may be there"
    twice = changed("{partition: cpu,", "{partition: cpu, queue: cpu,")
    assert "only one of them" in only_problem(twice).text


def test_single_values_stand_for_lists_and_sections() -> None:
    text = changed(
        "    scheduler: slurm\n",
        "    scheduler: slurm\n    way: sudo\n    server: /opt/jupyter/bin/python\n    ports: 9000-9100\n"
        "    node_networks: 10.0.0.0/16\n    directives: |\n      --constraint=a\n\n      --comment=b\n",
    ).replace("a100: {max: 4}", "a100: 4")
    cluster = sitefile.read_text(text).clusters["main"]
    assert cluster.way.kind == "sudo"
    assert cluster.server.python == "/opt/jupyter/bin/python"
    assert cluster.ports == (9000, 9100)
    assert cluster.node_networks == ("10.0.0.0/16",)
    assert cluster.directives == ("--constraint=a", "--comment=b")
    assert cluster.partitions["gpu"].gpu_types == {"a100": GpuType(request="a100", max=4)}


def test_a_gpu_type_may_ask_for_any_gpu() -> None:
    text = changed("a100: {max: 4}", 'any: {request: "", max: 2}')
    assert sitefile.read_text(text).clusters["main"].partitions["gpu"].gpu_types["any"].request == ""


def test_switches_keep_their_types() -> None:
    text = changed("scheduler: slurm", "scheduler: local\n    switches: {cores: 4, keep: 1.5, python: '3'}")
    text = changed("partition: cpu, ", "", text).replace("gpu_types: {a100: {max: 4}}", "title: x")
    assert sitefile.read_text(text).clusters["main"].cluster.switches == {"cores": 4, "keep": 1.5, "python": "3"}


def test_hub_python_is_the_python_of_the_reader() -> None:
    text = changed("scheduler: slurm", 'scheduler: slurm\n    server: "{hub_python}"')
    assert sitefile.read_text(text).clusters["main"].server.python == sys.executable


def test_named_parts_can_be_merged() -> None:
    text = (
        changed("profiles:\n  small:", "profiles:\n  small: &base").rstrip() + "\n  big:\n    <<: *base\n    idle: 5\n"
    )
    site = sitefile.read_text(text)
    assert site.profiles["big"].fields == site.profiles["small"].fields
    assert site.profiles["big"].idle == 5


@pytest.mark.parametrize(
    "tag", ["python/object/apply:os.system", "python/name:os.system", "python/object/new:os.system"]
)
def test_tags_run_nothing(tag: str, tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    with pytest.raises(sitefile.SiteError, match=r":1: "):
        sitefile.read_text(changed("name: uni", f"name: !!{tag} ['touch {mark}']"))
    assert not mark.exists()


def test_an_entry_without_a_value_has_all_defaults() -> None:
    site = sitefile.read_text(changed("      gpu:\n", "      spare:\n      gpu:\n"))
    assert site.clusters["main"].partitions["spare"].rules == Rules()


@pytest.mark.parametrize(
    ("old", "new", "line", "field", "words"),
    [
        ("omit:", "omitt:", 10, "clusters.main.partitions.gpu.omitt", "did you mean omit?"),
        ("name: uni", "nam: uni", 1, "nam", "did you mean name?"),
        ("    fields: {partition", "    filds: {partition", 17, "profiles.small.filds", "did you mean fields?"),
        ("cores: 2", "core: 2", 17, "profiles.small.fields.core", "did you mean cores?"),
        ("cores: 2", "cores: two", 17, "profiles.small.fields.cores", "'two' is no whole number"),
        ("cores: 2", "cores: {mx: 3}", 17, "profiles.small.fields.cores.mx", "did you mean max?"),
        ("cores: 2", "cores: {min: x}", 17, "profiles.small.fields.cores.min", "no whole number"),
        ("cores: 2", "cores: []", 17, "profiles.small.fields.cores", "empty list"),
        ("cores: 2", "cores: [1, 1]", 17, "profiles.small.fields.cores", "holds a value twice"),
        ("cores: 2", "cores: ", 17, "profiles.small.fields.cores", "has no value"),
        ("cores: 2", "cores: 0", 17, "profiles.small.fields.cores", "0 is less than 1"),
        ("cores: 2", "cluster: main", 17, "profiles.small.fields.cluster", "is set beside 'fields'"),
        ("cores: 2", "qos: {max: 3}", 17, "profiles.small.fields.qos.max", "qos is no number; use choices"),
        ("cores: 2", "qos: 'a b'", 17, "profiles.small.fields.qos", "is no name"),
        ("memory: 4G", "memory: 4 gigs", 17, "profiles.small.fields.memory", "a size such as 8G"),
        ('walltime: "02:00:00"', "walltime: 02:00", 17, "profiles.small.fields.walltime", "write HH:MM:SS"),
        ("scheduler: slurm", "scheduler: slrm", 4, "clusters.main.scheduler", "did you mean slurm?"),
        ("scheduler: slurm", "title: x", 3, "clusters.main.scheduler", "is missing: the batch system"),
        ("scheduler: slurm", "scheduler: slurm\n    ports: high", 5, "clusters.main.ports", "no whole number"),
        ("scheduler: slurm", "scheduler: slurm\n    poll_fast: 0", 5, "clusters.main.poll_fast", "less than 0.5"),
        ("scheduler: slurm", "scheduler: slurm\n    grace: nan", 5, "clusters.main.grace", "no number of use"),
        ("scheduler: slurm", "scheduler: slurm\n    way: su", 5, "clusters.main.way", "did you mean sudo?"),
        ("scheduler: slurm", "scheduler: slurm\n    way: [a]", 5, "clusters.main.way", "must hold keys"),
        ("scheduler: slurm", "scheduler: slurm\n    query_as: me", 5, "clusters.main.query_as", "not known"),
        ("scheduler: slurm", "scheduler: slurm\n    proxies: x", 5, "clusters.main.proxies", "entries by name"),
        ("scheduler: slurm", "scheduler: slurm\n    accounts: {a: 1}", 5, "clusters.main.accounts", "must be a list"),
        ("url: /lab", "url: [a]", 14, "apps.lab.url", "must be a single value"),
        ("url: /lab", "command: jupyter lab", 14, "apps.lab.command", "must be a list of words"),
        ("url: /lab", "rules: {}", 14, "apps.lab.rules", "would allow everybody"),
        ("url: /lab", "rules: {groups: []}", 14, "apps.lab.rules.groups", "would allow everybody"),
        ("url: /lab", "rules: {groups: }", 14, "apps.lab.rules.groups", "has no value"),
        ("url: /lab", "rules:", 14, "apps.lab.rules", "has no value"),
        ("name: uni", "name: uni\nfree_choice: perhaps", 2, "free_choice", "neither true nor false"),
        ("name: uni", "name: uni\nkeep_logs: -1", 2, "keep_logs", "-1 is less than 0"),
        ("name: uni", "name: uni\nmin_uid: 0", 2, "min_uid", "0 is less than 1"),
        ("name: uni", "name: uni\nname: uno", 2, "name", "is written twice, first in line 1"),
        ("name: uni", "name: !!python/name:os.system uni", 1, "name", "tags"),
        ("name: uni", "name: uni\nprefix: &p [*p]", 2, "prefix[0]", "this alias contains itself"),
    ],
)
def test_a_mistake_is_told_with_line_and_field(old: str, new: str, line: int, field: str, words: str) -> None:
    found = problems(changed(old, new))
    told = [problem for problem in found if words in problem.text]
    assert told, found
    assert told[0].line == line
    assert told[0].field in (field, f"{field}.kind")
    assert str(told[0]).startswith(f"site.yaml:{line}: ")


def test_all_mistakes_are_told_at_once_in_the_order_of_lines() -> None:
    text = changed("omit:", "omitt:").replace("url: /lab", "url: lab").replace("cores: 2", "cores: 64")
    found = problems(text)
    assert [problem.line for problem in found] == [10, 14, 17]
    assert found[2].field == "profiles.small.fields.cores"
    assert found[2].text == "64 is more than 40, the most of partition cpu"


def test_a_mistake_brings_no_second_message_for_the_same_field() -> None:
    assert only_problem(changed("scheduler: slurm", "scheduler: slrm")).field == "clusters.main.scheduler"


@pytest.mark.parametrize("text", ["", "- a", "just words", "a: [1", "a: b: c", "\tname: x", "name: \x00", "? [a]\n: b"])
def test_what_is_no_yaml_mapping_is_one_clear_error(text: str) -> None:
    found = problems(text)
    assert found
    assert str(found[0]).startswith("site.yaml")


@given(st.text(alphabet=st.characters(exclude_categories=("Cs",))))
def test_any_text_gives_a_site_or_a_site_error(text: str) -> None:
    assert problems(text)


@given(
    st.integers(0, len(SMALL)),
    st.sampled_from(["", ":", "{", "[", "- ", "&a ", "*a", "!x ", "'", '"', "\n", "#", "|", "x"]),
)
def test_a_damaged_file_never_ends_in_another_error(place: int, mark: str) -> None:
    problems(SMALL[:place] + mark + SMALL[place + 1 :])


def test_a_file_that_cant_be_read_says_so(tmp_path: Path) -> None:
    with pytest.raises(sitefile.SiteError, match=r"missing\.yaml: can't be read: No such file"):
        sitefile.read(str(tmp_path / "missing.yaml"))
    (tmp_path / "latin.yaml").write_bytes(b"name: \xe9")
    with pytest.raises(sitefile.SiteError, match="no UTF-8 text"):
        sitefile.read(str(tmp_path / "latin.yaml"))


def test_a_word_is_a_preset_and_a_path_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert sitefile.find("demo") == sitefile.presets()["demo"]
    monkeypatch.chdir(tmp_path)
    Path("mine").write_text(SMALL)
    with pytest.raises(sitefile.SiteError, match=r"no preset of this name.*for the file write \./mine"):
        sitefile.read("mine")
    assert sitefile.read("./mine").name == "uni"
    with pytest.raises(sitefile.SiteError, match="did you mean rocket"):
        sitefile.read("rockt")
