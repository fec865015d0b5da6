"""Names of branches to families: 'fj_pt', 'fj_eta' ... are those of one kind of object, which the habit of names tells.

A family has components, each a branch or an expression of branches: pt, eta, phi, mass, energy, px, py, pz. Of a branch
that is logarithmic, or relative to the jet, the expression says so, ``{jet}`` standing for the same of the jet.
"""

import re
from collections.abc import Iterable
from typing import NamedTuple

from hepad.errors import InputError
from hepad.samples.readers.branches import branches_of

WORDS = {
    "pt": "p_?t|et", "eta": "eta", "phi": "phi", "mass": "mass|m", "energy": "energy|ene|en|e",
    "px": "p_?x", "py": "p_?y", "pz": "p_?z",
}  # fmt: skip
# these may be written together with what stands before them: 'jetpt', 'ceta'
GLUED = r"p_?t|(?<!th)(?<!z)(?<!b)eta|phi|energy|mass|px|py|pz"
WORD = "|".join(WORDS.values())
RELATIVE = rf"(?P<logs>log_?)?(?:(?P<of>{WORD})_?(?:rel|frac)|(?:rel|delta|d)_?(?P<off>pt|eta|phi))(?P<loge>_?log)?"
LOGARITHMIC = rf"log_?(?P<log>{WORD})|(?P<log2>{WORD})_?log"
AT_END = [rf"(?:^|_)(?:{RELATIVE})$", rf"(?P<of>{GLUED})_?(?:rel|frac)$", rf"(?:^|_)(?:{LOGARITHMIC})$"]
AT_END += [rf"(?:^|_)(?P<plain>{WORD})$", rf"(?P<plain>{GLUED})$", rf"^(?P<plain>{WORD})_"]
MASSLESS = ("pt", "eta", "phi")
CARTESIAN = ("px", "py", "pz")

KINDS = {
    "met": r"met$|(^|_)met_|missing", "electrons": r"electron|(^|_)els?e?s?$", "muons": r"muon|(^|_)mus?$",
    "photons": r"photon|gamma|(^|_)phs?$", "others": r"lep|(^|_)taus?(_|$)|(^|_)nus?\d*$|neutrino|vertex",
}  # fmt: skip
CONSTITUENT = re.compile(
    r"part|pf(?!_?jet)|cand|const|clus|tower|track|trk|flow|daughter|calo(?!_?jet)|cell|(^|_)[cp]$"
)
JET = re.compile(r"jets?|fj|ak\d+|ca\d+|akt\d*|antikt\d*|(^|_)j\d*$")
TRUTH = re.compile(r"gen|truth|true|(^|_)mc|parton|quark|hadron|lhe|tau")
EVENT = {
    "weight": r"((mc_?)?(event|evt|gen|total)_?)?(weight|wgt|wt)s?", "n_pv": r"n_?pvs?|npv_?good|pv_npvs|n_?vtx",
}  # fmt: skip


class Family(NamedTuple):
    """``name`` in small letters; ``components``: pt, eta, ... -> (branch, expression); ``kind``: 'constituent', 'jet',
    'met', 'electrons', 'muons', 'photons', 'others' or '', unknown; ``truth``: of the generator."""

    name: str
    components: dict[str, tuple[str, str]]
    kind: str
    truth: bool

    @property
    def complete(self) -> bool:
        """Whether these are vectors."""
        return any(set(layout) <= set(self.components) for layout in (MASSLESS, CARTESIAN))

    @property
    def relative(self) -> bool:
        return any("{jet}" in expression for _, expression in self.components.values())

    def expressions(self, jet: "Family | None" = None) -> dict[str, str]:
        """Expressions of pt, eta, phi and mass or energy, or of px, py, pz and energy; some relative to ``jet``."""
        texts = {x: text for x, (_, text) in self.components.items()}
        if self.relative:
            jet_texts = jet.expressions() if jet else {}
            texts = {x: text.replace("{jet}", jet_texts.get(x, "?")) for x, text in texts.items()}
        if not set(MASSLESS) <= set(texts):
            px, py, pz = (texts[x] for x in CARTESIAN)
            if "energy" in texts:
                return {x: texts[x] for x in (*CARTESIAN, "energy")}
            texts["pt"] = f"hypot({px}, {py})"
            texts["eta"] = f"where(hypot({px}, {py}) > 0, arcsinh({pz} / hypot({px}, {py})), 0)"
            texts["phi"] = f"arctan2({py}, {px})"
        last = [x for x in ("mass", "energy") if x in texts and "?" not in texts[x]][:1]
        return {x: texts[x] for x in (*MASSLESS, *last)}

    def polar(self, jet: "Family | None" = None) -> dict[str, str]:
        """The :meth:`expressions`, never by px, py, pz."""
        expressions = self.expressions(jet)
        if "px" not in expressions:
            return expressions
        without = Family(self.name, {x: self.components[x] for x in CARTESIAN}, self.kind, self.truth)
        return without.expressions() | {"energy": expressions["energy"]}


def families(names: Iterable[str]) -> list[Family]:
    """The families of vectors among names of branches, and those that have a pt alone."""
    components_of: dict[str, dict[str, list[tuple[int, str, str]]]] = {}
    counters = {f"n{name}" for name in names}  # counters that uproot adds
    for name in sorted(set(names) - counters):
        for rank, family, component, expression in _readings(name):
            components_of.setdefault(family, {}).setdefault(component, []).append((rank, name, expression))
    made, small = [], {_small(name): name for name in names}
    for family, components in components_of.items():
        best = {x: min(readings)[1:] for x, readings in components.items()}
        for letter, component in (("m", "mass"), ("e", "energy")):  # 'jm' beside 'jpt'
            if (name := small.get(family + letter)) and "pt" in best:
                best.setdefault(component, (name, name))
        made.append(Family(family, best, _kind(family), bool(TRUTH.search(family))))
    usable = ({"pt"}, {"px", "py", "pz"}, {"px", "py"})  # the last of missing momentum
    return [x for x in made if any(y <= set(x.components) for y in usable[: 3 if x.kind == "met" else 2])]


def of_event(names: Iterable[str]) -> dict[str, str]:
    """The branches that can only be the weight of an event, or its number of vertices."""
    branches = {}
    for name in sorted(names):
        for quantity, pattern in EVENT.items():
            if re.fullmatch(pattern, _small(name)):
                branches.setdefault(quantity, name)
    return branches


def _small(name: str) -> str:
    """The parts of a name that '_' separates, in small letters."""
    name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    return re.sub(r"[\W_]+", "_", name).strip("_").lower()


def _readings(name: str) -> Iterable[tuple[int, str, str, str]]:
    """(rank, family, component, expression) of a name; a lower rank is the likelier."""
    small = _small(name)
    if small.endswith("met"):  # its size has the name itself
        yield 1, small, "pt", name
    for pattern in AT_END:
        if match := re.search(pattern, small):
            break
    else:
        return
    groups = {key: value for key, value in match.groupdict().items() if value}
    family = (small[: match.start()] + "_" + small[match.end() :]).strip("_")
    word = next(groups[key] for key in ("of", "off", "log", "log2", "plain") if key in groups)
    component = next(x for x, words in WORDS.items() if re.fullmatch(words, word))
    if "plain" in groups:
        yield int(word in ("et", "m", "e")), family, component, name
    elif "log" in groups or "log2" in groups:
        yield 2, family, component, f"exp({name})"
    else:
        value = f"exp({name})" if "logs" in groups or "loge" in groups else name
        sign = "+" if component in ("eta", "phi") else "*"
        yield 3, family, component, f"{value} {sign} {{jet}}"


def _kind(family: str) -> str:
    for kind, pattern in KINDS.items():
        if re.search(pattern, family):
            return kind
    ends = {kind: max((m.end() for m in pattern.finditer(family)), default=-1)
            for kind, pattern in (("constituent", CONSTITUENT), ("jet", JET))}  # fmt: skip
    best = max(ends, key=ends.get)
    return best if ends[best] >= 0 else ""


def computable(name: str) -> bool:
    """Whether a branch can stand in an expression: its name is one, as 'PF.pt' is and 'PF pt' is not."""
    try:
        return branches_of(f"1 * {name}", frozenset([name])) == {name}
    except InputError:
        return False
