"""Special functions: each one's forward, which is the library's own or SciPy's, and its derivative, which is ours."""
