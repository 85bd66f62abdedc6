"""Files by absolute path, as far as granted: beside Python's own `open`, `os` and `pathlib`, which see the granted
folders, this has single files that are granted alone, replacement as a whole, and folders made as far as granted.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from ._host import host
from .errors import LimitExceeded, NotFound

_PIECE = 1 << 20


@dataclass(frozen=True)
class Stat:
    """What a path names: `file`, `directory`, `symlink` or `other`; size in bytes, time of change in seconds since
    1970, permission bits."""

    kind: str
    size: int
    modified: float
    mode: int

    @property
    def is_file(self) -> bool:
        """Whether it is a file."""
        return self.kind == "file"

    @property
    def is_dir(self) -> bool:
        """Whether it is a folder."""
        return self.kind == "directory"


@dataclass(frozen=True)
class Entry:
    """An entry of a folder."""

    name: str
    kind: str


class Writer:
    """A file that takes its name only when it is complete: as a context manager, at the end of the block, unless an
    exception ends it."""

    def __init__(self, inner: Any, kept: int) -> None:
        self._inner = inner
        self.kept = kept
        """How many bytes an earlier, interrupted writer left."""

    def write(self, data: bytes | str) -> int:
        """Adds bytes, or text as UTF-8."""
        raw = data.encode() if isinstance(data, str) else bytes(data)
        self._inner.write(raw)
        return len(raw)

    def sha256(self) -> str:
        """The digest of what was written so far, hexadecimal."""
        return self._inner.sha256()

    def commit(self) -> None:
        """Puts the file in its place."""
        self._inner.commit()

    def discard(self) -> None:
        """Drops what was written."""
        self._inner.discard()

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, kind: Any, _error: Any, _traceback: Any) -> None:
        if kind is None:
            self.commit()
        else:
            self.discard()


def _path(path: str | os.PathLike[str]) -> str:
    return os.fspath(path)


def create(path: str | os.PathLike[str], *, mode: int = 0o644, resume: str | None = None) -> Writer:
    """A writer that replaces `path` as a whole once it is complete.

    With `resume`, a key of your choice, what an interrupted writer of the same path and key wrote is kept.
    """
    return Writer(*host().create(_path(path), mode, resume))


def write_bytes(path: str | os.PathLike[str], data: bytes, *, mode: int = 0o644) -> None:
    """Replaces a file, whole or not at all."""
    with create(path, mode=mode) as writer:
        writer.write(data)


def write_text(path: str | os.PathLike[str], text: str, *, mode: int = 0o644) -> None:
    """Replaces a file by UTF-8 text, whole or not at all."""
    write_bytes(path, text.encode(), mode=mode)


def read_bytes(path: str | os.PathLike[str], *, most: int = 16 << 20) -> bytes:
    """The whole of a file; `LimitExceeded` when it has more than `most` bytes."""
    content = bytearray()
    while piece := host().read(_path(path), len(content), _PIECE):
        content += piece
        if len(content) > most:
            raise LimitExceeded(f"{_path(path)} has more than {most} bytes")
    return bytes(content)


def read_text(path: str | os.PathLike[str], *, most: int = 16 << 20) -> str:
    """The same as text; bytes that are not UTF-8 are shown as U+FFFD."""
    return read_bytes(path, most=most).decode("utf-8", "replace")


def append(path: str | os.PathLike[str], data: bytes | str) -> None:
    """Adds to the end of a file, which is made if it is missing."""
    host().append(_path(path), data.encode() if isinstance(data, str) else bytes(data))


def stat(path: str | os.PathLike[str]) -> Stat:
    """What a path names, symbolic links followed; `NotFound` when there is nothing."""
    return Stat(**host().stat(_path(path)))


def exists(path: str | os.PathLike[str]) -> bool:
    """Whether there is something; a denial is raised and is not a no."""
    try:
        stat(path)
    except NotFound:
        return False
    return True


def list_directory(path: str | os.PathLike[str]) -> list[Entry]:
    """The entries of a folder, by name."""
    return [Entry(*one) for one in host().list_directory(_path(path))]


def make_directory(path: str | os.PathLike[str]) -> None:
    """Makes a folder and the missing ones above it."""
    host().create_directory(_path(path))


def remove(path: str | os.PathLike[str], *, recursive: bool = False) -> None:
    """Removes a file, or with `recursive` a folder and all that is in it."""
    host().remove(_path(path), recursive)


def chmod(path: str | os.PathLike[str], mode: int) -> None:
    """Sets the permission bits."""
    host().set_mode(_path(path), mode)
