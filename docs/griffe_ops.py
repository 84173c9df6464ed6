"""Prepares docstrings and signatures for the reference: doctests become code blocks, roles become names, and ops
are shown as they are called (a forward is declared on raw arrays, with the namespace first)."""

import re
from typing import Any

import griffe

_DECLARING = {"unary", "binary", "special"}
_ROLE = re.compile(r":(?:func|class|meth|mod|attr|data):`(~?)([^`]+)`")
_DOCTEST = re.compile(r"^( *)>>> .*(?:\n(?! *$).*)*", re.MULTILINE)


def _role(match: re.Match[str]) -> str:
    name = match[2].rpartition(".")[2] if match[1] else match[2]
    return f"`{name}`"


def _fenced(match: re.Match[str]) -> str:
    return f"{match[1]}```pycon\n{match[0]}\n{match[1]}```"


def as_markdown(text: str) -> str:
    """A docstring in Markdown."""
    text = re.sub(r"^::\n", "", _ROLE.sub(_role, text), flags=re.MULTILINE)
    return _DOCTEST.sub(_fenced, re.sub(r"::$", ":", text, flags=re.MULTILINE))


class PublicOps(griffe.Extension):
    """What the module's docstring says."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = as_markdown(obj.docstring.value)

    def on_function(self, *, func: griffe.Function, **kwargs: Any) -> None:
        if not any(d.callable_path.rpartition(".")[2] in _DECLARING for d in func.decorators):
            return
        func.parameters = griffe.Parameters(*[p for p in func.parameters if p.name != "xp"])
        for parameter in func.parameters:
            parameter.annotation = "ArrayLike"
        func.returns = "Tensor"
        func.decorators = []
