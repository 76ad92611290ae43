"""What all four tasks promise, each checked on all four."""

import pytest
import pytorch_lightning as pl
import torch
from helpers.batches import whole
from torch.utils.data import DataLoader

from frostline.errors import FrostlineError
from frostline.freezing.callback import FrostLine
from frostline.freezing.groups import check_partition
from frostline.freezing.rates import warmup_cosine

TASKS = ["classification", "localization", "detection", "segmentation"]


def total(task, batch):
    return sum(task.criterion(task(batch["image"]), batch).values())


@pytest.mark.parametrize("name", TASKS)
def test_every_parameter_lies_in_one_group(make, name):
    task = make(name)
    check_partition(task, task.model.groups)
    assert list(task.model.groups) == ["stem", "stage1", "stage2", "stage3", "stage4", "stage5", "head"]


@pytest.mark.parametrize("name", TASKS)
def test_learns_one_batch_by_heart(make, batch, name):
    task = make(name, "schedule=full")
    optimizer = torch.optim.AdamW(task.parameters(), lr=2e-3)
    first = total(task, batch).item()
    for _ in range(25):
        optimizer.zero_grad()
        loss = total(task, batch)
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.5 * first


@pytest.mark.parametrize("name", TASKS)
def test_a_batch_without_targets_gives_finite_loss_and_gradients(make, batch, name):
    batch["boxes"] = [torch.zeros(0, 4)] * 3
    batch["box_labels"] = [torch.zeros(0, dtype=torch.long)] * 3
    batch["box_marks"] = [torch.zeros(0, dtype=torch.uint8)] * 3
    batch["mask"] = torch.full_like(batch["mask"], 255)
    task = make(name)
    loss = total(task, batch)
    loss.backward()
    assert torch.isfinite(loss)
    assert all(torch.isfinite(p.grad).all() for p in task.parameters() if p.grad is not None)


@pytest.mark.parametrize("number", [3, -1])
@pytest.mark.parametrize("name", ["classification", "localization", "detection"])
def test_a_label_beyond_the_classes_is_refused_by_its_scene(make, batch, name, number):
    # torch says "index out of range" of it, without a scene, and on a GPU the process ends.
    batch["label"][2], batch["box_labels"][2] = number, torch.tensor([number])
    task = make(name)
    with pytest.raises(FrostlineError, match=f"scene z is the class number {number}, and there are 3 classes"):
        task.training_step(batch, 0)


class Repeat(torch.utils.data.Dataset):
    def __init__(self, batch, length):
        self.batch, self.length = batch, length

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        if index >= self.length:
            raise IndexError
        return self.batch


def fit(task, batch, epochs, steps=2, **options):
    loader = DataLoader(Repeat(batch, steps), batch_size=None)
    trainer = pl.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[FrostLine(task.model), *options.pop("callbacks", [])],
        num_sanity_val_steps=0,
        **options,
    )
    trainer.fit(task, loader, loader)
    return trainer


@pytest.mark.parametrize("name", TASKS)
def test_frozen_groups_do_not_move_by_a_bit(make, batch, name):
    # The trap: BatchNorm statistics and weight decay move "frozen" layers.
    task = make(name, "schedule=frozen", "trainer.epochs=3", "optimizer.weight_decay=0.5")
    before = {k: v.clone() for k, v in task.model.backbone.state_dict().items()}
    head = {k: v.clone() for k, v in task.model.head.state_dict().items()}
    fit(task, batch, epochs=3)
    assert all(torch.equal(before[k], v) for k, v in task.model.backbone.state_dict().items())
    assert not all(torch.equal(head[k], v) for k, v in task.model.head.state_dict().items())
    task.train()
    trained, _ = task.model.backbone(batch["image"])
    task.eval()
    assert all(torch.equal(a, b) for a, b in zip(trained, task.model.backbone(batch["image"])[0], strict=True))


def test_thaw_moves_everything_after_its_boundary_and_only_then(make, batch):
    class Watch(pl.Callback):
        def __init__(self):
            self.moved = []

        def on_train_epoch_start(self, trainer, module):
            self.before = [p.clone() for p in module.model.backbone.parameters()]

        def on_train_epoch_end(self, trainer, module):
            after = module.model.backbone.parameters()
            self.moved.append(any(not torch.equal(a, b) for a, b in zip(self.before, after, strict=True)))

    watch = Watch()
    task = make("classification", "schedule=thaw", "trainer.epochs=4")
    trainer = fit(task, batch, epochs=4, callbacks=[watch])
    assert watch.moved == [False, True, True, True]  # 0.3 of 4 epochs is 1
    assert trainer.callback_metrics["trainable_share"] == 1.0
    total = sum(p.numel() for p in task.parameters())
    head = sum(p.numel() for p in task.model.head.parameters())
    assert [task.model.trainable_at(epoch) for epoch in range(4)] == [head, total, total, total]


@pytest.mark.parametrize(("norms", "moves"), [("train", True), ("keep", False)])
def test_statistics_of_thawed_norms_move_again_unless_kept(make, batch, norms, moves):
    # The trap: what was frozen stays in evaluation mode after the boundary, because Lightning restores each module's
    # mode after every validation. Then a thawed run is another run than one resumed after the boundary.
    class Watch(pl.Callback):
        def __init__(self):
            self.moved, self.modes = [], []

        def statistics(self, module):
            return [b.clone() for name, b in module.model.backbone.named_buffers() if "running" in name]

        def on_train_epoch_start(self, trainer, module):
            self.before = self.statistics(module)
            norms = [m for m in module.model.backbone.modules() if isinstance(m, torch.nn.BatchNorm2d)]
            self.modes.append({m.training for m in norms})

        def on_train_epoch_end(self, trainer, module):
            pairs = list(zip(self.before, self.statistics(module), strict=True))
            self.moved.append(all(not torch.equal(a, b) for a, b in pairs) and bool(pairs))

    watch = Watch()
    phases = f"[{{line: head, until: {{share: 0.3}}}}, {{line: stem, scale: 0.2, norms: {norms}}}]"
    initial = {name: value.clone() for name, value in make("classification").model.backbone.named_parameters()}
    task = make("classification", f"schedule.phases={phases}", "trainer.epochs=4")
    fit(task, batch, epochs=4, callbacks=[watch])
    assert watch.moved == [False, moves, moves, moves]
    assert watch.modes == [{False}, {moves}, {moves}, {moves}]
    weights = dict(task.model.backbone.named_parameters())
    assert all(not torch.equal(weights[name], value) for name, value in initial.items())


def test_rates_are_scale_times_cosine(make, batch):
    seen = []

    class Rates(pl.Callback):
        def on_train_batch_start(self, trainer, module, batch, batch_idx):
            groups = trainer.optimizers[0].param_groups
            seen.append({g["name"]: g["lr"] for g in groups})

    task = make("classification", "schedule=thaw", "trainer.epochs=4", "optimizer.lr=0.01", "rate.warmup=0.25")
    fit(task, batch, epochs=4, callbacks=[Rates()])
    assert len(seen) == 8
    for step, rates in enumerate(seen):
        base = 0.01 * warmup_cosine(step / 8, 0.25)
        assert rates["head"] == pytest.approx(base * (1.0 if step < 2 else 0.2), rel=1e-12)
        assert rates["stem"] == pytest.approx(0.0 if step < 2 else base * 0.2, rel=1e-12)


def test_cosine_starts_low_peaks_and_ends_at_zero():
    values = [warmup_cosine(i / 100, 0.1) for i in range(101)]
    assert values[0] < 0.02 and max(values) == pytest.approx(1.0) and values[-1] == pytest.approx(0.0)
    assert values.index(max(values)) == 10
    assert warmup_cosine(0.0, 0.0) == 1.0


@pytest.mark.parametrize("kind", ["classification", "localization"])
@pytest.mark.parametrize(
    ("given", "expected"), [("bfloat16", "float32"), ("float32", "float32"), ("float64", "float64")]
)
def test_probabilities_are_in_single_precision_at_least(make, kind, given, expected):
    # In sixteen bits what lies between 0.998 and 1 is one of the two.
    scores = torch.tensor([[0.0, 6.5]], dtype=getattr(torch, given))
    outputs = scores if kind == "classification" else (scores, torch.zeros(1, 4))
    (found,) = make(kind, classes=("a", "b")).predict(outputs, whole(64))
    probabilities = found.probabilities
    assert probabilities.dtype == expected
    assert probabilities[1] == pytest.approx(0.998498817, abs=1e-6)
