"""The control: Lightning's own callbacks still do to a frozen backbone what `test_frozen.py` rules out.

Should one of these tests fail, Lightning has mended it: then say so in docs/design.md, and drop the test.
"""

import pytest
import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from pytorch_lightning.callbacks import BackboneFinetuning, BaseFinetuning
from torch import nn
from torch.utils.data import DataLoader


class Plain(pl.LightningModule):
    """A backbone with a batch norm, and a head."""

    def __init__(self):
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1))
        self.head = nn.Linear(4, 3)

    def training_step(self, batch, batch_idx):
        images, labels = batch
        return F.cross_entropy(self.head(self.backbone(images).flatten(1)), labels)

    def configure_optimizers(self):
        return torch.optim.AdamW([p for p in self.parameters() if p.requires_grad], lr=0.01)


class WithoutNorms(BaseFinetuning):
    """The backbone frozen for good, its norms too, as Lightning's documentation does it."""

    def freeze_before_training(self, pl_module):
        self.freeze(pl_module.backbone, train_bn=False)

    def finetune_function(self, pl_module, epoch, optimizer):
        pass


@pytest.fixture
def fitted():
    """Train under a callback; returns the module, what its backbone held before, and pictures."""

    def fitted(callback):
        torch.manual_seed(0)
        module = Plain()
        before = {name: value.clone() for name, value in module.backbone.state_dict().items()}
        images, labels = torch.rand(6, 3, 8, 8), torch.tensor([0, 1, 2] * 2)
        trainer = pl.Trainer(
            max_epochs=2,
            accelerator="cpu",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            callbacks=[callback],
        )
        trainer.fit(module, DataLoader([*zip(images, labels, strict=True)], batch_size=3))
        return module, before, images

    return fitted


def test_backbone_finetuning_moves_norms_of_a_frozen_backbone(fitted):
    # `train_bn=False` speaks of the thaw: before it, `freeze_before_training` leaves norms their default, to train.
    module, before, images = fitted(BackboneFinetuning(unfreeze_backbone_at_epoch=10, train_bn=False))
    after = module.backbone.state_dict()
    moved = {name for name, value in before.items() if not torch.equal(value, after[name])}
    assert moved == {"1.weight", "1.bias", "1.running_mean", "1.running_var", "1.num_batches_tracked"}
    with torch.no_grad():
        training, evaluated = module.train().backbone(images), module.eval().backbone(images)
    assert not torch.allclose(training, evaluated, atol=0.01)


def test_base_finetuning_normalises_a_frozen_backbone_by_the_batch(fitted):
    # `freeze(train_bn=False)` keeps the statistics by not looking at them: training sees features that evaluation,
    # which does look at them, never gives.
    module, before, images = fitted(WithoutNorms())
    after = module.backbone.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    with torch.no_grad():
        training, evaluated = module.train().backbone(images), module.eval().backbone(images)
    assert not torch.allclose(training, evaluated, atol=0.01)
