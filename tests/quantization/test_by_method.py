"""The table of models, methods and bits."""

import dataclasses

import pytest

from coursekit.quantization import MethodRow, MethodTable


def row(method="GPTQ", bits=3, kl=0.1, half=0.01, model="small", **change):
    given = {"loss_added": (0.2, 0.1, 0.3), "same": (0.8, 0.7, 0.9), "group": 64, **change}
    return MethodRow(model, method, bits, bits + 0.25, (kl, kl - half, kl + half), **given)


def test_it_keeps_the_order_of_the_rows_and_finds_them():
    table = MethodTable([row("b", 2), row("a", 4, model="real"), row("b", 4)])
    assert (table.models, table.methods, table.bits) == (("small", "real"), ("b", "a"), (4, 2))
    assert table.row("real", "a", 4) == row("a", 4, model="real")
    assert table.row("real", "a", 2) is None


def test_the_best_are_the_leader_and_those_that_reach_into_its_interval():
    table = MethodTable([row("far", kl=0.2), row("lead", kl=0.1), row("near", kl=0.115), row("lone", 2)])
    assert table.best("small", 3) == ("lead", "near")
    assert table.best("small", 2) == ("lone",)
    assert table.best("small", 8) == ()


def test_more_equal_choices_are_better():
    table = MethodTable(
        [
            row("low", same=(0.5, 0.4, 0.6)),
            row("high", same=(0.9, 0.85, 0.95)),
            row("near", same=(0.8, 0.7, 0.86)),
        ]
    )
    assert table.best("small", 3, "same") == ("high", "near")
    assert table.best("small", 3, "loss_added") == ("low", "high", "near")
    with pytest.raises(ValueError, match="measure"):
        table.best("small", 3, "speed")


def test_it_shows_its_numbers_with_their_intervals():
    text = str(MethodTable([row()]))
    assert "0.1 (0.09 to 0.11)" in text
    assert "3.25" in text
    assert "80.0 (70.0 to 90.0)" in text
    with pytest.raises(dataclasses.FrozenInstanceError):
        row().bits = 4


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"bits": 0}, ValueError, "bits"),
        ({"method": ""}, ValueError, "method"),
        ({"method": "a name of too many letters"}, ValueError, "method"),
        ({"kl": 0.0, "half": 0.0}, ValueError, "kl must be above 0"),
        ({"same": (0.5, 0.6, 0.7)}, ValueError, "same must lie in its interval; got 0.5 and 0.6 to 0.7"),
        ({"same": (0.5, 0.4)}, ValueError, "same must be a mean and the two ends"),
        ({"loss_added": (0.1, float("nan"), 0.2)}, ValueError, "loss_added"),
        ({"group": 0}, ValueError, "group"),
    ],
)
def test_a_row_is_checked(change, error, says):
    with pytest.raises(error, match=says):
        row(**change)


@pytest.mark.parametrize(
    ("rows", "error", "says"),
    [
        ([row(), row(kl=0.2)], ValueError, "each model, method and bits once"),
        ([row(model=name) for name in "abc"], ValueError, "at most 2 models; got 3"),
        ([row(name) for name in "abcdefg"], ValueError, "at most 6 methods; got 7"),
        ([], ValueError, "rows"),
        ([3], TypeError, "rows"),
    ],
)
def test_a_table_is_checked(rows, error, says):
    with pytest.raises(error, match=says):
        MethodTable(rows)
