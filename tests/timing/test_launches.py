import pytest
import torch

from coursekit.timing import launches
from coursekit.timing.launches import Launches

PAIRS = [(20e-6, 3e-3), (30e-6, 2e-3), (25e-6, 4e-3)]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(launches, "__file__", str(tmp_path / "launches.py"))
    return tmp_path


def of(pairs=PAIRS, **changes):
    return Launches.of(pairs, **{"size": 4096, "machine": "a GPU", "day": "2026-11-21", **changes})


def test_the_ratio_is_that_of_the_medians():
    assert of().ratio == pytest.approx(3e-3 / 25e-6)


def test_the_table_names_machine_day_and_both_times():
    text = str(of())
    assert text.startswith("3 products of 4096 x 4096 matrices on a GPU, recorded on 2026-11-21\n")
    assert "the call returns     25.0 µs   20.0 µs  30.0 µs" in text
    assert "the result is there  3.00 ms   2.00 ms  4.00 ms" in text
    assert "recorded" not in str(of(day=""))
    assert "a GPU" in of()._repr_html_()


def test_nothing_is_shown_where_nothing_was_recorded(folder):
    assert launches.recorded() is None


def test_what_was_recorded_comes_back(folder):
    (folder / launches.RECORDED).write_text(of().toml(), encoding="utf-8")
    assert launches.recorded() == of()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("machine = 'a'", "has no 'day'"),
        (of().toml().replace("size = 4096", "size = 0"), "size"),
        (of().toml() + "guess = 1\n", "unknown key 'guess'"),
        (of().toml().replace("0.003", "-0.003"), "finished"),
        (of().toml().replace("launched = [2e-05, ", "launched = ["), "toml: .* equally many"),
    ],
)
def test_a_damaged_recording_is_refused(folder, text, says):
    (folder / launches.RECORDED).write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=says):
        launches.recorded()


@pytest.mark.parametrize(
    ("pairs", "says"),
    [([], "at least one pair"), ([(2e-3, 1e-3)], "launched <= finished"), ([(0, 1e-3)], "launched must be")],
)
def test_times_that_cannot_be_are_refused(pairs, says):
    with pytest.raises(ValueError, match=says):
        of(pairs)


def test_a_recording_in_the_course_is_sound_and_names_its_machine():
    found = launches.recorded()
    assert found is None or (found.machine and found.day and len(found.launched) >= 10)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_nothing_can_be_measured():
    with pytest.raises(RuntimeError, match="no CUDA device"):
        launches.measure()


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu_both_times_are_measured():
    found = launches.measure(size=1024, runs=3)
    assert len(found.launched) == 3
    assert all(one <= two for one, two in zip(found.launched, found.finished, strict=True))
    assert found.day
