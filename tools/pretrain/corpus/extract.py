"""Taking texts out of archives.

`members` walks an archive of any of the registries' kinds.  The functions in
`EXTRACTORS` turn one member's bytes into documents: each takes the bytes and
a seed of the member (a number made from its name and size, so that the choices
that an extractor makes are the same on every run) and yields texts, or bytes
that are decoded later.  SWORD modules need several members at a time and
stand apart.
"""

import bz2
import csv
import fnmatch
import gzip
import html
import html.parser
import io
import json
import lzma
import re
import struct
import tarfile
import zipfile
import zlib


# Archives


def deb_data(path):
    """The inner tar file of a Debian binary package, opened."""
    with open(path, "rb") as file:
        file.read(8)
        while header := file.read(60):
            name, size = header[:16].decode().strip(), int(header[48:58])
            body = file.read(size + size % 2)[:size]
            if name.startswith("data.tar"):
                return tarfile.open(fileobj=io.BytesIO(body))
    raise ValueError(f"{path}: no data.tar")


def tar_members(archive):
    for entry in archive:
        if entry.isfile() and entry.size < 1 << 27:
            yield entry.name.removeprefix("./"), lambda e=entry: archive.extractfile(e).read()


def members(path):
    """Pairs of a member's name and a function reading it, first folder cut off.

    Tarballs of npm and of sources have one folder at the top, which says
    nothing; wheels and Debian packages have none.
    """
    if path.endswith((".whl", ".zip")):
        archive = zipfile.ZipFile(path)
        for name in archive.namelist():
            if not name.endswith("/"):
                yield name, lambda n=name: archive.read(n)
    elif path.endswith(".deb"):
        yield from tar_members(deb_data(path))
    else:
        for name, read in tar_members(tarfile.open(path)):
            yield name.partition("/")[2], read


def unpacked(name, data):
    """A member's bytes with an outer gzip, bzip2 or xz layer taken off."""
    if data[:2] == b"\x1f\x8b":
        try:
            return gzip.decompress(data)
        except (OSError, EOFError, zlib.error):
            # A dictzip file may have a tail that is no gzip stream.
            return zlib.decompressobj(31).decompress(data)
    if data[:3] == b"BZh":
        return bz2.decompress(data)
    if data[:6] == b"\xfd7zXZ\0":
        return lzma.decompress(data)
    return data


def matches(name, patterns):
    """Whether a member's name matches one of a rule's patterns.

    A pattern without a slash is for the base name.
    """
    base = name.rpartition("/")[2]
    return any(fnmatch.fnmatchcase(name if "/" in p else base, p) for p in patterns)


# Helpers of the extractors


class Choices:
    """A small generator of numbers (xorshift), the same on every Python."""

    def __init__(self, seed):
        self.state = seed & 0xFFFFFFFFFFFFFFFF or 1

    def below(self, limit):
        x = self.state
        x ^= x << 13 & 0xFFFFFFFFFFFFFFFF
        x ^= x >> 7
        x ^= x << 17 & 0xFFFFFFFFFFFFFFFF
        self.state = x
        return (x >> 11) % limit

    def of(self, items):
        return items[self.below(len(items))]


class TextRenderer(html.parser.HTMLParser):
    """HTML as plain text: paragraphs apart, lists with dashes, code kept."""

    BLOCKS = {"p", "div", "section", "table", "ul", "ol", "dl", "pre", "blockquote", "h1",
              "h2", "h3", "h4", "h5", "h6", "header", "footer", "article", "figure"}
    DROPPED = {"script", "style", "nav", "head", "svg", "button", "form"}

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.parts, self.dropped, self.pre = [], 0, 0

    def handle_starttag(self, tag, attributes):
        if tag in self.DROPPED:
            self.dropped += 1
        elif tag in self.BLOCKS:
            self.parts.append("\n\n")
        elif tag in ("br", "tr", "dt"):
            self.parts.append("\n")
        elif tag in ("td", "th"):
            self.parts.append("\t")
        elif tag == "li":
            self.parts.append("\n- ")
        elif tag == "dd":
            self.parts.append("\n    ")
        self.pre += tag == "pre"

    def handle_endtag(self, tag):
        if tag in self.DROPPED:
            self.dropped = max(0, self.dropped - 1)
        elif tag in self.BLOCKS:
            self.parts.append("\n\n")
        self.pre -= tag == "pre" and self.pre > 0

    def handle_data(self, data):
        if not self.dropped:
            self.parts.append(data if self.pre else re.sub(r"\s+", " ", data))

    def text(self):
        text = "".join(self.parts).replace("\u00b6", "").replace("\u00a0", " ")
        text = re.sub(r"[ \t]+\n", "\n", text)
        text = re.sub(r"\n +(?=\S)", "\n", text) if "    " not in text else text
        return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def rendered(text):
    renderer = TextRenderer()
    renderer.feed(text)
    return renderer.text()


def wrapped(text, width):
    """Paragraphs of a text broken into lines of at most `width` characters."""
    out = []
    for line in text.split("\n"):
        while len(line) > width and (cut := line.rfind(" ", 0, width + 1)) > 0:
            out.append(line[:cut])
            line = line[cut + 1:]
        out.append(line)
    return "\n".join(out)


def as_text(data):
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")


# Extractors


def plain(data, seed):
    """The member as it is."""
    yield data


def paragraphs(data, seed):
    """Prose, its paragraphs joined to one line each in a third of the texts.

    Some books have long lines, some are wrapped: a reader should know both.
    """
    text = as_text(data).replace("\r\n", "\n")
    if seed % 3 == 0:
        text = re.sub(r"(?<=\S)\n(?=\w)", " ", text)
    elif max(map(len, text.split("\n"))) > 300 and seed % 3 == 1:
        text = wrapped(text, 66 + seed % 13)
    yield text


def html_mixed(data, seed):
    """Half of the pages as HTML without scripts, half as rendered text.

    What is no HTML (the sources that some manuals have beside it) stays as it is.
    """
    if not re.search(rb"(?i)<!doctype|<html|<\?xml|<body", data[:1000]):
        yield data
    elif seed % 2:
        text = re.sub(r"(?is)<(script|style|nav|svg)\b.*?</\1\s*>", "", as_text(data))
        yield re.sub(r"\n\s*\n+", "\n\n", text)
    else:
        yield wrapped(rendered(as_text(data)), 72 + seed % 9)


def html_text(data, seed):
    """A page as rendered text."""
    yield wrapped(rendered(as_text(data)), 72 + seed % 9)


def sword_texts(read, name):
    """The entries of a SWORD module of the compressed kinds, in runs.

    The module has three files: the blocks (`?zz`), their index (`?zs`: offset
    and size) and the index of entries (`?zv`: block, start, size).
    """
    stem = name[:-2]
    blocks = [zlib.decompress(read(name)[start:start + size])
              for start, size, _ in struct.iter_unpack("<III", read(stem + "zs"))]
    entries, last, index = [], None, read(stem + "zv")
    # Entries have 10 or 12 bytes; both Testaments have a fixed number of them.
    form = "<IIH" if len(index) in (241150, 82460) else "<III"
    for block, start, size in struct.iter_unpack(form, index):
        if size and (block, start) != last and block < len(blocks):
            last = block, start
            entry = re.sub(r"(?is)<(note|title)\b.*?</\1>", "", as_text(blocks[block][start:start + size]))
            entry = re.sub(r"(?i)<(br|lb|p|l|/p|/div)\b[^>]*>", "\n", entry)
            entry = html.unescape(re.sub(r"<[^>]*>", "", entry))
            entries.append(re.sub(r"\n\s*\n+", "\n\n", re.sub(r"[ \t]+", " ", entry)).strip())
    choices, run = Choices(zlib.crc32(name.encode()) + 1), []
    target = 200
    for entry in entries:
        run.append(entry)
        if sum(map(len, run)) > target:
            yield "\n".join(run) + "\n"
            run, target = [], choices.of([200, 1000, 4000, 16000])


def r_strings(data, seed):
    """The strings of a saved R object, each vector a text with a string a line."""
    lines, at = [], 0
    while (at := data.find(b"\x00\x09", at)) >= 0:
        flags, size = data[at - 2:at], int.from_bytes(data[at + 2:at + 6], "big")
        if flags[:1] == b"\x00" and size < 1 << 20 and at + 6 + size <= len(data):
            lines.append(as_text(data[at + 6:at + 6 + size]))
            at += 6 + size
        else:
            at += 2
    yield "\n".join(lines) + "\n"


def metamath_comments(data, seed):
    """The comments of a Metamath database: mathematics told in English."""
    for comment in re.findall(r"\$\((.*?)\$\)", as_text(data), re.S):
        comment = re.sub(r"\([^()]*\d{1,2}-[A-Z][a-z]{2}-\d{4}\.?\)", "", comment)  # who, when
        comment = re.sub(r"[~`_]\s?", "", comment)
        comment = re.sub(r"\n[ ]+", "\n", comment).strip()
        if len(comment) > 200 and "." in comment:
            yield comment + "\n"


def dictionary(data, seed):
    """A dictd dictionary: entries (their first lines are not indented), in runs."""
    entries = re.split(r"\n(?=\S)", as_text(data))
    choices, at = Choices(seed), 0
    while at < len(entries):
        count = choices.of([1, 1, 3, 10, 60])
        yield "\n".join(entries[at:at + count]) + "\n"
        at += count


def runs_of_lines(data, seed):
    """Lines in runs of one to some hundreds, whatever they hold."""
    lines = as_text(data).split("\n")
    choices, at = Choices(seed), 0
    while at < len(lines):
        count = choices.of([1, 2, 5, 20, 100, 400])
        yield "\n".join(lines[at:at + count]) + "\n"
        at += count


def csv_runs(data, seed):
    """A table cut into short tables, each with the header line."""
    lines = as_text(data).splitlines()
    choices, at = Choices(seed), 1
    while at < len(lines):
        count = choices.of([2, 8, 30, 150, 800])
        yield "\n".join(lines[:1] + lines[at:at + count]) + "\n"
        at += count


def csv_column(data, seed):
    """The `text` column of a table (inside a zip file if need be), in runs."""
    if data[:2] == b"PK":
        archive = zipfile.ZipFile(io.BytesIO(data))
        data = b"".join(archive.read(n) for n in archive.namelist() if n.endswith(".csv"))
    choices, run, target = Choices(seed), [], 500
    csv.field_size_limit(1 << 24)
    for row in csv.DictReader(io.StringIO(as_text(data), newline="")):
        run.append((row.get("text") or "").strip())
        if sum(map(len, run)) > target:
            text = "\n\n".join(run) + "\n"
            yield wrapped(text, 76) if choices.below(2) else text
            run, target = [], choices.of([300, 2000, 8000, 30000])


def siblings(value):
    """The largest group of like objects in a JSON value, two levels deep or more."""
    best, queue = [], [(value, 0)]
    while queue:
        node, depth = queue.pop()
        if isinstance(node, dict):
            below = list(node.values())
            named = [dict([("id", k), *v.items()]) for k, v in node.items() if isinstance(v, dict)]
        elif isinstance(node, list):
            below, named = node, [v for v in node if isinstance(v, dict)]
        else:
            continue
        if len(named) > len(best):
            best = named
        if depth < 3:
            queue += [(v, depth + 1) for v in below]
    return best


def json_records(data, seed):
    """Objects of a JSON file as records: singly, as NDJSON, or as an array."""
    records = siblings(json.loads(data))
    choices, at = Choices(seed), 0
    while at < len(records):
        count = choices.of([1, 1, 1, 2, 4, 10, 50, 300])
        part = records[at:at + count]
        at += count
        form = choices.below(4)
        tight = (",", ":") if choices.below(2) else None
        ascii_only = choices.below(2) == 0
        if form == 0:
            yield json.dumps(part if count > 1 else part[0], indent=choices.of([2, 4]),
                             ensure_ascii=ascii_only) + "\n"
        elif form == 1 and count > 1:
            yield json.dumps(part, separators=tight, ensure_ascii=ascii_only) + "\n"
        else:
            yield "".join(json.dumps(p, separators=tight, ensure_ascii=ascii_only) + "\n"
                          for p in part)


def json_documents(data, seed):
    """A JSON file written out again with indents of 2, of 4, or none."""
    value = json.loads(data)
    form = seed % 4
    yield json.dumps(value, indent=[2, 2, 4, None][form], ensure_ascii=seed % 8 == 7,
                     separators=(",", ":") if form == 3 else None) + "\n"


def json_prose(data, seed):
    """The long descriptions in a JSON file, as paragraphs of text."""
    found, queue = [], [json.loads(data)]
    while queue:
        node = queue.pop()
        if isinstance(node, dict):
            for key, value in node.items():
                if isinstance(value, str):
                    if key in ("documentation", "description", "desc") and len(value) > 120:
                        found.append(value)
                else:
                    queue.append(value)
        elif isinstance(node, list):
            queue += node
    choices, run, target = Choices(seed), [], 400
    for text in dict.fromkeys(found):
        run.append(rendered(text).strip() if "<" in text else text.strip())
        if sum(map(len, run)) > target:
            text = "\n\n".join(run) + "\n"
            yield wrapped(text, 79) if choices.below(2) else text
            run, target = [], choices.of([200, 1500, 6000, 20000])


def message_list(data, seed):
    """The strings of a list of messages in a script, a line each, in runs."""
    text = as_text(data)
    strings = json.loads(text[text.index("["):text.rindex("]") + 1])
    lines = dict.fromkeys(s.replace("\n", " ") for s in strings if isinstance(s, str))
    yield from runs_of_lines("\n".join(lines).encode(), seed)


def wordnet(data, seed):
    """WordNet's data file: the words of a set and its gloss, in runs."""
    out = []
    for line in as_text(data).split("\n"):
        head, bar, gloss = line.partition(" | ")
        fields = head.split()
        if bar and not line.startswith(" "):
            count = int(fields[3], 16)
            words = [fields[4 + 2 * i].replace("_", " ") for i in range(count)]
            out.append(f"{', '.join(words)}: {gloss.strip()}")
    yield from runs_of_lines("\n".join(out).encode(), seed)


EXTRACTORS = {f.__name__.replace("_", "-"): f for f in (
    plain, paragraphs, html_mixed, html_text, r_strings, metamath_comments, dictionary,
    runs_of_lines, csv_runs, csv_column, json_records, json_documents, json_prose, message_list, wordnet)}


def contents(path, patterns):
    """The members that match, each as bytes; SWORD modules as their text."""
    rule = {"files": patterns, "as": "sword" if patterns == ["*zz"] else "plain"}
    for _, _, text in documents(path, [rule]):
        yield text.encode() if isinstance(text, str) else text


def documents(path, rules):
    """Triples of a rule, a member's name and a document, for a whole archive."""
    wanted = [r for r in rules if r["as"] == "sword"]
    if wanted:
        files = {name: read for name, read in members(path)}
        data = {n: read() for n, read in files.items() if re.search(r"\.[bc]z[szv]$", n)}
        for rule in wanted:
            for name in sorted(n for n in data if n.endswith("zz") and matches(n, rule["files"])):
                for text in sword_texts(data.get, name):
                    yield rule, name, text
    for name, read in members(path):
        for rule in rules:
            if rule["as"] == "sword" or not matches(name, rule["files"]):
                continue
            if matches(name, rule.get("but", [])):
                continue
            data = unpacked(name, read())
            seed = zlib.crc32(name.encode()) * 2654435761 + len(data)
            try:
                for text in EXTRACTORS[rule["as"]](data, seed):
                    yield rule, name, text
            except (ValueError, KeyError, RecursionError):
                pass  # not what its name says
            if rule.get("last", True):
                break
