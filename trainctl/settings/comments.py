"""Read what the comments of our YAML say about each key: the only place where settings are explained. Imports no torch."""

import re

KEY = re.compile(r"( *)(\w+):\s*(?:[^#\s][^#]*?)?(?:\s+# *(.*))?$")
CONTINUED = re.compile(r" +# *(.*)$")


def comments(text: str) -> dict[str, str]:
    r"""Return the comment behind each key of a YAML of at most two levels; a line with a comment alone continues it.

    >>> comments("a: 1  # one\nb:\n  c: 2  # two,\n        # and more\n")
    {'a': 'one', 'b.c': 'two, and more'}
    """
    found: dict[str, str] = {}
    section = key = ""
    for line in text.splitlines():
        if match := KEY.match(line):
            indent, name, comment = match.groups()
            section = section if indent else name
            key = f"{section}.{name}" if indent else name
            if comment:
                found[key] = comment
        elif (match := CONTINUED.match(line)) and key in found:
            found[key] += f" {match[1]}"
    return found
