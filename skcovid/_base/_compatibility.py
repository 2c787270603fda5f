"""Private names of scikit-learn and Keras; no other module uses one.

Checked on scikit-learn 1.7 to 1.9 and Keras 3.15.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import wraps
from typing import Any, NamedTuple, ParamSpec, TypeVar

from sklearn.base import _fit_context
from sklearn.metrics import get_scorer, get_scorer_names
from sklearn.utils import _param_validation, _safe_indexing
from sklearn.utils._set_output import _get_output_config
from sklearn.utils.validation import _check_sample_weight, _num_samples

from skcovid._base._atomic_fit import atomic_fit
from skcovid._base._parameters import as_plain

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

HasMethods = _param_validation.HasMethods
Interval = _param_validation.Interval
InvalidParameterError = _param_validation.InvalidParameterError
StrOptions = _param_validation.StrOptions

check_sample_weight = _check_sample_weight
num_samples = _num_samples
safe_indexing = _safe_indexing


def take_rows(values: Any, rows: Any) -> Any:
    """Return rows of images or metadata; of a mapping, those of each column."""
    if isinstance(values, Mapping):
        return {name: safe_indexing(column, rows) for name, column in values.items()}
    return safe_indexing(values, rows)


def validate_params(
    constraints: Mapping[str, Any], *, prefer_skip_nested_validation: bool = True
) -> Callable[[Callable[Parameters, Result]], Callable[Parameters, Result]]:
    """Check a function's arguments at each call, then convert NumPy's numbers.

    It keeps the function's signature for types.
    """
    check = _param_validation.validate_params(
        dict(constraints), prefer_skip_nested_validation=prefer_skip_nested_validation
    )

    def decorate(
        function: Callable[Parameters, Result],
    ) -> Callable[Parameters, Result]:
        @wraps(function)
        def call(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
            plain = {name: as_plain(value) for name, value in kwargs.items()}
            return function(*map(as_plain, args), **plain)

        checked: Callable[Parameters, Result] = check(call)
        return checked

    return decorate


def fit_context() -> Callable[
    [Callable[Parameters, Result]], Callable[Parameters, Result]
]:
    """Check an estimator's parameters in its ``fit``, and make it atomic."""
    decorate: Callable[[Callable[Parameters, Result]], Callable[Parameters, Result]]
    decorate = _fit_context(prefer_skip_nested_validation=True)
    return lambda fit: atomic_fit(decorate(fit))


def output_container(transformer: Any) -> str:
    """Return "default", or the library of the tables that ``transform`` returns."""
    container: str = _get_output_config("transform", transformer)["dense"]
    return container


def scorer_functions() -> set[Callable[..., float]]:
    """Return the functions behind scikit-learn's named scorers."""
    return {get_scorer(name)._score_func for name in get_scorer_names()}


class KerasTensorSource(NamedTuple):
    """The layer that a symbolic Keras tensor comes from, and by which call of it."""

    layer: Any
    node: int


def tensor_source(tensor: Any) -> KerasTensorSource:
    """Return where a symbolic Keras tensor comes from."""
    layer, node, _ = tensor._keras_history
    return KerasTensorSource(layer, node)


def input_tensors(layer: Any, node: int = 0) -> Any:
    """Return the tensors that entered a layer in one of its calls.

    The first call is that of the network that the layer was built in; splitting the
    network adds others, and ``layer.input`` is then ambiguous.
    """
    return layer._inbound_nodes[node].input_tensors


def layer_output(layer: Any) -> Any:
    """Return the tensor that a layer gave in the network that it was built in."""
    return layer._inbound_nodes[0].output_tensors[0]


@contextmanager
def forget_calls(layers: Iterable[Any]) -> Iterator[None]:
    """Leave no trace in layers of the models that are built from them inside.

    Such a model keeps what it needs itself; without this the layers keep all of it.
    """
    lists = [
        nodes
        for layer in layers
        for nodes in (layer._inbound_nodes, layer._outbound_nodes)
    ]
    lengths = list(map(len, lists))
    try:
        yield
    finally:
        for nodes, length in zip(lists, lengths, strict=True):
            del nodes[length:]
