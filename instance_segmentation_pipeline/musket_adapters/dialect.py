"""The way from a path to a config: how musket_core is shown ``#%Musket MMDetection`` files.

``overrides`` hands these functions to musket_core, so that ``generic.parse`` and ``Experiment`` find
them. Files of other dialects go to upstream's own functions.
"""

import contextlib
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ..config.loader import (
    HEADER,
    check_version,
    common_of,
    first_line,
    is_ours,
    read_config,
    read_mapping,
    taken_from_common,
)
from ..config.schema import check_given, check_properties
from ..config.search_plan import SearchPlan, is_search
from ..config.search_templates import with_first_values
from ..config.step_chain import check_used
from ..errors import ConfigError, shortened
from ..storage.experiment_files import ExperimentFiles
from ..storage.regular_file import open_regular

_ANY_HEADER = re.compile(r"#\s*%\s*Musket\b", re.IGNORECASE)


class Dialect:
    """What ``musket_core.configloader`` calls a module: makes a config object of the YAML's mapping."""

    def instantiate(self, properties: Any, clear_custom: bool = False, with_args: Any = None) -> Any:
        """Return our ``PipelineConfig``; what is wrong in the mapping is told before all that it needs is imported."""
        if is_search(properties):
            SearchPlan.of(properties)
            from ..tuning.search_config import SearchConfig

            return SearchConfig(**properties)
        check_properties(properties)
        from ..experiment.pipeline_config import PipelineConfig

        return PipelineConfig(**properties)


def refuse_near_miss(path: Path) -> None:
    """Refuse a file without our header that is one of ours by all signs, before musket_core takes it for its own.

    Raises:
        ConfigError: Its header names no dialect, it is not UTF-8, or it has no header and names a configPath.
    """
    try:
        with open_regular(path, "rb") as file:
            raw = file.read(100_000)
        line = first_line(path)
    except OSError:
        return  # musket_core says what there is to say
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        problem = "is UTF-16: save it as UTF-8, and begin it with"
    elif _ANY_HEADER.match(line):
        dialect = line.split()[1].lower() if len(line.split()) > 1 else ""
        if dialect and (_schemas() / f"{dialect}.raml").exists() and dialect != "mmdetection":
            return
        problem = f"begins with {shortened(line.strip())}, which names no dialect: begin it with"
    elif re.search(rb"^configPath\s*:", raw, re.MULTILINE):
        problem = "names a configPath, but has no header in its first line: begin it with"
    else:
        return
    raise ConfigError(f"{path} {problem} the line {HEADER}.")


def _schemas() -> Path:
    import musket_core

    return Path(str(musket_core.__file__)).parent / "schemas"


Parse = Callable[..., Any]
"""A function of musket_core that makes an experiment's config of what names it."""


def parse_with_dialect(upstream: Parse) -> Parse:
    """Return ``configloader.parse`` that reads our files by itself and hands all others to ``upstream``."""

    def parse(name: str, source: Any, extra: Any = None) -> Any:
        if not isinstance(source, (str, os.PathLike)) or not is_ours(Path(source)):
            if isinstance(source, (str, os.PathLike)):
                refuse_near_miss(Path(source))
            return upstream(name, source, extra)
        path = Path(source).absolute()
        check_version(path)
        common = common_of(path) if extra is None else Path(extra)
        properties = read_config(path, common)
        taken = taken_from_common(path, common)
        with _naming(path):
            filled = with_first_values(properties)
        with _naming(common or path):
            check_given({key: filled[key] if is_search(properties) else taken[key] for key in taken})
        with _naming(path):
            config = Dialect().instantiate(properties)
            files = ExperimentFiles(path)
            if not files.is_of_seed and files.trial is None:  # theirs have what the experiment and common.yaml declare
                check_used(read_mapping(path).get("declarations") or {}, filled)
        config.path = str(path)
        if is_search(properties):
            config.answer_with_best()
        if config.testTimeAugmentation is not None:
            with _naming(common if "testTimeAugmentation" in taken and common is not None else path):
                config.predictor_views()
        for key in ("augmentation", "transforms"):
            if getattr(config, key) is None or (key == "augmentation" and config.trained().folds()):
                continue  # what is trained predicts without its augmentation, whose classes and folders may be gone
            with _naming(common if key in taken and common is not None else path):
                config.augmenters_of(key)
        return config

    return parse


@contextlib.contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Put the name of a file before what is wrong with it."""
    try:
        yield
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def resolve_before(upstream: Parse) -> Parse:
    """Return ``generic.parse`` that says what is wrong when a name is neither a file nor an experiment."""

    def parse(path: Any, extra: Any = None) -> Any:
        from musket_core import context

        if isinstance(path, os.PathLike):
            path = os.fspath(path)
        if isinstance(path, str) and not Path(path).is_file():
            folder = Path(path)
            if (folder / "config.yaml").is_file():
                return upstream(str(folder / "config.yaml"), extra)
            project = context.get_current_project_path()
            if project is None or not (Path(project) / "experiments" / path / "config.yaml").is_file():
                looked = "" if project is None else f" of the project {project}"
                raise ConfigError(f"{path} is neither a file nor an experiment{looked}: check the path.")
        return upstream(path, extra)

    parse.__doc__ = upstream.__doc__
    return parse
