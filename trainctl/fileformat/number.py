"""A cell -> a number, in the formats in which people and programs write numbers. Imports no torch."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from trainctl.fileformat.delimited import NUMBER

DECIMALS = {"point": ".", "comma": ","}
THOUSANDS = {"none": "", "comma": ",", "point": ".", "space": " ", "apostrophe": "'"}
INFINITE = re.compile(r"[+-]?inf(inity)?", re.IGNORECASE)
SIGNS = str.maketrans(dict.fromkeys("\u2212\u2012\u2013\ufe63\uff0d", "-") | dict.fromkeys("\u00a0\u202f\u2009\u2007", " ")
                      | dict.fromkeys("\u2019\u02bc", "'") | {"\uff0b": "+", "\uff05": "%"})  # fmt: skip
CURRENCY = (
    r"(?:(?:US|R|A|C|NZ|HK|S|MX)?[$\u00a2-\u00a5\u058f\u060b\u09f2\u09f3\u0e3f\u20a0-\u20cf]"
    r"|USD|EUR|GBP|JPY|CHF|CNY|INR|AUD|CAD|SEK|NOK|DKK|PLN|CZK|HUF|RUB|BRL|ZAR|MXN|KRW|TRY|Rs\.?|[Kk]r\.?|zł|Kč|Ft|Fr\.?)"
)
WORD = r"[^\W\d_]{1,4}[\u00b2\u00b3]?|\u00b0[CF]?|[\"\u2033\u2032']"  # cm, kg, m², °C, inches: one for the whole column
# Powers of 10; not m, which is metres as often as millions.
SCALES = {
    "k": 3, "K": 3, "M": 6, "Mio": 6, "B": 9, "bn": 9, "Mrd": 9, "kB": 3, "KB": 3, "MB": 6, "GB": 9, "TB": 12,
}  # fmt: skip
SCALE = rf"(?:{'|'.join(sorted(SCALES, key=len, reverse=True))})(?![^\W\d_])"
AROUND = re.compile(rf"([+-]?) ?({CURRENCY})? ?([+-]?) ?(\d.*?|[.,]\d.*?) ?({SCALE})?\.? ?({CURRENCY}|%|{WORD})? ?(-?)")
MINUS = ("-", "--", "---", "\u2013", "\u2014", "\u2212", ".", "..", "...")  # a missing value where others are numbers
GROUPED = re.compile(r"[1-9]\d{0,2}[.,]\d{3}", re.ASCII)  # 1,234 or 1.234: thousands or decimals?


@dataclass(frozen=True)
class NumberFormat:
    """How the numbers of a column are written.

    Args:
        decimal: The mark before the decimals, a point or a comma.
        thousands: The mark between groups of three digits; empty: none.
        unit: What follows or precedes all numbers: ``%``, so that they become parts of 1; a currency; a unit; or nothing.
        scaled: Whether a letter of ``SCALES`` multiplies the number before it: 1.2k is 1200, 3M is 3,000,000.
    """

    decimal: str = "."
    thousands: str = ""
    unit: str = ""
    scaled: bool = False

    @property
    def is_worded(self) -> bool:
        """Whether a word or a letter follows the numbers, which is no percent sign and no currency."""
        return self.scaled if not self.unit else self.unit != "%" and re.fullmatch(CURRENCY, self.unit) is None

    def __str__(self) -> str:
        """Return an example, as in ``1.234,5 %``; empty for plain numbers."""
        if self == PLAIN:
            return ""
        digits = f"1{self.decimal}5k, 2M" if self.scaled else f"1{self.thousands}234{self.decimal}5"
        return f"{self.unit}{digits}" if re.fullmatch(CURRENCY, self.unit) else f"{digits}{self.unit}"


PLAIN = NumberFormat()


@cache
def _pattern(decimal: str, thousands: str) -> re.Pattern[str]:
    point, mark = re.escape(decimal), re.escape(thousands)
    whole = rf"[1-9]\d{{0,2}}(?:{mark}\d{{3}})+|\d+" if thousands else r"\d+"
    if thousands == ",":
        whole = rf"[1-9]\d?(?:,\d\d)+,\d{{3}}|{whole}"  # lakhs and crores: 12,34,567
    return re.compile(rf"(?:(?:{whole})(?:{point}\d*)?|{point}\d+)(?:[eE][+-]?\d+)?", re.ASCII)


def split_cell(cell: str) -> tuple[str, str, str, str] | None:
    """Return the sign, the digits with their marks, the scale, and the unit of a cell; None if it is not a number.

    >>> split_cell("(1,234.50)"), split_cell("12 %"), split_cell("-$5M"), split_cell("5-"), split_cell("a")
    (('-', '1,234.50', '', ''), ('', '12', '', '%'), ('-', '5', 'M', '$'), ('-', '5', '', ''), None)
    """
    text = cell.translate(SIGNS).strip()
    inner = text.strip("()").strip() if text[:1] == "(" and text[-1:] == ")" else ""
    if not (match := AROUND.fullmatch(inner or text)):
        return None
    signs = [sign for sign in (match[1], match[3], match[7]) if sign]
    units = [unit for unit in (match[2], match[6]) if unit]
    if len(signs) > 1 or len(units) > 1 or (inner and signs):
        return None
    return "-" if inner or signs == ["-"] else "", match[4], match[5] or "", units[0] if units else ""


def read_number(cell: str, form: NumberFormat = PLAIN) -> float | None:
    """Return the number in a cell; None if it is not one in this format.

    >>> read_number("1.234,5", NumberFormat(",", ".")), read_number("35 %", NumberFormat(unit="%")), read_number("1,5")
    (1234.5, 0.35, None)
    >>> read_number("$1.2M", NumberFormat(unit="$", scaled=True)), read_number("5k")
    (1200000.0, None)
    """
    if form.decimal == "." and form.unit != "%" and NUMBER.fullmatch(cell):
        return float(cell)
    if (parts := split_cell(cell)) is None:
        return None
    sign, digits, scale, unit = parts
    if scale and not form.scaled:  # a unit like any other, as K for kelvin
        scale, unit = "", f"{scale}{unit}"
    if not _pattern(form.decimal, form.thousands).fullmatch(digits):
        return None
    plain = sign + (digits.replace(form.thousands, "") if form.thousands else digits).replace(form.decimal, ".")
    if form.unit == "%" and unit == "%":
        return _shifted(plain, -2)
    value = _shifted(plain, SCALES[scale]) if scale else float(plain)
    return value if unit in ("", form.unit) and (form.unit != "%" or value == 0) else None


def _shifted(plain: str, places: int) -> float:
    """Return a number times a power of 10, rounded once: 35% is the float nearest to 0.35."""
    mantissa, _, exponent = plain.lower().partition("e")
    return float(f"{mantissa}e{int(exponent or 0) + places}")


@dataclass(frozen=True)
class Guess:
    """What the cells of a column allow.

    Args:
        numbers: How many cells are numbers in the best formats.
        formats: The formats in which most cells are numbers, the plainest first.
        marked: Whether they contain points or commas, which could be either decimal marks or thousands marks.
    """

    numbers: int
    formats: tuple[NumberFormat, ...]
    marked: bool

    @property
    def clear(self) -> bool:
        """Whether the cells show which mark is the decimal one."""
        return self.marked and len({form.decimal for form in self.formats}) == 1


def guess(cells: Sequence[str], decimal: str = "auto", thousands: str = "auto") -> Guess:
    """Return in which formats most of the cells of a column are numbers.

    Args:
        cells: Those that are not missing.
        decimal: ``point``, ``comma`` or ``auto``.
        thousands: A word of ``THOUSANDS``, or ``auto``.
    """
    if decimal == thousands == "auto" and (plain := _plainly(cells)):
        return plain
    split = [parts for cell in cells if (parts := split_cell(cell))]
    units = {unit for *_, unit in split if unit}
    scaled = any(scale for _, _, scale, _ in split) and all(re.fullmatch(CURRENCY, unit) for unit in units)
    if not scaled:
        split = [(sign, text, "", f"{scale}{unit}") for sign, text, scale, unit in split]
    words = {unit for *_, unit in split if unit and re.fullmatch(WORD, unit) and not re.fullmatch(CURRENCY, unit)}
    if len(words) > 1:  # 3a, 3b, 4a are names
        split = [parts for parts in split if parts[3] not in words]
    unit = _unit([unit for *_, unit in split])
    digits = Counter(text for _, text, _, _ in split)
    best = 0
    found: list[NumberFormat] = []
    for mark in DECIMALS.values() if decimal == "auto" else (DECIMALS[decimal],):
        for group in THOUSANDS.values() if thousands == "auto" else (THOUSANDS[thousands],):
            if group == mark:
                continue
            count = sum(times for text, times in digits.items() if _pattern(mark, group).fullmatch(text))
            if count > best:
                best, found = count, []
            if count == best and count:
                found.append(NumberFormat(mark, group, unit, scaled))
    return Guess(best, tuple(found), any("." in text or "," in text for text in digits))


def _plainly(cells: Sequence[str]) -> Guess | None:
    """Return the guess for a column that only has plain numbers; None where a closer look is needed."""
    if not all(map(NUMBER.fullmatch, cells)):
        return None
    dotted = [cell for cell in cells if "." in cell]
    if dotted and all(GROUPED.fullmatch(cell.lstrip("+-")) for cell in dotted):
        return None
    return Guess(len(cells), (PLAIN,), bool(dotted))


def _unit(units: Sequence[str]) -> str:
    """Return the unit of most cells; empty if most have none."""
    return Counter(units).most_common(1)[0][0] if units and 2 * sum(map(bool, units)) > len(units) else ""


def choose(guesses: Mapping[str, Guess], delimiter: str) -> tuple[dict[str, NumberFormat], list[str]]:
    """Return the format of each column, and which columns could also be read otherwise.

    A column such as 1,234; 5,678 does not show whether its comma marks thousands or decimals. The other columns of the
    file say it; or else the delimiter: programs that write decimal commas separate cells with semicolons.
    """
    clear = {found.formats[0].decimal for found in guesses.values() if found.clear and found.formats}
    decimal = clear.pop() if len(clear) == 1 else ""
    formats, unclear = {}, []
    for name, found in guesses.items():
        if not found.formats:
            continue
        plain = any(form.decimal == "." and not form.thousands for form in found.formats)
        wanted = decimal or ("," if delimiter == "semicolon" and not plain else ".")
        fitting = [form for form in found.formats if form.decimal == wanted] or list(found.formats)
        formats[name] = fitting[0]
        if found.marked and not found.clear and not decimal and (delimiter == "semicolon" or not plain):
            unclear.append(name)
    return formats, unclear
