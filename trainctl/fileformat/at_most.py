"""Read the start of a file without taking memory for more than there is. Imports no torch."""

import io
from typing import IO

PORTION = 1 << 20  # bytes


def read_at_most(file: IO[bytes], most: int) -> bytes:
    """Return the next bytes of a file, at most so many.

    ``file.read(most)`` takes memory for all of them before it reads the first one: a gigabyte for a small image, which a
    limit of the system on the memory of a process counts.

    >>> read_at_most(io.BytesIO(b"abc"), 2), read_at_most(io.BytesIO(b"abc"), 1 << 40)
    (b'ab', b'abc')
    """
    content = io.BytesIO()
    while (left := most - content.tell()) > 0 and (part := file.read(min(left, PORTION))):
        content.write(part)
    return content.getvalue()
