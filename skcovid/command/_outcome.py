"""What a subcommand hands back, and how it is shown."""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# Of a paragraph, in characters.
WIDTH = 88


@dataclass
class Outcome:
    """What a subcommand found, what it wrote, and what to do next."""

    # For people, and the same for programs.
    text: str
    document: Mapping[str, Any]
    # Paths, each with what is there.
    written: dict[Path, str] = field(default_factory=dict)
    next_steps: tuple[str, ...] = ()
    exit_code: int = 0

    def show(self, *, as_json: bool) -> None:
        """Print it: text on stdout, or one JSON document there."""
        if as_json:
            written = [str(path) for path in self.written]
            document = {**self.document, "written": written}
            print(json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False))
            return
        print(self.text)
        if self.written:
            rows = [(str(path), what) for path, what in self.written.items()]
            print(f"\nWritten:\n{align(rows)}")
        if self.next_steps:
            steps = "\n".join(f"  {step}" for step in self.next_steps)
            print(f"\nNext:\n{steps}")


def align(rows: Sequence[Sequence[str]]) -> str:
    """Lay rows out in columns, indented by two spaces."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            ["", *(cell.ljust(width) for cell, width in zip(row, widths, strict=True))]
        ).rstrip()
        for row in rows
    )


def say(text: str) -> None:
    """Tell on stderr what happens, beside the outcome on stdout."""
    print(text, file=sys.stderr, flush=True)
