"""What a `_target_` says of itself in its source, read without importing it: torch and timm take seconds to load."""

import ast
from functools import cache
from importlib.machinery import PathFinder
from itertools import accumulate
from pathlib import Path

Definition = ast.ClassDef | ast.FunctionDef


def annotation(target: str, parameter: str) -> str | None:
    """How a class or function annotates a parameter; None where that cannot be told."""
    for _, node in _with_bases(target):
        if isinstance(node, ast.FunctionDef):
            makers = [node]
        else:
            makers = [each for each in node.body if isinstance(each, ast.FunctionDef) and each.name == "__init__"]
        for maker in makers:
            for argument in (*maker.args.args, *maker.args.kwonlyargs):
                if argument.arg == parameter and argument.annotation is not None:
                    return ast.unparse(argument.annotation)
    return None


def attribute(target: str, name: str) -> str | None:
    """The text that a class attribute is set to, in the class or a base; None where that cannot be told."""
    match _value(target, name):
        case ast.Constant(str(text)):
            return text
    return None


def words(target: str, name: str) -> frozenset[str] | None:
    """The same of an attribute that is a `frozenset({"a", "b"})` of texts."""
    match _value(target, name):
        case ast.Call(ast.Name("frozenset"), [ast.Set(each)]) if all(isinstance(one, ast.Constant) for one in each):
            return frozenset(str(ast.literal_eval(one)) for one in each)
    return None


def _value(target: str, name: str) -> ast.expr | None:
    for _, node in _with_bases(target):
        for line in node.body if isinstance(node, ast.ClassDef) else ():
            match line:
                case ast.Assign([ast.Name(found)], value) | ast.AnnAssign(ast.Name(found), _, value) if found == name:
                    return value
    return None


def _with_bases(target: str) -> list[tuple[str, Definition]]:
    """A class and its bases, nearest first, each with its module; or a function; empty where it is not found."""
    module, _, name = target.rpartition(".")
    found = _find(module, name)
    if found is None:
        return []
    module, node = found
    bases = node.bases if isinstance(node, ast.ClassDef) else []
    bases = [base.value if isinstance(base, ast.Subscript) else base for base in bases]  # Head[Outputs]
    inherited = [each for base in bases if isinstance(base, ast.Name) for each in _with_bases(f"{module}.{base.id}")]
    return [found, *inherited]


def _find(module: str, name: str, depth: int = 4) -> tuple[str, Definition] | None:
    """Where a name of a module is defined, there or where it is imported from."""
    tree = _tree(module)
    if tree is None or not depth:
        return None
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name:
            return module, node
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    return _find(node.module, alias.name, depth - 1)
    return None


@cache
def _tree(module: str) -> ast.Module | None:
    path: list[str] | None = None
    spec = None
    for name in accumulate(module.split("."), "{}.{}".format):
        spec = PathFinder.find_spec(name, path)
        if spec is None:
            return None
        path = list(spec.submodule_search_locations or [])
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        return None
    try:
        return ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
    except (OSError, ValueError, SyntaxError):
        return None
