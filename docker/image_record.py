"""Write /opt/image.json: what is in an image, so that a manifest can name it without asking the engine.

    python image_record.py TOOLCHAIN ACCEL FILE [FILE ...] > image.json

Content: toolchain, accel, cuda (family of the wheels or null), min_driver (NVIDIA driver, major; null for
cpu wheels), python, lock_sha256 (over the given files: what the environment was made from, relative to the
repository; equal to the digest that workflow/bootstrap.py gives the same environment outside containers),
packages {name: version} of the running environment, and detectron2 (its PEP 610 record) where it is
installed.
"""

from __future__ import annotations

import hashlib
import json
import platform
import sys
from importlib import metadata
from pathlib import Path

# Which CUDA the wheels of each flavour are built for and the oldest driver that runs them. torch's and bpy's
# wheels serve both flavours; Cycles brings its own kernels, its OptiX devices want driver 535 (its manual).
CUDA = {
    ("blender", "cpu"): ("cycles", 535),
    ("blender", "cuda"): ("cycles", 535),
    ("detectron2", "cpu"): ("13", 580),
    ("detectron2", "cuda"): ("13", 580),
    ("tensorflow", "cpu"): (None, None),
    ("tensorflow", "cuda"): ("12", 525),
    ("jax", "cpu"): (None, None),
    ("jax", "cuda"): ("12", 525),
}


def lock_digest(files: list[Path]) -> str:
    """SHA-256 over Python's version and over name and bytes of each file, in the order given."""
    sha = hashlib.sha256("python {}.{}\n".format(*sys.version_info[:2]).encode())
    for file in files:
        sha.update(f"{file}\n".encode() + file.read_bytes())
    return sha.hexdigest()


def image_record(toolchain: str, accel: str, files: list[Path]) -> dict:
    """The record described above for the environment that runs this."""
    cuda, min_driver = CUDA[toolchain, accel]
    record = {
        "toolchain": toolchain,
        "accel": accel,
        "cuda": cuda,
        "min_driver": min_driver,
        "python": platform.python_version(),
        "lock_sha256": lock_digest(files),
        "packages": {found.metadata["Name"]: found.version for found in metadata.distributions()},
    }
    if "detectron2" in record["packages"]:
        record["detectron2"] = json.loads(metadata.distribution("detectron2").read_text("direct_url.json"))
    return record


if __name__ == "__main__":
    made = image_record(sys.argv[1], sys.argv[2], [Path(name) for name in sys.argv[3:]])
    print(json.dumps(made, indent=1, sort_keys=True))
