"""``configOptions``: a value of another kind than the config's own is one sentence that names the key."""

import pytest
from mmengine.config import Config

from instance_segmentation_pipeline.config.schema import check_properties
from instance_segmentation_pipeline.errors import ConfigError
from instance_segmentation_pipeline.models.config_options import apply_options


def native():
    return Config(
        {
            "model": {"backbone": {"out_indices": (1, 2)}, "neck": {"in_channels": [8, 16], "norm_cfg": None}},
            "train_dataloader": {"batch_size": 2, "num_workers": 2},
            "val_dataloader": {"batch_size": 1},
            "optim_wrapper": {"optimizer": {"type": "SGD", "lr": 0.1}},
        }
    )


@pytest.mark.parametrize("loader", ["train_dataloader", "val_dataloader"])
@pytest.mark.parametrize("value", [0, -1, 1.5, True, [2], "many"])
@pytest.mark.parametrize("nested", [False, True])
def test_a_batch_without_items(loader, value, nested):
    options = {loader: {"batch_size": value}} if nested else {f"{loader}.batch_size": value}
    with pytest.raises(ConfigError, match=rf"'{loader}\.batch_size' is .*, expected a (whole number from 1|number)"):
        apply_options(native(), options)


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("train_dataloader.num_workers", -1, "a whole number from 0"),
        ("train_dataloader.prefetch_factor", 0, "a whole number from 1"),
        ("model.backbone.out_indices", "1, 2", "a list"),
        ("model.neck.in_channels", "8", "a list"),
        ("model.neck", "FPN", "a mapping"),
        ("model.backbone", 50, "a mapping"),
        ("optim_wrapper.optimizer", "AdamW", "a mapping"),
    ],
)
def test_another_kind(key, value, expected):
    with pytest.raises(ConfigError, match=rf"{key!r} is .*, expected {expected}: correct it") as error:
        apply_options(native(), {key: value})
    assert str(error.value).count("\n") == 0


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("train_dataloader.batch_size", 8),
        ("train_dataloader.num_workers", 0),
        ("model.backbone.out_indices", [0]),
        ("model.neck.in_channels", 8),
        ("model.neck.norm_cfg", "BN"),
        ("model.neck", None),
    ],
)
def test_what_may_be(key, value):
    config = native()
    apply_options(config, {key: value})
    *above, leaf = key.split(".")
    for part in above:
        config = config[part]
    assert config[leaf] == value


def test_an_optimizer_is_given_the_parameters_of_the_net():
    raw = {"configPath": "x.py", "classes": 1, "dataset": "x", "stages": [{"epochs": 1}]}
    raw["optimizer"] = {"type": "SGD", "params": []}
    with pytest.raises(ConfigError, match=r"optimizer\.params would be overwritten.*paramwise_cfg"):
        check_properties(raw)
