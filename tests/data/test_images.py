"""Folders of images, and changing images: Pillow's and Tensors alike."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import polygrad as pg
from polygrad import data
from polygrad.data import transforms

Image = pytest.importorskip("PIL.Image")


def picture(height: int = 6, width: int = 8, mode: str = "RGB", seed: int = 0) -> Any:
    bands = len(Image.new(mode, (1, 1)).getbands())
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, bands), dtype=np.uint8)
    return Image.fromarray(pixels if bands > 1 else pixels[..., 0])


def pixels(image: Any) -> np.ndarray:
    """Channels first, 0 to 255."""
    if isinstance(image, pg.Tensor):
        return image.numpy() if image.dtype == pg.uint8 else image.numpy() * 255
    return transforms.ToTensor()(image).numpy() * 255


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("dog/2.png", "dog/1.PNG", "cat/deep/x.jpg", "cat/notes.txt"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".txt":
            path.write_text("no image")
        else:
            picture().save(path, format="JPEG" if path.suffix == ".jpg" else "PNG")
    return tmp_path


def test_image_folder_finds_classes_and_files_in_order(root: Path) -> None:
    images = data.ImageFolder(root, transform=transforms.ToTensor(), target_transform=lambda k: -k)
    assert images.classes == ["cat", "dog"]
    assert images.class_to_idx == {"cat": 0, "dog": 1}
    assert [os.path.relpath(path, root) for path, _ in images.imgs] == ["cat/deep/x.jpg", "dog/1.PNG", "dog/2.png"]
    assert images.targets == [0, 1, 1]
    x, target = images[1]
    assert (x.shape, x.dtype, target) == ((3, 6, 8), pg.float32, -1)
    np.testing.assert_array_equal(pixels(x), pixels(picture()))
    batch = next(iter(data.DataLoader(images, batch_size=3)))
    assert batch[0].shape == (3, 3, 6, 8)


def test_a_damaged_image_is_named(root: Path) -> None:
    whole = (root / "dog/2.png").read_bytes()
    (root / "dog/2.png").write_bytes(whole[: len(whole) // 2])
    images = data.ImageFolder(root)
    assert images[0][0].size == (8, 6)
    with pytest.raises(ValueError, match=r"dog/2\.png is no image that can be read"):
        images[2]
    (root / "dog/1.PNG").write_bytes(b"")
    loader = data.DataLoader(images, batch_size=3, num_workers=1, worker_type="thread")
    with pytest.raises(ValueError, match=r"dog/1\.PNG is no image"):
        next(iter(loader))
    (root / "dog/1.PNG").unlink()
    with pytest.raises(FileNotFoundError):
        images[1]


def test_folders_without_samples_are_named(root: Path, tmp_path: Path) -> None:
    (root / "emu").mkdir()
    with pytest.raises(FileNotFoundError, match=r"no samples \(files that end in .jpg.*emu"):
        data.ImageFolder(root)
    assert data.ImageFolder(root, allow_empty=True).classes == ["cat", "dog", "emu"]
    with pytest.raises(FileNotFoundError, match="has no folder"):
        data.ImageFolder(root / "emu")
    texts = data.DatasetFolder(root, str, is_valid_file=lambda path: path.endswith(".txt"), allow_empty=True)
    assert len(texts) == 1
    with pytest.raises(ValueError, match="either extensions or is_valid_file"):
        data.DatasetFolder(root, str)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA"])
def test_images_and_tensors_and_back(mode: str) -> None:
    image = picture(mode=mode)
    back = transforms.ToPILImage()(transforms.ToTensor()(image))
    assert back.mode == mode
    np.testing.assert_array_equal(np.asarray(back), np.asarray(image))


def test_to_tensor_of_arrays() -> None:
    array = np.asarray(picture())
    np.testing.assert_array_equal(transforms.ToTensor()(array).numpy() * 255, pixels(picture()))
    assert transforms.ToTensor()(np.ones((2, 3))).dtype == pg.float64
    assert transforms.ToTensor()(np.ones((2, 3), dtype=bool)).tolist() == [[[1.0] * 3] * 2]
    assert transforms.ToPILImage()(pg.asarray([[2.0, -1.0]])).getpixel((0, 0)) == 255
    with pytest.raises(pg.errors.ShapeError, match="ToTensor"):
        transforms.ToTensor()(np.ones(3))
    with pytest.raises(pg.errors.ShapeError, match="1 to 4 channels"):
        transforms.ToPILImage()(pg.ones((5, 2, 2)))
    with pytest.raises(pg.errors.DTypeError, match="int64"):
        transforms.ToPILImage()(pg.asarray([[1]]))


SAME: dict[str, tuple[Any, float]] = {
    "crop": (transforms.CenterCrop(4), 0),
    "crop-odd": (transforms.CenterCrop((3, 5)), 0),
    "crop-larger": (transforms.CenterCrop((9, 5)), 0),
    "grey": (transforms.Grayscale(), 1),
    "grey-3": (transforms.Grayscale(3), 1),
    "smaller": (transforms.Resize((3, 5)), 1),
    "larger": (transforms.Resize((11, 13)), 1),
    "shorter-side": (transforms.Resize(4), 1),
    "left-right": (transforms.RandomHorizontalFlip(1.0), 0),
    "top-bottom": (transforms.RandomVerticalFlip(1.0), 0),
    "random-crop": (transforms.RandomCrop(4), 0),
    "random-crop-padded": (transforms.RandomCrop((7, 7), padding=(1, 2), fill=9), 0),
    "random-crop-needed": (transforms.RandomCrop(9, pad_if_needed=True), 0),
    "mask": (transforms.RandomMask((3, 4), value=7, p=1.0), 0),
}


@pytest.mark.parametrize("name", SAME)
def test_images_and_tensors_become_the_same(name: str) -> None:
    transform, tolerance = SAME[name]
    image = picture()
    tensor = pg.permute_dims(pg.asarray(np.asarray(image)), (2, 0, 1))
    with pg.random.use(pg.random.Generator(3)):
        a = transform(image)
    with pg.random.use(pg.random.Generator(3)):
        b = transform(tensor)
    assert b.dtype == pg.uint8
    np.testing.assert_allclose(pixels(a), pixels(b).astype(float), atol=tolerance + 1e-4)


def test_transforms_of_tensors_keep_gradients_and_devices(device: pg.Device) -> None:
    x = pg.asarray(np.random.default_rng(0).normal(size=(3, 6, 8)), device=device, requires_grad=True)
    steps = [
        transforms.Resize(5),
        transforms.RandomCrop(4),
        transforms.RandomHorizontalFlip(1.0),
        transforms.RandomMask(1, p=1.0),
        transforms.Grayscale(3),
        transforms.Normalize([0.1, 0.2, 0.3], [1.0, 2.0, 3.0]),
    ]
    y = transforms.Compose(steps)(x)
    assert (y.shape, y.device, y.dtype) == ((3, 4, 4), device, pg.float64)
    pg.sum(y).backward()
    assert float(pg.max(pg.abs(x.grad))) > 0


def test_random_transforms_are_random() -> None:
    x = pg.reshape(pg.arange(64.0), (1, 8, 8))
    for transform in (
        transforms.RandomHorizontalFlip(),
        transforms.RandomVerticalFlip(),
        transforms.RandomCrop(5),
        transforms.RandomMask(3),
    ):
        assert len({str(transform(x).tolist()) for _ in range(40)}) > 1, transform


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda x: transforms.Resize(0), ValueError, "Resize: a size must be positive"),
        (lambda x: transforms.Grayscale(2), ValueError, "1 or 3, got 2"),
        (lambda x: transforms.Grayscale()(pg.ones((2, 3, 3))), pg.errors.ShapeError, r"got \(2, 3, 3\)"),
        (lambda x: transforms.Normalize([0.0], [0.0]), ValueError, "a std other than 0"),
        (lambda x: transforms.Normalize([0.0], [1.0])(x), pg.errors.ShapeError, r"1 channels, .* shape \(3, 6, 8\)"),
        (lambda x: transforms.Normalize([0.0], [1.0])(picture()), TypeError, "put ToTensor before it"),
        (lambda x: transforms.RandomCrop(7)(x), pg.errors.ShapeError, "6 x 8 has no part of 7 x 7; give padding"),
        (lambda x: transforms.RandomHorizontalFlip(2.0), ValueError, "p is a probability, 0 to 1, got 2"),
        (lambda x: transforms.CenterCrop(2)("cat"), TypeError, "a Pillow image or a Tensor, not str"),
        (lambda x: transforms.CenterCrop(2)(pg.ones(3)), pg.errors.ShapeError, r"got shape \(3,\)"),
    ],
)
def test_refusals(make: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        make(pg.ones((3, 6, 8)))


def test_a_transform_reads_well() -> None:
    made = transforms.Compose([transforms.CenterCrop(2), transforms.RandomCrop(1)])
    assert repr(made) == (
        "Compose(transforms=[CenterCrop(size=(2, 2)), "
        "RandomCrop(size=(1, 1), padding=None, pad_if_needed=False, fill=0)])"
    )
