"""Checks of estimators of images, like scikit-learn's and imblearn's for tables.

`image_estimator_checks` yields those that fit an estimator's tags and methods;
each takes a `Case`, the estimator together with data that suit it.
"""

import inspect
import pickle
import re
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, partial
from importlib import import_module

import numpy as np
import pytest
from joblib.externals.loky import get_reusable_executor
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import config_context
from sklearn.base import clone, is_classifier
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import cross_validate
from sklearn.utils import get_tags
from sklearn.utils.estimator_checks import check_param_validation
from sklearn.utils.validation import has_fit_parameter

import skcovid
from skcovid.networks.backbones import get_backbone

METHODS = ("transform", "predict", "predict_proba")
N_TASKS = 4
LABELS = {
    "str": np.array(["COVID-19", "NORMAL"]),
    "object": np.array(["a", "b"], dtype=object),
    "int": np.array([-7, 3]),
    "bool": np.array([False, True]),
}


class Case:
    """An estimator with the images and labels for its checks."""

    def __init__(self, estimator, X, y):
        self.estimator, self.X, self.y = estimator, X, y

    @cached_property
    def fitted(self):
        """A fitted estimator for all checks that do not change it."""
        return clone(self.estimator).fit(self.X, self.y)

    @cached_property
    def outputs(self):
        return outputs(self.fitted, self.X, self.y)

    def check_same(self, estimator, X=None, y=None):
        """Fitted on the same data in another form, an estimator returns the same."""
        X, y = self.X if X is None else X, self.y if y is None else y
        assert_same(outputs(estimator.fit(X, y), X, y), self.outputs)


def outputs(fitted, X, y):
    """Return the output of every method of an estimator or a sampler for images."""
    if hasattr(fitted, "fit_resample"):
        images, labels = fitted.fit_resample(X, y)
        return {"images": np.asarray(images), "labels": labels}
    return {
        method: np.asarray(getattr(fitted, method)(X))
        for method in METHODS
        if hasattr(fitted, method)
    }


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        assert found[name].dtype == values.dtype
        if values.dtype.kind == "f":
            assert_allclose(found[name], values, rtol=1e-4, atol=1e-5, err_msg=name)
        else:
            assert_array_equal(found[name], values, err_msg=name)


def image_estimator_checks(estimator):
    """Yield the checks for an estimator, by its tags and methods."""
    tags = get_tags(estimator)
    yield check_parameters_round_trip
    yield check_init_stores_only
    yield check_fit_keeps_the_parameters
    yield check_parameters_are_validated
    yield check_own_constraints_change_nothing
    yield check_numpy_parameters_give_the_same
    yield check_docstring_has_the_parameters
    yield check_docstring_has_the_fitted_attributes
    yield check_input_is_not_modified
    yield check_other_dtypes_give_the_same
    yield check_output_dtype_and_range
    yield check_tables_are_refused
    yield check_lazy_images_give_the_same
    yield check_a_list_of_images_gives_the_same
    yield check_layouts_give_the_same
    yield check_a_second_fit_forgets_the_first
    yield check_pickling
    yield check_metadata_reach_fit
    if "n_jobs" in estimator.get_params() or hasattr(estimator, "steps"):
        yield check_threads_within_change_nothing
    if hasattr(estimator, "fit_resample"):
        yield check_resampling_does_not_depend_on_order
    else:
        yield check_unfitted_estimators_say_so
        yield check_order_of_images_is_that_of_outputs
        yield check_one_image_is_as_among_others
        yield check_calls_from_threads
        yield check_calls_from_processes
    if tags.target_tags.required:
        yield check_one_class_is_an_error
        yield check_labels_of_every_kind
    else:
        yield check_one_image_is_enough


def check_parameters_round_trip(case):
    estimator = case.estimator
    for parameters in (estimator.get_params(), estimator.get_params(deep=False)):
        assert estimator.set_params(**parameters) is estimator
        assert estimator.get_params(deep=False).items() <= parameters.items()
    copy = type(estimator)(**clone(estimator).get_params(deep=False))
    assert repr(copy) == repr(estimator)
    names = {name: getattr(skcovid, name) for name in skcovid.__all__}
    assert repr(eval(repr(estimator), names)) == repr(estimator)
    with pytest.raises(ValueError, match="Invalid parameter 'nothing'"):
        estimator.set_params(nothing=0)


def check_init_stores_only(case):
    names = case.estimator.get_params(deep=False)
    arguments = {name: object() for name in names}
    built = type(case.estimator)(**arguments)
    assert vars(built) == arguments


def check_fit_keeps_the_parameters(case):
    def of_values(estimator):
        return {
            name: value
            for name, value in estimator.get_params().items()
            if not hasattr(value, "fit") and name != "steps"
        }

    before = of_values(case.estimator)
    after = of_values(case.fitted)
    assert before.keys() == after.keys()
    assert {name: repr(value) for name, value in before.items()} == {
        name: repr(value) for name, value in after.items()
    }
    assert not [name for name in vars(case.estimator) if name.endswith("_")]


def check_parameters_are_validated(case):
    check_param_validation(type(case.estimator).__name__, case.estimator)


def check_own_constraints_change_nothing(case):
    estimator = clone(case.estimator)
    vars(estimator)["_parameter_constraints"] = {}
    name = next(iter(estimator.get_params(deep=False)))
    with pytest.raises(ValueError, match=f"'{name}' parameter"):
        estimator.set_params(**{name: object()}).fit(case.X, case.y)


def check_numpy_parameters_give_the_same(case):
    types = {bool: np.bool_, int: np.int64, float: np.float64, str: np.str_}

    def in_numpy(value):
        if isinstance(value, tuple):
            return tuple(map(in_numpy, value))
        return types[type(value)](value) if type(value) in types else value

    estimator = clone(case.estimator)
    given = {
        name: in_numpy(value)
        for name, value in estimator.get_params().items()
        if type(value) in (*types, tuple)
    }
    estimator.set_params(**given)
    case.check_same(estimator)
    found = estimator.get_params()
    assert {name: type(found[name]) for name in given} == {
        name: type(value) for name, value in given.items()
    }


def sections_of(estimator):
    """Parse a numpydoc docstring: {section: {name: type}}."""
    text = inspect.getdoc(type(estimator))
    parts = re.split(r"^(\w[\w ]*)\n-+\n", text, flags=re.MULTILINE)
    return {
        title: {
            name: kind
            for names, kind in re.findall(r"^(\S.*) : (.+)$", body, re.MULTILINE)
            for name in names.split(", ")
        }
        for title, body in zip(parts[1::2], parts[2::2], strict=True)
    }


def check_docstring_has_the_parameters(case):
    documented = sections_of(case.estimator)["Parameters"]
    signature = inspect.signature(type(case.estimator)).parameters
    assert list(documented) == list(signature)
    for name, parameter in signature.items():
        _, has_default, default = documented[name].partition("default=")
        if parameter.default is parameter.empty:
            assert not has_default, name
        else:
            assert eval(default) == parameter.default, name


def check_docstring_has_the_fitted_attributes(case):
    # Some attributes are set by these methods only.
    outputs(case.fitted, case.X, case.y)
    documented = set(sections_of(case.estimator)["Attributes"])
    found = {name for name in vars(case.fitted) if re.fullmatch(r"[^_].*_", name)}
    assert found <= documented
    assert {name for name in documented if not hasattr(case.fitted, name)} == set()


def check_input_is_not_modified(case):
    X, y = case.X.copy(), np.array(case.y)
    outputs(clone(case.estimator).fit(X, y), X, y)
    assert_array_equal(X, case.X)
    assert_array_equal(y, case.y)


def check_other_dtypes_give_the_same(case):
    if case.X.dtype == np.uint8:
        others = [
            case.X.astype(dtype) for dtype in (np.int16, np.float32, np.float64, ">i4")
        ]
        others.append(case.X.astype(np.uint16) * 257)
    else:
        others = [case.X.astype(dtype) for dtype in (np.float64, ">f4")]
    if hasattr(case.estimator, "fit_resample"):
        for X in others:
            case.check_same(clone(case.estimator), X)
    else:
        for X in others:
            assert_same(outputs(case.fitted, X, case.y), case.outputs)


def check_output_dtype_and_range(case):
    for name, values in case.outputs.items():
        if name == "predict_proba":
            assert values.dtype == np.float32
            assert_allclose(values.sum(axis=1), 1, rtol=1e-5)
            assert values.min() >= 0
        elif name in ("predict", "labels"):
            assert values.dtype == np.asarray(case.y).dtype
            assert set(values.tolist()) <= set(case.y)
        else:
            assert values.dtype in (np.uint8, np.float32)
            assert np.isfinite(values).all()
        if name not in ("labels", "predict"):
            # Equal outputs could not show a dependence on other images.
            assert len(np.unique(values, axis=0)) > len(case.X) / 2


def check_tables_are_refused(case):
    table = case.X.reshape(len(case.X), -1)
    with pytest.raises(ValueError, match=rf"shape \(\d+, {table.shape[1]}\)"):
        clone(case.estimator).fit(table, case.y)


def check_lazy_images_give_the_same(case):
    lazy = skcovid.LazyImages.from_array(case.X)
    case.check_same(clone(case.estimator), lazy)


def check_a_list_of_images_gives_the_same(case):
    images = list(case.X)
    if hasattr(case.estimator, "fit_resample"):
        case.check_same(clone(case.estimator), images)
    else:
        assert_same(outputs(case.fitted, images, case.y), case.outputs)


def check_layouts_give_the_same(case, folder):
    path = folder / "images.npy"
    np.save(path, case.X)
    # Memory-mapped and read-only.
    case.check_same(clone(case.estimator), np.load(path, mmap_mode="r"))
    case.check_same(clone(case.estimator), np.asfortranarray(case.X))
    strided = np.repeat(case.X, 2, axis=1)[:, ::2]
    if not hasattr(case.estimator, "fit_resample"):
        assert_same(outputs(case.fitted, strided, case.y), case.outputs)


def check_a_second_fit_forgets_the_first(case):
    estimator = clone(case.estimator)
    other = np.flip(case.X[:, 4:, :-8], axis=0)
    estimator.fit(other, ["x" + str(label) for label in case.y])
    case.check_same(estimator)
    fresh = {name for name in vars(case.fitted) if name.endswith("_")}
    assert {name for name in vars(estimator) if name.endswith("_")} == fresh


def check_pickling(case):
    def parameters(estimator):
        # A registered network is pickled itself, not by its name.
        return {
            name: get_backbone(value) if name.endswith("backbone") else repr(value)
            for name, value in estimator.get_params().items()
            if not hasattr(value, "fit") and name != "steps"
        }

    unfitted = pickle.loads(pickle.dumps(case.estimator))
    assert parameters(unfitted) == parameters(case.estimator)
    fitted = pickle.loads(pickle.dumps(case.fitted))
    assert_same(outputs(fitted, case.X, case.y), case.outputs)
    assert vars(fitted).keys() == vars(case.fitted).keys()


def check_threads_within_change_nothing(case):
    estimator = clone(case.estimator)
    names = [name for name in estimator.get_params() if name.endswith("n_jobs")]
    case.check_same(estimator.set_params(**dict.fromkeys(names, 5)))


def check_resampling_does_not_depend_on_order(case):
    order = np.random.default_rng(0).permutation(len(case.X))
    found = outputs(clone(case.estimator), case.X[order], np.asarray(case.y)[order])
    assert_array_equal(found["labels"], case.outputs["labels"])
    for label in set(case.y):
        assert sorted(
            image.tobytes() for image in found["images"][found["labels"] == label]
        ) == sorted(
            image.tobytes()
            for image in case.outputs["images"][case.outputs["labels"] == label]
        )


def check_unfitted_estimators_say_so(case):
    for method in case.outputs:
        with pytest.raises(NotFittedError):
            getattr(clone(case.estimator), method)(case.X)


def rows_of(expected, rows):
    return {name: values[rows] for name, values in expected.items()}


def check_order_of_images_is_that_of_outputs(case):
    order = np.random.default_rng(0).permutation(len(case.X))
    found = outputs(case.fitted, case.X[order], case.y)
    assert_same(found, rows_of(case.outputs, order))


def check_one_image_is_as_among_others(case):
    row = slice(1, 2)
    assert_same(outputs(case.fitted, case.X[row], None), rows_of(case.outputs, row))


def check_one_image_is_enough(case):
    one = clone(case.estimator).fit(case.X[1:2])
    assert_same(outputs(one, case.X, None), case.outputs)


def parts_of(case):
    """Select different images for each of the tasks."""
    return [np.arange(task, len(case.X)) for task in range(N_TASKS)]


def check_calls_from_threads(case):
    with ThreadPoolExecutor(N_TASKS) as executor:
        found = executor.map(
            lambda rows: outputs(case.fitted, case.X[rows], None), parts_of(case)
        )
        for rows, values in zip(parts_of(case), found, strict=True):
            assert_same(values, rows_of(case.outputs, rows))


def check_calls_from_processes(case):
    parts = parts_of(case)[:2]
    # One process for all estimators, since it has to import Keras: at its start, as one
    # whose memory grows is replaced.
    executor = get_reusable_executor(
        max_workers=1, timeout=600, initializer=import_module, initargs=("keras",)
    )
    output = partial(outputs, case.fitted, y=None)
    found = executor.map(output, [case.X[rows] for rows in parts])
    for rows, values in zip(parts, found, strict=True):
        assert_same(values, rows_of(case.outputs, rows))


def check_metadata_reach_fit(case):
    """Metadata routed by a cross-validation reach `fit`: it rejects wrong values."""
    refused = {"sample_weight": -np.ones(len(case.X)), "groups": list(case.y)}
    for name, values in refused.items():
        if not has_fit_parameter(case.estimator, name):
            continue
        with config_context(enable_metadata_routing=True):
            estimator = clone(case.estimator).set_fit_request(**{name: True})
            with pytest.raises(ValueError, match=name):
                cross_validate(
                    estimator,
                    case.X,
                    case.y,
                    cv=2,
                    params={name: values},
                    error_score="raise",
                )


def check_one_class_is_an_error(case):
    method = "fit_resample" if hasattr(case.estimator, "fit_resample") else "fit"
    with pytest.raises(ValueError, match=r"class.*'only'"):
        getattr(clone(case.estimator), method)(case.X, ["only"] * len(case.X))


def check_labels_of_every_kind(case):
    codes = np.arange(len(case.X)) % 2
    kinds = {kind: classes[codes] for kind, classes in LABELS.items()}
    kinds["np.str_"] = list(kinds["str"])
    expected = None
    for kind, y in kinds.items():
        estimator = clone(case.estimator).fit(case.X, y)
        if is_classifier(estimator):
            assert_array_equal(estimator.classes_, np.unique(y), strict=True)
            assert 0 <= estimator.score(case.X, y) <= 1
        found = outputs(estimator, case.X, y)
        labels = found.pop("predict" if is_classifier(case.estimator) else "labels")
        assert labels.dtype == np.asarray(y).dtype, kind
        assert set(labels) <= set(y), kind
        expected = found if expected is None else expected
        assert_same(found, expected)
