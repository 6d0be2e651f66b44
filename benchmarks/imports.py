"""Import time: seconds a fresh Python needs, above bare Python."""

import statistics
import subprocess
import sys
import time

from coursekit._core import display

STATEMENTS = (
    "pass",
    "import coursekit",
    "from coursekit import floats, quantization",
    "from coursekit import widgets; widgets.number_line",
    "import torch",
)
RUNS = 9


def main() -> None:
    """Print median seconds per statement; runs are interleaved, so drift hits all alike."""
    times: dict[str, list[float]] = {statement: [] for statement in STATEMENTS}
    for _ in range(RUNS):
        for statement, sample in times.items():
            start = time.perf_counter()
            subprocess.run([sys.executable, "-c", statement], check=True)
            sample.append(time.perf_counter() - start)
    bare = statistics.median(times["pass"])
    rows = [
        (statement, display.seconds(median := statistics.median(sample)), display.seconds(median - bare))
        for statement, sample in times.items()
    ]
    print(display.table_text(("statement", f"median of {RUNS}", "above bare Python"), rows))


if __name__ == "__main__":
    main()
