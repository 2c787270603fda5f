"""Several collections as one set, and the attributes of their images."""

import os
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest

from _helpers.dicom_files import write_dicom
from skcovid.datasets import load_radiographs, make_radiographs, save_radiographs


@pytest.fixture
def make(tmp_path):
    """Make empty files below `tmp_path`, and tables from their text; return it."""

    def make(*names, **tables):
        for name in names:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        for folder, text in tables.items():
            (tmp_path / folder / "metadata.csv").write_text(text, encoding="utf-8")
        return tmp_path

    return make


def load_silently(root, **parameters):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return load_radiographs(root, verbose=0, **parameters)


class TestFolderOfImagesWithTable:
    FILES = ("set/images/1.png", "set/images/2.png", "set/images/deep/3.png")
    TABLE = "file,label,source\nimages/1.png,a,x\nimages/2.png,b,x\n"
    LAST = "images/deep/3.png,b,y\n"

    def test_the_table_gives_the_labels(self, make):
        root = make(*self.FILES, "set/masks/1.png", "set/readme.txt")
        make(set=self.TABLE + self.LAST)
        data = load_silently(root / "set")
        assert data.target.tolist() == ["a", "b", "b"]
        assert data.paths[2] == str(root / "set/images/deep/3.png")
        assert data.source.tolist() == ["x", "x", "y"]
        # As in a download, in a folder of its own.
        assert load_silently(root).paths.tolist() == data.paths.tolist()
        with pytest.raises(ValueError, match=r"masks.*CSV table"):
            load_radiographs(root / "set", metadata=None)

    def test_in_an_archive(self, make):
        root = make(*self.FILES, set=self.TABLE + self.LAST)
        with zipfile.ZipFile(root / "set.zip", "w") as archive:
            for file in (root / "set").rglob("*.*"):
                archive.write(file, file.relative_to(root))
        data = load_silently(root / "set.zip")
        assert data.paths[0] == str(root / "set.zip/set/images/1.png")

    def test_a_table_elsewhere(self, make):
        root = make(*self.FILES)
        (root / "other.csv").write_text(self.TABLE + self.LAST)
        data = load_silently(root / "set", metadata=root / "other.csv")
        assert len(data.paths) == 3

    def test_unlisted_images_are_reported_and_missing_ones_are_errors(self, make):
        root = make(*self.FILES, set=self.TABLE) / "set"
        with pytest.warns(UserWarning, match=r"1 files .*no row.*3\.png"):
            data = load_radiographs(root)
        assert data.ignored == [str(root / "images/deep/3.png")]
        make(set=self.TABLE + "images/9.png,b,y\n")
        with pytest.raises(FileNotFoundError, match=r"images/9\.png"):
            load_radiographs(root)


class TestJoining:
    @pytest.fixture
    def root(self, make):
        rows = "file,label,patient,source,age\nimages/1.png,No,1,p,45\n"
        return make(
            *("one/COVID/1.png", "one/NORMAL/2.png", "one/NORMAL/3.png"),
            *("two/images/1.png", "two/images/2.png", "three/COVID/4.png"),
            one="file,patient\nCOVID/1.png,1\nNORMAL/2.png,2\nNORMAL/3.png,2\n",
            two=f"{rows}images/2.png,Other,1,q,\n",
        )

    def test_sources_patients_and_attributes(self, root):
        roots = [root / "one", str(root / "two")]
        mapping = {"NORMAL": "No", "Other": "COVID"}
        data = load_silently(roots, class_mapping=mapping)
        assert data.target.tolist() == ["COVID", "No", "No", "No", "COVID"]
        assert data.target_names == ["COVID", "No"]
        assert data.source.tolist() == ["one"] * 3 + ["two"] * 2
        groups = ["one/1", "one/2", "one/2", "two/1", "two/1"]
        assert data.groups.tolist() == groups
        assert data.attributes["source"].tolist() == ["", "", "", "p", "q"]
        age = [np.nan, np.nan, np.nan, 45, np.nan]
        np.testing.assert_array_equal(data.attributes["age"], age)
        assert "COVID: images 2, of one 1, two 1" in data.DESCR
        assert "one source only" not in data.DESCR

    def test_classes_that_coincide_with_a_source_are_told(self, root):
        match = r"one source only: 'NORMAL' \('one'\), 'No' \('two'\), 'Other'.*look"
        with pytest.warns(UserWarning, match=match) as caught:
            data = load_radiographs([root / "one", root / "two", root / "three"])
        assert caught[0].filename == __file__
        assert "Sources with one class only: 'three' ('COVID')." in data.DESCR
        # An image of an unknown patient is one of its own.
        assert data.groups[-1] == "three/COVID/4.png"

    def test_one_collection_says_it_in_its_description_alone(self, root):
        data = load_silently(root / "two")
        assert "one source only: 'No' ('p'), 'Other' ('q')." in data.DESCR

    def test_names_that_are_alike_are_made_longer(self, make):
        root = make(*(f"{n}/X/{c}/1.png" for n in "pq" for c in "ab"))
        data = load_silently([root / "p/X", root / "p/../q/X"])
        assert sorted(set(data.source)) == ["p/X", "q/X"]

    def test_class_names_are_those_given(self, root):
        roots = [root / "one", root / "two"]
        mapping = {"NORMAL": "No"}
        with pytest.warns(UserWarning, match="one source only"):
            data = load_radiographs(
                roots, class_mapping=mapping, class_names=["No", "Other"]
            )
        assert data.target.tolist() == ["No", "No", "No", "Other"]
        with pytest.raises(ValueError, match=r"no class 'Viral'\. Choose"):
            load_radiographs(roots, class_names=["No", "COVID", "Viral"])
        with pytest.raises(ValueError, match=r"two\S* has no image of.*'No', 'Other'"):
            load_radiographs(roots, class_names=["COVID"])

    def test_renaming_the_classes_of_one_collection(self, root):
        data = load_silently(root / "one", class_mapping={"COVID": "C"})
        assert data.target_names == ["C", "NORMAL"]
        assert "C: images 1, patients 1" in data.DESCR
        with pytest.raises(ValueError, match="two classes, got 1"):
            load_radiographs(root / "one", class_mapping={"COVID": "NORMAL"})

    def test_frontal_views_keep_the_attributes_in_step(self, make):
        table = "file,label,view,age\ni/1.png,a,PA,1\ni/2.png,a,L,2\ni/3.png,b,AP,3\n"
        root = make(*(f"{s}/i/{n}.png" for s in "st" for n in "123"), s=table, t=table)
        data = load_silently([root / "s", root / "t"], views="frontal")
        assert data.attributes["age"].tolist() == [1, 3, 1, 3]
        assert data.attributes["view"].tolist() == ["PA", "AP"] * 2
        assert len(data.dropped) == 2
        make("u/a/1.png", "u/b/1.png")
        with pytest.raises(ValueError, match=r"class 'a' in \S*u: .*not known 1"):
            load_radiographs([root / "s", root / "u"], views="frontal")

    def test_bad_files_of_every_collection_are_left_out(self, tmp_path):
        X, y = make_radiographs(6, image_size=16, return_X_y=True, weights=(1, 1, 1))
        for name in "st":
            save_radiographs(X, y, tmp_path / name, groups=range(6))
            (tmp_path / name / "NORMAL/1.png").write_bytes(b"")
        with pytest.warns(UserWarning, match="can't be read") as caught:
            data = load_radiographs(
                [tmp_path / "s", tmp_path / "t"], on_error="report", verbose=0
            )
        assert len(caught) == len(data.bad_files) == 2
        assert len(data.paths) == len(data.groups) == len(data.source) == 10

    def test_the_kermany_set_among_others_is_split(self, make):
        kermany = ("NORMAL/IM-0115-0001.jpeg", "PNEUMONIA/person1_bacteria_1.jpeg")
        viral = "PNEUMONIA/person1_virus_6.jpeg"
        root = make(*(f"k/{name}" for name in (*kermany, viral)), "o/A/1.png")
        make("o/NORMAL/1.png")
        with pytest.warns(UserWarning, match="'Bacterial Pneumonia'"):
            data = load_radiographs([root / "k", root / "o"], split_pneumonia=True)
        assert "Viral Pneumonia" in data.target_names
        with pytest.raises(ValueError, match=r"no collection is .*Kermany"):
            load_radiographs([root / "o"], split_pneumonia=True)

    @pytest.mark.parametrize("other", ["one", "one/../one", "link", "one.csv"])
    def test_shared_files_are_an_error(self, root, other):
        (root / "link").symlink_to(root / "one")
        (root / "one.csv").write_text("path,label\none/COVID/1.png,COVID\n")
        with pytest.raises(ValueError, match=r"(share|twice).*collection once"):
            load_radiographs([root / "one", root / other])

    def test_a_collection_inside_another_is_an_error(self, make):
        root = make("all/x/P/1.dcm", "all/x/Q/1.dcm", "all/y/1.png")
        with pytest.raises(ValueError, match=r"all and \S*x share 2 files.*inside"):
            load_radiographs([root / "all", root / "all/x"])

    @pytest.mark.parametrize(
        ("names", "parameters", "message"),
        [
            ([], {}, r"root must be .* one or more"),
            (["one", 3], {}, "root must be"),
            (["three"], {}, "two classes, got 1.*'COVID'"),
            (["one", "two"], {"metadata": "x.csv"}, "metadata is one table"),
            (["one"], {"class_mapping": {"no": "x"}}, "class 'no'.*'COVID', 'NORMAL'"),
            (["one"], {"class_mapping": {"NORMAL": 0}}, "class_mapping.*got 0"),
            (["one"], {"class_mapping": {"NORMAL": " "}}, "class_mapping.*got ' '"),
            (
                ["one", "two"],
                {"class_mapping": {"Other": "Normal"}},
                r"class_mapping.*'NORMAL' and 'Normal'",
            ),
        ],
    )
    def test_wrong_parameters_are_errors(self, root, names, parameters, message):
        roots = [root / name if isinstance(name, str) else name for name in names]
        with pytest.raises(ValueError, match=message):
            load_radiographs(roots, **parameters)

    def test_control_characters_in_names_are_escaped(self, make):
        root = make("bad\nname/a/1.png", "bad\nname/b/1.png")
        (root / "bad\nname/metadata.csv").write_text("file,patient\na/1.png,P\n")
        for roots in (root / "bad\nname", [root / "bad\nname"]):
            with pytest.raises(ValueError, match=r"bad\\nname.* no row") as error:
                load_radiographs(roots)
            assert "\n" not in str(error.value)
            data = load_radiographs(roots, metadata=None)
            assert data.DESCR.count("bad\n") == 0


class TestAttributes:
    @pytest.fixture
    def load(self, make):
        make("a/1.png", "b/2.png")

        def load(column, first, second=""):
            root = make()
            header = f"file,label,patient,{column}"
            rows = [f'a/1.png,a,P,"{first}"', f'b/2.png,b,Q,"{second}"']
            path = root / "metadata.csv"
            path.write_text("\n".join([header, *rows]), encoding="utf-8")
            return load_silently(root).attributes

        return load

    @pytest.mark.parametrize(
        ("text", "years"),
        [
            *(("45", 45), ("0", 0), ("65.0", 65), ("90+", 90), ("045Y", 45)),
            *(("006M", 0.5), ("052W", 52 * 7 / 365.25), ("010d", 10 / 365.25)),
            *(("", np.nan), ("NaN", np.nan), ("unknown", np.nan)),
        ],
    )
    @pytest.mark.parametrize("column", ["age", "Patient Age"])
    def test_ages_are_in_years(self, load, column, text, years):
        age = load(column, text, "30")["age"]
        assert age.dtype == np.float64
        np.testing.assert_allclose(age, [years, 30], atol=1e-9)

    @pytest.mark.parametrize(
        ("column", "text", "value"),
        [
            *(("sex", "M", "M"), ("Gender", "female", "F"), ("patient_sex", "O", "O")),
            *(("acquisition_date", "20200331", "2020-03-31"),),
            *(("StudyDate", "2020-03-31 10:30:00", "2020-03-31"),),
            *(("Manufacturer Model Name", "7500", "7500"), ("Manufacturer", "A", "A")),
            *(("finding", "SARS", "SARS"), ("room", "012", "012")),
        ],
    )
    def test_text(self, load, column, text, value):
        (values,) = load(column, text).values()
        assert values.tolist() == [value, ""]

    @pytest.mark.parametrize(
        ("column", "text", "message"),
        [
            ("age", "old", r"metadata\.csv, line 2: age 'old'.*045Y"),
            ("age", "1975", "age '1975'"),
            ("age", "411", "age '411'.*130"),
            ("age", "-1", "age '-1'"),
            ("sex", "1", "sex '1'.*F, M or O"),
            ("acquisition_date", "31/03/2020", "31/03/2020.*2020-03-31"),
            ("acquisition_date", "2020-13-01", "2020-13-01.*not a date"),
            ("aeg_years", "4", "'aeg_years'.*did you mean 'age'.*Rename"),
            ("manufacturers", "4", "did you mean 'manufacturer'"),
            ("hospital", "x", "did you mean 'source'"),
            ("note,Note", 'x","y', "several columns for the note: 'note', 'Note'"),
        ],
    )
    def test_what_is_not_understood_is_an_error(self, load, column, text, message):
        other = '","' if "," in column else ""
        with pytest.raises(ValueError, match=message):
            load(column, text, other)

    def test_a_name_near_that_of_a_column_that_is_there_is_another(self, load):
        attributes = load("source,source_url", 's","u', 's","u')
        assert list(attributes) == ["source_url"]

    def test_the_table_of_the_cohen_collection(self, make):
        root = make("a/1.png", "b/2.png")
        (root / "metadata.csv").write_text(
            "patientid,sex,age,finding,view,date,filename\n"
            '4,M,65,COVID-19,PA,"January 22, 2020",1.png\n5,,,SARS,L,2020,2.png\n'
        )
        attributes = load_silently(root).attributes
        assert list(attributes) == ["age", "sex", "view", "finding", "date"]
        assert attributes["view"].tolist() == ["PA", "LATERAL"]

    def test_dicom_headers_fill_what_a_table_leaves_open(self, tmp_path):
        pytest.importorskip("pydicom")
        known = {
            "PatientAge": "006M",
            "PatientSex": "F",
            "Manufacturer": "Maker",
            "ManufacturerModelName": "3",
            "StudyDate": "20200101",
        }
        write_dicom(tmp_path / "a/1.dcm", PatientID="P", ViewPosition="PA", **known)
        other = {"AcquisitionDate": "20200202", "StudyDate": "20200101"}
        with pytest.warns(UserWarning, match="AS: 'ANON'"):
            write_dicom(tmp_path / "b/2.dcm", PatientID="Q", PatientAge="ANON", **other)
        attributes = load_silently(tmp_path).attributes
        assert {name: own.tolist() for name, own in attributes.items()} == {
            "age": [0.5, pytest.approx(np.nan, nan_ok=True)],
            "sex": ["F", ""],
            "view": ["PA", ""],
            "manufacturer": ["Maker", ""],
            "model": ["3", ""],
            "acquisition_date": ["2020-01-01", "2020-02-02"],
        }
        (tmp_path / "metadata.csv").write_text("file,age\na/1.dcm,\nb/2.dcm,7\n")
        assert load_silently(tmp_path).attributes["age"].tolist() == [0.5, 7]


class TestMakeSources:
    def draw(self, **parameters):
        settings = {"weights": (1, 1, 1), "image_size": 32, "random_state": 0}
        return make_radiographs(36, **{**settings, **parameters})

    def table(self, data):
        sources = sorted(set(data.source))
        return [
            [np.sum((data.source == one) & (data.target == label)) for one in sources]
            for label in data.target_names
        ]

    def test_shares_of_classes_and_sources(self):
        assert self.table(self.draw(n_sources=3)) == [[4] * 3] * 3
        half = self.table(self.draw(n_sources=3, confounding=0.5))
        assert half == [[8, 2, 2], [2, 8, 2], [2, 2, 8]]
        two = self.table(self.draw(n_sources=2, confounding=1))
        assert two == [[12, 0], [0, 12], [12, 0]]

    def test_patients_are_of_one_source_and_images_depend_on_their_number_alone(self):
        data = self.draw(n_sources=3, n_patients=18, confounding=0.5)
        for patient in set(data.groups):
            assert len(set(data.source[data.groups == patient])) == 1
        many = self.draw(n_sources=3)
        few = make_radiographs(
            9, weights=(1, 1, 1), image_size=32, random_state=0, n_sources=3
        )
        np.testing.assert_array_equal(few.images, many.images[:9])
        np.testing.assert_array_equal(few.source, many.source[:9])

    def test_each_source_has_its_look(self):
        data = self.draw(n_sources=3, noise=0)
        means = [
            data.images[data.source == one].mean(axis=0)
            for one in np.unique(data.source)
        ]
        for first, second in ((0, 1), (0, 2), (1, 2)):
            assert np.abs(means[first] - means[second]).max() > 60
        plain = self.draw()
        assert plain.source is None
        assert plain.images.mean() != data.images.mean()

    def test_confounding_needs_sources(self):
        with pytest.raises(ValueError, match=r"confounding=0\.5 needs n_sources=2"):
            make_radiographs(9, confounding=0.5)

    def test_round_trip(self, tmp_path):
        data = self.draw(n_sources=3, n_patients=18)
        save_radiographs(
            data.images, data.target, tmp_path, groups=data.groups, source=data.source
        )
        loaded = load_silently(tmp_path)
        order = np.argsort(data.target, kind="stable")
        np.testing.assert_array_equal(loaded.source, data.source[order])
        np.testing.assert_array_equal(loaded.groups, data.groups[order])
        assert not [*tmp_path.rglob("*.part")]


FOLDERS = [
    os.environ.get(name)
    for name in ("SKCOVID_DATA", "SKCOVID_DATA_COHEN", "SKCOVID_DATA_NIH")
]


@pytest.mark.skipif(
    not all(FOLDERS),
    reason="SKCOVID_DATA, SKCOVID_DATA_COHEN and SKCOVID_DATA_NIH are not set",
)
def test_three_real_collections():
    n_images = [len(load_silently(folder).paths) for folder in FOLDERS]
    assert n_images == [2905, 575, 1000]
    mapping = {"NORMAL": "No finding", "Viral Pneumonia": "Pneumonia"}
    data = load_silently(FOLDERS, class_mapping={**mapping, "Other": "Pneumonia"})
    names = [Path(folder).name for folder in FOLDERS]
    assert data.source.tolist() == np.repeat(names, n_images).tolist()
    assert len(set(data.groups)) == 2520 + 313 + 682
    assert data.target_names == ["COVID-19", "No finding", "Pneumonia"]
    attributes = data.attributes
    assert np.isfinite(attributes["age"]).sum() == 431
    assert np.isfinite(attributes["days_since_symptoms"]).sum() == 477
    assert len(set(attributes["source"][data.source == names[1]])) == 16
    frontal = load_silently(FOLDERS[1], views="frontal")
    counts = [np.sum(frontal.target == label) for label in frontal.target_names]
    assert len(frontal.paths) == 531
    assert counts[0] == 427
