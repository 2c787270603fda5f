"""What is made of a network once and stays with it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

__all__ = ["derived_once"]

T = TypeVar("T")


# Keras would track the networks in a tuple as parts of the one that it is kept with.
@dataclass(frozen=True)
class _Derived:
    settings: Any
    result: Any


def derived_once(model: Any, name: str, settings: Any, make: Callable[[Any], T]) -> T:
    """Make something of a network, or find what was made of it before.

    Every model that is made of a network's layers leaves its nodes on them, and is
    compiled anew; one a prediction would fill the memory.
    """
    attribute = f"_skcovid_{name}"
    kept: _Derived | None = getattr(model, attribute, None)
    if kept is None or kept.settings != settings:
        kept = _Derived(settings, make(model))
        setattr(model, attribute, kept)
    return kept.result
