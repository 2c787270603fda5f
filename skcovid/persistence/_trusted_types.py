"""The closed list of types that a saved pipeline may hold, checked before loading.

skops stores a pipeline as a tree of nodes; each names a loader and a class. Its own
list of trusted types is longer than needed here and grows with its versions. This one
holds plain data, NumPy arrays, and estimators of scikit-learn and skcovid, without
those of scikit-learn whose compiled code does not check their fitted state (trees,
nearest neighbours, libsvm): hostile state could crash the process.
"""

import re
from functools import lru_cache
from io import BytesIO
from typing import Any

import numpy as np
import skops.io
from sklearn.utils.discovery import all_estimators

# Its estimators call `allow_in_model_files` when they are imported.
import skcovid.estimators  # noqa: F401 (imported for that alone)
from skcovid._base._compatibility import scorer_functions
from skcovid._base._network_estimator import allowed_estimators
from skcovid._base._validation_splits import StratifiedFolds
from skcovid.augmentation._balancer import AugmentationBalancer
from skcovid.augmentation._transforms import PAPER_TRANSFORMS
from skcovid.persistence._networks import BackboneReference, NetworkReference
from skcovid.persistence._zip_container import (
    ModelFileError,
    check_npy,
    parse_json,
    read_members,
)
from skcovid.pipeline import GroupPipeline, HoldoutPipeline
from skcovid.preprocessing._backbone_preprocessor import BackbonePreprocessor
from skcovid.preprocessing._reader import RadiographReader

_MEMBERS = re.compile(r"schema\.json|[0-9]+\.npy")
_SCHEMA = "schema.json"

_SKLEARN_MODULES = {
    *("calibration", "compose", "decomposition", "discriminant_analysis", "dummy"),
    *("ensemble", "feature_selection", "frozen", "impute", "isotonic"),
    *("kernel_approximation", "linear_model", "model_selection", "multiclass"),
    *("naive_bayes", "neural_network", "pipeline", "preprocessing"),
    "random_projection",
}
_OTHER_TYPES = {
    "imblearn.pipeline.Pipeline",
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.metrics._scorer._PassthroughScorer",
    "sklearn.metrics._scorer._Scorer",
    "sklearn.model_selection._split.GroupKFold",
    "sklearn.model_selection._split.KFold",
    "sklearn.model_selection._split.ShuffleSplit",
    "sklearn.model_selection._split.StratifiedGroupKFold",
    "sklearn.model_selection._split.StratifiedKFold",
    "sklearn.model_selection._split.StratifiedShuffleSplit",
    "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
    "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
    "sklearn.svm._classes.LinearSVC",
    "sklearn.utils._bunch.Bunch",
    "sklearn.utils._metadata_requests.MetadataRequest",
    "sklearn.utils._metadata_requests.MethodMetadataRequest",
}
_SKCOVID_TYPES = (
    AugmentationBalancer,
    BackbonePreprocessor,
    BackboneReference,
    GroupPipeline,
    HoldoutPipeline,
    NetworkReference,
    RadiographReader,
    StratifiedFolds,
    *(type(transform) for transform in PAPER_TRANSFORMS),
)


def _name(value: Any) -> str:
    return f"{value.__module__}.{value.__qualname__}"


@lru_cache(maxsize=1)
def _library_types() -> dict[str, set[str]]:
    """Return the trusted types of each skops loader, without those of skcovid."""
    estimators = {
        _name(estimator)
        for _, estimator in all_estimators()
        if estimator.__module__.split(".")[1] in _SKLEARN_MODULES
    }
    primitives = {f"builtins.{name}" for name in ("bool", "float", "int", "str")}
    scalars = {f"numpy.{scalar.__name__}" for scalar in np.sctypeDict.values()}
    return {
        "ObjectNode": estimators | _OTHER_TYPES,
        "FunctionNode": {_name(function) for function in scorer_functions()},
        "NdArrayNode": scalars | {"numpy.ndarray"},
        "MaskedArrayNode": {"numpy.ma.MaskedArray", "numpy.ma.core.MaskedArray"},
        "RandomStateNode": {"numpy.random.mtrand.RandomState"},
        "TypeNode": scalars | primitives,
        "DictNode": {"builtins.dict"},
        "ListNode": {"builtins.list"},
        "SetNode": {"builtins.set"},
        "TupleNode": {"builtins.tuple"},
        "JsonNode": {"builtins.str"},
    }


def _trusted_types() -> dict[str, set[str]]:
    types = _library_types()
    ours = {_name(kind) for kind in (*_SKCOVID_TYPES, *allowed_estimators())}
    return {**types, "ObjectNode": types["ObjectNode"] | ours}


def dump_pipeline(pipeline: Any) -> bytes:
    """Write a pipeline without networks with skops."""
    try:
        content: bytes = skops.io.dumps(pipeline)
        _check(content)
    except Exception as error:
        # skops raises many kinds of errors.
        raise TypeError(f"This pipeline can't be saved: {error}.") from error
    return content


def load_pipeline(content: bytes) -> Any:
    """Load what `dump_pipeline` wrote, if all its types are on the closed list."""
    _check(content)
    names = [name for group in _trusted_types().values() for name in group]
    return skops.io.loads(content, trusted=names)


def _check(content: bytes) -> None:
    members = read_members(BytesIO(content), _MEMBERS)
    if _SCHEMA not in members:
        raise ModelFileError("its pipeline has no schema.json")
    for name, array in members.items():
        if name != _SCHEMA:
            check_npy(array, name)
    schema = parse_json(members[_SCHEMA], _SCHEMA)
    if not isinstance(schema, dict) or "__loader__" not in schema:
        raise ModelFileError("its schema.json does not describe an object")
    trusted = _trusted_types()
    pending: list[Any] = [schema]
    while pending:
        value = pending.pop()
        if isinstance(value, dict):
            if "__loader__" in value or "__class__" in value:
                loader = str(value.get("__loader__"))
                name = f"{value.get('__module__')}.{value.get('__class__')}"
                if name not in trusted.get(loader, ()):
                    raise ModelFileError(
                        f"it holds {name} ({loader}), which models may not hold"
                    )
            pending.extend(value.values())
        elif isinstance(value, list):
            pending.extend(value)
