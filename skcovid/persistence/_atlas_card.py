"""`atlas_card`: a model as a card of RSNA's library of AI systems."""

import csv
import re
from collections.abc import Iterator, Mapping
from importlib.resources import files
from pathlib import PurePath
from typing import Any

from sklearn.pipeline import Pipeline
from sklearn.utils import Bunch

from skcovid._base._compatibility import HasMethods, validate_params
from skcovid.model_selection._result import EvaluationResult
from skcovid.model_selection._result_sections import describe_versions
from skcovid.model_selection._verdict import describe_figures, find_verdict
from skcovid.persistence._model_card import list_limitations

_SCHEMA = "https://atlas.rsna.org/schemas/2025-11/model.json"
DECISION = """\
The label is what the pipeline's predict gives: with a classifier that has no \
threshold of its own, the class of the largest probability."""
_FORMATS = {
    **{".dcm": "DICOM", ".png": "PNG"},
    **dict.fromkeys([".jpg", ".jpeg"], "JPEG"),
}


@validate_params(
    {
        "pipeline": [HasMethods(["get_params"]), None],
        "result": [EvaluationResult],
        "audit": [HasMethods("to_markdown"), None],
        "name": [str],
        "link": [str, None],
        "data": [Bunch, None],
    }
)
def atlas_card(
    pipeline: Any,
    result: EvaluationResult,
    audit: Any = None,
    *,
    name: str,
    link: str | None = None,
    data: Bunch | None = None,
) -> dict[str, Any]:
    """Write a card for ATLAS, the library of AI systems of RSNA.

    It has the fields that an evaluation can fill. Authors, licence, contact, funding,
    ethical review and regulatory information are the author's to add.

    Parameters
    ----------
    pipeline : estimator or None
        The evaluated pipeline, fitted or not.
    result : EvaluationResult
        What :func:`evaluate` returned.
    audit : AuditReport, default=None
        What :func:`audit` returned for the same result.
    name : str
        Name of the model, of 4 to 256 characters.
    link : str, default=None
        URL of the model or its paper, of 4 to 256 characters. The schema requires it: a
        card without it is not valid until it is added.
    data : Bunch, default=None
        What :func:`skcovid.datasets.load_radiographs` returned for the evaluated
        images, for the formats of the files.

    Returns
    -------
    dict
        The card, ready for ``json.dump``, after version 2025-11 of ATLAS' schema
        for models.

    Raises
    ------
    ValueError
        If `name` or `link` has another length, or `link` is not a URL.

    See Also
    --------
    model_card : Describes a model for people, as Markdown.

    References
    ----------
    Radiological Society of North America. Annotated Library of AI Systems.
    https://atlas.rsna.org, schema at https://github.com/RSNA/ATLAS.

    Examples
    --------
    >>> from sklearn.dummy import DummyClassifier
    >>> from skcovid import atlas_card, evaluate
    >>> from skcovid.datasets import make_radiographs
    >>> X, y = make_radiographs(60, image_size=16, random_state=0, return_X_y=True)
    >>> result = evaluate(DummyClassifier(), X, y, cv=2, verbose=0)
    >>> card = atlas_card(DummyClassifier(), result, name="A model that only guesses")
    >>> sorted(card["Model"])[:3]
    ['Imaging', 'Indexing', 'Model performance']
    """
    for parameter, text in (("name", name), ("link", link)):
        if text is not None and not 4 <= len(text) <= 256:
            raise ValueError(
                f"{parameter} has {len(text)} characters. ATLAS wants 4 to 256."
            )
    if link is not None and not re.fullmatch(r"[a-z][a-z0-9+.-]*://\S+", link):
        raise ValueError(
            f"link is {link!r}, which is not a URL. Give one such as "
            "'https://doi.org/10.1148/ryai.240300'."
        )
    classes = [str(label) for label in result.classes.tolist()]
    model: dict[str, Any] = {"Name": name}
    if link is not None:
        model["Link"] = link
    keywords = dict.fromkeys(["chest radiograph", "transfer learning", *classes])
    model["Indexing"] = {
        "Content": ["CH"],
        # Of 2 to 64 characters, as the schema wants them.
        "Keywords": [word for word in keywords if 2 <= len(word) <= 64],
    }
    model["Model properties"] = _describe_model(pipeline, result, classes)
    model["Imaging"] = {"Modalities": ["Projection radiography (RID10345)"]}
    if data is not None:
        suffixes = {PurePath(str(path)).suffix.lower() for path in data.paths}
        formats = {_FORMATS.get(suffix, "Other") for suffix in suffixes}
        model["Imaging"]["File format"] = sorted(formats)
    model["Model performance"] = _describe_performance(result, audit)
    return {"$schema": _SCHEMA, "Model": model}


def list_missing_fields(card: Mapping[str, Any]) -> Iterator[tuple[str, bool]]:
    """Yield fields that a card lacks, and whether each is required.

    A field within one that is missing, or within items of a list, is not named.
    """
    text = files(__package__).joinpath("atlas_model.csv").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.startswith("# ")]
    for row in csv.DictReader(lines):
        *above, last = row["field"].split(".")
        holder: Any = card
        for name in above:
            holder = holder.get(name, {last: None})
        if "[]" not in row["field"] and last not in holder:
            yield row["field"], row["required"] == "yes"


def _describe_model(
    pipeline: Any, result: EvaluationResult, classes: list[str]
) -> dict[str, Any]:
    """Return input, output, use and limitations."""
    has_probabilities = result.probabilities is not None
    output = "A probability and a label" if has_probabilities else "A label"
    properties: dict[str, Any] = {
        "Decision threshold": DECISION,
        "Input": "One chest radiograph.",
        "Limitations": " ".join(list_limitations(result)),
        "Output": {"Description": f"{output}, of the classes {', '.join(classes)}."},
        "Reproducibility": f"Evaluated with {describe_versions()}.",
        "Use": {
            "Intended": ["Research on classifiers of chest radiographs"],
            "Excluded": ["Diagnosis", "Triage", "Treatment"],
        },
        "User": {"Intended": ["Researcher"], "Excluded": ["Patient", "Layperson"]},
    }
    if pipeline is not None:
        steps = pipeline.steps if isinstance(pipeline, Pipeline) else [("", pipeline)]
        names = ", ".join(type(step).__name__ for _, step in steps)
        properties["Architecture"] = f"Pipeline of {names}."
    return properties


def _describe_performance(result: EvaluationResult, audit: Any) -> dict[str, Any]:
    """Return names of the measures, and the verdict with the figures."""
    metrics = ["accuracy", "balanced accuracy", "multi-class confusion matrix"]
    metrics += ["sensitivity", "specificity"]
    texts = [find_verdict(result)]
    if audit is not None:
        texts.append(audit.headline)
    if result.roc_auc is not None:
        metrics.append("AUC of each class vs. the rest combined")
    texts.append(f"In the folds: {describe_figures(result)}")
    if result.external is not None:
        texts.append(f"In the external set: {describe_figures(result.external)}")
    return {"Metrics": metrics, "Comments": " ".join(texts)}
