"""Texts become tokens, tokens ids."""

from trainctl.fileformat.tokens import ids, split, vocabulary


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
