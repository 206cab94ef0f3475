"""Every word of Musket is a property, or refused with what does its job; and reference.md has a row for each."""

import re

import pytest

from instance_segmentation_pipeline.config.holdout_part import HOLDOUT
from instance_segmentation_pipeline.config.refusals import ROOT, STAGE
from instance_segmentation_pipeline.config.schema import PROPERTIES, STAGE_PROPERTIES, check_properties
from instance_segmentation_pipeline.errors import ConfigError
from tests.support.project import REPOSITORY

LEAST = {"configPath": "a.py", "stages": [{"epochs": 1}]}

_WORDS = """
    activation add_to_train architecture augmentation backbone batch bgr callbacks classes classifier classifier_lr
    clipnorm clipvalue compressPredictionsAsInts compressScale configPath copyWeights crops dataset dataset_augmenter
    datasets datasets_path declarations dropSemanticHead dropout dumpPredictionsToCSV encoder_weights experiment_result
    extra_callbacks extra_train_data final_metrics fit_with flipPred folds_count freeze_encoder gpus groupFunc holdout
    hyperparameters imagesPerGpu import_tasks imports inference_batch initial_weights logAll loss lr manualResize
    maxEpochSize max_evals metrics multiscaleMode needsSessionForPrediction noTrain num_seeds optimizer preprocessing
    pretrain_transform primary_metric primary_metric_mode random_state rate resetHeads run_tasks saveLast
    separatePredictions shape showDataExamples stages steps_per_epoch storage_threshold stratified tasks testSplit
    testSplitSeed testTimeAugmentation threshold transforms trustWeights unfreeze_encoder validationSplit
    validation_steps verbose weights weightsPath
"""
WORDS = _WORDS.split()
"""The keys of an experiment that Musket's documentation, schemas and source know."""

_OF_STAGES = """
    callbacks epochs extra_callbacks freeze_encoder initial_weights logAll loss lr negatives unfreeze_encoder
    validation_negatives
"""
STAGE_WORDS = _OF_STAGES.split()

KNOWN = {HOLDOUT, *(entry.name for entry in PROPERTIES)}
KNOWN_IN_STAGES = {entry.name for entry in STAGE_PROPERTIES}
TABLE = dict(
    re.findall(
        r"^\| `(.*?)` \| (.*) \|$",
        (REPOSITORY / "reference.md").read_text().partition("## Musket key → here")[2].partition("\n## ")[0],
        re.MULTILINE,
    )
)


@pytest.mark.parametrize("word", WORDS)
def test_a_word_acts_or_is_refused_with_what_does_its_job(word):
    assert (word in KNOWN) != (word in ROOT)
    if word in KNOWN:
        assert TABLE[word] == f"[{word}](#{word.lower()})"
        return
    with pytest.raises(ConfigError) as caught:
        check_properties({**LEAST, word: {"a": 1}})
    assert str(caught.value) == (
        f"{word} is a Musket property that the MMDetection dialect does not have: {ROOT[word]}."
    )
    assert TABLE[word] == f"refused: {ROOT[word]}"


@pytest.mark.parametrize("word", STAGE_WORDS)
def test_a_word_of_a_stage_acts_or_is_refused(word):
    assert (word in KNOWN_IN_STAGES) != (word in STAGE)
    if word in KNOWN_IN_STAGES:
        assert TABLE[f"stages: {word}"] == "[stages](#stages)"
        return
    with pytest.raises(ConfigError) as caught:
        check_properties({**LEAST, "stages": [{"epochs": 1}, {"epochs": 1, word: 1}]})
    assert str(caught.value).startswith(f"stages[1].{word} is a Musket property that")
    assert TABLE[f"stages: {word}"] == f"refused: {STAGE[word]}"


def test_no_word_is_both_and_none_is_left_out():
    assert not KNOWN & set(ROOT)
    assert not KNOWN_IN_STAGES & set(STAGE)
    assert set(ROOT) <= {*WORDS, "negatives"}
    assert set(STAGE) <= set(STAGE_WORDS)
