"""Linear algebra beyond products: the standard's ``linalg`` extension, and what users need besides."""

from . import kernels  # declares them

__all__ = ["kernels"]
