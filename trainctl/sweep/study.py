"""An open sweep: what its settings, its journal and the words of its command say together. Imports no torch."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from trainctl.errors import CheckpointError
from trainctl.run.metric_names import maximize, own_maximized
from trainctl.settings.config import Config
from trainctl.settings.points import Composer
from trainctl.settings.space import Words, key_of
from trainctl.settings.sweep import Sweep
from trainctl.store.journal_base import Journal
from trainctl.store.runpath import RunPath
from trainctl.sweep.ledger import Ledger
from trainctl.sweep.policy import Policy
from trainctl.sweep.trial import Trial
from trainctl.wording import shell_words

SHOWN = 16  # characters of a fingerprint


@dataclass
class Study:
    """An open sweep.

    Args:
        held: Its directory, open.
        settings: Its settings in this process.
        composer: Composes its points.
        journal: Its journal.
        record: What it was begun with: `sweep.json`, or the database's copy of that, which all machines share.
        words: The words about the runs.
    """

    held: RunPath
    settings: Sweep
    composer: Composer
    journal: Journal
    record: dict[str, Any]
    words: Words

    @property
    def home(self) -> Path:
        """Return the path of its directory, for messages."""
        return self.held.path

    @property
    def draws(self) -> bool:
        """Return whether plots of the sweep are drawn: unless the user typed output.plots=false."""
        return "output.plots=false" not in self.words

    def __post_init__(self) -> None:
        self.base: Config = self.composer.compose(self._first_words(), self.composer.space.replicates[0]).config
        self.threads: int = self.record["threads"]  # CPU threads of each trial
        self.maximized = own_maximized(self.base.parts["metric"])  # of the user's own metrics
        self.ledger = Ledger(self.held, self.journal, self.record["digits"])
        self.policy = Policy(self.settings, maximize(self.base.monitor, self.maximized))

    def _first_words(self) -> Words:
        space = self.composer.space
        return next(space.grid()) if space.size < float("inf") else space.draw(0, 0)

    def config(self, trial: Trial) -> Config:
        """Return the configuration of a trial, with the threads of this sweep."""
        config = self.composer.compose(trial.words, self.composer.space.replicates[0]).repeated(trial.replicate)
        if config.components != self.base.components:  # lists of points may come from anybody
            raise CheckpointError(f"{self.held / 'lists'}: point {trial.point} names other packages of components")
        tree = config.tree | {"threads": self.threads}
        return replace(config, threads=self.threads, tree=tree)

    def other_facts(self, trial: Trial, facts: Any) -> str:
        """Return in what a trial differs from the finished ones on the same data set: its rows, or the version of torch.

        Numbers of such trials cannot be compared.
        """
        if not isinstance(facts, dict):
            return ""
        for key, before in self.ledger.facts.items():
            other = self.ledger.trials.get(key)
            if other is None or other is trial or self._data_of(other) != self._data_of(trial):
                continue
            for what, path in (("data", ("data", "fingerprint")), ("version of torch", ("versions", "torch"))):
                old, new = _at(before, path), _at(facts, path)
                if old and new and old != new:
                    return (
                        f"its {what} ({new[:SHOWN]}) differs from that of {other.directory.name} ({old[:SHOWN]}); results on"
                        " other rows or of another version cannot be compared: restore them, or give another sweep.name"
                    )
            return ""
        return ""

    def _data_of(self, trial: Trial) -> tuple[str, ...]:
        """Return the words that choose the rows of a trial."""
        return tuple(
            word for word in (*trial.words, *trial.replicate) if word.startswith(("dataset", "split.", "clean"))
        )

    def datasets(self) -> list[dict[str, Any]]:
        """Return the configurations of the first trial on each data set."""
        trees: dict[str, dict[str, Any]] = {}
        for trial in list(self.ledger.trials.values())[:200]:
            tree = self.config(trial).tree
            trees.setdefault(str(tree["dataset"]), tree)
        return list(trees.values())[:8]

    @property
    def resume(self) -> str:
        """Return the command that continues it, ready to paste."""
        words = ["trainctl", "resume", str(self.home)]
        words += [f"components=[{','.join(self.base.components)}]"] if self.base.components else []
        words += [f"sweep.storage={self.settings.tree['storage']}"] if self.settings.storage else []
        return shell_words(words)

    def words_of(self, trial: Trial) -> list[str]:
        """Return the words of the command that trains a trial by itself."""
        own = {key_of(word) for word in (*trial.words, *trial.replicate)} | {"threads"}
        fixed = [word for word in self.composer.space.fixed if key_of(word) not in own]
        return [*fixed, *trial.words, *trial.replicate, f"threads={self.threads}"]


def _at(tree: Any, path: Sequence[str]) -> Any:
    for name in path:
        tree = tree.get(name) if isinstance(tree, dict) else None
    return tree
