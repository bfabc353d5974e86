"""Where this re-implementation can do as the published code does: switches, with their reasons.

Loads with the settings alone. The README's table and the report's are held to this one by tests.
"""

from __future__ import annotations

from experiments.sample_synthesis.config import SampleSynthesisConfig
from experiments.sample_synthesis.names import OBJECTS
from suite.report.switches import Switch, Turned, turned_of

EACH = "OBJECT."  # begins the key of a setting that every object has


SWITCHES = (
    Switch("compat.mixed_real_only", True, "the arm `mixed` never reaches its synthetic images"),
    Switch("compat.face_box_frames", True, "a face's box is the frame of the warped picture, not the face"),
    Switch("compat.bird_backgrounds_with_birds", True, "backgrounds show birds that have no box"),
    Switch(
        "compat.first_rows_subset", True,
        "the pretraining ablation takes the first rows: of CUB, two species",
    ),
    Switch("OBJECT.synthesis.box_edge", "inclusive", "a box ends one source pixel before its object does"),
    Switch("OBJECT.synthesis.naive_fill", "black", "naive pasting shows its own black corners"),
    Switch(
        "OBJECT.synthesis.raster", "object",
        "warped at the picture's resolution, then resized; `patch` warps once",
    ),
    Switch("OBJECT.synthesis.layout", "rejection", "one clash discards the layout: few objects are left"),
    Switch("OBJECT.synthesis.jpeg_quality", 75, "what is trained on went through JPEG"),
    Switch("qr.synthesis.module_px", 10, "pixels of a module; `auto` draws near the size of the slot"),
    Switch("qr.masks.threshold", 0.0, "the box is the extent of mask > 0"),
    Switch("bird.masks.threshold", 0.1, "the box is the extent of mask > 0.1"),
    Switch("bird.masks.blend", "binary", "hard edges: what the mask is sure of by 0.1 is pasted whole"),
    Switch("car.masks.threshold", 0.1, "the box is the extent of mask > 0.1"),
    Switch("bird.nogan.boxes", True, "photographed birds are cut out by their ground-truth boxes"),
    Switch("train.selection", "best", "the validation pictures choose the epoch"),
    Switch("train.validation", "full", "hundreds of annotated pictures choose where ten are trained on"),
    Switch("train.order", "buffer", "images come nearly in the order of the files"),
    Switch("train.subset_seed", 2020, "which N real images: nested, the same in every run"),
    Switch("detector.loss", "focal", "no hard negatives are mined; `ohem` does"),
    Switch("arms", ("from_scratch", "finetuned"), "`matched` trains from scratch as long as both together"),
)  # fmt: skip


def keys_of(switch: Switch, objects: tuple[str, ...]) -> list[str]:
    """The keys that a switch stands for in a run of these objects."""
    if switch.key.startswith(EACH):
        return [f"{name}.{switch.key.removeprefix(EACH)}" for name in objects]
    first = switch.key.partition(".")[0]
    return [] if first in OBJECTS and first not in objects else [switch.key]


def turned(config: SampleSynthesisConfig) -> list[Turned]:
    """The switches of a run that do not do as published, in the order of SWITCHES."""
    return turned_of(config, ((key, s) for s in SWITCHES for key in keys_of(s, config.objects)))
