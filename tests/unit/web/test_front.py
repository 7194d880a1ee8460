"""The files that reach a browser: all ours, nothing inline, colours that can be read."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import appliance.web

WEB = Path(appliance.web.__file__).parent
TEMPLATES = sorted((WEB / "templates").rglob("*.html"))
STYLE = (WEB / "static/style.css").read_text("utf-8")

PAIRS = [
    # text, ground, smallest contrast (WCAG 2.2: 1.4.3 for text, 1.4.11 for borders of controls)
    *(
        (text, ground, 4.5)
        for text in ("ink", "muted")
        for ground in ("paper", "surface", "sunken")
    ),
    *(("accent", ground, 4.5) for ground in ("paper", "surface", "tint")),
    ("on-accent", "accent", 4.5),
    ("on-accent", "accent-strong", 4.5),
    ("accent-strong", "tint", 4.5),
    ("ink", "tint", 4.5),
    ("rail-ink", "rail", 4.5),
    ("rail-muted", "rail", 4.5),
    ("bad", "surface", 4.5),
    *((kind, f"{kind}-tint", 4.5) for kind in ("ok", "warn", "bad")),
    *(("ink", f"{kind}-tint", 4.5) for kind in ("ok", "warn", "bad")),
    *(("ink", f"mark-{number}", 4.5) for number in range(1, 7)),
    *((f"part-{number}", "sunken", 3.0) for number in range(1, 7)),
    ("edge", "surface", 3.0),
    ("edge", "paper", 3.0),
    ("focus", "paper", 3.0),
    ("focus", "surface", 3.0),
]


def test_the_static_files_are_these_and_all_our_own() -> None:
    files = {str(file.relative_to(WEB / "static")) for file in (WEB / "static").rglob("*.*")}
    assert files == {
        "age.js",
        "arcade.svg",
        "bytes.js",
        "chacha.js",
        "copy.js",
        "counter.js",
        "exports.js",
        "logo.svg",
        "openings.js",
        "reading.js",
        "records-view.js",
        "records.js",
        "renew.js",
        "scrypt.js",
        "sealed.js",
        "sha256.js",
        "sitting.js",
        "stream.js",
        "style.css",
    }


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda file: file.name)
def test_no_template_has_inline_code_or_style_or_another_host(template: Path) -> None:
    text = template.read_text("utf-8").replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:|https?://", text)
    assert all(" src=" in tag for tag in re.findall(r"<script[^>]*>", text))
    assert "|safe" not in text.replace('paths.get(name, paths["tasks"])|safe', "")


@pytest.mark.parametrize("file", sorted((WEB / "static").iterdir()), ids=lambda file: file.name)
def test_no_static_file_names_another_host_or_makes_code(file: Path) -> None:
    text = file.read_text("utf-8").replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"https?:|@import|\beval\(|new Function|document\.write", text)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(("text", "ground", "least"), PAIRS)
def test_colours_can_be_read_in_both_themes(
    theme: str, text: str, ground: str, least: float
) -> None:
    tokens = _tokens(theme)
    assert _contrast(tokens[text], tokens[ground]) >= least


def _tokens(theme: str) -> dict[str, str]:
    light, dark = re.findall(r":root \{(.*?)\}", STYLE, re.DOTALL)[:2]
    found = dict(re.findall(r"--([a-z0-9-]+): (#[0-9a-f]{6});", light))
    if theme == "dark":
        found |= dict(re.findall(r"--([a-z0-9-]+): (#[0-9a-f]{6});", dark))
    return found


def _contrast(one: str, other: str) -> float:
    """WCAG 2.2, definition of contrast ratio."""
    brighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (brighter + 0.05) / (darker + 0.05)


def _luminance(colour: str) -> float:
    channels = (int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5))
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
