"""Files of weights that are none: a sentence with the file, never an error of ours."""

import pickle
from pathlib import Path

import pytest
import torch

from instance_segmentation_pipeline.errors import WeightsError
from instance_segmentation_pipeline.models.checkpoints import read_checkpoint
from instance_segmentation_pipeline.models.transfer import load_into

CONTENTS = {
    "a list": [1, 2],
    "a number": 3,
    "nothing": None,
    "an empty mapping": {},
    "a state_dict that is None": {"state_dict": None},
    "a state_dict that is a list": {"state_dict": [1]},
    "a state_dict that is a tensor": {"state_dict": torch.ones(2)},
    "an empty state_dict": {"state_dict": {}},
    "numbers in place of weights": {"state_dict": {"weight": 3, "bias": None}},
    "numbers as names": {"state_dict": {1: torch.ones(1)}},
    "numbers as names, without a state_dict": {1: torch.ones(1)},
    "a model that is None": {"model": None},
    "other names": {"state_dict": {"a": torch.ones(1)}},
    "other shapes": {"state_dict": {"weight": torch.ones(7), "bias": torch.ones(7)}},
}
RAW = {
    "empty": lambda whole: b"",
    "half": lambda whole: whole[: len(whole) // 2],
    "all but the end": lambda whole: whole[:-30],
    "zeros": lambda whole: bytes(5000),
    "a changed byte": lambda whole: whole[: len(whole) // 2] + b"\x07" + whole[len(whole) // 2 + 1 :],
}


@pytest.mark.parametrize("content", CONTENTS)
def test_contents(content, tmp_path):
    path = tmp_path / "a.pth"
    torch.save(CONTENTS[content], path)
    with pytest.raises(WeightsError, match="a.pth") as caught:
        read_checkpoint(path)
        load_into(torch.nn.Linear(2, 2), path)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("kind", RAW)
def test_damage_is_no_matter_of_trust(kind, tmp_path):
    path = tmp_path / "a.pth"
    torch.save({"state_dict": {"weight": torch.ones(2, 2), "bias": torch.ones(2), "more": torch.ones(900)}}, path)
    path.write_bytes(RAW[kind](path.read_bytes()))
    with pytest.raises(WeightsError, match="damaged") as caught:
        read_checkpoint(path)
    assert "trustWeights" not in str(caught.value)


FOREIGN = {
    "a sentence": b"hello",
    "words that are opcodes of a pickle": b"cos\nsystem\n(S'true'\ntR.",
    "a config of MMDetection": b"_base_ = ['../x.py']\nmodel = dict(type='MaskRCNN')\n",
    "YAML": b"#%Musket MMDetection 1.0\nconfigPath: mmdet::a.py\n",
    "JSON": b'{"state_dict": {"weight": [1, 2]}}',
    "CSV": b"epoch,loss\n1,0.5\n",
    "a page of HTML": b"<!DOCTYPE html><html>404 Not Found</html>",
    "a pointer of Git LFS": b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 12345\n",
    "a picture": b"\x89PNG\r\n\x1a\n" + bytes(range(256)),
    "gzip": b"\x1f\x8b\x08" + bytes(200),
    "HDF5": b"\x89HDF\r\n\x1a\n" + bytes(200),
    "an array of NumPy": b"\x93NUMPY\x01\x00v\x00{'descr': '<f4'}",
    "a pickle of something else": pickle.dumps({"state_dict": {"weight": 1}}),
    "a pickle of a class": pickle.dumps(Path),
    "Chinese": "权重".encode(),
    "blank lines": b"\n" * 40,
}


@pytest.mark.parametrize("trusted", [False, True])
@pytest.mark.parametrize("kind", FOREIGN)
def test_what_is_no_checkpoint_is_no_matter_of_trust(kind, trusted, tmp_path):
    path = tmp_path / "a.pth"
    path.write_bytes(FOREIGN[kind])
    with pytest.raises(WeightsError, match="is no checkpoint, or is damaged: it begins with") as caught:
        read_checkpoint(path, trusted)
    assert "trustWeights" not in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("zipped", [False, True])
def test_files_of_every_format_of_torch_are_read(zipped, protocol, tmp_path):
    path = tmp_path / "a.pth"
    torch.save(
        {"state_dict": {"weight": torch.ones(2)}},
        path,
        _use_new_zipfile_serialization=zipped,
        pickle_protocol=protocol,
    )
    try:
        assert read_checkpoint(path)["state_dict"]["weight"].tolist() == [1, 1]
    except WeightsError as error:
        assert protocol > 3, error  # torch's own reader of plain data stops at protocol 3
        assert "no checkpoint, or is damaged: it begins" not in str(error)
