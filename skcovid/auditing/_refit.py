"""The classifier that is refitted to blanked images, and without a source."""

from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from skcovid._base._compatibility import safe_indexing
from skcovid.auditing._subject import Subject
from skcovid.images._checks import as_lazy, check_images
from skcovid.images._lazy_images import LazyImages
from skcovid.pipeline import make_transfer_pipeline
from skcovid.preprocessing._reader import RadiographReader
from skcovid.reading._paths import holds_paths

_PIXELS_SIDE = 32


class Refit(NamedTuple):
    """A classifier and images to refit it on; `images` is None if it reads paths."""

    classifier: Any
    description: str
    rows: NDArray[np.intp]
    X: Any
    images: LazyImages | None

    @property
    def eager(self) -> bool:
        """Whether `X` is an array of images."""
        return not (isinstance(self.X, LazyImages) or holds_paths(self.X))


@contextmanager
def prepare_refit(
    subject: Subject, classifier: Any, max_images: int
) -> Iterator[Refit]:
    """Choose classifier and images; features of a network are stored until the end."""
    if isinstance(classifier, str):
        classifier, description = _choose(subject.pipeline)
    else:
        description = "the classifier given as refit"
    trained = np.concatenate([train for train, _ in subject.splits])
    rows = np.union1d(subject.result.test_indices, trained)
    if len(rows) > max_images:
        drawn, _ = train_test_split(
            rows,
            train_size=max_images,
            stratify=subject.y[rows],
            random_state=subject.random_state,
        )
        rows = np.sort(drawn)
    X = safe_indexing(subject.X, rows)
    with TemporaryDirectory(prefix="skcovid-") as folder:
        classifier = clone(classifier)
        # Networks store their features there. A pipeline's own `memory`, whose name
        # has no step before it, is not set.
        unset = [
            name
            for name, value in classifier.get_params().items()
            if name.endswith("__memory") and value is None
        ]
        classifier.set_params(**dict.fromkeys(unset, folder))
        yield Refit(classifier, description, rows, X, _open(classifier, X))


def _choose(pipeline: Any) -> tuple[Any, str]:
    if pipeline is None:
        classifier = Pipeline(
            [
                ("read", RadiographReader(_PIXELS_SIDE)),
                ("flatten", FunctionTransformer(_flatten)),
                ("scale", StandardScaler()),
                ("classify", LogisticRegression(C=0.01, max_iter=1000)),
            ]
        )
        return classifier, (
            f"logistic regression on {_PIXELS_SIDE} × {_PIXELS_SIDE} pixels, since a "
            "result holds no pipeline to refit"
        )
    last = pipeline[-1] if isinstance(pipeline, Pipeline) else pipeline
    if "fine_tune_from" not in last.get_params(deep=False):
        return pipeline, "the model itself"
    reader = pipeline[0]
    size = reader.image_size if isinstance(reader, RadiographReader) else None
    return make_transfer_pipeline(
        last.backbone,
        recipe="linear",
        weights=last.weights,
        memory=last.memory,
        precision=last.precision,
        random_state=last.random_state,
        verbose=last.verbose,
        **({} if size is None else {"image_size": size}),
    ), "the linear recipe on the model's network, which is not fine-tuned"


def _flatten(images: Any) -> NDArray[Any]:
    return np.asarray(images).reshape(len(images), -1)


def _open(classifier: Any, X: Any) -> LazyImages | None:
    first = classifier[0] if isinstance(classifier, Pipeline) else classifier
    if isinstance(first, RadiographReader):
        opened: LazyImages = clone(first).set_params(lazy=True).fit_transform(X)
        return opened
    if not isinstance(X, LazyImages) and holds_paths(X):
        return None
    return as_lazy(check_images(X))
