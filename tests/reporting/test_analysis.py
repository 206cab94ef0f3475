"""``musket analize``: finished experiments side by side, broken ones named, a page that a browser opens."""

import csv
import re
import shutil
import subprocess
import sys

import cv2
import numpy as np
import pytest

from instance_segmentation_pipeline.cli import main
from instance_segmentation_pipeline.detection.detections import none_found
from instance_segmentation_pipeline.detection.matching import panoptic_quality
from instance_segmentation_pipeline.reporting.analysis import analyse, flatten
from tests.support.processes import PATIENCE
from tests.support.scenes import HEIGHT, WIDTH, found


def report(project):
    with (project / "report.csv").open() as file:
        return list(csv.DictReader(file))


def test_only_finished_ones_sorted_with_what_differs(project, finished, add_experiment, capsys):
    finished("worse", 0.4)
    finished("better", 0.6, lr="0.02", folds=1)
    add_experiment("unfinished")
    assert main(["analize", "--inputFolder", str(project), "--html", "false"]) == 0
    rows = report(project)
    assert [row["experiment"] for row in rows] == ["better", "worse"]
    assert [row["lr"] for row in rows] == ["0.02", "0.01"]
    assert [row["fold_count"] for row in rows] == ["1", "2"]
    assert "classes" not in rows[0]  # the same in both
    assert float(rows[1]["val_loss"]) == pytest.approx((0.7 + 1.7) / 2)  # the best of each fold, averaged
    assert float(rows[1]["val_coco_segm_mAP"]) == pytest.approx(0.4)
    assert float(rows[0]["coco_segm_mAP_pooled"]) == pytest.approx(0.59)
    assert rows[0]["path"].endswith("experiments/better/config.yaml")
    out = capsys.readouterr().out
    assert out.index("better") < out.index("worse")
    assert "2 experiments, sorted by coco_segm_mAP" in out


def test_sorting_and_one_metric(project, finished, tmp_path):
    finished("a", 0.6, losses=(0.9,))
    finished("b", 0.4, losses=(0.1,))
    arguments = ["analyze", "--inputFolder", str(project), "--html", "false"]
    assert main([*arguments, "--sortBy", "val_loss"]) == 0
    assert [row["experiment"] for row in report(project)] == ["b", "a"]
    assert main([*arguments, "--onlyMetric", "coco_segm_mAP_holdout", "--output", str(tmp_path / "own.csv")]) == 0
    heading, first, _ = (tmp_path / "own.csv").read_text().splitlines()
    assert heading.split(",") == ["path", "experiment", "fold_count", "coco_segm_mAP_holdout"]
    assert first.endswith("a,2,0.5")


def test_an_unknown_metric_and_nothing_finished_are_told(project, finished, add_experiment, capsys):
    add_experiment("unfinished")
    assert main(["analize", "--inputFolder", str(project)]) == 2
    assert "has no finished experiment (1 are not finished)" in capsys.readouterr().err
    finished("a", 0.6)
    assert main(["analize", "--inputFolder", str(project), "--sortBy", "val_los"]) == 2
    assert "--sortBy 'val_los' is no metric of these experiments (did you mean 'val_loss'?)" in capsys.readouterr().err
    assert main(["analize", "--inputFolder", str(project / "nowhere")]) == 2


def test_broken_ones_are_named_and_skipped(project, finished, capsys):
    """Half a CSV, half a summary, a list of lists in the YAML."""
    finished("good", 0.5)
    half = finished("half", 0.6) / "metrics" / "metrics-1.0.csv"
    half.write_text(half.read_text()[:70])
    (finished("torn", 0.7) / "summary.yaml").write_text("completed: true\nfolds: [0\n")
    (finished("empty", 0.7) / "summary.yaml").write_text("")
    path = finished("lists", 0.3) / "config.yaml"
    path.write_text(path.read_text() + "datasets: {others: {get_shapes: [[1, 2], [3]]}}\n")
    assert main(["analize", "--inputFolder", str(project), "--html", "false"]) == 1
    assert [row["experiment"] for row in report(project)] == ["half", "good", "lists"]
    err = capsys.readouterr().err
    for name in ("metrics-1.0.csv", "torn", "empty"):
        assert re.search(f"{name}: skipped, since it cannot be read", err), name
    assert "good" not in err


def test_archived_runs_are_not_experiments(project, finished):
    folder = finished("a", 0.6)
    shutil.copytree(folder, folder / "previous" / "20260101-000000")
    assert len(analyse(project).experiments) == 1


def test_flattening():
    nested = {"a": {"b": 1}, "c": [1, 2], "d": [{"e": None}, [3]], "f": {}}
    assert flatten(nested) == {"a.b": "1", "c": "[1, 2]", "d.0.e": "", "d.1": "[3]", "f": "{}"}


def test_the_quality_of_an_image():
    truth = found((0, 1, 0, 0, 10, 10), (0, 1, 20, 20, 30, 30))
    assert panoptic_quality(truth, truth) == 1
    assert panoptic_quality(truth, none_found(HEIGHT, WIDTH, True)) == 0
    half = found((0, 0.9, 0, 0, 10, 8))
    assert panoptic_quality(truth, half) == pytest.approx(0.8 / 1.5)
    assert np.isnan(panoptic_quality(none_found(HEIGHT, WIDTH, True), none_found(HEIGHT, WIDTH, True)))


@pytest.mark.slow
def test_the_page_in_a_browser(project, add_experiment, musket, tmp_path):
    add_experiment("exp01", extra="folds_count: 2\n")
    add_experiment("exp02", extra="lr: 0.002\n")
    assert musket("fit", "--project", project).returncode == 0
    done = musket("analize", "--inputFolder", project)
    assert done.returncode == 0, done.stderr
    text = (project / "report.html").read_text()
    assert "No pictures" not in text
    assert "http" not in text  # nothing is fetched
    assert text.count("<img") >= 2 + 3 + 2 * 2
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no Chromium is installed, so the page is not opened")
    picture = tmp_path / "page.png"
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--window-size=1200,1600"]
    page = (project / "report.html").as_uri()
    subprocess.run(
        [browser, *options, f"--screenshot={picture}", page], check=True, capture_output=True, timeout=PATIENCE
    )
    shown = cv2.imread(str(picture))
    assert shown.shape[:2] == (1600, 1200)
    assert shown.std() > 20
    dumped = subprocess.run([browser, *options, "--dump-dom", page], check=True, capture_output=True, timeout=PATIENCE)
    assert b"exp02" in dumped.stdout


def test_musket_core_analize_is_the_same_program(run, musket):
    first, second = run(sys.executable, "-m", "musket_core.analize", "--help"), musket("analyze", "--help")
    assert first.returncode == second.returncode == 0
    assert first.stdout == second.stdout
    assert "--inputFolder" in first.stdout
