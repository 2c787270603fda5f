"""Patients of public collections, each with its own parser."""

import shutil

import pytest

from skcovid.datasets import (
    cohen_patients,
    kermany_patient,
    load_radiographs,
    nih_patient,
)

# Two versions of the collection: columns were renamed and added.
TABLES = {
    "early": (
        "Patientid,offset,finding,filename,notes\n"
        '2,0,COVID-19,auntminnie-a.jpeg,"fever, cough"\n'
        "2,3,COVID-19,auntminnie-b.jpeg,\n"
        "316a,,SARS,figure.png,\n"
    ),
    "late": (
        "\ufeffpatientid,offset,finding,view,folder,filename,\n"
        "2,0,Pneumonia/Viral/COVID-19,PA,images,auntminnie-a.jpeg,\n"
        "2,3,Pneumonia/Viral/COVID-19,AP Supine,images,auntminnie-b.jpeg,\n"
        "316a,,Pneumonia/Viral/SARS,L,images,figure.png,\n"
        "316a,,Pneumonia/Viral/SARS,L,images,figure.png,\n"
    ),
}


@pytest.fixture
def write_table(tmp_path):
    def write(text):
        path = tmp_path / "metadata.csv"
        path.write_text(text, encoding="utf-8")
        return path

    return write


@pytest.mark.parametrize("version", TABLES)
def test_cohen_patients_are_in_its_table(write_table, version):
    files = ["SARS/figure.png", "COVID-19/auntminnie-b.jpeg", "auntminnie-a.jpeg"]
    assert cohen_patients(write_table(TABLES[version]), files) == ["316a", "2", "2"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (TABLES["late"], r"no patient.*1 of 2.*other\.png"),
        ("patientid,filename\n,figure.png\n", "no patient.*2 of 2"),
        ("patient,filename\n", "no column 'patientid'"),
        ("patientid,file\n", "no column 'filename'"),
        ("", "no column 'patientid'"),
        (
            "patientid,filename\n1,figure.png\n2,figure.png\n",
            "two rows for figure.*patients",
        ),
        (
            "patientid,filename,view\n1,figure.png,PA\n1,figure.png,L\n",
            "two rows for figure.*views",
        ),
        ("patientid,note,filename\n1,a, b,figure.png\n", "line 2: 4 cells.*has 3"),
        ("patientid,note,filename\n1,figure.png\n", "line 2: 2 cells"),
        ('patientid,filename\n1,figure.png\n2,"other.png\n', "line 3: not a CSV"),
    ],
)
def test_cohen_tables_without_patients_are_errors(write_table, text, message):
    with pytest.raises(ValueError, match=message):
        cohen_patients(write_table(text), ["figure.png", "other.png"])


def test_a_missing_cohen_table(tmp_path):
    with pytest.raises(FileNotFoundError):
        cohen_patients(tmp_path / "metadata.csv", ["figure.png"])


class TestCohenTableBesideClassFolders:
    @pytest.fixture
    def root(self, tmp_path):
        for file in ("COVID/auntminnie-a.jpeg", "COVID/auntminnie-b.jpeg"):
            (tmp_path / file).parent.mkdir(exist_ok=True)
            (tmp_path / file).touch()
        (tmp_path / "SARS").mkdir()
        (tmp_path / "SARS/figure.png").touch()
        return tmp_path

    @pytest.mark.parametrize("version", TABLES)
    @pytest.mark.parametrize("archived", [False, True])
    def test_patients_are_found(self, root, write_table, version, archived):
        row = {"early": "9,,TB,not-sorted.png,\n", "late": "9,,TB,,,not-sorted.png,\n"}
        write_table(TABLES[version] + row[version])
        if archived:
            root = shutil.make_archive(root.parent / "cohen", "zip", root)
        data = load_radiographs(root)
        assert data.groups.tolist() == ["2", "2", "316a"]
        assert "COVID: images 2, patients 1 (from " in data.DESCR

    def test_views_are_found(self, root, write_table):
        write_table(TABLES["late"])
        assert load_radiographs(root).view_position.tolist() == ["PA", "AP", "LATERAL"]

    def test_an_image_without_a_row_is_an_error(self, root, write_table):
        write_table(TABLES["late"])
        (root / "SARS/other.png").touch()
        with pytest.raises(ValueError, match=r"1 of 4.*other\.png"):
            load_radiographs(root)

    def test_a_table_with_paths_is_not_read_as_cohens(self, root, write_table):
        write_table(
            "patientid,finding,filename\n"
            "1,x,COVID/auntminnie-a.jpeg\n"
            "2,x,COVID/auntminnie-b.jpeg\n"
            "3,x,SARS/figure.png\n"
        )
        assert load_radiographs(root).groups.tolist() == ["1", "2", "3"]


@pytest.mark.parametrize(
    ("parse", "stem", "patient"),
    [
        (nih_patient, "00000013_005", "00000013"),
        (nih_patient, "0000013_005", None),
        (kermany_patient, "person1000_virus_1681", "person1000_virus"),
        (kermany_patient, "person1_bacteria_1", "person1_bacteria"),
        (kermany_patient, "IM-0115-0001", "IM-0115"),
        (kermany_patient, "NORMAL2-IM-0427-0001", "NORMAL2-IM-0427"),
        (kermany_patient, "IM-0429-0001-0002", "IM-0429"),
        (kermany_patient, "00000013_005", None),
    ],
)
def test_patients_of_file_names(parse, stem, patient):
    assert parse(stem) == patient
