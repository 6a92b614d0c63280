"""What the API takes and gives; these records are its OpenAPI description."""

from __future__ import annotations

from pathlib import PurePath
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

from velatura.jobs.records import Job, Picture, Upload
from velatura.jobs.summaries import JobSummary

Effort = Literal["fast", "default", "max", "paper"]
Family = Literal["sd15", "sdxl", "sd3", "flux1", "flux2"]
Panel = Literal[
    "result",
    "original",
    "thumbnail",
    "report",
    "sheet",
    "before",
    "after",
    "difference",
    "target",
    "seen-before",
    "seen-after",
]
PANELS = ["sheet.png", "target.png", "before.png", "after.png", "difference.png", "seen-before.png", "seen-after.png"]
Id = Field(pattern=r"^[0-9a-f-]{36}$", description="A UUID.")


class Wish(BaseModel):
    """How to protect."""

    model_config = ConfigDict(extra="forbid")
    intensity: float | Literal["low", "default", "high"] = Field(
        "default", description="How visible the cloak may be: low, default, high, or LPIPS above 0 and up to 1."
    )
    effort: Effort = Field("default", description="How long to optimise; paper is the published recipe: 500 steps.")
    style: str | None = Field(None, max_length=120, description="Target style by name; without one it is drawn.")
    artist: str | None = Field(None, max_length=120, description="Keep one target style for this artist's pictures.")
    against: list[Family] = Field(
        list(get_args(Family)), min_length=1, description="Families of models that mimics use; all by default."
    )
    models: list[str] = Field(
        ["auto"],
        min_length=1,
        max_length=5,
        description="Names of models to cloak on; auto is the best one that is here for each family.",
    )
    resolution: int | None = Field(None, description="Short side (px) at which mimics train; the model's own if none.")
    strip_gps: bool = Field(False, description="Leave out of the file where it was made.")
    do_not_train: bool = Field(False, description="Write a reservation against training into its metadata.")


class JobWish(Wish):
    """Pictures that were handed in, and how to protect them."""

    pictures: list[str] = Field(min_length=1, max_length=10_000, description="Ids of pictures.")
    webhook: str | None = Field(None, max_length=2000, description="Address to call when it is over; shared servers.")


class PreviewWish(Wish):
    """A look at a part of one picture before the whole is done; approximate."""

    picture: str = Id
    x: float = Field(0.5, ge=0, le=1, description="Where its middle is, across.")
    y: float = Field(0.5, ge=0, le=1, description="And down.")


class PictureOut(BaseModel):
    """A picture that was handed in."""

    id: str
    name: str
    format: str
    width: int
    height: int
    size: int

    @classmethod
    def of(cls, upload: Upload) -> PictureOut:
        return cls(**{name: getattr(upload, name) for name in cls.model_fields})


class FamilyOut(BaseModel):
    """What a family of models sees of a protected picture."""

    progress: float = Field(description="How far along its way to the target, from 0 to 1.")
    progress_noise: float = Field(description="The same of random noise that is as visible.")
    seen_by: str = Field(description="The model that stands for the family.")


class JobPictureOut(BaseModel):
    """One picture of a job; ``verdict`` and the like once it is done."""

    number: int
    name: str
    download_name: str
    state: str
    step: int
    steps: int
    share: float
    seconds: float
    error: str | None
    verdict: dict[str, Any] | None
    flags: list[str]
    notes: list[str]
    figures: dict[str, float]
    families: dict[str, FamilyOut] = Field(description="By family; empty of a copy without a cloak.")
    kind: str | None = Field(description="What kind of picture it is, in words.")
    unknown: str | None = Field(description="What is not known of these figures.")
    models: list[str]

    @classmethod
    def of(cls, p: Picture) -> JobPictureOut:
        kept = p.summary
        return cls(
            download_name=download_name(p),
            share=round(p.share, 4),
            seconds=round(p.seconds, 1),
            error=p.error if p.state == "failed" else None,
            verdict=kept.get("verdict"),
            flags=kept.get("flags", []),
            notes=kept.get("notes", []),
            figures=kept.get("figures", {}),
            families=kept.get("families", {}),
            kind=kept.get("kind"),
            unknown=kept.get("unknown"),
            models=kept.get("models", []),
            **{name: getattr(p, name) for name in ("number", "name", "state", "step", "steps")},
        )


class JobOut(BaseModel):
    """A job and how it stands."""

    id: str
    state: str
    reason: str | None
    created: float
    finished: float | None
    expires: float
    share: float
    seconds_left: float | None
    done: int
    failed: int
    style: dict[str, str] | None
    style_reason: str | None
    wish: dict[str, Any]
    panels: list[str] = Field(description="Which panels each picture has once it is done.")
    pictures: list[JobPictureOut]

    @classmethod
    def of(cls, job: Job) -> JobOut:
        return cls(
            reason=job.reason or None,
            share=round(job.share, 4),
            done=job.count("done"),
            failed=job.count("failed"),
            style=job.choice.get("style"),
            style_reason=job.choice.get("reason"),
            wish=job.order.get("wish", {}),
            panels=[name.removesuffix(".png") for name in job.order.get("panels", [])],
            pictures=[JobPictureOut.of(p) for p in job.pictures],
            **{name: getattr(job, name) for name in ("id", "state", "created", "finished", "expires", "seconds_left")},
        )


class JobSummaryOut(BaseModel):
    """A job in brief."""

    id: str
    state: str
    pictures: int
    done: int
    failed: int
    share: float
    seconds_left: float | None

    @classmethod
    def of(cls, job: Job | JobSummary) -> JobSummaryOut:
        if isinstance(job, JobSummary):
            counts = {name: getattr(job, name) for name in ("pictures", "done", "failed")}
        else:
            counts = {"pictures": len(job.pictures), "done": job.count("done"), "failed": job.count("failed")}
        left = job.seconds_left
        return cls(id=job.id, state=job.state, share=round(job.share, 4), seconds_left=left, **counts)


class PreviewOut(BaseModel):
    """A preview; once it is done, ``before`` and ``after`` can be fetched."""

    id: str
    state: str
    share: float
    error: str | None
    style: str | None
    box: list[float] | None = Field(description="Left, top, width and height of the part, as shares of the picture.")

    @classmethod
    def of(cls, job: Job) -> PreviewOut:
        (p,) = job.pictures
        style, box = p.summary.get("style"), p.summary.get("box")
        error = job.reason or p.error if "failed" in (job.state, p.state) else None
        return cls(id=job.id, state=job.state, share=round(p.share, 4), error=error, style=style, box=box)


class StyleOut(BaseModel):
    name: str
    artist: str
    movement: str
    dates: str
    nearest: list[str]
    swatch: bool


class ModelOut(BaseModel):
    name: str
    kind: str
    notes: str
    licence: str
    here: bool


class Problem(BaseModel):
    """What was expected, what was got, what to do."""

    detail: str


def download_name(picture: Picture) -> str:
    """The picture's own name, with the suffix of what the file really is."""
    return PurePath(picture.name).stem + picture.output.suffix
