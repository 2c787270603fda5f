"""What model files and the ONNX export need from estimators that hold a network."""

from typing import Any, ClassVar, Protocol, TypeVar, runtime_checkable

Estimator = TypeVar("Estimator", bound=type)

_ALLOWED: list[type] = []


@runtime_checkable
class NetworkEstimator(Protocol):
    """An estimator with a Keras network, which is saved and exported apart from it.

    Attributes
    ----------
    precision : str
        Keras dtype policy that the network computes in.
    _network_attribute : str
        Name of the fitted attribute that holds the network.
    _fit_attributes : frozenset of str
        Fitted attributes that predictions do not need; they are not saved.
    """

    precision: str
    _network_attribute: ClassVar[str]
    _fit_attributes: ClassVar[frozenset[str]]

    def _check_weights(self) -> None:
        """Raise an error if the initial weights can't be downloaded or loaded."""

    def _rebuild_network(self, image_size: tuple[int, int], n_weights: int) -> Any:
        """Build the network from parameters and fitted attributes, with any weights.

        The attributes may come from a damaged or hostile file. It raises a ValueError
        where they contradict each other or need more than `n_weights` numbers.
        """

    def _apply_network(self, images: Any) -> Any:
        """Compute ``predict_proba`` or ``transform`` on a Keras tensor of images."""


def allow_in_model_files(estimator: Estimator) -> Estimator:
    """Allow this class, and none of its subclasses, in model files."""
    _ALLOWED.append(estimator)
    return estimator


def allowed_estimators() -> tuple[type, ...]:
    """Return the classes that this process allows in model files."""
    return tuple(_ALLOWED)
