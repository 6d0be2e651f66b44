"""The panel of ranks: its numbers are the table's, and nothing in it collides."""

import pytest
from helpers import assert_keeps_the_rules, move, sweep, texts_collide

from coursekit import finetuning, widgets
from coursekit.widgets.ranks import LOOKS


def made(names=("rank 1", "rank 4", "rank 16", "full")):
    rows = [
        finetuning.RankRow(
            name,
            8192 * 4**number,
            12 * 8192 * 4**number,
            (0, 10, 20, 30),
            tuple(3.8 - 0.1 * step * (1 + number) / 3 for step in range(4)),
            (0.5, 0.4, 0.6),
            (0.1, 0.0, 0.2),
        )
        for number, name in enumerate(names)
    ]
    return finetuning.RankTable(tuple(rows))


@pytest.fixture
def panel():
    return widgets.ranks(made())


def test_the_numbers_are_those_of_the_table(panel):
    table = made()
    for steps, run in ((10, "rank 4"), (0, "full"), (30, "rank 1")):
        move(panel, "steps", steps)
        shown = move(panel, "run", run)
        row = table.row(run)
        assert shown["loss"] == row.losses[row.steps.index(steps)]
        assert shown["bytes"] == row.bytes
        assert shown["fewer"] == table.rows[-1].bytes / row.bytes
        assert list(panel.view.ring.get_xdata()) == [row.bytes]
        assert list(panel.view.ring.get_ydata()) == [shown["loss"]]
        for name, point in panel.view.points.items():
            assert list(point.get_ydata()) == [shown["losses"][name]]
        title = panel.view.title.get_text()
        assert f"{run}, {steps} steps: loss {shown['loss']:.3f}, " in title
        assert ("fewer than full" in title) == (run != "full")


def test_every_control_changes_the_picture(panel):
    sweep(panel, "steps")
    sweep(panel, "run")


def test_the_chosen_run_stands_out(panel):
    for run in made().names:
        move(panel, "run", run)
        widths = {name: line.get_linewidth() for name, line in panel.view.lines.items()}
        assert max(widths, key=widths.get) == run


def test_nothing_collides():
    names = [f"longest{n}" for n in range(len(LOOKS))]
    for table in (made(), made(names)):
        panel = widgets.ranks(table)
        for name in table.names:
            move(panel, "run", name)
            assert texts_collide(panel.view) == []


def test_it_keeps_the_rules(panel, monkeypatch):
    assert_keeps_the_rules(panel, [("steps", 10), ("run", "full")], monkeypatch)


def test_only_a_table_is_taken():
    with pytest.raises(TypeError, match="table must be"):
        widgets.ranks([1, 2])
