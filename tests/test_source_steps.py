"""Steps that look at the source of an image: scaler, samplers, adapted evaluation."""

import pickle

import numpy as np
import pandas as pd
import pytest
from imblearn.pipeline import Pipeline
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import maximum_bipartite_matching
from sklearn import config_context
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.preprocessing import FunctionTransformer, StandardScaler

import skcovid
from _helpers.tables import ValidatedLogisticRegression
from skcovid import (
    CellOverSampler,
    LazyImages,
    LeaveOneSourceOut,
    MatchingUnderSampler,
    SourceStandardScaler,
    evaluate,
    make_transfer_pipeline,
)
from skcovid._base._validation_splits import StratifiedFolds
from skcovid.pipeline import GroupPipeline

SOURCE = np.repeat(["A", "B", "C"], [20, 30, 40])
RNG = np.random.default_rng(0)
Y = np.where(RNG.random(90) < 0.5, "COVID-19", "Other")
# Each source has a shift and a scale of its own.
SHIFT = np.searchsorted(["A", "B", "C"], SOURCE)[:, np.newaxis] * 4.0
X = (RNG.normal(size=(90, 3)) + (Y == "Other")[:, np.newaxis]) * (1 + SHIFT) + SHIFT


def scaled_pipeline(**options):
    return GroupPipeline(
        [
            ("scale", SourceStandardScaler(**options)),
            ("classify", LogisticRegression()),
        ]
    )


class TestSourceStandardScaler:
    def test_by_hand(self):
        # A: mean 2, variance 2; B: mean 12, variance 8, two images each.
        features = [[1.0], [3.0], [10.0], [14.0]]
        scaler = SourceStandardScaler(shrinkage=2).fit(features, source=list("AABB"))
        assert scaler.sources_.tolist() == ["A", "B"]
        assert scaler.pooled_mean_ == [7]
        # 2 + 8 squares, and two images more than sources.
        assert scaler.pooled_variance_ == [5]
        # Half of the mean is a source's own; of the variance a third.
        np.testing.assert_allclose(scaler.means_, [[4.5], [9.5]])
        np.testing.assert_allclose(scaler.scales_**2, [[4], [6]])
        found = scaler.transform([[8.5], [8.5]], source=["A", "B"])
        np.testing.assert_allclose(found, [[2], [-1 / np.sqrt(6)]])
        np.testing.assert_allclose(scaler.transform([[12.0]]), [[np.sqrt(5)]])
        # A hospital of one image has no variance of its own.
        scaler.adapt([[19.0]])
        np.testing.assert_allclose(scaler.mean_, [11])
        np.testing.assert_allclose(scaler.scale_**2, [5])

    def test_without_shrinkage_each_source_is_standardised_by_itself(self):
        scaler = SourceStandardScaler(shrinkage=0)
        found = scaler.fit_transform(X, source=SOURCE)
        for name in "ABC":
            rows, n = name == SOURCE, (name == SOURCE).sum()
            expected = StandardScaler().fit_transform(X[rows]) * np.sqrt(1 - 1 / n)
            np.testing.assert_allclose(found[rows], expected)
            adapted = clone(scaler).fit(X[~rows], source=SOURCE[~rows]).adapt(X[rows])
            np.testing.assert_allclose(adapted.transform(X[rows]), expected)

    def test_one_source_is_plain_standardisation(self):
        found = SourceStandardScaler().fit_transform(X)
        expected = StandardScaler().fit_transform(X) * np.sqrt(89 / 90)
        np.testing.assert_allclose(found, expected)

    @pytest.mark.parametrize("shrinkage", [0, 0.5, 2])
    def test_constant_features_and_single_images(self, shrinkage):
        features = np.c_[X, np.full(90, 0.1), SHIFT, X[:, 0] * (SOURCE != "B")]
        source = SOURCE.copy()
        source[0] = "single"
        scaler = SourceStandardScaler(shrinkage=shrinkage)
        found = scaler.fit_transform(features, source=source)
        assert np.isfinite(found).all()
        np.testing.assert_allclose(found[:, 3:5], 0, atol=1e-12)
        for new in ([features[0]], features[:5] * 0, features[:5] * 1e9):
            assert np.isfinite(scaler.adapt(new).transform(new)).all()

    def test_tables_types_and_copies(self):
        table = pd.DataFrame(X, columns=list("abc"), index=range(5, 95)).astype("f4")
        source = pd.Series(SOURCE, index=table.index, dtype="category")
        scaler = SourceStandardScaler().set_output(transform="pandas")
        found = scaler.fit_transform(table, source=source)
        assert found.columns.tolist() == list("abc")
        assert found.index.equals(table.index)
        assert (found.dtypes == "float32").all()
        expected = SourceStandardScaler().fit_transform(X, source=list(SOURCE))
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)
        copy = pickle.loads(pickle.dumps(scaler))
        pd.testing.assert_frame_equal(copy.transform(table, source=source), found)

    @pytest.mark.parametrize(
        ("source", "message"),
        [
            (SOURCE[:5], "numbers of samples|5 values"),
            ([*SOURCE[:-1], None], "source: missing in rows 89"),
            (["rome", *["Rome"] * 89], "one spelling"),
            (range(90), "pass hospitals"),
        ],
    )
    def test_wrong_sources_are_errors(self, source, message):
        with pytest.raises(ValueError, match=message):
            SourceStandardScaler().fit(X, source=source)

    def test_another_source_is_an_error_with_its_cure(self):
        scaler = SourceStandardScaler().fit(X, source=SOURCE)
        with pytest.raises(ValueError, match=r"'D' was not in fit.*'C'.*Call adapt"):
            scaler.transform(X[:1], source=["D"])

    def test_other_orders_of_rows_are_an_error(self):
        with pytest.raises(ValueError, match="different indices"):
            SourceStandardScaler().fit(
                pd.DataFrame(X), source=pd.Series(SOURCE, index=range(1, 91))
            )


class TestInPipelines:
    def test_the_linear_recipe_takes_it_as_its_scale(self):
        pipeline = make_transfer_pipeline(recipe="linear")
        pipeline.set_params(scale=SourceStandardScaler(), classify__cv=2)
        tail = pipeline[-3:].fit(X, Y, source=SOURCE)
        standard = SourceStandardScaler().fit_transform(X, source=SOURCE)
        expected = clone(pipeline[-2:]).fit(standard, Y)
        np.testing.assert_allclose(
            tail.named_steps["scale"].means_.mean(axis=1),
            SourceStandardScaler().fit(X, source=SOURCE).means_.mean(axis=1),
        )
        with config_context(enable_metadata_routing=True):
            found = tail.predict_proba(X, source=SOURCE)
        np.testing.assert_allclose(found, expected.predict_proba(standard))

    def test_plain_pipelines_route_it_too(self):
        with config_context(enable_metadata_routing=True):
            plain = Pipeline(scaled_pipeline().steps).fit(X, Y, source=SOURCE)
            found = plain.predict_proba(X, source=SOURCE)
        standard = SourceStandardScaler().fit_transform(X, source=SOURCE)
        expected = LogisticRegression().fit(standard, Y).predict_proba(standard)
        np.testing.assert_array_equal(found, expected)

    def test_adapt_passes_images_through_the_steps_before(self):
        pipeline = GroupPipeline(
            [("first", StandardScaler()), *scaled_pipeline().steps]
        ).fit(X, Y, source=SOURCE)
        before = pipeline.predict_proba(X[:9])
        assert pipeline.adapt(X[:9]) is pipeline
        first, scale, _ = pipeline.named_steps.values()
        expected = clone(scale).fit(first.transform(X), source=SOURCE)
        expected.adapt(first.transform(X[:9]))
        np.testing.assert_array_equal(scale.mean_, expected.mean_)
        assert not np.allclose(pipeline.predict_proba(X[:9]), before)

    def test_no_step_that_adapts_is_an_error(self):
        pipeline = GroupPipeline([("classify", LogisticRegression())]).fit(X, Y)
        assert not hasattr(pipeline, "adapt")
        with pytest.raises(AttributeError) as raised:
            pipeline.adapt(X)
        assert "SourceStandardScaler" in str(raised.value.__cause__)

    def test_model_files_keep_the_adapted_pipeline(self, tmp_path):
        pipeline = scaled_pipeline().fit(X, Y, source=SOURCE).adapt(X[:9] + 1000)
        skcovid.save(pipeline, tmp_path / "model.skcovid")
        loaded = skcovid.load(tmp_path / "model.skcovid")
        np.testing.assert_array_equal(
            loaded.predict_proba(X), pipeline.predict_proba(X)
        )
        found = loaded.named_steps["scale"].transform(X, source=SOURCE)
        expected = pipeline.named_steps["scale"].transform(X, source=SOURCE)
        np.testing.assert_array_equal(found, expected)

    def test_validation_images_without_a_source_are_an_error(self):
        pipeline = skcovid.HoldoutPipeline(
            [("scale", SourceStandardScaler()), ("last", ValidatedLogisticRegression())]
        )
        with pytest.raises(ValueError, match=r"'scale'.*validation.*recipe='linear'"):
            pipeline.fit(X, Y, source=SOURCE)


LEFT_OUT = {"source": SOURCE, "cv": "leave-one-source-out", "verbose": 0}


FOLDS = list(StratifiedKFold(3, shuffle=True, random_state=0).split(X, Y))


class TestAdaptedEvaluation:
    @pytest.mark.parametrize("adapt", [False, True])
    def test_by_hand(self, adapt):
        result = evaluate(scaled_pipeline(), X, Y, adapt=adapt, **LEFT_OUT)
        for name, fold in zip("ABC", result.folds, strict=True):
            rows = name == SOURCE
            scaler, model = SourceStandardScaler(), LogisticRegression()
            model.fit(scaler.fit_transform(X[~rows], source=SOURCE[~rows]), Y[~rows])
            if adapt:
                scaler.adapt(X[rows])
            expected = model.predict_proba(scaler.transform(X[rows]))
            np.testing.assert_array_equal(fold.probabilities, expected)

    def test_it_mends_what_sources_differ_in(self):
        plain, adapted = (
            evaluate(scaled_pipeline(), X, Y, adapt=adapt, **LEFT_OUT)
            for adapt in (False, True)
        )
        assert adapted.accuracy.value > 0.7 > plain.accuracy.value

    def test_images_of_known_sources_are_standardised_by_them(self):
        cv = StratifiedKFold(3, shuffle=True, random_state=0)
        result = evaluate(scaled_pipeline(), X, Y, source=SOURCE, cv=cv, verbose=0)
        for (train, test), fold in zip(cv.split(X, Y), result.folds, strict=True):
            scaler, model = SourceStandardScaler(), LogisticRegression()
            model.fit(scaler.fit_transform(X[train], source=SOURCE[train]), Y[train])
            expected = model.predict_proba(
                scaler.transform(X[test], source=SOURCE[test])
            )
            np.testing.assert_array_equal(fold.probabilities, expected)

    @pytest.mark.parametrize("wrap", ["search", "nested", "no probabilities"])
    def test_wrapped_pipelines_standardise_by_known_sources_too(self, wrap):
        pipeline, options = scaled_pipeline(), {"source": SOURCE, "verbose": 0}
        expected = evaluate(pipeline, X, Y, cv=FOLDS, **options).predictions
        if wrap == "no probabilities":
            pipeline.steps[-1] = ("classify", RidgeClassifier())
            expected = np.concatenate(
                [
                    RidgeClassifier()
                    .fit(scaler.fit_transform(X[train], source=SOURCE[train]), Y[train])
                    .predict(scaler.transform(X[test], source=SOURCE[test]))
                    for scaler in [SourceStandardScaler()]
                    for train, test in FOLDS
                ]
            )[np.argsort(np.concatenate([test for _, test in FOLDS]))]
        elif wrap == "nested":
            pipeline = GroupPipeline([("inner", "passthrough"), ("last", pipeline)])
        else:
            pipeline = GridSearchCV(pipeline, {"classify__C": [1.0]}, cv=2)
        found = evaluate(pipeline, X, Y, cv=FOLDS, **options).predictions
        assert found.tolist() == expected.tolist()

    def test_a_search_that_leaves_sources_out_needs_a_scoring(self):
        grid, cv = {"classify__C": [1e-6, 1.0]}, LeaveOneSourceOut()
        search = GridSearchCV(scaled_pipeline(), grid, cv=cv)
        with pytest.raises(ValueError, match=r"not in fit.*scoring.*'accuracy'"):
            evaluate(search, X, Y, **LEFT_OUT)
        search.set_params(scoring="accuracy", error_score="raise")
        assert len(evaluate(search, X, Y, **LEFT_OUT).predictions) == 90

    def test_a_rare_source_does_not_change_how_others_are_standardised(self):
        source = SOURCE.astype(object)
        source[FOLDS[0][1][3]] = "once"
        options = {"cv": FOLDS[:1], "verbose": 0}
        fold, rare = (
            evaluate(scaled_pipeline(), X, Y, source=one, **options).folds[0]
            for one in (SOURCE, source)
        )
        changed = np.flatnonzero((fold.probabilities != rare.probabilities).any(axis=1))
        assert changed.tolist() == [3]

    def test_an_external_set_is_adapted_to_by_source(self):
        inside = SOURCE != "A"
        order = np.random.default_rng(1).permutation(90)
        far = np.where(SOURCE == "C", -1000, 0)[:, np.newaxis] + X
        bunch = {"paths": far[order], "target": Y[order], "source": SOURCE[order]}
        options = {**LEFT_OUT, "source": SOURCE[inside], "adapt": True}

        def external(test):
            given = X[inside], Y[inside]
            result = evaluate(scaled_pipeline(), *given, test=test, **options)
            return result.external.probabilities

        fitted = scaled_pipeline().fit(X[inside], Y[inside], source=SOURCE[inside])
        found = external(bunch)
        for name in "ABC":
            rows = SOURCE[order] == name
            part = far[order][rows]
            expected = fitted.adapt(part).predict_proba(part)
            np.testing.assert_array_equal(found[rows], expected)
        as_one = fitted.adapt(far).predict_proba(far)
        np.testing.assert_allclose(external((far, Y)), as_one)

    def test_a_stopped_evaluation_resumes_and_one_without_differs(self, tmp_path):
        options = {**LEFT_OUT, "checkpoint": tmp_path / "folds", "adapt": True}
        pipeline = scaled_pipeline()
        first = evaluate(pipeline, X, Y, **options)
        (tmp_path / "folds" / "fold-2.npz").unlink()
        again = evaluate(pipeline, X, Y, **options)
        for one, other in zip(first.folds, again.folds, strict=True):
            np.testing.assert_array_equal(one.probabilities, other.probabilities)
        with pytest.raises(ValueError, match=r"another evaluation(.|\n)*adapt"):
            evaluate(pipeline, X, Y, **{**options, "adapt": False})

    @pytest.mark.parametrize(
        ("pipeline", "options", "message"),
        [
            (LogisticRegression(), {}, "adapt=True needs a pipeline"),
            (scaled_pipeline(), {"cv": 3}, "fold 1 tests several.*leave-one-source"),
            (scaled_pipeline(), {"cv": 3, "source": None}, "unknown.*Pass source"),
        ],
    )
    def test_errors_name_the_cure(self, pipeline, options, message):
        with pytest.raises(ValueError, match=message):
            evaluate(pipeline, X, Y, adapt=True, **{**LEFT_OUT, **options})


# Source A has all cells; B has no "Other" woman.
LABELS = np.array(["COVID-19"] * 5 + ["Other"] * 4)
HOSPITALS = np.array([*"AAABB", *"AABB"])
SEX = np.array([*"FFMFM", *"FMMM"])
AGE = np.array([30, 34, 50, 60, 70, 33, 90, 72, 74.0])
PLAIN = {"source": HOSPITALS, "attributes": {"sex": SEX, "age": AGE}}
ROWS = np.arange(9)[:, np.newaxis]


def resample(sampler, X=ROWS, **metadata):
    found, labels = sampler.fit_resample(X, LABELS, **metadata)
    assert labels.tolist() == LABELS[sampler.sample_indices_].tolist()
    np.testing.assert_array_equal(found, np.asarray(X)[sampler.sample_indices_])
    return sampler.sample_indices_.tolist()


class TestCellOverSampler:
    def test_by_hand(self):
        sampler = CellOverSampler(random_state=0)
        found = resample(sampler, source=HOSPITALS)
        # A has three and two images, B two and two.
        assert found[:3] == [0, 1, 2]
        assert found[3:6] in ([5, 5, 6], [5, 6, 6])
        assert found[6:] == [3, 4, 7, 8]
        assert sampler.sampling_strategy_ == {"COVID-19": 5, "Other": 5}

    def test_without_source_it_balances_classes(self):
        found = resample(CellOverSampler(random_state=0))
        assert len(found) == 10

    def test_empty_cells_are_named_or_dropped(self):
        with pytest.raises(
            ValueError, match=r"source 'B', sex 'F' has no image of class 'Other'.*drop"
        ):
            resample(CellOverSampler(by=["sex"]), **PLAIN)
        sampler = CellOverSampler(by=["sex"], unmatched="drop", random_state=0)
        assert 3 not in resample(sampler, **PLAIN)

    def test_a_source_equal_to_class_is_an_error_however(self):
        sampler = CellOverSampler(unmatched="drop")
        with pytest.raises(ValueError, match="source 'COVID-19' has no image of"):
            resample(sampler, source=LABELS)


class TestMatchingUnderSampler:
    def test_by_hand(self):
        sampler = MatchingUnderSampler(by=["sex"], unmatched="drop", random_state=0)
        # Women of A: 30 or 34 and 33, the first within five years is taken. Men of A
        # are 40 years apart. Men of B: 70 and 72. The woman of B has no counterpart.
        assert resample(sampler, **PLAIN) == [0, 5, 4, 7]
        sampler.set_params(caliper=1)
        assert resample(sampler, **PLAIN) == [1, 5]
        sampler.set_params(caliper=40)
        assert sorted(resample(sampler, **PLAIN)) == [0, 2, 4, 5, 6, 7]

    @pytest.mark.parametrize("seed", range(5))
    def test_as_many_pairs_as_a_perfect_matching(self, seed):
        rng = np.random.default_rng(seed)
        y, age = rng.integers(2, size=60), rng.integers(90, size=60)
        sampler = MatchingUnderSampler(by=(), caliper=2, random_state=seed)
        _, labels = sampler.fit_resample(age[:, None], y, attributes={"age": age})
        near = np.abs(age[y == 0][:, None] - age[y == 1]) <= 2
        partners = maximum_bipartite_matching(csr_matrix(near))
        assert len(labels) == 2 * (partners >= 0).sum()
        first, second = age[sampler.sample_indices_].reshape(2, -1)
        assert np.abs(first - second).max() <= 2
        assert len(set(sampler.sample_indices_)) == len(labels)

    def test_three_classes(self):
        sampler = MatchingUnderSampler(by=(), near=None, random_state=1)
        _, labels = sampler.fit_resample(ROWS, [*"aaaabbbcc"])
        assert labels == [*"aabbcc"]
        _, again = clone(sampler).fit_resample(ROWS, [*"aaaabbbcc"])
        assert sampler.sample_indices_.tolist() != [0, 1, 4, 5, 7, 8]
        assert again == labels

    def test_nothing_within_the_caliper_is_named(self):
        sampler = MatchingUnderSampler(by=["sex"], caliper=1)
        with pytest.raises(ValueError, match=r"sex 'M' has no match.*drop"):
            resample(sampler, attributes=PLAIN["attributes"] | {"sex": [*"FFMFMFMMM"]})

    @pytest.mark.parametrize(
        ("attributes", "message"),
        [
            (None, "must have 'sex', got none"),
            ({"age": AGE}, r"must have 'sex', got \['age'\]"),
            ({"sex": SEX[:5], "age": AGE}, "numbers of samples"),
            ({"sex": SEX, "age": [np.nan, *AGE[1:]]}, "row 0 is missing.*drop"),
            ({"sex": SEX, "age": ["old"] * 9}, "'age'.* numbers.*'old'"),
        ],
    )
    def test_wrong_attributes_are_errors(self, attributes, message):
        with pytest.raises(ValueError, match=message):
            resample(MatchingUnderSampler(by=["sex"]), attributes=attributes)


def as_paths(images):
    return [f"{row}.png" for row in range(len(images))]


class TestSamplers:
    @pytest.mark.parametrize(
        "convert",
        [
            np.asarray,
            LazyImages.from_array,
            as_paths,
            lambda images: pd.Series(as_paths(images)),
            lambda images: pd.DataFrame(images[:, 0], columns=list("abcd")),
        ],
    )
    def test_images_of_any_kind(self, convert):
        images = np.arange(9 * 4 * 4, dtype=np.uint8).reshape(9, 4, 4)
        X = convert(images)
        sampler = CellOverSampler(random_state=0)
        found, _ = sampler.fit_resample(X, LABELS, source=HOSPITALS)
        assert type(found) is type(X)
        for place, row in enumerate(sampler.sample_indices_):
            one = found.iloc[place] if hasattr(found, "iloc") else found[place]
            other = X.iloc[row] if hasattr(X, "iloc") else X[row]
            np.testing.assert_array_equal(one, other)

    def test_one_seed_gives_one_choice(self):
        draws = {
            tuple(resample(CellOverSampler(random_state=seed), source=HOSPITALS))
            for seed in [*range(10)] * 2
        }
        assert len(draws) == 2

    def test_pipelines_route_and_resample_metadata(self):
        attributes = {"view": np.where(np.arange(90) % 3, "PA", "AP")}
        pipeline = GroupPipeline(
            [
                ("cells", CellOverSampler(by=["view"], random_state=0)),
                ("match", MatchingUnderSampler(by=["view"], near=None, random_state=0)),
                *scaled_pipeline().steps,
            ]
        ).fit(X, Y, source=SOURCE, attributes=attributes)
        cells, match, scale, _ = pipeline.named_steps.values()
        rows = cells.sample_indices_[match.sample_indices_]
        assert len(match.sample_indices_) == len(cells.sample_indices_)
        expected = SourceStandardScaler().fit(X[rows], source=SOURCE[rows])
        np.testing.assert_array_equal(scale.means_, expected.means_)
        assert pipeline.predict(X[:5]).shape == (5,)

    def test_copies_of_an_image_stay_in_one_fold_of_a_search(self):
        class Folds(StratifiedFolds):
            def split(self, X, y, groups=None):
                seen.append(np.asarray(groups))
                return super().split(X, y, groups)

        seen = []
        search = GridSearchCV(LogisticRegression(), {"C": [1]}, cv=Folds(2))
        pipeline = GroupPipeline(
            [("cells", CellOverSampler(random_state=0)), ("classify", search)]
        ).fit(X, Y, source=SOURCE)
        rows = pipeline.named_steps["cells"].sample_indices_
        assert seen[0].tolist() == rows.tolist()

    def test_evaluate_gives_a_sampler_the_attributes_of_its_images(self):
        attributes = pd.DataFrame({"view": np.where(np.arange(90) % 3, "PA", "AP")})
        sampler = CellOverSampler(by=["view"], random_state=0)
        pipeline = GroupPipeline([("cells", sampler), ("last", LogisticRegression())])
        cv = StratifiedKFold(3, shuffle=True, random_state=0)
        result = evaluate(pipeline, X, Y, cv=cv, attributes=attributes, verbose=0)
        for (train, test), fold in zip(cv.split(X, Y), result.folds, strict=True):
            given = sampler.fit_resample(
                X[train], Y[train], attributes=attributes.iloc[train]
            )
            expected = LogisticRegression().fit(*given).predict_proba(X[test])
            np.testing.assert_array_equal(fold.probabilities, expected)
        with pytest.raises(ValueError, match="numbers of samples"):
            evaluate(pipeline, X, Y, attributes={"view": ["PA"] * 5})
        with pytest.raises(ValueError, match=r"No part .* takes attributes"):
            evaluate(LogisticRegression(), X, Y, attributes=attributes)

    @pytest.mark.parametrize("frame", [True, False])
    def test_columns_in_another_order_are_an_error(self, frame):
        table = pd.DataFrame({"view": np.where(np.arange(90) % 3, "PA", "AP")})[::-1]
        attributes = table if frame else dict(table.items())
        sampler = CellOverSampler(by=["view"])
        pipeline = GroupPipeline(
            [
                ("plain", FunctionTransformer(np.asarray)),
                ("scale", SourceStandardScaler()),
                ("cells", sampler),
                ("last", LogisticRegression()),
            ]
        )
        y, rows = pd.Series(Y), pd.DataFrame(X)
        with pytest.raises(ValueError, match="different indices"):
            sampler.fit_resample(X, y, attributes=attributes)
        for given in ({"attributes": attributes}, {"source": pd.Series(SOURCE)[::-1]}):
            with pytest.raises(ValueError, match="different indices"):
                pipeline.fit(rows, Y, **given)
        with pytest.raises(ValueError, match="different indices"):
            evaluate(pipeline, rows, Y, attributes=attributes, verbose=0)

    def test_an_attribute_named_source_does_not_replace_the_source(self):
        # As of joined collections, whose attribute "source" is the hospital.
        hospital = np.where(np.arange(90) % 3, "x", "y")
        found, expected = CellOverSampler(by=["source"]), CellOverSampler(by=["view"])
        found.fit_resample(X, Y, source=SOURCE, attributes={"source": hospital})
        expected.fit_resample(X, Y, source=SOURCE, attributes={"view": hospital})
        assert len(found.sample_indices_) == len(expected.sample_indices_)

    def test_model_files(self, tmp_path):
        pipeline = GroupPipeline(
            [("cells", CellOverSampler(random_state=0)), ("last", LogisticRegression())]
        ).fit(X, Y, source=SOURCE)
        skcovid.save(pipeline, tmp_path / "model.skcovid")
        loaded = skcovid.load(tmp_path / "model.skcovid")
        np.testing.assert_array_equal(loaded.predict(X), pipeline.predict(X))
