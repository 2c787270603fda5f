import os
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import cv2
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.model_selection import (
    StratifiedGroupKFold,
    StratifiedKFold,
    cross_val_score,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skcovid import RadiographReader
from skcovid.datasets import (
    cohen_patients,
    load_radiographs,
    make_radiographs,
    save_radiographs,
)
from skcovid.reading import read_radiograph

CLASSES = ["COVID-19", "NORMAL", "Viral Pneumonia"]
KERMANY = [
    "NORMAL/IM-0115-0001.jpeg",
    "NORMAL/IM-0429-0001-0001.jpeg",
    "NORMAL/IM-0429-0001.jpeg",
    "NORMAL/NORMAL2-IM-0115-0001.jpeg",
    "PNEUMONIA/person1_bacteria_1.jpeg",
    "PNEUMONIA/person1_bacteria_2.jpeg",
    "PNEUMONIA/person1_virus_6.jpeg",
]
NIH = ["A/00000013_005.png", "A/00000013_006.png", "B/00000013_007.png"]


@pytest.fixture
def make_files(tmp_path):
    """Make empty files below `tmp_path`; return it. Loading opens no image."""

    def make(*names):
        for name in names:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        return tmp_path

    return make


def make_folder(path):
    path.mkdir(parents=True, exist_ok=True)
    return path


def names_of(data, root):
    return [Path(path).relative_to(root).as_posix() for path in data.paths]


@pytest.fixture(scope="module")
def balanced():
    return make_radiographs(300, weights=(1, 1, 1), random_state=0)


class TestLoadRadiographs:
    def test_order_is_class_then_numbers_as_numbers(self, make_files):
        root = make_files("b/10.png", "b/9.png", "b/x 2.png", "a/1.jpg", "b/x 10.png")
        make_files("b/٣.png")
        data = load_radiographs(root)
        assert names_of(data, root) == [
            *("a/1.jpg", "b/٣.png", "b/9.png", "b/10.png", "b/x 2.png", "b/x 10.png")
        ]
        assert data.target.tolist() == ["a"] + ["b"] * 5
        assert data.target_names == ["a", "b"]
        assert data.paths.dtype == object
        assert all(type(path) is str for path in data.paths)
        assert data.groups is None
        assert data.source is None
        assert data.ignored == []
        assert "b: images 5, patients not known" in data.DESCR

    @pytest.mark.parametrize("kind", [str, Path])
    def test_paths_begin_with_the_root_as_given(self, make_files, monkeypatch, kind):
        monkeypatch.chdir(make_files("here/a/1.png", "here/b/1.png"))
        data = load_radiographs(kind("here"))
        assert data.paths.tolist() == [str(Path("here/a/1.png")), "here/b/1.png"]

    @pytest.mark.parametrize("change_case", [str.lower, str.upper])
    @pytest.mark.parametrize(
        "suffix",
        ["png", "jpg", "jpeg", "jfif", "bmp", "tif", "tiff", "webp", "pgm", "ppm"],
    )
    def test_formats(self, make_files, suffix, change_case):
        name = f"a/1.{change_case(suffix)}"
        root = make_files(name, "b/1.png")
        assert names_of(load_radiographs(root), root)[0] == name

    @pytest.mark.parametrize(("suffix", "codec"), [("jfif", "jpg"), ("ppm", "ppm")])
    def test_listed_formats_are_read(self, make_files, suffix, codec):
        root = make_files("b/1.png")
        pixels = np.full((8, 8, 3), 90, np.uint8)
        (root / "a").mkdir()
        (root / f"a/1.{suffix}").write_bytes(cv2.imencode(f".{codec}", pixels)[1])
        data = load_radiographs(root)
        assert names_of(data, root) == [f"a/1.{suffix}", "b/1.png"]
        np.testing.assert_allclose(read_radiograph(data.paths[0]), 90, atol=1)

    def test_images_in_sub_folders_without_their_masks(self, make_files):
        root = make_files(
            "COVID/images/COVID-2.png",
            "COVID/images/COVID-10.png",
            "COVID/masks/COVID-2.png",
            "COVID/masks/COVID-10.png",
            "Normal/images/Normal-1.png",
            "Normal/masks/Normal-1.png",
            "COVID.metadata.xlsx",
            "README.md.txt",
        )
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            data = load_radiographs(root)
        assert names_of(data, root) == [
            "COVID/images/COVID-2.png",
            "COVID/images/COVID-10.png",
            "Normal/images/Normal-1.png",
        ]
        assert data.target.tolist() == ["COVID", "COVID", "Normal"]
        assert "COVID: images 2, patients not known, masks 2" in data.DESCR

    def test_folders_that_are_links_are_followed(self, make_files, tmp_path):
        make_files("one/1.png", "two/1.png", "root/a/1.png", "root/b/1.png")
        (tmp_path / "root/c").symlink_to(tmp_path / "one")
        (tmp_path / "root/b/images").symlink_to(tmp_path / "two")
        data = load_radiographs(tmp_path / "root")
        assert data.target.tolist() == ["a", "b", "b", "c"]

    @pytest.mark.parametrize("link", ["c", "b/images", "b/2.png"])
    def test_a_file_in_two_places_is_an_error(self, make_files, tmp_path, link):
        make_files("a/1.png", "b/1.png")
        target = tmp_path / ("a/1.png" if link.endswith("png") else "a")
        (tmp_path / link).symlink_to(target)
        with pytest.raises(ValueError, match=r"a/1\.png, .* are the same file"):
            load_radiographs(tmp_path)

    @pytest.mark.parametrize(
        "name",
        [".DS_Store", "Thumbs.db", "desktop.ini", ".hidden.png", ".cache/1.png"],
    )
    def test_hidden_files_are_ignored(self, make_files, name):
        root = make_files("a/1.png", "b/1.png", f"a/{name}", name, "__MACOSX/a/1.png")
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            data = load_radiographs(root)
        assert names_of(data, root) == ["a/1.png", "b/1.png"]
        assert data.ignored == []

    def test_other_files_are_reported_once(self, make_files):
        root = make_files("a/1.png", "b/1.png", "stray.png", "notes.txt")
        make_files(*[f"a/{number}.txt" for number in range(4)], "b/more/2.png")
        with pytest.warns(UserWarning, match=r"^6 files .* are ignored") as caught:
            data = load_radiographs(root)
        assert len(caught) == 1
        assert caught[0].filename == __file__
        ignored = [Path(path).relative_to(root).as_posix() for path in data.ignored]
        assert ignored == [
            *("stray.png", "a/0.txt", "a/1.txt", "a/2.txt", "a/3.txt", "b/more/2.png")
        ]
        message = str(caught[0].message)
        assert message.count(".txt") == 4
        assert message.endswith("and 1 more")
        assert str(root / "b/more/2.png") in data.DESCR
        assert names_of(data, root) == ["a/1.png", "b/1.png"]

    @pytest.mark.parametrize("suffix", ["", ".image", ".0001", ".txt"])
    def test_images_are_found_by_their_first_bytes(
        self, tmp_path, write_image, grey_images, suffix
    ):
        kinds = ("png", "jpg", "tif", "bmp", "webp", "pgm")
        for label in "ab":
            for kind in kinds:
                write_image(f"a.{kind}", grey_images[0]).rename(
                    make_folder(tmp_path / "set" / label) / f"{kind}{suffix}"
                )
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            data = load_radiographs(tmp_path / "set")
        assert len(data.paths) == 2 * len(kinds)
        assert np.asarray(RadiographReader().fit_transform(data.paths)).any()

    @pytest.mark.parametrize(
        "start",
        [b"BMI,age\n20,60\n", b"P5 is a patient\n", b"MM", b"RIFF....WAVE", b""],
    )
    def test_a_file_that_only_begins_like_an_image_is_reported(self, make_files, start):
        root = make_files("a/1.png", "b/1.png", "a/notes")
        (root / "a/notes").write_bytes(start)
        with pytest.warns(UserWarning, match=r"neither suffix nor first bytes.*notes"):
            data = load_radiographs(root)
        assert data.ignored == [str(root / "a/notes")]

    @pytest.mark.parametrize("is_table", [False, True])
    def test_names_in_another_form_of_unicode_are_explained(self, make_files, is_table):
        root = make_files("a/Ko\u0308ln.png", "b/1.png")
        if (root / "a/K\u00f6ln.png").exists():
            pytest.skip("the file system takes both forms for one name")
        name = "table.csv" if is_table else "metadata.csv"
        (root / name).write_text("path,label\na/K\u00f6ln.png,a\nb/1.png,b\n", "utf-8")
        with pytest.raises((ValueError, FileNotFoundError), match="NFC or NFD"):
            load_radiographs(root / name if is_table else root)

    def test_class_names_select_folders(self, make_files):
        root = make_files("a/1.png", "b/1.png", "c/1.png", "broken/notes.txt")
        data = load_radiographs(root, class_names=["c", "a"])
        assert data.target_names == ["a", "c"]
        assert names_of(data, root) == ["a/1.png", "c/1.png"]

    def test_attributes_are_indexed_like_arrays(self, make_files):
        root = make_files(*[f"{label}/{n}.png" for label in "ab" for n in range(4)])
        data = load_radiographs(root)
        train, test = next(StratifiedKFold(2).split(data.paths, data.target))
        assert set(data.paths[train]).isdisjoint(data.paths[test])

    @pytest.mark.parametrize(
        ("files", "error", "message"),
        [
            ([], ValueError, "no class folder.*no image"),
            (["1.png", "2.png"], ValueError, r"2 images.*<class>"),
            (["images/1.png", "masks/1.png"], ValueError, "one class: images, masks"),
            (["a/1.png"], ValueError, "one folder.*'a'.*two classes"),
            (
                ["a/b/1.png", "a/c/1.png"],
                ValueError,
                r"b, c.*give \S*a as root",
            ),
            (["a/1.png", "b/1.txt"], ValueError, r"folder \S*b.*no image"),
            (["a/1.png", "b/masks/1.png"], ValueError, r"folder \S*b.*no image"),
            (
                ["new/A/1.png", "new/B/1.png", "old/A/1.png"],
                ValueError,
                r"in A, B.*give \S*new as root",
            ),
        ],
    )
    def test_wrong_layouts_are_errors(self, make_files, files, error, message):
        with pytest.raises(error, match=message):
            load_radiographs(make_files(*files))

    def test_wrong_roots_are_errors(self, make_files):
        root = make_files("a/1.png")
        with pytest.raises(FileNotFoundError, match="nowhere: no such folder"):
            load_radiographs(root / "nowhere")
        with pytest.raises(NotADirectoryError, match=r"1\.png: a file"):
            load_radiographs(root / "a/1.png")

    @pytest.mark.parametrize(
        ("class_names", "message"),
        [
            (["a", "z"], "'z'.*'a', 'b'"),
            (["a"], "at least two classes"),
            ([], "at least two classes"),
            ("ab", "'class_names' parameter"),
        ],
    )
    def test_wrong_class_names_are_errors(self, make_files, class_names, message):
        root = make_files("a/1.png", "b/1.png")
        with pytest.raises(ValueError, match=message):
            load_radiographs(root, class_names=class_names)

    @pytest.mark.skipif("SKCOVID_DATA" not in os.environ, reason="needs SKCOVID_DATA")
    def test_radiography_database(self):
        data = load_radiographs(os.environ["SKCOVID_DATA"])
        labels, counts = np.unique(data.target, return_counts=True)
        assert labels.tolist() == data.target_names == CLASSES
        assert counts.tolist() == [219, 1341, 1345]
        n_patients = [len(set(data.groups[data.target == name])) for name in CLASSES]
        assert n_patients == [219, 1211, 1090]


class TestPatients:
    def test_kermany_file_names(self, make_files):
        data = load_radiographs(make_files(*KERMANY))
        assert data.groups.tolist() == [
            *("IM-0115", "IM-0429", "IM-0429", "NORMAL2-IM-0115"),
            *("person1_bacteria", "person1_bacteria", "person1_virus"),
        ]
        assert "NORMAL: images 4, patients 3 (from file names (Kermany)" in data.DESCR

    def test_patients_of_the_kermany_archive(self, make_files):
        root = make_files(
            "NORMAL/NORMAL-1003233-0001.jpeg",
            "PNEUMONIA/BACTERIA-1008087-0001.jpeg",
            "PNEUMONIA/VIRUS-1008087-0002.jpeg",
        )
        groups = load_radiographs(root).groups.tolist()
        assert groups == ["1003233", "1008087", "1008087"]

    def test_nih_patients_may_be_in_several_classes(self, make_files):
        data = load_radiographs(make_files(*NIH))
        assert data.groups.tolist() == ["00000013"] * 3
        assert "Groups: 1, one per patient" in data.DESCR

    def test_without_a_patient_each_image_is_its_own_group(self, make_files):
        data = load_radiographs(make_files(*NIH, "C/1.png", "C/2.png"))
        assert data.groups.tolist() == ["00000013"] * 3 + ["C/1.png", "C/2.png"]
        assert "C: images 2, patients not known" in data.DESCR

    def test_other_names_beside_those_of_a_scheme(self, make_files):
        root = make_files(*NIH, "A/COVID-1.png")
        with pytest.warns(UserWarning, match=r"1 images .*no patient.*COVID-1") as seen:
            data = load_radiographs(root)
        assert len(seen) == 1
        groups = ["00000013", "00000013", "A/COVID-1.png", "00000013"]
        assert data.groups.tolist() == groups
        nih = "NIH ChestX-ray14"
        assert data.source.tolist() == [nih, nih, "", nih]
        described = f"A: images 3, patients 2 (from file names ({nih}), but 1 images"
        assert described in data.DESCR

    def test_a_folder_of_two_schemes(self, make_files):
        root = make_files(*NIH, *KERMANY, "NORMAL/00000013_008.png")
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            data = load_radiographs(root)
        assert np.sum(data.groups == "00000013") == 4
        assert "from file names (Kermany), from file names (NIH" in data.DESCR

    def test_a_table_of_patients_leaves_nothing_to_warn_of(self, make_files):
        names = [*NIH, "A/COVID-1.png"]
        root = make_files(*names)
        rows = "".join(f"{name},{name}\n" for name in names)
        (root / "metadata.csv").write_text(f"path,patient\n{rows}")
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            data = load_radiographs(root)
        assert "but 1 images" not in data.DESCR

    def test_few_strangers_keep_the_patients_of_many(self, make_files):
        names = [f"A/{n // 5:08}_{n % 5:03}.png" for n in range(500)]
        names += [f"B/{n // 5 + 90:08}_{n % 5:03}.png" for n in range(209)]
        with pytest.warns(UserWarning, match="1 images .*no patient"):
            data = load_radiographs(make_files(*names, "A/scan.png"))
        assert len(set(data.groups)) == 90 + 42 + 1

    def test_unknown_file_names_give_no_groups(self, make_files):
        root = make_files("A/person1.png", "A/0000013_005.png", "B/IM-1.png")
        assert load_radiographs(root).groups is None


class TestMetadata:
    FILES = ("a/1.png", "a/2.png", "b/images/1.png")

    @pytest.fixture
    def root(self, make_files):
        return make_files(*self.FILES)

    def write(self, root, text, name="metadata.csv", encoding="utf-8"):
        path = root / name
        path.write_text(text, encoding=encoding)
        return path

    @pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
    @pytest.mark.parametrize(
        "header",
        [
            "file,label,patient,source_name",
            "File,Label,Patient ID,Source",
            "file_name,label,patient_id,source",
            "filename,label,patientid,SourceName",
        ],
    )
    def test_patients_and_sources(self, root, header, encoding):
        rows = (
            'b/images/1.png,b,P1,"hospital, ward"\na\\2.png,a,P2,Ü\n./a/1.png,a,P1,\n'
        )
        self.write(root, f"{header}\n{rows}\n", encoding=encoding)
        data = load_radiographs(root)
        assert data.groups.tolist() == ["P1", "P2", "P1"]
        assert data.source.tolist() == ["", "Ü", "hospital, ward"]
        assert "a: images 2, patients 2 (from " in data.DESCR

    def test_other_columns_are_attributes(self, root):
        text = "path,patient,,Days since,note\n"
        rows = ["P,1,3,007", "P,2,,8", "P,3,-1.5,"]
        pairs = zip(self.FILES, rows, strict=True)
        self.write(root, text + "".join(f"{name},{row}\n" for name, row in pairs))
        data = load_radiographs(root)
        assert set(data.groups) == {"P"}
        assert list(data.attributes) == ["Days since", "note"]
        np.testing.assert_array_equal(data.attributes["Days since"], [3, np.nan, -1.5])
        assert data.attributes["note"].tolist() == ["007", "8", ""]
        assert "known: Days since 2, note 2" in data.DESCR

    def test_views(self, root):
        views = ["pa", "Left lateral", ""]
        pairs = zip(self.FILES, views, strict=True)
        text = "".join(f"{name},{view}\n" for name, view in pairs)
        self.write(root, f"file,View Position\n{text}")
        data = load_radiographs(root)
        assert data.view_position.tolist() == ["PA", "LATERAL", None]
        assert "Views: not known 1, LATERAL 1, PA 1" in data.DESCR

    def test_the_table_takes_precedence_over_file_names(self, make_files):
        root = make_files(*NIH)
        self.write(root, "file,patient\n" + "".join(f"{name},{name}\n" for name in NIH))
        assert load_radiographs(root).groups.tolist() == NIH
        assert len(set(load_radiographs(root, metadata=None).groups)) == 1

    def test_without_a_patient_column_file_names_are_used(self, make_files):
        root = make_files(*NIH)
        self.write(root, "file,source\n" + "".join(f"{name},x\n" for name in NIH))
        data = load_radiographs(root)
        assert set(data.groups) == {"00000013"}
        assert data.source.tolist() == ["x"] * 3

    def test_a_table_elsewhere(self, root):
        text = "file,patient\n" + "".join(f"{name},P\n" for name in self.FILES)
        path = self.write(root, text, name="other.csv")
        assert load_radiographs(root).groups is None
        assert set(load_radiographs(root, metadata=path).groups) == {"P"}
        with pytest.raises(FileNotFoundError, match=r"nowhere\.csv"):
            load_radiographs(root, metadata=str(root / "nowhere.csv"))

    def test_rows_without_file_are_reported(self, root):
        text = "file,patient\na/7.png,P\n" + "".join(f"{n},P\n" for n in self.FILES)
        self.write(root, text)
        with pytest.warns(UserWarning, match=r"1 files.*a/7\.png$"):
            load_radiographs(root)

    def test_rows_of_other_classes_are_ignored(self, make_files):
        root = make_files("a/1.png", "b/1.png", "c/1.png")
        self.write(root, "file,label\na/1.png,a\nb/1.png,b\nc/1.png,wrong\n")
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            data = load_radiographs(root, class_names=["a", "b"])
        assert len(data.paths) == 2

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("file,patient\na/1.png,P\n", r"no row.*2 of 3.*a/2\.png, b/im"),
            (
                "file,patient\na/1.png,P\na/2.png,\nb/images/1.png,P\n",
                r"no patient.*1 of 3.*a/2\.png",
            ),
            (
                "file,label\na/1.png,a\na/2.png,b\nb/images/1.png,b\n",
                r"a/2\.png.*'b'",
            ),
            ("file,patient\na/1.png,P\na/1.png,P\n", r"line 3.*second row.*a/1"),
            ("file,patient\na/1.png\n", "line 2: 1 cells.*has 2"),
            (
                "image,patient\na/1.png,P\n",
                r"'image'.*did you mean 'path'.*'patient'",
            ),
            ("", "no column 'path'.*no header"),
            ("file;patient\n", "with commas between them"),
            (
                "file,pateint\na/1.png,P\n",
                r"'pateint'.*did you mean 'patient'",
            ),
            ("file,Subject ID\na/1.png,P\n", r"'Subject ID'.*did you mean 'patient'"),
            ("file,patient,patient_id\n", "several columns.*patient"),
            ('file,patient\n"a/1.png,P\n', "line 2: not a CSV table"),
        ],
    )
    def test_invalid_tables_are_errors(self, root, text, message):
        self.write(root, text)
        with pytest.raises(ValueError, match=message):
            load_radiographs(root)

    @pytest.mark.parametrize(
        "encoding", ["latin-1", "cp1252", "utf-16", "utf-16-le", "utf-16-be"]
    )
    @pytest.mark.parametrize("header", ["file,patient,x", "patientid,finding,filename"])
    def test_another_encoding_is_an_error(self, root, encoding, header):
        path = self.write(root, f"{header}\na/1.png,Müller,x\n", encoding=encoding)
        guess = "utf-16" if "16" in encoding else "cp1252"
        with pytest.raises(
            ValueError, match=rf"metadata\.csv.*UTF-8.*Excel.*encoding='{guess}'"
        ):
            load_radiographs(root)
        with pytest.raises(ValueError, match="UTF-8"):
            cohen_patients(path, ["a/1.png"])

    def test_the_cure_for_another_encoding_works(self, root):
        pd = pytest.importorskip("pandas")
        rows = "".join(f"{name},Müller\n" for name in self.FILES)
        path = self.write(root, f"file,patient\n{rows}", encoding="utf-16")
        pd.read_csv(path, encoding="utf-16").to_csv(path, index=False)
        assert set(load_radiographs(root).groups) == {"Müller"}

    @pytest.mark.parametrize("below", ["", "set.zip"])
    def test_paths_of_any_kind_name_the_same_files(self, root, below, tmp_path):
        place = root
        if below:
            shutil.make_archive(root / "set", "zip", root)
            place = root / below
        paths = [place / "a/1.png", "a/2.png", place / "b/images/1.png"]
        rows = "".join(f"{path},P{n}\n" for n, path in enumerate(paths))
        table = self.write(root, f"path,patient\n{rows}", name="table.csv")
        data = load_radiographs(place, metadata=table)
        assert data.groups.tolist() == ["P0", "P1", "P2"]

    def test_two_rows_of_one_file_are_an_error(self, root):
        rows = "".join(f"{name},P\n" for name in self.FILES)
        self.write(root, f"path,patient\n{rows}{root / self.FILES[0]},Q\n")
        with pytest.raises(ValueError, match=r"metadata\.csv.*a/1.*are the same file"):
            load_radiographs(root)

    def test_up_to_five_missing_images_are_named(self, make_files):
        root = make_files(*[f"a/{n}.png" for n in range(7)], "b/1.png")
        self.write(root, "file,patient\nb/1.png,P\n")
        with pytest.raises(ValueError, match=r"7 of 8 .*a/4\.png and 2 more"):
            load_radiographs(root)


class TestMakeRadiographs:
    def test_defaults(self):
        X, y = make_radiographs(n_samples=100, return_X_y=True)
        assert X.shape == (100, 96, 96)
        assert X.dtype == np.uint8
        labels, counts = np.unique(y, return_counts=True)
        assert labels.tolist() == CLASSES
        # 219 : 1341 : 1345 of the paper's figure 3
        assert np.abs(counts - np.array([219, 1341, 1345]) / 2905 * 100).max() <= 1

    def test_bunch(self):
        data = make_radiographs(
            9, image_size=24, weights=[1, 1, 1], class_names=["z", "b", "c"]
        )
        assert data.images.shape == (9, 24, 24)
        assert data.target.tolist() == ["z", "b", "c"] * 3
        assert data.target_names == ["b", "c", "z"]
        assert len(set(data.groups)) == 9
        assert "z: images 3, patients 3, lungs: peripheral ground-glass" in data.DESCR

    def test_every_class_has_an_image(self):
        data = make_radiographs(3, image_size=16, weights=(1, 1000, 1000))
        assert sorted(data.target) == CLASSES

    def test_an_image_depends_only_on_seed_and_position(self):
        few = make_radiographs(5, image_size=32, random_state=3)
        many = make_radiographs(9, image_size=32, random_state=3)
        other = make_radiographs(5, image_size=32, random_state=4)
        np.testing.assert_array_equal(few.images, many.images[:5])
        np.testing.assert_array_equal(few.target, many.target[:5])
        assert all((few.images != other.images).any(axis=(1, 2)))
        assert len({image.tobytes() for image in many.images}) == 9

    def test_same_images_in_another_process(self):
        code = (
            "from skcovid.datasets import make_radiographs\n"
            "data = make_radiographs(3, image_size=32, random_state=1)\n"
            "print(data.images.tobytes().hex())\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        images = make_radiographs(3, image_size=32, random_state=1).images
        assert done.stdout.strip() == images.tobytes().hex()

    def test_random_state_instance_advances_and_none_differs(self):
        def draw(random_state):
            return make_radiographs(3, image_size=16, random_state=random_state).images

        state = np.random.RandomState(0)
        first, second = draw(state), draw(state)
        assert (first != second).any()
        np.testing.assert_array_equal(first, draw(np.random.RandomState(0)))
        assert (draw(None) != draw(None)).any()

    def test_global_random_state_is_unchanged(self):
        before = np.random.get_state()[1].copy()  # noqa: NPY002 (global)
        make_radiographs(3, image_size=16)
        make_radiographs(3, image_size=16, random_state=0)
        np.testing.assert_array_equal(before, np.random.get_state()[1])  # noqa: NPY002 (global)

    def test_same_radiograph_at_every_size(self):
        small = make_radiographs(3, image_size=48, noise=0, random_state=0).images
        large = make_radiographs(3, image_size=300, noise=0, random_state=0).images
        for one, other in zip(small, large, strict=True):
            shrunk = cv2.resize(other, (48, 48), interpolation=cv2.INTER_AREA)
            assert np.abs(one.astype(int) - shrunk).mean() < 2

    def test_noise_is_in_grey_levels(self):
        clean, noisy = (
            make_radiographs(4, noise=noise, random_state=0).images.astype(float)
            for noise in (0, 6)
        )
        visible = (clean > 40) & (clean < 215)
        assert (noisy - clean)[visible].std() == pytest.approx(6, rel=0.05)

    def test_lesion_contrast_strengthens_the_findings_alone(self):
        none, usual, strong = (
            make_radiographs(
                6, noise=0, lesion_contrast=contrast, random_state=0
            ).images.astype(float)
            for contrast in (0, 1, 2)
        )
        weak = np.abs(usual - none).mean(axis=(1, 2))
        assert weak[[0, 2]].min() > 0.2
        assert all(np.abs(strong - none).mean(axis=(1, 2))[[0, 2]] > 1.5 * weak[[0, 2]])
        np.testing.assert_array_equal(none[1], strong[1])

    def test_a_confounded_source_has_one_class_and_a_look_of_its_own(self):
        data = make_radiographs(
            60,
            image_size=64,
            weights=(1, 1, 1),
            n_sources=3,
            confounding=0.5,
            confounded_class="NORMAL",
            random_state=0,
        )
        counts = {
            label: [sum(data.source[data.target == label] == f"source-{k}")
                    for k in (1, 2, 3)]
            for label in CLASSES
        }  # fmt: skip
        assert counts == {
            "COVID-19": [10, 10, 0],
            "NORMAL": [5, 5, 10],
            "Viral Pneumonia": [10, 10, 0],
        }
        is_last = data.source == "source-3"
        framed = data.images[:, 0].max(axis=1) < 30
        assert framed[is_last].all()
        assert not framed[~is_last].any()

    @pytest.mark.parametrize(
        "parameters",
        [
            {"confounding": 0.5, "confounded_class": "flu"},
            {"confounding": 0, "confounded_class": "NORMAL"},
        ],
        ids=str,
    )
    def test_a_confounded_class_needs_its_name_and_a_share(self, parameters):
        with pytest.raises(ValueError, match=r"confounded_class=.* must be one of"):
            make_radiographs(10, image_size=16, n_sources=2, **parameters)

    def test_patients_keep_diagnosis_and_anatomy(self):
        data = make_radiographs(
            60, n_patients=12, weights=(1, 1, 1), random_state=0, image_size=48
        )
        patients, counts = np.unique(data.groups, return_counts=True)
        assert counts.tolist() == [5] * 12
        for patient in patients:
            assert len(set(data.target[data.groups == patient])) == 1
        splitter = StratifiedGroupKFold(4)
        for train, test in splitter.split(data.images, data.target, data.groups):
            assert set(data.target[train]) == set(data.target[test]) == set(CLASSES)

        centred = data.images.astype(float)
        centred -= centred.mean(axis=(1, 2), keepdims=True)
        distances = np.abs(centred[:, None] - centred).mean(axis=(2, 3))
        same_class = data.target[:, None] == data.target
        same_patient = data.groups[:, None] == data.groups
        other_image = ~np.eye(60, dtype=bool)
        within = distances[same_patient & other_image].mean()
        between = distances[same_class & ~same_patient].mean()
        assert within < 0.95 * between

    def test_lungs_are_dark_and_spine_is_bright(self, balanced):
        mean = balanced.images.mean(axis=0)
        right, left = mean[30:60, 20:32], mean[30:60, 64:76]
        spine = mean[30:60, 45:51]
        assert max(right.mean(), left.mean()) < 0.7 * spine.mean()

    def test_classes_can_be_learned(self, balanced):
        thumbnails = [
            cv2.resize(image, (16, 16), interpolation=cv2.INTER_AREA).ravel()
            for image in balanced.images
        ]
        model = make_pipeline(StandardScaler(), RidgeClassifier(alpha=100))
        scores = cross_val_score(model, np.array(thumbnails), balanced.target, cv=5)
        assert scores.mean() > 0.85

    def test_brightness_does_not_reveal_the_class(self, balanced):
        brightness = balanced.images.mean(axis=(1, 2))[:, None]
        assert np.abs(brightness / 255 - 0.5).max() < 0.1
        model = make_pipeline(StandardScaler(), LogisticRegression())
        scores = cross_val_score(model, brightness, balanced.target, cv=5)
        assert scores.mean() < 0.45

    @pytest.mark.parametrize(
        ("label", "bright_zone"),
        [
            ("COVID-19", (slice(52, 70), slice(10, 20))),
            ("Viral Pneumonia", (slice(36, 56), slice(28, 36))),
        ],
    )
    def test_findings_lie_at_their_radiological_place(
        self, balanced, label, bright_zone
    ):
        means = {
            name: balanced.images[balanced.target == name].mean(axis=0)[bright_zone]
            for name in CLASSES
        }
        others = [means[name].mean() for name in CLASSES if name != label]
        assert means[label].mean() > max(others) + 4

    @pytest.mark.parametrize(
        "parameters",
        [
            {"n_samples": 2},
            {"n_samples": 10.0},
            {"image_size": 8},
            {"image_size": (96, 96)},
            {"class_names": ("a", "b")},
            {"class_names": ("a", "b", "b")},
            {"class_names": (1, 2, 3)},
            {"class_names": "abc"},
            {"weights": (1, 1)},
            {"weights": (1, 1, 0)},
            {"weights": (1, 1, np.nan)},
            {"weights": (1, 1, "1")},
            {"n_patients": 2},
            {"n_patients": 11},
            {"noise": -1},
            {"lesion_contrast": -1},
            {"random_state": "0"},
            {"return_X_y": "yes"},
        ],
        ids=str,
    )
    def test_wrong_parameters_are_errors(self, parameters):
        (name,) = parameters
        with pytest.raises(ValueError, match=name):
            make_radiographs(**{"n_samples": 10, "image_size": 16, **parameters})


class TestSaveRadiographs:
    def test_save_and_load_round_trip(self, tmp_path):
        data = make_radiographs(14, image_size=16, n_patients=7, random_state=0)
        root = tmp_path / "new" / "folder"
        save_radiographs(data.images, data.target, root, groups=data.groups)
        loaded = load_radiographs(root)
        order = np.argsort(data.target, kind="stable")
        np.testing.assert_array_equal(loaded.target, data.target[order])
        np.testing.assert_array_equal(loaded.groups, data.groups[order])
        pixels = np.stack([read_radiograph(path) for path in loaded.paths])
        np.testing.assert_array_equal(pixels, data.images[order])

    def test_without_groups_no_table_is_written(self, tmp_path, grey_images):
        save_radiographs(grey_images, list("ababab"), tmp_path)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]
        assert load_radiographs(tmp_path).groups is None

    def test_colour_is_kept(self, tmp_path, rgb_images):
        save_radiographs(rgb_images, list("ababab"), tmp_path)
        read = read_radiograph(tmp_path / "b" / "1.png", channels="rgb")
        np.testing.assert_array_equal(read, rgb_images[1])

    def test_nothing_is_overwritten(self, tmp_path, grey_images):
        (tmp_path / "notes.txt").touch()
        for root in (tmp_path, tmp_path / "notes.txt"):
            with pytest.raises(FileExistsError, match="is not an empty folder"):
                save_radiographs(grey_images, list("ababab"), root)
        assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"images": np.zeros((6, 8, 8))}, "uint8 .* got float64"),
            ({"images": np.zeros((6, 64), np.uint8)}, r"shape \(6, 64\)"),
            ({"images": np.zeros((6, 8, 8, 4), np.uint8)}, r", 4\)"),
            ({"target": list("ababa")}, "numbers of samples"),
            ({"groups": list("ababa")}, "numbers of samples"),
            ({"target": ["a", "../b"] * 3}, r"'\.\./b'"),
            ({"target": ["a", ".."] * 3}, r"'\.\.'"),
            ({"target": ["a", ".b"] * 3}, r"'\.b'"),
            ({"target": ["a", "Masks"] * 3}, "'Masks'"),
            ({"target": ["a", ""] * 3}, "''"),
        ],
    )
    def test_wrong_input_is_an_error_and_writes_nothing(
        self, tmp_path, grey_images, change, message
    ):
        arguments = {"images": grey_images, "target": list("ababab"), "root": tmp_path}
        with pytest.raises(ValueError, match=message):
            save_radiographs(**{**arguments, **change})
        assert list(tmp_path.iterdir()) == []
