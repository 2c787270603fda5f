"""`skcovid report`: write the report of predictions, or the card of a model."""

import argparse
from pathlib import Path
from typing import Any

from skcovid._base._atomic_files import atomic_write, check_writable
from skcovid.command._evaluate import check_packages, summarise
from skcovid.command._options import add_output_options
from skcovid.command._outcome import Outcome


def add_options(parser: argparse.ArgumentParser) -> None:
    """Describe the options."""
    text = (
        "folder that `skcovid evaluate` wrote, a CSV table of predictions with their "
        "labels, or a model file"
    )
    parser.add_argument_group("data").add_argument("saved", metavar="SAVED", help=text)
    add_output_options(parser, "report.html (of a model: model_card.md)", "file")


def run(options: argparse.Namespace) -> Outcome:
    """Write the report of predictions, or the model card of a model file."""
    path = Path(options.saved)
    if path.is_dir() or path.name == "results.json":
        path = (path if path.is_dir() else path.parent) / "predictions.csv"
        if not path.exists():
            raise FileNotFoundError(
                f"{path} is missing, which has the predictions. Give a folder that "
                "`skcovid evaluate` wrote, or a CSV table of predictions."
            )
    if path.suffix.lower() == ".csv":
        return _report_predictions(path, options.output or Path("report.html"))
    return _describe_model(path, options.output or Path("model_card.md"))


def _report_predictions(path: Path, output: Path) -> Outcome:
    from skcovid import write_report
    from skcovid.model_selection import EvaluationResult

    check_packages("report", with_audit=False)
    result = EvaluationResult.from_predictions(path)
    write_report(output, result, description=f"Predictions in {path}.")
    step = f"skcovid audit {path}    to look for shortcuts in the images"
    written = {output: "the report"}
    return Outcome(summarise(result, None), result.to_dict(), written, (step,))


def _describe_model(path: Path, output: Path) -> Outcome:
    from skcovid import load, model_card
    from skcovid.persistence import describe

    check_writable(output)
    manifest: dict[str, Any] = describe(path)
    card = model_card(load(path))
    with atomic_write(output) as file:
        file.write(card.encode())
    made, classes = manifest["created"], ", ".join(map(str, manifest["classes"]))
    text = f"Model of {made}; classes: {classes}."
    if data := manifest["data"]:
        text += f" Trained on {data['n_samples']} images."
    return Outcome(text, manifest, {output: "the model card"})
