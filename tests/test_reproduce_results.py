"""The script behind the results page, on a few small images."""

import json
import shutil
from collections import defaultdict

import _results_rows
import numpy as np
import pytest
import reproduce_results
from _results_rows import ABLATIONS, HEADLINE, Model, Row, all_rows
from benchmarks._common import Measurement

from _helpers import tiny_backbone
from skcovid.datasets import make_radiographs, save_radiographs
from skcovid.metrics import Estimate

TINY = Model("tiny", "tiny recipe", backbone="tiny")
AVERAGED = Model(
    "tiny-avg", "average alone", "linear", {"features__pooling": "avg"}, "tiny"
)
VOTING = Model("voting", "both", members=(TINY, AVERAGED))
ON_A_GPU = Model("heavy", "heavy recipe", "paper", backbone="tiny", needs_gpu=True)
ROWS = [
    Row(TINY, 0, n_folds=2, own_store=True),
    Row(VOTING, 0, n_folds=2, own_store=True),
    Row(ON_A_GPU, 0, n_folds=2, own_store=True),
    Row(TINY, 1, n_folds=2),
    Row(AVERAGED, 1, n_folds=2),
    Row(TINY, 0, n_folds=2, outside=True),
]
PAGES = ["results", "ablations"]
NAMES = [row.slug for row in ROWS if row.model != ON_A_GPU]


def compute(script, side, arguments):
    """Compute a row in this process instead of a child process."""
    given = json.loads(json.dumps(arguments))
    result = reproduce_results.evaluate_row(**given)
    return Measurement(90.0, 100.0, 1536.0, json.loads(json.dumps(result)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Radiographs as files with a table of patients."""
    root = tmp_path_factory.mktemp("data") / "radiographs"
    data = make_radiographs(36, image_size=32, weights=(1, 1, 1), random_state=0)
    save_radiographs(data.images, data.target, root, groups=data.groups)
    return root


@pytest.fixture(scope="module")
def hospital(tmp_path_factory):
    """Radiographs of another hospital, with labels that the model lacks."""
    root = tmp_path_factory.mktemp("data") / "hospital"
    names = ("COVID-19", "Bacterial", "Fungal")
    X, y = make_radiographs(
        90, image_size=32, class_names=names, random_state=1, return_X_y=True
    )
    save_radiographs(X, y, root, groups=np.arange(90) // 2)
    return root


@pytest.fixture(scope="module")
def reproduce(folder, hospital):
    """Run the script on few rows; `compute` replaces the child process."""
    tiny_backbone.register()

    def run(output, *options, rows=ROWS, compute=compute, data=folder):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(reproduce_results, "all_rows", lambda: rows)
            patch.setattr(reproduce_results, "HEADLINE", [TINY, VOTING, ON_A_GPU])
            patch.setattr(reproduce_results, "ABLATIONS", {"Pooling": [TINY, AVERAGED]})
            patch.setattr(reproduce_results, "run_side", compute)
            places = {"data": data, "output": output, "page": output / "results.md"}
            places["external"] = hospital
            named = [f"--{name}={place}" for name, place in places.items()]
            reproduce_results.main([*named, "--weights=none", *options])

    return run


@pytest.fixture(scope="module")
def evaluated(reproduce, tmp_path_factory):
    output = tmp_path_factory.mktemp("evaluated")
    reproduce(output)
    return output


@pytest.fixture
def output(evaluated, tmp_path):
    """A copy of the evaluated rows that a test may change."""
    return shutil.copytree(evaluated, tmp_path / "output")


class Recorder:
    """Records which rows are evaluated and returns earlier results."""

    def __init__(self, evaluated, failing=(), error=None):
        text = (evaluated / "rows" / f"{NAMES[-1]}.json").read_text("utf-8")
        record = json.loads(text)
        self.result = {**record["result"], "device": record["run"]["device"]}
        self.failing, self.error = failing, error
        self.names = []

    def __call__(self, script, side, arguments):
        name = Row.from_dict(json.loads(json.dumps(arguments["row"]))).slug
        if name in self.failing:
            raise self.error
        self.names.append(name)
        return Measurement(1.0, 1.0, 1.0, {**self.result, "pipeline": "Pipeline()"})


def read_row(output, name):
    return json.loads((output / "rows" / f"{name}.json").read_text("utf-8"))


def kept(output):
    return sorted(path.name for path in (output / "rows").iterdir())


def line_of(output, name):
    pages = [(output / f"{page}.md").read_text("utf-8") for page in PAGES]
    return next(line for line in "".join(pages).splitlines() if f"`{name}`" in line)


def test_models_of_the_same_name_are_equal():
    models = defaultdict(set)
    for model in [
        *HEADLINE,
        *(model for table in ABLATIONS.values() for model in table),
    ]:
        models[model.name].add(repr(model))
    assert all(len(found) == 1 for found in models.values())


def test_every_row_can_be_built_and_passed_to_a_child_process():
    for row in all_rows():
        told = json.loads(json.dumps(row.to_dict()))
        assert Row.from_dict(told).slug == row.slug
        Row.from_dict(told).make_estimator(weights=None)


def test_columns_follow_from_the_blocks_and_poolings():
    [model] = [
        model
        for models in ABLATIONS.values()
        for model in models
        if model.name == "linear-avg"
    ]
    pipeline = model.make_estimator(0, grouped=True, weights=None)
    features = pipeline.named_steps["features"].set_params(verbose=0)
    names = features.fit(np.zeros((1, 75, 75, 3), np.float32)).get_feature_names_out()
    choose = pipeline.named_steps["choose"]
    chosen = choose.fit_transform(np.arange(len(names))[np.newaxis])[0]
    expected = [
        f"mixed{block}_avg"
        for block in range(8)
        for name in names
        if name.startswith(f"mixed{block}_avg_")
    ]
    assert [name.rpartition("_")[0] for name in names[chosen]] == expected


def test_ablations_use_other_seeds_than_the_headline():
    assert _results_rows.HEADLINE_SEED not in _results_rows.ABLATION_SEEDS


def test_the_page_shows_the_figures_of_the_rows(evaluated):
    for name in NAMES:
        record = read_row(evaluated, name)
        accuracy = Estimate(**record["result"]["accuracy"])
        assert f"| {accuracy} |" in line_of(evaluated, name)
        assert record["result"]["grouped"]
        # Rows may be published, so they name no folder.
        assert "memory=" not in json.dumps(record)
    # Only the rows of seed 1 shared features.
    passes = [read_row(evaluated, name)["run"]["n_trunk_passes"] for name in NAMES]
    assert passes == [36, 72, 36, 36, 126]
    assert "| 1.5 | 1.5 |" in line_of(evaluated, NAMES[0])


def test_the_page_begins_with_inside_beside_outside(evaluated):
    record = read_row(evaluated, NAMES[-1])
    page = (evaluated / "results.md").read_text("utf-8")
    lines = [line for line in page.splitlines() if f"`{NAMES[-1]}`" in line]
    assert page.index(lines[0]) < page.index("## Headline")
    external = record["result"]["external"]
    for line, side, n_images, tested_on in zip(
        lines,
        (record["result"], external),
        (36, 90),
        ("itself, by patient", "hospital"),
        strict=True,
    ):
        area = Estimate(**side["roc_auc"]["classes"]["COVID-19"]).format_fraction()
        assert f"| {tested_on} | {n_images} |" in line
        assert f"| {area} |" in line
    assert "| n/a |" in lines[1]


def test_the_page_marks_figures_unknown_after_parallel_runs(reproduce, output):
    record = read_row(output, NAMES[0])
    record["run"] |= {"folds_at_once": 2, "n_trunk_passes": None}
    path = output / "rows" / f"{NAMES[0]}.json"
    path.write_text(json.dumps(record), encoding="utf-8")
    reproduce(output, "--page-only")
    assert "| not counted | 1.5 | not measured |" in line_of(output, NAMES[0])


def test_the_pages_show_finished_rows_only(evaluated):
    pages = "".join((evaluated / f"{page}.md").read_text("utf-8") for page in PAGES)
    assert all(f"`{name}`" in pages for name in NAMES)
    assert "`heavy." not in pages
    assert "`tiny.plain.seed0`" not in pages
    assert "random: the figures mean nothing" in pages


def test_mistakes_of_every_model_are_listed(evaluated):
    page = (evaluated / "results.md").read_text("utf-8")
    rows = [read_row(evaluated, name)["result"] for name in NAMES[:2]]
    wrong = np.array([np.not_equal(row["predictions"], row["y_true"]) for row in rows])
    section = page.partition("## Mistakes")[2].partition("\n## ")[0]
    assert f"| tiny recipe | {wrong[0].sum()} |" in section
    assert f"| every one of these | {wrong.all(axis=0).sum()} |" in section
    assert section.count(".png`") == wrong.all(axis=0).sum() > 0


def test_finished_rows_are_not_evaluated_again(reproduce, evaluated, output):
    recorder = Recorder(evaluated)
    reproduce(output, compute=recorder)
    assert recorder.names == []
    reproduce(output, "--again", "--only", "tiny.by*", compute=recorder)
    assert recorder.names == [NAMES[0], NAMES[2]]


def test_other_parameters_or_images_are_evaluated_again(
    reproduce, evaluated, output, folder, tmp_path
):
    recorder = Recorder(evaluated)
    changed = Model("tiny", "tiny recipe", "linear", {"features__mirror": True}, "tiny")
    reproduce(output, rows=[Row(changed, 1, n_folds=2), ROWS[-1]], compute=recorder)
    assert recorder.names == [NAMES[2]]
    data = shutil.copytree(folder, tmp_path / "radiographs")
    image, other = sorted(data.glob("NORMAL/*"))[:2]
    shutil.copy(other, image)
    reproduce(output, "--only", "tiny-avg.*", data=data, compute=recorder)
    assert recorder.names == [NAMES[2], NAMES[3]]


def test_a_stopped_run_resumes(reproduce, evaluated, tmp_path):
    stopped = Recorder(evaluated, failing=NAMES[1:], error=KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        reproduce(tmp_path, compute=stopped)
    assert kept(tmp_path) == [f"{NAMES[0]}.json"]
    assert NAMES[1] not in (tmp_path / "results.md").read_text("utf-8")
    recorder = Recorder(evaluated)
    reproduce(tmp_path, compute=recorder)
    assert recorder.names == NAMES[1:]


def test_a_row_that_fails_is_named_and_others_run(
    reproduce, evaluated, tmp_path, capsys
):
    failing = Recorder(evaluated, failing=NAMES[1:2], error=SystemExit("no memory"))
    with pytest.raises(SystemExit):
        reproduce(tmp_path, compute=failing)
    assert kept(tmp_path) == sorted(f"{NAMES[number]}.json" for number in (0, 2, 3, 4))
    error = capsys.readouterr().err
    assert "no memory" in error
    assert error.splitlines()[-1].endswith(f"failed, see above: {NAMES[1]}")


def test_patterns_that_match_nothing(reproduce, tmp_path, capsys):
    with pytest.raises(SystemExit):
        reproduce(tmp_path, "--only", "lineal.*")
    assert "--only lineal.* matches no row" in capsys.readouterr().err


def test_a_row_runs_in_its_own_process(reproduce, folder, tmp_path):
    small = Model(
        "small", "small", "linear", {"image_size": 32, "layers": [9]}, "mobilenetv2"
    )
    row = Row(small, 0, n_folds=2, own_store=True)
    side = reproduce_results.run_side
    reproduce(tmp_path, rows=[row], compute=side)
    used = read_row(tmp_path, row.slug)["run"]
    assert used["store_was_empty"]
    assert used["n_trunk_passes"] == 36
    assert used["wall_s"] > 0
    assert used["peak_mib"] > 0
