"""Pascal VOC: JPEGImages/, Annotations/ and ImageSets/Main/, with the class lists of +1 and -1.

Sizes are those of the files and boxes count from 1, `1,1,W,H`. The published annotations say 256 x 256
whatever the picture's size, and begin their box at 0, which readers that subtract one turn into -1; they
come without image sets (published code, `--outputdir`).
"""

from __future__ import annotations

from pathlib import Path
from xml.sax.saxutils import escape

from experiments.imaginarynet.classes import label_of
from experiments.imaginarynet.export.source import (
    LEVEL,
    Source,
    file_name,
    labels_of,
    write_file,
    write_lines,
)
from experiments.imaginarynet.store.manifest import Candidate

FOLDER = "imaginary"
DATABASE = "ImaginaryNet"
POSE = "Unspecified"


def write_voc(source: Source, out: Path) -> int:
    """Write the folder; returns the number of pictures."""
    stems = []
    for row in source.kept:
        name = file_name(row)
        source.place(row, out / "JPEGImages" / name)
        text = annotation(row, labels_of(row, source.class_names), name)
        write_file(out / "Annotations" / f"{row.candidate_id}.xml", text)
        stems.append(row.candidate_id)
    sets = out / "ImageSets" / "Main"
    write_lines(sets / f"{source.split}.txt", stems)
    for index, name in enumerate(source.class_names):
        signs = (" 1" if index in row.image_labels else "-1" for row in source.kept)
        lines = (f"{stem} {sign}" for stem, sign in zip(stems, signs, strict=True))
        write_lines(sets / f"{label_of(name)}_{source.split}.txt", lines)
    return len(stems)


def annotation(row: Candidate, labels: list[str], name: str, *, folder: str = FOLDER) -> str:
    """The XML of a picture: an object per label, each around the whole picture; `level` marks it as such."""
    return "\n".join(
        [
            "<annotation>",
            f"\t<folder>{escape(folder)}</folder>",
            f"\t<filename>{escape(name)}</filename>",
            "\t<source>",
            f"\t\t<database>{DATABASE}</database>",
            f"\t\t<annotation>{DATABASE}</annotation>",
            f"\t\t<image>{escape(row.backend)}</image>",
            "\t</source>",
            f"\t<level>{LEVEL}</level>",
            f"\t<size>\n\t\t<width>{row.width}</width>\n\t\t<height>{row.height}</height>",
            "\t\t<depth>3</depth>\n\t</size>",
            "\t<segmented>0</segmented>",
            *(_object(row, label) for label in labels),
            "</annotation>\n",
        ]
    )


def _object(row: Candidate, label: str) -> str:
    corners = (("xmin", 1), ("ymin", 1), ("xmax", row.width), ("ymax", row.height))
    return "\n".join(
        [
            "\t<object>",
            f"\t\t<name>{escape(label)}</name>",
            f"\t\t<pose>{POSE}</pose>",
            "\t\t<truncated>0</truncated>",
            "\t\t<difficult>0</difficult>",
            "\t\t<bndbox>",
            *(f"\t\t\t<{key}>{value}</{key}>" for key, value in corners),
            "\t\t</bndbox>",
            "\t</object>",
        ]
    )
