"""polygrad's backends: one small module per array library, each named by an entry point.

They import ``polygrad.backend``, ``polygrad.errors`` and their own library (inside ``__init__``), nothing
else of polygrad: what they do, a third party's backend does in the same way.
"""
