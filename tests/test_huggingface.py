"""The Hugging Face adapter, with tiny transformers that start from random weights."""

from __future__ import annotations

import copy
import warnings

import pytest
import torch

from conftest import seeded
from noiseproof import losses
from noiseproof.errors import InputError
from noiseproof.integrations.huggingface import causal_loss, compute_loss

transformers = pytest.importorskip("transformers")

SIZES = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}


def encoder(task: str, classes: int = 3) -> torch.nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = transformers.BertConfig(vocab_size=50, num_labels=classes, max_position_embeddings=32, **SIZES)
        return getattr(transformers, f"BertFor{task}")(config).eval()


def language_model() -> torch.nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = transformers.LlamaConfig(vocab_size=50, max_position_embeddings=32, num_key_value_heads=2, **SIZES)
        return transformers.LlamaForCausalLM(config).eval()


def tokens(rows: int, length: int = 8, seed: int = 1) -> torch.Tensor:
    return torch.randint(50, (rows, length), generator=seeded(seed))


def gradients(model: torch.nn.Module) -> list[torch.Tensor]:
    return [parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None]


def test_with_ce_it_equals_the_models_own_loss():
    model, ids = encoder("SequenceClassification"), tokens(6)
    labels = torch.tensor([0, 1, 2, 0, 1, 2])
    torch.testing.assert_close(compute_loss("ce")(model(ids), labels), model(ids, labels=labels).loss)
    labels = tokens(6) % 3
    labels[:, 5:] = -100
    model = encoder("TokenClassification")
    torch.testing.assert_close(compute_loss("ce")(model(ids), labels), model(ids, labels=labels).loss)


def test_causal_labels_are_shifted_as_the_model_shifts_them():
    model, ids = language_model(), tokens(4)
    labels = ids.clone()
    labels[:, :3] = -100
    ours = compute_loss("ce", shift_labels=True)(model(ids), labels)
    torch.testing.assert_close(ours, model(ids, labels=labels).loss)


@pytest.mark.parametrize("text", ["ce", "nce + amse(a=30)", "5*nce + 5*nnce"])
def test_accumulated_gradients_equal_one_big_batch(text):
    ids = tokens(8)
    labels = ids.clone()
    labels[::2, 4:] = -100  # micro-batches with different numbers of labels
    whole, parts = language_model(), language_model()
    items = (labels[:, 1:] != -100).sum()
    function = compute_loss(text, shift_labels=True)
    function(whole(ids), labels, items).backward()
    for rows in (slice(0, 1), slice(1, 5), slice(5, 8)):
        function(parts(ids[rows]), labels[rows], items).backward()
    for one, other in zip(gradients(whole), gradients(parts), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("text", ["ce", "nce + amse(a=30)", "gce(q=0.7)"])
def test_the_fused_head_equals_the_head_with_its_logits(text):
    ids = tokens(4)
    labels = ids.clone()
    labels[:, :2] = -100
    plain, fused = language_model(), language_model()
    value = compute_loss(text, shift_labels=True)(plain(ids), labels)
    value.backward()
    ours = causal_loss(text, fused, {"input_ids": ids, "labels": labels})
    ours.backward()
    torch.testing.assert_close(ours, value, rtol=1e-5, atol=1e-6)
    for one, other in zip(gradients(plain), gradients(fused), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def test_the_trainer_trains_with_it_on_noisy_labels(tmp_path):
    ids, labels = tokens(64), tokens(64)[:, 0] % 2
    given = torch.where(torch.rand(64, generator=seeded(3)) < 0.2, 1 - labels, labels)
    rows = [{"input_ids": row, "labels": label} for row, label in zip(ids, given, strict=True)]
    model = encoder("SequenceClassification", 2)
    before = copy.deepcopy(model.state_dict())
    arguments = transformers.TrainingArguments(
        tmp_path, num_train_epochs=2, per_device_train_batch_size=8, gradient_accumulation_steps=2, report_to=[],
        use_cpu=True, save_strategy="no", disable_tqdm=True, logging_strategy="no", dataloader_pin_memory=False, seed=0,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # transformers' own
        trainer = transformers.Trainer(
            model, arguments, train_dataset=rows, compute_loss_func=compute_loss(losses.parse("nce + amse(a=30)"))
        )
        result = trainer.train()
    assert torch.tensor(result.training_loss).isfinite()
    assert any(not torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_an_output_without_logits_is_refused():
    with pytest.raises(InputError, match="must hold `logits`"):
        compute_loss("ce")({"loss": 1.0}, torch.tensor([0]))
