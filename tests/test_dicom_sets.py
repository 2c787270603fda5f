import shutil
import sys
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest

from _helpers import tiny_backbone

pytest.importorskip("pydicom")

from pydicom import uid

from _helpers.dicom_files import shipped_file, write_dicom
from skcovid import evaluate, make_transfer_pipeline
from skcovid.datasets import load_radiographs, make_radiographs


@pytest.fixture
def write(tmp_path):
    """Write radiographs below `tmp_path`; return it."""

    def write(files):
        for name, elements in files.items():
            write_dicom(tmp_path / name, **elements)
        return tmp_path

    return write


def person(patient, **elements):
    return {"PatientID": patient, **elements}


def load_silently(root, **parameters):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return load_radiographs(root, verbose=0, **parameters)


class TestFinding:
    def test_patients_views_and_sources(self, write):
        files = {
            "a/1.dcm": person("P1", ViewPosition="PA", InstitutionName="Here"),
            "a/2.IMA": person("P1", ViewPosition="LL", InstitutionName="Here"),
            "b/3.dicom": person("P2", ViewPosition="AP", InstitutionName="There"),
            "b/4.dcm": person("P3"),
        }
        data = load_silently(write(files))
        assert data.groups.tolist() == ["P1", "P1", "P2", "P3"]
        assert data.view_position.tolist() == ["PA", "LATERAL", "AP", None]
        assert data.source.tolist() == ["Here", "Here", "There", ""]
        assert "a: images 2, patients 1 (from DICOM headers)" in data.DESCR
        assert "Views: not known 1, AP 1, LATERAL 1, PA 1" in data.DESCR

    @pytest.mark.parametrize("name", ["IM000001", "1.2.840.113.7", "scan.x"])
    def test_files_of_any_name_at_any_depth(self, write, name):
        root = write(
            {
                f"a/patient/study/{name}": person("P1"),
                f"a/{name}": person("P2"),
                "b/patient/1.dcm": person("P3"),
            }
        )
        (root / "a/patient/DICOMDIR").write_bytes(bytes(128) + b"DICM")
        data = load_silently(root)
        assert sorted(data.groups) == ["P1", "P2", "P3"]
        assert data.target.tolist() == ["a", "a", "b"]

    def test_a_text_file_without_suffix_is_ignored(self, write):
        root = write({"a/1": person("P1"), "b/1": person("P2")})
        (root / "b/LICENSE").write_text("no image " * 40)
        with pytest.warns(UserWarning, match=r"1 files .* are ignored"):
            data = load_radiographs(root, verbose=0)
        assert len(data.paths) == 2

    def test_in_an_archive(self, write, tmp_path):
        root = write({"set/a/1": person("P1"), "set/b/1.dcm": person("P2")}) / "set"
        path = tmp_path / "set.zip"
        with zipfile.ZipFile(path, "w") as archive:
            for file in root.rglob("*"):
                archive.write(file, file.relative_to(root))
        assert load_silently(path).groups.tolist() == ["P1", "P2"]

    def test_in_a_table(self, write):
        root = write({"x/1": person("P1", ViewPosition="PA"), "x/2.dcm": person("P2")})
        table = root / "table.csv"
        table.write_text("path,label,view\nx/1,a,\nx/2.dcm,b,LL\n")
        data = load_silently(table)
        assert data.groups.tolist() == ["P1", "P2"]
        assert data.view_position.tolist() == ["PA", "LATERAL"]

    def test_the_table_takes_precedence_over_the_headers(self, write):
        root = write({"a/1.dcm": person("P1"), "b/1.dcm": person("ANONYMOUS")})
        (root / "metadata.csv").write_text("file,patient\na/1.dcm,Q\nb/1.dcm,Q\n")
        assert load_silently(root).groups.tolist() == ["Q", "Q"]

    def test_beside_other_files(self, write):
        root = write({"a/1.dcm": person("P1"), "b/1.dcm": person("P2")})
        (root / "a/2.png").touch()
        (root / "c").mkdir()
        (root / "c/00000013_005.png").touch()
        with pytest.warns(UserWarning, match=r"1 images .*no patient.*a/2\.png"):
            data = load_radiographs(root, verbose=0)
        assert data.groups.tolist() == ["P1", "a/2.png", "P2", "00000013"]

    def test_names_give_patients_beside_files_of_unknown_patients(self, write):
        root = write({"a/1.dcm": {}, "b/1.dcm": {}})
        for name in ("a/00000013_005.png", "b/00000013_006.png"):
            (root / name).touch()
        with pytest.warns(UserWarning, match=r"2 images .*no patient"):
            data = load_radiographs(root, verbose=0)
        assert data.groups.tolist() == ["a/1.dcm", "00000013", "b/1.dcm", "00000013"]


class TestPatients:
    def test_the_same_number_from_two_issuers_is_two_patients(self, write):
        files = {
            "a/1.dcm": person("7", IssuerOfPatientID="A"),
            "a/2.dcm": person("7", IssuerOfPatientID="B"),
            "b/1.dcm": person("7", IssuerOfPatientID="A"),
            "b/2.dcm": person("8", IssuerOfPatientID="B"),
        }
        groups = load_silently(write(files)).groups
        assert groups.tolist() == ["A: 7", "B: 7", "A: 7", "8"]

    def test_without_an_issuer_the_same_number_is_one_patient(self, write):
        files = {
            "a/1.dcm": person("7", IssuerOfPatientID="A"),
            "a/2.dcm": person("7", IssuerOfPatientID="B"),
            "b/1.dcm": person("7"),
        }
        assert set(load_silently(write(files)).groups) == {"7"}

    def test_unnamed_patients_are_grouped_by_study_or_image(self, write):
        files = {
            "a/1.dcm": person("ANONYMOUS", StudyInstanceUID="1.2.3"),
            "a/2.dcm": person("ANONYMOUS", StudyInstanceUID="1.2.3"),
            "a/3.dcm": person("P1", StudyInstanceUID="1.2.4"),
            "b/1.dcm": person("ANONYMOUS", StudyInstanceUID="1.2.5"),
            "b/2.dcm": person(""),
            "b/3.dcm": {},
        }
        with pytest.warns(UserWarning, match=r"5 images .*no patient"):
            data = load_radiographs(write(files), verbose=0)
        assert data.groups.tolist() == [
            *("study 1.2.3", "study 1.2.3", "P1", "study 1.2.5", "b/2.dcm", "b/3.dcm")
        ]
        assert "patients 2 (from DICOM headers, but 2 images count" in data.DESCR

    def test_without_any_patient_there_are_no_groups(self, write):
        with pytest.warns(UserWarning, match=r"2 images .*no patient"):
            data = load_radiographs(write({"a/1.dcm": {}, "b/1.dcm": {}}), verbose=0)
        assert data.groups is None


class TestFrontal:
    FILES = {
        "a/1.dcm": person("P1", ViewPosition="PA"),
        "a/2.dcm": person("P1", ViewPosition="LL"),
        "a/3.dcm": person("P2"),
        "b/1.dcm": person("P3", ViewPosition="AP"),
        "b/2.dcm": person("P4", ViewPosition="RLD"),
    }

    def test_only_frontal_views_are_kept_and_the_rest_is_counted(self, write):
        data = load_silently(write(self.FILES), views="frontal")
        assert data.view_position.tolist() == ["PA", "AP"]
        assert data.groups.tolist() == ["P1", "P3"]
        assert [Path(path).name for path in data.dropped] == ["2.dcm", "3.dcm", "2.dcm"]
        assert "Dropped as not frontal: 3, not known 1, LATERAL 1, RLD 1" in data.DESCR
        assert "a: images 1, patients 1" in data.DESCR

    def test_a_class_without_frontal_views_is_an_error(self, write):
        files = {**self.FILES, "c/1.dcm": person("P5", ViewPosition="RL")}
        with pytest.raises(ValueError, match=r"class 'c'.*LATERAL 1"):
            load_radiographs(write(files), views="frontal", verbose=0)


class TestErrors:
    def test_every_bad_file_is_listed(self, write):
        files = {
            "a/1.dcm": {},
            "a/ct.dcm": {"SOPClassUID": uid.CTImageStorage, "Modality": "CT"},
            "b/frames.dcm": {"NumberOfFrames": 2, "Rows": 2},
        }
        root = write(files)
        (root / "b/text.dcm").write_text("text")
        with pytest.raises(ValueError, match="3 of 4 files") as error:
            load_radiographs(root, verbose=0)
        lines = str(error.value).splitlines()[1:]
        reasons = ["modality CT", "2 frames", "not a DICOM file"]
        for line, reason in zip(lines, reasons, strict=True):
            assert reason in line

    def test_without_pydicom_the_extra_is_named(self, write, monkeypatch):
        root = write({"a/1.dcm": {}, "b/1.dcm": {}})
        monkeypatch.setitem(sys.modules, "pydicom", None)
        with pytest.raises(ImportError, match=r"skcovid\[dicom\]"):
            load_radiographs(root, verbose=0)

    def test_the_bar_is_hidden_on_request(self, write, terminal):
        root = write({"a/1.dcm": person("P"), "b/1.dcm": person("Q")})
        load_radiographs(root, verbose=0)
        assert terminal.getvalue() == ""
        load_radiographs(root)
        assert "DICOM headers" in terminal.getvalue()


def how_to_write(number):
    """Write each radiograph as another kind of DICOM file with the same image."""
    return [
        {"levels": lambda image: image},
        {"levels": lambda image: image.astype(np.uint16) * 16, "BitsStored": 12},
        {
            "levels": lambda image: 4095 - image.astype(np.uint16) * 16,
            "BitsStored": 12,
            "PhotometricInterpretation": "MONOCHROME1",
        },
        {
            "levels": lambda image: (image * 100.0 - 12_750).astype(np.int16),
            "WindowCenter": 0,
            "WindowWidth": 25_500,
        },
        {"levels": lambda image: image.astype(np.uint16) * 257, "compress": True},
    ][number % 5]


def test_end_to_end(tmp_path):
    tiny_backbone.register()
    source = make_radiographs(
        30, image_size=32, weights=(1, 1, 1), n_patients=15, random_state=0
    )
    for number, (image, label, patient) in enumerate(
        zip(source.images, source.target, source.groups, strict=True)
    ):
        elements = dict(how_to_write(number))
        levels = elements.pop("levels")(image)
        path = tmp_path / label / patient / f"IM{number:04}"
        write_dicom(path, levels, PatientID=patient, ViewPosition="PA", **elements)
    data = load_silently(tmp_path, views="frontal")
    assert len(data.paths) == 30
    assert set(data.groups) == set(source.groups)
    pipeline = make_transfer_pipeline(
        tiny_backbone.NAME, weights=None, recipe="linear", verbose=0
    )
    result = evaluate(
        pipeline, data.paths, data.target, cv=3, groups=data.groups, verbose=0
    )
    assert len(result.predictions) == 30
    pipeline.fit(data.paths, data.target)
    assert set(pipeline.predict(data.paths[:5])) <= set(data.target_names)


def test_pydicoms_own_radiographs(tmp_path):
    folder = Path(shipped_file("CT_small.dcm")).parent / "dicomdirtests/77654033"
    for number, label in enumerate("abb", start=1):
        shutil.copytree(folder / f"CR{number}", tmp_path / label / f"CR{number}")
    data = load_silently(tmp_path)
    assert data.groups.tolist() == ["77654033"] * 3
    shutil.copytree(folder / "CT2", tmp_path / "b" / "CT2")
    with pytest.raises(ValueError, match="4 of 7 files") as error:
        load_radiographs(tmp_path, verbose=0)
    assert str(error.value).count("of modality CT") == 4
