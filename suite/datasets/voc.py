"""Pascal VOC: annotations in XML, pictures in JPEGImages, splits in ImageSets/Main.

VOC counts pixels from 1 and names the first and last pixel of a box; we (and COCO) count from 0 and name the
edges:

    xmin = x1 + 1    xmax = x2    width = xmax - xmin + 1 = x2 - x1

so the "+ 1 pixel" areas of the VOC evaluators are the plain areas of our half-open boxes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

from suite.datasets.coco import BOX_TOLERANCE, write_text
from suite.datasets.faults import Fault, Intake, OnBad, Skipped
from suite.datasets.parse import check_inside
from suite.datasets.pictures import check_picture
from suite.datasets.records import CocoAnnotation, CocoCategory, CocoImage, CocoSet
from suite.datasets.voc_xml import VocImage, VocObject, read_voc_xml, write_voc_xml
from suite.errors import BadInput


def read_voc(
    root: str | Path,
    *,
    split: str | None = None,
    classes: Sequence[str] | None = None,
    check_pictures: bool = True,
    deep: bool = False,
    on_bad: OnBad = "raise",
    max_bad_share: float = 0.01,
    box_tolerance: float = BOX_TOLERANCE,
) -> CocoSet:
    """Read a VOC folder (Annotations/, JPEGImages/, ImageSets/Main/<split>.txt) as a CocoSet.

    `split`: a name under ImageSets/Main; None takes every annotation file. `classes`: the class list in order
    (then another name is a fault); None takes the names found, sorted. Ids count from 1, pictures in the
    order of the split or of their names. VOC's `difficult` becomes `ignore`. The rest as in `read_coco`.
    """
    root = Path(root)
    intake = Intake(root / "Annotations", on_bad, max_bad_share)
    found: list[VocImage] = []
    stems = _stems(root, split)
    names: set[str] = set()
    for number, stem in enumerate(stems, start=1):
        path = root / "Annotations" / f"{stem}.xml"
        try:
            voc = read_voc_xml(path)
            _check(voc, number, classes, names, box_tolerance)
            if check_pictures:
                image = CocoImage(number, voc.file_name, voc.width, voc.height)
                check_picture(image, root / "JPEGImages", deep=deep)
        except Fault as fault:
            intake.reject(fault, file=path)
            continue
        names.add(voc.file_name)
        found.append(voc)
    intake.close("annotation files", bad=len(stems) - len(found), total=len(stems))
    if classes is None:
        classes = sorted({thing.name for voc in found for thing in voc.objects})
    return voc_to_coco(found, classes, skipped=intake.skipped())


def _stems(root: Path, split: str | None) -> list[str]:
    """Names of the annotation files without their ending, in order."""
    if split is None:
        stems = sorted(path.stem for path in (root / "Annotations").glob("*.xml"))
        if not stems:
            raise BadInput(
                "holds no annotation files", file=root / "Annotations", fix="pass the folder VOC<year>"
            )
        return stems
    path = root / "ImageSets" / "Main" / f"{split}.txt"
    if not path.is_file():
        known = sorted(p.stem for p in path.parent.glob("*.txt") if "_" not in p.stem)
        fix = f"choose one of {', '.join(known)}" if known else "pass the folder VOC<year>"
        raise BadInput("no such split", file=path, fix=fix)
    stems = [line.split()[0] for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    twice = {stem for stem in stems if "/" in stem or stem.startswith(".")} or _repeated(stems)
    if twice or not stems:
        what = f"names {min(twice)!r} twice, or outside the folder" if twice else "names no picture"
        raise BadInput(what, file=path, fix="list each picture once, one a line")
    return stems


def _repeated(stems: list[str]) -> set[str]:
    seen: set[str] = set()
    return {stem for stem in stems if stem in seen or seen.add(stem)}


def _check(
    voc: VocImage, number: int, classes: Sequence[str] | None, names: set[str], box_tolerance: float
) -> None:
    """Fault unless boxes lie in the picture, classes are known and the picture is not listed twice."""
    if voc.file_name in names:
        raise Fault(
            "duplicate filename", voc.file_name, "another annotation names it too", "one file per picture"
        )
    image = CocoImage(number, voc.file_name, voc.width, voc.height)
    for place, thing in enumerate(voc.objects, start=1):
        subject = f"object {place} ({thing.name})"
        if classes is not None and thing.name not in classes:
            raise Fault(
                "unknown class", subject, "the class is not in the list", f"known: {', '.join(classes)}"
            )
        x1, y1, x2, y2 = thing.box_xyxy
        check_inside((x1, y1, x2 - x1, y2 - y1), image, subject, box_tolerance)


def voc_to_coco(
    images: Iterable[VocImage], classes: Sequence[str], *, skipped: Skipped | None = None
) -> CocoSet:
    """VOC records as a CocoSet: ids from 1 in the given order, category id = place in `classes` + 1."""
    category_ids = {name: number for number, name in enumerate(classes, start=1)}
    coco_images, annotations = [], []
    for image_id, voc in enumerate(images, start=1):
        coco_images.append(CocoImage(image_id, voc.file_name, voc.width, voc.height))
        for thing in voc.objects:
            x1, y1, x2, y2 = thing.box_xyxy
            annotations.append(
                CocoAnnotation(
                    id=len(annotations) + 1,
                    image_id=image_id,
                    category_id=category_ids[thing.name],
                    box_xywh=(x1, y1, x2 - x1, y2 - y1),
                    area=(x2 - x1) * (y2 - y1),
                    ignore=thing.difficult,
                    truncated=thing.truncated,
                )
            )
    categories = tuple(CocoCategory(number, name) for name, number in category_ids.items())
    return CocoSet(tuple(coco_images), tuple(annotations), categories, skipped=skipped or Skipped())


def coco_to_voc(coco: CocoSet) -> tuple[VocImage, ...]:
    """A CocoSet as VOC records, in id order. Masks, ids and extra keys have no place there; a crowd region
    becomes a difficult object, like one to be ignored."""
    records = []
    for image in coco.images:
        objects = []
        for annotation in coco.annotations_by_image[image.id]:
            x, y, width, height = annotation.box_xywh
            objects.append(
                VocObject(
                    name=coco.category_by_id[annotation.category_id].name,
                    box_xyxy=(x, y, x + width, y + height),
                    difficult=annotation.ignore or annotation.iscrowd,
                    truncated=annotation.truncated,
                )
            )
        records.append(VocImage(image.file_name, image.width, image.height, tuple(objects)))
    return tuple(records)


def write_voc(root: str | Path, coco: CocoSet, *, split: str) -> None:
    """Write Annotations/<stem>.xml of every picture and ImageSets/Main/<split>.txt; pictures are not copied.

    Raises BadInput where a file name has a folder in it, or where two share a stem and so an annotation file.
    """
    root = Path(root)
    records = coco_to_voc(coco)
    nested = [voc.file_name for voc in records if "/" in voc.file_name]
    if nested:
        raise BadInput(
            f"picture {nested[0]} lies in a sub-folder", file=root, fix="VOC wants all pictures in one folder"
        )
    stems = [PurePosixPath(voc.file_name).stem for voc in records]
    repeated = _repeated(stems)
    if repeated:
        raise BadInput(
            f"two pictures would share the annotation file {min(repeated)}.xml", file=root, fix="rename one"
        )
    for stem, voc in zip(stems, records, strict=True):
        write_voc_xml(root / "Annotations" / f"{stem}.xml", voc)
    write_text(root / "ImageSets" / "Main" / f"{split}.txt", "".join(f"{stem}\n" for stem in stems))
