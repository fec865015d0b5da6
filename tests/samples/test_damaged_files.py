"""Files that are cut, flipped, misspelt, of wrong types, in wrong units or full of nonsense, of every dialect.

Each ends in an InputError that names the file, the object and a remedy, or in a counted refusal; none hangs or lies.

What no check can see is listed once, in ``test_where_a_flipped_byte_is_seen``.
"""

import os
import re

import awkward as ak
import h5py
import numpy as np
import pyarrow.parquet as pq
import pytest
import uproot
from damage_worker import Readings
from dialects import DIALECTS, write_hdf5

N = 120
# what a message tells the user to do
REMEDY = re.compile(
    "fetch|set '|check|choose|delete|leave|repair|convert|write|map |give |reader|use |correct|supported|tolerance"
    "|take it|branches|allowed:",
    re.IGNORECASE,
)
# by dialect a column that no reader can do without, and one that holds transverse momenta or energies
KEY = {
    "own": "constituent_eta", "mapped_hdf5": "constituent_eta", "mapped_parquet": "constituent_eta",
    "nanoaod": "FatJet_eta", "delphes": "FatJet.PT", "physlite": "AnalysisLargeRJetsAuxDyn:eta",
    "jetclass": "part_pz", "jetclass2": "part_pz", "tagging": "PY_0", "tagging_table": "PY_0", "olympics": 1900,
    "jetnet": "jet_features", "adc2021": "Particles", "l1": "MET_phi",
    "l1_ntuple": "l1UpgradeTree/L1UpgradeTree:jetIEta",
}  # fmt: skip
ENERGY = KEY | {
    "own": "constituent_pt", "mapped_hdf5": "constituent_pt", "mapped_parquet": "constituent_pt",
    "nanoaod": "FatJet_pt", "physlite": "AnalysisLargeRJetsAuxDyn:pt", "jetclass": "part_energy",
    "jetclass2": "part_energy", "tagging": "E_1", "tagging_table": "E_1", "olympics": 3,
}  # fmt: skip
# what the message about a misspelt file of the dialect says that it lacks
NEAREST = {
    name: f"'{KEY[name]}' .there is '{KEY[name][:-1]}_'" for name in ("own", "jetclass", "jetclass2", "adc2021", "l1")
}
NEAREST |= {"tagging": "'PY_0' .there is", "jetnet": "'jet_features' .there is 'jet_feature_'"}
del ENERGY["l1"], ENERGY["l1_ntuple"]  # whole numbers are finite
BINARY = [name for name in DIALECTS if name != "dark_machines"]


@pytest.fixture(scope="module")
def readings():
    with Readings() as readings:
        yield readings


@pytest.fixture(scope="module")
def base(make_events, tmp_path_factory, readings):
    """{dialect: (path, columns, answer)} of whole files, and hepad's own event file, which has no columns here."""
    events, folder = make_events(N, 5), tmp_path_factory.mktemp("base")
    found = {}
    for name, dialect in DIALECTS.items():
        columns = dialect.columns(events)
        path = dialect.file(folder / name, columns)
        found[name] = (path, columns, readings.ask(path, **dialect.options))
    events.write(folder / "events.h5")
    found["events"] = (folder / "events.h5", {}, readings.ask(folder / "events.h5", events=True))
    assert {name: answer.get("kept") for name, (_, _, answer) in found.items()} == dict.fromkeys(found, N)
    return found


@pytest.fixture
def ask(base, readings, tmp_path):
    """``ask(dialect, edited columns or bytes)``: how reading that file ends."""

    def ask(name: str, content, **options) -> dict:
        own = {"events": True} if name == "events" else DIALECTS[name].options
        path = tmp_path / ("bad" + base[name][0].suffix)
        path.write_bytes(content) if isinstance(content, bytes) else DIALECTS[name].file(tmp_path / "bad", content)
        answer = readings.ask(path, **(own | options))
        assert answer["outcome"] in ("events", "InputError"), answer["message"]
        if answer["outcome"] == "InputError":
            assert str(path) in answer["message"] or "sample 's'" in answer["message"], answer["message"]
            assert REMEDY.search(answer["message"].replace(str(path), "")), answer["message"]
            assert len(answer["message"].splitlines()) == 1, answer["message"]
        else:
            assert answer["finite"], answer
        return answer

    return ask


def refused(answer: dict, message: str) -> None:
    assert answer["outcome"] == "InputError", answer
    assert re.search(message, answer["message"]), answer["message"]


def poke(values, rows, x):
    """``values`` with the first number of each of ``rows`` replaced."""
    if isinstance(values, ak.Array):
        counts, flat = ak.to_numpy(ak.num(values)), np.array(ak.flatten(values))
        flat = flat.astype(float) if x == 1e300 else flat
        flat[(np.cumsum(counts) - counts)[rows]] = x
        return ak.unflatten(flat, counts)
    values = np.array(values, float if x == 1e300 else None)
    values.reshape(len(values), -1)[rows, 0] = x
    return values


def poisoned(name: str, columns: dict, rows, x) -> tuple[str, dict]:
    """The name of the dialect's energies, as messages have it, and columns with ``x`` among them."""
    column = ENERGY[name]
    values = columns[column]
    if name == "adc2021":
        values = values.copy()
        values[rows, 0, 0] = x
        return column, columns | {column: values}
    shown = {"olympics": "particles"}.get(name, str(column).replace("AuxDyn:", "AuxDyn[.:]"))
    return shown, columns | {column: poke(values, rows, x)}


@pytest.mark.parametrize("name", [*DIALECTS, "events"])
def test_cut_off(name, base, ask):
    whole = base[name][0].read_bytes()
    for share in (0, 1e-9, 0.001, 0.03, 0.2, 0.5, 0.77, 0.95, 0.999):
        end = int(np.ceil(share * len(whole)))
        while whole[end - 1 : end] == b"\n" or whole[end : end + 1] == b"\n":
            end -= 1  # of lines of text nothing tells that there were more
        refused(ask(name, whole[:end]), "truncated|empty|damaged|not a readable|no reader takes|holds no|text file")


@pytest.mark.parametrize("name", [*DIALECTS, "events"])
def test_flipped_anywhere(name, base, ask):
    """The own files of hepad give the same events or an error; other formats do not cover all that they hold."""
    path, _, good = base[name]
    whole, rng = path.read_bytes(), np.random.default_rng(11)
    for end in (300, 3000, len(whole)):
        for place in rng.integers(0, end, 4 if name != "events" else 20):
            flipped = bytes([whole[place] ^ (1 << int(rng.integers(8)))])
            answer = ask(name, whole[:place] + flipped + whole[place + 1 :])
            assert name != "events" or answer.get("digest", good["digest"]) == good["digest"], place


def stretches(path) -> list[tuple[int, int]]:
    """(offset, length) of the stored values in a file with checksums."""
    if path.suffix == ".h5":
        with h5py.File(path) as file:
            sets = []
            file.visititems(lambda _, item: sets.append(item) if isinstance(item, h5py.Dataset) else None)
            chunks = [item.id.get_chunk_info(0) for item in sets if item.chunks and item.id.get_num_chunks()]
            return [(chunk.byte_offset, chunk.size) for chunk in chunks]
    if path.suffix == ".parquet":
        group = pq.ParquetFile(path).metadata.row_group(0)
        chunks = [group.column(i) for i in range(group.num_columns)]
        # the last quarter: the headers of the pages have no checksum
        starts = [c.dictionary_page_offset or c.data_page_offset for c in chunks]
        sizes = [c.total_compressed_size for c in chunks]
        return [(start + size * 3 // 4, size // 4) for start, size in zip(starts, sizes, strict=True)]
    with uproot.open(path) as file:
        trees = [file[key] for key, kind in file.classnames().items() if kind == "TTree"]
        keys = [branch.basket_key(0) for tree in trees for branch in tree.branches if branch.num_baskets]
        packed = [key for key in keys if key.data_compressed_bytes < key.data_uncompressed_bytes]
        return [(key.data_cursor.index + 9, key.data_compressed_bytes - 9) for key in packed]


CHECKED = [name for name, dialect in DIALECTS.items() if dialect.checked]


@pytest.mark.parametrize("name", [*CHECKED, "events"])
def test_where_a_flipped_byte_is_seen(name, base, ask):
    """Values under a checksum: hepad's event files (all of them), HDF5 with fletcher32, Parquet with page checksums,
    baskets of TTrees that zlib has compressed. Not: HDF5 and Parquet without, baskets and pages of RNTuples that were
    stored as they are, digits of text."""
    path, _, good = base[name]
    whole, rng, seen = bytearray(path.read_bytes()), np.random.default_rng(3), 0
    for offset, length in stretches(path)[:6]:
        place = offset + int(rng.integers(length))
        whole[place] ^= 0x10
        answer = ask(name, bytes(whole))
        whole[place] ^= 0x10
        seen += answer["outcome"] == "InputError"
        # what is not read is not noticed
        assert answer.get("digest", good["digest"]) == good["digest"], (name, place)
    assert seen


@pytest.mark.parametrize("name", KEY)
def test_missing_misspelt_and_empty(name, base, ask):
    _, columns, _ = base[name]
    key, named = KEY[name], {"reader": DIALECTS[name].reader}
    if str(key).startswith(("FatJet", "Analysis")):
        named["jet"] = re.split("[_.]|AuxDyn", key)[0]  # otherwise another collection is taken, and a remark says so
    rest = {x: values for x, values in columns.items() if x != key}
    shown = {"olympics": "0 to 2099", "own": "without constituent_eta", "l1_ntuple": "jetIEta"}
    shown = shown.get(name, named.get("jet", str(key)))
    refused(ask(name, rest, **named), shown)
    wrong = 9999 if isinstance(key, int) else f"{key[:-1]}_"
    refused(ask(name, rest | {wrong: columns[key]}, **named), shown)
    if name in NEAREST:
        refused(ask(name, rest | {wrong: columns[key]}), f"nearest is {DIALECTS[name].reader}.*lacks.*{NEAREST[name]}")
    if name != "tagging_table":  # of which pandas writes nothing
        refused(ask(name, {x: values[:0] for x, values in columns.items()}), "nothing passes")


@pytest.mark.parametrize("name", ENERGY)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, -5.0, 1e300])
def test_values_that_cannot_be(name, value, base, ask):
    """One in 120 is counted, a block of them refuses the file; each is named."""
    _, columns, _ = base[name]
    shown, bad = poisoned(name, columns, [7], value)
    answer = ask(name, bad)
    assert (answer["kept"], answer["read"]) == (N - 1, N), answer
    assert [(bool(re.search(shown, why)), count) for why, count in answer["refused"].items()] == [(True, 1)], answer
    _, bad = poisoned(name, columns, np.arange(20, 50), value)
    refused(
        ask(name, bad),
        rf"'[^']*{shown}[^']*' is not finite \(or null\), or negative, in 30 of {N} entries, first in entry 20",
    )


@pytest.mark.parametrize("name", ENERGY)
def test_other_units(name, base, ask):
    """MeV where GeV are due, GeV where MeV are."""
    _, columns, _ = base[name]
    scale = 1e-3 if name == "physlite" else 1e3
    momenta = re.compile(r".*_(pt|mass|energy|p[xyz])|.*[.](PT|Mass)|.*:(pt|m)|(E|P[XYZ])_\d+")
    changed = {x: values * scale for x, values in columns.items() if momenta.fullmatch(str(x))}
    changed |= {x: values * scale for x, values in columns.items() if isinstance(x, int) and x % 3 == 0 and x < 2100}
    if name in ("jetnet", "adc2021"):
        changed = {ENERGY[name]: columns[ENERGY[name]] * ([1e3, 1, 1e3, 1] if name == "jetnet" else [1e3, 1, 1, 1])}
    answer = ask(name, columns | changed)
    refused(answer, "outside 5 to 7000 GeV. This looks like MeV" if scale > 1 else "outside 5 to 7000 GeV. Check")


def other(columns: dict, name, values) -> dict:
    return columns | {name: values}


def text(n: int = N) -> np.ndarray:
    return np.array([b"600"] * n)


def longer(columns: dict, name: str) -> dict:
    """One number more in the first list of a column."""
    values = columns[name]
    return columns | {name: ak.concatenate([ak.concatenate([values[:1], values[:1, :1]], axis=1), values[1:]])}


EDITS = {
    "strings for numbers, parquet": ("l1", lambda c: other(c, "event", ["7"] * N), "'event' holds text"),
    "lists of strings": ("l1", lambda c: other(c, "MET_Et", ak.Array([["7"]] * N)), "'MET_Et' holds"),
    "numbers for lists": ("jetclass2", lambda c: other(c, "part_px", c["jet_pt"]), "'part_px' holds number"),
    "lists for numbers": ("jetclass2", lambda c: other(c, "jet_pt", c["part_px"]), "'jet_pt' holds numbers"),
    "numbers for lists, ROOT": ("jetclass", lambda c: other(c, "part_px", c["jet_pt"]), "'part_px' is of type"),
    "lists for numbers, ROOT": ("jetclass", lambda c: other(c, "jet_pt", c["part_px"]), "'jet_pt' is of type"),
    "bytes": ("jetnet", lambda c: other(c, "jet_features", text()), "'jet_features' has shape"),
    "bytes in a mapping": ("mapped_hdf5", lambda c: other(c, "weight", text()), "'weight' holds .S3, not numbers"),
    "complex": ("adc2021", lambda c: other(c, "Particles", c["Particles"] * 1j), "holds complex128, not numbers"),
    "one dimension less": ("adc2021", lambda c: other(c, "Particles", c["Particles"][0]), "shape .19, 4."),
    "objects in pandas": ("tagging", lambda c: other(c, "E_0", ["600"] * N), "block.': object, .*E_0.*numbers"),
    "text in pandas' table": ("tagging_table", lambda c: other(c, "E_0", ["6"] * N), "E_0|numbers"),
    "fractions for indices": (
        "nanoaod", lambda c: other(c, "FatJetPFCands_pFCandsIdx", c["FatJetPFCands_pFCandsIdx"] * 1.0),
        "whole numbers"),
    "fractions for numbers of events": ("nanoaod", lambda c: other(c, "event", c["event"] / 3), "whole number"),
    "fractions for identifiers": (
        "delphes", lambda c: other(c, "EFlowTrack.fUniqueID", c["EFlowTrack.fUniqueID"] * 0.5), "whole numbers"),
    "an index beyond the candidates": (
        "nanoaod", lambda c: other(c, "FatJetPFCands_pFCandsIdx", poke(c["FatJetPFCands_pFCandsIdx"], [3], 5000)),
        "FatJetPFCands_pFCandsIdx"),
    "a negative index": (
        "nanoaod", lambda c: other(c, "FatJetPFCands_pFCandsIdx", poke(c["FatJetPFCands_pFCandsIdx"], [3], -7)),
        "FatJetPFCands_pFCandsIdx"),
    "an index beyond the jets": (
        "nanoaod", lambda c: other(c, "FatJetPFCands_jetIdx", poke(c["FatJetPFCands_jetIdx"], [3], 9)),
        "FatJetPFCands_jetIdx"),
    "lists of different length": (
        "jetclass", lambda c: longer(c, "part_py"), "'part_px' and 'part_py' differ in length"),
    "lists of different length, parquet": ("l1", lambda c: longer(c, "jets_jetIEta"), "differ in length"),
    "lists of different length, own": ("own", lambda c: longer(c, "constituent_phi"), "differ in length"),
    "lists of different length, NanoAOD": ("nanoaod", lambda c: longer(c, "PFCands_eta"), "differ in length"),
    "lists of different length, PHYSLITE": (
        "physlite", lambda c: longer(c, "AnalysisJetsAuxDyn:phi"), "differ in length"),
    "datasets of different length": (
        "jetnet", lambda c: other(c, "jet_features", c["jet_features"][:50]), "'jet_features' 50"),
    "datasets of different length, mapped": (
        "mapped_hdf5", lambda c: other(c, "weight", c["weight"][:50]), "'weight' 50"),
    "another pt of jets": ("own", lambda c: other(c, "jet_pt", c["jet_pt"] * 2), "do not sum to their jets.*50%"),
    "unknown split": ("l1", lambda c: other(c, "split", ["trian"] * N), "'split' is 'trian'"),
    "unknown ttv": ("tagging", lambda c: other(c, "ttv", np.full(N, 7)), "'ttv' has values other"),
    "no unit": (
        "dark_machines", lambda c: {i: re.sub(r"(?<=;)j,", "jet,", x) for i, x in c.items()},
        "begins with '0;qcd.*nearest is DarkMachines"),
    "an unknown object": ("dark_machines", lambda c: c | {3: c[3].replace(";j,", ";jet,")}, "line 4.*'jet'"),
    "a field too few": ("dark_machines", lambda c: c | {5: c[5].replace(";qcd", "", 1)}, "line 6"),
    "a word for a number": ("dark_machines", lambda c: c | {8: re.sub(r"j,\d+", "j,many", c[8])}, "line 9.*'many'"),
    "not finite in text": ("dark_machines", lambda c: c | {2: re.sub(r"j,[^,]+", "j,nan", c[2])}, "line 3.*not finite"),
    "negative in text": ("dark_machines", lambda c: c | {2: re.sub(r"j,(?=\d)", "j,-", c[2])}, "line 3.*negative"),
    "GeV for MeV in text": (
        "dark_machines",
        lambda c: {i: re.sub(r",(\d+)\.?\d*,(\d+)\.?\d*,",
            lambda m: f",{m[1][:-3]}.5,{m[2][:-3]}.4,", x) for i, x in c.items()},
        "looks like GeV"),
}  # fmt: skip


@pytest.mark.parametrize("case", EDITS)
def test_wrong_content(case, base, ask):
    name, edit, message = EDITS[case]
    refused(ask(name, edit(base[name][1])), message)


COUNTED = {
    "a jet that is not the sum": (
        "own", lambda c: other(c, "jet_pt", poke(c["jet_pt"], [4], 900)), "constituents do not sum"),
    "an event twice": (
        "jetclass", lambda c: {x: np.concatenate([v, v[:1]])
                               if isinstance(v, np.ndarray) else ak.concatenate([v, v[:1]])
                               for x, v in c.items()}, "repetition"),
    "a jet of nothing": (
        "own", lambda c: c | {x: ak.concatenate([v[:3], v[3:4, :0], v[4:]]) for x, v in c.items() if "stituent" in x},
        "no constituents"),
    "E < p": ("dark_machines", lambda c: c | {2: re.sub(r"j,\d+\.?\d*", "j,1", c[2], count=1)}, "E < p"),
    "an unknown class": ("olympics", lambda c: other(c, 2100, poke(c[2100], [4], 7)), "bad value in 'label'"),
    "an object of another class": (
        "adc2021", lambda c: other(c, "Particles", _class(c["Particles"])), "bad value in 'Particles, class'"),
}  # fmt: skip


def _class(particles: np.ndarray) -> np.ndarray:
    particles = particles.copy()
    particles[6, 9, 3] = 3
    return particles


@pytest.mark.parametrize("case", COUNTED)
def test_counted_refusal(case, base, ask):
    name, edit, why = COUNTED[case]
    answer = ask(name, edit(base[name][1]))
    assert answer["refused"] == {f"refused: {why}": 1}
    assert answer["kept"] == answer["read"] - 1
    assert answer["read"] == N + (why == "repetition")


def test_whole_numbers_are_numbers(base, ask):
    """Integers for floats, and event numbers beyond 63 bits, lose nothing."""
    _, columns, _ = base["own"]
    number = np.uint64(2**64 - 1) - np.arange(N, dtype=np.uint64)
    momenta = {x: ak.values_astype(v * 0 + 7, np.int32) for x, v in columns.items() if x == "constituent_mass"}
    answer = ask("own", columns | momenta | {"event_id": number})
    assert (answer["kept"], answer["refused"]) == (N, {})


@pytest.fixture
def edited(base, tmp_path):
    """``edited(dialect, change)``: bytes of a file in which ``change(open h5py file)`` was made."""

    def edited(name, change) -> bytes:
        path = tmp_path / "edited.h5"
        path.write_bytes(base[name][0].read_bytes())
        with h5py.File(path, "a") as file:
            change(file)
        return path.read_bytes()

    return edited


def _attribute(file, key, value):
    file["table/table"].attrs[key] = value


def _replace(file, name, values):
    del file[name]
    file[name] = values


PANDAS = {
    "a program for names": (
        "tagging_table", lambda f: _attribute(f, "values_block_0_kind", np.void(b"cos\nsystem\n(S'true'\ntR.")),
        "unpickle"),
    "garbage for names": (
        "tagging_table", lambda f: _attribute(f, "values_block_0_kind", np.void(b"\xff\xfe\x00")),
        "names cannot be read"),
    "no names": (
        "tagging_table", lambda f: f["table/table"].attrs.__delitem__("values_block_0_kind"), "values_block_0_kind"),
    "names too few": (
        "tagging", lambda f: _replace(f, "table/block0_items", np.array([b"E_0"])), "not 1 numbers per row"),
    "names alone": ("tagging", lambda f: f["table"].__delitem__("block0_values"), "block0_values"),
    "rows that differ": (
        "tagging", lambda f: _replace(f, "table/block1_values", np.zeros((9, 2), int)),
        "its blocks have .9, 120. rows"),
    "nothing": (
        "tagging", lambda f: [f["table"].__delitem__(key) for key in list(f["table"])], "no columns that pandas"),
}  # fmt: skip


@pytest.mark.parametrize("case", PANDAS)
def test_wrong_metadata_of_pandas(case, edited, ask):
    name, change, message = PANDAS[case]
    refused(ask(name, edited(name, change), reader="TopTagging"), message)


def _declare(file, name: str, length: int):
    shape, chunks = file[name].shape, file[name].chunks
    del file[name]
    file.create_dataset(name, (length, *shape[1:]), "f4", chunks=chunks)


@pytest.mark.parametrize("name", ["jetnet", "adc2021", "mapped_hdf5", "tagging"])
def test_lengths_that_are_declared_and_not_there(name, edited, ask):
    key = {
        "jetnet": "particle_features",
        "adc2021": "Particles",
        "mapped_hdf5": "weight",
        "tagging": "table/block0_values",
    }
    refused(
        ask(name, edited(name, lambda file: _declare(file, key[name], 10**12))), "incomplete: 0 of|differ in length"
    )


def test_a_tree_that_declares_more_entries_than_it_has(base, ask):
    for name in ("own", "nanoaod", "jetclass"):
        whole = base[name][0].read_bytes()
        declared = whole.replace(N.to_bytes(8, "big"), (10**12).to_bytes(8, "big"))
        assert declared != whole
        refused(ask(name, declared), "not a readable ROOT file|entries")


@pytest.mark.parametrize("change", ["shorter", "missing", "renamed", "text", "not JSON"])
def test_event_files_that_are_not_whole(change, edited, ask):
    def edit(file):
        if change == "shorter":
            file["weight"].resize(N - 3, axis=0)
        elif change == "renamed":
            file.move("photons", "photon")
        elif change == "text":
            _replace(file, "jet", text())
        elif change == "not JSON":
            _replace(file, "meta", np.frombuffer(b"{no", np.uint8))
        else:
            del file["truth"]

    message = {
        "shorter": "'weight'",
        "missing": "truth missing",
        "renamed": "photons missing",
        "text": "'jet' has shape",
    }
    refused(ask("events", edited("events", edit)), message.get(change, "JSON|damaged"))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("own", b"\x80\x04\x95 a pickle", "Python pickle"),
        ("own", b"\x1f\x8b\x08 gzip", "gzip"),
        ("own", b"PK\x03\x04", "ZIP"),
        ("own", b"root" + bytes(100_000), "ROOT file with nothing in it .*fetch it again"),
        ("own", b"root" + b"\xff" * 5000, "not a readable ROOT file"),
        ("tagging", b"\x89HDF\r\n\x1a\n" + b"\xff" * 5000, "not a readable HDF5 file"),
        ("l1", b"PAR1" + b"\xff" * 5000 + b"PAR1", "not a readable Parquet file"),
        ("own", b"HepMC::Version 3", "HepMC"),
        ("dark_machines", b"a;b;c\n1;2;3\n", "a table in text .*which is not read"),
        ("dark_machines", b"\n" * 5000, "no reader takes"),
        ("dark_machines", "données".encode(), "neither ROOT, HDF5, Parquet nor text"),
    ],
)
def test_other_things(name, content, message, ask):
    refused(ask(name, content), message)


def test_the_limit_is_kept(tmp_path):
    """A file that never ends, and so a reading that does not: the corpus notices it."""
    os.mkfifo(tmp_path / "endless.csv")
    with Readings(limit=1) as readings:
        answer = readings.ask(tmp_path / "endless.csv")
    assert answer["outcome"] == "hang"


def test_a_flat_table_of_unknown_names_is_refused_with_what_there_is(readings, tmp_path):
    write_hdf5(tmp_path / "x.h5", {"energies": np.ones((5, 3)), "labels": np.ones(5)})
    refused(
        readings.ask(tmp_path / "x.h5"), "HDF5 file with energies, labels, which no reader takes.*Supported.*branches"
    )
