"""Table of the kinds of files that hepad does not read: their first bytes, and what to do with them."""

import re
import zlib
from collections.abc import Callable
from typing import NamedTuple

# first bytes of files that are read; HDF5 may follow a block of the user's own, which ends at 512, 1024, 2048 ... bytes
HDF5 = b"\x89HDF\r\n\x1a\n"
READ = {b"root": "ROOT", HDF5: "HDF5", b"PAR1": "Parquet"}
USER_BLOCKS = (512, 1024, 2048)


class Foreign(NamedTuple):
    """``what`` a file is; ``remedy``: a sentence, 'FILE' standing for its path; ``test``: whether these first bytes are
    such a file's."""

    what: str
    remedy: str
    test: Callable[[bytes], object]


def _starts(*signatures: bytes) -> Callable[[bytes], bool]:
    return lambda head: head.startswith(signatures)


def _like(pattern: bytes) -> Callable[[bytes], object]:
    return re.compile(rb"(?:\xef\xbb\xbf)?\s*" + pattern, re.DOTALL | re.IGNORECASE).match


def _tables(mark: bytes) -> Callable[[bytes], bool]:
    """Two lines or more, of one number of ``mark``; not those of Dark Machines, whose fields have objects."""

    def test(head: bytes) -> bool:
        if b"\0" in head or is_challenge(head):
            return False
        lines = [line for line in head.splitlines() if line.strip() and not line.startswith(b"#")]
        lines = lines if head.endswith(b"\n") else lines[:-1]  # the last may be cut
        counts = {line.count(mark) for line in lines}
        return len(lines) > 1 and len(counts) == 1 and min(counts) > 0

    return test


def is_challenge(head: bytes) -> bool:
    """Whether text is in the form of the Dark Machines challenge: objects between semicolons, or none at all."""
    return bool(re.search(rb";(j|b|e[-+]|m[-+]|g),", head)) or head.split(b"\n", 1)[0].rstrip().endswith(b";")


GENERATED = "Run Delphes on it ({program}) and give its ROOT file."
PICKLE = "Load it yourself, where you trust it, and write its columns as Parquet or HDF5 (DataFrame.to_parquet, h5py)."
AGAIN = "Download the file itself."
ARROW = "Write it as Parquet: pyarrow.parquet.write_table(pyarrow.feather.read_table('FILE'), 'FILE.parquet')."
NUMPY = "Write it as HDF5 with a name for each quantity: h5py.File('FILE.h5', 'w')['pt'] = numpy.load('FILE')..."
UNPACK = "Unpack it first ({program}) and give what is in it."
COLUMNS = "Write its columns as ROOT, Parquet or HDF5"

FOREIGN = (
    Foreign("a Git LFS pointer, three lines that stand for the file",
            "Run `git lfs pull` in its repository, or download the file itself.", _like(rb"version https://git-lfs")),
    Foreign("a git-annex pointer, a line that stands for the file",
            "Run `git annex get` in its repository, or download the file itself.",
            _like(rb"(\.\./|\.git|/)*annex/objects/")),
    Foreign("a Les Houches event file (LHE), partons without a shower",
            "Shower it (Pythia 8, or DelphesPythia8), run Delphes on it and give its ROOT file.",
            _like(rb"(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)*<LesHouches")),
    Foreign("a web page (HTML), saved instead of the file: of a log-in, or of an error",
            "Log in, and download the file itself.",
            _like(rb"(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)*<(!doctype\s+html|html|head|body|meta|script)\b")),
    Foreign("an XML file, perhaps a server's message instead of the file", f"Look into it. {AGAIN}",
            _like(rb"<(\?xml|Error>|[a-z]+[ >])")),
    Foreign("HepMC, generator-level particles without a detector", GENERATED.format(program="DelphesHepMC2 or 3"),
            _like(rb"HepMC::|HepMC3?\b|(E \d+ .*\nU (GEV|MEV) )")),
    Foreign("STDHEP, generator-level particles without a detector", GENERATED.format(program="DelphesSTDHEP"),
            re.compile(rb"\0\0\0\x01\0\0..\0\0\0[\x01-\x20]\d\.\d", re.DOTALL).match),
    Foreign("an LCIO file", "Convert it to EDM4hep and give a flat ROOT file of it.",
            re.compile(rb".{4}\xab\xad\xca\xfe", re.DOTALL).match),
    Foreign("JSON", f"{COLUMNS}: ak.to_parquet(ak.from_json(pathlib.Path('FILE')), 'FILE.parquet').",
            _like(rb"(\{\s*(\"|\})|\[\s*[-\[{\"\d\]])")),
    Foreign("an array of NumPy, without names", NUMPY, _starts(b"\x93NUMPY")),
    Foreign("arrays of NumPy in a ZIP archive (npz)", NUMPY,
            re.compile(rb"PK\x03\x04.{26}[^\0]{1,200}?\.npy", re.DOTALL).match),
    Foreign("a pickle in a ZIP archive, as PyTorch writes it, which could run any program and is never loaded", PICKLE,
            re.compile(rb"PK\x03\x04.{26}[^\0]{1,200}?\.pkl", re.DOTALL).match),
    Foreign("a Python pickle, which could run any program and is never loaded", PICKLE,
            re.compile(rb"\x80[\x01-\x05]|\x80\Z|\(?[dl]p\d+\n|\([dl]p\d|c[a-z_][\w.]*\n\w+\n").match),
    Foreign("a ZIP archive", UNPACK.format(program="unzip"), _starts(b"PK\x03\x04", b"PK\x05\x06")),
    Foreign("a tar archive", UNPACK.format(program="tar -xf"), lambda head: head[257:262] == b"ustar"),
    Foreign("a file compressed with gzip", UNPACK.format(program="gunzip"), _starts(b"\x1f\x8b")),
    Foreign("a file compressed with bzip2", UNPACK.format(program="bunzip2"), _starts(b"BZh")),
    Foreign("a file compressed with xz", UNPACK.format(program="unxz"), _starts(b"\xfd7zXZ")),
    Foreign("a file compressed with Zstandard", UNPACK.format(program="unzstd"), _starts(b"(\xb5/\xfd")),
    Foreign("a file compressed with LZ4", UNPACK.format(program="unlz4"), _starts(b'\x04"M\x18')),
    Foreign("a 7z archive", UNPACK.format(program="7z x"), _starts(b"7z\xbc\xaf'\x1c")),
    Foreign("a RAR archive", UNPACK.format(program="unrar x"), _starts(b"Rar!")),
    Foreign("HDF4, which HDF5 cannot open", "Convert it with h4toh5.", _starts(b"\x0e\x03\x13\x01")),
    Foreign("a classic NetCDF file", "Convert it to NetCDF-4, which is HDF5: nccopy -k nc4.",
            _starts(b"CDF\x01", b"CDF\x02", b"CDF\x05")),
    Foreign("an encrypted Parquet file", "Write it without encryption.", _starts(b"PARE")),
    Foreign("an Arrow file (IPC, or Feather)", ARROW, _starts(b"ARROW1", b"FEA1")),
    Foreign("an Arrow stream (IPC)", "Write it as Parquet: pyarrow.parquet.write_table(pyarrow.ipc.open_stream('FILE')"
            ".read_all(), 'FILE.parquet').", re.compile(rb"\xff{4}.{2}\0\0.\0\0\0", re.DOTALL).match),
    Foreign("an ORC file", f"{COLUMNS} (pyarrow.orc, pyarrow.parquet).", _starts(b"ORC")),
    Foreign("an Avro file", f"{COLUMNS}.", _starts(b"Obj\x01")),
    Foreign("a FITS file", f"{COLUMNS} (astropy.table).", _starts(b"SIMPLE  =")),
    Foreign("an SQLite database", f"{COLUMNS} (pandas.read_sql).", _starts(b"SQLite format 3")),
    Foreign("a MATLAB file", f"{COLUMNS} (scipy.io.loadmat).", _starts(b"MATLAB 5.0")),
    Foreign("a model (safetensors), not events", "Give files of events.",
            re.compile(rb".{5}\0\0\0\{\s*\"", re.DOTALL).match),
    Foreign("a PDF or an image, not events", "Give files of events.",
            _starts(b"%PDF", b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"%!PS")),
    Foreign("text in UTF-16", f"{COLUMNS}.", _starts(b"\xff\xfe", b"\xfe\xff")),
    # semicolons first: with them commas may be decimal
    *(Foreign("a table in text (CSV, TSV), which is not read",
              f"{COLUMNS}: pandas.read_csv('FILE'{how}).to_parquet('FILE.parquet').", _tables(mark))
      for mark, how in ((b";", ", sep=';'"), (b"\t", r", sep='\t'"), (b",", ""))),
)  # fmt: skip


def kind_read(head: bytes) -> str | None:
    """'ROOT', 'HDF5' or 'Parquet' if these are the first bytes of such a file; an address root:// is text."""
    if head.isascii() and b"\0" not in head:
        return "Parquet" if head.startswith(b"PAR1") else None
    kind = next((kind for signature, kind in READ.items() if head.startswith(signature)), None)
    return "HDF5" if any(head[offset:].startswith(HDF5) for offset in USER_BLOCKS) else kind


def foreign(head: bytes) -> Foreign | None:
    """The entry of ``FOREIGN`` whose first bytes these are, None if there is none; for gzip with its content."""
    signature = next((entry for entry in FOREIGN if entry.test(head)), None)
    if signature and head.startswith(b"\x1f\x8b"):
        inside = _unzipped(head)
        within = foreign(inside)
        content = within.what if within else kind_read(inside) or ("text" if inside and inside.isascii() else None)
        if content:
            advice = f" Then: {within.remedy}" if within and within.remedy else ""
            return signature._replace(what=f"{signature.what}; in it is {content}", remedy=signature.remedy + advice)
    return signature


def _unzipped(head: bytes) -> bytes:
    try:
        return zlib.decompressobj(31).decompress(head, 4096)
    except zlib.error:
        return b""
