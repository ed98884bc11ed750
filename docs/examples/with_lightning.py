"""A LightningModule with a robust loss.

pip install lightning && python docs/examples/with_lightning.py
"""

import lightning
import torch
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, TensorDataset

from noiseproof import losses, noise


class Classifier(lightning.LightningModule):
    def __init__(self, loss: str = "nce + amse(a=30)") -> None:
        super().__init__()
        self.model = torch.nn.Sequential(torch.nn.Linear(64, 128), torch.nn.ReLU(), torch.nn.Linear(128, 10))
        self.loss = losses.parse(loss)

    def training_step(self, batch, _):
        x, y = batch
        return self.loss(self.model(x), y)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.05, momentum=0.9)


def main(epochs=10):
    digits = load_digits()
    x, clean = torch.tensor(digits.data / 16).float(), torch.tensor(digits.target)
    given = torch.as_tensor(noise.corrupt(clean[:1200], "symmetric(0.4)", num_classes=10, seed=1).labels)
    loader = DataLoader(TensorDataset(x[:1200], given), batch_size=64, shuffle=True)
    lightning.seed_everything(1, verbose=False)
    classifier = Classifier()
    trainer = lightning.Trainer(
        max_epochs=epochs, gradient_clip_val=5.0, accelerator="cpu", logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(classifier, loader)
    with torch.no_grad():
        return 100 * (classifier.model(x[1200:]).argmax(1) == clean[1200:]).float().mean().item()


if __name__ == "__main__":
    print(f"{main():.1f} % of the test digits")
