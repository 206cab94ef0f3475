"""Installs the package as its users do, into empty environments, and uses it there.

For each interpreter: one wheel, an empty virtual environment, ``pip install`` of the wheel, ``pip check``; then, in a
folder outside the repository, the five-line script, ``musket fit`` with two folds, ``predict`` and ``analize`` on a
project of generated images. Usage::

    python tools/try_installation.py                         # every Python of 3.10 to 3.13 that the machine has
    python tools/try_installation.py python3.12 /opt/py/bin/python3 --torch torch==2.9.1 --pip=--no-cache-dir

Interpreters are looked for on the PATH and among pyenv's; those that are not there are named as skipped. It needs the
standard library only, prints a table of seconds, and returns 1 when something failed.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VERSIONS = ("3.10", "3.11", "3.12", "3.13")
HIDDEN = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "MUSKET_MMDETECTION_BOOTSTRAP", "MUSKET_MMDETECTION_OPERATORS")

EXPERIMENT = """\
#%Musket MMDetection 1.0
configPath: musket::rtmdet-ins_tiny_small-images
pretrained: false
classes: 3
shape: [64, 64]
imagesPerGpu: 4
folds_count: 2
configOptions:
  model.backbone.deepen_factor: 0.167
  model.backbone.widen_factor: 0.125
  model.neck.in_channels: [32, 64, 128]
  model.neck.out_channels: 32
  model.bbox_head.in_channels: 32
  model.bbox_head.feat_channels: 32
stages:
  - epochs: 1
"""

SCRIPT = """\
from musket_core import generic
from shapes import get_shapes

ds = get_shapes(12, 64)
cfg = generic.parse("config.yaml")
cfg.fit(ds)
"""

PICTURES = """\
import cv2
from shapes import Shapes

made = Shapes(3, 64, 7)
for item in (made[number] for number in range(3)):
    cv2.imwrite(f"images/{item.id}.png", item.x[..., ::-1])
"""


class Failed(Exception):
    """A step went wrong; the message holds the end of what it printed."""


def main() -> int:
    """Try every interpreter asked for; return 0 when each step of each went well."""
    options = parser().parse_args()
    found = {name: find(name) for name in options.python or VERSIONS}
    for name in (name for name, path in found.items() if path is None):
        print(f"== Python {name}: not on this machine, skipped", flush=True)
    scratch = Path(tempfile.mkdtemp(prefix="installation-"))
    rows, failures = [], 0
    try:
        wheel = options.wheel or built_wheel(scratch, next(path for path in found.values() if path))
        for name, path in found.items():
            if path is None:
                continue
            print(f"== Python {name}", flush=True)
            seconds: dict = {"python": name}
            try:
                attempt(path, wheel, scratch / f"python-{Path(name).name}", options, seconds)
            except Failed as problem:
                failures += 1
                print(f"   FAILED: {problem}", flush=True)
            rows.append(seconds)
            if not options.keep:
                shutil.rmtree(scratch / f"python-{Path(name).name}", ignore_errors=True)
    except (Failed, StopIteration) as problem:
        print(str(problem) or "no interpreter of 3.10 to 3.13 was found")
        return 1
    finally:
        if options.keep:
            print(f"kept: {scratch}")
        else:
            shutil.rmtree(scratch, ignore_errors=True)
    for row in rows:
        print("  ".join(f"{key} {value}" for key, value in row.items()))
    return 1 if failures else 0


def parser() -> argparse.ArgumentParser:
    """Return the command line's parser."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("python", nargs="*", help="versions such as 3.12, names or paths of interpreters")
    arguments.add_argument("--torch", help="a requirement to install with the wheel, such as torch==2.13.0")
    arguments.add_argument("--wheel", type=Path, help="a wheel of the package that is built already")
    arguments.add_argument("--pip", action="append", default=[], help="an option for pip install")
    arguments.add_argument("--keep", action="store_true", help="leave the environments and the projects")
    return arguments


def find(name: str) -> "str | None":
    """Return the path of an interpreter: a path, a name on the PATH, or a version that PATH or pyenv has."""
    if name not in VERSIONS:
        return shutil.which(name)
    beside = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    found = (folder for folder in beside.glob(f"{name}.*") if folder.name.replace(".", "").isdigit())
    newest = sorted(found, key=lambda folder: [int(part) for part in folder.name.split(".")])
    candidates = [shutil.which(f"python{name}"), *(str(folder / "bin" / "python") for folder in reversed(newest))]
    return next((path for path in candidates if path and version_of(path) == name), None)


def version_of(python: str) -> str:
    """Return ``3.12`` for an interpreter that runs; empty for one that does not, such as a pyenv shim."""
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    try:
        return subprocess.run([python, "-c", code], capture_output=True, text=True).stdout.strip()
    except OSError:
        return ""


def built_wheel(scratch: Path, python: str) -> Path:
    """Build the package's wheel from a copy of its files, and return it."""
    print("== building the wheel", flush=True)
    source = scratch / "source"
    ignored = shutil.ignore_patterns(".*", "build", "*.egg-info", "__pycache__", "weights", "predictions")
    shutil.copytree(ROOT, source, ignore=ignored)
    call([python, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(scratch), str(source)], scratch)
    return next(scratch.glob("*.whl"))


def attempt(interpreter: str, wheel: Path, folder: Path, options: argparse.Namespace, seconds: dict) -> None:
    """Install into an empty environment and use it there; add the seconds of each step to ``seconds``."""
    environment = folder / "environment"
    call([interpreter, "-m", "venv", str(environment)], folder.parent)
    python, musket = str(environment / "bin" / "python"), str(environment / "bin" / "musket")
    extra = [options.torch] if options.torch else []
    install = [python, "-m", "pip", "install", "--quiet", *options.pip, str(wheel), *extra]
    timed(seconds, "pip install", install, folder)
    timed(seconds, "pip check", [python, "-m", "pip", "check"], folder)
    seconds["torch"] = call([python, "-c", "import torch; print(torch.__version__)"], folder).strip()
    project = make_project(folder / "project")
    alone = project / "modules"
    (alone / "config.yaml").write_text(EXPERIMENT, encoding="utf-8")
    said = timed(seconds, "five lines", [python, "-W", "error::SyntaxWarning", "-c", SCRIPT], alone)
    expect(alone / "summary.yaml", said)
    (alone / "config.yaml").unlink()
    said = timed(seconds, "fit", [musket, "fit", "--project", str(project), "--name", "tried"], folder)
    for fold in (0, 1):
        expect(project / "experiments" / "tried" / "weights" / f"best-{fold}.0.weights", said)
    (alone / "images").mkdir()
    call([python, "-c", PICTURES], alone)
    predict = ["predict", "--project", str(project), "--name", "tried", "--input", str(alone / "images")]
    said = timed(seconds, "predict", [musket, *predict, "--output", str(project / "found")], folder)
    if not any((project / "found").rglob("*.json")):
        raise Failed(f"predict wrote no JSON file: {said[-2000:]}")
    said = timed(seconds, "analize", [musket, "analize", "--inputFolder", str(project)], folder)
    expect(project / "report.html", said)


def make_project(project: Path) -> Path:
    """Write a Musket project with generated images and one experiment, ``tried``."""
    shutil.copytree(ROOT / "examples" / "shapes" / "modules", project / "modules")
    experiment = project / "experiments" / "tried"
    experiment.mkdir(parents=True)
    text = EXPERIMENT + "dataset:\n  get_shapes: {count: 12, size: 64}\n"
    (experiment / "config.yaml").write_text(text, encoding="utf-8")
    return project


def timed(seconds: dict, step: str, command: list, folder: Path) -> str:
    """Run a command as ``call`` does, and note how long it took."""
    begun = time.monotonic()
    try:
        return call(command, folder)
    finally:
        seconds[step] = f"{time.monotonic() - begun:.0f} s"
        print(f"   {step}: {seconds[step]}", flush=True)


def call(command: list, folder: Path) -> str:
    """Run a command in a folder, with nothing of this process's Python around it, and return what it printed.

    Raises:
        Failed: It returned another status than 0.
    """
    folder.mkdir(parents=True, exist_ok=True)
    around = {key: value for key, value in os.environ.items() if key not in HIDDEN}
    done = subprocess.run(
        command, cwd=folder, env=around, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    )
    if done.returncode:
        raise Failed(f"{' '.join(command)[:200]} returned {done.returncode}:\n{done.stdout[-4000:]}")
    return done.stdout


def expect(path: Path, said: str) -> None:
    """Raise ``Failed`` where a file was not written."""
    if not path.is_file():
        raise Failed(f"{path} was not written; this was printed:\n{said[-4000:]}")


if __name__ == "__main__":
    sys.exit(main())
