"""The import redirection: a plain ``python`` that never names our package, and nothing else changed."""

import subprocess
import sys
import textwrap
import zipfile
from pathlib import Path

import pytest

from tests.support.project import REPOSITORY

pytestmark = pytest.mark.slow

MUSKET = Path(
    subprocess.check_output(
        [sys.executable, "-c", "import musket_core; print(musket_core.__path__[0])"], text=True
    ).strip()
)


@pytest.fixture
def python(run, tmp_path):
    def call(code, *flags, **env):
        return run(sys.executable, *flags, "-c", textwrap.dedent(code), cwd=tmp_path, env=env)

    return call


def test_musket_core_works_in_a_plain_python(python):
    done = python("""
        from musket_core import generic
        import keras, sys
        assert "instance_segmentation_pipeline" not in open(generic.__file__).read()
        print(generic.parse.__name__, sys.modules["keras"].backend.backend(), "tensorflow" in sys.modules)
    """)
    assert done.stdout.split() == ["parse", "torch", "False"], done.stderr
    assert done.stderr == ""


def test_every_module_of_musket_core_imports(python):
    done = python("""
        import importlib, pkgutil, musket_core
        skip = {"launch", "test", "inspectProject", "task", "analize"}
        names = [m.name for m in pkgutil.iter_modules(musket_core.__path__) if not m.ispkg and m.name not in skip]
        for name in names:
            importlib.import_module("musket_core." + name)
        print(len(names))
    """)
    assert int(done.stdout.split()[-1]) > 35, done.stderr


def test_other_packages_see_no_change(python):
    done = python("""
        import os
        from musket_core import generic, metrics
        import keras, numpy, importlib.util
        assert importlib.util.find_spec("tensorflow") is None
        assert not hasattr(numpy, "sctypes") and numpy.bool is numpy.bool_ and not hasattr(numpy, "int")
        assert not hasattr(keras.callbacks, "CyclicLR") and not hasattr(keras.utils, "multi_gpu_model")
        assert "dice" not in keras.utils.get_custom_objects()
        assert "KERAS_BACKEND" not in os.environ
        import collections
        assert not hasattr(collections, "Iterable")
        print("unchanged")
    """)
    assert done.stdout.strip() == "unchanged", done.stderr


def test_tensorboard_finds_no_tensorflow(python):
    pytest.importorskip("tensorboard", reason="tensorboard is not installed")
    done = python("""
        from musket_core import generic
        from tensorboard.compat import tf
        print(type(tf).__module__, tf.__name__)
    """)
    assert "instance_segmentation_pipeline" not in done.stdout, done.stdout


def test_it_can_be_switched_off(python):
    done = python("import musket_core.generic", MUSKET_MMDETECTION_BOOTSTRAP="0")
    assert done.returncode != 0
    assert "Error" in done.stderr
    assert "standins" not in done.stderr


def test_an_error_inside_keeps_its_file_and_line(python):
    done = python("from musket_core import utils; utils.load_yaml('/no/such/file')")
    lines = (MUSKET / "utils.py").read_text().splitlines()
    number = next(n for n, line in enumerate(lines, 1) if 'with open(path, "r") as f' in line)
    assert f'{MUSKET / "utils.py"}", line {number}, in load_yaml' in done.stderr


def test_stale_bytecode_is_not_executed(run, tmp_path):
    """Upstream's own bytecode, however fresh it looks, is never read: imports would not be rewritten."""
    script = """
        import importlib.util, pathlib, py_compile, sys
        import musket_core
        source = pathlib.Path(musket_core.__path__[0]) / "parralel.py"
        py_compile.compile(str(source), doraise=True)
        import musket_core.parralel as module
        assert "standins" in module.K.__name__, module.K
        print("redirected", "opt-redirected" in module.__cached__)
    """
    for _ in range(2):
        done = run(sys.executable, "-c", textwrap.dedent(script), cwd=tmp_path)
        assert done.stdout.split() == ["redirected", "True"], done.stderr


def test_damaged_cache_is_compiled_anew(run, tmp_path):
    code = "import musket_core.structure_constants as module; print(module.__cached__)"
    writes = {"PYTHONDONTWRITEBYTECODE": ""}
    cache = Path(run(sys.executable, "-c", code, env=writes).stdout.strip())
    whole = cache.read_bytes()
    cache.write_bytes(whole[:40])
    done = run(sys.executable, "-c", code, env=writes)
    assert done.returncode == 0, done.stderr
    assert cache.read_bytes() == whole


def test_start_up_imports_nothing_heavy(python):
    done = python("""
        import sys
        heavy = {"numpy", "torch", "keras", "yaml", "ast", "mmengine", "argparse"} & set(sys.modules)
        print("instance_segmentation_pipeline.legacy.finder" in sys.modules, sorted(heavy))
    """)
    assert done.stdout.split(" ", 1)[0] == "True", done.stdout
    assert done.stdout.strip().endswith("[]"), done.stdout


def test_keras_callbacks_come_by_name(python):
    done = python("""
        from musket_core import generic, configloader
        print(type(configloader.parse("callbacks", {"CyclicLR": {"base_lr": 0.1, "max_lr": 1.0}})[0]).__name__)
    """)
    assert done.stdout.strip() == "CyclicLR", done.stderr


@pytest.mark.parametrize("kind", ["wheel", "editable"])
def test_a_built_wheel_holds_the_pth(run, tmp_path, kind):
    """Both kinds of installation put the bootstrap at the root of site-packages, and RECORD names it."""
    pytest.importorskip("setuptools", minversion="77", reason="building needs a newer setuptools")
    code = f"import setuptools.build_meta as backend; print(backend.build_{kind}({str(tmp_path)!r}))"
    done = run(sys.executable, "-c", code, cwd=REPOSITORY)
    assert done.returncode == 0, done.stderr[-2000:]
    with zipfile.ZipFile(tmp_path / done.stdout.split()[-1]) as wheel:
        assert wheel.read("instance_segmentation_pipeline.pth") == b"import instance_segmentation_pipeline.legacy\n"
        record = next(name for name in wheel.namelist() if name.endswith("RECORD"))
        assert b"instance_segmentation_pipeline.pth," in wheel.read(record)
