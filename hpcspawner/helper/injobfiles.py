"""The in-job programs that this helper carries."""

from __future__ import annotations

import json
from typing import Any, Dict, Tuple

import hpcspawner

CARRIED = "injob.json"
"""Name, in the helper's zip, of the JSON {"key": hash of the content, "files": {name in hpcspawner/injob: text}}."""


def injob_files() -> Tuple[str, Dict[str, bytes]]:
    """A key that stands for the content, and file name -> content."""
    loader: Any = hpcspawner.__spec__.loader
    archive: str = loader.archive
    carried = json.loads(loader.get_data("{}/{}".format(archive, CARRIED)).decode("utf-8"))
    return carried["key"], {name: text.encode("utf-8") for name, text in carried["files"].items()}
