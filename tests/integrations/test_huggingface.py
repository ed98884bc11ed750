"""The Hugging Face adapter, with tiny transformers that start from random weights."""

from __future__ import annotations

import warnings

import pytest
import torch

from conftest import seeded
from noiseproof import losses
from noiseproof.errors import InputError
from noiseproof.integrations.huggingface import causal_loss, compute_loss

transformers = pytest.importorskip("transformers")

transformers.utils.logging.set_verbosity_error()
SIZES = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}


def encoder(task: str, classes: int = 3) -> torch.nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        still = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
        config = transformers.BertConfig(
            vocab_size=50, num_labels=classes, max_position_embeddings=32, **SIZES, **still
        )  # fmt: skip
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


class RobustTrainer(transformers.Trainer):
    """As the documentation writes it."""

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        if return_outputs:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        return causal_loss("nce + amse(a=30)", model, inputs, num_items_in_batch)


def trained(model, rows, folder, *, batch=8, accumulate=1, trainer=transformers.Trainer, **options):
    """The Trainer after two steps of SGD on the CPU."""
    arguments = transformers.TrainingArguments(
        folder, max_steps=2, optim="sgd", learning_rate=0.5, lr_scheduler_type="constant", report_to=[], use_cpu=True,
        per_device_train_batch_size=batch, gradient_accumulation_steps=accumulate, save_strategy="no", seed=0,
        disable_tqdm=True, logging_strategy="no", dataloader_pin_memory=False,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # transformers' own
        made = trainer(model, arguments, train_dataset=rows, eval_dataset=rows, **options)
        made.train()
    return made


def examples(task: str, count: int = 16) -> list[dict[str, torch.Tensor]]:
    """Token ids with noisy labels: one a sequence, one a token, or the tokens themselves; some are left out."""
    ids = tokens(count)
    wrong = torch.rand(ids.shape, generator=seeded(3)) < 0.2
    labels = {"CausalLM": ids.clone(), "TokenClassification": torch.where(wrong, ids + 1, ids) % 3}.get(
        task, ids[:, 0] % 3
    )
    if labels.dim() == 2:
        labels[::2, 5:] = -100
    return [{"input_ids": row, "labels": label} for row, label in zip(ids, labels, strict=True)]


def model_for(task: str) -> torch.nn.Module:
    return language_model() if task == "CausalLM" else encoder(task)


def assert_equal_parameters(one, other, tolerance):
    for mine, theirs in zip(one.model.parameters(), other.model.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("task", ["SequenceClassification", "TokenClassification", "CausalLM"])
def test_the_trainer_accumulates_gradients_as_if_in_one_big_batch(task, tmp_path):
    rows, function = examples(task), compute_loss("nce + amse(a=30)", shift_labels=task == "CausalLM")
    before = model_for(task)
    whole = trained(model_for(task), rows, tmp_path, compute_loss_func=function)
    parts = trained(model_for(task), rows, tmp_path, batch=2, accumulate=4, compute_loss_func=function)
    assert_equal_parameters(whole, parts, 1e-6)
    moved = [not torch.equal(a, b) for a, b in zip(before.parameters(), whole.model.parameters(), strict=True)]
    assert sum(moved) > len(moved) / 2


def test_the_trainer_with_the_fused_head_trains_and_evaluates_the_same(tmp_path):
    rows, function = examples("CausalLM"), compute_loss("nce + amse(a=30)", shift_labels=True)
    plain = trained(language_model(), rows, tmp_path, compute_loss_func=function)
    fused = trained(
        language_model(), rows, tmp_path, batch=4, accumulate=2, trainer=RobustTrainer, compute_loss_func=function
    )
    assert_equal_parameters(plain, fused, 1e-5)
    assert fused.evaluate()["eval_loss"] == pytest.approx(plain.evaluate()["eval_loss"], rel=1e-5)


def capped(model: torch.nn.Module, cap: float) -> torch.nn.Module:
    """The language model with something behind its head, under no name that a configuration has."""
    usual = model.forward

    def forward(*args, **named):
        outputs = usual(*args, **named)
        outputs.logits = cap * torch.tanh(outputs.logits / cap)
        return outputs

    model.forward = forward
    return model


@pytest.mark.parametrize("cap", [2.0, 50.0])  # that of 50 changes the small logits of an untrained model by no digit
def test_a_model_whose_logits_are_not_its_heads_is_refused(cap):
    ids = tokens(2)
    with pytest.raises(InputError, match="logits of LlamaForCausalLM are not its head's output"):
        causal_loss("ce", capped(language_model(), cap), {"input_ids": ids, "labels": ids})
    with pytest.raises(InputError, match=r"plain \.\.\.ForCausalLM"):
        causal_loss("ce", torch.nn.Linear(2, 2), {"input_ids": ids, "labels": ids})


def test_a_head_with_layers_in_front_of_it_gives_the_models_own_loss():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = transformers.BertConfig(vocab_size=50, max_position_embeddings=32, is_decoder=True, **SIZES)
        model = transformers.BertLMHeadModel(config).eval()
    ids = tokens(3)
    expected = compute_loss("ce", shift_labels=True)(model(ids), ids)
    torch.testing.assert_close(causal_loss("ce", model, {"input_ids": ids, "labels": ids}), expected)


def with_lora() -> torch.nn.Module:
    peft = pytest.importorskip("peft")
    return peft.get_peft_model(
        language_model(), peft.LoraConfig(task_type=peft.TaskType.CAUSAL_LM, r=2, lora_dropout=0.0)
    )


@pytest.mark.filterwarnings("ignore::FutureWarning")  # between peft and transformers
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_lora_trains_through_the_fused_head_in_any_precision(precision):
    plain, fused, ids = with_lora(), with_lora(), tokens(3)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision is torch.bfloat16):
        value = compute_loss("nce + amse(a=30)", shift_labels=True)(plain(input_ids=ids), ids)
        ours = causal_loss("nce + amse(a=30)", fused, {"input_ids": ids, "labels": ids})
    value.backward()
    ours.backward()
    torch.testing.assert_close(ours, value, rtol=1e-5 if precision is torch.float32 else 2e-2, atol=1e-6)
    assert len(gradients(fused)) == len(gradients(plain)) > 0


def test_a_compiled_model_gives_the_same_loss_and_is_compiled_once():
    model, ids = language_model(), tokens(3)
    expected = causal_loss("ce", model, {"input_ids": ids, "labels": ids})
    count = [0]

    def backend(graph, inputs):
        count[0] += 1
        return graph.forward

    compiled = torch.compile(model, backend=backend)
    first = causal_loss("ce", compiled, {"input_ids": ids, "labels": ids})
    graphs = count[0]
    second = causal_loss("ce", compiled, {"input_ids": ids, "labels": ids})
    torch.testing.assert_close(first, expected)
    torch.testing.assert_close(second, expected)
    assert count[0] == graphs > 0


def test_a_count_for_two_gpus_without_torchrun_gives_half_of_what_the_trainer_doubles():
    logits, labels = torch.randn(4, 3, generator=seeded(1)), torch.tensor([0, 1, 2, 0])
    one = compute_loss("gce")({"logits": logits}, labels, torch.tensor(4))
    two = compute_loss("gce")({"logits": logits}, labels, torch.tensor([[4], [4]]))
    assert two.shape == ()
    torch.testing.assert_close(2 * two, one)


def test_soft_labels_and_several_labels_a_sample():
    logits = torch.randn(4, 3, generator=seeded(1))
    soft = torch.rand(4, 3, generator=seeded(2)).softmax(1)
    torch.testing.assert_close(compute_loss("gce")({"logits": logits}, soft), losses.parse("gce")(logits, soft))
    marks, sigmoid = (soft > 0.3).long(), losses.SigmoidLoss("gce")
    torch.testing.assert_close(compute_loss(sigmoid)({"logits": logits}, marks), sigmoid(logits, marks.float()))


def test_the_robust_trainers_eval_loss_is_its_training_loss(tmp_path):
    from noiseproof.integrations.huggingface import HealthCallback
    from noiseproof.integrations.huggingface import RobustTrainer as Trainer

    rows, loss = examples("CausalLM"), losses.parse("nce + amse(a=30)")
    arguments = transformers.TrainingArguments(
        tmp_path, max_steps=2, learning_rate=0.1, report_to=[], use_cpu=True, save_strategy="no", disable_tqdm=True,
        logging_steps=1, per_device_train_batch_size=8, dataloader_pin_memory=False,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # transformers' own
        trainer = Trainer(
            loss, language_model(), arguments, train_dataset=rows, eval_dataset=rows, callbacks=[HealthCallback(loss)],
        )  # fmt: skip
        trainer.train()
        found = trainer.evaluate()["eval_loss"]
    ids, labels = (torch.stack([row[name] for row in rows]) for name in ("input_ids", "labels"))
    expected = compute_loss(loss, shift_labels=True)(trainer.model.eval()(ids), labels)
    assert found == pytest.approx(expected.item(), rel=0.05)  # batches hold different numbers of labels
    assert any("health_fitted" in row for row in trainer.state.log_history)


def test_what_the_trainer_cannot_count_is_refused():
    with pytest.raises(InputError, match="not -100; got ignore_index=-1"):
        compute_loss(losses.parse("ce", ignore_index=-1))
    with pytest.raises(InputError, match="no `labels`"):
        compute_loss("ce")({"logits": torch.zeros(2, 3)}, None)
    with pytest.raises(InputError, match="do not fit logits"):
        compute_loss("ce")({"logits": torch.zeros(2, 3)}, torch.zeros(2, 4))


def test_an_output_without_logits_is_refused():
    with pytest.raises(InputError, match="must hold `logits`"):
        compute_loss("ce")({"loss": 1.0}, torch.tensor([0]))


def test_probabilities_as_labels_are_divided_by_samples_not_by_numbers(tmp_path):
    rows = [{**row, "labels": torch.eye(3)[row["labels"]]} for row in examples("SequenceClassification")]
    hard = trained(
        model_for("SequenceClassification"),
        examples("SequenceClassification"),
        tmp_path,
        compute_loss_func=compute_loss("ce"),
    )
    soft = trained(model_for("SequenceClassification"), rows, tmp_path, compute_loss_func=compute_loss("ce"))
    assert_equal_parameters(hard, soft, 1e-6)


def test_marks_of_several_labels_and_numbers_of_a_regression_are_no_probabilities():
    model, ids = encoder("SequenceClassification"), tokens(2)
    with pytest.raises(InputError, match=r"sample 1 of the batch add up to 2; .*SigmoidLoss"):
        compute_loss("ce")(model(ids), torch.tensor([[0.0, 1.0, 0.0], [1.0, 1.0, 0.0]]))
    with pytest.raises(InputError, match="give class indices"):
        compute_loss("ce")(model(ids), torch.tensor([0.5, 1.5]))


def test_the_arguments_label_smoothing_is_the_losss(tmp_path):
    from noiseproof.integrations.huggingface import RobustTrainer

    arguments = transformers.TrainingArguments(tmp_path, label_smoothing_factor=0.1, use_cpu=True, report_to=[])
    model = model_for("SequenceClassification")
    assert RobustTrainer("gce(q=0.7)", model, arguments).robust_loss.label_smoothing == 0.1
    with pytest.raises(InputError, match="differ; give one"):
        RobustTrainer(losses.parse("ce", label_smoothing=0.2), model, arguments)


def test_a_sequence_to_sequence_model_gets_the_inputs_of_its_decoder(tmp_path):
    from noiseproof.integrations.huggingface import RobustTrainer

    with torch.random.fork_rng():
        torch.manual_seed(0)
        sizes = {"d_model": 16, "d_ff": 32, "num_layers": 1, "num_heads": 2, "d_kv": 8}
        config = transformers.T5Config(vocab_size=50, decoder_start_token_id=0, dropout_rate=0.0, **sizes)
        model = transformers.T5ForConditionalGeneration(config).eval()
    batch = {"input_ids": tokens(2), "labels": tokens(2, seed=2)}
    arguments = transformers.TrainingArguments(tmp_path, use_cpu=True, report_to=[])
    value = RobustTrainer("ce", model, arguments).compute_loss(model, dict(batch))
    torch.testing.assert_close(value, model(**batch).loss)
