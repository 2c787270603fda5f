"""`skcovid inspect`: say what would be read from a folder, and what is suspicious."""

import argparse
from collections import Counter
from typing import Any

from skcovid.command._options import add_data_options, add_output_options, load_data
from skcovid.command._outcome import Outcome


def add_options(parser: argparse.ArgumentParser) -> None:
    """Describe the options."""
    add_data_options(parser)
    add_output_options(parser)
    parser.set_defaults(seed=0)


def run(options: argparse.Namespace) -> Outcome:
    """Read every file, and list what was found."""
    options.skip_bad_files = True
    data = load_data(options)
    sources = None if data.source is None else Counter(data.source.tolist())
    suspicious = _find_suspicious(data, verbose=int(not options.quiet))
    lines = [data.DESCR]
    if sources:
        counts = ", ".join(f"{name} {count}" for name, count in sources.items())
        lines.append(f"Sources: {counts}")
    lines.append("")
    for title, files in suspicious.items():
        lines += [f"{title}: {len(files)}", *(f"  {one}" for one in files[:10])]
        lines += [f"  and {len(files) - 10} more"] * (len(files) > 10)
    document = {
        "classes": Counter(data.target.tolist()),
        "n_patients": None if data.groups is None else len(set(data.groups)),
        "sources": sources,
        "attributes": sorted(data.attributes),
        "bad_files": data.bad_files,
        "ignored": data.ignored,
        "suspicious": suspicious,
    }
    step = f"skcovid evaluate {' '.join(options.data)}"
    return Outcome("\n".join(lines), document, next_steps=(step,))


def _find_suspicious(data: Any, verbose: int) -> dict[str, list[str]]:
    """List images that occur twice, are of one grey level, or contradict each other."""
    from skcovid.images._copies import find_near_pairs
    from skcovid.images._pixels import read_pixels

    paths, labels = data.paths.tolist(), data.target.tolist()
    pixels = read_pixels(paths, verbose=verbose)
    digests = pixels.digests.tolist()
    first = {digest: row for row, digest in reversed(list(enumerate(digests)))}
    pairs = [(first[one], row) for row, one in enumerate(digests) if first[one] != row]
    pairs += [pair[:2] for pair in find_near_pairs(pixels)]
    found: dict[str, list[str]] = {
        "Images of one grey level": [
            path
            for path, small in zip(paths, pixels.small, strict=True)
            if small.min() == small.max()
        ],
        "Copies in two classes": [],
        "Copies in one class": [],
    }
    for one, other in pairs:
        crossing = "one class" if labels[one] == labels[other] else "two classes"
        found[f"Copies in {crossing}"].append(f"{paths[one]} = {paths[other]}")
    return found
