"""Pruning: what zeros bring in bytes and in seconds, and what shrinking brings on a wide network.

One thread, medians; ratios above 1 mean faster than the baseline. Expected: masking changes neither size nor
time, the shrunk network is smaller and faster by a verdict of ``compare``, and CSR breaks even between 50 and
80 % zeros where PyTorch has MKL.
"""

import argparse
import gzip
from collections.abc import Callable

import torch
from torch import Tensor, nn

from coursekit import dynamic, memory, models, pruning, timing
from coursekit._core import display

WIDE = (64, 2048, 2048, 10)
SHARES = (0.5, 0.75)
BATCHES = (1, 64)
SIDE, BATCH = 1024, 64
SPARSITIES = (0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
SECONDS, QUICK_SECONDS = 4.0, 0.5
SEED = 0
GZIP_LEVEL = 1  # higher ones take long and find no more in random digits


def main(seconds: float = SECONDS) -> None:
    """Print the tables, ``seconds`` for each comparison."""
    torch.manual_seed(SEED)
    with torch.inference_mode():
        print(f"A network {'-'.join(map(str, WIDE))}, the weakest hidden neurons pruned\n")
        _print_shrunk(seconds)
        print(f"\nA product {SIDE} × {SIDE} with a batch of {BATCH}, weights pruned at random places\n")
        _print_csr(seconds)


def _print_shrunk(seconds: float) -> None:
    dense = models.mlp(WIDE)
    networks: dict[str, nn.Module] = {"dense": dense}
    for share in SHARES:
        masked = pruning.structured(dense, share)
        networks |= {f"{share:.0%} zeroed": masked, f"{share:.0%} shrunk": pruning.shrink(masked)}
    sizes = [(name, *_sizes(network)) for name, network in networks.items()]
    print(display.table_text(("network", "parameters", "file", "gzip of the weights"), sizes))
    x = torch.randn(1000, WIDE[0])
    for share in SHARES:
        masked, shrunk = (networks[f"{share:.0%} {kind}"] for kind in ("zeroed", "shrunk"))
        print(f"{share:.0%}: the outputs differ by {float((masked(x) - shrunk(x)).abs().max()):.1e} at most")
    for batch in BATCHES:
        inputs = torch.randn(batch, WIDE[0])
        calls = {name: _call(network, inputs) for name, network in networks.items()}
        print(f"\nbatch {batch}\n{timing.compare(calls, max_time=seconds, threads=1)}")


def _print_csr(seconds: float) -> None:
    weight, x = torch.randn(SIDE, SIDE), torch.randn(SIDE, BATCH)
    rows = []
    for sparsity in SPARSITIES:
        zeroed = weight * pruning.masks(weight, sparsity)[0]
        matrices = {"dense": weight, "zeros": zeroed, "csr": pruning.to_csr(zeroed)}
        calls = {name: _call(matrix.matmul, x) for name, matrix in matrices.items()}
        result = timing.compare(calls, max_time=seconds, threads=1)
        share = f"{pruning.csr_bytes(zeroed) / zeroed.nbytes:.2f}"
        medians = (display.seconds(result.measurements[name].median) for name in ("dense", "csr"))
        rows.append(
            (f"{sparsity:.0%}", share, *medians, *_verdict(result, "csr"), *_verdict(result, "zeros"))
        )
    headers = ("zeros", "bytes, CSR to dense", "dense", "CSR", "CSR, ratio", "", "zeros in dense, ratio", "")
    print(display.table_text(headers, rows))


def _call(function: Callable[[Tensor], Tensor], x: Tensor) -> Callable[[], Tensor]:
    return lambda: function(x)


def _sizes(network: nn.Module) -> tuple[str, str, str]:
    """Return the parameters, the bytes of the state dict, and those of the gzipped numbers."""
    compressed = sum(len(gzip.compress(p.numpy().tobytes(), GZIP_LEVEL)) for p in network.parameters())
    parameters = memory.by_layer(network).parameters
    return f"{parameters:,}", display.size(dynamic.state_dict_size(network)), display.size(compressed)


def _verdict(result: timing.Comparison, name: str) -> tuple[str, str]:
    ratio = result.ratio(name)
    value, low, high = (display.significant(part) for part in (ratio.value, ratio.low, ratio.high))
    return f"{value} ({low} to {high})", result.verdict(name)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help=f"only {QUICK_SECONDS} s per comparison")
    main(QUICK_SECONDS if parser.parse_args().quick else SECONDS)
