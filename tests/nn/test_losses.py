"""Losses against PyTorch: values and all gradients over a grid of arguments; what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from against_torch import same

import polygrad as pg
from polygrad import nn
from polygrad.nn import functional as F

rng = np.random.default_rng(3)
A, B, C = (rng.normal(size=(4, 3)) for _ in range(3))
P = rng.uniform(0.1, 0.9, size=(4, 3))
Q = rng.uniform(0.1, 0.9, size=(4, 3))
SIGN = np.where(rng.normal(size=(4, 3)) > 0, 1.0, -1.0)
CLASSES = np.asarray([2, 0, 1, 2])
WEIGHT = np.asarray([0.5, 2.0, 1.5])
COUNTS = np.asarray([[0.0, 1.0, 3.0], [2.0, 5.0, 1.0], [4.0, 0.0, 7.0], [1.0, 1.0, 2.0]])

ROWS: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    ("mse_loss", (A, B), {}),
    ("l1_loss", (A, B), {}),
    ("huber_loss", (A, B), {}),
    ("huber_loss", (3 * A, B), {"delta": 0.7}),
    ("smooth_l1_loss", (A, B), {"beta": 0.3}),
    ("smooth_l1_loss", (A, B), {"beta": 0.0}),
    ("smooth_l1_loss", (A, B), {}),
    ("binary_cross_entropy", (P, Q), {}),
    ("binary_cross_entropy", (P, Q, WEIGHT), {}),
    ("binary_cross_entropy_with_logits", (4 * A, Q), {}),
    ("binary_cross_entropy_with_logits", (A, Q, Q), {"pos_weight": WEIGHT}),
    ("kl_div", (np.log(P), Q), {}),
    ("kl_div", (np.log(P), np.log(Q)), {"log_target": True}),
    ("cosine_embedding_loss", (A, B, SIGN[:, 0]), {"margin": 0.1}),
    ("cosine_embedding_loss", (A[0], B[0], SIGN[0, 0]), {}),
    ("triplet_margin_loss", (A, B, C), {}),
    ("triplet_margin_loss", (A, B, C), {"margin": 2.0, "p": 1, "swap": True}),
    ("triplet_margin_with_distance_loss", (A, B, C), {"margin": 0.5, "swap": True}),
    ("hinge_embedding_loss", (P, SIGN), {"margin": 0.6}),
    ("margin_ranking_loss", (A, B, SIGN), {"margin": 0.2}),
    ("multi_margin_loss", (A, CLASSES), {}),
    ("multi_margin_loss", (A, CLASSES), {"p": 2, "margin": 0.5, "weight": WEIGHT}),
    ("soft_margin_loss", (A, SIGN), {}),
    ("multilabel_soft_margin_loss", (A, Q, WEIGHT), {}),
    ("gaussian_nll_loss", (A, B, Q), {"full": True}),
    ("gaussian_nll_loss", (A, B, Q[:, 0]), {"eps": 0.4}),
    ("poisson_nll_loss", (A, COUNTS), {"full": True}),
    ("poisson_nll_loss", (P, COUNTS), {"log_input": False}),
    ("nll_loss", (A, CLASSES), {"ignore_index": 0}),
    ("nll_loss", (A, CLASSES), {"weight": WEIGHT}),
    ("cross_entropy", (A, CLASSES), {"ignore_index": 2}),
    ("cross_entropy", (A, CLASSES), {"weight": WEIGHT, "label_smoothing": 0.2, "ignore_index": 0}),
    ("cross_entropy", (A, CLASSES), {"label_smoothing": 0.1}),
    ("cross_entropy", (A, Q), {}),
    ("cross_entropy", (A, Q, WEIGHT), {"label_smoothing": 0.3}),
    ("cross_entropy", (A[0], CLASSES[0]), {"weight": WEIGHT}),
    ("cross_entropy", (np.stack([A, B], 2), np.stack([CLASSES, CLASSES[::-1]], 1)), {"weight": WEIGHT}),
]  # fmt: skip


QUIET = pytest.mark.filterwarnings("ignore:reduction. .mean. divides:UserWarning", "ignore:Using backward")

# By how many arguments PyTorch differentiates, where not by all.
TRACKED = {"cross_entropy": 2, "binary_cross_entropy": 2, "binary_cross_entropy_with_logits": 2, "poisson_nll_loss": 1,
           "multilabel_soft_margin_loss": 2, "soft_margin_loss": 1}  # fmt: skip


def both(name: str, args: tuple[Any, ...], options: dict[str, Any], dtype: str, device: Any, **more: Any) -> None:
    import torch

    arrays = {k: v for k, v in options.items() if isinstance(v, np.ndarray)}
    plain = {k: v for k, v in options.items() if k not in arrays}

    def run(f: Any, wrap: Any) -> Any:
        own = {k: wrap(v.astype(dtype)) for k, v in arrays.items()}
        return lambda *x: getattr(f, name)(*x, **own, **plain)

    n = TRACKED.get(name, len(args))
    fixed = args[n:]
    theirs, ours = run(torch.nn.functional, torch.tensor), run(F, lambda v: pg.asarray(v, device=device))
    same(
        lambda *x: theirs(*x, *(torch.tensor(a.astype(dtype)) for a in fixed)),
        lambda *x: ours(*x, *(pg.asarray(a.astype(dtype), device=device) for a in fixed)),
        args[:n], dtype, device, **more,
    )  # fmt: skip


@QUIET
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize(("name", "args", "options"), ROWS, ids=lambda v: v if isinstance(v, str) else "")
def test_loss_is_torchs(name: str, args: Any, options: Any, reduction: str) -> None:
    pytest.importorskip("torch")
    both(name, args, {**options, "reduction": reduction}, "float64", None)


@QUIET
@pytest.mark.parametrize(("name", "args", "options"), ROWS, ids=lambda v: v if isinstance(v, str) else "")
def test_loss_in_float32_is_torchs(name: str, args: Any, options: Any) -> None:
    pytest.importorskip("torch")
    both(name, args, options, "float32", None)


SAMPLE = [ROWS[i] for i in (1, 7, 13, 24, 31)]


@pytest.mark.devices("strict", "torch", "jax", "dask")
@pytest.mark.parametrize(("name", "args", "options"), SAMPLE, ids=lambda v: v if isinstance(v, str) else "")
def test_loss_on_other_backends(name: str, args: Any, options: Any, device: Any) -> None:
    pytest.importorskip("torch")
    both(name, args, options, "float64", device)


@QUIET
@pytest.mark.parametrize("name", ["cross_entropy", "huber_loss", "binary_cross_entropy_with_logits", "kl_div"])
def test_loss_to_second_order(name: str) -> None:
    pytest.importorskip("torch")
    name, args, options = next(row for row in ROWS if row[0] == name)
    # PyTorch has no second derivative by the target of some
    both(name, (args[0], args[1]) if name == "cross_entropy" else args, options, "float64", None, second=True)


def test_cross_entropy_in_forward_mode_and_under_vmap() -> None:
    x, t = pg.asarray(A), pg.asarray(CLASSES)
    f = lambda z: F.cross_entropy(z, t)  # noqa: E731
    _, tangent = pg.jvp(f, (x,), (pg.asarray(B),))
    np.testing.assert_allclose(tangent.item(), pg.sum(pg.grad(f)(x) * B).item(), rtol=1e-13)
    each = pg.vmap(pg.grad(lambda z, c: F.cross_entropy(z, c)))(x, t)
    np.testing.assert_allclose(each.numpy(), 4 * pg.grad(f)(x).numpy(), rtol=1e-13)


@pytest.mark.on_host("NumPy arrays meet tensors on the default device")
def test_ignored_targets_alone_give_torchs_nan_or_zero() -> None:
    x, t = pg.asarray(A, requires_grad=True), pg.asarray([-100] * 4)
    assert np.isnan(F.cross_entropy(x, t).item())
    F.cross_entropy(x, t, reduction="sum").backward()
    assert not np.any(x.grad.numpy())


def test_binary_cross_entropy_at_exactly_zero_and_one_is_torchs() -> None:
    torch = pytest.importorskip("torch")
    x, y = np.asarray([0.0, 1.0, 0.0, 1.0]), np.asarray([0.0, 1.0, 1.0, 0.0])
    same(
        lambda p: torch.nn.functional.binary_cross_entropy(p, torch.tensor(y), reduction="none"),
        lambda p: F.binary_cross_entropy(p, y, reduction="none"),
        [x],
    )


def test_kl_div_batchmean_and_multiple_lengths() -> None:
    torch = pytest.importorskip("torch")
    same(
        lambda x, y: torch.nn.functional.kl_div(x, y, reduction="batchmean"),
        lambda x, y: F.kl_div(x, y, "batchmean"),
        [np.log(P), Q],
    )


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("flat", [False, True])
def test_ctc_loss_is_torchs(flat: bool, reduction: str) -> None:
    torch = pytest.importorskip("torch")
    logits = np.random.default_rng(0).normal(size=(6, 3, 4))
    labels = np.asarray([[1, 1, 2], [3, 0, 0], [2, 1, 3]])
    ins, outs = [6, 4, 5], [3, 1, 2]
    if flat:
        labels = np.concatenate([row[:n] for row, n in zip(labels, outs, strict=True)])

    def theirs(x: Any) -> Any:
        lengths = torch.tensor(ins), torch.tensor(outs)
        return torch.nn.functional.ctc_loss(x.log_softmax(2), torch.tensor(labels), *lengths, reduction=reduction)

    ours = lambda x: F.ctc_loss(pg.log_softmax(x, axis=2), labels, ins, outs, reduction=reduction)  # noqa: E731
    same(theirs, ours, [logits])


def test_ctc_loss_of_targets_that_do_not_fit() -> None:
    torch = pytest.importorskip("torch")
    logits = np.random.default_rng(0).normal(size=(2, 2, 3))
    for zero in (False, True):
        x = pg.asarray(logits, requires_grad=True)
        got = nn.CTCLoss(0, "none", zero)(pg.log_softmax(x, axis=2), [[1, 1], [2, 1]], [2, 2], [2, 2])
        want = torch.nn.CTCLoss(0, "none", zero)(
            torch.tensor(logits).log_softmax(2),
            torch.tensor([[1, 1], [2, 1]]),
            torch.tensor([2, 2]),
            torch.tensor([2, 2]),
        )
        np.testing.assert_allclose(got.detach().numpy(), want.numpy(), rtol=1e-12)
    pg.sum(got).backward()
    assert np.all(np.isfinite(x.grad.numpy()))
    assert not np.any(x.grad.numpy()[:, 0])
    with pytest.raises(pg.errors.ShapeError, match="ctc_loss: input lengths"):
        F.ctc_loss(x, [[1], [1]], [3, 2], [1, 1])
    with pytest.raises(ValueError, match="blank must be one of the classes 0 to 2"):
        F.ctc_loss(x, [[1], [1]], [2, 2], [1, 1], blank=3)
    single = F.ctc_loss(pg.log_softmax(x[:, 0, :], axis=1), [2], 2, 1, reduction="none")
    assert single.shape == ()


LAYERS = [
    (nn.CrossEntropyLoss, {"weight": WEIGHT, "label_smoothing": 0.1, "ignore_index": 1}, (A, CLASSES)),
    (nn.NLLLoss, {"weight": WEIGHT}, (A, CLASSES)), (nn.MSELoss, {}, (A, B)), (nn.L1Loss, {}, (A, B)),
    (nn.SmoothL1Loss, {"beta": 0.4}, (A, B)), (nn.HuberLoss, {"delta": 0.4}, (A, B)),
    (nn.BCELoss, {"weight": WEIGHT}, (P, Q)), (nn.BCEWithLogitsLoss, {"pos_weight": WEIGHT}, (A, Q)),
    (nn.KLDivLoss, {"reduction": "batchmean", "log_target": True}, (A, B)),
    (nn.CosineEmbeddingLoss, {"margin": 0.2}, (A, B, SIGN[:, 0])),
    (nn.TripletMarginLoss, {"margin": 1.5, "swap": True}, (A, B, C)),
    (nn.TripletMarginWithDistanceLoss, {"margin": 1.5}, (A, B, C)),
    (nn.HingeEmbeddingLoss, {"margin": 0.5}, (P, SIGN)), (nn.MarginRankingLoss, {"margin": 0.5}, (A, B, SIGN)),
    (nn.MultiMarginLoss, {"p": 2, "weight": WEIGHT}, (A, CLASSES)), (nn.SoftMarginLoss, {}, (A, SIGN.astype(np.int64))),
    (nn.MultiLabelSoftMarginLoss, {"weight": WEIGHT}, (A, Q)), (nn.GaussianNLLLoss, {"full": True}, (A, B, Q)),
    (nn.PoissonNLLLoss, {"log_input": False, "eps": 0.1}, (P, COUNTS)),
]  # fmt: skip


@pytest.mark.parametrize(("layer", "options", "args"), LAYERS, ids=lambda v: getattr(v, "__name__", ""))
def test_loss_layer_is_torchs(layer: Any, options: dict[str, Any], args: Any) -> None:
    torch = pytest.importorskip("torch")
    wrapped = {k: torch.tensor(v) if isinstance(v, np.ndarray) else v for k, v in options.items()}
    theirs, ours = getattr(torch.nn, layer.__name__)(**wrapped), layer(**options)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    same(theirs, ours, args)


@pytest.mark.on_host("values are looked at, at once, in the host's memory only")
def test_losses_refuse_what_does_not_fit() -> None:
    x = pg.ones((2, 3))
    for name in ("l1_loss", "huber_loss", "smooth_l1_loss", "kl_div", "binary_cross_entropy", "poisson_nll_loss"):
        with pytest.raises(pg.errors.ShapeError, match=rf"{name}: input of shape \(2, 3\), but target of shape \(3,\)"):
            getattr(F, name)(x, pg.ones(3))
    with pytest.raises(IndexError, match="nll_loss: the targets range from 0 to 3"):
        F.nll_loss(x, [0, 3])
    with pytest.raises(IndexError, match="multi_margin_loss: the targets range from -2 to 0"):
        F.multi_margin_loss(x, [0, -2])
    with pytest.raises(pg.errors.ShapeError, match=r"cross_entropy: weight of shape \(2,\)"):
        F.cross_entropy(x, [0, 1], weight=[1.0, 1.0])
    with pytest.raises(ValueError, match="label_smoothing must be 0 to 1"):
        F.cross_entropy(x, [0, 1], label_smoothing=1.5)
    with pytest.raises(ValueError, match="delta must be positive"):
        F.huber_loss(x, x, delta=0.0)
    with pytest.raises(ValueError, match="beta must not be negative"):
        F.smooth_l1_loss(x, x, beta=-1.0)
    with pytest.raises(ValueError, match="p must be 1 or 2"):
        F.multi_margin_loss(x, [0, 1], p=3)
    with pytest.raises(pg.errors.ShapeError, match="gaussian_nll_loss: var of shape"):
        F.gaussian_nll_loss(x, x, pg.ones((3, 2)))
    with pytest.raises(pg.errors.ShapeError, match="cosine_embedding_loss"):
        F.cosine_embedding_loss(x, x, [1])
    with pytest.raises(ValueError, match="margin must be positive"):
        F.triplet_margin_loss(x, x, x, margin=0.0)
    with pytest.raises(ValueError, match="KLDivLoss: reduction must be"):
        nn.KLDivLoss("avg")
