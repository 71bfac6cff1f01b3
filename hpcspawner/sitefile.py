"""A site file in YAML -> Site. Every error is told at once, with file, line and field.

Presets are site files that come with hpcspawner; they are read by name.
"""

from __future__ import annotations

import collections.abc
import pathlib

from . import sitecheck, sitekeys, siteyaml
from .job import Inventory
from .sitemodel import Site
from .sitereader import Reader
from .siteschema import schema
from .siteyaml import Problem, SiteError

__all__ = ["Problem", "SiteError", "presets", "read", "read_text", "schema"]

Inventories = Inventory | collections.abc.Mapping[str, Inventory] | None


def read(path_or_preset: str, inventory: Inventories = None) -> Site:
    """The site in a file, or of a preset: a word without '/' and '.yaml'. Raises SiteError.

    With an inventory (of the first cluster, or by name of cluster) partitions and limits are compared with it too.
    """
    path = find(path_or_preset)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        words = error.strerror if isinstance(error, OSError) else "this is no UTF-8 text"
        raise SiteError([Problem(str(path), 0, "", f"can't be read: {words}")]) from None
    return read_text(text, str(path), inventory)


def read_text(text: str, file: str = "site.yaml", inventory: Inventories = None) -> Site:
    """As read, of a text. file is the name that errors show."""
    tree, problems = siteyaml.load(text, file)
    reader = Reader(file, problems)
    site = reader.site(tree)
    failed = {problem.field for problem in reader.problems}
    for path, words in sitecheck.check(site, inventory):
        if not any(path == field or path.startswith((f"{field}.", f"{field}[")) for field in failed):
            reader.fail(path, words)
    if reader.problems:
        raise SiteError(reader.problems)
    return site


def presets() -> dict[str, pathlib.Path]:
    """Name -> file of the presets, sorted."""
    here = pathlib.Path(__file__).resolve().parent
    # In a wheel they lie inside the package; in a source tree the files under deploy/ are the only copy.
    for folder in (here / "sites", here.parent / "deploy" / "sites"):
        files = {path.stem: path for path in sorted(folder.glob("*.yaml"))}
        if files:
            return files
    return {}


def find(path_or_preset: str) -> pathlib.Path:
    """The file that is meant. Raises SiteError for a preset that is not there."""
    path = pathlib.Path(path_or_preset).expanduser()
    if "/" in path_or_preset or path.suffix in (".yaml", ".yml", ".json"):
        return path
    known = presets()
    if path_or_preset in known:
        return known[path_or_preset]
    words = f"there is no preset of this name{sitekeys.spelling(path_or_preset, known)}"
    if path.exists():
        words += f"; for the file write ./{path_or_preset}"
    raise SiteError([Problem(path_or_preset, 0, "", words)])
