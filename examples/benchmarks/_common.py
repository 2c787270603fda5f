"""What the benchmarks share: child processes, repeats, data, tables, JSON.

A side of a comparison runs in a process of its own, so that its peak memory and CPU
time are its own. A script hands `main_or_side` its `main` and a dict of its sides;
`run_side` starts the script again as a child that runs one of them.
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

Name = TypeVar("Name", bound=Hashable)
Result = TypeVar("Result")

PACKAGES = (
    "albumentations",
    "aucmedi",
    "imbalanced-learn",
    "jax",
    "keras",
    "numpy",
    "opencv-python",
    "scikeras",
    "scikit-learn",
    "scipy",
    "skcovid",
    "tensorflow",
    "torch",
    "torchvision",
)


class Measurement(NamedTuple):
    """What a child process took, and what it returned."""

    wall_s: float
    cpu_s: float  # user and system, of the process and of those it waited for
    peak_mib: float  # peak resident memory, of the largest of them
    result: Any


def main_or_side(main: Callable[[], None], sides: Mapping[str, Callable]) -> None:
    """Run `main`, or in a child process the side it was started for."""
    if sys.argv[1:2] != ["--side"]:
        main()
        return
    name, arguments, result = sys.argv[2:]
    outcome = sides[name](**json.loads(Path(arguments).read_text("utf-8")))
    Path(result).write_text(json.dumps(outcome), "utf-8")


def run_side(
    script: str,
    side: str,
    arguments: Mapping[str, Any],
    *,
    environment: Mapping[str, str] | None = None,
) -> Measurement:
    """Run a side of a script in a child process and measure it.

    The kernel counts the memory of this process, as it is when the child is made, as
    the child's: a script must not load what is larger than its sides.
    """
    with tempfile.TemporaryDirectory(prefix="skcovid-") as folder:
        given, returned = Path(folder, "arguments.json"), Path(folder, "result.json")
        given.write_text(json.dumps(arguments), "utf-8")
        command = [sys.executable, script, "--side", side, str(given), str(returned)]
        started = time.perf_counter()
        child = subprocess.Popen(
            command,
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2", **(environment or {})},
        )
        try:
            _, status, usage = os.wait4(child.pid, 0)
        except BaseException:
            # Whoever stops this process means the side too.
            child.kill()
            child.wait()
            raise
        wall = time.perf_counter() - started
        # It has been waited for; Popen has to know.
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode:
            raise SystemExit(f"{side}: the process ended with {child.returncode}")
        # Linux counts in KiB, macOS in bytes.
        unit = 2**20 if sys.platform == "darwin" else 2**10
        return Measurement(
            wall_s=wall,
            cpu_s=usage.ru_utime + usage.ru_stime,
            peak_mib=usage.ru_maxrss / unit,
            result=json.loads(returned.read_text("utf-8")),
        )


def alternate(
    sides: Mapping[Name, Callable[[], Result]], repeats: int
) -> dict[Name, list[Result]]:
    """Run the sides in turn, A B A B, so that a slow spell of the machine hits all.

    What a side measured is printed as it ends: a run may be stopped before the tables.
    """
    results: dict[Name, list[Result]] = {name: [] for name in sides}
    for repeat in range(1, repeats + 1):
        for name, side in sides.items():
            started = time.perf_counter()
            measured = side()
            results[name].append(measured)
            seconds = time.perf_counter() - started
            parts = name if isinstance(name, tuple) else (name,)
            label = ", ".join(str(part) for part in parts)
            progress = f"[{repeat}/{repeats}] {label}: {seconds:.1f} s"
            print(f"{progress}; {json.dumps(measured)}", file=sys.stderr)
    return results


def median(values: Iterable[float]) -> float:
    """Return the median as a float."""
    return float(statistics.median(values))


def median_measurement(measurements: Sequence[Measurement]) -> dict[str, float]:
    """Return the medians of wall time, CPU time and peak memory."""
    return {
        name: median(getattr(measurement, name) for measurement in measurements)
        for name in ("wall_s", "cpu_s", "peak_mib")
    }


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Format a Markdown table, the first column to the left, the rest to the right."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def describe_machine() -> dict[str, Any]:
    """Describe processor, memory and versions; nothing that tells whose it is."""
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "cpu": _cpu_model(),
        "cores": n_cores(),
        "memory_gib": round(pages / 2**30, 1),
        "system": platform.system(),
        "python": platform.python_version(),
        "packages": {name: installed_version(name) for name in PACKAGES},
    }


def describe_device() -> dict[str, str | None]:
    """Name Keras' backend, the device its tensors are on, and the GPU if it is one."""
    import keras

    device = str(keras.ops.convert_to_tensor([0.0]).device)
    gpu = None
    if "cpu" not in device.lower() and shutil.which("nvidia-smi"):
        command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
        answer = subprocess.run(command, capture_output=True, text=True, check=False)
        gpu = ", ".join(answer.stdout.splitlines())
    return {"backend": keras.backend.backend(), "device": device, "gpu": gpu}


def n_cores() -> int:
    """Count the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def installed_version(package: str) -> str | None:
    """Return the version of a package, None where it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def is_importable(module: str, python: str = sys.executable) -> bool:
    """Whether a Python can import a module; a rival that it can't is left out."""
    command = [python, "-c", f"import {module}"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def add_common_options(parser: argparse.ArgumentParser, *, repeats: int) -> None:
    """Add the options that every benchmark has."""
    parser.add_argument(
        "--data",
        type=Path,
        metavar="DIR",
        help="folder of radiographs, one sub-folder a class; default: synthetic ones",
    )
    parser.add_argument(
        "--limit",
        type=positive_int,
        metavar="N",
        help="take N images of each class, drawn with --seed",
    )
    parser.add_argument(
        "--repeats",
        type=positive_int,
        default=repeats,
        metavar="N",
        help="times that each side runs, in turn with the others; default: %(default)s",
    )
    parser.add_argument(
        "--output", type=Path, metavar="FILE", help="also write a JSON file"
    )
    parser.add_argument("--seed", type=int, default=0, help="default: %(default)s")


def add_network_options(parser: argparse.ArgumentParser, *, backbone: str) -> None:
    """Add the options of the benchmarks that run a network."""
    parser.add_argument(
        "--backbone", default=backbone, metavar="NAME", help="default: %(default)s"
    )
    parser.add_argument(
        "--weights",
        type=Path,
        metavar="FILE",
        help="the network's weights, a .weights.h5 or .keras file; default: random",
    )
    parser.add_argument(
        "--batch-size",
        type=positive_int,
        default=32,
        metavar="N",
        help="default: %(default)s",
    )


def positive_int(text: str) -> int:
    """Convert an argument to an integer from 1 up."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 up")
    return int(text)


class Radiographs(NamedTuple):
    """Files, their labels and, where they are known, their patients."""

    paths: list[str]
    y: list[str]
    groups: list[str] | None


def load_radiographs(
    options: argparse.Namespace, folder: str, *, n_synthetic: int
) -> Radiographs:
    """List the files of --data, or write synthetic radiographs into `folder`."""
    from skcovid import datasets

    root = options.data
    if root is None:
        root = Path(folder, "radiographs")
        images, labels = datasets.make_radiographs(
            n_synthetic, image_size=224, random_state=options.seed, return_X_y=True
        )
        datasets.save_radiographs(images, labels, root)
    data = datasets.load_radiographs(root)
    rows = _limited(list(data.target), options.limit, options.seed)
    groups = data.groups
    return Radiographs(
        paths=[str(Path(data.paths[row]).resolve()) for row in rows],
        y=[str(data.target[row]) for row in rows],
        groups=None if groups is None else [str(groups[row]) for row in rows],
    )


def _limited(y: Sequence[str], limit: int | None, seed: int) -> list[int]:
    """Rows of `limit` images a class, in their order."""
    import numpy as np

    labels = np.asarray(y)
    shuffled = np.random.default_rng(seed).permutation(len(labels))
    parts = [shuffled[labels[shuffled] == label][:limit] for label in np.unique(labels)]
    return np.sort(np.concatenate(parts)).tolist()


def weights_argument(options: argparse.Namespace) -> str | None:
    """Return the weights file as an absolute path, None for random weights."""
    return None if options.weights is None else str(options.weights.resolve())


def report(
    options: argparse.Namespace, tables: Mapping[str, str], results: Any
) -> None:
    """Print the machine and the tables; write the JSON file if it is asked for."""
    machine = describe_machine()
    print(f"\n{machine['cpu']}, {machine['cores']} cores, Python {machine['python']}")
    installed = machine["packages"].items()
    print(", ".join(f"{name} {found}" for name, found in installed if found))
    for title, table in tables.items():
        print(f"\n{title}\n\n{table}")
    if options.output is None:
        return
    # Whether there were files, but not whose.
    given = {
        name: "given" if isinstance(value, Path) else value
        for name, value in vars(options).items()
        if name != "output"
    }
    record = {
        "benchmark": Path(sys.argv[0]).stem,
        "options": given,
        "machine": machine,
        "results": results,
    }
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(record, indent=2) + "\n", "utf-8")


def _cpu_model() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text("utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    if sys.platform == "darwin":
        command = ["sysctl", "-n", "machdep.cpu.brand_string"]
        return subprocess.run(
            command, capture_output=True, text=True, check=True
        ).stdout.strip()
    return platform.processor() or platform.machine()
