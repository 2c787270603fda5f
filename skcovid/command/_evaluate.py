"""`skcovid evaluate`: cross-validate a model on a folder, audit it, write a report."""

import argparse
import csv
import io
import json
import shlex
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from textwrap import fill
from typing import Any

from skcovid._base._atomic_files import atomic_write
from skcovid.command import _options as shared
from skcovid.command._outcome import WIDTH, Outcome, align, say

PREDICTIONS = "predictions.csv"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Describe the options."""
    shared.add_data_options(parser)
    shared.add_model_options(parser)
    add = add_evaluation_options(parser).add_argument
    text = "folder of another hospital, predicted by a model of all images in DIR"
    add("--test", metavar="DIR2", help=text)
    text = "give a class of DIR2 the name that it has in DIR"
    add("--test-rename", **shared.RENAME, help=text)
    text = "look for shortcuts too, which takes longer than the folds; default: yes"
    add("--audit", action=argparse.BooleanOptionalAction, default=True, help=text)
    shared.add_output_options(parser, "evaluation")


def add_evaluation_options(parser: argparse.ArgumentParser) -> Any:
    """Add how images are split and audited; return the group."""
    group = parser.add_argument_group("evaluation")
    number: dict[str, Any] = {"type": shared.positive_int, "metavar": "N"}
    text = "number of folds; default: %(default)s"
    group.add_argument("--folds", **number, default=5, help=text)
    text = "make a fold of each source, in place of --folds"
    group.add_argument("--leave-one-source-out", action="store_true", help=text)
    text = "let the audit blank the lungs of N images at most; default: %(default)s"
    group.add_argument("--max-images", **number, default=1000, help=text)
    return group


def run(options: argparse.Namespace) -> Outcome:
    """Evaluate a pipeline on folders."""
    data, test = shared.load_data(options), None
    if options.test is not None:
        test = shared.load_data(
            options, [options.test], classes=[], rename=options.test_rename
        )
    return evaluate_data(options, data, test, shared.name_data(options))[0]


def evaluate_data(
    options: argparse.Namespace, data: Any, test: Any, name: str, **of_audit: Any
) -> tuple[Outcome, Any]:
    """Evaluate on loaded data, audit if asked to, and write what was found."""
    from skcovid import audit, evaluate

    check_packages(options.command, with_audit=options.audit)
    options.output.mkdir(parents=True, exist_ok=True)
    description = f"{name}: {shared.describe_counts(data)}."
    say(f"{description} Model: {shared.describe_model(options)}.")
    settings: dict[str, Any] = {
        "groups": data.groups,
        "source": data.source,
        "cv": "leave-one-source-out" if options.leave_one_source_out else options.folds,
        "random_state": options.seed,
        "verbose": int(not options.quiet),
    }
    X, y, report = data.paths, data.target, None
    of_audit |= {"attributes": data.attributes, "max_images": options.max_images}
    with shared.feature_folder(options) as folder:
        pipeline = shared.make_pipeline(options, options.recipe, folder)
        shared.check_pipeline(pipeline, X)
        result = evaluate(pipeline, X, y, **settings, test=test)
        if options.audit:
            table = options.output / PREDICTIONS
            write_table(table, _list_predictions(result, X))
            say(
                f"{table} is written. Now the audit, which `skcovid audit {table}` "
                "repeats."
            )
            refit = shared.make_pipeline(options, "linear", folder)
            report = audit(result, X, y, **settings, **of_audit, refit=refit)
    outcome = write_all(options, result, report, description, pipeline, data)
    folders = shlex.join(getattr(options, "data", ["DIR"]))
    outcome.next_steps = (
        f"open {options.output / 'report.html'} in a browser",
        f"skcovid evaluate {folders} --test DIR2   tests it on another hospital",
        f"skcovid fit {folders} -o model.skcovid   trains on all images, and saves it",
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
    """Write report, results and, of loaded data, predictions into the output folder."""
    from skcovid import write_report

    names = "report.html", "results.json", PREDICTIONS
    page, results, table = (options.output / name for name in names)
    known = {} if data is None else {"X": data.paths, "attributes": data.attributes}
    write_report(
        page,
        result,
        pipeline=pipeline,
        audit=report,
        description=description,
        **{name: value for name, value in known.items() if len(value)},
    )
    document = {"evaluation": result.to_dict(), "audit": report and report.to_dict()}
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
    names = [f"probability_{label}" for label in result.classes]
    known = {"patient": result.groups, "source": result.source}
    for number, fold in enumerate(result.folds, start=1):
        for place, row in enumerate(fold.test_indices):
            scores = [] if fold.probabilities is None else fold.probabilities[place]
            yield {
                "path": Path(paths[row]).absolute(),
                "label": result.y_true[row],
                "prediction": fold.predictions[place],
                **dict(zip(names, map(float, scores), strict=False)),
                **{key: one[row] for key, one in known.items() if one is not None},
                "fold": number,
            }


def write_table(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Write rows as CSV; all have the columns of the first."""
    listed = list(rows)
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(listed[0]))
    writer.writeheader()
    writer.writerows(listed)
    with atomic_write(path) as file:
        file.write(text.getvalue().encode("utf-8", "backslashreplace"))
