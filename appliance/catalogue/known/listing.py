"""The known models as rows, for a terminal, for programs and for docs/models.md."""

from __future__ import annotations

from typing import Any

from appliance.catalogue.known.library import known_models
from appliance.catalogue.known.profile import KnownModel
from appliance.catalogue.known.sizes import cache_bytes, file_bytes

_HEADINGS = ("name", "parameters", "licence", "context", "capabilities", "Q4_K_M", "Q8_0")
_NOTHING = "-"


def row(model: KnownModel) -> dict[str, Any]:
    """All that is known of a model, as JSON shows it; sizes in bytes."""
    facts = model.model_dump(mode="json", exclude={"format", "names", "quantisations", "shape"})
    form = model.format
    return {
        **facts,
        "files": {each: file_bytes(model, each) for each in model.quantisations},
        "cache_bytes_per_token": cache_bytes(model.shape),
        "format": form.model_dump(mode="json") if form else None,
    }


def line(model: KnownModel) -> dict[str, str]:
    """What the table shows of a model."""
    sizes = {each: gigabytes(file_bytes(model, each)) for each in model.quantisations}
    if "MXFP4" in sizes:
        sizes["Q4_K_M"] = f"{sizes['MXFP4']} (MXFP4)"
    return {
        "name": model.name,
        "parameters": count(model.parameters),
        "licence": model.licence,
        "context": str(model.context),
        "capabilities": ", ".join(model.capabilities),
        "Q4_K_M": sizes.get("Q4_K_M", _NOTHING),
        "Q8_0": sizes.get("Q8_0", _NOTHING),
    }


def markdown() -> str:
    """The table of docs/models.md."""
    lines = [_row(_HEADINGS), _row(["---"] * len(_HEADINGS))]
    for model in known_models():
        shown = line(model)
        name = f"`{shown.pop('name')}`"
        lines.append(_row([name, *shown.values()]))
    return "\n".join(lines) + "\n"


def count(parameters: int) -> str:
    """A number of weights for people."""
    if parameters >= 999.5e6:
        return f"{parameters / 1e9:.1f} B"
    return f"{parameters / 1e6:.0f} M" if parameters >= 999.5e3 else str(parameters)


def gigabytes(size: int) -> str:
    """A file's size for people."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"


def _row(cells: list[str] | tuple[str, ...]) -> str:
    return "| " + " | ".join(cells) + " |"
