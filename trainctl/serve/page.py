"""The page on which a served run is tried: one file, without anything from elsewhere, and what a browser may do with it."""

import base64
import hashlib
import re
from pathlib import Path


def _digest(tag: str, text: str) -> str:
    """Return the hash of the only script or style sheet of a page, as a policy names it."""
    (content,) = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
    return base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()


PAGE = Path(__file__).with_name("page.html").read_bytes()
_TEXT = PAGE.decode()
# The page's own script and style sheet, and requests to this server; nothing else (Content Security Policy, level 3).
POLICY = (
    f"default-src 'none'; script-src 'sha256-{_digest('script', _TEXT)}'; style-src 'sha256-{_digest('style', _TEXT)}';"
    " connect-src 'self'; img-src blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
