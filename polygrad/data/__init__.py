"""Data: sets of samples, and loading them in batches.

>>> import polygrad as pg
>>> data = pg.data.TensorDataset(pg.zeros((10, 3)), pg.arange(10))
>>> [len(labels) for _, labels in pg.data.DataLoader(data, batch_size=4)]
[4, 4, 2]
"""

from .collate import default_collate, to_device
from .dataset import Dataset, Subset, TensorDataset, random_split
from .loader import DataLoader

__all__ = ["DataLoader", "Dataset", "Subset", "TensorDataset", "default_collate", "random_split", "to_device"]
