"""Loss scaling, so that gradients in float16 do not vanish (Micikevicius et al., 2018, "Mixed precision training")."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import polygrad as pg

from .optimizer import Optimizer

__all__ = ["GradScaler"]

_LARGEST_HALF: Final = 2.0**15
"""The largest power of 2 in half precision."""


class GradScaler:
    """Multiplies the loss, and so all gradients, by a scale that grows until gradients overflow; steps whose gradients
    are not finite are left out.

    Args:
        init_scale: the first scale.
        growth_factor: what the scale is multiplied by after ``growth_interval`` steps without overflow.
        backoff_factor: what it is multiplied by after an overflow.
        growth_interval: see there.
        enabled: whether to do anything at all.

    Raises:
        ValueError: for factors that make no sense.

    >>> import polygrad as pg
    >>> w = pg.nn.Parameter(pg.asarray([1.0], dtype="float16"))
    >>> optimizer, scaler = pg.optim.SGD([w], lr=0.25), pg.optim.GradScaler(init_scale=1024.0)
    >>> scaler.scale(pg.sum(w * w)).backward()
    >>> _ = scaler.step(optimizer)
    >>> scaler.update()
    >>> w
    Parameter([0.5], dtype=float16, requires_grad=True)
    """

    def __init__(
        self,
        init_scale: float = 65536.0,
        growth_factor: float = 2.0,
        backoff_factor: float = 0.5,
        growth_interval: int = 2000,
        enabled: bool = True,
    ) -> None:
        if not growth_factor > 1:
            raise ValueError(f"GradScaler: growth_factor must be above 1, got {growth_factor}")
        if not 0 < backoff_factor < 1:
            raise ValueError(f"GradScaler: backoff_factor must be in 0 to 1, got {backoff_factor}")
        if not init_scale > 0:
            raise ValueError(f"GradScaler: init_scale must be above 0, got {init_scale}")
        self._scale = float(init_scale)
        self._good = 0
        self.growth_factor, self.backoff_factor = growth_factor, backoff_factor
        self.growth_interval, self.enabled = growth_interval, enabled
        self._found: dict[int, bool] = {}

    def get_scale(self) -> float:
        """The scale as it is."""
        return self._scale if self.enabled else 1.0

    def scale(self, loss: pg.Tensor) -> pg.Tensor:
        """The loss times the scale, in its own dtype; of a float16 loss in float32, and the scale is at most 32768: its
        gradient must fit into half precision."""
        if not self.enabled:
            return loss
        if loss.dtype == pg.float16:
            self._scale = min(self._scale, _LARGEST_HALF)
            loss = loss.astype("float32")
        return loss * self._scale

    def unscale_(self, optimizer: Optimizer) -> None:
        """Divide the gradients by the scale, in order to look at them or clip them before ``step``.

        Raises:
            RuntimeError: if they are already, since the last ``update``.
        """
        if not self.enabled:
            return
        if id(optimizer) in self._found:
            raise RuntimeError("GradScaler.unscale_: this optimiser's gradients are unscaled already; call update()")
        flaws = []
        with pg.no_grad():
            for p in optimizer._params():
                if p.grad is None:
                    continue
                # Divided in float32: the inverse of a large scale is no normal float16.
                wide = p.grad if p.grad.dtype not in (pg.float16, pg.bfloat16) else p.grad.astype("float32")
                made = wide * (1 / self._scale)
                flaws.append(~pg.all(pg.isfinite(made)))
                p.grad = made.astype(p.grad.dtype, copy=False)
        # One look at the end, so that a GPU is waited for once.
        self._found[id(optimizer)] = bool(pg.any(pg.stack(flaws))) if flaws else False

    def step(self, optimizer: Optimizer) -> bool:
        """The optimiser's step on unscaled gradients, left out if one is not finite; says whether it was taken."""
        if self.enabled and id(optimizer) not in self._found:
            self.unscale_(optimizer)
        if self._found.get(id(optimizer), False):
            return False
        optimizer.step()
        return True

    def update(self) -> None:
        """Change the scale by what the steps since the last update have found.

        Raises:
            RuntimeError: if there were none.
        """
        if not self.enabled:
            return
        if not self._found:
            raise RuntimeError("GradScaler.update: there was no step or unscale_ since the last update")
        if any(self._found.values()):
            self._scale *= self.backoff_factor
            self._good = 0
        else:
            self._good += 1
            if self._good == self.growth_interval:
                self._scale *= self.growth_factor
                self._good = 0
        self._found.clear()

    def state_dict(self) -> dict[str, Any]:
        """The scale, the factors and the count, as plain numbers."""
        return {
            "scale": self._scale,
            "growth_factor": self.growth_factor,
            "backoff_factor": self.backoff_factor,
            "growth_interval": self.growth_interval,
            "_growth_tracker": self._good,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from where another one stood.

        Raises:
            StateError: listing what is missing or unexpected; nothing is loaded then.
        """
        wrong = sorted(set(state) ^ set(self.state_dict()))
        if wrong:
            raise pg.errors.StateError(f"this is no GradScaler's state; only here or only there: {', '.join(wrong)}")
        self._scale, self._good = float(state["scale"]), int(state["_growth_tracker"])
        self.growth_factor, self.backoff_factor = state["growth_factor"], state["backoff_factor"]
        self.growth_interval = state["growth_interval"]
