"""Audits with small forests, where the forest is not the subject."""

from sklearn.ensemble import RandomForestClassifier


def _make(n_estimators, **parameters):
    return RandomForestClassifier(3, **parameters)


def use(patch):
    """Make the forests of audits three trees large, through pytest's MonkeyPatch."""
    patch.setattr("skcovid.auditing._baseline.RandomForestClassifier", _make)
