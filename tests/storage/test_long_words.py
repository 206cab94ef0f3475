"""Long words in YAML are words; only what YAML takes for a number is refused as one."""

import pytest
import yaml

from instance_segmentation_pipeline.storage.yaml_files import parse_yaml

WORDS = ["a" * 20_000, "deadbeef" * 4000, "f" * 2000, "0x" + "g" * 2000, "." * 3000, "_" * 2000]
NUMBERS = ["9" * 20_000, "-" + "1" * 2000, "0x" + "f" * 2000, "0b" + "01" * 1000, "1" + ":1" * 2000, "1." + "0" * 5000]


@pytest.mark.parametrize("word", WORDS, ids=lambda word: word[:4])
def test_words(word):
    assert parse_yaml(f"a: {word}\n") == {"a": word}


@pytest.mark.parametrize("number", NUMBERS, ids=lambda number: number[:4])
def test_numbers(number):
    with pytest.raises(yaml.YAMLError, match="a number has"):
        parse_yaml(f"a: [{number}]\n")
