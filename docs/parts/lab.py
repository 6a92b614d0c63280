"""The miniature, mimics, and what they do about cloaks."""

from __future__ import annotations

import json
import re

from parts.figures import ROOT, earlier, flagged, interval, result, runs, share, stale
from velatura import weights
from velatura.evaluation.named_plans import PLANS
from velatura.reports import page as reports
from velatura.reports import prediction, tables
from velatura.reports.result import Result, load

HEAD = (
    "| artist · mimic | the mimic trained on | LPIPS | style shift, top 1 | top 3 | top 3, over noise | judge on the view, top 3 |",
    "|---|---|---|---|---|---|---|",
)


def autoencoder() -> str:
    tree = result("autoencoder")
    held = tree["held_out"]
    return (
        f"| figure | value |\n|---|---|\n| PSNR, held-out artists, 256 px short side | {held['psnr']:.2f} dB (bar: 26) |\n"
        f"| LPIPS (AlexNet), same pictures | {held['lpips']:.3f} (bar: 0.15) |\n| pictures measured | {held['pictures']} |\n"
        f"| latent scaling factor | {tree['scaling_factor']} |"
    )


def miniature() -> str:
    """What the miniature can do and what it remembers."""
    tree = result("miniature")
    rows = tree["rows"]
    lines = ["| artist | top 1 | top 3 |", "|---|---|---|"]
    for artist in sorted({r["artist"] for r in rows if r["artist"]}):
        own = {r["metric"]: r for r in rows if r["artist"] == artist}
        lines.append(f"| {artist} | {share(own['style_top1'])} | {share(own['style_top3'])} |")
    means = {r["metric"]: r["value"] for r in rows if r["recipe"] == "mean of artists"}
    lines.append(f"| **mean of artists** | **{means['style_top1']:.0%}** | **{means['style_top3']:.0%}** |")
    arms = {(r["arm"], r["metric"]): r for r in rows if r["artist"] is None}
    near, real = (arms[arm, "nearest_lpips"] for arm in ("base", "real"))
    lines += [
        "",
        f"{tree['settings']['each']} pictures of each of {len(tree['settings']['subjects'])} subjects; the judge chooses "
        "among 21 artists. Memorisation: the nearest training picture of a generated one is at LPIPS "
        f"{near['value']:.3f} ({near['low']:.3f}–{near['high']:.3f}, n {near['n']}), of a real picture by an artist that was held out "
        f"at {real['value']:.3f} ({real['low']:.3f}–{real['high']:.3f}, n {real['n']}); counted as copies: {share(arms['base', 'copy_rate'])} "
        f"of generated and {share(arms['real', 'copy_rate'])} of such real ones.",
    ]
    return "\n".join(lines)


def mimicry() -> str:
    """The attack on clean art, an artist a row and arm."""
    lines = ["| artist | arm | style top 1 | style top 3 | copies | n |", "|---|---|---|---|---|---|"]
    flags = []
    for path in sorted((ROOT / "results/mimicry").glob("*.json")):
        tree = json.loads(path.read_text())
        for arm, words in (("real", "real pictures"), ("base", "base model"), ("clean", "mimic on clean art")):
            own = {r["metric"]: r for r in tree["rows"] if r["arm"] == arm}
            copies = share(own["copy_rate"]) if "copy_rate" in own else ""
            top1, top3 = own["style_top1"], own["style_top3"]
            lines.append(f"| {path.stem} | {words} | {share(top1)} | {share(top3)} | {copies} | {top1['n']} |")
        flags += [f"{path.stem}: {flag}" for flag in tree["flags"]]
    return "\n".join([*lines, "", "Flags: " + ("; ".join(flags) if flags else "none") + "."])


def judges() -> str:
    """Other judges, each embedded artist in turn as a victim."""
    tree = result("judges")
    lines = [
        "| judge | a victim's pictures found, first | among three | others taken for the victim, first | among three | area under ROC, first | among three |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in dict.fromkeys(row["recipe"] for row in tree["rows"]):
        own = {row["metric"]: row for row in tree["rows"] if row["recipe"] == name}
        cells = [
            interval(own[f"{what}_top{top}"], ".1%") for what in ("victim_found", "others_taken") for top in (1, 3)
        ]
        cells += [f"{own[f'roc_area_top{top}']['value']:.3f}" for top in (1, 3)]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    own, others = (
        next(row["n"] for row in tree["rows"] if row["metric"] == f"{what}_top1")
        for what in ("victim_found", "others_taken")
    )
    return "\n".join([
        *lines,
        "",
        f"{len(tree['settings']['victims'])} artists as victims, {own} of their pictures and {others} of others' "
        "([results/judges.json](RESULTS/judges.json), `python training/compare_judges.py ../shared/art`). Those are drawn "
        "anew from one pool for each victim, and of near-duplicates one may be asked and one learned: the intervals are too narrow, and the figures a little kind to all alike.",
    ])  # fmt: skip


def evaluation() -> str:
    """Every result of results/evaluation, with its flags and its words, and whether fast figures predict slow ones."""
    every = runs("*")
    if not every:
        return "Nothing is measured yet: results/evaluation holds no result."
    pages = [reports.Run(name, found) for name, found in every.items()]
    text = re.sub(r"^##", "###", reports.markdown(pages), flags=re.M).strip()
    unet = weights.sha256(weights.require_pipeline("mini") / "unet")
    weaker = [name for name, found in every.items() if found.weights.get("unet") != unet]
    if weaker:
        text = f"**Of an earlier U-Net of the miniature, a weaker mimic: {', '.join(weaker)}.**\n\n{text}"
    if words := earlier(every):
        text = f"{words}\n\n{text}"
    return text


def axes() -> str:
    """The results of every ready plan, shortly: what the mimic does, over noise, and what the fast figure said."""
    columns = ("style_shift_top1", "style_shift_top3", "gain_over_noise_top3", "view_shift_top3")
    parts: list[str] = []
    used: dict[str, Result] = {}
    for name, plan in PLANS.items():
        lines = []
        for file, made in runs(f"{name}-*").items():
            used[file] = made
            found = tables.cells(made.rows)
            recipes = {cell.recipe for cell in found} - {None}
            slug = made.settings["artist"].replace(" ", "-")
            variant = file.removeprefix(f"{name}-").removesuffix(slug).strip("-")
            for cell in found:
                if cell.arm == "real":
                    continue
                about = cell.name + (f" then {cell.countermeasure}" if cell.countermeasure else "")
                where = " · ".join(filter(None, (cell.artist, variant, cell.recipe if len(recipes) > 1 else None)))
                budget = "" if cell.budget is None else f"{cell.budget:g}"
                lines.append(f"| {where} | {about} | {budget} | " + " | ".join(figure(cell, m) for m in columns) + " |")
        if lines:
            parts += [f"**`{name}`: {plan.says}.**", "", *HEAD, *lines, ""]
    parts.append(earlier(used))
    return "\n".join(parts).strip() or "Nothing is measured yet: results/evaluation holds no result of a plan."


def figure(cell: tables.Cell, metric: str) -> str:
    """A figure of a cell with its interval, and from the lowest to the highest mimic of several; or nothing."""
    if metric not in cell.figures:
        return ""
    value, small = tables.words(metric, cell.figures[metric])
    interval, _, rest = small.partition(", n")
    mimics = rest.partition(" seeds: ")[2]
    return f"{value} ({interval}{'; ' if mimics else ''}{mimics})"


def headline() -> str:
    """What mimics do with protected art, three seeds an arm."""
    columns = ("style_shift_top1", "style_shift_top3", "gain_over_noise_top3", "gain_over_glaze_top3")
    lines = [
        "| artist | the mimic trained on | style shift, top 1 | top 3 | top 3, over noise | top 3, over Glaze's objective |",
        "|---|---|---|---|---|---|",
    ]
    flags = []
    every = runs("headline-*")
    for found in every.values():
        for cell in tables.cells(found.rows):
            if cell.arm == "real":
                continue
            about = "nothing (base model)" if cell.arm == "base" else cell.label
            lines.append(f"| {cell.artist} | {about} | {' | '.join(figure(cell, metric) for metric in columns)} |")
        flags += [f"{found.settings['artist']}: {flag}" for flag in found.flags]
    if len(lines) == 2:
        return "Not measured yet (results/evaluation/headline-ARTIST.json)."
    lines += [
        "",
        "Style shift: share of the mimic's pictures that a judge does not place in the artist's style first, or among the first three, with 95 % intervals over "
        "pictures, and from the lowest to the highest of the three mimics; over "
        "noise, over Glaze's objective: paired, same prompts and seeds. 3 mimics an arm, 96 pictures each, 20 training pictures, LPIPS 0.1 in each file, on the "
        "miniature at 128 px, which cloaks were made on. **Each objective has the target style of its own choice, and that decides much**: with one for both they are closer "
        "([what came out](DOCS/evaluation.md#what-came-out)). ([results/evaluation](RESULTS/evaluation), [what they mean](DOCS/evaluation.md), [all figures](DOCS/evaluation-results.md)).",
        "",
        "Flags: " + "; ".join(flags) + ".",
        "",
        earlier(every),
    ]
    return "\n".join(lines).strip()


def purifier() -> str:
    """The learned purifier beside the hand-made ones."""
    if not (ROOT / "results/purifier.json").exists():
        return "Not measured yet (results/purifier.json)."
    tree = result("purifier")
    rows = {(r["arm"], r["countermeasure"], r["metric"]): r for r in tree["rows"]}
    names = [name for arm, name, metric in rows if (arm, metric) == ("cloaked", "latent_left")]
    lines = [
        "| countermeasure | PSNR to the clean picture, dB ↑ | LPIPS to it ↓ | of the cloak left in Φ ↓ | learned one better by, dB |",
        "|---|---|---|---|---|",
    ]
    for name in names:
        own = [rows["cloaked", name, metric] for metric in ("psnr_to_clean", "lpips_to_clean", "latent_left")]
        gain = rows.get(("cloaked", name, "learned_psnr_to_clean"))
        figures = [interval(own[0], ".1f"), interval(own[1], ".3f"), interval(own[2], ".2f")]
        lines.append(f"| `{name}` | {' | '.join(figures)} | {interval(gain, '.1f') if gain else ''} |")
    facts = tree["settings"]["purifier"]
    better = {
        metric: [
            name
            for name in names
            if name not in ("none", "learned") and rows["cloaked", name, f"learned_{metric}"]["low"] <= 0
        ]
        for metric in ("psnr_to_clean", "lpips_to_clean", "latent_left")
    }
    sides = {"psnr_to_clean": "PSNR", "lpips_to_clean": "LPIPS", "latent_left": "Φ"}
    verdicts = [f"{sides[m]}: {', '.join(f'`{n}`' for n in lost) if lost else 'none'}" for m, lost in better.items()]
    lines += [
        "",
        f"{tree['settings']['pairs']} cloaked pictures (LPIPS 0.1) by {', '.join(tree['settings']['artists'])}, of whom it has seen nothing; "
        f"{facts['pairs']} pairs and {facts['settings']['steps']} steps of {facts['settings']['batch']} to learn from. Means with 95 % "
        f"t-intervals ([results/purifier.json](RESULTS/purifier.json)). Hand-made ones over which the learned one shows no lead: {'; '.join(verdicts)}."
        + stale(tree),
    ]
    return "\n".join(lines)


def robustness() -> str:
    """The fast table of countermeasures, and how well it foretells the full one."""
    columns = ("decoded_shift", "decoded_shift_over_noise", "view_shift_top3", "lpips_to_clean", "psnr_to_clean")
    titles = {metric: title for metric, title, _ in tables.COLUMNS}
    parts, tabled = [], []
    for path in sorted((ROOT / "results/robustness").glob("*.json")):
        found = load(path)
        every = tables.cells(found.rows)
        tabled.append((path.stem, every))
        for budget in sorted({cell.budget for cell in every if cell.budget is not None}):
            noise = {c.countermeasure: c for c in every if c.arm == "noise" and c.budget == budget}
            parts += [
                f"**{found.settings['artist']}, LPIPS {budget:g}** (T: {found.settings['style']}).",
                "",
                "| countermeasure | " + " | ".join(titles[m] for m in columns) + " | judge on the view, noise |",
                "|---" * (len(columns) + 2) + "|",
            ]
            for cell in every:
                if cell.arm != "cloaked" or cell.budget != budget:
                    continue
                entries = [figure(cell, m) for m in columns]
                entries.append(figure(noise[cell.countermeasure], "view_shift_top3"))
                parts.append(f"| `{tables.row_name(cell)}` | {' | '.join(entries)} |")
            parts.append("")
        parts += ["Flags: " + "; ".join(found.flags) + ".", "", f"`{found.command}`", ""]
        if words := earlier({path.stem: found}):
            parts += [words, ""]
    if not parts:
        return "Not measured yet (results/robustness)."
    full = [
        (name, [c for c in tables.cells(found.rows) if c.countermeasure])
        for name, found in runs("countermeasures-*").items()
    ]
    if full and (found_pairs := prediction.predictions([*full, *tabled])):
        parts += [
            "Does this foretell what mimics do that are trained on such pictures?",
            "",
            prediction.markdown(found_pairs),
        ]
    return "\n".join(parts).strip()


def detection() -> str:
    """ROC areas, and what a mimic would drop."""
    if not (ROOT / "results/detection.json").exists():
        return "Not measured yet (results/detection.json)."
    tree = result("detection")
    rows = {(r["countermeasure"] or r["recipe"], r["metric"]): r for r in tree["rows"]}
    lines = ["| detector | ROC area | cloaked ones found | false alarms |", "|---|---|---|---|"]
    for name in dict.fromkeys(name for name, _ in rows):
        found, false = (share(rows[name, metric]) for metric in ("found", "false_alarms"))
        lines.append(f"| `{name}` | {interval(rows[name, 'auc'], '.2f')} | {found} | {false} |")
    learn, test = (tree["settings"][part] for part in ("learn", "test"))
    lines += [
        "",
        f"Cloaks at LPIPS 0.1, 128 px, {test['pairs']} pictures by {', '.join(test['artists'])} with and without; learned from "
        f"{learn['pairs']} by others. The last two columns: where the detector sets a bar that one clean picture in ten should pass. "
        "95 % intervals ([results/detection.json](RESULTS/detection.json))." + stale(tree),
    ]
    return "\n".join(lines)


def timings() -> str:
    """Seconds a picture."""
    if not (ROOT / "results/countermeasures.json").exists():
        return "What each costs is not measured yet (results/countermeasures.json)."
    tree = result("countermeasures")
    cost = {r["countermeasure"]: r["value"] for r in tree["rows"] if r["metric"] == "cpu_seconds"}
    words = ", ".join(f"`{name}` {seconds:.2g}" for name, seconds in sorted(cost.items(), key=lambda pair: pair[1]))
    return (
        f"Seconds a picture of {tree['settings']['picture']} on one thread, by the miniature's networks "
        f"([results/countermeasures.json](RESULTS/countermeasures.json)): {words}." + stale(tree) + flagged(tree)
    )
