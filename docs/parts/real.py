"""The default cloak on real models: what the surrogate learned, what models see, what people see."""

from __future__ import annotations

from typing import Any

from parts.figures import flagged, interval, optional, result
from velatura.weights import FAMILY_NAMES

ARMS = {
    "velatura on teachers": "the five distilled autoencoders together",
    "velatura on surrogate": "**the surrogate (the default)**",
    "velatura on taesd": "`taesd` alone",
    "velatura on taesdxl": "`taesdxl` alone",
    "velatura on taesd3": "`taesd3` alone",
    "velatura on taef1": "`taef1` alone",
    "velatura on taef2": "`taef2` alone",
    "velatura on mini": "the miniature (the first edition's default)",
    "noise": "nothing: random noise",
}
METHODS = {
    "velatura on surrogate": "Velatura",
    "glaze on surrogate": "Glaze's objective as published",
    "photoguard on surrogate": "PhotoGuard",
    "noise": "random noise",
}
SHOWN = {"low": "`low`", "default": "`default`", "high": "`high`"}
AIMS = {"low": 9.3, "default": 9.0, "high": 8.3}


def distilled() -> str:
    tree = result("surrogate")
    rows = {(r["metric"], r["arm"]): r for r in tree["rows"]}
    lines = ["| latent space of | R², 256 px | R², 512 px |", "|---|---|---|"]
    for family, name in FAMILY_NAMES.items():
        cells = [f"{rows[f'r_squared_{side}', family]['value']:.2f}" for side in (256, 512)]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    s, n = tree["settings"], [rows[f"r_squared_{side}", "sd15"]["n"] for side in (256, 512)]
    return "\n".join(
        [
            *lines,
            "",
            f"Share of the variance of the real latents that the surrogate explains, on pictures of held-out artists ({n[0]} at 256 px, {n[1]} at 512 px). "
            f"{s['parameters'] / 1e6:.1f} M parameters, {s['steps']:,} steps in {s['minutes']:.0f} minutes on two busy cores, {s['pairs']:,} crops, most of them twice, clean and changed, "
            f"of which {s['with_gradients']:,} with the teachers' gradient. The view's decoder gives pictures back with "
            f"{rows['view_psnr_db', None]['value']:.1f} dB ([results/surrogate.json](RESULTS/surrogate.json)).",
        ]
    )


def _means(tree: dict[str, Any], arms: dict[str, str], metric: str) -> list[str]:
    rows = {(r["metric"], r["cloak"], r["budget"], r["recipe"]): r for r in tree["rows"]}
    lines = [
        f"| made on | {' | '.join(FAMILY_NAMES.values())} | all five |",
        "|---" * (len(FAMILY_NAMES) + 2) + "|",
    ]
    for cloak, name in arms.items():
        if (metric, cloak, 0.1, "seen by all") in rows:
            seen = [f"{rows[metric, cloak, 0.1, f'seen by {family}']['value']:.2f}" for family in FAMILY_NAMES]
            lines.append(
                f"| {name} | {' | '.join(seen)} | {interval(rows[metric, cloak, 0.1, 'seen by all'], '.2f')} |"
            )
    return lines


def matrix() -> str:
    tree = optional("transfer")
    if tree is None:
        return "Not measured yet."
    s = tree["settings"]
    n = len(s["pictures"])
    return "\n".join(
        [
            *_means(tree, ARMS, "progress"),
            "",
            f"How far each real autoencoder sees the picture on its way to the target, in its latents: 0 is where it was, 1 at the target. {n} pictures by "
            f"{'as many' if n <= 16 else 'sixteen'} held-out artists, {s['side']} px, all towards {s['style']}, all brought to a mean ꟻLIP of {s['flip']:.2f} in the saved file; "
            "in brackets 95 % t-intervals over pictures. The same in the decoded view (VGG16):",
            "",
            *_means(tree, ARMS, "decoded_shift"),
            "",
            f"Made by `python benchmarks/{tree['command']}` ([results/transfer.json](RESULTS/transfer.json))."
            + flagged(tree),
        ]
    )


TUNED = {
    "default": "**as shipped**: 12 steps, half of the objective on detail",
    "detail 0": "no detail: the latents as they are, as published",
    "detail 1": "detail alone",
    "LPIPS not asked": "LPIPS kept by scaling at the end alone",
    "LPIPS asked from half-way": "LPIPS asked from half-way instead of from step 4",
    "not smooth": "patterns of two pixels allowed",
    "mask 0": "as much in flat places as in busy ones",
    "6 steps": "6 steps",
    "8 steps": "8 steps",
    "10 steps": "10 steps",
    "24 steps": "24 steps",
    "learning rate 0.01": "half of the learning rate",
    "learning rate 0.04": "twice the learning rate",
}


def tuned() -> str:
    tree = optional("tuning")
    if tree is None:
        return "Not measured yet."
    rows = {(r["recipe"], r["metric"]): r for r in tree["rows"]}
    lines = ["| settings | decoded shift | progress | ꟻLIP | LPIPS |", "|---|---|---|---|---|"]
    for name, words in TUNED.items():
        if (name, "progress") in rows:
            shift, progress = (interval(rows[name, metric], ".3f") for metric in ("decoded_shift", "progress"))
            flip, distance = (f"{rows[name, metric]['value']:.3f}" for metric in ("flip", "lpips"))
            lines.append(f"| {words} | {shift} | {progress} | {flip} | {distance} |")
    s = tree["settings"]
    return "\n".join(
        [
            *lines,
            "",
            f"{len(s['pictures'])} pictures by the tuning artists, {s['side']} px, all within LPIPS {s['lpips']:g} and ꟻLIP {s['flip']:.2f} in 8 bits; means over "
            f"the five real autoencoders; in brackets 95 % t-intervals over pictures. Made by `python benchmarks/{tree['command']}` ([results/tuning.json](RESULTS/tuning.json)).",
        ]
    )


def seen() -> str:
    """For the README: what models see of our cloak, of the first edition's and of noise."""
    tree = optional("transfer")
    if tree is None:
        return "Not measured yet."
    arms = {
        "velatura on surrogate": "**our cloak (the default)**",
        "velatura on mini": "a cloak made on the first edition's small model",
        "noise": "random noise",
        "velatura on teachers": "for comparison: a cloak made on these models themselves",
    }
    rows = {(r["metric"], r["cloak"], r["recipe"]): r for r in tree["rows"]}
    lines = ["| what was added to the picture | how far models see it move |", "|---|---|"]
    for cloak, name in arms.items():
        if ("progress", cloak, "seen by all") in rows:
            lines.append(f"| {name} | {interval(rows['progress', cloak, 'seen by all'], '.2f')} |")
    lines += [
        "",
        "0: not at all. 1: all the way to another style. All are equally visible. Mean of small copies of five model "
        f"families, {len(tree['settings']['pictures'])} pictures. Brackets: 95 % interval over pictures "
        "([figures](RESULTS/transfer.json)).",
    ]
    shown = [r["jod_standard_4k"] for r in optional("visibility-pictures") or () if r["arm"] == "default"]
    if shown:
        lines[-1] += (
            f" Visibility, by a model of human sight: {sum(shown) / len(shown):.2f} of 10 on average, {min(shown):.2f} for "
            f"the worst of {len(shown)} pictures; 10 is no difference ([figures](RESULTS/visibility.json))."
        )
    return "\n".join(lines) + flagged(tree)


def visible() -> str:
    tree = optional("visibility")
    if tree is None:
        return "Not measured yet."
    rows = {(r["arm"], r["metric"]): r for r in tree["rows"]}
    lines = [
        "| intensity | JOD at 4K, mean | aim | lowest of the pictures | JOD on full HD, mean | ꟻLIP | LPIPS |",
        "|---|---|---|---|---|---|---|",
    ]
    for arm, name in SHOWN.items():
        values = [r["jod_standard_4k"] for r in result("visibility-pictures") if r["arm"] == arm]
        if not values:
            continue
        means = {key: rows[arm, key]["value"] for key in ("jod_standard_4k", "jod_standard_fhd", "flip", "lpips")}
        lines.append(
            f"| {name} | {means['jod_standard_4k']:.2f} | {AIMS[arm]} | {min(values):.2f} | {means['jod_standard_fhd']:.2f} "
            f"| {means['flip']:.3f} | {means['lpips']:.3f} |"
        )
    n = max(r["n"] for r in tree["rows"])
    copies = sum(r["arm"] == "default" and r["flip"] < 1e-6 for r in result("visibility-pictures"))
    return "\n".join(
        [
            *lines,
            "",
            f"{n} pictures of six kinds, 512 px ({copies} of them in flat colour or pixel art, left as they are since models would see no more than in noise), files as `velatura protect` writes them ([results/visibility.json](RESULTS/visibility.json)). JOD is ColorVideoVDP's scale "
            "(Mantiuk et al. 2024): 10 is no difference; one JOD less, and three of four viewers prefer the original. It judges only: nothing is tuned by it but the three bounds."
            + flagged(tree),
        ]
    )


def aims() -> str:
    """What was aimed at for this cloak, and what came out."""
    lines = ["| aim | came out |", "|---|---|"]
    learned = [r for r in result("surrogate")["rows"] if r["metric"].startswith("r_squared")]
    worst, best = (f(learned, key=lambda r: r["value"])["value"] for f in (min, max))
    lines.append(
        f"| the surrogate explains 0.95 of the real latents' variance in every family | **missed**: {worst:.2f} to {best:.2f} |"
    )
    tree = optional("transfer")
    if tree is not None:
        rows = {(r["metric"], r["cloak"], r["recipe"]): r["value"] for r in tree["rows"]}
        own, five = (f"velatura on {name}" for name in ("surrogate", "teachers"))
        if ("progress", five, "seen by all") in rows:
            each = [
                rows["progress", own, f"seen by {f}"] / rows["progress", five, f"seen by {f}"] for f in FAMILY_NAMES
            ]
            mean = rows["progress", own, "seen by all"] / rows["progress", five, "seen by all"]
            met = "met" if mean >= 0.95 and min(each) >= 0.85 else "**missed**"
            lines.append(
                f"| its cloak gets 0.95 of what one made on all five gets, and 0.85 with each | {met}: {mean:.2f}, and {min(each):.2f} to {max(each):.2f} |"
            )
        shift = rows["decoded_shift", own, "seen by all"]
        met = "met" if shift >= 0.25 else "**missed**"
        lines.append(f"| at the default, decoded shift of 0.25 on average over the five | {met}: {shift:.2f} |")
    seen = optional("visibility-pictures")
    if seen:
        for arm, aim in AIMS.items():
            values = [r["jod_standard_4k"] for r in seen if r["arm"] == arm]
            mean, low = sum(values) / len(values), min(values)
            met = "met" if mean >= aim and low >= aim - 0.5 else "**missed**"
            lines.append(
                f"| {SHOWN[arm]}: {aim} JOD at 4K on average, no picture below {aim - 0.5:.1f} | {met}: {mean:.2f}, lowest {low:.2f} |"
            )
    tree = result("speed")
    rows = {(r["metric"], r["recipe"]): r["value"] for r in tree["rows"]}
    if ("picture_cpu_seconds", "0.3 MP") in rows:
        for text, value, most in (
            ("a picture of 512 px in 18 seconds of processor time", rows["picture_cpu_seconds", "0.3 MP"], 18),
            ("the same in 10 seconds on two idle cores", rows["picture_seconds", "0.3 MP"], 10),
            ("1 megapixel in 1.5 times the time", rows.get(("time_ratio", "1 MP to 0.3 MP")), 1.5),
            ("24 megapixels in 2.5 times the time", rows.get(("time_ratio", "24 MP to 0.3 MP")), 2.5),
            (
                "three times the time while both cores are busy",
                rows["picture_seconds", "others busy"] / rows["picture_seconds", "0.3 MP"],
                3,
            ),
        ):
            if value is not None:
                lines.append(f"| {text} | {'met' if value <= most else '**missed**'}: {value:.1f} |")
        for text, key, least in (
            ("a step 60 times as cheap as through the full encoder", ("step_ratio", "full"), 60),
            ("a picture 300 times as cheap as by the published recipe through it", ("picture_ratio", None), 300),
        ):
            lines.append(f"| {text} | {'met' if rows[key] >= least else '**missed**'}: {rows[key]:.0f} |")
    return "\n".join(lines)


def speed() -> str:
    tree = result("speed")
    rows = {(r["metric"], r["recipe"]): r["value"] for r in tree["rows"]}
    if ("step_cpu_seconds", "surrogate") not in rows:
        return "Today's default was not timed yet on a machine where nothing else runs."
    lines = [
        "| what | seconds | seconds of processor time |",
        "|---|---|---|",
    ]
    named = {
        ("step", "surrogate"): "a gradient step through the surrogate: five latent spaces at once",
        ("step", "distilled"): "the same through the five distilled autoencoders",
        ("step", "full"): "through Stable Diffusion 1.5's full encoder: one latent space",
        ("picture", "0.3 MP"): "a picture of 512 px, default effort, from file to file with start-up",
        ("picture", "fast"): "the same at effort `fast`",
        ("picture", "max"): "the same at effort `max`",
        ("picture", "others busy"): "default effort while both cores are busy elsewhere",
        ("picture", "1 MP"): "a picture of 1 megapixel",
        ("picture", "24 MP"): "a picture of 24 megapixels",
        ("published_recipe", None): "the published recipe of 500 steps through the full encoder",
    }
    for (what, recipe), name in named.items():
        if (f"{what}_seconds", recipe) in rows:
            wall, cpu = rows[f"{what}_seconds", recipe], rows[f"{what}_cpu_seconds", recipe]
            lines.append(f"| {name} | {wall:,.3g} | {cpu:,.3g} |")
    memory = max(value for (metric, _), value in rows.items() if metric == "peak_mib")
    return "\n".join(
        [
            *lines,
            "",
            f"On {tree['machine']} ({tree['settings']['processor']}, {tree['settings'].get('capability', '')}); the target style is named; {memory / 1024:.1f} GiB at most "
            f"([results/speed.json](RESULTS/speed.json)). A step through the full encoder costs {rows['step_ratio', 'full']:.0f} times as much as one through the surrogate, "
            f"the published recipe {rows['picture_ratio', None]:.0f} times as much as a whole picture." + flagged(tree),
        ]
    )
