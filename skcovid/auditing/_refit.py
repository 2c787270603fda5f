"""The classifier that is refitted to blanked images, and without a source."""

from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from skcovid._base._compatibility import safe_indexing
from skcovid.auditing._subject import Subject, list_parts
from skcovid.images._checks import as_lazy, check_images
from skcovid.images._lazy_images import LazyImages
from skcovid.pipeline import make_transfer_pipeline
from skcovid.preprocessing._backbone_preprocessor import BackbonePreprocessor
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
    parts = list_parts(pipeline)
    networks = [
        part for part in parts if "fine_tune_from" in part.get_params(deep=False)
    ]
    if not networks:
        return pipeline, "the model itself"
    network = networks[0]
    readers = [part for part in parts if isinstance(part, RadiographReader)]
    size = {"image_size": readers[0].image_size} if readers else {}
    recipe = make_transfer_pipeline(
        network.backbone,
        recipe="linear",
        weights=network.weights,
        memory=network.memory,
        precision=network.precision,
        random_state=network.random_state,
        verbose=network.verbose,
        **size,
    )
    for reader in readers[:1]:
        recipe.set_params(
            read__channels=reader.channels,
            read__white_level=reader.white_level,
            read__lungs=reader.lungs,
        )
    if not any(isinstance(part, BackbonePreprocessor) for part in parts):
        # It is given preprocessed images.
        recipe = recipe[2:]
    return (
        recipe,
        "the linear recipe on the model's network, which is not fine-tuned",
    )


def _flatten(images: Any) -> NDArray[Any]:
    return np.asarray(images).reshape(len(images), -1)


def _open(classifier: Any, X: Any) -> LazyImages | None:
    first = list(_first_steps(classifier))
    if all(isinstance(step, RadiographReader) for step in first):
        reader = clone(first[0]).set_params(lazy=True)
        opened: LazyImages = reader.fit_transform(X)
        return opened
    if not isinstance(X, LazyImages) and holds_paths(X):
        return None
    images = X if isinstance(X, LazyImages) else np.asarray(X)
    return as_lazy(images if images.dtype.kind == "f" else check_images(images))


def _first_steps(classifier: Any) -> Iterator[Any]:
    """Yield the first step of a pipeline, or of each that an ensemble or search has."""
    if isinstance(classifier, Pipeline):
        yield classifier[0]
        return
    parameters = classifier.get_params(deep=False)
    inner = [one for _, one in parameters.get("estimators") or ()]
    if isinstance(one := parameters.get("estimator"), BaseEstimator):
        inner.append(one)
    for one in inner:
        yield from _first_steps(one)
    if not inner:
        yield classifier
