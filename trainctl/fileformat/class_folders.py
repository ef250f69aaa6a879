"""A directory with a folder for each class -> its files, the class of each, and the splits. Imports no torch.

Two layouts: ``<root>/<class>/**``, or ``<root>/train/<class>/**`` with validation and test folders next to ``train``.
"""

import unicodedata
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from trainctl.errors import DataError
from trainctl.fileformat.cells import folded
from trainctl.fileformat.walk import Found, describe_others, find, subfolders
from trainctl.wording import amount, closest, typed

SPLITS = (("train", "training"), ("val", "valid", "validation", "dev"), ("test", "testing"))  # in lower case
UNLABELED = ("unlabeled", "unlabelled")  # in lower case: the folder of training files without a class
NO_NAME = ""  # the class of such a file
SHOWN = 20  # class names in a message
NAMED = 5  # files in a message


@dataclass(frozen=True)
class Layout:
    """What to look for.

    Args:
        what: The files, for messages, in the plural: ``images``.
        suffixes: Of these files, in lower case; None: all files.
        splits: ``auto``, ``folders`` (folders called train, val and test are splits) or ``none`` (they are classes).
        drop: Names of folders to ignore.
        class_names: The classes of a finished run; None for a new run, which takes those that it finds.
        hints: What to do about files with other suffixes, in lower case.
        unlabeled: Whether a folder called ``unlabeled`` contains training files without a class; if not, it is a class.
    """

    what: str
    suffixes: Collection[str] | None
    splits: str
    drop: Sequence[str]
    class_names: tuple[str, ...] | None
    hints: Mapping[str, str] = field(default_factory=dict)
    unlabeled: bool = False

    def has_no_class(self, name: str) -> bool:
        """Return whether the files in a folder of this name, or in a file of this name, have no class."""
        return self.unlabeled and name.lower() in UNLABELED


@dataclass(frozen=True)
class ClassFiles:
    """The files of all classes.

    Args:
        files: Of training, those without a class last, then of validation, then of test; each sorted.
        classes: The class of each file; an empty text for files without one.
        names: All classes, sorted.
        val: How many of the files are for validation.
        test: How many are for test, at the end.
        has_splits: Whether the folders are splits.
        notes: What was not used, a line each.
    """

    files: list[Path]
    classes: list[str]
    names: tuple[str, ...]
    val: int
    test: int
    has_splits: bool
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Folder:
    """A directory that is a class, or a split with a folder for each class.

    Args:
        path: The directory.
        whole: All that is in it and below it; where it may be a split, what is in it directly.
        classes: What is in and below each of its subdirectories, if it may be a split.
    """

    path: Path
    whole: Found
    classes: dict[str, Found] = field(default_factory=dict)

    @property
    def filled(self) -> set[str]:
        """Names of the subdirectories that contain files."""
        below = {file.relative_to(self.path).parts for file in self.whole.files}
        return {parts[0] for parts in below if len(parts) > 1} | {
            name for name in self.classes if self.classes[name].files
        }


def read_class_folders(root: Path, layout: Layout) -> ClassFiles:
    """Find the files of each class.

    Raises:
        DataError: If there are fewer than two classes, a class has no files or is not one of the run's, or the names of
            the folders do not tell splits from classes.
    """
    children = [_folder(path, layout) for path in subfolders(root)]
    _check_drop(root, children, layout)
    children = [child for child in children if child.path.name not in layout.drop]
    free = [child.whole for child in children if layout.has_no_class(child.path.name)]
    children = [child for child in children if not layout.has_no_class(child.path.name)]
    parts = [[child for child in children if child.path.name.lower() in names] for names in SPLITS]
    if has_splits := _are_splits(root, parts, children, layout):
        groups = [_united(folders, layout) for folders in parts]
        others = [child for child in children if not any(child in folders for folders in parts)]
    else:
        wholes = [find(child.path, layout.suffixes) if child.classes else child.whole for child in children]
        groups = [{child.path.name: whole for child, whole in zip(children, wholes, strict=True)}, {}, {}]
        others = []
    free += [group.pop(name) for group in groups[:1] for name in [*group] if layout.has_no_class(name)]
    lost = [group.pop(name) for group in groups[1:] for name in [*group] if layout.has_no_class(name)]
    groups, spellings = _in_one_spelling(groups, layout)
    names = _names(root if not has_splits else parts[0][0].path, groups[0], layout)
    pairs = [[(file, name) for name, found in group.items() for file in found.files] for group in groups]
    pairs[0] = sorted(pairs[0]) + [(file, NO_NAME) for file in sorted(file for found in free for file in found.files)]
    files = [*pairs[0], *(pair for split in pairs[1:] for pair in sorted(split))]
    if foreign := [file for file, name in files if name not in (*names, NO_NAME)]:
        raise DataError(f"{foreign[0]}: its folder is not one of the classes ({', '.join(names[:SHOWN])})")
    used = [*free, *(found for group in groups for found in group.values())]
    loose = find(root, layout.suffixes, deep=False)
    unused = [loose, *(child.whole for folders in parts for child in folders if has_splits)]
    return ClassFiles(
        files=[file for file, _ in files],
        classes=[name for _, name in files],
        names=names,
        val=len(pairs[1]),
        test=len(pairs[2]),
        has_splits=has_splits,
        notes=(
            *_unlabeled_notes(free, lost, layout),
            *spellings,
            *_split_notes(root, parts, others, layout, has_splits=has_splits),
            *_file_notes(root, used, unused, layout),
        ),
    )


def _folder(path: Path, layout: Layout) -> Folder:
    if layout.splits == "none" or not any(path.name.lower() in names for names in SPLITS):
        return Folder(path, find(path, layout.suffixes))
    classes = {below.name: find(below, layout.suffixes) for below in subfolders(path)}
    return Folder(path, find(path, layout.suffixes, deep=False), classes)


def _check_drop(root: Path, children: Sequence[Folder], layout: Layout) -> None:
    """Raise DataError for a folder to ignore that does not exist; other data of a finished run may lack it."""
    there = {name for child in children for name in (child.path.name, *child.classes)}
    for name in layout.drop if layout.class_names is None else ():
        if name not in there:
            spelled = {known.lower(): known for known in sorted(there, reverse=True)}
            close = closest(name.lower(), spelled)
            hint = f"; did you mean {spelled[close]}?" if close else ""
            raise DataError(f"{root}: dataset.drop={name}: no such folder{hint}")


def _are_splits(root: Path, parts: list[list[Folder]], children: Sequence[Folder], layout: Layout) -> bool:
    """Return whether the folders called train, val and test are splits rather than classes.

    They are if ``train`` contains folders with files: at least two, or one where nothing but splits is next to it.

    Raises:
        DataError: If they were said to be splits and there is no ``train``, or if nothing but them is there and files lie
            in ``train`` directly, which may mean either.
    """
    train = parts[0]
    if layout.splits == "none":
        return False
    if layout.splits == "folders":
        if not train:
            raise DataError(f"{root}: dataset.splits=folders needs a folder {' or '.join(SPLITS[0])}; there is none")
        return True
    if not train:
        return False
    alone = all(any(child in folders for folders in parts) for child in children)
    filled = {name for folder in train for name in folder.filled}
    if alone and not filled and any(folder.whole.files for folder in train):
        raise DataError(
            f"{train[0].path}: contains {layout.what}, but no folder for each class; make such folders, or, if"
            f" {', '.join(child.path.name for child in children)} are the classes, set dataset.splits=none"
        )
    if alone:
        return bool(filled)
    if len(filled) < 2:
        return False
    siblings = {name for child in children if not any(child in part for part in parts) for name in child.filled}
    return bool(parts[1] or parts[2]) or not siblings & filled  # else nested folders of one kind in every class


def _united(folders: Sequence[Folder], layout: Layout) -> dict[str, Found]:
    """Return the classes of the folders for one split; there may be several, such as ``val`` and ``valid``."""
    united: dict[str, Found] = {}
    for name, found in (item for folder in folders for item in folder.classes.items() if item[0] not in layout.drop):
        united[name] = _sum(united.get(name, Found()), found)
    return united


def _in_one_spelling(groups: Sequence[dict[str, Found]], layout: Layout) -> tuple[list[dict[str, Found]], list[str]]:
    """Return the classes of each split by one name each, and a note for classes that differ in case or spaces only.

    File systems write the accents of the same name in two ways; the class has the one of the run, or of the first split.
    """
    known: dict[str, str] = {}
    for name in [*(layout.class_names or ()), *(name for group in groups for name in sorted(group))]:
        known.setdefault(unicodedata.normalize("NFC", name), name)
    renamed: list[dict[str, Found]] = []
    for group in groups:
        renamed.append({})
        for name, found in group.items():
            canonical = known[unicodedata.normalize("NFC", name)]
            renamed[-1][canonical] = _sum(renamed[-1].get(canonical, Found()), found)
    alike: dict[str, list[str]] = {}
    for name in known.values():
        alike.setdefault(folded(name), []).append(name)
    doubles = [" and ".join(names) for names in alike.values() if len(names) > 1]
    notes = [
        f"the classes {names} differ only in upper and lower case or spaces, but count as different"
        for names in doubles
    ]
    return renamed, notes


def _sum(one: Found, other: Found) -> Found:
    return Found(one.files + other.files, one.others + other.others, one.irregular + other.irregular)


def _names(place: Path, classes: dict[str, Found], layout: Layout) -> tuple[str, ...]:
    """Return the classes: those of a finished run, or all folders.

    Raises:
        DataError: If there are fewer than two, or one has no files or a name that cannot be printed.
    """
    if layout.class_names is None and (empty := [name for name, found in classes.items() if not found.files]):
        raise DataError(
            f"{place / empty[0]}: contains no {layout.what}; each folder is a class: remove it, add its {layout.what},"
            f" or set {typed('dataset.drop', empty)}"
        )
    names = layout.class_names or tuple(sorted(classes))
    if unprintable := [name for name in names if not name.isprintable()]:
        raise DataError(f"{place}: the folder name {unprintable[0]!r} contains characters that cannot be printed")
    if len(names) < 2:
        raise DataError(f"{place}: needs at least two classes, each a folder with {layout.what}; contains {len(names)}")
    return names


def _split_notes(
    root: Path, parts: list[list[Folder]], others: Sequence[Folder], layout: Layout, *, has_splits: bool
) -> list[str]:
    """Return what may have been meant differently: folders next to ``train``, or a class of that name."""
    if layout.splits != "auto" or not parts[0]:
        return []
    named = [folder.path.name for folders in parts for folder in folders]
    if not has_splits:
        what = "is a class, not a split" if len(named) == 1 else "are classes, not splits"
        note = f"{', '.join(named)} in {root.name} {what}, because of the other folders; dataset.splits=folders changes that"
        return [note]
    unused = [(folder.path.name, len(folder.whole.files)) for folder in others]
    return [
        f"{name} next to {parts[0][0].path.name} is not used: {amount(count, layout.what[:-1])}; dataset.splits=none takes every"
        f" folder of {root.name} as a class"
        for name, count in unused
        if count
    ]


def _unlabeled_notes(free: Sequence[Found], lost: Sequence[Found], layout: Layout) -> list[str]:
    """Return how many files have no class, and how many are not used, because only training uses such files."""
    counts, one = [sum(len(found.files) for found in part) for part in (free, lost)], layout.what[:-1]
    notes = [f"{amount(counts[0], one)} without a class, in the folder {UNLABELED[0]}"] if counts[0] else []
    if counts[1]:
        notes.append(f"not used, because they have no class and are not for training: {amount(counts[1], one)}")
    return notes


def _file_notes(root: Path, used: Sequence[Found], unused: Sequence[Found], layout: Layout) -> list[str]:
    """Return which files are not used: of other types, no files, or in no class."""
    notes = []
    if loose := sum(len(found.files) for found in unused):
        first = next(found.files[0] for found in unused if found.files)
        notes.append(
            f"not used, because they are in no class folder: {amount(loose, layout.what[:-1])}, such as {first.relative_to(root)}"
        )
    others: Counter[str] = Counter()
    for found in used:
        others.update(found.others)
    if others:
        hints = {layout.hints[suffix.lower()] for suffix in others if suffix.lower() in layout.hints}
        hint = "".join(f"; {hint}" for hint in sorted(hints))
        notes.append(f"not used, because not {layout.what} that trainctl reads: {describe_others(others)}{hint}")
    if irregular := [path for found in used for path in found.irregular]:
        shown = ", ".join(str(path.relative_to(root)) for path in irregular[:NAMED])
        more = f" and {len(irregular) - NAMED:,} more" if len(irregular) > NAMED else ""
        notes.append(f"not used, because they are broken links or not regular files: {shown}{more}")
    return notes
