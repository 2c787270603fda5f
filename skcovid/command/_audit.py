"""`skcovid audit`: the audit of a folder, or of any model's predictions."""

import argparse
from pathlib import Path
from typing import Any

from skcovid.command._evaluate import (
    add_evaluation_options,
    check_packages,
    evaluate_data,
    write_all,
)
from skcovid.command._options import (
    add_data_options,
    add_model_options,
    add_output_options,
    load_data,
)
from skcovid.command._outcome import Outcome

# Options that predictions of any model use too.
_OF_PREDICTIONS = {
    *("command", "data", "run", "output", "json", "quiet"),
    *("exit_code", "max_images", "seed", "folds"),
}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Describe the options."""
    parser.description = (
        f"{parser.description} DIR may be a CSV table of any model's predictions: "
        "columns path, label, prediction or one probability_CLASS for each class, and, "
        "where known, patient, source and fold. No network is then trained."
    )
    add_data_options(parser)
    add_model_options(parser)
    add_evaluation_options(parser)
    add_output_options(parser, "audit")
    text = "end with exit code 1 if a check is flagged"
    parser.add_argument("--exit-code", action="store_true", help=text)
    parser.set_defaults(audit=True, parser=parser)


def run(options: argparse.Namespace) -> Outcome:
    """Audit a model that is trained on folders, or a table of predictions."""
    if len(options.data) == 1 and holds_predictions(options.data[0]):
        outcome, report = _audit_predictions(options)
    else:
        data = load_data(options, options.data, options.classes, options.rename)
        name = f"Images of {', '.join(options.data)}"
        outcome, report = evaluate_data(options, data, None, name)
    outcome.exit_code = report.exit_code * options.exit_code
    return outcome


def holds_predictions(path: str) -> bool:
    """Whether a file is a CSV table with predictions, rather than one of labels."""
    from skcovid.datasets._metadata import plain_name, read_table

    if Path(path).suffix.lower() != ".csv" or not Path(path).is_file():
        return False
    names = map(plain_name, read_table(path)[0])
    return any(name.startswith(("predict", "probability", "ypred")) for name in names)


def _audit_predictions(options: argparse.Namespace) -> tuple[Outcome, Any]:
    from skcovid import audit

    known = vars(options.parser.parse_args(options.data))
    useless = [
        name
        for name, value in known.items()
        if value != getattr(options, name) and name not in _OF_PREDICTIONS
    ]
    if useless:
        raise ValueError(
            f"--{useless[0].replace('_', '-')} has no use beside a table of "
            "predictions, as no model is trained. Leave it out."
        )
    check_packages("audit", with_audit=True)
    options.output.mkdir(parents=True, exist_ok=True)
    report = audit(
        options.data[0],
        cv=options.folds,
        max_images=options.max_images,
        random_state=options.seed,
        verbose=int(not options.quiet),
    )
    outcome = write_all(
        options, report.result, report, f"Predictions in {options.data[0]}."
    )
    return outcome, report
