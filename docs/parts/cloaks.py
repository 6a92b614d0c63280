"""What cloaks do and cost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from parts.figures import ROOT, cell, earlier, interval, optional, penalty, result, stale
from velatura import weights
from velatura.reports.result import load
from velatura.styles import catalogue

SHOWN = (
    "vincent-van-gogh",
    "kate-greenaway",
    "ivan-aivazovsky",
    "david-revoy",
    "rembrandt",
    "aubrey-beardsley",
    "katsushika-hokusai",
    "egon-elbre",
    "wassily-kandinsky-composition-viii",
    "huang-gongwang-dwelling-in-the-fuchun-mountains",
)


CLOAKS = {
    "glaze": "Glaze objective as published",
    "glaze-bounded": "that, scaled down to Velatura's bound on colour cast",
    "velatura": "Velatura: the objective, colour cast bounded",
    "veil": "`veil`: `blend`, less where it shows",
    "blend": "`blend`: latents and decoded view",
    "decoded": "`decoded`: decoded view alone",
    "application": "the early Glaze application's recipe",
    "photoguard": "PhotoGuard encoder attack",
    "styleguard": "StyleGuard's moments of latents",
    "advdm": "AdvDM",
    "mist": "Mist",
    "aspl": "Anti-DreamBooth (ASPL)",
    "shuffled": "another picture's δ",
    "noise": "Gaussian noise",
}


def models() -> str:
    lines = ["| name | what | mimics train at | download | licence |", "|---|---|---|---|---|"]
    for m in weights.MODELS:
        if m.class_name:
            size = f"{m.size_mb:g} MB" if m.size_mb else "embedded"
            lines.append(f"| `{m.name}` | {m.notes} | {m.resolution} px | {size} | {m.licence} |")
    lines.append(
        "| any hub id or folder | an autoencoder or a pipeline in diffusers format (a hub id once `hf download ID` has fetched it, or with `--online`) | | | its own |"
    )
    return "\n".join(lines)


def cloak_table() -> str:
    budgets = (0.05, 0.1, 0.2)
    tree = result("cloaks")
    made = tree["settings"]["methods"]
    rows = [r for r in tree["rows"] if r["budget"] in budgets]
    lines = [
        "| LPIPS budget | cloak | latent remaining ↓ | decoded shift ↑ | LPIPS as saved | PSNR, dB | mean ΔE | colour cast, ΔE |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for budget in sorted({r["budget"] for r in rows}):
        for cloak, name in CLOAKS.items():
            mean = {r["metric"]: r["value"] for r in rows if (r["cloak"], r["budget"]) == (cloak, budget)}
            if not mean:
                continue
            lines.append(
                f"| {budget:g} | {name} | {cell(rows, 'latent_remaining', cloak, budget)} "
                f"| {cell(rows, 'decoded_shift', cloak, budget)} "
                f"| {mean['lpips']:.3f} | {mean['psnr_db']:.1f} | {mean['delta_e_mean']:.1f} | {mean['colour_cast']:.1f} |"
            )
    n = rows[0]["n"]
    lines += [
        "",
        f"{n} pictures of held-out artists, 512 px squares, means with 95 % t-intervals; made by "
        f"`python benchmarks/{tree['command']}` ([results/cloaks.json](RESULTS/cloaks.json)). All of it "
        "measured on the miniature's own autoencoder, which the cloaks were made on.",
    ]
    if attack := made.get("photoguard"):
        lines[-1] += f" PhotoGuard: {attack['steps']} steps at each of {attack['rounds']} radii (its paper takes 200)."
    lines[-1] = f"{lines[-1]}{stale(tree)} {earlier({'': load(ROOT / 'results/cloaks.json')})}".strip()
    flags = [flag for flag in tree["flags"] if any(f" at {budget}:" in flag for budget in budgets)]
    if flags:
        lines += ["", "Flags: " + "; ".join(flags) + "."]
    return "\n".join(lines)


def effort() -> str:
    tree = result("effort")
    rows = {(r["recipe"], r["budget"], r["metric"]): r for r in tree["rows"]}
    recipes, budgets = dict.fromkeys(r["recipe"] for r in tree["rows"]), sorted({r["budget"] for r in tree["rows"]})
    named = ("latent remaining ↓", "style changed in the view ↑", "over the default's")
    columns = [f"{name}, LPIPS {budget:g}" for budget in budgets for name in named]
    lines = [f"| recipe | {' | '.join(columns)} |", "|---" * (1 + len(columns)) + "|"]
    for recipe in recipes:
        cells = []
        for budget in budgets:
            cells += [f"{rows[recipe, budget, metric]['value']:.3f}" for metric in ("latent_remaining", "view_change")]
            cells.append(
                "" if recipe == tree["rows"][0]["recipe"] else interval(rows[recipe, budget, "view_gain"], ".3f")
            )
        lines.append(f"| {recipe} | {' | '.join(cells)} |")
    lines += [
        "",
        f"{len(tree['settings']['pictures'])} pictures of the tuning artists, {tree['settings']['side']} px squares, two targets each, from the instant cloak and within their budgets, "
        "means, and of differences 95 % t-intervals over pairs of picture and target (as if independent: somewhat too narrow) ([results/effort.json](RESULTS/effort.json))."
        + stale(tree),
    ]
    return "\n".join(lines)


def neighbours() -> str:
    book = catalogue.load()
    lines = ["| style | nearest | farthest |", "|---|---|---|"]
    for name in SHOWN:
        style = book.find(name)
        ranked = [(d, s.name) for d, s in book.ranking(style.centroid) if s.name != name]
        near, far = (", ".join(f"{s} ({d:.1f})" for d, s in part) for part in (ranked[:4], ranked[-3:][::-1]))
        lines.append(f"| **{name}** | {near} | {far} |")
    return "\n".join(lines)


def targets() -> str:
    """How far targets are, by the rule that they are drawn by."""
    tree = optional("cloaks/targets")
    if tree is None:
        return "Not measured yet (results/cloaks/targets.json)."
    rows = {(r["artist"], r["metric"], r["recipe"]): r for r in tree["rows"]}
    rules = ("any style", "Glaze's band", "ours")
    lines = [f"| artist | {' | '.join(rules)} | ρ, distance | ρ, style vectors |", "|---|---|---|---|---|---|"]
    for artist in dict.fromkeys(r["artist"] for r in tree["rows"]):
        cells = [rows.get((artist, "ceiling_top3", rule)) for rule in rules]
        shown = [f"{row['value']:.0%} (n {row['n']})" if row else "" for row in cells]
        if artist is None:
            shown = [interval(row | {"high": min(1.0, row["high"])}, ".0%") for row in cells if row]
        found = [rows.get((artist, "rank_correlation", figure)) for figure in ("distance", "alike")]
        # Of the cosine less is better.
        signs = [f"{sign * row['value']:.2f}" if row else "" for sign, row in zip((1, -1), found, strict=True)]
        name = "**mean of artists**" if artist is None else artist.replace("-", " ")
        lines.append(f"| {name} | {' | '.join([*shown, *signs])} |")
    lines += [
        "",
        f"Mean ceiling (top 3) of the styles among {len(tree['settings']['styles'])} that each rule draws from, their number, and Spearman's ρ of "
        f"the ceiling with the two figures, over all of them; {tree['settings']['pictures']} pictures an artist, 128 px, none by the artists whom we "
        "report on. `python benchmarks/targets.py ../shared/art` ([results/cloaks/targets.json](RESULTS/cloaks/targets.json))."
        + stale(tree),
    ]
    return "\n".join(lines)


def trials() -> str:
    """What the trial of target styles is worth."""
    tree = optional("cloaks/trials")
    if tree is None:
        return "Not measured yet (results/cloaks/trials.json)."
    rows = {(r["artist"], r["metric"], r["recipe"]): r for r in tree["rows"]}
    recipes = ("drawn", "tried", "changed", "strayed", "best")
    lines = [
        "| artist | drawn | kept by the trial | by how much cloaks change | by cloak and target from home | best of the eight | ρ of the trial |",
        "|---|---|---|---|---|---|---|",
    ]
    for artist in dict.fromkeys(r["artist"] for r in tree["rows"] if r["artist"]):
        shown = [f"{rows[artist, 'view_shift_top3', recipe]['value']:.0%}" for recipe in recipes]
        lines.append(
            f"| {artist.replace('-', ' ')} | {' | '.join(shown)} | {rows[artist, 'rank_correlation', 'tried']['value']:.2f} |"
        )
    mean = [interval(rows[None, "view_shift_top3", recipe], ".0%") for recipe in recipes]
    lines.append(
        f"| **mean of artists** | {' | '.join(mean)} | {interval(rows[None, 'rank_correlation', 'tried'], '.2f')} |"
    )

    def more(rule: str) -> str:
        return interval(rows[None, "log_probability_lost", f"{rule} less drawn"], ".2f")

    apart = {recipe: rows[None, "style_change", recipe]["value"] for recipe in ("one artist", "different artists")}
    lines += [
        "",
        "Share of cloaked pictures that the judge, looking at what the miniature sees, does not place among the artist's first three; ρ: Spearman's, over the "
        "eight, with how far the artist's log probability falls. It falls by so much more than with the mean of the eight (natural logarithms): kept by the trial "
        f"{more('tried')}, by how much cloaks change {more('changed')}, by cloak and target from home {more('strayed')}. Two plain pictures by one artist differ by "
        f"a style change of {apart['one artist']:.2f} (median), by different artists {apart['different artists']:.2f}. The trial is of three pictures, the judge's of "
        f"up to {tree['settings']['pictures']} others, 128 px, LPIPS {tree['settings']['budget']:g}; none by the artists whom we report on. "
        "Today's question was chosen with these figures in view, so they do not confirm it. `python benchmarks/trials.py ../shared/art --seed 1` ([results/cloaks/trials.json](RESULTS/cloaks/trials.json))."
        + stale(tree),
    ]
    return "\n".join(lines)


FIGURES = {
    "cloak from home": "**how far the cloak is from home: what the trial keeps**",
    "target from home": "how far the target is from home",
    "strayed": "both (the rule in between)",
    "change": "how much the cloak changes (kept before)",
    "painted": "how much the target differs",
    "share": "how much of the way a cloak gets, in style",
    "latent": "the same in Φ",
    "alike": "the same by LPIPS (AlexNet)",
    "change x latent": "change times way in Φ",
    "as judged: view_shift_top3": "*the judge on the view*",
    "as judged: style_move": "*style move, by VGG16*",
    "as judged: decoded_shift": "*decoded shift, by VGG16*",
}


def trial_mimics() -> str:
    """Which figure of a trial foresees what mimics do."""
    runs = {name: optional(f"cloaks/trial-mimics{name}") for name in ("", "-blind")}
    if None in runs.values():
        return "Not measured yet (results/cloaks/trial-mimics.json)."
    columns = {
        (name, artist): {(r["metric"], r["recipe"]): r for r in tree["rows"] if r["artist"] == artist}
        for name, tree in runs.items()
        for artist in dict.fromkeys(r["artist"] for r in tree["rows"] if r["artist"])
    }
    heads = [f"{artist}{', other styles' if name else ''}" for name, artist in columns]
    lines = [f"| figure | {' | '.join(heads)} |", f"|---|{'---|' * len(heads)}"]
    for figure, says in FIGURES.items():
        cells = [
            f"{rows['rank_correlation', figure]['value']:.2f}, {rows['style_shift', figure]['value']:.0%}"
            for rows in columns.values()
        ]
        lines.append(f"| {says} | {' | '.join(cells)} |")
    for recipe, says in (("drawn", "mean of these styles"), ("best", "best of these styles")):
        shares = [f"{rows['style_shift', recipe]['value']:.0%}" for rows in columns.values()]
        lines.append(f"| {says} | {' | '.join(shares)} |")
    n = " and ".join(dict.fromkeys(str(next(iter(rows.values()))["n"]) for rows in columns.values()))
    lines += [
        "",
        f"Of each figure Spearman's ρ, over {n} styles a column, with the style shift of mimics (mean of top 1 and top 3; Greenaway at LPIPS 0.1, Aivazovsky at 0.05; one mimic a "
        "style), and the style shift of the style that it keeps. Those in italics are of the whole cloaks and VGG16's, which no trial may look at. The last "
        "column was judged after that rule, both, had been chosen on the first two. `python benchmarks/trial_mimics.py ../shared/art results/evaluation/targets-....json` "
        "([results](RESULTS/cloaks/trial-mimics.json), [other styles](RESULTS/cloaks/trial-mimics-blind.json); with `--each 8`: "
        "[results](RESULTS/cloaks/trial-mimics-8.json), [other styles](RESULTS/cloaks/trial-mimics-8-blind.json); [the mimics](evaluation-results.md#targets-kate-greenaway)).",
    ]
    return "\n".join(lines)


def objectives() -> str:
    """What was tried as an objective, and what it did."""
    tree = optional("cloaks/objectives")
    if tree is None:
        return "Not measured yet (results/cloaks/objectives.json)."
    rows = {(r["budget"], r["recipe"], r["metric"]): r for r in tree["rows"]}
    lines = [
        "| LPIPS budget | recipe | decoded shift ↑ | more than the default | by AlexNet | latent remaining ↓ | LPIPS | mean ΔE | ΔE, flat | colour cast, ΔE |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for budget, recipe in dict.fromkeys((r["budget"], r["recipe"]) for r in tree["rows"]):
        own = {r["metric"]: r for r in tree["rows"] if (r["budget"], r["recipe"]) == (budget, recipe)}
        shift, gain = (interval(own[name], ".2f") for name in ("decoded_shift", "decoded_shift_over_latent"))
        means = [f"{own[name]['value']:.2f}" for name in ("alexnet_shift", "latent_remaining")]
        means += [f"{own['lpips']['value']:.3f}"]
        means += [f"{own[name]['value']:.1f}" for name in ("delta_e_mean", "delta_e_flat", "colour_cast")]
        gain = "" if recipe == "latent" else gain
        lines.append(f"| {budget:g} | {recipe} | {shift} | {gain} | {' | '.join(means)} |")
    n = next(iter(rows.values()))["n"]
    lines += [
        "",
        f"{n} pictures of the tuning artists, {tree['settings']['side']} px squares, {tree['settings']['steps']} steps where none are named, means "
        "with 95 % t-intervals ([results/cloaks/objectives.json](RESULTS/cloaks/objectives.json))."
        + stale(tree)
        + penalty(tree),
    ]
    return "\n".join(lines)


def hardening() -> str:
    """What is left after countermeasures of what the plain cloak has before them."""
    tree = optional("cloaks/hardening")
    if tree is None:
        return "Not measured yet (results/cloaks/hardening.json)."
    plain = tree["settings"]["plain"]
    rows = {(r["cloak"], r["countermeasure"]): r for r in tree["rows"] if r["metric"] == "kept"}
    lines = [f"| countermeasure | | `hardened` | `{plain}` | noise |", "|---|---|---|---|---|"]
    for name in ("none", *tree["settings"]["tried"]):
        hard = rows["hardened", name]
        cells = [interval(rows[method, name], ".2f") for method in ("hardened", plain, "noise")]
        lines.append(f"| `{name}` | {hard['recipe'] or ''} | {' | '.join(cells)} |")
    seen = {r["cloak"]: r for r in tree["rows"] if r["metric"] == "delta_e_mean"}
    lines += [
        "",
        f"{hard['n']} pictures of the tuning artists, {tree['settings']['side']} px squares, LPIPS {hard['budget']:g}; mean ΔE of `hardened` "
        f"{seen['hardened']['value']:.1f}, of `{plain}` {seen[plain]['value']:.1f}, of noise {seen['noise']['value']:.1f} "
        "([results/cloaks/hardening.json](RESULTS/cloaks/hardening.json))." + stale(tree) + penalty(tree),
    ]
    if tree["flags"]:
        lines += ["", "Flags: " + "; ".join(tree["flags"]) + "."]
    return "\n".join(lines)


def by_recipe(
    tree: dict[str, Any], first: str, columns: dict[str, tuple[str, str]], name: Callable[[str], str]
) -> list[str]:
    """The lines of a table: a recipe a row, a metric (its title, its format) a column."""
    lines = [f"| {first} | {' | '.join(title for title, _ in columns.values())} |", "|---" * (len(columns) + 1) + "|"]
    for recipe in dict.fromkeys(r["recipe"] for r in tree["rows"]):
        own = {r["metric"]: r for r in tree["rows"] if r["recipe"] == recipe}
        lines.append(f"| {name(recipe)} | {' | '.join(interval(own[m], shape) for m, (_, shape) in columns.items())} |")
    return lines


def closer() -> str:
    """Files of twice the working resolution."""
    tree = optional("cloaks/closer")
    if tree is None:
        return "Not measured yet (results/cloaks/closer.json)."
    about = tree["settings"]
    columns = {
        "lpips_enlarged": (f"LPIPS at {about['file']} px", ".3f"),
        "lpips": (f"LPIPS at {about['side']} px", ".3f"),
        "lpips_held_out": (f"LPIPS at {about['held_out']} px, not bounded", ".2f"),
        "latent_remaining": ("latent remaining ↓", ".2f"),
        "decoded_shift": ("decoded shift ↑", ".2f"),
        "view_change": ("style changed in the view ↑", ".2f"),
        "delta_e_flat": ("ΔE, flat ↓", ".1f"),
        "delta_scale": ("of δ left", ".2f"),
    }
    names = {
        "as published": "the working size",
        "enlarged": "enlarged as well",
        "product": "that, smaller steps where busy",
        "product, at once": "that, from the instant cloak",
    }
    lines = by_recipe(tree, "looked at while optimising", columns, lambda recipe: names.get(recipe, recipe))
    n = tree["rows"][0]["n"]
    lines += [
        "",
        f"{n} pictures of Van Gogh and David Revoy as files of {about['file']} px, cloaks made at {about['side']} px, LPIPS {tree['rows'][0]['budget']:g}, means with "
        "95 % t-intervals ([results/cloaks/closer.json](RESULTS/cloaks/closer.json)).",
    ]
    return "\n".join(lines)


def instant(file: str = "cloaks/instant") -> str:
    """The network's cloaks, and the optimiser's from them and from nothing."""
    tree = optional(file)
    if tree is None:
        return f"Not measured yet (results/{file}.json)."
    columns = {
        "decoded_shift": ("decoded shift ↑", ".2f"),
        "ratio_to_default": ("of the default's", ".2f"),
        "latent_remaining": ("latent remaining ↓", ".2f"),
        "view_change": ("style changed in the view ↑", ".2f"),
        "lpips": ("LPIPS", ".3f"),
        "colour_cast": ("colour cast, ΔE ↓", ".1f"),
        "seconds": ("seconds", ".2f"),
    }

    def name(recipe: str) -> str:
        kind, _, steps = recipe.partition(" ")
        if kind == "miniature":
            return f"{steps} steps from the miniature's" if steps else "the miniature's, 45 steps"
        return {"cold": f"{steps} steps", "warm": f"{steps} steps from the instant one"}.get(kind, kind)

    lines = by_recipe(tree, "cloak", columns, name)
    n, budget = tree["rows"][0]["n"], tree["rows"][0]["budget"]
    lines += [
        "",
        f"{n} pictures of Van Gogh and David Revoy, squares of {tree['settings']['side']} px, LPIPS at most {budget:g} and the same "
        "bound on colours but for noise, one thread, means with 95 % t-intervals; seconds with other work beside it "
        f"([results/{file}.json](RESULTS/{file}.json)).",
    ]
    return "\n".join(lines)


def surrogate() -> str:
    """The same, as another autoencoder sees it."""
    return instant("cloaks/surrogate") + penalty(result("cloaks/surrogate"))


def transfer() -> str:
    """Cloaks made on one autoencoder, seen by others."""
    tree = optional("cloaks/transfer")
    if tree is None:
        return "Not measured yet (results/cloaks/transfer.json)."
    found: dict[tuple[str, str], dict[str, str]] = {}
    for r in tree["rows"]:
        made, _, eye = r["recipe"].removeprefix("on ").partition(", seen by ")
        made = "" if r["cloak"] == "noise" else made
        found.setdefault((r["cloak"], made), {})[eye] = interval(r, ".2f")
    eyes = tree["settings"]["eyes"]
    lines = [f"| cloak | made on | {' | '.join(f'seen by {eye}' for eye in eyes)} |", "|---|---|" + "---|" * len(eyes)]
    lines += [f"| {c} | {made} | {' | '.join(cells[eye] for eye in eyes)} |" for (c, made), cells in found.items()]
    first = tree["rows"][0]
    return "\n".join([*lines, "", f"Decoded shift, {first['n']} pictures of the tuning artists, {tree['settings']['side']} px squares, "
                      f"LPIPS {first['budget']:g} ([results/cloaks/transfer.json](RESULTS/cloaks/transfer.json))." + stale(tree) + penalty(tree)])  # fmt: skip


def seconds() -> str:
    """Time to the shift that the published recipe ends with."""
    tree = optional("cloaks/time")
    if tree is None:
        return "Not measured yet (results/cloaks/time.json)."
    rows = {(r["cloak"], r["metric"]): r for r in tree["rows"]}
    lines = [
        "| cloak | seconds until then | pictures | until the shift within both bounds | pictures | whole run, s | "
        "decoded shift at its end | LPIPS | colour cast, ΔE |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    bound = 1.01 * tree["settings"]["cast"]
    for name in dict.fromkeys(cloak for cloak, _ in rows):
        cells = []
        for ending in ("", "_bounded"):
            quick, share = rows.get((name, f"seconds{ending}")), rows[name, f"reached{ending}"]
            if ending and rows[name, "colour_cast"]["high"] > bound:  # it is not within them
                cells += ["", ""]
                continue
            cells += [interval(quick, ".2f") if quick else "", f"{share['value'] * share['n']:.0f} of {share['n']}"]
        ends = ("seconds_whole_run", ".1f"), ("decoded_shift", ".2f"), ("lpips", ".3f"), ("colour_cast", ".1f")
        cells += [interval(rows[name, metric], shape) for metric, shape in ends]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    lines += [
        "",
        f"{tree['settings']['side']} px, one thread of {tree['machine']}, medians (smallest–largest) over {tree['rows'][0]['n']} pictures ([results/cloaks/time.json](RESULTS/cloaks/time.json))."
        + stale(tree)
        + penalty(tree),
    ]
    if tree["flags"]:
        lines += ["", "Flags: " + "; ".join(tree["flags"]) + "."]
    return "\n".join(lines)
