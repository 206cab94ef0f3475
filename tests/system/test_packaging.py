"""What an installation holds, and what it says when it was put together wrongly."""

import os
import re
import subprocess
import sys
import tarfile
import textwrap
import warnings
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest

import instance_segmentation_pipeline
from instance_segmentation_pipeline import mixed_environments
from instance_segmentation_pipeline.errors import ConfigError
from instance_segmentation_pipeline.legacy.finder import RewritingLoader
from instance_segmentation_pipeline.models.config_file import locate, read_native
from instance_segmentation_pipeline.zoo.own_configs import own_folder, own_names
from tests.support.project import REPOSITORY, SMALL_CONFIG

pytestmark = pytest.mark.slow

IMGAUG = {"imgaug": "0.3.0", "imaug": "0.4.3"}
DIGITS = f"{sys.version_info[0]}.{sys.version_info[1]}"


def build(run, source, target, kind):
    code = f"import setuptools.build_meta as backend; print(backend.build_{kind}({str(target)!r}))"
    done = run(sys.executable, "-c", code, cwd=source)
    assert done.returncode == 0, done.stderr[-2000:]
    return Path(target) / done.stdout.split()[-1]


def test_wheel_and_sdist_carry_the_configs(run, tmp_path):
    """The wheel of the repository and the wheel of its sdist hold the same files, ours among them."""
    pytest.importorskip("setuptools", minversion="77", reason="building needs a newer setuptools")
    sdist = build(run, REPOSITORY, tmp_path, "sdist")
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path / "unpacked", filter="data")
    (unpacked,) = (tmp_path / "unpacked").iterdir()
    held = []
    for number, source in enumerate((REPOSITORY, unpacked)):
        with zipfile.ZipFile(build(run, source, tmp_path / str(number), "wheel")) as wheel:
            inside = "instance_segmentation_pipeline/configs/"
            assert wheel.read(inside + SMALL_CONFIG.name) == SMALL_CONFIG.read_bytes()
            record = next(name for name in wheel.namelist() if name.endswith("RECORD"))
            assert f"{inside}{SMALL_CONFIG.name},sha256=" in wheel.read(record).decode()
            held.append(set(wheel.namelist()))
    assert held[0] == held[1]
    assert "instance_segmentation_pipeline.pth" in held[0]


def test_one_version():
    assert version("instance_segmentation_pipeline") == instance_segmentation_pipeline.__version__


def test_own_configs_by_name(tmp_path):
    assert own_folder() == REPOSITORY / "configs"
    assert SMALL_CONFIG.stem in own_names()
    for name in (SMALL_CONFIG.stem, SMALL_CONFIG.name):
        assert locate(f"musket::{name}", tmp_path) == SMALL_CONFIG
    assert read_native(locate(f"musket::{SMALL_CONFIG.stem}", tmp_path)).model.type == "RTMDet"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("musket::rtmdet-ins_tiny_small", "did you mean 'musket::rtmdet-ins_tiny_small-images'?"),
        ("musket::", "there is musket::rtmdet-ins_nano_fine-masks, musket::rtmdet-ins_tiny_small-images"),
        ("musket::../setup", "is not a config of this package"),
    ],
)
def test_unknown_own_config(tmp_path, name, expected):
    with pytest.raises(ConfigError, match=re.escape(expected)):
        locate(name, tmp_path)


def test_musket_models_lists_own_configs(musket):
    done = musket("models", "--search", "small-images")
    assert done.returncode == 0, done.stderr
    assert re.search(r"^musket::rtmdet-ins_tiny_small-images +RTMDet ", done.stdout, re.MULTILINE)


def test_invalid_escapes_of_upstream_are_silent_and_others_not(tmp_path):
    source = tmp_path / "upstream.py"
    source.write_text("PATTERN = '\\d'\n")
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        compile(source.read_text(), str(source), "exec")
        assert len(told) == 1
        RewritingLoader("musket_core.upstream", str(source)).get_code("musket_core.upstream")
        assert len(told) == 1
        compile(source.read_text(), str(source), "exec")
        assert len(told) == 2


@pytest.fixture
def environment(tmp_path):
    """Return an environment with our start-up, and wheels of imgaug and imaug that hold the same module."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "env"], check=True)
    (site,) = (tmp_path / "env" / "lib").glob("python*/site-packages")
    (site / "ours.pth").write_text(f"{REPOSITORY}\nimport instance_segmentation_pipeline.legacy\n")
    (tmp_path / "wheels").mkdir()
    for name, number in IMGAUG.items():
        info = f"{name}-{number}.dist-info"
        files = {
            "imgaug/__init__.py": f"__version__ = {number!r}\n",
            f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {number}\n",
            f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        }
        record = "".join(f"{file},,\n" for file in (*files, f"{info}/RECORD"))
        with zipfile.ZipFile(tmp_path / "wheels" / f"{name}-{number}-py3-none-any.whl", "w") as wheel:
            for file, text in {**files, f"{info}/RECORD": record}.items():
                wheel.writestr(file, text)
    return tmp_path


@pytest.fixture
def pip(environment, run):
    def call(*arguments):
        where = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(environment / "wheels"), "PIP_CONFIG_FILE": os.devnull}
        target = environment / "env" / "bin" / "python"
        done = run(sys.executable, "-m", "pip", "--python", target, *arguments, env=where)
        assert done.returncode == 0, done.stderr

    return call


@pytest.fixture
def imgaug(environment, run):
    def call():
        code = "import imgaug; print(imgaug.__version__)"
        return run(environment / "env" / "bin" / "python", "-c", code, cwd=environment)

    return call


def test_imaug_installed_last_is_silent(pip, imgaug):
    pip("install", "imgaug")
    pip("install", "imaug")
    done = imgaug()
    assert (done.stdout, done.stderr) == ("0.4.3\n", "")


def test_imgaug_installed_last_is_told_with_the_command_that_helps(pip, imgaug):
    pip("install", "imaug")
    pip("install", "imgaug")
    done = imgaug()
    assert done.stdout == "0.3.0\n"
    assert len(done.stderr.splitlines()) == 1
    command = re.search(r"-m pip (install .*)$", done.stderr.strip()).group(1)
    pip(*command.split())
    assert imgaug().stderr == ""


@pytest.mark.parametrize("removed", IMGAUG)
def test_uninstalling_one_of_the_two_is_told(pip, imgaug, removed):
    pip("install", "imgaug", "imaug")
    pip("uninstall", "--yes", removed)
    done = imgaug()
    assert done.returncode == 1
    said = done.stderr.splitlines()[-1]
    assert re.match(r"\S*IncompleteModuleError: the module imgaug is incomplete", said)
    pip(*re.search(r"-m pip (install .*)$", said).group(1).split())
    assert imgaug().stdout == "0.4.3\n"


def test_what_is_told_is_no_defect_for_the_commands(pip, environment, run):
    pip("install", "imgaug", "imaug")
    pip("uninstall", "--yes", "imgaug")
    code = (
        "from instance_segmentation_pipeline.errors import UserError\n"
        "try: import imgaug\nexcept UserError as error: print(isinstance(error, ModuleNotFoundError), error.name)"
    )
    done = run(environment / "env" / "bin" / "python", "-c", code, cwd=environment)
    assert done.stdout == "True imgaug\n", done.stderr


def test_neither_of_the_two_is_python_s_own_error(imgaug):
    assert imgaug().stderr.splitlines()[-1] == "ModuleNotFoundError: No module named 'imgaug'"


FOREIGN = [("lib/python3.7/site-packages", ""), (f"lib/python{DIGITS}/site-packages", "typing.py")]
HARMLESS = [("lib/python3.7", ""), (f"lib/python{DIGITS}/site-packages", ""), ("lib/python3/dist-packages", "")]


def laid_out(folder, file):
    folder.mkdir(parents=True)
    if file:
        (folder / file).write_text("raise AttributeError('not of this Python')\n")
    return folder


@pytest.mark.parametrize(("folder", "file"), FOREIGN)
def test_packages_of_another_environment_are_one_sentence(run, musket, tmp_path, folder, file):
    path = {"PYTHONPATH": f"{REPOSITORY}{os.pathsep}{laid_out(tmp_path / folder, file)}"}
    done = musket("fit", env=path)
    assert done.returncode == 1
    assert re.fullmatch(r"musket: PYTHONPATH brings the packages of another environment \(.*\n", done.stderr)
    done = run(sys.executable, "-c", "from musket_core import generic", env=path)
    assert done.stderr.splitlines()[-1].startswith("ImportError: PYTHONPATH brings the packages of another environment")
    assert run(sys.executable, "-c", "print(1)", env=path).stderr == ""


@pytest.mark.parametrize(("folder", "file"), HARMLESS)
def test_other_folders_on_pythonpath_are_left_alone(monkeypatch, tmp_path, folder, file):
    monkeypatch.setenv("PYTHONPATH", str(laid_out(tmp_path / folder, file)))
    assert mixed_environments.foreign_packages() is None


def test_make_refuses_a_python_that_is_too_old(run, tmp_path):
    old = tmp_path / "python"
    script = """\
        #!/bin/sh
        shift; exec %s -c 'import sys, collections; sys.version_info = (3, 9, 0); exec(sys.argv[1])' "$@"
        """
    old.write_text(textwrap.dedent(script) % sys.executable)
    old.chmod(0o755)
    script = REPOSITORY / "tools" / "prepare_environment.sh"
    done = run("bash", script, tmp_path / "new", env={"PYTHON": str(old), "TORCH": ""})
    assert done.returncode == 1
    assert done.stderr.strip().endswith(
        "is Python 3.9, expected 3.10 to 3.13: name one, such as make PYTHON=python3.12"
    )
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("name", instance_segmentation_pipeline.__all__)
def test_public_names_are_there(name):
    assert getattr(instance_segmentation_pipeline, name).__class__ is not type(os), name
