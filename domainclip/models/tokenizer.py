"""Tokenizers: a byte-level BPE trained on the captions, and open_clip's own.

Cleaning of the trained tokenizer, the same here and in stock open_clip that opens its folder: open_clip's ``whitespace`` cleaning
(ftfy, HTML entities, runs of white space to one space) outside, then NFC and lower case inside ``tokenizer.json``.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from domainclip.errors import UsageError
from domainclip.models.files import write_text

if TYPE_CHECKING:
    import torch

PAD, START, END = "<|pad|>", "<|start|>", "<|end|>"
SMALLEST_VOCABULARY = 256 + 3
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")


class CorpusTokenizer:
    """A byte-level BPE of ours: every script fits, pad is 0 and the end token has the highest id.

    open_clip pools text features at the largest id, so the end token must have it, and a text that is cut keeps it. The special
    tokens are written by the tokenizer only: their names inside a caption are ordinary characters.

    Args:
        definition: Content of ``tokenizer.json``.
        context_length: L, tokens of a text with start and end.
    """

    kind: Literal["clip", "folder"] = "folder"

    def __init__(self, definition: str, context_length: int) -> None:
        import tokenizers
        from open_clip.tokenizer import get_clean_fn

        self.definition = definition
        self.context_length = context_length
        self._clean = get_clean_fn("whitespace")
        self._bpe = tokenizers.Tokenizer.from_str(definition)
        self._bpe.encode_special_tokens = True
        self._bpe.enable_truncation(context_length)
        self._bpe.enable_padding(length=context_length, pad_id=0, pad_token=PAD)

    @property
    def vocabulary_size(self) -> int:
        """Number of ids, special tokens included."""
        return int(self._bpe.get_vocab_size())

    def __call__(self, texts: Sequence[str]) -> torch.Tensor:
        """Returns (N, L) int64; texts that are too long are cut before the end token."""
        import torch

        if not texts:
            return torch.zeros((0, self.context_length), dtype=torch.int64)
        return torch.tensor([encoding.ids for encoding in self._encode(texts)], dtype=torch.int64)

    def count_truncated(self, texts: Sequence[str]) -> int:
        """Counts the texts that do not fit into the context."""
        return sum(bool(encoding.overflowing) for encoding in self._encode(texts))

    def save(self, folder: Path) -> None:
        """Writes the files from which transformers' AutoTokenizer, and so stock open_clip, gives the same ids."""
        special = {"pad_token": PAD, "bos_token": START, "eos_token": END}
        config = {
            "tokenizer_class": "PreTrainedTokenizerFast",
            **special,
            "model_max_length": self.context_length,
            "padding_side": "right",
            "truncation_side": "right",
            "add_prefix_space": True,
            "split_special_tokens": True,
            "clean_up_tokenization_spaces": False,
            "model_input_names": ["input_ids", "attention_mask"],
        }
        write_text(folder / "tokenizer.json", self.definition)
        write_text(folder / "tokenizer_config.json", json.dumps(config, indent=2))
        write_text(folder / "special_tokens_map.json", json.dumps(special, indent=2))

    def _encode(self, texts: Sequence[str]) -> list[Any]:
        return list(self._bpe.encode_batch([self._clean(text) for text in texts]))


class StockTokenizer:
    """open_clip's own tokenizer: CLIP's BPE, or what an open_clip folder holds.

    Args:
        stock: ``open_clip.SimpleTokenizer`` or ``open_clip.tokenizer.HFTokenizer``.
        context_length: L.
    """

    def __init__(self, stock: Any, context_length: int) -> None:
        self._stock = stock
        self.context_length = context_length
        self.kind: Literal["clip", "folder"] = "folder" if hasattr(stock, "tokenizer") else "clip"

    @property
    def vocabulary_size(self) -> int:
        """Number of ids, special tokens included."""
        return len(self._stock.tokenizer) if self.kind == "folder" else int(self._stock.vocab_size)

    def __call__(self, texts: Sequence[str]) -> torch.Tensor:
        """Returns (N, L) int64; texts that are too long are cut."""
        import torch

        if not texts:
            return torch.zeros((0, self.context_length), dtype=torch.int64)
        tokens: torch.Tensor = self._stock(list(texts), context_length=self.context_length)
        return tokens

    def count_truncated(self, texts: Sequence[str]) -> int:
        """Counts the texts that do not fit into the context."""
        if self.kind == "clip":
            lengths = [len(self._stock.encode(text)) + 2 for text in texts]
        else:
            lengths = [len(self._stock.tokenizer(self._stock.clean_fn(text))["input_ids"]) for text in texts]
        return sum(length > self.context_length for length in lengths)

    def save(self, folder: Path) -> None:
        """Writes the tokenizer's files; CLIP's own travels with open_clip and needs none."""
        if self.kind == "folder":
            self._stock.save_pretrained(str(folder))


def train_tokenizer(texts: Iterable[str], vocabulary_size: int, context_length: int) -> CorpusTokenizer:
    """Trains a byte-level BPE on captions.

    Args:
        texts: The captions; their order does not matter, and equal ones count as often as they come.
        vocabulary_size: Upper bound, at least 259 (256 bytes and 3 special tokens); a small corpus yields fewer.
        context_length: L, at least 3.

    Returns:
        The same tokenizer for the same texts, whatever the process.

    Raises:
        UsageError: The bound is too low, or there is no text.
    """
    from open_clip.tokenizer import get_clean_fn
    from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

    if vocabulary_size < SMALLEST_VOCABULARY or context_length < 3:
        raise UsageError(
            f"A tokenizer of at most {vocabulary_size} tokens and a context of {context_length} was asked for.",
            f"Byte-level BPE has at least {SMALLEST_VOCABULARY} (256 bytes and 3 special tokens), and a text at least 3 tokens.",
            f"Set model.vocabulary_size to {SMALLEST_VOCABULARY} or more (1000 is the default).",
        )
    clean = get_clean_fn("whitespace")
    corpus = [text for text in map(clean, texts) if text]
    if not corpus:
        raise UsageError("A tokenizer was to be trained.", "There is no caption with words.", "Check the captions of the data.")
    bpe = Tokenizer(models.BPE())
    bpe.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary_size - 1,  # the end token comes afterwards, so that its id is the highest
        min_frequency=2,
        special_tokens=[PAD, START],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    bpe.train_from_iterator(corpus, trainer)
    bpe.add_special_tokens([AddedToken(END, special=True, normalized=False)])
    end = bpe.get_vocab_size() - 1
    assert bpe.token_to_id(END) == end
    bpe.post_processor = processors.TemplateProcessing(single=f"{START} $A {END}", special_tokens=[(START, 1), (END, end)])
    return CorpusTokenizer(bpe.to_str(), context_length)


def load_tokenizer(source: str | os.PathLike[str], context_length: int) -> CorpusTokenizer | StockTokenizer:
    """Opens a tokenizer.

    Args:
        source: ``"clip"`` for CLIP's own (49,408 ids, lower case); or a model as ``zoo.find_model`` takes it, ours or open_clip's;
            or a folder with our ``tokenizer.json``.
        context_length: L.

    Raises:
        UsageError: The folder holds no tokenizer that can be used.
    """
    if str(source) == "clip":
        from open_clip import SimpleTokenizer

        return StockTokenizer(SimpleTokenizer(context_length=context_length), context_length)
    folder = _tokenizer_folder(source)
    asked = f"The tokenizer {str(source)!r} was asked for."
    remedy = "Use 'corpus-bpe', 'clip', or the folder of a saved model."
    if not (folder / "tokenizer.json").is_file():
        raise UsageError(asked, "There is no such folder, or no tokenizer.json in it.", remedy)
    try:
        definition = (folder / "tokenizer.json").read_text(encoding="utf-8")
        known = {entry["content"]: entry["id"] for entry in json.loads(definition)["added_tokens"]}
        if known.get(PAD) == 0 and START in known and END in known:
            tokenizer = CorpusTokenizer(definition, context_length)
            if known[END] == tokenizer.vocabulary_size - 1:
                return tokenizer
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(asked, f"tokenizer.json cannot be read ({type(error).__name__}).", remedy) from error
    except Exception as error:
        # The tokenizers library raises plain Exception for a definition that it refuses; anything else goes on.
        if type(error) is not Exception:
            raise
        raise UsageError(asked, "The tokenizers library refuses tokenizer.json.", remedy) from error
    if (folder / "open_clip_config.json").is_file():
        import open_clip

        return StockTokenizer(open_clip.get_tokenizer(f"local-dir:{folder}", context_length=context_length), context_length)
    found = "Its tokenizer.json is not one of ours (pad 0, end token with the highest id), and there is no open_clip_config.json."
    raise UsageError(asked, found, remedy)


def _tokenizer_folder(source: str | os.PathLike[str]) -> Path:
    from domainclip.models.zoo import find_model, is_model_name

    folder = Path(source)
    if (folder / "tokenizer.json").is_file():
        return folder
    return find_model(str(source)) if is_model_name(str(source)) else folder / "model"
