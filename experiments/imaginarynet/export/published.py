"""The layout of the published code: prompt.txt, image/ and annotation/, so that its users find their files.

`prompt.txt` has every prompt, kept or not; pictures are numbered from 0 over the kept ones. The
annotations differ from the published ones where those are wrong: sizes are true, and boxes count from 1
(published code, `--outputdir`).
"""

from __future__ import annotations

from pathlib import Path

from experiments.imaginarynet.export.source import Source, ending, labels_of, write_file, write_lines
from experiments.imaginarynet.export.voc import annotation

FOLDER = "PseudoWSODv1"


def write_published(source: Source, out: Path) -> int:
    """Write the three; returns the number of pictures."""
    first = (row for row in source.rows if row.number % source.samples_per_prompt == 0)
    write_lines(out / "prompt.txt", (f"{row.prompt}\t{row.label}" for row in first))
    for folder in ("image", "annotation"):
        (out / folder).mkdir(parents=True, exist_ok=True)
    for number, row in enumerate(source.kept):
        name = f"{number:06d}{ending(row)}"
        source.place(row, out / "image" / name)
        text = annotation(row, labels_of(row, source.class_names), name, folder=FOLDER)
        write_file(out / "annotation" / f"{number:06d}.xml", text)
    return len(source.kept)
