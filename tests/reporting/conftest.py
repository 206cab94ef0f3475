"""Fixture: experiments that look finished."""

import pytest
import yaml

COLUMNS = "epoch,lr,loss,val_loss,val_coco_segm_mAP\n"


@pytest.fixture
def finished(project, add_experiment):
    """Return a function that writes a finished experiment with given numbers, without training."""

    def write(name, score, lr="0.01", folds=2, losses=(0.9, 0.7)):
        path = add_experiment(name, extra=f"lr: {lr}\nfolds_count: {folds}\n")
        (path.parent / "metrics").mkdir()
        for fold in range(folds):
            rows = [f"{epoch},0.01,1.0,{loss + fold},{score / (epoch + 1)}\n" for epoch, loss in enumerate(losses)]
            (path.parent / "metrics" / f"metrics-{fold}.0.csv").write_text(COLUMNS + "".join(rows))
        metric = {"mean": score, "max": score, "min": score, "std": 0.0, "pooled": score - 0.01}
        summary = {
            "completed": True,
            "folds": list(range(folds)),
            "stages": [{"coco_segm_mAP": metric}],
            "allStages": {"coco_segm_mAP": metric, "coco_segm_mAP_holdout": score - 0.1},
        }
        (path.parent / "summary.yaml").write_text(yaml.safe_dump(summary))
        return path.parent

    return write
