"""Native directives in a site file: one option on a line, and never one that a job's own fields set.

A second --mem or -q would silently win over (or lose to) what the user chose and the form showed.
"""

from __future__ import annotations

import re

from . import schedulers
from .units import shown

_OWN: dict[str, str] = {
    "slurm": """
        --job-name -J --partition -p --account -A --qos -q --reservation --nodes -N --ntasks -n --ntasks-per-node
        --cpus-per-task -c --mem --mem-per-cpu --mem-per-gpu --gres --gpus -G --gpus-per-node --gpus-per-task --time -t
        --chdir -D --output -o --error -e --open-mode --array -a --requeue --no-requeue --export --export-file
        --get-user-env --exclusive --oversubscribe -s --wrap --uid --gid --clusters -M --parsable --test-only --wait -W
        --hold -H --begin -b --dependency -d --input -i
    """,
    "lsf": """
        -J -q -P -U -n -M -W -gpu -cwd -o -oo -e -eo -x -r -rn -env -I -Ip -Is -IS -K -H -b -w -i -is -Zs -nnodes
    """,
    "cobalt": """
        -n --nodecount -t --time -A --project -q --queue --jobname -O --outputprefix -o --output -e --error --debuglog
        --cwd -I --interactive -h --hold --dependencies -i --inputfile --run_users
    """,
}
"""What the dialects set, where they have no OWN_DIRECTIVES of their own, and what would break a server's job."""

_OPTION = re.compile(r"(--?[A-Za-z][A-Za-z0-9_-]*)(?:[\s=]|\Z)")
_PREFIX = re.compile(r"#?\s*(SBATCH|BSUB|COBALT|PBS)\b")


def directive_problem(scheduler: str, line: str) -> str:
    """Why the line can't be a directive of that scheduler; '' where it can."""
    if "\n" in line or "\r" in line or not line.replace("\t", "").isprintable():
        return f"{shown(line)} must be one line"
    prefix = _PREFIX.match(line)
    if prefix:
        return f"{shown(line)}: leave out #{prefix.group(1)}"
    match = _OPTION.match(line)
    if not match:
        return f"{shown(line)} must begin with an option such as --constraint=..."
    option, taken = match.group(1), own(scheduler)
    if not option.startswith("--") and not any(len(one) > 2 and not one.startswith("--") for one in taken):
        option = option[:2]  # -N2 is -N 2, where no option of one dash is longer than a letter
    if option in taken:
        return f"{option} is set from the options of the job; use 'fields' or 'exclusive', 'requeue', 'log_dir'"
    return ""


def own(scheduler: str) -> frozenset[str]:
    """Directive options that the dialect sets itself, all spellings; empty where the dialect does not tell."""
    try:
        dialect = schedulers.load(scheduler)
    except (ValueError, ImportError):
        return frozenset()
    return frozenset(getattr(dialect, "OWN_DIRECTIVES", _OWN.get(scheduler, "").split()))
