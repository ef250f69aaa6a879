"""A directory with a folder for each class: which folders are classes, which are splits, and what is not used."""

import os

import pytest

from tests.soak import cases, seed
from trainctl.errors import DataError
from trainctl.fileformat.class_folders import Layout, read_class_folders
from trainctl.fileformat.walk import find, ignored


def layout(**changed):
    return Layout(
        **{"what": "images", "suffixes": (".png",), "splits": "auto", "drop": [], "class_names": None} | changed
    )


@pytest.fixture
def tree(tmp_path):
    def write(*names):
        for name in names:
            (tmp_path / "root" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "root" / name).write_text("x")
        return tmp_path / "root"

    return write


# The files, the setting of splits, the classes, the rows of the splits, and what a note has to say.
LAYOUTS = {
    "classes": (["a/1.png", "b/1.png"], "auto", ["a", "b"], (2, 0, 0), ""),
    "splits": (["train/a/1.png", "train/b/1.png", "valid/a/1.png", "test/b/1.png"], "auto", ["a", "b"], (2, 1, 1), ""),
    "only train": (["train/a/1.png", "train/b/1.png"], "auto", ["a", "b"], (2, 0, 0), ""),
    "in capitals": (["Train/a/1.png", "Train/b/1.png", "TEST/a/1.png"], "auto", ["a", "b"], (2, 0, 1), ""),
    "other words": (["training/a/1.png", "training/b/1.png", "testing/a/1.png"], "auto", ["a", "b"], (2, 0, 1), ""),
    "two for validation": (["train/a/1.png", "train/b/1.png", "val/a/1.png", "dev/a/1.png"], "auto", ["a", "b"], (2, 2, 0), ""),
    "a class called train": (["train/1.png", "car/1.png", "plane/1.png"], "auto", ["car", "plane", "train"], (3, 0, 0),
                             "train in root is a class, not a split, because of the other folders; dataset.splits=folders"),
    "all called like splits": (["train/1.png", "test/1.png"], "none", ["test", "train"], (2, 0, 0), ""),
    "nested in every class": (["train/x/1.png", "train/y/1.png", "car/x/1.png", "car/y/1.png"], "auto", ["car", "train"], (4, 0, 0),
                              "train in root is a class"),
    "nested, said to be splits": (["train/x/1.png", "train/y/1.png", "car/x/1.png"], "folders", ["x", "y"], (2, 0, 0), ""),
    "a folder next to splits": (["train/a/1.png", "train/b/1.png", "unlabelled/1.png"], "auto", ["a", "b"], (2, 0, 0),
                                "unlabelled next to train is not used: 1 image; dataset.splits=none"),
    "a folder of no images": (["train/a/1.png", "train/b/1.png", "annotations/1.txt"], "auto", ["a", "b"], (2, 0, 0), ""),
    "nested": (["a/1.png", "a/x/2.png", "a/x/y/3.png", "b/x/1.png"], "auto", ["a", "b"], (4, 0, 0), ""),
    "what systems leave": (["a/1.png", "b/1.png", "__MACOSX/a/1.png", "a/@eaDir/1.png", "a/.hidden.png", ".git/1.png"],
                           "auto", ["a", "b"], (2, 0, 0), ""),
}  # fmt: skip


@pytest.mark.parametrize("name", LAYOUTS)
def test_folders_are_classes_or_splits_as_people_mean_them(tree, name):
    files, splits, classes, rows, note = LAYOUTS[name]
    found = read_class_folders(tree(*files), layout(splits=splits))
    assert list(found.names) == classes
    assert (len(found.files) - found.val - found.test, found.val, found.test) == rows
    assert note in " ".join(found.notes)
    assert bool(note) == bool(found.notes)
    assert all(name in file.parts for file, name in zip(found.files, found.classes, strict=True))


@pytest.mark.parametrize(
    ("files", "changed", "message"),
    [
        (["train/1.png", "test/1.png"], {}, r"train: contains images, but no folder for each class; .*test, train.*dataset\.splits=none"),
        (["a/1.png", "b/1.png"], {"splits": "folders"}, "dataset.splits=folders needs a folder train or training"),
        (["a/1.png", "b/1.txt"], {}, r"root/b: contains no images; each folder is a class.*dataset\.drop=\[b\]"),
        (["a/1.png"], {}, "needs at least two classes, each a folder with images; contains 1"),
        (["a/1.png", "b/1.png"], {"drop": ["B"]}, r"dataset\.drop=B: no such folder; did you mean b\?"),
        (["train/a/1.png", "train/b/1.png", "val/c/1.png"], {}, r"val/c/1\.png: its folder is not one of the classes \(a, b\)"),
        (["a\u202e/1.png", "b/1.png"], {}, "contains characters that cannot be printed"),
    ],
)  # fmt: skip
def test_what_cannot_be_told_is_named(tree, files, changed, message):
    with pytest.raises(DataError, match=message):
        read_class_folders(tree(*files), layout(**changed))


def test_a_class_whose_accents_are_written_in_two_ways_is_one(tree):
    root = tree("train/caf\u00e9/1.png", "train/tea/1.png", "val/cafe\u0301/1.png")
    found = read_class_folders(root, layout())
    assert (found.names, found.val, found.classes[-1]) == (("caf\u00e9", "tea"), 1, "caf\u00e9")
    found = read_class_folders(root, layout(class_names=("cafe\u0301", "tea")))
    assert found.classes == ["cafe\u0301", "tea", "cafe\u0301"]


def test_classes_that_look_alike_are_told(tree):
    (note,) = read_class_folders(tree("Cat/1.png", "cat/1.png", "dog/1.png"), layout()).notes
    assert note == "the classes Cat and cat differ only in upper and lower case or spaces, but count as different"


def test_folders_can_be_dropped(tree):
    root = tree("train/pos/1.png", "train/neg/1.png", "train/unsup/1.png", "test/pos/1.png", "extra/1.png")
    assert read_class_folders(root, layout(drop=["unsup", "extra"])).names == ("neg", "pos")
    assert read_class_folders(root, layout(drop=["unsup", "extra"])).notes == ()


def test_links_are_followed_but_not_in_circles(tree, tmp_path):
    root = tree("a/1.png", "b/1.png", "../elsewhere/2.png", "../elsewhere/deep/3.png")
    (root / "a" / "linked").symlink_to(tmp_path / "elsewhere")
    (root / "a" / "again").symlink_to(tmp_path / "elsewhere")
    (root / "a" / "here").symlink_to(".")
    (root / "a" / "up").symlink_to("..")
    (root / "a" / "file.png").symlink_to(tmp_path / "elsewhere" / "2.png")
    (root / "b" / "loop.png").symlink_to("loop.png")
    os.mkfifo(root / "b" / "pipe.png")
    found = read_class_folders(root, layout())
    names = [file.name for file, name in zip(found.files, found.classes, strict=True) if name == "a"]
    assert sorted(names) == ["1.png", "2.png", "3.png", "file.png"]
    assert found.classes.count("b") == 1
    assert "broken links or not regular files: b/loop.png, b/pipe.png" in found.notes[0]
    assert find(root / "a" / "up", (".png",)).files == find(root / "a" / "here", (".png",)).files == []


@pytest.mark.soak
def test_every_file_of_any_tree_is_used_once_or_counted(tmp_path):
    source = seed("trees")
    for trial in range(cases(20)):
        root = tmp_path / str(trial)
        places, wanted, others = [root], set(), 0
        root.mkdir()
        for number in range(source.randint(1, 25)):
            place, name = (
                source.choice(places),
                source.choice(["cat", "x.y", "\u00e9", ".h", "@eaDir", "a b", "__MACOSX"]),
            )
            kind = source.randrange(4)
            hidden = any(ignored(part) for part in place.relative_to(root).parts)
            if kind == 0:
                (place / name).mkdir(exist_ok=True)
                places.append(place / name)
            elif kind == 1:
                (place / f"{number}.link").symlink_to(source.choice(places), target_is_directory=True)
            else:
                suffix = source.choice([".png", ".PNG", ".txt", ""])
                (place / f"{number}{suffix}").write_text("x")
                if not hidden:
                    wanted |= {f"{number}{suffix}"} if suffix.lower() == ".png" else set()
                    others += suffix.lower() != ".png"
        found = find(root, (".png",))
        names = [file.name for file in found.files]
        hidden_by_link = {file.name for file in root.rglob("*") if file.is_file()} - set(names)
        assert len(names) == len(set(names)), trial
        assert wanted <= set(names), (trial, wanted, names)
        assert found.others.total() >= others
        assert not hidden_by_link & wanted


# Files without a class: the files, the number of rows of the splits, how many have no class, and what notes say.
WITHOUT_CLASS = {
    "next to classes": (["a/1.png", "b/1.png", "unlabeled/1.png", "unlabeled/x/2.png"], (4, 0, 0), 2, "2 images without a class"),
    "next to train": (["train/a/1.png", "train/b/1.png", "val/a/1.png", "Unlabelled/1.png"], (3, 1, 0), 1, "1 image without"),
    "in train": (["train/a/1.png", "train/b/1.png", "train/unlabeled/1.png", "test/b/1.png"], (3, 0, 1), 1, "1 image without"),
    "in val": (["train/a/1.png", "train/b/1.png", "val/a/1.png", "val/unlabeled/1.png"], (2, 1, 0), 0,
               "not used, because they have no class and are not for training: 1 image"),
}  # fmt: skip


@pytest.mark.parametrize("name", WITHOUT_CLASS)
def test_a_folder_called_unlabeled_has_training_files_without_a_class(tree, name):
    files, rows, free, note = WITHOUT_CLASS[name]
    found = read_class_folders(tree(*files), layout(unlabeled=True))
    assert found.names == ("a", "b")
    training = len(found.files) - found.val - found.test
    assert (training, found.val, found.test) == rows
    assert found.classes[training - free : training] == [""] * free
    assert found.classes.count("") == free
    assert all(file.parent.name == kind for file, kind in zip(found.files, found.classes, strict=True) if kind)
    assert note in " ".join(found.notes)


def test_without_a_teacher_a_folder_called_unlabeled_is_a_class(tree):
    assert read_class_folders(tree("a/1.png", "unlabeled/1.png"), layout()).names == ("a", "unlabeled")
