r"""Tables of a task for a note, in LaTeX: one for each signal, with a line for each detector.

They need ``\usepackage{booktabs,graphicx}`` and nothing else; ``\input`` a file where its tables are to be. No table is
wider than the line: one that would be is made smaller as a whole.
"""

import re
import unicodedata
from collections.abc import Iterable
from itertools import accumulate
from math import log10
from pathlib import Path

from hepad.errors import InputError, check_choice
from hepad.evaluation.efficiency import LEVEL, MIN_COUNT
from hepad.evaluation.standings import Standing, rounded, standings
from hepad.storage.files import atomic_path

QUANTITIES = {"efficiency": ("auc", "eps_s"), "rejection": ("1/eps_b",)}
HEADS = {"auc": "AUC", "eps_s": r"$\epsilon_S(%s)$", "1/eps_b": r"$1/\epsilon_B(%s)$"}
TITLES = {
    "efficiency": r"Signal efficiency $\epsilon_S(\epsilon_B)$ at background efficiency $\epsilon_B$",
    "rejection": r"Background rejection $1/\epsilon_B(\epsilon_S)$ at signal efficiency $\epsilon_S$",
}
REST = rf"""median of the trainings of a detector, and the range in which a further one is expected with
{100 * LEVEL:g}\,\%. The best of a column is bold. $^{{\dagger}}$: simple opponents. The supervised line has seen the
signal."""
REGRET = rf"""Worst-case regret: the largest shortfall, over the signals of all tasks, of a detector's AUC against that
of the best simple opponent, with an interval of {100 * LEVEL:g}\,\%; and the smallest ratio of its signal efficiency to
the best opponent's at the working point. $^{{\dagger}}$: simple opponents."""
ROWS = 40  # that fit on a page

ESCAPES = {character: f"\\{character}" for character in "&%$#_{}"}
ESCAPES |= {"~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "\\": r"\textbackslash{}"}
ESCAPES |= {"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", '"': "''"}
# what labels are written with, and the fonts of a text lack
ESCAPES |= {
    character: f"${command}$"
    for character, command in {
        "−": "-", "→": r"\to", "±": r"\pm", "×": r"\times", "≤": r"\leq", "≥": r"\geq", "≈": r"\approx",
        "√": r"\surd", "∞": r"\infty", "·": r"\cdot", "²": "^2", "³": "^3", "ℓ": r"\ell", "′": "'",
    }.items()
}  # fmt: skip

MATHEMATICS = """
alpha beta gamma delta epsilon varepsilon zeta eta theta kappa lambda mu nu xi pi rho sigma tau phi varphi chi psi
omega Gamma Delta Theta Lambda Sigma Phi Psi Omega bar hat tilde vec overline sqrt frac mathrm mathbf mathit text to
rightarrow leftarrow pm mp times cdot leq geq approx sim neq infty ell prime left right quad
"""

Column = tuple[str, float | None]  # quantity and where: ε_B of an ε_S, ε_S of a rejection


def latex(kind: str, records: Iterable[dict], task: str, at: float, searched: dict[str, str] | None = None) -> str:
    """The tables of a task, one for each signal.

    A cell is the median of the trainings with the range of :mod:`hepad.evaluation.seed_spread`, the best of a column
    in bold; the supervised line has seen the signal, stands apart and does not compete. A column that no blind line
    resolves is left out, and the caption says so; of a single rejection there is the lower bound.

    Parameters
    ----------
    kind: 'efficiency', AUC and ε_S at each ε_B; or 'rejection', 1/ε_B at each ε_S
    records: of :mod:`hepad.evaluation.tables`, with the labels of detectors
    task: its name
    at: ε_B of the working point, by which the lines are ordered
    searched: signal -> what is searched in what, such as 'top in QCD'; by default the name of the signal
    """
    check_choice("table", kind, QUANTITIES)
    records = [record for record in records if record["task"] == task]
    if not records:
        raise InputError(f"tables: there is no result of the task '{task}'. Check its name in the config.")
    lines, tables = standings(records, at)[task], []
    for signal in sorted({record["signal"] for record in records}):
        cells = _cells(lines, signal, kind, _bounds(record for record in records if record["signal"] == signal))
        columns = [column for column, of_column in cells.items() if of_column]
        heads = [HEADS[quantity] % _power(at) if at else HEADS[quantity] for quantity, at in columns]
        rows = _rows([line for line in lines if (signal, "auc", None) in line.values], columns, cells)
        caption = f"{TITLES[kind]}, {escape((searched or {}).get(signal, signal))}: {REST}{_left_out(cells)}"
        parts = [rows[i : i + ROWS] for i in range(0, len(rows), ROWS)]
        for i, part in enumerate(parts, 1):
            number, said = (f"-{i}", f" Part {i} of {len(parts)}.") if len(parts) > 1 else ("", "")
            tables.append(_table(heads, part, caption + said, f"tab:{task}-{signal}-{kind}{number}"))
    return "\n".join(tables)


def write_latex(path: str | Path, kind: str, records: Iterable[dict], **of_task) -> None:
    """Write :func:`latex`, atomically."""
    text = latex(kind, records, **of_task)
    with atomic_path(path) as partial:
        partial.write_text(text)


def write_regret_latex(
    path: str | Path, rows: Iterable[dict], labels: dict[str, str], searches: dict[str, dict[str, str]]
) -> None:
    """Write the rows of :func:`hepad.evaluation.regret.regrets` as a table, atomically.

    labels: of detectors; searches: task -> signal -> what is searched in what
    """
    lines = []
    for row in rows:
        mark = r"$^{\dagger}$" if row["group"] == "baseline" else ""
        regret = with_interval(row["regret"], row["low"], row["high"])
        worst = escape(searches[row["task"]][row["signal"]])
        ratio = "--" if row["eps_s_ratio"] is None else f"{row['eps_s_ratio']:.2f}"
        cells = [escape(labels[row["detector"]]) + mark, regret, worst, escape(labels[row["opponent"]]), ratio]
        lines.append(" & ".join([*cells, str(row["n_signals"])]) + r" \\")
    heads = ["Regret", "worst for", "best opponent there", r"$\epsilon_S$ ratio", "signals"]
    parts = [lines[i : i + ROWS] for i in range(0, len(lines), ROWS)]
    numbers = [f"-{i}" if len(parts) > 1 else "" for i in range(1, len(parts) + 1)]
    found = (_table(heads, part, REGRET, f"tab:regret{i}") for i, part in zip(numbers, parts, strict=True))
    with atomic_path(path) as partial:
        partial.write_text("\n".join(found))


def escape(text: str) -> str:
    """A label as LaTeX sets it, on one line: special characters do no harm, mathematics between '$' stays as it is.

    Mathematics is letters, numbers and the commands of ``MATHEMATICS``; with anything else it is written as text.
    """
    parts = re.split(r"(?<!\\)\$", text)
    if len(parts) % 2 == 0 or not all(map(_is_mathematics, parts[1::2])):  # or a '$' that is not closed
        return _plain(text)
    return "".join(f"${part}$" if i % 2 else _plain(part.replace(r"\$", "$")) for i, part in enumerate(parts))


def _is_mathematics(text: str) -> bool:
    """Whether these are letters, numbers, braces in pairs and commands that read and run nothing."""
    if not re.fullmatch(r"(?:[A-Za-z0-9 +\-=.,:;/()\[\]<>|'*_^{}]|\\[A-Za-z]+|\\[,;!: ])*", text):
        return False
    depths = accumulate((x == "{") - (x == "}") for x in text)
    closed = text.count("{") == text.count("}") and min(depths, default=0) >= 0
    return closed and set(re.findall(r"\\([A-Za-z]+)", text)) <= set(MATHEMATICS.split())


def with_interval(value: float, low: float, high: float, bold: bool = False) -> str:
    """A value with its asymmetric interval as LaTeX math, two digits of the larger error: $0.912^{+0.011}_{-0.010}$."""
    middle, up, down = rounded(value, low, high)
    middle = rf"\mathbf{{{middle}}}" if bold else middle
    return f"${middle}^{{+{up}}}_{{-{down}}}$"


def _line(text: str) -> str:
    """The end of a line would end a comment."""
    return "".join(x if x.isprintable() else " " for x in text)


def _plain(text: str) -> str:
    return "".join(ESCAPES.get(x) or _greek(x) or x for x in _line(text))


def _greek(x: str) -> str:
    name = unicodedata.name(x, "").removeprefix("GREEK SMALL LETTER ").replace("LAMDA", "LAMBDA")
    return f"$\\{name.lower()}$" if name.isalpha() and "α" <= x <= "ω" and x not in "ος" else ""


def _cells(
    lines: list[Standing], signal: str, kind: str, bounds: dict[tuple[str, float], float]
) -> dict[Column, dict[str, str]]:
    """By column, ε_B falling and ε_S rising, the cells of detectors; none at all where no blind line is resolved."""
    of: dict[Column, list[Standing]] = {}
    for line in lines:
        for searched, quantity, at in line.values:
            if searched == signal and quantity in QUANTITIES[kind]:
                of.setdefault((quantity, at), []).append(line)
    found: dict[Column, dict[str, str]] = {}
    for column in sorted(of, key=lambda c: (c[0], -(c[1] or 0) if c[0] == "eps_s" else c[1])):
        values = {line.detector: line.values[signal, *column] for line in of[column]}
        limits = {name: bounds.get((name, column[1]), 0.0) for name in values if column[0] == "1/eps_b"}
        levels = {name: value[0] if value else limits.get(name) for name, value in values.items()}
        blind = [line.detector for line in of[column] if line.group != "supervised"]
        largest = max((levels[name] for name in blind if levels[name] is not None), default=None)
        found[column] = {}
        for name, value in values.items() if any(values[name] for name in blind) else ():
            bold = name in blind and levels[name] == largest
            if value:
                found[column][name] = with_interval(*value, bold=bold)
            elif name in limits:
                found[column][name] = rf"$\mathbf{{>{limits[name]:.0f}}}$" if bold else f"$>{limits[name]:.0f}$"
    return found


def _bounds(records: Iterable[dict]) -> dict[tuple[str, float], float]:
    """(detector, ε_S) -> what 1/ε_B is at least, of the training of which least is known."""
    found = {}
    for record in records:
        for r in record["evaluation"].rejections:
            key = record["detector"], r.eps_s
            found[key] = min(r.low, found.get(key, r.low))
    return found


def _rows(lines: list[Standing], columns: list[Column], cells: dict[Column, dict[str, str]]) -> list[str]:
    """A row for each line, a rule above the first that is supervised."""
    rows = []
    for i, line in enumerate(lines):
        rule = "\\midrule\n" if line.group == "supervised" and i and lines[i - 1].group != "supervised" else ""
        label = escape(line.label) + {"baseline": r"$^{\dagger}$", "supervised": " (supervised)"}.get(line.group, "")
        rows.append(
            rule + " & ".join([label, *(cells[column].get(line.detector, "--") for column in columns)]) + r" \\"
        )
    return rows


def _left_out(cells: dict[Column, dict[str, str]]) -> str:
    empty = [column for column, of_column in cells.items() if not of_column]
    if not empty:
        return ""
    quantity, numbers = "B" if empty[0][0] == "eps_s" else "S", ", ".join(f"${_power(at)}$" for _, at in empty)
    why = f"fewer than {MIN_COUNT} independent background jets pass there."
    return rf" Left out is $\epsilon_{quantity}$ of {numbers}: {why}"


def _table(heads: list[str], rows: list[str], caption: str, name: str) -> str:
    return "\n".join(
        [
            r"\begin{table}[htbp]",
            r"\centering",
            rf"\caption{{{caption}}}",
            rf"\label{{{name}}}",
            r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
            rf"\begin{{tabular}}{{l{'c' * len(heads)}}}",
            r"\toprule",
            " & ".join(["Detector", *heads]) + r" \\",
            r"\midrule",
            *rows,
            r"\bottomrule",
            r"\end{tabular}}",
            r"\end{table}",
            "",
        ]
    )


def _power(at: float) -> str:
    exponent = log10(at)
    return f"10^{{{exponent:.0f}}}" if abs(exponent - round(exponent)) < 1e-9 else f"{at:g}"
