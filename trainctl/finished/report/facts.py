"""What the files of a run say about it: settings, data, cost, lineage, commands. Imports no torch."""

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from trainctl.errors import CheckpointError, ConfigError
from trainctl.finished import lineage
from trainctl.finished.record import Record
from trainctl.report import about, phrases, run_lines
from trainctl.report.document import Block, Code, Commands, Facts, Prose, Section, Table, Tree
from trainctl.settings import derive
from trainctl.settings.spelling import spell
from trainctl.store import records, rundir, runpath
from trainctl.store.records import Facts as RunFacts
from trainctl.store.records import RunSummary
from trainctl.store.runpath import RunPath
from trainctl.wording import amount, shell_words, shortened

LONGEST = 300  # characters of a setting
LARGEST_NOTE = 2000  # characters of a note on the data, or of the reason why a run ended
LOCAL = ("output.root", "output.plots", "threads")  # settings that do not change what is trained


@dataclass(frozen=True)
class Files:
    """The files of a run, as far as they can be read.

    Args:
        directory: The run's directory.
        record: Settings, outcome and metrics.
        facts: The content of `run.json`.
        summary: The content of `summary.json`.
        rows: The evaluations, in order.
        words: What composes the configuration; None if this version cannot say so.
        different: Each setting that differs from the default run, its value, and the default.
    """

    directory: RunPath
    record: Record
    facts: RunFacts
    summary: RunSummary
    rows: list[dict[str, Any]]
    different: list[tuple[str, str, str]] | None

    @property
    def name(self) -> str:
        """The name of the run."""
        return self.directory.path.absolute().name

    @property
    def dataset(self) -> Mapping[str, Any]:
        """The settings of the data set."""
        found = self.record.config.get("dataset")
        return found if isinstance(found, Mapping) else {}

    @property
    def evaluations(self) -> list[dict[str, Any]]:
        """The evaluations of training, without that of the test split."""
        return [row for row in self.rows if "lr" in row]

    def about(self, split: str = "") -> str:
        """Return what a picture of the run is about."""
        return about.about(self.name, self.dataset, split)


def read(directory: RunPath, record: Record) -> Files:
    """Read the files of a run; what is missing or damaged is left out."""
    different = None
    with suppress(ConfigError, KeyError, TypeError, AttributeError):  # of another version
        different = derive.differences(record.config)
    rows: list[dict[str, Any]] = []
    with suppress(CheckpointError):
        rows = rundir.read_metrics(directory)
    return Files(
        directory, record, records.read_facts(directory), records.read_summary(directory), rows, different
    )  # fmt: skip


def lead(files: Files) -> str:
    """Return the line below the title."""
    record = files.record
    parts = [about.data_name(files.dataset), record.member("model"), record.member("optimizer")]
    made = time.strftime("%Y-%m-%d %H:%M", time.localtime(record.created))
    first = (files.summary.reason or "").partition("; ")[0]
    reason = f": {shortened(first, LONGEST)}" if first else ""
    return f"{', '.join(part for part in parts if part)}. Started {made}, {record.outcome}{reason}."


def why(files: Files) -> list[Block]:
    """Return the whole reason why the run ended, if the line below the title has only its first part."""
    reason = files.summary.reason or ""
    _, more, _ = reason.partition("; ")
    told = shortened(reason[:1].upper() + reason[1:], LARGEST_NOTE)
    return [Prose(f"{told}.", "warning")] if more or len(reason) > LONGEST else []


def settings(files: Files) -> Section:
    """Return what differs from the default run, and the whole configuration."""
    blocks: list[Block] = []
    if files.different is None:
        blocks.append(Prose("This version cannot compare the settings with its defaults.", "note"))
    else:
        rows = [
            [key, shortened(value, LONGEST), shortened(default, LONGEST)]
            for key, value, default in files.different
            if key not in LOCAL
        ]
        told = "All settings are those of the default run." if not rows else "What differs from the default run:"
        blocks.append(Prose(told, "note"))
        blocks += [Table(["setting", "value", "default"], rows)] if rows else []
    blocks.append(Code("All settings (config.yaml)", rundir.config_text(files.record.config).rstrip()))
    return Section("Settings", blocks)


def data(files: Files) -> Section:
    """Return what the run's files say about its data."""
    facts = files.facts.data
    sizes = [(name, getattr(facts, name)) for name in ("train", "val", "test")]
    rows = ", ".join(f"{phrases.count(count)} {name}" for name, count in sizes if count is not None)
    items = [("data set", about.data_name(files.dataset))]
    path = files.dataset.get("path")
    items += [("path", str(path))] if path else []
    items += [("rows", rows)] if rows else []
    items += [tuple(line.partition(": ")[::2]) for line in facts.inferred]  # type: ignore[misc]
    items += [("cleaned", line) for line in facts.cleaned]
    items += [("fingerprint", facts.fingerprint)] if facts.fingerprint else []
    notes = [Prose(shortened(note, LARGEST_NOTE), "note") for note in facts.notes]
    return Section("Data", [Facts(items), *notes])


def metrics(files: Files, split: str, shown: Mapping[str, float], ends: Mapping[str, Sequence[float]],
            trivial: Mapping[str, float], what: str) -> Table:  # fmt: skip
    """Return a table of the metrics of all splits, with intervals and what the trivial model reaches.

    Args:
        files: The run's files.
        split: The split that was measured for the page.
        shown: Its metrics.
        ends: The ends of their 95 % intervals.
        trivial: The metrics of the trivial model.
        what: What the trivial model predicts.
    """
    known = dict(files.record.metrics) | dict(shown)
    names = list(dict.fromkeys(name.partition("/")[2] for name in (*shown, *known)))
    splits = [name for name in ("train", "val", "test") if any(key.startswith(f"{name}/") for key in known)]
    rows = []
    for name in names:
        low, high = ends.get(f"{split}/{name}", (None, None))
        interval = "" if low is None else f"{phrases.number(low)} to {phrases.number(high)}"
        cells = [phrases.number(known[key]) if (key := f"{one}/{name}") in known else "" for one in splits]
        other = trivial.get(f"{split}/{name}")
        rows.append([name, *cells, interval, "" if other is None else phrases.number(other)])
    headers = ["metric", *splits, f"95 % interval ({split})", f"trivial ({split})"]
    caption = f"With the weights that were best by {files.summary.monitor or 'the monitored metric'}."
    caption += f" Trivial: {what}." if what else ""
    return Table(headers, rows, frozenset(range(1, len(splits) + 3)), caption)


def cost(files: Files) -> list[tuple[str, str]]:
    """Return what the run has cost, and on what."""
    summary, facts = files.summary, files.facts
    threads = facts.threads.used
    items = [
        ("parameters", phrases.count(files.record.parameters)),
        ("training time", phrases.duration(files.record.seconds)),
        ("steps", phrases.count(files.record.steps)),
        ("epochs", phrases.epochs(files.record.epochs)),
        ("speed", f"{phrases.count(summary.samples_per_second)} samples/s" if summary.samples_per_second else "-"),
        ("device", facts.device or "-"),
        ("processor", facts.processor or "-"),
        ("threads", f"{threads}" if threads else "-"),
        ("steps are", facts.engine or "-"),
    ]
    if summary.skipped or summary.rewinds:
        items.append(("not finite", f"{amount(summary.skipped, 'step')} skipped, {amount(summary.rewinds, 'rewind')}"))
    return [(label, text) for label, text in items if text != "-"]


def ancestry(files: Files) -> Section:
    """Return the runs from which the run was made."""
    with suppress(CheckpointError):
        found = lineage.lineage(files.directory)
        lines = [(each.depth, _ancestor(each)) for each in found]
        if len(found) == 1 and found[0].made_by is None:
            return Section("Lineage", [Prose("It was trained from scratch.")])
        return Section("Lineage", [Tree(lines)])
    return Section("Lineage")


def _ancestor(each: lineage.Ancestor) -> str:
    steps = "" if each.step is None else f"step {each.step:,}"
    state = "" if each.state == "unchanged" else each.state
    role = f"{each.role}: " if each.role else ""
    facts = "; ".join(part for part in (steps, lineage.made(each.made_by), state) if part)
    return f"{role}{each.name}{f' ({facts})' if facts else ''}"


def commands(files: Files) -> Section:
    """Return the commands that repeat, check and use the run, and the versions that it was trained with."""
    path = phrases.pasteable(files.directory.path)
    packages = files.record.config.get("components")
    own = (
        run_lines.components_argument([str(name) for name in packages])
        if isinstance(packages, list) and packages
        else ""
    )
    items = []
    if files.different is not None and files.facts.made_by is None:
        words = [f"{key}={value}" for key, value, _ in files.different if key not in LOCAL]
        items.append(("Train it again, from anywhere:", shell_words(["trainctl", *words])))
    items += [
        ("Train it again, and compare every bit with this run:", f"trainctl reproduce {path}{own}"),
        ("Measure it:", f"trainctl evaluate {path}{own}"),
        ("Use it:", f"trainctl predict {path} INPUT{own}"),
        ("Write this page again:", f"trainctl report {path}{own}"),
    ]
    facts = files.facts
    versions = [f"trainctl {facts.trainctl}"] if facts.trainctl else []
    versions += [f"{name} {version}" for name, version in facts.versions.items()]
    origin = [("versions", ", ".join(versions))] if versions else []
    if facts.git and facts.git.commit:
        dirty = ", with changes that were not committed" if facts.git.dirty else ""
        origin.append(("git", f"{facts.git.commit}{dirty}"))
    origin += [("typed", facts.command)] if facts.command else []
    origin += [("host", facts.host)] if facts.host else []
    seed = files.record.config.get("seed")
    origin += [("seed", spell(seed))] if seed is not None else []
    origin += [("resumed", f"at step {each.step:,} with {' '.join(each.changed)}") for each in facts.resumed]
    return Section("Reproduce", [Commands(items), Facts(origin)])


def kept_plot(files: Files, name: str) -> bool:
    """Return whether the run has a picture already."""
    return runpath.kind(files.directory / "plots" / f"{name}.png") == "a file"


def signature() -> str:
    """Return the line at the end of a page."""
    written = time.strftime("%Y-%m-%d at %H:%M %z")
    return (
        f"Written by trainctl {rundir.version()} on {written}. The page is complete: it loads nothing from elsewhere."
    )
