"""Packages of the extras, and how to install them."""

from importlib import import_module


def require(package: str, *, extra: str, caller: str, module: str = "") -> None:
    """Raise an ImportError that says what to install if a package is missing."""
    try:
        import_module(module or package)
    except ImportError as error:
        raise ImportError(
            f"{caller} requires {package}: {install_command(extra)}."
        ) from error


def install_command(extra: str) -> str:
    """Return the command that installs the packages of an extra."""
    return f"pip install 'skcovid[{extra}]' (in a clone: pip install '.[{extra}]')"
