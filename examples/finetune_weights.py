"""Write ``weights/digits_0_4.safetensors``, which finetune.py starts from: needs PyTorch, and was run once.

    python examples/finetune_weights.py

A small network learns the digits 0 to 4 of scikit-learn's 1,797 scans, each batch shifted by up to a pixel, with PyTorch's own
layers and optimiser. The file holds its state dict, and eight scans with the logits that PyTorch computes for them.
"""

from __future__ import annotations

import sys
from pathlib import Path

from common import required

WEIGHTS = Path(__file__).parent / "weights" / "digits_0_4.safetensors"


def main() -> int:
    """Train and write; 0 where it read 99 % of the scans that it learned from."""
    torch = required("torch")
    scans, digits = required("sklearn.datasets").load_digits(return_X_y=True)
    early = digits < 5
    images = torch.tensor(scans[early].reshape(-1, 1, 8, 8) / 16, dtype=torch.float32)
    classes = torch.tensor(digits[early])
    torch.manual_seed(0)
    nn = torch.nn
    model = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(128, 64),
        nn.ReLU(),
        nn.Linear(64, 5),
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.02)
    for _ in range(30):
        for batch in torch.randperm(len(classes)).split(32):
            i, j = torch.randint(0, 3, (2,)).tolist()
            shifted = nn.functional.pad(images[batch], (1, 1, 1, 1))[:, :, i : i + 8, j : j + 8]
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(shifted), classes[batch]).backward()
            optimizer.step()
    with torch.no_grad():
        rate = float((model(images).argmax(1) == classes).float().mean())
        check = {"check.images": images[:8].clone(), "check.logits": model(images[:8])}
    WEIGHTS.parent.mkdir(exist_ok=True)
    made = f"examples/finetune_weights.py, PyTorch {torch.__version__.partition('+')[0]}, scikit-learn's digits 0 to 4"
    required("safetensors.torch").save_file({**model.state_dict(), **check}, str(WEIGHTS), metadata={"made by": made})
    print(f"{100 * rate:.2f} % of the scans to learn from are read right; wrote {WEIGHTS.name}")
    return 0 if rate >= 0.99 else 1


if __name__ == "__main__":
    sys.exit(main())
