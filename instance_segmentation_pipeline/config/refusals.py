"""Words of Musket that the dialect does not have: what does the job here, or why there is none.

``reference.md`` has the same sentences in its table of Musket's keys, and a test compares the two.
"""

_NETWORK = "the net is the one that configPath names; configOptions changes it"
_HEAD_WEIGHTS = "say which weights to start from by pretrained and weightsPath"
_INTERNAL = "it switches a part of musket_core that is not there in this dialect: remove it"
_TASKS = "mark a function of the project's modules @tasks.task, and run it by musket task"

ROOT = {
    "activation": "heads of detectors have their own last layer: set it by configOptions, as model.bbox_head.loss_cls",
    "add_to_train": "give extra_train_data",
    "architecture": f"{_NETWORK}: musket models lists those of the zoo",
    "backbone": f"{_NETWORK}: model.backbone",
    "bgr": _INTERNAL,
    "classifier": _NETWORK,
    "classifier_lr": "give parts of the net rates of their own by configOptions: optim_wrapper.paramwise_cfg",
    "compressPredictionsAsInts": "predictions are kept as run-length codes, without loss: remove it",
    "compressScale": "predictions are kept as run-length codes, without loss: remove it",
    "copyWeights": "it fills a fourth channel of the first layer, and images have three channels here: remove it",
    "dropout": _NETWORK,
    "dropSemanticHead": "a head that learns from semantic maps is left out by configOptions",
    "encoder_weights": _HEAD_WEIGHTS,
    "extra_callbacks": "give callbacks, or give it to the stages that it is for",
    "fit_with": _INTERNAL,
    "flipPred": "give testTimeAugmentation",
    "gpus": "give the flag --gpus_per_net",
    "import_tasks": _TASKS,
    "initial_weights": "give weightsPath, or initial_weights to the stages that it is for",
    "needsSessionForPrediction": _INTERNAL,
    "negatives": "give it to the stages that it is for",
    "noTrain": "musket task measures what is trained, and musket fit --only_report makes its summary anew",
    "rate": _INTERNAL,
    "run_tasks": _TASKS,
    "saveLast": "the last weights of each stage are always kept, as weights/last-<fold>.<stage>.weights: remove it",
    "separatePredictions": _INTERNAL,
    "tasks": _TASKS,
    "unfreeze_encoder": "give it to the stages that it is for",
    "validation_steps": "the whole validation part is measured after each epoch; validation_negatives makes it smaller",
    "weights": _HEAD_WEIGHTS,
}
"""Keys of the YAML, with what does the job here."""

STAGE: dict[str, str] = {}
"""Keys of a stage, with what does the job here."""


def refusal(key: str, prefix: str = "") -> "str | None":
    """Return the sentence that refuses a word of Musket, ``None`` for one that is none.

    Args:
        key: The key.
        prefix: What stands before it in messages: empty at the root, ``stages[0].`` in a stage.
    """
    pointer = (STAGE if prefix else ROOT).get(key)
    if pointer is None:
        return None
    return f"{prefix}{key} is a Musket property that the MMDetection dialect does not have: {pointer}."
