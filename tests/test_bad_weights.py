"""Files of weights that are none: a sentence with the file, never an error of ours."""

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
