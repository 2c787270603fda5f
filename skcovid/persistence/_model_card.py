"""Describe a fitted pipeline in Markdown, for people who consider using it."""

from typing import Any, Protocol

import numpy as np
from sklearn.utils.validation import check_is_fitted

from skcovid._base._compatibility import HasMethods, validate_params
from skcovid._base._document import (
    Heading,
    List,
    Markdown,
    Paragraph,
    Part,
    Section,
    render_markdown,
    render_table,
)
from skcovid.model_selection._result import EvaluationResult
from skcovid.persistence._manifest import list_versions

INTENDED_USE = """\
**For research only.** This model is not a medical device, and its output is not a
diagnosis. It must not be used to make decisions about patients.

It was made with skcovid after A. N. Alotaibi, *Transfer Learning for Detecting Covid-19
Cases Using Chest X-Ray Images*, IJMLNCE 4(1), 2020,
<https://doi.org/10.30991/IJMLNCE.2020v04i01.003>."""

_NOT_EVALUATED = """\
**Not evaluated.** This card has no measure of the model's performance. Pass the result
of `skcovid.evaluate` to `model_card(pipeline, result)`."""

_NOT_AUDITED = """\
**Not audited.** It was not examined whether the model looks at the lungs or at other
differences between the sources of the images."""

_SOURCES_UNKNOWN = """\
The sources of the images are not known. Classes may come from different hospitals, \
machines or age groups. A network can tell those apart instead of the disease, and \
cross-validation does not show it."""
# Of a class. With fewer, the 95 % interval of a recall of 50 % is 20 points wide.
_FEW_IMAGES = 100

_EXAMPLE = """\
```python
import skcovid

pipeline = skcovid.load("model.skcovid")
pipeline.predict_proba(["radiograph.png"])
```"""


class _Report(Protocol):
    def to_markdown(self) -> str: ...


@validate_params(
    {
        "pipeline": [HasMethods(["predict", "get_params"])],
        "result": [HasMethods("to_markdown"), None],
        "audit": [HasMethods("to_markdown"), None],
    }
)
def model_card(
    pipeline: Any, result: EvaluationResult | None = None, audit: _Report | None = None
) -> str:
    """Write a model card: intended use, parameters, limitations and performance.

    Without an evaluation or an audit, the card says that it is missing.

    Parameters
    ----------
    pipeline : estimator
        A fitted pipeline.
    result : EvaluationResult, default=None
        Result of :func:`evaluate` for an unfitted pipeline with the same parameters.
    audit : AuditReport, default=None
        The report of the audit: any object with a ``to_markdown`` method.

    Returns
    -------
    str
        Markdown, with the sections "Intended use", "Model", "Limitations",
        "Evaluation", "Audit" and "How to use it".

    Raises
    ------
    NotFittedError
        If the pipeline is not fitted.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skcovid import model_card
    >>> classifier = LogisticRegression().fit([[0.0], [1.0]], ["NORMAL", "COVID-19"])
    >>> model_card(classifier).splitlines()[:3]
    ['# Model card', '', '## Intended use']
    """
    check_is_fitted(pipeline)
    classes = ", ".join(str(label) for label in np.asarray(pipeline.classes_).tolist())
    versions = ", ".join(
        f"{name} {found}" for name, found in list_versions(with_backend=False).items()
    )
    table = render_table(["parameter", "value"], list_parameters(pipeline))
    parts: dict[str, list[Part]] = {
        "Intended use": [Markdown(INTENDED_USE)],
        "Model": [
            Paragraph(f"Classes: {classes}."),
            Paragraph(f"Made with {versions}."),
            Heading("Parameters"),
            Markdown(f"<details>\n<summary>Show</summary>\n\n{table}\n\n</details>"),
        ],
        "Limitations": [List(list_limitations(result))],
        "Evaluation": [
            Markdown(_NOT_EVALUATED if result is None else result.to_markdown())
        ],
        "Audit": [Markdown(_NOT_AUDITED if audit is None else audit.to_markdown())],
        "How to use it": [Markdown(_EXAMPLE)],
    }
    sections = [Section("", title, content) for title, content in parts.items()]
    return f"# Model card\n\n{render_markdown(sections)}\n"


def list_limitations(result: EvaluationResult | None) -> list[str]:
    """Say what limits a model, as far as its evaluation shows it."""
    texts = [
        "The model knows only the classes above. It gives one of them to any image, "
        "even of another disease or of something other than a chest.",
        "Its probabilities assume the class frequencies of the training data: equal "
        "ones where it was balanced. They are not a patient's risk.",
    ]
    if not isinstance(result, EvaluationResult):
        return [*texts, _SOURCES_UNKNOWN]
    labels, counts = np.unique(result.y_true, return_counts=True)
    if counts.min() < _FEW_IMAGES:
        rare = labels[counts.argmin()]
        texts.append(f"Of {rare} there are {counts.min()} images only.")
    if result.groups is None:
        texts.append(
            "Patients are not known: one may have images in training and in test."
        )
    if result.source is None:
        texts.append(_SOURCES_UNKNOWN)
    elif len(np.unique(result.source)) > 1:
        for label in labels:
            names = np.unique(result.source[result.y_true == label])
            if len(names) == 1:
                texts.append(f"All images of {label} come from {names[0]}.")
    if result.external is None:
        texts.append("The model was not tested on images from elsewhere.")
    return texts


def list_parameters(pipeline: Any) -> list[tuple[str, str]]:
    """Return name and value of each parameter that is not an estimator.

    Deprecated ones are left out; values that a fitted search chose are marked.
    """
    params = pipeline.get_params()
    values = {
        name: repr(value)
        for name, value in sorted(params.items())
        if name != "steps"
        and not hasattr(value, "get_params")
        and not (isinstance(value, str) and value in ("deprecated", "warn"))
    }
    for name, part in {"": pipeline, **params}.items():
        for key, value in getattr(part, "best_params_", {}).items():
            inner = f"{name}__estimator__{key}".removeprefix("__")
            values[inner] = f"{value!r}, chosen by the search"
    return [*values.items()]
