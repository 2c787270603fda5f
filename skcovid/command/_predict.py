"""`skcovid predict`: predictions of files and folders, as a table."""

import argparse
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from skcovid.command._evaluate import write_table
from skcovid.command._options import add_output_options
from skcovid.command._outcome import Outcome, say

_CHUNK = 1000


def add_options(parser: argparse.ArgumentParser) -> None:
    """Describe the options."""
    add = parser.add_argument_group("data").add_argument
    add("model", metavar="MODEL", help="file that `skcovid fit` wrote")
    text = "image, or folder or zip archive of images at any depth"
    add("paths", nargs="+", metavar="PATH", help=text)
    add_output_options(parser, "predictions.csv", ".csv or .parquet")


def run(options: argparse.Namespace) -> Outcome:
    """Predict every image, and write one row for each."""
    from skcovid import load, predict_archive
    from skcovid._base._atomic_files import check_writable

    output, verbose = options.output, int(not options.quiet)
    if output.suffix.lower() not in (".csv", ".parquet"):
        raise ValueError(
            f"-o {output}: unknown kind of file. Name it .csv or .parquet."
        )
    check_writable(output)
    pipeline = load(options.model)
    paths = list(_list_images(options.paths))
    say(f"{len(paths)} images")
    if output.suffix.lower() == ".parquet":
        done = predict_archive(pipeline, paths, output, verbose=verbose)
        text = f"{done.n_images} images predicted, {done.n_errors} of them unreadable."
        document = {"n_images": done.n_images, "n_errors": done.n_errors}
        return Outcome(text, document, {output: "a folder of Parquet files"})
    rows = list(_predict(pipeline, paths, verbose))
    write_table(output, rows)
    bad = [row["path"] for row in rows if row["error"]]
    counts = Counter(row["prediction"] for row in rows if not row["error"])
    text = ", ".join(f"{label} {count}" for label, count in sorted(counts.items()))
    text = f"{len(rows)} images: {text or 'none was read'}"
    if bad:
        text += f"\n{len(bad)} can't be read; the column error says why: {bad[0]} …"
    return Outcome(
        text,
        {"predictions": rows},
        {output: "one row for each image"},
        exit_code=2 if len(bad) == len(rows) else 0,
    )


def _list_images(places: Iterable[str]) -> Iterator[str]:
    """Yield files as given, and the images in folders and archives."""
    from skcovid.datasets._listing import kind_of_image, list_files, natural_order
    from skcovid.reading._zip_archives import is_archive

    for place in map(Path, places):
        if place.is_file() and not is_archive(place):
            yield str(place)
            continue
        files = sorted(list_files(place).files, key=natural_order)
        images = [str(place / file) for file in files if kind_of_image(place / file)]
        if not images:
            raise ValueError(f"{place} holds no image. Give another folder, or a file.")
        yield from images


def _predict(pipeline: Any, paths: list[str], verbose: int) -> Iterator[dict[str, Any]]:
    """Yield path, prediction, probabilities and error of each file."""
    from skcovid._base._progress import Progress
    from skcovid.persistence._archive import Models, predict_part

    with Progress("predictions", len(paths), "image", verbose) as progress:
        for start in range(0, len(paths), _CHUNK):
            chunk = paths[start : start + _CHUNK]
            part = predict_part(Models(pipeline, None, 0), Path("predictions"), chunk)
            for row, path in enumerate(chunk):
                error, scores = part.errors[row], part.probabilities[row].tolist()
                names = [f"probability_{one}" for one in pipeline.classes_]
                yield {
                    "path": path,
                    "prediction": part.labels[row],
                    **{
                        name: None if error else score
                        for name, score in zip(names, scores, strict=False)
                    },
                    "error": error,
                }
            progress.update(len(chunk))
