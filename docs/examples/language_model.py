"""A language model that learns from wrong answers: sums modulo 10, `a + b =`, with a share of the answers wrong.

    python docs/examples/language_model.py --loss ce
    python docs/examples/language_model.py --loss gce

A one-layer GPT-2 is trained on the 400 questions and their given answers; the loss counts on the answer alone. Printed
is the share of all 100 questions that it answers with the true sum.
"""

from __future__ import annotations

import argparse

import torch
from transformers import GPT2Config, GPT2LMHeadModel

from noiseproof import noise
from noiseproof.integrations.huggingface import causal_loss

CLASSES = 10


def train(loss: str, wrong: float, steps: int, seed: int) -> GPT2LMHeadModel:
    """The model after `steps` batches of 64."""
    torch.manual_seed(seed)
    questions = torch.randint(CLASSES, (400, 2))
    answers = noise.corrupt(questions.sum(1) % CLASSES, f"symmetric({wrong})", num_classes=CLASSES, seed=seed).labels
    tokens = torch.cat([questions, torch.from_numpy(answers)[:, None]], 1)
    labels = tokens.clone()
    labels[:, :2] = -100  # the question is not learned

    size = {"n_embd": 64, "n_layer": 1, "n_head": 2, "resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
    model = GPT2LMHeadModel(GPT2Config(vocab_size=CLASSES, n_positions=3, bos_token_id=None, eos_token_id=None, **size))
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(steps):
        batch = torch.randint(len(tokens), (64,))
        optimizer.zero_grad()
        causal_loss(loss, model, {"input_ids": tokens[batch], "labels": labels[batch]}).backward()
        optimizer.step()
    return model


@torch.no_grad()
def accuracy(model: GPT2LMHeadModel) -> float:
    """Share of the 100 questions with the right answer, in percent."""
    digits = torch.arange(CLASSES)
    questions = torch.cartesian_prod(digits, digits)
    answers = model(questions).logits[:, -1].argmax(1)
    return 100 * (answers == questions.sum(1) % CLASSES).double().mean().item()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--loss", default="gce")
    parser.add_argument("--wrong", type=float, default=0.4, help="share of wrong answers")
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    reached = accuracy(train(given.loss, given.wrong, given.steps, given.seed))
    print(f"{given.loss}: {reached:.0f} % of the sums are right")
