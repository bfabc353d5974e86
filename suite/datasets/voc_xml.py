"""One Pascal VOC annotation file: read without trusting it, written the same way every time."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

from suite.datasets.coco import write_text
from suite.datasets.faults import Fault

MAX_BYTES = 8 * 2**20  # an annotation file has a few kilobytes; more is another file or an attack on memory
CORRECT_FILE = "correct the file or leave it out"


@dataclass(frozen=True)
class VocObject:
    """One object; the box is half-open corners in pixels, already converted from the file."""

    name: str
    box_xyxy: tuple[float, float, float, float]
    difficult: bool = False
    truncated: bool = False
    pose: str = "Unspecified"


@dataclass(frozen=True)
class VocImage:
    """The content of one annotation file."""

    file_name: str
    width: int
    height: int
    objects: tuple[VocObject, ...]
    depth: int = 3
    folder: str = ""


class _NoDoctype(ET.TreeBuilder):
    """Refuses a document type: with it come entities, which read other files and blow up memory."""

    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        raise Fault(
            "unsafe XML", "annotation", "has a DOCTYPE (entities are refused)", "remove the DOCTYPE lines"
        )


def read_voc_xml(path: str | Path) -> VocImage:
    """Read one annotation file. Raises Fault, for the caller's policy on bad items."""
    path = Path(path)
    subject = "annotation"
    try:
        if path.stat().st_size > MAX_BYTES:
            raise Fault(
                "file too large", subject, f"has more than {MAX_BYTES} bytes", "check which file this is"
            )
        root = ET.fromstring(path.read_bytes(), parser=ET.XMLParser(target=_NoDoctype()))
    except (FileNotFoundError, NotADirectoryError):
        raise Fault("missing annotation", subject, "no such file", "check the split list") from None
    except (ET.ParseError, ValueError) as error:
        raise Fault("not XML", subject, f"not XML ({error})", "copy or make it again") from None
    if root.tag != "annotation":
        raise Fault("not VOC", subject, f"the root is <{root.tag}>, not <annotation>", CORRECT_FILE)
    file_name = (root.findtext("filename") or "").strip()
    if not file_name or "/" in file_name or "\\" in file_name:
        raise Fault(
            "no filename", subject, f"filename is {file_name!r}", "give the name of the picture alone"
        )
    size = root.find("size")
    if size is None:
        raise Fault("no size", subject, "<size> is missing", CORRECT_FILE)
    width, height = (_whole(size, key, "size", lowest=1) for key in ("width", "height"))
    depth = _whole(size, "depth", "size", lowest=1) if size.find("depth") is not None else 3
    objects = tuple(_read_object(node, place) for place, node in enumerate(root.findall("object"), start=1))
    return VocImage(file_name, width, height, objects, depth, (root.findtext("folder") or "").strip())


def _read_object(node: ET.Element, place: int) -> VocObject:
    subject = f"object {place}"
    name = (node.findtext("name") or "").strip()
    if not name:
        raise Fault("object without name", subject, "<name> is missing", CORRECT_FILE)
    box = node.find("bndbox")  # of the object itself; a <part> has its own
    if box is None:
        raise Fault("object without box", subject, "<bndbox> is missing", CORRECT_FILE)
    xmin, ymin, xmax, ymax = (_number(box, key, subject) for key in ("xmin", "ymin", "xmax", "ymax"))
    if xmax - xmin + 1 <= 0 or ymax - ymin + 1 <= 0:
        what = f"box ({xmin:g}, {ymin:g})-({xmax:g}, {ymax:g}) has no area"
        raise Fault("box without area", subject, what, CORRECT_FILE)
    flags = [
        _whole(node, key, subject, lowest=0) if node.find(key) is not None else 0
        for key in ("difficult", "truncated")
    ]
    pose = (node.findtext("pose") or "").strip() or "Unspecified"
    return VocObject(name, (xmin - 1, ymin - 1, xmax, ymax), bool(flags[0]), bool(flags[1]), pose)


def _number(parent: ET.Element, key: str, subject: str) -> float:
    text = (parent.findtext(key) or "").strip()
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise Fault("not a number", subject, f"<{key}> is {text!r}, not a finite number", CORRECT_FILE)
    return value


def _whole(parent: ET.Element, key: str, subject: str, *, lowest: int) -> int:
    value = _number(parent, key, subject)
    if value != int(value) or value < lowest:
        raise Fault(
            "not a whole number", subject, f"<{key}> is {value:g}", f"write a whole number from {lowest} on"
        )
    return int(value)


def write_voc_xml(path: str | Path, voc: VocImage) -> None:
    """Write one annotation file: fixed order, 1-based inclusive coordinates, whole where they can be."""
    lines = [
        "<annotation>",
        f"\t<folder>{escape(voc.folder)}</folder>",
        f"\t<filename>{escape(voc.file_name)}</filename>",
        f"\t<size>\n\t\t<width>{voc.width}</width>\n\t\t<height>{voc.height}</height>",
        f"\t\t<depth>{voc.depth}</depth>\n\t</size>",
        "\t<segmented>0</segmented>",
    ]
    for thing in voc.objects:
        x1, y1, x2, y2 = thing.box_xyxy
        corners = (("xmin", x1 + 1), ("ymin", y1 + 1), ("xmax", x2), ("ymax", y2))
        lines += [
            "\t<object>",
            f"\t\t<name>{escape(thing.name)}</name>",
            f"\t\t<pose>{escape(thing.pose)}</pose>",
            f"\t\t<truncated>{int(thing.truncated)}</truncated>",
            f"\t\t<difficult>{int(thing.difficult)}</difficult>",
            "\t\t<bndbox>",
            *(f"\t\t\t<{key}>{_text(value)}</{key}>" for key, value in corners),
            "\t\t</bndbox>",
            "\t</object>",
        ]
    write_text(Path(path), "\n".join([*lines, "</annotation>"]) + "\n")


def _text(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else repr(float(value))
