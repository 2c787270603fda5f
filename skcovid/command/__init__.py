"""The `skcovid` command: one subcommand a task, thin over the public functions."""

from skcovid.command._main import main

__all__ = ["main"]
