"""`skcovid predict`: predict files and folders with a saved model."""

import argparse
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import repeat
from pathlib import Path

from skcovid.command._evaluate import write_table
from skcovid.command._options import add_output_options
from skcovid.command._outcome import Outcome, say


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
    from skcovid.persistence._archive import Models, predict_part

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
    part = predict_part(Models(pipeline, None, 0), output, paths)
    names = [f"probability_{label}" for label in pipeline.classes_]
    columns = part.labels.tolist(), part.probabilities.tolist(), part.errors
    rows = [
        {
            "path": path,
            "prediction": label,
            **dict(zip(names, repeat(None) if error else scores, strict=False)),
            "error": error,
        }
        for path, label, scores, error in zip(paths, *columns, strict=True)
    ]
    write_table(output, rows)
    bad = [f"\n  {row['path']}: {row['error']}" for row in rows if row["error"]]
    counts = Counter(row["prediction"] for row in rows if not row["error"])
    text = ", ".join(f"{label} {count}" for label, count in sorted(counts.items()))
    text = f"{len(rows)} images: {text or 'none was read'}"
    if bad:
        listed = "".join(bad[:3])
        text += f"\n{len(bad)} can't be read (see the column error), such as{listed}"
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
        files = list_files(place).files
        files.sort(key=lambda file: (file.parent, natural_order(file)))
        images = [str(place / file) for file in files if kind_of_image(place / file)]
        if not images:
            raise ValueError(f"{place} holds no image. Give another folder, or a file.")
        yield from images
