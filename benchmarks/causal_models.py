#!/usr/bin/env python3
"""Survey of `causal_loss`: every causal language model of the installed transformers, tiny and with random weights.

    .venv/bin/python benchmarks/causal_models.py

For each class of AutoModelForCausalLM a configuration of two layers is made from its default by the names of its
sizes. `causal_loss("ce", ...)` must be the cross-entropy of the model's own logits, or refuse the model by name.
Writes causal_models.json: equal, refused, other (silently another loss), and not built, with the reason.
"""

from __future__ import annotations

import json
import re
import signal
import time
import warnings
from pathlib import Path
from typing import Any

import torch
import transformers

from noiseproof.errors import InputError
from noiseproof.integrations.huggingface import causal_loss, compute_loss

OUT = Path(__file__).with_suffix(".json")
LARGEST = 100_000_000  # parameters
SECONDS = 30  # a try
IDS = torch.randint(3, 90, (2, 10), generator=torch.Generator().manual_seed(0))
SIZES = {  # by patterns of the names of a configuration's numbers; the first that matches
    r"vocab_size|vocab_size_per_layer_input": 99,
    r"num_key_value_heads|num_kv_heads|n_kv_heads|multi_query_group_num": 2,
    r".*(num|n)_.*heads?|n_head|num_heads|.*attention_heads|n_heads": 4,
    r"num_experts_per_tok|moe_topk|top_k_experts|num_experts_per_token|moe_top_k|n_group|topk_group|moe_k": 1,
    r".*num_(local_|routed_)?experts|n_routed_experts|moe_num_experts|num_local_experts": 4,
    r"n_shared_experts|num_shared_experts|first_k_dense_replace|moe_num_shared_experts": 1,
    r"num_hidden_layers|n_layers?|num_layers|(de|en)coder_layers|num_decoder_layers|num_hidden_groups": 2,
    r"hidden_size|d_model|n_embd|dim|model_dim|embedding_size|word_embed_proj_dim|emb_dim|lru_width": 32,
    r"intermediate_size|.*ffn_dim|n_inner|d_ff|.*intermediate_size|ffn_hidden_size|decoder_ffn_dim": 64,
    r"head_dim|v_head_dim|d_head|attention_head_dim|kv_channels|d_kv": 8,
    r"qk_rope_head_dim|qk_nope_head_dim|rotary_dim": 4,
    r"kv_lora_rank|q_lora_rank|hidden_size_per_layer_input|laurel_rank": 8,
    r"max_position_embeddings|n_positions|n_ctx|max_seq_len|max_sequence_length|seq_length": 64,
    r"(pad|bos|eos|sep|decoder_start|mask|cls)_token_id": 1,
    r"sliding_window|attention_window_size|attn_window_size|window_size": 16,
}
VARIANTS: tuple[dict[str, Any], ...] = (  # further values, where a model does not take the sizes alone
    {},
    {"num_key_value_heads": 4},
    {"num_key_value_heads": 4, "head_dim": 8},
    {"num_key_value_heads": 4, "head_dim": 4},
    {"num_key_value_heads": 4, "head_dim": 4, "index_head_dim": 8, "n_group": 1, "topk_group": 1},
    {"layer_types": ["full_attention"] * 2, "head_dim": 8, "num_key_value_heads": 4},
    {"attention_types": [[["global", "local"], 1]]},
    {"num_heads": 8, "head_dim": 8},
    {"is_decoder": True},
    {"default_language": "en_XX"},
    {"n_group": 1, "topk_group": 1, "num_experts_per_tok": 2},
)
_TORCHVISION = torch.library.Library("torchvision", "DEF")  # its CPU build lacks two operators; some models import it
for _operator in ("nms", "qnms"):
    _TORCHVISION.define(f"{_operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")


def main() -> None:
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

    warnings.simplefilter("ignore")
    transformers.utils.logging.set_verbosity_error()
    started, found = time.process_time(), dict[str, dict[str, str]]()
    classes = {}
    for config in MODEL_FOR_CAUSAL_LM_MAPPING:
        for model in as_tuple(MODEL_FOR_CAUSAL_LM_MAPPING[config]):
            classes.setdefault(model.__name__, (model, config))
    for name, (model, config) in sorted(classes.items()):
        verdict, why = surveyed(model, config)
        found.setdefault(verdict, {})[name] = why
        print(f"{verdict:10} {name} {why}", flush=True)
    counts = {verdict: len(names) for verdict, names in sorted(found.items())}
    versions = {"transformers": transformers.__version__, "torch": torch.__version__}
    result = {"counts": counts, "versions": versions, "on": time.strftime("%Y-%m-%d")}
    result |= {"cpu_seconds": round(time.process_time() - started), "models": found}
    OUT.write_text(json.dumps(result, indent=1) + "\n")
    print(counts)


def surveyed(model: type[Any], config: type[Any]) -> tuple[str, str]:
    config, first = getattr(model, "config_class", None) or config, ""
    for variant in VARIANTS:
        signal.alarm(SECONDS)
        try:
            made = built(model, small(config, variant))
            with torch.no_grad():
                own = compute_loss("ce", shift_labels=True)(made(input_ids=IDS, use_cache=False), IDS).item()
            return compared(made, own)
        except Exception as error:
            first = first or shortened(error)
        finally:
            signal.alarm(0)
    return "not built", first


def compared(model: Any, own: float) -> tuple[str, str]:
    """The verdict on a model whose own logits have the loss `own`."""
    try:
        ours = causal_loss("ce", model, {"input_ids": IDS, "labels": IDS, "use_cache": False}).item()
    except InputError as error:
        return "refused", str(error).partition(";")[0]
    except Exception as error:
        return "failed", shortened(error)
    return ("equal", "") if abs(ours - own) <= 1e-3 * abs(own) else ("other", f"{ours:.5f}, its logits' {own:.5f}")


def small(config: type[Any], variant: dict[str, Any]) -> Any:
    """The configuration with small sizes and a variant's values, those of its parts included."""
    default = config()
    changed: dict[str, Any] = {}
    for name, value in vars(default).items():
        if name in getattr(config, "sub_configs", {}) and hasattr(value, "to_dict"):
            changed[name] = small(type(value), variant)
        elif isinstance(value, int) and not isinstance(value, bool):
            size = next((size for pattern, size in SIZES.items() if re.fullmatch(pattern, name)), None)
            if size is not None:
                changed[name] = min(size, value) if value > 0 else value
    return config(**changed | {name: value for name, value in variant.items() if hasattr(default, name)})


def built(model: type[Any], config: Any) -> Any:
    with torch.device("meta"):
        count = sum(weight.numel() for weight in model(config).parameters())
    if count > LARGEST:
        raise ValueError(f"{count:,} parameters with these sizes")
    torch.manual_seed(1)
    made = model(config).eval()
    with torch.no_grad():
        for weight in made.parameters():
            if weight.is_floating_point():
                weight.add_(0.1 * torch.randn_like(weight))
    return made


def shortened(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0][:120]}"


def as_tuple(one: Any) -> tuple[Any, ...]:
    return one if isinstance(one, tuple) else (one,)


def out_of_time(*_: object) -> None:
    raise TimeoutError(f"more than {SECONDS} s")


if __name__ == "__main__":
    signal.signal(signal.SIGALRM, out_of_time)
    main()
