"""What made res_mlp.npz, the oracle of tests/models/test_res_mlp.py: the official code's answers.

Of facebookresearch/deit at 7e160fe43f0252d17191b71cbb5826254114ea5b it takes resmlp_models.py,
beside this file, with timm 1.0.31 and PyTorch 2.13.0. That code is not kept here.

    python res_mlp.py
"""

import numpy as np
import torch
from resmlp_models import resmlp_models

model = resmlp_models(
    img_size=(16, 32), patch_size=4, embed_dim=12, depth=2, num_classes=7, init_scale=0.1
).eval()
random = torch.Generator().manual_seed(0)
with torch.no_grad():
    for parameter in model.parameters():
        noise = torch.randn(parameter.shape, generator=random)
        if parameter.ndim == 1:
            parameter += 0.1 * noise
        else:
            parameter.copy_(noise / parameter[0].numel() ** 0.5)
    images = np.random.default_rng(1).standard_normal((2, 16, 32, 3)).astype(np.float32)
    logits = model(torch.from_numpy(images).permute(0, 3, 1, 2)).numpy()
weights = {f"weights/{name}": value.numpy() for name, value in model.state_dict().items()}
np.savez_compressed("res_mlp.npz", images=images, logits=logits, **weights)
