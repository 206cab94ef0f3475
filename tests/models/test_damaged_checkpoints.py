"""Damaged checkpoints, bombs, and paths that are no file: one sentence, without wrong advice."""

import io
import os
import pickle
import struct
import zipfile

import pytest
import torch
from musket_core import generic

from instance_segmentation_pipeline.errors import WeightsError
from instance_segmentation_pipeline.models.checkpoints import read_checkpoint
from instance_segmentation_pipeline.storage.zip_files import is_whole
from tests.support.checkpoint_attacks import in_zip

pytestmark = pytest.mark.slow


def flipped(data, place=0.5):
    spot = int(len(data) * place)
    return data[:spot] + bytes([data[spot] ^ 1]) + data[spot + 1 :]


def bomb():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({}, 2))
        archive.writestr("archive/data/0", bytes(60_000_000))
    return buffer.getvalue()


def saved(content):
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


WHOLE = saved({"state_dict": {"weight": torch.ones(1000)}})


DAMAGED = {
    "empty": b"",
    "text": b"404: not found",
    "html": b"<html><body>Sign in</body></html>",
    "git lfs": b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 2\n",
    "half": WHOLE[: len(WHOLE) // 2],
    "a byte less": WHOLE[:-1],
    "a bit of a tensor": flipped(WHOLE),
    "a bit of the directory": flipped(WHOLE, 0.98),
    "zip of nothing": b"PK\x05\x06" + bytes(18),
    "zip bomb": bomb(),
    "zip of something": in_zip(b"\x80\x02}."[:2]),
    "deep": in_zip(b"\x80\x02" + b"(" * 100_000 + b"t" * 100_000 + b"."),
    "deep lists": in_zip(b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b"."),
    "pickle of itself": in_zip(b"\x80\x02]q\x00h\x00a."),
    "a number of a million bytes": in_zip(b"\x80\x02\x8b" + struct.pack("<i", 10**6) + b"\1" * 10**6 + b"."),
    "huge storage": in_zip(b"\x80\x02" + b"ctorch.storage\nUntypedStorage\n(\x8a\x06\0\0\0\0\0\x7ftR."),
    "memo of nothing": in_zip(b"\x80\x02h\x07."),
    "no list": in_zip(b"\x80\x02K\x01."),
    "tar": b"ustar" * 300,
}


@pytest.mark.parametrize("data", DAMAGED.values(), ids=DAMAGED)
def test_damaged_checkpoints_are_one_sentence_without_wrong_advice(tmp_path, data):
    (tmp_path / "d\x1bamaged.pth").write_bytes(data)
    with pytest.raises(WeightsError) as raised:
        read_checkpoint(tmp_path / "d\x1bamaged.pth")
    words = str(raised.value)
    assert "trustWeights" not in words
    assert "\x1b" not in words
    assert len(words) < 600


@pytest.mark.parametrize("kind", ["folder", "pipe", "device", "nothing", "dead link", "below a file", "loop"])
def test_what_is_no_file_is_refused_without_waiting(tmp_path, kind):
    path = tmp_path / "weights.pth"
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "dead link":
        path.symlink_to(tmp_path / "nowhere")
    elif kind == "loop":
        path.symlink_to(path)
    elif kind == "below a file":
        path.write_bytes(WHOLE)
        path = path / "weights.pth"
    with pytest.raises(WeightsError, match="does not exist|is a folder|a pipe or a device|cannot be read"):
        read_checkpoint(path)


def test_a_changed_file_is_read_anew(tmp_path):
    path = tmp_path / "a.pth"
    path.write_bytes(WHOLE)
    assert is_whole(path)
    path.write_bytes(WHOLE[:-5])
    assert not is_whole(path)


def test_a_damaged_weights_path_is_noticed_before_training(add_experiment, tmp_path):
    (tmp_path / "start.pth").write_bytes(flipped(WHOLE))
    cfg = generic.parse(str(add_experiment(extra=f"weightsPath: {tmp_path / 'start.pth'}\n")))
    with pytest.raises(WeightsError, match="is damaged: its records do not agree with their checksums"):
        cfg.check()
