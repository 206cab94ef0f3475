"""What is wrong in a YAML by itself is told before torch and MMDetection, which take seconds, are imported."""

import subprocess
import sys

import pytest

from tests.support.processes import PATIENCE

CODE = """
import sys
from musket_core import generic
try:
    generic.parse(sys.argv[1])
except Exception as error:
    print(type(error).__name__, error)
print("loaded:", *sorted({"torch", "mmdet", "mmengine", "mmcv"} & set(sys.modules)))
"""


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("classes: 3", "clases: 3", "clases is not a property of the MMDetection dialect"),
        ("classes: 3", "classes: many", "classes is 'many', but it must be"),
        ("classes: 3", "classes: 3\nbackbone: resnet50", "backbone"),
        ("#%Musket MMDetection 1.0", "#%Musket MMDetection 9.0", "9.0"),
    ],
)
def test_nothing_heavy_is_imported(add_experiment, old, new, told):
    path = add_experiment(replace=[(old, new)])
    done = subprocess.run([sys.executable, "-c", CODE, str(path)], capture_output=True, text=True, timeout=PATIENCE)
    first, loaded = done.stdout.splitlines()[-2:]
    assert first.startswith("ConfigError")
    assert told in first
    assert loaded.strip() == "loaded:"
