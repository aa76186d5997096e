"""What made hire_mlp.npz, the oracle of tests/models/test_hire_mlp.py: the official code's answers.

Of ggjy/Hire-Wave-MLP.pytorch at 7ef7ddd784f97b6369d6fbaf913c4c1536949cf6 it takes
mlp_based/hire_mlp.py, beside this file under the name official_hire_mlp.py, with timm 1.0.31 and
PyTorch 2.13.0. One line is changed, because this timm has no timm.models.layers.helpers:
`to_2tuple` is imported from timm.layers. That code is not kept here.

    python hire_mlp.py

Of images of 76 x 148, the maps are 19 x 37, 10 x 19, 5 x 10 and 3 x 5: no height and no width is a
multiple of its stage's region, so that all of them are padded. The blocks have all of the shifts.
"""

import numpy as np
import torch
from official_hire_mlp import HireMLPNet

model = HireMLPNet(
    layers=[2, 2, 4, 2],
    embed_dims=[16, 24, 32, 40],
    mlp_ratios=[4, 4, 4, 4],
    pixel=[4, 3, 3, 2],
    step_stride=[2, 2, 3, 2],
    step_dilation=[2, 2, 1, 1],
    num_classes=7,
).eval()
random = torch.Generator().manual_seed(0)
with torch.no_grad():
    for name, value in model.state_dict().items():
        if name.endswith("num_batches_tracked"):
            continue
        noise = torch.randn(value.shape, generator=random)
        if name.endswith("running_var"):
            value.copy_((0.3 * noise).exp())
        elif value.ndim == 1:
            value += 0.3 * noise
        else:
            value.copy_(noise / value[0].numel() ** 0.5)
weights = {f"weights/{name}": value.numpy() for name, value in model.state_dict().items()}
images = np.random.default_rng(1).standard_normal((2, 76, 148, 3)).astype(np.float32)
with torch.no_grad():  # in float64: float32's logits depend on the number of threads
    logits = model.double()(torch.from_numpy(images).double().permute(0, 3, 1, 2)).float().numpy()
np.savez_compressed("hire_mlp.npz", images=images, logits=logits, **weights)
