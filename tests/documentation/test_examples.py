"""The examples in docstrings of the pure rooms: they run, and every public function and class has one."""

import ast
import doctest
import importlib

import pytest

from tests.support.project import REPOSITORY

PACKAGE = "instance_segmentation_pipeline"
MODULES = [
    f"{PACKAGE}.{room}.{path.stem}"
    for room in ("detection", "metrics")
    for path in sorted((REPOSITORY / PACKAGE / room).glob("*.py"))
    if path.stem != "__init__"
]


def public(module):
    """Return the public functions and classes that a module defines; types of dictionaries have nothing to show."""
    tree = ast.parse((REPOSITORY / module.replace(".", "/")).with_suffix(".py").read_text())
    names = [node.name for node in tree.body if isinstance(node, (ast.FunctionDef, ast.ClassDef))]
    defined = [getattr(importlib.import_module(module), name) for name in names if not name.startswith("_")]
    return [one for one in defined if not hasattr(one, "__required_keys__")]


@pytest.mark.parametrize("module", MODULES)
def test_examples_give_what_they_say(module):
    runner = doctest.DocTestRunner()
    said = []
    for test in doctest.DocTestFinder(exclude_empty=True).find(importlib.import_module(module)):
        runner.run(test, out=said.append)
    assert runner.failures == 0, "".join(said)
    assert runner.tries >= len(public(module))


@pytest.mark.parametrize("module", MODULES)
def test_every_public_function_has_an_example(module):
    without = [one.__name__ for one in public(module) if not doctest.DocTestParser().get_examples(one.__doc__ or "")]
    assert without == [], f"{module}: give each a '>>>' that shows what it returns"
