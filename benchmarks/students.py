"""Students: one-layer models that learn from the small one, by lesson, beside an equally long training alone.

What is found is stored in the package, with the machine's name; notebook E shows it. The weight of each
lesson is chosen on windows of the training text's end, with a seed that is not used again. A quarter of an
hour on one thread. Expected: after 100 steps hidden states harm, after 300 they and the logits help.
"""

import time
from datetime import date
from pathlib import Path

import torch

from coursekit import finetuning, language, runtime
from coursekit.finetuning.recorded import RECORDED, RecordedStudents

SEEDS, CHOOSING = range(5), 100
STEPS = (100, 300)
WEIGHTS: dict[finetuning.Level, tuple[float, ...]] = {
    "alone": (0.0,),
    "logits": (0.3, 0.6, 0.9),
    "hidden": (3.0, 10.0, 30.0),
    "attention": (0.1, 0.5, 2.0),
}
KEPT, COUNT = 0.85, 40  # of the text to train on, and windows of the rest
STORED = Path(finetuning.__file__).with_name(RECORDED)


def main() -> None:
    """Print and store the losses of all students."""
    torch.set_num_threads(1)
    small, begin = language.small(), time.process_time()
    tokens = small.tokenizer.tensor(language.text("calibration"))[0]
    cut = int(KEPT * len(tokens))
    choosing = language.windows(tokens[cut:], 128, COUNT)
    judging = language.windows(small.tokenizer.encode(language.text("evaluation")), 256, COUNT)

    def loss(lesson: finetuning.Lesson, steps: int, seed: int, windows: torch.Tensor) -> float:
        student = language.Transformer(finetuning.STUDENT, seed=seed)
        recipe = language.Recipe(steps=steps, batch_size=8, length=128, lr=3e-3, warm_up=0.05, seed=seed)
        finetuning.teach(student, small.model, tokens[:cut], recipe, lesson)
        return language.losses(student, windows).mean

    weights: dict[str, float] = {}
    for level, tried in WEIGHTS.items():
        found = {
            weight: loss(finetuning.Lesson(level, weight), STEPS[-1], CHOOSING, choosing)
            for weight in (tried if len(tried) > 1 else ())
        }
        weights[level] = min(found, key=lambda weight: found[weight]) if found else tried[0]
        print(level, found, f"{time.process_time() - begin:.0f} CPU s", flush=True)
    losses = {
        steps: {
            level: tuple(
                loss(finetuning.Lesson(level, weights[level]), steps, seed, judging) for seed in SEEDS
            )
            for level in finetuning.LEVELS
        }
        for steps in STEPS
    }
    teacher = language.losses(small.model, judging).mean
    day, machine = date.today().isoformat(), runtime.describe().label
    stored = RecordedStudents(machine, day, weights, losses, teacher)
    STORED.write_text(stored.json(), encoding="utf-8")
    print(stored)


if __name__ == "__main__":
    main()
