"""NumPy's protocols: what ``np.sin(tensor)``, ``np.concatenate([t, u])`` and ``scipy.special.gammaln(tensor)`` do.

NumPy hands a call that a Tensor takes part in to ``Tensor.__array_ufunc__`` or ``Tensor.__array_function__``, which
look the function up by its name: polygrad needs no NumPy for it. What has an equivalent stays in the graph. What has
none is computed by NumPy itself where no argument requires grad, and raises where one does: nothing is detached.

The call path: NumPy, Tensor, :func:`call_ufunc` or :func:`call_function`, the tables (``ufuncs``, ``functions``, ...),
polygrad's ops.
"""

from .dispatch import call_function, call_ufunc

__all__ = ["call_function", "call_ufunc"]
