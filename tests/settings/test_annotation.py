"""An annotation is read from its text, however it is spelt; one that cannot be understood is an error that names it."""

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, Optional, Union, get_args, get_origin, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.soak import generated
from trainctl import cli
from trainctl.errors import ConfigError
from trainctl.settings import component, schema

Rate = Annotated[float, "(0, inf)"]
Read = Callable[..., Any]
Say = Callable[..., tuple[int, str]]


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """Return a package with aliases in a base.py, in a module of its own, and behind its __init__.py."""
    files = {
        "__init__.py": "from .kinds import Share as Part\n",
        "kinds.py": 'import typing\nShare = typing.Annotated[float, "[0, 1]"]\nLoop = Endless\nEndless = Loop\n',
        "optimizer/__init__.py": "",
        "optimizer/base.py": 'from typing import Annotated\nfrom ..kinds import Share\nRate = Annotated[float, "(0, inf)"]\n',
    }
    for name, text in files.items():
        path = tmp_path / "annotated_package" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "annotated_package"


@pytest.fixture
def read(package: Path) -> Read:
    """Return a function that reads the annotation of `lr` in a component whose module begins with some lines."""

    def function(annotation: str, head: str = "") -> Any:
        path = package / "optimizer" / f"own_{abs(hash((annotation, head)))}.py"
        path.write_text(f"{head}\ndef {path.stem}(*, params, lr{annotation and ': '}{annotation}): ...\n")
        return component.signature(path).parameters["lr"]

    return function


UNDERSTOOD = [
    ("from typing import Annotated", 'Annotated[float, "(0, inf)"]', Rate),
    ("import typing", 'typing.Annotated[float, "(0, inf)"]', Rate),
    ("import typing as t", 't.Annotated[float, "(0, inf)"]', Rate),
    ("from typing import Annotated as A", 'A[float, "(0, inf)"]', Rate),
    ("from typing_extensions import Annotated", 'Annotated[float, "(0, inf)"]', Rate),
    ("from __future__ import annotations\nimport typing as t", 't.Annotated[float, "(0, inf)"] | None', Rate | None),
    ("try:\n    from typing import Annotated\nexcept ImportError:\n    from typing_extensions import Annotated",
     'Annotated[float, "(0, inf)"]', Rate),
    ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from typing import Optional", "Optional[int]", int | None),
    ("from typing import Annotated", "'Annotated[float, \"(0, inf)\"]'", Rate),
    ("", "'float | None'", float | None),
    ("", "None | float", None | float),
    ("from typing import Optional, Union", "Optional[Union[int, str]]", Optional[Union[int, str]]),  # noqa: UP007, UP045
    ("from typing import Annotated", 'Annotated[int | None, "[1, inf)"]', Annotated[int, "[1, inf)"] | None),
    ("from typing import Annotated", 'Annotated[str, "re:a+", "only a"]', Annotated[str, "re:a+", "only a"]),
    ("import sys\nif sys.x == 0:\n    A = 0\n" + "elif sys.x:\n    A = 1\n" * 90 + "else:\n    Own = int", "Own", int),
    ("from typing import Annotated\nPOSITIVE = '(0, inf)'", "Annotated[float, POSITIVE]", Rate),
    ("from typing import Annotated\nMine = Annotated[float, '(0, inf)']", "Mine", Rate),
    ("from typing import Annotated\nMine = Annotated[float, '(0, inf)']\nYours = Mine | None", "list[Yours]", list[Rate | None]),
    ("from typing import Annotated, TypeAlias\nMine: TypeAlias = Annotated[float, '(0, inf)']", "Mine", Rate),
    ("import typing\nMaybe = typing.Optional", "Maybe[int]", int | None),
    ("", "Rate", Rate),  # of base.py
    ("from annotated_package.optimizer.base import Rate", "Rate", Rate),
    ("from .base import Rate as R", "R", Rate),
    ("from . import base", "base.Rate", Rate),
    ("from .base import *", "Share", Annotated[float, "[0, 1]"]),
    ("from ..kinds import Share", "Share", Annotated[float, "[0, 1]"]),
    ("from annotated_package.kinds import Share", "Share", Annotated[float, "[0, 1]"]),
    ("import annotated_package.kinds", "annotated_package.kinds.Share", Annotated[float, "[0, 1]"]),
    ("import annotated_package.kinds as k", "k.Share", Annotated[float, "[0, 1]"]),
    ("from annotated_package import Part", "Part", Annotated[float, "[0, 1]"]),
    ("from trainctl.components.optimizer.base import Fraction", "Fraction", Annotated[float, "[0, 1)"]),
    ("", "list[int]", list[int]),
    ("", "list", list),
    ("from typing import List, Dict, Tuple", "List[Dict[str, Tuple[int, ...]]]", list[dict[str, tuple[int, ...]]]),
    ("from typing import Sequence, Mapping", "Mapping[str, Sequence[int]]", dict[str, list[int]]),
    ("from collections.abc import Sequence", "Sequence[int]", list[int]),
    ("from collections import abc", "abc.Mapping[str, int]", dict[str, int]),
    ("import collections.abc", "collections.abc.Sequence[int]", list[int]),
    ("", "tuple[int, str]", tuple[int, str]),
    ("", "tuple[float, ...]", tuple[float, ...]),
    ("from typing import Any", "Any", Any),
    ("import builtins", "builtins.int", int),
    ("from typing import Literal", 'Literal["a", -1, True, None]', Literal["a", -1, True, None]),
]  # fmt: skip


@pytest.mark.parametrize(("head", "annotation", "kind"), UNDERSTOOD, ids=[f"{row[0]}; {row[1]}" for row in UNDERSTOOD])
def test_every_common_spelling_of_a_type_is_understood(read: Read, head: str, annotation: str, kind: Any) -> None:
    assert read(annotation, head) == kind


@pytest.mark.skipif(sys.version_info < (3, 12), reason="a statement of Python 3.12")
def test_a_type_statement_is_understood(read: Read) -> None:
    assert read("Mine", "type Mine = list[int]") == list[int]


MISUNDERSTOOD = [
    ("", "", "has no annotation: write the type of the setting, e.g. lr: float, or lr: Any"),
    ("class Kind: ...", "Kind", "Kind is not defined, or not an alias of a type"),
    ("import torch", "torch.Tensor", "torch.Tensor is not a type that a setting can have"),
    ("from numpy import float64", "float64", "numpy.float64 is not a type that a setting can have"),
    ("", "Missing", "Missing is not defined, or not an alias of a type"),
    ("", "complex", "complex is not a type that a setting can have"),
    ("from pathlib import Path", "Path", "pathlib.Path is not a type"),
    ("from collections.abc import Callable", "Callable[[int], float]", "collections.abc.Callable is not a type"),
    ("from typing import TypeVar\nT = TypeVar('T')", "T", "TypeVar('T') is not a type"),
    ("", "float()", "float() is not a type"),
    ("", "__import__('os').system('touch harm')", "is not a type that a setting can have"),
    ("", "'float +'", "not an expression"),
    ("", "3", "3 is not a type"),
    ("", "int + None", "int + None is not a type"),
    ("", "list[int, str]", "list does not take these arguments"),
    ("", "dict[str]", "dict does not take these arguments"),
    ("from typing import Optional", "Optional", "Optional needs arguments in brackets"),
    ("from typing import Annotated", "Annotated[float]", "Annotated takes a type, a constraint"),
    ("from typing import Annotated", "Annotated[float, 3]", "3 is not a string, as a constraint must be"),
    ("from typing import Annotated", 'Annotated[float, f"{1}"]', "is not a string, as a constraint must be"),
    ("from typing import Annotated", 'Annotated[int, "1..3"]', "'1..3' is not an interval such as '[0, 1)'"),
    ("from typing import Annotated", 'Annotated[int, "[3, 1]"]', "'[3, 1]' is not an interval"),
    ("from typing import Annotated", 'Annotated[int, "[a, b]"]', "'[a, b]' is not an interval"),
    ("from typing import Annotated", 'Annotated[int, "[nan, 1]"]', "is not an interval"),
    ("from typing import Annotated", 'Annotated[str, "re:("]', "'re:(' is not a regular expression"),
    ("from typing import Annotated", 'Annotated[str, "[0, 1]"]', "'[0, 1]' constrains int and float only"),
    ("from typing import Annotated", 'Annotated[int, "path"]', "'path' constrains str only"),
    ("from typing import Annotated", 'Annotated[list[int], "[0, 1]"]', "constrains int and float only"),
    ("from typing import Annotated", 'Annotated[Annotated[int, "[0, 9]"], "[1, 2]"]', "constrains int and float only"),
    ("from typing import Literal", "Literal[int]", "int is not a constant, as Literal needs"),
    ("from typing import Literal", "Literal[0.5]", "0.5 is not a string, a whole number"),
    ("from annotated_package.kinds import Loop", "Loop", "refers to itself"),
    ("Mine = list['Mine']", "Mine", "refers to itself"),
    ("", "int" + " | int" * 400, "nested too deeply"),
    ("", "list[" * 60 + "int" + "]" * 60, "nested too deeply"),
    ("import a", "a" + ".b" * 500, "it is not a name"),
]


@pytest.mark.parametrize(
    ("head", "annotation", "why"), MISUNDERSTOOD, ids=[f"{row[0]}; {row[1]}"[:60] for row in MISUNDERSTOOD]
)
def test_what_is_not_understood_is_an_error_that_names_file_line_and_parameter(
    read: Read, package: Path, head: str, annotation: str, why: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        read(annotation, head)
    message = str(caught.value)
    line = head.count("\n") + 2
    assert message.startswith(f"{package}/optimizer/own_")
    assert f".py, line {line}: parameter lr: " in message
    assert why in message
    assert "\n" not in message
    assert not Path("harm").exists()


def test_all_parameters_that_are_not_understood_are_named_at_once(package: Path) -> None:
    path = package / "optimizer" / "two.py"
    path.write_text("def two(*, params: Unknown, lr: Missing,\n        beta,\n        good: int): ...\n")
    with pytest.raises(ConfigError) as caught:
        component.signature(path)
    first, second = str(caught.value).split("\n")
    assert (
        "two.py, line 1: parameter lr: the annotation is not understood: Missing is not defined, or not an alias"
        in first
    )
    assert "two.py, line 2: parameter beta: has no annotation" in second
    problems = component.problems("optimizer", "optimizer", {"name": "two"}, ["annotated_package"])
    assert [line.partition(": parameter")[0] for line in problems] == [
        f"{path}, line {number}" for number in (1, 2)
    ]  # fmt: skip


@pytest.fixture
def say(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Say:
    def run(*typed: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["trainctl", *typed])
        return cli.main(), capsys.readouterr().err

    return run


HALVING = """
import typing

def halving(*, every_steps: {}):
    return lambda step: 0.5 ** (step // every_steps)
"""


@pytest.mark.parametrize(
    ("annotation", "message"),
    [
        ('typing.Annotated[int, "[1, inf)"]', "schedule.every_steps=banana: expected a whole number in [1, inf)"),
        (
            "Unknown",
            "annotated_package/schedule/halving.py, line 4: parameter every_steps: the annotation is not understood",
        ),
    ],
)
def test_no_spelling_of_a_users_annotation_lets_every_value_pass(
    say: Say, tmp_path: Path, annotation: str, message: str
) -> None:
    for name, text in {
        "annotated_package/__init__.py": "", "annotated_package/schedule/halving.py": HALVING.format(annotation),
        "conf/schedule/halving.yaml": "name: halving\nevery_steps: 500\n",
    }.items():  # fmt: skip
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    code, err = say("components=[annotated_package]", "schedule=halving", "schedule.every_steps=banana", "--cfg", "job")
    assert code == 2
    assert err.count("\n") == 1
    assert message in err


@pytest.mark.soak
def test_python_agrees(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Whatever types are combined, in whatever spelling: what is read is what Python evaluates."""
    folder = tmp_path_factory.mktemp("python") / "loss"
    folder.mkdir()
    leaves = st.sampled_from(
        ["int", "float", "bool", "str", "None", "Any", "t.Any", "Rate", "Alias", "'Rate'", 'Literal["a", 2]', "list", "dict",
         'A[int, "[1, 9]"]', 't.Annotated[float, "(0, 1)"]', 't.Literal["x"]']
    )  # fmt: skip

    def grow(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        unquoted = inner.filter(lambda text: not text.startswith("'"))
        return st.one_of(
            inner.map("list[{}]".format), inner.map("t.List[{}]".format), inner.map("Optional[{}]".format),
            st.tuples(inner, inner).map(lambda pair: f"t.Union[{pair[0]}, {pair[1]}]"),
            st.tuples(unquoted, unquoted).map(lambda pair: f"({pair[0]}) | ({pair[1]})"),
            inner.map("dict[str, {}]".format), inner.map("tuple[{}, ...]".format),
            st.tuples(inner, inner).map(lambda pair: f"tuple[{pair[0]}, {pair[1]}]"),
        )  # fmt: skip

    head = (
        "import typing as t\nfrom typing import Any, Annotated as A, Literal, Optional\n"
        'Rate = A[float, "(0, inf)"]\nAlias: t.TypeAlias = "list[Rate]"\n'
    )

    @generated(150)
    @given(st.recursive(leaves, grow, max_leaves=6))
    def check(annotation: str) -> None:
        name = f"own_{abs(hash(annotation))}"
        path = folder / f"{name}.py"
        path.write_text(f"{head}def {name}(*, x: {annotation}): ...\n")
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec
        assert spec.loader
        module = importlib.util.module_from_spec(spec)
        try:
            spec.loader.exec_module(module)
            expected = get_type_hints(getattr(module, name), include_extras=True)["x"]
        except TypeError:  # such as None | None, which Python does not add
            return
        kind = component.signature(path).parameters["x"]
        assert without_references(kind, {}) == without_references(expected, vars(module))

    check()


def without_references(kind: Any, names: dict[str, Any]) -> Any:
    """Return a type with the names in quotes resolved, which Python leaves in the built-in generics."""
    if isinstance(kind, str):
        return without_references(eval(kind, names), names)
    if getattr(kind, "__forward_arg__", None):
        return without_references(kind.__forward_arg__, names)
    origin, arguments = get_origin(kind), get_args(kind)
    if kind is type(None):
        return None
    if origin is None or origin in (Annotated, Literal):
        return kind
    inner = tuple(each if each is Ellipsis else without_references(each, names) for each in arguments)
    return Union[inner] if not isinstance(origin, type) or origin.__name__ == "UnionType" else origin[inner]  # noqa: UP007


@pytest.mark.parametrize(
    ("kind", "fitting", "others", "words"),
    [
        (
            tuple[int, str],
            [[1, "a"]],
            [[1], ["a", 1], [1, "a", 2], [], 1],
            "a list of 2 items: a whole number, a string",
        ),
        (dict[str, int], [{}, {"a": 1}], [{"a": "b"}, {1: 1}, []], "a mapping, each value a whole number"),
        (Annotated[int, "[1, 9]", object()], [1], [0], "a whole number in [1, 9]"),
        (Annotated[bool, object()], [True], [1], "true or false"),
        (Literal["a", None], ["a", None], ["b"], "a or null"),
    ],
)
def test_what_is_understood_is_checked_and_described(kind: Any, fitting: list, others: list, words: str) -> None:
    assert all(schema.fits(value, kind) for value in fitting)
    assert not any(schema.fits(value, kind) for value in others)
    assert schema.phrase(kind) == words


def test_every_component_of_ours_is_understood() -> None:
    paths = [component.source(group, name) for group in component.GROUPS for name in component.names(group)]
    assert len(paths) > 80
    for path in paths:
        assert path
        for kind in component.signature(path).parameters.values():
            assert schema.phrase(kind)
