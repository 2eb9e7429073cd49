"""Saved files, noticed by looking at them: no library, and the same on every system."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from time import sleep

POLL = 0.15  # seconds between two looks


def saved(files: Sequence[Path]) -> Iterator[list[Path]]:
    """Yield the files that were written since the last time, whenever some were."""
    before = {f: _stamp(f) for f in files}
    while True:
        sleep(POLL)
        now = {f: _stamp(f) for f in files}
        if changed := [f for f in files if now[f] != before[f] and now[f]]:
            yield changed
        before = now


def _stamp(file: Path) -> tuple[int, ...]:
    """Changes with every save; an editor may replace the file, or take it away for a moment."""
    try:
        s = file.stat()
    except OSError:
        return ()
    return s.st_mtime_ns, s.st_size, s.st_ino
