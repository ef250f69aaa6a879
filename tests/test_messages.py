"""Every message is in tests/messages.txt, where its wording is reviewed, and is written in plain English."""

import ast
import difflib
import re
from collections.abc import Iterator

import pytest

from tests import messages

# What a native speaker stumbles over, and what to write instead.
UNCLEAR = {
    r"\b(is|are|was|were|be|been|gets?) told\b|\btells? of\b|, which is told": "report",
    r"\bpassed over\b": "skip, ignore",
    r"\bblanks?\b": "space",
    r"\bverbs?\b": "command",
    r"\bkin\b": "such as, -like",
    r"\bbeside\b": "in addition to, besides, next to",
    r"\bstands?\b(?! for)": "is",
    r"\bgo(es|ing)? on\b": "continue",
    r"\bthrow(s|n)? away\b": "discard",
    r"\bthere already\b": "already exists",
    r"\bbe made\b": "create",
    r"\basked for\b": "request, need",
    r"\bis there twice\b": "duplicate",
    r"\bone class only\b": "has only one class",
    r"\bis none of\b": "is not one of",
    r"\bsuch flag\b": "unknown flag",
    r"\bneed be\b": "if necessary",
    r"\bis spent\b": "reached",
    r"\bzero bytes\b": "NUL bytes",
    r"^(Say|Tell) (how|in|of|what|whether|which|who|why)\b": "Return whether ...",
    r"^(Begin|Nothing)\.$": "say what it does, or delete the docstring",
}
PATTERNS = {re.compile(pattern): better for pattern, better in UNCLEAR.items()}
PAGES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "conf/**/*.yaml", "recipes/*.yaml")


def test_the_catalogue_of_messages_is_fresh():
    old, new = messages.CATALOGUE.read_text(encoding="utf-8"), messages.written()
    if old != new:
        lines = difflib.unified_diff(old.splitlines(), new.splitlines(), n=0, lineterm="")
        changes = "\n".join(line for line in lines if not line.startswith(("---", "+++", "@@")))
        pytest.fail(f"tests/messages.txt is stale; review these messages, then run: make messages\n{changes}")


def test_the_catalogue_has_messages_of_every_kind():
    found = dict(messages.catalogue())
    assert len(found) > 40
    assert "{argument}: no such option{nearest(key, defaults)}" in found["trainctl/command/arguments.py"]  # raised
    assert any(text.startswith("init=zeros keeps") for text in found["trainctl/components/init/zeros.py"])  # warned
    assert "{name}: cannot be read" not in found["trainctl/report/table.py"]
    assert "clipped {count} outlier(s) ({rule}): {...}" in found["trainctl/components/clean/base.py"]  # kept in a list


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("raise DataError(f'{path}: empty')", ["{path}: empty"]),
        ("return DataError('the ' + f'{name} is empty' + more)", ["the {name} is empty{more}"]),
        ("warnings.warn('Slow', Advice, stacklevel=2)", ["Slow"]),
        ("warnings.warn('Slow', UserWarning)", []),
        ('reporter.note(f\'{count} rows{" left" if more else ""}\')', ["{count} rows{...}"]),
        ("yield 'no such run'", ["no such run"]),
        ("hint = f'; in {len(rows)} rows' if rows else ''", ["; in {len(rows)} rows"]),
        ("def f(x: 'two words'):\n    '''Do it well.'''\n    re.match('two words', x)", []),
        ("key = 'optimizer.lr'", []),
    ],
)
def test_messages_are_found_where_they_are_raised_noted_returned_or_kept(source, expected):
    visitor = messages.Messages({"DataError"})
    visitor.visit(ast.parse(source))
    assert sorted(visitor.texts) == expected


def texts() -> Iterator[tuple[str, str]]:
    """Yield the name of each file with each of its messages, docstrings, or lines of prose."""
    errors = messages.error_classes()
    for path in messages.modules():
        name = path.relative_to(messages.ROOT / "trainctl").as_posix()
        for text in messages.messages(path, errors):
            yield name, text
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                yield name, ast.get_docstring(node) or ""
    for pattern in PAGES:
        for path in messages.ROOT.glob(pattern):
            for line in path.read_text(encoding="utf-8").splitlines():
                yield path.relative_to(messages.ROOT).as_posix(), line


def test_no_text_has_an_unclear_phrase():
    unclear = [
        f"{name}: {phrase[0]!r} (better: {better}): {text.strip()[:80]}"
        for name, text in texts()
        for pattern, better in PATTERNS.items()
        if (phrase := pattern.search(text))
    ]
    assert not unclear, "\n".join(unclear)


def test_the_phrases_are_recognised():
    assert sum(len(list(messages.ROOT.glob(pattern))) for pattern in PAGES) > 100
    for bad in ("A damaged one is passed over, which is told", "no blanks around =", "Say whether it is.", "Begin."):
        assert any(pattern.search(bad) for pattern in PATTERNS), bad
    assert not any(pattern.search("A second pass over the data stands for itself.") for pattern in PATTERNS)


# A count of these may be one: `wording.amount` writes "1 row" and "2 rows", `wording.agree` the verb.
COUNTED = re.compile(
    r"\{([^{}]*)\} (?:\w+ )?(rows|columns|steps|epochs|files|outliers|evaluations|tensors|trials|tokens|units|samples|layers)\b(?![/(])"
)
# What is no count, is never one, or is a fraction.
NOT_ONE = (
    "type(self).__name__", "which", "count.counted", "epochs", "total", "MOST", "LEAST", "line", "len(names)", "rows",
    "len(largest)", "len(order)", "len(taken)", "column.before", "len(found.rows)", "len(given)", "len(values)", "len(present)",
    "space.size * repeated", "_length(value, line)", "len(trials.all)", "best", "name", "endings[0]", "backwards", "len(schema.vocabulary)",
)  # fmt: skip


def test_a_number_that_may_be_one_is_written_with_its_noun():
    raw = {
        f"{module}: {text}"
        for module, texts in messages.catalogue()
        for text in texts
        for found in COUNTED.finditer(text)
        if found[1] not in NOT_ONE and not found[1].isupper() and found[0] != "{...} puts rows"
    }
    assert raw == set(), "use wording.amount(count, 'row')"
