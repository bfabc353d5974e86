"""Does the picture of a record exist, and is it what the record says?"""

from __future__ import annotations

from pathlib import Path

from suite.datasets.faults import Fault
from suite.datasets.records import CocoImage


def check_picture(image: CocoImage, images_dir: Path, *, deep: bool) -> None:
    """Fault unless the file is there; with `deep` also unless it decodes whole and has the stated size.

    `deep` needs Pillow and reads every pixel: it finds truncated files, and takes a pass over the data set.
    """
    path, subject = images_dir / image.file_name, f"image {image.id}"
    if not path.is_file():
        raise Fault("missing picture", subject, f"{path} does not exist", "check the folder of pictures")
    if not deep:
        return
    from PIL import Image

    try:
        with Image.open(path) as picture:
            picture.load()
            size = picture.size
    # Pillow's decoders raise these for damaged files; SyntaxError comes from its PNG reader.
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        reason = str(error) or type(error).__name__
        raise Fault(
            "unreadable picture", subject, f"{path} does not decode ({reason:.80})", "copy it again"
        ) from None
    if size != (image.width, image.height):
        what = f"{path} is {size[0]}x{size[1]}, the entry says {image.width}x{image.height}"
        raise Fault("picture of another size", subject, what, "correct width and height")
