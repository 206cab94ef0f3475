"""The CSV of batches: each row once, whatever a kill left of it."""

import math

import pytest

from instance_segmentation_pipeline.errors import TrainingError
from instance_segmentation_pipeline.storage.batch_csv import BatchTable


def row(iteration, **further):
    return {"epoch": iteration // 3, "iteration": iteration, "lr": 0.1, "loss": 1 / (iteration + 1), **further}


def filled(path, count=6):
    table = BatchTable(path)
    assert table.begin(0) == 0
    table.add([row(number) for number in range(count)])
    table.sync()
    return path.read_text()


@pytest.mark.parametrize("pieces", [[6], [1, 5], [2, 2, 2], [1] * 6])
def test_rows_in_any_pieces_make_the_same_file(tmp_path, pieces):
    whole = filled(tmp_path / "whole.csv")
    table = BatchTable(tmp_path / "a.csv")
    table.begin(0)
    done = 0
    for count in pieces:
        table.add([row(number) for number in range(done, done + count)])
        done += count
    assert (tmp_path / "a.csv").read_text() == whole


@pytest.mark.parametrize("cut", range(0, 140, 7))
def test_gone_on_with_after_a_cut_anywhere(tmp_path, cut):
    """Rows of iterations that are trained again are dropped, and so is the half of a line."""
    whole = filled(tmp_path / "whole.csv")
    path = tmp_path / "a.csv"
    kept = whole.splitlines(keepends=True)
    path.write_text("".join(kept[:4]) + "".join(kept[4:])[:cut])
    table = BatchTable(path)
    assert table.begin(3) == 3
    table.add([row(number) for number in range(3, 6)])
    assert path.read_text() == whole


def test_twice_the_same_row_is_one(tmp_path):
    path = tmp_path / "a.csv"
    whole = filled(path)
    path.write_text(whole + whole.partition("\n")[2])
    assert BatchTable(path).begin(6) == 6
    assert path.read_text() == whole


@pytest.mark.parametrize("content", ["", "epoch,loss\n1,2\n", "\0\0\0", "iteration\nx\n", "a\n1,2,3\n", '"\n'])
def test_what_is_no_such_file_gives_way(tmp_path, content):
    path = tmp_path / "a.csv"
    path.write_text(content)
    table = BatchTable(path)
    assert table.begin(5) == 0
    table.add([row(5)])
    assert path.read_text() == "epoch,iteration,lr,loss\n1,5,0.1,0.166667\n"


def test_a_loss_that_comes_later_is_a_column_for_all(tmp_path):
    path = tmp_path / "a.csv"
    table = BatchTable(path)
    table.begin(0)
    table.add([row(0)])
    table.add([row(1, loss_mask=2.5), row(2, loss_mask=math.nan)])
    assert path.read_text().splitlines() == [
        "epoch,iteration,lr,loss,loss_mask",
        "0,0,0.1,1,",
        "0,1,0.1,0.5,2.5",
        "0,2,0.1,0.333333,",
    ]


def test_a_file_that_cannot_be_written_is_named(tmp_path):
    path = tmp_path / "a.csv"
    path.mkdir()
    table = BatchTable(path)
    with pytest.raises(TrainingError, match=r"a\.csv cannot be written.*leave logAll out"):
        table.begin(0)
        table.add([row(0)])
