import os
import pickle
import struct
import tracemalloc
import zipfile
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import RidgeClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from skcovid import RadiographReader
from skcovid.datasets import load_radiographs, make_radiographs, save_radiographs
from skcovid.reading import read_radiograph
from skcovid.reading._check_files import check_files


@pytest.fixture
def folder(tmp_path):
    """A saved set of 12 images, two per patient."""
    data = make_radiographs(
        12, image_size=16, weights=(1, 1, 1), n_patients=6, random_state=0
    )
    root = tmp_path / "set"
    save_radiographs(data.images, data.target, root, groups=data.groups)
    return root


def zip_folder(folder, path, below="", compression=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for file in sorted(folder.rglob("*")):
            archive.write(file, Path(below) / file.relative_to(folder))
    return path


@pytest.fixture
def write_zip(tmp_path):
    """Write an archive with members given by name."""

    def write(members, name="radiographs.zip"):
        path = tmp_path / name
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for member, content in members.items():
                archive.writestr(member, content)
        return path

    return write


@pytest.fixture
def png(write_image, grey_images):
    """Bytes of a PNG file."""
    return write_image("one.png", grey_images[0]).read_bytes()


def flatten(images):
    return np.asarray(images).reshape(len(images), -1)


class TestLoading:
    @pytest.mark.parametrize("below", ["", "radiographs", "Radiographs"])
    def test_an_archive_loads_like_its_folder(self, folder, tmp_path, below):
        path = zip_folder(folder, tmp_path / "radiographs.zip", below)
        plain, zipped = load_radiographs(folder), load_radiographs(path)
        expected = [Path(one).relative_to(folder) for one in plain.paths]
        assert [Path(one).relative_to(path / below) for one in zipped.paths] == expected
        np.testing.assert_array_equal(zipped.target, plain.target)
        np.testing.assert_array_equal(zipped.groups, plain.groups)
        assert zipped.ignored == []

    def test_pixels_and_keys_are_those_of_the_folder(self, folder, tmp_path):
        path = zip_folder(folder, tmp_path / "radiographs.zip")
        plain, zipped = (
            RadiographReader(12).fit_transform(load_radiographs(root).paths)
            for root in (folder, path)
        )
        np.testing.assert_array_equal(np.asarray(zipped), np.asarray(plain))
        np.testing.assert_array_equal(zipped.keys, plain.keys)

    def test_nothing_is_unpacked(self, folder, tmp_path, monkeypatch):
        path = zip_folder(folder, tmp_path / "radiographs.zip")
        monkeypatch.chdir(tmp_path)
        before = sorted(tmp_path.rglob("*"))
        images = RadiographReader(12).fit_transform(load_radiographs(path).paths)
        assert np.asarray(images).any()
        assert sorted(tmp_path.rglob("*")) == before

    def test_a_folder_within_an_archive(self, write_zip, png):
        path = write_zip({"some/where/a/1.png": png, "some/where/b/1.png": png})
        assert len(load_radiographs(path / "some" / "where").paths) == 2
        with pytest.raises(ValueError, match=r"one folder.*'some'"):
            load_radiographs(path)
        with pytest.raises(FileNotFoundError, match="no such folder"):
            load_radiographs(path / "nowhere")

    def test_files_of_operating_systems_are_ignored(self, write_zip, png):
        path = write_zip(
            {
                "COVID/images/1.png": png,
                "COVID/masks/1.png": png,
                "Normal/images/1.png": png,
                "__MACOSX/COVID/images/._1.png": b"",
                "COVID/.DS_Store": b"",
                "COVID.metadata.xlsx": b"",
            }
        )
        data = load_radiographs(path)
        assert [Path(one).relative_to(path).as_posix() for one in data.paths] == [
            "COVID/images/1.png",
            "Normal/images/1.png",
        ]

    def test_a_table_may_name_files_in_an_archive(self, write_zip, png, tmp_path):
        write_zip({"a/1.png": png, "a/2.png": png})
        table = tmp_path / "table.csv"
        rows = [f"radiographs.zip/a/{number}.png,{number}" for number in (1, 2)]
        table.write_text("\n".join(["path,label", *rows]))
        data = load_radiographs(table)
        assert RadiographReader().fit_transform(data.paths).shape == (2, 12, 10)
        table.write_text("\n".join(["path,label", *rows, "radiographs.zip/b.png,1"]))
        with pytest.raises(FileNotFoundError, match=r"radiographs\.zip/b\.png"):
            load_radiographs(table)

    def test_end_to_end(self, folder, tmp_path):
        data = load_radiographs(zip_folder(folder, tmp_path / "radiographs.zip"))
        model = make_pipeline(
            RadiographReader(8), FunctionTransformer(flatten), RidgeClassifier()
        )
        model.fit(data.paths, data.target)
        model = pickle.loads(pickle.dumps(model))
        assert (model.predict(data.paths) == data.target).mean() > 0.9


class TestReading:
    @pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
    def test_threads_and_processes(self, folder, tmp_path):
        path = zip_folder(folder, tmp_path / "radiographs.zip")
        paths = load_radiographs(path).paths.tolist()
        expected = [read_radiograph(one) for one in paths]
        assert len(check_files(paths, n_jobs=4)) == 12
        # Forked processes share the open file and its position.
        with ProcessPoolExecutor(2, mp_context=get_context("fork")) as executor:
            for _ in range(5):
                found = list(executor.map(read_radiograph, paths))
                np.testing.assert_array_equal(found, expected)

    def test_a_replaced_archive_is_read_again(
        self, write_zip, write_image, grey_images
    ):
        files = [write_image(f"{n}.png", grey_images[n]).read_bytes() for n in (0, 1)]
        path = write_zip({"a/1.png": files[0]})
        member = str(path / "a/1.png")
        [before] = check_files([member])
        os.utime(write_zip({"a/1.png": files[1]}), ns=(1, 1))
        [after] = check_files([member])
        assert before.digest != after.digest
        np.testing.assert_array_equal(read_radiograph(member), grey_images[1])

    def test_missing_and_broken_files_are_listed_together(self, write_zip, png):
        path = write_zip({"a/1.png": png, "a/2.png": png[:-30], "a/3.png": b""})
        paths = [str(path / f"a/{number}.png") for number in range(1, 5)]
        with pytest.raises(ValueError, match="3 of 4 files") as error:
            check_files(paths)
        lines = str(error.value).splitlines()[1:]
        reasons = ["truncated", "empty", "no such file in the archive"]
        for line, bad, reason in zip(lines, paths[1:], reasons, strict=True):
            assert bad in line
            assert reason in line

    def test_a_folder_named_zip(self, tmp_path, png):
        for name in ("a/1.png", "b/1.png"):
            file = tmp_path / "folder.zip" / name
            file.parent.mkdir(parents=True)
            file.write_bytes(png)
        data = load_radiographs(tmp_path / "folder.zip")
        assert RadiographReader().fit_transform(data.paths).shape == (2, 12, 10)


def damage(path, position, *, of=b"PK\x03\x04"):
    data = bytearray(path.read_bytes())
    data[data.index(of) + position] ^= 0xFF
    path.write_bytes(bytes(data))


class TestHostile:
    @pytest.mark.parametrize(
        "name",
        ["../a/1.png", "a/../../1.png", "/a/1.png", "C:/a/1.png", "a/..", "a\\1.png"],
    )
    def test_names_outside_the_archive_are_refused(self, write_zip, png, name):
        path = write_zip({"a/2.png": png, "b/1.png": png, "x" * len(name): png})
        # zipfile cleans names on writing, so they are patched afterwards.
        stored = path.read_bytes().replace(b"x" * len(name), name.encode())
        path.write_bytes(stored)
        with pytest.raises(ValueError, match="outside the archive"):
            load_radiographs(path)
        with pytest.raises(ValueError, match="outside the archive"):
            read_radiograph(path / "a/2.png")
        assert not (path.parent.parent / "a").exists()

    @pytest.mark.parametrize("name", ["a/1..png", "a/..1.png", "b..c/1.png"])
    def test_dots_in_names_are_harmless(self, write_zip, png, name):
        path = write_zip({name: png})
        assert read_radiograph(path / name).shape == (12, 10)

    def test_a_duplicate_name(self, write_zip, png):
        path = write_zip({"a/1.png": png, "b/1.png": png, "a/2.png": png})
        path.write_bytes(path.read_bytes().replace(b"a/2.png", b"a/1.png"))
        with pytest.raises(ValueError, match=r"2 entries.*'a/1\.png'"):
            load_radiographs(path)

    @pytest.mark.parametrize("name", ["./A/1.png", "A/./1.png", "A//1.png", "A/1.png/"])
    def test_a_second_name_of_the_same_file(self, write_zip, png, name):
        path = write_zip({"A/1.png": png, "B/1.png": png, name: png})
        with pytest.raises(ValueError, match=r"2 entries.*'A/1\.png'"):
            load_radiographs(path)
        with pytest.raises(ValueError, match=r"2 entries.*'A/1\.png'"):
            read_radiograph(path / "B/1.png")

    @pytest.mark.parametrize("name", ["./A/", "A/./", "A//", ".//A/"])
    def test_a_second_name_of_a_folder(self, write_zip, png, name):
        files = {f"{label}/{n}.png": png for label in "AB" for n in range(6)}
        data = load_radiographs(write_zip({name: b"", **files}))
        assert data.target.tolist() == ["A"] * 6 + ["B"] * 6
        with pytest.raises(ValueError, match=r"2 entries.*'A'"):
            load_radiographs(write_zip({"A/": b"", name: b"", **files}, "two.zip"))

    def test_every_name_is_normal(self, write_zip, png):
        path = write_zip({"./": b"", "./A/1.png": png, "B/.//1.png": png})
        data = load_radiographs(path)
        assert data.paths.tolist() == [str(path / "A/1.png"), str(path / "B/1.png")]
        assert RadiographReader().fit_transform(data.paths).shape == (2, 12, 10)

    def test_a_huge_member(self, write_zip, png):
        path = write_zip({"a/1.png": png, "b/1.png": png})
        # Bytes 24 to 27 of a central directory entry: the unpacked size.
        data = bytearray(path.read_bytes())
        at = data.index(b"PK\x01\x02") + 24
        data[at : at + 4] = struct.pack("<I", 2**31)
        path.write_bytes(bytes(data))
        with pytest.raises(ValueError, match=r"'a/1\.png'.*2,147,483,648"):
            load_radiographs(path)

    def test_a_bomb_of_many_members(self, write_zip, png):
        path = write_zip({f"a/{number}.png": png for number in range(40)})
        data = bytearray(path.read_bytes())
        at = -1
        while (at := data.find(b"PK\x01\x02", at + 1)) >= 0:
            data[at + 24 : at + 28] = struct.pack("<I", 2**28)
        path.write_bytes(bytes(data))
        with pytest.raises(ValueError, match="zip bomb"):
            load_radiographs(path)

    def test_a_member_with_a_false_size(self, write_zip, png):
        path = write_zip({"a/1.png": bytes(50_000_000), "b/1.png": png})
        data = bytearray(path.read_bytes())
        at = data.index(b"PK\x01\x02") + 24
        data[at : at + 4] = struct.pack("<I", 1000)
        path.write_bytes(bytes(data))
        tracemalloc.start()
        try:
            with pytest.raises(ValueError, match="damaged in the archive"):
                read_radiograph(path / "a/1.png")
            assert tracemalloc.get_traced_memory()[1] < 20_000_000
        finally:
            tracemalloc.stop()

    def test_large_blank_images_are_read(self, write_zip):
        blank = b"BM" + bytes(3_000_000)
        path = write_zip({f"{name}/1.bmp": blank for name in "ab"})
        assert path.stat().st_size < 10_000
        assert len(load_radiographs(path).paths) == 2

    def test_a_damaged_member(self, write_zip, png):
        path = write_zip({"a/1.png": png, "b/1.png": png})
        damage(path, 60)
        assert len(load_radiographs(path).paths) == 2
        with pytest.raises(ValueError, match=r"a/1\.png.*damaged"):
            read_radiograph(path / "a/1.png")

    @pytest.mark.parametrize("flags", [0x01, 0x21, 0x41])
    def test_an_encrypted_member(self, write_zip, png, flags):
        path = write_zip({"a/1.png": png, "b/1.png": png})
        data = bytearray(path.read_bytes())
        data[data.index(b"PK\x01\x02") + 8] |= flags
        path.write_bytes(data)
        with pytest.raises(ValueError, match=r"a/1\.png: encrypted.*unpack.*password"):
            read_radiograph(path / "a/1.png")
        assert read_radiograph(path / "b/1.png").any()

    def test_a_member_that_is_compressed_in_another_way(self, write_zip, png):
        path = write_zip({"a/1.png": png, "b/1.png": png})
        damage(path, 10, of=b"PK\x01\x02")
        with pytest.raises(ValueError, match=r"a/1\.png: can't.*archive.*unpack"):
            read_radiograph(path / "a/1.png")

    def test_an_archive_replaced_at_the_same_size_and_time(self, write_zip):
        for level in (0, 200):
            pixels = b"P5 4 4 255\n" + bytes([level] * 16)
            with zipfile.ZipFile(write_zip({}), "w") as archive:
                archive.writestr(zipfile.ZipInfo("a/1.pgm"), pixels)
            path = Path(archive.filename)
            os.utime(path, ns=(10**18, 10**18))
            assert read_radiograph(path / "a/1.pgm").max() == level

    @pytest.mark.parametrize("content", [b"", b"PK\x05\x06", b"no archive"])
    def test_a_file_that_is_not_a_zip_archive(self, tmp_path, content):
        path = tmp_path / "a.zip"
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"a\.zip.*zip archive"):
            load_radiographs(path)
        with pytest.raises(ValueError, match=r"a\.zip.*zip archive"):
            read_radiograph(path / "1.png")

    def test_a_truncated_archive(self, folder, tmp_path):
        path = zip_folder(folder, tmp_path / "a.zip")
        path.write_bytes(path.read_bytes()[:-100])
        with pytest.raises(ValueError, match="zip archive"):
            load_radiographs(path)

    def test_an_archive_without_files(self, write_zip):
        with pytest.raises(ValueError, match=r"no class folder.*no images"):
            load_radiographs(write_zip({}))
