"""Where the operators of a graph stand: rows from input to output, the longest way in the middle column."""

from dataclasses import dataclass

from coursekit.onnx_models import Graph

__all__ = ["MOST_NODES", "Layout", "layout"]

MOST_NODES = 60


@dataclass(frozen=True)
class Layout:
    """A row (1 is below the input) and a column (0 is the longest way, others are beside it) per operator."""

    rows: tuple[int, ...]
    columns: tuple[int, ...]


def layout(graph: Graph) -> Layout:
    """Return rows and columns such that everything flows downwards and no two operators share a place.

    Parameters
    ----------
    graph : Graph
        The graph to place.

    Returns
    -------
    Layout
        A row and a column for each operator, in the graph's order.

    Raises
    ------
    TypeError
        If ``graph`` is not a Graph.
    ValueError
        For no operator or more of them than can be read.
    """
    if not isinstance(graph, Graph):
        raise TypeError(f"graph must be a Graph, as onnx_models.graph returns it; got {type(graph).__name__}")
    if not 1 <= len(graph.nodes) <= MOST_NODES:
        raise ValueError(
            f"{graph.name} has {len(graph.nodes)} operators; a picture can show 1 to {MOST_NODES}"
        )
    before, after = _neighbours(graph)
    rows = _rows(before, after)
    return Layout(tuple(rows), tuple(_columns(rows, before, after, _longest(rows, before))))


def _neighbours(graph: Graph) -> tuple[list[set[int]], list[set[int]]]:
    before: list[set[int]] = [set() for _ in graph.nodes]
    after: list[set[int]] = [set() for _ in graph.nodes]
    for edge in graph.edges:
        if edge.source is not None and edge.target is not None:
            before[edge.target].add(edge.source)
            after[edge.source].add(edge.target)
    return before, after


def _rows(before: list[set[int]], after: list[set[int]]) -> list[int]:
    """Put each operator below all it reads from; what reads only weights stands just above its reader."""
    rows = [0] * len(before)
    for number in range(len(before)):  # ONNX lists operators in an order in which they can run
        rows[number] = 1 + max((rows[each] for each in before[number]), default=0)
    for number in reversed(range(len(before))):
        if not before[number] and after[number]:
            rows[number] = max(1, min(rows[each] for each in after[number]) - 1)
    return rows


def _longest(rows: list[int], before: list[set[int]]) -> set[int]:
    """Return the operators on the longest way, walked back from the lowest one."""
    number = max(range(len(rows)), key=lambda each: rows[each])
    way = {number}
    while before[number]:
        number = max(before[number], key=lambda each: (rows[each], len(before[each]), -each))
        way.add(number)
    return way


def _columns(rows: list[int], before: list[set[int]], after: list[set[int]], way: set[int]) -> list[int]:
    """Give the others the first column that is free from their row down to that of their last reader."""
    columns = [0] * len(rows)
    taken: dict[int, set[int]] = {}
    for number in sorted(range(len(rows)), key=lambda each: rows[each]):
        if number not in way:
            last = max((rows[each] for each in after[number]), default=rows[number])
            first = min((rows[each] + 1 for each in before[number]), default=rows[number])
            span = set(range(min(first, rows[number]), max(last, rows[number] + 1)))
            column = next(each for each in range(1, len(rows) + 1) if not span & taken.get(each, set()))
            taken.setdefault(column, set()).update(span)
            columns[number] = column
    return columns
