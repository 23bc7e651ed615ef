"""Frozen encoders against a plain loop of transformers: `python -m benchmarks.embedding`.

The loop is what the model's own page shows: batches in the order of the items, padded to their
longest text, or images through the model's processor. Both compute the same vectors in one process
with the same threads, in turns. Texts are the emoji's names and their keywords, with MiniLM; images
are emoji, with a ViT of random weights (the time of a forward pass does not depend on them).
"""

from __future__ import annotations

import io
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch
import tyro
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console
from rich.table import Table
from transformers import AutoImageProcessor, AutoModel, AutoTokenizer, ViTConfig, ViTModel
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

from raymm.data.sources.pairs.emoji_set import FOLDER, TABLE
from raymm.encoders.load import load_encoder
from raymm.encoders.names import PACKAGED

BATCH = 32
GOAL = 1.0


def plain_texts(folder: Path, texts: Sequence[str]) -> NDArray[np.float32]:
    """Sentence vectors as the model's page makes them, (n, width)."""
    tokenizer, model = (
        AutoTokenizer.from_pretrained(folder),
        AutoModel.from_pretrained(folder).eval(),
    )
    found = []
    with torch.inference_mode():
        for start in range(0, len(texts), BATCH):
            batch = tokenizer(
                list(texts[start : start + BATCH]), padding=True, truncation=True, max_length=256,
                return_tensors="pt",
            )  # fmt: skip
            hidden = model(**batch).last_hidden_state
            mask = batch["attention_mask"].unsqueeze(-1).float()
            mean = (hidden * mask).sum(1) / mask.sum(1)
            found.append(torch.nn.functional.normalize(mean, dim=1).numpy())
    return np.concatenate(found)


def plain_images(folder: Path, files: Sequence[bytes]) -> NDArray[np.float32]:
    """Class tokens of images, (n, width)."""
    auto: Any = AutoImageProcessor
    processor = auto.from_pretrained(folder, backend="pil")
    model, found = AutoModel.from_pretrained(folder).eval(), []
    with torch.inference_mode():
        for start in range(0, len(files), BATCH):
            images = [Image.open(io.BytesIO(file)) for file in files[start : start + BATCH]]
            batch = processor(images=[_on_white(each) for each in images], return_tensors="pt")
            found.append(model(**batch).pooler_output.numpy())
    return np.concatenate(found)


def _on_white(image: Image.Image) -> Image.Image:
    seen = image.convert("RGBA")
    white = Image.new("RGBA", seen.size, (255, 255, 255, 255))
    return Image.alpha_composite(white, seen).convert("RGB")


def compare(
    name: str,
    ours: Callable[[], NDArray[np.float32]],
    plain: Callable[[], NDArray[np.float32]],
    repeats: int,
) -> dict[str, float | str]:
    """Items a second of both, and the median of the ratios of paired runs."""
    ours_s, ratios, difference = [], [], 0.0
    for _ in range(repeats):
        start = time.perf_counter()
        mine = ours()
        middle = time.perf_counter()
        theirs = plain()
        took = time.perf_counter() - middle
        ours_s.append(middle - start)
        ratios.append(took / ours_s[-1])
        difference = max(difference, float(np.abs(mine - theirs).max()))
    return {
        "encoder": name,
        "items_per_s": len(mine) / statistics.median(ours_s),
        "times_plain_loop": statistics.median(ratios),
        "difference": difference,
    }


def main(repeats: int = 5, images: int = 192, threads: int = 2, out: Path | None = None) -> None:
    """Compare encoding with a plain loop; loading is in both times.

    Args:
        repeats: paired runs.
        images: emoji that are encoded as images.
        threads: of torch.
        out: JSON file for the figures.
    """
    torch.set_num_threads(threads)
    table = pq.read_table(FOLDER / TABLE).to_pydict()
    texts = [*table["name"], *(text for text in table["keywords"] if text)]
    minilm = PACKAGED["minilm"].path().parent
    files = table["image"][:images]
    with tempfile.TemporaryDirectory() as scratch:
        vit = Path(scratch)
        ViTModel(
            ViTConfig(hidden_size=192, num_attention_heads=3, intermediate_size=768)
        ).save_pretrained(vit)
        ViTImageProcessorPil().save_pretrained(vit)
        rows = [
            compare(
                "MiniLM, texts",
                lambda: load_encoder("minilm", device="cpu").encode(texts).values,
                lambda: plain_texts(minilm, texts),
                repeats,
            ),
            compare(
                "ViT-tiny, images",
                lambda: load_encoder(str(vit), device="cpu").encode(files).values,
                lambda: plain_images(vit, files),
                repeats,
            ),
        ]
    shown = Table("encoder", "items a second", "against a plain loop", "difference")
    for row in rows:
        figures = (f"{row['items_per_s']:.0f}", f"{row['times_plain_loop']:.2f} x")
        shown.add_row(str(row["encoder"]), *figures, f"{row['difference']:.1g}")
    Console().print(shown)
    Console().print(f"Goal: {GOAL:g} x.")
    if out:
        out.write_text(json.dumps({"rows": rows}, indent=1))


if __name__ == "__main__":
    tyro.cli(main)
