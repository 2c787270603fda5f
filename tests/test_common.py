"""The common checks of scikit-learn and imbalanced-learn on every public estimator.

Most checks use tables, and only one runs where an estimator's tags exclude tables. So
estimators of images are wrapped by `tables`, which makes an image of every row and
passes everything else on unchanged.

A check that fails must be in `EXPECTED_FAILED_CHECKS`, with the error it fails with and
the reason; one that is there must fail with that error. Only checks that depend on
rounding, `OF_ROUNDING`, may also pass.
"""

from functools import partial
from inspect import isclass

import imblearn.utils.estimator_checks
import pytest
import sklearn.utils.estimator_checks
import tensorflow as tf
from sklearn.base import BaseEstimator
from sklearn.preprocessing import StandardScaler
from sklearn.utils import get_tags

import skcovid
from _helpers import tables

tables.register()
# TensorFlow warns where its functions run eagerly.
pytestmark = pytest.mark.filterwarnings("ignore:Even though the .tf.config")

READER = tables.ReaderOfTables()
PREPROCESSOR = tables.PreprocessorOfTables(tables.NAME)
BALANCER = tables.BalancerOfTables(factor=1, random_state=0)
FEATURES = tables.FeaturesOfTables(tables.NAME, weights=None, layers=[1], verbose=0)
CLASSIFIER = tables.ClassifierOfTables(
    tables.NAME,
    weights=None,
    # After one epoch, statistics that began at zero make all predictions the same.
    reset_batch_norm=False,
    dense_units=8,
    epochs=1,
    batch_size=512,
    random_state=0,
    verbose=0,
)
PIPELINE = skcovid.HoldoutPipeline(
    [("scale", StandardScaler()), ("classify", tables.ValidatedLogisticRegression())],
    validation_fraction=0.2,
    random_state=0,
)
SCALER = skcovid.SourceStandardScaler()
CELLS = skcovid.CellOverSampler(random_state=0)
MATCHING = skcovid.MatchingUnderSampler(by=(), near=None, random_state=0)
DETECTOR = skcovid.NoveltyDetector(random_state=0)
ESTIMATORS = [
    *(READER, PREPROCESSOR, BALANCER, FEATURES, CLASSIFIER, PIPELINE),
    *(SCALER, CELLS, MATCHING, DETECTOR),
]

_OF_IMAGES = {
    "check_n_features_in_after_fitting": (
        "does not set the `n_features_in_` attribute",
        "images have a height and a width instead of features",
    ),
    "check_n_features_in": ("^$", "as above"),
    "check_dtype_object": (
        "got dtype object|got object",
        "pixels are numbers; the error names the dtype object",
    ),
    "check_estimators_empty_data_messages": (
        r"Got X .* shape (is )?\(12, 2, 0",
        "the error names the shape of an image of width 0, not the lack of features",
    ),
}
_WITH_OUTPUT = {
    "check_fit2d_predict1d": (
        r"Got X .*\(3,\)",
        "the error names the shape; the advice to reshape, which the check expects, "
        "would not give an image",
    ),
}
_OF_ANY_SIZE = {
    "check_transformer_general": (
        "number of features in transform is different",
        "images of any size are resized to one",
    ),
}
_OF_OWN_DTYPE = {
    "check_transformer_preserve_dtypes": (
        "does not preserve dtype.*got dtype=(uint8|float32)",
        "pixels are always uint8 and network input always float32",
    ),
}
_MULTILABEL = {
    "check_classifier_on_multilabel_or_multioutput_targets": (
        "Got y should be a 1d array",
        "the error is scikit-learn's, not imbalanced-learn's",
    ),
}
_ONE_COLUMN = {
    "check_samplers_multiclass_ova": (
        "y should be a 1d array",
        "labels are one column, as in classifiers, not a table of indicators",
    ),
}
EXPECTED_FAILED_CHECKS = {
    SCALER: {},
    CELLS: _ONE_COLUMN,
    MATCHING: _ONE_COLUMN,
    READER: {**_OF_IMAGES, **_WITH_OUTPUT, **_OF_ANY_SIZE, **_OF_OWN_DTYPE},
    PREPROCESSOR: {**_OF_IMAGES, **_WITH_OUTPUT, **_OF_ANY_SIZE, **_OF_OWN_DTYPE},
    BALANCER: {
        **_OF_IMAGES,
        "check_samplers_list": (
            "^$",
            "resampled images and labels are always arrays",
        ),
        **_ONE_COLUMN,
        "check_samplers_preserve_dtype": (
            "X dtype is not preserved",
            "pixels are always uint8",
        ),
        "check_sampler_get_feature_names_out": (
            "has no get_feature_names_out",
            "images have no features to name",
        ),
        "check_sampler_get_feature_names_out_pandas": (
            "has no get_feature_names_out",
            "images have no features to name",
        ),
    },
    DETECTOR: {
        "check_classifier_on_multilabel_or_multioutput_targets": (
            "Did not raise",
            "the check is of classifiers; a detector ignores labels",
        ),
        "check_classifiers_with_encoded_labels": (
            "no attribute 'classes_'",
            "the check is of classifiers; a detector ignores labels",
        ),
    },
    FEATURES: {
        **_OF_IMAGES,
        **_WITH_OUTPUT,
        **_OF_OWN_DTYPE,
    },
    CLASSIFIER: {
        **_OF_IMAGES,
        **_WITH_OUTPUT,
        **_MULTILABEL,
        "check_estimator_tags_renamed": (
            "has defined either `_more_tags` or `_get_tags`",
            "scikeras' class defines them, for older versions of scikit-learn",
        ),
        "check_mixin_order": (
            "ClassifierMixin comes before/left side of BaseEstimator",
            "scikeras' class inherits in that order; __sklearn_tags__ corrects it",
        ),
        "check_sample_weight_equivalence_on_dense_data": (
            "not equivalent to fitting with removed or repeated",
            "batch normalisation and dropout count each sample once, ignoring weights",
        ),
        "check_classifiers_with_encoded_labels": (
            "^$",
            "after one epoch a network does not predict every class",
        ),
    },
    PIPELINE: {
        **_MULTILABEL,
        "check_estimators_overwrite_params": (
            "should not change or mutate  the parameter steps",
            "every pipeline of scikit-learn fits its own steps, not clones of them",
        ),
        "check_dont_overwrite_parameters": (
            "steps changed",
            "every pipeline of scikit-learn fits its own steps, not clones of them",
        ),
        "check_fit2d_1sample": (
            "without a validation image.*class 1",
            "the error names the class instead of the number of samples",
        ),
    },
}
# Both compare to seven digits, the precision of float32; `image_estimator_checks`
# compare the same to four.
OF_ROUNDING = {
    "check_methods_sample_order_invariance",
    "check_methods_subset_invariance",
}


def name_of(check):
    function = check.func
    return (function.func if isinstance(function, partial) else function).__name__


def common_checks(library):
    generate = library.utils.estimator_checks.estimator_checks_generator
    for estimator in ESTIMATORS:
        for instance, check in generate(estimator):
            name = name_of(check)
            expected = EXPECTED_FAILED_CHECKS[estimator].get(name)
            identifier = f"{library.__name__}-{type(estimator).__name__}-{name}"
            yield pytest.param(instance, check, expected, id=identifier)


CHECKS = {library: list(common_checks(library)) for library in (sklearn, imblearn)}


@pytest.fixture(scope="module", autouse=True)
def _eager():
    # Compiling a network takes several times as long as training it for an epoch.
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@pytest.mark.parametrize(
    ("estimator", "check", "expected"), [*CHECKS[sklearn], *CHECKS[imblearn]]
)
def test_common_check(estimator, check, expected):
    if expected is None:
        try:
            check(estimator)
        except AssertionError as error:
            if not is_rounding(estimator, check, error):
                raise
    else:
        message, _ = expected
        with pytest.raises(
            (AssertionError, AttributeError, TypeError, ValueError), match=message
        ):
            check(estimator)


def is_rounding(estimator, check, error):
    return (
        estimator in (FEATURES, CLASSIFIER)
        and name_of(check) in OF_ROUNDING
        and "is not invariant when applied" in str(error)
    )


def test_every_public_estimator_is_checked():
    public = [getattr(skcovid, name) for name in skcovid.__all__]
    for kind in filter(isclass, public):
        if issubclass(kind, BaseEstimator):
            (estimator,) = (one for one in ESTIMATORS if isinstance(one, kind))
            checks = [
                entry for entry in CHECKS[sklearn] if entry.values[0] is estimator
            ]
            # An estimator whose tags exclude tables has one check, of cloning.
            assert len(checks) > 35


def test_tags():
    assert get_tags(FEATURES).input_tags.three_d_array
    tags = get_tags(CLASSIFIER)
    assert tags.input_tags.three_d_array
    # Few images and an epoch give no good score.
    assert tags.classifier_tags.poor_score
