"""The settings of a sweep, such as `sweep.workers=2`: its own words, in addition to those of its runs. No torch."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from typing import Annotated, Any, Literal

from hydra.core.override_parser.types import Override

from trainctl.errors import ConfigError
from trainctl.fileformat.tree import read_tree
from trainctl.settings import config, schema, spelling, storage, text
from trainctl.settings.config import Positive, seconds, unusable
from trainctl.settings.members import home
from trainctl.settings.overrides import parse, plain_value
from trainctl.wording import redacted

Duration = Annotated[str, r"re:\d+(\.\d+)?[smhd]", "a time such as 90s, 10m, 2h or 1d"]
Count = Annotated[int, "[0, inf)"]


@dataclass(frozen=True)
class Sweep:
    """How a sweep chooses, runs, prunes and compares its trials; `conf/sweep.yaml` has the defaults."""

    sampler: Literal["grid", "random", "tpe"]
    trials: Positive | None
    points: Annotated[str, "path"] | None
    seed: Annotated[int, "[0, 4294967295]"]
    max_time: Duration | None
    monitors: list[Annotated[str, "re:val/[a-z0-9_]+", "a metric such as val/loss"]]
    seeds: Annotated[int, "[1, 1000]"]
    splits: Annotated[int, "[1, 1000]"]
    confirm: Annotated[int, "[0, 1000]"]
    prune: Literal["none", "median", "asha"]
    rungs: list[Positive]
    finalists: Positive
    workers: Annotated[int, "[1, 1024]"] | Literal["auto"]
    threads: Annotated[int, "[1, 1024]"] | None
    trial_timeout: Duration | None
    retries: Count
    on_error: Literal["continue", "stop"]
    keep: Literal["all", "best", "none"]
    name: (
        Annotated[str, r"re:[A-Za-z0-9][\w.-]{0,100}", "a name of letters, digits, dots, dashes and underscores"] | None
    )
    lease: Duration
    storage: str | None
    slurm: Annotated[int, "[1, 10000]"] | None
    slurm_options: list[
        Annotated[str, r"re:--[a-z][a-z0-9-]*(=[^\r\n]+)?", "an option of sbatch such as --time=4:00:00"]
    ]
    slurm_setup: list[Annotated[str, r"re:[^\r\n]+", "a line of the shell such as module load cuda"]]
    requeue: bool

    @property
    def tree(self) -> dict[str, Any]:
        """Return the settings as a plain tree, without the password of the database."""
        return asdict(self) | ({"storage": storage.without_password(self.storage)} if self.storage else {})


def separate(words: Sequence[str]) -> tuple[Sweep, list[str]]:
    """Return the settings of the sweep, and the words that are about its runs.

    Raises:
        ConfigError: With one line for each thing that is wrong with a setting of the sweep.
    """
    own = [word for word in words if is_ours(word)]
    return load(own), [word for word in words if not is_ours(word)]


def is_ours(word: str) -> bool:
    """Return whether a word sets something of the sweep.

    >>> is_ours("sweep=tpe"), is_ours("+sweep.trials=3"), is_ours("optimizer=adam")
    (True, True, False)
    """
    key = word.partition("=")[0].lstrip("+~")
    return key == "sweep" or key.startswith("sweep.")


def load(words: Sequence[str]) -> Sweep:
    """Check the words about the sweep, and return its settings.

    Raises:
        ConfigError: With one line for each thing that is wrong.
    """
    tree, annotations, wrong = dict(defaults()), config.knobs(Sweep), []
    for override in parse(words):
        line, key = storage.harmless([str(override.input_line)])[0], override.key_or_group
        key = "sampler" if key == "sweep" else key.removeprefix("sweep.")
        if trouble := _misuse(override, key, annotations):
            wrong.append(f"{line}: {trouble}")
            continue
        try:
            tree[key] = plain_value(override, annotations[key])
        except ConfigError as error:
            wrong.append(redacted(str(error)))
            continue
        if problem := schema.problem(tree[key], annotations[key]):
            wrong.append(f"{line}: {problem}")
    if wrong := wrong or contradictions(tree, words):
        raise ConfigError(*wrong)
    return Sweep(**tree)


def _misuse(override: Override, key: str, annotations: dict[str, Any]) -> str:
    if override.is_delete():
        return "deleting keys (~key) is not supported"
    if override.is_sweep_override() and not text.is_text(annotations.get(key)):
        return "takes one value: a sweep cannot be swept"
    return "" if key in annotations else spelling.no_such("setting of a sweep", key, sorted(annotations))


@cache
def defaults() -> dict[str, Any]:
    """Return the content of `conf/sweep.yaml`."""
    tree = read_tree(home("conf") / "sweep.yaml")
    assert isinstance(tree, dict)
    assert set(tree) == set(config.knobs(Sweep)), "conf/sweep.yaml and settings/sweep.py differ"
    return {str(key): value for key, value in tree.items()}


def contradictions(tree: dict[str, Any], words: Sequence[str]) -> list[str]:
    """Return settings that are valid one by one, but not together."""
    wrong = []
    sampler = tree["sampler"]
    if sampler != "grid" and tree["trials"] is None and tree["max_time"] is None:
        wrong.append(
            f"sweep={sampler} needs a number of points, e.g. sweep.trials=20, or a limit such as sweep.max_time=1h"
        )
    if sampler == "grid" and tree["trials"] is not None:
        wrong.append(f"sweep.trials={tree['trials']} needs sweep=random or sweep=tpe; a grid has all its points")
    if tree["points"] is not None and sampler != "grid":
        wrong.append(f"sweep.points={tree['points']} lists the points; leave out sweep={sampler}")
    if tree["rungs"] != sorted(set(tree["rungs"])) or not tree["rungs"]:
        wrong.append(f"sweep.rungs={spelling.spell(tree['rungs'])}: expected rising numbers of epochs, such as [3,9]")
    if tree["prune"] == "none" and any(word.startswith(("sweep.rungs=", "sweep.finalists=")) for word in words):
        wrong.append("sweep.rungs and sweep.finalists take effect with sweep.prune=asha or sweep.prune=median only")
    if len(tree["monitors"]) != len(set(tree["monitors"])):
        wrong.append(f"sweep.monitors={spelling.spell(tree['monitors'])}: contains a metric twice")
    if (url := tree["storage"]) is not None and (trouble := storage.problem(url, seconds(tree["lease"]))):
        wrong.append(f"sweep.storage={storage.without_password(url)}: {trouble}")
    if tree["slurm"] is None:
        wrong += [
            f"{key} takes effect with sweep.slurm=N only"
            for key in ("sweep.slurm_options", "sweep.slurm_setup")
            if any(word.partition("=")[0].lstrip("+") == key for word in words)
        ]
    times = {key: tree[key] for key in ("max_time", "trial_timeout", "lease") if tree[key] is not None}
    return wrong + [f"sweep.{key}={text}: {trouble}" for key, text in times.items() if (trouble := unusable(text))]
