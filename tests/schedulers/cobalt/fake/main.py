"""The commands of a fake Cobalt; each executable in bin/ is one of them.

Switches: down (all | slp | cqm | system | scheduler), hung, quiet (no noise before errors), filter (project, or 'note '
and a text), starting and qdel (seconds), force_kill_delay (seconds from TERM to KILL), run_remote (false), stopped,
slow, dry (jobs are only written down).
"""

from __future__ import annotations

import os
import sys

sys.path.insert(1, os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__)))))

import control
import fakebatch
import show
import submit
import trouble


def run(command: str) -> int:
    state, words = fakebatch.own_state(), sys.argv[1:]
    fakebatch.answer_instead(state, command)
    try:
        if command == "qsub":
            if words == ["--version"]:
                print('version: "qsub.py " + $Revision: 559 $ + , Cobalt  + $Version$')
                return 0
            return submit.qsub(state, words, os.path.realpath(__file__))
        if command in ("qstat", "cqstat"):
            return show.qstat(state, words)
        if command == "nodelist":
            trouble.reach(state, "get_queues")
            return show.nodelist(state)
        if command in ("qhold", "qrls"):
            return control.hold(state, words, command == "qrls")
        others = {"qdel": control.qdel, "qalter": control.qalter, "cqadm": control.cqadm}
        return others[command](state, words)
    except trouble.Exit as end:
        return trouble.say(end)


if __name__ == "__main__":
    fakebatch.supervise(submit.Policy(fakebatch.own_state()), sys.argv[2])
