"""`model_card`: what someone has to know before they use a model, as Markdown."""

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from sklearn.utils.validation import check_is_fitted
from skops.card import Card

from skcovid._base._compatibility import HasMethods, validate_params
from skcovid.persistence._manifest import list_versions

if TYPE_CHECKING:
    from skcovid.model_selection._result import EvaluationResult

__all__ = ["model_card"]

INTENDED_USE = """\
**For research only.** This model is not a medical device, and nothing it says about an
image is a diagnosis. It must not be used to decide on anybody's care.

It was made with skcovid after A. N. Alotaibi, *Transfer Learning for Detecting Covid-19
Cases Using Chest X-Ray Images*, IJMLNCE 4(1), 2020,
<https://doi.org/10.30991/IJMLNCE.2020v04i01.003>."""

LIMITATIONS = """\
- In the public collections COVID-19 images are mostly of adults and the other classes
  of children, from other hospitals. A network can tell those apart instead of the
  disease, and cross-validation on the same collection will not show it: only images
  from a source that was not trained on will.
- It knows the classes above and no others. An image of anything else, another disease
  or no radiograph at all, is given one of them.
- Its probabilities take the classes to be as frequent as in training: equally so where
  it was balanced. They are not the risk of anybody in a clinic."""

_NOT_EVALUATED = """\
**Not evaluated.** No figure here says how well this model does. `skcovid.evaluate`
gives them; `model_card(pipeline, result)` writes them down."""

_NOT_AUDITED = """\
**Not audited.** Whether the model looks at lungs, or at what else tells the sources of
the images apart, was not examined."""

_USE = """\
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
    pipeline: Any,
    result: "EvaluationResult | None" = None,
    audit: _Report | None = None,
) -> str:
    """Describe a fitted pipeline: what it is for, what it is, and how well it does.

    What was not done, evaluation or audit, is said to be missing.

    Parameters
    ----------
    pipeline : estimator
        A fitted pipeline.
    result : EvaluationResult, default=None
        What :func:`evaluate` returned for an unfitted pipeline of the same parameters.
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

    See Also
    --------
    save : Saves the pipeline.

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
        f"{name} {found}" for name, found in list_versions(None).items()
    )
    # Without a template: that of skops has sections that nobody would fill.
    card = Card(pipeline, template=None)
    card.add(
        **{
            "Model card": "",
            "Model card/Intended use": INTENDED_USE,
            "Model card/Model": f"Classes: {classes}.\n\nMade with {versions}.",
        }
    )
    card.add(
        folded=True, **{"Model card/Model/Parameters": _parameters_table(pipeline)}
    )
    card.add(
        **{
            "Model card/Limitations": LIMITATIONS,
            "Model card/Evaluation": (
                _NOT_EVALUATED if result is None else result.to_markdown()
            ),
            "Model card/Audit": _NOT_AUDITED if audit is None else audit.to_markdown(),
            "Model card/How to use it": _USE,
        }
    )
    return card.render().strip() + "\n"


def list_parameters(pipeline: Any) -> list[tuple[str, str]]:
    """Name and value of each parameter that is no estimator of its own."""
    return [
        (name, repr(value))
        for name, value in sorted(pipeline.get_params().items())
        if name != "steps" and not hasattr(value, "get_params")
    ]


def _parameters_table(pipeline: Any) -> str:
    rows = [
        f"| {name} | {value.replace('|', chr(92) + '|')} |"
        for name, value in list_parameters(pipeline)
    ]
    return "\n".join(["| parameter | value |", "| --- | --- |", *rows])
