"""The one progress bar."""

import io
import sys
import threading
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest

from skcovid._base import _progress
from skcovid._base._progress import Progress, fits_left, format_duration, say


@pytest.fixture
def clock(monkeypatch):
    """The seconds that the clock shows, in a list."""
    seconds = [0.0]
    monkeypatch.setattr(_progress, "monotonic", lambda: seconds[0])
    return seconds


def last_frame(terminal):
    return terminal.getvalue().rpartition("\r")[2]


class TestInATerminal:
    def test_a_task_inside_another_is_shown_in_its_bar(self, terminal, clock):
        with Progress("folds", 5, "fold", 1) as folds:
            with Progress("features", 2324, "image", 1) as features:
                clock[0] += 1
                features.update(1200)
                assert "features 1,200 of 2,324" in last_frame(terminal)
                assert "0/5" in last_frame(terminal)
            clock[0] += 1
            folds.update(note="fold 1 of 5: accuracy 97.0 %", line="never in a bar")
            assert "1/5" in last_frame(terminal)
            assert "97.0 %" in last_frame(terminal)
        assert "\n" not in terminal.getvalue()
        assert "never" not in terminal.getvalue()

    def test_it_is_redrawn_a_few_times_a_second(self, terminal, clock):
        with Progress("reading", 1000, "image", 1) as progress:
            for _ in progress.follow(range(1000)):
                clock[0] += 0.001
        assert terminal.getvalue().count("\r") < 30

    def test_lines_are_above_the_bar(self, terminal):
        with Progress("reading", 3, "image", 1):
            say("a line")
        assert "a line\n" in terminal.getvalue()

    def test_after_an_error_the_next_has_a_bar(self, terminal):
        with pytest.raises(KeyError), Progress("first", 3, "image", 1):
            raise KeyError
        with Progress("second", 3, "image", 1):
            assert "second" in last_frame(terminal)

    def test_threads(self, terminal):
        def work():
            with Progress("features", 50, "image", 1) as features:
                for _ in features.follow(range(50)):
                    pass

        with Progress("folds", 8, "fold", 1) as folds:
            threads = [threading.Thread(target=work) for _ in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
                folds.update()
        assert folds.done == 8
        assert not _progress._running

    def test_a_quiet_task_leaves_the_bar_to_those_inside(self, terminal):
        with Progress("folds", 5, "fold", 0), Progress("features", 3, "image", 1):
            assert "features" in last_frame(terminal)
        assert "folds" not in terminal.getvalue()


class TestInAFile:
    def test_a_task_that_lasts_says_so_once(self, capsys, clock):
        with Progress("features", 21165, "image", 1) as features:
            for _ in features.follow(range(21165)):
                clock[0] += 0.01
        assert capsys.readouterr().err == "features: 1,001 of 21,165 after 10 s\n"

    def test_a_quick_one_says_nothing(self, capsys):
        with Progress("features", 1, "image", 1) as features:
            features.update()
        assert "".join(capsys.readouterr()) == ""

    def test_folds_have_a_line_each(self, capsys, clock):
        with Progress("folds", 2, "fold", 1) as folds:
            for number in folds.follow([1, 2]):
                clock[0] += 60
                folds.update(0, line=f"fold {number}")
        assert capsys.readouterr().err.startswith("fold 1\nfolds: 1 of 2 after 60 s\n")

    def test_without_a_stream(self, monkeypatch):
        monkeypatch.setattr(sys, "stderr", None)
        with Progress("features", 1, "image", 1) as features:
            features.update()
            say("nowhere")


def test_a_notebook_has_a_text_bar(monkeypatch):
    stream = type("OutStream", (io.StringIO,), {"__module__": "ipykernel.iostream"})()
    monkeypatch.setattr(sys, "stderr", stream)
    with Progress("features", 3, "image", 1):
        assert "features:   0%" in stream.getvalue()


def work_in_a_process():
    """Return what a worker writes, although it has a terminal."""
    from conftest import Terminal

    sys.stderr = Terminal()
    with Progress("features", 3, "image", 1) as features:
        features.update(3)
        say("a line")
    return sys.stderr.getvalue()


def test_processes_of_workers_say_nothing():
    with ProcessPoolExecutor(1, mp_context=get_context("fork")) as workers:
        assert workers.submit(work_in_a_process).result() == ""


def test_fits_that_are_left():
    assert fits_left() == 1
    with Progress("folds", 5, "fold", 1, done=2), Progress("training", 24, "epoch", 1):
        assert fits_left() == 3


def test_durations():
    seconds = [0.4, 119, 120, 7199, 7200, 172799, 172800]
    expected = ["0 s", "119 s", "2 min", "120 min", "2 h", "48 h", "2 days"]
    assert [format_duration(one) for one in seconds] == expected
