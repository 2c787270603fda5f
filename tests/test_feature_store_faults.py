"""The feature store under concurrent writers, kills, damage and a full disk."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from skcovid import LazyImages
from skcovid.networks import FeatureStore, feature_bytes

N_IMAGES = 64
FILLING = {"batch_size": 4, "n_jobs": 2, "verbose": 0}

# Another process fills the store, one batch at a time, slowly enough to be killed in
# the middle.
FILL = """
import sys, time
sys.path.insert(0, "{folder}")
from test_feature_store_faults import FILLING, make_images, make_store
store = make_store({directory!r})
write = store._write
def slow_write(*arguments):
    write(*arguments)
    print("batch", flush=True)
    time.sleep({pause})
store._write = slow_write
store.fill(make_images(), **FILLING)
print("computed", store.n_computed, flush=True)
"""


def make_images():
    pixels = np.random.default_rng(0).random((N_IMAGES, 16, 16, 3), dtype=np.float32)
    return LazyImages.from_array(pixels)


def make_trunk():
    """Make a network of two layers, one with weights."""
    inputs = keras.Input((16, 16, 3))
    outputs = keras.layers.AveragePooling2D(4)(inputs)
    outputs = keras.layers.Dense(3, kernel_initializer="identity")(outputs)
    return keras.Model(inputs, [outputs])


def make_store(directory):
    return FeatureStore(directory, make_trunk())


def start_filling(directory, pause):
    script = FILL.format(
        folder=Path(__file__).parent, directory=str(directory), pause=pause
    )
    return subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True
    )


def expected_features():
    pixels = np.asarray(make_images())
    blocks = pixels.reshape(N_IMAGES, 4, 4, 4, 4, 3)
    return blocks.mean(axis=(2, 4))


def check_features(directory, n_computed=None):
    store = make_store(directory)
    kept = store.fill(make_images(), **FILLING)
    np.testing.assert_allclose(
        kept.load(slice(None))[0], expected_features(), atol=1e-3
    )
    if n_computed is not None:
        assert store.n_computed == n_computed


def test_two_processes_fill_one_store_at_once(tmp_path):
    processes = [start_filling(tmp_path, pause=0.01) for _ in range(2)]
    assert [process.wait(timeout=120) for process in processes] == [0, 0]
    # This process finds the features of the others.
    check_features(tmp_path, n_computed=0)
    assert not list(tmp_path.rglob("*.part"))


def test_a_killed_run_leaves_whole_files_and_can_be_resumed(tmp_path):
    process = start_filling(tmp_path, pause=0.2)
    for _ in range(3):
        assert process.stdout.readline() == "batch\n"
    process.send_signal(signal.SIGKILL)
    process.wait(timeout=60)
    kept = len(list(tmp_path.rglob("*.npy")))
    assert 12 <= kept < N_IMAGES
    # Unfinished batches are repeated as a whole.
    check_features(tmp_path, n_computed=N_IMAGES - kept // 4 * 4)


def flip_a_bit(content, position):
    return content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :]


DAMAGES = {
    "truncated": lambda content: content[:-7],
    "emptied": lambda content: b"",
    "longer": lambda content: content + b"\0",
    "zeroed": lambda content: bytes(len(content)),
    "a zeroed page": lambda content: content[:128] + bytes(64) + content[192:],
    "a flipped bit": lambda content: flip_a_bit(content, 150),
    "a flipped bit of the header": lambda content: flip_a_bit(content, 20),
    "a flipped bit of the checksum": lambda content: flip_a_bit(content, -2),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_entry_is_computed_again_with_a_warning(tmp_path, damage):
    check_features(tmp_path)
    path = sorted(tmp_path.rglob("*.npy"))[5]
    before = path.read_bytes()
    path.write_bytes(DAMAGES[damage](before))
    with pytest.warns(UserWarning, match=path.name):
        check_features(tmp_path, n_computed=1)
    assert path.read_bytes() == before


@pytest.mark.parametrize("damage", DAMAGES)
def test_an_entry_damaged_after_fill_is_an_error(tmp_path, damage):
    kept = make_store(tmp_path).fill(make_images(), **FILLING)
    path = sorted(tmp_path.rglob("*.npy"))[5]
    path.write_bytes(DAMAGES[damage](path.read_bytes()))
    with pytest.raises(OSError, match=rf"{path.name}.*damaged"):
        kept.load(slice(None))


def test_an_entry_is_a_numpy_file_with_the_mode_of_other_files(tmp_path):
    check_features(tmp_path)
    entries = list(tmp_path.rglob("*.npy"))
    assert {np.load(path).shape for path in entries} == {(48,)}
    (tmp_path / "other").touch()
    modes = {path.stat().st_mode for path in (*entries, tmp_path / "other")}
    assert len(modes) == 1


def test_a_name_that_is_taken_by_a_folder_leaves_no_temporary_file(tmp_path):
    check_features(tmp_path)
    path = min(tmp_path.rglob("*.npy"))
    path.unlink()
    path.mkdir()
    with pytest.raises(IsADirectoryError, match=path.name):
        check_features(tmp_path)
    assert not list(tmp_path.rglob("*.part"))


@pytest.fixture
def small_disk(make_disk):
    """Room for about half of the features; a file takes whole pages."""
    return make_disk(N_IMAGES // 2 * 4096 + 64 * 4096)


def test_a_disk_that_fills_up_is_an_error_and_keeps_finished_batches(small_disk):
    (small_disk / "ballast").write_bytes(bytes(80 * 4096))
    with pytest.raises(OSError, match=r"need .* MB more"):
        make_store(small_disk).fill(make_images(), **FILLING)
    kept = len(list(small_disk.rglob("*.npy")))
    assert not list(small_disk.rglob("*.part"))
    (small_disk / "ballast").unlink()
    subprocess.run(["mount", "-o", "remount,size=4M", str(small_disk)], check=True)
    check_features(small_disk, n_computed=N_IMAGES - kept // 4 * 4)


def test_a_disk_that_is_too_small_is_an_error_before_any_computation(small_disk):
    ballast = small_disk / "ballast"
    free = os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_frsize
    needed = feature_bytes(make_trunk(), N_IMAGES)
    ballast.write_bytes(bytes(free - needed // 2))
    store = make_store(small_disk)
    with pytest.raises(OSError, match="64 images need"):
        store.fill(make_images(), **FILLING)
    assert store.n_computed == 0


def test_memory_that_is_a_file_is_an_error(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    store = make_store(tmp_path / "file")
    with pytest.raises(OSError, match="file"):
        store.fill(make_images(), **FILLING)
