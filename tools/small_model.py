"""Make the small language model that coursekit ships: its texts, its tokenizer, its weights.

The texts are the docstrings and help topics of the Python that runs this, so another Python makes another
model: what is shipped was made with Python 3.11. Everything else follows from the seeds.
"""

import argparse
import ast
import hashlib
import inspect
import pydoc_data.topics
import sys
import sysconfig
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from coursekit.language import training
from coursekit.language.tokens import Tokenizer
from coursekit.language.transformer import Config, Transformer

SHIPPED = Path(training.__file__).parent / "shipped"
END = "<|end|>"
CONFIG = Config(
    vocab_size=1024, width=256, layers=2, heads=8, kv_heads=4, hidden=512, context=1024, rope_base=10_000.0
)
# Tests and grammars of the standard library are no prose.
SKIPPED = {"site-packages", "test", "tests", "idlelib", "lib2to3", "__pycache__", "pydoc_data"}
SHORTEST = 40  # characters of a docstring that says something
# One text in so many is kept from training; one part of these measures, one calibrates.
KEPT, PARTS = 16, {"evaluation": 0, "calibration": 1}
# Characters shipped of each; the losses below were measured on 104,778 of evaluation, before it was cut.
MOST = {"evaluation": 75_000, "calibration": 120_000, "code": 80_000, "adaptation": 150_000}
# First short windows at full speed, then long ones, so that it has seen all positions, ever more slowly.
# Longer gains nothing: other texts had a loss of 3.113 nats per token after 1,000 steps and of 3.120 after
# 1,300, while the training text had 2.59 and 2.37; the slow end brings 3.041 (1,800 CPU seconds in all).
STAGES = (
    training.Recipe(steps=1300, batch_size=16, length=256, warm_up=64 / 1300, cool_down=0.0, seed=1),
    training.Recipe(steps=600, batch_size=4, length=1024, warm_up=0.0, cool_down=1.0, seed=2),
)


def texts() -> Iterator[tuple[str, str, str]]:
    """Yield (name, prose, code) of every help topic and every module of the standard library."""
    for name, text in sorted(pydoc_data.topics.topics.items()):
        yield f"topic {name}", text.strip(), ""
    root = Path(sysconfig.get_paths()["stdlib"])
    for path in sorted(root.rglob("*.py")):
        if SKIPPED & set(path.relative_to(root).parts):
            continue
        try:
            source = path.read_text(encoding="utf-8")
            tree = ast.parse(source)
        except (SyntaxError, UnicodeDecodeError):
            continue
        documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
        found = [ast.get_docstring(node) for node in ast.walk(tree) if isinstance(node, documented)]
        prose = "\n\n".join(inspect.cleandoc(text) for text in found if text and len(text) >= SHORTEST)
        yield path.relative_to(root).as_posix(), prose, source


def split() -> dict[str, str]:
    """Return the texts for training, evaluation and calibration, and code of the latter two's modules.

    The evaluation's code measures, the calibration's is what a model is adapted to; tables of characters
    are left out of it.
    """
    parts: dict[str, list[str]] = {name: [] for name in ("training", *PARTS, "code", "adaptation")}
    for name, prose, code in texts():
        drawn = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4]) % KEPT
        part = next((part for part, number in PARTS.items() if number == drawn), "training")
        if prose:
            parts[part].append(prose)
        if part == "evaluation" and code:
            parts["code"].append(code)
        if part == "calibration" and code and not name.startswith("encodings/"):
            parts["adaptation"].append(code)
    joined = {name: f"\n{END}\n".join(some) for name, some in parts.items()}
    return {name: text if name == "training" else text[: MOST[name]] for name, text in joined.items()}


def make_tokenizer(text: str, path: Path) -> None:
    """Train byte-level BPE on the text."""
    import tokenizers

    inner = tokenizers.Tokenizer(tokenizers.models.BPE())
    inner.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=CONFIG.vocab_size,
        special_tokens=[END],
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    inner.train_from_iterator([text], trainer)
    inner.save(str(path), pretty=False)


@torch.no_grad()
def mean_loss(model: Transformer, tokens: torch.Tensor, length: int = 256) -> float:
    """Return the loss in nats per token on windows of a text."""
    count = (len(tokens) - 1) // length
    windows = torch.stack([tokens[n * length : n * length + length + 1] for n in range(count)])
    logits = torch.cat([model(window[None, :-1]) for window in windows])
    return float(torch.nn.functional.cross_entropy(logits.flatten(0, 1), windows[:, 1:].flatten()))


def train(folder: Path, stages: tuple[int, ...], most: int | None) -> None:
    """Train through the stages; each begins with the FP16 weights that the one before has left."""
    tokenizer = Tokenizer.from_file(folder / "tokenizer.json", END)
    parts = split()
    tokens, kept = (torch.tensor(tokenizer.encode(parts[name])) for name in ("training", "evaluation"))
    print(f"{len(tokens):,} tokens to train on, {len(kept):,} to evaluate", flush=True)
    model, begin, path = Transformer(CONFIG, seed=0), time.process_time(), folder / "small.safetensors"
    for stage in stages:
        if stage > 0:
            model.load_state_dict({name: weight.float() for name, weight in load_file(path).items()})
        trainer = training.Trainer(model, tokens, STAGES[stage])
        while not trainer.done and len(trainer.losses) < (most or trainer.recipe.steps):
            trainer.step()
            if len(trainer.losses) % 100 == 0 or trainer.done:
                recent = sum(trainer.losses[-100:]) / len(trainer.losses[-100:])
                losses = f"{recent:.3f} trained, {mean_loss(model, kept):.3f} kept"
                spent = time.process_time() - begin
                print(f"{len(trainer.losses)}: {losses}, {spent:.0f} CPU s", flush=True)
        save(model, path)


def save(model: Transformer, path: Path) -> None:
    """Write the weights as FP16 safetensors, whole or not at all."""
    part = path.with_suffix(".part")
    save_file(
        {name: weight.detach().half().contiguous() for name, weight in model.state_dict().items()}, part
    )
    load_file(part)
    part.replace(path)


def main(arguments: list[str] | None = None) -> int:
    """Do the steps that the command line names; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "steps", nargs="*", choices=("texts", "tokenizer", "train"), default=("texts", "tokenizer", "train")
    )
    parser.add_argument("--folder", type=Path, default=SHIPPED, help="default: the package's own")
    parser.add_argument("--stage", type=int, choices=range(len(STAGES)), help="only this one; default: all")
    parser.add_argument("--most", type=int, help="steps per stage, to try it out")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)  # sums in one order: the same weights on every machine of this kind
    options.folder.mkdir(parents=True, exist_ok=True)
    if "texts" in options.steps:
        for name, text in split().items():
            if name != "training":
                (options.folder / f"{name}.txt").write_text(text, encoding="utf-8")
    if "tokenizer" in options.steps:
        make_tokenizer(split()["training"], options.folder / "tokenizer.json")
    if "train" in options.steps:
        stages = tuple(range(len(STAGES))) if options.stage is None else (options.stage,)
        train(options.folder, stages, options.most)
    return 0


if __name__ == "__main__":
    sys.exit(main())
