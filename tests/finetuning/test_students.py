"""Students: where heads look is what attention does, gaps are zero for equals, the record is as stored."""

import copy
import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from coursekit import finetuning, language
from coursekit.finetuning import recorded as recording

TEACHER = language.Config(vocab_size=96, width=64, layers=2, heads=8, kv_heads=4, hidden=96, context=64)
STUDENT = language.Config(vocab_size=96, width=32, layers=1, heads=4, kv_heads=2, hidden=48, context=64)
TOKENS = torch.arange(900) * 7 % 96
RECIPE = language.Recipe(steps=6, batch_size=3, length=16, lr=0.01, warm_up=0.2, seed=3)


def test_the_maps_are_what_attention_mixes_with():
    model = language.Transformer(TEACHER, seed=2).eval()
    tokens = TOKENS[:40].view(2, 20)
    mixed = []
    last = model.blocks[-1].self_attn
    hook = last.o_proj.register_forward_hook(lambda _, given, __: mixed.append(given[0]))
    said, looks = finetuning.attention_maps(model, tokens)
    hook.remove()
    assert torch.equal(said, model.hidden(tokens))
    torch.testing.assert_close(looks.exp().sum(-1), torch.ones(2, 8, 20))
    assert (looks.exp().triu(1) == 0).all()
    inputs = []
    hook = last.v_proj.register_forward_hook(lambda _, given, out: inputs.append(out))
    model.hidden(tokens)
    hook.remove()
    values = inputs[0].view(2, 20, 4, 8).transpose(1, 2).repeat_interleave(2, 1)
    torch.testing.assert_close((looks.exp() @ values).transpose(1, 2).flatten(2), mixed[0])


def test_gaps_are_zero_for_equals_and_positive_for_others():
    looks = torch.randn(2, 4, 5, 5).log_softmax(-1)
    assert finetuning.attention_gap(looks, looks).item() == pytest.approx(0, abs=1e-6)
    twice = looks.repeat_interleave(2, dim=1)
    assert finetuning.attention_gap(looks, twice).item() == pytest.approx(0, abs=1e-6)
    other = torch.randn(2, 4, 5, 5).log_softmax(-1)
    wanted = F.kl_div(other.flatten(0, 2), looks.flatten(0, 2), log_target=True, reduction="batchmean")
    assert finetuning.attention_gap(other, looks).item() == pytest.approx(wanted.item(), rel=1e-5)
    said = torch.randn(2, 5, 8)
    assert finetuning.hidden_gap(said, said, nn.Identity()).item() == 0
    assert finetuning.hidden_gap(0 * said, said, nn.Identity()).item() == pytest.approx(1)
    with pytest.raises(ValueError, match="multiple"):
        finetuning.attention_gap(looks, looks[:, :3])
    with pytest.raises(ValueError, match="all zeros"):
        finetuning.hidden_gap(said, 0 * said, nn.Identity())


@pytest.mark.parametrize("level", finetuning.LEVELS)
def test_a_lesson_brings_the_student_nearer_to_what_it_matches(level):
    teacher = language.Transformer(TEACHER, seed=4).eval()
    before = copy.deepcopy(teacher.state_dict())
    student = language.Transformer(STUDENT, seed=5)
    weight = 1.0 if level == "logits" else 50.0
    losses = finetuning.teach(student, teacher, TOKENS, RECIPE, finetuning.Lesson(level, weight))
    alone = language.Transformer(STUDENT, seed=5)
    losses_alone = finetuning.teach(alone, teacher, TOKENS, RECIPE, finetuning.Lesson("alone"))
    assert len(losses) == RECIPE.steps
    assert losses[0] == pytest.approx(losses_alone[0], rel=1e-6)  # the same batches
    assert all(torch.equal(before[name], weight) for name, weight in teacher.state_dict().items())
    tokens = TOKENS[:40].view(2, 20)
    if level in ("logits", "attention"):
        gaps = [_gap(level, each, teacher, tokens) for each in (student, alone)]
        assert gaps[0] < gaps[1]
    assert (losses != losses_alone) == (level != "alone")


@torch.no_grad()
def _gap(level, student, teacher, tokens):
    (said, looks), (shown, theirs) = (finetuning.attention_maps(each, tokens) for each in (student, teacher))
    if level == "attention":
        return finetuning.attention_gap(looks, theirs).item()
    logits = (said @ student.head.T).log_softmax(-1), (shown @ teacher.head.T).log_softmax(-1)
    return F.kl_div(*logits, log_target=True, reduction="sum").item()


def test_lessons_are_checked():
    with pytest.raises(ValueError, match="level must be one of"):
        finetuning.Lesson("dreams")
    with pytest.raises(ValueError, match="weight"):
        finetuning.Lesson("logits", 2.0)


# Recorded


def made(level=0.0):
    rows = {
        name: (4.0 - level * number, 4.2 - level * number) for number, name in enumerate(finetuning.LEVELS)
    }
    weights = dict.fromkeys(finetuning.LEVELS, 0.5)
    return finetuning.RecordedStudents("a machine", "2026-11-30", weights, {50: rows, 100: rows}, 3.1)


def test_what_was_stored_is_read_again(tmp_path, monkeypatch):
    stored = made(0.1)
    monkeypatch.setattr(recording, "__file__", str(tmp_path / "recorded.py"))
    assert finetuning.recorded_students() is None
    path = tmp_path / recording.RECORDED
    path.write_text(stored.json(), encoding="utf-8")
    assert finetuning.recorded_students() == stored
    assert stored.gain("hidden").mean == pytest.approx(0.2)
    assert "Recorded on a machine, 2026-11-30, 2 seeds" in str(stored)
    path.write_text("{}", encoding="utf-8")
    with pytest.raises(ValueError, match="recorded-students.json is damaged: KeyError"):
        finetuning.recorded_students()


def test_the_record_of_the_course_is_complete():
    found = finetuning.recorded_students()
    assert found is not None
    assert found.seeds >= 5
    assert all(math.isfinite(loss) for runs in found.losses.values() for row in runs.values() for loss in row)
    assert found.teacher < np.min([row for runs in found.losses.values() for row in runs.values()])
