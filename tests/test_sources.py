"""Sources: folds that leave one out, and the figures within and between them."""

import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn import config_context
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    GridSearchCV,
    LeaveOneGroupOut,
    cross_val_predict,
    cross_validate,
)

from skcovid import LeaveOneSourceOut

# Three hospitals; patients 3 and 7 have images in two of them.
SOURCE = np.array(list("AAAABBBBBCCCCC"))
PATIENTS = np.array([0, 1, 2, 3, 3, 4, 5, 6, 7, 7, 8, 9, 10, 10])
Y = np.array(["COVID-19", "Other"] * 7)
X = np.random.default_rng(0).normal(size=(14, 2)) + (Y == "Other")[:, np.newaxis]
METADATA = {"source": SOURCE, "groups": PATIENTS}


@pytest.fixture
def routing():
    with config_context(enable_metadata_routing=True):
        yield


class TestLeaveOneSourceOut:
    def test_one_fold_a_source_with_patients_whole(self):
        folds = list(LeaveOneSourceOut().split(X, Y, PATIENTS, SOURCE))
        assert len(folds) == LeaveOneSourceOut().get_n_splits(source=SOURCE) == 3
        for name, (train, test) in zip("ABC", folds, strict=True):
            assert test.tolist() == np.flatnonzero(name == SOURCE).tolist()
            kept = [
                row
                for row in range(14)
                if SOURCE[row] != name and PATIENTS[row] not in PATIENTS[test]
            ]
            assert train.tolist() == kept
        left_out = [14 - len(train) - len(test) for train, test in folds]
        assert left_out == [1, 2, 1]

    def test_without_patients_it_is_leave_one_group_out(self):
        found = list(LeaveOneSourceOut().split(X, source=SOURCE))
        expected = list(LeaveOneGroupOut().split(X, groups=SOURCE))
        np.testing.assert_equal(found, expected)

    @pytest.mark.parametrize("seed", range(5))
    def test_random_sources_and_patients(self, seed):
        rng = np.random.default_rng(seed)
        source, patients = rng.integers(5, size=80), rng.integers(50, size=80)
        tested = []
        for train, test in LeaveOneSourceOut().split(
            np.empty(80), None, patients, source
        ):
            assert len(set(source[test])) == 1
            assert not set(source[train]) & set(source[test])
            assert not set(patients[train]) & set(patients[test])
            tested += test.tolist()
        assert sorted(tested) == list(range(80))

    @pytest.mark.parametrize(
        "convert",
        [
            list,
            lambda values: values.astype(object),
            lambda values: np.searchsorted(["A", "B", "C"], values),
            lambda values: pd.Series(values, dtype="category"),
        ],
    )
    def test_sources_of_any_kind(self, convert):
        found = list(LeaveOneSourceOut().split(X, Y, PATIENTS, convert(SOURCE)))
        expected = list(LeaveOneSourceOut().split(X, Y, PATIENTS, SOURCE))
        np.testing.assert_equal(found, expected)

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"source": None}, "needs the source.*set_config.*params="),
            ({"source": SOURCE[:5]}, "numbers of samples"),
            (
                {"source": [*SOURCE[:12], None, np.nan]},
                "source: missing in rows 12, 13",
            ),
            ({"source": ["A"] * 14}, "'A', so that none is left.*Add images"),
            ({"source": [*"ABCDEFGHHHHHHH"]}, "8 values for 14 .*pass hospitals"),
            (
                {"source": ["Rome"] * 7 + ["rome"] * 7},
                "'Rome' and 'rome'.*one spelling",
            ),
            ({"source": np.c_[SOURCE, SOURCE]}, "source must hold one value per image"),
            ({"groups": [None, *PATIENTS[1:]]}, "groups: missing in rows 0"),
            ({"groups": [0] * 14}, "Without source 'A' and its patients no image"),
            (
                {"y": np.where(SOURCE == "B", Y, "Other")},
                "Without source 'B' all images are of class 'Other'.*Add images",
            ),
            (
                {
                    "y": pd.Series(Y),
                    "source": pd.Series(SOURCE, index=range(1, 15), dtype="category"),
                },
                r"different indices.*source\.loc\[y\.index\]",
            ),
        ],
    )
    def test_errors_name_the_cure(self, changes, message):
        arguments = {"X": X, "y": Y, **METADATA, **changes}
        with pytest.raises(ValueError, match=rf"(?s){message}"):
            LeaveOneSourceOut().split(**arguments)

    def test_cross_validation_without_routing_says_what_to_do(self):
        with pytest.raises(ValueError, match="enable_metadata_routing=True"):
            cross_val_predict(LogisticRegression(), X, Y, cv=LeaveOneSourceOut())

    def test_cross_validation_routes_source_and_patients(self, routing):
        model, cv = LogisticRegression(), LeaveOneSourceOut()
        expected = np.empty_like(Y)
        for train, test in cv.split(X, Y, **METADATA):
            expected[test] = clone(model).fit(X[train], Y[train]).predict(X[test])
        found = cross_val_predict(model, X, Y, cv=cv, params=METADATA)
        assert found.tolist() == expected.tolist()
        scores = cross_validate(
            model, X, Y, cv=cv, params=METADATA, return_indices=True
        )
        by_hand = [(expected == Y)[name == SOURCE].mean() for name in "ABC"]
        np.testing.assert_allclose(scores["test_score"], by_hand)
        assert [len(rows) for rows in scores["indices"]["train"]] == [9, 7, 8]

    def test_searches_and_nested_folds(self, routing):
        search = GridSearchCV(
            LogisticRegression(), {"C": [0.01, 1.0]}, cv=LeaveOneSourceOut()
        )
        search.fit(X, Y, **METADATA)
        assert search.n_splits_ == 3
        # Inner folds of the two other sources: their sizes are those of the splitter.
        nested = cross_validate(
            search, X, Y, cv=LeaveOneSourceOut(), params=METADATA, return_estimator=True
        )
        assert [one.n_splits_ for one in nested["estimator"]] == [2, 2, 2]

    def test_requests_can_be_changed(self, routing):
        cv = LeaveOneSourceOut().set_split_request(groups=False, source="hospital")
        found = cross_val_predict(
            LogisticRegression(), X, Y, cv=cv, params={"hospital": SOURCE}
        )
        expected = cross_val_predict(
            LogisticRegression(),
            X,
            Y,
            cv=LeaveOneSourceOut(),
            params={"source": SOURCE},
        )
        assert found.tolist() == expected.tolist()

    def test_pickles_and_prints(self):
        copy = pickle.loads(pickle.dumps(LeaveOneSourceOut()))
        assert repr(copy) == "LeaveOneSourceOut()"
