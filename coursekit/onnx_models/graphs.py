"""The graph in an ONNX file as plain data: operators, what flows between them, what each one stores."""

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from coursekit._core import display
from coursekit.onnx_models.files import checked_path, read, real_inputs
from coursekit.onnx_models.packages import need

__all__ = ["Edge", "Fusion", "Graph", "Node", "Weight", "graph"]

if TYPE_CHECKING:
    import onnx


@dataclass(frozen=True)
class Weight:
    """Numbers stored in the file: name, shape, type, and bytes."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    nbytes: int


@dataclass(frozen=True)
class Node:
    """One operator: its kind, the values it reads and writes by name, and the weights only it brings along.

    ``domain`` is empty for ONNX's own operators, "com.microsoft" for those of ONNX Runtime alone.
    """

    op: str
    domain: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    weights: tuple[Weight, ...]


@dataclass(frozen=True)
class Edge:
    """The value named ``value`` flows from node ``source`` to ``target``; None: the graph's input, output."""

    source: int | None
    target: int | None
    value: str


@dataclass(frozen=True)
class Fusion:
    """Node ``node`` of an optimised graph does the work of the operators ``parts`` of the graph before."""

    node: int
    op: str
    parts: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.op} = {' + '.join(self.parts)}" if self.parts else self.op


@dataclass(frozen=True, repr=False)
class Graph(display.Tabled):
    """Operators in the order they run (``nodes``) and what flows between them (``edges``)."""

    name: str
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    @cached_property
    def operators(self) -> Counter[str]:
        """How often each kind of operator occurs."""
        return Counter(node.op for node in self.nodes)

    @property
    def weight_bytes(self) -> int:
        """The bytes of all weights."""
        return sum(weight.nbytes for node in self.nodes for weight in node.weights)

    def origins(self, before: "Graph") -> tuple[tuple[int, ...], ...]:
        """Return for every operator here the numbers of those in another graph that did its work.

        Found by the names of values, which optimisers keep at the ends of what they fuse; empty where one
        made up new names.

        Parameters
        ----------
        before : Graph
            The graph that this one was made of.

        Returns
        -------
        tuple of tuple of int
            Positions in ``before.nodes``, for each of ``nodes``.
        """
        return tuple(before._between(node) for node in self.nodes)

    def fusions(self, before: "Graph") -> tuple[Fusion, ...]:
        """Return the operators here whose kind ``before`` does not know, each with those it stands for.

        Parameters
        ----------
        before : Graph
            The graph that this one was made of.

        Returns
        -------
        tuple of Fusion
            One per operator of a new kind.
        """
        return tuple(
            Fusion(number, node.op, tuple(before.nodes[each].op for each in origin))
            for number, (node, origin) in enumerate(zip(self.nodes, self.origins(before), strict=True))
            if node.op not in before.operators
        )

    def _between(self, fused: Node) -> tuple[int, ...]:
        """Return the operators that lead from the inputs of ``fused`` to its outputs, in running order."""
        makers = {value: number for number, node in enumerate(self.nodes) for value in node.outputs}
        found: set[int] = set()
        wanted = [makers[value] for value in fused.outputs if value in makers]
        while wanted:
            number = wanted.pop()
            if number not in found:
                found.add(number)
                reads = [value for value in self.nodes[number].inputs if value not in fused.inputs]
                wanted += [makers[value] for value in reads if value in makers]
        return tuple(sorted(found))

    def _table(self) -> display.Table:
        rows = [
            (node.op, " + ".join(_shape(w.shape) for w in node.weights), _size(node.weights))
            for node in self.nodes
        ]
        return display.Table(("operator", "weights", "size"), rows, caption=self.name, left=2)


def graph(path: Any) -> Graph:
    """Return the graph in an ONNX file.

    Parameters
    ----------
    path : object
        The file.

    Returns
    -------
    Graph
        Its operators and the ways between them.

    Raises
    ------
    FileNotFoundError, ValueError
        As for ``describe``.
    """
    model = read(path)
    stored = {tensor.name: _weight(tensor) for tensor in model.graph.initializer}
    seen: set[str] = set()
    nodes = tuple(_node(node, stored, seen) for node in model.graph.node)
    inputs = tuple(info.name for info in real_inputs(model))
    outputs = tuple(info.name for info in model.graph.output)
    return Graph(checked_path("path", path).name, nodes, _edges(nodes, inputs, outputs), inputs, outputs)


def _node(node: "onnx.NodeProto", stored: dict[str, Weight], seen: set[str]) -> Node:
    # A weight that several operators read is in the file once: it counts where it comes first.
    own = [name for name in dict.fromkeys(node.input) if name in stored and name not in seen]
    seen.update(own)
    constants = [
        _weight(a.t, node.output[0]) for a in node.attribute if node.op_type == "Constant" and a.HasField("t")
    ]
    weights = (*(stored[name] for name in own), *constants)
    return Node(
        node.op_type, node.domain, tuple(filter(None, node.input)), tuple(filter(None, node.output)), weights
    )


def _edges(nodes: tuple[Node, ...], inputs: tuple[str, ...], outputs: tuple[str, ...]) -> tuple[Edge, ...]:
    makers: dict[str, int | None] = dict.fromkeys(inputs)
    makers |= {value: number for number, node in enumerate(nodes) for value in node.outputs}
    inner = [
        Edge(makers[value], number, value)
        for number, node in enumerate(nodes)
        for value in dict.fromkeys(node.inputs)
        if value in makers
    ]
    return (*inner, *(Edge(makers[value], None, value) for value in outputs if value in makers))


def _weight(tensor: "onnx.TensorProto", name: str = "") -> Weight:
    dtype = need("onnx").helper.tensor_dtype_to_np_dtype(tensor.data_type)
    shape = tuple(tensor.dims)
    return Weight(
        name or tensor.name, shape, dtype.name, int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    )


def _shape(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape)) or "one"


def _size(weights: tuple[Weight, ...]) -> str:
    return display.size(sum(weight.nbytes for weight in weights)) if weights else ""
