"""Write formulas as plain text: LaTeX of docstrings becomes what can be read on a terminal. Imports no torch."""

import re
import sys
import unicodedata
from collections.abc import Callable, Sequence

Has = Callable[[str], bool]  # whether the terminal can print a text
# Each command, and what replaces it where the terminal's encoding has no such character (empty: the command's name).
SYMBOLS: dict[str, tuple[str, str]] = {
    "alpha": ("α", ""), "beta": ("β", ""), "gamma": ("γ", ""), "delta": ("δ", ""), "epsilon": ("ε", "eps"),
    "varepsilon": ("ε", "eps"), "zeta": ("ζ", ""), "eta": ("η", ""), "theta": ("θ", ""), "kappa": ("κ", ""),
    "lambda": ("λ", ""), "mu": ("μ", ""), "nu": ("ν", ""), "xi": ("ξ", ""), "pi": ("π", ""), "rho": ("ρ", ""),
    "sigma": ("σ", ""), "tau": ("τ", ""), "phi": ("φ", ""), "varphi": ("φ", "phi"), "chi": ("χ", ""), "psi": ("ψ", ""),
    "omega": ("ω", ""), "Gamma": ("Γ", ""), "Delta": ("Δ", ""), "Theta": ("Θ", ""), "Lambda": ("Λ", ""), "Pi": ("Π", ""),
    "Sigma": ("Σ", ""), "Phi": ("Φ", ""), "Psi": ("Ψ", ""), "Omega": ("Ω", ""), "nabla": ("∇", "grad "),
    "partial": ("∂", "d"), "infty": ("∞", "inf"), "sum": ("Σ", "sum"), "prod": ("Π", "prod"), "int": ("∫", "int"),
    "cdot": ("·", "*"), "times": ("×", "x"), "odot": ("⊙", "*"), "pm": ("±", "+-"), "top": ("T", "T"), "sim": (" ~ ", " ~ "),
    "le": (" ≤ ", " <= "), "leq": (" ≤ ", " <= "), "ge": (" ≥ ", " >= "), "geq": (" ≥ ", " >= "), "ne": (" ≠ ", " != "),
    "approx": (" ≈ ", " ~= "), "in": (" ∈ ", " in "), "leftarrow": (" ← ", " <- "), "rightarrow": (" → ", " -> "),
    "to": (" → ", " -> "), "mid": (" | ", " | "), "dots": ("...", "..."), "ldots": ("...", "..."), "cdots": ("...", "..."),
    "lfloor": ("⌊", "floor("), "rfloor": ("⌋", ")"), "lceil": ("⌈", "ceil("), "rceil": ("⌉", ")"), "lVert": ("‖", "||"),
    "rVert": ("‖", "||"), "Vert": ("‖", "||"), "lvert": ("|", "|"), "rvert": ("|", "|"), "ell": ("ℓ", "l"),
    "quad": ("    ", "    "), "qquad": ("    ", "    "),
}  # fmt: skip
FUNCTIONS = frozenset(["arg", "cos", "cosh", "det", "exp", "ln", "log", "max", "min", "sign", "sin", "sinh", "tanh"])
FONTS = frozenset(["text", "mathrm", "operatorname", "mathbf", "mathbb", "mathcal", "textstyle"])
DROPPED = frozenset(["left", "right", "big", "Big", "displaystyle", "limits"])
ACCENTS = {"hat": "\u0302", "bar": "\u0304", "overline": "\u0304", "tilde": "\u0303", "dot": "\u0307"}
COMMANDS = FONTS | frozenset(ACCENTS) | {"frac", "tfrac", "dfrac", "sqrt"}
HALVES = {("1", "2"): "½", ("1", "4"): "¼", ("3", "4"): "¾"}
RAISED = dict(zip("0123456789+-()nTi", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁽⁾ⁿᵀⁱ", strict=True))
LOWERED = dict(zip("0123456789+-()aehijklmnoprstuvx", "₀₁₂₃₄₅₆₇₈₉₊₋₍₎ₐₑₕᵢⱼₖₗₘₙₒₚᵣₛₜᵤᵥₓ", strict=True))
TOKEN = re.compile(r"\\(?:begin|end)\{\w+\*?\}|\\[A-Za-z]+|\\.|[{}^_]|\s+|.", re.DOTALL)
# What needs no parentheses around it: a name with what is raised and lowered, a root, a call, a norm.
ATOM = re.compile(r"[\w.½¼¾⁰-ⁿ₀-ₜ\u0300-\u036f]+|√\w+|[\w\u0300-\u036f]*\([^()]*\)|[|‖⌊][^|‖⌋ ]+[|‖⌋]")


def plain(text: str) -> str:
    r"""Return LaTeX as plain text, in the characters that standard output has.

    >>> plain(r"\left(1 + \tfrac12\right)\, x \quad\text{if } x \ge 0")
    '(1 + ½) x    if x ≥ 0'
    >>> plain(r"\frac{\hat m_t}{\sqrt{\hat v_t} + \epsilon}"), plain(r"e^{-\lambda t}"), plain(r"x^2_i")
    ('m̂ₜ/(√v̂ₜ + ε)', 'e^(-λ t)', 'x²ᵢ')
    """
    written, _ = _sequence(TOKEN.findall(text), 0, has=_has)
    text = re.sub(r"(?<=\S)(?<!    )[ \t]+", " ", written.replace("    ", "\0")).replace("\0", "    ")
    text = re.sub(r" *    +", "    ", text)
    return re.sub(r"(?<=[(\[⌊]) +| +(?=[)\],⌋])", "", text).strip()


def _has(text: str) -> bool:
    """Return whether standard output can print a text."""
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def _sequence(tokens: Sequence[str], place: int, has: Has) -> tuple[str, int]:
    """Return the text up to the closing brace, or to the end, and the place after it."""
    parts, after_function = "", False
    while place < len(tokens) and tokens[place] != "}":
        token = tokens[place]
        part, place = _item(tokens, place, has)
        parts += (" " if after_function and token not in ("^", "_") and part[:1].isalnum() else "") + part
        after_function = token[1:] in FUNCTIONS or (after_function and token in ("^", "_"))
    return parts, place + 1


def _item(tokens: Sequence[str], place: int, has: Has) -> tuple[str, int]:
    """Return the text of one token with its arguments, and the place after it."""
    token = tokens[place]
    if token == "{":
        return _sequence(tokens, place + 1, has)
    if token in ("^", "_"):
        argument, place = _argument(tokens, place + 1, has)
        return _script(argument, token, has), place
    if not token.startswith("\\"):
        return (" " if token.isspace() else token), place + 1
    name = token[1:]
    if name.startswith(("begin{", "end{")) or name in DROPPED or name == "!":
        return "", place + 1 + (tokens[place + 1 : place + 2] == ["."])  # \\left. has no bracket
    if name in SYMBOLS:
        symbol, other = SYMBOLS[name]
        return (symbol if has(symbol) else other or name), place + 1
    if name in COMMANDS:
        return _command(name, tokens, place + 1, has)
    return (" " if name in (",", ";", ":", " ") else name), place + 1  # a function, a space, or a character such as \\{


def _command(name: str, tokens: Sequence[str], place: int, has: Has) -> tuple[str, int]:
    """Return the text of a command with arguments, and the place after them."""
    argument, place = _argument(tokens, place, has)
    if name in FONTS:
        return argument, place
    if name in ACCENTS:
        marked = unicodedata.normalize("NFC", f"{argument}{ACCENTS[name]}")
        return (marked if has(marked) and len(argument) == 1 else f"{name}({argument})"), place
    if name == "sqrt":
        return (f"√{_grouped(argument)}" if has("√") else f"sqrt({argument})"), place
    below, place = _argument(tokens, place, has)
    half = HALVES.get((argument, below), "")
    return (half if half and has(half) else f"{_grouped(argument)}/{_grouped(below, below=True)}"), place


def _argument(tokens: Sequence[str], place: int, has: Has) -> tuple[str, int]:
    """Return the argument of a command: a group in braces, a command, or one character."""
    while place < len(tokens) and tokens[place].isspace():
        place += 1
    if place >= len(tokens):
        return "", place
    text, place = _item(tokens, place, has)
    return text.strip(), place


def _script(text: str, kind: str, has: Has) -> str:
    """Return a text raised or lowered; with a sign before it where there are no such characters."""
    table = RAISED if kind == "^" else LOWERED
    written = "".join(table.get(character, "\0") for character in text)
    if "\0" not in written and has(written):
        return written
    return f"{kind}{_grouped(text)}"


def _grouped(text: str, *, below: bool = False) -> str:
    """Return a text in parentheses, unless it is one thing: a name, a number, or what is in parentheses already."""
    text = text.strip()
    if ATOM.fullmatch(text):
        return text
    return (
        text if not below and re.fullmatch(r"[^\s+/-]+", text) and text.count("(") == text.count(")") else f"({text})"
    )
