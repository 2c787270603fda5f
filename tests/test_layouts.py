import warnings
import zipfile
from pathlib import Path

import pytest

from skcovid.datasets import load_radiographs

RELEASES = {
    "first": {
        "COVID-19": ["COVID-19(1).png", "COVID-19(2).png"],
        "NORMAL": ["NORMAL (1).png"],
        "Viral Pneumonia": ["Viral Pneumonia (1).png"],
        "": ["COVID-19.metadata.xlsx", "NORMAL.metadata.xlsx", "README.md.txt"],
    },
    "without masks": {
        "COVID": ["COVID-1.png", "COVID-2.png"],
        "Lung_Opacity": ["Lung_Opacity-1.png"],
        "Normal": ["Normal-1.png"],
        "Viral Pneumonia": ["Viral Pneumonia-1.png"],
        "": ["COVID.metadata.xlsx", "Lung_Opacity.metadata.xlsx"],
    },
    "with masks": {
        "COVID": [
            f"{kind}/COVID-{n}.png" for kind in ("images", "masks") for n in "12"
        ],
        "Lung_Opacity": ["images/Lung_Opacity-1.png", "masks/Lung_Opacity-1.png"],
        "Normal": ["images/Normal-1.png", "masks/Normal-1.png"],
        "Viral Pneumonia": ["images/Viral-1.png", "masks/Viral-1.png"],
        "": ["COVID.metadata.xlsx", "Viral Pneumonia.metadata.xlsx"],
    },
}
KERMANY = {
    "train/NORMAL": ["IM-0115-0001.jpeg", "NORMAL2-IM-0927-0001.jpeg"],
    "train/PNEUMONIA": ["person1_bacteria_1.jpeg", "person2_virus_4.jpeg"],
    "val/NORMAL": ["NORMAL2-IM-1427-0001.jpeg"],
    "val/PNEUMONIA": ["person1946_bacteria_4874.jpeg"],
    "test/NORMAL": ["IM-0001-0001.jpeg"],
    "test/PNEUMONIA": ["person1_virus_6.jpeg", "person1_bacteria_2.jpeg"],
}


@pytest.fixture
def make(tmp_path):
    """Make empty files, given by folder, below `tmp_path`; return it."""

    def make(tree, below=""):
        for folder, names in tree.items():
            for name in names:
                path = tmp_path / below / folder / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch()
        return tmp_path

    return make


def load_silently(root, **parameters):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return load_radiographs(root, **parameters)


def names_of(data, root):
    return [Path(path).relative_to(root).as_posix() for path in data.paths]


class TestRadiographyDatabase:
    @pytest.mark.parametrize("release", RELEASES)
    def test_every_release(self, make, release):
        tree = RELEASES[release]
        root = make(tree)
        data = load_silently(root)
        classes = sorted(set(tree) - {""})
        assert data.target_names == classes
        assert data.target.tolist().count(classes[0]) == 2
        assert len(data.paths) == len(classes) + 1
        assert not any("masks" in Path(path).parts for path in data.paths)
        assert data.ignored == []
        assert "Layout: the COVID-19 Radiography Database" in data.DESCR

    def test_the_outer_folder_of_the_download_is_accepted(self, make):
        root = make(RELEASES["with masks"], below="COVID-19_Radiography_Dataset")
        data = load_silently(root)
        assert len(data.paths) == 5
        assert names_of(data, root)[0] == (
            "COVID-19_Radiography_Dataset/COVID/images/COVID-1.png"
        )

    @pytest.mark.parametrize("masks", ["masks", "Masks", "lung masks"])
    def test_masks_are_never_radiographs(self, make, masks):
        tree = {
            "a": ["images/1.png", f"{masks}/1.png"],
            "b": ["1.png", "x/masks/2.png"],
        }
        root = make(tree)
        data = load_silently(root)
        assert names_of(data, root) == ["a/images/1.png", "b/1.png"]
        assert data.DESCR.count("masks 1") == 2


class TestKermany:
    def test_split_classes_patients_and_source(self, make):
        root = make(KERMANY)
        data = load_silently(root)
        assert names_of(data, root) == [
            "train/NORMAL/IM-0115-0001.jpeg",
            "train/NORMAL/NORMAL2-IM-0927-0001.jpeg",
            "val/NORMAL/NORMAL2-IM-1427-0001.jpeg",
            "test/NORMAL/IM-0001-0001.jpeg",
            "train/PNEUMONIA/person1_bacteria_1.jpeg",
            "train/PNEUMONIA/person2_virus_4.jpeg",
            "val/PNEUMONIA/person1946_bacteria_4874.jpeg",
            "test/PNEUMONIA/person1_bacteria_2.jpeg",
            "test/PNEUMONIA/person1_virus_6.jpeg",
        ]
        assert data.target.tolist() == ["NORMAL"] * 4 + ["PNEUMONIA"] * 5
        parts = ["train", "train", "val", "test"]
        assert data.split.tolist() == [*parts, *parts, "test"]
        # A patient with images in both the training and the test set.
        assert data.groups[4] == data.groups[7] == "person1_bacteria"
        assert len(set(data.source)) == 1
        assert "Kermany" in data.source[0]
        assert "Layout: the paediatric chest X-rays of Kermany et al." in data.DESCR
        assert "Split: test 3, train 4, val 2" in data.DESCR

    def test_pneumonia_by_cause(self, make):
        data = load_silently(make(KERMANY), split_pneumonia=True)
        assert data.target_names == ["Bacterial Pneumonia", "NORMAL", "Viral Pneumonia"]
        bacterial = data.paths[data.target == "Bacterial Pneumonia"]
        assert [Path(path).stem for path in bacterial] == [
            *("person1_bacteria_1", "person1946_bacteria_4874", "person1_bacteria_2")
        ]
        assert data.target.tolist().count("Viral Pneumonia") == 2

    def test_the_publishers_copy_without_val(self, make):
        tree = {
            "train/NORMAL": ["NORMAL-1003233-0001.jpeg"],
            "train/PNEUMONIA": ["BACTERIA-1008087-0001.jpeg", "VIRUS-98-0001.jpeg"],
            "test/NORMAL": ["NORMAL-17-0001.jpeg"],
            "test/PNEUMONIA": ["VIRUS-99-0001.jpeg"],
        }
        data = load_silently(make(tree, below="chest_xray"), split_pneumonia=True)
        assert len(data.target_names) == 3
        assert set(data.split) == {"train", "test"}

    def test_one_part_alone(self, make):
        tree = {key: names for key, names in KERMANY.items() if "train" in key}
        data = load_silently(make(tree) / "train", split_pneumonia=True)
        assert len(data.target_names) == 3
        assert data.split is None

    def test_a_second_copy_beside_the_parts_is_ignored(self, make):
        make(KERMANY)
        root = make(KERMANY, below="chest_xray")
        with pytest.warns(UserWarning, match="^9 files"):
            data = load_radiographs(root)
        assert len(data.paths) == 9
        assert len(data.ignored) == 9

    def test_names_without_a_cause_are_an_error(self, make):
        root = make({**KERMANY, "val/PNEUMONIA": ["1.jpeg"]})
        with pytest.raises(ValueError, match=r"val/PNEUMONIA.* 1\.jpeg"):
            load_radiographs(root, split_pneumonia=True)

    def test_splitting_another_set_is_an_error(self, make):
        root = make(RELEASES["with masks"])
        with pytest.raises(ValueError, match=r"Kermany.*Radiography"):
            load_radiographs(root, split_pneumonia=True)


class TestSplitFolders:
    def test_any_classes_with_images_and_masks(self, make):
        tree = {
            "Training/a": ["images/1.png", "masks/1.png"],
            "Training/b": ["images/1.png"],
            "valid/a": ["images/2.png"],
            "valid/b": ["2.png"],
        }
        root = make(tree)
        data = load_silently(root)
        assert data.split.tolist() == ["train", "val", "train", "val"]
        assert data.target.tolist() == ["a", "a", "b", "b"]
        assert data.groups is None

    def test_class_names_select_classes_in_every_part(self, make):
        data = load_silently(
            make(
                {
                    f"{part}/{name}": ["1.png"]
                    for part in ("train", "test")
                    for name in "abc"
                }
            ),
            class_names=["a", "c"],
        )
        assert data.target.tolist() == ["a", "a", "c", "c"]

    def test_an_empty_class_folder_is_an_error(self, make):
        root = make({"train/a": ["1.png"], "train/b": ["1.png"], "test/a": ["1.png"]})
        (root / "test/b").mkdir()
        with pytest.raises(ValueError, match=r"folder \S*test/b.*no image"):
            load_radiographs(root)

    def test_a_table_names_files_from_the_outer_folder(self, make):
        root = make({"train/a": ["1.png"], "test/b": ["1.png"]})
        text = "path,patient,split\ntrain/a/1.png,P,x\ntest/b/1.png,Q,y\n"
        (root / "metadata.csv").write_text(text)
        data = load_silently(root)
        assert data.groups.tolist() == ["P", "Q"]
        assert data.split.tolist() == ["train", "test"]

    def test_a_table_may_hold_the_parts(self, make):
        root = make({"a": ["1.png"], "b": ["1.png"]})
        (root / "metadata.csv").write_text("path,split\na/1.png,one\nb/1.png,two\n")
        assert load_silently(root).split.tolist() == ["one", "two"]


class TestSpelling:
    @pytest.mark.parametrize(
        "folders",
        [
            ("train/NORMAL", "train/COVID", "test/Normal", "test/COVID"),
            ("NORMAL", "Normal", "COVID"),
            ("NORMAL", "NORMAL ", "COVID"),
        ],
    )
    @pytest.mark.parametrize("class_names", [None, ["NORMAL", "COVID"]])
    def test_two_spellings_of_a_class_are_an_error(self, make, folders, class_names):
        root = make({folder: ["1.png"] for folder in folders})
        with pytest.raises(ValueError, match=r"'NORMAL' and 'N.*one spelling"):
            load_radiographs(root, class_names=class_names)

    def test_labels_that_differ_by_more_are_two_classes(self, make):
        root = make({"COVID-19": ["1.png"], "COVID19": ["1.png"]})
        assert len(load_silently(root).target_names) == 2


class TestUnknownLayouts:
    @pytest.mark.parametrize(
        ("tree", "found"),
        [
            ({"": ["1.png", "2.png"]}, "no class folder.*2 images"),
            ({"": ["notes.txt"]}, "no class folder.*no images"),
            ({"a": ["1.png"]}, "one folder, 'a'"),
            (
                {"images": ["1.png"], "masks": ["1.png"]},
                "masks.*one class",
            ),
            # Folders of patients are not classes.
            ({"a/1": ["1.png"], "a/2": ["1.png"]}, "1, 2,.*as root"),
        ],
    )
    def test_the_error_names_what_was_found_and_what_works(self, make, tree, found):
        root = make(tree)
        with pytest.raises(ValueError, match=found) as error:
            load_radiographs(root)
        for works in ("<class>/<image>", "images/", "train/", "zip", "CSV"):
            assert works in str(error.value)

    def test_an_archive_of_another_kind(self, tmp_path):
        path = tmp_path / "radiographs.7z"
        path.write_bytes(b"7z")
        with pytest.raises(NotADirectoryError, match=r"zip archive.*CSV"):
            load_radiographs(path)


class TestTables:
    @pytest.fixture
    def write(self, make):
        root = make({"x": ["1.png", "2.png", "3.png"], "y/z": ["4.png"]})

        def write(text, name="table.csv"):
            path = root / name
            path.write_text(text, encoding="utf-8")
            return path

        return write

    def test_all_columns(self, write):
        path = write(
            "Path,label,patient,source,view,split\n"
            "x/2.png,ill,P1,here,ap,train\nx/1.png,well,P2,there,,test\n"
            "y\\z\\4.png,ill,P1,here,LL,train\n"
        )
        data = load_silently(path)
        assert names_of(data, path.parent) == ["x/2.png", "x/1.png", "y/z/4.png"]
        assert data.target.tolist() == ["ill", "well", "ill"]
        assert data.target_names == ["ill", "well"]
        assert data.groups.tolist() == ["P1", "P2", "P1"]
        assert data.source.tolist() == ["here", "there", "here"]
        assert data.view_position.tolist() == ["AP", None, "LATERAL"]
        assert data.split.tolist() == ["train", "test", "train"]
        assert "Layout: table" in data.DESCR
        assert "ill: images 2, patients 1 (from " in data.DESCR

    def test_path_and_label_are_enough(self, write):
        data = load_silently(write("file,label\nx/1.png,a\nx/2.png,b\n"))
        assert data.groups is data.source is data.view_position is data.split is None

    def test_relative_paths_start_at_the_table(self, write, monkeypatch):
        path = write("")
        other = path.parent / "x/1.png"
        write(f"path,label\n{other},a\nx/2.png,b\n")
        monkeypatch.chdir(path.parent.parent)
        relative = Path(path.parent.name) / "table.csv"
        data = load_silently(relative)
        assert data.paths.tolist() == [str(other), f"{path.parent.name}/x/2.png"]

    def test_patients_from_file_names(self, write, make):
        make({"n": ["00000013_005.png", "00000013_006.png"]})
        path = write(
            "path,label\nn/00000013_005.png,a\nn/00000013_006.png,b\nx/1.png,b\n"
        )
        with pytest.warns(UserWarning, match=r"1 images .*no patient.*x/1\.png"):
            data = load_radiographs(path)
        assert data.groups.tolist() == ["00000013", "00000013", "x/1.png"]

    def test_class_names_select_rows(self, write):
        path = write("path,label\nx/1.png,a\nx/2.png,b\nx/3.png,c\nnowhere.png,d\n")
        data = load_silently(path, class_names=["a", "c"])
        assert data.target.tolist() == ["a", "c"]

    @pytest.mark.parametrize(
        ("view", "term"),
        [
            ("AP erect", "AP"),
            ("ap_semi-erect", "AP_SEMI-ERECT"),
            ("AP Semi-Erect", "AP"),
            ("PA upright", "PA"),
            ("AP portable (supine)", "AP PORTABLE (SUPINE)"),
            ("PA AND LATERAL", "PA AND LATERAL"),
            ("AP LLD", "AP LLD"),
            ("LL", "LATERAL"),
        ],
    )
    def test_terms_of_views(self, write, view, term):
        path = write(f"path,label,view\nx/1.png,a,{view}\nx/2.png,b,PA\n")
        assert load_silently(path).view_position.tolist() == [term, "PA"]

    def test_frontal_views_with_the_position_of_the_patient(self, write):
        rows = "x/1.png,a,AP erect\nx/2.png,b,PA Upright\nx/3.png,b,lateral\n"
        data = load_silently(write(f"path,label,view\n{rows}"), views="frontal")
        assert [Path(path).name for path in data.paths] == ["1.png", "2.png"]

    def test_frontal_views(self, write):
        path = write(
            "path,label,view\nx/1.png,a,PA\nx/2.png,a,L\nx/3.png,b,AP\ny/z/4.png,b,\n"
        )
        data = load_silently(path, views="frontal")
        assert names_of(data, path.parent) == ["x/1.png", "x/3.png"]
        assert data.view_position.tolist() == ["PA", "AP"]
        assert [Path(dropped).name for dropped in data.dropped] == ["2.png", "4.png"]
        assert "Dropped as not frontal: 2, not known 1, LATERAL 1" in data.DESCR
        assert load_silently(path).dropped == []

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            (
                "path,label,pateint,age\nx/1.png,a,P,4\n",
                r"not understood: 'pateint' \(did you mean 'patient'\?\)\. Known.*path",
            ),
            (
                "Image Index,Finding Labels\nx/1.png,a\n",
                "'Image Index'.*did you mean 'path'.*'Finding Labels'.*mean 'label'",
            ),
            ("path,lable\nx/1.png,a\n", r"'lable'.*did you mean 'label'"),
            ("path;label\nx/1.png;a\n", "with commas"),
            ("path,label\nx/1.png,a\nx/2.png,\n", "no label.*1 of 2.*x/2"),
            ("path,label\nx/1.png,a\nx/2.png,a\n", "two classes, got 1"),
            ("path,label\n", "two classes, got 0"),
            ("path,label,patient\nx/1.png,a, b,P\n", "line 2: 4 cells.*has 3"),
            ("path,label,patient\n\nx/1.png,a,\nx/2.png,b\n", "line 4: 2 cells"),
            ("path,label\nx/1.png,a,\nx/2.png,b\n", "line 2: 3 cells"),
            ('path,label\nx/1.png,"a\n1"\nx/2.png,b,c\n', "line 4: 3 cells"),
            ("path,label\nx/1.png,a\n./x/1.png,b\n", "second row for x/1.png"),
            (
                "path,label,patient\nx/1.png,a,P\nx/2.png,b,\n",
                "no patient.*1 of 2",
            ),
        ],
    )
    def test_invalid_tables_are_errors(self, write, text, message):
        with pytest.raises(ValueError, match=message):
            load_radiographs(write(text))

    @pytest.mark.parametrize("label", ["a", "b"])
    @pytest.mark.parametrize("kind", ["absolute", "parent", "link", "hard link"])
    def test_one_file_by_two_paths_is_an_error(self, write, label, kind):
        root = write("").parent
        other = {"absolute": root / "x/1.png", "parent": "y/../x/1.png"}.get(kind, "l")
        if kind == "link":
            (root / "l").symlink_to(root / "x/1.png")
        elif kind == "hard link":
            (root / "l").hardlink_to(root / "x/1.png")
        path = write(f"path,label\nx/1.png,a\nx/2.png,b\n{other},{label}\n")
        with pytest.raises(ValueError, match=rf"x/1\.png, {other} are the same"):
            load_radiographs(path)

    def test_one_member_of_an_archive_by_two_paths_is_an_error(self, write):
        root = write("").parent
        with zipfile.ZipFile(root / "s.zip", "w") as archive:
            archive.writestr("A/1.png", b"")
            archive.writestr("A/2.png", b"")
        (root / "other.zip").symlink_to(root / "s.zip")
        rows = "path,label\ns.zip/A/1.png,a\nother.zip/A/2.png,b\n"
        assert len(load_silently(write(rows)).paths) == 2
        with pytest.raises(ValueError, match=r"s\.zip/A/1\.png, other\.zip/A/1"):
            load_radiographs(write(f"{rows}other.zip/A/1.png,b\n"))

    @pytest.mark.parametrize(
        ("columns", "first", "second", "message"),
        [
            ("label", "NORMAL", "Normal", "'NORMAL' and 'Normal'"),
            ("label", "viral pneumonia", "viral  pneumonia", "'viral  pneumonia' and"),
            ("label", "caf\u00e9", "cafe\u0301", "classes.*one spelling"),
            ("label,split", "a,train", "b,Train", "splits 'Train' and 'train'"),
            ("label,source", "a,NIH", "b,nih", "sources 'NIH' and 'nih'"),
        ],
    )
    def test_two_spellings_are_an_error(self, write, columns, first, second, message):
        path = write(f"path,{columns}\nx/1.png,{first}\nx/2.png,{second}\n")
        with pytest.raises(ValueError, match=message):
            load_radiographs(path)

    def test_blank_rows_are_skipped(self, write):
        path = write("path,label\nx/1.png,a\n,\n\n  ,\nx/2.png,b\n")
        assert len(load_silently(path).paths) == 2

    def test_missing_files_are_an_error(self, write):
        path = write("path,label\nx/1.png,a\nx/8.png,b\nx/9.png,b\n")
        with pytest.raises(
            FileNotFoundError, match=r"2 files.*of 3.*x/8\.png, x/9\.png.*[Rr]elative"
        ):
            load_radiographs(path)

    def test_parameters_for_folders_are_errors(self, write):
        path = write("path,label\nx/1.png,a\nx/2.png,b\n")
        with pytest.raises(ValueError, match=r"metadata.*folder"):
            load_radiographs(path, metadata=path)
        with pytest.raises(ValueError, match="split_pneumonia"):
            load_radiographs(path, split_pneumonia=True)

    def test_a_missing_table_is_an_error(self, tmp_path):
        with pytest.raises(FileNotFoundError, match=r"nowhere\.csv: no such"):
            load_radiographs(tmp_path / "nowhere.csv")


def test_frontal_views_without_known_views_are_an_error(make):
    root = make({"a": ["1.png"], "b": ["1.png"]})
    with pytest.raises(ValueError, match=r"class 'a'.*not known 1"):
        load_radiographs(root, views="frontal")
