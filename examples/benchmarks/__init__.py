"""Benchmarks, each a script; `_common` serves other scripts too."""
