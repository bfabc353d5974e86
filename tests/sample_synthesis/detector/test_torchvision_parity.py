"""Our MobileNetV2 with converted weights computes what torchvision's does, on a real photograph.

Needs both environments: run it in the tensorflow one beside an existing detectron2 one.

    .tox/tensorflow/bin/python -m pytest -m slow tests/sample_synthesis/detector/test_torchvision_parity.py
"""

import subprocess
from pathlib import Path

import numpy as np
import pytest
from skimage import data

from experiments.sample_synthesis.detector import convert_mobilenetv2
from experiments.sample_synthesis.detector.build import build_detector

# isort: split
import keras

ROOT = Path(__file__).parents[3]
TORCH_PYTHON = ROOT / ".tox" / "detectron2" / "bin" / "python"
TAPS = ("block_12_add", "block_13_expand_relu", "block_16_project_BN", "out_relu")
# Sums of some hundred to thousand products in float32, in 52 layers, in an order that depends on the CPU.
RELATIVE = 2e-5

TORCHVISION = """
import sys, numpy as np, torch, torchvision
from experiments.sample_synthesis.detector.convert_mobilenetv2 import packaged_pth, run
run(__import__("pathlib").Path(sys.argv[1]))
network = torchvision.models.mobilenet_v2()
network.load_state_dict(torch.load(packaged_pth(), map_location="cpu", weights_only=True))
x = torch.from_numpy(np.load(sys.argv[2])).permute(2, 0, 1)[None] / 255
x = torchvision.transforms.functional.normalize(x, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
maps = {}
with torch.inference_mode():
    network.eval()
    for number, layer in enumerate(network.features):
        maps[f"inner{number}"] = layer.conv[0](x) if number == 14 else x
        x = layer(x)
        maps[f"features{number}"] = x
    logits = network.classifier(x.mean((2, 3)))
taps = ("features13", "inner14", "features17", "features18")
np.savez(sys.argv[3], *[maps[name].permute(0, 2, 3, 1).numpy() for name in taps], logits=logits.numpy())
"""


@pytest.mark.slow
@pytest.mark.skipif(not TORCH_PYTHON.exists(), reason="no detectron2 environment beside this one")
@pytest.mark.parametrize("image_size", [300, 225])  # 225: odd sides on every level down
def test_converted_weights_give_torchvisions_features(tmp_path: Path, image_size: int) -> None:
    photo = data.chelsea()[:image_size, 75 : 75 + image_size].astype(np.float32)
    np.save(tmp_path / "photo.npy", photo)
    subprocess.run(
        [TORCH_PYTHON, "-c", TORCHVISION, tmp_path, tmp_path / "photo.npy", tmp_path / "theirs.npz"],
        cwd=ROOT,
        check=True,
    )
    theirs = np.load(tmp_path / "theirs.npz", allow_pickle=False)
    assert theirs["logits"].argmax() == 285  # ImageNet's class 285: Egyptian cat
    model = build_detector(
        "mobilenetv2",
        image_size=image_size,
        init="imagenet",
        weights=tmp_path / convert_mobilenetv2.NPZ,
        seed=1,
    )
    ours = keras.Model(model.input, [model.get_layer(name).output for name in TAPS])(
        photo[None], training=False
    )
    for number, features in enumerate(ours):
        expected = theirs[f"arr_{number}"]
        assert features.shape == expected.shape
        worst = np.abs(np.asarray(features) - expected).max() / np.abs(expected).max()
        print(TAPS[number], worst)
        assert worst < RELATIVE
