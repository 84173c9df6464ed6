"""Weight and spectral normalization, with the state dicts of ``torch.nn.utils.parametrizations``."""

from __future__ import annotations

import math

import polygrad as pg

from ..functional import normalize
from ..init import normal_
from ..module import Module
from .parametrize import register_parametrization

__all__ = ["spectral_norm", "weight_norm"]


class _WeightNorm(Module):
    def __init__(self, dim: int | None = 0) -> None:
        self.dim = dim

    def _norm(self, v: pg.Tensor) -> pg.Tensor:
        if self.dim is None or self.dim == -1:
            return pg.linalg.vector_norm(v)
        axes = tuple(i for i in range(v.ndim) if i != self.dim % v.ndim)
        return pg.linalg.vector_norm(v, axis=axes, keepdims=True) if axes else pg.abs(v)

    def forward(self, weight_g: pg.Tensor, weight_v: pg.Tensor) -> pg.Tensor:
        return weight_v * (weight_g / self._norm(weight_v))

    def right_inverse(self, weight: pg.Tensor) -> tuple[pg.Tensor, pg.Tensor]:
        return self._norm(weight), weight


def weight_norm(module: Module, name: str = "weight", dim: int | None = 0) -> Module:
    """Compute a weight as ``g * v / |v|``, from its lengths and its directions (Salimans and Kingma, 2016).

    Args:
        module: it is changed, and returned.
        name: of the parameter.
        dim: the axis that has a length for each index; with None or -1 there is one length for all.

    The parameters are ``parametrizations.<name>.original0`` (g) and ``.original1`` (v);
    :func:`polygrad.nn.utils.parametrize.remove_parametrizations` makes an ordinary one of them.

    >>> import polygrad as pg
    >>> layer = pg.nn.utils.weight_norm(pg.nn.Linear(3, 2))
    >>> [(n, p.shape) for n, p in layer.named_parameters()][1:]
    [('parametrizations.weight.original0', (2, 1)), ('parametrizations.weight.original1', (2, 3))]
    """
    return register_parametrization(module, name, _WeightNorm(dim))


# The largest singular value by power iteration (Miyato et al., 2018): u and v are followed from step to step, one
# iteration each time the weight is used in training; they are constants of the derivative.
class _SpectralNorm(Module):
    _u: pg.Tensor
    _v: pg.Tensor

    def __init__(self, weight: pg.Tensor, n_power_iterations: int, dim: int, eps: float) -> None:
        self.n_power_iterations = n_power_iterations
        self.dim = dim if dim >= 0 else dim + weight.ndim
        self.eps = eps
        if weight.ndim > 1:
            with pg.no_grad():
                matrix = self._matrix(weight)
                ends = [normal_(pg.zeros((n,), dtype=weight.dtype, device=weight.device)) for n in matrix.shape]
                self.register_buffer("_u", normalize(ends[0], dim=0, eps=eps))
                self.register_buffer("_v", normalize(ends[1], dim=0, eps=eps))
                self._iterate(matrix, 15)

    def _matrix(self, weight: pg.Tensor) -> pg.Tensor:
        moved = pg.moveaxis(weight, self.dim, 0) if self.dim else weight
        return pg.reshape(moved, (moved.shape[0], math.prod(moved.shape[1:])))

    def _iterate(self, matrix: pg.Tensor, n: int) -> None:
        u, v = self._u, self._v
        for _ in range(n):
            u = normalize(matrix @ v, dim=0, eps=self.eps)
            v = normalize(matrix.T @ u, dim=0, eps=self.eps)
        self._u, self._v = u, v

    def forward(self, weight: pg.Tensor) -> pg.Tensor:
        if weight.ndim == 1:
            return normalize(weight, dim=0, eps=self.eps)
        matrix = self._matrix(weight)
        if self.training:
            with pg.no_grad():
                self._iterate(matrix, self.n_power_iterations)
        return weight / pg.sum(self._u * (matrix @ self._v))


def spectral_norm(
    module: Module, name: str = "weight", n_power_iterations: int = 1, eps: float = 1e-12, dim: int | None = None
) -> Module:
    """Divide a weight by its largest singular value (Miyato et al., 2018).

    Args:
        module: it is changed, and returned.
        name: of the parameter.
        n_power_iterations: each time the weight is used in training.
        eps: the least norm that is divided by.
        dim: the axis of the outputs; 1 for transposed convolutions, else 0, unless told.

    The parameter is ``parametrizations.<name>.original``; the singular vectors are the buffers ``.0._u`` and ``.0._v``.

    >>> import polygrad as pg
    >>> layer = pg.nn.utils.spectral_norm(pg.nn.Linear(3, 2), n_power_iterations=50)
    >>> round(float(pg.linalg.svdvals(layer.weight.detach())[0]), 6)
    1.0
    """
    weight = module._parameters.get(name)
    if n_power_iterations <= 0:
        raise ValueError(f"spectral_norm: n_power_iterations must be positive, got {n_power_iterations}")
    if dim is None:
        dim = 1 if type(module).__name__.startswith("ConvTranspose") else 0
    if weight is None:
        return register_parametrization(module, name, Module())  # raises, naming the parameters there are
    return register_parametrization(module, name, _SpectralNorm(weight, n_power_iterations, dim, eps))
