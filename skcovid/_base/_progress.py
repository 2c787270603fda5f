"""One progress bar for all that runs: the outermost task's.

The tasks inside it say in the bar where they are. Without a terminal or a notebook, a
task says in one line that it lasts. Processes that multiprocessing and joblib started
say nothing.
"""

import multiprocessing
import os
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import suppress
from time import monotonic
from typing import Any, Self, TypeVar

from tqdm import tqdm

Item = TypeVar("Item")

_LOCK = threading.RLock()
_running: list["Progress"] = []
# Seconds after which a task says that it lasts, and between two looks of a bar.
_LASTS = 10.0
_REDRAWN = 0.1


class Progress:
    """How far a task is, from entering its context to leaving it."""

    def __init__(
        self, task: str, total: int | None, unit: str, verbose: Any, *, done: int = 0
    ) -> None:
        self.task = task
        self.total = total
        self.unit = unit
        self.done = done
        self._verbose = verbose and multiprocessing.parent_process() is None
        self._outermost: Progress | None = None
        self._bar: Any = None
        self._said: set[str] = set()

    def __enter__(self) -> Self:
        self._started = self._drawn = monotonic()
        if self._verbose:
            with _LOCK:
                _running.append(self)
                self._outermost = _running[0]
            if self._outermost is self and _can_redraw():
                self._bar = tqdm(
                    total=self.total,
                    initial=self.done,
                    desc=self.task,
                    unit=self.unit,
                    file=sys.stderr,
                    leave=False,
                    dynamic_ncols=True,
                )
        return self

    def __exit__(self, *_: object) -> None:
        with _LOCK:
            if self in _running:
                _running.remove(self)
            if self._bar is not None:
                self._bar.close()

    def update(self, n: int = 1, note: str = "", line: str = "") -> None:
        """Count what was done; a bar shows the note, a log has the line."""
        outermost = self._outermost
        if outermost is None:
            return
        with _LOCK:
            self.done += n
            bar, now = outermost._bar, monotonic()
            text = f"{self.done:,}"
            if self.total is not None:
                text += f" of {self.total:,}"
            if bar is None:
                seconds = now - self._started
                if line and outermost is self:
                    say(line)
                elif seconds > _LASTS and not line:
                    taken = format_duration(seconds)
                    say_once(self.task, f"{self.task}: {text} after {taken}")
                return
            if outermost is self:
                bar.update(n)
            else:
                note = f"{self.task} {text} {note}"
            bar.set_postfix_str(note.strip(), refresh=False)
            if now - outermost._drawn > _REDRAWN:
                outermost._drawn = now
                bar.refresh()

    def follow(self, items: Iterable[Item]) -> Iterator[Item]:
        """Yield items, and count each when the next is asked for."""
        for item in items:
            yield item
            self.update()


def say(text: str) -> None:
    """Say a line on stderr, above the bar; processes of workers say nothing."""
    if sys.stderr is not None and multiprocessing.parent_process() is None:
        tqdm.write(text, file=sys.stderr)


def say_once(subject: str, text: str) -> None:
    """Say a line on stderr, one on each subject while the outermost task runs."""
    with _LOCK:
        said = _running[0]._said if _running else set()
        if subject not in said:
            said.add(subject)
            say(text)


def fits_left() -> int:
    """Return how many fits the running evaluation has yet to end, 1 without one."""
    left = [(one.total or 1) - one.done for one in _running if one.unit == "fold"]
    return max(1, *left) if left else 1


def format_duration(seconds: float) -> str:
    """Return a duration in seconds, minutes, hours or days."""
    for unit, length in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


def _can_redraw() -> bool:
    """Whether stderr is a terminal or a notebook."""
    stream = sys.stderr
    if stream is None:
        return False
    if not stream.isatty():
        return type(stream).__module__.startswith("ipykernel")
    # tqdm draws nothing in a terminal that says it has no columns.
    with suppress(OSError):
        return os.get_terminal_size(stream.fileno()).columns > 0
    return True
