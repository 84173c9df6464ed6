"""Saving and loading: tensors in safetensors' format, everything else beside them as JSON; no pickle, no code.

>>> import os, tempfile
>>> import polygrad as pg
>>> with tempfile.TemporaryDirectory() as folder:
...     path = os.path.join(folder, "state.safetensors")
...     pg.save({"weights": [pg.ones(2)], "epoch": 3}, path)
...     pg.load(path)
{'weights': [tensor([1., 1.], dtype=float64)], 'epoch': 3}
"""

from .files import LazyTensor, load, save

__all__ = ["LazyTensor", "load", "save"]
