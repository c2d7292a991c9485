"""Makes charsmap.json and charsmap.txt of tests/data/tokenizers/: normalisation by character maps of SentencePiece.

    python make_charsmap_fixture.py [RULE]     needs tokenizers (0.22.2) and sentencepiece (0.2.3) from PyPI

The map has those rules of `nmt_nfkc` that concern the characters of `strings`, because the whole one has 240 KB. With RULE,
such as nmt_nfkc, the fixture has that map of SentencePiece; the test must pass with it too.

charsmap.json is a `Precompiled` normaliser. A line of charsmap.txt has hashes, as hashes.txt, over the strings that are
valid UTF-8; the others count as empty. With unigram.json and this normaliser:

- precompiled, strip, words: the tokens that the library `tokenizers` finds for the parts of `PARTS`
- longest, spaces: the bytes to which SentencePiece normalises, without and with the removal of spaces
"""

import base64
import json
import sys
import tempfile
import unicodedata

import sentencepiece
from make_tokenizer_fixture import COUNT, OUT, RANGES, fnv, strings
from tokenizers import Tokenizer

METASPACE = {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "always", "split": True}
# What stands behind the map in the normaliser, and before Metaspace.
PARTS = {
    "precompiled": ([], []),
    "strip": (
        [
            {"type": "Strip", "strip_left": False, "strip_right": True},
            {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": "\u2581"},
        ],
        [],
    ),
    "words": ([], [{"type": "WhitespaceSplit"}]),
}
SPACES = [0x09, 0x0A, 0x0D, 0xA0, 0x1680, *range(0x2000, 0x2010), 0x2028, 0x2029, 0x202F, 0x205F, 0x2581, 0x3000, 0xFEFF, 0xFFFD]
REMOVED = [*range(0x01, 0x09), 0x0B, *range(0x0E, 0x20), 0x7F, 0x8F, 0x9F]


def rules():
    found = {chr(c): " " for c in SPACES} | {chr(c): "" for c in REMOVED}
    for low, high in RANGES:
        for c in map(chr, range(low, high + 1)):
            composed = unicodedata.normalize("NFKC", c)
            if composed != c:
                found.setdefault(c, composed)
            # Letters with marks, which are two or three characters.
            apart = unicodedata.normalize("NFD", c)
            if apart != c and unicodedata.normalize("NFC", apart) == c and not 0xAC00 <= ord(c) <= 0xD7A3:
                found.setdefault(apart, composed)
    # More than one syllable block: some of the letters of a syllable, and a long replacement.
    found |= {"\u1100\u1161": "\uac00", "\u1100\u1161\u11a8": "\uac01", "\ufdfa": unicodedata.normalize("NFKC", "\ufdfa")}
    return "".join(
        " ".join(f"{ord(c):X}" for c in key) + "\t" + " ".join(f"{ord(c):X}" for c in value) + "\n"
        for key, value in sorted(found.items())
    )


def field(message, number):
    """A field of bytes of a protocol buffer."""
    at = 0

    def varint():
        nonlocal at
        value, shift = 0, 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(message):
        key = varint()
        if key & 7 == 2:
            length = varint()
            at += length
            if key >> 3 == number:
                return message[at - length : at]
        elif key & 7 == 0:
            varint()
        else:
            at += {1: 8, 5: 4}[key & 7]
    raise KeyError(number)


def line(name, all):
    found = []
    for start in range(0, COUNT, 100):
        hash = 0xCBF29CE484222325
        for numbers in all[start : start + 100]:
            hash = fnv(numbers, hash)
        found.append(f"{hash:016x}")
    return f"{name} {' '.join(found)}\n"


def main():
    if len(sys.argv) > 1:
        source = {"rule_name": sys.argv[1]}
    else:
        file = tempfile.NamedTemporaryFile("w", suffix=".tsv")
        file.write(rules())
        file.flush()
        source = {"rule_tsv": file.name}
    options = {"add_dummy_prefix": False, "escape_whitespaces": False}

    def normaliser(remove):
        return sentencepiece.SentencePieceNormalizer(remove_extra_whitespaces=remove, **options, **source)

    blob = field(normaliser(False).serialized_normalizer_spec(), 2)
    part = {"type": "Precompiled", "precompiled_charsmap": base64.b64encode(blob).decode()}
    (OUT / "charsmap.json").write_text(json.dumps(part) + "\n")
    texts = []
    for data in strings(COUNT):
        try:
            texts.append(data.decode())
        except UnicodeDecodeError:
            texts.append("")
    lines = []
    unigram = json.loads((OUT / "unigram.json").read_text())
    for name, (normalizers, pre) in PARTS.items():
        unigram["normalizer"] = {"type": "Sequence", "normalizers": [part, *normalizers]}
        unigram["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [*pre, METASPACE]}
        oracle = Tokenizer.from_str(json.dumps(unigram))
        oracle.encode_special_tokens = True
        lines.append(line(name, [oracle.encode(text, add_special_tokens=False).ids for text in texts]))
    for name, remove in [("longest", False), ("spaces", True)]:
        oracle = normaliser(remove)
        lines.append(line(name, [oracle.normalize(text).encode() for text in texts]))
    (OUT / "charsmap.txt").write_text("".join(lines))
    print(len(blob), "bytes")


main()
