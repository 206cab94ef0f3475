"""Pictures of augmented items: the task draw_dataset with augmented."""

import cv2
import pytest
import yaml

from instance_segmentation_pipeline.cli import task as program

COLOURS = "augmentation:\n  Fliplr: 1\n  Add: [-60, 60]\ntransforms: {Grayscale: 1.0}\n"


def draw(path, parameters):
    return program.main(
        [
            "--project",
            str(path.parents[2]),
            "--name",
            path.parent.name,
            "--task",
            "draw_dataset",
            "--parameters",
            parameters,
        ]
    )


def test_each_item_is_drawn_beside_what_is_made_of_it(add_experiment):
    path = add_experiment(extra=COLOURS)
    assert draw(path, "{dataset: train0, count: 3, augmented: 5}") == 0
    folder = path.parent / "draw_dataset"
    assert yaml.safe_load((folder / "result.yaml").read_text()) == {"dataset": "train0", "pictures": 3, "augmented": 5}
    pictures = [cv2.imread(str(picture)) for picture in sorted(folder.glob("*.jpg"))]
    assert len(pictures) == 3
    for picture in pictures:
        height, width = picture.shape[:2]  # two rows of four places, the last two of them empty
        assert (picture[height // 2 + 10 :, width // 2 + 10 :] > 250).all()
        cell = picture[: height // 2 - 10, width // 4 + 10 : width // 2 - 10]
        assert cell.std() > 0 or cell.mean() < 250


@pytest.mark.parametrize(
    ("extra", "augmented", "words"),
    [
        ("", 3, "has no augmentation and no transforms"),
        (COLOURS, 0.5, "augmented is 0.5, expected a whole number from 1 to 100"),
        (COLOURS, 1000, "augmented is 1000, expected a whole number from 1 to 100"),
        (COLOURS, "many", "augmented is 'many', expected a whole number"),
        ("augmentation: {BackgroundReplacer: nowhere}\n", 1, "nowhere is no folder"),
    ],
)
def test_what_cannot_be_drawn_is_told(add_experiment, capfd, extra, augmented, words):
    assert draw(add_experiment(extra=extra), f"{{augmented: {augmented}}}") == 1
    assert words in capfd.readouterr().err
