import re
import shutil
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

pydicom = pytest.importorskip("pydicom")

from pydicom import uid  # noqa: E402 (needs pydicom)
from pydicom.encaps import encapsulate, generate_frames  # noqa: E402 (needs pydicom)
from pydicom.pixels import get_decoder  # noqa: E402 (needs pydicom)

from _helpers.dicom_files import make_dataset, shipped_file, write_dicom  # noqa: E402 (needs pydicom)
from skcovid import RadiographReader  # noqa: E402 (needs pydicom)
from skcovid.reading import read_radiograph  # noqa: E402 (needs pydicom)
from skcovid.reading._check_files import check_files  # noqa: E402 (needs pydicom)
from skcovid.reading._dicom_headers import read_header  # noqa: E402 (needs pydicom)

# pydicom warns of many details of broken files before its error.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")

RAMP = np.arange(0, 4096, 64, dtype=np.uint16).reshape(4, 16)
STRETCHED = np.rint(np.arange(64) * 255 / 63).reshape(4, 16)


@pytest.fixture
def write(tmp_path):
    """Write a radiograph below `tmp_path`."""

    def write(levels=RAMP, name="a.dcm", **elements):
        return write_dicom(tmp_path / name, levels, **elements)

    return write


def needs_decoder(syntax):
    return pytest.mark.skipif(
        not get_decoder(syntax).is_available, reason=f"no decoder of {syntax.name}"
    )


class TestLevels:
    @pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint16, np.int16])
    def test_without_a_window_the_range_in_use_is_stretched(self, write, dtype):
        levels = (np.arange(64).reshape(4, 16) + 20).astype(dtype)
        grey = read_radiograph(write(levels))
        assert grey.dtype == np.uint8
        np.testing.assert_array_equal(grey, STRETCHED)

    def test_negative_levels(self, write):
        levels = (np.arange(64).reshape(4, 16) * 500 - 20_000).astype(np.int16)
        np.testing.assert_array_equal(read_radiograph(write(levels)), STRETCHED)

    def test_12_bits(self, write):
        path = write(RAMP, BitsStored=12)
        np.testing.assert_array_equal(read_radiograph(path), STRETCHED)

    def test_unused_bits_are_ignored(self, write):
        # An overlay in the highest bits, as older devices store it.
        path = write(RAMP | np.uint16(0x8000), BitsStored=12)
        np.testing.assert_array_equal(read_radiograph(path), STRETCHED)

    @pytest.mark.parametrize("syntax", [uid.ImplicitVRLittleEndian, None])
    def test_other_byte_orders_and_encodings(self, tmp_path, syntax):
        dataset = make_dataset(RAMP)
        if syntax is None:
            dataset.file_meta.TransferSyntaxUID = uid.ExplicitVRBigEndian
            dataset.PixelData = RAMP.astype(">u2").tobytes()
        else:
            dataset.file_meta.TransferSyntaxUID = syntax
        dataset.save_as(tmp_path / "a.dcm", enforce_file_format=True)
        np.testing.assert_array_equal(read_radiograph(tmp_path / "a.dcm"), STRETCHED)

    def test_monochrome1_is_inverted(self, write):
        grey = read_radiograph(write(PhotometricInterpretation="MONOCHROME1"))
        np.testing.assert_array_equal(grey, 255 - STRETCHED)

    def test_one_level_is_black(self, write):
        assert not read_radiograph(write(np.full((4, 4), 9, np.uint16))).any()

    def test_padding_does_not_count_in_the_range(self, write):
        levels = RAMP.copy()
        levels[0, :4] = [60_000, 60_001, 60_009, 60_010]
        elements = {"PixelPaddingValue": 60_000, "PixelPaddingRangeLimit": 60_010}
        grey = read_radiograph(write(levels, **elements))
        assert (grey[0, :4] == 255).all()
        expected = np.rint((RAMP[1:] - 256.0) * 255 / (4032 - 256))
        np.testing.assert_array_equal(grey[1:], expected)

    @pytest.mark.parametrize("vr", ["US", "SS"])
    @pytest.mark.parametrize("range_limit", [None, -1990])
    def test_padding_has_the_sign_of_the_pixels(self, tmp_path, vr, range_limit):
        levels = (np.arange(64).reshape(4, 16) * 4).astype(np.int16)
        levels[0, 0] = -2000
        dataset = make_dataset(levels)
        for tag, value in ((0x00280120, -2000), (0x00280121, range_limit)):
            if value is not None:
                dataset.add_new(tag, vr, value % 2**16 if vr == "US" else value)
        dataset.save_as(tmp_path / "a.dcm", enforce_file_format=True)
        grey = read_radiograph(tmp_path / "a.dcm")
        expected = np.rint((np.arange(64).reshape(4, 16) - 1) * 255 / 62)
        np.testing.assert_array_equal(grey.ravel()[1:], expected.ravel()[1:])

    def test_padding_of_unsigned_pixels_written_as_signed(self, tmp_path):
        levels = RAMP.copy()
        levels[0, 0] = 63_536
        dataset = make_dataset(levels)
        dataset.add_new(0x00280120, "SS", -2000)
        dataset.save_as(tmp_path / "a.dcm", enforce_file_format=True)
        grey = read_radiograph(tmp_path / "a.dcm").ravel()
        assert (grey[1], grey[-1]) == (0, 255)

    @pytest.mark.parametrize("compress", [False, True])
    @pytest.mark.parametrize("dtype", [np.uint16, np.int16])
    @pytest.mark.parametrize("high_bit", [12, 15])
    def test_high_bit(self, tmp_path, compress, dtype, high_bit):
        levels = RAMP.astype(dtype) - (2048 if dtype == np.int16 else 0)
        shift = high_bit - 11
        # The bits below the stored ones hold something else.
        dataset = make_dataset(levels << shift | 1, BitsStored=12)
        dataset.HighBit = high_bit
        dataset.WindowCenter, dataset.WindowWidth = int(levels.ravel()[32]), 2048
        if compress:
            dataset.compress(uid.RLELossless)
        dataset.save_as(tmp_path / "a.dcm", enforce_file_format=True)
        plain = make_dataset(levels, BitsStored=12)
        plain.WindowCenter, plain.WindowWidth = dataset.WindowCenter, 2048
        plain.save_as(tmp_path / "b.dcm", enforce_file_format=True)
        expected = read_radiograph(tmp_path / "b.dcm")
        assert expected.std() > 50
        np.testing.assert_array_equal(read_radiograph(tmp_path / "a.dcm"), expected)

    @pytest.mark.parametrize("high_bit", [3, 16, 200])
    def test_an_impossible_high_bit_is_ignored(self, tmp_path, high_bit):
        dataset = make_dataset(RAMP, BitsStored=12)
        dataset.HighBit = high_bit
        dataset.save_as(tmp_path / "a.dcm", enforce_file_format=True)
        np.testing.assert_array_equal(read_radiograph(tmp_path / "a.dcm"), STRETCHED)

    def test_grey_as_rgb_has_three_equal_channels(self, write):
        rgb = read_radiograph(write(), channels="rgb")
        np.testing.assert_array_equal(rgb, np.dstack([STRETCHED] * 3))


class TestWindow:
    def expected(self, values, low, high):
        return np.clip((values - low) / (high - low), 0, 1) * 255

    @pytest.mark.parametrize(("center", "width"), [(2000, 1000), (2000, 8000)])
    def test_the_window_goes_from_black_to_white(self, write, center, width):
        grey = read_radiograph(write(WindowCenter=center, WindowWidth=width))
        expected = self.expected(RAMP, center - width / 2, center + width / 2)
        np.testing.assert_allclose(grey, expected, atol=1)

    def test_rescaling_precedes_the_window(self, write):
        elements = {"RescaleSlope": 2, "RescaleIntercept": -1000}
        path = write(WindowCenter=3000, WindowWidth=2000, **elements)
        expected = self.expected(RAMP * 2.0 - 1000, 2000, 4000)
        np.testing.assert_allclose(read_radiograph(path), expected, atol=1)

    def test_a_negative_slope_inverts(self, write):
        elements = {"RescaleSlope": -1, "RescaleIntercept": 4032}
        path = write(WindowCenter=2016, WindowWidth=4032, **elements)
        np.testing.assert_allclose(read_radiograph(path), 255 - STRETCHED, atol=1)

    def test_monochrome1_is_inverted_after_the_window(self, write):
        elements = {"WindowCenter": 2000, "WindowWidth": 1000}
        plain = read_radiograph(write(**elements))
        path = write(PhotometricInterpretation="MONOCHROME1", **elements)
        np.testing.assert_array_equal(read_radiograph(path), 255 - plain)

    def test_the_first_of_several_windows(self, write):
        path = write(WindowCenter=[2000, 100], WindowWidth=[1000, 10])
        first = write(name="b.dcm", WindowCenter=2000, WindowWidth=1000)
        np.testing.assert_array_equal(read_radiograph(path), read_radiograph(first))

    def test_sigmoid(self, write):
        path = write(WindowCenter=2000, WindowWidth=1000, VOILUTFunction="SIGMOID")
        expected = 255 / (1 + np.exp(-4 * (RAMP - 2000.0) / 1000))
        np.testing.assert_allclose(read_radiograph(path), expected, atol=1)

    def test_an_empty_window_is_ignored(self, write):
        path = write(WindowCenter="", WindowWidth="")
        np.testing.assert_array_equal(read_radiograph(path), STRETCHED)

    @pytest.mark.parametrize("width", [0, -5])
    def test_a_window_without_width_is_ignored(self, write, width):
        path = write(WindowCenter=10, WindowWidth=width)
        np.testing.assert_array_equal(read_radiograph(path), STRETCHED)

    @pytest.mark.parametrize("function", [None, "LINEAR", "LINEAR_EXACT"])
    def test_a_width_below_1_is_exact(self, write, function):
        elements = {"RescaleSlope": 1 / 4032, "RescaleIntercept": 0}
        function = {} if function is None else {"VOILUTFunction": function}
        path = write(WindowCenter=0.5, WindowWidth=0.5, **elements, **function)
        expected = self.expected(RAMP / 4032, 0.25, 0.75)
        np.testing.assert_allclose(read_radiograph(path), expected, atol=1)

    def test_a_width_of_1_is_a_threshold(self, write):
        grey = read_radiograph(write(WindowCenter=2000, WindowWidth=1))
        np.testing.assert_array_equal(grey, np.where(RAMP > 1999.5, 255, 0))

    def test_an_unknown_function_is_named(self, write):
        path = write(WindowCenter=10, WindowWidth=9, VOILUTFunction="CUBIC")
        with pytest.raises(
            ValueError, match=r"a\.dcm: .*VOI LUT Function.*CUBIC"
        ) as error:
            read_radiograph(path)
        assert "pydicom" not in str(error.value)


def lut(entries, first, bits, vr=None):
    item = pydicom.Dataset()
    vr = vr or ("US" if first >= 0 else "SS")
    item.add_new("LUTDescriptor", vr, [len(entries) % 2**16, first, bits])
    item.add_new("LUTData", "US", [int(entry) for entry in entries])
    return [item]


class TestDoubts:
    @pytest.mark.parametrize(
        ("interpretation", "shape", "is_odd"),
        [
            ("MONOCHROME1", "INVERSE", False),
            ("MONOCHROME1", "IDENTITY", True),
            ("MONOCHROME2", "INVERSE", True),
            ("MONOCHROME2", "IDENTITY", False),
        ],
    )
    def test_a_presentation_lut_shape_that_contradicts(
        self, write, recwarn, interpretation, shape, is_odd
    ):
        elements = {"PhotometricInterpretation": interpretation}
        grey = read_radiograph(write(PresentationLUTShape=shape, **elements))
        is_inverted = interpretation == "MONOCHROME1"
        expected = 255 - STRETCHED if is_inverted else STRETCHED
        np.testing.assert_array_equal(grey, expected)
        messages = [str(warning.message) for warning in recwarn]
        assert len(messages) == is_odd
        assert all(shape in one and interpretation in one for one in messages)

    @pytest.mark.parametrize("center", [-5000, 90_000])
    def test_a_window_beside_the_image(self, write, center):
        path = write(WindowCenter=center, WindowWidth=100)
        with pytest.warns(UserWarning, match=r"a\.dcm: .*one grey level.*window"):
            assert np.ptp(read_radiograph(path)) == 0

    def test_an_image_of_one_value_is_no_doubt(self, write, recwarn):
        read_radiograph(write(np.full((4, 4), 9, np.uint16)))
        assert not recwarn


class TestLookupTables:
    @pytest.mark.parametrize("bits", [8, 12, 16])
    def test_a_voi_lut_takes_precedence_over_a_window(self, write, bits):
        # 4,096 entries need longer indices than the 8 bits of an entry.
        entries = np.arange(4096) * (2**8 - 1) // 4095
        path = write(
            VOILUTSequence=lut(entries, 0, bits), WindowCenter=10, WindowWidth=10
        )
        np.testing.assert_allclose(read_radiograph(path), RAMP * 255.0 / 4095, atol=1)

    def test_levels_outside_a_lut_are_clipped(self, write):
        levels = np.array([[0, 100, 101, 102, 65_535]], np.uint16)
        path = write(levels, VOILUTSequence=lut([1000, 2000, 3000], 100, 16))
        assert read_radiograph(path).tolist() == [[0, 0, 128, 255, 255]]

    def test_a_lut_that_uses_fewer_bits_still_ends_in_white(self, write):
        path = write(VOILUTSequence=lut(np.arange(4033), 0, 16))
        np.testing.assert_array_equal(read_radiograph(path), STRETCHED)

    def test_a_voi_lut_after_rescaling(self, write):
        elements = {"RescaleSlope": 1, "RescaleIntercept": -1024}
        path = write(VOILUTSequence=lut(np.arange(4033), -1024, 16), **elements)
        np.testing.assert_array_equal(read_radiograph(path), STRETCHED)

    @pytest.mark.parametrize("bits", [8, 12, 16])
    def test_a_modality_lut(self, write, bits):
        levels = np.arange(64, dtype=np.uint16).reshape(4, 16)
        path = write(levels, ModalityLUTSequence=lut(np.arange(64)[::-1] * 4, 0, bits))
        np.testing.assert_array_equal(read_radiograph(path), 255 - STRETCHED)

    @pytest.mark.parametrize(
        ("syntax", "vr", "first"),
        [
            (uid.ExplicitVRLittleEndian, "US", 64_512),
            (uid.ExplicitVRLittleEndian, "SS", -1024),
            (uid.ImplicitVRLittleEndian, "SS", -1024),
            (uid.ImplicitVRLittleEndian, "US", 64_512),
        ],
    )
    @pytest.mark.parametrize("bits_stored", [12, 16])
    @pytest.mark.parametrize("signed", [False, True])
    def test_a_voi_lut_has_the_sign_of_its_input(
        self, tmp_path, syntax, vr, first, bits_stored, signed
    ):
        # Unsigned pixels become signed through rescaling.
        dtype, intercept = (np.int16, 0) if signed else (np.uint16, -1024)
        levels = (RAMP // 2).astype(dtype) - (1024 if signed else 0)
        dataset = make_dataset(levels, BitsStored=bits_stored)
        dataset.file_meta.TransferSyntaxUID = syntax
        dataset.RescaleSlope, dataset.RescaleIntercept = 1, intercept
        entries = np.minimum(np.arange(4096), 2016)
        dataset.VOILUTSequence = lut(entries, first, 12, vr)
        dataset.save_as(tmp_path / "a.dcm", enforce_file_format=True)
        np.testing.assert_array_equal(read_radiograph(tmp_path / "a.dcm"), STRETCHED)

    @pytest.mark.parametrize(("vr", "first"), [("US", 65_504), ("SS", -32)])
    def test_a_modality_lut_has_the_sign_of_the_pixels(self, write, vr, first):
        levels = (np.arange(64).reshape(4, 16) - 32).astype(np.int16)
        path = write(levels, ModalityLUTSequence=lut(np.arange(64) * 4, first, 16, vr))
        np.testing.assert_array_equal(read_radiograph(path), STRETCHED)

    def test_high_levels_of_a_lut_written_as_signed(self, write):
        levels = np.arange(64, dtype=np.uint16).reshape(4, 16) + 40_000
        sequence = lut(np.arange(64) * 4, 40_000 - 2**16, 16, "SS")
        for name in ("ModalityLUTSequence", "VOILUTSequence"):
            path = write(levels, **{name: sequence})
            np.testing.assert_array_equal(read_radiograph(path), STRETCHED)

    def test_a_lut_of_more_than_32767_entries_written_as_signed(self, write):
        path = write(RAMP, VOILUTSequence=lut(np.arange(40_000), 0, 16))
        # pydicom does not write it so.
        descriptor = b"\x28\x00\x02\x30"
        content = path.read_bytes()
        assert content.count(descriptor + b"US") == 1
        path.write_bytes(content.replace(descriptor + b"US", descriptor + b"SS"))
        np.testing.assert_array_equal(
            read_radiograph(path), np.rint(RAMP * 255.0 / 39_999)
        )

    def test_a_lut_of_65536_entries(self, write):
        sequence = lut(np.arange(2**16), 0, 16)
        assert sequence[0].LUTDescriptor[0] == 0
        path = write(RAMP, VOILUTSequence=sequence)
        np.testing.assert_array_equal(read_radiograph(path), np.rint(RAMP / 257))

    @pytest.mark.filterwarnings("ignore:.*one grey level")
    @pytest.mark.parametrize("first", [-100, 100, 5000])
    def test_the_stated_value_counts_if_it_is_possible(self, write, first):
        path = write(RAMP, VOILUTSequence=lut(np.arange(4096), first, 16))
        expected = np.rint(np.clip(RAMP - float(first), 0, 4095) * 255 / 4095)
        np.testing.assert_array_equal(read_radiograph(path), expected)

    @pytest.mark.parametrize("vr", ["OW", "US"])
    @pytest.mark.parametrize("n_entries", [64, 63])
    @pytest.mark.parametrize("name", ["ModalityLUTSequence", "VOILUTSequence"])
    @pytest.mark.parametrize(
        "syntax", [uid.ExplicitVRLittleEndian, uid.ExplicitVRBigEndian]
    )
    def test_entries_of_8_bits_packed_in_words(
        self, tmp_path, vr, n_entries, name, syntax
    ):
        levels = np.arange(64, dtype=np.uint8).reshape(4, 16)
        entries = np.minimum(np.arange(64), n_entries - 1).astype(np.uint8)
        words = entries.view("<u2")
        is_big_endian = syntax == uid.ExplicitVRBigEndian
        item = pydicom.Dataset()
        item.add_new("LUTDescriptor", "US", [n_entries, 0, 8])
        in_words = words.astype(">u2") if is_big_endian else words
        value = in_words.tobytes() if vr == "OW" else words.tolist()
        item.add_new("LUTData", vr, value)
        dataset = make_dataset(levels, **{name: [item]})
        dataset.file_meta.TransferSyntaxUID = syntax
        dataset["PixelData"].VR = "OB"
        dataset.save_as(tmp_path / "a.dcm", enforce_file_format=True)
        expected = np.rint(entries * 255.0 / (n_entries - 1)).reshape(4, 16)
        np.testing.assert_array_equal(read_radiograph(tmp_path / "a.dcm"), expected)

    def test_entries_of_16_bits_in_words(self, write):
        sequence = lut([], 0, 16)
        sequence[0].LUTDescriptor = [64, 0, 16]
        entries = np.arange(64, dtype="<u2") * 1000
        sequence[0].add_new("LUTData", "OW", entries.tobytes())
        levels = np.arange(64, dtype=np.uint16).reshape(4, 16)
        path = write(levels, VOILUTSequence=sequence)
        np.testing.assert_array_equal(read_radiograph(path), STRETCHED)

    @pytest.mark.parametrize("name", ["ModalityLUTSequence", "VOILUTSequence"])
    def test_an_incomplete_lut_is_named(self, write, name):
        short, empty, bare = lut([1, 2, 3], 0, 16), lut([1, 2], 0, 16), lut([1], 0, 16)
        short[0].LUTDescriptor = [64, 0, 16]
        empty[0].LUTDescriptor = None
        del bare[0].LUTData
        for sequence in (short, empty, bare, [pydicom.Dataset()]):
            with pytest.raises(ValueError, match=rf"a\.dcm: .*{name}") as error:
                read_radiograph(write(**{name: sequence}))
            assert "pydicom" not in str(error.value)


class TestEmptyElements:
    """Elements without a value count as absent."""

    @pytest.mark.parametrize(
        "name",
        [
            *("RescaleSlope", "RescaleIntercept", "RescaleType", "WindowCenter"),
            *("WindowWidth", "VOILUTFunction", "PixelPaddingValue", "NumberOfFrames"),
            *("PixelPaddingRangeLimit", "ModalityLUTSequence", "VOILUTSequence"),
            *("PresentationIntentType", "Modality", "PlanarConfiguration"),
            *("SmallestImagePixelValue", "LargestImagePixelValue"),
        ],
    )
    def test_alone(self, write, name):
        value = [] if name.endswith("Sequence") else None
        dataset = make_dataset(RAMP)
        setattr(dataset, name, value)
        path = write(name="a.dcm")
        dataset.save_as(path, enforce_file_format=True)
        assert name in pydicom.dcmread(path)
        np.testing.assert_array_equal(read_radiograph(path), STRETCHED)

    @pytest.mark.parametrize(
        ("slope", "intercept", "center"),
        [(None, None, 2000), (None, -1000, 1000), (2, None, 4000)],
    )
    def test_rescaling_before_a_window(self, tmp_path, slope, intercept, center):
        dataset = make_dataset(RAMP)
        dataset.RescaleSlope, dataset.RescaleIntercept = slope, intercept
        width = 1000 * (slope or 1)
        dataset.WindowCenter, dataset.WindowWidth = center, width
        dataset.VOILUTFunction = None
        dataset.save_as(tmp_path / "a.dcm", enforce_file_format=True)
        expected = np.clip((RAMP - 1500.0) / 1000, 0, 1) * 255
        found = read_radiograph(tmp_path / "a.dcm")
        np.testing.assert_allclose(found, expected, atol=1)

    def test_a_rescale_slope_of_0_is_an_error(self, write):
        path = write(RescaleSlope=0, RescaleIntercept=-1000)
        with pytest.raises(
            ValueError, match=r"a\.dcm: Rescale Slope is 0.*set it to 1"
        ):
            read_radiograph(path)

    def test_a_padding_without_range_limit(self, tmp_path):
        levels = RAMP.copy()
        levels[0, 0] = 60_000
        dataset = make_dataset(levels, PixelPaddingValue=60_000)
        dataset.PixelPaddingRangeLimit = None
        dataset.save_as(tmp_path / "a.dcm", enforce_file_format=True)
        grey = read_radiograph(tmp_path / "a.dcm").ravel()
        assert (grey[1], grey[-1]) == (0, 255)

    @pytest.mark.parametrize("in_dataset", [True, False])
    def test_sop_class(self, tmp_path, in_dataset):
        dataset = make_dataset(RAMP)
        if not in_dataset:
            dataset.SOPClassUID = None
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        dataset.file_meta.MediaStorageSOPClassUID = ""
        dataset.preamble = bytes(128)
        dataset.save_as(tmp_path / "a.dcm")
        np.testing.assert_array_equal(read_radiograph(tmp_path / "a.dcm"), STRETCHED)


class TestIncompleteHeaders:
    """Files without a preamble, or without meta information."""

    @pytest.fixture
    def parts(self, tmp_path):
        def parts(syntax):
            dataset = make_dataset(RAMP)
            dataset.file_meta.TransferSyntaxUID = syntax
            path = tmp_path / "whole.dcm"
            dataset.save_as(path, enforce_file_format=True)
            content = path.read_bytes()
            end = 144 + int.from_bytes(content[140:144], "little")
            return content[:132], content[132:end], content[end:]

        return parts

    SYNTAXES = (uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian)

    @pytest.mark.parametrize("syntax", SYNTAXES)
    @pytest.mark.parametrize("has_meta", [False, True])
    def test_the_cure_in_the_message_works(self, tmp_path, parts, syntax, has_meta):
        _, meta, content = parts(syntax)
        path = tmp_path / "a.dcm"
        path.write_bytes(meta * has_meta + content)
        with pytest.raises(ValueError, match=r"a\.dcm: not a DICOM file") as error:
            read_radiograph(path)
        (cure,) = re.findall(r"pydicom\.dcmread.*\)", str(error.value))
        eval(cure, {"pydicom": pydicom, "path": path})
        np.testing.assert_array_equal(read_radiograph(path), STRETCHED)

    @pytest.mark.parametrize("syntax", [*SYNTAXES, uid.ExplicitVRBigEndian])
    def test_a_preamble_without_meta_information(self, tmp_path, parts, syntax):
        preamble, _, content = parts(syntax)
        if syntax == uid.ExplicitVRBigEndian:
            pixels = content[-RAMP.nbytes :]
            content = content.removesuffix(pixels) + RAMP.astype(">u2").tobytes()
        path = tmp_path / "a.dcm"
        path.write_bytes(preamble + content)
        np.testing.assert_array_equal(read_radiograph(path), STRETCHED)

    def test_compressed_without_meta_information(self, write):
        path = write(compress=True)
        content = path.read_bytes()
        end = 144 + int.from_bytes(content[140:144], "little")
        path.write_bytes(content[:132] + content[end:])
        with pytest.raises(ValueError, match=r"a\.dcm: .*Transfer Syntax UID"):
            read_radiograph(path)


class TestNames:
    @pytest.mark.parametrize(
        "name",
        ["image", "1.2.840.113", "IM.txt", "IMAGE.DCM", "a.dicom", "a.IMA", "胸部.dcm"],
    )
    def test_dicom_is_recognised_by_content_or_extension(self, write, name):
        np.testing.assert_array_equal(read_radiograph(write(name=name)), STRETCHED)

    @pytest.mark.parametrize("name", ["IM.png", "IM.JPG"])
    def test_the_suffix_of_another_format_warns(self, write, name):
        with pytest.warns(UserWarning, match=rf"{name}: a DICOM file.*rename.*\.dcm"):
            found = read_radiograph(write(name=name))
        np.testing.assert_array_equal(found, STRETCHED)

    def test_a_reader_reads_dicom_and_png_together(self, write, grey_paths):
        images = RadiographReader(8).fit_transform([*grey_paths, write()])
        assert np.asarray(images).shape == (7, 8, 8)


class TestCompressed:
    def test_rle(self, write):
        path = write(compress=True)
        assert uid.RLELossless.encode() in path.read_bytes()
        np.testing.assert_array_equal(read_radiograph(path), STRETCHED)

    @pytest.mark.parametrize(
        "name",
        [
            "MR_small_RLE.dcm",
            pytest.param(
                "MR_small_jp2klossless.dcm", marks=needs_decoder(uid.JPEG2000Lossless)
            ),
            pytest.param(
                "MR_small_jpeg_ls_lossless.dcm",
                marks=needs_decoder(uid.JPEGLSLossless),
            ),
        ],
    )
    @pytest.mark.parametrize("n_bits", [16, 10, 8])
    def test_lossless_compression_changes_nothing(self, tmp_path, name, n_bits):
        # The files have 16 bits; the highest are then of another kind, as overlays are.
        elements = {"BitsStored": n_bits, "HighBit": n_bits - 1}
        elements |= {"WindowCenter": None, "WindowWidth": None}
        paths = [
            as_radiograph(shipped_file(shipped), tmp_path / shipped, **elements)
            for shipped in ("MR_small.dcm", name)
        ]
        plain, compressed = map(read_radiograph, paths)
        np.testing.assert_array_equal(compressed, plain)
        assert plain.std() > 10

    @needs_decoder(uid.JPEGBaseline8Bit)
    def test_jpeg_of_8_bits(self, tmp_path):
        levels = np.add.outer(np.arange(64), np.arange(64)).astype(np.uint8)
        dataset = make_dataset(levels)
        dataset.file_meta.TransferSyntaxUID = uid.JPEGBaseline8Bit
        jpeg = cv2.imencode(".jpg", levels)[1].tobytes()
        dataset["PixelData"].VR = "OB"
        dataset.PixelData = encapsulate([jpeg])
        dataset.save_as(tmp_path / "a.dcm", enforce_file_format=True)
        found = read_radiograph(tmp_path / "a.dcm")
        np.testing.assert_allclose(found, levels * (255 / 126), atol=4)

    @pytest.mark.parametrize("n_zeros", [15, 40, 1000])
    @pytest.mark.parametrize("own_fragment", [False, True])
    @pytest.mark.parametrize(
        "name",
        [
            pytest.param("JPEG", marks=needs_decoder(uid.JPEGBaseline8Bit)),
            pytest.param(
                "MR_small_jp2klossless.dcm", marks=needs_decoder(uid.JPEG2000Lossless)
            ),
            pytest.param(
                "MR_small_jpeg_ls_lossless.dcm", marks=needs_decoder(uid.JPEGLSLossless)
            ),
        ],
    )
    def test_zeros_after_the_frame(self, tmp_path, name, own_fragment, n_zeros):
        plain = tmp_path / "a.dcm"
        if name == "JPEG":
            levels = np.add.outer(np.arange(64), np.arange(64)).astype(np.uint8)
            dataset = make_dataset(levels)
            dataset.file_meta.TransferSyntaxUID = uid.JPEGBaseline8Bit
            jpeg = cv2.imencode(".jpg", levels)[1].tobytes()
            dataset["PixelData"].VR = "OB"
            dataset.PixelData = encapsulate([jpeg])
            dataset.save_as(plain, enforce_file_format=True)
        else:
            as_radiograph(shipped_file(name), plain)
        dataset = pydicom.dcmread(plain)
        frame = next(generate_frames(dataset.PixelData, number_of_frames=1))
        zeros = bytes(n_zeros + n_zeros % 2)
        fragments = [frame, zeros] if own_fragment else [frame + zeros]
        items = [b"", *fragments]
        dataset.PixelData = b"".join(
            b"\xfe\xff\x00\xe0" + len(item).to_bytes(4, "little") + item
            for item in items
        )
        dataset.save_as(tmp_path / "b.dcm")
        expected = read_radiograph(plain)
        np.testing.assert_array_equal(read_radiograph(tmp_path / "b.dcm"), expected)

    @needs_decoder(uid.JPEG2000)
    def test_jpeg_2000(self, tmp_path):
        path = as_radiograph(shipped_file("693_J2KI.dcm"), tmp_path / "a.dcm")
        assert read_radiograph(path).shape == (512, 512)

    def test_a_missing_decoder_is_named(self, tmp_path, monkeypatch):
        paths = [
            as_radiograph(shipped_file(name), tmp_path / name)
            for name in ("MR_small_jp2klossless.dcm", "MR_small_jpeg_ls_lossless.dcm")
        ]
        for syntax in (uid.JPEG2000Lossless, uid.JPEGLSLossless):
            monkeypatch.setattr(get_decoder(syntax), "_available", {})
        with pytest.raises(ValueError, match="2 of 2 files") as error:
            check_files([str(path) for path in paths])
        for line, name in zip(
            str(error.value).splitlines()[1:], ["JPEG 2000", "JPEG-LS"], strict=True
        ):
            assert f"compressed as {name}" in line
            assert "pip install 'skcovid[dicom]'" in line

    def test_12_bit_jpeg_names_its_only_decoder(self, tmp_path, monkeypatch):
        path = as_radiograph(
            shipped_file("JPGExtended.dcm"), tmp_path / "a.dcm", NumberOfFrames=1
        )
        decoder = get_decoder(uid.JPEGExtended12Bit)
        monkeypatch.setattr(decoder, "_available", {"gdcm": None})
        with pytest.raises(ValueError, match=r"12 bits.*pip install pylibjpeg"):
            read_radiograph(path)

    def test_an_unsupported_transfer_syntax(self, tmp_path):
        path = as_radiograph(
            shipped_file("MR_small_RLE.dcm"), tmp_path / "a.dcm", syntax=uid.JPEG2000MC
        )
        with pytest.raises(ValueError, match="pydicom does not decode"):
            read_radiograph(path)

    @pytest.mark.parametrize(
        "name", ["MR_small_jpeg_ls_lossless.dcm", "JPGExtended.dcm", "693_J2KI.dcm"]
    )
    @pytest.mark.parametrize("share", [0.3, 0.9, 0.99])
    def test_a_frame_without_its_end_is_an_error(
        self, tmp_path, monkeypatch, name, share
    ):
        dataset = pydicom.dcmread(shipped_file(name))
        decoder = get_decoder(dataset.file_meta.TransferSyntaxUID)
        # The check precedes decoding, so it needs no installed decoder.
        monkeypatch.setattr(decoder, "_available", {"pylibjpeg": None})
        frame = next(generate_frames(dataset.PixelData, number_of_frames=1))
        cut = frame[: int(len(frame) * share)]
        pixel_data = encapsulate([cut + bytes(len(cut) % 2)])
        path = as_radiograph(
            shipped_file(name), tmp_path / "a.dcm", PixelData=pixel_data
        )
        with pytest.raises(ValueError, match=r"a\.dcm.*truncated"):
            read_radiograph(path)


def as_radiograph(source, path, *, syntax=None, **elements):
    """Turn one of pydicom's files into a radiograph with the same pixels."""
    dataset = pydicom.dcmread(source)
    dataset.SOPClassUID = uid.ComputedRadiographyImageStorage
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.Modality = "CR"
    for name, value in elements.items():
        setattr(dataset, name, value)
    if syntax is not None:
        dataset.file_meta.TransferSyntaxUID = syntax
    dataset.save_as(path)
    return path


class TestKinds:
    @pytest.mark.parametrize("modality", ["CR", "DX", "RG", "DR", "XR", ""])
    @pytest.mark.parametrize(
        "sop_class",
        [
            uid.ComputedRadiographyImageStorage,
            uid.DigitalXRayImageStorageForPresentation,
        ],
    )
    def test_projection_radiographs_are_read(self, write, modality, sop_class):
        path = write(Modality=modality, SOPClassUID=sop_class)
        np.testing.assert_array_equal(read_radiograph(path), STRETCHED)

    def test_a_secondary_capture_of_a_radiograph_is_read(self, write):
        path = write(SOPClassUID=uid.SecondaryCaptureImageStorage, Modality="CR")
        np.testing.assert_array_equal(read_radiograph(path), STRETCHED)

    def test_the_meta_information_suffices(self, tmp_path):
        # As in data sets where only the pixels were kept.
        dataset = make_dataset(RAMP, Modality=None)
        dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        dataset.preamble = bytes(128)
        del dataset.SOPClassUID
        dataset.save_as(tmp_path / "a.dcm")
        np.testing.assert_array_equal(read_radiograph(tmp_path / "a.dcm"), STRETCHED)

    @pytest.mark.parametrize(
        ("elements", "message"),
        [
            (
                {"SOPClassUID": uid.CTImageStorage, "Modality": "CT"},
                r"modality CT.*projection",
            ),
            ({"Modality": "MG"}, "of modality MG"),
            (
                {"SOPClassUID": uid.SecondaryCaptureImageStorage, "Modality": "OT"},
                "of modality OT",
            ),
            (
                {"SOPClassUID": uid.SecondaryCaptureImageStorage, "Modality": ""},
                "of modality unknown",
            ),
            ({"PresentationIntentType": "FOR PROCESSING"}, "raw data of the detector"),
            (
                {"SOPClassUID": uid.DigitalXRayImageStorageForProcessing},
                "raw data of the detector",
            ),
            ({"NumberOfFrames": 2, "Rows": 2}, "2 frames"),
            ({"PhotometricInterpretation": "PALETTE COLOR"}, r"\(PALETTE COLOR\)"),
            ({"PixelData": None}, "no PixelData"),
            ({"PixelData": None, "Rows": None}, "holds no image"),
            ({"BitsAllocated": 32, "Columns": 8}, "32 bits"),
        ],
    )
    def test_other_kinds_of_images_are_errors(self, write, elements, message):
        path = write(**elements)
        with pytest.raises(ValueError, match=message) as error:
            read_radiograph(path)
        assert str(error.value).startswith(f"{path}: ")

    def test_colour_is_an_error(self, write):
        path = write(np.zeros((4, 4, 3), np.uint8), PhotometricInterpretation="RGB")
        with pytest.raises(ValueError, match=r"a\.dcm.*colour.*RGB"):
            read_radiograph(path)

    @pytest.mark.parametrize(
        ("name", "message"),
        [
            ("CT_small.dcm", "of modality CT"),
            ("MR_small_RLE.dcm", "of modality MR"),
            ("examples_ybr_color.dcm", "of modality US"),
            ("examples_palette.dcm", "of modality US"),
            ("rtdose.dcm", "of modality RTDOSE"),
            ("rtplan.dcm", "of modality RTPLAN"),
            ("image_dfl.dcm", "of modality OT"),
            ("liver_1frame.dcm", "of modality SEG"),
            ("reportsi.dcm", "of modality SR"),
            ("waveform_ecg.dcm", "of modality ECG"),
            ("no_meta.dcm", "DICOM.*force=True"),
        ],
    )
    def test_other_files_of_pydicom_are_errors(self, name, message):
        with pytest.raises(ValueError, match=message):
            read_radiograph(shipped_file(name))

    def test_computed_radiographs_of_pydicom(self):
        folder = Path(shipped_file("CT_small.dcm")).parent / "dicomdirtests/77654033"
        paths = sorted(str(path) for path in folder.glob("CR*/*"))
        assert len(paths) == 3
        images = np.asarray(RadiographReader().fit_transform(paths))
        assert images.shape == (3, 16, 16)
        header = read_header(paths[0])
        assert header.patient == "77654033"
        raw = pydicom.dcmread(paths[0])
        assert raw.PhotometricInterpretation == "MONOCHROME1"
        stored = raw.pixel_array.astype(float).ravel()
        assert np.corrcoef(stored, images[0].ravel())[0, 1] < -0.9


class TestBroken:
    @pytest.mark.parametrize("compress", [False, True])
    def test_a_truncated_file_is_an_error(self, write, compress):
        noise = np.random.default_rng(0).integers(0, 4096, (16, 16), np.uint16)
        path = write(noise, compress=compress, WindowCenter=2000, WindowWidth=4000)
        data = path.read_bytes()
        # A compressed image may lack its end marker after the last pixels.
        whole = len(data) - (8 if compress else 0)
        for length in range(1, whole, 7):
            path.write_bytes(data[:length])
            with pytest.raises(ValueError, match=r"a\.dcm: ") as error:
                check_files([str(path)])
            if length > len(data) - noise.nbytes // 4:
                assert "truncated" in str(error.value)

    def test_a_truncated_file_of_pydicom(self, tmp_path):
        path = as_radiograph(shipped_file("MR_truncated.dcm"), tmp_path / "a.dcm")
        with pytest.raises(ValueError, match=r"truncated.*8,130 of 8,192"):
            read_radiograph(path)

    def test_another_kind_of_file_named_dcm(self, tmp_path):
        path = tmp_path / "a.dcm"
        path.write_text("no DICOM " * 50)
        with pytest.raises(ValueError, match=r"a\.dcm.*DICOM"):
            read_radiograph(path)

    def test_a_changed_byte_is_read_or_reported(self, write):
        path = write(WindowCenter=2000, WindowWidth=1000)
        data = path.read_bytes()
        generator = np.random.default_rng(0)
        for position in range(132, len(data) - RAMP.nbytes, 3):
            changed = bytearray(data)
            changed[position] = generator.integers(256)
            path.write_bytes(changed)
            try:
                assert read_radiograph(path).dtype == np.uint8
            except ValueError as error:
                assert str(error).startswith(f"{path}: ")  # noqa: PT017 (not all raise)

    def test_every_bad_file_of_a_set_is_listed(self, write):
        cut = write(name="cut.dcm")
        cut.write_bytes(cut.read_bytes()[:-9])
        bad = {
            cut: "truncated",
            write(name="ct.dcm", Modality="CT"): "modality CT",
            write(name="frames.dcm", NumberOfFrames=2, Rows=2): "2 frames",
            write(name="empty.dcm", PixelData=None): "no PixelData",
        }
        paths = [str(path) for path in [write(), *bad]]
        with pytest.raises(ValueError, match="4 of 5 files") as error:
            RadiographReader(8).fit_transform(paths)
        lines = str(error.value).splitlines()[1:]
        for line, (path, reason) in zip(lines, bad.items(), strict=True):
            assert str(path) in line
            assert reason in line

    def test_without_pydicom_the_extra_is_named(self, write, monkeypatch):
        path = write()
        monkeypatch.setitem(sys.modules, "pydicom", None)
        with pytest.raises(ImportError, match=r"'skcovid\[dicom\]'.*'\.\[dicom\]'"):
            check_files([str(path)])


class TestHeader:
    @pytest.mark.parametrize(
        ("view", "expected"),
        [
            ("PA", "PA"),
            ("ap ", "AP"),
            ("LL", "LATERAL"),
            ("RL", "LATERAL"),
            ("LATERAL", "LATERAL"),
            ("LLD", "LLD"),
            ("ANTERO-POSTERIOR", "AP"),
            ("", ""),
        ],
    )
    def test_view_position(self, write, view, expected):
        assert read_header(str(write(ViewPosition=view))).view_position == expected

    @pytest.mark.parametrize(
        ("code", "expected"),
        [
            (("399348003", "SCT", "antero-posterior"), "AP"),
            (("R-10214", "SRT", "postero-anterior"), "PA"),
            (("399173006", "SCT", "left lateral"), "LATERAL"),
            (("399033003", "SCT", "frontal"), "FRONTAL"),
            (("260426006", "SCT", "medial oblique"), "MEDIAL OBLIQUE"),
        ],
    )
    def test_view_code(self, write, code, expected):
        item = pydicom.Dataset()
        item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code
        assert read_header(str(write(ViewCodeSequence=[item]))).view_position == (
            expected
        )

    @pytest.mark.parametrize(
        "patient",
        [
            *("", "  ", "ANONYMOUS", "Anonymized", "anon", "de-identified", "unknown"),
            *("NA", "N/A", "None", "0", "0000", "XXX", "***"),
        ],
    )
    def test_placeholders_give_no_patient(self, write, patient):
        assert read_header(str(write(PatientID=patient))).patient == ""

    @pytest.mark.parametrize("patient", ["1", "0100", "anonymous-17", "NANCY", "X1"])
    def test_other_identifiers_are_patients(self, write, patient):
        assert read_header(str(write(PatientID=patient))).patient == patient

    def test_other_elements(self, write):
        elements = {"IssuerOfPatientID": "A", "StudyInstanceUID": "1.2.3"}
        header = read_header(str(write(InstitutionName="Klinik Köln", **elements)))
        assert header.institution == "Klinik Köln"
        assert (header.issuer, header.study) == ("A", "1.2.3")
        bare = read_header(str(write(name="b.dcm")))
        assert (bare.patient, bare.issuer, bare.study, bare.institution) == ("",) * 4


def test_threads_decode_the_same_as_one_thread(tmp_path):
    first = as_radiograph(shipped_file("MR_small_RLE.dcm"), tmp_path / "0.dcm")
    copies = [shutil.copy(first, tmp_path / f"{number}.dcm") for number in range(1, 12)]
    files = check_files([str(path) for path in [first, *copies]], n_jobs=6)
    assert len(set(files)) == 1
