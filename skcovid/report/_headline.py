"""`headline`: what can be done with a model, in words to act on."""

import math
from collections.abc import Mapping

from skcovid._base._compatibility import validate_params
from skcovid._base._document import Paragraph, Part, Table
from skcovid.auditing._report import AuditReport
from skcovid.model_selection._result import EvaluationResult
from skcovid.model_selection._verdict import list_sentences


@validate_params({"result": [EvaluationResult], "audit": [AuditReport, None]})
def headline(result: EvaluationResult, audit: AuditReport | None = None) -> str:
    """Say in a sentence or two what can be done with a model.

    Reports, model cards and reviewer packs begin with it. It never gives the accuracy
    inside a collection without what is known outside it, or that nothing is.

    Parameters
    ----------
    result : EvaluationResult
        What :func:`skcovid.evaluate` returned, with an external set (`test`) or sources
        (`source`) where there are any.
    audit : AuditReport, default=None
        What :func:`skcovid.audit` returned for the same result.

    Returns
    -------
    str
        "Do not rely on …" if a figure falls outside, no ROC AUC within sources is
        surely better than chance, or the audit flagged the shortcut ratio; "Do not rely
        on … yet" if too few patients were tested to say; "Do not use the model
        elsewhere yet" if nothing is known outside; and where it was tested if its
        figures hold there.

    Notes
    -----
    A figure falls if the 95 % interval of its difference, inside minus outside, lies
    above 0 and reaches beyond 0.05, and holds if the interval ends below 0.05, a margin
    that this package chose. The figures are the ROC AUC of every class, of which the
    one that falls most is named; and, if none falls, accuracy, recall and specificity,
    since a threshold may fail where the ranking holds. A figure that is no better than
    chance outside does not hold.

    Examples
    --------
    >>> from sklearn.dummy import DummyClassifier
    >>> from skcovid import evaluate
    >>> from skcovid.datasets import make_radiographs
    >>> from skcovid.report import headline
    >>> X, y = make_radiographs(60, image_size=16, random_state=0, return_X_y=True)
    >>> result = evaluate(DummyClassifier(), X, y, cv=2, verbose=0)
    >>> print(headline(result).partition(":")[0])
    Do not use the model elsewhere yet
    """
    distrust, notes = _weigh_audit(result, audit)
    return " ".join([*list_sentences(result, distrust=distrust), *notes])


def describe_lead(
    result: EvaluationResult, audit: AuditReport | None, others: Mapping[str, str]
) -> tuple[list[Part], list[Part]]:
    """Give what a reader sees first, and what else there is to say of the verdict."""
    verdict, *more = list_sentences(result, distrust=_weigh_audit(result, audit)[0])
    ratio = "The model was not audited."
    steps = ["Audit it (skcovid.audit): its score may rest on other things than lungs."]
    outside = "Not known: no image from elsewhere was tested."
    if audit is not None:
        ratio = audit.shortcut_ratio.format_percent()
        flagged = [name for name in audit.flagged if name != "outside"]
        listed = f"Act on the flagged checks (see Audit): {', '.join(flagged)}."
        steps = [listed] if flagged else []
        forecast = audit.get("outside")
        if forecast and forecast.figures:
            figure = forecast.figures[0]
            outside = f"Not tested. {figure.name}, with an {figure.interval}: "
            outside += figure.estimate.format_fraction(2)
    if (external := result.external) is None:
        steps.append("Test it on images of another hospital, of all classes.")
    else:
        outside = f"Accuracy on {len(external.rows)} images: {external.accuracy}"
        steps.append("Test it on images of the place where it is to be used.")
    inside = "Accuracy inside the collection"
    if result.sources_left_out:
        inside = "Accuracy on sources that were left out of training"
    rows = {
        inside: str(result.accuracy),
        "Shortcut ratio: share of the skill that needs no lungs": ratio,
        "Outside": outside,
        "What to do next": " ".join(steps),
        **others,
    }
    table = Table(["", ""], [[*row] for row in rows.items()])
    left: list[Part] = [Paragraph(" ".join(more))] if more else []
    return [Paragraph(verdict, emphasised=True), table], left


def _weigh_audit(
    result: EvaluationResult, audit: AuditReport | None
) -> tuple[list[str], list[str]]:
    """Return the audit's reasons not to rely on a model, and its other sentences."""
    if audit is None:
        note = (
            "The model was not audited: whether its score rests on the lungs was not "
            "examined."
        )
        return [], [note]
    notes, forecast = [], audit.get("outside")
    # What was seen outside says more than a forecast.
    if result.external is None and forecast and forecast.status != "not run":
        notes.append(forecast.details["expected"])
    ratio = audit.shortcut_ratio
    if math.isnan(ratio.value):
        notes.append("The audit could not say how much of the skill needs no lungs.")
        return [], notes
    share = f"{ratio.format_percent(0)} of its skill is available without lungs"
    if audit["shortcut ratio"].flagged:
        return [share], notes
    return [], [f"In the audit, {share}.", *notes]
