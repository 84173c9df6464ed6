"""Recurrent layers and cells against PyTorch; the sequence ops against steps of cells; packed sequences; errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from against_torch import paired, same, same_module

import polygrad as pg
from polygrad import nn
from polygrad.nn.utils import rnn as tools
from polygrad.testing import check_grads

QUIET = pytest.mark.filterwarnings("ignore:Using backward", "ignore:LSTM with projections")
rng = np.random.default_rng(1)
T, B, W, H = 4, 3, 2, 3

GRID: list[tuple[str, dict[str, Any]]] = [
    (kind, options)
    for kind in ("RNN", "LSTM", "GRU")
    for options in (
        {},
        {"bias": False, "batch_first": True},
        {"num_layers": 2, "bidirectional": True},
        {"num_layers": 2, "bidirectional": True, "batch_first": True, "bias": False},
    )
] + [
    ("RNN", {"nonlinearity": "relu", "num_layers": 2}),
    ("LSTM", {"proj_size": 2, "num_layers": 2, "bidirectional": True}),
]
grid = pytest.mark.parametrize(("kind", "options"), GRID)


def layers(kind: str, options: Any, dtype: str = "float64", device: Any = None) -> tuple[Any, Any]:
    torch = pytest.importorskip("torch")
    torch.manual_seed(3)
    theirs = getattr(torch.nn, kind)(W, H, **options, dtype=getattr(torch, dtype))
    return theirs, getattr(nn, kind)(W, H, **options, dtype=dtype, device=device)


def first_states(kind: str, options: dict[str, Any], *batch: int) -> list[Any]:
    n = options.get("num_layers", 1) * (2 if options.get("bidirectional") else 1)
    h = rng.normal(size=(n, *batch, options.get("proj_size", H)))
    return [h, rng.normal(size=(n, *batch, H))] if kind == "LSTM" else [h]


def run(module: Any, x: Any, *state: Any) -> Any:
    return module(x, (state if len(state) > 1 else state[0]) if state else None)


@QUIET
@grid
def test_recurrent_layer_is_torchs(kind: str, options: Any) -> None:
    x = rng.normal(size=(B, T, W) if options.get("batch_first") else (T, B, W))
    theirs, ours = layers(kind, options)
    same_module(theirs, ours, [x], call=run)
    theirs, ours = layers(kind, options)
    same_module(theirs, ours, [x, *first_states(kind, options, B)], call=run)


@QUIET
@grid
def test_recurrent_layer_without_batch_in_float32_is_torchs(kind: str, options: Any) -> None:
    theirs, ours = layers(kind, options, "float32")
    same_module(theirs, ours, [rng.normal(size=(T, W)), *first_states(kind, options)], "float32", call=run)


@QUIET
@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_recurrent_layer_to_second_order_is_torchs(kind: str) -> None:
    theirs, ours = layers(kind, {"bidirectional": True})
    same_module(theirs, ours, [rng.normal(size=(3, 2, W))], second=True, call=run)


@pytest.mark.devices("strict", "torch", "jax", "dask")
@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_recurrent_layer_on_other_backends(kind: str, device: Any) -> None:
    theirs, ours = layers(kind, {}, device=device)
    same_module(theirs, ours, [rng.normal(size=(2, 2, W))], device=device, call=run)


@QUIET
@pytest.mark.parametrize("sort", [True, False])
@pytest.mark.parametrize(("kind", "options"), [("RNN", {}), *GRID[6:8], GRID[10], GRID[-1]])
def test_recurrent_layer_of_packed_sequences_is_torchs(kind: str, options: Any, sort: bool) -> None:
    torch = pytest.importorskip("torch")
    lengths = [4, 2, 1] if sort else [2, 4, 1]
    options = {**options, "batch_first": False}

    def packed(library: Any, module: Any, x: Any, *state: Any) -> Any:
        rows = library.pack_padded_sequence(x, lengths, enforce_sorted=sort)
        out, last = run(module, rows, *state)
        assert out.batch_sizes.tolist() == rows.batch_sizes.tolist()
        return library.pad_packed_sequence(out)[0], last

    theirs, ours = layers(kind, options)
    params = paired(theirs, ours)
    arrays = [rng.normal(size=(T, B, W)), *first_states(kind, options, B)]
    same(lambda *a: packed(torch.nn.utils.rnn, theirs, *a), lambda *a: packed(tools, ours, *a), arrays, params=params)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kind", ["RNNCell", "LSTMCell", "GRUCell"])
def test_recurrent_cell_is_torchs(kind: str, bias: bool) -> None:
    torch = pytest.importorskip("torch")
    for shape in ((B,), ()):
        theirs, ours = getattr(torch.nn, kind)(W, H, bias), getattr(nn, kind)(W, H, bias)
        state = [rng.normal(size=(*shape, H)) for _ in range(1 + (kind == "LSTMCell"))]
        same_module(theirs, ours, [rng.normal(size=(*shape, W)), *state], call=run)
    same_module(theirs, ours, [rng.normal(size=(B, W))], call=run)


def test_rnn_cell_with_relu() -> None:
    torch = pytest.importorskip("torch")
    same_module(
        torch.nn.RNNCell(W, H, nonlinearity="relu"), nn.RNNCell(W, H, nonlinearity="relu"), [rng.normal(size=(B, W))]
    )


# -- the ops ---------------------------------------------------------------------------------------------


def arrays(kind: str) -> list[Any]:
    local = np.random.default_rng(8)
    shapes = {
        "lstm": [(T, B, 4 * H), (4 * H, H), (B, H), (B, H)],
        "projected": [(T, B, 4 * H), (4 * H, 2), (B, 2), (B, H), (2, H)],
        "gru": [(T, B, 3 * H), (3 * H, H), (3 * H,), (B, H)],
        "rnn": [(T, B, H), (H, H), (B, H)],
    }
    return [local.normal(size=s) for s in shapes[kind]]


def sequence(kind: str, reverse: bool) -> Any:
    f = pg.neural.lstm if kind == "projected" else getattr(pg.neural, kind)
    return lambda *x: f(*x, reverse=reverse)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("kind", ["lstm", "projected", "gru", "rnn"])
def test_sequence_op_in_both_modes_and_to_second_order(kind: str, reverse: bool) -> None:
    check_grads(sequence(kind, reverse), [pg.asarray(a[:2] if i == 0 else a) for i, a in enumerate(arrays(kind))])


@pytest.mark.parametrize("kind", ["lstm", "gru", "rnn"])
def test_sequence_op_takes_any_memory_layout(kind: str) -> None:
    found = []
    for turned in (False, True):
        gx, *rest = (pg.asarray(a, requires_grad=True) for a in arrays(kind))
        x = pg.asarray(np.asfortranarray(gx.detach().numpy()), requires_grad=True) if turned else gx
        made = sequence(kind, False)(x, *rest)
        pg.sum(pg.square(made if isinstance(made, pg.Tensor) else made[0])).backward()
        found.append([x.grad.numpy(), *(r.grad.numpy() for r in rest)])
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14)


def test_sequence_op_twice_with_other_values_in_the_same_cotangent() -> None:
    q = pg.asarray(rng.normal(size=(2, 3)), requires_grad=True)
    weights = pg.neural.attention_weights(q, q)
    seed = np.asarray([[1.0, 0.0], [0.0, 2.0]])
    weights.backward(seed, retain_graph=True)
    first = q.grad.numpy().copy()
    seed *= 2
    q.grad = None
    weights.backward(seed)
    np.testing.assert_allclose(q.grad.numpy(), 2 * first)


@pytest.mark.on_host("NumPy arrays meet tensors on the default device")
@pytest.mark.parametrize("reverse", [False, True])
def test_sequence_of_lstm_is_steps_of_cells(reverse: bool) -> None:
    gx, w, h, c = (pg.asarray(a, requires_grad=True) for a in arrays("lstm"))
    cell = nn.LSTMCell(4 * H, H, bias=False)
    with pg.no_grad():
        cell.weight_ih[...] = pg.eye(4 * H)
        cell.weight_hh[...] = w
    seed = np.random.default_rng(0).normal(size=(T, B, H))
    states, cells = pg.neural.lstm(gx, w, h, c, reverse=reverse)
    pg.sum((states + cells) * seed).backward()
    first = [x.grad.numpy() for x in (gx, w, h, c)]
    for x in (gx, w, h, c):
        x.grad = None
    made, state = [None] * T, (h, c)
    for t in reversed(range(T)) if reverse else range(T):
        state = cell(gx[t, ...], state)
        made[t] = state[0] + state[1]
    np.testing.assert_allclose(pg.stack(made).detach().numpy(), (states + cells).detach().numpy(), rtol=1e-13)
    pg.sum(pg.stack(made) * seed).backward()
    got = [gx.grad, cell.weight_hh.grad, h.grad, c.grad]
    for a, b in zip(first, got, strict=True):
        np.testing.assert_allclose(a, b.numpy(), rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("kind", ["lstm", "gru", "rnn"])
def test_sequence_op_under_vmap(kind: str) -> None:
    made = [pg.asarray(a) for a in arrays(kind)]
    f = pg.grad(lambda x, *rest: pg.sum(pg.square(pg.stack(list(sequence(kind, False)(x, *rest))))))
    batch = pg.stack([made[0], 2 * made[0]])
    each = pg.vmap(f, in_axes=(0, *[None] * (len(made) - 1)))(batch, *made[1:])
    for i in range(2):
        np.testing.assert_allclose(each[i, ...].numpy(), f(batch[i, ...], *made[1:]).numpy(), rtol=1e-11, atol=1e-13)


def test_sequence_op_changes_no_input_and_frees_what_it_saved() -> None:
    import gc
    import weakref

    given = arrays("lstm")
    before = [a.copy() for a in given]
    xs = [pg.asarray(a, requires_grad=True) for a in given]
    states, _ = pg.neural.lstm(*xs)
    pg.sum(states).backward()
    for a, b in zip(given, before, strict=True):
        np.testing.assert_array_equal(a, b)
    gc.collect()
    gc.disable()
    try:
        states, _ = pg.neural.lstm(*xs)
        pg.sum(states * states).backward(create_graph=True)
        alive = weakref.ref(states)
        for x in xs:
            x.grad = None
        del states, x
        assert alive() is None
    finally:
        gc.enable()


@pytest.mark.on_host("NumPy arrays meet tensors on the default device")
def test_dropout_between_layers_acts_in_training_only() -> None:
    pg.random.manual_seed(0)
    layer = nn.LSTM(W, 20, 2, dropout=0.5)
    x = pg.asarray(rng.normal(size=(T, B, W)))
    assert layer(x)[0].tolist() != layer(x)[0].tolist()
    layer.eval()
    assert layer(x)[0].tolist() == layer(x)[0].tolist()


def test_recurrent_layers_refuse_what_does_not_fit() -> None:
    layer = nn.LSTM(W, H)
    with pytest.raises(pg.errors.ShapeError, match=r"LSTM: input of shape \(4, 3, 5\), but input_size is 2"):
        layer(pg.ones((4, 3, 5)))
    with pytest.raises(pg.errors.ShapeError, match=r"LSTM: input of shape .* two axes"):
        layer(pg.ones(2))
    with pytest.raises(pg.errors.ShapeError, match=r"c_0 of shape \(1, 3, 4\) does not fit; it must be \(1, 3, 3\)"):
        layer(pg.ones((4, 3, 2)), (pg.ones((1, 3, 3)), pg.ones((1, 3, 4))))
    with pytest.raises(TypeError, match="hx must be a pair"):
        layer(pg.ones((4, 3, 2)), pg.ones((1, 3, 3)))
    with pytest.raises(pg.errors.ShapeError, match="at least one time"):
        layer(pg.ones((0, 3, 2)))
    with pytest.raises(pg.errors.DTypeError, match="lstm: needs arrays of one floating dtype, got float32, float64"):
        pg.neural.lstm(pg.ones((1, 1, 4), dtype="float32"), pg.ones((4, 1)), pg.ones((1, 1)), pg.ones((1, 1)))
    with pytest.raises(pg.errors.ShapeError, match="gru: shapes"):
        pg.neural.gru(pg.ones((1, 1, 4)), pg.ones((4, 1)), pg.ones(4), pg.ones((1, 1)))
    with pytest.raises(ValueError, match="nonlinearity must be"):
        nn.RNN(W, H, nonlinearity="elu")
    with pytest.raises(ValueError, match="proj_size must be 0 or less"):
        nn.LSTM(W, H, proj_size=H)
    with pytest.warns(UserWarning, match="dropout acts between layers"):
        nn.GRU(W, H, dropout=0.5)
    with pytest.raises(pg.errors.ShapeError, match=r"GRUCell: input of shape \(3, 4\); it must be \(batch, 2\)"):
        nn.GRUCell(W, H)(pg.ones((3, 4)))
    with pytest.raises(pg.errors.ShapeError, match=r"RNNCell: hx of shape \(2, 3\)"):
        nn.RNNCell(W, H)(pg.ones((3, 2)), pg.ones((2, 3)))


def test_recurrent_layers_print_and_draw_their_parameters() -> None:
    layer = nn.LSTM(W, 16, 2, batch_first=True)
    assert repr(layer) == "LSTM(2, 16, num_layers=2, batch_first=True)"
    drawn = np.concatenate([p.detach().numpy().ravel() for p in layer.parameters()])
    assert 0.2 < np.abs(drawn).max() <= 0.25
    assert abs(drawn.std() - 0.25 / 3**0.5) < 0.01


# -- padding and packing -----------------------------------------------------------------------------------


def test_padding_and_packing_are_torchs() -> None:
    torch = pytest.importorskip("torch")
    theirs = torch.nn.utils.rnn
    parts = [rng.normal(size=(n, 2)) for n in (2, 4, 3)]
    for options in ({}, {"batch_first": True, "padding_value": -1.0}, {"padding_side": "left"}):
        want = theirs.pad_sequence([torch.tensor(p) for p in parts], **options)
        np.testing.assert_array_equal(
            tools.pad_sequence([pg.asarray(p) for p in parts], **options).numpy(), want.numpy()
        )
    a = theirs.pack_sequence([torch.tensor(p) for p in parts], enforce_sorted=False)
    b = tools.pack_sequence([pg.asarray(p) for p in parts], enforce_sorted=False)
    for x, y in zip(a, b, strict=True):
        assert x.tolist() == y.tolist()
    for options in ({}, {"batch_first": True, "padding_value": 7.0, "total_length": 6}):
        (x, n), (y, m) = theirs.pad_packed_sequence(a, **options), tools.pad_packed_sequence(b, **options)
        assert (x.tolist(), n.tolist()) == (y.tolist(), m.tolist())
    back = tools.unpad_sequence(tools.pad_sequence([pg.asarray(p) for p in parts]), [2, 4, 3])
    assert [x.tolist() for x in back] == [p.tolist() for p in parts]
    assert not isinstance(back, tuple)


def test_padding_and_packing_refuse_what_does_not_fit() -> None:
    x = pg.ones((3, 2, 1))
    with pytest.raises(ValueError, match=r"lengths .* do not fall"):
        tools.pack_padded_sequence(x, [1, 2])
    with pytest.raises(pg.errors.ShapeError, match=r"lengths \[4, 1\] do not fit 2 sequences of at most 3"):
        tools.pack_padded_sequence(x, [4, 1])
    with pytest.raises(pg.errors.ShapeError, match="must agree in all axes but the first"):
        tools.pad_sequence([pg.ones((2, 1)), pg.ones((2, 2))])
    with pytest.raises(ValueError, match="total_length 1 is below"):
        tools.pad_packed_sequence(tools.pack_padded_sequence(x, [3, 2]), total_length=1)
    with pytest.raises(ValueError, match="padding_side"):
        tools.pad_sequence([pg.ones(1)], padding_side="top")
