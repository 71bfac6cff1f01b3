"""Starts the Jupyter server of a job, and is its extension: reports the port that is really bound, ends what is idle.

Run as a script by server.py with the Python that holds jupyterhub. Arguments go to the Jupyter server.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, Dict, List, Optional

HERE = os.path.dirname(os.path.abspath(__file__))

if TYPE_CHECKING or __package__:
    from . import hpcspawner_idle as idle
    from . import hpcspawner_notice as notice
    from . import hpcspawner_place as place
    from . import hpcspawner_report as report
    from . import hpcspawner_session as session
else:
    # Only while our own files are read: nothing of this folder may hide a module of the user's.
    sys.path[:] = [HERE] + [entry for entry in sys.path if entry != HERE]
    import hpcspawner_idle as idle
    import hpcspawner_notice as notice
    import hpcspawner_place as place
    import hpcspawner_report as report
    import hpcspawner_session as session

    sys.path.remove(HERE)

NAME = "hpcspawner_jupyter"
WARNINGS = (30, 10, 5, 1)
"""Minutes before the end of the walltime at which the log says so."""


class Server:
    """The server of this job, as its extension sees it."""

    def __init__(self, settings: Dict[str, Any], held: Optional[place.HeldPort] = None) -> None:
        self.settings = settings
        self.held = held
        self.over = threading.Event()
        self.tasks: List[Any] = []

    def begin(self, app: Any) -> None:
        """Called when the server listens and all extensions are loaded."""
        port = bound_port(app)
        if self.held:
            self.held.release()
        app.log.info("hpcspawner: listening on port %s; telling the hub", port)
        threading.Thread(target=self.report, args=(app, port), daemon=True).start()
        notice.tell(app, self.settings.get("ends"))
        watch = idle.Watch(app, self.settings, time.time())
        self.tasks.append(asyncio.ensure_future(self.keep_watch(app, watch)))
        self.tasks.append(asyncio.ensure_future(self.warn(app)))

    def report(self, app: Any, port: int) -> None:
        """Runs in a thread of its own: tells the hub, however long that takes."""
        body = {**self.settings["body"], "port": port}
        session.note(self.settings["notes"], port=port)
        try:
            if report.deliver(self.settings["report"], body, os.environ, app.log.warning, self.over.wait):
                session.note(self.settings["notes"], reported=True)
                app.log.info("hpcspawner: the hub knows this server")
        except report.Refused as error:
            self.end(app, str(error))

    async def keep_watch(self, app: Any, watch: idle.Watch) -> None:
        """Ends the server when it is idle or nobody opened it."""
        while watch.wanted:
            await asyncio.sleep(watch.interval)
            try:
                reason = watch.look(time.time())
            except Exception:
                app.log.exception("hpcspawner: cannot tell whether this server is idle")
                continue
            if reason:
                self.end(app, reason)
                return

    async def warn(self, app: Any) -> None:
        """Says in the log that the walltime will end."""
        for minutes in WARNINGS if self.settings.get("ends") else ():
            pause = self.settings["ends"] - 60 * minutes - time.time()
            if pause > 0:
                await asyncio.sleep(pause)
                app.log.warning("hpcspawner: %s", ending_text(minutes))

    def end(self, app: Any, reason: str) -> None:
        """Ends the server for this reason, which the wrapper reads from the notes."""
        app.log.critical("hpcspawner: ending the server: %s", reason)
        session.note(self.settings["notes"], reason=reason)
        self.over.set()
        os.kill(os.getpid(), signal.SIGTERM)


def ending_text(minutes: int) -> str:
    """What a user reads before the walltime ends."""
    return "this job ends in {} minute{}: save your work".format(minutes, "" if minutes == 1 else "s")


def bound_port(app: Any) -> int:
    """The port that the server really listens on, which is not always the one that was asked for."""
    sockets = getattr(app.http_server, "_sockets", None) or {}
    for each in sockets.values():
        address = each.getsockname()
        if isinstance(address, tuple):
            return int(address[1])
    return int(app.port)


_server: Optional[Server] = None


def _jupyter_server_extension_points() -> List[Dict[str, str]]:
    return [{"module": NAME}]


def _load_jupyter_server_extension(app: Any) -> None:
    if _server is not None and not _has_start_hook(app):
        app.io_loop.add_callback(_begin_when_listening, app)


async def _start_jupyter_server_extension(app: Any) -> None:
    if _server is not None:
        _server.begin(app)


def _has_start_hook(app: Any) -> bool:
    return hasattr(app.extension_manager, "start_extension")


async def _begin_when_listening(app: Any) -> None:
    # Older servers have no hook for their start; the last thing that they do before it is to write this file.
    while not os.path.exists(app.info_file):  # noqa: ASYNC110, ASYNC240
        await asyncio.sleep(0.05)
    if _server is not None:
        _server.begin(app)


def prepare(settings: Dict[str, Any]) -> place.HeldPort:
    """Chooses the port and tells jupyterhub by its own variable (where port 0 would mean 80)."""
    first, last = settings["ports"]
    before = session.read(settings["notes"]).get("port")
    held = place.hold_port((first, last), settings["bind"], before)
    session.note(settings["notes"], port=held.port)
    url = os.environ.get("JUPYTERHUB_SERVICE_URL") or ""
    os.environ["JUPYTERHUB_SERVICE_URL"] = place.with_port(url, held.port, settings["bind"])
    return held


def enable() -> None:
    """Has the server load this module as an extension, whatever its configuration files say."""
    singleuser: Any = __import__("jupyterhub.singleuser", fromlist=["singleuser"])
    if not getattr(singleuser, "_as_extension", False):
        sys.argv.append("--ServerApp.jpserver_extensions={}=True".format(NAME))
        return
    extension: Any = __import__("jupyterhub.singleuser.extension", fromlist=["extension"])
    app = extension.JupyterHubSingleUser
    make = app.make_serverapp

    def make_serverapp(**settings: Any) -> Any:
        serverapp = make(**settings)
        # Set before configuration is read, as jupyterhub does for itself: a file that sets this
        # dictionary as well then adds to it, where an argument would replace what the file says.
        serverapp.jpserver_extensions = {**serverapp.jpserver_extensions, NAME: True}
        return serverapp

    app.make_serverapp = make_serverapp


def main() -> None:
    """Starts the server."""
    global _server
    settings = session.read(os.environ.pop(session.VARIABLE, ""))
    if not settings:
        sys.exit("hpcspawner: no session: this program is started by server.py")
    try:
        _server = Server(settings, prepare(settings))
    except place.PlaceError as error:
        session.note(settings["notes"], reason=str(error))
        sys.exit("hpcspawner: {}".format(error))
    # Jupyter imports the extension by its name; it must find this module, with its state.
    sys.modules[NAME] = sys.modules["__main__"]
    sys.argv[0] = "jupyterhub-singleuser"
    try:
        singleuser: Any = __import__("jupyterhub.singleuser", fromlist=["main"])
        enable()
    except ImportError as error:
        reason = "{} has no jupyterhub with a Jupyter server: {}".format(sys.executable, error)
        session.note(settings["notes"], reason=reason)
        sys.exit("hpcspawner: {}".format(reason))
    singleuser.main()


if __name__ == "__main__":
    main()
