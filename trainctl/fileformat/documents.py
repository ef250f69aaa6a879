"""A directory of texts -> a table of texts and classes. Imports no torch.

Two layouts: a ``.txt`` file for each class, with a text in each line; or a folder for each class, with a text in each file,
as in :mod:`trainctl.fileformat.class_folders`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from trainctl.errors import DataError
from trainctl.fileformat.charset import decode
from trainctl.fileformat.class_folders import NO_NAME, Layout, read_class_folders
from trainctl.fileformat.damage import Damage
from trainctl.fileformat.decompress import read_unpacked
from trainctl.fileformat.table import Table
from trainctl.fileformat.walk import find, ignored, subfolders

SUFFIX = ".txt"
COLUMNS = ["text", "class"]


@dataclass(frozen=True)
class Documents:
    """The texts of a directory.

    Args:
        table: With the columns ``text`` and ``class``; its lines are those of the files.
        val: How many of the rows are for validation.
        test: How many are for test, at the end.
        whole_files: Whether each file is one text.
        layout: How they were found, for the block at the start.
        notes: What was not used, a line each.
    """

    table: Table
    val: int
    test: int
    whole_files: bool
    layout: str
    notes: tuple[str, ...]


def read_documents(
    root: Path,
    lines: Callable[[str], list[str]],
    *,
    splits: str,
    drop: Sequence[str],
    damaged: str,
    encoding: str,
    class_names: tuple[str, ...] | None,
    unlabeled: bool = False,
) -> Documents:
    """Read the texts of a directory, in the layout that it has.

    It has a folder for each class if at least two folders contain texts, or one that is called ``train``.

    Args:
        root: The directory.
        lines: Splits the content of a file into lines.
        splits: Whether folders called train, val and test are splits; see :mod:`trainctl.fileformat.class_folders`.
        drop: Names of folders to ignore.
        damaged: ``error`` or ``skip``: files that cannot be read, or contain no text.
        encoding: Of the characters, one of :data:`trainctl.fileformat.charset.ENCODINGS`.
        class_names: The classes of a finished run; None for a new run.
        unlabeled: Whether the texts of a folder or file called ``unlabeled`` have no class; if not, that is a class.

    Raises:
        DataError: If it has neither layout, or a file is damaged.
    """
    folders = [path for path in subfolders(root) if path.name not in drop]
    filled = [path for path in folders if find(path, (SUFFIX,)).files]
    suffixes: tuple[str, ...] | None = (SUFFIX,)
    files = [path for path in find(root, suffixes, deep=False).files if not ignored(path.name)]
    if not filled and not files:
        suffixes = None
        filled = [path for path in folders if find(path, None).files]
    if len(filled) >= 2 or (filled and not files):
        layout = Layout("texts", suffixes, splits, drop, class_names, unlabeled=unlabeled)
        return _a_file_each(root, layout, damaged, encoding)
    notes = [
        f"{path.name}: its texts are not used, because the .txt files next to it are the classes" for path in filled
    ]
    layout = Layout("texts", suffixes, splits, drop, class_names, unlabeled=unlabeled)
    return _a_line_each(root, files, lines, layout, damaged, encoding, notes)


def _a_file_each(root: Path, layout: Layout, damaged: str, encoding: str) -> Documents:
    """Read a directory with a folder for each class."""
    found = read_class_folders(root, layout)
    damage = Damage(f"{root}", "texts", damaged)
    train = len(found.files) - found.val - found.test
    counts = [0, 0, 0]  # rows for training, validation and test
    rows = []
    for index, (file, name) in enumerate(zip(found.files, found.classes, strict=True)):
        with damage.counted():
            if not (text := read_document(file, encoding).strip()):
                raise DataError(f"{file}: contains no text")
            rows.append([text, name])
            counts[0 if index < train else 1 if index < train + found.val else 2] += 1
    damage.check(len(found.files))
    if layout.class_names is None and (empty := set(found.names) - {name for _, name in rows}):
        raise DataError(f"{root}: class {min(empty)} has no text that can be read")
    folders = "train, val and test are splits" if found.has_splits else "each folder is a class"
    return Documents(
        table=Table(root, COLUMNS, rows, [1] * len(rows)),
        val=counts[1],
        test=counts[2],
        whole_files=True,
        layout=f"files with one text each, {folders} (dataset.splits)",
        notes=(*found.notes, *damage.notes),
    )


def _a_line_each(
    root: Path,
    files: Sequence[Path],
    lines: Callable[[str], list[str]],
    layout: Layout,
    damaged: str,
    encoding: str,
    notes: Sequence[str],
) -> Documents:
    """Read a directory with a file for each class."""
    class_names = layout.class_names
    if len([file for file in files if not layout.has_no_class(file.stem)]) < 2:
        raise DataError(
            f"{root}: needs at least two classes, each a .txt file with a text in each line, or a folder with a text in"
            f" each file; contains {len(files)}"
        )
    damage = Damage(f"{root}", "files", damaged)
    rows: list[list[str]] = []
    numbers: list[int] = []
    for file in files:
        name = NO_NAME if layout.has_no_class(file.stem) else file.stem
        if class_names is not None and name and name not in class_names:
            raise DataError(f"{file}: its name is not one of the run's classes ({', '.join(class_names[:20])})")
        with damage.counted():
            numbered = [
                (number, line.strip())
                for number, line in enumerate(lines(read_document(file, encoding)), 1)
                if line.strip()
            ]
            if not numbered:
                raise DataError(f"{file}: contains no text")
            rows += [[line, name] for _, line in numbered]
            numbers += [number for number, _ in numbered]
    damage.check(len(files))
    found = f"{len(files):,} .txt files, each a class with a text in each line"
    return Documents(Table(root, COLUMNS, rows, numbers), 0, 0, False, found, (*notes, *damage.notes))


def read_document(path: Path, encoding: str = "auto") -> str:
    """Return the characters of a text file, which may be packed.

    Raises:
        DataError: If it cannot be read, or is in another encoding; with the line.
    """
    return decode(read_unpacked(path, "cannot be read"), path, encoding, "cannot be read")
