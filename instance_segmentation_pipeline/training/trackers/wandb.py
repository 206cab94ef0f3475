"""``WandbTracker``: runs of Weights & Biases, on a server or in a folder of this machine, gone on with by their id.

MMEngine's ``WandbVisBackend`` counts steps of its own, so that a run that is gone on with has epochs twice: wandb's
client is asked.
"""

import contextlib
import os
import re
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...errors import ConfigError, one_line
from .base import RunFacts

PATIENCE = 20
"""Seconds that a server is waited for where a run begins."""

END = 60
"""Seconds that the end of a run waits for what is not sent yet; it stays on the disk for ``wandb sync``."""

_FOREIGN = re.compile(r"[/\\#?%:\0-\x1f]")


class WandbTracker:
    """Tells Weights & Biases.

    All of a run is told again when it is opened. Offline that makes one folder of it, and those before it go; of a
    server's run, what it has is left out.

    Args:
        folder: Where wandb keeps files of the run.
        project: wandb's project.
        entity: User or team that it belongs to; by default the login's.
        mode: ``online`` or ``offline``; by default what ``WANDB_MODE`` or ``wandb offline`` say.
    """

    forgets = True

    def __init__(self, folder: Path, project: str, entity: "str | None" = None, mode: "str | None" = None) -> None:
        self.folder, self.project, self.entity, self.mode = folder, _FOREIGN.sub("-", project)[:128], entity, mode
        self._run: Any = None
        self._first = 0
        self._rows: dict[int, dict[str, Any]] = {}

    def open(self, facts: RunFacts, known: "str | None") -> str:
        """Begin a run, or go on with one."""
        import wandb

        if self._run is not None:  # what failed
            self._let_go()
        mode = mode_of(self.mode)
        if mode == "online" and not _login():
            raise RuntimeError("there is no login")  # wandb would ask for one where there is a terminal
        if mode == "offline":
            for path in self.folder.glob("wandb/offline-run-*"):
                shutil.rmtree(path)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._rows = {}
        try:
            self._run = wandb.init(
                reinit="create_new",
                dir=str(self.folder),
                project=self.project,
                entity=self.entity,
                group=facts.experiment[:128],
                name=facts.name,
                notes=facts.description or None,
                tags=[_tag(name, value) for name, value in facts.tags.items()],
                config=dict(facts.parameters),
                id=known or secrets.token_hex(8),
                resume="allow" if mode == "online" else None,
                settings=_settings(mode),
            )
        except Exception:
            wandb.teardown()  # the client would take the id for one that is in use
            raise
        self._first = int(self._run.starting_step)
        return str(self._run.id)

    def numbers(self, values: Mapping[str, float], step: int) -> None:
        """Take an epoch's row; final numbers become the run's summary."""
        final = {name: value for name, value in values.items() if name.startswith("summary/")}
        if final:
            self._run.summary.update(final)
        self._row(step).update({name: value for name, value in values.items() if name not in final})

    def picture(self, name: str, path: Path, step: int) -> None:
        """Take a picture of an epoch."""
        self._row(step)[name] = self._image(path)

    def report(self, name: str, path: Path) -> None:
        """Put a picture into the run's summary."""
        self._run.summary[name] = self._image(path)

    def flush(self) -> None:
        """Hand on the rows, each epoch whole; wandb takes none that lies before one that it has."""
        for step in sorted(self._rows):
            row = self._rows.pop(step)
            if row and step >= self._first:
                self._run.log(row, step=step, commit=True)
                self._first = step + 1

    def close(self, finished: bool) -> None:
        """End the run, as failed where it is to be gone on with."""
        try:
            self._run.finish(exit_code=0 if finished else 1)
        except Exception:
            self._let_go()
            raise

    def _let_go(self) -> None:
        """End wandb's service: the run's id is in use until then, and the end of the process would ask it again."""
        import wandb

        self._run = None
        with contextlib.suppress(Exception, SystemExit):  # it exits as a service does that was killed
            wandb.teardown(exit_code=1)

    def _row(self, step: int) -> dict[str, Any]:
        return self._rows.setdefault(step, {})

    @staticmethod
    def _image(path: Path) -> Any:
        import wandb

        return wandb.Image(str(path))


def check_wandb(mode: "str | None") -> None:
    """See to it that wandb can be told without asking anybody.

    Args:
        mode: As in ``WandbTracker``.

    Raises:
        ConfigError: The package is too old, or there is neither a login nor the word that none is needed.
    """
    import wandb

    if "finish_timeout" not in wandb.Settings.model_fields:
        raise ConfigError(f"trackers: wandb {wandb.__version__} is too old: pip install --upgrade 'wandb>=0.31'.")
    try:
        known = mode_of(mode) != "online" or _login()
    except wandb.errors.AuthenticationError as error:
        raise ConfigError(f"trackers: wandb cannot log in ({one_line(error)[:200]}): run `wandb login`.") from error
    if not known:
        raise ConfigError(
            "trackers: wandb has no login: run `wandb login`, set WANDB_API_KEY, or write {wandb: {mode: offline}}, "
            "which keeps runs in the experiment's folder for `wandb sync`."
        )


def mode_of(given: "str | None") -> str:
    """Return ``online``, ``offline`` or ``disabled``."""
    mode = given or os.environ.get("WANDB_MODE") or str(_of_machine("mode") or "online")
    return {"dryrun": "offline", "run": "online"}.get(mode, mode)


def _login() -> bool:
    """Say whether wandb finds a login, as it looks for one itself, without asking for it.

    Raises:
        wandb.errors.AuthenticationError: It finds something else.
    """
    from wandb.sdk.lib import wbauth

    found = wbauth.authenticate_session(
        host=str(_of_machine("base_url")), source="trackers", prompt=False, update_session=False
    )
    return found is not None


def _of_machine(name: str) -> Any:
    """Return what wandb's files of settings and its environment variables say."""
    import wandb

    os.environ.setdefault("WANDB_SILENT", "true")  # the experiment's own lines are enough
    return getattr(wandb.setup().settings, name)


def _settings(mode: str) -> Any:
    import wandb

    return wandb.Settings(
        mode=mode,
        console="off",
        disable_code=True,
        init_timeout=PATIENCE,
        finish_timeout=END,
        finish_timeout_raises=True,
        x_graphql_timeout_seconds=PATIENCE / 2,
        x_graphql_retry_max=1,
    )


def _tag(name: str, value: str) -> str:
    return (name if value == "true" else f"{name}: {value}")[:64]
