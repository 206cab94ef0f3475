"""Build script: everything static lives in setup.cfg-style arguments here, tools in pyproject.toml.

Two command subclasses put ``instance_segmentation_pipeline.pth`` at the root of site-packages, for
ordinary and for editable installs. That one-line file is what lets ``from musket_core import generic``
work in a plain ``python`` that never names this package (see ``instance_segmentation_pipeline/legacy``).
"""

import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py
from setuptools.command.editable_wheel import editable_wheel

ROOT = Path(__file__).parent
PTH = "instance_segmentation_pipeline.pth"


class BuildPyWithPth(build_py):
    """Copy the .pth beside the package, and name it as an output so that the wheel's RECORD holds it."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            target = Path(self.build_lib) / PTH
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / PTH, target)

    def get_outputs(self, include_bytecode: bool = True) -> list:
        outputs = super().get_outputs(include_bytecode)
        return outputs if self.editable_mode else [*outputs, str(Path(self.build_lib) / PTH)]


class EditableWheelWithPth(editable_wheel):
    """setuptools' editable wheels hold only its own redirection; ours is added to the same wheel."""

    def _run_build_commands(self, dist_name, unpacked_wheel, build_lib, tmp_dir):
        shutil.copyfile(ROOT / PTH, Path(unpacked_wheel) / PTH)
        return super()._run_build_commands(dist_name, unpacked_wheel, build_lib, tmp_dir)


setup(
    name="instance_segmentation_pipeline",
    version="0.1.0",
    description="Instance segmentation experiments in YAML: Musket ML trains MMDetection models",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    license_files=["LICENSE"],
    python_requires=">=3.10,<3.14",
    packages=find_packages(include=["instance_segmentation_pipeline", "instance_segmentation_pipeline.*"]),
    package_data={"instance_segmentation_pipeline": ["py.typed"]},
    install_requires=[
        "musket_core==0.48",
        "onedl-mmdetection>=3.5.1,<3.6",
        "onedl-mmengine>=0.10.12,<0.11",
        "onedl-mmcv>=2.3.6,<2.4",
        "torch>=2.4,<2.14",
        "imaug==0.4.3",
        "numpy>=2.0,<2.3",
        "pyyaml>=6.0,<7",
        "scikit-learn>=1.5,<2",
        "faster-coco-eval>=1.6,<2",
        "pycocotools>=2.0.8,<3",
        "hyperopt>=0.2.7,<0.3",
        "py4j>=0.10.9,<0.11",
        "six>=1.16,<2",
    ],
    extras_require={
        "dev": [
            "hypothesis>=6.100,<7",
            "instaboostfast>=0.1.2,<0.2",
            "mypy>=1.15,<3",
            "pytest>=8.2,<10",
            "ray>=2.40,<3",
            "pytest-timeout>=2.3,<3",
            "pytest-xdist>=3.6,<4",
            "ruff>=0.14,<0.18",
            "tensorboard>=2.17,<3",
            "types-PyYAML>=6.0",
            "scikit-image>=0.24,<0.27",
        ],
        "ray": ["ray>=2.40,<3"],
        "examples": ["scikit-image>=0.24,<0.27"],
    },
    entry_points={"console_scripts": ["musket = instance_segmentation_pipeline.cli:main"]},
    cmdclass={"build_py": BuildPyWithPth, "editable_wheel": EditableWheelWithPth},
    classifiers=[
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Scientific/Engineering :: Image Recognition",
    ],
)
