"""`skcovid export`: convert a saved model to ONNX."""

import argparse
from pathlib import Path

from skcovid.command._options import add_output_options
from skcovid.command._outcome import Outcome


def add_options(parser: argparse.ArgumentParser) -> None:
    """Describe the options."""
    group = parser.add_argument_group("data")
    group.add_argument("model", metavar="MODEL", help="file that `skcovid fit` wrote")
    add_output_options(parser, "that of the model, named .onnx", "file")


def run(options: argparse.Namespace) -> Outcome:
    """Export a model, and compare it with the original on test images."""
    from skcovid import export, load

    output = options.output or Path(options.model).with_suffix(".onnx")
    pipeline = load(options.model)
    export(pipeline, output)
    classes = pipeline.classes_.tolist()
    text = f"Exported; probabilities are in the order {', '.join(map(str, classes))}."
    return Outcome(text, {"classes": classes}, {output: "the model, for ONNX Runtime"})
