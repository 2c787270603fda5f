"""`HoldoutPipeline`, and the recipes that `make_transfer_pipeline` composes."""

from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from copy import deepcopy
from functools import wraps
from itertools import pairwise, product
from numbers import Real
from typing import Any, Self, TypeVar

import numpy as np
from imblearn.pipeline import Pipeline
from numpy.typing import ArrayLike, NDArray
from sklearn import config_context, get_config
from sklearn.base import is_classifier
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    GridSearchCV,
    StratifiedGroupKFold,
    StratifiedKFold,
)
from sklearn.utils import get_tags, indexable
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import column_or_1d, has_fit_parameter
from threadpoolctl import threadpool_limits

from skcovid._base._atomic_fit import atomic_fit
from skcovid._base._compatibility import (
    Interval,
    check_sample_weight,
    num_samples,
    safe_indexing,
    take_rows,
)
from skcovid._base._kept_features import keep_features_of_predictions
from skcovid._base._label_checks import (
    check_groups,
    check_indices,
    check_labels,
    check_lengths,
)
from skcovid._base._parameters import PlainParameters, full_names
from skcovid._base._validation_splits import (
    StratifiedFolds,
    check_inner_sources,
    check_inner_splits,
    requests,
    split_validation,
)
from skcovid.augmentation._balancer import AugmentationBalancer
from skcovid.networks.backbones import Backbone, get_backbone, portable_backbone
from skcovid.preprocessing._backbone_preprocessor import BackbonePreprocessor
from skcovid.preprocessing._batch_standard_scaler import BatchStandardScaler
from skcovid.preprocessing._reader import RadiographReader
from skcovid.preprocessing._resize import as_size

__all__ = ["RECIPES", "HoldoutPipeline", "make_transfer_pipeline"]

Method = TypeVar("Method", bound=Callable[..., Any])

# Typed, so that the decorated method keeps its signature.
_available_if: Callable[[Callable[[Any], bool]], Callable[[Method], Method]] = (
    available_if
)


def _check_inner_classes(name: str, last: Any, y: ArrayLike) -> None:
    """Raise if a last step splits classes in folds and one has too few images."""
    cv = getattr(last, "cv", None)
    if isinstance(cv, StratifiedKFold | StratifiedGroupKFold):
        cv = cv.n_splits
    if not isinstance(cv, int) or not is_classifier(last):
        return
    counts = Counter(np.asarray(y, dtype=object).ravel().tolist())
    rarest, n_images = min(counts.items(), key=lambda item: item[1])
    if len(counts) < 2:
        raise ValueError(f"y has one class only, {rarest!r}; a classifier needs two.")
    if n_images < cv:
        raise ValueError(
            f"Class {rarest!r} has {n_images} images, fewer than the {cv} folds "
            f"of {name}__cv. Lower {name}__cv or add images."
        )


def _after_fit(name: str) -> Any:
    """Return imblearn's method with an error that says what to do before it."""

    @_available_if(lambda pipeline: hasattr(super(GroupPipeline, pipeline), name))
    @wraps(getattr(Pipeline, name))
    def call(self: Any, X: Any, **params: Any) -> Any:
        if not self.__sklearn_is_fitted__():
            raise NotFittedError(
                f"This {type(self).__name__} is not fitted. Call fit(X, y) first, or "
                "load a fitted one with skcovid.load."
            )
        return getattr(super(GroupPipeline, self), name)(X, **params)

    return call


class GroupPipeline(PlainParameters, Pipeline):
    """An imblearn pipeline that passes metadata with the rows they belong to."""

    predict = _after_fit("predict")
    predict_proba = _after_fit("predict_proba")

    # What scikit-learn's searches and cross-validations route to `fit`.
    __metadata_request__fit = {"groups": True}

    @atomic_fit
    def fit(
        self, X: Any, y: ArrayLike, *, groups: ArrayLike | None = None, **params: Any
    ) -> Self:
        """Fit every step; those that request `groups`, such as a search, get them.

        Without `groups`, the copies of one image that a sampler makes are a group.
        """
        _check_shared_values(self.steps)
        check_lengths(X, y=y)
        of_validation = {"X_val", "y_val"}
        paired = {name: params[name] for name in params.keys() - of_validation}
        check_indices(X=X, y=y, groups=groups, **paired)
        check_labels(y)
        check_groups(groups)
        name, last = self.steps[-1]
        _check_inner_classes(name, last, y)
        n_rows = num_samples(X)
        if groups is not None:
            check_inner_splits(self, n_rows)
        elif any(map(_repeats_rows, self.named_steps.values())):
            groups = np.arange(n_rows)
        given = _of_rows({**params, "groups": groups}, n_rows)
        check_inner_sources(self, params.get("source"))
        context: AbstractContextManager[Any] = nullcontext()
        for name in {"groups", "source", "attributes"} & given.keys():
            if any(requests(step, name) for _, step in self.steps):
                params[name] = given[name]
                context = config_context(enable_metadata_routing=True)
        # Products with few columns are limited by memory: a regression takes three
        # times as long with threads of BLAS, and more where other work has the cores.
        with context, threadpool_limits(limits=1, user_api="blas"):
            prefixed = [name for name in params if "__" in name]
            if prefixed and get_config()["enable_metadata_routing"]:
                step, _, name = prefixed[0].rpartition("__")
                raise TypeError(
                    f"{type(self).__name__}.fit takes {name}, not {prefixed[0]}. Call "
                    "sklearn.set_config(enable_metadata_routing=True), let step "
                    f"{step!r} request it with set_fit_request({name}=True), and pass "
                    f"{name}."
                )
            super().fit(X, y, **params)
        return self

    def _get_metadata_for_step(
        self, *, step_idx: int, step_params: Any, all_params: Any
    ) -> Any:
        """Resample metadata as the samplers before the step resampled the images."""
        found = super()._get_metadata_for_step(
            step_idx=step_idx, step_params=step_params, all_params=all_params
        )
        found = {method: dict(params) for method, params in found.items()}
        samplers = [
            step for step in self.steps[:step_idx] if hasattr(step[1], "fit_resample")
        ]
        for (name, sampler), params in product(samplers, found.values()):
            for row in _of_rows(params):
                if not hasattr(sampler, "sample_indices_"):
                    raise ValueError(
                        f"Step {name!r}, {sampler!r}, makes rows for which {row} has "
                        "no values. Use a sampler with sample_indices_, such as "
                        "AugmentationBalancer."
                    )
                params[row] = take_rows(params[row], sampler.sample_indices_)
        # imblearn reads from there what a sampler is given.
        step_params.update(found)
        return found

    def _can_adapt(self) -> bool:
        if not any(hasattr(step, "adapt") for _, step in self.steps):
            raise AttributeError(
                "No step has adapt. Use one that has, as in make_transfer_pipeline("
                "recipe='linear').set_params(scale=SourceStandardScaler())."
            )
        return True

    @_available_if(_can_adapt)
    def adapt(self, X: Any) -> Self:
        """Adapt the fitted steps that can to a new hospital's images, without labels.

        Predictions are then for images of that hospital.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Input of the first step: paths or images.

        Returns
        -------
        GroupPipeline
            The adapted pipeline.

        Raises
        ------
        AttributeError
            If no step has ``adapt``, as :class:`SourceStandardScaler` has.
        """
        steps = [step for _, _, step in self._iter()]
        last = max(n for n, step in enumerate(steps) if hasattr(step, "adapt"))
        for step in steps[:last]:
            if hasattr(step, "adapt"):
                step.adapt(X)
            X = step.transform(X)
        steps[last].adapt(X)
        return self

    def get_metadata_routing(self) -> Any:
        """Return the metadata that the pipeline and its steps request.

        Returns
        -------
        sklearn.utils.metadata_routing.MetadataRouter
            The requests of the steps and of the pipeline itself (`groups`).
        """
        return super().get_metadata_routing().add_self_request(self)


def _repeats_rows(step: Any) -> bool:
    """Whether a step is a sampler that says which image each row was made from."""
    if not hasattr(step, "fit_resample"):
        return False
    return bool(get_tags(step).sampler_tags.sample_indices)


def _of_rows(params: Mapping[str, Any], n_rows: int | None = None) -> dict[str, Any]:
    """Return the metadata that hold a value for each image, and check how many."""
    rows = {
        name: values
        for name, values in params.items()
        if (hasattr(values, "__len__") or hasattr(values, "shape"))
        and not isinstance(values, str | bytes)
        and (not isinstance(values, Mapping) or name == "attributes")
        and name not in ("X_val", "y_val")
    }
    for name, values in rows.items():
        columns = values.values() if isinstance(values, Mapping) else [values]
        n_values = {num_samples(column) for column in columns} - {n_rows}
        if n_rows is not None and n_values:
            raise ValueError(
                f"{name} has {n_values.pop()} values for {n_rows} images; pass one "
                "for each image of X, in the same order."
            )
        if n_rows is not None and name.endswith("sample_weight"):
            check_sample_weight(values, np.empty(n_rows), ensure_non_negative=True)
    return rows


class HoldoutPipeline(GroupPipeline):
    """An imblearn pipeline that sets validation data aside before it resamples.

    Keras' ``validation_split`` takes the last rows of its input: after resampling,
    augmented copies of training images. Here `validation_fraction` of the images is set
    aside first. The samplers see only the rest; the transformers apply to both, and the
    last step is given the part set aside as `X_val` and `y_val`.

    Parameters
    ----------
    steps : list of (str, estimator)
        As for ``imblearn.pipeline.Pipeline``. The last step's ``fit`` must take `X_val`
        and `y_val`.
    validation_fraction : float, default=0.1
        Fraction of the images set aside, in (0, 0.5], stratified by class. Where
        ``fit`` is given `groups`, it is the nearest that whole groups allow.
    random_state : int, RandomState instance or None, default=None
        Seed of the split.
    memory : str or joblib.Memory, default=None
        As for ``imblearn.pipeline.Pipeline``.
    verbose : bool, default=False
        As for ``imblearn.pipeline.Pipeline``.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Class labels.
    validation_indices_ : ndarray of shape (n_val,) or None
        Indices of the images set aside; None where ``fit`` was given `X_val`.

    See Also
    --------
    make_transfer_pipeline : Composes one of skcovid's estimators.

    Examples
    --------
    >>> from skcovid import (
    ...     AugmentationBalancer, BackbonePreprocessor, HoldoutPipeline,
    ...     TransferLearningClassifier,
    ... )
    >>> pipeline = HoldoutPipeline([
    ...     ("balance", AugmentationBalancer()),
    ...     ("preprocess", BackbonePreprocessor("vgg19")),
    ...     ("classify", TransferLearningClassifier("vgg19", weights=None)),
    ... ], validation_fraction=0.2)
    """

    # imblearn's way to pass a fit argument through the transformers.
    transform_input = ["X_val"]

    _parameter_constraints = {
        **Pipeline._parameter_constraints,
        "validation_fraction": [Interval(Real, 0, 0.5, closed="right")],
        "random_state": ["random_state"],
    }
    del _parameter_constraints["transform_input"]

    def __init__(
        self,
        steps: list[tuple[str, Any]],
        *,
        validation_fraction: float = 0.1,
        random_state: int | np.random.RandomState | None = None,
        memory: Any = None,
        verbose: bool = False,
    ) -> None:
        self.steps = steps
        self.validation_fraction = validation_fraction
        self.random_state = random_state
        self.memory = memory
        self.verbose = verbose

    @atomic_fit
    def fit(
        self,
        X: Any,
        y: ArrayLike,
        *,
        groups: ArrayLike | None = None,
        X_val: Any = None,
        y_val: ArrayLike | None = None,
        **params: Any,
    ) -> Self:
        """Set validation data aside, resample the rest, fit every step.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Input of the first step: paths or images.
        y : array-like of shape (n_samples,)
            Class labels.
        groups : array-like of shape (n_samples,), default=None
            Patients; either all images of one are set aside or none.
        X_val : array-like of shape (n_val, ...), default=None
            Validation data; if given, nothing is set aside.
        y_val : array-like of shape (n_val,), default=None
            Its labels.
        **params : dict
            Metadata that steps request by scikit-learn's metadata routing, such as
            ``sample_weight``: one value for each image of `X`. They are split and
            resampled with the images; a copy has the weight of its source.

        Returns
        -------
        HoldoutPipeline
            The fitted pipeline.

        Raises
        ------
        ValueError
            If `validation_fraction` leaves a class without a validation or training
            image, `y` are not classes, a label or group is missing, metadata have
            another length or pandas index than `X`, or a step would split patients.
        TypeError
            If the last step's ``fit`` does not take `X_val`.
        """
        self._validate_params()
        _check_shared_values(self.steps)
        if not has_fit_parameter(self._final_estimator, "X_val"):
            raise TypeError(
                "HoldoutPipeline needs a last step whose fit takes X_val and y_val, as "
                f"TransferLearningClassifier does; got {self.steps[-1][1]!r}. Use "
                "imblearn.pipeline.Pipeline for it."
            )
        check_indices(X=X, y=y, groups=groups, **params)
        check_indices(X_val=X_val, y_val=y_val)
        check_lengths(X, y=y)
        check_labels(y)
        check_groups(groups)
        check_classification_targets(y)
        labels: NDArray[Any] = column_or_1d(y, warn=True)
        X, labels = indexable(X, labels)
        rows = _of_rows({**params, "groups": groups}, len(labels))
        for name, step in self.steps if "source" in rows else ():
            if requests(step, "source", "transform"):
                raise ValueError(
                    f"Step {name!r} transforms by source, and HoldoutPipeline has none "
                    "for its validation images. Fit without source, or use "
                    "make_transfer_pipeline(recipe='linear')."
                )
        if (X_val is None) != (y_val is None):
            raise ValueError("X_val and y_val must be given together.")
        self.validation_indices_ = None
        if X_val is None:
            train, self.validation_indices_ = split_validation(
                labels, groups, self.validation_fraction, self.random_state
            )
            X_val = safe_indexing(X, self.validation_indices_)
            y_val = labels[self.validation_indices_]
            X, labels = safe_indexing(X, train), labels[train]
            rows = {name: take_rows(rows[name], train) for name in rows}
        params.update(rows)
        # X_val passes through `transform`.
        with (
            config_context(enable_metadata_routing=True),
            keep_features_of_predictions(),
        ):
            super().fit(X, labels, X_val=X_val, y_val=y_val, **params)
        return self

    def _transforms(self) -> bool:
        last = self._final_estimator
        return last == "passthrough" or any(
            hasattr(last, method) for method in ("transform", "fit_resample")
        )

    @_available_if(_transforms)
    def transform(self, X: Any, **params: Any) -> Any:
        """Transform `X` with every step that is not a sampler.

        imblearn needs this for `X_val` where a sampler is the last step but one.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Input of the first step.
        **params : dict
            Metadata that steps request by scikit-learn's metadata routing.

        Returns
        -------
        array-like of shape (n_samples, ...)
            Output of the last step.
        """
        steps = [step for step in self.steps if not hasattr(step[1], "fit_resample")]
        return Pipeline([*steps, ("end", "passthrough")]).transform(X, **params)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        return tags


# Constructor parameters of each recipe's steps.
RECIPES: Mapping[str, Mapping[str, Any]] = {
    # Section 3.4; these are the classifier's own defaults.
    "paper": {"classify": {}},
    # Not in the paper: features of the frozen layers are kept, so nothing below the
    # fine-tuned layers may change.
    "fast": {
        # The original images that validate or test one fold train others: their
        # features are computed once for all folds. More copies than balanced classes
        # need would be more trunk passes.
        "balance": {"include_originals": True, "factor": 1},
        "classify": {
            "batch_norm": "frozen",
            "reset_batch_norm": False,
            "keep_features": True,
            # The middle of a network transfers best to radiographs.
            "feature_layers": "auto",
            "pooling": ("avg", "max"),
            "epochs": 12,
            # At the head's rate the validation loss oscillates in phase 2.
            "fine_tune_learning_rate": 1e-4,
        },
    },
    # Not in the paper: features of several depths, no fine-tuning, no augmentation.
    "linear": {
        "classify": {
            "param_grid": {"C": [0.001, 0.003, 0.01, 0.03]},
            "cv": StratifiedFolds(3),
        },
    },
}


def make_transfer_pipeline(
    backbone: str | Backbone = "inceptionv3", *, recipe: str = "paper", **overrides: Any
) -> Pipeline:
    """Compose the pipeline of a recipe.

    Parameters
    ----------
    backbone : str or Backbone, default="inceptionv3"
        A registered network.
    recipe : {"paper", "fast", "linear"}, default="paper"
        "paper": section 3. "fast": batch normalisation in inference mode, so that the
        features of the frozen layers are kept; a head on pooled features of several
        depths; classes balanced by copies added to the original images; at most 12
        epochs a phase, the second at a tenth of the learning rate. "linear": no
        fine-tuning; standardised features of several depths, and logistic regression
        whose regularisation is chosen by cross-validation of the training data.
    **overrides : dict
        Parameters of the steps or of the pipeline. ``weights=…`` sets it on every step
        with a parameter of that name (`random_state` and `validation_fraction` on the
        pipeline too); ``balance__factor=…`` on one step.

    Returns
    -------
    HoldoutPipeline or imblearn.pipeline.Pipeline
        With the steps "read", "balance", "preprocess" and "classify"; for "linear",
        which needs no validation data, "read", "preprocess", "features", "scale",
        "components" and "classify".

    Raises
    ------
    ValueError
        If the backbone or the recipe is not known.
    TypeError
        If an override names no parameter.

    Examples
    --------
    >>> from skcovid import make_transfer_pipeline
    >>> pipeline = make_transfer_pipeline("resnet50", recipe="fast", weights=None)
    >>> list(pipeline.named_steps)
    ['read', 'balance', 'preprocess', 'classify']
    >>> pipeline.named_steps["read"].image_size
    224
    """
    if recipe not in RECIPES:
        raise ValueError(
            f"recipe={recipe!r} is not known; choose one of "
            f"{', '.join(map(repr, RECIPES))}."
        )
    # Imported here, as Keras takes seconds to load.
    from skcovid.estimators._backbone_features import BackboneFeatures
    from skcovid.estimators._classifier import TransferLearningClassifier

    params = deepcopy(RECIPES[recipe])
    size = get_backbone(backbone).image_size
    backbone = portable_backbone(backbone)
    read = "read", RadiographReader(size, lazy=True)
    preprocess = "preprocess", BackbonePreprocessor(backbone)
    pipeline: GroupPipeline
    if recipe == "linear":
        # A gradient ten times smaller takes twice the time, and five folds of 2,905
        # images are as accurate.
        logistic = LogisticRegression(tol=1e-3, max_iter=1000)
        pipeline = GroupPipeline(
            [
                read,
                preprocess,
                ("features", BackboneFeatures(backbone)),
                ("scale", BatchStandardScaler()),
                # A place for PCA or another step between the features and the
                # regression.
                ("components", "passthrough"),
                ("classify", GridSearchCV(logistic, **params["classify"])),
            ]
        )
    else:
        balance = AugmentationBalancer(**params.get("balance", {}))
        classify = TransferLearningClassifier(backbone, **params["classify"])
        pipeline = HoldoutPipeline(
            [read, ("balance", balance), preprocess, ("classify", classify)]
        )
    return pipeline.set_params(**full_names(overrides, pipeline))


def _check_shared_values(steps: list[tuple[str, Any]]) -> None:
    """Raise if two steps have different networks, or one enlarges what another read."""
    with_backbone = [pair for pair in steps if hasattr(pair[1], "backbone")]
    for (name, step), (later, after) in pairwise(with_backbone):
        if get_backbone(step.backbone) != get_backbone(after.backbone):
            raise ValueError(
                f"Step {name!r} has backbone={step.backbone!r}, but step {later!r} has "
                f"backbone={after.backbone!r}: a network would get the input of "
                f"another. Set {name}__backbone and {later}__backbone to the same; in "
                "a search, list both in one dict for each network."
            )
    sizes = {}
    for name, step in steps:
        if hasattr(step, "image_size"):
            size = as_size(step.image_size)
            if size is None and hasattr(step, "backbone"):
                size = (get_backbone(step.backbone).image_size,) * 2
            if size is not None:
                sizes[name] = size
    for (name, size), (later, after) in pairwise(sizes.items()):
        if size[0] < after[0] or size[1] < after[1]:
            raise ValueError(
                f"Step {name!r} makes images of {size[0]} × {size[1]} pixels, which "
                f"step {later!r} would enlarge to {after[0]} × {after[1]} without "
                f"their detail. Set {name}__image_size and {later}__image_size to the "
                "same."
            )
