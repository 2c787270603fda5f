"""What a saved pipeline may consist of: a closed list, asked before anything is built.

skops keeps a pipeline as a tree of nodes, each naming a loader and a class. Its own
list of what may be loaded is longer than needed here and grows with its versions; this
one holds data, numpy's arrays, scikit-learn's estimators and skcovid's. Of
scikit-learn, estimators are left out whose fitted state compiled code follows without
looking (trees, nearest neighbours, libsvm): a made-up one could crash the process.
"""

import re
from functools import lru_cache
from io import BytesIO
from typing import Any

import numpy as np
import skops.io
from sklearn import metrics
from sklearn.utils.discovery import all_estimators

from skcovid.persistence._container import (
    ModelFileError,
    check_npy,
    parse_json,
    read_members,
)

__all__ = ["dump_pipeline", "load_pipeline"]

_MEMBERS = re.compile(r"schema\.json|[0-9]+\.npy")
_SCHEMA = "schema.json"

_SKLEARN_MODULES = {
    "calibration",
    "compose",
    "decomposition",
    "discriminant_analysis",
    "dummy",
    "ensemble",
    "feature_selection",
    "frozen",
    "impute",
    "isotonic",
    "kernel_approximation",
    "linear_model",
    "model_selection",
    "multiclass",
    "naive_bayes",
    "neural_network",
    "pipeline",
    "preprocessing",
    "random_projection",
}
_OTHER_OBJECTS = {
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
    "skcovid.augmentation._transforms.Brightness",
    "skcovid.augmentation._transforms.Elastic",
    "skcovid.augmentation._transforms.Gamma",
    "skcovid.augmentation._transforms.Rotation",
    "skcovid.augmentation._transforms.Translation",
    "skcovid.augmentation._transforms.Zoom",
    "skcovid.augmentation._balancer.AugmentationBalancer",
    "skcovid.estimators._classifier.TransferLearningClassifier",
    "skcovid.estimators._backbone_features.BackboneFeatures",
    "skcovid.persistence._networks.BackboneReference",
    "skcovid.persistence._networks.NetworkReference",
    "skcovid.pipeline.HoldoutPipeline",
    "skcovid.preprocessing._backbone_preprocessor.BackbonePreprocessor",
    "skcovid.preprocessing._reader.RadiographReader",
}
_PRIMITIVES = {f"builtins.{name}" for name in ("bool", "float", "int", "str")}


@lru_cache(maxsize=1)
def _trusted() -> dict[str, set[str]]:
    """Class names that each of skops' loaders may be given."""
    estimators = {
        f"{estimator.__module__}.{estimator.__qualname__}"
        for _, estimator in all_estimators()
        if estimator.__module__.split(".")[1] in _SKLEARN_MODULES
    }
    scorers = (metrics.get_scorer(name) for name in metrics.get_scorer_names())
    functions = {scorer._score_func for scorer in scorers}
    scalars = {f"numpy.{scalar.__name__}" for scalar in np.sctypeDict.values()}
    return {
        "ObjectNode": estimators | _OTHER_OBJECTS,
        "FunctionNode": {f"{score.__module__}.{score.__name__}" for score in functions},
        "NdArrayNode": scalars | {"numpy.ndarray"},
        "MaskedArrayNode": {"numpy.ma.MaskedArray", "numpy.ma.core.MaskedArray"},
        "RandomStateNode": {"numpy.random.mtrand.RandomState"},
        "TypeNode": scalars | _PRIMITIVES,
        "DictNode": {"builtins.dict"},
        "ListNode": {"builtins.list"},
        "SetNode": {"builtins.set"},
        "TupleNode": {"builtins.tuple"},
        "JsonNode": {"builtins.str"},
    }


def dump_pipeline(pipeline: Any) -> bytes:
    """Write a pipeline without its networks with skops."""
    try:
        content = skops.io.dumps(pipeline)
        _check(content)
    except ModelFileError as error:
        raise TypeError(f"This pipeline can't be saved: {error}.") from error
    except Exception as error:
        raise TypeError(
            f"This pipeline can't be saved: skops has no way to ({error})."
        ) from error
    return content


def load_pipeline(content: bytes) -> Any:
    """Build what `dump_pipeline` wrote, if all of it is on the closed list."""
    _check(content)
    names = [name for group in _trusted().values() for name in group]
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
        raise ModelFileError("its schema.json describes no object")
    _check_nodes(schema)


def _check_nodes(schema: dict) -> None:
    pending: list[Any] = [schema]
    while pending:
        value = pending.pop()
        if isinstance(value, dict):
            if "__loader__" in value or "__class__" in value:
                _check_node(value)
            pending.extend(value.values())
        elif isinstance(value, list):
            pending.extend(value)


def _check_node(node: dict) -> None:
    loader = node.get("__loader__")
    name = f"{node.get('__module__')}.{node.get('__class__')}"
    trusted = _trusted()
    if not isinstance(loader, str) or loader not in trusted:
        raise ModelFileError(
            f"it holds {name} ({loader}), a kind of object that models may not hold"
        )
    if name not in trusted[loader]:
        raise ModelFileError(
            f"it holds {name}, which is not on the list of what models may hold"
        )
