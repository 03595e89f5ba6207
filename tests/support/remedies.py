"""What messages advise: the code in the text of an error or a warning, executed as it stands."""

import ast
import copy
import os
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy

import xpnet
from xpnet import search

SOURCES = [*sorted(Path(xpnet.__file__).parent.rglob("*.py")), *(Path(__file__).parents[2] / "examples").glob("*.py")]


def said(call: Any) -> str:
    """The text of the error that a call raises, or else of the warnings that it gives."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        try:
            call()
        except Exception as error:
            return str(error)
    assert told, "there was neither an error nor a warning"
    return "\n".join(str(warning.message) for warning in told)


def codes(text: object) -> list[str]:
    """The code in a message: what is in backticks, but for single names and signs."""
    return [code for code in re.findall(r"`([^`]+)`", str(text)) if re.search(r"\w", code) and not code.isidentifier()]


class Names(dict[str, Any]):
    """The names that a user has where code is executed: those given, all of xpnet and of xpnet.search; also attributes.

    `results` are what the lines executed gave, in their order: the value of an expression, of an assignment (also
    where it is meant as an argument, ``lr=0.1``) and of a ``return``.
    """

    def __init__(self, names: dict[str, Any]) -> None:
        super().__init__({"copy": copy, "numpy": numpy, "xpnet": xpnet})
        self.update({name: getattr(module, name) for module in (xpnet, search) for name in module.__all__})
        self.update(names)
        self["results"] = []

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None

    @property
    def result(self) -> Any:
        """What the last line gave."""
        return self.results[-1]

    def run(self, code: str) -> None:
        """Execute a line as it stands; one of a shell that sets a variable sets it for this process.

        What installs packages is not executed.
        """
        if re.match(r"(python -m )?pip |sudo apt ", code):
            return
        if setting := re.fullmatch(r"(?:export )?(XPNET_\w+)=(\S+)", code):
            os.environ[setting[1]] = setting[2]
            return
        if code.startswith("return "):
            code = code.removeprefix("return ")
        (line,) = ast.parse(code).body
        if isinstance(line, ast.Expr):
            self.results.append(eval(code, self))
            return
        exec(code, self)
        if isinstance(line, ast.Assign):
            self.results.append(eval(ast.unparse(line.targets[-1]), self))


def texts() -> Iterator[str]:
    """The strings of the library and of the example programs, docstrings apart.

    What is put into an f-string stands in it in braces, as it is written.
    """
    for path in SOURCES:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        inner = {part for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
        inner |= {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            if node not in inner and (text := _text(node)):
                yield text


def gives_advice(text: str) -> bool:
    """Whether there is code in a text, or a command."""
    return bool(codes(text) or re.search(r"\bpip |python -m ", text))


def _text(node: ast.AST) -> str:
    """The text of a string or an f-string; empty for anything else."""
    if isinstance(node, ast.JoinedStr):
        parts = [p.value if isinstance(p, ast.Constant) else f"{{{ast.unparse(p.value)}}}" for p in node.values]
        return "".join(parts)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
