"""Which augmenters there are, by name, and what each does to masks.

The names are those of ``imgaug.augmenters`` and of Musket's ``augmenters.raml``. Every class of imgaug either belongs
to one of the kinds here or is refused with the reason; a test walks through them all.
"""

from collections.abc import Iterable
from enum import Enum
from typing import Any

from imgaug import augmenters as iaa
from imgaug.augmenters import pillike, pooling

from ...errors import nearest
from .backgrounds import BackgroundReplacer


class Kind(Enum):
    """What an augmenter does to the masks of an image."""

    COLOUR = "masks stay as they are"
    HOMOGRAPHY = "each mask is warped within its box"
    BENDING = "masks are warped as label maps"
    FLOW = "as its children"
    RESTORING = "as its children, then resized back"
    CHANNELS = "children that change colours only"


FLOW = (iaa.Sequential, iaa.SomeOf, iaa.Sometimes, iaa.WithColorspace, BackgroundReplacer)
CHANNELS = (iaa.WithChannels, iaa.WithHueAndSaturation, iaa.WithBrightnessChannels, iaa.BlendAlpha, iaa.BlendAlphaMask)
BENDING = (iaa.PiecewiseAffine, iaa.ElasticTransformation, iaa.TotalDropout, iaa.WithPolarWarping)
HOMOGRAPHIES = (
    iaa.Affine,
    iaa.CropAndPad,
    iaa.CropToFixedSize,
    iaa.Fliplr,
    iaa.Flipud,
    iaa.PadToFixedSize,
    iaa.PerspectiveTransform,
    iaa.Resize,
    iaa.Rot90,
)
GEOMETRY = frozenset({Kind.HOMOGRAPHY, Kind.BENDING, Kind.RESTORING})

_IMAGES_ONLY = "imgaug moves pixels of the image by it, but cannot move masks"
_NOT_IN_YAML = "wants a Python object that YAML cannot write"
REFUSED = {
    "AffineCv2": f"{_IMAGES_ONLY}: use Affine",
    "AssertLambda": f"{_NOT_IN_YAML}: write an augmenter class in the project's modules",
    "AssertShape": "changes nothing, it ends the training at another shape: items are checked anyway",
    "Augmenter": "is what all augmenters are derived from: name one of them",
    "BlendAlphaBoundingBoxes": "blends by labelled boxes, which imgaug is not given: use BlendAlphaElementwise",
    "BlendAlphaMask": f"{_NOT_IN_YAML}: use one of the other BlendAlpha… augmenters",
    "BlendAlphaSegMapClassIds": "blends by a map of classes, which imgaug is not given: use BlendAlphaElementwise",
    "ClipCBAsToImagePlanes": "is done anyway: masks and boxes are cut at the image's border: remove it",
    "Jigsaw": f"{_IMAGES_ONLY} and boxes: leave it out",
    "Lambda": f"{_NOT_IN_YAML}: write an augmenter class in the project's modules",
    "RandAugment": f"{_IMAGES_ONLY} (its pillike.Affine): list the augmenters in SomeOf, with Affine for geometry",
    "RemoveCBAsByOutOfImageFraction": "is done anyway: objects that mostly left the image are dropped: remove it",
    "SaveDebugImageEveryNBatches": "writes pictures: the task draw_dataset with augmented does that",
    "Voronoi": f"{_NOT_IN_YAML}: use UniformVoronoi, RegularGridVoronoi or RelativeRegularGridVoronoi",
    "imgcorruptlike.ElasticTransform": f"{_IMAGES_ONLY}: use ElasticTransformation",
    "pillike.Affine": f"{_IMAGES_ONLY}: use Affine",
}

BASES = ("Augmenter", "AssertLambda", "Lambda")
"""Those of them that classes of a project may extend."""

FORMER = {
    "Alpha": ("BlendAlpha", {"first": "foreground", "second": "background"}),
    "AlphaElementwise": ("BlendAlphaElementwise", {"first": "foreground", "second": "background"}),
    "ContrastNormalization": ("LinearContrast", {}),
    "FrequencyNoiseAlpha": ("BlendAlphaFrequencyNoise", {"first": "foreground", "second": "background"}),
    "HorizontalFlip": ("Fliplr", {}),
    "InColorspace": ("WithColorspace", {}),
    "Rotate90": ("Rot90", {}),
    "Scale": ("Resize", {}),
    "SimplexNoiseAlpha": ("BlendAlphaSimplexNoise", {"first": "foreground", "second": "background"}),
    "VerticalFlip": ("Flipud", {}),
}
"""Names that imgaug had earlier and Musket still has, with the present one and arguments that have another name now."""

MUSKET_ARGUMENTS = {
    "Add": {"range": "value"},
    "AddElementwise": {"range": "value"},
    "Fliplr": {"probability": "p"},
    "Flipud": {"probability": "p"},
    "Invert": {"probability": "p"},
    "Multiply": {"range": "mul"},
    "MultiplyElementwise": {"range": "mul"},
    "OneOf": {"value": "children"},
    "Rot90": {"enabled": "k"},
    "Sequential": {"value": "children"},
}
"""Names of arguments in Musket's ``augmenters.raml`` that are not imgaug's."""


def _classes() -> dict[str, type]:
    found: dict[str, type] = {"BackgroundReplacer": BackgroundReplacer}
    for prefix, module in (("", iaa), ("pillike.", pillike), ("imgcorruptlike.", iaa.imgcorruptlike)):
        for name, value in vars(module).items():
            is_own = isinstance(value, type) and issubclass(value, iaa.Augmenter) and not name.startswith("_")
            if is_own and (not prefix or value.__module__ == module.__name__):
                found[prefix + name] = value
    found.pop("Rotate90", None)  # musket_core puts its own there, which cuts off the ends of an image
    return found


CLASSES = _classes()
"""Every augmenter class by the name that YAML has for it."""

_BY_LOWER = {name.lower(): name for name in (*CLASSES, *FORMER)}


def known_name(name: str) -> "str | None":
    """Return a name as imgaug spells it, ``None`` where there is none; Musket's files also write names small."""
    return name if name in CLASSES or name in FORMER else _BY_LOWER.get(name.lower())


def hint(name: str, further: Iterable[str] = ()) -> str:
    """Return `` (did you mean 'x'?)`` for the augmenter whose name is nearest, or nothing."""
    return nearest(name, [*CLASSES, *FORMER, *further])


def kind_of(augmenter: Any) -> Kind:
    """Return what an augmenter does to masks.

    One of a class of the project's is of the kind of the imgaug class that it extends; one that extends ``Augmenter``
    alone may do anything, and its masks go through its own ``_augment_batch_`` as label maps, unless the class has
    ``changes_geometry = False``.
    """
    says = getattr(augmenter, "changes_geometry", None)
    if says is False:
        return Kind.COLOUR
    for kind, classes in (
        (Kind.FLOW, FLOW),
        (Kind.CHANNELS, CHANNELS),
        (Kind.BENDING, BENDING),
        (Kind.HOMOGRAPHY, HOMOGRAPHIES),
        (Kind.RESTORING, (iaa.KeepSizeByResize,)),
    ):
        if isinstance(augmenter, classes):
            return kind
    if isinstance(augmenter, iaa.Dropout2d):  # an image that lost all channels lost its objects
        return Kind.COLOUR if augmenter.nb_keep_channels > 0 else Kind.BENDING
    if isinstance(augmenter, pooling._AbstractPoolingBase):  # noqa: SLF001 - the only name that all four share
        return Kind.COLOUR if augmenter.keep_size else Kind.HOMOGRAPHY
    known = next(cls for cls in type(augmenter).__mro__ if cls.__module__.startswith("imgaug."))
    return Kind.BENDING if known in (iaa.Augmenter, iaa.Lambda) or says else Kind.COLOUR


def changes_geometry(augmenter: Any) -> bool:
    """Say whether an augmenter, or one inside it, may move pixels."""
    if kind_of(augmenter) in GEOMETRY:
        return True
    return any(changes_geometry(child) for child in children_of(augmenter))


def children_of(augmenter: Any) -> list[Any]:
    """Return the augmenters directly inside one."""
    return [child for children in augmenter.get_children_lists() for child in children]


def all_of(augmenter: Any) -> list[Any]:
    """Return an augmenter and all inside it."""
    return [augmenter, *(inner for child in children_of(augmenter) for inner in all_of(child))]
