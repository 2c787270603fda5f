"""The parser of the command, and what it does with errors."""

import argparse
import difflib
import importlib
import os
import re
import sys
import traceback
import warnings
from collections.abc import Sequence
from contextlib import redirect_stdout
from typing import Any, NoReturn

from skcovid._base._requirements import require
from skcovid._base._version import __version__
from skcovid.command._outcome import Outcome, say

# Modules, whose docstrings say what they do.
SUBCOMMANDS = (
    *("demo", "inspect", "evaluate", "audit"),
    *("fit", "predict", "report", "export"),
)
# Errors that a user can cure; others are faults, and show where they happened.
_USER_ERRORS = (ValueError, OSError, ImportError, RuntimeError)
# Options that set parameters which messages name.
_OPTIONS = {
    "class_names": "--class",
    "class_mapping": "--rename",
    "backbone": "--backbone",
    "cv": "--folds",
    "weights": "--weights",
}
_BETWEEN_CAUSE_AND_CURE = r"(?<=\.)\s+(?=[A-Z`'(])|;\s+|:\s+(?=pip )"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the `skcovid` command.

    Parameters
    ----------
    argv : sequence of str, default=None
        Arguments; None takes those of the process.

    Returns
    -------
    int
        0; 1 if `skcovid audit --exit-code` flags a check; 2 if something can't be done,
        which is said on stderr: the cause in one line, the cure in the next; 130 if it
        was interrupted.

    Examples
    --------
    >>> from skcovid.command import main
    >>> main(["predict", "nowhere.skcovid", "image.png"])
    2
    """
    # Read when TensorFlow and matplotlib are first imported.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("MPLBACKEND", "Agg")
    parser = make_parser()
    try:
        options, unknown = parser.parse_known_args(argv)
        if unknown:
            (options.parser if options.command else parser).refuse(unknown)
    except SystemExit as finished:
        return int(finished.code or 0)
    if options.command is None and options.print_completion is None:
        parser.print_help(sys.stderr)
        return 2
    with warnings.catch_warnings():
        warnings.simplefilter("default", UserWarning)
        warnings.showwarning = _show_warning
        return _run(options)


def make_parser() -> "_Parser":
    """Describe the command line."""
    parser = _Parser(
        prog="skcovid",
        description="Transfer learning on chest radiographs. For research only.",
        epilog="Begin with `skcovid demo`, or with `skcovid inspect DIR`. Exit codes: "
        "0 done; 1 flagged, where --exit-code asks; 2 can't be done.",
    )
    parser.add_argument("--version", action="version", version=f"skcovid {__version__}")
    parser.add_argument(
        "--print-completion",
        choices=["bash", "zsh", "tcsh"],
        help="print completion of a shell; needs the completion extra",
    )
    parser.set_defaults(run=_complete, json=False)
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", title="tasks")
    for name in SUBCOMMANDS:
        module: Any = importlib.import_module(f"skcovid.command._{name}")
        text = module.__doc__.partition(": ")[2].rstrip(".")
        description = f"{text[0].upper()}{text[1:]}."
        subparser = subparsers.add_parser(name, help=text, description=description)
        module.add_options(subparser)
        subparser.set_defaults(run=module.run, parser=subparser)
    return parser


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are a cause and a cure."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(allow_abbrev=False, **settings)

    def error(self, message: str) -> NoReturn:
        cure = f"Run `{self.prog} --help`."
        if found := re.search(r"invalid choice: '(.*?)' \(choose from (.*)\)", message):
            choices = re.findall(r"[\w-]+", found[2])
            if nearest := difflib.get_close_matches(found[1], choices, n=1):
                cure = f"Did you mean '{nearest[0]}'? {cure}"
        self.exit(2, f"{self.prog}: error: {message}\n  {cure}\n")

    def refuse(self, unknown: Sequence[str]) -> NoReturn:
        """Refuse arguments that no option takes, and name the nearest option."""
        given = next((text for text in unknown if text.startswith("-")), unknown[0])
        name, known = given.partition("=")[0], [*self._option_string_actions]
        nearest = difflib.get_close_matches(name, known, n=1)
        hint = f"Did you mean '{nearest[0]}'? " if nearest else ""
        cure = f"{hint}Run `{self.prog} --help`."
        self.exit(2, f"{self.prog}: error: unknown argument {given!r}\n  {cure}\n")


def _run(options: argparse.Namespace) -> int:
    """Run a subcommand and show its outcome, or why it can't be done."""
    name = f"skcovid {options.command or ''}".strip()
    try:
        with redirect_stdout(sys.stderr):
            outcome = options.run(options)
        outcome.show(as_json=options.json)
        return int(outcome.exit_code)
    except KeyboardInterrupt:
        say(f"{name}: interrupted")
        return 130
    except BrokenPipeError:
        # The reader of stdout, such as `head`, has closed it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except _USER_ERRORS as error:
        say(f"{name}: error: {_cause_and_cure(error)}")
    except Exception:
        say(f"{traceback.format_exc()}{name}: error: a fault of skcovid")
        say("  Please report it with the lines above.")
    return 2


def _cause_and_cure(error: Exception) -> str:
    """Return an error's message with its first sentence in a line of its own."""
    message = str(error).strip()
    if isinstance(error, OSError) and error.strerror:
        message = f"{error.filename}: {error.strerror}. Check the path."
    if "files can't be read:" in message:
        message += "\n  Mend or remove them, or leave them out with --skip-bad-files."
    for name, option in _OPTIONS.items():
        message = re.sub(rf"(?<!-)\b{name}(?=[=: ])", option, message)
    return re.sub(_BETWEEN_CAUSE_AND_CURE, "\n  ", message, count=1)


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    say(f"warning: {message}")


def _complete(options: argparse.Namespace) -> Outcome:
    """Return what a shell needs to complete the command."""
    require("shtab", extra="completion", caller="--print-completion")
    import shtab

    return Outcome(shtab.complete(make_parser(), options.print_completion), {})
