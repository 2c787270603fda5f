"""Labels and groups that are missing, or labels that are spelled in two ways."""

import numpy as np
import pandas as pd
import pytest
from sklearn.dummy import DummyClassifier

from skcovid import (
    HoldoutPipeline,
    TransferLearningClassifier,
    audit,
    evaluate,
    make_transfer_pipeline,
)
from skcovid._base._label_checks import check_groups, check_labels
from skcovid.datasets import save_radiographs
from skcovid.metrics import bootstrap_intervals

N = 12
X = np.zeros((N, 8, 8), np.uint8)
Y = ["ill", "well"] * (N // 2)
PATIENTS = [f"p{row}" for row in range(N)]


def replace_row(values, row, value):
    return [value if at == row else one for at, one in enumerate(values)]


MISSING = {
    "None": replace_row(PATIENTS, 3, None),
    "NaN": replace_row(PATIENTS, 3, np.nan),
    "pandas": pd.Series(replace_row(PATIENTS, 3, None)),
    "pandas str": pd.Series(replace_row(PATIENTS, 3, pd.NA), dtype="string"),
    "pandas Int64": pd.array(replace_row(range(N), 3, pd.NA), dtype="Int64"),
    "pandas time": pd.Series(pd.to_datetime(replace_row(["2020"] * N, 3, None))),
    "category": pd.Series(replace_row(PATIENTS, 3, None), dtype="category"),
    "float": np.array(replace_row(range(N), 3, np.nan), dtype=np.float32),
    "object": np.array(replace_row(PATIENTS, 3, np.float32("nan")), dtype=object),
    "text of NaN": np.array(replace_row(PATIENTS, 3, np.nan)),
    "text of None": np.array(replace_row(PATIENTS, 3, None)).astype(str),
    "text of NA": pd.Series(replace_row(PATIENTS, 3, pd.NA)).astype(str),
    "blank": replace_row(PATIENTS, 3, " "),
}


class NeverFitted(DummyClassifier):
    def fit(self, X, y):
        raise AssertionError("fitted before its input was checked")


def make_holdout():
    classify = TransferLearningClassifier("vgg16", weights=None)
    return HoldoutPipeline([("classify", classify)])


@pytest.mark.parametrize(
    ("y", "match"),
    [
        (["ill"] * N, "one class only, 'ill'"),
        (
            ["ill"] * 2 + ["well"] * (N - 2),
            "'ill' has 2 images.* 3 folds .*classify__cv",
        ),
        (np.eye(2)[[0, 1] * (N // 2)], "2 columns.*one-hot"),
    ],
)
def test_classes_that_the_linear_recipe_cannot_learn(y, match):
    pipeline = make_transfer_pipeline("vgg19", recipe="linear", weights=None)
    # Before a file is read.
    paths = [f"{row}.png" for row in range(N)]
    with pytest.raises(ValueError, match=match):
        pipeline.fit(paths, y)


def test_the_linear_recipe_takes_as_many_images_as_it_has_folds():
    pipeline = make_transfer_pipeline("vgg19", recipe="linear", weights=None)
    pipeline.set_params(classify__cv=2)
    with pytest.raises(FileNotFoundError, match=r"0\.png"):
        pipeline.fit([f"{row}.png" for row in range(4)], ["ill", "well"] * 2)


@pytest.mark.parametrize("use", ["evaluate", "audit", "HoldoutPipeline"])
@pytest.mark.parametrize("kind", [np.array, pd.DataFrame, np.ndarray.tolist])
def test_one_hot_labels_are_an_error(use, kind):
    y = kind(np.eye(2, dtype=int)[[0, 1] * (N // 2)])
    with pytest.raises(ValueError, match=r"y .*2 columns.*one-hot.*argmax"):
        USES[use](y, None)


USES = {
    "evaluate": lambda y, groups: evaluate(NeverFitted(), X, y, cv=2, groups=groups),
    "audit": lambda y, groups: audit(NeverFitted(), X, y, cv=2, groups=groups),
    "HoldoutPipeline": lambda y, groups: make_holdout().fit(X, y, groups=groups),
}


@pytest.mark.parametrize("groups", MISSING.values(), ids=MISSING)
def test_missing_groups_are_found(groups):
    with pytest.raises(ValueError, match=r"groups: missing in rows 3;.*its path"):
        check_groups(groups)


@pytest.mark.parametrize("use", USES.values(), ids=USES)
@pytest.mark.parametrize("kind", ["None", "NaN", "pandas str", "text of NaN"])
def test_missing_groups_are_an_error_before_anything_is_fitted(use, kind):
    with pytest.raises(ValueError, match=r"groups.*rows 3;"):
        use(Y, MISSING[kind])


def test_missing_groups_of_metrics():
    with pytest.raises(ValueError, match=r"groups.*rows 3;"):
        bootstrap_intervals(Y, Y, groups=MISSING["None"])


def test_missing_groups_are_not_saved(tmp_path):
    with pytest.raises(ValueError, match=r"groups.*rows 3;"):
        save_radiographs(X, Y, tmp_path / "new", groups=MISSING["None"])
    assert not (tmp_path / "new").exists()


def test_many_missing_groups_are_counted():
    with pytest.raises(ValueError, match=r"rows 0, 1, 2, 3, 4 and 7 more;"):
        check_groups([None] * N)


@pytest.mark.parametrize(
    "groups",
    [None, PATIENTS, list(range(N)), np.arange(N) / 2, ["Nan", "None-1", "0", "NAN"]],
)
def test_known_groups_pass(groups):
    check_groups(groups)


USES_OF_LABELS = {
    **USES,
    "classifier": lambda y, _: TransferLearningClassifier("vgg16").fit(X, y),
    "save": lambda y, _: save_radiographs(X, y, "/never/made"),
}


@pytest.mark.parametrize("use", USES_OF_LABELS.values(), ids=USES_OF_LABELS)
@pytest.mark.parametrize("other", ["Ill", "ill ", "ILL", "\u00a0ill"])
@pytest.mark.parametrize("make", [list, np.array, pd.Series])
def test_two_spellings_of_a_label_are_an_error(use, other, make):
    with pytest.raises(ValueError, match="differ only by case or spaces") as error:
        use(make(replace_row(Y, 4, other)), None)
    assert repr(other) in str(error.value)
    assert "'ill'" in str(error.value)


@pytest.mark.parametrize("use", USES_OF_LABELS.values(), ids=USES_OF_LABELS)
@pytest.mark.parametrize("missing", [None, np.nan, pd.NA])
def test_missing_labels_are_an_error(use, missing):
    with pytest.raises(ValueError, match=r"y: missing in rows 4;"):
        use(replace_row(Y, 4, missing), None)


@pytest.mark.parametrize(
    "y", [Y, [0, 1] * 6, np.array([False, True]), ["A", "A1"], [["a"], ["b"]]]
)
def test_proper_labels_pass(y):
    check_labels(y)


@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_rows_in_another_order(use):
    groups = pd.Series(PATIENTS).iloc[::-1]
    with pytest.raises(ValueError, match=r"groups\.loc\[y\.index\]"):
        use(pd.Series(Y), groups)
