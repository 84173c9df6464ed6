"""Data: sets of samples, the orders they are taken in, and batches of them.

>>> import polygrad as pg
>>> points = pg.data.TensorDataset(pg.ones((5, 2)), pg.arange(5))
>>> [labels.tolist() for _, labels in pg.data.DataLoader(points, batch_size=2)]
[[0, 1], [2, 3], [4]]
"""

from . import transforms
from .collate import default_collate, to_device
from .dataset import ChainDataset, ConcatDataset, Dataset, IterableDataset, Subset, TensorDataset, random_split
from .folder import IMG_EXTENSIONS, DatasetFolder, ImageFolder, pil_loader
from .loader import DataLoader
from .sampler import (
    BatchSampler,
    RandomSampler,
    Sampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)
from .workers import WorkerInfo, get_worker_info

__all__ = [
    "IMG_EXTENSIONS",
    "BatchSampler",
    "ChainDataset",
    "ConcatDataset",
    "DataLoader",
    "Dataset",
    "DatasetFolder",
    "ImageFolder",
    "IterableDataset",
    "RandomSampler",
    "Sampler",
    "SequentialSampler",
    "Subset",
    "SubsetRandomSampler",
    "TensorDataset",
    "WeightedRandomSampler",
    "WorkerInfo",
    "default_collate",
    "get_worker_info",
    "pil_loader",
    "random_split",
    "to_device",
    "transforms",
]
