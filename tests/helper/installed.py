"""A helper installed as an administrator does it: root's file, root's site, the sudo rule of deploy/sudoers."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from hpcspawner import helper_app, sitejson
from hpcspawner.sitemodel import Site

RULE = Path(__file__).resolve().parents[2] / "deploy/sudoers/hpcspawner"
SAFE = Path(os.environ.get("HPCSPAWNER_TEST_PREFIX", "/opt/hpcspawner-test")) / "helpers"


@contextlib.contextmanager
def installed(site: Site) -> Iterator[Path]:
    """Path of the program, with its site beside it."""
    folder = SAFE / secrets.token_hex(4)
    folder.mkdir(mode=0o755, parents=True)
    for path in (SAFE, folder):
        path.chmod(0o755)
    try:
        (folder / "site.json").write_text(json.dumps(sitejson.dump(site)))
        (folder / "site.json").chmod(0o644)
        yield helper_app.build(folder / "helper.pyz")
    finally:
        shutil.rmtree(folder)


@contextlib.contextmanager
def sudo_rule(program: Path, account: str = "jupyterhub") -> Iterator[None]:
    """The project's own rule, for this program and this account of the hub."""
    text = (
        RULE.read_text().replace("/opt/hpcspawner/helper.pyz", str(program)).replace("jupyterhub ALL", f"{account} ALL")
    )
    # Only one alias of a name may exist on a machine, and the one of a real installation may.
    text = text.replace("HPCSPAWNER_HELPER", "HPCSPAWNER_" + program.parent.name.upper())
    path = Path("/etc/sudoers.d") / f"hpcspawner-test-{program.parent.name}"
    draft = program.parent / "rule"
    draft.write_text(text)
    draft.chmod(0o440)
    subprocess.run(["visudo", "-q", "-c", "-f", str(draft)], check=True)
    shutil.move(str(draft), path)
    try:
        yield
    finally:
        path.unlink()
