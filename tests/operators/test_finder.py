"""Which operators MMCV gets, and what is said when they are not there."""

import ast
import importlib.util
import shutil
import subprocess
import sys
import sysconfig
import textwrap
from pathlib import Path

import pytest
import torch

from instance_segmentation_pipeline.errors import UserError
from instance_segmentation_pipeline.operators.extension import FAMILIES, MissingOperatorError, operators
from instance_segmentation_pipeline.operators.names import NAMES
from tests.support.project import REPOSITORY

pytestmark = pytest.mark.slow

MMCV = Path(importlib.util.find_spec("mmcv").origin).parent
HAS_COMPILED = bool(list(MMCV.glob("_ext*.so")))
SAY = """
import mmcv._ext
from instance_segmentation_pipeline.operators.finder import in_use
print(in_use(), mmcv._ext.get_compiler_version())
"""


def names_asked_for() -> set:
    """What the installed MMCV's own sources pass to ``load_ext``."""
    names = set()
    for path in MMCV.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "load_ext":
                names.update(ast.literal_eval(node.args[1]))
    return names


def test_every_name_that_mmcv_asks_for_is_there():
    asked = names_asked_for()
    assert len(asked) > 100
    assert asked == NAMES
    assert set(operators()) == NAMES


def test_every_operator_of_ours_is_one_that_mmcv_asks_for():
    ours = [name for family in FAMILIES for name in family.__all__]
    assert len(ours) == len(set(ours)) == 31
    assert set(ours) < NAMES


def test_an_operator_that_is_not_there_says_so_when_called():
    with pytest.raises(MissingOperatorError, match="'prroi_pool_forward'.*compile MMCV") as caught:
        operators()["prroi_pool_forward"](1, 2, three=3)
    assert isinstance(caught.value, UserError)
    assert isinstance(caught.value, NotImplementedError)


@pytest.fixture
def python(run, tmp_path):
    def call(code, **env):
        return run(sys.executable, "-c", textwrap.dedent(code), cwd=tmp_path, env={"OMP_NUM_THREADS": "1", **env})

    return call


@pytest.fixture
def beside(tmp_path):
    """A folder with an ``mmcv`` whose Python is the installed one's, for PYTHONPATH; its ``_ext`` is the test's."""
    copy = tmp_path / "beside" / "mmcv"
    copy.mkdir(parents=True)
    for path in MMCV.iterdir():
        if path.name != "__pycache__" and not path.name.startswith("_ext"):
            (copy / path.name).symlink_to(path)
    return copy


def test_importing_the_package_is_enough_where_no_pth_is_read(run, beside):
    places = [str(beside.parent), str(REPOSITORY), *sys.path]
    code = f"import sys; sys.path[:] = {places!r}\nimport instance_segmentation_pipeline\n{SAY}"
    done = run(sys.executable, "-S", "-c", code, env={"OMP_NUM_THREADS": "1", "MUSKET_MMDETECTION_OPERATORS": ""})
    assert done.stdout.startswith("torch "), done.stderr


@pytest.mark.parametrize("redirection", ["1", "0"])
def test_torch_by_hand(python, redirection):
    done = python(SAY, MUSKET_MMDETECTION_OPERATORS="torch", MUSKET_MMDETECTION_BOOTSTRAP=redirection)
    assert done.stdout.split(maxsplit=1) == ["torch", "none (operators in PyTorch)\n"], done.stderr
    assert done.stderr == ""


@pytest.mark.skipif(not HAS_COMPILED, reason="this environment has no compiled MMCV")
@pytest.mark.parametrize("choice", ["", "compiled"])
def test_a_compiled_one_that_loads_wins(python, choice):
    done = python(SAY, MUSKET_MMDETECTION_OPERATORS=choice)
    assert done.stdout.startswith("compiled "), done.stderr
    assert "PyTorch" not in done.stdout


def test_torch_where_none_is_compiled(python, beside):
    done = python(SAY, PYTHONPATH=str(beside.parent), MUSKET_MMDETECTION_OPERATORS="")
    assert done.stdout.startswith("torch "), done.stderr
    assert done.stderr == ""


def test_compiled_by_hand_where_there_is_none(python, beside):
    done = python(SAY, PYTHONPATH=str(beside.parent), MUSKET_MMDETECTION_OPERATORS="compiled")
    assert done.returncode != 0
    assert "ConfigError: MUSKET_MMDETECTION_OPERATORS=compiled, but this MMCV has no" in done.stderr.splitlines()[-1]


def damaged(beside) -> Path:
    """A library that is none stands for one of another torch: both end in the loader's ImportError."""
    from importlib.machinery import EXTENSION_SUFFIXES

    library = beside / f"_ext{EXTENSION_SUFFIXES[0]}"
    library.write_bytes(b"\x7fELF of another torch")
    return library


def test_one_that_cannot_be_loaded_is_replaced_with_one_line(python, beside):
    library = damaged(beside)
    code = (
        SAY
        + """
import multiprocessing, torch, mmcv.ops
if __name__ == "__main__":
    boxes = torch.tensor([[0.0, 0, 8, 8], [1, 1, 8, 8]])
    print(mmcv.ops.nms(boxes, torch.tensor([.5, .6]), .5)[1].tolist())
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        print(pool.apply(__import__("instance_segmentation_pipeline.operators.finder", fromlist=["a"]).in_use))
"""
    )
    done = python(code, PYTHONPATH=str(beside.parent), MUSKET_MMDETECTION_OPERATORS="")
    assert done.stdout.splitlines() == ["torch none (operators in PyTorch)", "[1]", "torch"], done.stderr
    (line,) = done.stderr.splitlines()
    assert str(library) in line
    assert "cannot be loaded with torch" in line
    assert len(line) < 600


def a_library_cut_off(path: Path) -> None:
    library = next(Path(torch.__file__).parent.glob("lib/libtorch_python*"))
    with library.open("rb") as file:
        path.write_bytes(file.read(300_000))


def one_of_another_mmcv(path: Path) -> None:
    """An extension module that loads and lacks names."""
    source = path.with_name("lacking.c")
    source.write_text(
        '#include <Python.h>\nstatic struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_ext", 0, -1, 0};\n'
        "PyMODINIT_FUNC PyInit__ext(void) { return PyModule_Create(&module); }\n"
    )
    compiler, headers = shutil.which("cc"), sysconfig.get_paths()["include"]
    if compiler is None or not Path(headers, "Python.h").is_file():
        pytest.skip("no C compiler here")
    subprocess.run([compiler, "-shared", "-fPIC", f"-I{headers}", "-o", path, source], check=True)


@pytest.mark.skipif(sys.platform != "linux", reason="the libraries are ELF")
@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (a_library_cut_off, "the file is truncated"),
        (one_of_another_mmcv, "it lacks active_rotated_filter_backward and"),
    ],
)
@pytest.mark.parametrize("choice", ["", "compiled"])
def test_a_library_cut_off_or_of_another_mmcv_is_replaced(python, beside, broken, reason, choice):
    broken(damaged(beside))
    done = python(SAY, PYTHONPATH=str(beside.parent), MUSKET_MMDETECTION_OPERATORS=choice)
    assert reason in done.stderr.splitlines()[-1]
    if choice:
        assert "ConfigError: MUSKET_MMDETECTION_OPERATORS=compiled, but" in done.stderr.splitlines()[-1]
    else:
        assert done.stdout.startswith("torch "), done.stderr


def test_compiled_by_hand_that_cannot_be_loaded(python, beside):
    library = damaged(beside)
    done = python(SAY, PYTHONPATH=str(beside.parent), MUSKET_MMDETECTION_OPERATORS="compiled")
    assert done.returncode != 0
    assert "ConfigError: MUSKET_MMDETECTION_OPERATORS=compiled, but" in done.stderr.splitlines()[-1]
    assert str(library) in done.stderr.splitlines()[-1]


def test_any_other_choice_is_refused_by_name(python):
    done = python(SAY, MUSKET_MMDETECTION_OPERATORS="cuda")
    assert done.returncode != 0
    last = done.stderr.splitlines()[-1]
    assert "MUSKET_MMDETECTION_OPERATORS='cuda'" in last
    assert "'torch'" in last
    assert "'compiled'" in last


def test_nothing_heavy_is_imported_before_mmcv_asks(python):
    done = python("""
        import sys
        heavy = {"torch", "numpy", "mmcv", "instance_segmentation_pipeline.operators.extension"} & set(sys.modules)
        assert "instance_segmentation_pipeline.operators.finder" in sys.modules
        import importlib.util
        print(heavy, importlib.util.find_spec("json") is not None)
    """)
    assert done.stdout.split() == ["set()", "True"], done.stderr


def test_mmcv_is_asked_whether_it_has_operators(python):
    done = python(
        "from mmcv.utils.ext_loader import check_ops_exist; import mmcv.utils; print(mmcv.utils.collect_env()"
        "['MMCV Compiler'])",
        MUSKET_MMDETECTION_OPERATORS="torch",
    )
    assert done.stdout.strip().endswith("none (operators in PyTorch)"), done.stderr
