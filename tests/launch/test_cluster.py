"""Folds on a real Ray cluster of several nodes on this machine; one node dies."""

import re
import threading

import pytest
import yaml
from musket_core import generic

from instance_segmentation_pipeline.cli import fit
from instance_segmentation_pipeline.errors import ConfigError
from instance_segmentation_pipeline.experiment.fold_trainer import FoldTrainer
from instance_segmentation_pipeline.experiment.run_arguments import FoldRequest
from instance_segmentation_pipeline.launch import project_sync as carrying
from instance_segmentation_pipeline.launch.project_sync import ProjectServer, synced_copy
from instance_segmentation_pipeline.launch.ray_cluster import RayCluster
from instance_segmentation_pipeline.storage.atomic import write_atomically
from instance_segmentation_pipeline.storage.metrics_csv import read_rows
from tests.support.datasets import shapes
from tests.support.processes import PATIENCE, wait_until
from tests.support.ray_nodes import local_cluster

pytestmark = pytest.mark.cluster

ray = pytest.importorskip("ray", reason="Ray is not installed")


@pytest.fixture
def cluster():
    """Return a cluster with a head that trains nothing; nodes are added by the test."""
    with local_cluster() as made:
        yield made


def node(cluster):
    """Add a node; however long it takes to be there."""
    added = cluster.add_node(wait=False, num_cpus=1, object_store_memory=80_000_000)
    cluster.wait_for_nodes(PATIENCE)
    return added


@pytest.mark.parametrize("copied", [False, True], ids=["shared", "copied"])
def test_a_fold_whose_node_is_lost_goes_on_from_its_last_checkpoint(
    cluster, add_experiment, capfd, monkeypatch, copied
):
    path = add_experiment(extra="folds_count: 2\n", replace=[("  - epochs: 1\n", "  - epochs: 16\n")])
    nodes = {added.node_id: added for added in (node(cluster), node(cluster))}
    gangs, gather = [], ray.util.placement_group
    monkeypatch.setattr(
        ray.util, "placement_group", lambda *given, **more: gangs.append(gather(*given, **more)) or gangs[-1]
    )
    seen = {}
    cfg = generic.parse(str(path))

    def lose_a_node():
        files = cfg.files.stage(0, 0)
        wait_until(lambda: files.last_weights.exists() and len(read_rows(files.metrics)) >= 3)
        seen["epochs"] = len(read_rows(files.metrics))
        where = ray.util.placement_group_table(gangs[0])["bundles_to_node_id"][0]  # that of fold 0
        cluster.remove_node(nodes[where], allow_graceful=False)

    threading.Thread(target=lose_a_node, daemon=True).start()
    if copied:  # nothing holds the folder's lock: for the nodes it is another one than that of this run
        cfg.check()
        cfg.kfold()
        jobs = [FoldTrainer(cfg).job(FoldRequest(fold)) for fold in (0, 1)]
        outcomes = RayCluster(cluster.address, path.parents[2], 1, None).run(jobs)
        assert [one.result.stopped for one in outcomes] == [False] * 2
        cfg.setAllowResume(True)
        cfg.generateReports()
    else:
        assert fit.main(["--project", str(path.parents[2]), "--cluster", cluster.address]) == 0
    out, _ = capfd.readouterr()
    assert seen["epochs"] >= 3
    assert out.count(", on a copy of the project") == (2 if copied else 0)
    assert max(int(count) for count in re.findall(r"from epoch (\d+)", out)) >= 2
    for fold in (0, 1):
        assert f"fold {fold}: trained on" in out
        rows = read_rows(generic.parse(str(path)).files.stage(fold, 0).metrics)
        assert [row["epoch"] for row in rows] == list(range(16))
    assert yaml.safe_load((path.parent / "summary.yaml").read_text())["folds"] == [0, 1]


def test_what_is_copied_of_a_project(add_experiment, project, monkeypatch):
    path, other = add_experiment(), add_experiment("other")
    (path.parent / "weights").mkdir()
    (path.parent / "weights" / "last-0.0.weights").write_bytes(b"before")
    (path.parent / "previous" / "x").mkdir(parents=True)
    (path.parent / "previous" / "x" / "old.weights").write_bytes(b"old")
    courier = ProjectServer(str(project), str(path))
    came = {}
    with synced_copy(courier.pack(), courier.where(), came.__setitem__) as copy:
        names = {file.relative_to(copy.parents[2]).as_posix() for file in copy.parents[2].rglob("*") if file.is_file()}
        assert "modules/shapes.py" in names
        assert "experiments/exp01/weights/last-0.0.weights" in names
        assert not [name for name in names if "other" in name or "previous" in name]
        with write_atomically(copy.parent / "weights" / "last-0.0.weights") as temporary:
            temporary.write_bytes(b"after")
    assert came == {"experiments/exp01/weights/last-0.0.weights": b"after"}
    for name, content in came.items():
        courier.take(name, content)
    assert (path.parent / "weights" / "last-0.0.weights").read_bytes() == b"after"
    assert other.exists()
    (project / "data" / "examples").mkdir(parents=True)
    (project / "data" / "examples" / "image.png").write_bytes(b"image")
    with synced_copy(courier.pack(), courier.where(), came.__setitem__) as copy:
        assert (copy.parents[2] / "data" / "examples" / "image.png").exists()
    alone = ProjectServer(str(path.parent), str(path))  # outside a project its own folder is all that is copied
    came.clear()
    with synced_copy(alone.pack(), alone.where(), came.__setitem__) as copy:
        (copy.parent / "new.txt").write_text("new")
    assert came == {"new.txt": b"new"}
    monkeypatch.setattr(carrying, "LIMIT", 10)
    with pytest.raises(ConfigError, match="put it on storage that all nodes share"):
        courier.pack()


def test_what_a_cluster_cannot_do_is_told(cluster, add_experiment, project, capsys):
    node(cluster)
    path = add_experiment()
    arguments = ["--project", str(project), "--cluster", cluster.address]
    assert fit.main([*arguments, "--gpus_per_net", "4"]) == 1
    assert "its largest node has 1 CPUs, but gpus_per_net is 4" in capsys.readouterr().err
    cfg = generic.parse(str(path))
    cfg.cluster = cluster.address
    with pytest.raises(ConfigError, match="declare it with dataset in the YAML"):
        cfg.fit(shapes(12))


def test_no_cluster(add_experiment, project, capsys):
    add_experiment()
    assert fit.main(["--project", str(project), "--cluster", "localhost:1"]) == 1
    assert "no Ray cluster answers" in capsys.readouterr().err
