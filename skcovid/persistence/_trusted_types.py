"""The closed list of types that a saved pipeline may hold, checked before loading.

skops stores a pipeline as a tree of nodes; each names a loader and a class. Its own
list of trusted types is longer than needed here and grows with its versions. This one
holds plain data, NumPy arrays, and estimators of scikit-learn and skcovid, without
those of scikit-learn whose compiled code does not check their fitted state (trees,
nearest neighbours, libsvm): hostile state could crash the process.
"""

import re
from functools import lru_cache
from inspect import isfunction
from io import BytesIO
from typing import Any

import numpy as np
import skops.io
from imblearn import combine, over_sampling, under_sampling
from sklearn import feature_selection, model_selection
from sklearn.utils.discovery import all_estimators

# Its estimators call `allow_in_model_files` when they are imported.
import skcovid.estimators  # noqa: F401 (imported for that alone)
from skcovid._base._compatibility import scorer_functions
from skcovid._base._network_estimator import allowed_estimators
from skcovid._base._validation_splits import StratifiedFolds
from skcovid.augmentation._balancer import AugmentationBalancer
from skcovid.augmentation._cell_samplers import CellOverSampler, MatchingUnderSampler
from skcovid.augmentation._transforms import PAPER_TRANSFORMS
from skcovid.persistence._networks import BackboneReference, NetworkReference
from skcovid.persistence._schema import is_quick, read_schema
from skcovid.persistence._zip_container import ModelFileError, parse_json, read_members
from skcovid.pipeline import GroupPipeline, HoldoutPipeline
from skcovid.preprocessing._backbone_preprocessor import BackbonePreprocessor
from skcovid.preprocessing._batch_standard_scaler import BatchStandardScaler
from skcovid.preprocessing._reader import RadiographReader
from skcovid.preprocessing._source_standard_scaler import SourceStandardScaler

_MEMBERS = re.compile(r"schema\.json|[0-9]+\.np[yz]")
_SCHEMA = "schema.json"

_SKLEARN_MODULES = {
    *("calibration", "compose", "decomposition", "discriminant_analysis", "dummy"),
    *("ensemble", "feature_selection", "frozen", "impute", "isotonic"),
    *("kernel_approximation", "linear_model", "model_selection", "multiclass"),
    *("multioutput", "naive_bayes", "neural_network", "pipeline", "preprocessing"),
    "random_projection",
}
_OTHER_TYPES = {
    "imblearn.ensemble._bagging.BalancedBaggingClassifier",
    "imblearn.ensemble._easy_ensemble.EasyEnsembleClassifier",
    "imblearn.pipeline.Pipeline",
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.calibration._TemperatureScaling",
    "sklearn.compose._column_transformer.make_column_selector",
    "sklearn.metrics._scorer._CurveScorer",
    "sklearn.metrics._scorer._PassthroughScorer",
    "sklearn.metrics._scorer._Scorer",
    "sklearn.model_selection._split._CVIterableWrapper",
    "sklearn.multiclass._ConstantPredictor",
    "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
    "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
    "sklearn.svm._classes.LinearSVC",
    "sklearn.utils._metadata_requests.MetadataRequest",
    "sklearn.utils._metadata_requests.MethodMetadataRequest",
}
# Of stochastic gradient descent, as classifiers use it.
_LOSSES = {
    "sklearn._loss._loss.CyHalfBinomialLoss",
    "sklearn.linear_model._sgd_fast.Hinge",
    "sklearn.linear_model._sgd_fast.ModifiedHuber",
    "sklearn.linear_model._sgd_fast.SquaredHinge",
}
# For these, predicting takes about as long as reading their arrays. The others add
# columns, go through columns one by one or repeat until they converge: they predict no
# test images.
_QUICK_MODULES = {
    *("calibration", "combine", "discriminant_analysis", "feature_selection", "frozen"),
    *("isotonic", "linear_model", "model_selection", "multiclass", "naive_bayes"),
    *("over_sampling", "random_projection", "under_sampling"),
}
_QUICK_TYPES = {
    *("AdaBoostClassifier", "BaggingClassifier", "StackingClassifier"),
    *("VotingClassifier", "FastICA", "IncrementalPCA", "KernelPCA", "PCA", "Pipeline"),
    *("TruncatedSVD", "MLPClassifier", "Binarizer", "FunctionTransformer"),
    *("KernelCenterer", "LabelBinarizer", "LabelEncoder", "MaxAbsScaler"),
    *("MinMaxScaler", "Normalizer", "RobustScaler", "StandardScaler"),
}
_SKCOVID_TYPES = (
    AugmentationBalancer,
    BackbonePreprocessor,
    BackboneReference,
    BatchStandardScaler,
    CellOverSampler,
    GroupPipeline,
    HoldoutPipeline,
    MatchingUnderSampler,
    NetworkReference,
    RadiographReader,
    SourceStandardScaler,
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
    splitters = {
        _name(kind)
        for kind in vars(model_selection).values()
        if isinstance(kind, type) and hasattr(kind, "split")
    }
    samplers = {
        _name(kind)
        for module in (combine, over_sampling, under_sampling)
        for kind in vars(module).values()
        if hasattr(kind, "fit_resample")
    }
    primitives = {f"builtins.{name}" for name in ("bool", "float", "int", "str")}
    scalars = {
        f"numpy.{scalar.__name__}"
        for scalar in np.sctypeDict.values()
        if not issubclass(scalar, np.void | np.object_)
    }
    kinds = {"numpy.floating", "numpy.generic", "numpy.integer", "numpy.number"}
    scores = filter(isfunction, vars(feature_selection).values())
    ufuncs = {
        f"{module}.{name}"
        for name, function in vars(np).items()
        if isinstance(function, np.ufunc) and function.nin == function.nout == 1
        # Before NumPy 2 they do not say where they are from.
        for module in ("numpy", "numpy.core._multiarray_umath")
    }
    return {
        "ObjectNode": estimators | splitters | samplers | _OTHER_TYPES,
        "FunctionNode": {*map(_name, (*scorer_functions(), *scores)), *ufuncs},
        "NdArrayNode": scalars | {"numpy.ndarray"},
        "MaskedArrayNode": {"numpy.ma.MaskedArray", "numpy.ma.core.MaskedArray"},
        "RandomStateNode": {"numpy.random.mtrand.RandomState"},
        "TypeNode": scalars | kinds | primitives | splitters,
        "DTypeNode": {"numpy.dtype"},
        "LossNode": _LOSSES,
        "DictNode": {"builtins.dict", "sklearn.utils._bunch.Bunch"},
        "ListNode": {"builtins.list"},
        "SetNode": {"builtins.set"},
        "SliceNode": {"builtins.slice"},
        "TupleNode": {"builtins.tuple"},
        "JsonNode": {"builtins.str"},
    }


def _our_types() -> set[str]:
    return {_name(kind) for kind in (*_SKCOVID_TYPES, *allowed_estimators())}


def _trusted_types() -> dict[str, set[str]]:
    types = _library_types()
    return {**types, "ObjectNode": types["ObjectNode"] | _our_types()}


def dump_pipeline(pipeline: Any) -> tuple[bytes, bool]:
    """Write a pipeline without networks with skops.

    The second value is True if its predictions for test images cost little.
    """
    try:
        content: bytes = skops.io.dumps(pipeline)
        return content, _check(content)
    except Exception as error:
        # skops raises many kinds of errors.
        raise TypeError(
            f"This pipeline can't be saved: {error}. Save the part without it, such as "
            "the best_estimator_ of a search."
        ) from error


def load_pipeline(content: bytes) -> tuple[Any, bool]:
    """Load what `dump_pipeline` wrote, if all its types are on the closed list."""
    quick = _check(content)
    names = [name for group in _trusted_types().values() for name in group]
    return skops.io.loads(content, trusted=names), quick


def _check(content: bytes) -> bool:
    members = read_members(BytesIO(content), _MEMBERS)
    if _SCHEMA not in members:
        raise ModelFileError("its pipeline has no schema.json")
    schema = parse_json(members.pop(_SCHEMA), _SCHEMA)
    trusted = _trusted_types()
    contents = read_schema(schema, members, trusted)
    quick = {
        name
        for name in trusted["ObjectNode"]
        if name.split(".")[1] in _QUICK_MODULES or name.split(".")[-1] in _QUICK_TYPES
    }
    return is_quick(contents, quick | _OTHER_TYPES | _our_types())
