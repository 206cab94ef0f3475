"""Trials of a search whose training is played: values that follow from their parameters, written as a training writes them."""

import math
from dataclasses import replace

import yaml
from musket_core.experiment import Experiment

from instance_segmentation_pipeline.errors import TrainingError
from instance_segmentation_pipeline.experiment.pipeline_config import PipelineConfig
from instance_segmentation_pipeline.metrics.metric_name import MetricName
from instance_segmentation_pipeline.storage.metrics_csv import read_rows, write_rows
from instance_segmentation_pipeline.storage.search_record import read_trials
from instance_segmentation_pipeline.tuning.search_config import SearchConfig

SPACE = "hyperparameters:\n  rate: {loguniform: [0.0001, 0.1]}\n  opt: {enum: [SGD, AdamW]}\nlr: rate\noptimizer: opt\n"
EPOCHS = 3
METRIC = "val_coco_segm_mAP"


class Play:
    """Stands for the config of a trial: its training takes no time."""

    kills: set = set()
    fails: set = set()
    trained: list = []

    def __init__(self, search, files, properties):
        self.search, self.files, self.properties = search, files, properties
        self.run, self.canceled_by_timer, self.stages = search.run, False, search.stages

    def kfold(self):
        return self.search.kfold()

    def primary(self):
        return MetricName(self.properties.get("primary_metric") or METRIC)

    def members(self):
        return [self]

    def result_of(self, summary):
        return summary["allStages"]["score"]

    def value(self, epoch):
        return (
            -abs(math.log10(self.properties.get("lr", 1.0)) + 3)
            + 0.1 * epoch
            + 0.3 * (self.properties.get("optimizer") == "SGD")
        )

    def fit(self, dataset, subsample, folds):
        number = self.files.trial
        assert (
            self.run.resume and self.files.folds_split.read_bytes() == self.search.search_files.folds_split.read_bytes()
        )
        stop, path = self.run.deadline(), self.files.stage(0, 0).metrics
        rows = read_rows(path)
        for epoch in range(len(rows), EPOCHS):
            if (number, epoch) in Play.kills:
                Play.kills.discard((number, epoch))
                raise KeyboardInterrupt
            if number in Play.fails:
                raise TrainingError(f"trial {number} was to fail")
            stop.begin()
            Play.trained.append((number, epoch))
            rows.append({"epoch": epoch, METRIC: self.value(epoch)})
            path.parent.mkdir(exist_ok=True)
            write_rows(path, rows)
            if epoch < EPOCHS - 1 and stop():
                self.canceled_by_timer = True
                return
        score = {"score": self.value(EPOCHS - 1), "coco_segm_mAP": self.value(EPOCHS - 1)}
        trained = range(len(self.kfold().folds)) if folds is None else folds
        summary = {
            "completed": True,
            "subsample": subsample,
            "folds": list(trained),
            "stages": [score],
            "allStages": score,
        }
        self.files.summary.write_text(yaml.safe_dump(summary, sort_keys=False))

    def generateReports(self, folds, subsample):
        score = {"score": self.value(EPOCHS - 1) + 10}
        self.files.summary.write_text(
            yaml.safe_dump({"completed": True, "folds": [0], "stages": [score], "allStages": score})
        )


def fitted(path, **options):
    experiment = Experiment(str(path.parent), allowResume=options.pop("resume", False))
    for name, value in options.items():
        setattr(experiment, name, value)
    experiment.fit()
    return experiment


def told(path):
    return [replace(trial, seconds=0.0) for trial in read_trials(path.parent / "hyperopt.scores")]


def load(path):
    return yaml.safe_load(path.read_text())


def play_trials(monkeypatch):
    """Let the trials of searches be played, and none be checked, for the time of a test."""
    Play.kills, Play.fails, Play.trained = set(), set(), []
    monkeypatch.setattr(SearchConfig, "trial_config", lambda search, files, properties: Play(search, files, properties))
    monkeypatch.setattr(PipelineConfig, "check", lambda config, dataset=None: None)
