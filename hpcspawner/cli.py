"""The command hpcspawner: what an admin runs beside the hub."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from . import __version__, hubclient, hubcommands, sitefile


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; returns its exit code: 0 done, 1 something is wrong, 2 the command line is."""
    arguments = _parser().parse_args(argv)
    try:
        return int(arguments.run(arguments))
    except sitefile.SiteError as error:
        print(error, file=sys.stderr)
    except hubclient.HubError as error:
        print(f"hpcspawner: {error}", file=sys.stderr)
    except OSError as error:
        print(f"hpcspawner: {error.filename or ''}: {error.strerror or error}", file=sys.stderr)
    except BrokenPipeError:
        pass
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="hpcspawner", description="JupyterHub servers as batch jobs: the admin's tools"
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    check = commands.add_parser("check", help="checks a site file and then the machine, step by step")
    check.add_argument("site", nargs="?", help="site file or preset; default: HPCSPAWNER_SITE")
    check.add_argument("--user", help="account for which the helper and a small job are tried")
    check.add_argument("--file-only", action="store_true", help="reads the site file and stops there")
    check.add_argument("--hub-ip", default="", help="address of this machine that the nodes can reach")
    check.set_defaults(run=_check)

    discover = commands.add_parser("discover", help="prints a first site file made from the live scheduler")
    discover.add_argument("--scheduler", help="name of the batch system; default: the one whose commands are found")
    discover.add_argument("--python", help="Python on the nodes that has jupyterhub and JupyterLab")
    discover.add_argument("--hub-url", default="", help="URL of the hub's API as nodes see it")
    discover.set_defaults(run=_discover)

    site = commands.add_parser("site", help="works on site files").add_subparsers(required=True, metavar="ACTION")
    compiled = site.add_parser("compile", help="writes the site as JSON for an installed helper")
    compiled.add_argument("site")
    compiled.add_argument("out", type=Path)
    compiled.set_defaults(run=_compile)
    schema = site.add_parser("schema", help="prints the JSON schema of site files, for editors")
    schema.set_defaults(run=_schema)

    hubcommands.add(commands)

    helper = commands.add_parser("helper", help="installs the helper").add_subparsers(required=True, metavar="ACTION")
    install = helper.add_parser("install", help="writes the helper as one file, for a sudo rule or a submit host")
    install.add_argument("path", type=Path)
    install.set_defaults(run=_install)
    return parser


def _check(arguments: argparse.Namespace) -> int:
    from . import check

    return check.run(arguments.site, user=arguments.user, file_only=arguments.file_only, hub_ip=arguments.hub_ip)


def _discover(arguments: argparse.Namespace) -> int:
    from . import discovery

    return asyncio.run(discovery.run(arguments.scheduler, arguments.python, arguments.hub_url))


def _compile(arguments: argparse.Namespace) -> int:
    from . import sitejson

    text = json.dumps(sitejson.dump(sitefile.read(arguments.site)), indent=1)
    _write(arguments.out, text.encode() + b"\n")
    return 0


def _schema(_: argparse.Namespace) -> int:
    print(json.dumps(sitefile.schema(), indent=1))
    return 0


def _install(arguments: argparse.Namespace) -> int:
    from . import helper_app

    arguments.path.parent.mkdir(parents=True, exist_ok=True)
    helper_app.build(arguments.path)
    arguments.path.chmod(0o755)
    return 0


def _write(path: Path, content: bytes) -> None:
    temporary = path.with_name(path.name + ".new")
    temporary.write_bytes(content)
    temporary.chmod(0o644)
    temporary.replace(path)


if __name__ == "__main__":
    raise SystemExit(main())
