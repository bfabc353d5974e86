"""Make assets/textures again: pictures of walls, floors and ceilings for the procedural rooms.

    python -m assets.make.textures --wheels data/packages      # offline; the wheels as for assets.make.meshes

Each folder is a material of the room's texture rule (experiments/solid/rooms/textures.py); `unknown` serves
all others. Pictures are scaled to at most 512 px and stored as JPEG; they tile as well as the originals do.
Left out: door and grate pictures (no tiling), letters, portraits, logos, and scikit-image's brick, grass
and gravel, for which its wheel states no licence of the single picture.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from hashlib import sha256
from pathlib import Path

from assets.make.meshes import write_json
from experiments.solid.meshes.convert import jpeg
from experiments.solid.meshes.packages import Wheels
from suite.errors import BadInput, guard

TARGET = Path(__file__).resolve().parents[1] / "textures"
MAX_TOTAL_BYTES = 5_000_000
FOLDERS = {"miniworld": "miniworld/textures", "robosuite": "robosuite/models/assets/textures"}
LICENSES = {
    "miniworld": ("Apache-2.0", "../meshes/LICENSES/Apache-2.0.txt"),
    "robosuite": ("MIT", "../meshes/LICENSES/MIT-robosuite.txt"),
}
# material -> (package, file names without .png)
PICTURES = {
    "wall": (
        ("miniworld", ("brick_wall_1", "cinder_blocks_1", "drywall_1", "stucco_1")),
        ("robosuite", ("cream-plaster", "gray-plaster", "pink-plaster", "white-bricks", "yellow-plaster")),
    ),
    "floor": (
        ("miniworld", ("concrete_tiles_1", "floor_tiles_bw_1", "floor_tiles_white", "wood_planks_1")),
        ("robosuite", ("dark-wood", "gray-felt", "light-gray-floor-tile", "light-wood", "wood-tiles")),
        ("robosuite", ("wood-varnished-panels",)),
    ),
    "ceiling": (
        ("miniworld", ("ceiling_tile_noborder_1", "ceiling_tiles_1", "concrete_1")),
        ("robosuite", ("light-gray-plaster", "white-plaster")),
    ),
    "unknown": (
        ("miniworld", ("cardboard_3", "marble_1", "metal_grill_1", "wood_2")),
        ("robosuite", ("blue-wood", "clay", "green-wood", "steel-brushed")),
    ),
}


def make(wheels_folder: Path, target: Path = TARGET) -> list[dict]:
    """Write all pictures and textures.json into `target` (its pictures are replaced); returns the table."""
    rows = []
    with Wheels(wheels_folder) as wheels:
        for material, groups in PICTURES.items():
            shutil.rmtree(target / material, ignore_errors=True)
            (target / material).mkdir(parents=True)
            for package, names in groups:
                for name in names:
                    address = f"{package}:{FOLDERS[package]}/{name}.png"
                    data = jpeg(wheels.read(address))
                    file = f"{material}/{name.replace('-', '_')}.jpg"
                    (target / file).write_bytes(data)
                    license_name, license_file = LICENSES[package]
                    rows.append(
                        {
                            "file": file,
                            "source": f"{package} {wheels.pins[package].version}: {address}",
                            "license": f"{license_name} ({package})",
                            "license_file": license_file,
                            "sha256": sha256(data).hexdigest(),
                        }
                    )
    rows.sort(key=lambda row: row["file"])
    write_json(target / "textures.json", rows)
    total = sum(path.stat().st_size for path in target.rglob("*.jpg"))
    if total > MAX_TOTAL_BYTES:
        raise BadInput(f"{total} bytes, over {MAX_TOTAL_BYTES}", file=target, fix="leave some pictures out")
    return rows


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Make assets/textures again from the pinned wheels.")
    parser.add_argument("--wheels", type=Path, required=True, help="folder with the wheels")
    parser.add_argument("--out", type=Path, default=TARGET, help="target folder (default: assets/textures)")
    options = parser.parse_args()
    print(f"{len(make(options.wheels, options.out))} pictures in {options.out}")


if __name__ == "__main__":
    sys.exit(guard(main))
