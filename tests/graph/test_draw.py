"""Drawings of the eager graph: what they show, that they are stable, and that no depth is too deep."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

import pytest
from draw_lstm import Tagger, trained

import polygrad as pg
from polygrad import nn
from polygrad.graph import to_dot, to_text
from polygrad.graph.nodes import entries_of, folded

needs_dot = pytest.mark.skipif(shutil.which("dot") is None, reason="the program dot is not installed")


def small() -> tuple[pg.Tensor, dict[str, pg.Tensor]]:
    w = pg.asarray([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    x = pg.asarray([0.5, -0.5], requires_grad=True)
    h = pg.tanh(w @ x)
    return pg.sum(pg.logaddexp(h, h)) * 2.0, {"w": w, "x": x, "hidden": h}


def test_text_shows_ops_types_names_and_sharing() -> None:
    loss, names = small()
    assert to_text(loss, names).splitlines() == [
        "%6 multiply(%5, const) float64[]",
        "  %5 sum(%4) float64[]",
        "    %4 logaddexp(%3, %3) float64[2]",
        "      %3 tanh(%2) hidden float64[2]",
        "        %2 matmul(%0, %1) float64[2]",
        "          %0 leaf w float64[2, 2]",
        "          %1 leaf x float64[2]",
        "      %3 hidden (above)",
    ]


def test_dot_tells_leaf_op_and_root_apart() -> None:
    loss, names = small()
    lines = to_dot(loss, names).splitlines()

    def line(start: str) -> str:
        (found,) = [x for x in lines if x.startswith(f"  {start} [")]
        return found

    assert lines[0] == "digraph polygrad {"
    assert lines[-1] == "}"
    assert 'label="w\\nfloat64[2, 2]"' in line("n0")
    assert "shape=box" in line("n0")
    assert 'label="hidden\\ntanh\\nfloat64[2]"' in line("n3")
    assert "shape=ellipse" in line("n3")
    assert "shape=doubleoctagon" in line("n6")
    looks = [line(n).partition("shape=")[2] for n in ("n0", "n3", "n6")]
    assert len({x.partition("fillcolor=")[2] for x in looks}) == 3
    assert lines.count("  n3 -> n4;") == 2
    assert lines.count("  n0 -> n2;") == 1


def test_the_same_graph_gives_the_same_text() -> None:
    (a, names_a), (b, names_b) = small(), small()
    assert to_dot(a, names_a) == to_dot(b, names_b)
    assert to_text(a, names_a) == to_text(b, names_b)


def test_names_from_a_module_and_with_a_prefix() -> None:
    net = pg.nn.Linear(2, 1)
    out = net(pg.ones((3, 2)))
    assert " leaf weight float64[1, 2]" in to_text(out, net)
    assert " leaf net.bias float64[1]" in to_text(out, {"net": net})


def test_ops_with_several_outputs() -> None:
    x = pg.asarray([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    a, b = pg.unstack(x)
    loss = pg.sum(a * b)
    dot, text = to_dot(loss), to_text(loss)
    if "item" in text:  # unstack is one op with two outputs, each drawn as a small circle
        assert dot.count("shape=circle") == 2
        assert "(float64[2], float64[2])" in text
    assert text.splitlines()[-1].split()[0] in {"%0", "%1"}


def test_several_roots_and_a_leaf_as_root() -> None:
    x = pg.asarray([1.0], requires_grad=True)
    y, z = pg.sin(x), pg.cos(x)
    text = to_text([y, z], {"x": x}).splitlines()
    assert text == [
        "%1 sin(%0) float64[1]",
        "  %0 leaf x float64[1]",
        "%2 cos(%0) float64[1]",
        "  %0 x (above)",
    ]
    assert to_dot([y, z]).count("doubleoctagon") == 2
    assert to_text(x) == "%0 leaf float64[1]"


def test_a_tensor_without_a_graph_is_refused() -> None:
    with pytest.raises(pg.errors.DetachedError, match=r"shape \(2,\)"):
        to_dot(pg.ones(2))
    with pytest.raises(TypeError, match="not at float"):
        to_dot([1.0])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="at least one"):
        to_text([])


def test_a_name_with_quotes_is_escaped() -> None:
    x = pg.asarray([1.0], requires_grad=True)
    assert r'label="a \"b\" \\c\nfloat64[1]"' in to_dot(pg.exp(x), {'a "b" \\c': x})


HOSTILE = [
    "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", 'a"]; x', "a\nb", "a\r\n  n0 --> n9", "%%{init: {}}%%", "```",
    "`**bold**`", "#quot;", "&lt;b&gt;", "end\x00", "\x1b[31mred", "\u2028next", "\ud800", "}}", "))", "\\", 'q\\"',
]  # fmt: skip


@pytest.mark.parametrize("boxed", [False, True], ids=["leaf", "module"])
@pytest.mark.parametrize("name", HOSTILE)
def test_names_out_of_files_are_text_and_nothing_else(name: str, boxed: bool) -> None:
    x = pg.asarray([1.0], requires_grad=True)

    def drawings(label: str) -> list[str]:
        names = {f"{label}.w" if boxed else label: x}
        return [str(pg.draw(pg.exp(x), format=form, names=names)) for form in ("mermaid", "dot", "text")]

    for drawing, plain in zip(drawings(name), drawings("plain"), strict=True):
        assert len(drawing.splitlines()) == len(plain.splitlines())
        assert all(c.isprintable() or c == "\n" for c in drawing)
    mermaid, dot, _ = drawings(name)
    inside = mermaid.replace("<br>", "")
    assert "<" not in inside
    assert not any(mark in mermaid for mark in ("%%", "`", "-->  n9"))
    assert inside.count('"') == drawings("plain")[0].count('"')
    assert re.sub(r"\\\\|\\\"", "", dot).count('"') == drawings("plain")[1].count('"')


def test_names_in_the_text_of_static_graphs_stay_on_their_line() -> None:
    graph = pg.trace(lambda x: pg.exp(x), pg.Spec(3))
    graph.names[graph.inputs[0]] = "x\n  return %9"
    assert len(str(graph).splitlines()) == 4


def test_a_hundred_thousand_nodes() -> None:
    x = pg.asarray(1.0, requires_grad=True)
    y = x
    for _ in range(100_000):
        y = y + x
    text = to_text(y).splitlines()
    assert len(text) == 200_001
    assert text[-1].endswith("%0 leaf (above)")
    assert max(map(len, text)) < 120
    assert any(line.lstrip().startswith("[99999]") for line in text)
    assert to_dot(y).count(" -> ") == 200_000


def test_draw_gives_and_writes_dot_and_text(tmp_path: Path) -> None:
    loss, names = small()
    assert pg.draw(loss, names=names) == to_dot(loss, names).rstrip("\n")
    assert pg.draw(loss, format="text") == to_text(loss)
    pg.draw(loss, tmp_path / "g.dot", names=names)
    assert (tmp_path / "g.dot").read_text() == to_dot(loss, names)
    pg.draw(loss, tmp_path / "g.txt")
    assert (tmp_path / "g.txt").read_text() == to_text(loss) + "\n"
    pg.draw(loss, str(tmp_path / "other"), format="text")
    assert (tmp_path / "other").read_text().startswith("%6 ")


@needs_dot
def test_pictures(tmp_path: Path) -> None:
    pytest.importorskip("graphviz")
    loss, names = small()
    svg = pg.draw(loss, tmp_path / "g.svg", names=names)
    assert isinstance(svg, str)
    assert "<svg" in svg
    assert "hidden" in svg
    assert "<svg" in (tmp_path / "g.svg").read_text()
    png = pg.draw(loss, format="png")
    assert isinstance(png, bytes)
    assert png.startswith(b"\x89PNG")
    pdf = pg.draw(loss, tmp_path / "g.pdf")
    assert isinstance(pdf, bytes)
    assert pdf.startswith(b"%PDF")


def test_without_the_program_the_error_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("graphviz")
    monkeypatch.setenv("PATH", str(tmp_path))
    loss, _ = small()
    with pytest.raises(pg.errors.DependencyError, match=r"svg needs Graphviz's program 'dot'.*format=\"dot\""):
        pg.draw(loss, tmp_path / "g.svg")
    assert not (tmp_path / "g.svg").exists()


def test_without_the_package_the_error_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "graphviz", None)
    with pytest.raises(pg.errors.DependencyError, match=r"polygrad-xp\[draw\]"):
        pg.draw(small()[0], format="png")


def test_an_unknown_format_is_refused() -> None:
    pytest.importorskip("graphviz")
    with pytest.raises(ValueError, match="'jpeg2001'"):
        pg.draw(small()[0], format="jpeg2001")


def test_static_graphs_are_drawn() -> None:
    graph = pg.trace(lambda x, w: pg.tanh(x @ w), pg.Spec((2, 3)), pg.Spec((3, 4)))
    dot = pg.draw(graph)
    assert isinstance(dot, str)
    assert '"x\\nfloat64[2, 3]", shape=box' in dot
    assert '"tanh\\nfloat64[2, 4]", shape=doubleoctagon' in dot
    assert dot.count("->") == 3
    assert pg.draw(graph, format="text") == str(graph)
    mermaid = pg.draw(graph, format="mermaid")
    assert mermaid == pg.graph.to_mermaid(graph)
    assert 'n0["x<br>float64[2, 3]"]' in mermaid
    assert mermaid.count("-->") == 3


# -- modules, folding --------------------------------------------------------------------------------------


WORDS, TAGS = pg.asarray([[1, 2, 3], [4, 5, 6]]), pg.asarray([0, 1])


def boxes(dot: str) -> dict[str, list[str]]:
    """The labels of the nodes in each box, by the path of the box."""
    found: dict[str, list[str]] = {"": []}
    open_: list[str] = []
    for line in dot.splitlines()[3:]:
        line = line.strip()
        if line.startswith("subgraph"):
            open_.append(line.partition('label="')[2].partition('"')[0])
            found.setdefault("/".join(open_), [])
        elif line == "}" and open_:
            open_.pop()
        elif "[label=" in line:
            found["/".join(open_)].append(line.partition('label="')[2].partition('"')[0].partition("\\nfloat")[0])
    assert not open_
    return found


def test_modules_are_boxes() -> None:
    model = Tagger(4, 3)
    loss = nn.functional.cross_entropy(model(WORDS), TAGS)
    found = boxes(to_dot(loss, model))
    for layer in ("0", "1"):
        inside = found[f"lstm/layer {layer}"]
        assert {f"weight_ih_l{layer}", f"weight_hh_l{layer}", f"bias_ih_l{layer}", f"bias_hh_l{layer}"} < set(inside)
        assert {"lstm", "add"} < set(inside)
    assert "take" in found["embed"]
    assert {"weight", "bias"} < set(found["head"])
    assert "cross_entropy" in found[""]
    mermaid = pg.graph.to_mermaid(loss, model)
    assert mermaid.count("subgraph") == mermaid.count("\n" + "  end") + mermaid.count("    end") == 5
    assert "subgraph" not in to_dot(loss, {"words": model.embed.weight})


def test_folded_graphs_show_what_counts() -> None:
    model = Tagger(4, 3)
    loss = nn.functional.cross_entropy(model(WORDS), TAGS)
    found = boxes(to_dot(loss, model, fold=True))
    shown = {"bias_hh_l1", "bias_ih_l1", "lstm", "weight_hh_l1", "weight_ih_l1"}
    assert shown < set(found["lstm/layer 1"])
    assert len(found["lstm/layer 1"]) == 7  # and the sum of the biases, and the product that it is added to
    assert {"bias", "weight"} < set(found["head"])
    assert len(found["head"]) == 3
    assert found["embed"] == ["weight", "take"]
    assert found[""] == ["cross_entropy"]


def test_a_training_step_on_one_page() -> None:
    model = Tagger(4, 3)
    step = trained(model, WORDS, TAGS)
    dot = to_dot(step.graph, model, fold=True)
    assert len([line for line in dot.splitlines() if "[label=" in line]) < 50 < len(step.graph.instructions)
    found = boxes(dot)
    assert {"lstm_forward", "lstm_backward"} < set(found["lstm/layer 0"])
    assert dot.count("doubleoctagon") == 1  # the loss; all else that is returned are gradients and updates
    assert dot.count("peripheries=2") >= len(list(model.parameters()))
    words = {v.number: n for v, n in step.graph.names.items()}
    assert list(words.values()) == ["words", "tags"]


@pytest.mark.parametrize("fold", [False, True])
def test_folding_makes_no_circles_and_loses_no_way(fold: bool) -> None:
    """From each leaf that leads to the loss, one still gets there."""
    model = Tagger(4, 3)
    graph = pg.trace(lambda w, t: nn.functional.cross_entropy(model(w), t), WORDS, TAGS).vjp()
    entries, _ = entries_of(graph, model)
    shown = folded(entries) if fold else entries
    before: set[int] = set()
    reach: dict[int, set[int]] = {}
    for e in shown:
        assert all(p is None or p in before for p in e.parents)  # made of what stands above
        before.add(e.number)
        reach[e.number] = {e.number}.union(*[reach[p] for p in e.parents if p is not None])
    (loss,) = [e for e in shown if e.kind == "root"]
    leaves = {e.number for e in shown if e.kind == "leaf"}
    assert len(leaves) == 11
    assert leaves <= reach[loss.number]


def test_graphs_are_shown_in_notebooks_without_graphviz_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    loss, names = small()
    picture = pg.graph.show(loss, names)
    assert picture._repr_markdown_().startswith("```mermaid\nflowchart TD\n  n0[")
    assert repr(picture) == to_text(loss, names)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert picture._repr_svg_() is None
    graph = pg.trace(lambda x: pg.tanh(x), pg.Spec(3))
    assert graph._repr_svg_() is None
    assert "tanh" in graph._repr_markdown_()


@needs_dot
def test_boxes_are_drawn() -> None:
    pytest.importorskip("graphviz")
    model = Tagger(4, 3)
    svg = pg.graph.show(model(WORDS), model, fold=True)._repr_svg_()
    assert svg is not None
    assert svg.count('class="cluster"') == 5


@needs_dot
def test_static_graphs_show_themselves_in_notebooks() -> None:
    graph = pg.trace(lambda x: pg.tanh(x), pg.Spec(3))
    assert "<svg" in str(graph._repr_svg_())
