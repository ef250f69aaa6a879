"""Show what a data set contains, as a run would read it.

    trainctl inspect [FILE] [dataset settings] [split settings] [format=text|json] [output=FILE.png]

FILE is a table, an array file, or a directory of images or texts, as in `trainctl FILE`; a data set can also be
selected with dataset=NAME. Prints the rows and their splits; each column with its kind, range, missing share and
categories; the classes with their numbers of rows; what is not used and why; columns that look like identifiers or give
the target away; and equal rows in several splits. Of images it prints the sizes and modes, and the files that cannot be
read. Without an obvious target, all columns are inputs. Trains nothing, and writes no file except the picture of a few
rows that output= names, which must not exist yet.

    trainctl inspect penguins.csv
    trainctl inspect photos/ output=photos.png      a picture of a few rows, with their classes
    trainctl inspect photos/ dataset.size=32
    trainctl inspect dataset=iris format=json
"""

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from trainctl.command import arguments, launching, option_values
from trainctl.errors import ConfigError
from trainctl.report import about, table
from trainctl.settings import from_file, project

if TYPE_CHECKING:
    launching.import_torch()
    from trainctl.measure.inspection import Inspection

OPTIONS = {"format": "text", "output": ""}
WITHOUT_TARGET = "which column is to be predicted?"


def main(argv: Sequence[str]) -> int:
    """Read the data set and print what it contains; return the exit code."""
    path = next((word for word in argv if "=" not in word and not word.startswith("-")), "")
    parsed = arguments.parse(from_file.in_full(path, argv), OPTIONS, most_names=1, overrides=True, composes=True)
    form = option_values.choice("format", parsed.options["format"], ("text", "json"))
    output = option_values.new_picture("output", parsed.options["output"])
    words: list[str] = list(parsed.overrides)
    reasons: tuple[str, ...] = ()
    if parsed.names:
        found = _from_file(parsed.names[0], words)
        words, reasons = [*found.words, *words], found.reasons
    checked = project.composed(words, parsed.config_dir)[0]
    launching.import_torch()
    from trainctl.measure.inspection import inspect

    inspection = inspect(checked)
    if output:
        from trainctl.measure import rows_picture

        rows_picture.draw(inspection.dataset, output, about.data_name(checked.parts["dataset"]))
    if form == "json":
        table.json({"words": words, "reasons": list(reasons)} | _plain(inspection))
        return 0
    for reason in reasons:
        table.line(f"{parsed.names[0]}: {reason}")
    show(inspection)
    if output:
        table.line(f"picture  {output}")
    return 0


def _from_file(path: str, typed: list[str]) -> from_file.FromFile:
    """Return the words for a file; without a target if that is not plain.

    Raises:
        ConfigError: If nothing can be read from it.
    """
    try:
        return from_file.expanded(path, typed)
    except ConfigError as error:
        if WITHOUT_TARGET not in str(error):
            raise
        note = "no target: it is not clear which column to predict; name it with dataset.target=COLUMN"
        found = from_file.expanded(path, [*typed, "dataset.target=null"])
        return from_file.FromFile([*found.words, "dataset.target=null"], (*found.reasons, note))


def show(found: "Inspection") -> None:
    """Print an inspection."""
    shape = "x".join(map(str, found.schema.input_shape))
    splits = ", ".join(f"{count:,} {name}" for name, count in found.splits.items())
    lines = [("rows", f"{found.rows:,} of shape {shape} ({found.dtype}): {splits}"), *found.inferred]
    width = max(len(label) for label, _ in lines)
    for label, text in lines:
        table.line(f"{label:{width}}  {text}")
    if found.columns:
        table.line()
        rows = [
            [each.name, each.kind, f"{each.missing:.1%}" if each.missing else "-", f"{each.distinct:,}", each.text]
            for each in found.columns
        ]
        table.show(["column", "kind", "missing", "distinct", "values"], rows, right={"missing", "distinct"})
    if found.classes:
        table.line()
        total = sum(found.classes.values())
        rows = [[name, f"{count:,}", f"{count / max(total, 1):.1%}"] for name, count in found.classes.items()]
        table.show(["class", "rows", "share"], rows, right={"rows", "share"})
    more = [("target", f"{name}: {text}") for name, text in found.targets.items()]
    more += [("damaged", line) for line in found.damaged] + [("note", note) for note in found.notes]
    if more:
        table.line()
    for label, text in more:
        table.line(f"{label:7}  {text}")


def _plain(found: "Inspection") -> dict[str, object]:
    """Return an inspection as plain values for JSON."""
    return {
        "rows": found.rows,
        "shape": list(found.schema.input_shape),
        "dtype": found.dtype,
        "task": found.schema.task,
        "splits": found.splits,
        "columns": [asdict(column) for column in found.columns],
        "classes": found.classes,
        "targets": found.targets,
        "inferred": [list(line) for line in found.inferred],
        "notes": list(found.notes),
        "damaged": list(found.damaged),
    }
