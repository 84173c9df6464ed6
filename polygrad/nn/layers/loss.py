"""Losses as layers: names, arguments and defaults are PyTorch's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import polygrad as pg

from .. import functional as F
from ..module import Module

__all__ = [
    "BCELoss",
    "BCEWithLogitsLoss",
    "CTCLoss",
    "CosineEmbeddingLoss",
    "CrossEntropyLoss",
    "GaussianNLLLoss",
    "HingeEmbeddingLoss",
    "HuberLoss",
    "KLDivLoss",
    "L1Loss",
    "MSELoss",
    "MarginRankingLoss",
    "MultiLabelSoftMarginLoss",
    "MultiMarginLoss",
    "NLLLoss",
    "PoissonNLLLoss",
    "SmoothL1Loss",
    "SoftMarginLoss",
    "TripletMarginLoss",
    "TripletMarginWithDistanceLoss",
]  # fmt: skip


class _Loss(Module):
    """A function of predictions and targets with a ``reduction``."""

    also: ClassVar[tuple[str, ...]] = ()
    """What ``reduction`` may be besides."""

    def __init__(self, reduction: str = "mean") -> None:
        if reduction not in ("mean", "sum", "none", *self.also):
            raise ValueError(
                f"{type(self).__qualname__}: reduction must be 'mean', 'sum' or 'none', got {reduction!r}"
                + "".join(f" (or {name!r})" for name in self.also)
            )
        self.reduction = reduction

    def extra_repr(self) -> str:
        return f"reduction={self.reduction!r}"


class _WeightedLoss(_Loss):
    """A loss with weights, which move with the module and are saved with it, as PyTorch's."""

    weight: pg.Tensor | None

    def __init__(self, weight: Any = None, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.register_buffer("weight", None if weight is None else pg.asarray(weight))


class CrossEntropyLoss(_WeightedLoss):
    """See :func:`polygrad.nn.functional.cross_entropy`.

    >>> import polygrad as pg
    >>> pg.nn.CrossEntropyLoss()(pg.asarray([[0.0, 0.0]]), pg.asarray([1]))
    tensor(0.69314718, dtype=float64)
    """

    def __init__(
        self, weight: Any = None, ignore_index: int = -100, reduction: str = "mean", label_smoothing: float = 0.0
    ) -> None:
        super().__init__(weight, reduction)
        self.ignore_index = ignore_index
        self.label_smoothing = label_smoothing

    def forward(self, input: pg.Tensor, target: Any) -> pg.Tensor:
        """Logits of shape (batch, classes, ...), and integer classes of shape (batch, ...) or probabilities."""
        return F.cross_entropy(
            input,
            target,
            weight=self.weight,
            ignore_index=self.ignore_index,
            reduction=self.reduction,
            label_smoothing=self.label_smoothing,
        )


class NLLLoss(_WeightedLoss):
    """See :func:`polygrad.nn.functional.nll_loss`.

    >>> import polygrad as pg
    >>> pg.nn.NLLLoss()(pg.asarray([[-1.0, -2.0]]), pg.asarray([1]))
    tensor(2., dtype=float64)
    """

    def __init__(self, weight: Any = None, ignore_index: int = -100, reduction: str = "mean") -> None:
        super().__init__(weight, reduction)
        self.ignore_index = ignore_index

    def forward(self, input: pg.Tensor, target: Any) -> pg.Tensor:
        """Logarithms of probabilities of shape (batch, classes, ...) and integer classes of shape (batch, ...)."""
        return F.nll_loss(input, target, weight=self.weight, ignore_index=self.ignore_index, reduction=self.reduction)


class MSELoss(_Loss):
    """See :func:`polygrad.nn.functional.mse_loss`.

    >>> import polygrad as pg
    >>> pg.nn.MSELoss()(pg.asarray([1.0]), pg.asarray([3.0]))
    tensor(4., dtype=float64)
    """

    def forward(self, input: pg.Tensor, target: Any) -> pg.Tensor:
        """Two tensors of one shape."""
        return F.mse_loss(input, target, reduction=self.reduction)


class L1Loss(_Loss):
    """See :func:`polygrad.nn.functional.l1_loss`.

    >>> import polygrad as pg
    >>> pg.nn.L1Loss()(pg.asarray([1.0]), pg.asarray([3.0]))
    tensor(2., dtype=float64)
    """

    def forward(self, input: pg.Tensor, target: Any) -> pg.Tensor:
        """Two tensors of one shape."""
        return F.l1_loss(input, target, reduction=self.reduction)


class SmoothL1Loss(_Loss):
    """See :func:`polygrad.nn.functional.smooth_l1_loss`.

    >>> import polygrad as pg
    >>> pg.nn.SmoothL1Loss()(pg.asarray([1.0]), pg.asarray([3.0]))
    tensor(1.5, dtype=float64)
    """

    def __init__(self, reduction: str = "mean", beta: float = 1.0) -> None:
        super().__init__(reduction)
        self.beta = beta

    def forward(self, input: pg.Tensor, target: Any) -> pg.Tensor:
        """Two tensors of one shape."""
        return F.smooth_l1_loss(input, target, reduction=self.reduction, beta=self.beta)


class HuberLoss(_Loss):
    """See :func:`polygrad.nn.functional.huber_loss`.

    >>> import polygrad as pg
    >>> pg.nn.HuberLoss()(pg.asarray([1.0]), pg.asarray([3.0]))
    tensor(1.5, dtype=float64)
    """

    def __init__(self, reduction: str = "mean", delta: float = 1.0) -> None:
        super().__init__(reduction)
        self.delta = delta

    def forward(self, input: pg.Tensor, target: Any) -> pg.Tensor:
        """Two tensors of one shape."""
        return F.huber_loss(input, target, reduction=self.reduction, delta=self.delta)


class BCELoss(_WeightedLoss):
    """See :func:`polygrad.nn.functional.binary_cross_entropy`.

    >>> import polygrad as pg
    >>> pg.nn.BCELoss()(pg.asarray([0.5]), pg.asarray([1.0]))
    tensor(0.69314718, dtype=float64)
    """

    def forward(self, input: pg.Tensor, target: Any) -> pg.Tensor:
        """Probabilities and targets of one shape."""
        return F.binary_cross_entropy(input, target, weight=self.weight, reduction=self.reduction)


class BCEWithLogitsLoss(_WeightedLoss):
    """See :func:`polygrad.nn.functional.binary_cross_entropy_with_logits`.

    >>> import polygrad as pg
    >>> pg.nn.BCEWithLogitsLoss()(pg.asarray([0.0]), pg.asarray([1.0]))
    tensor(0.69314718, dtype=float64)
    """

    def __init__(self, weight: Any = None, reduction: str = "mean", pos_weight: Any = None) -> None:
        super().__init__(weight, reduction)
        self.register_buffer("pos_weight", None if pos_weight is None else pg.asarray(pos_weight))

    def forward(self, input: pg.Tensor, target: Any) -> pg.Tensor:
        """Logits and targets of one shape."""
        return F.binary_cross_entropy_with_logits(
            input, target, weight=self.weight, reduction=self.reduction, pos_weight=self.pos_weight
        )


class KLDivLoss(_Loss):
    """See :func:`polygrad.nn.functional.kl_div`.

    >>> import polygrad as pg
    >>> pg.nn.KLDivLoss("sum")(pg.log(pg.asarray([0.5, 0.5])), pg.asarray([1.0, 0.0]))
    tensor(0.69314718, dtype=float64)
    """

    also = ("batchmean",)

    def __init__(self, reduction: str = "mean", log_target: bool = False) -> None:
        super().__init__(reduction)
        self.log_target = log_target

    def forward(self, input: pg.Tensor, target: Any) -> pg.Tensor:
        """Logarithms of probabilities, and probabilities (or their logarithms) of one shape."""
        return F.kl_div(input, target, reduction=self.reduction, log_target=self.log_target)


class CosineEmbeddingLoss(_Loss):
    """See :func:`polygrad.nn.functional.cosine_embedding_loss`.

    >>> import polygrad as pg
    >>> pg.nn.CosineEmbeddingLoss()(pg.asarray([[1.0, 0.0]]), pg.asarray([[0.0, 1.0]]), pg.asarray([1]))
    tensor(1., dtype=float64)
    """

    def __init__(self, margin: float = 0.0, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.margin = margin

    def forward(self, input1: pg.Tensor, input2: Any, target: Any) -> pg.Tensor:
        """Two tensors of shape (batch, features), and targets 1 or -1 of shape (batch,)."""
        return F.cosine_embedding_loss(input1, input2, target, margin=self.margin, reduction=self.reduction)


class TripletMarginLoss(_Loss):
    """See :func:`polygrad.nn.functional.triplet_margin_loss`.

    >>> import polygrad as pg
    >>> pg.nn.TripletMarginLoss(3.0)(pg.asarray([[0.0]]), pg.asarray([[0.0]]), pg.asarray([[2.0]])).shape
    ()
    """

    def __init__(
        self, margin: float = 1.0, p: float = 2.0, eps: float = 1e-6, swap: bool = False, reduction: str = "mean"
    ) -> None:
        super().__init__(reduction)
        self.margin = margin
        self.p = p
        self.eps = eps
        self.swap = swap

    def forward(self, anchor: pg.Tensor, positive: Any, negative: Any) -> pg.Tensor:
        """Three tensors of shape (batch, features)."""
        return F.triplet_margin_loss(
            anchor,
            positive,
            negative,
            margin=self.margin,
            p=self.p,
            eps=self.eps,
            swap=self.swap,
            reduction=self.reduction,
        )


class HingeEmbeddingLoss(_Loss):
    """See :func:`polygrad.nn.functional.hinge_embedding_loss`.

    >>> import polygrad as pg
    >>> pg.nn.HingeEmbeddingLoss()(pg.asarray([0.25]), pg.asarray([-1]))
    tensor(0.75, dtype=float64)
    """

    def __init__(self, margin: float = 1.0, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.margin = margin

    def forward(self, input: pg.Tensor, target: Any) -> pg.Tensor:
        """Distances, and targets 1 or -1, of one shape."""
        return F.hinge_embedding_loss(input, target, margin=self.margin, reduction=self.reduction)


class MarginRankingLoss(_Loss):
    """See :func:`polygrad.nn.functional.margin_ranking_loss`.

    >>> import polygrad as pg
    >>> pg.nn.MarginRankingLoss()(pg.asarray([1.0]), pg.asarray([3.0]), pg.asarray([1.0]))
    tensor(2., dtype=float64)
    """

    def __init__(self, margin: float = 0.0, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.margin = margin

    def forward(self, input1: pg.Tensor, input2: Any, target: Any) -> pg.Tensor:
        """Two tensors of scores, and targets 1 or -1, of one shape."""
        return F.margin_ranking_loss(input1, input2, target, margin=self.margin, reduction=self.reduction)


class MultiMarginLoss(_WeightedLoss):
    """See :func:`polygrad.nn.functional.multi_margin_loss`.

    >>> import polygrad as pg
    >>> pg.nn.MultiMarginLoss()(pg.asarray([[0.5, 1.0]]), pg.asarray([0]))
    tensor(0.75, dtype=float64)
    """

    def __init__(self, p: int = 1, margin: float = 1.0, weight: Any = None, reduction: str = "mean") -> None:
        super().__init__(weight, reduction)
        self.p = p
        self.margin = margin

    def forward(self, input: pg.Tensor, target: Any) -> pg.Tensor:
        """Scores of shape (batch, classes) and integer classes of shape (batch,)."""
        return F.multi_margin_loss(
            input, target, p=self.p, margin=self.margin, weight=self.weight, reduction=self.reduction
        )


class SoftMarginLoss(_Loss):
    """See :func:`polygrad.nn.functional.soft_margin_loss`.

    >>> import polygrad as pg
    >>> pg.nn.SoftMarginLoss()(pg.asarray([0.0]), pg.asarray([1.0]))
    tensor(0.69314718, dtype=float64)
    """

    def forward(self, input: pg.Tensor, target: Any) -> pg.Tensor:
        """Scores, and targets 1 or -1, of one shape."""
        return F.soft_margin_loss(input, target, reduction=self.reduction)


class MultiLabelSoftMarginLoss(_WeightedLoss):
    """See :func:`polygrad.nn.functional.multilabel_soft_margin_loss`.

    >>> import polygrad as pg
    >>> pg.nn.MultiLabelSoftMarginLoss()(pg.asarray([[0.0, 0.0]]), pg.asarray([[1.0, 0.0]]))
    tensor(0.69314718, dtype=float64)
    """

    def forward(self, input: pg.Tensor, target: Any) -> pg.Tensor:
        """Logits and targets 0 or 1, of shape (batch, classes)."""
        return F.multilabel_soft_margin_loss(input, target, weight=self.weight, reduction=self.reduction)


class GaussianNLLLoss(_Loss):
    """See :func:`polygrad.nn.functional.gaussian_nll_loss`.

    >>> import polygrad as pg
    >>> pg.nn.GaussianNLLLoss()(pg.asarray([1.0]), pg.asarray([3.0]), pg.asarray([1.0]))
    tensor(2., dtype=float64)
    """

    def __init__(self, *, full: bool = False, eps: float = 1e-6, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.full = full
        self.eps = eps

    def forward(self, input: pg.Tensor, target: Any, var: Any) -> pg.Tensor:
        """Means, targets and variances."""
        return F.gaussian_nll_loss(input, target, var, full=self.full, eps=self.eps, reduction=self.reduction)


class PoissonNLLLoss(_Loss):
    """See :func:`polygrad.nn.functional.poisson_nll_loss`.

    >>> import polygrad as pg
    >>> pg.nn.PoissonNLLLoss()(pg.asarray([0.0]), pg.asarray([2.0]))
    tensor(1., dtype=float64)
    """

    def __init__(self, log_input: bool = True, full: bool = False, eps: float = 1e-8, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.log_input = log_input
        self.full = full
        self.eps = eps

    def forward(self, log_input: pg.Tensor, target: Any) -> pg.Tensor:
        """Logarithms of means, and counts, of one shape."""
        return F.poisson_nll_loss(
            log_input, target, log_input=self.log_input, full=self.full, eps=self.eps, reduction=self.reduction
        )


class CTCLoss(_Loss):
    """See :func:`polygrad.nn.functional.ctc_loss`.

    >>> import polygrad as pg
    >>> pg.nn.CTCLoss()(pg.log(pg.ones((2, 1, 2)) / 2), pg.asarray([[1]]), [2], [1])  # 3 of 4 paths
    tensor(0.28768207, dtype=float64)
    """

    def __init__(self, blank: int = 0, reduction: str = "mean", zero_infinity: bool = False) -> None:
        super().__init__(reduction)
        self.blank = blank
        self.zero_infinity = zero_infinity

    def forward(self, log_probs: pg.Tensor, targets: Any, input_lengths: Any, target_lengths: Any) -> pg.Tensor:
        """Logarithms of probabilities of shape (time, batch, classes), labels of shape (batch, longest) or all in a row, lengths
        of shape (batch,)."""
        return F.ctc_loss(
            log_probs,
            targets,
            input_lengths,
            target_lengths,
            blank=self.blank,
            reduction=self.reduction,
            zero_infinity=self.zero_infinity,
        )


class TripletMarginWithDistanceLoss(_Loss):
    """See :func:`polygrad.nn.functional.triplet_margin_with_distance_loss`."""

    def __init__(
        self,
        *,
        distance_function: Callable[[pg.Tensor, pg.Tensor], pg.Tensor] | None = None,
        margin: float = 1.0,
        swap: bool = False,
        reduction: str = "mean",
    ) -> None:
        super().__init__(reduction)
        self.distance_function = distance_function
        self.margin = margin
        self.swap = swap

    def forward(self, anchor: pg.Tensor, positive: Any, negative: Any) -> pg.Tensor:
        """Three tensors of shape (batch, features)."""
        return F.triplet_margin_with_distance_loss(
            anchor, positive, negative, distance_function=self.distance_function, margin=self.margin, swap=self.swap,
            reduction=self.reduction,
        )  # fmt: skip
