"""The commands of a fake LSF; each executable in bin/ is one of them.

Switches: family (ibm), mbatchd (down | hung), lim (down), sbatchd (down), retry (seconds between two tries),
terminate (seconds between the signals of bkill), secure (others' jobs are hidden), stopped (no job starts), slow,
dry (jobs are only written down).
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
import time

sys.path.insert(1, os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__)))))

import control
import fakebatch
import show
import submit
import system
from fakebatch import State

LIM_DOWN = "Failed in an LSF library call: LIM is down; try later"
REFUSED = "Connection refused by server"


def reach(state: State) -> str:
    """Waits for the daemons as LSF's commands do, for ever unless LSB_NTRIES bounds it; '' or why it gave up."""
    left = int(os.environ.get("LSB_NTRIES", "0")) or sys.maxsize
    pause = state.seconds("retry", 10)
    while True:
        if state.switch("lim") == "down":
            waits, gives_up = "OpenLava daemon (LIM) not responding ... still trying", LIM_DOWN
        elif state.switch("mbatchd") == "down":
            waits, gives_up = "batch system daemon not responding ... still trying", REFUSED
        else:
            break
        left -= 1
        if left <= 0:
            return gives_up
        sys.stderr.write(waits + "\n")
        sys.stderr.flush()
        until = time.time() + pause
        while time.time() < until and "down" in (state.switch("lim"), state.switch("mbatchd")):
            time.sleep(fakebatch.TICK)
    while state.switch("mbatchd") == "hung":
        time.sleep(fakebatch.TICK)
    return ""


def submit_through(state: State, words: list[str], ibm: bool) -> int:
    """bsub while the daemon hangs: the request lies with it, and is carried out even if bsub is killed meanwhile."""
    program = os.path.realpath(__file__)
    if state.switch("mbatchd") != "hung":
        trouble = reach(state)
        if trouble:
            sys.stderr.write(f"{trouble}. Job not submitted.\n")
            return 255
        return submit.bsub(state, words, program, ibm)
    script = sys.stdin.read()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.setsid()
        # Whoever waits for the end of bsub's streams must not wait for the daemon.
        nothing = os.open(os.devnull, os.O_RDWR)
        for number in (0, 1, 2):
            os.dup2(nothing, number)
        reach(state)
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = submit.bsub(state, words, program, ibm, script)
        with contextlib.suppress(OSError), os.fdopen(writing, "w") as reply:
            json.dump([code, out.getvalue(), err.getvalue()], reply)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as reply:
        code, out_text, err_text = json.load(reply)
    sys.stdout.write(out_text)
    sys.stderr.write(err_text)
    return int(code)


def kill_through(state: State, words: list[str]) -> int:
    trouble = reach(state)
    if trouble:
        sys.stderr.write("".join(f"Job <{id}>: {trouble}\n" for id in words if id[:1].isdigit()))
        return 255
    return control.bkill(state, words)


def run(command: str) -> int:
    state, words = fakebatch.own_state(), sys.argv[1:]
    fakebatch.answer_instead(state, command)
    ibm = state.switch("family") == "ibm"
    if words[:1] == ["-V"] or command == "lsid":
        return system.lsid(state, words)
    if command == "bsub":
        return submit_through(state, words, ibm)
    if command == "bkill":
        return kill_through(state, words)
    if command in ("lshosts", "lsload"):
        return {"lshosts": system.lshosts, "lsload": system.lsload}[command](state, words)
    trouble = reach(state)
    if trouble:
        sys.stderr.write(trouble + "\n")
        return 255
    if command == "bjobs":
        return show.bjobs(state, words, ibm)
    if command in ("bstop", "bresume"):
        return control.stop(state, words, command == "bresume")
    if command in ("bhist", "bpeek"):
        return {"bhist": show.bhist, "bpeek": show.bpeek}[command](state, words)
    others = {"bqueues": system.bqueues, "bhosts": system.bhosts, "bparams": system.bparams, "busers": system.busers}
    if command in others:
        return others[command](state, words)
    sys.stderr.write("No host group or user group defined in the system\n")
    return 255


if __name__ == "__main__":
    fakebatch.supervise(submit.Policy(fakebatch.own_state()), sys.argv[2])
