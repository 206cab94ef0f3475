"""What coverage counts: lines that run in forked processes and commands, also where these end by os._exit or a signal."""

import os
import sys
import textwrap

import coverage
import pytest

from tests.support.project import REPOSITORY

pytestmark = pytest.mark.slow

SCRIPT = """
    import os, signal, subprocess, sys
    from instance_segmentation_pipeline.launch.process_group import run_group

    def trained(device):
        from instance_segmentation_pipeline.text import short
        return short("x")  # in a process that ends by os._exit

    assert "x" in run_group(trained, ["cpu"])
    command = "from instance_segmentation_pipeline.zoo.own_configs import own_names; own_names()"
    end = "; import os, signal; os.kill(os.getpid(), signal.SIGTERM)"
    subprocess.run([sys.executable, "-c", command + end])
"""


def test_lines_of_every_process_count(run, tmp_path, monkeypatch):
    (tmp_path / "script.py").write_text(textwrap.dedent(SCRIPT))
    for name in [name for name in os.environ if name.startswith("COVERAGE")]:
        monkeypatch.delenv(name)  # of the run that measures this test
    monkeypatch.setenv("COVERAGE_FILE", str(tmp_path / "data"))
    settings = f"--rcfile={REPOSITORY / 'pyproject.toml'}"
    done = run(sys.executable, "-m", "coverage", "run", settings, "script.py", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    measured = coverage.Coverage(data_file=str(tmp_path / "data"), config_file=str(REPOSITORY / "pyproject.toml"))
    measured.combine([str(tmp_path)], keep=True)
    package = REPOSITORY / "instance_segmentation_pipeline"
    for module, words in {
        "launch/process_group.py": "torch.distributed.init_process_group(",
        "text.py": "return ",
        "zoo/own_configs.py": "return ",
    }.items():
        lines = (package / module).read_text().splitlines()
        wanted = {number for number, line in enumerate(lines, 1) if line.strip().startswith(words)}
        ran = set(measured.get_data().lines(str(package / module)) or ())
        assert wanted & ran, module
