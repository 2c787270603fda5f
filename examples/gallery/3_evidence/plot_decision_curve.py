"""
Is acting on the model better than not having it?
=================================================

An ROC curve ranks. A decision curve asks what a reader gains who acts on every image
whose probability is above a threshold, against acting on all images or on none.

Probabilities are drawn at random: they are well calibrated inside, and much too high
outside, where the disease also is rarer.
"""

# %%
# Predictions
# -----------

import matplotlib.pyplot as plt
import numpy as np
from scipy.special import expit

from skcovid.inspection import DecisionCurveDisplay
from skcovid.metrics import decision_curve

rng = np.random.default_rng(0)


def draw(n_patients, base, shift, skill):
    patients = np.arange(2 * n_patients) // 2
    signal = rng.normal(size=n_patients)[patients] + 0.3 * rng.normal(
        size=2 * n_patients
    )
    is_ill = (rng.random(n_patients) < expit(base + 2 * skill * signal[::2]))[patients]
    return (
        np.where(is_ill, "COVID-19", "Normal"),
        expit(base + shift + 2 * signal),
        patients,
    )


inside = draw(500, base=-1.0, shift=0.0, skill=1.0)
outside = draw(300, base=-2.5, shift=3.0, skill=0.3)

# %%
# One curve
# ---------
# The band is the 95 % interval, which allows for images of one patient being alike.

y, probability, patients = inside
DecisionCurveDisplay.from_predictions(
    y, probability, pos_label="COVID-19", groups=patients
)

# %%
# Inside and outside
# ------------------
# Outside, this model is worse than to treat no one, at nearly every threshold.
# :meth:`~skcovid.inspection.DecisionCurveDisplay.from_result` draws both of an
# evaluation with an external set.

curves = {
    name: decision_curve(y, probability, pos_label="COVID-19", groups=patients)
    for name, (y, probability, patients) in {
        "Inside": inside,
        "Outside": outside,
    }.items()
}
DecisionCurveDisplay(curves).plot()
plt.show()
