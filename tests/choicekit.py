"""A site with every kind of rule, for the tests of options, menu and form."""

from __future__ import annotations

from hpcspawner.access import Person
from hpcspawner.job import Cluster, Inventory, PartitionInfo
from hpcspawner.sitemodel import (
    App,
    ClusterSite,
    Environment,
    FieldRule,
    GpuType,
    Partition,
    Profile,
    Rules,
    Site,
)

HOUR = 3600
GIB = 1024


def fixed(value: int | str) -> FieldRule:
    return FieldRule(default=value, fixed=True)


MAIN = Partition(
    "main",
    title="Main",
    fields={"cores": FieldRule(max=40), "memory": FieldRule(max=180 * GIB), "walltime": FieldRule(max=48 * HOUR)},
)
TESTING = Partition("testing", fields={"walltime": FieldRule(max=2 * HOUR)}, omit=("memory",), exclusive=True)
GPU = Partition(
    "gpu",
    title="GPU nodes",
    rules=Rules(groups=("ml",)),
    fields={"cores": FieldRule(max=64)},
    gpu_types={
        "a100": GpuType("NVIDIA A100", "a100-80g", 4),
        "mig": GpuType("A100 slice, 10 GB", "1g.10gb", 7),
    },
)

SMALL = Profile(
    "small",
    title="Small",
    description="Reading, plots and a first look at the data.",
    fields={
        "partition": fixed("main"),
        "cores": FieldRule(default=2, min=1, max=8),
        "memory": FieldRule(default=4 * GIB, min=GIB, max=32 * GIB),
        "walltime": FieldRule(default=2 * HOUR, max=12 * HOUR),
    },
)
COURSE = Profile(
    "course",
    title="Course",
    fields={
        "partition": FieldRule(default="testing", choices=("testing", "main")),
        "cores": fixed(4),
        "memory": fixed(8 * GIB),
        "walltime": FieldRule(default=8 * HOUR, choices=(HOUR, 2 * HOUR, 8 * HOUR)),
        "reservation": FieldRule(),
        "environment": FieldRule(default="stats", fixed=True, hidden=True),
    },
)
BIG_GPU = Profile(
    "gpu",
    title="GPU",
    description="Training of models.",
    rules=Rules(groups=("ml",), users=("carol",)),
    fields={
        "partition": fixed("gpu"),
        "cores": FieldRule(default=8, max=32),
        "gpus": FieldRule(default=1, min=1, max=8),
        "gpu_type": FieldRule(),
        "walltime": FieldRule(default=4 * HOUR),
    },
)
PROJECT = Profile("project", title="Project", rules=Rules(accounts=("p200",)), cluster="iris", exclusive=True)

SITE = Site(
    name="demo",
    title="Demo site",
    clusters={
        "rocket": ClusterSite(
            Cluster("rocket", "slurm"),
            title="Rocket",
            partitions={"main": MAIN, "testing": TESTING, "gpu": GPU},
            account_rules={"secret": Rules(users=("carol",))},
        ),
        "iris": ClusterSite(
            Cluster("iris", "slurm"),
            title="Iris",
            partitions={"batch": Partition("batch")},
            accounts=("p100", "p200"),
        ),
    },
    environments={
        "base": Environment("base", title="Python 3.12"),
        "stats": Environment("stats", title="R and statistics"),
        "iris-only": Environment("iris-only", clusters=("iris",)),
        "private": Environment("private", rules=Rules(users=("carol",))),
    },
    apps={"lab": App("lab", title="JupyterLab"), "code": App("code", title="VS Code", rules=Rules(groups=("ml",)))},
    profiles={"small": SMALL, "course": COURSE, "gpu": BIG_GPU, "project": PROJECT},
    free_choice=True,
    fields={"nodes": FieldRule(max=4), "qos": FieldRule(choices=("normal", "long"))},
)
CLOSED = Site(name="closed", clusters=SITE.clusters, profiles={"small": SMALL, "gpu": BIG_GPU})

ALICE = Person("alice", frozenset({"staff"}))
BOB = Person("bob", frozenset({"ml"}))
CAROL = Person("carol", accounts=frozenset({"p200", "secret"}))

INVENTORY = Inventory(
    partitions=(
        PartitionInfo("main", nodes=12, free_nodes=3, cores=20, free_cores=87, memory=96 * GIB, max_walltime=24 * HOUR),
        PartitionInfo("gpu", nodes=2, free_nodes=0, cores=64, free_cores=12, gpus={"a100-80g": 2}, up=False),
    )
)
