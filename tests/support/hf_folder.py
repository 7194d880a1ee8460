"""A small Llama with random weights as publishers share models; run by the converter's Python.

`python hf_folder.py FOLDER`: it needs PyTorch, transformers and sentencepiece, which Cloister's own
environment has not.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

TOKENIZER = {
    "tokenizer_class": "LlamaTokenizer",
    "bos_token": "<s>",
    "eos_token": "</s>",
    "unk_token": "<unk>",
    "add_bos_token": True,
    "chat_template": "{% for m in messages %}[{{ m['role'] }}] {{ m['content'] }}\n{% endfor %}",
}
SIZES = {
    "vocab_size": 600,
    "hidden_size": 256,
    "intermediate_size": 512,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 1024,
    "bos_token_id": 1,
    "eos_token_id": 2,
}


def write_tokenizer(folder: Path) -> None:
    """Train a vocabulary on made-up lines."""
    import sentencepiece

    lines = [f"the user said line {n} of words abc{n} xyz{n * 7}" for n in range(3000)]
    with tempfile.TemporaryDirectory() as aside:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(lines),
            model_prefix=f"{aside}/tokenizer",
            vocab_size=SIZES["vocab_size"],
            model_type="bpe",
            byte_fallback=True,
            minloglevel=2,
        )
        (folder / "tokenizer.model").write_bytes(Path(aside, "tokenizer.model").read_bytes())
    (folder / "tokenizer_config.json").write_text(json.dumps(TOKENIZER))


def write_weights(folder: Path) -> None:
    """Write configuration and weights, in several files."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(1)
    model = LlamaForCausalLM(LlamaConfig(**SIZES)).to(torch.float16)
    model.save_pretrained(folder, max_shard_size="1MB")


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.mkdir(parents=True)
    write_weights(target)
    write_tokenizer(target)
