"""What pyproject.toml cannot say: a .pth file at the root of site-packages, and ``configs/`` inside the wheel.

The one-line ``instance_segmentation_pipeline.pth`` is what lets ``from musket_core import generic`` work in a plain
``python`` that never names this package (see ``instance_segmentation_pipeline/legacy``). The folder ``configs`` stays
at the top level of the repository, where an editable install reads it; wheels carry it inside the package.
"""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py
from setuptools.command.editable_wheel import editable_wheel

ROOT = Path(__file__).parent
PACKAGE = "instance_segmentation_pipeline"
PTH = f"{PACKAGE}.pth"


class BuildPy(build_py):
    """Copies the .pth beside the package and the configs into it, as outputs that the wheel's RECORD holds."""

    def _additions(self) -> dict:
        target = Path(self.build_lib)
        configs = sorted((ROOT / "configs").glob("*.py"))
        return {ROOT / PTH: target / PTH, **{path: target / PACKAGE / "configs" / path.name for path in configs}}

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            shutil.rmtree(Path(self.build_lib) / PACKAGE / "configs", ignore_errors=True)
            for source, target in self._additions().items():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, target)

    def get_outputs(self, include_bytecode: bool = True) -> list:
        outputs = super().get_outputs(include_bytecode)
        return outputs if self.editable_mode else [*outputs, *map(str, self._additions().values())]


class EditableWheel(editable_wheel):
    """setuptools' editable wheels hold only its own redirection; the .pth is added to the same wheel."""

    def _run_build_commands(self, dist_name, unpacked_wheel, build_lib, tmp_dir):
        shutil.copyfile(ROOT / PTH, Path(unpacked_wheel) / PTH)
        return super()._run_build_commands(dist_name, unpacked_wheel, build_lib, tmp_dir)


setup(cmdclass={"build_py": BuildPy, "editable_wheel": EditableWheel})
