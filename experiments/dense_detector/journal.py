"""What a run says while it trains: `metrics.jsonl` for programs, one TensorBoard event file for eyes.

Both only grow. A checkpoint notes how long they were; going on from it cuts them back to that length, so a
run that was killed leaves the same bytes as one that was not. So there is one event file per run, whatever
happened to it. No clock: TensorBoard's wall time is the step, in seconds.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.summary.writer.record_writer import RecordWriter
from torch.utils.tensorboard import summary

METRICS = "metrics.jsonl"
EVENTS = "tensorboard/events.out.tfevents.dense_detector"  # TensorBoard looks for "tfevents" in the name


class Journal:
    """Open for appending; `lengths` (from `sync`) says where a resumed run goes on, None starts afresh."""

    def __init__(self, folder: Path, lengths: Mapping[str, int] | None = None) -> None:
        self._paths = {name: folder / name for name in (METRICS, EVENTS)}
        (folder / EVENTS).parent.mkdir(parents=True, exist_ok=True)
        self._streams = {}
        for name, path in self._paths.items():
            stream = path.open("ab")
            stream.truncate((lengths or {}).get(name, 0))
            self._streams[name] = stream
        self._records = RecordWriter(self._streams[EVENTS])
        if not lengths:
            self._records.write(Event(wall_time=0, file_version="brain.Event:2").SerializeToString())

    def row(self, step: int, kind: str, values: Mapping[str, Any]) -> None:
        """One line {"step", "kind", ...} of metrics.jsonl; numbers become scalars `kind/name`, too."""
        line = json.dumps({"step": step, "kind": kind, **values}, allow_nan=False)
        self._streams[METRICS].write(line.encode() + b"\n")
        for name, value in values.items():
            if isinstance(value, (int, float)):
                self._event(step, summary.scalar(f"{kind}/{name}", value))

    def image(self, step: int, tag: str, rgb: np.ndarray) -> None:
        """A picture (H, W, 3) uint8."""
        self._event(step, summary.image(tag, rgb, dataformats="HWC"))

    def pr_curve(self, step: int, tag: str, precision: np.ndarray, *, num_truth: int) -> None:
        """A precision-recall curve: `precision` (R,) at R evenly rising recalls 0..1, over `num_truth` boxes.

        TensorBoard wants counts at rising thresholds, that is at falling recall.
        """
        precision = np.asarray(precision, dtype=np.float64)[::-1]
        recall = np.linspace(1, 0, len(precision))
        hits = recall * num_truth
        false = np.where(precision > 0, hits * (1 / np.maximum(precision, 1e-9) - 1), 0)
        nothing = np.zeros_like(hits)
        missed = num_truth - hits
        proto = summary.pr_curve_raw(
            tag, hits, false, nothing, missed, precision, recall, num_thresholds=len(recall)
        )
        self._event(step, proto)

    def _event(self, step: int, proto: Any) -> None:
        self._records.write(Event(wall_time=step, step=step, summary=proto).SerializeToString())

    def sync(self) -> dict[str, int]:
        """Everything to the disk; returns the lengths in bytes by file name, for the checkpoint."""
        for stream in self._streams.values():
            stream.flush()
            os.fsync(stream.fileno())
        return {name: stream.tell() for name, stream in self._streams.items()}

    def close(self) -> None:
        """Once, at the end."""
        for stream in self._streams.values():
            stream.close()

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def read_rows(folder: Path, kind: str) -> list[dict[str, Any]]:
    """The rows of one kind in metrics.jsonl, in order."""
    lines = (folder / METRICS).read_text(encoding="utf-8").splitlines()
    return [row for row in map(json.loads, lines) if row["kind"] == kind]
