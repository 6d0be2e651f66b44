"""The program that answers pictures with one runtime: a script that loads nothing of coursekit.

Every program here, in Python, JavaScript or C, is asked alike. It answers the first picture and writes that
label and its own version; then the labels of all pictures, one by one. After that each line on its standard
input is a number of calls, and the answer is the seconds that one of them took on average.
"""

import json
import sys
from collections.abc import Callable
from time import perf_counter
from typing import Any

__all__ = ["OPEN"]

Ask = Callable[[Any], Any]  # float32 [1, 64] to logits [1, 10]


def _onnx_runtime(path: str, provider: str = "CPUExecutionProvider") -> tuple[Ask, str]:
    """Open an ONNX file; return what asks it, and who answers."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    session = onnxruntime.InferenceSession(path, options, providers=[provider])
    if session.get_providers()[0] != provider:
        raise RuntimeError(f"ONNX Runtime does not start its {provider}")
    name = session.get_inputs()[0].name
    return lambda x: session.run(None, {name: x})[0], f"ONNX Runtime {onnxruntime.__version__}"


def _tensorrt(path: str) -> tuple[Ask, str]:
    """Open an ONNX file with ONNX Runtime's provider for TensorRT."""
    ask, version = _onnx_runtime(path, "TensorrtExecutionProvider")
    return ask, f"TensorRT in {version}"


def _openvino(path: str) -> tuple[Ask, str]:
    """Open an ONNX file with OpenVINO, on one thread, without its reports."""
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
    import openvino

    settings = {"INFERENCE_NUM_THREADS": 1, "PERFORMANCE_HINT": "LATENCY"}
    request = openvino.Core().compile_model(path, "CPU", settings).create_infer_request()
    version = openvino.__version__.partition("-")[0]
    return (
        lambda x: request.infer({0: x}, share_inputs=True, share_outputs=True)[0],
        f"OpenVINO {version}",
    )


def _executorch(path: str) -> tuple[Ask, str]:
    """Open a .pte file with ExecuTorch."""
    from importlib.metadata import version

    import torch
    from executorch.runtime import Runtime

    torch.set_num_threads(1)
    program = Runtime.get().load_program(path)
    method = program.load_method("forward")

    def ask(x: Any, program: Any = program) -> Any:  # holds the program, which the method needs
        return method.execute([torch.from_numpy(x)])[0].numpy()

    return ask, f"ExecuTorch {version('executorch')}"


def _litert(path: str) -> tuple[Ask, str]:
    """Open a .tflite file with LiteRT."""
    from importlib.metadata import version

    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(path, num_threads=1)
    interpreter.allocate_tensors()
    given, answer = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]

    def ask(x: Any) -> Any:
        interpreter.set_tensor(given, x)
        interpreter.invoke()
        return interpreter.get_tensor(answer)

    return ask, f"LiteRT {version('ai-edge-litert')}"


OPEN: dict[str, Callable[[str], tuple[Ask, str]]] = {
    "ONNX Runtime": _onnx_runtime,
    "OpenVINO": _openvino,
    "ExecuTorch": _executorch,
    "LiteRT": _litert,
    "TensorRT": _tensorrt,
}


def _main(runtime: str, path: str, pictures: str) -> None:
    """Answer the pictures of a file of float32 [n, 64], then take times until standard input ends."""
    import numpy as np

    x = np.fromfile(pictures, np.float32).reshape(-1, 1, 64)
    ask, version = OPEN[runtime](path)
    print(ask(x[0])[0].argmax(), version, flush=True)
    print(*(ask(each)[0].argmax() for each in x), flush=True)
    for line in sys.stdin:
        calls, one = int(line), x[-1]
        start = perf_counter()
        for _ in range(calls):
            ask(one)
        print((perf_counter() - start) / calls, flush=True)


if __name__ == "__main__":
    sys.path[:] = json.loads(sys.argv[1])
    _main(*sys.argv[2:])
