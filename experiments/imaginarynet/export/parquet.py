"""Parquet: one row per picture, its file in the column `image` as {bytes, path}; needs pyarrow."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

from experiments.imaginarynet.export.source import LEVEL, Source, file_name, labels_of
from suite.errors import Missing

PER_GROUP = 500  # pictures that are in memory at a time


def check_parquet() -> None:
    """Raises Missing where pyarrow is not installed."""
    if importlib.util.find_spec("pyarrow") is None:
        what = "`export.formats` names parquet, which needs the package pyarrow"
        raise Missing(what, fix="install pyarrow into this environment, or export webdataset")


def write_parquet(source: Source, out: Path, *, per_group: int = PER_GROUP) -> int:
    """Write `<split>.parquet`; returns the number of pictures. Raises Missing without pyarrow."""
    check_parquet()
    import pyarrow as pa
    from pyarrow import parquet as pq

    text, texts = pa.string(), pa.list_(pa.string())
    schema = pa.schema(
        [
            ("candidate_id", text),
            ("image", pa.struct([("bytes", pa.binary()), ("path", text)])),
            ("class_id", pa.int32()), ("class_name", text), ("labels", texts), ("label_level", text),
            ("prompt", text), ("seed", pa.uint64()), ("backend", text), ("models", text), ("params", text),
            ("width", pa.int32()), ("height", pa.int32()), ("scores", pa.list_(pa.float32())),
        ]
    )  # fmt: skip
    out.mkdir(parents=True, exist_ok=True)
    with pq.ParquetWriter(out / f"{source.split}.parquet", schema) as writer:
        for start in range(0, len(source.kept), per_group):
            rows = [
                {
                    "candidate_id": row.candidate_id,
                    "image": {"bytes": source.pictures.read(row), "path": file_name(row)},
                    "class_id": row.class_id,
                    "class_name": row.class_name,
                    "labels": labels_of(row, source.class_names),
                    "label_level": LEVEL,
                    "prompt": row.prompt,
                    "seed": row.seed,
                    "backend": row.backend,
                    "models": json.dumps(dict(row.models), sort_keys=True),
                    "params": json.dumps(dict(row.params), sort_keys=True),
                    "width": row.width,
                    "height": row.height,
                    "scores": row.scores,
                }
                for row in source.kept[start : start + per_group]
            ]
            writer.write_table(pa.Table.from_pylist(rows, schema=schema))
    return len(source.kept)
