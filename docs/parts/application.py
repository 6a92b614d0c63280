"""Files, jobs and the server."""

from __future__ import annotations

from parts.figures import flagged, optional, result, stale
from velatura.images.delivery import PLATFORMS
from velatura.protection.publishing import LOWEST

FILES = {
    "fuzz-parsers": (
        "coverage-guided fuzzing of our parsers of containers, EXIF, XMP and Photoshop's resources",
        "fuzz_parsers.py",
    ),
    "fuzz-vp8-iptc": ("the same of a lossy WebP's head and of IPTC", "fuzz_parsers.py --only=vp8,iptc"),
    "fuzz-decoder": ("mutated files of 17 kinds through the decoder, in limited processes", "fuzz_decoder.py"),
    "interrupted-forked": (
        "`kill -9` at random moments of a batch of real cloaks, in forks of one process",
        "interrupted.py --way forked",
    ),
    "interrupted-stand-in": (
        "the same with a small change in the place of the cloak, so that nearly all of the time is writing",
        "interrupted.py --way stand-in",
    ),
    "sizes": (
        "sizes at the edge, whole process, at `-m mini -e fast -r 64`: reading and writing, not the cloak",
        "sizes.py",
    ),
    "release": ("wheel and sdist in a fresh environment", "release.py"),
    "release-oldest": (
        "the same on the oldest Python (the test that failed forged a link; mended since)",
        "release.py python3.11 --tests",
    ),
}


def platforms() -> str:
    """What --deliver assumes; the code's own table."""
    lines = ["| `--deliver` | made smaller to | assumed to be made of it | if larger than |", "|---|---|---|---|"]
    for place in PLATFORMS.values():
        limit = f"{place.most_bytes / 1e6:g} MB: quality down to {LOWEST}" if place.most_bytes else ""
        made = f"JPEG of quality {place.quality}, colour at half resolution"
        lines.append(f"| `{place.name}` | {place.bound} {place.pixels} px | {made} | {limit} |")
    return "\n".join(lines)


def files() -> str:
    lines = ["| what | came out |", "|---|---|"]
    for name, (what, command) in FILES.items():
        tree = optional(name)
        if tree is None:
            lines.append(f"| {what} (`{command}`) | not run yet |")
            continue
        words = ", ".join(
            f"{r['recipe'] + ' ' if r['recipe'] else ''}{r['metric']} {r['value']:,.10g}" for r in tree["rows"]
        )
        flags = f"; flags: {'; '.join(tree['flags'])}" if tree["flags"] else ""
        lines.append(f"| {what} (`{command}`, [results](RESULTS/{name}.json)) | {words}{flags} |")
    return "\n".join(lines)


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
        + flagged(tree)
    )


def workers() -> str:
    """What a kill -9 of two workers of three did, and what the job engine costs."""
    tree = optional("workers")
    if tree is None:
        return "Nothing is measured yet: there is no results/workers.json."
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
        f"`python benchmarks/load.py`). All jobs are one user's; the others look at empty lists, and at a job's page that they may not see."
        + stale(tree)
        + flagged(tree)
    )
