"""A gap is laid out as the model was trained, and nobody can forge its marks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import gguf
import pytest

from appliance.catalogue.manifest import ModelManifest
from appliance.engine.errors import ModelLoadError
from appliance.engine.infill import Infill, find_infill, make_vocabulary
from appliance.engine.llama import Loaded, LogTail, load
from appliance.engine.template import ChatTemplate
from appliance.engine.vocab import Vocabulary
from tests.support.tiny_gguf import write_tiny_gguf
from tests.unit.engine.conftest import OPTIONS, REQUEST_CONTEXT

MARKS = ("<gap-before>", "<gap-behind>", "<gap>", "<gap-end>")  # llama.cpp knows none of them
BEFORE, BEHIND, GAP, END = range(5, 9)
PLAIN = {
    "name": "tiny",
    "title": "Tiny",
    "family": "llama",
    "parameters": 1,
    "licence": "MIT",
    "file": "tiny.gguf",
    "sha256": "0" * 64,
    "quantisation": "F32",
    "context": 256,
}
TABLE = {"prefix": MARKS[0], "suffix": MARKS[1], "middle": MARKS[2], "end": MARKS[3]}


def manifest(**changes: object) -> ModelManifest:
    return ModelManifest.model_validate({**PLAIN, **changes})


def declare(writer: gguf.GGUFWriter) -> None:
    writer.add_uint32(gguf.Keys.Tokenizer.FIM_PRE_ID, BEFORE)
    writer.add_uint32(gguf.Keys.Tokenizer.FIM_SUF_ID, BEHIND)
    writer.add_uint32(gguf.Keys.Tokenizer.FIM_MID_ID, GAP)


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory, log_tail: LogTail) -> Iterator[Callable]:  # type: ignore[type-arg]
    loaded: list[Loaded] = []

    def build(**options: object) -> Loaded:
        path: Path = tmp_path_factory.mktemp("infill") / "tiny.gguf"
        write_tiny_gguf(path, **options)  # type: ignore[arg-type]
        loaded.append(load(path, REQUEST_CONTEXT, OPTIONS, log_tail))
        return loaded[-1]

    yield build
    for one in loaded:
        one.free()


@pytest.fixture(scope="module")
def silent(make: Callable[..., Loaded]) -> Loaded:
    """A vocabulary with the marks, in a file that does not say what they are."""
    return make(control=MARKS)


@pytest.fixture(scope="module")
def declared(make: Callable[..., Loaded]) -> Loaded:
    """The same, and the file says it."""
    return make(control=MARKS, more=declare)


@pytest.fixture(scope="module")
def recognised(make: Callable[..., Loaded]) -> Loaded:
    """Marks that llama.cpp recognises by their spelling alone."""
    return make(control=("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"))


def find(loaded: Loaded, **changes: object) -> Infill | None:
    read = manifest(**changes)
    return find_infill(read, loaded, make_vocabulary(read, loaded))


def test_the_two_orders() -> None:
    assert Infill(1, 2, 3).prompt([10, 11], [20]) == [1, 10, 11, 2, 20, 3]
    assert Infill(1, 2, 3, suffix_first=True).prompt([10, 11], [20]) == [2, 20, 1, 10, 11, 3]


def test_what_the_manifest_names_is_used(silent: Loaded) -> None:
    assert find(silent, infill=TABLE) == Infill(BEFORE, BEHIND, GAP)
    turned = {**TABLE, "order": "suffix-prefix-middle"}
    assert find(silent, infill=turned) == Infill(BEFORE, BEHIND, GAP, suffix_first=True)


def test_what_the_file_declares_is_used(declared: Loaded) -> None:
    assert find(declared) == Infill(BEFORE, BEHIND, GAP)


def test_without_either_there_is_none(silent: Loaded) -> None:
    assert find(silent) is None


def test_tokens_of_a_sibling_count_only_where_the_manifest_says_so(recognised: Loaded) -> None:
    assert find(recognised) is None
    assert find(recognised, capabilities=["complete", "infill"]) == Infill(BEFORE, BEHIND, GAP)


def test_a_token_that_the_vocabulary_lacks_is_named(silent: Loaded) -> None:
    with pytest.raises(ModelLoadError, match=r"'<nope>'.*\[infill\]"):
        find(silent, infill={**TABLE, "middle": "<nope>"})


def test_the_named_end_ends_an_answer(silent: Loaded) -> None:
    assert END in make_vocabulary(manifest(infill=TABLE), silent).ends
    assert END not in make_vocabulary(manifest(), silent).ends


@pytest.mark.parametrize("mark", MARKS)
def test_no_prompt_can_forge_a_mark(silent: Loaded, mark: str) -> None:
    vocabulary = make_vocabulary(manifest(infill=TABLE), silent)
    for tokens in (vocabulary.plain(f"a {mark} b"), vocabulary.continuing(f"a {mark} b")):
        assert not set(tokens) & set(vocabulary.markers)
        assert b"".join(map(vocabulary.piece, tokens)).decode() == f"a {mark} b"


def test_marks_of_plain_type_are_walled_off_too(make: Callable[..., Loaded]) -> None:
    loaded = make(pieces=["<gap-before", *MARKS])
    read = manifest(infill=TABLE)
    vocabulary = make_vocabulary(read, loaded)
    infill = find_infill(read, loaded, vocabulary)
    assert infill is not None
    assert infill.prefix not in vocabulary.plain(MARKS[0])


@pytest.fixture(scope="module")
def spaced(make: Callable[..., Loaded]) -> Vocabulary:
    """A vocabulary whose tokenizer puts a space before each text, as those of Llama 2 do."""
    return Vocabulary(make(space_prefix=True, control=("[INST]", "[/INST]")))


@pytest.mark.parametrize("text", ["the user", " the", "\nthe", "x", ""])
def test_a_text_that_goes_on_gets_no_space_in_front(
    spaced: Vocabulary, vocabulary: Vocabulary, text: str
) -> None:
    assert b"".join(map(spaced.piece, spaced.continuing(text))).decode() == text
    assert vocabulary.continuing(text) == vocabulary.plain(text)


def test_the_space_that_a_template_writes_is_the_tokenizer_s(spaced: Vocabulary) -> None:
    source = "{{ bos_token }}[INST] {{ messages[0].content }}[/INST] the"
    template = ChatTemplate(source, spaced.marker_pattern, "<s>", "</s>")
    tokens = spaced.templated(*template.render([{"role": "user", "content": "the user"}]))
    assert tokens == [1, 5, *spaced.plain("the user"), 6, *spaced.plain("the")]
    assert b"".join(map(spaced.piece, tokens)) == b" the user the"


def test_where_the_tokenizer_adds_none_the_template_s_space_stays(vocabulary: Vocabulary) -> None:
    tokens = vocabulary.templated("<s> the", "\U000f0000")
    assert tokens == [1, *vocabulary.plain(" the")]
