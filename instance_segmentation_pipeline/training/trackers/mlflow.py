"""``MlflowTracker``: runs of a MLflow server or file store, gone on with by their id.

MMEngine's ``MLflowVisBackend`` begins a run at each start, and ends where a server is gone: MLflow's client is asked.
"""

import os
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .base import RunFacts

LONGEST = 500
"""Characters of a parameter: what every version of MLflow takes."""

_FOREIGN = re.compile(r"[^\w\-. :/]", re.ASCII)


class MlflowTracker:
    """Tells a MLflow store.

    Args:
        store: URI of the tracking server, or of a folder.
        experiment: Name of MLflow's experiment; by default Musket's.
    """

    forgets = False

    def __init__(self, store: str, experiment: "str | None") -> None:
        self.store, self.experiment = store, experiment
        self._client: Any = None
        self._run = ""
        self._goes_on = False
        self._steps: dict[str, set[int]] = {}

    def open(self, facts: RunFacts, known: "str | None") -> str:
        """Begin a run, or go on with one; where the store has lost it, begin one."""
        for name, value in {
            "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",  # a server that is gone is not waited for
            "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
            "MLFLOW_ALLOW_FILE_STORE": "true",
        }.items():
            os.environ.setdefault(name, value)
        from mlflow.exceptions import MlflowException
        from mlflow.tracking import MlflowClient

        self._client, self._steps = MlflowClient(tracking_uri=self.store), {}
        if known:
            try:
                self._client.get_run(known)
                self._client.update_run(known, status="RUNNING")
                self._run, self._goes_on = known, True
                return known
            except MlflowException as error:
                if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                    raise
        self._run, self._goes_on = self._begun(facts), False
        return self._run

    def _begun(self, facts: RunFacts) -> str:
        from mlflow.entities import Param

        name = self.experiment or facts.experiment
        found = self._client.get_experiment_by_name(name)
        number = self._client.create_experiment(name) if found is None else found.experiment_id
        tags = {_plain(key): value for key, value in facts.tags.items()}
        tags.update({"musket.experiment": facts.experiment, "mlflow.note.content": facts.description})
        run = str(self._client.create_run(number, run_name=facts.name, tags=tags).info.run_id)
        parameters = [Param(_plain(key), value[:LONGEST]) for key, value in facts.parameters.items()]
        for start in range(0, len(parameters), 100):
            self._client.log_batch(run, params=parameters[start : start + 100])
        return run

    def numbers(self, values: Mapping[str, float], step: int) -> None:
        """Log metrics; of a run that is gone on with, those that it has of this step are left out."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        new = [(_plain(name), value) for name, value in values.items()]
        metrics = [Metric(name, value, now, step) for name, value in new if not self._has(name, step)]
        if metrics:
            self._client.log_batch(self._run, metrics=metrics)

    def _has(self, name: str, step: int) -> bool:
        if not self._goes_on or name.startswith("summary/"):
            return False
        if name not in self._steps:
            self._steps[name] = {one.step for one in self._client.get_metric_history(self._run, name)}
        return step in self._steps[name]

    def picture(self, name: str, path: Path, step: int) -> None:
        """Log a picture as an artifact."""
        self._client.log_artifact(self._run, str(path), name)

    def report(self, name: str, path: Path) -> None:
        """Log a picture as an artifact."""
        self.picture(name, path, 0)

    def flush(self) -> None:
        """Do nothing: each call has been answered."""

    def close(self, finished: bool) -> None:
        """Say whether the run is finished."""
        if finished:
            self._client.set_terminated(self._run)


def _plain(name: str) -> str:
    return _FOREIGN.sub("_", name)[:250]
