"""reference.md's tables of augmenters are those of the catalogue."""

import re

import yaml
from imgaug import augmenters as iaa

from instance_segmentation_pipeline.data.augmentation import catalogue
from instance_segmentation_pipeline.data.augmentation.augmentation import SMALLEST_SHARE
from instance_segmentation_pipeline.data.augmentation.declaration import Surroundings, built
from tests.support.project import REPOSITORY

SECTION = (REPOSITORY / "reference.md").read_text().partition("\n## Augmenters\n")[2].partition("\n## ")[0]
ROWS = [line.strip("| ").split(" | ") for line in SECTION.splitlines() if line.startswith("|")]
POOLING = "`AveragePooling`"


def kinds():
    """Return the rows of the table of masks: names, and what happens."""
    first = ROWS.index(["augmenters", "masks and boxes"]) + 2
    last = ROWS.index(["augmenter", "why"])
    return [
        (re.findall(r"`([\w.]+)`", names.partition("; `AveragePooling`")[0]), what) for names, what in ROWS[first:last]
    ]


def test_every_augmenter_stands_in_one_row_of_its_kind():
    listed = [name for names, _ in kinds() for name in names]
    assert len(listed) == len(set(listed))
    assert set(listed) == set(catalogue.CLASSES) - set(catalogue.REFUSED)
    by_words = {name: what for names, what in kinds() for name in names}
    for name, what in by_words.items():
        cls = catalogue.CLASSES[name]
        assert ("not touched" in what) == (
            not issubclass(
                cls,
                (
                    *catalogue.HOMOGRAPHIES,
                    *catalogue.BENDING,
                    *catalogue.CHANNELS,
                    iaa.KeepSizeByResize,
                    iaa.Sequential,
                    iaa.Sometimes,
                    iaa.WithColorspace,
                    catalogue.BackgroundReplacer,
                ),
            )
            and name not in ("SomeOf", "OneOf")
        ), name
        assert ("within its box" in what) == issubclass(cls, catalogue.HOMOGRAPHIES), name
        assert ("as label maps" in what) == issubclass(cls, catalogue.BENDING), name


def test_what_is_refused_is_listed_with_its_reason():
    start = ROWS.index(["augmenter", "why"]) + 2
    rows = dict(row for row in ROWS[start:] if len(row) == 2 and row[0].startswith("`"))
    assert {name.strip("`"): why for name, why in rows.items()} == catalogue.REFUSED


def test_examples_are_built(tmp_path):
    (tmp_path / "bg").mkdir()
    for text in re.findall(r"```yaml\n(.*?)```", SECTION, re.DOTALL):
        assert built(yaml.safe_load(text)["augmentation"], "augmentation", Surroundings([tmp_path]))
    assert f"({SMALLEST_SHARE})" in SECTION


def test_the_class_of_the_example_acts(project, add_experiment):
    from musket_core import generic

    (code,) = re.findall(r"```python\n(.*?)```", SECTION, re.DOTALL)
    (project / "modules" / "darker.py").write_text(code)
    cfg = generic.parse(str(add_experiment(extra="transforms: {Darker: 0.1}\n")))
    image = cfg.get_dataset()[0].x
    assert (cfg.item_augmenters.image(image) == (image * 0.1).astype("uint8")).all()
