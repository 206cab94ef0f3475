"""Rewrites the import statements of musket_core and imgaug to the stand-ins; nothing else in their source.

Works on the syntax tree and keeps every node's position, so tracebacks show upstream's own file and line.
"""

import ast

STANDINS = "instance_segmentation_pipeline.legacy.standins"

SERVED = frozenset(
    {
        "collections",
        "importlib",
        "keras",
        "keras.backend",
        "keras.callbacks",
        "keras.metrics",
        "keras.utils",
        "keras.utils.data_utils",
        "numpy",
        "tensorflow",
    }
)
"""The modules that have a stand-in. Other submodules of these packages come from the real package."""

REDIRECTED_IN = {
    "musket_core": frozenset({"collections", "importlib", "keras", "numpy", "tensorflow"}),
    "imgaug": frozenset({"numpy"}),
}


def standin_of(name: str) -> str:
    """Return the module to import in place of the module ``name``; ``name`` itself where it has no stand-in."""
    return f"{STANDINS}.{name}" if name in SERVED else name


def rewrite(source: bytes, path: str, fullname: str) -> ast.Module:
    """Parse ``source`` and redirect its imports as the package of ``fullname`` needs it."""
    roots = REDIRECTED_IN[fullname.partition(".")[0]]
    tree = _Redirect(roots).visit(ast.parse(source, filename=path))
    return ast.fix_missing_locations(tree)


class _Redirect(ast.NodeTransformer):
    def __init__(self, roots: frozenset) -> None:
        self.roots = roots

    def visit_Import(self, node: ast.Import) -> list:
        return [new for alias in node.names for new in self._import(node, alias)]

    def visit_ImportFrom(self, node: ast.ImportFrom) -> list:
        root = (node.module or "").partition(".")[0]
        if node.level or root not in self.roots:
            return [node]
        assert node.module is not None
        redirected = ast.ImportFrom(module=standin_of(node.module), names=node.names, level=0)
        statements: list = [ast.copy_location(redirected, node)]
        if node.module not in SERVED:
            statements.insert(0, _bind(node, root, f"_redirected_{root}"))
        return statements

    def _import(self, node: ast.Import, alias: ast.alias) -> list:
        root, _, rest = alias.name.partition(".")
        if root not in self.roots:
            return [ast.copy_location(ast.Import(names=[alias]), node)]
        if alias.asname is None:
            statements = [_bind(node, alias.name, f"_redirected_{root}")] if rest else []
            return [*statements, _bind(node, root, root)]
        return [_bind(node, alias.name, alias.asname)]


def _bind(node: ast.stmt, name: str, asname: str) -> ast.stmt:
    """Build ``import <stand-in of name> as asname``; a submodule without a stand-in is read off its parent's."""
    statement: ast.stmt
    if name in SERVED:
        statement = ast.Import(names=[ast.alias(name=standin_of(name), asname=asname)])
    else:
        parent, _, leaf = name.rpartition(".")
        statement = ast.ImportFrom(module=standin_of(parent), names=[ast.alias(name=leaf, asname=asname)], level=0)
    return ast.copy_location(statement, node)
