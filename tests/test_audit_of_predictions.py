"""The audit of models of other packages, from tables of their predictions."""

import json
from dataclasses import replace

import cv2
import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, cross_val_predict

from _helpers import small_forests
from skcovid import audit, compare, write_report, write_reviewer_pack
from skcovid.datasets import make_radiographs
from skcovid.inspection import FlowDiagramDisplay
from skcovid.model_selection import EvaluationResult
from skcovid.report import headline

QUICK = {"fractions": [0.9], "n_permutations": 19, "verbose": 0}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder of images, of which those of COVID-19 have a mark in a corner."""
    path = tmp_path_factory.mktemp("images")
    data = make_radiographs(
        90, image_size=32, weights=(1, 1, 1), n_patients=45, random_state=0
    )
    data.images[data.target == "COVID-19", :4, :4] = 255
    frame = pd.DataFrame({"label": data.target, "patient": data.groups})
    frame = frame[frame["label"] != "Viral Pneumonia"]
    frame.to_csv(path / "labels.csv", index_label="number")
    for number in frame.index:
        cv2.imwrite(str(path / f"{number}.png"), data.images[number])
    return path


@pytest.fixture(scope="module")
def by_scikit_learn(folder):
    """A plain script: logistic regression on pixels, in folds by patient."""
    labels = pd.read_csv(folder / "labels.csv")
    files = [f"{number}.png" for number in labels["number"]]
    images = [cv2.imread(str(folder / file), cv2.IMREAD_GRAYSCALE) for file in files]
    X, y, patients = np.stack(images) / 255, labels["label"], labels["patient"]
    X = X.reshape(len(X), -1)
    folds = list(GroupKFold(3).split(X, y, patients))
    probabilities = cross_val_predict(
        LogisticRegression(C=0.1), X, y, cv=folds, method="predict_proba"
    )
    table = pd.DataFrame({"path": files, "label": y, "patient": patients})
    for label, values in zip(np.unique(y), probabilities.T, strict=True):
        table[f"probability_{label}"] = values
    for number, (_, test) in enumerate(folds):
        table.loc[test, "fold"] = number
    table.to_csv(folder / "predictions.csv", index=False)
    return table


@pytest.fixture(scope="module")
def of_fold_column(folder, by_scikit_learn):
    return audit(folder / "predictions.csv", **QUICK)


@pytest.fixture(scope="module")
def by_keras(folder):
    """A plain script: a network with one output, its predictions without folds."""
    import keras

    keras.utils.set_random_seed(0)
    labels = pd.read_csv(folder / "labels.csv")
    paths = [str(folder / f"{number}.png") for number in labels["number"]]
    X = np.stack([cv2.imread(path, cv2.IMREAD_GRAYSCALE) for path in paths]) / 255
    y = (labels["label"] == "COVID-19").to_numpy(float)
    layers = [keras.layers.Flatten(), keras.layers.Dense(1, activation="sigmoid")]
    model = keras.Sequential(layers)
    model.compile("adam", "binary_crossentropy")
    model.fit(X[:30], y[:30], epochs=1, verbose=0)
    positive = model.predict(X[30:], verbose=0)[:, 0]
    return pl.DataFrame(
        {
            "path": paths[30:],
            "label": labels["label"][30:].to_list(),
            "prediction": np.where(positive > 0.5, "COVID-19", "NORMAL"),
            "COVID-19": positive,
            "NORMAL": 1 - positive,
            "source": ["A", "A", "B", "B", "A"] * 6,
        }
    )


@pytest.fixture(scope="module")
def without_folds(by_keras):
    with pytest.MonkeyPatch.context() as patch:
        small_forests.use(patch)
        return audit(by_keras, cv=3, refit=DummyClassifier(), **QUICK)


def small(**columns):
    """A table of four images, without files."""
    table = {
        "path": ["1.png", "2.png", "3.png", "4.png"],
        "label": ["COVID-19", "COVID-19", "NORMAL", "NORMAL"],
        "prediction": ["COVID-19", "NORMAL", "NORMAL", "NORMAL"],
        "probability_COVID-19": [0.9, 0.4, 0.1, 0.2],
        "probability_NORMAL": [0.1, 0.6, 0.9, 0.8],
    }
    table |= columns
    return {name: values for name, values in table.items() if values is not None}


def read(**columns):
    return EvaluationResult.from_predictions(small(**columns))


class TestAudit:
    def test_a_table_of_scikit_learn_is_audited_on_its_folds(
        self, of_fold_column, by_scikit_learn
    ):
        report = of_fold_column
        assert {"blanked lungs", "shortcut ratio"} <= set(report.flagged)
        assert report.exit_code == 1
        assert report["headers"].status != "not run"
        assert report["leakage"].status == "passed"
        assert report["duplicates"].status == "passed"
        assert report["source"].status == "not run"
        assert report.settings["n_folds"] == 3
        fold = report.result.folds[1]
        inside = by_scikit_learn["fold"] == 1
        np.testing.assert_array_equal(fold.test_indices, np.flatnonzero(inside))
        np.testing.assert_array_equal(fold.train_indices, np.flatnonzero(~inside))

    def test_a_table_of_keras_is_audited_without_folds(self, without_folds):
        report = without_folds
        assert report["leakage"].status == "not run"
        assert 'column "fold"' in report["leakage"].verdict
        assert report["outside"].status == "not run"
        assert "may have been trained on these images" in report.headline
        assert "Not run: blanked lungs, leakage, " in report.headline
        assert report["source"].status == "passed"
        assert report.settings["n_folds"] == 3
        assert np.isnan(report["duplicates"].figures[0].estimate.value)
        json.loads(report.to_json())

    def test_patients_in_two_folds_are_not_kept_whole(self, by_scikit_learn):
        assert EvaluationResult.from_predictions(by_scikit_learn).grouped
        table = by_scikit_learn.assign(fold=np.resize([0, 1, 1], 60))
        table["patient"] = np.repeat(np.arange(30), 2)
        result = EvaluationResult.from_predictions(table)
        assert not result.grouped
        assert "on two sides" in result.to_markdown()

    def test_exit_code_of_nothing_flagged(self, of_fold_column):
        passed = [one for one in of_fold_column.checks if not one.flagged]
        assert replace(of_fold_column, checks=tuple(passed)).exit_code == 0

    def test_all_missing_files_are_named(self, tmp_path):
        path = tmp_path / "predictions.csv"
        pd.DataFrame(small()).to_csv(path, index=False)
        with pytest.raises(FileNotFoundError, match=r"(?s)4 of 4.*1\.png.*4\.png"):
            audit(path, verbose=0)

    @pytest.mark.parametrize("name", ["X", "y", "groups", "source", "attributes"])
    def test_nothing_is_given_besides_a_table(self, name):
        with pytest.raises(ValueError, match=f"{name} given besides a table"):
            audit(small(), **{name: {} if name == "attributes" else ["a"] * 4})

    def test_attributes_of_a_table_are_checked(self, folder, by_scikit_learn, tmp_path):
        table = by_scikit_learn.assign(
            path=[str(folder / name) for name in by_scikit_learn["path"]],
            Age=np.where(by_scikit_learn["label"] == "COVID-19", "70", "008Y"),
            novelty_score=np.linspace(0, 1, 60),
        )
        table.to_csv(tmp_path / "predictions.csv", index=False)
        for one in (table, tmp_path / "predictions.csv"):
            check = audit(one, **QUICK)["attributes"]
            assert check.flagged
            assert "age" in check.verdict
            assert "novelty" not in str(check.to_dict())

    def test_a_pipeline_needs_images_and_labels(self):
        with pytest.raises(ValueError, match="X and y are needed"):
            audit(LogisticRegression())


class TestReports:
    def test_no_document_gives_a_figure_inside_alone(self, without_folds, tmp_path):
        result, report = without_folds.result, without_folds
        doubt = "may have been trained on"
        assert doubt in headline(result)
        assert doubt in headline(result, report)
        assert doubt in result.to_markdown()
        page = write_report(tmp_path / "report.html", result, audit=report)
        assert doubt in page.read_text(encoding="utf-8")
        assert "not known whether the models were trained" in result.to_markdown()
        assert not result.folds_known
        assert not result.sources_left_out

    def test_what_needs_folds_says_so(self, without_folds, tmp_path):
        result = without_folds.result
        with pytest.raises(ValueError, match="column 'fold'"):
            write_reviewer_pack(tmp_path, result)
        with pytest.raises(ValueError, match="one fold"):
            compare(result, result)
        display = FlowDiagramDisplay.from_result(result)
        assert list(display.partitions) == ["Folds not known, test"]

    def test_a_reviewer_pack_of_a_table_with_folds(self, of_fold_column, tmp_path):
        write_reviewer_pack(tmp_path, of_fold_column.result, audit=of_fold_column)
        text = (tmp_path / "claim_2024.md").read_text(encoding="utf-8")
        assert "disjoint by patient" in text
        json.loads((tmp_path / "result.json").read_text(encoding="utf-8"))


class TestTables:
    def test_frames_mappings_and_files_say_the_same(self, tmp_path):
        table = small(patient=["1", "1", "2", "3"])
        path = tmp_path / "predictions.csv"
        pd.DataFrame(table).to_csv(path)
        results = [
            EvaluationResult.from_predictions(one)
            for one in (table, pd.DataFrame(table), pl.DataFrame(table), path)
        ]
        for result in results:
            assert result.accuracy.value == 0.75
            assert result.roc_auc["COVID-19"].value == 1
            assert result.n_patients == 3
            assert result.to_dict() == results[0].to_dict()

    def test_prediction_is_the_class_of_the_largest_probability(self):
        result = read(prediction=None)
        assert result.predictions.tolist() == small()["prediction"]

    def test_predictions_are_believed(self):
        with pytest.warns(UserWarning, match="1 of 4 rows, such as row 1") as caught:
            result = read(prediction=["COVID-19", "COVID-19", "NORMAL", "NORMAL"])
        assert result.accuracy.value == 1
        assert caught[0].filename == __file__

    def test_other_names_and_types(self):
        numbers = {"label": [1, 1, 0, 0], "prediction": [1.0, 0.0, 0.0, 0.0]}
        gone = {"probability_COVID-19": None, "probability_NORMAL": None, "path": None}
        table = small(**numbers, **gone, **{"File name": ["a", "b", "c", "d"]})
        result = EvaluationResult.from_predictions(table)
        assert result.predictions.tolist() == [1, 0, 0, 0]
        assert result.roc_auc is None
        table |= {
            0: [0.1, 0.6, 0.9, 0.8],
            1: [0.9, 0.4, 0.1, 0.2],
            "Patient ID": "abca",
        }
        with pytest.raises(ValueError, match="'Patient ID' must be"):
            EvaluationResult.from_predictions(table)
        table["Patient ID"] = list("abca")
        result = EvaluationResult.from_predictions(table)
        assert result.roc_auc[1].value == 1
        assert result.n_patients == 3

    def test_classes_that_differ_in_punctuation(self):
        label = ["COVID+", "COVID+", "COVID-", "COVID-"]
        table = {"path": list("abcd"), "label": label}
        table |= {"probability_COVID+": [0.9, 0.8, 0.3, 0.4]}
        table |= {"probability_COVID-": [0.1, 0.2, 0.7, 0.6]}
        assert EvaluationResult.from_predictions(table).accuracy.value == 1

    @pytest.mark.parametrize(
        ("columns", "match"),
        [
            ({"path": None}, "no column 'path'"),
            ({"label": None, "target": [0, 0, 1, 1]}, "did you mean 'label'"),
            ({"hospital": list("abab")}, "did you mean 'source'"),
            (
                {"path": ["1.png", "./1.png", "3.png", "4.png"]},
                "'path'.*more than once",
            ),
            ({"path": [1, 2, 3, 4]}, "must be a path"),
            ({"label": ["NORMAL"] * 4}, "'label' must have two"),
            ({"label": ["COVID-19", None, "NORMAL", "NORMAL"]}, "'label': missing"),
            ({"label": ["COVID-19", "covid-19", "NORMAL", "NORMAL"]}, "only by case"),
            ({"prediction": ["COVID-19", "NORMAL", "Other", "NORMAL"]}, "'Other'"),
            (
                {"prediction": ["COVID-19", "Normal", "NORMAL", "NORMAL"]},
                "only by case",
            ),
            ({"prediction": [0, 1, 1, 1]}, "several types"),
            (
                {"prediction": ["COVID-19", None, "NORMAL", "NORMAL"]},
                "'prediction': ",
            ),
            ({"prediction": ["COVID-19"] * 3}, r"inconsistent numbers.*\[4, 4, 3"),
            ({"probability_NORMAL": None}, "'probability_NORMAL'.* 1 less the first"),
            ({"probability_Other": [0, 0, 0, 0]}, "'probability_Other'"),
            ({"prob_covid19": [0, 0, 0, 0]}, "'prob_covid19'.*Name those"),
            ({"probability_NORMAL": [0.2, 0.6, 0.9, 0.8]}, "sum 1, such as row 0"),
            ({"probability_NORMAL": [0.1, np.nan, 0.9, 0.8]}, "such as row 1"),
            ({"probability_NORMAL": [0.1, "high", 0.9, 0.8]}, "be numbers.*high"),
            ({"patient": ["a", "", "b", "c"]}, "'patient': missing in rows 1"),
            ({"source": ["A", "A", "B", np.nan]}, "'source': missing in rows 3"),
            ({"source": ["A", "a", "B", "B"]}, "only by case"),
            ({"fold": [1, 1, 1, 1]}, "'fold' must have two.*leave it out"),
            (
                {"split": ["train", "test", "test", "test"]},
                "'split' has 'test', 'train'",
            ),
            ({"split": ["Training"] * 4}, "'split' has 'Training'"),
        ],
    )
    def test_unclear_tables(self, columns, match):
        with pytest.raises(ValueError, match=match):
            read(**columns)

    def test_tables_without_predictions(self):
        gone = dict.fromkeys(["probability_COVID-19", "probability_NORMAL"])
        with pytest.raises(ValueError, match="named 'probability_COVID-19'"):
            read(prediction=None, **gone)
        tied = {name: [0.5, 0.5, 0.5, 0.5] for name in gone}
        with pytest.raises(ValueError, match="two largest"):
            read(prediction=None, **tied)

    def test_files_that_are_no_tables(self, tmp_path):
        with pytest.raises(ValueError, match=r"read_parquet"):
            EvaluationResult.from_predictions(tmp_path)
        with pytest.raises(FileNotFoundError, match=r"nowhere\.csv"):
            EvaluationResult.from_predictions(tmp_path / "nowhere.csv")
        frame = pd.DataFrame(small())
        frame.columns = [*frame.columns[:-1], frame.columns[-2]]
        with pytest.raises(ValueError, match="there once"):
            EvaluationResult.from_predictions(frame)
        with pytest.raises(ValueError, match="must have two values"):
            EvaluationResult.from_predictions(frame[:0].iloc[:, :3])
