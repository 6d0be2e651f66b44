import copy
import itertools

import numpy as np
import onnxruntime
import pytest
import torch
from onnxruntime.quantization import CalibrationDataReader

from coursekit import exercises, onnx_models
from coursekit.course.nb06 import onnx_cases
from coursekit.exercises.verdicts import NOT_TRIED, RIGHT, WRONG
from coursekit.onnx_models.packages import quiet

CPU = ["CPUExecutionProvider"]
FREE = ({0: torch.export.Dim("batch")},)


def by_hand(model, path, example):
    torch.onnx.export(
        model.eval(), (example,), path, dynamo=True, external_data=False, dynamic_shapes=FREE, verbose=False
    )


def by_coursekit(model, path, example):
    return onnx_models.export(model, path, example)


def with_own_names(model, path, example):
    names = {"input_names": ["pixels"], "output_names": ["logits"]}
    torch.onnx.export(
        model.eval(), (example,), path, dynamo=True, external_data=False, dynamic_shapes=FREE, **names
    )


def fixed_batch(model, path, example):
    return onnx_models.export(model, path, example, dynamic_batch=False)


def two_files(model, path, example):
    torch.onnx.export(model.eval(), (example,), path, dynamo=True, external_data=True, dynamic_shapes=FREE)


def elsewhere(model, path, example):
    onnx_models.export(model, path + ".onnx", example)


def as_pickle(model, path, example):
    torch.save(model, path)


def another_model(model, path, example):
    other = copy.deepcopy(model)
    torch.nn.init.zeros_(other[0].weight)
    onnx_models.export(other, path, example)


def free_features(model, path, example):
    weight = np.ones((12, 3), dtype=np.float32)
    onnx_cases.linear_file(path, weight)
    change_axes(path, ["batch", "features"])


def three_axes(model, path, example):
    onnx_cases.linear_file(path, np.ones((12, 3), dtype=np.float32))
    change_axes(path, [1, "batch", 12])


def change_axes(path, axes):
    import onnx
    from onnx import helper

    model = onnx.load(path)
    new = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, axes)
    model.graph.input[0].CopyFrom(new)
    model.graph.output[0].CopyFrom(
        helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["a"] * len(axes))
    )
    onnx.save(model, path)


def through_a_program(model, path, example):
    program = torch.onnx.export(model.eval(), (example,), dynamo=True, dynamic_shapes=FREE, verbose=False)
    program.save(path)


def with_dim_auto(model, path, example):
    model.eval()
    free = [{0: torch.export.Dim.AUTO}]
    torch.onnx.export(model, (example,), path, dynamo=True, external_data=False, dynamic_shapes=free)


def with_the_older_exporter(model, path, example):
    names = {"input_names": ["x"], "output_names": ["y"], "dynamic_axes": {"x": [0], "y": [0]}}
    torch.onnx.export(model.eval(), example, path, dynamo=False, **names)


def with_a_softmax(model, path, example):
    onnx_models.export(torch.nn.Sequential(model, torch.nn.Softmax(1)), path, example)


def quantized_as_well(model, path, example):
    onnx_models.export(model, f"{path}.fp32", example)
    onnx_models.quantize_dynamic(f"{path}.fp32", path)


def differences(source, x, run):
    found = {}
    for weights in ("int8", "uint8"):
        target = f"{source}.{weights}"
        onnx_models.quantize_dynamic(source, target, weights=weights)
        found[weights] = run(target) - run(source)
    return found


def run_with(x):
    return lambda path: onnx_models.load(path, device="cpu")(x)


def by_largest(source, x):
    found = differences(source, x, run_with(x))
    return min(found, key=lambda name: np.abs(found[name]).max())


def by_mean_square(source, x):
    from onnxruntime import quantization

    def run(path):
        return onnxruntime.InferenceSession(str(path), providers=CPU).run(None, {"x": x})[0]

    errors = {}
    for kind in (quantization.QuantType.QInt8, quantization.QuantType.QUInt8):
        quantization.quantize_dynamic(source, f"{source}.q", weight_type=kind)
        errors[kind] = np.mean((run(f"{source}.q") - run(source)) ** 2)
    return min(errors, key=errors.get)


def by_norm_as_a_type(source, x):
    from onnxruntime import quantization

    found = differences(source, x, run_with(x))
    best = sorted(found, key=lambda name: np.linalg.norm(found[name]))[0]
    return {"int8": quantization.QuantType.QInt8, "uint8": quantization.QuantType.QUInt8}[best]


def by_sqnr_with_torch(source, x):
    signal = torch.from_numpy(run_with(x)(source))
    noise = {name: torch.from_numpy(found) for name, found in differences(source, x, run_with(x)).items()}
    ratios = {name: (signal.square().mean() / part.square().mean()).item() for name, part in noise.items()}
    return np.array(["int8", "uint8"])[np.argmax([ratios["int8"], ratios["uint8"]])]


def by_labels(source, x):
    kept, changed = run_with(x)(source).argmax(1), {}
    for weights in ("int8", "uint8"):
        onnx_models.quantize_dynamic(source, f"{source}.q", weights=weights)
        changed[weights] = (run_with(x)(f"{source}.q").argmax(1) != kept).sum()
    return min(changed, key=changed.get)


def by_the_signs(source, x):
    import onnx

    weight = onnx.numpy_helper.to_array(onnx.load(source).graph.initializer[0])
    return "int8" if weight.min() < 0 < weight.max() else "uint8"


def without_magnitudes(source, x):
    found = differences(source, x, run_with(x))
    return min(found, key=lambda name: found[name].max())


def by_size(source, x):
    sizes = {}
    for weights in ("int8", "uint8"):
        sizes[weights] = onnx_models.quantize_dynamic(source, f"{source}.q", weights=weights).size_bytes
    return min(sizes, key=sizes.get)


def the_other_one(source, x):
    return {"int8": "uint8", "uint8": "int8"}[by_largest(source, x)]


def the_wrong_file(source, x):
    expected = run_with(x)(source)
    found = {name: np.abs(run_with(x)(source) - expected).max() for name in ("uint8", "int8")}
    return min(found, key=found.get)


def with_the_difference(source, x):
    return differences(source, x, run_with(x))["int8"].max()


class PerDigit(CalibrationDataReader):
    def __init__(self, split, per_digit):
        self.batches = iter([split.x[split.y == digit][:per_digit] for digit in range(10)])

    def get_next(self):
        batch = next(self.batches, None)
        return None if batch is None else {"x": batch}


class OneByOne:
    def __init__(self, split, per_digit):
        self.split, self.left = split, dict.fromkeys(range(10), per_digit)
        self.rows = iter(range(len(split)))

    def get_next(self):
        for row in self.rows:
            digit = int(self.split.y[row])
            if self.left[digit]:
                self.left[digit] -= 1
                return {"x": self.split.x[row : row + 1]}
        return None


class AllAtOnce(CalibrationDataReader):
    def __init__(self, split, per_digit):
        rows = [np.flatnonzero(split.y == digit)[-per_digit:] for digit in range(10)]
        self.data = [{"x": split.x[np.concatenate(rows)]}]

    def get_next(self):
        return self.data.pop() if self.data else None


class OfEachDigitOne(CalibrationDataReader):
    def __init__(self, split, per_digit=1):
        self.split, self.number, self.per_digit = split, 0, per_digit

    def get_next(self):
        if self.number == self.per_digit:
            return None
        rows = [np.flatnonzero(self.split.y == digit)[self.number] for digit in range(10)]
        self.number += 1
        return {"x": self.split.x[rows]}


class AtRandom:
    def __init__(self, split, per_digit):
        draw = np.random.default_rng(0).choice
        rows = [draw(np.flatnonzero(split.y == digit), per_digit, replace=False) for digit in range(10)]
        self.queue = [{"x": split.x[each]} for each in rows]

    def get_next(self):
        return self.queue.pop(0) if self.queue else None


class WithTorch:
    def __init__(self, split, per_digit):
        x, y = torch.from_numpy(split.x), torch.from_numpy(split.y)
        self.parts = iter(torch.cat([x[y == digit][:per_digit] for digit in y.unique()]).split(7))

    def get_next(self):
        part = next(self.parts, None)
        return part if part is None else {"x": part.numpy()}


class WithAGenerator:
    def __init__(self, split, per_digit):
        self.rows = ({"x": row[None]} for digit in range(10) for row in split.x[split.y == digit][:per_digit])

    def get_next(self):
        return next(self.rows, None)


class Reader:
    """Hands out what ``batches`` returns for the chosen rows [10, per_digit]; ``end`` comes afterwards."""

    def __init__(self, split, per_digit):
        rows = np.array([np.flatnonzero(split.y == digit)[:per_digit] for digit in range(10)])
        self.given = iter(self.batches(split, rows))

    def get_next(self):
        return next(self.given, None)


def reader(batches, **members):
    return type(
        "MyReader", (Reader,), {"batches": staticmethod(batches), "get_next": Reader.get_next, **members}
    )


def empty_at_the_end(self):
    return next(self.given, {})


def new_iterator_every_time(self):
    return next(iter([{"x": np.zeros((1, 64), dtype=np.float32)}]), None)


def rows_of(split, rows):
    return ({"x": split.x[row]} for row in rows)


RIGHT_ANSWERS = [
    ("06-export", by_hand),
    ("06-export", by_coursekit),
    ("06-export", with_own_names),
    ("06-export", through_a_program),
    ("06-export", with_dim_auto),
    ("06-export", with_the_older_exporter),
    ("06-too-large", ("hidden.weight", 786_432)),
    ("06-too-large", [["hidden.weight"], np.float64(786_432.0)]),
    ("06-too-large", ("hidden.weight", torch.tensor(786_432))),
    ("06-types", by_largest),
    ("06-types", by_mean_square),
    ("06-types", by_norm_as_a_type),
    ("06-types", by_sqnr_with_torch),
    ("06-types", lambda source, x: by_largest(source, x).upper()),
    ("06-reader", PerDigit),
    ("06-reader", OneByOne),
    ("06-reader", AllAtOnce),
    ("06-reader", OfEachDigitOne),
    ("06-reader", AtRandom),
    ("06-reader", WithTorch),
    ("06-reader", WithAGenerator),
    ("06-reader", reader(rows_of)),
]
WRONG_ANSWERS = [
    ("06-export", fixed_batch, "batches of 2 only"),
    ("06-export", two_files, "second file"),
    ("06-export", elsewhere, "no file at"),
    ("06-export", as_pickle, "cannot be read"),
    ("06-export", another_model, "answers differently"),
    ("06-export", with_a_softmax, "answers differently"),
    ("06-export", quantized_as_well, "answers differently"),
    ("06-export", free_features, "number of features is free"),
    ("06-export", three_axes, "one input with two axes"),
    ("06-export", lambda model, path, example: 1 / 0, "ZeroDivisionError"),
    ("06-export", "torch.onnx.export", "a function"),
    ("06-too-large", ("hidden.weight", 1_048_576), "something"),
    ("06-too-large", ("hidden.weight", 262_144), "what is left"),
    ("06-too-large", ("hidden.weight", 786.432), "in kB"),
    ("06-too-large", ("hidden.weight", 768), "in KiB"),
    ("06-too-large", ("hidden.weight", 0.75), "in MiB"),
    ("06-too-large", ("hidden.weight", 1.5), "than 1.5."),
    ("06-too-large", ("hidden.weight", -786_432), "than -786,432."),
    ("06-too-large", ("hidden.weight", 6_291_456), "bits"),
    ("06-too-large", ("hidden.weight", 524_288), "FP16"),
    ("06-too-large", ("hidden.weight", 12), "How many numbers"),
    ("06-too-large", ("hidden.bias", 786_432), "Biases are few"),
    ("06-too-large", ("first.weight", 786_432), "as integers already"),
    ("06-too-large", ("hidden.weight.scale", 3), "single number"),
    ("06-too-large", ("hidden.weight.zero_point", 3), "single number"),
    ("06-too-large", ("hidden.weight.int8", 786_432), "not stored in the file"),
    ("06-too-large", ("QuantizeLinear", 786_432), "no tensor"),
    ("06-too-large", (3, 786_432), "should be text"),
    ("06-too-large", "hidden.weight", "pair"),
    ("06-too-large", ("hidden.weight", "many"), "a number"),
    ("06-types", lambda source, x: "int8", "each time"),
    ("06-types", lambda source, x: "uint8", "each time"),
    ("06-types", by_size, "better type for"),
    ("06-types", the_wrong_file, "each time"),
    ("06-types", by_labels, "not in labels"),
    ("06-types", by_the_signs, "better type for 4"),
    ("06-types", without_magnitudes, "better type for"),
    ("06-types", the_other_one, "the other one"),
    ("06-types", with_the_difference, "'int8' or 'uint8'"),
    ("06-types", lambda source, x: source.size, "raised"),
    ("06-types", "int8", "a function"),
    ("06-reader", reader(lambda split, rows: [{"input": split.x[r]} for r in rows]), "called 'x'"),
    ("06-reader", reader(lambda split, rows: [{"x": split.x[r], "y": 1} for r in rows]), "called 'x'"),
    ("06-reader", reader(lambda split, rows: [split.x[r] for r in rows]), "where a dict"),
    ("06-reader", reader(lambda split, rows: [{"x": split.x[r].astype(float)} for r in rows]), "float64"),
    ("06-reader", reader(lambda split, rows: [{"x": split.x[r].tolist()} for r in rows]), "list"),
    ("06-reader", reader(lambda split, rows: [{"x": split.x[r[0]]} for r in rows]), "two axes"),
    ("06-reader", reader(lambda split, rows: [{"x": split.images[r]} for r in rows]), "(n, 64)"),
    ("06-reader", reader(lambda split, rows: [{"x": 16 * split.x[r]} for r in rows]), "unchanged"),
    ("06-reader", reader(lambda split, rows: [{"x": split.x[r]} for r in rows[:9]]), "9: 0"),
    ("06-reader", reader(lambda split, rows: [{"x": split.x[: rows.size]}]), "the digits come so often"),
    ("06-reader", reader(lambda split, rows: [{"x": split.x}]), "the digits come so often"),
    (
        "06-reader",
        reader(lambda s, rows: [{"x": s.x[r]} for r in (*rows, rows[0])]),
        "more than once",
    ),
    ("06-reader", reader(lambda split, rows: []), "hands out nothing"),
    ("06-reader", reader(lambda split, rows: [{"x": torch.from_numpy(split.x[r])} for r in rows]), "array"),
    (
        "06-reader",
        reader(lambda s, rows: [{"x": s.x[r].mean(0, keepdims=True)} for r in rows]),
        "unchanged",
    ),
    ("06-reader", reader(rows_of, get_next=empty_at_the_end), "None after the last batch"),
    ("06-reader", reader(rows_of, get_next=new_iterator_every_time), "no end"),
    ("06-reader", reader(rows_of, get_next=lambda self: next(self.given)), "StopIteration"),
    ("06-reader", reader(rows_of, get_next=lambda self: self.missing), "AttributeError"),
    ("06-reader", reader(lambda split, rows: 1 / 0), "ZeroDivisionError"),
    ("06-reader", lambda split, per_digit: None, "class itself"),
    ("06-reader", type("Heir", (reader(lambda s, r: [{"input": s.x}]),), {}), "called 'x'"),
]


@pytest.fixture(autouse=True)
def calm():
    """Keep what exporter and quantizer log away from the tests' output."""
    with quiet():
        yield


@pytest.mark.parametrize(("id", "answer"), RIGHT_ANSWERS)
def test_right_answers_are_accepted_in_every_form(id, answer):
    verdict = exercises.check(id, answer)
    assert verdict.outcome == RIGHT, str(verdict)


@pytest.mark.parametrize(("id", "answer", "says"), WRONG_ANSWERS)
def test_typical_mistakes_are_explained(id, answer, says):
    verdict = exercises.check(id, answer)
    assert verdict.outcome == WRONG
    assert says in str(verdict), str(verdict)


def blank_export(model, path, example): ...


def half_done(model, path, example):
    torch.onnx.export(model, ..., path)


class BlankReader(CalibrationDataReader):
    """Still the dots."""

    ...


class DottedReader(CalibrationDataReader):
    def get_next(self): ...


class HalfReader(CalibrationDataReader):
    def __init__(self, split, per_digit):
        self.rows = split.x[split.y == ...]

    def get_next(self): ...


@pytest.mark.parametrize(
    ("id", "answer"),
    [
        ("06-export", ...),
        ("06-export", blank_export),
        ("06-too-large", (..., ...)),
        ("06-too-large", ("hidden.weight", ...)),
        ("06-types", lambda source, x: ...),
        ("06-reader", ...),
        ("06-reader", BlankReader),
        ("06-reader", CalibrationDataReader),
        ("06-reader", DottedReader),
    ],
)
def test_untouched_cells_count_as_not_tried(id, answer):
    assert exercises.check(id, answer).outcome == NOT_TRIED


@pytest.mark.parametrize(("id", "answer"), [("06-export", half_done), ("06-reader", HalfReader)])
def test_half_done_answers_get_a_verdict(id, answer):
    assert exercises.check(id, answer).outcome in (NOT_TRIED, WRONG)


def test_the_colleagues_file_runs_and_weighs_what_the_exercise_says(tmp_path):
    onnx_cases.colleagues_file(tmp_path / "it.onnx")
    graph = onnx_models.graph(tmp_path / "it.onnx")
    weights = {w.name: w for node in graph.nodes for w in node.weights}
    numbers, stored = onnx_cases.culprits_bytes()
    largest = max(weights.values(), key=lambda weight: weight.nbytes)
    assert (largest.name, largest.dtype, largest.nbytes) == (onnx_cases.CULPRIT, "float32", stored)
    assert {weights[name].dtype for name in onnx_cases.LAYERS} == {"int8", "float32"}
    integers = sum(a * b for a, b in itertools.pairwise(onnx_cases.WIDTHS))
    assert 3.5 * integers < onnx_models.true_size(tmp_path / "it.onnx") < 4 * integers
    assert stored == 4 * numbers == 4 * largest.shape[0] * largest.shape[1]
    assert onnx_models.load(tmp_path / "it.onnx", device="cpu")(np.zeros((3, 64))).shape == (3, 10)


def test_storing_the_culprit_as_int8_saves_what_the_checker_expects(tmp_path):
    onnx_cases.colleagues_file(tmp_path / "it.onnx")
    before = onnx_models.graph(tmp_path / "it.onnx").weight_bytes
    onnx_models.optimized(tmp_path / "it.onnx", tmp_path / "repaired.onnx", "basic")
    saved = before - onnx_models.graph(tmp_path / "repaired.onnx").weight_bytes
    numbers, stored = onnx_cases.culprits_bytes()
    assert saved == stored - numbers


@pytest.mark.parametrize("case", range(len(onnx_cases.matrices())))
def test_the_better_type_is_clearly_better_by_any_measure(case, tmp_path):
    best, weight = onnx_cases.matrices()[case]
    x = onnx_cases.exact_inputs(len(weight))
    onnx_cases.linear_file(tmp_path / "it.onnx", weight)
    found = differences(tmp_path / "it.onnx", x, run_with(x))
    for measure in (np.max, np.mean):
        errors = {name: measure(np.abs(difference)) for name, difference in found.items()}
        assert min(errors, key=errors.get) == best
        assert min(errors.values()) < 0.75 * max(errors.values())


def test_the_file_for_the_types_computes_its_matrix_product(tmp_path):
    _, weight = onnx_cases.matrices()[0]
    x = onnx_cases.exact_inputs(len(weight))
    onnx_cases.linear_file(tmp_path / "it.onnx", weight)
    y = onnx_models.load(tmp_path / "it.onnx", device="cpu")(x)
    assert np.allclose(y, x.astype(np.float64) @ weight, rtol=1e-5)
