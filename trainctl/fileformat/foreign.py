"""The first bytes of a file that is no CSV -> what it is, and how to convert it. Imports no torch."""

import re
from collections.abc import Sequence

HEAD = 4096  # bytes that are looked at
EXCEL = "save the sheet as CSV UTF-8 (in Excel: File > Save As)"
# What files of each kind start with, what they are, and what to do.
STARTS = (
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Excel workbook (.xls)", EXCEL),
    (b"PAR1", "a Parquet file", "read it with dataset=parquet"),
    (b"ARROW1", "an Arrow (Feather) file", "convert it: python -c \"import pandas; pandas.read_feather('IN').to_csv('OUT', index=False)\""),
    (b"Obj\x01", "an Avro file", "convert it to CSV"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file", "export the table as CSV"),
    (b"SQLite format 3\0", "an SQLite database", "export a table: sqlite3 -csv -header IN 'select * from TABLE' > OUT"),
    (b"\x93NUMPY", "a NumPy array", "read it with dataset=arrays"),
    (b"$FL2", "an SPSS file", "export it as CSV"),
    (b"<stata_dta>", "a Stata file", "export it as CSV"),
    (b"RDX", "an R data file", "export it: write.csv(x, 'OUT', row.names=FALSE)"),
    (b"%PDF", "a PDF document", "export the table as CSV"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", "unpack it first"),
    (b"Rar!", "a RAR archive", "unpack it first"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard file", "unpack it first: zstd -d"),
    (b"\x1f\x9d", "a .Z file", "unpack it first: uncompress"),
    (b"\x89PNG", "a PNG image", "read images with dataset=image_folder"),
    (b"\xff\xd8\xff", "a JPEG image", "read images with dataset=image_folder"),
    (b"\x80\x02", "a Python pickle", "pickles can run code and are never read; save the table as CSV"),
    (b"\x80\x04", "a Python pickle", "pickles can run code and are never read; save the table as CSV"),
    (b"\x80\x05", "a Python pickle", "pickles can run code and are never read; save the table as CSV"),
    (b"{\\rtf", "a rich text document", "save the table as CSV"),
    (b"version https://git-lfs", "a Git LFS pointer, not the data itself", "fetch the data: git lfs pull"),
    (b"version https://hawser", "a Git LFS pointer, not the data itself", "fetch the data: git lfs pull"),
    (b"@relation", "an ARFF file", "convert it to CSV"),
)  # fmt: skip
READABLE = frozenset({b"PAR1", b"ARROW1", b"Obj\x01", b"RDX", b"Rar!"})  # also the beginning of a header, without a NUL
MARKUP = re.compile(rb"\s*<(!doctype html|html|head|body|table|\?xml|!--)", re.IGNORECASE)


def foreign(head: bytes) -> str | None:
    r"""Return what a file is that is no CSV, and what to do, by its first bytes; None if it may be one.

    >>> foreign(b"PAR1\0...")[:14], foreign(b"a,b")
    ('a Parquet file', None)
    """
    text = head.removeprefix(b"\xef\xbb\xbf")
    readable = b"\0" not in head  # so a header such as PAR1,PAR2 is one
    for start, kind, advice in STARTS:
        if readable and start in READABLE:
            continue
        if text.lower().startswith(start) if start == b"@relation" else text.startswith(start):
            return f"{kind}; {advice}"
    if match := MARKUP.match(text):
        if match[1].lower() == b"?xml":
            return "an XML document; export the table as CSV"
        return "a web page (HTML); download the file itself, or save its table as CSV"
    return None


def in_zip(names: Sequence[str]) -> str | None:
    """Return what a ZIP is that packs a document of an office program or arrays; None if it packs plain files.

    >>> in_zip(["[Content_Types].xml", "xl/workbook.xml"])[:17]
    'an Excel workbook'
    """
    if any(name.startswith("xl/") for name in names):
        return f"an Excel workbook (.xlsx); {EXCEL}"
    if "mimetype" in names and "content.xml" in names:
        return "an OpenDocument spreadsheet (.ods); save the sheet as CSV (File > Save As)"
    if "[Content_Types].xml" in names:
        return "an Office document; save the table as CSV"
    if names and all(name.endswith(".npy") for name in names):
        return "an archive of NumPy arrays (.npz); read it with dataset=arrays"
    return None
