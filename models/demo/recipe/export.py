"""Export: checkpoint -> Hugging Face folder -> GGUF -> Q8_0, and the manifest with its digest."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from pathlib import Path

import torch

from models.demo.recipe import converter, dataset, parity, tasks
from models.demo.recipe.network import NORM_EPS, ROPE_BASE, Network, Shape
from models.demo.recipe.tokenizer import MODEL, WHITESPACE, Tokenizer
from models.demo.recipe.train import CHECKPOINT, ends, load

GGUF = tasks.ROOT / "models" / "demo" / "demo-q8_0.gguf"
MANIFEST = tasks.ROOT / "models" / "demo.toml"
TOLERANCE = 2e-3
PARTS = {
    "attention_norm": "input_layernorm",
    "mlp_norm": "post_attention_layernorm",
    "query": "self_attn.q_proj",
    "key": "self_attn.k_proj",
    "value": "self_attn.v_proj",
    "out": "self_attn.o_proj",
    "gate": "mlp.gate_proj",
    "up": "mlp.up_proj",
    "down": "mlp.down_proj",
}
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] "
    "+ '<|im_end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
MANIFEST_TEXT = """\
# Written by the export step of models/demo/recipe; do not edit by hand.
name = "demo"
title = "Cloister demo model"
family = "llama"
parameters = {parameters:_}
licence = "Apache-2.0"
file = "demo/demo-q8_0.gguf"
sha256 = "{digest}"
quantisation = "Q8_0"
context = {context}
capabilities = ["chat", "complete"]
stop = ["<|im_end|>"]
notice = "Proves the path. Not for real records."
"""


class ExportMismatchError(Exception):
    """The exported network does not compute what the trained one computes."""


class TooFewRunsError(Exception):
    """The mean of more runs was asked for than ended in this folder."""


def hf_weights(network: Network) -> dict[str, torch.Tensor]:
    """The state dict under the names of `LlamaForCausalLM`."""
    renamed = {}
    for name, tensor in network.state_dict().items():
        if name == "embedding.weight":
            renamed["model.embed_tokens.weight"] = tensor
        elif name == "norm.weight":
            renamed["model.norm.weight"] = tensor
        else:
            _, number, part, _ = name.split(".")
            renamed[f"model.layers.{number}.{PARTS[part]}.weight"] = tensor
    renamed["lm_head.weight"] = renamed["model.embed_tokens.weight"]
    return renamed


def tokenizer_config(tokenizer: Tokenizer) -> dict[str, object]:
    """Mark the chat markers as special, the labels as user-defined; carry the template."""
    markers = {tokenizer.start: dataset.START, tokenizer.end: dataset.END}
    plain = (*tasks.task("deidentify").labels, *WHITESPACE)
    added = {str(number): {"content": text, "special": True} for number, text in markers.items()}
    for text in plain:
        added[str(tokenizer.model.piece_to_id(text))] = {"content": text, "special": False}
    return {
        "tokenizer_class": "LlamaTokenizer",
        "add_bos_token": False,
        "add_eos_token": False,
        "add_prefix_space": False,
        "legacy": False,
        "bos_token": dataset.START,
        "eos_token": dataset.END,
        "unk_token": "<unk>",
        "added_tokens_decoder": added,
        "chat_template": CHAT_TEMPLATE,
    }


def hf_config(shape: Shape, tokenizer: Tokenizer) -> dict[str, object]:
    """The fields of `LlamaConfig`."""
    return {
        "vocab_size": shape.vocabulary,
        "hidden_size": shape.width,
        "intermediate_size": shape.inner,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.heads,
        "max_position_embeddings": shape.context,
        "rms_norm_eps": NORM_EPS,
        "rope_theta": ROPE_BASE,
        "tie_word_embeddings": True,
        "bos_token_id": tokenizer.start,
        "eos_token_id": tokenizer.end,
    }


def write_hf(network: Network, tokenizer: Tokenizer, model_file: Path, folder: Path) -> None:
    """Write the Hugging Face folder and check that transformers computes the same logits."""
    from transformers import LlamaConfig, LlamaForCausalLM

    model = LlamaForCausalLM(LlamaConfig(**hf_config(network.shape, tokenizer))).eval()
    model.load_state_dict(hf_weights(network))
    ids = torch.randint(
        3, network.shape.vocabulary, (2, 64), generator=torch.Generator().manual_seed(1)
    )
    with torch.no_grad():
        ours = network(ids, torch.arange(64).expand(2, -1), torch.arange(128))
        theirs = model(input_ids=ids).logits.reshape(128, -1)
    if not torch.allclose(ours, theirs, atol=TOLERANCE, rtol=TOLERANCE):
        raise ExportMismatchError(f"logits differ by {(ours - theirs).abs().max().item():.4f}")
    shutil.rmtree(folder, ignore_errors=True)
    model.save_pretrained(folder)
    shutil.copy(model_file, folder / "tokenizer.model")
    text = json.dumps(tokenizer_config(tokenizer), indent=2, ensure_ascii=False)
    (folder / "tokenizer_config.json").write_text(text, encoding="utf-8")


def publish(quantised: Path, network: Network) -> None:
    """Put the GGUF and then its manifest in place, each atomically."""
    parameters = sum(parameter.numel() for parameter in network.parameters())
    digest = hashlib.sha256(quantised.read_bytes()).hexdigest()
    text = MANIFEST_TEXT.format(parameters=parameters, digest=digest, context=network.shape.context)
    staged = GGUF.with_suffix(".gguf.tmp")
    shutil.copyfile(quantised, staged)
    staged.replace(GGUF)
    staged = MANIFEST.with_suffix(".toml.tmp")
    staged.write_text(text, encoding="utf-8")
    staged.replace(MANIFEST)
    print(f"{GGUF}: {GGUF.stat().st_size:,} bytes, sha256 {digest}")


def checkpoints(build: Path, average: int) -> list[Path]:
    """What to export: the latest checkpoint, or the ends of the last `average` runs.

    Raises:
        TooFewRunsError: fewer runs than that ended in `build`.
    """
    if not average:
        return [build / CHECKPOINT]
    ended = ends(build)
    if len(ended) < average:
        raise TooFewRunsError(
            f"{len(ended)} runs ended in {build}, not {average}. Remedy: train --resume"
        )
    return ended[-average:]


def export(build: Path, average: int = 0) -> None:
    """Export the latest checkpoint of `build`, or the mean of the ends of its last runs."""
    torch.set_num_threads(2)
    network, progress = load(*checkpoints(build, average))
    model_file = build / "tokenizer" / MODEL
    tokenizer = Tokenizer(model_file)
    folder = build / "cloister-demo"  # the converter takes the model name from here
    write_hf(network.eval(), tokenizer, model_file, folder)
    full, quantised, vectors = (
        build / name for name in ("demo-f32.gguf", "demo-q8_0.gguf", "tokens.json")
    )
    converter.convert(build, folder, full)
    vectors.write_text(json.dumps([(text, tokenizer.encode(text)) for text in parity.texts()]))
    _at_run_time("quantise", full, quantised)
    _at_run_time("parity", vectors, quantised)
    publish(quantised, network)
    print(f"checkpoint: {progress}")


def _at_run_time(module: str, *paths: Path) -> None:
    """Run a module of the recipe in the environment that serves the model."""
    command = [str(tasks.RUNTIME_PYTHON), "-m", f"models.demo.recipe.{module}"]
    command += [str(path.resolve()) for path in paths]
    subprocess.run(command, check=True, cwd=tasks.ROOT)  # noqa: S603 - fixed arguments
