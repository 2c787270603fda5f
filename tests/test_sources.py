"""Sources: folds that leave one out, and the figures within and between them."""

import json
import pickle
from itertools import product

import numpy as np
import pandas as pd
import pytest
from imblearn.over_sampling import RandomOverSampler
from imblearn.pipeline import Pipeline
from sklearn import config_context
from sklearn.base import clone
from sklearn.ensemble import StackingClassifier
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.metrics import accuracy_score, recall_score
from sklearn.model_selection import (
    GridSearchCV,
    LeaveOneGroupOut,
    cross_val_predict,
    cross_validate,
)

from skcovid import LeaveOneSourceOut, evaluate
from skcovid.metrics import heterogeneity, roc_auc_table
from skcovid.pipeline import GroupPipeline

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


MODEL = LogisticRegression()
LEFT_OUT = {"cv": "leave-one-source-out", "verbose": 0}


def count_pairs(y_true, score, source=None):
    """Count pairs of a COVID-19 image and another, and those in order, one by one."""
    right = pairs = 0
    for one, other in product(range(len(y_true)), repeat=2):
        same = source is None or source[one] == source[other]
        if y_true[one] == "COVID-19" != y_true[other] and same:
            pairs += 1
            right += (score[one] > score[other]) + (score[one] == score[other]) / 2
    return right, pairs


@pytest.fixture(scope="module")
def result():
    return evaluate(MODEL, X, Y, groups=PATIENTS, source=SOURCE, **LEFT_OUT)


class TestEvaluate:
    def test_every_source_is_predicted_by_a_model_that_saw_none_of_it(self, result):
        folds = list(LeaveOneSourceOut().split(X, Y, PATIENTS, SOURCE))
        assert result.sources_left_out
        assert result.cv == "LeaveOneSourceOut()"
        for fold, (train, test) in zip(result.folds, folds, strict=True):
            np.testing.assert_equal(fold.train_indices, train)
            np.testing.assert_equal(fold.test_indices, test)
            expected = clone(MODEL).fit(X[train], Y[train]).predict_proba(X[test])
            np.testing.assert_array_equal(fold.probabilities, expected)

    def test_the_splitter_and_its_name_are_the_same(self, result):
        again = evaluate(
            MODEL,
            X,
            Y,
            groups=PATIENTS,
            source=SOURCE.tolist(),
            cv=LeaveOneSourceOut(),
            verbose=0,
        )
        assert again.probabilities.tobytes() == result.probabilities.tobytes()

    def test_area_within_sources_counts_their_pairs(self, result):
        score = result.probabilities[:, 0]
        right, pairs = count_pairs(Y, score, SOURCE)
        area = result.within_source_roc_auc["COVID-19"]
        assert area.value == pytest.approx(right / pairs)
        assert area.low < area.value < area.high
        right, pairs = count_pairs(Y, score)
        assert result.roc_auc["COVID-19"].value == pytest.approx(right / pairs)
        expected = roc_auc_table(
            Y, result.probabilities, result.classes, groups=PATIENTS, source=SOURCE
        )
        assert result.within_source_roc_auc == expected

    def test_figures_of_each_source(self, result):
        assert list(result.by_source) == ["A", "B", "C"]
        for name, one in result.by_source.items():
            rows = name == SOURCE
            y_true, predicted = Y[rows], result.predictions[rows]
            assert one.n_images == rows.sum()
            assert one.n_patients == len(set(PATIENTS[rows]))
            assert one.class_counts == {
                label: (y_true == label).sum() for label in ("COVID-19", "Other")
            }
            assert one.accuracy.value == accuracy_score(y_true, predicted)
            recalls = recall_score(y_true, predicted, average=None)
            found = [row.recall.value for row in one.per_class.values()]
            assert found == recalls.tolist()
            # Of two classes, the specificity is the other's recall.
            found = [row.specificity.value for row in one.per_class.values()]
            assert found == recalls[::-1].tolist()
            right, pairs = count_pairs(y_true, result.probabilities[rows, 0])
            assert one.roc_auc["COVID-19"].value == pytest.approx(right / pairs)

    def test_heterogeneity_is_that_of_the_sources_areas(self, result):
        areas = [one.roc_auc["Other"] for one in result.by_source.values()]
        found, expected = result.heterogeneity("Other"), heterogeneity(areas)
        assert repr(found) == repr(expected)
        with pytest.raises(KeyError, match="Healthy"):
            result.heterogeneity("Healthy")

    def test_with_other_folds(self):
        found = evaluate(MODEL, X, Y, cv=2, source=SOURCE, verbose=0)
        right, pairs = count_pairs(Y, found.probabilities[:, 0], SOURCE)
        area = found.within_source_roc_auc["COVID-19"]
        assert area.value == pytest.approx(right / pairs)
        assert not found.sources_left_out
        assert "they have not seen" in found.to_markdown()
        plain = evaluate(MODEL, X, Y, cv=2, verbose=0)
        assert plain.probabilities.tobytes() == found.probabilities.tobytes()
        assert plain.within_source_roc_auc is plain.by_source is None
        assert not plain.sources_left_out
        with pytest.raises(ValueError, match="pass source"):
            plain.heterogeneity("Other")

    def test_a_source_of_one_class_has_no_area(self):
        y = np.where(SOURCE == "A", "COVID-19", Y)
        found = evaluate(MODEL, X, y, source=SOURCE, **LEFT_OUT)
        one = found.by_source["A"]
        assert one.class_counts == {"COVID-19": 4, "Other": 0}
        assert np.isnan(one.roc_auc["COVID-19"].value)
        assert np.isnan(one.per_class["Other"].recall.value)
        assert one.accuracy.value == (found.predictions[:4] == "COVID-19").mean()
        assert found.heterogeneity("COVID-19").n_left_out == 1
        assert "n/a" in found.to_markdown()
        json.loads(found.to_json())

    def test_without_probabilities(self):
        found = evaluate(RidgeClassifier(), X, Y, source=SOURCE, **LEFT_OUT)
        assert found.within_source_roc_auc is None
        assert found.by_source["B"].roc_auc is None
        assert "### Sources" in found.to_markdown()
        assert found.to_dict()["heterogeneity"] is None
        with pytest.raises(ValueError, match="no probabilities"):
            found.heterogeneity("Other")

    def test_a_source_with_all_of_a_class_is_a_warning_that_names_it(self):
        y = np.where(np.arange(14) == 12, "Pneumonia", Y)
        message = r"fold 3 \(source 'C'\) has no image of class 'Pneumonia'"
        with pytest.warns(UserWarning, match=message):
            found = evaluate(MODEL, X, y, source=SOURCE, **LEFT_OUT)
        assert found.folds[2].probabilities[:, 2].tolist() == [0.0] * 5
        np.testing.assert_allclose(found.probabilities.sum(axis=1), 1)

    def test_report(self, result, tmp_path):
        read = json.loads(result.to_json(tmp_path / "result.json"))
        assert read["source"] == SOURCE.tolist()
        assert read["sources_left_out"]
        assert read["by_source"]["C"]["n_images"] == 5
        area = result.within_source_roc_auc["COVID-19"]
        found = read["within_source_roc_auc"]["classes"]["COVID-19"]
        assert found == area.to_dict()
        mean = result.heterogeneity("COVID-19").mean
        assert read["heterogeneity"]["COVID-19"]["mean"]["value"] == mean.value
        text = result.to_markdown()
        # Before any other figure.
        assert text.index("within sources") < text.index("Multi-class accuracy")
        assert text.index(area.format_fraction()) < text.index("Multi-class accuracy")
        assert "saw none of its images" in text
        data = text[text.index("### Data") :]
        assert "| 4, in 3 folds |" in " ".join(data.split())

    def test_pickles(self, result):
        assert result.by_source["A"].accuracy is not None
        copy = pickle.loads(pickle.dumps(result))
        assert copy.source.tolist() == SOURCE.tolist()
        assert copy.to_dict() == result.to_dict()

    def test_workers_and_checkpoints(self, result, tmp_path, capsys):
        options = {"groups": PATIENTS, "checkpoint": tmp_path / "kept"}
        first = evaluate(
            MODEL, X, Y, source=SOURCE, n_jobs=2, **options, **LEFT_OUT | {"verbose": 1}
        )
        assert "source 'C'" in capsys.readouterr().err
        assert first.probabilities.tobytes() == result.probabilities.tobytes()
        again = evaluate(MODEL, X, Y, source=SOURCE, **options, **LEFT_OUT)
        assert again.folds[0].fit_seconds == first.folds[0].fit_seconds
        other = np.where(SOURCE == "A", "D", SOURCE)
        with pytest.raises(ValueError, match=r"source: 3 of digest .* before"):
            evaluate(MODEL, X, Y, source=other, **options, **LEFT_OUT)

    def test_sources_can_be_given_once_the_folds_are_there(self, tmp_path):
        options = {"cv": 2, "verbose": 0, "checkpoint": tmp_path / "kept"}
        first = evaluate(MODEL, X, Y, **options)
        again = evaluate(MODEL, X, Y, source=SOURCE, **options)
        assert again.folds[0].fit_seconds == first.folds[0].fit_seconds
        assert again.within_source_roc_auc is not None

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"source": None}, r"needs the source.*evaluate\(\.\.\., source=source"),
            ({"source": None, "cv": LeaveOneSourceOut()}, "needs the source"),
            ({"source": [*SOURCE[:13], ""]}, "source: missing in rows 13; name it"),
            ({"source": ["A"] * 14}, "'A', so that none is left"),
            ({"source": np.arange(14), "cv": 2}, "14 values.*pass hospitals"),
            ({"source": SOURCE[:9]}, "source has 9 values"),
            (
                {"protocol": "paper"},
                "protocol='paper'.*out.*cross_val_predict",
            ),
            ({"y": np.where(SOURCE == "B", Y, "Other")}, "Without source 'B' all"),
            (
                {
                    "y": pd.Series(Y),
                    "source": pd.Series(SOURCE, index=range(14, 0, -1)).astype(
                        "category"
                    ),
                },
                "y and source have different indices",
            ),
        ],
    )
    def test_errors_come_before_the_first_fit(self, changes, message):
        class Unfitted(LogisticRegression):
            def fit(self, X, y):
                raise AssertionError("fitted")

        arguments = {"X": X, "y": Y, "source": SOURCE, **LEFT_OUT, **changes}
        with pytest.raises(ValueError, match=f"(?s){message}"):
            evaluate(Unfitted(), **arguments)

    def test_sources_as_numbers_and_categories(self, result):
        for source in (
            np.searchsorted(["A", "B", "C"], SOURCE),
            pd.Series(SOURCE, dtype="category"),
        ):
            found = evaluate(MODEL, X, Y, groups=PATIENTS, source=source, **LEFT_OUT)
            area = found.within_source_roc_auc["COVID-19"]
            assert area == result.within_source_roc_auc["COVID-19"]
            json.loads(found.to_json())
            found.to_markdown()


class TestInnerFolds:
    """Folds inside `fit` that leave sources out get the sources."""

    SEARCH = GridSearchCV(MODEL, {"C": [0.01, 1.0]}, cv=LeaveOneSourceOut())

    @pytest.mark.parametrize("groups", [None, PATIENTS])
    @pytest.mark.parametrize("step", [False, True])
    def test_a_search(self, groups, step):
        model = Pipeline([("search", self.SEARCH)]) if step else self.SEARCH
        found = evaluate(model, X, Y, groups=groups, source=SOURCE, **LEFT_OUT)
        for fold in found.folds:
            train = fold.train_indices
            with config_context(enable_metadata_routing=True):
                given = {"source": SOURCE[train]}
                if groups is not None:
                    given["groups"] = groups[train]
                search = clone(self.SEARCH).fit(X[train], Y[train], **given)
            expected = search.predict_proba(X[fold.test_indices])
            np.testing.assert_array_equal(fold.probabilities, expected)

    def test_they_need_sources(self):
        with pytest.raises(ValueError, match=r"cv=LeaveOneSourceOut\(\).*pass source"):
            evaluate(self.SEARCH, X, Y, cv=2, verbose=0)

    def test_parts_that_do_not_pass_them_on(self):
        stack = StackingClassifier(
            [("one", MODEL)], final_estimator=self.SEARCH, cv=LeaveOneSourceOut()
        )
        with pytest.raises(ValueError, match=r"sources whole.*StratifiedGroupKFold"):
            evaluate(stack, X, Y, source=SOURCE, **LEFT_OUT)
        sampled = Pipeline([("more", RandomOverSampler()), ("search", self.SEARCH)])
        with pytest.raises(ValueError, match=r"needs source.*Put the sampler inside"):
            evaluate(sampled, X, Y, source=SOURCE, **LEFT_OUT)

    @pytest.mark.parametrize("groups", [None, PATIENTS])
    def test_in_a_pipeline_of_skcovid(self, groups):
        pipeline = GroupPipeline([("search", self.SEARCH)])
        pipeline.fit(X, Y, groups=groups, source=SOURCE)
        assert pipeline[-1].n_splits_ == 3
        with pytest.raises(ValueError, match="pass source"):
            pipeline.fit(X, Y, groups=groups)

    def test_the_checkpoint_compares_sources_that_are_trained_with(self, tmp_path):
        options = {"cv": 2, "verbose": 0, "checkpoint": tmp_path / "kept"}
        evaluate(self.SEARCH, X, Y, source=SOURCE, **options)
        with pytest.raises(ValueError, match="source: 3 of digest"):
            evaluate(self.SEARCH, X, Y, source=SOURCE[::-1], **options)
