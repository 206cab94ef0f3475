"""The page of ``musket analize``: pictures in a folder beside it, drawn once, and again only when something changed."""

import gc
import json
import os
import re
import shutil
import weakref
from html import unescape
from urllib.parse import unquote

import cv2
import numpy as np
import pytest
import yaml

from instance_segmentation_pipeline.cli import main
from instance_segmentation_pipeline.reporting import pictures as pictures_module
from instance_segmentation_pipeline.reporting import report_figures
from instance_segmentation_pipeline.reporting.analysis import analyse
from instance_segmentation_pipeline.reporting.page import OPEN, write_page
from instance_segmentation_pipeline.reporting.picture_folder import Drawing, PictureFolder
from instance_segmentation_pipeline.reporting.pictures import ReportPictures

pytestmark = pytest.mark.slow


def jpeg(value=0):
    """Return an encoded picture, 30 wide and 20 high."""
    return cv2.imencode(".jpg", np.full((20, 30, 3), value % 256, np.uint8))[1].tobytes()


@pytest.fixture
def report(project):
    """Return a function that writes the page without nets, and gives back the experiments whose images were drawn."""

    def write(embed=False, draw=None, output=project / "report.html"):
        drawn = []

        def one_image(one):
            drawn.append(one.name)
            return [Drawing("Worst images", f"image of {one.name}", jpeg(len(drawn)), (30, 20))]

        analysis = analyse(project)
        pictures = ReportPictures(output.with_name(f"{output.stem}_files"), draw or one_image)
        write_page(output, analysis, analysis.experiments, pictures, "Experiments", embed)
        return drawn

    return write


@pytest.fixture
def curves(monkeypatch):
    """Return the titles of the learning curves that are drawn, each as a blank picture."""
    titles = []

    def drawing(rows, title):
        titles.append(title)
        blank = cv2.imencode(".png", np.zeros((20, 30, 3), np.uint8))[1].tobytes()
        return [Drawing.of_png("Learning curves", title, blank)]

    monkeypatch.setattr(report_figures, "learning_pictures", drawing)
    return titles


def sources(page):
    """Return the addresses of a page's pictures."""
    return [unquote(unescape(source)) for source in re.findall(r'<img[^>]* src="([^"]*)"', page.read_text())]


def append(path, text):
    with path.open("a") as file:
        file.write(text)


CHANGES = {
    "nothing": (lambda folder: None, 0, 0),
    "the CSV of a fold": (lambda folder: append(folder / "metrics" / "metrics-1.0.csv", "2,0.01,1,0.5,0.4\n"), 1, 0),
    "the summary": (lambda folder: append(folder / "summary.yaml", "further: 1\n"), 0, 1),
    "the config": (lambda folder: append(folder / "config.yaml", "threshold: 0.4\n"), 0, 1),
    "common.yaml": (lambda folder: append(folder.parent.parent / "common.yaml", "threshold: 0.4\n"), 0, 2),
    "the split": (lambda folder: append(folder / "config.yaml.folds_split", "[]\n"), 0, 1),
    "the time of weights": (lambda folder: os.utime(folder / "weights" / "best-0.0.weights", (1, 1)), 0, 1),
    "a lost picture": (lambda folder: next(folder.parent.parent.glob("report_files/a-*/*.jpg")).unlink(), 0, 1),
    "a lost curve": (lambda folder: next(folder.parent.parent.glob("report_files/a-*/*_0-*.png")).unlink(), 1, 0),
    "a lost folder": (lambda folder: shutil.rmtree(folder.parent.parent / "report_files"), 3, 2),
}


@pytest.mark.parametrize("change", CHANGES)
def test_only_what_changed_is_drawn_again(finished, report, curves, change):
    folder = finished("a", 0.6)
    (folder / "weights").mkdir()
    (folder / "weights" / "best-0.0.weights").write_bytes(b"weights")
    finished("b", 0.5, folds=1)
    assert sorted(report()) == ["a", "b"]
    assert len(curves) == 3
    curves.clear()
    action, curves_expected, images_expected = CHANGES[change]
    action(folder)
    assert len(report()) == images_expected
    assert len(curves) == curves_expected
    curves.clear()
    assert report() == []
    assert curves == []


def test_other_code_draws_all_anew(finished, report, curves, monkeypatch):
    finished("a", 0.6)
    report()
    curves.clear()
    monkeypatch.setattr(pictures_module, "drawing_digest", lambda: "other")
    assert (report(), len(curves)) == (["a"], 2)


def test_the_page_and_its_folder_can_be_moved(project, finished, report, curves, tmp_path):
    for name in ("a", "group/b", "name with spaces", "größe & <more>", "x" * 200, "a-b", "a/c"):
        finished(name, 0.5, folds=1)
    report()
    moved = tmp_path / "else where"
    moved.mkdir()
    shutil.move(project / "report.html", moved)
    shutil.move(project / "report_files", moved)
    shown = sources(moved / "report.html")
    assert len(shown) == len(set(shown)) == 7 * 2
    for source in shown:
        assert cv2.imread(str(moved / source)) is not None, source
    text = (moved / "report.html").read_text()
    assert text.count("<img loading=lazy width=") == 14
    assert "größe &amp; &lt;more&gt;" in text
    assert str(project) not in re.sub(r"<td>[^<]*</td>", "", text)


def test_sizes_are_those_of_the_pictures(project, finished, report):
    finished("a", 0.5, folds=1)
    report()
    tags = re.findall(
        r'<img loading=lazy width=(\d+) height=(\d+) [^>]*src="([^"]*)"', (project / "report.html").read_text()
    )
    for width, height, source in tags:
        assert cv2.imread(str(project / source)).shape[:2] == (int(height), int(width))
    assert len(tags) == 2


def test_a_page_that_needs_no_other_file(project, finished, report):
    finished("a", 0.5)
    report(embed=True)
    assert [source.split(",")[0] for source in sources(project / "report.html")] == [
        "data:image/png;base64",
        "data:image/png;base64",
        "data:image/jpeg;base64",
    ]
    assert report(embed=True) == []


def test_pictures_of_what_is_gone_go_and_files_of_others_stay(project, finished, report, curves):
    kept, gone = finished("kept", 0.6), finished("gone", 0.5)
    report()
    folders = {path.name.split("-")[0]: path for path in (project / "report_files").iterdir()}
    for folder in folders.values():
        (folder / "notes.txt").write_text("mine")
    (project / "report_files" / "other").mkdir()
    (project / "report_files" / "other" / "a.png").write_text("mine")
    before = set(folders["kept"].iterdir())
    append(kept / "summary.yaml", "further: 1\n")
    shutil.rmtree(gone)
    report()
    assert {path.name for path in folders["gone"].iterdir()} == {"notes.txt"}
    assert (project / "report_files" / "other" / "a.png").exists()
    after = set(folders["kept"].iterdir())
    assert len(after) == len(before)
    assert len(before - after) == 1  # the picture that was drawn again
    assert folders["kept"] / "notes.txt" in after


RECORDS = [
    "",
    "{",
    "[]",
    "null",
    '{"validation": 3}',
    '{"validation": {"digest": "x", "pictures": [1]}}',
    '{"validation": {"digest": 1, "pictures": []}}',
    '{"validation": {"pictures": []}}',
    "[" * 100_000,
]


@pytest.mark.parametrize("record", RECORDS, ids=range(len(RECORDS)))
def test_a_damaged_record_is_drawn_anew(tmp_path, record):
    (tmp_path / "pictures.json").write_text(record)
    folder = PictureFolder(tmp_path)
    assert len(folder.pictures("validation", "0" * 16, lambda: [Drawing("h", "c", jpeg(), (30, 20))])) == 1
    folder.close()
    assert len(PictureFolder(tmp_path).pictures("validation", "0" * 16, lambda: pytest.fail("drawn"))) == 1


@pytest.mark.parametrize("name", ["../../secret.png", "/etc/passwd", "notes.txt", "a/b-0000000000000000-0.png", ""])
def test_a_record_cannot_make_other_files_go(tmp_path, name):
    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True)
    for path in (tmp_path / "secret.png", folder / "notes.txt"):
        path.write_text("mine")
    entry = {"heading": "h", "caption": "c", "file": name, "width": 1, "height": 1}
    (folder / "pictures.json").write_text(json.dumps({"validation": {"digest": "0" * 16, "pictures": [entry]}}))
    PictureFolder(folder).remove()
    assert (tmp_path / "secret.png").exists()
    assert (folder / "notes.txt").exists()


def test_what_cannot_be_drawn_is_told_and_tried_again(project, finished, report):
    finished("a", 0.5, folds=1)

    def fails(one):
        raise OSError("no such disk")

    report(draw=fails)
    text = (project / "report.html").read_text()
    assert "No pictures of validation: OSError: no such disk" in text
    assert len(sources(project / "report.html")) == 1  # the learning curves
    assert report() == ["a"]
    assert "No pictures" not in (project / "report.html").read_text()


def test_one_experiment_at_a_time(finished, report, curves):
    """Pictures of the last one are gone when the next is drawn."""
    for number in range(6):
        finished(f"e{number}", 0.5)
    alive = weakref.WeakSet()
    most = []

    def draw(one):
        gc.collect()
        most.append(len(alive))
        drawing = Drawing("Worst images", one.name, jpeg(), (30, 20))
        alive.add(drawing)
        return [drawing]

    report(draw=draw)
    assert most == [0] * 6


def test_three_hundred_experiments(project, finished, report, curves):
    """Of 80 classes each: a page of a few megabytes, mostly closed; the second one draws nothing."""
    first = finished("e000", 0.5, folds=1)
    summary = yaml.safe_load((first / "summary.yaml").read_text())
    summary["allStages"] |= {f"coco_segm_mAP_class_{number}": {"mean": number / 80} for number in range(80)}
    (first / "summary.yaml").write_text(json.dumps(summary))
    for number in range(1, 300):
        shutil.copytree(first, project / "experiments" / f"e{number:03}")
    assert len(report()) == 300
    assert (project / "report.html").stat().st_size < 5_000_000
    text = (project / "report.html").read_text()
    assert text.count("<details open>") == OPEN
    assert text.count("<details>") == 300 - OPEN
    assert text.count("<img loading=lazy ") == text.count("<img") == 600
    curves.clear()
    assert report() == []
    assert curves == []


def test_a_trained_project_is_drawn_once(trained, tmp_path, monkeypatch, capsys):
    """With nets: the second time no config is parsed, and no picture encoded."""
    from instance_segmentation_pipeline.musket_adapters import experiment

    calls = []

    def counted(name, real):
        def call(*arguments, **options):
            calls.append(name)
            return real(*arguments, **options)

        return call

    monkeypatch.setattr(report_figures, "png_of", counted("png", report_figures.png_of))
    monkeypatch.setattr(report_figures, "comparison", counted("image", report_figures.comparison))
    monkeypatch.setattr(experiment, "read_config", counted("config", experiment.read_config))
    arguments = ["analize", "--inputFolder", str(trained.parent.parent.parent), "--output", str(tmp_path / "own.csv")]
    assert main(arguments) == 0
    assert calls.count("png") == 2 * 2 + 2
    assert 3 <= calls.count("image") <= 6
    first = (tmp_path / "own.html").read_text()
    assert "No pictures" not in first
    assert len(sources(tmp_path / "own.html")) == len(list(tmp_path.glob("own_files/*/*.*g")))
    calls.clear()
    assert main(arguments) == 0
    assert calls == []
    assert (tmp_path / "own.html").read_text() == first
    capsys.readouterr()


def test_no_text_of_the_page_has_control_characters(project, finished):
    finished("one", 0.5)
    strange = "bell\x07 null\x00 escape\x1b[31m \udcff <b>&\u202e"
    analysis = analyse(project)
    analysis.skipped.append(strange)
    analysis.experiments[0].metrics[f"coco_segm_mAP_class_{strange}"] = 0.5
    pictures = ReportPictures(project / "report_files", lambda _: [Drawing(strange, strange, jpeg(), (30, 20))])
    write_page(project / "report.html", analysis, analysis.experiments, pictures, strange, False)
    written = (project / "report.html").read_text()
    assert not [letter for letter in written if not letter.isprintable() and letter != "\n"]
    assert written.count(r"bell\x07 null\x00 escape\x1b[31m \udcff &lt;b&gt;&amp;\u202e") >= 5
