"""What is wrong in ``preprocessing``, ``declarations`` and lists of ``dataset`` is one sentence of ``musket fit``."""

import textwrap

import pytest

from instance_segmentation_pipeline.cli import main
from tests.data.test_preprocessing import MODULE

pytestmark = pytest.mark.slow

PROVIDER = "dataset:\n  get_shapes: {count: 12, size: 64}\n"
OTHERS = """

def plain_function(input):
    return input


@preprocessing.dataset_preprocessor
class NeedsRoom:
    def __init__(self, pixels):
        if pixels > 5:
            raise ValueError("too many pixels")

    def __call__(self, input):
        return input


@preprocessing.dataset_preprocessor
class CannotBeCalled:
    pass


@preprocessing.dataset_preprocessor
def leaves(input):
    raise SystemExit(3)


@preprocessing.dataset_preprocessor
def to_item(input):
    return PredictionItem("a", input, None)


@preprocessing.dataset_preprocessor
def no_target(input: PredictionItem):
    return PredictionItem(input.id, input.x, 5)


@preprocessing.dataset_preprocessor
def small_masks(input: PredictionItem):
    labels, boxes, masks = input.y
    return PredictionItem(input.id, input.x, (labels, boxes, masks[:, :32]))


@preprocessing.dataset_preprocessor
def grey(input):
    return input[..., 0]


@preprocessing.dataset_preprocessor
def drops_labels(input: PredictionItem):
    labels, boxes, masks = input.y
    return PredictionItem(input.id, input.x, (labels[:0], boxes, masks))


@preprocessing.dataset_preprocessor
def objects(input: PredictionItem):
    return PredictionItem(input.id, input.x, ([object()], [[0, 0, 1, 1]]))


@preprocessing.dataset_preprocessor
def named(input: PredictionItem):
    return PredictionItem(("a", input.id), input.x, input.y)


@preprocessing.dataset_transformer
def breaks(input):
    raise KeyError("gone")


@preprocessing.dataset_transformer
def number(input):
    return 7
"""

CASES = [
    # kinds and shapes of the property
    ("preprocessing: 5", "preprocessing is 5, but it must be a step's name"),
    ("preprocessing: true", "preprocessing is True"),
    ("preprocessing: []", r"preprocessing is \[\]"),
    ("preprocessing: ''", "preprocessing is ''"),
    ("preprocessing: [5]", "preprocessing is 5, expected a step's name"),
    ("preprocessing: [plus, null]", r"preprocessing\[1\] is None, expected a step's name"),
    ("preprocessing: [[plus]]", r"preprocessing is \['plus'\], expected a step's name"),
    ("preprocessing: [plus, {}]", r"preprocessing\[1\] is {}"),
    ("preprocessing: {plus: 1, times: 2}", r"preprocessing has 2 names \(plus, times\), expected one step"),
    ("preprocessing:\n  - plus:\n    by: 3", r"has 2 names \(plus, by\), .* indent what belongs to it"),
    ("preprocessing: [{7: 1}]", "expected the name of a step"),
    # names
    ("preprocessing: plsu", r"preprocessing: 'plsu' is no preprocessor \(did you mean 'plus'\?\): known are .*halve"),
    ("preprocessing: disk_cache", r"did you mean 'disk-cache'\?"),
    ("preprocessing: brighter", r"'brighter' is no preprocessor \(did you mean 'Brighter'\?\)"),
    ("preprocessing: plain_function", "plain_function of the module steps is no preprocessor: mark it"),
    ("preprocessing: getTrain", "getTrain of the module steps is no preprocessor"),
    ("preprocessing: [split-preprocessor: [plus, plus]]", "an item has one image: write a preprocessor"),
    ("preprocessing: [transform-preprocessor: [plus]]", "transform-preprocessor makes several arrays of one"),
    ("preprocessing: {Fliplr: 0.5}", "'Fliplr' is no preprocessor"),
    # arguments
    ("preprocessing: {plus: {buy: 1}}", r"plus has no argument 'buy' \(did you mean 'by'\?\): it takes by"),
    ("preprocessing: {plus: [1, 2]}", r"plus is given 2 arguments \(\[1, 2\]\), but takes by"),
    ("preprocessing: times", "times is not given factor"),
    ("preprocessing: {halve: 2}", "halve is given 1 arguments .* but takes none"),
    ("preprocessing: Brighter", "Brighter is not given by"),
    ("preprocessing: {NeedsRoom: 6}", "NeedsRoom cannot be made: ValueError: too many pixels"),
    ("preprocessing: CannotBeCalled", "CannotBeCalled cannot be called"),
    ("preprocessing: {pass: 3}", "pass does nothing, and takes no arguments"),
    # control
    ("preprocessing: [{if(size > 3): plus}]", "'size > 3' names 'size', but there are no parameters here"),
    ("preprocessing: [{if(1 +): plus}]", "'1 \\+' is no expression"),
    ("preprocessing: [{if(__import__('os')): plus}]", "has no value .*Call is not part of the language"),
    ("preprocessing: [{if(9**9**9): plus}]", "has no value"),
    ("preprocessing: [{if(1/0): plus}]", "has no value"),
    ("preprocessing: [{repeat(-1): plus}]", "-1 is no number of times, expected 0 to 100"),
    ("preprocessing: [{repeat(1000): plus}]", "1000 is no number of times"),
    ("preprocessing: [{repeat(1.5): plus}]", "1.5 is no number of times"),
    ("preprocessing: [{repeat(2): null}]", r"repeat\(2\) is empty, expected a step's name"),
    ("preprocessing: [{repeat: plus}]", r"write if\(condition\), or repeat\(n\)"),
    ("preprocessing: [{seq: []}]", "seq is empty"),
    ("preprocessing: [{repeat(100): [{repeat(100): [plus]}]}]", "has more than 1000 steps"),
    ("preprocessing: [{repeat(100): [{repeat(100): [{repeat(100): [pass]}]}]}]", "more than 20000 entries"),
    # augmentation
    ("preprocessing: augmentation", "augmentation is None, expected a mapping with body, weights and seed"),
    ("preprocessing: {augmentation: {weights: 1}}", "augmentation.body is empty"),
    ("preprocessing: {augmentation: {body: [plus]}}", "augmentation.weights is missing"),
    ("preprocessing: {augmentation: {body: [plus], weights: [1, 0.5]}}", "has 2 shares for 1 steps"),
    ("preprocessing: {augmentation: {body: [plus], weights: 1.5}}", "weights has 1.5, expected shares of 0 to 1"),
    ("preprocessing: {augmentation: {body: [plus], weights: often}}", "weights has 'often'"),
    ("preprocessing: {augmentation: {body: [plus], weights: 1, seed: -1}}", "seed is -1"),
    ("preprocessing: {augmentation: {body: [plus], wieghts: 1}}", r"wieghts is not known \(did you mean 'weights'\?\)"),
    ("preprocessing: {augmentation: {Fliplr: 0.5}}", "imgaug's augmenters stand in the property augmentation"),
    ("preprocessing: {augmentation: {body: [{every: 2}], weights: 1}}", "every transforms a whole dataset"),
    ("preprocessing: {augmentation: {body: [cache], weights: 1}}", "cache can be no part of an augmentation"),
    ("preprocessing: {augmentation: {body: [puls], weights: 1}}", r"body\[0\]: 'puls' is no preprocessor"),
    # caches
    ("preprocessing: {cache: {megabyte: 5}}", r"cache has no argument 'megabyte' \(did you mean 'megabytes'\?\)"),
    ("preprocessing: {cache: 0}", "megabytes of cache is 0, expected a whole number from 1"),
    ("preprocessing: {disk-cache: {megabytes: many}}", "megabytes of disk-cache is 'many'"),
    ("preprocessing: {disk-cache: {split: true}}", "disk-cache is one file here, whatever split says"),
    ("preprocessing: [{augmentation: {body: [plus], weights: 1}}, disk-cache]", "after an augmentation would keep"),
    ("preprocessing: [named, disk-cache]", "ids that are texts or whole numbers, but this one is a tuple"),
    ("preprocessing: [objects, cache]", "expected an array of numbers"),
    # declarations
    ("declarations: [plus]", "declarations is .*, but it must be a mapping"),
    ("declarations: {one: [plus]}", "declarations.one is named by none of preprocessing, dataset"),
    ("declarations: {one: [two], two: [one]}\npreprocessing: one", "declarations.one leads to itself"),
    ("declarations: {one: 5}\npreprocessing: one", "declarations.one is 5, expected a step's name"),
    ("declarations: {one: {body: []}}\npreprocessing: one", "declarations.one.body is empty"),
    (
        "declarations: {seq: [plus]}\npreprocessing: seq",
        "declarations.seq has the name of a step that is there already",
    ),
    ("declarations: {one: {body: [plus], shared: true}}\npreprocessing: one", "one.shared is for nets of Keras"),
    ("declarations: {one: {body: [plus], inputs: [a]}}\npreprocessing: one", "one.inputs is for nets of Keras"),
    ("declarations: {one: {body: [plus], parameter: [a]}}\npreprocessing: one", r"did you mean 'parameters'\?"),
    ("declarations: {one: {body: [plus], parameters: a}}\npreprocessing: one", "parameters is 'a', expected a list"),
    ("declarations: {one: {body: [plus], parameters: [a, a]}}\npreprocessing: one", "expected different names"),
    ("declarations: {one: {body: [plus], with: 3}}\npreprocessing: one", "one.with is 3, expected a mapping"),
    (
        "declarations: {one: {body: [plus], with: {byy: 3}}}\npreprocessing: one",
        r"declarations.one.with gives 'byy', which none of its steps takes \(did you mean 'by'\?\)",
    ),
    (
        "declarations: {one: {body: [{augmentation: {body: [plus], weights: 1}}], with: {to: 3}}}\npreprocessing: one",
        "declarations.one.with gives 'to', which none of its steps takes",
    ),
    (
        "declarations: {one: {body: [plus], parameters: [by]}}\npreprocessing: {one: 3}",
        "declarations.one.parameters has 'by', which neither body nor with uses",
    ),
    ("declarations: {one: {body: [plus: a], parameters: [a]}}\npreprocessing: one", "one is not given a"),
    (
        "declarations: {one: {body: [plus: a], parameters: [a]}}\npreprocessing: {one: [1, 2]}",
        "given 2 arguments, but has 1",
    ),
    (
        "declarations: {one: {body: [plus: a], parameters: [a]}}\npreprocessing: {one: {b: 1}}",
        "given 'b'.*parameters are a",
    ),
    ("declarations: {one: {body: [{plus: a/0}], parameters: [a]}}\npreprocessing: {one: 1}", "'a/0' has no value"),
    ("declarations: {one: [puls]}\npreprocessing: one", r"declarations.one: 'puls' is no preprocessor"),
    # what steps do to items
    ("preprocessing: halve_image", "halve_image gave an image of 32 x 32 .* masks of 64 x 64: take the whole item"),
    ("preprocessing: small_masks", "small_masks gave an image of 64 x 64 .* masks of 32 x 64"),
    ("preprocessing: floats", r"dtype float64, expected uint8 .* the preprocessing \(floats\)"),
    ("preprocessing: grey", r"shape \(64, 64\), expected \(height, width, 3\)"),
    ("preprocessing: fails", "item 'shape0': the preprocessor fails failed: ValueError: no such pixel"),
    ("preprocessing: leaves", r"the preprocessor leaves failed: sys.exit\(3\) was called"),
    ("preprocessing: pair", "the preprocessor pair gave a list as x"),
    ("preprocessing: to_item", "is given the image and gives an item: annotate its parameter"),
    ("preprocessing: nothing", "nothing gave a NoneType, expected a PredictionItem"),
    ("preprocessing: no_target", "no_target gave a int as y"),
    ("preprocessing: drops_labels", r"bboxes have shape|masks for 0 labels"),
    ("preprocessing: emptied", "the transformer emptied left none of 12 items"),
    ("preprocessing: lost", "the transformer lost gave a NoneType, expected a dataset"),
    ("preprocessing: number", "the transformer number gave a int, expected a dataset"),
    ("preprocessing: breaks", "the transformer breaks failed: KeyError"),
    # datasets that are lists
    ("dataset: [plus]", "plus.* failed|the dataset provider 'plus'"),
    ("dataset: [cache, getTrain]", "dataset has no provider before its steps"),
    ("dataset: [getTrian, plus]", r"dataset 'getTrian' is no dataset provider \(did you mean 'getTrain'\?\)"),
    ("dataset: [getTrain, plsu]", r"dataset\[1\]: 'plsu' is no preprocessor"),
    ("dataset: [getTrain, {plus: [1, 2]}]", r"dataset\[1\]: plus is given 2 arguments"),
    ("dataset: {train: [getTrain, plsu], validation: {getTrain: 3}}", r"dataset.train\[1\]: 'plsu' is no preprocessor"),
    (
        "dataset: {train: 5, validation: {getTrain: 3}}",
        "dataset.train is 5, expected a mapping of providers, or a list",
    ),
    ("dataset: [{getTrain: 3, plus: 1}]", r"has 2 names \(getTrain, plus\)"),
    ("datasets: {Train: [getTrain, []]}\ndataset: Train", r"datasets.Train\[1\] is \[\]"),
]


@pytest.fixture
def project_of_steps(project, monkeypatch):
    (project / "modules" / "steps.py").write_text(textwrap.dedent(MODULE) + OTHERS)
    return project


@pytest.mark.parametrize(("lines", "message"), CASES, ids=[lines[:60] for lines, _ in CASES])
def test_it_is_one_sentence(project_of_steps, add_experiment, capsys, lines, message):
    import re

    replace = [(PROVIDER, "")] if re.search("^dataset:", lines, re.MULTILINE) else []
    path = add_experiment("exp01", lines + "\n", replace=replace)
    status = main(["fit", "--project", str(project_of_steps), "--name", "exp01"])
    out, err = capsys.readouterr()
    assert status == 1, out + err
    assert "Traceback" not in out + err
    told = [line for line in err.splitlines() if re.search(message, line)]
    assert told, err
    assert not (path.parent / "weights").exists()
