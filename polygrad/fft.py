"""Fourier transforms: the standard's ``fft`` extension.

All are linear, and each vjp is the conjugate transpose: right for every ``norm``, odd and even lengths, cut and
filled-up inputs, and for real numbers meeting complex ones, where a real input gets a real gradient.

>>> import polygrad as pg
>>> x = pg.asarray([1.0, 2.0, 3.0, 4.0])
>>> pg.grad(lambda x: pg.sum(pg.abs(pg.fft.rfft(x)) ** 2))(x)
tensor([12., 20., 20., 28.], dtype=float64)
"""

from .ops.fft import (
    fft,
    fftfreq,
    fftn,
    fftshift,
    hfft,
    ifft,
    ifftn,
    ifftshift,
    ihfft,
    irfft,
    irfftn,
    rfft,
    rfftfreq,
    rfftn,
)

__all__ = [
    "fft",
    "fftfreq",
    "fftn",
    "fftshift",
    "hfft",
    "ifft",
    "ifftn",
    "ifftshift",
    "ihfft",
    "irfft",
    "irfftn",
    "rfft",
    "rfftfreq",
    "rfftn",
]

CREATION = ("fftfreq", "rfftfreq")
"""The functions that make arrays from nothing: on the namespace's device."""
