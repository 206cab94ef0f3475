"""The folder that a declared dataset is read in is compared by a resume, by the last name of an absolute path."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from instance_segmentation_pipeline.errors import WeightsError
from instance_segmentation_pipeline.experiment.stage_work import declared_settings
from instance_segmentation_pipeline.training.stage_settings import META_KEY, Resumption, resumption

DECLARED = {"voc": {"root": "VOC2012"}}


def settings(folder):
    told = declared_settings(SimpleNamespace(dataset=DECLARED, datasets={}, datasets_path=folder))
    return {"datasets_path": told["datasets_path"], "dataset.voc.root": told["dataset"]["voc"]["root"]}


def compared(trained, asked):
    return resumption({META_KEY: trained}, asked, Path("last-0.0.weights"), is_last=True)


@pytest.mark.parametrize("other", ["more", "/mnt/more", None])
def test_another_folder_is_told(other):
    with pytest.raises(WeightsError, match="datasets_path .* there, .* now"):
        compared(settings("data"), settings(other))


@pytest.mark.parametrize(("before", "now"), [("data", "data"), ("/a/data", "/b/data"), (None, None)])
def test_a_project_may_move(before, now):
    assert compared(settings(before), settings(now)) == Resumption()


def test_checkpoints_that_do_not_tell_it_are_gone_on_with():
    before = settings("data")
    del before["datasets_path"]
    assert compared(before, settings("data")) == Resumption()
