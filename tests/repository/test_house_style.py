"""House rules that a linter does not know."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.repository.tree import ROOT, files, name

PRODUCT = list(files("appliance/*.py", "audit/*.py", "models/*.py", "scripts/*.py"))
EVERYTHING = [file for file in files() if file.suffix not in {".gguf", ".png", ".bin"}]
_SILENCED = re.compile(r"#\s*(noqa|type:\s*ignore)(?P<rules>:\s*[A-Z]+\d+|\[[a-z-]+)?")
_MODULE_LINES = 400
_FUNCTION_LINES = 60


@pytest.mark.parametrize("file", PRODUCT, ids=name)
def test_a_module_and_its_functions_are_short(file: Path) -> None:
    text = file.read_text()
    assert text.count("\n") <= _MODULE_LINES
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            assert length <= _FUNCTION_LINES, node.name


@pytest.mark.parametrize("file", PRODUCT, ids=name)
def test_a_silenced_rule_is_named(file: Path) -> None:
    for line in file.read_text().splitlines():
        if silenced := _SILENCED.search(line):
            assert silenced["rules"], line


@pytest.mark.parametrize("file", PRODUCT, ids=name)
def test_a_broad_except_lets_the_error_on_or_says_why_not(file: Path) -> None:
    lines = file.read_text().splitlines()
    for node in ast.walk(ast.parse("\n".join(lines))):
        if isinstance(node, ast.ExceptHandler) and _is_broad(node.type):
            passed_on = any(isinstance(inner, ast.Raise) for inner in ast.walk(node))
            near = "\n".join(lines[node.lineno - 2 : node.lineno + 1])
            assert passed_on or "#" in near, f"line {node.lineno}"


def _is_broad(caught: ast.expr | None) -> bool:
    return caught is None or (
        isinstance(caught, ast.Name) and caught.id in {"Exception", "BaseException"}
    )


def test_no_file_names_a_home_folder_or_a_package_index() -> None:
    host = r"(pypi|pythonhosted|debian|npmjs|conda|anaconda)\.(org|com|net)"
    strange = re.compile(rf"/(home|root|Users)/[a-z]|://[\w.-]*{host}")
    found = [
        f"{name(file)}: {line.strip()[:100]}"
        for file in EVERYTHING
        for line in file.read_text(encoding="utf-8").splitlines()
        if strange.search(line) and file != Path(__file__)
    ]
    assert found == []


def test_pages_load_nothing_from_elsewhere() -> None:
    """No address in a page or in what it loads, but names of XML and links for people."""
    loaded = re.compile(
        r"""(src|srcset|href|action|url\(|import|fetch\(|@import)[=\s("']*https?:"""
    )
    for file in files("appliance/web/templates", "appliance/web/static"):
        for line in file.read_text(encoding="utf-8").splitlines():
            assert not loaded.search(line), f"{name(file)}: {line.strip()}"


def test_the_tests_folder_mirrors_nothing_twice() -> None:
    """Tests import by path (importlib), so two files may share a name but not a path."""
    paths = [name(file) for file in files("tests")]
    assert len(paths) == len(set(paths))
    assert all((ROOT / path).exists() for path in paths)
