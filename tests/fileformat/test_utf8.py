"""Texts in UTF-8: their lines, and the line of what is wrong."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.soak import generated
from trainctl.errors import DataError
from trainctl.fileformat.utf8 import lines, read_text

ENDS = ["\n", "\r\n", "\r"]
WITHIN = "ab \t\u2028\u2029\x85\x0b\x0c\x1c\x1d\x1e\u0301\U0001f600\u05d0"  # no editor ends a line here


@pytest.mark.soak
@generated(150)
@given(st.lists(st.text(WITHIN, max_size=5), max_size=8), st.lists(st.sampled_from(ENDS), min_size=9, max_size=9))
def test_lines_end_where_editors_end_them(parts, ends):
    # "\r" before an empty line that ends in "\n" would be one end, not two
    ends = ["\n" if end == "\r" else end for end in ends] if "" in parts else ends
    text = "".join(part + end for part, end in zip(parts, ends, strict=False))
    assert lines(text) == parts
    assert lines(text + "last") == [*parts, "last"]


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize(("wrong", "message"), [(b"\xff", "byte 0xff is not UTF-8"), (b"\0", "NUL byte")])
def test_the_line_of_what_is_wrong_is_that_of_an_editor(tmp_path, end, wrong, message):
    (tmp_path / "a.txt").write_bytes(f"one\u2028{end}two{end}{end}".encode() + wrong)
    with pytest.raises(DataError, match=rf"a\.txt, line 4: .*{message}"):
        read_text(tmp_path / "a.txt")
