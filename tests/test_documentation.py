"""The documentation lists and shows every public name; notebooks show estimators."""

import importlib.util
import pkgutil
import re
from importlib import import_module
from pathlib import Path

import pytest

import skcovid
from skcovid import (
    AugmentationBalancer,
    BackboneFeatures,
    BackbonePreprocessor,
    RadiographReader,
    TransferLearningClassifier,
    make_transfer_pipeline,
)

ROOT = Path(__file__).parents[1]


def load_api_reference():
    path = ROOT / "docs" / "api_reference.py"
    specification = importlib.util.spec_from_file_location("api_reference", path)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


api = load_api_reference()
NAMES = [
    (section.module, name)
    for section in api.API_REFERENCE
    for name in (*section.names, *section.constants)
]
MODULES = [
    "skcovid",
    *(
        f"skcovid.{module.name}"
        for module in pkgutil.iter_modules(skcovid.__path__)
        if not module.name.startswith("_")
    ),
]


@pytest.mark.parametrize("module", MODULES)
def test_every_public_name_is_in_the_api_reference(module):
    documented = [getattr(import_module(where), name) for where, name in NAMES]
    public = import_module(module)
    missing = [
        name
        for name in public.__all__
        if not any(getattr(public, name) is known for known in documented)
    ]
    assert missing == []


def test_the_api_reference_names_nothing_twice_and_nothing_private():
    assert len(NAMES) == len(set(NAMES))
    assert [module for module, _ in NAMES if "._" in module] == []


def test_every_public_name_is_in_an_example():
    examples = (ROOT / "examples" / "gallery").rglob("plot_*.py")
    words = set(re.findall(r"\w+", " ".join(path.read_text() for path in examples)))
    assert [name for _, name in NAMES if name not in words] == []


@pytest.mark.parametrize(
    ("estimator", "named"),
    [
        (RadiographReader(), "RadiographReader"),
        (AugmentationBalancer(), "AugmentationBalancer"),
        (BackbonePreprocessor(), "BackbonePreprocessor"),
        (BackboneFeatures(), "BackboneFeatures"),
        (TransferLearningClassifier(), "TransferLearningClassifier"),
        (make_transfer_pipeline(), "AugmentationBalancer"),
        (make_transfer_pipeline(recipe="linear"), "LogisticRegression"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_notebooks_show_a_diagram(estimator, named):
    diagram = estimator._repr_mimebundle_()["text/html"]
    assert "sk-estimator" in diagram
    assert named in diagram
