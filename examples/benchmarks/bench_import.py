"""Seconds that imports take in a new process: ours beside scikit-learn's and Keras'."""

import argparse
import time
from functools import partial
from pathlib import Path

import _common

IMPORTS = {
    "scikit-learn": "import sklearn",
    "skcovid": "import skcovid",
    "a step without a network": "from skcovid import RadiographReader",
    "Keras": "import keras",
    "a network": "from skcovid import TransferLearningClassifier",
    "all public names": "from skcovid import *",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=_common.positive_int, default=9)
    parser.add_argument("--output", type=Path, help="also write a JSON file")
    options = parser.parse_args()
    calls = {name: partial(measure, code) for name, code in IMPORTS.items()}
    seconds = _common.alternate(calls, options.repeats)
    rows = [
        [name, f"`{code}`", f"{_common.median(seconds[name]):.2f}"]
        for name, code in IMPORTS.items()
    ]
    table = _common.markdown_table(["", "import", "s"], rows)
    title = f"Seconds to import, median of {options.repeats}"
    _common.report(options, {title: table}, seconds)


def measure(code: str) -> float:
    """Import in a child process; return seconds."""
    return _common.run_side(__file__, "import", {"code": code}).result


def import_side(code: str) -> float:
    """Import, in the child process."""
    started = time.perf_counter()
    exec(code)
    return time.perf_counter() - started


if __name__ == "__main__":
    _common.main_or_side(main, {"import": import_side})
