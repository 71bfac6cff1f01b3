"""Runs recorded commands through a fake, each in a fork of one process: a hundred starts of Python less.

Lines of JSON in (argv, env, cwd, stdin), lines of JSON out (code, out, err).
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from typing import Any


def replay(main: Any, request: dict[str, Any]) -> dict[str, Any]:
    with (
        tempfile.TemporaryFile("w+") as stdin,
        tempfile.TemporaryFile("w+") as out,
        tempfile.TemporaryFile("w+") as err,
    ):
        stdin.write(request.get("stdin") or "")
        stdin.seek(0)
        child = os.fork()
        if child == 0:
            for number, file in enumerate((stdin, out, err)):
                os.dup2(file.fileno(), number)
            os.environ.clear()
            os.environ.update(request["env"])
            os.chdir(request["cwd"])
            sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w")  # noqa: SIM115
            sys.argv = list(request["argv"])
            code = 255
            try:
                code = main.run(os.path.basename(sys.argv[0]))
            except SystemExit as end:
                code = end.code if isinstance(end.code, int) else 1
            except BaseException:
                import traceback

                traceback.print_exc()
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
        code = os.WEXITSTATUS(os.waitpid(child, 0)[1])
        out.seek(0)
        err.seek(0)
        return {"code": code, "out": out.read(), "err": err.read()}


if __name__ == "__main__":
    sys.path.insert(0, sys.argv[1])
    import main

    for line in sys.stdin:
        print(json.dumps(replay(main, json.loads(line))), flush=True)
