"""What can be wrong in augmentation and transforms: one sentence each, with the place in the YAML, from the real parse."""

import pytest
import yaml
from musket_core import generic

from instance_segmentation_pipeline.errors import ConfigError

OWN = """
import numpy as np
from imgaug import augmenters as iaa

class Stamp(iaa.Augmenter):
    changes_geometry = False
    def __init__(self, value=7, sizes=None):
        super().__init__()
        self.value = value
    def _augment_batch_(self, batch, random_state, parents, hooks):
        for image in batch.images or []:
            image[:2] = self.value
        return batch
    def get_parameters(self):
        return [self.value]

class Mover(Stamp):
    changes_geometry = True

class Breaks(iaa.Augmenter):
    changes_geometry = False
    def _augment_batch_(self, batch, random_state, parents, hooks):
        raise RuntimeError("out of stamps")
    def get_parameters(self):
        return []

class Abstract(iaa.Augmenter):
    pass

class ImagesOnly(iaa.Augmenter):
    def _augment_images(self, images, random_state, parents, hooks):
        return [image[:, ::-1] for image in images]
    def get_parameters(self):
        return []

class Puzzle(iaa.Jigsaw):
    pass

class Floats(Stamp):
    def _augment_batch_(self, batch, random_state, parents, hooks):
        batch.images = [image / 255 for image in batch.images]
        return batch

class Smaller(Stamp):
    def _augment_batch_(self, batch, random_state, parents, hooks):
        batch.images = [image[1:] for image in batch.images]
        return batch

class NoAugmenter:
    pass

def function(value):
    return value
"""

A = "augmentation"
BAD = [
    # the property itself
    ("augmentation: 5", "augmentation is 5, but it must be a mapping of imgaug's augmenters"),
    ("augmentation: true", "augmentation is True, but it must be"),
    ("augmentation: ''", "augmentation is '', but it must be"),
    ("transforms: 0.5", "transforms is 0.5, but it must be"),
    ("augmentation: [5]", "augmentation[0] is 5, expected an augmenter's name, or a mapping of it"),
    ("augmentation: [[Fliplr]]", "augmentation[0] is ['Fliplr'], expected an augmenter's name"),
    ("augmentation: [null]", "augmentation[0] is None, expected an augmenter's name"),
    ("augmentation: [{}]", "augmentation[0] is {}, expected an augmenter's name"),
    ("augmentation: {5: 1}", "augmentation.5 is no augmenter's name, expected one such as Fliplr"),
    ("augmentation: {null: 1}", "augmentation.None is no augmenter's name"),
    # unknown names
    (
        "augmentation: {Flipr: 0.5}",
        "augmentation.Flipr is no augmenter of imgaug, and no class of the project's modules (did you mean 'Fliplr'",
    ),
    (
        "augmentation: [Afine]",
        "augmentation[0].Afine is no augmenter of imgaug, and no class of the project's modules (did you mean 'Affine'",
    ),
    (
        "augmentation: {Stmp: 1}",
        "augmentation.Stmp is no augmenter of imgaug, and no class of the project's modules (did you mean 'Stamp'",
    ),
    ("augmentation: {meta: 1}", "augmentation.meta is no augmenter of imgaug"),
    ("augmentation: {blend_alpha: 1}", "augmentation.blend_alpha is no augmenter of imgaug"),
    (
        "augmentation: {qqqqqqqqqqqq: 1}",
        "augmentation.qqqqqqqqqqqq is no augmenter of imgaug, and no class of the project's modules: correct or remove it",
    ),
    ("augmentation: {NoAugmenter: 1}", "augmentation.NoAugmenter is no augmenter of imgaug, and no class"),
    ("augmentation: {function: 1}", "augmentation.function is no augmenter of imgaug, and no class"),
    ("augmentation: {Abstract: null}", "augmentation.Abstract"),
    (
        "augmentation: {ImagesOnly: null}",
        "augmentation.ImagesOnly does not say what becomes of masks: set changes_geometry = False in the class ImagesOnly",
    ),
    ("augmentation: {Puzzle: null}", "augmentation.Puzzle is refused: it extends Jigsaw, which imgaug moves pixels"),
    (
        "augmentation: {Floats: null}",
        "augmentation.Floats does not work: the image became one of float64, expected uint8",
    ),
    (
        "augmentation: {Smaller: null}",
        "augmentation.Smaller does not work: colours were to change alone, but the shape (64, 96, 3) became (63, 96, 3)",
    ),
    ("augmentation: {Breaks: null}", "augmentation.Breaks does not work (RuntimeError: out of stamps)"),
    (
        "augmentation: {Augmenter: null}",
        "augmentation.Augmenter is refused: Augmenter is what all augmenters are derived from",
    ),
    # what masks cannot follow
    ("augmentation: {RandAugment: {n: 2}}", "augmentation.RandAugment is refused: RandAugment imgaug moves pixels"),
    ("augmentation: {Jigsaw: null}", "augmentation.Jigsaw is refused: Jigsaw imgaug moves pixels"),
    ("augmentation: {pillike.Affine: null}", "augmentation.pillike.Affine is refused"),
    ("augmentation: {Lambda: null}", "augmentation.Lambda is refused: Lambda wants a Python object"),
    (
        "augmentation: {WithChannels: {channels: 0, children: [{Affine: {rotate: 9}}]}}",
        "augmentation.WithChannels is refused: Affine inside WithChannels would move some of the image's pixels",
    ),
    (
        "augmentation: {BlendAlpha: {factor: 0.5, foreground: {Fliplr: 1}}}",
        "augmentation.BlendAlpha is refused: Fliplr inside BlendAlpha",
    ),
    (
        "augmentation: {WithHueAndSaturation: [{Sometimes: {then_list: [Rot90]}}]}",
        "augmentation.WithHueAndSaturation is refused: Rot90 inside",
    ),
    (
        "augmentation: {WithPolarWarping: [{BackgroundReplacer: bg}]}",
        "augmentation.WithPolarWarping is refused: BackgroundReplacer cannot stand inside",
    ),
    (
        "augmentation: {WithColorspace: {to_colorspace: HSV, children: [{Sometimes: [{BackgroundReplacer: bg}]}]}}",
        "augmentation.WithColorspace is refused: BackgroundReplacer cannot stand inside",
    ),
    # arguments that there are not
    ("augmentation: {Affine: {rotat: 5}}", "augmentation.Affine.rotat is no argument of Affine (did you mean 'rotate'"),
    (
        "augmentation: {ElasticTransformation: {alpha: 5, sigma: 4, scale: 2}}",
        "augmentation.ElasticTransformation.scale is no argument of ElasticTransformation",
    ),
    ("augmentation: {Fliplr: {q: 0.5}}", "augmentation.Fliplr.q is no argument of Fliplr: it takes p"),
    (
        "augmentation: {Add: {value: 5, seed: 3}}",
        "augmentation.Add.seed is not the YAML's to give: random_state seeds the augmentation",
    ),
    ("augmentation: {Add: {value: 5, name: mine}}", "augmentation.Add.name is not the YAML's to give"),
    ("augmentation: {Add: {5: 3}}", "augmentation.Add.5 is no argument of Add"),
    ("augmentation: {Noop: 5}", "augmentation.Noop is given 5, but Noop takes no argument"),
    ("augmentation: {Stamp: {valeu: 5}}", "augmentation.Stamp.valeu is no argument of Stamp (did you mean 'value'"),
    ("augmentation: {Resize: null}", "augmentation.Resize.size is missing: Resize needs it"),
    ("augmentation: {PadToFixedSize: {width: 9}}", "augmentation.PadToFixedSize.height is missing"),
    ("augmentation: {BackgroundReplacer: {rate: 0.5}}", "augmentation.BackgroundReplacer.path is missing"),
    ("augmentation: {Rotate90: {enabled: true, keep: 1}}", "augmentation.Rotate90"),
    # values
    ("augmentation: {Fliplr: 1.5}", "augmentation.Fliplr.p is 1.5, but it is a probability: give a number from 0 to 1"),
    ("augmentation: {Fliplr: -0.1}", "augmentation.Fliplr.p is -0.1, but it is a probability"),
    ("augmentation: {Sometimes: {p: 2, then_list: [Noop]}}", "augmentation.Sometimes.p is 2, but it is a probability"),
    ("augmentation: {Fliplr: often}", "augmentation.Fliplr cannot be made"),
    ("augmentation: {Fliplr: .nan}", "augmentation.Fliplr.p is nan, expected a finite number"),
    ("augmentation: {Add: .inf}", "augmentation.Add.value is inf, expected a finite number"),
    (
        "augmentation: {Add: 100000000000000000000}",
        "augmentation.Add.value is 100000000000000000000, expected a finite number",
    ),
    ("augmentation: {Add: 2020-01-01}", "augmentation.Add.value is a date, expected a number"),
    ("augmentation: {Add: []}", "augmentation.Add.value is an empty list, expected a range [low, high]"),
    (
        "augmentation: {Add: [20, -20]}",
        "augmentation.Add.value is [20, -20], whose low end is above the high one: swap them",
    ),
    ("augmentation: {Add: [5, high]}", "augmentation.Add.value is [5, 'high'], expected numbers alone or texts alone"),
    ("augmentation: {Add: [[1, 2], 3]}", "augmentation.Add.value[0] is a list, expected a number"),
    (
        "augmentation: {Add: {choice: 5}}",
        "augmentation.Add.value.choice is 5, expected a list of the values to choose from",
    ),
    ("augmentation: {Add: {choice: []}}", "augmentation.Add.value.choice is [], expected a list"),
    (
        "augmentation: {Add: {value: {choices: [1, 2]}}}",
        "augmentation.Add.value has the key 'choices', expected a number, a range [low, high], or choice",
    ),
    (
        "augmentation: {Affine: {translate_percent: {z: 0.1}}}",
        "augmentation.Affine.translate_percent has the key 'z', expected a number, a range [low, high], or x, y or choice",
    ),
    (
        "augmentation: {Affine: {translate_percent: {x: [0.2, -0.2]}}}",
        "augmentation.Affine.translate_percent.x is [0.2, -0.2], whose low end",
    ),
    ("augmentation: {Affine: {scale: {}}}", "augmentation.Affine.scale is an empty mapping"),
    (
        "augmentation: {Crop: {px: [1, 2, 3]}}",
        "augmentation.Crop.px has 3 values, expected 2 (a range) or 4 (top, right, bottom, left)",
    ),
    ("augmentation: {Crop: {px: 5, percent: 0.1}}", "augmentation.Crop cannot be made"),
    ("augmentation: {Crop: {percent: 3.0}}", "augmentation.Crop"),
    ("augmentation: {Affine: {scale: 0}}", "augmentation.Affine"),
    ("augmentation: {Affine: {mode: nearly}}", "augmentation.Affine.mode is 'nearly', expected constant, edge"),
    (
        "augmentation: {Affine: {mode: {choice: [constant, warp]}}}",
        "augmentation.Affine.mode is 'warp' (did you mean 'wrap'",
    ),
    (
        "augmentation: {PerspectiveTransform: {mode: wrap}}",
        "augmentation.PerspectiveTransform.mode is 'wrap', expected constant, replicate",
    ),
    ("augmentation: {Affine: {order: 77}}", "augmentation.Affine cannot be made"),
    ("augmentation: {Resize: {size: 0}}", "augmentation.Resize"),
    ("augmentation: {GaussianBlur: -3}", "augmentation.GaussianBlur cannot be made"),
    ("augmentation: {MedianBlur: 4}", "augmentation.MedianBlur"),
    ("augmentation: {Grayscale: 2.0}", "augmentation.Grayscale cannot be made"),
    ("augmentation: {ChangeColorspace: XYZ}", "augmentation.ChangeColorspace"),
    (
        "augmentation: {Convolve: {matrix: [[1, 2], [3]]}}",
        "augmentation.Convolve.matrix is [[1, 2], [3]], expected the rows of a matrix",
    ),
    (
        "augmentation: {PadToFixedSize: {width: 70000, height: 9}}",
        "augmentation.PadToFixedSize.width is 70000, but images have at most 32767 pixels a side",
    ),
    (
        "augmentation: {Resize: {size: {height: 40000, width: 9}}}",
        "augmentation.Resize.size.height is 40000, but images have",
    ),
    ("augmentation: {Resize: [9, 40000]}", "augmentation.Resize.size is 40000, but images have"),
    ("augmentation: {Rotate90: often}", "augmentation.Rotate90"),
    ("augmentation: {JpegCompression: 500}", "augmentation.JpegCompression cannot be made"),
    # nested
    (
        "augmentation: {Sometimes: {p: 0.5}}",
        "augmentation.Sometimes has no augmenters to apply: give then_list or else_list",
    ),
    ("augmentation: {Sequential: null}", "augmentation.Sequential has no augmenters to apply: give children"),
    ("augmentation: {OneOf: []}", "augmentation.OneOf.children is empty, expected augmenters"),
    ("augmentation: {OneOf: 5}", "augmentation.OneOf.children is 5, expected augmenters"),
    (
        "augmentation: {SomeOf: {n: 5, children: [Noop]}}",
        "augmentation.SomeOf.n is 5, but there are 1 augmenters to choose from",
    ),
    ("augmentation: {SomeOf: {n: 1.5, children: [Noop, CLAHE]}}", "augmentation.SomeOf.n is 1.5, expected a whole"),
    (
        "augmentation: {SomeOf: {n: [2, 1], children: [Noop, CLAHE]}}",
        "augmentation.SomeOf.n is [2, 1], whose low end is above the high one",
    ),
    ("augmentation: {SomeOf: {n: -1, children: [Noop]}}", "augmentation.SomeOf.n is -1, but there are 1 augmenters"),
    (
        "augmentation: [{OneOf: [{Fliplr: 1}, {Affine: {rotate: [9, 1]}}]}]",
        "augmentation[0].OneOf.children[1].Affine.rotate is [9, 1], whose low end",
    ),
    (
        "augmentation: {Sometimes: {p: 0.5, then_list: [{Sequential: [{Add: x}]}]}}",
        "augmentation.Sometimes.then_list[0].Sequential.children[0].Add",
    ),
    (
        "augmentation: {Sequential: {Fliplr: 1, Fliptop: 1}}",
        "augmentation.Sequential.children.Fliptop is no augmenter of imgaug",
    ),
    ("augmentation: {Sometimes: {then_list: {Noop: 3}}}", "augmentation.Sometimes.then_list.Noop is given 3"),
    ("augmentation: " + "{Sequential: " * 30 + "{Fliplr: 1}" + "}" * 30, "lies more than 20 augmenters deep"),
    # backgrounds
    ("augmentation: {BackgroundReplacer: 5}", "augmentation.BackgroundReplacer.path is 5, expected a folder of images"),
    (
        "augmentation: {BackgroundReplacer: {path: [a, b]}}",
        "augmentation.BackgroundReplacer.path is ['a', 'b'], expected a folder",
    ),
    ("augmentation: {BackgroundReplacer: {path: bg, rate: 1.5}}", "augmentation.BackgroundReplacer cannot be made"),
    ("augmentation: {BackgroundReplacer: {path: bg, erosion: -1}}", "augmentation.BackgroundReplacer cannot be made"),
    ("augmentation: {BackgroundReplacer: {path: bg, erosion: 1.5}}", "augmentation.BackgroundReplacer cannot be made"),
    (
        "augmentation: {BackgroundReplacer: {path: bg, augmenters: {Flp: 1}}}",
        "augmentation.BackgroundReplacer.augmenters.Flp is no augmenter",
    ),
    (
        "augmentation: {BackgroundReplacer: {path: bg, augmenter: {Fliplr: 1}}}",
        "augmentation.BackgroundReplacer.augmenter is no argument of BackgroundReplacer (did you mean 'augmenters'",
    ),
    # transforms
    (
        "transforms: {Fliplr: 0.5}",
        "transforms.Fliplr is refused: transforms run when predicting too, where what moves pixels would have to be undone",
    ),
    (
        "transforms: [{Sometimes: {p: 0.5, then_list: [{Affine: {rotate: 5}}]}}]",
        "transforms[0].Sometimes.then_list[0].Affine is refused: transforms run when predicting too",
    ),
    ("transforms: {Resize: 200}", "transforms.Resize is refused"),
    ("transforms: {BackgroundReplacer: bg}", "transforms.BackgroundReplacer is refused"),
    ("transforms: {Mover: 1}", "transforms.Mover is refused"),
    ("transforms: {AveragePooling: {kernel_size: 2, keep_size: false}}", "transforms.AveragePooling is refused"),
    (
        "transforms: {Grayscal: 1}",
        "transforms.Grayscal is no augmenter of imgaug, and no class of the project's modules (did you mean 'Grayscale'",
    ),
    ("transforms: {ElasticTransformation: {alpha: 3, sigma: 3}}", "transforms.ElasticTransformation is refused"),
]


@pytest.fixture
def with_own(project):
    (project / "modules" / "stamps.py").write_text(OWN)
    return project


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("text", "words"), BAD, ids=[text[:70] for text, _ in BAD])
def test_one_sentence_names_the_place(with_own, add_experiment, text, words):
    path = add_experiment(extra=text)
    with pytest.raises(ConfigError) as caught:
        generic.parse(str(path))
    told = str(caught.value)
    assert told.startswith(f"{path}: ")
    assert words in told
    assert "\n" not in told and len(told) < 900 and told.endswith(".")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("augmentation: {Flipr: 0.5}", "augmentation.Flipr is no augmenter of imgaug"),
        ("augmentation: 5", "augmentation is 5, but it must be"),
        ("transforms: {Fliplr: 1}", "transforms.Fliplr is refused"),
    ],
)
def test_common_yaml_is_named_for_what_is_wrong_in_it(project, add_experiment, text, words):
    common = project / "common.yaml"
    common.write_text(text)
    path = add_experiment(extra="transforms: {Add: 3}\n" if text.startswith("aug") else "augmentation: {Fliplr: 1}\n")
    with pytest.raises(ConfigError) as caught:
        generic.parse(str(path))
    assert str(caught.value).startswith(f"{common}: {words}")
    key = text.partition(":")[0]
    path.write_text(path.read_text().replace("augmentation: {Fliplr: 1}\n", "") + f"\n{key}: []\n")
    generic.parse(str(path))  # the experiment's own value takes its place


@pytest.mark.parametrize(("folder", "words"), [(None, "is no folder"), ("bg", "has no image")])
def test_a_folder_without_backgrounds_is_told_before_anything_is_trained(project, add_experiment, folder, words):
    if folder is not None:
        (project / "data" / folder).mkdir(parents=True)
    path = add_experiment(extra="augmentation: {BackgroundReplacer: {path: bg, rate: 0.5}}\n")
    cfg = generic.parse(str(path))  # what predicts needs no backgrounds
    with pytest.raises(ConfigError, match=rf"BackgroundReplacer\.path: .*bg {words}"):
        cfg.fit()
    assert not (path.parent / "weights").exists() or not list((path.parent / "weights").iterdir())


def test_the_command_tells_it_in_one_line(add_experiment, musket):
    path = add_experiment(extra="augmentation: [{OneOf: [{Affine: {rotat: 5}}]}]\n")
    done = musket("fit", "--project", path.parents[2], "--name", path.parent.name)
    assert done.returncode != 0
    assert (
        "augmentation[0].OneOf.children[0].Affine.rotat is no argument of Affine (did you mean 'rotate'?)"
        in done.stderr
    )
    assert "Traceback" not in done.stdout + done.stderr
    assert not (path.parent / "weights").exists()


def test_classes_of_the_projects_modules_are_augmenters(with_own, add_experiment):
    path = add_experiment(extra="augmentation: {Stamp: 9}\ntransforms: [Stamp]\n")
    augmenters = generic.parse(str(path)).item_augmenters
    assert not augmenters.augmentation.moves
    path.write_text(path.read_text().replace("{Stamp: 9}", "{Mover: 9}"))
    assert generic.parse(str(path)).item_augmenters.augmentation.moves


def test_a_module_that_cannot_be_imported_is_named(project, add_experiment):
    (project / "modules" / "broken.py").write_text("import nothing_of_that_name\n")
    path = add_experiment(extra="augmentation: {Stamp: 9}\n")
    with pytest.raises(ConfigError, match="the module 'broken' cannot be imported"):
        generic.parse(str(path))
    path.write_text(path.read_text().replace("Stamp: 9", "Fliplr: 0.5"))
    generic.parse(str(path))  # imgaug's own names need no module


def test_the_attribute_acts_as_the_key_does(add_experiment):
    cfg = generic.parse(str(add_experiment()))
    assert cfg.item_augmenters.augmentation is None
    cfg.augmentation = yaml.safe_load("{Flipr: 0.5}")
    with pytest.raises(ConfigError, match="did you mean 'Fliplr'"):
        cfg.check()
    cfg.augmentation = {"Fliplr": 0.5}
    assert cfg.item_augmenters.augmentation.moves
