"""Fine-tuning a language model with little memory: LoRA, frozen weights in NF4, recomputing, distilling.

Tokens are int64 [n] or [batch, n]; losses are in nats per token.
"""

from coursekit.finetuning.adapters import LoRA, adapters, merged, with_lora
from coursekit.finetuning.frozen import NF4Linear, in_nf4
from coursekit.finetuning.learning import Learned, TrainingBytes, fine_tune, training_bytes
from coursekit.finetuning.ranks import RankRow, RankTable, rank_row
from coursekit.finetuning.recorded import RecordedStudents, recorded_students
from coursekit.finetuning.sparing import chunked_loss, hidden_recomputed
from coursekit.finetuning.students import (
    LEVELS,
    STUDENT,
    Lesson,
    Level,
    attention_gap,
    attention_maps,
    hidden_gap,
    teach,
)

__all__ = [
    "LEVELS",
    "STUDENT",
    "Learned",
    "Lesson",
    "Level",
    "LoRA",
    "NF4Linear",
    "RankRow",
    "RankTable",
    "RecordedStudents",
    "TrainingBytes",
    "adapters",
    "attention_gap",
    "attention_maps",
    "chunked_loss",
    "fine_tune",
    "hidden_gap",
    "hidden_recomputed",
    "in_nf4",
    "merged",
    "rank_row",
    "recorded_students",
    "teach",
    "training_bytes",
    "with_lora",
]
