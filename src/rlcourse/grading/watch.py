"""Saved files, noticed by looking at them: no library, and the same on every system."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from time import sleep

Stamp = tuple[int, ...]
POLL = 0.1  # seconds between two looks
SETTLE = 0.03  # seconds without a change after which a file is written to its end


def saved(files: Sequence[Path]) -> Iterator[list[Path]]:
    """Yield the files that were written since this call, and later since the last time."""
    return _changes(files, _look(files))


def _changes(files: Sequence[Path], before: dict[Path, Stamp]) -> Iterator[list[Path]]:
    while True:
        sleep(POLL - SETTLE)
        now = _look(files)
        while now != before and now != (later := _look(files)):
            now = later
        if changed := [f for f in files if now[f] != before[f] and now[f]]:
            yield changed
        before = now


def _look(files: Sequence[Path]) -> dict[Path, Stamp]:
    sleep(SETTLE)
    return {f: _stamp(f) for f in files}


def _stamp(file: Path) -> Stamp:
    """Changes with every save; an editor may replace the file, or take it away for a moment."""
    try:
        s = file.stat()
    except OSError:
        return ()
    return s.st_mtime_ns, s.st_size, s.st_ino
