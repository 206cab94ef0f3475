"""``weightsPath`` and ``configPath`` that name no file: one sentence that says what is there instead."""

import os

import pytest

from instance_segmentation_pipeline.errors import UserError
from instance_segmentation_pipeline.models.config_file import locate
from instance_segmentation_pipeline.models.initial_weights import resolve_weights


def _nothing(path):
    pass


def _folder(path):
    path.mkdir()


def _loop(path):
    path.symlink_to(path)


def _dead_link(path):
    path.symlink_to(path.with_name("nowhere"))


def _link_to_pipe(path):
    os.mkfifo(path.with_name("pipe"))
    path.symlink_to("pipe")


KINDS = [
    (_nothing, "it.py", "does not exist: .*it.py was looked for"),
    (_dead_link, "it.py", "does not exist: .*nowhere was looked for"),
    (_folder, "it.py", "is no file, but a folder"),
    (os.mkfifo, "it.py", "is no file, but a pipe"),
    (_link_to_pipe, "it.py", "is no file, but a pipe"),
    (_loop, "it.py", "cannot be looked at .*symbolic links"),
    (_nothing, "a" * 5000, "cannot be looked at .*too long"),
    (_nothing, "~nobody-of-that-name/it.py", "does not exist"),
    (_nothing, "it.py/below", "does not exist"),
    (_nothing, "it\0.py", "can be no file's name"),
]


@pytest.mark.parametrize("finding", [resolve_weights, locate])
@pytest.mark.parametrize(("make", "name", "words"), KINDS, ids=range(len(KINDS)))
def test_what_is_no_file(tmp_path, finding, make, name, words):
    if name == "it.py":
        make(tmp_path / name)
    with pytest.raises(UserError, match=words):
        finding(name, tmp_path)
