"""The function transforms, named and behaving as in JAX, nesting in any combination.

A transform runs the function once on fresh leaves, which records the graph, and walks over it: backward for
``vjp`` and ``grad``, forward for ``jvp``. Every leaf is unique, so nested transforms cannot confuse whose
perturbation is whose. Where a result can depend on an outer graph, the walk runs on Tensors and the result
carries that graph; otherwise it runs on raw arrays. Results come back in kind: raw arrays for raw arrays.
"""
