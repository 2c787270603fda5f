"""`headline`: what can be done with a model, in words to act on."""

import math

from skcovid._base._compatibility import validate_params
from skcovid.auditing._report import AuditReport
from skcovid.model_selection._result import EvaluationResult
from skcovid.model_selection._verdict import find_verdict


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
    if audit is None:
        note = (
            "The model was not audited: whether its score rests on the lungs was not "
            "examined."
        )
        return find_verdict(result, notes=[note])
    notes, forecast = [], audit.get("outside")
    # What was seen outside says more than a forecast.
    if result.external is None and forecast and forecast.status != "not run":
        notes.append(forecast.details["expected"])
    ratio = audit.shortcut_ratio
    if math.isnan(ratio.value):
        notes.append("The audit could not say how much of the skill needs no lungs.")
        return find_verdict(result, notes=notes)
    share = f"{ratio.format_percent(0)} of its skill is available without lungs"
    if audit["shortcut ratio"].flagged:
        return find_verdict(result, distrust=[share], notes=notes)
    return find_verdict(result, notes=[f"In the audit, {share}.", *notes])
