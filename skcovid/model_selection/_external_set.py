"""`ExternalSet`: images from elsewhere, checked before a model predicts them."""

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import issparse
from sklearn.base import clone
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import column_or_1d

from skcovid._base._label_checks import check_samples, check_spelling
from skcovid.images._copies import find_copies
from skcovid.images._lazy_images import LazyImages
from skcovid.images._pixels import Pixels, read_pixels
from skcovid.preprocessing._reader import RadiographReader, find_white_level
from skcovid.preprocessing._resize import ImageTransformer
from skcovid.reading._files import exists
from skcovid.reading._paths import as_paths, holds_paths


class ExternalSet(NamedTuple):
    """Images from elsewhere, and the rows of those that are scored."""

    X: Any
    y: NDArray[Any]
    groups: NDArray[Any] | None
    rows: NDArray[np.intp]
    # Rows that were left out: with the row of the copy in X, None if not searched for.
    copies: dict[int, int] | None
    patients_in_training: NDArray[np.intp]
    # Where a model is adapted to each.
    source: NDArray[Any] | None = None


def check_files_of(pipeline: Any, X: Any, test: ExternalSet | None) -> None:
    """Report unreadable files now, not in the last fold."""
    first = pipeline.steps[0][1] if isinstance(pipeline, Pipeline) else pipeline
    if isinstance(first, RadiographReader):
        reader = clone(first).set_params(lazy=True)
        reader.fit_transform(X)
        if test is not None:
            with _about_test():
                reader.transform(test.X)


def check_external_set(
    test: Any, pipeline: Any, X: Any, y: NDArray[Any], groups: ArrayLike | None
) -> ExternalSet:
    """Check an external set without reading a file, and find patients of training."""
    if isinstance(test, Mapping):
        if not {"paths", "target"} <= test.keys():
            raise ValueError(
                "test has no 'paths' and 'target' as load_radiographs gives them, only "
                f"{sorted(test)}; pass (X, y) or (X, y, groups)."
            )
        test = test["paths"], test["target"], test.get("groups")
    if len(test) not in (2, 3):
        raise ValueError(
            f"test must be (X, y) or (X, y, groups), got {len(test)} entries."
        )
    test_X, test_y, test_groups = (*test, None)[:3]
    with _about_test():
        check_samples(test_X, test_y, test_groups)
        _check_shape(pipeline, X, test_X)
    labels = column_or_1d(test_y)
    known = set(y.tolist())
    check_spelling([*known, *labels.tolist()], "y and test: labels")
    if known.isdisjoint(labels.tolist()):
        raise ValueError(
            f"test has no label of y: it has {np.unique(labels).tolist()}, y has "
            f"{np.unique(y).tolist()}. Rename its labels as y has them, of the same "
            "type."
        )
    patients = None if test_groups is None else column_or_1d(test_groups)
    shared = np.empty(0, dtype=np.intp)
    if patients is not None and groups is not None:
        trained = set(np.asarray(groups).tolist())
        texts = {str(patient) for patient in trained}
        for patient in patients.tolist():
            if patient not in trained and str(patient) in texts:
                raise ValueError(
                    f"test has the patient {patient!r}, which groups has too, as a "
                    "value of another type. Convert both, as in [str(patient) for "
                    "patient in groups], or make those of test differ."
                )
        shared = np.flatnonzero([patient in trained for patient in patients.tolist()])
        if len(shared):
            warnings.warn(
                f"{len(shared)} images of test are left out: their patients are in "
                f"groups too, such as {patients[shared].tolist()[0]!r}. If they are "
                "other people of the same number, make the patients of test differ, as "
                "in [f'elsewhere/{patient}' for patient in groups].",
                stacklevel=5,
            )
    rows = np.setdiff1d(np.arange(len(labels)), shared)
    return _check_some_left(
        ExternalSet(test_X, labels, patients, rows, None, shared), known
    )


def leave_copies_out(
    test: ExternalSet, pipeline: Any, X: Any, y: NDArray[Any], verbose: int
) -> ExternalSet:
    """Find the images of an external set that are in X too."""
    white_level = find_white_level(pipeline)
    pixels = [_read_images(images, white_level, verbose) for images in (X, test.X)]
    if pixels[0] is None or pixels[1] is None:
        return test
    copies = find_copies(pixels[0], pixels[1])
    rows = np.setdiff1d(test.rows, list(copies))
    return _check_some_left(test._replace(rows=rows, copies=copies), set(y.tolist()))


def _read_images(X: Any, white_level: int | None, verbose: int) -> Pixels | None:
    """Return what is compared of images, None for features, texts and own formats."""
    if hasattr(X, "columns") or issparse(X):
        return None
    if not isinstance(X, LazyImages):
        if holds_paths(X):
            if not all(map(exists, as_paths(X))):
                return None
        elif np.ndim(next(iter(X))) not in (2, 3):
            return None
    try:
        return read_pixels(X, white_level=white_level, verbose=verbose)
    except ValueError:
        return None


def _check_some_left(test: ExternalSet, known: set[Any]) -> ExternalSet:
    """Raise if no image that is scored has a label of the model."""
    if known.isdisjoint(test.y[test.rows].tolist()):
        n_copies, n_shared = len(test.copies or ()), len(test.patients_in_training)
        raise ValueError(
            f"test has no image of a label of y left: of {len(test.y)} images "
            f"{n_copies} are copies of images in X, and {n_shared} are of patients in "
            "groups. Pass images that the model has not seen."
        )
    return test


def _check_shape(pipeline: Any, X: Any, test_X: Any) -> None:
    """Raise if columns or sizes differ, and no step brings them to one size."""
    names, test_names = (list(getattr(one, "columns", ())) for one in (X, test_X))
    shapes = [one.shape[1:] for one in (X, test_X) if hasattr(one, "shape")]
    if names != test_names:
        raise ValueError(f"its columns are {test_names}, those of X are {names}.")
    parts = pipeline, *pipeline.get_params().values()
    resized = any(isinstance(part, ImageTransformer) for part in parts)
    if len(shapes) > 1 and shapes[0] != shapes[1] and not resized:
        raise ValueError(
            f"its samples have the shape {shapes[1]}, those of X {shapes[0]}. Bring "
            "both to one, or begin the pipeline with RadiographReader(image_size=…)."
        )


@contextmanager
def _about_test() -> Iterator[None]:
    """Say in an error that it is about the external set."""
    try:
        yield
    except (OSError, TypeError, ValueError) as error:
        raise type(error)(f"test: {error}") from error
