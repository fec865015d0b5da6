"""Input of Athena's TrigADComboHypoTool, which fills one vector of (pt/GeV, eta, phi), and nothing else.

    max_jets jets | max_electrons electrons | max_muons muons | max_photons photons | MET, 0, phi

each block by falling pT and padded with zeros (atlas/athena, Trigger/TrigHypothesis/TrigAnomalyDetectionHypo). The tool
takes the length that its properties ``max_*`` give and knows no names: numbers that mean something else would be filled
without a word.
"""

from collections.abc import Sequence

from hepad.errors import InputError

OBJECTS = ("jet", "electron", "muon", "photon")  # in the tool's order, MET behind them
FEATURES = ("pt", "eta", "phi")


def place(column: str) -> int:
    """The place of the objects of an EventMatrix's column in the tool's order; unknown objects come last."""
    kinds = (*OBJECTS, "met")
    kind = column.rpartition("_")[0].rstrip("0123456789")
    return kinds.index(kind) if kind in kinds else len(kinds)


def properties(columns: Sequence[str], pixels: int = 0) -> dict[str, int]:
    """{'max_jets': 6, ...}: the properties with which the tool fills these columns; InputError if it does not."""
    counts = {kind: sum(name.startswith(kind) and name.endswith("_pt") for name in columns) for kind in OBJECTS}
    rows = [f"{kind}{i + 1}" for kind, count in counts.items() for i in range(count)] + ["met"]
    filled = [f"{row}_{feature}" for row in rows for feature in FEATURES]
    if pixels or list(columns) != filled:
        wrong = [f"'{name}'" for name, right in zip(columns, filled, strict=False) if name != right]
        input = f"{pixels} pixels" if pixels else f"{len(columns)} numbers, {wrong[0] if wrong else 'some'} among them"
        raise InputError(
            "athena: TrigADComboHypoTool fills (pt, eta, phi) of jets, electrons, muons, photons and MET, but this "
            f"detector takes {input}. Train it on 'EventMatrix' with 'b_jets: 0' and 'features: [pt, eta, phi]', in "
            "this order, or take --target generic and fill its columns with a tool of your own."
        )
    return {f"max_{kind}s": count for kind, count in counts.items()}
