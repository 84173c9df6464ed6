"""What trains and reshapes networks: sequences of different lengths, clipping, parameters as one vector."""

from . import rnn

__all__ = ["rnn"]
