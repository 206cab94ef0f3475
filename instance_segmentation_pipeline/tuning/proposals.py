"""``Proposals``: the parameters of the next trial, by hyperopt's Tree of Parzen Estimators.

Bergstra et al., "Algorithms for Hyper-Parameter Optimization" (2011). A proposal follows from the space, the seed,
the trial's number and what became of the trials before: nothing else is kept, so that a search goes on after a kill as
if there had been none.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from hyperopt import JOB_STATE_DONE, STATUS_OK, Trials, hp, tpe
from hyperopt.base import Domain

from ..config.search_space import CHOICE, INTEGER, RANDINT, Parameter, Space
from ..storage.search_record import DONE, PRUNED, TrialRecord

LARGEST_SEED = 2**31 - 1


class Proposals:
    """Proposes the parameters of trials.

    Args:
        space: The parameters.
        seed: What everything drawn follows from.
        lower_is_better: Whether the goal is a low score.
    """

    def __init__(self, space: Space, seed: int, *, lower_is_better: bool) -> None:
        self.space, self.seed = space, seed
        self._sign = 1.0 if lower_is_better else -1.0
        self._domain = Domain(lambda _: 0.0, {name: _expression(one) for name, one in space.items()})

    def next(self, number: int, trials: Sequence[TrialRecord]) -> dict[str, Any]:
        """Return the parameters of a trial, by value.

        Args:
            number: Its number.
            trials: Those before it. A trial that was ended early counts as much as the worst completed one; one that
                runs or failed counts nothing.
        """
        known = self._known(trials)
        seed = int(np.random.default_rng([self.seed, number]).integers(LARGEST_SEED))
        (proposed,) = tpe.suggest([number], self._domain, known, seed)
        drawn = proposed["misc"]["vals"]
        return {name: self._value(one, drawn[name][0]) for name, one in self.space.items()}

    def _known(self, trials: Sequence[TrialRecord]) -> Trials:
        scores = [trial.score for trial in trials if trial.state == DONE and trial.score is not None]
        worst = max((self._sign * score for score in scores), default=math.nan)
        documents = Trials()
        made = []
        for trial in trials:
            if trial.state not in (DONE, PRUNED) or not scores:
                continue
            loss = worst if trial.score is None or trial.state == PRUNED else self._sign * trial.score
            values = {name: [one.number_of(trial.parameters[name])] for name, one in self.space.items()}
            misc = {
                "tid": trial.number,
                "cmd": self._domain.cmd,
                "workdir": self._domain.workdir,
                "idxs": {name: [trial.number] for name in self.space},
                "vals": values,
            }
            result = {"status": STATUS_OK, "loss": loss}
            (document,) = documents.new_trial_docs([trial.number], [None], [result], [misc])
            document["state"] = JOB_STATE_DONE
            made.append(document)
        if made:
            documents.insert_trial_docs(made)
        documents.refresh()
        return documents

    @staticmethod
    def _value(parameter: Parameter, drawn: Any) -> Any:
        if parameter.kind == CHOICE:
            return parameter.choices[int(drawn)]
        return parameter.of_number(float(drawn))


def _expression(parameter: Parameter) -> Any:
    """Return hyperopt's expression of a parameter; values are made of what it draws by ``Proposals._value``."""
    name, low, high = parameter.name, parameter.low, parameter.high
    if parameter.kind == CHOICE:
        return hp.choice(name, list(range(len(parameter.choices))))
    if parameter.kind == RANDINT:
        return hp.randint(name, int(low), int(high) + 1)
    if parameter.kind == INTEGER:
        return hp.quniform(name, low - 0.499, high + 0.499, 1)
    if parameter.kind == "uniform":
        return hp.uniform(name, low, high)
    if parameter.kind == "quniform":
        return hp.quniform(name, low, high, parameter.step)
    bounds = math.log(low), math.log(high)
    return (
        hp.loguniform(name, *bounds)
        if parameter.kind == "loguniform"
        else hp.qloguniform(name, *bounds, parameter.step)
    )
