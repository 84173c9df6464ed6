"""Changing images: Pillow's, or Tensors of shape (..., channels, height, width).

The random ones draw from polygrad's current generator, which within a :class:`~polygrad.data.DataLoader` is the batch's
own: the same seed gives the same images with any number of workers.

>>> import polygrad as pg
>>> from polygrad.data import transforms
>>> from PIL import Image
>>> prepare = transforms.Compose([transforms.CenterCrop(4), transforms.ToTensor(), transforms.Normalize([0.5], [0.5])])
>>> prepare(Image.new("L", (6, 8), 255)).shape
(1, 4, 4)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import polygrad as pg

__all__ = [
    "CenterCrop",
    "Compose",
    "Grayscale",
    "Normalize",
    "RandomCrop",
    "RandomHorizontalFlip",
    "RandomMask",
    "RandomVerticalFlip",
    "Resize",
    "ToPILImage",
    "ToTensor",
]

Size = int | Sequence[int]


class _Transform:
    """What transforms share: how they read."""

    def __repr__(self) -> str:
        settings = ", ".join(f"{k}={v!r}" for k, v in self.__dict__.items())
        return f"{type(self).__qualname__}({settings})"


def _pair(name: str, size: Size) -> tuple[int, int]:
    height, width = (size, size) if isinstance(size, int) else (tuple(size) * 2)[:2]
    if height < 1 or width < 1:
        raise ValueError(f"{name}: a size must be positive, got {size}")
    return height, width


def _extent(name: str, image: Any) -> tuple[int, int]:
    """Height and width."""
    if isinstance(image, pg.Tensor):
        if image.ndim < 2:
            raise pg.errors.ShapeError(f"{name}: an image is (..., channels, height, width), got shape {image.shape}")
        return image.shape[-2], image.shape[-1]
    if not hasattr(image, "getbands"):
        raise TypeError(f"{name}: takes a Pillow image or a Tensor, not {type(image).__qualname__}")
    width, height = image.size
    return height, width


def _cropped(image: Any, top: int, left: int, height: int, width: int) -> Any:
    if isinstance(image, pg.Tensor):
        return image[..., top : top + height, left : left + width]
    return image.crop((left, top, left + width, top + height))


def _padded(image: Any, left: int, top: int, right: int, bottom: int, fill: float) -> Any:
    if isinstance(image, pg.Tensor):
        widths = [(0, 0)] * (image.ndim - 2) + [(top, bottom), (left, right)]
        return pg.pad(image, widths, constant_values=fill)
    from PIL import ImageOps

    colour = (int(fill),) * len(image.getbands())  # one number alone would be the first band's
    return ImageOps.expand(image, (left, top, right, bottom), colour if len(colour) > 1 else colour[0])


class Compose(_Transform):
    """One transform after the other.

    >>> import polygrad as pg
    >>> pg.data.transforms.Compose([abs, float])(-3)
    3.0
    """

    def __init__(self, transforms: Sequence[Callable[[Any], Any]]) -> None:
        self.transforms = list(transforms)

    def __call__(self, image: Any) -> Any:
        for transform in self.transforms:
            image = transform(image)
        return image


class ToTensor(_Transform):
    """A Pillow image, or an array of shape (height, width, channels) or (height, width), as a Tensor of shape
    (channels, height, width) on the host. Bytes become float32 in 0 to 1; other numbers keep their dtype.

    >>> import polygrad as pg
    >>> from PIL import Image
    >>> pg.data.transforms.ToTensor()(Image.new("RGB", (2, 1), (255, 0, 51)))[:, 0, 0]
    tensor([1. , 0. , 0.2], dtype=float32)
    """

    def __call__(self, image: Any) -> pg.Tensor:
        x = image if isinstance(image, pg.Tensor) else pg.asarray(image, device="cpu")
        if x.ndim not in (2, 3):
            raise pg.errors.ShapeError(f"ToTensor: takes (height, width) or (height, width, channels), got {x.shape}")
        x = pg.expand_dims(x, axis=0) if x.ndim == 2 else pg.permute_dims(x, (2, 0, 1))
        if x.dtype == pg.bool:
            return pg.astype(x, pg.float32)
        return pg.astype(x, pg.float32) / 255 if x.dtype == pg.uint8 else pg.asarray(x, copy=True)


class ToPILImage(_Transform):
    """A Tensor of shape (channels, height, width) or (height, width) as a Pillow image. Floating numbers are taken to
    be in 0 to 1 (and are cut off there), uint8 as they are; 1, 2, 3 or 4 channels are L, LA, RGB or RGBA.

    >>> import polygrad as pg
    >>> pg.data.transforms.ToPILImage()(pg.ones((3, 4, 5))).size
    (5, 4)
    """

    def __call__(self, image: Any) -> Any:
        from PIL import Image

        x = pg.asarray(image).detach().to_device("cpu")
        if x.ndim == 2:
            x = pg.expand_dims(x, axis=0)
        if x.ndim != 3 or x.shape[0] not in (1, 2, 3, 4):
            raise pg.errors.ShapeError(
                f"ToPILImage: takes (height, width) or (1 to 4 channels, height, width), got {x.shape}"
            )
        if x.dtype.inexact:
            x = pg.astype(pg.round(pg.clip(x, 0, 1) * 255), pg.uint8)
        elif x.dtype != pg.uint8:
            raise pg.errors.DTypeError(f"ToPILImage: takes floating numbers in 0 to 1 or uint8, not {x.dtype}")
        mode = ("L", "LA", "RGB", "RGBA")[x.shape[0] - 1]
        pixels = pg.asarray(pg.permute_dims(x, (1, 2, 0)), copy=True)
        return Image.frombytes(mode, (x.shape[2], x.shape[1]), pixels.numpy().tobytes())


class Resize(_Transform):
    """An image in another size, with bilinear interpolation over all pixels that a new one covers (antialiased).

    Args:
        size: (height, width); or one number for the shorter side, the other in proportion.

    >>> import polygrad as pg
    >>> from PIL import Image
    >>> pg.data.transforms.Resize(4)(Image.new("L", (8, 16))).size
    (4, 8)
    """

    def __init__(self, size: Size) -> None:
        self.size = size if isinstance(size, int) else _pair("Resize", size)
        _pair("Resize", size)

    def __call__(self, image: Any) -> Any:
        height, width = _extent("Resize", image)
        if isinstance(self.size, int):
            short = min(height, width)
            new = (int(self.size * height / short), int(self.size * width / short))
        else:
            new = self.size
        if isinstance(image, pg.Tensor):
            x = image if image.dtype.inexact else pg.astype(image, pg.float32)
            for axis, n in ((-2, new[0]), (-1, new[1])):
                x = _resampled(x, axis, n)
            return x if image.dtype.inexact else pg.astype(pg.round(x), image.dtype)
        from PIL import Image

        return image.resize((new[1], new[0]), Image.Resampling.BILINEAR)


def _resampled(x: pg.Tensor, axis: int, n: int) -> pg.Tensor:
    """One axis in another length, as Pillow does it: each new pixel is the mean of the old ones under a triangle as wide
    as both kinds of pixels need."""
    old = x.shape[axis]
    if n == old:
        return x
    scale = old / n
    support = max(scale, 1.0)
    centres = (pg.arange(n, dtype="float64", device=x.device) + 0.5) * scale
    distances = pg.arange(old, dtype="float64", device=x.device) + 0.5 - pg.expand_dims(centres, axis=1)
    weights = pg.clip(1 - pg.abs(distances) / support, 0, None)
    weights = pg.astype(weights / pg.sum(weights, axis=1, keepdims=True), x.dtype)
    return pg.moveaxis(pg.tensordot(weights, x, axes=((1,), (axis % x.ndim,))), 0, axis % x.ndim)


class Grayscale(_Transform):
    """An image in shades of grey: 0.299 red + 0.587 green + 0.114 blue (ITU-R 601-2).

    Args:
        num_output_channels: 1, or 3 equal ones.

    >>> import polygrad as pg
    >>> pg.data.transforms.Grayscale()(pg.ones((3, 2, 2))).shape
    (1, 2, 2)
    """

    def __init__(self, num_output_channels: int = 1) -> None:
        if num_output_channels not in (1, 3):
            raise ValueError(f"Grayscale: num_output_channels must be 1 or 3, got {num_output_channels}")
        self.num_output_channels = num_output_channels

    def __call__(self, image: Any) -> Any:
        _extent("Grayscale", image)
        if not isinstance(image, pg.Tensor):
            grey = image.convert("L")
            return grey if self.num_output_channels == 1 else grey.convert("RGB")
        if image.ndim < 3 or image.shape[-3] not in (1, 3):
            raise pg.errors.ShapeError(f"Grayscale: takes (..., 1 or 3 channels, height, width), got {image.shape}")
        if image.shape[-3] == 3:
            x = image if image.dtype.inexact else pg.astype(image, pg.float32)
            grey = 0.299 * x[..., 0:1, :, :] + 0.587 * x[..., 1:2, :, :] + 0.114 * x[..., 2:3, :, :]
            image = grey if image.dtype.inexact else pg.astype(pg.round(grey), image.dtype)
        return image if self.num_output_channels == 1 else pg.concat([image] * 3, axis=-3)


class Normalize(_Transform):
    """``(image - mean) / std``, channel by channel.

    Args:
        mean, std: one for each channel.

    Raises:
        ValueError: if a ``std`` is zero, or their numbers differ.

    >>> import polygrad as pg
    >>> pg.data.transforms.Normalize([0.5], [0.25])(pg.ones((1, 1, 1)))
    tensor([[[2.]]], dtype=float64)
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        self.mean, self.std = list(mean), list(std)
        if len(self.mean) != len(self.std) or 0 in self.std:
            raise ValueError(f"Normalize: needs a mean and a std other than 0 for each channel, got {mean} and {std}")

    def __call__(self, image: Any) -> pg.Tensor:
        if not isinstance(image, pg.Tensor) or not image.dtype.inexact:
            kind = f"a Tensor of {image.dtype}" if isinstance(image, pg.Tensor) else type(image).__qualname__
            raise TypeError(f"Normalize: takes a floating Tensor, not {kind}; put ToTensor before it")
        if image.ndim < 3 or image.shape[-3] != len(self.mean):
            raise pg.errors.ShapeError(
                f"Normalize: has numbers for {len(self.mean)} channels, but the image is of shape {image.shape}"
            )
        shape = (len(self.mean), 1, 1)
        rows = (pg.asarray(v, dtype=image.dtype, device=image.device) for v in (self.mean, self.std))
        mean, std = (pg.reshape(row, shape) for row in rows)
        return (image - mean) / std


class _Sometimes(_Transform):
    def __init__(self, p: float = 0.5) -> None:
        if not 0 <= p <= 1:
            raise ValueError(f"{type(self).__qualname__}: p is a probability, 0 to 1, got {p}")
        self.p = p

    def _now(self) -> bool:
        return bool(pg.random.bernoulli((), self.p, device="cpu"))


class RandomHorizontalFlip(_Sometimes):
    """Left and right exchanged, with probability ``p``.

    >>> import polygrad as pg
    >>> pg.data.transforms.RandomHorizontalFlip(p=1.0)(pg.asarray([[1, 2, 3]]))
    tensor([[3, 2, 1]], dtype=int64)
    """

    def __call__(self, image: Any) -> Any:
        _extent("RandomHorizontalFlip", image)
        if not self._now():
            return image
        if isinstance(image, pg.Tensor):
            return pg.flip(image, axis=-1)
        from PIL import Image

        return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)


class RandomVerticalFlip(_Sometimes):
    """Top and bottom exchanged, with probability ``p``.

    >>> import polygrad as pg
    >>> pg.data.transforms.RandomVerticalFlip(p=1.0)(pg.asarray([[1], [2]]))
    tensor([[2],
            [1]], dtype=int64)
    """

    def __call__(self, image: Any) -> Any:
        _extent("RandomVerticalFlip", image)
        if not self._now():
            return image
        if isinstance(image, pg.Tensor):
            return pg.flip(image, axis=-2)
        from PIL import Image

        return image.transpose(Image.Transpose.FLIP_TOP_BOTTOM)


class CenterCrop(_Transform):
    """The middle of an image; one that is smaller gets zeros around it.

    Args:
        size: (height, width), or one number for both.

    >>> import polygrad as pg
    >>> pg.data.transforms.CenterCrop(1)(pg.asarray([[1, 2, 3]]))
    tensor([[2]], dtype=int64)
    """

    def __init__(self, size: Size) -> None:
        self.size = _pair("CenterCrop", size)

    def __call__(self, image: Any) -> Any:
        (height, width), (new_height, new_width) = _extent("CenterCrop", image), self.size
        more = max(new_height - height, 0), max(new_width - width, 0)
        if any(more):
            image = _padded(image, more[1] // 2, more[0] // 2, (more[1] + 1) // 2, (more[0] + 1) // 2, 0)
            height, width = _extent("CenterCrop", image)
        top, left = round((height - new_height) / 2), round((width - new_width) / 2)
        return _cropped(image, top, left, new_height, new_width)


class RandomCrop(_Transform):
    """A part of an image at a random place.

    Args:
        size: (height, width), or one number for both.
        padding: put around the image before: on all sides, or (left and right, top and bottom), or (left, top, right,
            bottom).
        pad_if_needed: pad an image that is too small, rather than refuse it.
        fill: the padding's value.

    Raises:
        ShapeError: if an image is smaller than the part.

    >>> import polygrad as pg
    >>> pg.data.transforms.RandomCrop(2)(pg.zeros((3, 5, 5))).shape
    (3, 2, 2)
    """

    def __init__(
        self, size: Size, padding: int | Sequence[int] | None = None, pad_if_needed: bool = False, fill: float = 0
    ) -> None:
        self.size = _pair("RandomCrop", size)
        self.padding, self.pad_if_needed, self.fill = padding, pad_if_needed, fill

    def __call__(self, image: Any) -> Any:
        if self.padding is not None:
            sides = (self.padding,) if isinstance(self.padding, int) else tuple(self.padding)
            left, top, right, bottom = sides * (4 // len(sides))
            image = _padded(image, left, top, right, bottom, self.fill)
        (height, width), (new_height, new_width) = _extent("RandomCrop", image), self.size
        if self.pad_if_needed and (height < new_height or width < new_width):
            more = max(new_width - width, 0), max(new_height - height, 0)
            image = _padded(image, *more, *more, self.fill)
            height, width = _extent("RandomCrop", image)
        if height < new_height or width < new_width:
            raise pg.errors.ShapeError(
                f"RandomCrop: an image of {height} x {width} has no part of {new_height} x {new_width}; give padding, or "
                "pad_if_needed=True"
            )
        top = int(pg.random.integers((), 0, height - new_height + 1, device="cpu"))
        left = int(pg.random.integers((), 0, width - new_width + 1, device="cpu"))
        return _cropped(image, top, left, new_height, new_width)


class RandomMask(_Sometimes):
    """A random rectangle is painted over, with probability ``p`` (cutout: DeVries and Taylor, 2017).

    Args:
        size: the rectangle's (height, width), or one number for both; its middle lies anywhere in the image, and what
            lies outside is cut off.
        value: what it is painted with.
        p: the probability.

    >>> import polygrad as pg
    >>> masked = pg.data.transforms.RandomMask(2, p=1.0)(pg.ones((1, 6, 6)))
    >>> 32 <= pg.sum(masked).item() <= 35
    True
    """

    def __init__(self, size: Size, value: float = 0.0, p: float = 0.5) -> None:
        super().__init__(p)
        self.size, self.value = _pair("RandomMask", size), value

    def __call__(self, image: Any) -> Any:
        height, width = _extent("RandomMask", image)
        if not self._now():
            return image
        bounds = []
        for n, size in zip((height, width), self.size, strict=True):
            first = int(pg.random.integers((), 0, n, device="cpu")) - size // 2
            bounds.append((max(first, 0), min(first + size, n)))
        (top, bottom), (left, right) = bounds
        if isinstance(image, pg.Tensor):
            rows, columns = (pg.arange(n, device=image.device) for n in (height, width))
            inside = pg.expand_dims((rows >= top) & (rows < bottom), axis=1) & (columns >= left) & (columns < right)
            return pg.where(inside, pg.asarray(self.value, dtype=image.dtype, device=image.device), image)
        made = image.copy()
        made.paste(tuple([int(self.value)] * len(image.getbands())), (left, top, right, bottom))
        return made
