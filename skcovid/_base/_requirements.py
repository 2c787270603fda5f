"""Packages of the extras, and how to install them."""

from importlib import import_module


def require(package: str, *, extra: str, caller: str, module: str = "") -> None:
    """Raise an ImportError that says what to install if a package is missing."""
    try:
        import_module(module or package)
    except ImportError as error:
        raise ImportError(
            f"{caller} requires {package}. Install it with `pip install "
            f"skcovid[{extra}]` or `pip install {package}`."
        ) from error
