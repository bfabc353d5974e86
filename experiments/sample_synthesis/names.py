"""The table of objects and of what is published under which name: labels, files, folders, scripts, flags.

One place, because in the published code a generator wrote one object's label into another one's file.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Variant = Literal["masked", "naive", "nogan"]
VARIANTS: tuple[Variant, ...] = ("masked", "naive", "nogan")


@dataclass(frozen=True)
class ObjectName:
    """What an object is called where."""

    name: str  # here, and OBJECT=
    label: str  # in the CSV; category 1
    plural: str  # of the published files
    title: str  # in tables and plots
    variants: tuple[Variant, ...]  # that exist of it
    real: str  # folder of the real images, in the published layout of `data/`
    objects: str | None  # folder of the generated object pictures
    nogan: str | None  # folder of the photographed object pictures, of the variant nogan

    @property
    def csv(self) -> str:
        """The published name of the CSV with the boxes of a synthetic set."""
        return f"{self.plural}_fake.csv"

    def output_dir(self, variant: Variant = "masked") -> str:
        """The published folder of a synthetic set, in the published layout of `data/`."""
        return f"{self.plural}_fake" + ("" if variant == "masked" else f"_{variant}")


ALL = {
    item.name: item
    for item in (
        ObjectName("qr", "qr_code", "qr_codes", "QR codes", ("masked",), "qr_codes", None, None),
        ObjectName("face", "face", "faces", "Faces", VARIANTS, "FDDB", "stylegan_faces", "ffhq_thumbnails"),
        ObjectName(
            "bird", "bird", "birds", "Birds", VARIANTS, "CUB_200_2011/CUB_200_2011", "fake_birds_DMGAN",
            "CUB_200_2011/CUB_200_2011",
        ),
        ObjectName("car", "car", "cars", "Cars", VARIANTS, "stanford_cars", "stylegan_cars", "LSUNCars"),
    )
}  # fmt: skip
OBJECTS = tuple(ALL)
VOC = "VOCdevkit"  # backgrounds, in the published layout of `data/`

FLAGS = {  # published flag of the generators: the setting of the object that it names
    "--num_samples": "synthesis.num_samples",
    "--image_size": "synthesis.image_size",
    "--min_scale": "synthesis.min_scale",
    "--max_scale": "synthesis.max_scale",
    "--min_aspect_ratio": "synthesis.min_aspect_ratio",
    "--max_aspect_ratio": "synthesis.max_aspect_ratio",
    "--min_objects": "synthesis.min_objects",
    "--max_objects": "synthesis.max_objects",
    "--max_tries": "synthesis.max_tries",
    "--voc_dir": "backgrounds.folder",
    "--fake_objects_dir": "source.folder",
    "--real_objects_dir": "nogan.folder",
}
SCRIPTS = {  # published script, without `.py`: the words of our command
    "generate_fake_data": ("synth",),
    "generate_fake_data_naive": ("synth", "--variant", "naive"),
    "generate_fake_data_nogan": ("synth", "--variant", "nogan"),
    "pretraining_ablation": ("ablate", "pretraining"),
    "naive_pasting_ablation": ("ablate", "naive"),
    "nogan_ablation": ("ablate", "nogan"),
    "run_training": ("reproduce",),
    "generate_results": ("report",),
    "generate_tables": ("report",),
    "plot_results_valid": ("report",),
    "plot_results_test": ("report",),
    "generate_results_pretraining_ablation": ("report",),
    "generate_results_naive_pasting_ablation": ("report",),
    "generate_results_nogan_ablation": ("report",),
    "plot_results_pretraining_ablation": ("report",),
}


def label_of(name: str) -> str:
    """The label string of an object."""
    return ALL[name].label
