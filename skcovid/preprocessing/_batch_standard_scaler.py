"""`BatchStandardScaler`: scikit-learn's scaler, fitted on a few rows at a time."""

from typing import Any, Self

from numpy.typing import ArrayLike
from sklearn.preprocessing import StandardScaler
from sklearn.utils import gen_batches

from skcovid._base._compatibility import num_samples, safe_indexing

# Rows whose squares are summed at once, in float64.
_TOGETHER = 1024


class BatchStandardScaler(StandardScaler):
    """A StandardScaler whose memory does not grow with the number of rows.

    ``StandardScaler.fit`` makes a float64 copy of all rows: of float32 features, twice
    their own size.
    """

    def fit(
        self, X: Any, y: Any = None, sample_weight: ArrayLike | None = None
    ) -> Self:
        """Find the mean and deviation of each feature, batch by batch.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Features.
        y : object, default=None
            Not used.
        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each row.

        Returns
        -------
        BatchStandardScaler
            The fitted scaler.
        """
        fit = super().fit
        for rows in gen_batches(num_samples(X), _TOGETHER):
            weights = (
                None if sample_weight is None else safe_indexing(sample_weight, rows)
            )
            fit(safe_indexing(X, rows), sample_weight=weights)
            fit = self.partial_fit
        return self
