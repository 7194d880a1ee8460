"""Split a GGUF as publishers do with large ones, by the ggml project's own library."""

from __future__ import annotations

from pathlib import Path

import gguf


def split_gguf(whole: Path, folder: Path, tensors: int) -> list[Path]:
    """Write the parts of a model into a folder, so many tensors each; in order."""
    reader = gguf.GGUFReader(whole)
    architecture = str(reader.fields["general.architecture"].contents())
    writer = gguf.GGUFWriter(folder / whole.name, architecture, split_max_tensors=tensors)
    for field in reader.fields.values():
        if field.name == "general.architecture" or field.name.startswith("GGUF."):
            continue
        kind = field.types[0]
        inner = field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None
        writer.add_key_value(field.name, field.contents(), kind, sub_type=inner)
    for tensor in reader.tensors:
        writer.add_tensor(
            tensor.name,
            tensor.data,
            raw_shape=list(tensor.data.shape),
            raw_dtype=tensor.tensor_type,
        )
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return sorted(folder.glob(f"{whole.stem}-*-of-*.gguf"))
