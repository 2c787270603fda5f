"""`skcovid audit`: look for signs that a score rests on other than the disease."""

import argparse
from pathlib import Path
from typing import Any

from skcovid.command import _evaluate as evaluation
from skcovid.command import _options as shared
from skcovid.command._outcome import Outcome

# Options that have a use where no model is trained.
_OF_PREDICTIONS = {
    *("command", "run", "data", "folds", "max_images", "seed"),
    *("exit_code", "output", "json", "quiet"),
}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Describe the options."""
    parser.description = (
        f"{parser.description} DIR may be a CSV table of any model's predictions: "
        "columns path, label, prediction or one probability_CLASS for each class, and, "
        "where known, patient, source and fold. No network is then trained."
    )
    shared.add_data_options(parser)
    shared.add_model_options(parser)
    evaluation.add_evaluation_options(parser)
    shared.add_output_options(parser, "audit")
    text = "end with exit code 1 if a check is flagged"
    parser.add_argument("--exit-code", action="store_true", help=text)
    parser.set_defaults(audit=True, parser=parser)


def run(options: argparse.Namespace) -> Outcome:
    """Audit a model that is trained on folders, or a table of predictions."""
    if len(options.data) == 1 and _holds_predictions(options.data[0]):
        outcome, report = _audit_predictions(options)
    else:
        data, name = shared.load_data(options), shared.name_data(options)
        outcome, report = evaluation.evaluate_data(options, data, None, name)
    outcome.exit_code = report.exit_code * options.exit_code
    return outcome


def _holds_predictions(path: str) -> bool:
    """Whether a file is a CSV table with predictions, rather than one of labels."""
    from skcovid.datasets._metadata import plain_name, read_table

    if Path(path).suffix.lower() != ".csv" or not Path(path).is_file():
        return False
    names = map(plain_name, read_table(path)[0])
    return any(name.startswith(("predict", "probability", "ypred")) for name in names)


def _audit_predictions(options: argparse.Namespace) -> tuple[Outcome, Any]:
    from skcovid import audit

    table = options.data[0]
    for name, value in vars(options.parser.parse_args([table])).items():
        if value != getattr(options, name, value) and name not in _OF_PREDICTIONS:
            raise ValueError(
                f"--{name.replace('_', '-')} has no use beside a table of predictions, "
                "as no model is trained. Leave it out."
            )
    evaluation.check_packages("audit", with_audit=True)
    options.output.mkdir(parents=True, exist_ok=True)
    report = audit(
        table,
        cv=options.folds,
        max_images=options.max_images,
        random_state=options.seed,
        verbose=int(not options.quiet),
    )
    description = f"Predictions in {table}."
    return evaluation.write_all(options, report.result, report, description), report
