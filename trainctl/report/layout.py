"""Choose the widths of a table's columns and the lines of its cells: pure functions on text. Imports nothing of ours."""

import re
import unicodedata
from collections.abc import Callable, Sequence

GAP = 2  # columns of characters between two cells
# A word may be continued on the next line after one of these characters: before a letter, or between whole numbers.
PIECE = re.compile(r"(?<=[\w>*][._/:=|,-])(?=[^\W\d_]|[<*])|(?<=\w[=/:])(?=\d)|(?<=\d-)(?=\d)|(?<=[a-df-z]-)(?=\d)")
LIST = re.compile(r"(?<=,)(?=\S)")  # [256,128]
QUANTITY = re.compile(r"[-+<>~±]?[\d.][^A-Za-z]{0,18}[A-Za-z%]{0,3}( \d+ [a-z]+)?")  # 0.9091 *, 35,331, 1 min 20 s


def width(text: str) -> int:
    """Return the width of a text on a terminal [columns]: two for an East Asian character, none for an accent."""
    if text.isascii():
        return len(text)
    return sum(
        (not unicodedata.combining(character)) * (1 + (unicodedata.east_asian_width(character) in "WF"))
        for character in text
    )


def widths(table: Sequence[Sequence[str]]) -> list[int]:
    """Return the width of each column's widest cell."""
    return [max(map(width, column)) for column in zip(*table, strict=True)]


def words(text: str) -> list[str]:
    """Divide a cell at its spaces, which stay; a number with its unit or mark is one word.

    >>> words("two words"), words("0.9091 *")
    (['two ', 'words'], ['0.9091 *'])
    """
    return [text] if QUANTITY.fullmatch(text) else re.split(r"(?<=\s)(?=\S)", text)


def pieces(text: str) -> list[str]:
    """Divide the words of a cell further, where a name has a point, a dash and the like.

    >>> pieces("optimizer.weight_decay"), pieces("[256,128]"), pieces("1e-05")
    (['optimizer.', 'weight_', 'decay'], ['[256,', '128]'], ['1e-05'])
    """
    return [piece for word in words(text) for piece in (LIST if word.startswith("[") else PIECE).split(word)]


def broken(text: str, room: int) -> str:
    r"""Return a cell in lines of at most ``room`` columns; a word that fits on a line stays whole.

    >>> broken("an optimizer.weight_decay", 12), broken("a word", 3)
    ('an\noptimizer.\nweight_decay', 'a\nwor\nd')
    """
    if width(text) <= room:
        return text
    lines = [""]
    for word in words(text):
        for piece in [word] if width(word.rstrip()) <= room else pieces(word):
            if width((lines[-1] + piece).rstrip()) > room and lines[-1]:
                lines.append("")
            for character in piece:
                if width((lines[-1] + character).rstrip()) > room:
                    lines.append("")
                lines[-1] += character
    return "\n".join(line.rstrip() for line in lines)


def fits(wide: Sequence[int], room: int) -> bool:
    """Return whether columns of these widths fit next to each other."""
    return sum(wide) + GAP * (len(wide) - 1) <= room


def fitting_columns(table: Sequence[Sequence[str]], optional: Sequence[int], room: int) -> list[int]:
    """Return the columns to keep: optional ones are removed, in their order, until the others fit."""
    most = widths(table)
    kept = list(range(len(most)))
    for index in optional:
        if fits([most[column] for column in kept], room):
            break
        kept.remove(index)
    return kept


def narrowed(most: Sequence[int], least: Sequence[int], room: int) -> list[int] | None:
    """Return widths that fit: the widest columns are narrowed first, none below its least width; None if none do.

    >>> narrowed([10, 40, 8], [10, 7, 8], 40), narrowed([10, 40, 8], [10, 27, 8], 40)
    ([10, 18, 8], None)
    """
    if not fits(least, room):
        return None
    low, high = 0, max(most)  # the widest that a column may be, of which the largest that fits is found by bisection
    while low < high:
        middle = (low + high + 1) // 2
        capped = [max(few, min(many, middle)) for few, many in zip(least, most, strict=True)]
        low, high = (middle, high) if fits(capped, room) else (low, middle - 1)
    return [max(few, min(many, low)) for few, many in zip(least, most, strict=True)]


def nested(table: Sequence[Sequence[str]]) -> list[list[str]]:
    """Return a table without its first column, whose texts become rows above those that they belong to.

    >>> nested([["group", "member"], ["model", "mlp"], ["model", "cnn"]])
    [['member'], ['model'], ['  mlp'], ['  cnn']]
    """
    (_, *headers), *rows = table
    found, above = [list(headers)], None
    for first, second, *others in rows:
        found += [[first, *("" for _ in others)]] if first != above else []
        found.append([f"  {second}", *others])
        above = first
    return found


def together(table: Sequence[Sequence[str]], whole: Sequence[bool], room: int) -> list[int] | None:
    """Return widths with which all columns fit, so that no word is broken but at a point or the like; None if none do.

    Args:
        table: Rows of cells, the headers first.
        whole: For each column, whether its cells stay on one line if that is possible.
        room: Width of the terminal [columns].
    """
    most = widths(table)
    least = [_least(words, table, room), _least(pieces, table, room)]
    unbroken = [many if stays else few for many, few, stays in zip(most, least[0], whole, strict=True)]
    return next((found for floor in (unbroken, *least) if (found := narrowed(most, floor, room))), None)


def parts(table: Sequence[Sequence[str]], whole: Sequence[bool], room: int) -> list[tuple[list[int], list[int]]]:
    """Divide a table into parts that fit under each other; each begins with the first column.

    Returns:
        For each part, the indices of its columns and their widths. It is a single part where all columns fit.
    """
    if found := together(table, whole, room):
        return [(list(range(len(found))), found)]
    most, least = widths(table), _least(pieces, table, room)
    groups = [[0, 1]]
    for index in range(2, len(most)):
        if fits([least[column] for column in (*groups[-1], index)], room):
            groups[-1].append(index)
        else:
            groups.append([0, index])
    return [(group, narrowed([most[i] for i in group], [least[i] for i in group], room) or []) for group in groups]


def _least(divide: Callable[[str], list[str]], table: Sequence[Sequence[str]], room: int) -> list[int]:
    """Return the width of each column's widest undivided text; two columns always fit, though perhaps with broken words."""
    half = room if len(table[0]) == 1 else max(1, (room - GAP) // 2)
    longest = [
        max(width(part.rstrip()) for cell in column for part in divide(cell)) for column in zip(*table, strict=True)
    ]
    return [min(wide, half) for wide in longest]
