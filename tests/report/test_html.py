"""The HTML of a page: nothing from elsewhere, all links resolve, and no text of a user becomes markup."""

import base64
import hashlib
import io
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from tests import soak
from tests.pictures import is_drawn
from trainctl.report import document, table
from trainctl.report.chart import Chart, Mark, Series
from trainctl.report.figure import DPI
from trainctl.report.html import blocks, element, page, style
from trainctl.report.html.element import write

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
HOSTILE = (
    "<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "' onload='alert(1)", "</style><b>", "]]>", "<!--", "-->",
    "javascript:alert(1)", "https://example.org/x.js", "&lt;b&gt;", "\x1b[31m", "\u202edlrow", "\0", "a\nb", "\ud800", "</svg>",
    "</pre></body></html>", "url(https://example.org)", "{{x}}", "`${x}`", "\\u003cscript\\u003e", "数字", " ", "a" * 3000,
)  # fmt: skip
RAW = {"style", "script"}


class Reader(HTMLParser):
    """Reads a page strictly: every element must be closed where it belongs."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.texts: list[str] = []
        self.raw: list[tuple[str, str]] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        assert len(dict(attributes)) == len(attributes), attributes
        self.elements.append((tag, {name: value or "" for name, value in attributes}))
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in RAW:
            self.raw.append((self.open[-1], data))
        elif data.strip():
            self.texts.append(data)

    def handle_comment(self, data: str) -> None:
        raise AssertionError(data)


def strings(value):
    """Return all texts in plain values."""
    if isinstance(value, list):
        return [text for each in value for text in strings(each)]
    return [value] if isinstance(value, str) else []


def read(content: bytes) -> Reader:
    """Parse a page, and check what holds for every page."""
    reader = Reader()
    text = content.decode("utf-8")
    assert text.startswith("<!DOCTYPE html>\n")
    reader.feed(text.removeprefix("<!DOCTYPE html>\n"))
    reader.close()
    assert reader.open == []
    ids = [attributes["id"] for _, attributes in reader.elements if "id" in attributes]
    assert len(set(ids)) == len(ids), sorted(ids)
    for tag, attributes in reader.elements:
        assert tag in {name.lower() for name in element.TAGS} | RAW, tag
        for name, value in attributes.items():
            assert not name.startswith("on"), (tag, name)
            assert name != "style", tag
            if name == "href":
                assert value[0] == "#", value
                assert value[1:] in ids, value
            elif name == "src":
                assert value.startswith("data:image/png;base64,"), value
                Image.open(io.BytesIO(base64.b64decode(value.partition(",")[2]))).verify()
            elif name == "clip-path":
                assert value.removeprefix("url(#").removesuffix(")") in ids, value
            elif name == "data-hover":
                stops = json.loads(value)
                assert isinstance(stops, list)
                assert all(text.isprintable() for text in strings(stops))  # a mouse shows them
    assert reader.raw == [("style", style.STYLE), ("script", style.SCRIPT)]
    policy = next(a["content"] for _, a in reader.elements if a.get("http-equiv") == "Content-Security-Policy")
    for constant in (style.STYLE, style.SCRIPT):
        digest = base64.b64encode(hashlib.sha256(constant.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy
    assert "unsafe" not in policy
    assert policy.startswith("default-src 'none';")
    return reader


def full(text: str, other: str = "b") -> document.Document:
    """Return a page with every kind of block, whose texts are given."""
    series = (
        Series(text, [1.0, 2.0, 3.0], [0.5, float("nan"), 0.25], texts=[text, other, text]), Series(other, [1.0, 2.0], [3.0, 1.0], "dots"),
        Series("", [1.0, 2.0], [1.0, 2.0], "bars", width=1.0), Series(other, [1.0, 3.0], [1.0, 2.0], "dashed", -1),
    )  # fmt: skip
    charts = [
        Chart(
            f"one_{near}",
            text,
            other,
            text,
            other,
            series,
            Mark(2.0, 1.0, text),
            nearest=near,
            x_texts={1.0: text},
            note=text,
        )
        for near in (False, True)
    ]
    image = np.linspace(0, 1, 64).reshape(8, 8)
    blocks: list[document.Block] = [
        document.Prose(text, "warning"), document.Cards([(text, other, text)]), document.Facts([(text, other), (other, text)]),
        document.Table([text, other], [[text, other], [other, text]], frozenset({1}), text, frozenset({0})),
        document.Table([text], [[other]], caption=text, folded=True), document.Matrix([text, other], [[3, 1], [0, 2]], text),
        document.Gallery([document.Picture(image, [text, other]), document.Picture(np.dstack([image] * 3), [text], image)], text),
        document.Commands([(text, other), (other, text)]), document.Code(text, f"{text}\n{other}"),
        document.Tree([(0, text), (1, other)]), document.Charts(charts),
    ]  # fmt: skip
    sections = [document.Section("Some blocks", blocks), document.Section("Others", [document.Prose(other)])]
    return document.Document("run", text, other, [document.Prose(text)], [*sections, document.Section("Nothing")], text)


def shown(text: str) -> str:
    """Return a text as a page shows it."""
    return table.printable(text)


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_no_text_becomes_markup(text):
    reader = read(page.page(full(text, "plain")))
    plain = read(page.page(full("plain", "plain")))
    assert [tag for tag, _ in reader.elements if tag != "span"] == [tag for tag, _ in plain.elements if tag != "span"]
    if text.strip() and "\n" not in text and len(text) < 1000:
        assert sum(shown(text) in found for found in reader.texts) >= 15
        assert any(a.get("aria-label", "").startswith(shown(text)[:10]) for _, a in reader.elements)


@pytest.mark.soak
def test_no_mixture_of_hostile_texts_becomes_markup():
    source = soak.seed("pages")
    tags = [tag for tag, _ in read(page.page(full("plain", "plain"))).elements if tag != "span"]
    for _ in range(soak.cases(20)):
        parts = [source.choice([*HOSTILE, chr(source.randrange(0x110000))]) for _ in range(source.randrange(1, 5))]
        one, other = "".join(parts), source.choice(HOSTILE)
        reader = read(page.page(full(one, other)))
        assert [tag for tag, _ in reader.elements if tag != "span"] == tags


def test_sections_without_blocks_are_left_out_and_all_others_are_linked():
    reader = read(page.page(full("a")))
    links = [attributes["href"] for tag, attributes in reader.elements if tag == "a"]
    assert links == ["#some-blocks", "#others"]


@pytest.mark.parametrize(
    ("tag", "attributes"),
    [("script", {}), ("iframe", {}), ("a", {"href": "https://example.org"}), ("img", {"src": "x.png"}), ("p", {"onclick": "x"}),
     ("p", {"style": "x"}), ("form", {}), ("link", {}), ("a", {"href": "javascript:x"})],
)  # fmt: skip
def test_what_a_page_must_not_contain_cannot_be_written(tag, attributes):
    with pytest.raises(AssertionError):
        element.element(tag, "x", **attributes)


def test_attributes_and_texts_are_escaped():
    written = "".join(write(element.element("p", "<&>\"'", title="<&>\"'")))
    assert written == '<p title="&lt;&amp;&gt;&quot;&#x27;">&lt;&amp;&gt;&quot;&#x27;</p>'


def test_the_script_sets_text_as_text():
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacent|document\.write|eval|Function\(|fetch|XMLHttp|import\(", style.SCRIPT
    )


def browser() -> str:
    return next(filter(None, map(shutil.which, BROWSERS)), "")


def opened(path, *words):
    """Open a page in a browser; return what it has become."""
    found = subprocess.run(
        [browser(), "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync", "--window-size=900,1600",
         f"--user-data-dir={path.with_suffix('.browser')}", *words, "--dump-dom", path.as_uri()],
        capture_output=True, encoding="utf-8", errors="replace", timeout=120, check=False,
    )  # fmt: skip
    assert found.returncode == 0, found.stderr[-2000:]
    return found


@pytest.mark.slow
@pytest.mark.skipif(not browser(), reason="no headless browser is installed (chromium or chrome)")
def test_a_browser_shows_the_page_and_runs_only_its_own_script(tmp_path):
    hostile = full('<img src=x onerror="document.title=1">', "</script><script>document.title='broken'</script>")
    (tmp_path / "page.html").write_bytes(page.page(hostile))
    found = opened(tmp_path / "page.html", f"--screenshot={tmp_path / 'page.png'}")
    assert 'tabindex="0"' in found.stdout  # our script ran: it makes charts reachable by the keyboard
    assert 'class="tip"' in found.stdout
    assert "<title>&lt;img" in found.stdout  # and nothing else did
    assert is_drawn(tmp_path / "page.png")


@pytest.mark.slow
@pytest.mark.skipif(not browser(), reason="no headless browser is installed (chromium or chrome)")
def test_a_mouse_shows_the_numbers_of_a_chart(tmp_path):
    content = page.page(full("<b>first</b>", "second")).decode()
    content = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", content)  # it would refuse this script
    move = (
        "const s=document.querySelector('svg[data-hover]'),r=s.getBoundingClientRect();"
        "s.dispatchEvent(new PointerEvent('pointermove',{clientX:r.left+80,clientY:r.top+50}))"
    )
    script = f"<script>window.addEventListener('load',function(){{{move}}})</script>"
    (tmp_path / "page.html").write_text(content.replace("</body>", f"{script}</body>"))
    shown = opened(tmp_path / "page.html").stdout
    (tip,) = [
        each for each in re.findall(r'<div class="tip"[^>]*>.*?</div>', shown) if "hidden" not in each.partition(">")[0]
    ]
    assert "&lt;b&gt;first&lt;/b&gt;" in tip
    assert re.search(r'style="left: [\d.]+px; top: [\d.]+px;"', tip)


def test_the_line_above_a_table_is_no_part_of_it_so_that_it_is_wrapped_where_the_table_is_scrolled():
    found = "".join(write(blocks.block(document.Table(["a"], [["1"]], caption="above"))))
    assert found.index(">above<") < found.index('class="scroll"') < found.index("<table>")


@pytest.mark.parametrize("inches", [4, 10])
def test_pictures_have_text_of_one_size_whatever_their_width(inches):
    content = io.BytesIO()
    Image.new("L", (inches * DPI, 30)).save(content, "PNG")
    found = "".join(write(blocks.block(document.Drawing(content.getvalue(), "x"))))
    assert f'width="{96 * inches}"' in found
