"""Train the miniature Stable Diffusion (tokenizer, text encoder, U-Net) on a folder of pictures; resumes and exports.

    python training/train_miniature.py ../shared/art --minutes 150 --run runs/miniature
    python training/train_miniature.py ../shared/art --vae ../shared/weights/taef2 --start src/velatura/data/mini \
        --steps 1500 --minutes 75 --squares 0.1 --run runs/taef2 --out runs/taef2/sd

The second trains a U-Net on another autoencoder's latents: a mimic whose extractor the cloak has not seen. It is made
for experiments and is not shipped.

Recipe: squares of 128 px at four scales, flipped half of the time, as latents of the embedded autoencoder (frozen, made
once); captions from MANIFEST.csv and style_facts.csv in four forms, one in eight empty; v-prediction, cosine schedule,
AdamW with warm-up and cosine decay, gradient clipping at 1, bf16 autocast, average of the weights. Text encoder and
U-Net are trained together. The schedule ends at ``--steps`` or ``--minutes``, whichever comes first. A killed run
continues from ``RUN/checkpoint.pt``; ``--finish`` exports what a checkpoint holds; ``--start`` begins a new schedule
from an exported pipeline.

Held-out artists (see train_autoencoder.py) are never trained on.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import math
import random
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from train_autoencoder import HELD_OUT, read

from velatura.diffusion import denoising, extractors
from velatura.mimicry.captions import subject, with_artist
from velatura.mimicry.generate import Made, generate
from velatura.mimicry.pictures import contact_sheet, to_png

DATA = Path(__file__).parents[1] / "src/velatura/data/mini"
SCALES = ((128, 8), (144, 6), (176, 6), (224, 4))  # short side, squares of each picture
WARM_UP = 200
TOKENS = 32
SHOWN = (
    "self portrait, by rembrandt van rijn",
    "the crucifixion, by gustave dore",
    "a dancer, by aubrey beardsley",
    "a wave, by katsushika hokusai",
    "sleeping beauty, by walter crane",
    "a hunting party, by randolph caldecott",
    "portrait of a man, by titian",
    "erica, by henry cranke andrews",
    "a witch, by egon elbre",
    "a picture by maria letta",
    "landscape, by paul cezanne",
    "a ship, by howard pyle",
)


@dataclass(frozen=True)
class Example:
    """A picture's captions, from the plainest to the fullest."""

    path: Path
    captions: tuple[str, ...]


def examples(art: Path) -> list[Example]:
    """Every picture that may be trained on, with its captions."""
    facts = Path(__file__).with_name("style_facts.csv")
    with facts.open(encoding="utf-8") as file:
        known = {row["name"]: row for row in csv.DictReader(file)}
    found = []
    with (art / "MANIFEST.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            path = art / row["path"]
            if path.parent.name in HELD_OUT or any(path.name.startswith(name) for name in HELD_OUT):
                continue
            artist = row["artist"].lower()
            fact = known.get(path.parent.name) or known.get(path.stem) or {}
            extra = [fact[key].lower() for key in ("movement", "medium") if fact.get(key)]
            plain = with_artist(subject(row["title"]), artist)
            captions = (
                with_artist("", artist),
                with_artist(extra[-1] if extra else "", artist),
                plain,
                ", ".join([plain, *extra]),
            )
            found.append(Example(path, captions))
    return found


def latents_of(found: list[Example], vae: str, seed: int, share: float) -> tuple[Tensor, Tensor]:
    """Latents ``(N, C, 16, 16)`` fp16, unscaled, of squares of all pictures and their mirror images; whose they are."""
    extractor = extractors.load(vae)
    rng = random.Random(seed)
    latents, owners = [], []
    for i, example in enumerate(found):
        squares = []
        for short_side, count in SCALES:
            picture = read(example.path, short_side)
            for _ in range(max(1, round(share * count)) if picture is not None else 0):
                top, left = (rng.randrange(n - 127) for n in picture.shape[-2:])
                square = picture[:, top : top + 128, left : left + 128]
                squares += [square, square.flip(-1)]
        if squares:
            with torch.no_grad():
                latents.append(extractor.encode(torch.stack(squares).float() / 255).half())
            owners += [i] * len(squares)
    return torch.cat(latents), torch.tensor(owners)


def tokenizer_of(found: list[Example]) -> Any:
    """A CLIP tokenizer with byte-pair merges learnt from the captions."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
    from transformers import CLIPTokenizer

    bpe = Tokenizer(models.BPE(end_of_word_suffix="</w>", continuing_subword_prefix=""))
    bpe.normalizer = normalizers.Lowercase()
    bpe.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Whitespace(), pre_tokenizers.Punctuation()])
    ends = ["<|startoftext|>", "<|endoftext|>"]
    letters = [chr(c) for c in range(33, 127)]
    trainer = trainers.BpeTrainer(
        vocab_size=1200, min_frequency=2, special_tokens=ends, initial_alphabet=letters,
        end_of_word_suffix="</w>", show_progress=False,
    )  # fmt: skip
    bpe.train_from_iterator([caption for e in found for caption in e.captions[2:]], trainer)
    tree = json.loads(bpe.to_str())["model"]
    vocabulary = dict(tree["vocab"])
    for letter in letters:  # a word may end in any of them
        vocabulary.setdefault(f"{letter}</w>", len(vocabulary))
    merges = [tuple(m) if isinstance(m, list) else tuple(m.split(" ")) for m in tree["merges"]]
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=TOKENS)


def autoencoder_of(vae: str, latents: Tensor) -> Any:
    """The embedded one, whose factor was measured when it was trained, or taef2 with the factor of these latents."""
    if vae == "mini":
        from velatura.diffusion.autoencoder import MiniAutoencoder

        return MiniAutoencoder.from_pretrained(DATA / "vae").float()
    from velatura.diffusion import taef2

    return taef2.from_folder(Path(vae), scaling_factor=round(float(1 / latents[::16].float().std()), 4))


def networks(tokenizer: Any, channels: int) -> tuple[Any, Any]:
    from diffusers import UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    text = CLIPTextConfig(
        vocab_size=len(tokenizer), hidden_size=192, intermediate_size=768, num_hidden_layers=3, num_attention_heads=4,
        max_position_embeddings=TOKENS, bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    unet = UNet2DConditionModel(
        sample_size=16, in_channels=channels, out_channels=channels,
        block_out_channels=(128, 192, 224), layers_per_block=1, cross_attention_dim=192,
        attention_head_dim=(4, 6, 7), norm_num_groups=32,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    )  # fmt: skip
    return CLIPTextModel(text), unet


def new(found: list[Example], channels: int) -> tuple[Any, Any, Any]:
    tokenizer = tokenizer_of(found)
    return tokenizer, *networks(tokenizer, channels)


def started(folder: Path, channels: int) -> tuple[Any, Any, Any]:
    """Tokenizer, text encoder and U-Net of an earlier run's export: its average of weights, no optimiser's state.

    Where that run was on another autoencoder's latents, the U-Net's first and last layer are new.
    """
    from diffusers import UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTokenizer

    tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer")
    text = CLIPTextModel.from_pretrained(folder / "text_encoder").float()
    unet = UNet2DConditionModel.from_pretrained(folder / "unet").float()
    if unet.config["in_channels"] != channels:
        other = networks(tokenizer, channels)[1]
        kept = {k: v for k, v in unet.state_dict().items() if v.shape == other.state_dict()[k].shape}
        other.load_state_dict(kept, strict=False)
        unet = other
    return tokenizer, text, unet


def pipeline_of(vae: Any, tokenizer: Any, text: Any, unet: Any) -> Any:
    from diffusers import DDIMScheduler, StableDiffusionPipeline

    pipeline = StableDiffusionPipeline(
        vae=vae, text_encoder=text, tokenizer=tokenizer, unet=unet,
        scheduler=DDIMScheduler(
            beta_schedule="squaredcos_cap_v2", prediction_type="v_prediction", timestep_spacing="trailing",
            clip_sample=False, set_alpha_to_one=True, steps_offset=1,
        ),
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def show(pipeline: Any, folder: Path, name: str) -> None:
    """A sheet at fixed prompts and seeds: four pictures a row of two prompts."""
    folder.mkdir(exist_ok=True)
    made: list[Made] = list(generate(pipeline, [p for p in SHOWN for _ in range(4)], seed=1, batch=24))
    for one in made:
        (folder / f"{one.index:03}.png").write_bytes(to_png(one))
    (folder.parent / name).write_bytes(contact_sheet(sorted(folder.glob("*.png"))))


def train(args: argparse.Namespace) -> None:
    args.run.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(args.seed)
    found = examples(args.art)
    made_of = [extractors.load(args.vae).sha256, args.seed, args.squares, *(str(e.path) for e in found)]
    cache = args.run / f"squares-{hashlib.sha256(repr(made_of).encode()).hexdigest()[:12]}.pt"
    if not cache.exists():
        torch.save(latents_of(found, args.vae, args.seed, args.squares), cache)
    latents, owners = torch.load(cache, weights_only=True)
    tokenizer, text, unet = started(args.start, latents.shape[1]) if args.start else new(found, latents.shape[1])
    vae = autoencoder_of(args.vae, latents)
    pipeline = pipeline_of(vae, tokenizer, text, unet)
    pipeline.vae.requires_grad_(False).eval()
    print(f"{len(found)} pictures, {len(latents)} squares, {len(tokenizer)} words")
    print(f"U-Net {size(unet):.1f} M parameters, text encoder {size(text):.1f} M", flush=True)
    unet.to(memory_format=torch.channels_last)
    parameters = [*unet.parameters(), *text.parameters()]
    average = [p.detach().clone() for p in parameters]
    optimizer = torch.optim.AdamW(parameters, args.rate, betas=(0.9, 0.99), weight_decay=1e-2, fused=True)
    scheduler = denoising.training_scheduler(pipeline)
    checkpoint, step, spent = args.run / "checkpoint.pt", 0, 0.0
    recipe = {name: str(getattr(args, name)) for name in ("seed", "start", "rate", "batch")} | {"squares": cache.name}
    if args.finish and not checkpoint.exists():
        raise SystemExit(f"{checkpoint}: expected a checkpoint to finish, found none")
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        if state.get("recipe", recipe) != recipe:
            raise SystemExit(f"{checkpoint} is of another run, {state['recipe']}: choose another --run")
        for p, a, values, averages in zip(parameters, average, state["parameters"], state["average"], strict=True):
            p.data.copy_(values)
            a.copy_(averages)
        optimizer.load_state_dict(state["optimizer"])
        step, spent = state["step"], state["seconds"]
        print(f"resumed at step {step}, {spent / 60:.0f} minutes", flush=True)

    def checkpoint_now() -> None:
        state = {"parameters": [p.detach() for p in parameters], "average": average, "recipe": recipe}
        torch.save({**state, "optimizer": optimizer.state_dict(), "step": step, "seconds": spent}, f"{checkpoint}.tmp")
        Path(f"{checkpoint}.tmp").rename(checkpoint)

    def swap() -> None:
        for p, a in zip(parameters, average, strict=True):
            p.data, a.data = a.data, p.data

    log = (args.run / "log.jsonl").open("a")
    losses: list[float] = []
    shown = time.monotonic()
    while not args.finish:
        began = time.monotonic()
        progress = max(step / args.steps, spent / 60 / args.minutes)
        if progress >= 1:
            break
        for group in optimizer.param_groups:
            group["lr"] = max(
                1e-6, args.rate * min(1, (step + 1) / WARM_UP) * (0.5 + 0.5 * math.cos(math.pi * progress))
            )
        generator = torch.Generator().manual_seed(args.seed * 1_000_003 + step)
        picked = torch.randint(len(latents), (args.batch,), generator=generator)
        draw = torch.rand(args.batch, generator=generator).tolist()
        texts = [caption_of(found[int(owners[i])], u) for i, u in zip(picked, draw, strict=True)]
        x = (latents[picked].float() * vae.config.scaling_factor).contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16):
            loss = denoising.loss(unet, scheduler, x, denoising.context(pipeline, texts), generator=generator).mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        step, spent = step + 1, spent + min(time.monotonic() - began, 10)  # pauses do not use up the schedule
        decay = min(0.998, (1 + step) / (10 + step))
        torch._foreach_lerp_(average, [p.detach() for p in parameters], 1 - decay)
        losses.append(loss.item())
        if step % 50 == 0:
            row = {"step": step, "minutes": round(spent / 60, 2), "loss": round(sum(losses) / len(losses), 4)}
            print(json.dumps(row), file=log, flush=True)
            losses.clear()
        if time.monotonic() - shown > 60 * args.every:
            checkpoint_now()
            swap()
            show(pipeline, args.run / "samples", f"sheet-{step:06}.png")
            swap()
            shown = time.monotonic()
            eta = (1 / max(progress, 1e-9) - 1) * spent / 60
            print(f"step {step}, {spent / 60:.0f} min, ETA {eta:.0f} min", flush=True)
    if not args.finish:
        checkpoint_now()
    swap()
    show(pipeline, args.run / "samples", "sheet-final.png")
    export(pipeline, args.out)
    print(f"exported after {step} steps, {spent / 60:.0f} minutes", flush=True)


def caption_of(example: Example, u: float) -> str:
    """Empty, by artist alone, by medium, the title, or everything, as the number ``u`` in [0, 1) falls."""
    if u < 0.125:
        return ""
    return example.captions[0 if u < 0.2 else 1 if u < 0.3 else 2 if u < 0.75 else 3]


def size(module: torch.nn.Module) -> float:
    return sum(p.numel() for p in module.parameters()) / 1e6


def export(pipeline: Any, out: Path) -> None:
    """The pipeline in fp16, beside the autoencoder, whose files stay as they are."""
    temporary = out / ".new"
    shutil.rmtree(temporary, ignore_errors=True)
    pipeline.unet.register_to_config(_name_or_path="")  # else that of the folder it was started from
    pipeline.unet.half()
    pipeline.text_encoder.half()
    pipeline.save_pretrained(temporary, safe_serialization=True)
    if (out / "vae").exists():
        shutil.rmtree(temporary / "vae")
    for part in temporary.iterdir():
        target = out / part.name
        shutil.rmtree(target, ignore_errors=True)
        part.rename(target)
    temporary.rmdir()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("art", type=Path, help="folder with MANIFEST.csv")
    parser.add_argument("--vae", default="mini", help="mini, or the folder of another autoencoder (taef2)")
    parser.add_argument("--run", type=Path, default=Path("runs/miniature"), help="checkpoint, log, sheets")
    parser.add_argument("--out", type=Path, default=DATA, help="where the weights go")
    parser.add_argument("--start", type=Path, help="go on from an exported pipeline instead of from nothing")
    parser.add_argument("--rate", type=float, default=6e-4, help="highest learning rate")
    parser.add_argument("--steps", type=int, default=100000)
    parser.add_argument("--minutes", type=float, default=150)
    parser.add_argument("--batch", type=int, default=24)
    parser.add_argument("--every", type=float, default=15, help="minutes between checkpoints and sample sheets")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--squares", type=float, default=1.0, help="share of the recipe's squares of each picture")
    parser.add_argument("--finish", action="store_true", help="train no further: export the checkpoint")
    train(parser.parse_args())
