"""Plots of a report, as SVG that a page carries inside itself. They need matplotlib (the ``lab`` extra)."""

from __future__ import annotations

import importlib.util
import io
from collections.abc import Mapping, Sequence
from typing import Any

from velatura.errors import MissingExtra
from velatura.reports.prediction import Prediction
from velatura.reports.statistics import auc
from velatura.reports.tables import Cell, Figure

# Okabe & Ito's colours, told apart with any eyes.
COLOURS = {"base": "#999999", "real": "#999999", "clean": "#009e73", "noise": "#e69f00", "shuffled": "#cc79a7"}
OURS = "velatura"
CLOAKS = ("#0072b2", "#d55e00", "#56b4e9", "#7a5195", "#00635d")  # the first is ours, in every plot
INK, FAINT = "#2b2a27", "#d9d5cc"


def shifts(found: Sequence[Cell]) -> str | None:
    """SVG: style shift of every arm, top 1 and top 3, with intervals and the value of each seed."""
    cells = [c for c in found if "style_shift_top3" in c.figures]
    if not cells:
        return None
    figure, axes = _canvas(7.6, 0.9 + 0.42 * len(cells))
    for place, cell in enumerate(reversed(cells)):
        colour = _colour(cell, cells)
        for metric, lift, marker, face in (
            ("style_shift_top1", 0.16, "o", "white"),
            ("style_shift_top3", -0.12, "o", colour),
        ):
            if metric in cell.figures:
                _point(axes, cell.figures[metric], place + lift, colour, marker, face)
    axes.set_yticks(range(len(cells)), [cell.label for cell in reversed(cells)])
    axes.set_ylim(-0.6, len(cells) - 0.4)
    axes.set_xlim(-0.02, 1.02)
    _percent(axes.xaxis)
    axes.set_xlabel("share of the mimic's pictures that are not in the artist's style (filled: top 3, open: top 1)")
    return _svg(figure)


def by_budget(found: Sequence[Cell]) -> str | None:
    """SVG: style shift (top 3) over the LPIPS budget, one line a method; None below two budgets."""
    return _lines(found, lambda cell: cell.budget if "@" not in cell.name else None, "LPIPS budget")


def by_visibility(found: Sequence[Cell]) -> str | None:
    """SVG: style shift (top 3) over what flat places show, one line a method, its points by budget.

    Equal LPIPS is not equal visibility: high and to the left is better. None below three methods.
    """
    lines: dict[str, list[tuple[float, Figure, Cell]]] = {}
    for cell in found:
        known = {"style_shift_top3", "delta_e_flat"} <= cell.figures.keys()
        if known and cell.budget is not None and cell.countermeasure is None:
            shows, shift = cell.figures["delta_e_flat"].value, cell.figures["style_shift_top3"]
            lines.setdefault(cell.name, []).append((shows, shift, cell))
    if len(lines) < 3:
        return None
    figure, axes = _canvas(7.6, max(4.2, 0.26 * len(lines) + 0.8))
    cells = [cell for points in lines.values() for _, _, cell in points]
    ends = []
    for name, points in lines.items():
        points.sort(key=lambda point: point[2].budget or 0)
        x, marks = [shows for shows, _, _ in points], [shift for _, shift, _ in points]
        y, colour = [shift.value for shift in marks], _colour(points[0][2], cells)
        axes.errorbar(x, y, yerr=_errors(marks), fmt="none", ecolor=colour, elinewidth=0.8, alpha=0.4)
        axes.plot(x, y, "-o", color=colour, lw=2.4 if name == OURS else 1.2, ms=5, mfc="white")
        axes.plot(x[-1:], y[-1:], "o", color=colour, ms=6)
        ends.append((y[-1], x[-1], name, colour))
    furthest = max(x for points in lines.values() for x, _, _ in points)
    ends.sort()
    heights = _apart([y for y, *_ in ends], 1.04 / max(20, len(ends)))
    for (end, shows, name, colour), height in zip(ends, heights, strict=True):
        axes.plot([shows, 1.06 * furthest], [end, height], color=colour, lw=0.5, alpha=0.5)
        weight = "bold" if name == OURS else "normal"
        axes.text(1.06 * furthest, height, f" {name}", color=colour, fontsize=9, va="center", weight=weight)
    axes.set_xlim(0, 1.32 * furthest)
    axes.set_ylim(-0.04, 1.04)
    _percent(axes.yaxis)
    axes.set_xlabel("ΔE where the picture is flattest (filled: the largest budget)")
    axes.set_ylabel("style shift, top 3")
    return _svg(figure)


def _apart(wanted: Sequence[float], least: float) -> list[float]:
    """Heights of labels within 0 to 1, ``least`` apart and near those ``wanted``, which ascend."""
    heights: list[float] = []
    for place, height in enumerate(wanted):
        lowest = heights[-1] + least if heights else 0.0
        heights.append(max(lowest, min(height, 1 - least * (len(wanted) - 1 - place))))
    return heights


def by_share(found: Sequence[Cell]) -> str | None:
    """SVG: style shift (top 3) over the share of protected pictures that the mimic has."""
    if not any("@" in cell.name for cell in found):
        return None

    def share(cell: Cell) -> float | None:
        if cell.budget is None:
            return None
        return float(cell.name.partition("@")[2] or 1)

    return _lines(found, share, "share of protected pictures in the mimic's training set")


def roc(scores: Mapping[str, Mapping[str, Sequence[float]]]) -> str:
    """SVG: what a detector finds over its false alarms. ``scores``: by detector, of ``cloaked`` and ``clean`` ones."""
    figure, axes = _canvas(7.6, 4.2)
    axes.plot([0, 1], [0, 1], color=FAINT, lw=1)
    for place, (name, of) in enumerate(scores.items()):
        bars = sorted({*of["cloaked"], *of["clean"]}, reverse=True)
        found, false = (_shares_over(bars, of[kind]) for kind in ("cloaked", "clean"))
        area, low, high = auc(of["cloaked"], of["clean"])
        style = "-" if place < len(CLOAKS) else "--"
        label, color = f"{name} {area:.2f} ({low:.2f} to {high:.2f})", CLOAKS[place % len(CLOAKS)]
        axes.step(false, found, style, where="post", lw=1.5, color=color, label=label)
    axes.set_xlabel("clean pictures that it takes for cloaked ones")
    axes.set_ylabel("cloaked pictures that it finds")
    _percent(axes.xaxis)
    _percent(axes.yaxis)
    figure.legend(loc="outside right upper", frameon=False, fontsize=8, title="area under the curve", title_fontsize=8)
    return _svg(figure)


def _shares_over(bars: Sequence[float], scores: Sequence[float]) -> list[float]:
    """Nothing, then the share of the scores that reach each bar."""
    return [0.0, *(sum(score >= bar for score in scores) / len(scores) for bar in bars)]


def prediction(found: Prediction) -> str:
    """SVG: one fast figure against one slow one."""
    figure, axes = _canvas(4.2, 3.6)
    for arm in dict.fromkeys(p.arm for p in found.points):
        mine = [p for p in found.points if p.arm == arm]
        colour = COLOURS.get(arm, CLOAKS[0])
        axes.scatter([p.fast for p in mine], [p.slow for p in mine], s=26, color=colour, alpha=0.85, label=arm)
    axes.set_xlabel(found.fast.replace("_", " "))
    axes.set_ylabel(found.slow.replace("_", " "))
    axes.set_title(f"Spearman's ρ {found.rho:.2f} ({found.low:.2f} to {found.high:.2f})", fontsize=10, color=INK)
    axes.legend(frameon=False, fontsize=8)
    return _svg(figure)


def _lines(found: Sequence[Cell], place: Any, label: str) -> str | None:
    methods: dict[str, list[tuple[float, Figure, Cell]]] = {}
    for cell in found:
        at = place(cell)
        if at is not None and "style_shift_top3" in cell.figures:
            methods.setdefault(cell.name.partition("@")[0], []).append((at, cell.figures["style_shift_top3"], cell))
    if not any(len({at for at, _, _ in points}) > 1 for points in methods.values()):
        return None
    figure, axes = _canvas(7.6, 3.6)
    clean = next((c for c in found if c.arm == "clean" and "style_shift_top3" in c.figures), None)
    cloaks = [c for c in found if c.arm == "cloaked"]
    for name, points in methods.items():
        points.sort(key=lambda point: point[0])
        # Nothing done is where every line begins.
        start = [(0.0, clean.figures["style_shift_top3"])] if clean is not None else []
        joined = [*start, *((at, f) for at, f, _ in points)]
        colour = _colour(points[0][2], cloaks)
        x, y = [at for at, _ in joined], [f.value for _, f in joined]
        axes.errorbar(x, y, yerr=_errors([f for _, f in joined]), color=colour, marker="o", ms=5, capsize=2, label=name)
    axes.set_xlabel(label)
    axes.set_ylabel("style shift, top 3")
    axes.set_ylim(-0.02, 1.02)
    _percent(axes.yaxis)
    axes.legend(frameon=False, fontsize=9)
    return _svg(figure)


def _point(axes: Any, figure: Figure, y: float, colour: str, marker: str, face: str) -> None:
    low, high = (v if v is not None else figure.value for v in (figure.low, figure.high))
    axes.plot([low, high], [y, y], color=colour, lw=2, solid_capstyle="butt")
    if len(figure.seeds) > 1:
        axes.plot(figure.seeds, [y] * len(figure.seeds), "|", color=colour, ms=9, alpha=0.7)
    axes.plot([figure.value], [y], marker, color=colour, mfc=face, ms=7)


def _errors(figures: Sequence[Figure]) -> list[list[float]]:
    low = [max(0.0, f.value - f.low) if f.low is not None else 0.0 for f in figures]
    high = [max(0.0, f.high - f.value) if f.high is not None else 0.0 for f in figures]
    return [low, high]


def _colour(cell: Cell, among: Sequence[Cell]) -> str:
    if cell.arm in COLOURS:
        return COLOURS[cell.arm]
    name = cell.name.partition("@")[0]
    if name == OURS:
        return CLOAKS[0]
    names = dict.fromkeys(c.name.partition("@")[0] for c in among if c.arm not in COLOURS)
    return CLOAKS[1:][[n for n in names if n != OURS].index(name) % (len(CLOAKS) - 1)]


def _percent(axis: Any) -> None:
    from matplotlib.ticker import PercentFormatter

    axis.set_major_formatter(PercentFormatter(1.0))


def _canvas(width: float, height: float) -> tuple[Any, Any]:
    require_matplotlib()
    from matplotlib.figure import Figure as Canvas  # not pyplot, which looks for a screen

    figure = Canvas(figsize=(width, height), layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(FAINT)
    axes.tick_params(color=FAINT, labelcolor=INK, labelsize=9)
    axes.grid(color=FAINT, lw=0.6, alpha=0.7)
    axes.set_axisbelow(True)
    for label in (axes.xaxis.label, axes.yaxis.label):
        label.set(color=INK, fontsize=9)
    return figure, axes


def _svg(figure: Any) -> str:
    import matplotlib as mpl

    out = io.StringIO()
    # Letters as letters, and the same bytes for the same figures.
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "velatura", "font.family": "sans-serif"}):
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    return out.getvalue()


def require_matplotlib() -> None:
    """Refuse with the pip line where the extra is missing."""
    if importlib.util.find_spec("matplotlib") is None:
        raise MissingExtra("a page with plots", "lab")
