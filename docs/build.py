"""Fill the README and the docs from results/*.json and the catalogue, so that no figure is typed by hand.

python docs/build.py            # writes; tests/test_docs.py fails where a page is not what this would write
"""

from __future__ import annotations

import json
import re
from functools import partial
from pathlib import Path
from typing import Any

from velatura import weights
from velatura.images.delivery import PLATFORMS
from velatura.protect.publishing import LOWEST
from velatura.reports import page as reports
from velatura.reports.result import load
from velatura.styles import catalogue

ROOT = Path(__file__).parents[1]
PAGES = (
    *("README.md", "docs/styles.md", "docs/cloaks.md", "docs/evaluation.md", "docs/countermeasures.md"),
    *("docs/files.md", "docs/workers.md", "docs/deploy.md", "docs/mimicry.md"),
    "src/velatura/data/mini/README.md",
)
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
    "velatura": "Velatura: that, colour cast bounded",
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


def result(name: str) -> dict[str, Any]:
    tree: dict[str, Any] = json.loads((ROOT / "results" / f"{name}.json").read_text())
    return tree


def stale(tree: dict[str, Any]) -> str:
    """A sentence where a result is of other weights than those that ship."""
    if tree["weights"].get("mini") == weights.sha256(weights.embedded("mini")):
        return ""
    return " **Of an earlier autoencoder of the miniature, smaller and faster; not measured again yet.**"


def models() -> str:
    lines = ["| name | what | mimics train at | download | licence |", "|---|---|---|---|---|"]
    for m in weights.MODELS:
        if m.class_name:
            size = f"{m.size_mb:g} MB" if m.size_mb else "embedded"
            lines.append(f"| `{m.name}` | {m.notes} | {m.resolution} px | {size} | {m.licence} |")
    lines.append("| any hub id or folder | an autoencoder or a pipeline in diffusers format | | | its own |")
    return "\n".join(lines)


def cell(rows: list[dict[str, Any]], metric: str, cloak: str, budget: float) -> str:
    row = next(r for r in rows if (r["metric"], r["cloak"], r["budget"]) == (metric, cloak, budget))
    return f"{row['value']:.2f} ({row['low']:.2f}–{row['high']:.2f})"


def cloak_table(budgets: tuple[float, ...] = (0.05, 0.1, 0.2)) -> str:
    tree = result("cloaks")
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
        f"`python benchmarks/cloaks.py ../shared/art` ([results/cloaks.json](RESULTS/cloaks.json)). All of it "
        "measured on the miniature's own autoencoder, which the cloaks were made on.",
    ]
    lines[-1] += f" PhotoGuard: {tree['settings']['photoguard']} (its paper takes 200)." + stale(tree)
    flags = [flag for flag in tree["flags"] if any(f" at {budget}:" in flag for budget in budgets)]
    if flags:
        lines += ["", "Flags: " + "; ".join(flags) + ". (Velatura's bound on colour may be met before LPIPS's.)"]
    return "\n".join(lines)


def speed() -> str:
    rows = {(r["metric"], r["recipe"]): r["value"] for r in result("speed")["rows"]}
    steps = result("speed")["settings"]["default_steps"]
    return (
        f"On {result('speed')['machine']} ([results/speed.json](RESULTS/speed.json)) a gradient step of the latent objective through the miniature takes "
        f"{rows['step_seconds_mini', 'fp32']:.2f} s in fp32 and {rows['step_seconds_mini', 'bf16']:.2f} s in bf16, through a "
        f"full-size SD 1.5 encoder {rows['step_seconds_full', 'fp32']:.1f} s and {rows['step_seconds_full', 'bf16']:.1f} s: "
        f"{rows['step_ratio', 'fp32']:.0f} and {rows['step_ratio', 'bf16']:.0f} times as much. A whole 512 px picture at default effort "
        f"({steps} steps, from file to file, start-up included) takes {rows['picture_seconds', '0.3 MP']:.0f} s; the published 500-step "
        f"recipe through the full-size encoder would take {rows['published_recipe_seconds', 'fp32'] / 60:.0f} minutes in fp32 "
        f"and {rows['published_recipe_seconds', 'bf16'] / 60:.0f} in bf16 ({rows['picture_ratio', 'fp32']:.0f} and "
        f"{rows['picture_ratio', 'bf16']:.0f} times as long). It is faster because the miniature is a smaller target, not because the "
        f"same work is done faster. A 24 megapixel PNG takes {rows['picture_seconds', '24 MP']:.0f} s and "
        f"{rows['peak_mib', '24 MP'] / 1024:.1f} GiB, a 1 megapixel one {rows['picture_seconds', '1 MP']:.0f} s."
        + stale(result("speed"))
    )


def throughput() -> str:
    tree = result("speed")
    rows = {(r["metric"], r["recipe"]): r["value"] for r in tree["rows"]}
    threads = tree["settings"]["threads"]
    each = {size: 3600 / rows["picture_seconds", size] / threads for size in ("0.3 MP", "1 MP", "24 MP")}
    return (
        f"**Pictures an hour per core**, against the miniature at default effort: {each['0.3 MP']:.0f} of 0.3 megapixels, {each['1 MP']:.0f} of 1, "
        f"{each['24 MP']:.0f} of 24, reckoned from single pictures on {threads} cores with start-up included ([results/speed.json](RESULTS/speed.json), "
        f"{tree['machine']}); a worker pays the start-up once, not for each picture. A picture of 24 megapixels takes "
        f"{rows['peak_mib', '24 MP'] / 1024:.1f} GiB. A step against a full-size encoder takes about {rows['step_ratio', 'fp32']:.0f} times as long: use a GPU for that."
        + stale(tree)
    )


def effort() -> str:
    lines = ["| recipe | latent remaining ↓ |", "|---|---|"]
    for r in result("effort")["rows"]:
        lines.append(f"| {r['recipe']} | {r['value']:.3f} ({r['low']:.3f}–{r['high']:.3f}) |")
    lines += ["", stale(result("effort")).strip()]
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


def autoencoder() -> str:
    tree = result("autoencoder")
    held = tree["held_out"]
    return (
        f"| figure | value |\n|---|---|\n| PSNR, held-out artists, 256 px short side | {held['psnr']:.2f} dB (bar: 26) |\n"
        f"| LPIPS (AlexNet), same pictures | {held['lpips']:.3f} (bar: 0.15) |\n| pictures measured | {held['pictures']} |\n"
        f"| latent scaling factor | {tree['scaling_factor']} |"
    )


def evaluation() -> str:
    """Every result of results/evaluation, with its flags and its words, and whether fast figures predict slow ones."""
    files = sorted((ROOT / "results/evaluation").glob("*.json"))
    if not files:
        return "Nothing is measured yet: results/evaluation holds no result."
    text = reports.markdown([reports.Run(file.stem, load(file)) for file in files])
    return re.sub(r"^##", "###", text, flags=re.M).strip()


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


def share(row: dict[str, Any]) -> str:
    return f"{row['value']:.0%} ({row['low']:.0%}–{row['high']:.0%})"


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


def interval(row: dict[str, Any], shape: str) -> str:
    return f"{row['value']:{shape}} ({row['low']:{shape}}–{row['high']:{shape}})"


def detection() -> str:
    """ROC areas, and what a mimic would drop."""
    if not (ROOT / "results/detection.json").exists():
        return "Not measured yet (results/detection.json)."
    tree = result("detection")
    rows = {(r["recipe"], r["metric"]): r for r in tree["rows"]}
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
        "with 95 % t-intervals ([results/cloaks/objectives.json](RESULTS/cloaks/objectives.json))." + stale(tree),
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
        "([results/cloaks/hardening.json](RESULTS/cloaks/hardening.json))." + stale(tree),
    ]
    if tree["flags"]:
        lines += ["", "Flags: " + "; ".join(tree["flags"]) + "."]
    return "\n".join(lines)


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
                      f"LPIPS {first['budget']:g} ([results/cloaks/transfer.json](RESULTS/cloaks/transfer.json))."])  # fmt: skip


def seconds() -> str:
    """Time to the shift that the published recipe ends with."""
    tree = optional("cloaks/time")
    if tree is None:
        return "Not measured yet (results/cloaks/time.json)."
    rows = {(r["cloak"], r["metric"]): r for r in tree["rows"]}
    lines = ["| cloak | seconds until then | whole run, s | decoded shift at its end |", "|---|---|---|---|"]
    for name in dict.fromkeys(cloak for cloak, _ in rows):
        cells = [interval(rows[name, metric], ".2f") for metric in ("seconds", "seconds_whole_run", "decoded_shift")]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    lines += [
        "",
        f"{tree['settings']['side']} px, one thread of {tree['machine']} ([results/cloaks/time.json](RESULTS/cloaks/time.json)).",
    ]
    if tree["flags"]:
        lines += ["", "Flags: " + "; ".join(tree["flags"]) + "."]
    return "\n".join(lines)


def optional(name: str) -> dict[str, Any] | None:
    return result(name) if (ROOT / f"results/{name}.json").exists() else None


def timings() -> str:
    """Seconds a picture."""
    if not (ROOT / "results/countermeasures.json").exists():
        return "What each costs is not measured yet (results/countermeasures.json)."
    tree = result("countermeasures")
    cost = {r["countermeasure"]: r["value"] for r in tree["rows"] if r["metric"] == "cpu_seconds"}
    words = ", ".join(f"`{name}` {seconds:.2g}" for name, seconds in sorted(cost.items(), key=lambda pair: pair[1]))
    return (
        f"Seconds a picture of {tree['settings']['picture']} on one thread, by the miniature's networks "
        f"([results/countermeasures.json](RESULTS/countermeasures.json)): {words}." + stale(tree)
    )


def platforms() -> str:
    """What --deliver assumes; the code's own table."""
    lines = ["| `--deliver` | made smaller to | assumed to be made of it | if larger than |", "|---|---|---|---|"]
    for place in PLATFORMS.values():
        limit = f"{place.most_bytes / 1e6:g} MB: quality down to {LOWEST}" if place.most_bytes else ""
        made = f"JPEG of quality {place.quality}, colour at half resolution"
        lines.append(f"| `{place.name}` | {place.bound} {place.pixels} px | {made} | {limit} |")
    return "\n".join(lines)


# results/NAME.json: what its command does, and its figures in the words of its rows
FILES = {
    "fuzz-parsers": (
        "coverage-guided fuzzing of our parsers of containers, EXIF, XMP and Photoshop's resources",
        "fuzz_parsers.py",
    ),
    "fuzz-vp8-iptc": ("the same of a lossy WebP's head and of IPTC", "fuzz_parsers.py --only=vp8,iptc"),
    "fuzz-decoder": ("mutated files of 17 kinds through the decoder, in limited processes", "fuzz_decoder.py"),
    "interrupted": ("`kill -9` at random moments of a batch", "interrupted.py"),
    "interrupted-forked": ("the same in forks of one process, real cloaks as well", "interrupted.py --way forked"),
    "interrupted-stand-in": (
        "the same with a small change in the place of the cloak, so that nearly all of the time is writing",
        "interrupted.py --way stand-in",
    ),
    "sizes": ("sizes at the edge, whole process", "sizes.py"),
    "release": ("wheel and sdist in a fresh environment", "release.py"),
}


def files() -> str:
    lines = ["| what | came out |", "|---|---|"]
    for name, (what, command) in FILES.items():
        if not (ROOT / f"results/{name}.json").exists():
            lines.append(f"| {what} (`{command}`) | not run yet |")
            continue
        tree = result(name)
        words = ", ".join(
            f"{r['recipe'] + ' ' if r['recipe'] else ''}{r['metric']} {r['value']:,.10g}" for r in tree["rows"]
        )
        flags = f"; flags: {'; '.join(tree['flags'])}" if tree["flags"] else ""
        lines.append(f"| {what} (`{command}`, [results](RESULTS/{name}.json)) | {words}{flags} |")
    return "\n".join(lines)


def workers() -> str:
    """What a kill -9 of two workers of three did, and what the job engine costs."""
    if not (ROOT / "results/workers.json").exists():
        return "Nothing is measured yet: there is no results/workers.json."
    tree = result("workers")
    killed = tree["kill_two_of_three"]
    lines = [
        f"{killed['jobs']} jobs of {killed['seconds_a_job']:g} s, {killed['killed']} of {killed['workers']} workers killed by SIGKILL "
        f"half-way with {killed['under_way_when_killed']} jobs under way: {killed['done']} done, {killed['files']} results delivered, "
        f"{killed['jobs_delivered_twice']} jobs delivered twice, {killed['files_written_twice']} files written twice, "
        f"{killed['begun_twice']} jobs begun a second time.",
        "",
        "| workers | jobs a minute | of what costless hand-over would give | seconds of the engine a job |",
        "|---|---|---|---|",
    ]
    for row in tree["throughput"]:
        figures = f"{row['jobs_a_minute']:.0f} | {row['share_of_ideal']:.0%} | {row['engine_seconds_a_job']:.2f}"
        lines.append(f"| {row['workers']} | {figures} |")
    each = tree["throughput"][0]
    where = f"{each['jobs']} jobs of {each['seconds_a_job']:g} s; {tree['machine']}"
    return "\n".join([*lines, "", f"{where} ([results/workers.json](RESULTS/workers.json))."])


def load_test() -> str:
    """What two hundred users meet while the worker is busy."""
    tree = result("load")
    asked, found = tree["settings"], {row["metric"]: row["value"] for row in tree["rows"]}
    return (
        f"**{asked['users']} users, each a page every {asked['every']:g} s**, for {asked['seconds']:g} s on loopback, while the worker protects pictures at "
        f"lower priority on the same machine ({tree['machine']}): half of the pages within {found['median_ms']:.0f} ms, 95 % within {found['p95_ms']:.0f} ms, 99 % within "
        f"{found['p99_ms']:.0f} ms; {found['errors']:.0f} errors in {found['requests']:.0f} requests; the server held {found['server_mib_at_first']:.0f} MiB at first and "
        f"{found['server_mib_at_last']:.0f} MiB at the end; {found['pictures_done']:.0f} pictures were done meanwhile ([results/load.json](RESULTS/load.json), by "
        f"`python benchmarks/load.py`)." + stale(tree)
    )


PARTS = {
    "objectives": objectives,
    "hardening": hardening,
    "transfer": transfer,
    "seconds": seconds,
    "purifier": purifier,
    "detection": detection,
    "timings": timings,
    "files": files,
    "platforms": platforms,
    "workers": workers,
    "evaluation": evaluation,
    "miniature": miniature,
    "mimicry": mimicry,
    "models": models,
    "cloaks": cloak_table,
    "cloaks-default": partial(cloak_table, (0.1,)),
    "speed": speed,
    "throughput": throughput,
    "load": load_test,
    "effort": effort,
    "neighbours": neighbours,
    "autoencoder": autoencoder,
}


def built(page: str) -> str:
    """The page with every ``<!-- part -->`` ... ``<!-- /part -->`` filled in."""
    text = (ROOT / page).read_text(encoding="utf-8")
    results = "results" if page == "README.md" else "../" * page.count("/") + "results"

    def fill(match: re.Match[str]) -> str:
        body = PARTS[match.group(1)]().replace("RESULTS", results)
        return f"<!-- {match.group(1)} -->\n{body}\n<!-- /{match.group(1)} -->"

    return re.sub(rf"<!-- ({'|'.join(PARTS)}) -->.*?<!-- /\1 -->", fill, text, flags=re.S)


if __name__ == "__main__":
    for page in PAGES:
        (ROOT / page).write_text(built(page), encoding="utf-8")
        print(page)
