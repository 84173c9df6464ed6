"""Resizing, padding, shuffling, folding, dropout of channels: agreement with PyTorch, statistics, misuse."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from against_torch import same

import polygrad as pg
from polygrad import nn
from polygrad.nn import functional as F

_rng = np.random.default_rng(16)
SHAPES = {1: (2, 3, 5), 2: (2, 2, 5, 4), 3: (1, 2, 4, 3, 2)}
LINEAR = {1: "linear", 2: "bilinear", 3: "trilinear"}


@pytest.mark.parametrize("n", [1, 2, 3])
def test_interpolation_against_torch(n: int) -> None:
    torch = pytest.importorskip("torch")
    x = _rng.normal(size=SHAPES[n])
    options: list[dict[str, Any]] = [{"size": 7}, {"size": (3, 6, 5)[:n]}, {"scale_factor": 2}, {"scale_factor": 1.7}]
    options += [{"scale_factor": 1.7, "recompute_scale_factor": True}]
    modes: list[tuple[str, list[Any]]] = [
        ("nearest", [None]), ("nearest-exact", [None]), ("area", [None]), (LINEAR[n], [False, True]),
    ]  # fmt: skip
    if n == 2:
        modes.append(("bicubic", [False, True]))
    for (mode, aligned), option in itertools.product([(m, a) for m, own in modes for a in own], options):
        own: dict[str, Any] = {**option, "mode": mode, "align_corners": aligned}
        same(
            lambda x, own=own: torch.nn.functional.interpolate(x, **own),
            lambda x, own=own: F.interpolate(x, **own),
            [x],
        )
    same(
        lambda x: torch.nn.functional.interpolate(x, 7, mode=LINEAR[n]),
        lambda x: F.interpolate(x, 7, mode=LINEAR[n]), [x], "float32",
    )  # fmt: skip
    assert F.interpolate(pg.asarray(x), x.shape[2:]).tolist() == x.tolist()


def test_upsampling_layers_against_torch() -> None:
    torch = pytest.importorskip("torch")
    x = _rng.normal(size=SHAPES[2])
    for name, arguments in [
        ("Upsample", {"scale_factor": 2, "mode": "bilinear"}),
        ("Upsample", {"size": (3, 9)}),
        ("UpsamplingNearest2d", {"scale_factor": 3}),
        ("UpsamplingBilinear2d", {"size": (7, 3)}),
    ]:
        theirs, ours = getattr(torch.nn, name)(**arguments), getattr(nn, name)(**arguments)
        same(theirs, ours, [x])
        assert ("scale_factor" in repr(ours)) == ("scale_factor" in arguments)


PADS = {1: [1, (2, 1)], 2: [1, (2, 1, 0, 1)], 3: [1, (1, 0, 1, 1, 0, 1)]}


@pytest.mark.parametrize("n", [1, 2, 3])
def test_padding_layers_against_torch(n: int) -> None:
    torch = pytest.importorskip("torch")
    x = _rng.normal(size=SHAPES[n])
    for kind, padding in itertools.product(("Constant", "Zero", "Reflection", "Replication", "Circular"), PADS[n]):
        more = (2.5,) if kind == "Constant" else ()
        theirs, ours = (getattr(m, f"{kind}Pad{n}d")(padding, *more) for m in (torch.nn, nn))
        assert repr(ours) == repr(theirs)
        same(theirs, ours, [x])
        same(theirs, ours, [x[0]], "float32")
    negative = (-1, 2) * n
    same(lambda x: torch.nn.functional.pad(x, negative, value=3.0), lambda x: F.pad(x, negative, value=3.0), [x])
    same(torch.nn.__dict__[f"ZeroPad{n}d"](-1), getattr(nn, f"ZeroPad{n}d")(-1), [x])


def test_shuffles_and_shapes_against_torch() -> None:
    torch = pytest.importorskip("torch")
    x = _rng.normal(size=(2, 8, 4, 6))
    for name, arguments in [("PixelShuffle", (2,)), ("PixelUnshuffle", (2,)), ("ChannelShuffle", (4,)),
                            ("Unflatten", (1, (2, -1))), ("Unflatten", (-1, (3, 2)))]:  # fmt: skip
        theirs, ours = getattr(torch.nn, name)(*arguments), getattr(nn, name)(*arguments)
        same(theirs, ours, [x])
        assert repr(ours) == repr(theirs)
    same(torch.nn.PixelShuffle(2), nn.PixelShuffle(2), [x[0]])
    same(torch.nn.PixelUnshuffle(2), nn.PixelUnshuffle(2), [x[0]])


@pytest.mark.filterwarnings("ignore:Using backward")
@pytest.mark.parametrize("setting", [((2, 3), 1, 0, 1), (3, 1, 1, 2), ((2, 2), (2, 1), (1, 0), (1, 2))])
def test_folding_against_torch(setting: tuple[Any, ...]) -> None:
    torch = pytest.importorskip("torch")
    x = _rng.normal(size=(2, 3, 5, 6))
    size, dilation, padding, stride = setting
    options: dict[str, Any] = {"dilation": dilation, "padding": padding, "stride": stride}
    theirs, ours = torch.nn.Unfold(size, **options), nn.Unfold(size, **options)
    assert repr(ours) == repr(theirs)
    same(theirs, ours, [x])
    same(lambda x: theirs(x) ** 3, lambda x: ours(x) ** 3, [x], second=True)
    same(theirs, ours, [x[0]], "float32")
    columns = _rng.normal(size=tuple(theirs(torch.tensor(x)).shape))
    back, own = torch.nn.Fold((5, 6), size, **options), nn.Fold((5, 6), size, **options)
    assert repr(own) == repr(back)
    same(back, own, [columns])
    same(back, own, [columns[0]], "float32")


def test_local_response_norm_against_torch() -> None:
    torch = pytest.importorskip("torch")
    for shape, size in itertools.product([(2, 5, 3), (2, 4, 3, 2), (1, 4, 2, 2, 3)], (1, 2, 3, 6)):
        x = _rng.normal(size=shape)
        theirs, ours = torch.nn.LocalResponseNorm(size, 0.3, 0.6, 1.5), nn.LocalResponseNorm(size, 0.3, 0.6, 1.5)
        assert repr(ours) == repr(theirs)
        same(theirs, ours, [x])
    same(torch.nn.LocalResponseNorm(2), nn.LocalResponseNorm(2), [x], "float32")


@pytest.mark.parametrize("n", [1, 2, 3])
def test_channels_drop_as_a_whole(n: int) -> None:
    layer = getattr(nn, f"Dropout{n}d")(0.3, pg.random.Generator(3))
    x = pg.ones((40, 50, *(2, 3, 2)[:n]), dtype="float32")
    out = layer(x).numpy().reshape(40 * 50, -1)
    assert (out == out[:, :1]).all()
    kept = out[:, 0] != 0
    np.testing.assert_allclose(out[kept], 1 / 0.7, rtol=1e-6)
    assert abs(kept.mean() - 0.7) < 4 * math.sqrt(0.21 / 2000)
    alone = layer(x[0])
    assert alone.shape == x.shape[1:]
    assert layer.eval()(x) is x
    with pytest.raises(pg.errors.ShapeError, match=rf"dropout{n}d: input of shape \(3,\)"):
        layer(pg.ones(3))


def test_alpha_dropout_keeps_mean_and_variance() -> None:
    x = pg.random.normal((300, 200), generator=pg.random.Generator(1))
    for layer in (
        nn.AlphaDropout(0.3, generator=pg.random.Generator(2)),
        nn.FeatureAlphaDropout(0.3, generator=pg.random.Generator(2)),
    ):
        y = layer(x).numpy()
        assert abs(y.mean()) < 0.03
        assert abs(y.std() - 1) < 0.03
        assert layer.eval()(x) is x
    lost = -1.7580993408473766
    a = 1 / math.sqrt(0.7 * (1 + 0.3 * lost**2))
    values = np.unique(F.alpha_dropout(pg.zeros(100), 0.3, True, pg.random.Generator(0)).numpy().round(12))
    np.testing.assert_allclose(sorted(values), sorted([a * lost * 0.7, -a * lost * 0.3]), rtol=1e-10)
    assert F.alpha_dropout(pg.ones(3), 1.0, True).tolist() == [0.0, 0.0, 0.0]
    whole = F.feature_alpha_dropout(pg.zeros((30, 10, 4)), 0.5, True, pg.random.Generator(0)).numpy()
    assert (whole == whole[..., :1]).all()


def test_resizing_and_padding_on_every_backend(device: pg.Device) -> None:
    x = _rng.normal(size=(1, 2, 3, 4))

    def run(where: Any) -> list[Any]:
        a = pg.asarray(pg.asarray(x), device=where, copy=True, requires_grad=True)
        outs = [F.interpolate(a, (5, 3), mode="bilinear"), F.pad(a, (1, -1, 1, 0)), F.unfold(a, 2)]
        total = sum((pg.sum(out * out) for out in outs), start=pg.asarray(0.0, device=where))
        total.backward()
        return [v.detach().to_device("cpu").numpy() for v in (*outs, a.grad)]

    for got, want in zip(run(device), run("cpu"), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-12)


def test_wrong_use_is_told() -> None:
    errors, x = pg.errors, pg.ones((1, 4, 3, 3))
    for call, error, words in [
        (lambda: F.interpolate(x), ValueError, "either size or scale_factor"),
        (lambda: F.interpolate(x, 3, 2.0), ValueError, "either size or scale_factor"),
        (lambda: F.interpolate(x, 3, mode="spline"), ValueError, "mode 'spline' is none of"),
        (lambda: F.interpolate(x, 3, mode="linear"), errors.ShapeError, "mode 'linear' is not for input of shape"),
        (lambda: F.interpolate(x, 3, align_corners=True), ValueError, "align_corners is for linear"),
        (lambda: F.interpolate(x, scale_factor=0.1), errors.ShapeError, "leave nothing"),
        (lambda: F.interpolate(x, scale_factor=(1.0, -1.0)), ValueError, "scale_factor must be positive"),
        (lambda: F.interpolate(pg.ones((1, 1, 3), dtype="int64"), 2), errors.DTypeError, "needs a floating dtype"),
        (lambda: F.pad(x, (1, 1), "mirror"), ValueError, "mode 'mirror' is none of"),
        (lambda: F.pad(x, (1,)), ValueError, "pairs of whole numbers"),
        (lambda: F.pad(x, (1,) * 10), errors.ShapeError, "5 pairs"),
        (lambda: F.pad(x, (1, 1), "reflect", 2.0), ValueError, "a value is for mode='constant'"),
        (lambda: F.pad(x, (-1, 1), "reflect"), ValueError, "cannot take elements away"),
        (lambda: F.pad(x, (-2, -2)), errors.ShapeError, "takes more away"),
        (lambda: nn.ReflectionPad2d(1)(pg.ones(3)), errors.ShapeError, r"ReflectionPad2d: x of shape \(3,\)"),
        (lambda: nn.ReflectionPad2d(-1), ValueError, "padding must be a whole number of at least 0"),
        (lambda: nn.PixelShuffle(3)(x), errors.ShapeError, "pixel_shuffle: input of shape"),
        (lambda: nn.PixelUnshuffle(2)(x), errors.ShapeError, "pixel_unshuffle: input of shape"),
        (lambda: nn.ChannelShuffle(3)(x), errors.ShapeError, "channel_shuffle: input of shape"),
        (lambda: nn.Unflatten(1, (3, -1))(x), errors.ShapeError, r"axis 1 of shape .* cannot become \(3, -1\)"),
        (lambda: nn.Unflatten(5, (3, -1))(x), errors.ShapeError, "axis 5 of shape"),
        (lambda: F.fold(pg.ones((1, 4, 5)), (3, 3), 2), errors.ShapeError, "fold: input of shape"),
        (lambda: F.local_response_norm(pg.ones((2, 3)), 2), errors.ShapeError, "local_response_norm: input must be"),
        (lambda: F.local_response_norm(x, 0), ValueError, "size must be a whole number"),
        (lambda: nn.Dropout2d(1.5), ValueError, "Dropout2d: p is a probability"),
        (lambda: F.alpha_dropout(x, -1.0), ValueError, "alpha_dropout: p is a probability"),
        (
            lambda: F.feature_alpha_dropout(pg.ones(3), 0.5, True),
            errors.ShapeError,
            "feature_alpha_dropout: input must be",
        ),
        (lambda: F.dropout(pg.ones(3, dtype="int64")), errors.DTypeError, "dropout: needs a floating dtype"),
    ]:
        with pytest.raises(error, match=words):
            call()
