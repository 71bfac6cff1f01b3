"""hpcspawner jobs | adopt | forget | drain | resume | health: what an admin asks the running hub."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from typing import Any

from .hubclient import URL, Hub
from .units import format_walltime


def add(commands: Any) -> None:
    """Adds the commands to the parser's subcommands."""
    jobs = _command(commands, "jobs", _jobs, "lists the hub's jobs")
    jobs.add_argument("cluster", nargs="?", default="", help="only those of this cluster")
    jobs.add_argument("--orphans", action="store_true", help="only those that no server of the hub knows")
    jobs.add_argument("--json", action="store_true", help="prints JSON")
    health = _command(commands, "health", _health, "tells how the queues fare; exit code 1 where something is wrong")
    health.add_argument("--json", action="store_true", help="prints JSON")
    adopt = _command(commands, "adopt", _adopt, "takes a job that no server knows into the hub's care until it ends")
    adopt.add_argument("tag", help="the job's name, prefix-instance-random")
    adopt.add_argument("--cluster", default="", help="its cluster, where the journal lacks the job")
    adopt.add_argument("--user", default="", help="its owner, where the journal lacks the job")
    adopt.add_argument("--id", default="", help="its id; without it the job is looked for by its name")
    forget = _command(commands, "forget", _forget, "lets go of a job that no server knows")
    forget.add_argument("tag")
    forget.add_argument("--cancel", action="store_true", help="cancels it; otherwise it runs on by itself")
    drain = _command(commands, "drain", _drain, "no new servers on a cluster; those that run stay")
    drain.add_argument("cluster")
    drain.add_argument("text", help="one sentence for users: why, and until when")
    resume = _command(commands, "resume", _resume, "takes new servers again on a drained cluster")
    resume.add_argument("cluster")


def _command(commands: Any, name: str, run: Callable[[argparse.Namespace], int], words: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(name, help=words, description=words)
    parser.add_argument("--hub", default="", metavar="URL", help=f"the hub's API; JUPYTERHUB_API_URL, else {URL}")
    parser.add_argument("--token-file", default="", metavar="FILE", help="file with a token; else JUPYTERHUB_API_TOKEN")
    parser.set_defaults(run=run)
    return parser


def _hub(arguments: argparse.Namespace) -> Hub:
    return Hub(arguments.hub, arguments.token_file)


def _jobs(arguments: argparse.Namespace) -> int:
    from urllib.parse import urlencode

    query = "?" + urlencode({"cluster": arguments.cluster}) if arguments.cluster else ""
    found = _hub(arguments).ask("GET", "jobs" + query)["jobs"]
    if arguments.orphans:
        found = [job for job in found if job["orphan"]]
    print(json.dumps(found, indent=1) if arguments.json else table(found, time.time()))
    return 0


def table(jobs: Sequence[dict[str, Any]], now: float) -> str:
    """The jobs as lines of columns."""
    if not jobs:
        return "no jobs"
    rows = [("TAG", "JOB", "CLUSTER", "SERVER", "STATE", "AGE", "NOTES")]
    for job in jobs:
        age = format_walltime(max(0, int(now - job["submitted"])))
        state = f"in line {job['place']}" if job["place"] else job["state"]
        named = (job["tag"], job["id"] or "-", job["cluster"], job["server"], state, age, "; ".join(job["notes"]))
        rows.append(tuple(_plain(word) for word in named))  # type: ignore[arg-type]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ("  ".join(word.ljust(width) for word, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def _plain(text: Any) -> str:
    """What a scheduler said must not reach the terminal as a control character."""
    return "".join(mark if mark.isprintable() else "?" for mark in str(text))


def _health(arguments: argparse.Namespace) -> int:
    found = _hub(arguments).ask("GET", "health")
    if arguments.json:
        print(json.dumps(found, indent=1))
    else:
        for name, figures in found["clusters"].items():
            jobs = ", ".join(f"{number} {state}" for state, number in figures["jobs"].items()) or "no jobs"
            print(_plain(f"{name}: {jobs}" + (f"; drained: {figures['drained']}" if figures["drained"] else "")))
            for problem in figures["problems"]:
                print(_plain(f"  {problem}"))
    return 0 if found["status"] == "ok" else 1


def _adopt(arguments: argparse.Namespace) -> int:
    asked = {"cluster": arguments.cluster, "user": arguments.user, "id": arguments.id}
    return _say(_hub(arguments).ask("POST", f"jobs/{_part(arguments.tag)}/adopt", asked))


def _forget(arguments: argparse.Namespace) -> int:
    return _say(_hub(arguments).ask("POST", f"jobs/{_part(arguments.tag)}/forget", {"cancel": arguments.cancel}))


def _drain(arguments: argparse.Namespace) -> int:
    return _say(_hub(arguments).ask("POST", f"clusters/{_part(arguments.cluster)}/drain", {"text": arguments.text}))


def _resume(arguments: argparse.Namespace) -> int:
    return _say(_hub(arguments).ask("POST", f"clusters/{_part(arguments.cluster)}/resume", {}))


def _part(text: str) -> str:
    from urllib.parse import quote

    return quote(text, safe="")


def _say(answer: dict[str, Any]) -> int:
    print(_plain(answer.get("message", "done")))
    return 0
