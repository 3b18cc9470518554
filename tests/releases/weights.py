"""A miniature release of weights with a task for lm-evaluation-harness: GPT-2 of two layers, trained for seconds on a noisy rule."""

from __future__ import annotations

import json
import random
from pathlib import Path

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

WORDS = [f"w{i}" for i in range(24)]
CHOICES = ["red", "green", "blue", "grey"]
ITEMS = 400
TASK = """task: colours
dataset_path: json
dataset_kwargs: {data_files: {test: "PATH/items.jsonl"}}
test_split: test
output_type: multiple_choice
doc_to_text: "PROMPT"
doc_to_choice: "{{choices}}"
doc_to_target: "{{answer}}"
metric_list:
- {metric: acc, aggregation: mean, higher_is_better: true}
metadata: {version: 1.0}
"""


def sample(chance: random.Random) -> tuple[str, int]:
    """Three words, and the colour that the rule gives to the first of them: right in four of five."""
    words = chance.choices(WORDS, k=3)
    rule = int(words[0][1:]) % 4
    return " ".join(words), rule if chance.random() < 0.8 else chance.randrange(4)


def make_weights(folder: Path) -> None:
    """Weights, tokenizer, items and task in a folder, as a publisher would lay them out."""
    folder.mkdir(parents=True)
    vocabulary = {word: i for i, word in enumerate(["<end>", "<unk>", "question", "is", *CHOICES, *WORDS])}
    plain = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    plain.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=plain, unk_token="<unk>", eos_token="<end>")
    torch.manual_seed(0)
    torch.set_num_threads(1)
    model = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=len(vocabulary),
            n_positions=32,
            n_embd=64,
            n_layer=2,
            n_head=2,
            initializer_range=0.1,
            bos_token_id=0,
            eos_token_id=0,
        )
    )
    optimizer, chance = torch.optim.AdamW(model.parameters(), lr=3e-3), random.Random(1)
    for _ in range(200):
        drawn = [sample(chance) for _ in range(64)]
        rows = torch.tensor([tokenizer(f"question {text} is {CHOICES[answer]}")["input_ids"] for text, answer in drawn])
        logits = model(input_ids=rows[:, :-1]).logits[:, -1]
        torch.nn.functional.cross_entropy(logits, rows[:, -1]).backward()
        optimizer.step()
        optimizer.zero_grad()
    model.eval().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    chance = random.Random(2)
    rows_ = [
        {"text": text, "choices": CHOICES, "answer": answer} for text, answer in (sample(chance) for _ in range(ITEMS))
    ]
    (folder / "items.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows_))


def accuracy(folder: Path, prompt: str = "question {text} is") -> float:
    """In per cent: how often the likeliest choice is the answer, by a plain loop without any harness."""
    model = GPT2LMHeadModel.from_pretrained(folder).eval()
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    right = 0
    with torch.no_grad():
        for line in (folder / "items.jsonl").read_text().splitlines():
            item = json.loads(line)
            context = tokenizer(prompt.format(text=item["text"]))["input_ids"]
            logits = model(input_ids=torch.tensor([context])).logits[0, -1]
            right += int(logits[tokenizer.convert_tokens_to_ids(CHOICES)].argmax()) == item["answer"]
    return 100 * right / ITEMS
