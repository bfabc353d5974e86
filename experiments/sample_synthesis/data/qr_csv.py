"""The QR code set: `images/<image_id>.jpg` and `qr_codes_{train,valid,test}.csv`, one row per symbol.

    sets = qr_csv(Path("data/qr_codes"), num_valid=100)

Images come in the order of their ids as text ("10" before "2"), as published. num_valid: so many images of
the training list validate, drawn by seed 2020 (the published main experiment: 567 = 467 + 100); None: those
of `qr_codes_valid.csv` do (the published pretraining ablation).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from experiments.sample_synthesis.data.build import build, group
from experiments.sample_synthesis.data.splits import hold_out, select
from experiments.sample_synthesis.data.tablefile import number_text, read_rows
from experiments.sample_synthesis.data.types import SPLITS, Account, Listed, ListedBox, RealSet
from experiments.sample_synthesis.data.where import absent

NEEDED = ("image_id", "xmin", "ymin", "xmax", "ymax")
KNOWN = ("image_height", "image_width", "object_id", "class", "label")
LABEL = "qr_code"
HEADER = "image_id,image_height,image_width,object_id,class,xmin,ymin,xmax,ymax"


def qr_csv(root: Path, *, num_valid: int | None = 100, threads: int = 1) -> dict[str, RealSet]:
    """The three splits. Raises Missing where the set is not there, BadInput for what is damaged."""
    account = Account(root)
    files = {
        split: root / f"qr_codes_{split}.csv" for split in SPLITS if num_valid is None or split != "valid"
    }
    for path in files.values():
        if not path.is_file():
            raise absent("qr_csv", path)
    sets = {
        split: build(
            _listed(path, account), images_dir=root / "images", split=split, label=LABEL, source="qr_csv",
            account=account, file=path, threads=threads,
        )
        for split, path in files.items()
    }  # fmt: skip
    if num_valid is not None:
        train, valid = hold_out(len(sets["train"]), num_valid)
        whole = sets["train"]
        sets["train"] = select(whole, train)
        sets["valid"] = replace(select(whole, valid), split="valid")
    return {split: sets[split] for split in SPLITS}


def _listed(path: Path, account: Account) -> list[Listed]:
    rows = []
    for line, row in read_rows(path, needed=NEEDED, known=KNOWN):
        box = account.box([row[name] for name in NEEDED[1:]], file=path, where=f"line {line}")
        rows.append((str(row["image_id"]).strip(), box, line, f"line {line}"))
    ordered = sorted(group(rows), key=lambda entry: entry[0])
    return [
        Listed(f"{key}.jpg", tuple(ListedBox(box, at) for box, at in boxes), place, where, {"image_id": key})
        for place, (key, boxes, _, where) in enumerate(ordered)
    ]


def qr_tables(sets: dict[str, RealSet]) -> dict[str, str]:
    """The published form: {qr_codes_<split>.csv: text}."""
    texts = {}
    for split, real in sets.items():
        lines = [HEADER]
        for image, boxes in zip(real.coco.images, real.boxes(), strict=True):
            for number, box in enumerate(boxes.tolist()):
                key = image.extra.get("image_id", Path(image.file_name).stem)
                size = f"{image.height},{image.width}"
                lines.append(f"{key},{size},{number},{LABEL},{','.join(map(number_text, box))}")
        texts[f"qr_codes_{split}.csv"] = "\n".join(lines) + "\n"
    return texts
