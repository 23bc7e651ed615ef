"""Make the built-in emoji pairs from two npm packages.

    python -m raymm.data.sources.pairs.make_emoji                    # fetches them with npm
    python -m raymm.data.sources.pairs.make_emoji --images PATH --names PATH     # their .tgz files

Images are the packages' own PNG files of 64 x 64 pixels, byte for byte. Emoji with a skin tone are
left out: they differ from the plain ones in colour only, and would be near doubles.
"""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import tyro

from raymm.data.sources.digits import CHECKSUMS
from raymm.data.sources.pairs.emoji_set import FOLDER, TABLE
from raymm.errors import DataError

IMAGES, NAMES = "emoji-datasource-google@16.0.0", "emojibase-data@17.0.0"
VARIATION = "FE0F"
"""Code point that asks for the coloured form; the two packages write it in different places."""


def fetch(package: str, folder: Path) -> Path:
    """Download a package with npm into `folder` and return the path of its archive."""
    command = ["npm", "pack", "--silent", package]
    done = subprocess.run(command, check=True, cwd=folder, capture_output=True, text=True)
    return folder / done.stdout.split()[-1]


def member(archive: tarfile.TarFile, name: str) -> bytes:
    """A file of a package.

    Raises:
        DataError: it has none of that name.
    """
    try:
        file = archive.extractfile(f"package/{name}")
    except KeyError:
        file = None
    if file is None:
        raise DataError(f"A package holds no {name}. Use {IMAGES} and {NAMES}.")
    return file.read()


def plain(code: str) -> str:
    """Code points of an emoji without the variation selectors."""
    return "-".join(part for part in code.upper().split("-") if part != VARIATION)


def rows(images: Path, names: Path) -> list[dict[str, Any]]:
    """One row for each emoji that has an image, ascending by id.

    Raises:
        DataError: an emoji has no name, or the packages are of other versions.
    """
    # Read as a whole: looking up 1,911 members of a compressed stream would unpack it as often.
    with tarfile.open(names) as archive:
        named = {
            plain(each["hexcode"]): each for each in json.loads(member(archive, "en/data.json"))
        }
    found = []
    with tarfile.open(fileobj=io.BytesIO(_unzipped(images))) as archive:
        for emoji in json.loads(member(archive, "emoji.json")):
            if not emoji["has_img_google"]:
                continue
            known = named.get(plain(emoji["unified"]))
            if known is None:
                raise DataError(f"{emoji['unified']} has no name in {names}. Use {NAMES}.")
            found.append(
                {
                    "id": emoji["unified"],
                    "image": member(archive, f"img/google/64/{emoji['image']}"),
                    "name": known["label"],
                    "keywords": ", ".join(known.get("tags", [])),
                    "category": emoji["category"],
                    "subcategory": emoji["subcategory"],
                }
            )
    return sorted(found, key=lambda row: str(row["id"]))


def _unzipped(archive: Path) -> bytes:
    import gzip

    return gzip.decompress(archive.read_bytes())


def make(images: Path, names: Path, folder: Path) -> None:
    """Write the table and its checksum into `folder`.

    Raises:
        DataError: the packages are not what they were.
    """
    table = pa.Table.from_pylist(rows(images, names))
    path = folder / TABLE
    pq.write_table(
        table,
        path,
        # PNG files are compressed already; texts are few.
        compression={name: "NONE" if name == "image" else "ZSTD" for name in table.column_names},
        use_dictionary=["category", "subcategory"],
        write_statistics=False,
        write_page_checksum=True,
    )
    checksum = hashlib.sha256(path.read_bytes()).hexdigest()
    (folder / CHECKSUMS).write_text(f"{checksum}  {TABLE}\n")


def main(images: Path | None = None, names: Path | None = None, folder: Path = FOLDER) -> None:
    """Make the built-in emoji pairs.

    Args:
        images: archive of emoji-datasource-google 16.0.0; fetched with npm when not given.
        names: archive of emojibase-data 17.0.0; fetched with npm when not given.
        folder: where the table goes; the package's own folder by default.
    """
    with tempfile.TemporaryDirectory() as scratch:
        make(
            images or fetch(IMAGES, Path(scratch)),
            names or fetch(NAMES, Path(scratch)),
            folder,
        )


if __name__ == "__main__":
    tyro.cli(main)
