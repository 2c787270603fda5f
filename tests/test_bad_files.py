"""Files that can't be read, have vanished, or have names that are not text."""

import os
import tempfile
import warnings
from pathlib import Path

import numpy as np
import pytest

from skcovid import RadiographReader
from skcovid.datasets import load_radiographs, make_radiographs, save_radiographs
from skcovid.reading import read_radiograph
from skcovid.reading._check_files import check_files


@pytest.fixture(scope="module")
def radiographs():
    return make_radiographs(
        12, image_size=16, weights=(1, 1, 1), n_patients=6, random_state=0
    )


@pytest.fixture
def folder(tmp_path, radiographs):
    """A saved set of 12 images, two per patient."""
    root = tmp_path / "set"
    save_radiographs(
        radiographs.images, radiographs.target, root, groups=radiographs.groups
    )
    return root


def damage(folder):
    """Make three files of a set unreadable and return them with the reason."""
    files = sorted(folder.glob("*/*.png"))
    cut, empty, other = files[1], files[5], files[-1]
    cut.write_bytes(cut.read_bytes()[:-60])
    empty.write_bytes(b"")
    other.write_bytes(b"%PDF-1.7 " * 9)
    return {str(cut): "truncated", str(empty): "is empty", str(other): "begins with"}


def report(root, **parameters):
    """Load a set without its bad files; return it and the messages of warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        data = load_radiographs(root, on_error="report", verbose=0, **parameters)
    return data, [str(warning.message) for warning in caught]


class TestReport:
    @pytest.mark.parametrize("kind", ["folder", "table"])
    def test_bad_files_are_left_out_with_the_reason(self, folder, kind):
        whole = load_radiographs(folder)
        rows = {
            path: (label, group)
            for path, label, group in zip(
                whole.paths, whole.target, whole.groups, strict=True
            )
        }
        reasons = damage(folder)
        root = folder
        if kind == "table":
            root = folder / "table.csv"
            lines = [f"{path},{label},{group}" for path, (label, group) in rows.items()]
            root.write_text("\n".join(["path,label,patient", *lines]))
        data, messages = report(root)
        assert set(data.bad_files) == set(reasons)
        assert all(reasons[path] in data.bad_files[path] for path in reasons)
        assert not any(path in data.bad_files[path] for path in reasons)
        assert set(data.paths) == set(rows) - set(reasons)
        assert len(data.paths) == len(data.target) == len(data.groups) == 9
        for path, label, group in zip(
            data.paths, data.target, data.groups, strict=True
        ):
            assert rows[path] == (label, group)
        assert any(
            "3 files" in message and "left out" in message for message in messages
        )
        assert "can't be read: 3" in data.DESCR
        assert RadiographReader(8).fit_transform(data.paths).shape == (9, 8, 8)

    def test_by_default_nothing_is_read_and_all_bad_files_are_listed_later(
        self, folder
    ):
        reasons = damage(folder)
        data = load_radiographs(folder)
        assert len(data.paths) == 12
        assert data.bad_files == {}
        with pytest.raises(ValueError, match="3 of 12 files") as error:
            RadiographReader(8).fit_transform(data.paths)
        assert all(path in str(error.value) for path in reasons)

    def test_without_bad_files_the_set_is_the_same(self, folder):
        whole, (data, messages) = load_radiographs(folder), report(folder)
        assert list(data.paths) == list(whole.paths)
        assert list(data.groups) == list(whole.groups)
        assert data.DESCR == whole.DESCR
        assert (data.bad_files, messages) == ({}, [])

    def test_files_are_not_decoded_again_by_the_reader(self, folder, monkeypatch):
        data, _ = report(folder)
        monkeypatch.setattr("skcovid.reading._check_files.decode_file", None)
        assert RadiographReader(8).fit_transform(data.paths).shape == (12, 8, 8)

    def test_a_class_without_readable_files_is_an_error(self, folder):
        for path in (folder / "NORMAL").glob("*.png"):
            path.write_bytes(b"")
        with pytest.raises(ValueError, match=r"'NORMAL'.*empty"):
            load_radiographs(folder, on_error="report", verbose=0)

    def test_missing_files_of_a_table(self, folder):
        lines = [f"{name}/{number}.png,{name}" for name in "ab" for number in (1, 2)]
        table = folder / "table.csv"
        table.write_text("\n".join(["path,label", *lines]))
        image = next(folder.glob("*/*.png")).read_bytes()
        for name in ("a/1.png", "b/1.png"):
            (folder / name).parent.mkdir()
            (folder / name).write_bytes(image)
        with pytest.raises(FileNotFoundError, match=r"2 files.*exist"):
            load_radiographs(table)
        data, _ = report(table)
        assert data.bad_files == {
            str(folder / name): "no such file" for name in ("a/2.png", "b/2.png")
        }
        assert list(data.target) == ["a", "b"]

    def test_dicom_files(self, folder):
        pytest.importorskip("pydicom")
        from _helpers.dicom_files import write_dicom

        whole = write_dicom(folder / "NORMAL" / "1.dcm", PatientID="7")
        slice_ = write_dicom(folder / "NORMAL" / "2.dcm", Modality="CT")
        cut = write_dicom(folder / "NORMAL" / "3.dcm")
        cut.write_bytes(cut.read_bytes()[:-9])
        data, _ = report(folder, metadata=None)
        assert set(data.bad_files) == {str(slice_), str(cut)}
        assert "modality CT" in data.bad_files[str(slice_)]
        assert "truncated" in data.bad_files[str(cut)]
        assert data.groups[list(data.paths).index(str(whole))] == "7"

    def test_frontal_views_of_readable_files(self, folder):
        table = (folder / "metadata.csv").read_text().splitlines()
        rows = [f"{line},PA" for line in table[1:]]
        rows[0] = rows[0].removesuffix("PA") + "L"
        (folder / "metadata.csv").write_text("\n".join([f"{table[0]},view", *rows]))
        reasons = damage(folder)
        data, _ = report(folder, views="frontal")
        assert set(data.bad_files) == set(reasons)
        assert len(data.dropped) == 1
        assert len(data.paths) == len(data.target) == 8

    @pytest.mark.parametrize("wrong", [{"on_error": "ignore"}, {"n_jobs": 0}])
    def test_wrong_parameters_are_errors(self, folder, wrong):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            load_radiographs(folder, **wrong)


class TestVanishedFiles:
    def test_between_listing_and_reading(self, folder):
        data = load_radiographs(folder)
        Path(data.paths[3]).unlink()
        with pytest.raises(FileNotFoundError, match="1 of 12 files") as error:
            RadiographReader(8).fit_transform(data.paths)
        assert f"{data.paths[3]}: no such file" in str(error.value)

    def test_between_checking_and_reading(self, folder):
        data = load_radiographs(folder)
        images = RadiographReader(8).fit_transform(data.paths)
        Path(data.paths[3]).unlink()
        with pytest.raises(FileNotFoundError, match="no such file") as error:
            np.asarray(images)
        assert data.paths[3] in str(error.value)

    def test_while_a_set_is_loaded(self, folder):
        # A broken link is listed like a file but cannot be opened.
        gone = folder / "NORMAL" / "gone.png"
        gone.symlink_to(folder / "nowhere.png")
        data, _ = report(folder, metadata=None)
        assert data.bad_files == {str(gone): "no such file"}


@pytest.fixture
def unprivileged():
    """Become a user other than root, with a folder it may enter."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o777)
        is_root = os.geteuid() == 0
        if is_root:
            os.seteuid(65534)
        try:
            yield Path(name)
        finally:
            if is_root:
                os.seteuid(0)
            for path in Path(name).rglob("*"):
                path.chmod(0o700)


class TestPermissions:
    def test_files_without_read_permission_are_listed(self, unprivileged):
        secret, empty = unprivileged / "secret.png", unprivileged / "empty.png"
        secret.write_bytes(b"secret")
        secret.chmod(0)
        empty.touch()
        with pytest.raises(PermissionError, match=r"secret\.png"):
            read_radiograph(secret)
        with pytest.raises(ValueError, match="2 of 2 files") as error:
            check_files([str(secret), str(empty)])
        assert f"{secret}: Permission denied" in str(error.value)

    def test_a_folder_without_read_permission_is_an_error(self, unprivileged):
        for name in "ab":
            (unprivileged / name).mkdir()
            (unprivileged / name / "1.png").touch()
        (unprivileged / "b").chmod(0)
        with pytest.raises(PermissionError, match="/b"):
            load_radiographs(unprivileged)


class TestLinksAndSpecialFiles:
    def test_links_to_parent_folders_are_not_followed(self, folder):
        first = load_radiographs(folder)
        (folder / "NORMAL" / "up").symlink_to(folder)
        (folder / "NORMAL" / "self").symlink_to(folder / "NORMAL")
        (folder / "COVID-19" / "above").symlink_to(folder.parent)
        with pytest.warns(UserWarning, match=r"3 files .* are ignored"):
            data = load_radiographs(folder)
        assert list(data.paths) == list(first.paths)
        assert len(data.ignored) == 3

    def test_folders_that_link_to_each_other(self, folder):
        (folder / "NORMAL" / "next").symlink_to(folder / "COVID-19")
        (folder / "COVID-19" / "next").symlink_to(folder / "NORMAL")
        with pytest.warns(UserWarning, match="are ignored"):
            data = load_radiographs(folder)
        assert len(data.paths) == 12

    def test_a_link_to_itself(self, folder):
        link = folder / "NORMAL" / "circle.png"
        link.symlink_to(link)
        with pytest.raises(OSError, match=r"circle\.png"):
            read_radiograph(link)
        data, _ = report(folder, metadata=None)
        assert data.bad_files == {str(link): "Too many levels of symbolic links"}

    def test_a_pipe_and_a_device_are_refused_at_once(self, folder):
        pipe, device = folder / "NORMAL" / "pipe.png", folder / "NORMAL" / "zero.png"
        os.mkfifo(pipe)
        os.mkfifo(folder / "NORMAL" / "no suffix")
        device.symlink_to("/dev/zero")
        with pytest.warns(UserWarning, match="no suffix"):
            data = load_radiographs(folder, metadata=None)
        with pytest.raises(ValueError, match="2 of 14 files") as error:
            check_files(list(data.paths))
        assert str(error.value).count("is a device or a pipe, not an image") == 2

    def test_a_folder_named_like_an_image(self, folder):
        image = next(folder.glob("NORMAL/*.png")).read_bytes()
        inside = folder / "NORMAL" / "folder.png" / "1.png"
        inside.parent.mkdir()
        inside.write_bytes(image)
        with pytest.warns(UserWarning, match=r"1 files .* are ignored"):
            data = load_radiographs(folder)
        assert data.ignored == [str(inside)]
        with pytest.raises(ValueError, match="is a folder"):
            read_radiograph(inside.parent)

    def test_a_huge_file_is_not_read(self, tmp_path):
        path = tmp_path / "a.png"
        with path.open("wb") as file:
            file.truncate(2**40)
        with pytest.raises(ValueError, match="1,099,511,627,776 bytes"):
            read_radiograph(path)

    def test_a_null_character_in_a_path_is_an_error(self, tmp_path):
        with pytest.raises(ValueError, match=r"a\\x00b\.png.*path"):
            check_files([str(tmp_path / "a\0b.png")])


NAMES = [
    *("with space.png", " .png", "line\nbreak.png", "tab\t.png", "\x1b[31mred.png"),
    *("röntgen.png", "ro\u0308ntgen.png", "胸部 X線.png", "\u202egnp.png", "🫁.png"),
    *("'quote\".png", "back\\slash.png", "%s{0}.png", "-rf.png", "~.png", "*.png"),
    *("x" * 250 + ".png", os.fsdecode(b"\xff\xfe no text.png")),
]


class TestUnusualNames:
    @pytest.fixture
    def named(self, tmp_path, write_image, grey_images):
        image = write_image("a.png", grey_images[0]).read_bytes()
        for label in ("a", os.fsdecode(b"b\xe9")):
            (tmp_path / "set" / label).mkdir(parents=True)
            for name in NAMES:
                (tmp_path / "set" / label / name).write_bytes(image)
        return tmp_path / "set"

    def test_images_of_any_name_are_read(self, named, grey_images):
        data = load_radiographs(named)
        assert len(data.paths) == 2 * len(NAMES)
        assert {Path(path).name for path in data.paths} == set(NAMES)
        assert {Path(path).parent.name for path in data.paths} == set(data.target)
        images = np.asarray(RadiographReader().fit_transform(data.paths))
        assert (images == grey_images[0]).all()

    def test_each_has_one_printable_line_in_the_error(self, named):
        data = load_radiographs(named)
        for path in data.paths:
            Path(path).write_bytes(b"")
        with pytest.raises(ValueError, match="36 of 36 files") as error:
            RadiographReader(8).fit_transform(data.paths)
        lines = str(error.value).encode().decode().split("\n")
        assert len(lines) == 37
        assert all(line.endswith(": the file is empty") for line in lines[1:])
        assert all(line.isprintable() for line in lines)
        assert any(r"line\nbreak.png': the file" in line for line in lines)

    def test_predict_archive_reads_them(self, named, tmp_path):
        parquet = pytest.importorskip("pyarrow.parquet")
        from imblearn.pipeline import Pipeline
        from sklearn.dummy import DummyClassifier

        from skcovid import predict_archive

        pipeline = Pipeline(
            [("read", RadiographReader(8)), ("guess", DummyClassifier())]
        )
        pipeline.fit([[[0]], [[255]]], ["NORMAL", "COVID-19"])
        paths = [str(named / "a" / name) for name in NAMES]
        Path(paths[2]).write_bytes(b"")
        for n_resumed in (0, len(paths)):
            result = predict_archive(pipeline, paths, tmp_path / "out", verbose=0)
            assert (result.n_errors, result.n_resumed) == (1, n_resumed)
        table = parquet.read_table(tmp_path / "out")
        assert table["error"][2].as_py() == "the file is empty"
        assert table["path"].to_pylist()[:-1] == paths[:-1]
        assert table["path"][-1].as_py().endswith(r"\udcff\udcfe no text.png")
