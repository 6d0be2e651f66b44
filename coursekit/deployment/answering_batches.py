"""A replica's program: it opens a network once and answers batches until its standard input ends. A script.

A batch is its size (int32) and so many pictures of 64 float32; the answer is as many labels (int64).
"""

import json
import sys

__all__: list[str] = []


def _main(path: str) -> None:
    """Answer batches, on one thread."""
    import numpy as np
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    given, answer = sys.stdin.buffer, sys.stdout.buffer
    while head := given.read(4):
        size = int.from_bytes(head, "little")
        x = np.frombuffer(given.read(256 * size), np.float32).reshape(size, 64)
        (logits,) = session.run(None, {name: x})
        answer.write(logits.argmax(1).astype(np.int64).tobytes())
        answer.flush()


if __name__ == "__main__":
    sys.path[:] = json.loads(sys.argv[1])
    _main(sys.argv[2])
