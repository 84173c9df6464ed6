"""Datasets of files, one folder for each class."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any

from .dataset import Dataset

__all__ = ["IMG_EXTENSIONS", "DatasetFolder", "ImageFolder", "pil_loader"]

IMG_EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
"""The endings of files that :class:`ImageFolder` takes for images."""


def pil_loader(path: str) -> Any:
    """An image file as a Pillow image in RGB, read whole.

    Raises:
        ValueError: naming the path, if the file is no image or is damaged.
        ModuleNotFoundError: if Pillow is not installed.
    """
    try:
        from PIL import Image
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("reading images needs Pillow: python -m pip install pillow") from error
    try:
        with open(path, "rb") as file:
            return Image.open(file).convert("RGB")
    except FileNotFoundError:
        raise
    except Exception as error:  # what Pillow raises of damaged files is of many kinds
        raise ValueError(f"{path} is no image that can be read ({type(error).__name__}: {error})") from error


class DatasetFolder(Dataset):
    """Files in folders named for their classes: ``root/cat/1.png``, ``root/cat/more/2.png``, ``root/dog/1.png``.

    Args:
        root: the folder of folders.
        loader: makes a sample of a path.
        extensions: which files are samples, by their endings in lower case.
        transform: called with each sample.
        target_transform: called with each class's number.
        is_valid_file: says of a path whether it is a sample, in place of ``extensions``.
        allow_empty: whether a class may be without samples.

    Attributes:
        classes: the names of the classes, sorted.
        class_to_idx: their numbers.
        samples: pairs of a path and a number, sorted by path within each class.
        targets: the numbers alone.

    Raises:
        FileNotFoundError: if there are no folders, or one has no samples; it is named.
        ValueError: if both or none of ``extensions`` and ``is_valid_file`` are given.

    >>> import os, tempfile
    >>> import polygrad as pg
    >>> with tempfile.TemporaryDirectory() as root:
    ...     for name in ["b/1.txt", "a/1.txt"]:
    ...         os.makedirs(os.path.join(root, name[0]))
    ...         with open(os.path.join(root, name), "w") as file:
    ...             _ = file.write("text of " + name)
    ...     def read(path):
    ...         with open(path) as file:
    ...             return file.read()
    ...     data = pg.data.DatasetFolder(root, read, extensions=(".txt",))
    ...     print(data.classes, data[0])
    ['a', 'b'] ('text of a/1.txt', 0)
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        loader: Callable[[str], Any],
        extensions: tuple[str, ...] | None = None,
        transform: Callable[[Any], Any] | None = None,
        target_transform: Callable[[int], Any] | None = None,
        is_valid_file: Callable[[str], bool] | None = None,
        allow_empty: bool = False,
    ) -> None:
        if (extensions is None) == (is_valid_file is None):
            raise ValueError(f"{type(self).__qualname__}: give either extensions or is_valid_file")
        self.root, self.loader, self.extensions = os.fspath(root), loader, extensions
        self.transform, self.target_transform = transform, target_transform
        self.classes = sorted(entry.name for entry in os.scandir(self.root) if entry.is_dir())
        if not self.classes:
            raise FileNotFoundError(f"{type(self).__qualname__}: {self.root} has no folder, so there are no classes")
        self.class_to_idx = {name: i for i, name in enumerate(self.classes)}
        self.samples: list[tuple[str, int]] = []
        for name, number in self.class_to_idx.items():
            valid = is_valid_file if is_valid_file is not None else self._has_extension
            found = [path for path in _files(os.path.join(self.root, name)) if valid(path)]
            if not found and not allow_empty:
                wanted = f" (files that end in {', '.join(extensions)})" if extensions else ""
                raise FileNotFoundError(
                    f"{type(self).__qualname__}: no samples{wanted} in the folder {os.path.join(self.root, name)}"
                )
            self.samples += [(path, number) for path in found]
        self.targets = [number for _, number in self.samples]

    def _has_extension(self, path: str) -> bool:
        return path.lower().endswith(self.extensions or ())

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, i: int) -> tuple[Any, Any]:
        path, target = self.samples[i]
        sample = self.loader(path)
        if self.transform is not None:
            sample = self.transform(sample)
        return sample, target if self.target_transform is None else self.target_transform(target)


class ImageFolder(DatasetFolder):
    """Images in folders named for their classes; a sample is a Pillow image in RGB (or what ``transform`` makes of it)
    and the class's number. Arguments and attributes as for :class:`DatasetFolder`.

    Raises:
        ValueError: on access, naming the file, if it is damaged.

    >>> import os, tempfile
    >>> import polygrad as pg
    >>> from PIL import Image
    >>> with tempfile.TemporaryDirectory() as root:
    ...     os.makedirs(os.path.join(root, "red"))
    ...     Image.new("RGB", (2, 3), "red").save(os.path.join(root, "red", "1.png"))
    ...     images = pg.data.ImageFolder(root, transform=pg.data.transforms.ToTensor())
    ...     image, target = images[0]
    >>> image.shape, target, image[:, 0, 0].tolist()
    ((3, 3, 2), 0, [1.0, 0.0, 0.0])
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        transform: Callable[[Any], Any] | None = None,
        target_transform: Callable[[int], Any] | None = None,
        loader: Callable[[str], Any] = pil_loader,
        is_valid_file: Callable[[str], bool] | None = None,
        allow_empty: bool = False,
    ) -> None:
        extensions = IMG_EXTENSIONS if is_valid_file is None else None
        super().__init__(root, loader, extensions, transform, target_transform, is_valid_file, allow_empty)

    @property
    def imgs(self) -> list[tuple[str, int]]:
        """The same as ``samples``."""
        return self.samples


def _files(folder: str) -> Iterable[str]:
    for place, folders, names in os.walk(folder, followlinks=True):
        folders.sort()
        yield from (os.path.join(place, name) for name in sorted(names))
