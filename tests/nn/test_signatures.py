"""Every name that PyTorch has too has its arguments: names, order, kinds and defaults; exceptions have reasons."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from polygrad import data, nn, optim
from polygrad.nn import functional, init, utils
from polygrad.optim import lr_scheduler

torch = pytest.importorskip("torch")

# What no signature here has, everywhere. "generator" is ours: what draws, where PyTorch has one for all.
DEPRECATED = {"size_average", "reduce", "min_value", "max_value"}
SWITCHES = {"foreach", "fused", "capturable", "differentiable"}  # which of PyTorch's implementations runs
PRIVATE = {"_stacklevel", "_name", "_weight", "_freeze", "out"}
OURS = {"generator"}
LEFT_OUT = DEPRECATED | SWITCHES | PRIVATE | OURS

EXCEPTIONS: dict[str, str] = {
    "Identity": "any arguments, here and there",
    "Parameter": "PyTorch's is written in C, and says *args, **kwargs; this one's are those of its documentation",
    "RNN": "PyTorch's say *args, **kwargs; the test of the recurrent layers holds the arguments",
    "LSTM": "as RNN",
    "GRU": "as RNN",
    "Sequential": "*args there, *modules here",
    "Transformer": "the default activation is the library's own relu",
    "TransformerEncoderLayer": "as Transformer",
    "TransformerDecoderLayer": "as Transformer",
    "functional.interpolate": "antialias is not there",
    "data.DataLoader": "memory is not pinned and batches are always in order; worker_type and device are ours, and what "
    "follows collate_fn goes by name",
    "utils.rnn.PackedSequence": "a plain NamedTuple, made by pack_padded_sequence",
    "data.BatchSampler": "drop_last may be left out",
    "data.random_split": "the current generator, not a fixed one, by default",
}
WRITTEN_IN_C = {
    "functional.adaptive_avg_pool1d": "input output_size",
    "functional.avg_pool1d": "input kernel_size stride padding ceil_mode count_include_pad",
    "functional.avg_pool2d": "input kernel_size stride padding ceil_mode count_include_pad divisor_override",
    "functional.avg_pool3d": "input kernel_size stride padding ceil_mode count_include_pad divisor_override",
    "functional.adaptive_max_pool1d": "input output_size return_indices",
    "functional.adaptive_max_pool2d": "input output_size return_indices",
    "functional.adaptive_max_pool3d": "input output_size return_indices",
    "functional.max_pool1d": "input kernel_size stride padding dilation ceil_mode return_indices",
    "functional.max_pool2d": "input kernel_size stride padding dilation ceil_mode return_indices",
    "functional.max_pool3d": "input kernel_size stride padding dilation ceil_mode return_indices",
    "functional.bilinear": "input1 input2 weight bias",
    "functional.linear": "input weight bias",
    **{f"functional.conv{n}d": "input weight bias stride padding dilation groups" for n in (1, 2, 3)},
    **{
        f"functional.conv_transpose{n}d": "input weight bias stride padding output_padding groups dilation"
        for n in (1, 2, 3)
    },
    "functional.channel_shuffle": "input groups",
    "functional.pixel_shuffle": "input upscale_factor",
    "functional.pixel_unshuffle": "input downscale_factor",
    "functional.cosine_similarity": "x1 x2 dim eps",
    "functional.pairwise_distance": "x1 x2 p eps keepdim",
    "functional.gelu": "input approximate",
    "functional.hardshrink": "input lambd",
    "functional.softshrink": "input lambd",
    "functional.logsigmoid": "input",
    "functional.softplus": "input beta threshold",
    "functional.one_hot": "tensor num_classes",
    "functional.prelu": "input weight",
    "functional.scaled_dot_product_attention": "query key value attn_mask dropout_p is_causal scale enable_gqa",
}
"""Their arguments as PyTorch documents them; Python cannot ask for them."""


def pairs() -> dict[str, tuple[Any, Any]]:
    """What is here and in PyTorch, by name."""
    found: dict[str, tuple[Any, Any]] = {}
    places = [
        ("", nn, torch.nn), ("functional.", functional, torch.nn.functional), ("init.", init, torch.nn.init),
        ("utils.", utils, torch.nn.utils), ("utils.rnn.", utils.rnn, torch.nn.utils.rnn), ("optim.", optim, torch.optim),
        ("parametrizations.", utils.parametrizations, torch.nn.utils.parametrizations),
        ("lr_scheduler.", lr_scheduler, torch.optim.lr_scheduler), ("data.", data, torch.utils.data),
    ]  # fmt: skip
    for prefix, ours, theirs in places:
        for name in ours.__all__:
            other = getattr(theirs, name, None)
            if not callable(other):
                continue
            found[prefix + name] = (getattr(ours, name), other)
            if prefix == "" and inspect.isclass(other) and name not in ("Module", "Parameter", "LoadResult"):
                if "forward" in vars(getattr(torch.nn, name)) or hasattr(getattr(nn, name), "forward"):
                    found[name + ".forward"] = (getattr(nn, name).forward, other.forward)
    for name in dir(torch.nn.Module):
        if name[0] != "_" and callable(getattr(nn.Module, name, None)):
            found["Module." + name] = (getattr(nn.Module, name), getattr(torch.nn.Module, name))
    return found


PAIRS = pairs()
METHODS = {
    "Module.forward": "PyTorch's says *input",
    "Module.state_dict": "PyTorch's takes its own old positional arguments too",
    "Module.to": "PyTorch's says *args, **kwargs",
    **{f"{name}.forward": "no forward of its own, here and there" for name in (
        "ModuleList", "ModuleDict", "ParameterList", "ParameterDict"
    )},
    **{f"{name}.forward": "PyTorch's calls what it is given hx, and overloads" for name in ("RNN", "LSTM", "GRU")},
}  # fmt: skip


def arguments(f: Any) -> list[tuple[str, Any, Any]]:
    kept = [p for p in inspect.signature(f).parameters.values() if p.name not in LEFT_OUT]
    kinds = {p.name: p.kind for p in kept}
    return [
        (p.name, list(p.default) if isinstance(p.default, (tuple, list)) else p.default, kinds[p.name]) for p in kept
    ]


@pytest.mark.parametrize("name", [n for n in PAIRS if n not in EXCEPTIONS and n not in METHODS])
def test_arguments_are_pytorchs(name: str) -> None:
    ours, theirs = PAIRS[name]
    mine = arguments(ours)
    if name in WRITTEN_IN_C:
        assert [argument for argument, *_ in mine] == WRITTEN_IN_C[name].split()
        return
    reference = arguments(theirs)
    assert [(n, d) for n, d, _ in sorted_by_kind(mine)] == [(n, d) for n, d, _ in sorted_by_kind(reference)]
    by_name = {n for n, _, kind in reference if kind is inspect.Parameter.KEYWORD_ONLY}
    # What goes by name there may go by place here (after the others), not the other way round.
    assert {n for n, _, kind in mine if kind is inspect.Parameter.KEYWORD_ONLY} <= by_name | KEYWORDS.get(name, set())


KEYWORDS = {f"optim.{name}": {"maximize"} for name in ("RMSprop",)}
"""What can be given by place there only after a switch that is not here."""


def sorted_by_kind(entries: list[tuple[str, Any, Any]]) -> list[tuple[str, Any, Any]]:
    """Those that go by place in order, then those that go by name by name."""
    by_name = [e for e in entries if e[2] is inspect.Parameter.KEYWORD_ONLY]
    return [e for e in entries if e not in by_name] + sorted(by_name)


def test_exceptions_are_still_there() -> None:
    assert {n for n in (*EXCEPTIONS, *WRITTEN_IN_C) if n not in PAIRS} == set()


def test_nothing_that_the_issue_lists_is_missing() -> None:
    wanted = {
        nn: """Module Parameter Sequential ModuleList ModuleDict functional_call Identity Linear Bilinear Embedding Conv1d
        Conv2d Conv3d ConvTranspose1d ConvTranspose2d ConvTranspose3d MaxPool1d MaxPool2d AvgPool1d AvgPool2d
        AdaptiveAvgPool1d AdaptiveAvgPool2d AdaptiveMaxPool1d AdaptiveMaxPool2d BatchNorm1d BatchNorm2d BatchNorm3d
        LayerNorm GroupNorm InstanceNorm1d InstanceNorm2d InstanceNorm3d RMSNorm Dropout Dropout1d Dropout2d RNN LSTM GRU
        RNNCell LSTMCell GRUCell MultiheadAttention TransformerEncoderLayer TransformerDecoderLayer Flatten Upsample
        PixelShuffle ReLU ReLU6 LeakyReLU PReLU ELU SELU CELU GELU SiLU Mish Sigmoid Tanh Softplus Softmax LogSoftmax
        Hardtanh Hardswish PairwiseDistance CosineSimilarity CrossEntropyLoss NLLLoss MSELoss L1Loss SmoothL1Loss
        HuberLoss BCELoss BCEWithLogitsLoss KLDivLoss CosineEmbeddingLoss TripletMarginLoss HingeEmbeddingLoss
        MarginRankingLoss GaussianNLLLoss PoissonNLLLoss CTCLoss functional init utils""",
        functional: "scaled_dot_product_attention",
        init: " ".join(n for n in dir(torch.nn.init) if n.endswith("_") and n[0] != "_") + " calculate_gain",
        utils: """clip_grad_norm_ clip_grad_value_ parameters_to_vector vector_to_parameters weight_norm spectral_norm""",
        utils.rnn: "pad_sequence pack_padded_sequence pad_packed_sequence pack_sequence unpad_sequence",
        optim: """SGD Adam AdamW Adamax NAdam RAdam Adagrad Adadelta RMSprop Rprop LBFGS Lion Muon Adafactor AveragedModel
        GradScaler lr_scheduler""",
        lr_scheduler: """StepLR MultiStepLR ExponentialLR CosineAnnealingLR CosineAnnealingWarmRestarts LinearLR ConstantLR
        PolynomialLR OneCycleLR CyclicLR ReduceLROnPlateau LambdaLR SequentialLR ChainedScheduler""",
        data: """Dataset IterableDataset TensorDataset Subset ConcatDataset random_split Sampler RandomSampler
        SequentialSampler DataLoader DatasetFolder ImageFolder transforms""",
        data.transforms: """Compose ToTensor ToPILImage Resize Grayscale Normalize RandomHorizontalFlip RandomVerticalFlip
        CenterCrop RandomCrop RandomMask""",
    }
    for place, names in wanted.items():
        assert [n for n in names.split() if n not in place.__all__] == [], place.__name__


def test_every_layer_of_pytorch_is_here_or_left_out_for_a_reason() -> None:
    left_out = {
        "old": "Container CrossMapLRN2d NLLLoss2d",
        "parts of others": "RNNBase RNNCellBase",
        "shapes that come with the first call": """LazyBatchNorm1d LazyBatchNorm2d LazyBatchNorm3d LazyConv1d LazyConv2d
        LazyConv3d LazyConvTranspose1d LazyConvTranspose2d LazyConvTranspose3d LazyInstanceNorm1d LazyInstanceNorm2d
        LazyInstanceNorm3d LazyLinear""",
        "several machines": "SyncBatchNorm",
        "not built yet": """AdaptiveLogSoftmaxWithLoss FractionalMaxPool2d FractionalMaxPool3d LPPool1d LPPool2d LPPool3d
        MaxUnpool1d MaxUnpool2d MaxUnpool3d MultiLabelMarginLoss LinearCrossEntropyLoss LinearCrossEntropyOptions""",
    }
    known = {name for names in left_out.values() for name in names.split()}
    assert set(torch.nn.modules.__all__) - set(nn.__all__) <= known
