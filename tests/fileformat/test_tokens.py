"""Texts become tokens, tokens ids."""

import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.soak import generated
from trainctl.fileformat.tokens import FORMS, ids, split, vocabulary


def test_words_and_signs_are_tokens_of_their_own():
    assert split("Größe: 3 m.", "words", lowercase=False) == ["Größe", ":", "3", "m", "."]
    assert split("Ab c", "characters", lowercase=True) == ["a", "b", " ", "c"]


def test_the_vocabulary_stands_by_frequency_and_is_limited():
    texts = [["a", "b", "b"], ["c", "b", "a"]]
    assert vocabulary(texts, None, 1) == ("<pad>", "<unknown>", "b", "a", "c")
    assert vocabulary(texts, 3, 1) == ("<pad>", "<unknown>", "b")
    assert vocabulary(texts, None, 2) == ("<pad>", "<unknown>", "b", "a")


def test_a_text_that_names_a_special_token_does_not_double_it():
    assert vocabulary([["<pad>", "x"]], None, 1) == ("<pad>", "<unknown>", "x")


def test_texts_are_cut_and_padded_and_unknown_tokens_are_one():
    known = {"<pad>": 0, "<unknown>": 1, "a": 2}
    assert ids(["a", "z", "a"], known, 2).tolist() == [2, 1]
    assert ids(["a"], known, 3).tolist() == [2, 0, 0]


# A text, and its words.
SCRIPTS = {
    "Hindi": ("\u0939\u093f\u0928\u094d\u0926\u0940 \u092b\u093f\u0932\u094d\u092e!", 3),
    "decomposed": ("e\u0301te\u0301, ete", 3),
    "joined letters": ("\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645", 1),
    "Thai": ("\u0e19\u0e49\u0e33", 1),
    "Tamil": ("\u0ba4\u0bae\u0bbf\u0bb4\u0bcd", 1),
    "Hebrew points": ("\u05e9\u05b8\u05c1\u05dc\u05d5\u05b9\u05dd", 1),
    "a family": ("\U0001f469\u200d\U0001f469\u200d\U0001f467 \u2764\ufe0f", 2),
    "skin tones": ("\U0001f44d\U0001f3fd\U0001f44d", 2),
    "flags": ("\U0001f1e9\U0001f1ea\U0001f1eb\U0001f1f7", 2),
    "a mark alone": ("\u0301 a", 2),
    "after a letter": ("ok\U0001f44d", 2),
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_words_and_emoji_keep_what_belongs_to_them(name):
    text, count = SCRIPTS[name]
    found = split(text, "words", lowercase=True)
    assert len(found) == count
    assert "".join(found) == unicodedata.normalize("NFC", text).replace(" ", "")


def test_the_first_versions_runs_read_their_texts_as_before():
    text = "\u0939\u093f Caf\u00e9 e\u0301"
    assert split(text, "words", lowercase=True, normalize="legacy") == ["\u0939", "\u093f", "caf\u00e9", "e", "\u0301"]


@pytest.mark.soak
@generated(150)
@given(st.text(max_size=30), st.sampled_from(FORMS), st.booleans())
@example("\u1e9b\u0323 \ufb01", "nfkc", False)
def test_any_text_is_split_without_loss_and_by_its_characters_alone(text, normalize, lowercase):
    kwargs = {"lowercase": lowercase, "normalize": normalize}
    found = split(text, "words", **kwargs)
    characters = split(text, "characters", **kwargs)
    assert "".join("".join(found).split()) == "".join("".join(characters).split())
    assert not any(any(map(str.isspace, token)) for token in found)
    if normalize in ("nfc", "nfkc"):
        for form in ("NFC", "NFD"):
            assert lowercase or split(unicodedata.normalize(form, text), "words", **kwargs) == found
