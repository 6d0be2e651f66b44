import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.text import Text
from torch import nn

from coursekit import models
from coursekit import onnx_models as om
from coursekit.onnx_models import Edge, Graph, Node, Weight
from coursekit.plots import onnx_graph, style
from coursekit.plots.graph_layout import MOST_NODES, layout


@pytest.fixture(scope="module")
def graphs(tmp_path_factory):
    place = tmp_path_factory.mktemp("graphs")
    om.export(models.mlp(), place / "fp32.onnx", torch.randn(2, 64))
    om.quantize_dynamic(place / "fp32.onnx", place / "int8.onnx")
    om.quantize_static(place / "fp32.onnx", place / "static.onnx", [np.random.default_rng(0).random((9, 64))])
    for name in ("fp32", "int8", "static"):
        om.optimized(place / f"{name}.onnx", place / f"{name}-optimized.onnx")
    return {path.stem: om.graph(path) for path in place.glob("*.onnx")}


def made_up(reads):
    """Return a graph whose operator i reads the results of the operators in reads[i]."""
    nodes = tuple(
        Node("Add", "", tuple(f"v{each}" for each in sources) or ("x",), (f"v{number}",), ())
        for number, sources in enumerate(reads)
    )
    edges = [Edge(each, number, f"v{each}") for number, sources in enumerate(reads) for each in sources]
    edges += [Edge(None, number, "x") for number, sources in enumerate(reads) if not sources]
    edges.append(Edge(len(reads) - 1, None, f"v{len(reads) - 1}"))
    return Graph("made up", nodes, tuple(edges), ("x",), (f"v{len(reads) - 1}",))


@st.composite
def any_graph(draw):
    count = draw(st.integers(1, 14))
    return made_up(
        [
            draw(st.lists(st.integers(0, number - 1), max_size=3, unique=True)) if number else []
            for number in range(count)
        ]
    )


@settings(max_examples=150)
@given(graph=any_graph())
def test_everything_flows_down_and_nothing_shares_a_place(graph):
    places = layout(graph)
    spots = list(zip(places.rows, places.columns, strict=True))
    assert len(set(spots)) == len(spots)
    assert min(places.rows) >= 1
    for edge in graph.edges:
        if None not in (edge.source, edge.target):
            assert places.rows[edge.source] < places.rows[edge.target]


def written(figure):
    return [text for text in figure.findobj(Text) if text.get_text().strip()]


def collisions(figure):
    """Return texts that overlap or leave the picture."""
    figure.canvas.draw()
    renderer = figure.canvas.get_renderer()
    boxes = [(text.get_text(), text.get_window_extent(renderer)) for text in written(figure)]
    wide, high = figure.bbox.size
    out = [text for text, box in boxes if box.x0 < 0 or box.y0 < 0 or box.x1 > wide or box.y1 > high]
    pairs = [
        (a, b)
        for number, (a, first) in enumerate(boxes)
        for b, second in boxes[:number]
        if first.x0 < second.x1 and second.x0 < first.x1 and first.y0 < second.y1 and second.y0 < first.y1
    ]
    return out + pairs


@pytest.mark.parametrize("present", ["0", "1"])
@pytest.mark.parametrize("name", ["fp32", "int8", "static"])
def test_every_operator_and_weight_is_written_and_can_be_read(graphs, monkeypatch, name, present):
    monkeypatch.setenv("COURSEKIT_PRESENT", present)
    graph, after = graphs[name], graphs[f"{name}-optimized"]
    alone = onnx_graph.picture(graph)
    assert collisions(alone) == []
    texts = [text.get_text() for text in written(alone)]
    for op, count in graph.operators.items():
        assert texts.count(op) == count
    assert any(text.startswith(("128×64, ", "64×128, ")) for text in texts)
    both = onnx_graph.side_by_side(graph, after)
    assert collisions(both) == []
    texts = [text.get_text() for text in written(both)]
    assert set(onnx_graph.TITLES) <= set(texts)
    smallest = min(text.get_fontsize() for text in written(both)) * both.dpi / style.DPI
    assert smallest > (13.9 if present == "1" else 9.9)


def test_boxes_hold_their_words(graphs):
    for name in ("fp32", "int8", "static"):
        figure = onnx_graph.side_by_side(graphs[name], graphs[f"{name}-optimized"])
        figure.canvas.draw()
        renderer = figure.canvas.get_renderer()
        boxes = [patch.get_window_extent(renderer) for patch in figure.axes[0].patches]
        for op in graphs[f"{name}-optimized"].operators:
            for text in written(figure):
                if text.get_text() == op:
                    extent = text.get_window_extent(renderer)
                    assert any(
                        box.x0 <= extent.x0 and extent.x1 <= box.x1 and box.y0 <= extent.y0 <= box.y1
                        for box in boxes
                    )


def test_fused_operators_stand_out_and_list_their_parts(graphs):
    figure = onnx_graph.side_by_side(graphs["int8"], graphs["int8-optimized"])
    texts = [text.get_text() for text in written(figure)]
    parts = "= DynamicQuantizeLinear\n+ 2 × Mul\n+ MatMulInteger\n+ Cast\n+ Add"
    assert texts.count("DynamicQuantizeMatMul") == texts.count(parts) == 2
    bold = {text.get_text() for text in written(figure) if text.get_weight() == "bold"}
    assert bold == {"DynamicQuantizeMatMul", *onnx_graph.TITLES}
    edges = [patch.get_edgecolor() for patch in figure.axes[0].patches]
    fused = [edge for edge in edges if style.VERMILLION.lower() == to_hex(edge)]
    assert len(fused) == 2


def to_hex(colour):
    return "#" + "".join(f"{round(255 * part):02x}" for part in colour[:3])


def test_a_fused_operator_stands_beside_those_it_replaces(graphs):
    places = layout(graphs["int8"])
    left, _, _ = onnx_graph._placed(graphs["int8"], places, 0)
    right, _, _ = onnx_graph._placed_beside(graphs["int8-optimized"], graphs["int8"], places, 500)
    for box, origin in zip(right, graphs["int8-optimized"].origins(graphs["int8"]), strict=False):
        rows = [left[each] for each in origin]
        assert box.y - box.high / 2 == min(each.y - each.high / 2 for each in rows)
        assert box.y + box.high / 2 == max(each.y + each.high / 2 for each in rows)


def test_graphs_without_common_names_are_drawn_all_the_same(graphs):
    other = made_up([[], [0], [0], [1, 2]])
    figure = onnx_graph.side_by_side(graphs["fp32"], other, titles=("one", "two"))
    assert [text.get_text() for text in written(figure)].count("Add") == 4
    assert collisions(figure) == []


def test_an_attention_model_can_be_drawn(tmp_path):
    class Small(nn.Module):
        def __init__(self):
            super().__init__()
            self.q, self.k, self.v = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 8)

        def forward(self, x):
            return x + torch.softmax(self.q(x) @ self.k(x).transpose(1, 2), -1) @ self.v(x)

    om.export(Small(), tmp_path / "m.onnx", torch.randn(2, 3, 8))
    om.optimized(tmp_path / "m.onnx", tmp_path / "o.onnx")
    before, after = om.graph(tmp_path / "m.onnx"), om.graph(tmp_path / "o.onnx")
    assert collisions(onnx_graph.side_by_side(before, after)) == []


def test_draw_uses_the_axes_it_is_given(graphs):
    figure, ax = style.axes(alt="The graph of a small network.")
    made = onnx_graph.draw(ax, graphs["fp32"], title="A network")
    assert {artist.axes for artist in made} == {ax}
    assert figure.png()
    assert "A network" in [text.get_text() for text in written(figure)]


def test_weights_too_small_to_matter_are_not_written():
    weights = (Weight("scale", (), "float32", 4), Weight("zero", (), "int8", 1))
    assert onnx_graph._note(Node("Mul", "", ("a",), ("b",), weights)) == ""
    weights = (*weights, Weight("w", (20, 30), "int8", 600))
    assert onnx_graph._note(Node("Mul", "", ("a",), ("b",), weights)) == "20×30, 605 B"


def test_what_cannot_be_drawn_is_refused(graphs):
    with pytest.raises(TypeError, match="graph must be a Graph, as onnx_models.graph returns it; got str"):
        onnx_graph.picture("m.onnx")
    chain = made_up([[]] + [[number] for number in range(MOST_NODES)])
    with pytest.raises(ValueError, match="made up has 61 operators; a picture can show 1 to 60"):
        onnx_graph.picture(chain)
    with pytest.raises(ValueError, match="made up has 0 operators"):
        onnx_graph.picture(Graph("made up", (), (), ("x",), ("x",)))
