"""``callbacks``: forms, names, arguments; what is wrong is told before a net is made."""

import pytest
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

from instance_segmentation_pipeline.config.callback_table import BUILT_IN, MOMENTS, REFUSED, REFUSED_ARGUMENTS
from instance_segmentation_pipeline.config.callbacks import callbacks_of_stage, declared_callbacks
from instance_segmentation_pipeline.config.schema import check_properties
from instance_segmentation_pipeline.errors import ConfigError
from instance_segmentation_pipeline.metrics.coco import metric_names
from instance_segmentation_pipeline.metrics.metric_name import MetricName
from instance_segmentation_pipeline.training.callbacks.making import plan_of
from instance_segmentation_pipeline.training.callbacks.monitor import Measured
from tests.support.keras_callback import Callback
from tests.support.project import REPOSITORY

LEAST = {"configPath": "a.py", "stages": [{"epochs": 1}]}
ONE = {"LRVariator": {"toVal": 0.1, "relSize": 1}}


def refused(value):
    with pytest.raises(ConfigError) as caught:
        check_properties({**LEAST, "callbacks": value})
    return str(caught.value)


@pytest.mark.parametrize(
    "value",
    [
        {"EarlyStopping": {"patience": 3}, "TensorBoard": None},
        [{"EarlyStopping": {"patience": 3}}, "TensorBoard"],
        [{"earlystopping": {"patience": 3}, "tensorBoard": {}}],
    ],
)
def test_forms(value):
    first, second = declared_callbacks(value)
    assert (first.name, first.arguments["patience"], first.arguments["monitor"]) == ("EarlyStopping", 3, "val_loss")
    assert (second.name, second.arguments["update_freq"]) == ("TensorBoard", "epoch")


@pytest.mark.parametrize("value", [None, {}, []])
def test_none(value):
    assert declared_callbacks(value) == ()
    assert [one.name for one in declared_callbacks("TensorBoard")] == ["TensorBoard"]


def test_a_stage_has_its_own_or_those_of_the_experiment_and_more():
    def names(root, own, extra):
        return [one.name for one in callbacks_of_stage(root, own, extra, 0)]

    root = {"EarlyStopping": None, "CyclicLR": None}
    assert names(root, None, None) == ["EarlyStopping", "CyclicLR"]
    assert names(root, None, "TensorBoard") == ["EarlyStopping", "CyclicLR", "TensorBoard"]
    assert names(root, ONE, "TensorBoard") == ["LRVariator", "TensorBoard"]
    assert names(root, [], None) == names(root, {}, None) == []


def test_two_that_set_the_rate_of_one_stage():
    stages = [{"epochs": 1}, {"epochs": 1, "extra_callbacks": ONE}]
    with pytest.raises(ConfigError) as caught:
        check_properties({**LEAST, "stages": stages, "callbacks": {"CyclicLR": None}})
    assert str(caught.value) == (
        "callbacks.CyclicLR and stages[1].extra_callbacks.LRVariator both set the learning rate: remove one, or let "
        "one follow the other by then of LRVariator."
    )
    check_properties({**LEAST, "stages": [{"epochs": 1, "callbacks": ONE}], "callbacks": {"CyclicLR": None}})


def test_a_place_in_a_stage_is_told():
    stages = [{"epochs": 1}, {"epochs": 1, "callbacks": [{"EarlyStopping": {"patience": -1}}]}]
    with pytest.raises(ConfigError) as caught:
        check_properties({**LEAST, "stages": stages})
    assert str(caught.value) == (
        "stages[1].callbacks[0].EarlyStopping.patience is -1, but it must be a whole number from 0 to 1000000."
    )


@pytest.mark.parametrize("name", REFUSED)
def test_a_callback_that_is_not_used_here_names_what_does_its_job(name):
    for value in ({name: {"a": 1}}, [name], name.upper()):
        assert REFUSED[name] in refused(value)


@pytest.mark.parametrize("scope", ["mmengine", "mmdet"])
def test_a_scope_before_a_name_hides_nothing(scope):
    for name in ("ParamSchedulerHook", "CheckpointHook", "EMAHook", "EarlyStoppingHook", "LoggerHook"):
        with pytest.raises(ConfigError, match=rf"{scope}.{name} is not used here"):
            declared_callbacks({f"{scope}.{name}": None})


@pytest.mark.parametrize(("name", "key"), [(name, key) for name, keys in REFUSED_ARGUMENTS.items() for key in keys])
def test_an_argument_that_is_not_used_here_names_what_does_its_job(name, key):
    assert refused({name: {key: 1}}) == f"callbacks.{name}.{key} is not used here: {REFUSED_ARGUMENTS[name][key]}."


WRONG = ["few", -1, 1.5, True, [1], {"a": 1}, float("nan"), float("inf"), "", " ", "\0", 10**40, object(), 1e400]
"""At most one of these is right for any argument that is checked."""

CHECKED = [(name, key) for name, arguments in BUILT_IN.items() for key in arguments if name != "LambdaCallback"]


@pytest.mark.parametrize(("name", "key"), CHECKED)
def test_a_value_that_an_argument_cannot_have(name, key):
    refusals = 0
    for value in WRONG:
        try:
            declared_callbacks({name: {key: value}})
        except ConfigError as error:
            refusals += 1
            assert f"callbacks.{name}" in str(error)
            assert len(str(error)) < 700
            assert "\n" not in str(error)
    assert refusals >= len(WRONG) - 4


@pytest.mark.parametrize("name", BUILT_IN)
def test_an_argument_that_is_not_there_is_told_with_the_nearest(name):
    known = list(BUILT_IN[name])
    message = refused({name: {known[0] + "s": 1}})
    assert message.startswith(f"callbacks.{name} has no argument '{known[0]}s' (did you mean '")
    assert message.endswith(", ".join(sorted(known)) + ".")


BAD = [
    (5, "callbacks is 5, but it must be a callback's name, a mapping of callbacks"),
    (True, "callbacks is True"),
    ([5], "callbacks[0] is 5, expected a callback's name"),
    ([[]], "callbacks[0] is []"),
    ([{}], "callbacks[0] is {}"),
    ([None], "callbacks[0] is None"),
    ([""], "callbacks[0] is ''"),
    ({5: {}}, "callbacks has the key 5"),
    ({"": {}}, "callbacks has the key ''"),
    ({"EarlyStopping": 3}, "callbacks.EarlyStopping is 3, expected a mapping of its arguments"),
    ({"EarlyStopping": [1]}, "callbacks.EarlyStopping is [1], expected a mapping"),
    ({"EarlyStopping": {3: 1}}, "expected a mapping of its arguments"),
    ({"Mine": "x"}, "callbacks.Mine is 'x', expected a mapping"),
    ({"EarlyStopping": {"restore_best": True, "restore_best_weights": True}}, "another name of restore_best_weights"),
    ({"EarlyStopping": {"mode": "best"}}, "mode is 'best', but it must be auto, min or max"),
    ({"EarlyStopping": {"verbose": 2}}, "verbose is 2"),
    ({"ReduceLROnPlateau": {"factor": 1}}, "factor is 1, but it must be a number between 0 and 1"),
    ({"ReduceLROnPlateau": {"factor": 0}}, "factor is 0"),
    ({"ReduceLROnPlateau": {"min_lr": -1}}, "min_lr is -1"),
    ({"CyclicLR": {"mode": "square"}}, "mode is 'square', but it must be triangular"),
    ({"CyclicLR": {"base_lr": 0.1, "max_lr": 0.1}}, "base_lr 0.1 is not below max_lr 0.1"),
    ({"CyclicLR": {"base_lr": 0.1}}, "base_lr 0.1 is not below max_lr 0.006"),
    ({"CyclicLR": {"gamma": 0.5}}, "gamma belongs to mode exp_range, but mode is triangular"),
    ({"CyclicLR": {"gamma": 2, "mode": "exp_range"}}, "gamma is 2"),
    ({"CyclicLR": {"step_size": 0}}, "step_size is 0"),
    ({"LRVariator": None}, "does not tell how long it lasts"),
    ({"LRVariator": {"toVal": 0.1}}, "does not tell how long it lasts"),
    ({"LRVariator": {"relSize": 1}}, "toVal is missing"),
    ({"LRVariator": {"relSize": 1, "absSize": 1, "toVal": 0.1}}, "has absSize and relSize"),
    ({"LRVariator": {"relSize": 0, "toVal": 0.1}}, "relSize is 0"),
    ({"LRVariator": {"absSize": 0, "toVal": 0.1}}, "absSize is 0"),
    ({"LRVariator": {"relSize": 1, "toVal": 0.1, "style": 0}}, "style is 0, but it must be linear, const"),
    ({"LRVariator": {"relSize": 1, "toVal": 0.1, "style": -2}}, "style is -2"),
    ({"LRVariator": {"relSize": 1, "toVal": 0.1, "style": "tan"}}, "style is 'tan'"),
    ({"LRVariator": {"relSize": 1, "toVal": 0.1, "style": "const"}}, "style const stays at fromVal"),
    ({"LRVariator": {"relSize": 1, "toVal": -0.1}}, "toVal is -0.1"),
    ({"LRVariator": {"relSize": 1, "toVal": 0.1, "periodSteps": 1, "periodEpochs": 1}}, "has periodSteps and period"),
    ({"LRVariator": {"relSize": 1, "toVal": 0.1, "then": 5}}, "then is 5, expected a mapping of one callback"),
    ({"LRVariator": {"relSize": 1, "toVal": 0.1, "then": {}}}, "then is {}, expected a mapping of one callback"),
    ({"LRVariator": {"relSize": 1, "toVal": 0.1, "then": {**ONE, "CyclicLR": {}}}}, "expected a mapping of one"),
    ({"LRVariator": {"relSize": 1, "toVal": 0.1, "then": {"EarlyStopping": {}}}}, "only a callback that sets the"),
    ({"LRVariator": {"relSize": 1, "toVal": 0.1, "then": {"Mine": {}}}}, "only a callback that sets the"),
    ({"LRVariator": {"relSize": 1, "toVal": 0.1, "then": {"LRVariator": {}}}}, "callbacks.LRVariator.then.LRVariator"),
    (
        {"LRVariator": {"relSize": 1, "toVal": 0.1, "then": {"LRVariator": {**ONE["LRVariator"], "periodSteps": 9}}}},
        "the whole chain begins anew: give it to the first LRVariator",
    ),
    (
        {"LRVariator": {"relSize": 1, "toVal": 0.1, "periodSteps": 9, "then": {"ReduceLROnPlateau": {}}}},
        "remove the period, or the plateau",
    ),
    (
        {
            "LRVariator": {
                **ONE["LRVariator"],
                "periodEpochs": 3,
                "then": {"LRVariator": {**ONE["LRVariator"], "then": {"ReduceLROnPlateau": {}}}},
            }
        },
        "remove the period, or the plateau",
    ),
    ({**ONE, "ReduceLROnPlateau": {}}, "callbacks.LRVariator and callbacks.ReduceLROnPlateau both set the learning"),
    ([ONE, ONE], "callbacks[0].LRVariator and callbacks[1].LRVariator both set"),
    ({"CyclicLR": None, "ReduceLROnPlateau": None}, "both set the learning rate"),
    (["TensorBoard", "TensorBoard"], "would write the same numbers"),
    ({"TensorBoard": {"update_freq": "day"}}, "update_freq is 'day', but it must be epoch, batch"),
    ({"TensorBoard": {"update_freq": 0}}, "update_freq is 0"),
    ({"TensorBoard": {"write_graph": True}}, "write_graph is True, but it must be false"),
    ({"TensorBoard": {"log_dir": 5}}, "log_dir is 5, but it must be a path"),
    ({"LambdaCallback": None}, "names no function: give on_epoch_end"),
    ({"LambdaCallback": {"on_epoch_end": len}}, "but it must be the name of a function of the project's modules"),
    ({"LambdaCallback": {"on_epoch_end": 5}}, "on_epoch_end is 5, but it must be the name of a function"),
    ({"LambdaCallback": {"on_batch_end": "a", "on_train_batch_end": "b"}}, "is another name of on_batch_end"),
]


@pytest.mark.parametrize(("value", "message"), BAD)
def test_what_is_wrong_is_told(value, message):
    assert message in refused(value)
    stages = [{"epochs": 1, "extra_callbacks": value}]
    with pytest.raises(ConfigError, match=r"^stages\[0\]\.extra_callbacks"):
        check_properties({**LEAST, "stages": stages})


def test_a_chain_without_end():
    endless = ONE["LRVariator"].copy()
    endless["then"] = {"LRVariator": endless}
    assert "more than 100 callbacks follow each other" in refused({"LRVariator": endless})


# -- what takes the project and MMEngine to be found -----------------------------------------------------------


class Mean:
    """Neither a callback of Keras's nor a hook of MMEngine's."""


def told(epoch, logs):
    pass


def with_model(logs, model):
    pass


def maker(count, word="a"):
    pass


PROJECT = {"Mean": Mean, "told": told, "with_model": with_model, "maker": maker}
PRIMARY = MetricName("val_coco_segm_mAP")


def plan(value, and_more=False):
    measured = Measured(metric_names(True), ["precision"], and_more)
    return plan_of(declared_callbacks(value), PROJECT.get, list(PROJECT), measured, PRIMARY)


UNKNOWN = [
    ("EarlyStoping", "there is no callback 'EarlyStoping' (did you mean 'EarlyStopping'?)"),
    ({"ReduceLrOnPlato": None}, "there is no callback 'ReduceLrOnPlato' (did you mean 'ReduceLROnPlateau'?)"),
    ({"CyclicLr2": None}, "did you mean 'CyclicLR'?"),
    ({"LRVariant": None}, "did you mean 'LRVariator'?"),
    ({"EmptyCacheHok": None}, "did you mean 'EmptyCacheHook'?"),
    ({"makr": None}, "did you mean 'maker'?"),
    ({"Zyx": None}, "no class or function of the project's modules, and no hook of MMEngine"),
    ({"Mean": None}, "Mean is a class, but neither on keras.callbacks.Callback nor on mmengine.hooks.Hook"),
    ({"maker": None}, "callbacks.maker cannot be made: missing a required argument: 'count'"),
    ({"maker": {"count": 1, "wort": 2}}, "callbacks.maker has no argument 'wort' (did you mean 'word'?)"),
    ({"SyncBuffersHook": {"a": 1}}, "callbacks.SyncBuffersHook has no argument 'a': it takes none"),
    ({"ProfilerHook": {"profile_times": "a"}}, "callbacks.ProfilerHook cannot be made"),
    ({"SyncBuffersHook": {"priority": "URGENT"}}, "callbacks.SyncBuffersHook cannot be made"),
    ({"LambdaCallback": {"on_epoch_end": "tolt"}}, "'tolt' is no function of the project's modules (did you mean"),
    ({"LambdaCallback": {"on_train_end": "told"}}, "'told' is called with logs, which it does not take"),
    ({"LambdaCallback": {"on_epoch_end": "with_model"}}, "is called with the number of the epoch or batch, and logs"),
    ({"EarlyStopping": {"restore_best": True}}, "restore_best_weights goes by val_loss, but the best weights"),
    ({"EarlyStopping": {"restore_best": True, "monitor": "coco_segm_mAP", "mode": "min"}}, "but the best weights"),
]


def own_plan(value, **project):
    measured = Measured(metric_names(True), ["precision"], False)
    return plan_of(declared_callbacks(value), project.get, list(project), measured, PRIMARY)


@pytest.mark.parametrize("name", [*BUILT_IN, "earlystopping", "CYCLICLR"])
@pytest.mark.parametrize("kind", ["Keras", "MMEngine", "a function"])
def test_a_callback_of_the_project_with_the_name_of_a_built_in_one(name, kind):
    """Neither of the two is taken silently; other things of the project may have the name."""
    own = {"Keras": type(name, (Callback,), {}), "MMEngine": type(name, (Hook,), {}), "a function": maker}[kind]
    built_in = next(one for one in BUILT_IN if one.lower() == name.lower())
    arguments = {"LRVariator": {"absSize": 3, "toVal": 0.1}, "LambdaCallback": {"on_epoch_end": "told"}}.get(built_in)
    with pytest.raises(ConfigError, match=f"{built_in} is built in, so that {name} of the project's modules would not"):
        own_plan({built_in: arguments}, told=told, **{name: own})
    own_plan({built_in: arguments}, told=told, **{f"My{name}": own, name: Mean})


def test_a_link_of_a_chain_with_the_name_of_a_callback_of_the_project():
    chain = {"LRVariator": {"absSize": 3, "toVal": 0.1, "then": {"CyclicLR": None}}}
    with pytest.raises(ConfigError, match=r"callbacks.LRVariator.then.CyclicLR: CyclicLR is built in"):
        own_plan(chain, CyclicLR=type("CyclicLR", (Callback,), {}))


@pytest.mark.parametrize(("value", "message"), UNKNOWN)
def test_what_is_not_there_is_told(value, message):
    with pytest.raises(ConfigError) as caught:
        plan(value)
    assert message in str(caught.value)
    assert str(caught.value).startswith("callbacks")


MONITORS = {
    "val_loss": True,
    "loss": True,
    "val_loss_mask": True,
    "val_s0.loss_cls": True,
    "val_coco_segm_mAP": False,
    "coco_bbox_mAP_50": False,
}


@pytest.mark.parametrize("name", MONITORS)
def test_a_monitor_and_its_direction(name):
    for kind in ("EarlyStopping", "ReduceLROnPlateau"):
        ((column,),) = (one.columns.values() for one in plan({kind: {"monitor": name}}).callbacks)
        assert str(column) == (name if name in ("loss", "val_loss") else f"val_{name.removeprefix('val_')}")
        assert column.lower_is_better is MONITORS[name]
        ((turned,),) = (one.columns.values() for one in plan({kind: {"monitor": name, "mode": "max"}}).callbacks)
        assert not turned.lower_is_better


@pytest.mark.parametrize("name", ["val_binary_accuracy", "val_coco_segm_map_5O", "mAP", "val_", "epoch", "blossom"])
@pytest.mark.parametrize("chain", [False, True])
def test_a_monitor_that_there_is_not_lists_those_that_there_are(name, chain):
    then = {"ReduceLROnPlateau": {"monitor": name}}
    value = {"LRVariator": {**ONE["LRVariator"], "then": then}} if chain else then
    with pytest.raises(ConfigError) as caught:
        plan(value)
    assert f"ReduceLROnPlateau: monitor {name!r} is no column of the metrics CSV" in str(caught.value)
    assert "loss, val_loss, lr, val_coco_bbox_mAP" in str(caught.value)


def test_a_monitor_of_another_metric():
    """One that ``metrics`` could have computed is told so; a function of the project may give columns of any name."""
    with pytest.raises(ConfigError, match="'val_precision' is not computed after each epoch: list precision in metri"):
        plan({"EarlyStopping": {"monitor": "val_precision"}})
    (one,) = plan({"EarlyStopping": {"monitor": "val_of_mine"}}, and_more=True).callbacks
    assert [str(column) for column in one.columns.values()] == ["val_of_mine"]
    with pytest.raises(ConfigError, match="'of_mine' is no column"):
        plan({"EarlyStopping": {"monitor": "of_mine"}}, and_more=True)


def test_the_one_that_sets_the_rate_and_what_lr_counts():
    notes = {
        "CyclicLR": "CyclicLR, which has its own rates (lr {lr:g} is not used)",
        "ReduceLROnPlateau": "ReduceLROnPlateau, from lr {lr:g}",
    }
    for name, note in notes.items():
        assert plan({"EarlyStopping": None, name: None}).owner_note == note
    assert plan(ONE).owner_note == "LRVariator, from lr {lr:g}"
    given = {"LRVariator": {**ONE["LRVariator"], "fromVal": 0.2}}
    assert plan(given).owner_note == "LRVariator, which has its own rates (lr {lr:g} is not used)"
    assert plan("EarlyStopping").owner_note is None


# -- the reference ---------------------------------------------------------------------------------------------


def rows():
    section = (
        (REPOSITORY / "reference.md").read_text().partition("\n## Callbacks of a stage\n")[2].partition("\n## ")[0]
    )
    return [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("|")]


def default_of(argument):
    value = argument.default
    if value is None:
        return "none"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def test_the_reference_has_every_argument():
    written = [row[:3] for row in rows()]
    for name, arguments in BUILT_IN.items():
        for key, argument in arguments.items():
            assert [f"`{key}`", argument.allowed, default_of(argument)] in written, (name, key)
    assert set(MOMENTS) == set(BUILT_IN["LambdaCallback"])


def test_the_reference_has_all_that_is_refused():
    written = {row[0]: row[1] for row in rows() if len(row) == 2}
    for name, why in REFUSED.items():
        assert written[f"`{name}`"] == why
    for name, keys in REFUSED_ARGUMENTS.items():
        for key, why in keys.items():
            assert written[f"`{name}.{key}`"] == why


def test_hooks_that_are_always_there_are_refused():
    kept = {"RuntimeInfoHook", "IterTimerHook", "DistSamplerSeedHook", "LoggerHook", "ParamSchedulerHook"}
    assert kept | {"CheckpointHook"} <= set(REFUSED) & set(HOOKS.module_dict)
