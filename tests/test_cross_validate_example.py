"""The example `cross_validate.py`, run as its user runs it but inside this process."""

import importlib.util
from pathlib import Path

import pytest
import tiny_backbone

EXAMPLE = Path(__file__).parents[1] / "examples" / "cross_validate.py"
FIGURES = ["confusion_matrix.png", "per_class.png", "training_history.png"]


@pytest.fixture(scope="module")
def main():
    tiny_backbone.register()
    specification = importlib.util.spec_from_file_location(EXAMPLE.stem, EXAMPLE)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module.main
