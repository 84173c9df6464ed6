"""What trains and reshapes networks: clipping, parameters as one vector, normalized weights, sequences of different
lengths (``utils.rnn``), parameters that are functions of others (``utils.parametrize``)."""

from ..module import Module
from . import parametrizations, parametrize, rnn
from .clipping import clip_grad_norm_, clip_grad_value_, get_total_norm
from .parametrizations import spectral_norm, weight_norm
from .vectors import parameters_to_vector, vector_to_parameters

__all__ = [
    "clip_grad_norm_",
    "clip_grad_value_",
    "get_total_norm",
    "parameters_to_vector",
    "parametrizations",
    "parametrize",
    "remove_spectral_norm",
    "remove_weight_norm",
    "rnn",
    "spectral_norm",
    "vector_to_parameters",
    "weight_norm",
]


def remove_weight_norm(module: Module, name: str = "weight") -> Module:
    """Make the parameter that :func:`weight_norm` split an ordinary one again, of the same value."""
    return parametrize.remove_parametrizations(module, name)


def remove_spectral_norm(module: Module, name: str = "weight") -> Module:
    """Make the parameter that :func:`spectral_norm` divided an ordinary one again, of the same value."""
    return parametrize.remove_parametrizations(module, name)
