"""`skcovid evaluate`: folds, audit and report of a folder."""

import argparse
import csv
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from textwrap import fill
from typing import Any

from skcovid._base._atomic_files import atomic_write
from skcovid.command._options import (
    add_data_options,
    add_model_options,
    add_output_options,
    describe_counts,
    describe_model,
    feature_folder,
    load_data,
    make_pipeline,
    pair,
    positive_int,
)
from skcovid.command._outcome import WIDTH, Outcome, align, say


def add_options(parser: argparse.ArgumentParser) -> None:
    """Describe the options."""
    add_data_options(parser)
    add_model_options(parser)
    add = add_evaluation_options(parser).add_argument
    text = "folder of another hospital, predicted by a model of all images in DIR"
    add("--test", metavar="DIR2", help=text)
    text = "give a class of DIR2 the name that it has in DIR"
    many: dict[str, Any] = {"action": "append", "default": [], "type": pair}
    add("--test-rename", **many, metavar="OLD=NEW", help=text)
    text = "--no-audit leaves the audit out"
    add("--audit", action=argparse.BooleanOptionalAction, default=True, help=text)
    add_output_options(parser, "evaluation")


def add_evaluation_options(parser: argparse.ArgumentParser) -> Any:
    """Add how images are split and audited; return the group."""
    group = parser.add_argument_group("evaluation")
    text = "number of folds; default: %(default)s"
    group.add_argument("--folds", type=positive_int, default=5, metavar="N", help=text)
    text = "make a fold of each source, in place of --folds"
    group.add_argument("--leave-one-source-out", action="store_true", help=text)
    text = "blank the lungs of N images at most; default: %(default)s"
    add = group.add_argument
    add("--max-images", type=positive_int, default=1000, metavar="N", help=text)
    return group


def run(options: argparse.Namespace) -> Outcome:
    """Evaluate a pipeline on folders."""
    data = load_data(options, options.data, options.classes, options.rename)
    test = None
    if options.test is not None:
        test = load_data(options, [options.test], rename=options.test_rename)
    name = f"Images of {', '.join(options.data)}"
    return evaluate_data(options, data, test, name)[0]


def evaluate_data(
    options: argparse.Namespace, data: Any, test: Any, name: str, **of_audit: Any
) -> tuple[Outcome, Any]:
    """Evaluate on loaded data, audit if asked to, and write what was found."""
    from skcovid import audit, evaluate

    check_packages(options.command, with_audit=options.audit)
    options.output.mkdir(parents=True, exist_ok=True)
    description = f"{name}: {describe_counts(data)}."
    say(f"{description} Model: {describe_model(options)}.")
    settings: dict[str, Any] = {
        "groups": data.groups,
        "source": data.source,
        "cv": "leave-one-source-out" if options.leave_one_source_out else options.folds,
        "random_state": options.seed,
        "verbose": int(not options.quiet),
    }
    of_audit |= {"attributes": data.attributes, "max_images": options.max_images}
    X, y, report = data.paths, data.target, None
    with feature_folder(options) as folder:
        pipeline = make_pipeline(options, options.recipe, folder)
        if test is None and options.audit:
            report = audit(pipeline, X, y, **settings, **of_audit)
            result = report.result
        else:
            result = evaluate(pipeline, X, y, **settings, test=test)
            if options.audit:
                of_audit["refit"] = make_pipeline(options, "linear", folder)
                report = audit(result, X, y, **settings, **of_audit)
    outcome = write_all(options, result, report, description, pipeline, data)
    if test is not None:
        path = options.output / "predictions_outside.csv"
        write_table(path, _list_external(result.external, test.paths))
        outcome.written[path] = "each image of --test"
    outcome.next_steps = (
        f"open {options.output / 'report.html'}",
        "skcovid evaluate DIR --test DIR2   to test it on another hospital's images",
        "skcovid fit DIR -o model.skcovid   to train on all images, and save it",
    )[:: 1 if test is None else 2]
    return outcome, report


def check_packages(command: str, *, with_audit: bool) -> None:
    """Raise before long work if packages of the report or the audit are missing."""
    from skcovid._base._requirements import require

    for package in ("jinja2", "markdown_it", "matplotlib"):
        require(package, extra="report", caller=f"skcovid {command}")
    if with_audit:
        require("PIL", extra="audit", caller="The audit")


def write_all(
    options: argparse.Namespace,
    result: Any,
    report: Any,
    description: str,
    pipeline: Any = None,
    data: Any = None,
) -> Outcome:
    """Write report, results and predictions into the output folder."""
    from skcovid import write_report

    page, results, table = (
        options.output / name
        for name in ("report.html", "results.json", "predictions.csv")
    )
    known = {} if data is None else {"X": data.paths, "attributes": data.attributes}
    write_report(
        page,
        result,
        pipeline=pipeline,
        audit=report,
        description=description,
        **{name: value for name, value in known.items() if len(value)},
    )
    document = {
        "evaluation": result.to_dict(),
        "audit": None if report is None else report.to_dict(),
    }
    with atomic_write(results) as file:
        file.write(json.dumps(document, indent=1, ensure_ascii=False).encode())
    written = {page: "the report", results: "all figures, for programs"}
    if data is not None:
        write_table(table, _list_predictions(result, data.paths))
        written[table] = "each image as predicted in its fold"
    return Outcome(summarise(result, report), document, written)


def summarise(result: Any, report: Any) -> str:
    """Say what can be done with the model, and list the classes."""
    from skcovid.report import headline

    areas = result.roc_auc or {}
    rows = [("class", "images", "recall", "precision", "ROC AUC")]
    for label, row in result.per_class.items():
        area = areas[label].format_fraction() if label in areas else "n/a"
        shares = row.recall.format_percent(1), row.precision.format_percent(1)
        rows.append((str(label), str(row.support), *shares, area))
    paragraphs = [fill(headline(result, report), WIDTH)]
    if report is not None:
        paragraphs.append(fill(f"Audit: {report.headline}", WIDTH))
    return "\n\n".join([*paragraphs, align(rows)])


def _list_predictions(result: Any, paths: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yield a row for each predicted image, as `from_predictions` reads them."""
    known = {"patient": result.groups, "source": result.source}
    for number, fold in enumerate(result.folds, start=1):
        for place, row in enumerate(fold.test_indices):
            yield {
                "path": Path(paths[row]).absolute(),
                "label": result.y_true[row],
                **_list_scores(fold, place, result.classes),
                **{key: one[row] for key, one in known.items() if one is not None},
                "fold": number,
            }


def _list_external(external: Any, paths: Sequence[str]) -> Iterator[dict[str, Any]]:
    for place, row in enumerate(external.rows):
        yield {
            "path": Path(paths[row]).absolute(),
            "label": external.y_true[place],
            **_list_scores(external, place, external.classes),
        }


def _list_scores(predicted: Any, place: int, classes: Sequence[Any]) -> dict[str, Any]:
    scores = {"prediction": predicted.predictions[place]}
    if predicted.probabilities is not None:
        values = predicted.probabilities[place].tolist()
        names = (f"probability_{label}" for label in classes)
        scores |= dict(zip(names, values, strict=True))
    return scores


def write_table(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Write rows as CSV; all have the columns of the first."""
    listed = list(rows)
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(listed[0]))
    writer.writeheader()
    writer.writerows(listed)
    with atomic_write(path) as file:
        file.write(text.getvalue().encode("utf-8", "backslashreplace"))
