"""``hyperparameters``, ``max_evals`` and ``pruning`` in the YAML: what they mean, and what is refused."""

import math

import pytest

from instance_segmentation_pipeline.config.pruning import Pruning, pruning_of
from instance_segmentation_pipeline.config.schema import check_properties
from instance_segmentation_pipeline.config.search_plan import SearchPlan
from instance_segmentation_pipeline.config.search_space import space_of
from instance_segmentation_pipeline.config.search_templates import parameters_used, with_parameters
from instance_segmentation_pipeline.errors import ConfigError
from instance_segmentation_pipeline.storage.search_record import TrialRecord
from instance_segmentation_pipeline.tuning.proposals import Proposals

LEAST = {"configPath": "a.py", "stages": [{"epochs": 1}]}
RATE = {"rate": {"loguniform": [1e-4, 1e-2]}}


def plan(space, **properties):
    return SearchPlan.of({**LEAST, "hyperparameters": space, **properties})


def drawn(declared, count=40):
    proposals = Proposals(space_of({"x": declared}), 7, lower_is_better=True)
    trials = []
    for number in range(count):
        parameters = proposals.next(number, trials)
        trials.append(TrialRecord(number, parameters).ended("done", float(number % 5), 1.0))
    return [trial.parameters["x"] for trial in trials]


@pytest.mark.parametrize("declared", [[0.1, 0.5], {"range": [0.1, 0.5]}, {"type": "float", "range": [0.1, 0.5]}])
def test_ranges_are_of_floats(declared):
    values = drawn(declared)
    assert all(type(value) is float and 0.1 <= value <= 0.5 for value in values)
    assert len(set(values)) == len(values)


@pytest.mark.parametrize("declared", [{"type": "integer", "range": [2, 5]}, {"uniformint": [2, 5]}])
def test_ranges_of_whole_numbers_have_both_ends(declared):
    values = drawn(declared)
    assert set(values) == {2, 3, 4, 5} and all(type(value) is int for value in values)


@pytest.mark.parametrize(("declared", "all_values"), [({"randint": 3}, {0, 1, 2}), ({"randint": [2, 4]}, {2, 3})])
def test_randint_leaves_its_upper_end_out(declared, all_values):
    assert set(drawn(declared)) == all_values


def test_logarithms_are_drawn_evenly_between_bounds_of_the_value():
    values = drawn({"loguniform": ["1e-4", "1e-2"]})
    assert all(1e-4 <= value <= 1e-2 for value in values)
    assert 5 < sum(value < 1e-3 for value in values) < 35


@pytest.mark.parametrize(
    ("declared", "kind"), [({"quniform": [0, 100, 20]}, int), ({"quniform": [0.0, 1.0, 0.25]}, float)]
)
def test_steps_are_kept(declared, kind):
    low, high, step = declared["quniform"]
    for value in drawn(declared):
        assert type(value) is kind and low <= value <= high and (value / step) == round(value / step)


def test_stepped_logarithms_stay_between_their_bounds():
    assert all(1 <= value <= 100 and (value == 1 or value % 5 == 0) for value in drawn({"qloguniform": [1, 100, 5]}))


CHOICES = ["r50", None, 1, 1.0, True, [1, 2], {"type": "AdamW", "lr": 0.1}]


@pytest.mark.parametrize("word", ["enum", "choice"])
def test_choices_are_by_value_and_keep_their_kinds(word):
    values = drawn({word: CHOICES}, 60)
    assert {repr(value) for value in values} == {repr(value) for value in CHOICES}


@pytest.mark.parametrize(
    ("kind", "enum", "values"),
    [("float", [1, 2], [1.0, 2.0]), ("integer", [1.0, 2], [1, 2]), ("string", ["a", "b"], ["a", "b"])],
)
def test_types_of_enums(kind, enum, values):
    found = space_of({"x": {"type": kind, "enum": enum}})["x"].choices
    assert list(map(repr, found)) == list(map(repr, values))


def test_proposals_follow_from_seed_number_and_history_alone():
    space = space_of({"a": [0, 1], "b": {"choice": ["x", "y"]}})
    trials = [TrialRecord(n, {"a": n / 30, "b": "xy"[n % 2]}).ended("done", float(n), 1.0) for n in range(25)]
    first = Proposals(space, 33, lower_is_better=True).next(25, trials)
    assert first == Proposals(space, 33, lower_is_better=True).next(25, list(trials))
    assert first != Proposals(space, 34, lower_is_better=True).next(25, trials)
    assert first != Proposals(space, 33, lower_is_better=True).next(26, trials)


@pytest.mark.parametrize("lower", [True, False])
def test_proposals_go_where_scores_are_good(lower):
    proposals = Proposals(space_of({"a": [0, 1]}), 1, lower_is_better=lower)
    trials = []
    for number in range(50):
        value = proposals.next(number, trials)["a"]
        trials.append(TrialRecord(number, {"a": value}).ended("done", value, 1.0))
    values = [trial.parameters["a"] for trial in trials]
    early, late = sum(values[:20]) / 20, sum(values[20:]) / 30
    assert late < early - 0.05 if lower else late > early + 0.05


def test_failed_and_running_trials_count_nothing_and_pruned_ones_as_the_worst():
    proposals = Proposals(space_of({"a": [0, 1]}), 1, lower_is_better=True)
    done = [TrialRecord(n, {"a": n / 30}).ended("done", float(n), 1.0) for n in range(25)]
    others = [TrialRecord(25, {"a": 0.5}), TrialRecord(26, {"a": 0.7}).ended("failed", None, 1.0, "why")]
    assert proposals.next(30, done) == proposals.next(30, [*done, *others])
    pruned = [*done, TrialRecord(25, {"a": 0.99}).ended("pruned", None, 1.0)]
    worst = [*done, TrialRecord(25, {"a": 0.99}).ended("done", 24.0, 1.0)]
    assert proposals.next(30, pruned) == proposals.next(30, worst)


FILLED = [
    ("rate", 0.5),
    ("rate * 10", 5),
    ("-rate", -0.5),
    (" rate ", 0.5),
    ("rates", "rates"),
    ("my rate", "my rate"),
    ("rate.png", "rate.png"),
    ("rate-limit", "rate-limit"),
    ("rate + other", "rate + other"),
    ("{rate}", "{rate}"),
    ("mmdet::rate/x.py", "mmdet::rate/x.py"),
    ("Rate", "Rate"),
    (["rate", {"deep": {"er": "rate"}}], [0.5, {"deep": {"er": 0.5}}]),
    ({"rate": "rate"}, {"rate": 0.5}),
    ([{"if(on)": "rate"}, "x"], [0.5, "x"]),
    ([{"if(not on)": "rate"}, "x"], ["x"]),
    ([{"if(rate > 1)": 1}, {"if (rate < 1 and on)": 2}], [2]),
    ([{"if(foreign)": "rate"}], [{"if(foreign)": 0.5}]),
    (1, 1),
    (None, None),
    ("", ""),
    ("word", "a text"),
]


@pytest.mark.parametrize(("text", "value"), FILLED, ids=lambda one: str(one)[:30])
def test_whole_names_and_expressions_of_them_are_filled_in(text, value):
    parameters = {"rate": 0.5, "on": True, "word": "a text"}
    assert with_parameters(text, parameters) == value
    assert bool(parameters_used(text, parameters)) == (value != text)


def test_parameters_reach_all_places_of_the_yaml():
    made = plan(
        {"rate": [0.1, 0.2], "count": {"type": "integer", "range": [1, 3]}, "size": {"enum": [64, 96]}},
        lr="rate",
        shape=["size", "size"],
        stages=[{"epochs": "count", "lr": "rate / 10"}, {"epochs": 1}],
        configOptions={"model.neck.out_channels": "size", "a": {"b": ["rate"]}},
        augmentation={"Fliplr": "rate", "Sequential": [{"Affine": {"rotate": ["size", "size * 2"]}}]},
    )
    filled = made.properties({"rate": 0.125, "count": 2, "size": 96})
    assert filled["lr"] == 0.125 and filled["shape"] == [96, 96]
    assert filled["stages"] == [{"epochs": 2, "lr": 0.0125}, {"epochs": 1}]
    assert filled["configOptions"] == {"model.neck.out_channels": 96, "a": {"b": [0.125]}}
    assert filled["augmentation"]["Sequential"] == [{"Affine": {"rotate": [96, 192]}}]
    assert not {"hyperparameters", "max_evals", "pruning"} & set(filled)


def test_choices_may_be_mappings_that_nothing_shares():
    made = plan({"opt": {"choice": ["SGD", {"type": "AdamW", "lr": 0.1}]}}, optimizer="opt")
    filled = made.properties({"opt": made.space["opt"].choices[1]})
    filled["optimizer"]["lr"] = 5
    assert made.space["opt"].choices[1]["lr"] == 0.1


def test_defaults_of_a_search():
    made = plan(RATE, lr="rate")
    assert made.max_evals == 200 and made.pruning is None
    assert plan(RATE, lr="rate", pruning="median").pruning == Pruning(1, 4)
    assert plan(RATE, lr="rate", pruning={"epochs": 0, "trials": 2}).pruning == Pruning(0, 2)


BAD_SPACES = [
    {},
    [],
    "rate",
    5,
    True,
    {"rate": None},
    {"rate": 5},
    {"rate": "fast"},
    {"rate": {}},
    {"rate": []},
    {"rate": [1]},
    {"rate": [1, 2, 3]},
    {"rate": [2, 1]},
    {"rate": [1, 1]},
    {"rate": ["a", "b"]},
    {"rate": [0, None]},
    {"rate": [0, True]},
    {"rate": [0, math.inf]},
    {"rate": [math.nan, 1]},
    {"rate": [0, 1e300]},
    {"rate": {"range": 5}},
    {"rate": {"range": [1]}},
    {"rate": {"range": [1, 2], "enum": [1]}},
    {"rate": {"range": [1, 2], "type": "string"}},
    {"rate": {"range": [1, 2], "type": "double"}},
    {"rate": {"range": [1, 2], "type": 5}},
    {"rate": {"range": [1, 2], "step": 1}},
    {"rate": {"type": "float"}},
    {"rate": {"range": [1.5, 2], "type": "integer"}},
    {"rate": {"range": [5, 2], "type": "integer"}},
    {"rate": {"enum": 5}},
    {"rate": {"enum": []}},
    {"rate": {"enum": "abc"}},
    {"rate": {"enum": [1, 1]}},
    {"rate": {"enum": ["a", "a"]}},
    {"rate": {"enum": [{"a": 1}, {"a": 1}]}},
    {"rate": {"enum": ["a"], "type": "float"}},
    {"rate": {"enum": [1.5], "type": "integer"}},
    {"rate": {"enum": [1], "type": "string"}},
    {"rate": {"enum": [True], "type": "float"}},
    {"rate": {"enum": list(range(300))}},
    {"rate": {"choice": None}},
    {"rate": {"choice": {}}},
    {"rate": {"choice": []}},
    {"rate": {"choice": [1], "uniform": [0, 1]}},
    {"rate": {"unifrom": [0, 1]}},
    {"rate": {"normal": [0, 1]}},
    {"rate": {"lognormal": [0, 1]}},
    {"rate": {"qnormal": [0, 1, 1]}},
    {"rate": {"pchoice": [[0.1, 1]]}},
    {"rate": {5: [0, 1]}},
    {"rate": {"uniform": None}},
    {"rate": {"uniform": [0]}},
    {"rate": {"uniform": [1, 0]}},
    {"rate": {"uniform": {"low": 0, "high": 1}}},
    {"rate": {"loguniform": [0, 1]}},
    {"rate": {"loguniform": [-1, 1]}},
    {"rate": {"loguniform": [1e-3, "x"]}},
    {"rate": {"quniform": [0, 1]}},
    {"rate": {"quniform": [0, 1, 0]}},
    {"rate": {"quniform": [0, 1, -1]}},
    {"rate": {"quniform": [0, 1, 2]}},
    {"rate": {"qloguniform": [0, 10, 1]}},
    {"rate": {"uniformint": [0.5, 2]}},
    {"rate": {"uniformint": ["a", 2]}},
    {"rate": {"randint": 0}},
    {"rate": {"randint": -3}},
    {"rate": {"randint": 1.5}},
    {"rate": {"randint": [3, 3]}},
    {"rate": {"randint": None}},
    {"rate": {"randint": [0, 5, 1]}},
    {"": [0, 1]},
    {"1st": [0, 1]},
    {"my rate": [0, 1]},
    {"lambda": [0, 1]},
    {"True": [0, 1]},
    {"rate.x": [0, 1]},
    {"rå": [0, 1]},
    {5: [0, 1]},
    {None: [0, 1]},
    {f"p{n}": [0, 1] for n in range(101)},
]


@pytest.mark.parametrize("space", BAD_SPACES, ids=lambda space: str(space)[:50])
def test_wrong_spaces_are_told_by_name(space):
    with pytest.raises(ConfigError, match="hyperparameters") as told:
        plan(space, lr="rate")
    assert "\n" not in str(told.value) and len(str(told.value)) < 500
    with pytest.raises(ConfigError, match="hyperparameters"):
        check_properties({**LEAST, "hyperparameters": space})


BAD_PLANS = [
    ({"lr": 0.1}, "hyperparameters.rate is used by nothing"),
    ({"lr": "rates"}, "rate"),
    ({"lr": "rate + other"}, "used by nothing"),
    ({"configOptions": {"rate": 1}}, "used by nothing"),
    ({"lr": "rate - 1"}, "lr is -0.9.*hyperparameters at rate 0.05"),
    ({"lr": "rate * 1000000"}, "lr is 50500.*at rate"),
    ({"lr": "rate * 12000"}, "hyperparameters.rate: with 0.1, lr is 1200"),
    ({"lr": "rate / 0"}, "has no value"),
    ({"lr": "rate ** rate ** 99"}, "has no value|hyperparameters"),
    ({"classes": "rate"}, "classes is 0.05"),
    ({"stages": [{"epochs": "rate"}]}, r"stages\[0\].epochs"),
    ({"configPath": "rate"}, "configPath"),
    ({"folds_count": "rate"}, "folds_count refers to .* split"),
    ({"testSplit": "rate"}, "testSplit refers to"),
    ({"validationSplit": "rate"}, "validationSplit refers to"),
    ({"testSplitSeed": "rate"}, "testSplitSeed refers to"),
    ({"random_state": "rate"}, "random_state refers to"),
    ({"stratified": "rate"}, "stratified refers to"),
    ({"groupFunc": "rate"}, "groupFunc refers to"),
    ({"pretrain_transform": "rate"}, "pretrain_transform refers to"),
    ({"holdout": {"items": "rate"}, "dataset": "x"}, "holdout refers to"),
    ({"primary_metric": "rate"}, "primary_metric refers to .* compared"),
    ({"primary_metric_mode": "rate"}, "primary_metric_mode refers to"),
    ({"experiment_result": "rate"}, "experiment_result refers to"),
    ({"lr": "rate", "max_evals": 0}, "max_evals is 0"),
    ({"lr": "rate", "max_evals": -1}, "max_evals is -1"),
    ({"lr": "rate", "max_evals": 1.5}, "max_evals is 1.5"),
    ({"lr": "rate", "max_evals": "many"}, "max_evals is 'many'"),
    ({"lr": "rate", "max_evals": True}, "max_evals is True"),
    ({"lr": "rate", "max_evals": "rate"}, "max_evals is 'rate'"),
    ({"lr": "rate", "max_evals": 10**9}, "max_evals"),
    ({"lr": "rate", "pruning": "mean"}, "pruning.type is 'mean'"),
    ({"lr": "rate", "pruning": True}, "pruning is True"),
    ({"lr": "rate", "pruning": 5}, "pruning is 5"),
    ({"lr": "rate", "pruning": []}, "pruning is"),
    ({"lr": "rate", "pruning": {"type": "hyperband"}}, "pruning.type"),
    ({"lr": "rate", "pruning": {"epoch": 1}}, "did you mean 'epochs'"),
    ({"lr": "rate", "pruning": {"epochs": -1}}, "pruning.epochs is -1"),
    ({"lr": "rate", "pruning": {"epochs": "rate"}}, "pruning.epochs is 'rate'"),
    ({"lr": "rate", "pruning": {"epochs": 1.5}}, "pruning.epochs"),
    ({"lr": "rate", "pruning": {"trials": 0}}, "pruning.trials is 0"),
    ({"lr": "rate", "pruning": {"trials": True}}, "pruning.trials is True"),
    ({"lr": "rate", "pruning": {"trials": [1]}}, "pruning.trials"),
    (
        {"lr": "rate", "declarations": {"d": {"parameters": ["rate"], "body": ["cache"]}}},
        "declarations.d has a parameter",
    ),
    ({"lr": "rate", "clases": 3}, "did you mean 'classes'"),
]


@pytest.mark.parametrize(("properties", "words"), BAD_PLANS, ids=lambda one: str(one)[:50])
def test_wrong_plans_are_told(properties, words):
    with pytest.raises(ConfigError, match=words) as told:
        plan({"rate": [0.001, 0.1]}, **properties)
    assert "\n" not in str(told.value) and len(str(told.value)) < 500


@pytest.mark.parametrize(("key", "value"), [("max_evals", 5), ("pruning", "median")])
def test_words_of_a_search_are_refused_without_one(key, value):
    with pytest.raises(ConfigError, match=f"{key} does nothing without hyperparameters"):
        check_properties({**LEAST, key: value})


@pytest.mark.parametrize(
    ("declared", "key", "bad"),
    [
        ({"enum": ["SGD", 5]}, "optimizer", "5"),
        ({"enum": [64, 0]}, "imagesPerGpu", "0"),
        ({"choice": [{"lr": 0.1}]}, "optimizer", "lr"),
        ({"uniformint": [-1, 4]}, "workersPerGpu", "-1"),
        ({"randint": [1, 20000]}, "imagesPerGpu", "19999"),
    ],
)
def test_each_end_and_choice_is_checked_before_any_trial(declared, key, bad):
    with pytest.raises(ConfigError, match=f"{key}.*{bad}|{bad}.*{key}"):
        plan({"x": declared}, **{key: "x"})


def test_what_pruning_asks_for():
    assert pruning_of(None) is None
    assert pruning_of("median") == pruning_of({"type": "median"}) == pruning_of({})
