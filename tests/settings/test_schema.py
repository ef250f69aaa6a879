"""Plain values are checked against annotations: types, intervals, patterns, and the words for them."""

import math
from typing import Annotated, Any, Literal

import pytest

from trainctl.settings import schema

Share = Annotated[float, "[0, 1)"]
Rate = Annotated[float, "(0, inf)"]
Count = Annotated[int, "[1, 3]"]
Name = Annotated[str, r"re:cuda(:\d+)?"]

FITTING = [
    (1, int, "a whole number"),
    (-1, int, "no interval, no limit"),
    (1, float, "a whole number is a number"),
    (0.5, float, "a number"),
    (True, bool, "true"),
    ("", str, "an empty text is a text"),
    (None, None, "null"),
    ({}, dict, "an empty mapping"),
    (object(), Any, "anything"),
    (0, Share, "a closed end"),
    (0.999, Share, "inside"),
    (5e-324, Rate, "just inside an open end"),
    (1e308, Rate, "an infinite end stands open"),
    (1, Count, "closed below"),
    (3, Count, "closed above"),
    ("full", Literal["full", 1], "one of the options"),
    (1, Literal["full", 1], "an option may be a number"),
    ([], list[int], "an empty list"),
    ([1, 2], list[int], "every item fits"),
    ([0.5], tuple[Share, ...], "YAML has lists only"),
    ([[1], [2]], list[list[int]], "lists of lists"),
    (None, Count | None, "a union's last"),
    (2, Count | None, "a union's first"),
    ("full", Count | Literal["full"], "a union of a type and a word"),
    ("cuda:12", Name, "the whole text matches"),
]
UNFIT = [
    (True, int, "true is no number"),
    (False, float, "false is no number"),
    (1.0, int, "1.0 is not whole"),
    ("1", int, "a text is no number"),
    ("0.1", float, "a text is no number"),
    (1, bool, "1 is not true"),
    (1, str, "a number is no text"),
    (0, None, "0 is not null"),
    (None, int, "null is no number"),
    ([], dict, "a list is no mapping"),
    (math.nan, float, "not a number"),
    (math.inf, float, "not finite"),
    (-math.inf, float, "not finite"),
    (math.nan, Rate, "not a number, even in an interval"),
    (math.inf, Annotated[float, "[0, inf]"], "infinity is never a setting"),
    (1, Share, "an open end above"),
    (-1e-9, Share, "below a closed end"),
    (0, Rate, "an open end below"),
    (0, Count, "one below"),
    (4, Count, "one above"),
    (2.0, Count, "in the interval, of the wrong type"),
    (True, Literal[1], "true equals 1 in Python, not here"),
    (1.0, Literal[1], "1.0 equals 1 in Python, not here"),
    ("Full", Literal["full"], "another case"),
    (5, list[int], "no list"),
    ([1, "2"], list[int], "one item does not fit"),
    ([0], list[Count], "an item out of range"),
    ((1,), list[int], "YAML has no tuples"),
    ({}, list[int], "a mapping is no list"),
    (4, Count | None, "fits neither"),
    ("cuda:", Name, "a part matches"),
    ("xcuda", Name, "the end matches"),
    (3, Name, "a pattern is for texts"),
]


@pytest.mark.parametrize(("value", "annotation", "reason"), FITTING)
def test_a_fitting_value_is_no_problem(value, annotation, reason):
    assert schema.problem(value, annotation) is None, reason


@pytest.mark.parametrize(("value", "annotation", "reason"), UNFIT)
def test_an_unfit_value_is_answered_with_what_is_expected(value, annotation, reason):
    assert schema.problem(value, annotation) == f"expected {schema.phrase(annotation)}", reason


@pytest.mark.parametrize(
    ("annotation", "words"),
    [
        (int, "a whole number"),
        (float, "a number"),
        (bool, "true or false"),
        (str, "a string"),
        (None, "null"),
        (dict, "a mapping"),
        (Any, "anything"),
        (Share, "a number in [0, 1)"),
        (Name, r"a string like cuda(:\d+)?"),
        (Literal["in", "out"], "in or out"),
        (Count | None, "a whole number in [1, 3] or null"),
        (Count | Literal["full"], "a whole number in [1, 3] or full"),
        (list[Count], "a list, each item a whole number in [1, 3]"),
        (tuple[float, ...], "a list, each item a number"),
    ],
)
def test_an_annotation_has_words(annotation, words):
    assert schema.phrase(annotation) == words


def test_a_number_too_large_for_a_float_is_unfit_and_does_not_crash():
    assert not schema.fits(10**400, Rate)


def test_a_constraint_that_is_no_interval_is_our_own_mistake():
    with pytest.raises(AssertionError, match="not an interval"):
        schema.fits(1, Annotated[int, "1..3"])
