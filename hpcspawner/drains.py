"""Drained clusters: no new servers start there, those that run stay. Kept in a file, over restarts of the hub."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

LONGEST = 500
"""Characters of the text that users read."""


class Drains:
    """The drained clusters of one hub: name -> text for users. Reading is memory."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "drained.json"
        self._texts = _read(self.path)

    def text(self, cluster: str) -> str:
        """Why the cluster takes no new servers; '' where it does."""
        return self._texts.get(cluster, "")

    def drain(self, cluster: str, text: str) -> None:
        """From now on no server starts there. Raises ValueError for a useless text, OSError where it can't be kept."""
        words = " ".join(text.split())
        if not words or len(words) > LONGEST or not words.isprintable():
            raise ValueError(f"text: one sentence for users is needed, of at most {LONGEST} characters")
        self._keep({**self._texts, cluster: words})

    def resume(self, cluster: str) -> bool:
        """Servers start again; False where they did already."""
        if cluster not in self._texts:
            return False
        self._keep({name: text for name, text in self._texts.items() if name != cluster})
        return True

    def _keep(self, texts: Mapping[str, str]) -> None:
        new = self.path.with_suffix(".new")
        with open(new, "w", encoding="utf-8") as file:
            json.dump(texts, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        os.replace(new, self.path)
        self._texts = dict(texts)


def _read(path: Path) -> dict[str, str]:
    """Raises ValueError for a file that is not ours: to start servers on a drained cluster would be worse."""
    try:
        texts = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise ValueError(f"{path}: {error}; mend it, or remove it to resume all clusters") from error
    if not isinstance(texts, dict) or not all(isinstance(text, str) for text in texts.values()):
        raise ValueError(f"{path}: is no list of clusters and texts; remove it to resume all clusters")
    return texts
