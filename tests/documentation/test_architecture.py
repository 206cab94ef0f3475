"""ARCHITECTURE.md against the disk and against the rules that import-linter enforces."""

import configparser
import re

import pytest

from tests.support.project import REPOSITORY

PACKAGE = REPOSITORY / "instance_segmentation_pipeline"
PAGE = (REPOSITORY / "ARCHITECTURE.md").read_text()
TREE = re.search(r"^```\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE).group(1).splitlines()


def described():
    """Return the entries of the page's tree: room or module, and the modules that it names."""
    lines = [re.match(r"(\S+)\s+(.*)", line) for line in TREE if line != "--"]
    return {line[1]: set(line[2].rpartition(": ")[2].split()) for line in lines}


def on_disk(folder):
    """Return the modules and unnamed folders of a room."""
    names = {path.stem for path in folder.glob("*.py")} - {"__init__"}
    rooms = {f"{path.name}/" for path in folder.iterdir() if (path / "__init__.py").exists() or path.name == "programs"}
    return names | {name for name in rooms if f"{folder.name}/{name.rstrip('/')}" not in described()}


def test_every_room_and_every_module_of_the_floor_is_in_the_tree():
    rooms = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists()}
    modules = {path.stem for path in PACKAGE.glob("*.py")} - {"__init__"}
    assert {name for name in described() if "/" not in name} == rooms | modules


@pytest.mark.parametrize("room", [name for name in described() if (PACKAGE / name).is_dir()])
def test_the_modules_of_a_room_are_those_on_disk(room):
    assert described()[room] == on_disk(PACKAGE / room)


def test_the_layers_are_those_that_are_enforced():
    rules = configparser.ConfigParser()
    rules.read(REPOSITORY / ".importlinter")
    enforced = [
        set(layer.split(" | ")) for layer in rules["importlinter:contract:rooms"]["layers"].split("\n") if layer
    ]
    layers = [set()]
    for line in TREE:
        if line == "--":
            layers.append(set())
        else:
            layers[-1].add(line.split()[0].partition("/")[0])
    assert layers == enforced


def test_modules_that_the_page_names_are_there():
    for name in re.findall(r"`(\w+\.\w+(?:\.\w+)*)(?:\(\))?`", PAGE.split("## The walk of one item")[1]):
        room, *rest = name.split(".")
        if (PACKAGE / room).is_dir():
            path = PACKAGE.joinpath(room, rest[0])
            assert path.with_suffix(".py").exists() or path.is_dir(), name


def test_every_room_says_what_it_is_for():
    for path in PACKAGE.glob("*/__init__.py"):
        assert path.read_text().startswith('"""'), path


def test_the_changelog_knows_the_version():
    from instance_segmentation_pipeline import __version__

    changes = (REPOSITORY / "CHANGELOG.md").read_text()
    assert f"## [{__version__}] - " in changes
    assert changes.index("## [Unreleased]") < changes.index(f"## [{__version__}]")


def test_hooks_before_a_commit_are_those_of_make_lint():
    import yaml

    hooks = yaml.safe_load((REPOSITORY / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    lint = (REPOSITORY / "Makefile").read_text().partition("\nlint:")[2].partition("\n\n")[0]
    for hook in hooks:
        assert hook["entry"].replace(".venv/bin", "$(BIN)").removesuffix(" --fix") in lint


def test_make_help_names_every_target():
    makefile = (REPOSITORY / "Makefile").read_text()
    phony = re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)[1].split()
    assert set(re.findall(r"^(\w+):.* ## \w", makefile, re.MULTILINE)) == set(phony)


TESTS = REPOSITORY / "tests"
BESIDE_ROOMS = {"system", "documentation", "support"}


def test_tests_lie_in_the_folder_of_the_room_that_they_are_about():
    for path in TESTS.rglob("*.py"):
        folder, *within = path.relative_to(TESTS).parts
        if not within:
            modules = {f"test_{name}.py" for name in described() if "/" not in name and not (PACKAGE / name).is_dir()}
            assert folder in modules | {"conftest.py", "__init__.py"}, f"{path.name} belongs into tests/<room>/"
        else:
            assert (PACKAGE / folder).is_dir() or folder in BESIDE_ROOMS, f"{folder}/ is no room"
            assert len(within) == 1, f"{path} lies deeper than its room"
            assert (path.parent / "__init__.py").exists(), f"{path.parent} has no __init__.py"


def test_what_tests_share_is_imported_from_their_support_folder():
    gone = r"^\s*(?:from|import) (?:conftest|small_models|datasets_for_tests|operator\w*|test_\w+|support)\b"
    for path in TESTS.rglob("*.py"):
        wrong = re.search(gone, path.read_text(), re.MULTILINE)
        assert not wrong, f"{path.relative_to(TESTS)}: {wrong[0].strip()!r} should be an import from tests.support"


def test_files_of_tests_are_short():
    long = {path.name: lines for path in TESTS.rglob("*.py") if (lines := len(path.read_text().splitlines())) > 450}
    assert long == {}, "split them by subject"


def test_files_and_modules_that_contributing_names_are_there():
    """Paths from the repository or the package, modules with dots, and classes by their name."""
    sources = "".join(path.read_text() for path in PACKAGE.rglob("*.py"))
    for name in re.findall(r"`([^`\n]+)`", (REPOSITORY / "CONTRIBUTING.md").read_text()):
        if re.fullmatch(r"[\w./]+/|[\w./]+\.(?:py|md|toml)", name):
            assert (REPOSITORY / name).exists() or (PACKAGE / name).exists(), name
        elif re.fullmatch(r"(?:tests\.)?[a-z]+(?:\.[a-z_]+)+", name) and not name.startswith("mmengine"):
            path = (PACKAGE if not name.startswith("tests") else REPOSITORY).joinpath(*name.split("."))
            assert path.with_suffix(".py").exists(), name
        elif re.fullmatch(r"[A-Z][a-z]+(?:[A-Z][a-z]+)+", name):
            assert f"class {name}" in sources, name
