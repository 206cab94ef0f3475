"""The order in which experiments are trained where none is named, and what is said where there is none to train."""

import pytest
import yaml
from musket_core.projects import Project

from instance_segmentation_pipeline.cli import fit, main
from instance_segmentation_pipeline.cli.project_lookup import chosen


@pytest.mark.parametrize(
    "names",
    [
        ["b", "a", "c"],
        ["exp10", "exp9", "exp1", "exp2"],
        ["b/x", "a/y", "b/a", "c"],
        ["1", "a", "10", "2", "Z"],
        ["x" + "9" * 30, "x1"],
    ],
)
def test_experiments_come_by_name(project, add_experiment, monkeypatch, names):
    for name in names:
        add_experiment(name)
    upstream = Project.experiments
    orders = []
    for reverse in (False, True):
        monkeypatch.setattr(Project, "experiments", lambda self, way=reverse: list(upstream(self))[:: -1 if way else 1])
        options = fit.parser().parse_args(["--project", str(project)])
        orders.append([one.name() for one in chosen(options, lambda one: True)])
    assert orders[0] == orders[1]
    assert sorted(orders[0]) == sorted(names)
    by_number = [name for name in orders[0] if name.startswith("exp")]
    assert by_number == sorted(by_number, key=lambda name: int(name[3:]))


def test_nothing_to_train_is_said(project, add_experiment, capsys):
    path = add_experiment()
    path.with_name("summary.yaml").write_text(yaml.safe_dump({"completed": True}))
    assert main(["fit", "--project", str(project)]) == 0
    assert "nothing to train, all experiments are finished" in capsys.readouterr().out
