"""What stands in `solid.zarr`: groups, arrays, chunks, shards and attributes of schema version 1.

Two groups, `targets` (one row per picture) and `queries` (one row per class). Large arrays are sharded: the
inner chunk is one sample and the shard is one chunk of work, so a random read costs one shard index and one
sample, and a worker that owns shard k owns whole files alone. Arrays of one number per row are plain: one
chunk per shard.

Differences from the published store (SOLID code, `create_zarr`; Zarr v2, chunks of 256 variable-length
arrays): one uint8 label map per picture instead of n stacked H x W masks; validity per shard instead of four
flag chunks shared by about a thousand jobs each; fixed-width rows with a fill instead of flattened
variable-length arrays.
"""

from __future__ import annotations

import contextlib
import dataclasses
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from zarr.codecs import ZstdCodec
from zarr.core.dtype import VariableLengthBytes
from zarr.errors import UnstableSpecificationWarning

from experiments.solid.config import SolidConfig
from suite.errors import BadInput

STORE_NAME = "solid.zarr"
CLASSES_NAME = "classes.json"
FORMAT = "syndet-solid"
SCHEMA_VERSION = 1

# `valid` of a row: nothing yet, a finished sample, or a sample that the stage tried and had to give up.
ABSENT, VALID, GIVEN_UP = 0, 1, 2
NO_BOX = -1  # fill of bboxes rows beyond num_boxes

Group = Literal["targets", "queries"]


@dataclass(frozen=True)
class StoreLayout:
    """Every size of a store; kept in the root attributes, so that readers need no config."""

    num_images: int  # N, rows of `targets`
    num_classes: int  # C, rows of `queries`
    num_shots: int  # S, views per class
    max_objects: int  # M, most boxes per picture
    height: int  # pixels of a target
    width: int
    query_resolution: int  # pixels, longest possible side of a query crop
    shard_size: int  # pictures per shard
    query_shard_size: int  # classes per shard

    @classmethod
    def of(cls, config: SolidConfig, num_classes: int) -> StoreLayout:
        """The sizes that a config and a number of classes ask for."""
        width, height = config.render.resolution
        return cls(
            num_images=config.store.num_images,
            num_classes=num_classes,
            num_shots=config.queries.num_shots,
            max_objects=config.layout.num_objects[1],
            height=height,
            width=width,
            query_resolution=config.queries.resolution,
            shard_size=config.store.shard_size,
            query_shard_size=config.store.query_shard_size,
        )

    def rows(self, group: Group) -> int:
        """Rows of a group: N or C."""
        return self.num_images if group == "targets" else self.num_classes

    def rows_per_shard(self, group: Group) -> int:
        return self.shard_size if group == "targets" else self.query_shard_size

    def num_shards(self, group: Group) -> int:
        return -(-self.rows(group) // self.rows_per_shard(group))

    def shard_rows(self, group: Group, shard: int) -> range:
        """The rows that shard `shard` owns; the last shard may be shorter."""
        if not 0 <= shard < self.num_shards(group):
            raise BadInput(
                f"{group} shard {shard} does not exist", fix=f"use 0..{self.num_shards(group) - 1}"
            )
        size = self.rows_per_shard(group)
        return range(shard * size, min((shard + 1) * size, self.rows(group)))


@dataclass(frozen=True)
class ArraySpec:
    """One array. `trailing` gives the axes after the first: numbers, or names of StoreLayout sizes."""

    dtype: str  # a NumPy name, or "bytes" for variable-length byte strings
    trailing: tuple[str | int, ...]
    fill: Any
    sharded: bool  # inner chunk = one sample; else one plain chunk per shard
    compressed: bool  # zstd; PNG and zlib bytes are left as they are
    about: str
    per_item: bool = False  # inner chunk = one element of the second axis too (one query view)


GROUPS: dict[Group, dict[str, ArraySpec]] = {
    "targets": {
        "images": ArraySpec("bytes", (), b"", True, False, "PNG of the picture, 8-bit RGB, width x height"),
        "label_maps": ArraySpec(
            "uint8", ("height", "width"), 0, True, True, "visible masks: 0 none, k = k-th row of bboxes"
        ),
        "bboxes": ArraySpec(
            "int32",
            ("max_objects", 5),
            NO_BOX,
            True,
            True,
            "x1, y1, x2, y2, class; pixels, half-open; fill -1",
        ),
        "num_boxes": ArraySpec("int32", (), 0, False, True, "rows of bboxes that are filled"),
        "visibility": ArraySpec(
            "float32",
            ("max_objects",),
            float("nan"),
            True,
            True,
            "visible pixels / pixels when rendered alone, (0, 1]",
        ),
        "mask_bbox_ratio": ArraySpec(
            "float32",
            ("max_objects",),
            float("nan"),
            True,
            True,
            "visible pixels / pixels of the box, (0, 1]",
        ),
        "angles": ArraySpec(
            "float32",
            ("max_objects", 3),
            float("nan"),
            True,
            True,
            "XYZ Euler of inverse(camera) x object, radians",
        ),
        "attempts": ArraySpec("int32", (), 0, False, True, "scenes drawn until one succeeded, >= 1"),
        "scenes": ArraySpec("bytes", (), b"", True, False, "zlib of the scene file (UTF-8 JSON)"),
        "valid": ArraySpec(
            "uint8", (), ABSENT, False, False, "0 absent, 1 finished, 2 given up; written last"
        ),
    },
    "queries": {
        "images": ArraySpec(
            "bytes",
            ("num_shots",),
            b"",
            True,
            False,
            "PNG of the view cropped to the object; empty: no view",
            True,
        ),
        "num_views": ArraySpec("int32", (), 0, False, True, "views of the class that are not empty"),
        "query_ids": ArraySpec("int64", (), -1, False, True, "class id of the row"),
        "valid": ArraySpec(
            "uint8", (), ABSENT, False, False, "0 absent, 1 finished, 2 given up; written last"
        ),
    },
}


def array_arguments(spec: ArraySpec, layout: StoreLayout, group: Group) -> dict[str, Any]:
    """The arguments of `zarr.Group.create_array` for one array."""
    tail = tuple(getattr(layout, name) if isinstance(name, str) else name for name in spec.trailing)
    rows = layout.rows_per_shard(group)
    inner = (1,) * len(tail) if spec.per_item else tail
    return {
        "shape": (layout.rows(group), *tail),
        "chunks": (1, *inner) if spec.sharded else (rows, *tail),
        "shards": (rows, *tail) if spec.sharded else None,
        "dtype": VariableLengthBytes() if spec.dtype == "bytes" else spec.dtype,
        "fill_value": spec.fill,
        # The checksum lets a flipped bit in a small array surface as an error instead of a wrong box.
        "compressors": ZstdCodec(level=3, checksum=True) if spec.compressed else None,
        # A finished shard always has a file per array, even where every value equals the fill.
        "config": {"write_empty_chunks": True},
        "attributes": {"about": spec.about},
    }


def root_attributes(layout: StoreLayout, classes_sha256: str) -> dict[str, Any]:
    """Attributes of the store's root group."""
    return {
        "format": FORMAT,
        "schema": SCHEMA_VERSION,
        "layout": dataclasses.asdict(layout),
        "classes": {
            "file": f"../{CLASSES_NAME}",
            "sha256": classes_sha256,
            "num_classes": layout.num_classes,
        },
        "units": {"boxes": "pixels, half-open", "angles": "radians", "scene lengths": "room is 12 x 12 x 6"},
    }


def group_attributes(layout: StoreLayout, group: Group, key: str) -> dict[str, Any]:
    """Attributes of `targets` or `queries`; `key` is that of the stage that fills the group."""
    size = [layout.width, layout.height] if group == "targets" else [layout.query_resolution] * 2
    return {
        "schema": SCHEMA_VERSION,
        "key": key,
        "num_classes": layout.num_classes,
        "resolution": size,
        "units": "boxes in pixels, half-open; angles in radians" if group == "targets" else "pixels",
    }


def layout_from_attributes(attributes: Mapping[str, Any], where: str) -> StoreLayout:
    """The sizes of an open store, or BadInput if it is not ours or from a newer version of this code."""
    if attributes.get("format") != FORMAT:
        raise BadInput("not a SOLID store", file=where, fix="give the folder that create-store made")
    version = attributes.get("schema")
    if not isinstance(version, int) or version > SCHEMA_VERSION:
        raise BadInput(
            f"store schema {version} is newer than this code knows ({SCHEMA_VERSION})",
            file=where,
            fix="update the code, or make the store again",
        )
    try:
        return StoreLayout(**attributes["layout"])
    except (KeyError, TypeError) as error:
        raise BadInput(
            f"the store's attributes are damaged ({error})", file=where, fix="make it again"
        ) from None


@contextlib.contextmanager
def quiet_bytes_dtype() -> Iterator[None]:
    """Silence one warning: Zarr v3 has no registered data type for variable-length bytes.

    Its representation may therefore change in a later zarr. The writing and the reading toolchain pin the
    same zarr, and a test writes in one and reads in the other, so the warning tells us nothing new at every
    open.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", message=r"The data type \(VariableLengthBytes", category=UnstableSpecificationWarning
        )
        yield
