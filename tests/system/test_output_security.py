"""What strangers name reaches terminals and tables escaped; what they compress does not unpack without bound."""

import csv
import json
import os
import sqlite3
import struct
import unicodedata
import zlib

import numpy as np
import pytest
import yaml

from instance_segmentation_pipeline.cli import main
from instance_segmentation_pipeline.errors import ConfigError, DatasetError
from instance_segmentation_pipeline.inference import prediction_store
from instance_segmentation_pipeline.inference.prediction_store import PredictionStore, pack, unpack
from instance_segmentation_pipeline.visualization.plots import write_confusion_csv
from instance_segmentation_pipeline.visualization.text_table import table
from tests.support.stores import NONE, ONE, source, written

NAMES = [
    "\x1b[2J\x1b]0;owned\x07",
    "=cmd|' /C calc'!A0",
    "+1",
    "-1+2",
    "@SUM(A1)",
    "a\rb",
    "a\u202eb",
    "\x9b31m",
    "x\x00y",
]
FORMULA = ("=", "+", "-", "@", "\t", "\r")


def harmless(text):
    bad = [letter for letter in text if unicodedata.category(letter) in ("Cc", "Cf", "Cs") and letter != "\n"]
    return not bad


@pytest.mark.parametrize("name", NAMES)
def test_tables_of_the_terminal(name):
    text = table([["experiment", name], [name * 100, "1"]])
    assert harmless(text)
    assert len(text.splitlines()) == 3
    assert max(len(line) for line in text.splitlines()) < 2000


@pytest.mark.parametrize("name", NAMES)
def test_a_confusion_matrix_has_no_formulas(tmp_path, name):
    write_confusion_csv(tmp_path / "confusion.csv", np.eye(2, dtype=int), [name])
    with (tmp_path / "confusion.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert len(rows) == 3
    for cell in (rows[0][1], rows[1][0]):
        assert harmless(cell)
        assert not cell.startswith(FORMULA) or cell == name == "+1"


@pytest.mark.parametrize("name", [name for name in NAMES if "\0" not in name and "/" not in name])
def test_names_of_experiments_in_analize(project, add_experiment, capfd, name):
    path = add_experiment(name)
    (path.parent / "metrics").mkdir()
    (path.parent / "metrics" / "metrics-0.0.csv").write_text(
        "epoch,lr,loss,val_loss,val_coco_segm_mAP\n0,0.1,1,1,0.5\n"
    )
    numbers = {"coco_segm_mAP": {"mean": 0.5, "max": 0.5, "min": 0.5, "std": 0.0}}
    summary = {"completed": True, "folds": [0], "stages": [numbers], "allStages": numbers}
    (path.parent / "summary.yaml").write_text(yaml.safe_dump(summary))
    add_experiment(name + "broken")
    (project / "experiments" / (name + "broken") / "summary.yaml").write_text("{")
    main(["analize", "--inputFolder", str(project), "--html", "false"])
    out, err = capfd.readouterr()
    assert harmless(out), ascii(out)
    assert harmless(err), ascii(err)
    with (project / "report.csv").open(newline="") as file:
        (row,) = list(csv.DictReader(file))
    assert harmless(row["experiment"])
    assert not row["experiment"].startswith(FORMULA) or name == "+1"


def test_names_in_a_run_of_fit(add_experiment, capfd):
    """The name of the folder, of a class, of a key, and of an item that fails."""
    hostile = "e\x1b[31mvil"
    path = add_experiment(hostile, extra='"k\\e[2Jey": 1\n')
    assert main(["fit", "--project", str(path.parents[2]), "--name", hostile]) == 1
    assert main(["fit", "--project", str(path.parents[2]), "--name", "n\x1b[0mone"]) == 2
    out, err = capfd.readouterr()
    assert "\\x1b[31mvil" in out
    assert "\\x1b[2Jey" in err
    assert harmless(out), ascii(out)
    assert harmless(err), ascii(err)


def test_an_error_is_one_bounded_line():
    for hostile in (*NAMES, "x" * 10**7, "a\n" * 10**6):
        words = str(ConfigError(f"{hostile} is wrong: correct {hostile}."))
        assert harmless(words)
        assert "\n" not in words
        assert len(words) <= 1200


# -- prediction stores -------------------------------------------------------------------------------------------


def bomb(size):
    deflater = zlib.compressobj(9)
    parts = [deflater.compress(bytes(1 << 20)) for _ in range(size >> 20)]
    return b"".join([*parts, deflater.flush()])


HEADER = struct.Struct("<IIIB")
ROWS = {
    "a bomb": bomb(1 << 29),
    "a bomb in a bomb": zlib.compress(bomb(1 << 29)),
    "cut off": pack(ONE)[:-4],
    "something behind": pack(ONE) + b"x",
    "nothing": b"",
    "text": b"not compressed",
    "a header alone": zlib.compress(HEADER.pack(5, 4, 4, 1)),
    "many that are not there": zlib.compress(HEADER.pack(2**32 - 1, 4, 4, 0) + bytes(100)),
    "a huge image": zlib.compress(HEADER.pack(0, 2**32 - 1, 2**32 - 1, 1)),
    "lengths beyond the end": zlib.compress(HEADER.pack(1, 4, 4, 1) + bytes(24) + b"\xff\xff\xff\x7f"),
    "masks that are no text": zlib.compress(HEADER.pack(1, 4, 4, 1) + bytes(24) + struct.pack("<I", 2) + b"\xff\xfe"),
}


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_a_row_is_read_whole_or_refused(tmp_path, row):
    with pytest.raises(ValueError):
        unpack(row)
    store = written(tmp_path / "a.sqlite")
    with sqlite3.connect(store.path) as file:
        file.execute("UPDATE found SET data = ? WHERE position = 0", (row,))
    with pytest.raises(DatasetError, match="the prediction of item 0 cannot be read"):
        PredictionStore(source(), store.path, "yxyx", "a").detections(0)


def test_the_bound_is_far_from_real_predictions():
    assert len(zlib.decompress(pack(ONE))) * 1000 < prediction_store.MOST_BYTES


@pytest.mark.parametrize(
    "script",
    [
        "DROP TABLE about; CREATE VIEW about AS WITH RECURSIVE n(k) AS (SELECT 1 UNION ALL SELECT k + 1 FROM n) "
        "SELECT k AS key, k AS value FROM n",
        "DROP TABLE found; CREATE VIEW found AS WITH RECURSIVE n(k) AS (SELECT 1 UNION ALL SELECT k + 1 FROM n) "
        "SELECT k AS position, k AS data FROM n",
        "DELETE FROM about",
        "DROP TABLE found",
        "UPDATE about SET value = '[' || value",
    ],
)
def test_a_store_that_computes_is_not_read(tmp_path, script):
    store = written(tmp_path / "a.sqlite", (ONE, NONE))
    assert PredictionStore(source(2), store.path, "yxyx", "a").is_current()
    with sqlite3.connect(store.path) as file:
        file.executescript(script)
    assert not PredictionStore(source(2), store.path, "yxyx", "a").is_current()


def test_a_store_is_not_written_through_a_planted_link(tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / f".a.sqlite.{os.getpid()}.tmp").symlink_to(victim)
    written(tmp_path / "a.sqlite")
    assert victim.read_text() == "precious"
    assert json.dumps(sorted(path.name for path in tmp_path.glob("*"))).count("tmp") == 1
