"""Damage image files and check how they are read.

    cd tests && python -m _helpers.fuzzed_files --n 10000 --seed 0

reads that many files and prints a summary; it fails if any of them crashes or hangs the
process, takes too much memory, is read to another size than its header states, or
raises an error that is not documented.
"""

import argparse
import contextlib
import hashlib
import io
import itertools
import json
import os
import resource
import select
import struct
import subprocess
import sys
import tempfile
import time
import warnings
import zlib
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

__all__ = ["Fuzzed", "Reader", "Summary", "fuzz", "fuzzed_files"]

# Limits per file: memory on top of what the process has, and processor time.
MAX_BYTES, MAX_SECONDS = 2**30, 5
# Wall time for a worker that uses no processor time: 10 minutes.
_MAX_WAITS, _WAIT = 2400, 0.25
# Files sent to a worker at once.
_BATCH = 100
_SUFFIXES = (".png", ".jpg", ".tif", ".bmp", ".webp", ".pgm", ".dcm", "")
_EXTREMES = (0, 1, 2, 127, 128, 255, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1)


@dataclass(frozen=True)
class Fuzzed:
    """A damaged file: its original, the damage, its suffix and its bytes."""

    seed: str
    damage: tuple[str, ...]
    suffix: str
    content: bytes


# ---- damage: every function takes the content and a generator


def cut_short(content, generator):
    return content[: generator.integers(len(content))]


def flipped_bits(content, generator):
    changed = np.frombuffer(content, np.uint8).copy()
    places = generator.integers(len(changed), size=generator.integers(1, 17))
    changed[places] ^= (1 << generator.integers(8, size=len(places))).astype(np.uint8)
    return changed.tobytes()


def zeroed(content, generator):
    start, end = _range(content, generator)
    return content[:start] + bytes(end - start) + content[end:]


def overwritten(content, generator):
    start, end = _range(content, generator)
    return content[:start] + generator.bytes(end - start) + content[end:]


def a_part_removed(content, generator):
    start, end = _range(content, generator)
    return content[:start] + content[end:]


def a_part_twice(content, generator):
    start, end = _range(content, generator)
    return content[:end] + content[start:]


def an_extreme_field(content, generator):
    """Set a number of 2 or 4 bytes, mostly near the beginning, to an extreme one."""
    size = int(generator.choice([2, 4]))
    near = generator.random() < 0.7
    place = generator.integers(max(1, min(len(content), 400 if near else len(content))))
    value = int(generator.choice(_EXTREMES)) % 2 ** (8 * size)
    order = "little" if generator.random() < 0.5 else "big"
    return content[:place] + value.to_bytes(size, order) + content[place + size :]


def extreme_sides(content, generator):
    """Set width and height in the header to extremes, with correct checksums."""
    sides = [int(generator.choice([1, 2**14, 2**15, 2**16 - 1, 10**6])) for _ in "hw"]
    short = [min(side, 2**16 - 1) for side in sides]
    if content.startswith(b"\x89PNG"):
        return _with_checksums(_put(content, 16, struct.pack(">II", *sides)))
    if content.startswith(b"\xff\xd8"):
        place = max(content.find(marker) for marker in (b"\xff\xc0", b"\xff\xc2"))
        return _put(content, place + 5, struct.pack(">HH", *short))
    if content.startswith(b"BM"):
        return _put(content, 18, struct.pack("<II", *sides))
    if content.startswith(b"II*\0"):
        for tag, side in zip((256, 257), sides, strict=True):
            place = content.find(struct.pack("<H", tag), len(content) // 3)
            content = _put(content, place + 2, struct.pack("<HII", 4, 1, side))
        return content
    if content[128:132] == b"DICM":
        for element, side in zip((0x10, 0x11), short, strict=True):
            place = content.find(struct.pack("<HH", 0x28, element))
            content = _put(content, place + 8, struct.pack("<H", side))
        return content
    return content.replace(b"28 20", b"%d %d" % tuple(sides), 1)


def chunks_in_disorder(content, generator):
    """Remove, repeat or move one of the chunks of a file."""
    chunks = _chunks(content)
    place, other = generator.integers(len(chunks), size=2)
    chunk = chunks[place]
    kind = generator.integers(3)
    if kind == 0:
        del chunks[place]
    elif kind == 1:
        chunks[other:other] = [chunk] * int(generator.choice([1, 2, 50]))
    else:
        chunks[place], chunks[other] = chunks[other], chunk
    return b"".join(chunks)


DAMAGE = (
    *(cut_short, flipped_bits, zeroed, overwritten, a_part_removed, a_part_twice),
    *(an_extreme_field, extreme_sides, chunks_in_disorder),
)


def _range(content, generator):
    start = int(generator.integers(len(content)))
    return start, start + int(generator.integers(1, max(2, len(content) // 3)))


def _put(content, place, value):
    return content[:place] + value + content[place + len(value) :]


def _chunks(content):
    """Split into PNG chunks, JPEG segments, RIFF chunks, or pieces of 32 bytes."""
    ends = [8 if content.startswith(b"\x89PNG") else 0]
    while ends[-1] < len(content):
        start = ends[-1]
        if content.startswith(b"\x89PNG"):
            length = 12 + int.from_bytes(content[start : start + 4], "big")
        elif (
            content.startswith(b"\xff\xd8")
            and content[start + 1 : start + 2] != b"\xd8"
        ):
            length = 2 + int.from_bytes(content[start + 2 : start + 4], "big")
        elif content.startswith(b"RIFF") and start:
            length = 8 + int.from_bytes(content[start + 4 : start + 8], "little")
        else:
            length = {b"RI": 12, b"\xff\xd8": 2}.get(content[:2], 32)
        ends.append(start + max(2, length))
    parts = [content[: ends[0]]] if ends[0] else []
    return parts + [content[start:end] for start, end in itertools.pairwise(ends)]


def _with_checksums(content):
    """Correct the checksums of a PNG, as an attacker would."""
    if not content.startswith(b"\x89PNG"):
        return content
    chunks = [
        chunk[:-4] + zlib.crc32(chunk[4:-4]).to_bytes(4, "big")
        if len(chunk) >= 12
        else chunk
        for chunk in _chunks(content)[1:]
    ]
    return content[:8] + b"".join(chunks)


def fuzzed_files(seeds, n_files, seed):
    """Damage files, always in the same way for one seed.

    Parameters
    ----------
    seeds : dict of str to bytes
        Whole files; their names begin with their suffix.
    n_files : int
        Number of damaged files.
    seed : int
        Of the generator.

    Yields
    ------
    Fuzzed
    """
    names = list(seeds)
    for number in range(n_files):
        generator = np.random.default_rng((seed, number))
        name = names[number % len(names)]
        suffix, content, damage = name.split()[0], seeds[name], []
        for _ in range(int(generator.choice([1, 1, 1, 2, 3]))):
            change = DAMAGE[generator.integers(len(DAMAGE))]
            if content:
                content = change(content, generator)
                damage.append(change.__name__)
        if generator.random() < 0.5:
            content = _with_checksums(content)
        if generator.random() < 0.05:
            content += seeds[names[generator.integers(len(names))]]
            damage.append("another_file_behind")
        if generator.random() < 0.1:
            suffix = str(generator.choice(_SUFFIXES))
        yield Fuzzed(name, tuple(damage), suffix, content)


# ---- the worker


def _status(field_name):
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field_name):
            return 1024 * int(line.split()[1])
    raise LookupError(field_name)


def _serve():
    """Read the files named on standard input and answer with the outcome of each."""
    from skcovid.reading import read_radiograph

    answers = os.fdopen(os.dup(1), "w")
    # Decoders write messages about files to the standard streams.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.dup2(1, 2)
    # Libraries also warn of damaged files.
    warnings.simplefilter("ignore")
    limit = None
    for line in sys.stdin:
        request = json.loads(line)
        if request.get("limit") and limit is None:
            limit = _status("VmSize") + MAX_BYTES
            resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
        Path("/proc/self/clear_refs").write_text("5")
        before, start = _status("VmRSS"), time.process_time()
        answer = {
            "outcomes": [
                _outcome(read_radiograph, request["path"], channels)
                for channels in ("grey", "rgb")
            ]
        }
        answer["seconds"] = time.process_time() - start
        answer["bytes"] = _status("VmHWM") - before
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def _outcome(read, path, channels):
    try:
        pixels = read(path, channels=channels)
    except Exception as error:
        return {"error": type(error).__name__, "message": str(error)}
    digest = hashlib.blake2b(pixels.tobytes()).hexdigest()
    return {"shape": pixels.shape, "dtype": str(pixels.dtype), "digest": digest}


class Reader:
    """A process with limited memory that reads files and may crash.

    Parameters
    ----------
    whole : dict of str to bytes
        Files that it reads first, before memory is limited: libraries are loaded then.
    """

    def __init__(self, whole):
        self._folder = tempfile.TemporaryDirectory()
        self._whole = whole
        self._worker = None
        self.whole = {}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._stop()
        self._folder.cleanup()

    def read(self, suffix, content):
        """Return the outcome of a file, by channels, or how the process ended."""
        return next(self.read_each([(suffix, content)]))

    def read_each(self, files):
        """Return the outcome of each of several files, sent all at once."""
        paths = []
        for number, (suffix, content) in enumerate(files):
            path = Path(self._folder.name) / f"{number}{suffix}"
            path.write_bytes(content)
            paths.append(str(path))
        while paths:
            if self._worker is None:
                self._start()
            for answer in self._ask(paths, limit=True):
                yield {"path": paths.pop(0), **answer}

    def _start(self):
        self._worker = subprocess.Popen(
            [sys.executable, "-m", "_helpers.fuzzed_files", "--serve"],
            cwd=Path(__file__).parents[1],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
        )
        for name, content in self._whole.items():
            path = Path(self._folder.name) / f"whole{name.split()[0]}"
            path.write_bytes(content)
            (self.whole[name],) = self._ask([str(path)], limit=False)

    def _stop(self):
        if self._worker is not None:
            self._worker.kill()
            self._worker.communicate()
            self._worker = None

    def _ask(self, paths, *, limit):
        """Yield answers in order, up to the file that crashes the process."""
        requests = [json.dumps({"path": path, "limit": limit}) + "\n" for path in paths]
        # If it has ended, the answer tells how.
        with contextlib.suppress(BrokenPipeError):
            self._worker.stdin.write("".join(requests).encode())
        for _ in list(paths):
            answer = self._answer()
            if isinstance(answer, str):
                self._stop()
                yield {"end": answer}
                return
            yield answer

    def _answer(self):
        spent = self._processor_time()
        for _ in range(_MAX_WAITS):
            if select.select([self._worker.stdout], [], [], _WAIT)[0]:
                break
            if self._processor_time() - spent > MAX_SECONDS:
                return f"more than {MAX_SECONDS} s of processor time"
        else:
            return "hangs"
        line = self._worker.stdout.readline()
        return json.loads(line) if line else f"ended with {self._worker.wait()}"

    def _processor_time(self):
        with contextlib.suppress(FileNotFoundError):
            fields = Path(f"/proc/{self._worker.pid}/stat").read_text().rpartition(")")
            user, system = fields[2].split()[11:13]
            return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
        return 0.0


# ---- judgement


@dataclass
class Summary:
    """The outcome of all files.

    Parameters
    ----------
    counts : dict of str to Counter
        By kind of file, how many were read and how many reported.
    failures : list of (Fuzzed, str)
        Files that were neither, with the reason.
    max_seconds, max_bytes : float and int
        The maximum of one file: processor time and resident memory.
    """

    counts: dict = field(default_factory=lambda: defaultdict(Counter))
    failures: list = field(default_factory=list)
    max_seconds: float = 0.0
    max_bytes: int = 0

    def add(self, fuzzed, answer, failure):
        """Count a file."""
        was_read = "shape" in answer.get("outcomes", [{}])[0]
        outcome = "failed" if failure else "read" if was_read else "reported"
        self.counts[fuzzed.seed][outcome] += 1
        if failure:
            self.failures.append((fuzzed, failure))
        self.max_seconds = max(self.max_seconds, answer.get("seconds", 0))
        self.max_bytes = max(self.max_bytes, answer.get("bytes", 0))

    def __str__(self):
        total = sum(self.counts.values(), Counter())
        lines = [f"{'kind':<28}{'read':>8}{'reported':>10}{'failed':>8}"]
        lines += [
            f"{kind:<28}{c['read']:>8}{c['reported']:>10}{c['failed']:>8}"
            for kind, c in [*self.counts.items(), ("all", total)]
        ]
        reasons = Counter(reason.split(":")[0] for _, reason in self.failures)
        lines += [f"{reason}: {count} files" for reason, count in reasons.items()]
        mebibytes = self.max_bytes / 2**20
        lines.append(f"most for one: {self.max_seconds:.2f} s, {mebibytes:.0f} MiB")
        return "\n".join(lines)


def fuzz(seeds, n_files, seed):
    """Damage files and read them.

    Parameters
    ----------
    seeds : dict of str to bytes
        Whole files; their names begin with their suffix.
    n_files, seed : int
        Number of damaged files and seed of the generator.

    Returns
    -------
    Summary
    """
    summary = Summary()
    damaged = fuzzed_files(seeds, n_files, seed)
    with Reader(seeds) as reader:
        while batch := list(itertools.islice(damaged, _BATCH)):
            files = [(fuzzed.suffix, fuzzed.content) for fuzzed in batch]
            answers = reader.read_each(files)
            for fuzzed, answer in zip(batch, answers, strict=True):
                summary.add(fuzzed, answer, _judge(fuzzed, answer, reader.whole))
    return summary


def _judge(fuzzed, answer, whole):
    """Return why the outcome of a file is a failure, or None."""
    if "end" in answer:
        return answer["end"]
    if answer["seconds"] > MAX_SECONDS:
        return f"took {answer['seconds']:.1f} s"
    if answer["bytes"] > MAX_BYTES:
        return f"took {answer['bytes']:,} bytes"
    grey, rgb = answer["outcomes"]
    if ("shape" in grey) != ("shape" in rgb):
        return f"read only in one of grey and RGB: {grey}, {rgb}"
    if "error" in grey:
        named = grey["message"].startswith(f"{answer['path']}: ")
        named &= grey["error"] == "ValueError"
        return None if named else f"{grey['error']} not documented: {grey['message']}"
    size = grey["shape"]
    if len(size) != 2 or min(size) < 1 or rgb["shape"] != [*size, 3]:
        return f"shapes: {size}, {rgb['shape']}"
    if {grey["dtype"], rgb["dtype"]} != {"uint8"}:
        return f"types: {grey['dtype']}, {rgb['dtype']}"
    stated = _stated_size(fuzzed.content)
    if stated is not None and sorted(stated) != sorted(size):
        return f"size differs from the header: {stated}, {size}"
    is_whole = whole[fuzzed.seed]["outcomes"][0].get("digest") == grey["digest"]
    if fuzzed.damage == ("cut_short",) and not is_whole:
        return "truncated, and other pixels are read"
    return None


def _stated_size(content):
    """Return height and width that another library reads in the header, or None."""
    import pydicom
    from PIL import Image

    with warnings.catch_warnings(), contextlib.suppress(Exception):
        # Warnings about damaged files are not needed here.
        warnings.simplefilter("ignore")
        if content[128:132] == b"DICM":
            header = pydicom.dcmread(io.BytesIO(content), stop_before_pixels=True)
            return header.Rows, header.Columns
        Image.MAX_IMAGE_PIXELS = None
        width, height = Image.open(io.BytesIO(content)).size
        return height, width
    return None


def _main():
    from _helpers.image_seeds import make_seeds

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=10_000, help="number of files")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="folder for files that fail")
    options = parser.parse_args()
    summary = fuzz(make_seeds(), options.n, options.seed)
    print(summary)
    for number, (fuzzed, reason) in enumerate(summary.failures):
        print(f"{fuzzed.seed}, {' '.join(fuzzed.damage)}: {reason}")
        if options.keep:
            options.keep.mkdir(parents=True, exist_ok=True)
            name = f"{number}{fuzzed.suffix}"
            (options.keep / name).write_bytes(fuzzed.content)
    return 1 if summary.failures else 0


if __name__ == "__main__":
    if "--serve" in sys.argv:
        _serve()
    else:
        sys.exit(_main())
