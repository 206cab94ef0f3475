"""Rewrites the import statements of musket_core and imgaug to the stand-ins; nothing else in their source.

Works on the syntax tree and keeps every node's position, so tracebacks show upstream's own file and line.
"""

import ast

DEFERRED = "instance_segmentation_pipeline.deferred"
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

DEFERRED_IN = {
    "musket_core": frozenset(
        {
            "lightgbm",
            "matplotlib.pyplot",
            "musket_core.introspector",
            "pandas",
            "sklearn.metrics",
            "sklearn.model_selection",
        }
    ),
    "imgaug": frozenset(),
}
"""The modules that are imported when something of them is used, not by the import statement."""

LAZY_PARENTS_IN = {"musket_core": frozenset(), "imgaug": frozenset({"scipy", "skimage"})}
"""Packages that import their own submodules on first use: ``import scipy.stats`` needs ``import scipy`` only."""


def standin_of(name: str) -> str:
    """Return the module to import in place of the module ``name``; ``name`` itself where it has no stand-in."""
    return f"{STANDINS}.{name}" if name in SERVED else name


def rewrite(source: bytes, path: str, fullname: str) -> ast.Module:
    """Parse ``source`` and redirect its imports as the package of ``fullname`` needs it."""
    package = fullname.partition(".")[0]
    redirect = _Redirect(REDIRECTED_IN[package], DEFERRED_IN[package], LAZY_PARENTS_IN[package])
    tree: ast.Module = redirect.visit(ast.parse(source, filename=path))
    return ast.fix_missing_locations(tree)


class _Redirect(ast.NodeTransformer):
    def __init__(self, roots: frozenset[str], deferred: frozenset[str], lazy_parents: frozenset[str]) -> None:
        self.roots = roots
        self.deferred = deferred
        self.lazy_parents = lazy_parents

    def visit_Import(self, node: ast.Import) -> list[ast.stmt]:
        return [new for alias in node.names for new in self._import(node, alias)]

    def visit_ImportFrom(self, node: ast.ImportFrom) -> list[ast.stmt]:
        root = (node.module or "").partition(".")[0]
        if node.level:
            return [node]
        assert node.module is not None
        if any(f"{node.module}.{alias.name}" in self.deferred for alias in node.names):
            return [new for alias in node.names for new in self._from(node, alias)]
        if root not in self.roots:
            return [node]
        redirected = ast.ImportFrom(module=standin_of(node.module), names=node.names, level=0)
        statements: list[ast.stmt] = [ast.copy_location(redirected, node)]
        if node.module not in SERVED:
            statements.insert(0, _bind(node, root, f"_redirected_{root}"))
        return statements

    def _from(self, node: ast.ImportFrom, alias: ast.alias) -> list[ast.stmt]:
        name = f"{node.module}.{alias.name}"
        if name in self.deferred:
            return _defer(node, name, alias.asname or alias.name)
        return [ast.copy_location(ast.ImportFrom(module=node.module, names=[alias], level=0), node)]

    def _import(self, node: ast.Import, alias: ast.alias) -> list[ast.stmt]:
        root, _, rest = alias.name.partition(".")
        if alias.name in self.deferred and (alias.asname or not rest):
            return _defer(node, alias.name, alias.asname or root)
        if root in self.lazy_parents and alias.asname is None:
            return [ast.copy_location(ast.Import(names=[ast.alias(name=root)]), node)]
        if root not in self.roots:
            return [ast.copy_location(ast.Import(names=[alias]), node)]
        if alias.asname is None:
            statements = [_bind(node, alias.name, f"_redirected_{root}")] if rest else []
            return [*statements, _bind(node, root, root)]
        return [_bind(node, alias.name, alias.asname)]


def _defer(node: ast.stmt, name: str, asname: str) -> list[ast.stmt]:
    """Build ``asname = deferred_module(name)``."""
    function = ast.alias(name="deferred_module", asname="_deferred_module")
    made = ast.Call(func=ast.Name(id="_deferred_module", ctx=ast.Load()), args=[ast.Constant(name)], keywords=[])
    return [
        ast.copy_location(ast.ImportFrom(module=DEFERRED, names=[function], level=0), node),
        ast.copy_location(ast.Assign(targets=[ast.Name(id=asname, ctx=ast.Store())], value=made), node),
    ]


def _bind(node: ast.stmt, name: str, asname: str) -> ast.stmt:
    """Build ``import <stand-in of name> as asname``; a submodule without a stand-in is read off its parent's."""
    statement: ast.stmt
    if name in SERVED:
        statement = ast.Import(names=[ast.alias(name=standin_of(name), asname=asname)])
    else:
        parent, _, leaf = name.rpartition(".")
        statement = ast.ImportFrom(module=standin_of(parent), names=[ast.alias(name=leaf, asname=asname)], level=0)
    return ast.copy_location(statement, node)
