"""Every exception polygrad raises on purpose.

::

    PolygradError (Exception)
     ├── BackendError (also RuntimeError)     a backend is unknown, or cannot run on this machine
     │    └── NoFunctionError (also AttributeError)  a library has not this function, or not on this device
     ├── DeviceError (also ValueError)        unknown device, or arrays of different devices in one op
     ├── DTypeError (also TypeError)          a dtype the op, the backend or differentiation does not take
     ├── ShapeError (also ValueError)         shapes that do not fit each other
     │    └── AxisError (also IndexError)     an axis out of range, as NumPy's of this name
     ├── GradientError (also RuntimeError)    the graph cannot be differentiated as asked
     │    ├── DetachedError                   no graph leads from the output to what it should be differentiated by
     │    ├── FreedGraphError                 backward a second time over a graph already freed
     │    └── NoRuleError                     the op, or this use of it, has no derivative
     ├── DetachError (also TypeError)         a conversion would silently drop the graph
     ├── MutationError (also RuntimeError)    writing in place where a graph, or a leaf, forbids it
     ├── AnomalyError (also ArithmeticError)  a NaN or inf appeared under ``detect_anomaly``
     ├── CheckError (also AssertionError)     a gradient check failed
     ├── StateError (also ValueError)         a state dict that does not fit the module or optimiser it is loaded into
     ├── TraceError (also TypeError)         what a static graph cannot hold, inside ``trace`` and ``compile``
     │    └── UnreadyError                    ... because an object must first have been used once
     ├── VmapError (also TypeError)          what cannot be done for all examples of a batch at once, inside ``vmap``
     │    └── BatchedValueError (also DetachError)  ... because Python would need the values
     └── DependencyError (also RuntimeError)  an optional package or program is not installed

and one warning: DetachWarning (UserWarning), where a conversion drops the graph outside of transforms.

Each also derives from the built-in exception that NumPy, PyTorch or JAX users would catch.
"""

__all__ = [
    "AnomalyError",
    "AxisError",
    "BackendError",
    "BatchedValueError",
    "CheckError",
    "DTypeError",
    "DependencyError",
    "DetachError",
    "DetachWarning",
    "DetachedError",
    "DeviceError",
    "FreedGraphError",
    "GradientError",
    "MutationError",
    "NoFunctionError",
    "NoRuleError",
    "PolygradError",
    "ShapeError",
    "StateError",
    "TraceError",
    "UnreadyError",
    "VmapError",
]


class PolygradError(Exception):
    """The root of polygrad's exceptions."""


class BackendError(PolygradError, RuntimeError):
    """A backend is unknown, or cannot run on this machine; the message says why and what to install."""


class NoFunctionError(BackendError, AttributeError):
    """An array library has not this function, or not on this device; the message says where it can be had."""


class DeviceError(PolygradError, ValueError):
    """An unknown device, or arrays of different devices or backends in one op."""


class DTypeError(PolygradError, TypeError):
    """A dtype that the op, the backend or differentiation does not accept."""


class ShapeError(PolygradError, ValueError):
    """Shapes that do not fit each other, or an axis out of range."""


class AxisError(ShapeError, IndexError):
    """An axis out of range."""


class GradientError(PolygradError, RuntimeError):
    """The graph cannot be differentiated as asked."""


class DetachedError(GradientError):
    """No graph leads from the output to what it should be differentiated with respect to."""


class FreedGraphError(GradientError):
    """Backward ran a second time over a graph whose saved arrays were freed by the first."""


class NoRuleError(GradientError):
    """The op, or this use of it, has no derivative rule."""


class DetachError(PolygradError, TypeError):
    """A conversion would silently drop the graph; ``x.detach()`` says it out loud."""


class DetachWarning(UserWarning):
    """A tensor that requires grad became a Python number: no gradient flows through that."""


class MutationError(PolygradError, RuntimeError):
    """Writing in place where a graph, or a leaf that requires grad, forbids it."""


class AnomalyError(PolygradError, ArithmeticError):
    """A NaN or an infinity appeared under :func:`polygrad.detect_anomaly`."""


class CheckError(PolygradError, AssertionError):
    """A gradient check of :mod:`polygrad.testing` failed."""


class StateError(PolygradError, ValueError):
    """A state dict that does not fit what it is loaded into; the message lists every difference."""


class VmapError(PolygradError, TypeError):
    """What cannot be done for all examples of a batch at once: reading values, or shapes that depend on them."""


class BatchedValueError(VmapError, DetachError):
    """The values of a batched array were asked for in Python, inside ``vmap``."""


class DependencyError(PolygradError, RuntimeError):
    """An optional package or program is not installed; the message says how to install it."""


class TraceError(PolygradError, TypeError):
    """What a static graph cannot hold, inside :func:`polygrad.trace` and :func:`polygrad.compile`: a value read in
    Python, a shape that depends on values, a Python number that every call changes."""


class UnreadyError(TraceError):
    """A traced function met an object that finishes itself at its first use, as an optimiser its state;
    :func:`polygrad.compile` runs such a call itself."""
