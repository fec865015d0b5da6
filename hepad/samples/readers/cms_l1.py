"""The CMS Level-1 anomaly detection set (Zenodo 21787779, CC0) in both forms in which it is published.

In rows, one Parquet row per event, at Hugging Face (CERN/anomaly_detection_cmsl1t); the decisions of the menu lie in
files of their own, row by row the same events:

    data/<sample>/<split>-00000-of-00003.parquet            jets_jetIEt, ..., MET_Et, MET_phi, run, ..., L1bit
    data/<sample>/seeds/<split>-00000-of-00002.parquet      L1_SingleMu22, ...

In folders, as github.com/bb511/adl1t_datamaker writes them and Zenodo has them, one for each kind of object. A folder
may be cut into files as it likes: row i of each is the same event (the converter writes one file for each of CMS's, the
published set is cut by size). ``files`` are those of ``event_info``, the others are found beside them:

    event_info/     run, lumi, event, nPV_True (pile-up), and of the published set split and order
    jets/  egammas/  muons/  taus/     lists: jetIEt, jetIEta, jetIPhi; egIEt, ...; muonIEt, muonIEtaAtVtx, ...
    MET/  ET/  HT/  MHT/  FET/  FHT/   Et, phi: lists of one number
    seeds/          L1bit and a bit for each unprescaled algorithm of the menu but those for anomalies
    cica/           CICADAScore, where the converter was given it; the published set leaves it out

All is in hardware units (:mod:`hepad.samples.readers.level1`). ``L1bit`` is the OR of the seeds. ``order`` is -1 where
the total energy is saturated (ET_Et = 4095), which the set's authors remove; where it is missing the energy says so.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import awkward as ak
import numpy as np

from hepad.errors import InputError
from hepad.events import SPLITS
from hepad.samples.formats import beside, parquet
from hepad.samples.readers import jagged, level1
from hepad.samples.readers.base import Block, Contents, Found, Reader
from hepad.samples.readers.branches import Branches, matching

BITS = ("L1bit",)
IN_ROWS, IN_FOLDERS = level1.names("{0}_{1}"), level1.names("{0}/{1}")
MAIN, SEEDS = "event_info", "seeds"
NUMBERS = list(level1.NUMBERS.values())
CICADA = level1.SCORES["cicada"]
SPLIT_OF = {"train": "train", "valid": "valid", "validation": "valid", "test": "test"}
ONE = ("number", "numbers")  # one number per event, as such or in a list of one
# beside event_info: the columns that are read of a folder, all of them where none is named, and their kinds
FOLDERS = {name: (branches, ("numbers",)) for name, branches, *_ in level1.OBJECTS.values()} | {
    "MET": (("Et", "phi"), ("numbers",)), "ET": (("Et",), ("numbers",)), "cica": ((CICADA,), ONE), SEEDS: ((), ()),
}  # fmt: skip
NEEDED = ("jets", "egammas", "muons", "MET")
ADVICE = "The layout is that of CERN/anomaly_detection_cmsl1t, one row per event; choose another 'reader'."
REMEDY = "Fetch the folder again, or choose another 'reader'."


class Part(NamedTuple):
    """A folder beside that of the file; its columns, and their kinds, by the names that they have here."""

    folder: beside.Folder
    columns: dict[str, str]
    kinds: dict[str, str]


class Plan(NamedTuple):
    """What is read: the ``main`` columns of the file, and from row ``first`` of the set on those of other folders."""

    names: level1.Names
    main: list[str]
    parts: list[Part]
    first: int
    bits: tuple[str, ...]

    @property
    def columns(self) -> set[str]:
        return {*self.main, *(name for part in self.parts for name in part.columns)}


@dataclass(frozen=True)
class L1Anomaly(Reader):
    """CMS Level-1 anomaly detection set.

    triggers: patterns of the columns, of bits or of numbers that are 0, 1 or -1, that are kept as trigger bits
    use_split: take the split from the column ``split`` if the file has it
    saturated: keep events with ``order`` -1 or, without ``order``, of a saturated total energy
    """

    title = "CMS Level-1 anomaly detection set (Parquet): event vectors in hardware units, in rows or in folders"
    kind = "Parquet"
    landmarks = (*IN_ROWS.lists, *NUMBERS)
    triggers: tuple[str, ...] = BITS
    use_split: bool = True
    saturated: bool = False

    @classmethod
    def recognises(cls, contents: Contents) -> bool:
        columns = contents.tables.get("", frozenset())
        in_folders = {*NUMBERS, "bx", "orbit"} <= columns or _folder(contents.path, MAIN).is_dir()
        return contents.kind == "Parquet" and ({*IN_ROWS.lists, *NUMBERS} <= columns or in_folders)

    def look(self, path: str) -> Found:
        with parquet.open_parquet(path) as file:
            plan = self._plan(path, file)
            present, facts = level1.present(plan.names, plan.columns)
            return Found(
                file.metadata.num_rows, present, plan.bits, remarks=(level1.REMARK,),
                official_split="split" in plan.main, facts=facts,
            )  # fmt: skip

    def blocks(self, path: str, rows: int) -> Iterator[Block]:
        with parquet.open_parquet(path) as file:
            plan = self._plan(path, file)
            parts = [(x.columns, beside.Beside(x.folder, x.columns.values(), plan.first, rows)) for x in plan.parts]
            for start, arrays in parquet.blocks(path, file, plan.main, rows):
                n = len(arrays["run"])
                for columns, reader in parts:
                    taken = reader.take(n)
                    arrays |= {name: taken[column] for name, column in columns.items()}
                split = _split(path, arrays.pop("split")) if "split" in arrays else None
                lists = {*plan.names.lists, *plan.names.optional, plan.names.total}
                values = Branches(path, n, {x: y if x in lists else _one(path, start, x, y) for x, y in arrays.items()})
                bits = {name: values.bit(name) for name in plan.bits}
                yield level1.block(values, start, plan.names, bits, saturated=self.saturated, split=split)

    def _plan(self, path: str, file) -> Plan:
        kinds = parquet.kinds(path, file)
        in_rows = any(name in kinds for name in IN_ROWS.lists)
        if not in_rows and not kinds.keys() >= set(NUMBERS):
            raise InputError(
                f"{path}: a folder of a set in several, without the events' numbers. Give the files of "
                f"'{_folder(path, MAIN)}' instead: those of the other folders are found beside them."
            )
        of = IN_ROWS if in_rows else IN_FOLDERS
        optional = {level1.PILEUP: ONE, "order": ONE, CICADA: ONE, of.total: ("numbers",)}
        optional |= {"split": ("text",)} if self.use_split else {}
        optional |= dict.fromkeys(of.optional if kinds.keys() >= set(of.optional) else (), ("numbers",))
        wanted = dict.fromkeys(of.lists if in_rows else (), ("numbers",)) | dict.fromkeys(NUMBERS, ONE)
        wanted |= {name: kind for name, kind in optional.items() if name in kinds}
        _require(path, file, wanted, ADVICE)
        whole, parts = _beside(path, in_rows)
        every = {name: kind for part in parts for name, kind in part.kinds.items()} | kinds
        named = {name for name in every if name.startswith(("L1", "HLT")) or name in self.triggers}
        bits = [x for x in every if every[x] in ("bit", "bits") or (every[x] in ONE and x in named)]
        bits = matching(path, bits, self.triggers, usual=BITS)
        read = {*wanted, *of.lists, *(of.optional if not in_rows else ()), of.total, CICADA, *bits}
        main = sorted(read & kinds.keys())
        parts = [x._replace(columns={n: c for n, c in x.columns.items() if n in read - set(main)}) for x in parts]
        parts = [part for part in parts if part.columns]
        for part in parts:
            beside.check_length(whole, part.folder)
        return Plan(of, main, parts, whole.first_row(Path(path).absolute()) if parts else 0, bits)


def _folder(path: str, name: str) -> Path:
    return Path(path).absolute().parent.parent / name


def _require(path: str, file, wanted: dict[str, tuple[str, ...]], advice: str) -> None:
    """InputError unless all columns are there and of one of their kinds."""
    kinds = parquet.kinds(path, file)
    parquet.require(path, file, {x: kinds[x] if kinds.get(x) in of else of[0] for x, of in wanted.items()}, advice)


def _beside(path: str, in_rows: bool) -> tuple[beside.Folder | None, list[Part]]:
    """The folder of a file, and those that lie beside it."""
    if "://" in path and not in_rows:
        raise InputError(f"{path}: a set in folders is read from local disk alone. Fetch it, or give that in rows.")
    if "://" in path:
        return None, []
    file = Path(path).absolute()
    places = {SEEDS: file.parent / SEEDS} if in_rows else {name: _folder(path, name) for name in FOLDERS}
    found = {name: folder for name, place in places.items() if (folder := beside.folder(place, file))}
    if missing := [name for name in NEEDED if name not in found and not in_rows]:
        raise InputError(
            f"{path}: beside its folder there are no files in {', '.join(str(places[name]) for name in missing)}. Each "
            "kind of object has a folder of its own: fetch them all."
        )
    whole, parts = beside.folder(file.parent, file), []
    for name, folder in found.items():
        one, (columns, kind) = folder.files[folder.place(whole.first_row(file))], FOLDERS[name]
        with parquet.open_parquet(one) as table:
            _require(one, table, dict.fromkeys(columns, kind), REMEDY)
            kinds = {column: x for column, x in parquet.kinds(one, table).items() if column in columns or not columns}
        names = {column: f"{name}/{column}" if kind == ("numbers",) else column for column in kinds}
        parts.append(Part(folder, {names[x]: x for x in kinds}, {names[x]: kinds[x] for x in kinds}))
    return whole, parts


def _one(path: str, start: int, name: str, values):
    """(N,) of one number per event, whether or not each is in a list of its own."""
    if values.ndim == 1:
        return values
    counts, numbers = jagged.parts(values)
    if (counts != 1).any():
        row = np.argmax(counts != 1)
        raise InputError(f"{path}: '{name}' has {counts[row]} numbers in row {start + row}, not one. Fetch it again.")
    return ak.Array(numbers)


def _split(path, values: np.ndarray) -> np.ndarray:
    names, index = np.unique(values, return_inverse=True)
    if unknown := sorted(set(names) - set(SPLIT_OF)):
        raise InputError(f"{path}: 'split' is '{unknown[0]}', not train, valid or test. Set 'use_split: false'.")
    return np.array([SPLITS.index(SPLIT_OF[name]) for name in names], np.int8)[index]
