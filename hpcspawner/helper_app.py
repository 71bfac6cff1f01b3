"""Packs the helper into one file that any Python 3.8+ can run without this package: `python3 -I -S helper.pyz`.

    python3 -I helper_app.py OUT
    python3 -I helper_app.py --into DIRECTORY      (prints the path)

The file is small, needs no unpacking and holds bytecode for the Python that packs it (others compile on the fly, which
costs each call about 100 ms): let the Python that will run the helper pack it.
"""

from __future__ import annotations

import ast
import gc
import hashlib
import importlib.util
import json
import marshal
import os
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent

ROOTS = ("helper", "schedulers", "localqueue")
"""Packages that the helper carries whole, with every module of ours that they import."""
DATA = "injob"

_MAIN = """\
import os
import sys

program = os.path.dirname(os.path.abspath(__file__))
sys.path[:] = [x for x in sys.path if x != program]
sys.path.insert(0, program)
if sys.argv[1:2] == ["localqueue"]:
    from hpcspawner.localqueue import main

    sys.exit(main(sys.argv[2:]))
from hpcspawner.helper.main import main

sys.exit(main(sys.argv, program))
"""

_OLD = 60 * 86400
# Equal content gives an equal file, whenever it is packed.
_DATE = (2020, 1, 1, 0, 0, 0)


def sources() -> list[Path]:
    """Every module that the helper carries, sorted."""
    found: set[Path] = {PACKAGE / "__init__.py"}
    waiting = [path for name in ROOTS for path in (PACKAGE / name).rglob("*.py")]
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            waiting.extend(_imported(path))
    return sorted(found)


def _imported(path: Path) -> Iterator[Path]:
    """Modules of ours that a module imports by relative imports, wherever in it they stand."""
    gc.disable()  # Python 3.11.2, Debian's, fails at random where a collection runs while it makes the tree
    try:
        tree = ast.parse(path.read_text("utf-8"))
    finally:
        gc.enable()
    for node in ast.walk(tree):
        if not isinstance(node, ast.ImportFrom) or not node.level:
            continue
        base = path.parents[node.level - 1].joinpath(*(node.module or "").split("."))
        for candidate in [base, *(base / alias.name for alias in node.names)]:
            for file in (candidate.with_suffix(".py"), candidate / "__init__.py"):
                if file.is_file():
                    yield file


def content() -> dict[str, bytes]:
    """Name in the zip -> bytes, in the order in which they are written."""
    files = {"__main__.py": _MAIN.encode()}
    for path in sources():
        name = "hpcspawner/" + path.relative_to(PACKAGE).as_posix()
        files[name] = path.read_bytes()
    injob = {x.name: x.read_text("utf-8") for x in sorted((PACKAGE / DATA).glob("*.py")) if x.name != "__init__.py"}
    key = _digest({name: text.encode() for name, text in injob.items()})
    files["injob.json"] = json.dumps({"key": key, "files": injob}).encode()
    return files


def _digest(files: dict[str, bytes]) -> str:
    digest = hashlib.sha256()
    for name in sorted(files):
        digest.update(f"{name}:{len(files[name])}:".encode() + files[name])
    return digest.hexdigest()[:20]


def bytecode(name: str, source: bytes) -> bytes:
    """A .pyc that is never checked against its source, for the running Python."""
    code = compile(source, name, "exec", dont_inherit=True, optimize=0)
    head = importlib.util.MAGIC_NUMBER + (0b01).to_bytes(4, "little") + importlib.util.source_hash(source)
    return head + marshal.dumps(code)


def build(path: os.PathLike[str] | str) -> Path:
    """Packs the helper into the file at path, in one step (0644), and returns its path."""
    target = Path(path)
    fd, temporary = tempfile.mkstemp(prefix=".helper-", dir=str(target.parent))
    try:
        with os.fdopen(fd, "w+b") as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
            for name, data in content().items():
                if name.startswith("hpcspawner/"):
                    archive.writestr(zipfile.ZipInfo(name + "c", _DATE), bytecode(name, data))
                archive.writestr(zipfile.ZipInfo(name, _DATE), data)
        os.chmod(temporary, 0o644)
        os.replace(temporary, target)
    except BaseException:
        os.unlink(temporary)
        raise
    return target


def build_into(directory: os.PathLike[str] | str) -> Path:
    """Packs the helper into that directory unless it is there, under a name that stands for its content."""
    folder = Path(directory)
    files = content()
    key = _digest({**files, "": importlib.util.MAGIC_NUMBER})
    target = folder / f"helper-{key}.pyz"
    if not target.exists():
        build(target)
    os.utime(target)
    for other in folder.glob("helper-*.pyz"):
        # A job of the embedded queue may still use the one before.
        if other.stat().st_mtime < time.time() - _OLD:
            other.unlink()
    return target


def main() -> int:
    argv = sys.argv[1:]
    if len(argv) == 2 and argv[0] == "--into":
        sys.stdout.write(f"{build_into(argv[1])}\n")
    elif len(argv) == 1:
        build(argv[0])
    else:
        sys.stderr.write("usage: helper_app.py OUT | --into DIRECTORY\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
