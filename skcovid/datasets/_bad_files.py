"""Leave files that can't be read out of a set."""

from skcovid._base._progress import Progress
from skcovid.datasets._metadata import enumerate_some
from skcovid.datasets._provenance import is_dicom_file
from skcovid.datasets._sets import RadiographSet
from skcovid.reading._check_files import inspect_files, try_read
from skcovid.reading._dicom_headers import read_header
from skcovid.reading._paths import format_path


def leave_out_bad_files(found: RadiographSet, *, n_jobs: int, verbose: int) -> None:
    """Read every file of a set, and move those that can't be read to `bad_files`."""
    paths = [image.path for image in found.images]
    class_names = found.class_names
    with Progress("reading", len(paths), "file", verbose) as progress:
        contents = progress.follow(inspect_files(paths, n_jobs=n_jobs))
        for path, content in zip(paths, contents, strict=True):
            problem: object = content
            # Pixels may be readable where the header is not.
            if is_dicom_file(path) and not isinstance(content, Exception):
                problem = try_read(read_header, path)
            if isinstance(problem, Exception):
                reason = str(problem).removeprefix(f"{format_path(path)}: ")
                found.bad_files[path] = reason
    found.images = [one for one in found.images if one.path not in found.bad_files]
    if lost := sorted(set(class_names).difference(found.class_names)):
        bad = [f"{format_path(path)}: {why}" for path, why in found.bad_files.items()]
        raise ValueError(
            f"on_error='report' leaves no image of class {lost[0]!r} in {found.name}: "
            f"none of its files can be read. {enumerate_some(bad)}"
        )
