"""Write the generated pages: settings, commands and exit codes from the code, and the index of the decisions.

    python docs/make_reference.py            write them
    python docs/make_reference.py --check    exit with 1 if one is stale

Reads source text, annotations and comments: no torch is imported.
"""

import ast
import re
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from docs.make_catalogue import cell, setting_tables  # noqa: E402
from trainctl import errors  # noqa: E402

DOCS = ROOT / "docs"
INDEX = ("<!-- index: written by `make docs` -->", "<!-- end of index -->")
NOTE = "<!-- Made by `make docs` from {source}; edits here are lost. -->"

SETTINGS = """\
# Settings

{note}

Set any key with `key=value` on the command line, or for a whole project in [trainctl.yaml](../guide/project.md).
`trainctl settings KEY` shows the same, and which word or file has set the value; `trainctl --cfg job` prints all
of them with the values of a run.
The parameters of data sets, models, optimizers and so on are in the [catalogue](../catalogue.md).
"""

COMMANDS = """\
# Commands

{note}

`trainctl [overrides]` trains. A first word without `=` is a command, and `trainctl COMMAND --help` prints the
text below. `trainctl --help` lists the commands, `trainctl settings` explains every setting, and `trainctl --version`
prints the version. `RUN` is a run's directory, its name, any part of the name that no other run has, or `last`.
"""

EXIT_CODES = """\
# Exit codes

{note}

Every error that you can fix is one line per problem, without a traceback. The exit code says which kind it is:
"""

# The commands in the order of their use.
ORDER = (
    "train", "resume", "inspect", "find-lr", "find-batch-size", "profile", "evaluate", "predict", "explain", "export",
    "serve", "finetune", "distill", "prune", "quantize", "merge", "ensemble", "split", "lineage", "list", "settings",
    "runs", "sweeps", "compare", "report", "remove", "verify", "reproduce", "init", "new", "trust", "env",
)  # fmt: skip
NO_COMMANDS = {
    "completion",
    "__init__",
    "arguments",
    "flags",
    "help",
    "launching",
    "option_values",
}  # modules of trainctl/command

TERM = re.compile(r"\S+ {2,}\S")  # a line that explains a word in a column to the right of it


def settings() -> str:
    """Return the page of settings: every key with its default, its range and its meaning."""
    head = SETTINGS.format(note=NOTE.format(source="conf/train.yaml, conf/sweep.yaml and trainctl/settings"))
    return "\n\n".join(part.strip() for part in (head, *setting_tables("##"))) + "\n"


def commands() -> str:
    """Return the page of commands: the help of each as Markdown."""
    files = {path.stem.replace("_", "-"): path for path in (ROOT / "trainctl" / "command").glob("*.py")}
    files = {name: path for name, path in files.items() if path.stem not in NO_COMMANDS}
    assert files.keys() == set(ORDER), f"give each command its place in ORDER: {files.keys() ^ set(ORDER)}"
    parts = [COMMANDS.format(note=NOTE.format(source="the help of each command, in trainctl/command"))]
    for name in ORDER:
        doc = ast.get_docstring(ast.parse(files[name].read_text(encoding="utf-8"))) or ""
        parts += [f"## {name}", *paragraphs(doc)]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def paragraphs(doc: str) -> Iterator[str]:
    """Yield the parts of a help text as Markdown: prose, and what is indented, or lists terms, as it stands."""
    for block in re.split(r"\n\n+", doc):
        lines = block.splitlines()
        prose = [line for line in lines if not line.startswith("  ")]
        if prose and not prose[0].startswith(("Usage:", "Examples:")) and not TERM.match(prose[0]):
            yield re.sub(r"(`[^`]+`)|([*<\[\]])", lambda match: match[1] or "\\" + match[2], "\n".join(prose))
            lines = lines[len(prose) :]
        if lines:
            yield f"```text\n{textwrap.dedent(chr(10).join(lines)).strip()}\n```"


def exit_codes() -> str:
    """Return the page of exit codes, from the tree of exceptions."""
    rows = [
        "| code | meaning |",
        "|---|---|",
        "| 0 | Done. |",
        "| 1 | An internal error, with a traceback: please report it. |",
    ]
    kinds = sorted(errors.TrainctlError.__subclasses__(), key=lambda kind: kind.exit_code)
    rows += [f"| {kind.exit_code} | {cell((kind.__doc__ or '').partition(chr(10))[0])} |" for kind in kinds]
    return f"{EXIT_CODES.format(note=NOTE.format(source='trainctl/errors.py'))}\n" + "\n".join(rows) + "\n"


def decisions() -> str:
    """Return the page of decisions with its index renewed: every entry under its topic, in order of date."""
    text = (DOCS / "decisions.md").read_text(encoding="utf-8")
    head, start, rest = text.partition(INDEX[0])
    _, end, body = rest.partition(INDEX[1])
    assert end, "docs/decisions.md has lost the marks around its index"
    entries: dict[str, list[str]] = {}
    for heading, topic in re.findall(r"^## (.+)\n(?:\nTopic: (.+)\n)?", body, re.M):
        date, _, result = heading.partition(": ")
        entries.setdefault(topic or "other", []).append(f"- [{result}](#{anchor(heading)}) ({date})")
    parts = [f"**{topic.capitalize()}**\n\n" + "\n".join(lines) for topic, lines in sorted(entries.items())]
    return f"{head}{start}\n\n" + "\n\n".join(parts) + f"\n\n{end}{body}"


def anchor(heading: str) -> str:
    """Return the name that GitHub and the site give to a heading.

    >>> anchor("2026-11-20: `loop.max_time` is a budget")
    '2026-11-20-loopmax_time-is-a-budget'
    """
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


PAGES = {
    "reference/settings.md": settings,
    "reference/commands.md": commands,
    "reference/exit_codes.md": exit_codes,
    "decisions.md": decisions,
}


def main(arguments: list[str]) -> int:
    """Write the pages, or with ``--check`` compare them."""
    if arguments not in ([], ["--check"]):
        print(__doc__, file=sys.stderr)
        return 2
    stale = []
    for name, make in PAGES.items():
        path, fresh = DOCS / name, make()
        if not arguments:
            path.write_text(fresh, encoding="utf-8")
        elif not path.is_file() or path.read_text(encoding="utf-8") != fresh:
            stale.append(f"docs/{name}")
    if stale:
        print(f"stale: {', '.join(stale)}; run make docs", file=sys.stderr)
    return bool(stale)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
