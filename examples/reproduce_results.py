"""Make docs/results.md and ablations.md: evaluate every row that is not there yet.

Each row is evaluated in a process of its own, and kept as OUTPUT/rows/NAME.json. A row
that is there already, of the same parameters, images, weights and version of skcovid,
is not evaluated again: what was stopped goes on where it was.
"""

import argparse
import hashlib
import json
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from tempfile import NamedTemporaryFile, TemporaryDirectory
from typing import Any, NamedTuple

import _command_line as command_line
import numpy as np
from _results_page import COVID_19, Page, render_ablations, render_results
from _results_rows import ABLATIONS, HEADLINE, Row, all_rows
from benchmarks._common import (
    Measurement,
    describe_device,
    describe_machine,
    main_or_side,
    run_side,
)
from numpy.typing import NDArray

from skcovid import __version__, evaluate
from skcovid.datasets import load_radiographs

PAGE = Path(__file__).parents[1] / "docs" / "results.md"


class Radiographs(NamedTuple):
    """Files, labels, patients if they are known, and a digest of it all.

    `source` names the collection of each of them, where they are of several; `external`
    are images of other hospitals.
    """

    paths: NDArray
    y: NDArray
    groups: NDArray | None
    digest: str
    source: NDArray | None = None
    external: "Radiographs | None" = None

    def to_dict(self) -> dict[str, Any]:
        """Return the columns as what JSON knows."""
        named = {"paths": [str(Path(path).resolve()) for path in self.paths]}
        for name in ("y", "groups", "source"):
            column = getattr(self, name)
            named[name] = None if column is None else column.tolist()
        return named


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what the command line asks for."""
    command_line.run_script(make_parser(), run, arguments)


def make_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    command_line.add_data_option(parser, without=None)
    parser.add_argument(
        "--external",
        nargs="+",
        type=Path,
        metavar="DIR",
        help="collections of other hospitals, for the rows 'outside'; lateral images "
        "are left out",
    )
    command_line.add_weights_option(parser, default="imagenet")
    parser.set_defaults(weights="imagenet")
    parser.add_argument(
        "--only",
        nargs="+",
        default=["*"],
        metavar="PATTERN",
        help="evaluate the rows of these names alone, as 'linear.*'",
    )
    for flag, meaning in {
        "--gpu": "evaluate the rows that need a GPU, too",
        "--again": "evaluate rows that are there already once more",
        "--list": "list the rows and evaluate none",
        "--page-only": "write the page of the rows that are there and evaluate none",
    }.items():
        parser.add_argument(flag, action="store_true", help=meaning)
    parser.add_argument(
        "--n-jobs",
        type=command_line.positive_int,
        default=1,
        metavar="N",
        help="folds that run at once, where memory and GPU have room; default: 1",
    )
    command_line.add_limit_option(parser, shuffled_by="seed 0")
    command_line.add_folder_options(
        parser,
        output="; another run goes on with what is there",
        kept="features are kept for all rows but those of the headline, which begin "
        "without",
    )
    parser.add_argument(
        "--page",
        type=Path,
        metavar="FILE",
        help="the results page, with ablations.md beside it; default: docs/results.md, "
        "with --limit OUTPUT/results.md",
    )
    return parser


def run(options: argparse.Namespace) -> None:
    """List the rows, or evaluate what is missing and write the page."""
    rows = list(all_rows())
    chosen = [row for row in rows if _matches(row, options.only)]
    if not chosen:
        raise ValueError(
            f"--only {' '.join(options.only)} matches no row; --list names them"
        )
    data = load(options)
    if options.list:
        for row in chosen:
            state = find_obstacle(row, data, options) or "not evaluated yet"
            if read_record(row, data, options) is not None:
                state = "there"
            print(f"{row.slug:40} {state:24} {row.model.title}")
        return
    failed = []
    if not options.page_only:
        with command_line.features_folder(options) as memory:
            failed = evaluate_missing(chosen, data, options, Path(memory))
    write_page(rows, data, options)
    if failed:
        raise ValueError(f"these rows failed, see above: {', '.join(failed)}")


def _matches(row: Row, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(row.slug, pattern) for pattern in patterns)


def load(options: argparse.Namespace) -> Radiographs:
    """Load the folder of radiographs and digest it."""
    data = load_radiographs(options.data)
    paths, y = np.asarray(data.paths), np.asarray(data.target)
    groups = None if data.groups is None else np.asarray(data.groups)
    if COVID_19 not in y:
        raise ValueError(
            f"--data {options.data} has no class {COVID_19!r}, whose recall the page "
            f"reports; its classes are {', '.join(np.unique(y))}"
        )
    if options.limit is not None:
        rows = command_line.first_of_each_class(y, options.limit, seed=0)
        paths, y = paths[rows], y[rows]
        groups = None if groups is None else groups[rows]
    print(command_line.count_images(y))
    digest = digest_images(paths, y, groups)
    return Radiographs(paths, y, groups, digest, external=load_external(options))


def load_external(options: argparse.Namespace) -> Radiographs | None:
    """Load the collections of other hospitals, if there are any."""
    if not options.external:
        return None
    # A list of one is a list too, whose `source` is the collection.
    data = load_radiographs(options.external)
    if COVID_19 not in data.target:
        raise ValueError(
            f"--external {' '.join(map(str, options.external))} has no class "
            f"{COVID_19!r}; add a collection that has it"
        )
    rows = np.full(len(data.target), True)
    if data.view_position is not None:
        rows = data.view_position != "LATERAL"
    columns = data.paths[rows], data.target[rows], data.groups[rows]
    return Radiographs(*columns, digest_images(*columns), data.source[rows])


def digest_images(paths: NDArray, y: NDArray, groups: NDArray | None) -> str:
    """Return the digest of files, labels and patients."""
    digest = hashlib.blake2b(digest_size=16)
    patients = None if groups is None else groups.tolist()
    digest.update(repr((y.tolist(), patients)).encode())
    for path in paths:
        digest.update(Path(path).read_bytes())
    return digest.hexdigest()


def find_obstacle(
    row: Row, data: Radiographs, options: argparse.Namespace
) -> str | None:
    """Say why a row can't be evaluated, None if it can."""
    if row.model.needs_gpu and not options.gpu:
        return "needs a GPU: not run"
    if row.grouped and data.groups is None:
        return "patients not known: not run"
    if row.outside and data.external is None:
        return "needs --external: not run"
    return None


def evaluate_missing(
    rows: Sequence[Row], data: Radiographs, options: argparse.Namespace, memory: Path
) -> list[str]:
    """Evaluate the rows that are not there; return the names of those that failed."""
    failed = []
    for number, row in enumerate(rows, start=1):
        label = f"[{number}/{len(rows)}] {row.slug}"
        obstacle = find_obstacle(row, data, options)
        if obstacle is not None:
            print(f"{label}: {obstacle}")
        elif read_record(row, data, options) is not None and not options.again:
            print(f"{label}: there already")
        else:
            print(f"{label} …", flush=True)
            try:
                record = evaluate_in_process(row, data, options, memory)
            except SystemExit as failure:
                print(failure, file=sys.stderr)
                failed.append(row.slug)
                continue
            write_whole(record_path(row, options), json.dumps(record, indent=1))
            write_page(list(all_rows()), data, options)
            print(f"{label}: {record['run']['wall_s']:.0f} s")
    return failed


def evaluate_in_process(
    row: Row, data: Radiographs, options: argparse.Namespace, memory: Path
) -> dict[str, Any]:
    """Evaluate a row in a process of its own; return what is kept of it."""
    weights = command_line.weights_of(options)
    is_file = weights not in (None, "imagenet")
    with store(row, memory) as folder:
        n_before = count_features(folder)
        measured: Measurement = run_side(
            __file__,
            "row",
            {
                "row": row.to_dict(),
                "data": data.to_dict(),
                "external": data.external.to_dict() if row.outside else None,
                "weights": str(Path(weights).resolve()) if is_file else weights,
                "memory": str(folder.resolve()),
                "n_jobs": options.n_jobs,
            },
        )
        n_computed = count_features(folder) - n_before
    # It names folders; what else it says is in the settings.
    del measured.result["pipeline"]
    return {
        "slug": row.slug,
        "settings": describe_settings(row, data, options),
        "run": {
            "command": f"python examples/reproduce_results.py --only {row.slug}",
            "wall_s": measured.wall_s,
            "cpu_s": measured.cpu_s,
            "peak_mib": measured.peak_mib,
            "store_was_empty": n_before == 0,
            "n_trunk_passes": n_computed,
            "folds_at_once": options.n_jobs,
            "machine": describe_machine(),
            "device": measured.result.pop("device"),
        },
        "result": measured.result,
    }


@contextmanager
def store(row: Row, memory: Path) -> Iterator[Path]:
    """Give the folder where a row keeps features: the common one, or its own."""
    memory.mkdir(parents=True, exist_ok=True)
    if not row.own_store:
        yield memory
        return
    with TemporaryDirectory(dir=memory, prefix=f"{row.slug}-") as folder:
        yield Path(folder)


def count_features(folder: Path) -> int:
    """Count the files of kept features: one for an image and a trunk."""
    return sum(1 for _ in folder.rglob("*.npy"))


def evaluate_row(
    row: dict[str, Any],
    data: dict[str, Any],
    external: dict[str, Any] | None,
    weights: str | None,
    memory: str,
    n_jobs: int,
) -> dict[str, Any]:
    """Evaluate a row: what the child process does."""
    given = Row.from_dict(row)
    test = None
    if external is not None:
        test = tuple(np.asarray(external[name]) for name in ("paths", "y", "groups"))
    result = evaluate(
        given.make_estimator(weights=weights, memory=memory),
        np.asarray(data["paths"]),
        np.asarray(data["y"]),
        cv=given.n_folds,
        groups=data["groups"] if given.grouped else None,
        test=test,
        protocol=given.protocol,
        random_state=given.seed,
        n_jobs=n_jobs,
    )
    figures = result.to_dict()
    if external is not None:
        table = result.external.subgroups({"source": external["source"]})["source"]
        figures["by_collection"] = table.to_dict()["groups"]
    return {**figures, "device": describe_device()}


def describe_settings(
    row: Row, data: Radiographs, options: argparse.Namespace
) -> dict[str, Any]:
    """Describe all that a row's figures depend on."""
    return {
        "skcovid": __version__,
        "data": data.digest,
        **({"external": data.external.digest} if row.outside else {}),
        "weights": digest_weights(options.weights),
        "folds": f"{row.n_folds}, {row.folds}",
        "seed": row.seed,
        "parameters": describe_parameters(row.make_estimator()),
    }


def describe_parameters(estimator: Any) -> dict[str, str]:
    """Write down the parameters of an estimator and of all that it is made of.

    Without those that change no figure, and the weights, of which there is a digest.
    """
    left_out = ("__memory", "__n_jobs", "__verbose", "__weights", "steps", "estimators")
    return {
        name: type(value).__name__ if hasattr(value, "get_params") else repr(value)
        for name, value in sorted(estimator.get_params().items())
        if not name.endswith(left_out)
    }


@cache
def digest_weights(weights: str) -> str:
    """Return the digest of a weights file, or the word that stands for none."""
    if weights in ("imagenet", "none"):
        return weights
    return hashlib.blake2b(Path(weights).read_bytes(), digest_size=16).hexdigest()


def record_path(row: Row, options: argparse.Namespace) -> Path:
    """Say where a row is kept."""
    return options.output / "rows" / f"{row.slug}.json"


def read_record(
    row: Row, data: Radiographs, options: argparse.Namespace
) -> dict[str, Any] | None:
    """Read a row that was evaluated with these settings; None if there is none."""
    path = record_path(row, options)
    if not path.exists():
        return None
    record = json.loads(path.read_text("utf-8"))
    found = record["settings"] == describe_settings(row, data, options)
    return record if found else None


def write_whole(path: Path, text: str) -> None:
    """Write a file so that it is there whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with NamedTemporaryFile(
        "w", dir=path.parent, suffix=".part", delete=False, encoding="utf-8"
    ) as file:
        file.write(text)
    Path(file.name).replace(path)


def write_page(
    rows: Sequence[Row], data: Radiographs, options: argparse.Namespace
) -> None:
    """Write the page of the rows that are there."""
    default = PAGE if options.limit is None else options.output / "results.md"
    records = {row.slug: read_record(row, data, options) for row in rows}
    page = Page(
        headline=HEADLINE,
        ablations=ABLATIONS,
        records={slug: record for slug, record in records.items() if record},
        images=command_line.count_images(data.y),
        names=[Path(path).name for path in data.paths],
        weights=digest_weights(options.weights),
    )
    path = options.page or default
    write_whole(path, render_results(page))
    write_whole(path.with_name("ablations.md"), render_ablations(page))


if __name__ == "__main__":
    # A stop from outside ends the row's process too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    main_or_side(main, {"row": evaluate_row})
