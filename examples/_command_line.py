"""What the scripts share: options, the radiographs they name, messages."""

import argparse
import traceback
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray


def run_script(
    parser: argparse.ArgumentParser,
    run: Callable[[argparse.Namespace], None],
    arguments: Sequence[str] | None,
) -> None:
    """Run what the command line asks for; exit with code 2 if it can't be done."""
    options = parser.parse_args(arguments)
    try:
        run(options)
    except (ValueError, OSError, ImportError) as error:
        message = " ".join(str(error).split())
        parser.exit(2, f"{parser.prog}: error: {message}\n")
    except Exception:
        # Python itself would exit with 1, which may mean something else.
        parser.exit(2, traceback.format_exc())


def positive_int(text: str) -> int:
    """Convert an argument to an integer from 1 up."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 up")
    return int(text)


def add_data_option(parser: argparse.ArgumentParser, *, without: str | None) -> None:
    """Add --data; it is required unless `without` says what stands in its place."""
    also = "" if without is None else f"; without it, {without}"
    parser.add_argument(
        "--data",
        type=Path,
        required=without is None,
        metavar="DIR",
        help=f"folder of radiographs, one sub-folder a class{also}",
    )


def add_weights_option(parser: argparse.ArgumentParser, *, default: str) -> None:
    """Add --weights; `default` says in words what stands in its place."""
    parser.add_argument(
        "--weights",
        metavar="PATH|imagenet|none",
        help="first weights of the network: a .weights.h5 or .keras file, Keras' "
        f"download, or random; default: {default}",
    )


def add_limit_option(parser: argparse.ArgumentParser, *, shuffled_by: str) -> None:
    """Add --limit, of what :func:`first_of_each_class` picks."""
    parser.add_argument(
        "--limit",
        type=positive_int,
        metavar="N",
        help=f"take the first N images of each class, after a shuffle with "
        f"{shuffled_by}",
    )


def add_folder_options(
    parser: argparse.ArgumentParser,
    *,
    output: str,
    kept: str,
    memory: str = "a temporary one, removed at the end",
) -> None:
    """Add --output and --memory; say what is written to one and kept in the other."""
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("output"),
        metavar="DIR",
        help=f"folder of the results{output}; default: %(default)s",
    )
    parser.add_argument(
        "--memory",
        type=Path,
        metavar="DIR",
        help=f"folder where {kept}; default: {memory}",
    )


def features_folder(options: argparse.Namespace) -> AbstractContextManager:
    """Return the folder of kept features; without --memory, one that is removed."""
    if options.memory is None:
        return TemporaryDirectory(prefix="skcovid-")
    return nullcontext(options.memory)


def weights_of(options: argparse.Namespace) -> str | None:
    """Return --weights as estimators take it."""
    return None if options.weights == "none" else options.weights


def title_of(backbone: str, options: argparse.Namespace) -> str:
    """Say which network, recipe and weights; of a file, not where it lies."""
    weights = Path(options.weights).name
    return f"{backbone}, {options.recipe} recipe, weights: {weights}"


def first_of_each_class(y: NDArray, limit: int, seed: int) -> NDArray[np.intp]:
    """Pick at most `limit` rows of each class, shuffled by `seed`; return them sorted.

    A smaller limit picks a part of what a larger one picks.
    """
    shuffled = np.random.default_rng(seed).permutation(len(y))
    parts = [shuffled[y[shuffled] == label][:limit] for label in np.unique(y)]
    return np.sort(np.concatenate(parts))


def count_images(y: NDArray) -> str:
    """Say how many images there are, of each class too."""
    counts = zip(*np.unique(y, return_counts=True), strict=True)
    images = ", ".join(f"{label} {count}" for label, count in counts)
    return f"{len(y)} images: {images}"
