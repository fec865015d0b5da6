"""LaTeX tables: what a cell is, what is bold, what is left out and said, and that they fit a page of a real LaTeX."""

import re
import shutil
import subprocess

import numpy as np
import pytest

from hepad.errors import InputError
from hepad.evaluation import latex
from hepad.evaluation.roc import evaluate
from hepad.evaluation.seed_spread import together

LABELS = {"nae": "NAE, images", "ae": r"AE <50 GeV & $\tau_{21}$", "mass": "−log p(mass)", "trees": "trees"}
GROUPS = {"nae": "detector", "ae": "detector", "mass": "baseline", "trees": "supervised"}


@pytest.fixture(scope="module")
def records():
    """Two signals; 'ae' has three trainings and is the best but for the supervised line, 'mass' the second."""
    rng, found = np.random.default_rng(1), []
    background = rng.normal(size=3000)
    for signal, shift in (("top", 2.0), ("svj_10", 0.5)):
        for name, better in (("nae", 0.0), ("mass", 0.2), ("ae", 0.5), ("trees", 1.5)):
            for seed in (1, 2, 3) if name == "ae" else (1,):
                evaluation = evaluate(background, rng.normal(shift + better, 1, 2000))
                record = {"task": "qcd", "detector": name, "signal": signal, "seed": seed, "group": GROUPS[name]}
                found.append(record | {"label": LABELS[name], "evaluation": evaluation})
    return found


def tables_of(text):
    return re.findall(r"\\begin\{table\}.*?\\end\{table\}", text, re.DOTALL)


def rows_of(table):
    body = re.search(r"\\midrule\n(.*)\\bottomrule", table, re.DOTALL)[1]
    return [line.removesuffix(r" \\").split(" & ") for line in body.splitlines() if line.endswith(r"\\")]


def test_a_detector_has_one_row_with_the_median_of_its_trainings(records):
    svj, top = tables_of(latex.latex("efficiency", records, "qcd", 0.01, {"top": "top in QCD"}))
    labels = [
        r"AE \textless{}50 GeV \& $\tau_{21}$",
        r"$-$log p(mass)$^{\dagger}$",
        "NAE, images",
        "trees (supervised)",
    ]
    assert [row[0] for row in rows_of(top)] == [row[0] for row in rows_of(svj)] == labels
    own = [r["evaluation"] for r in records if (r["detector"], r["signal"]) == ("ae", "top")]
    auc = latex.with_interval(*(float(x) for x in together(*np.array([e.auc for e in own]).T)), bold=True)
    points = [next(p for p in e.working_points if p.eps_b == 0.01).eps_s[:3] for e in own]
    eps_s = latex.with_interval(*(float(x) for x in together(*np.array(points).T)), bold=True)
    assert (rows_of(top)[0][1], rows_of(top)[0][-1]) == (auc, eps_s)
    assert ", top in QCD: median" in top
    assert ", svj\\_10: median" in svj
    assert [re.search(r"\\label\{(.*)\}", table)[1] for table in (svj, top)] == [
        "tab:qcd-svj_10-efficiency",
        "tab:qcd-top-efficiency",
    ]


def test_the_best_of_a_column_is_bold_and_the_supervised_line_does_not_compete(records):
    for kind in ("efficiency", "rejection"):
        for table in tables_of(latex.latex(kind, records, "qcd", 0.01)):
            bold = [[r"\mathbf" in cell for cell in row[1:]] for row in rows_of(table)]
            assert np.sum(bold, axis=0).tolist() == [1] * len(bold[0])
            assert kind == "rejection" or all(bold[0])
    without = [r for r in records if r["detector"] != "ae"]
    table = tables_of(latex.latex("efficiency", without, "qcd", 0.01))[0]
    assert r"\mathbf" in rows_of(table)[0][1]
    assert rows_of(table)[0][0].endswith(r"$^{\dagger}$"), "a simple opponent may be the best"


def test_unresolved_columns_are_left_out_with_a_note(records):
    for table in tables_of(latex.latex("efficiency", records, "qcd", 0.01)):
        assert r"Detector & AUC & $\epsilon_S(10^{-1})$ & $\epsilon_S(10^{-2})$ \\" in table
        assert (
            r"Left out is $\epsilon_B$ of $10^{-3}$, $10^{-4}$: fewer than 10 independent background jets pass" in table
        )
        assert "unresolved" not in table
    far = evaluate(np.linspace(0, 1, 500), np.linspace(2, 3, 500))
    table = latex.latex("rejection", [*records[1:], records[0] | {"evaluation": far}], "qcd", 0.01)
    (row,) = [row for row in rows_of(tables_of(table)[1]) if row[0] == "NAE, images"]
    assert len(row) > 1
    assert set(row[1:]) == {rf"$\mathbf{{>{r.low:.0f}}}$" for r in far.rejections}, "of a rejection the bound is known"
    alone = latex.latex("rejection", [records[0] | {"evaluation": far}], "qcd", 0.01)
    assert r"Left out is $\epsilon_S$ of $0.2$, $0.3$, $0.5$" in alone


def test_what_is_missing_has_a_dash(records):
    part = [r for r in records if (r["detector"], r["signal"]) != ("nae", "top")]
    of_top = tables_of(latex.latex("efficiency", part, "qcd", 0.01))[1]
    assert "NAE, images" not in [row[0] for row in rows_of(of_top)]
    with pytest.raises(InputError, match="no result of the task 'tops'"):
        latex.latex("efficiency", records, "tops", 0.01)


def test_order_of_the_input_does_not_matter(records):
    for kind in ("efficiency", "rejection"):
        assert latex.latex(kind, records, "qcd", 0.01) == latex.latex(kind, records[::-1], "qcd", 0.01)


def test_many_detectors_are_several_tables(records):
    ae = [r for r in records if (r["detector"], r["seed"]) == ("ae", 1)]
    many = [r | {"detector": f"d{i:02}", "label": f"d{i:02}"} for r in ae for i in range(90)]
    tables = tables_of(latex.latex("efficiency", many, "qcd", 0.01))
    assert [len(rows_of(table)) for table in tables] == [40, 40, 10] * 2
    assert "Part 3 of 3." in tables[2]
    labels = [re.search(r"\\label\{(.*)\}", table)[1] for table in tables]
    assert len(set(labels)) == 6


@pytest.fixture
def regret_table(tmp_path):
    row = {"detector": "ae", "group": "detector", "regret": 0.0537, "low": 0.0459, "high": 0.0577, "task": "qcd",
           "signal": "top", "opponent": "mass", "eps_s_ratio": 0.592, "n_signals": 4}  # fmt: skip
    rows = [row, row | {"detector": "mass", "group": "baseline", "regret": 0.2, "eps_s_ratio": None}]
    latex.write_regret_latex(tmp_path / "regret.tex", rows, LABELS, {"qcd": {"top": "top in QCD & more"}})
    return (tmp_path / "regret.tex").read_text()


def test_the_table_of_worst_cases(regret_table):
    (table,) = tables_of(regret_table)
    first, second = rows_of(table)
    assert first == [r"AE \textless{}50 GeV \& $\tau_{21}$", "$0.0537^{+0.0040}_{-0.0078}$", r"top in QCD \& more",
                     "$-$log p(mass)", "0.59", "4"]  # fmt: skip
    assert (second[0], second[4]) == (r"$-$log p(mass)$^{\dagger}$", "--")
    assert r"\label{tab:regret}" in table


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="there is no pdflatex")
@pytest.mark.parametrize("width", [345, 470])
def test_tables_fit_the_line_of_a_page(records, tmp_path, width):
    text = "\n".join(latex.latex(kind, records, "qcd", 0.01) for kind in ("efficiency", "rejection"))
    (tmp_path / "tables.tex").write_text(text)
    page = r"\documentclass{article}\usepackage{booktabs,graphicx}\setlength{\textwidth}{%dpt}" % width  # noqa: UP031
    (tmp_path / "page.tex").write_text(page + r"\begin{document}\input{tables}\end{document}")
    command = ["pdflatex", "-interaction=nonstopmode", "page.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert "Overfull" not in done.stdout
    assert "Float too large" not in done.stdout
    # nothing is made smaller for it
    plain = text.replace(r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}", "")
    (tmp_path / "tables.tex").write_text(plain)
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert "Overfull" not in done.stdout


@pytest.mark.parametrize(
    ("numbers", "text"),
    [
        ((0.9123, 0.9023, 0.9234), "$0.912^{+0.011}_{-0.010}$"),
        ((0.5, 0.2, 0.9), "$0.50^{+0.40}_{-0.30}$"),
        ((1234.0, 1100.0, 1400.0), "$1234^{+166}_{-134}$"),
        ((1.0, 1.0, 1.0), "$1.0000^{+0.0000}_{-0.0000}$"),
    ],
)
def test_rounding(numbers, text):
    assert latex.with_interval(*numbers) == text
    assert latex.with_interval(*numbers, bold=True) == re.sub(r"\$([\d.]+)", r"$\\mathbf{\1}", text)


@pytest.mark.parametrize(
    ("label", "text"),
    [
        (r"a_b^c\~{%}", r"a\_b\textasciicircum{}c\textbackslash{}\textasciitilde{}\{\%\}"),
        (r"$H \to \tau\tau$, 50 %", r"$H \to \tau\tau$, 50 \%"),
        (r"5 \$", r"5 \$"),
        ("5 $", r"5 \$"),
        ("τ₂₁ → λ", "$\\tau$₂₁ $\\to$ $\\lambda$"),
        ("a\n% b", r"a \% b"),
    ],
)
def test_escape(label, text):
    assert latex.escape(label) == text
