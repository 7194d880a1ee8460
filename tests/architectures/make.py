"""Make a small model of every architecture, and have transformers say what it computes.

    python -m tests.architectures.make

`make architectures` runs this in an environment of its own, which has PyTorch and transformers; the
tests need neither. Weights are random; the conversion is the real one.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from safetensors.torch import load_file, save_file

from models.demo.recipe import converter
from tests.architectures.made import COMPLETE, folder
from tests.architectures.shapes import SHAPES, Shape
from tests.architectures.vocabularies import add_tokens, write_vocabulary

_CONTINUED = 12  # tokens
_T5_HEAD = 16
# Numbers of tokens without a special meaning, from and to.
_PLAIN_TOKENS = {
    "bert": (1000, 30522),
    "gpt-2": (260, 50000),
    "unigram": (3, 100),
    "sentencepiece": (260, 400),
}


def main() -> int:
    """Make what is missing."""
    target = folder()
    target.mkdir(parents=True, exist_ok=True)
    if (target / COMPLETE).exists():
        return 0
    transformers.utils.logging.disable_progress_bar()
    try:
        script = converter.prepare(target / "build")
        for number, (name, shape) in enumerate(SHAPES.items(), 1):
            print(f"[{number}/{len(SHAPES)}] {name}", flush=True)
            if not (target / f"{name}.npz").exists():
                _make(name, shape, script, target)
    except subprocess.CalledProcessError as error:
        said = (error.stderr or b"").decode(errors="replace")[-2000:]
        print(f"{said}\nStopped: a program failed, and says why above.", file=sys.stderr)
        return 1
    shutil.rmtree(target / "build")
    (target / COMPLETE).touch()
    return 0


def _make(name: str, shape: Shape, script: Path, target: Path) -> None:
    transformers.set_seed(len(name))
    model = shape.make().eval()
    _scatter(model)
    with tempfile.TemporaryDirectory(dir=target) as temporary:
        source = Path(temporary) / name
        source.mkdir()
        model.save_pretrained(source)
        write_vocabulary(shape.vocabulary, source, script.parent / "models")
        add_tokens(source, shape.added)
        _keep_pooler(source / "model.safetensors")
        converter.run(script, source, target / f"{name}.gguf", quiet=True)
    np.savez(target / f"{name}.npz", **_computed(model, shape))


def _scatter(model: Any) -> None:  # noqa: ANN401 - any model
    """Random weights that keep the size of what passes through, as training does."""
    with torch.no_grad():
        for name, values in model.named_parameters():
            if values.dim() > 1:
                values.normal_(0, _spread(name, values))
            elif "norm" in name.lower() and not name.endswith("bias"):
                # Gemma's are stored as what is added to one.
                values.add_(torch.randn_like(values) * 0.1)
            else:
                values.normal_(0, 0.1)


def _spread(name: str, values: torch.Tensor) -> float:
    if "relative" in name or "embed" in name or "shared" in name:
        return 1.0
    if "Attention.q" in name:  # T5 does not divide by the width of a head, but begins as if it did
        return float((values.shape[-1] * _T5_HEAD) ** -0.5)
    return float(values.shape[-1] ** -0.5)


def _keep_pooler(path: Path) -> None:
    """Name BERT's pooler as docs/models.md says, so that the converter keeps it."""
    tensors = load_file(path)
    if "bert.pooler.dense.weight" in tensors:
        for part in ("weight", "bias"):
            tensors[f"classifier.dense.{part}"] = tensors.pop(f"bert.pooler.dense.{part}")
        save_file(tensors, path, {"format": "pt"})


@torch.no_grad()
def _computed(model: Any, shape: Shape) -> dict[str, Any]:  # noqa: ANN401 - any model
    """What `made.Peer` holds."""
    tokens = torch.randint(*_PLAIN_TOKENS[shape.vocabulary], (1, shape.prompt))
    nothing = np.zeros(0, np.int64)
    stored = {"tokens": tokens[0].numpy(), "answer": nothing, "continued": nothing}
    stored["states"] = np.zeros(0, np.float32)
    if shape.vocabulary == "bert":
        made = model(input_ids=tokens, output_hidden_states=True)
        return {
            **stored,
            "logits": made.logits.numpy(),
            "states": made.hidden_states[-1][0].numpy(),
        }
    more = {}
    if shape.vocabulary == "unigram":
        # Behind the token that begins an answer, any: the peer says what it thinks of each.
        answer = torch.cat([torch.zeros(1, 1, dtype=torch.long), tokens[:, ::3]], 1)
        more["decoder_input_ids"] = answer
        stored["answer"] = answer[0].numpy()
    made = model(input_ids=tokens, use_cache=False, **more)
    counts = {"min_new_tokens": _CONTINUED, "max_new_tokens": _CONTINUED}
    continued = model.generate(input_ids=tokens, do_sample=False, use_cache=False, **counts)
    stored["continued"] = continued[0, -_CONTINUED:].numpy()
    return {**stored, "logits": made.logits[0].numpy()}


if __name__ == "__main__":
    sys.exit(main())
