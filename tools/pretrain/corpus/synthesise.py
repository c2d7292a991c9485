"""Generated records: logs, configuration, JSON, CSV and the like.

Registries hold few logs, so logs are made here.  Every document comes from an
invented program of its own: its names, fields, messages and clock are drawn
once, and its lines repeat them with other values, as in a real log.  Lengths
go from a single line to thousands.  All names are from the invented lists
below; the same seed gives the same documents.

Run as a program it prints some documents.
"""

import datetime
import json
import random
import sys

SYLLABLES = (
    "ar bel cor dan el far gal har in jor kel lan mer nor ol per qua ren sol tor ul ver wen xan yor zel "
    "mi ta lo ri ne sa do vi ka lu pe ro ti na"
).split()
NOUNS = (
    "account address alarm alert archive asset backup batch block board bucket buffer build bundle cache "
    "campaign cart catalog certificate chain channel chart chunk client cluster column command commit "
    "connection consumer container contract cookie counter credential cursor customer dashboard database "
    "dataset delivery deployment device digest directory disk document domain draft driver element endpoint "
    "entity entry event export feature feed field file filter firmware folder form frame gateway graph group "
    "handler header health host image import index input instance interface inventory invoice item job key "
    "label layer lease library license link listener locale lock log loop machine mailbox manifest map market "
    "member memory menu message meter metric migration mirror model module monitor mount network node note "
    "object offer offset order output owner package packet page partition patch path payment peer permission "
    "pipeline plan player plugin point policy pool port post price printer process producer product profile "
    "project proposal protocol provider proxy query queue quota range rate reader receipt record region "
    "registry relay release replica report repository request reservation resource response result role "
    "rollup route router row rule sample schedule schema scope script search secret section segment sensor "
    "sequence server service session shard shipment signal site slot snapshot socket source stack stage state "
    "station status step stock storage store stream subscription summary switch table tag target task team "
    "template tenant term test thread ticket tile timer token topic trace tracker traffic transaction transfer "
    "tree trigger tunnel unit update upload user value vault vehicle vendor version view volume wallet watcher "
    "webhook window worker workflow zone"
).split()
VERBS = (
    "accept acquire add allocate apply archive assign attach authorize bind build cancel check close collect "
    "commit compact compile compress compute configure confirm connect copy create decode delete deliver "
    "deploy detach detect disable discard discover dispatch download drain drop enable encode enqueue "
    "evaluate evict execute expire export extract fetch flush forward generate import index initialize "
    "insert install invalidate join launch listen load lock merge migrate modify mount move normalize notify "
    "open parse patch pause persist poll prepare process provision publish pull purge push read rebalance "
    "receive reconnect recover refresh register reject release reload remove rename render renew repair "
    "replace replicate report request reschedule reset resize resolve restart restore resume retry return "
    "revoke rotate route run save scale scan schedule seal select send serve shut sign skip sort split start "
    "stop store submit subscribe suspend sync terminate transfer transform trim unlock unmount update upgrade "
    "upload validate verify wait warm write"
).split()
ADJECTIVES = (
    "active amber annual average basic big blue brief bright broken calm central clean clear cold common "
    "custom daily dark deep default direct dry early empty external fast final first flat free fresh full "
    "global gold green grey half hard heavy high hourly idle inner internal large late legacy light live "
    "local long low main major manual minor mobile monthly narrow new next old open outer partial plain "
    "primary private public quick quiet rapid raw red regular remote safe second secure shared sharp short "
    "silent silver simple single slow small smart soft solid special stable static strong temporary thin "
    "third tiny total true upper urgent virtual warm weekly white wide wild young"
).split()
REASONS = (
    "timeout",
    "connection refused",
    "connection reset by peer",
    "permission denied",
    "not found",
    "no such file or directory",
    "checksum mismatch",
    "quota exceeded",
    "invalid argument",
    "unexpected end of file",
    "disk full",
    "out of memory",
    "already exists",
    "version conflict",
    "rate limited",
    "bad gateway",
    "name resolution failed",
    "certificate expired",
    "broken pipe",
    "deadline exceeded",
    "unsupported format",
    "locked by another process",
    "stale handle",
    "null value",
)
EXTENSIONS = "conf csv dat db gz html jpg js json log md pdf png py rs sock sql svg tar tmp txt xml yaml zip".split()
TOP = "com org net io dev test example info eu de fr pl it es".split()
AGENTS = (
    "Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101 Firefox/{}.0",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{}.0.0.0 Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS {}_2 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148",
    "curl/7.{}.0",
    "python-requests/2.{}.1",
    "Go-http-client/1.1",
    "okhttp/4.{}.0",
    "Wget/1.{}",
    "-",
)
LENGTHS = 8 * (1,) + 3 * (2, 3, 5, 8) + 2 * (1, 15, 30, 60) + (120, 250, 500)


class World:
    """The names and the clock of one invented program."""

    def __init__(self, rng):
        self.rng = rng
        self.time = datetime.datetime(2015, 1, 1) + datetime.timedelta(
            seconds=rng.randrange(400_000_000), microseconds=rng.randrange(10**6)
        )
        self.pace = 10 ** rng.uniform(-3, 2.5)
        self.hosts = [self.host() for _ in range(rng.choice((1, 1, 2, 4)))]
        self.addresses = [self.new_address() for _ in range(rng.choice((1, 3, 10, 40)))]
        self.users = [self.word() for _ in range(rng.choice((2, 5, 12)))]
        self.paths = [self.new_path() for _ in range(rng.choice((2, 6, 20)))]
        self.modules = [self.new_module() for _ in range(rng.choice((1, 3, 8)))]
        self.pids = [rng.randrange(100, 99999) for _ in range(rng.choice((1, 2, 5)))]
        self.counter = rng.randrange(10 ** rng.randrange(1, 9))

    def word(self):
        return "".join(self.rng.choice(SYLLABLES) for _ in range(self.rng.choice((2, 2, 3))))

    def noun(self):
        return self.rng.choice(NOUNS)

    def host(self):
        r = self.rng
        return r.choice(
            (
                f"{self.noun()}-{r.randrange(1, 30):02}",
                self.word(),
                f"{self.word()}{r.randrange(1, 9)}",
                f"{self.noun()}{r.randrange(1, 99)}.{self.word()}.{r.choice(TOP)}",
                f"ip-10-{r.randrange(256)}-{r.randrange(256)}-{r.randrange(256)}",
            )
        )

    def new_address(self):
        r = self.rng
        first = r.choice(("10", "192.168", "172.16", "203.0.113", "198.51.100", "127.0.0"))
        return ".".join([first] + [str(r.randrange(1, 255)) for _ in range(3 - first.count("."))])

    def new_path(self):
        r = self.rng
        parts = [
            r.choice((self.noun(), self.noun() + "s", self.word(), f"v{r.randrange(1, 4)}"))
            for _ in range(r.randrange(1, 5))
        ]
        end = "." + r.choice(EXTENSIONS) if r.random() < 0.4 else ""
        return "/" + "/".join(parts) + end

    def new_module(self):
        r = self.rng
        parts = [r.choice((self.noun(), self.word())) for _ in range(r.randrange(1, 4))]
        return (
            r.choice(".::/-_").join(parts).replace(":", "::") if r.random() < 0.7 else "".join(p.title() for p in parts)
        )

    def hexadecimal(self, digits):
        return f"{self.rng.getrandbits(4 * digits):0{digits}x}"

    def uuid(self):
        h = self.hexadecimal(32)
        return f"{h[:8]}-{h[8:12]}-4{h[13:16]}-a{h[17:20]}-{h[20:]}"

    def tick(self):
        self.time += datetime.timedelta(seconds=self.rng.expovariate(1) * self.pace)
        return self.time

    def value(self, kind):
        """A value as it stands in messages."""
        r = self.rng
        self.counter += 1
        if kind == "user":
            return r.choice(self.users)
        if kind == "path":
            return r.choice(self.paths)
        if kind == "address":
            return r.choice(self.addresses)
        return {
            "int": lambda: str(int(10 ** r.uniform(0, 6))),
            "small": lambda: str(r.randrange(12)),
            "id": lambda: str(self.counter),
            "hex": lambda: self.hexadecimal(r.choice((6, 8, 16))),
            "ms": lambda: f"{10 ** r.uniform(0, 4):.{r.randrange(3)}f}ms",
            "size": lambda: f"{r.randrange(1, 999)} {r.choice(('B', 'KB', 'MB'))}",
            "percent": lambda: f"{r.randrange(101)}%",
            "host": lambda: r.choice(self.hosts),
            "uuid": self.uuid,
            "port": lambda: str(r.randrange(1024, 65536)),
            "reason": lambda: r.choice(REASONS),
        }[kind]()


def past(verb):
    """The past form as logs have it."""
    irregular = {
        "send": "sent",
        "build": "built",
        "read": "read",
        "write": "wrote",
        "run": "ran",
        "shut": "shut",
        "split": "split",
        "bind": "bound",
        "drop": "dropped",
        "stop": "stopped",
        "skip": "skipped",
        "trim": "trimmed",
        "submit": "submitted",
        "commit": "committed",
        "scan": "scanned",
        "transfer": "transferred",
    }
    if verb in irregular:
        return irregular[verb]
    if verb.endswith("e"):
        return verb + "d"
    return verb[:-1] + "ied" if verb.endswith("y") and verb[-2] not in "aeo" else verb + "ed"


def message_template(world):
    """One message of a program, its values still to come: level and parts."""
    r = world.rng
    noun, other, verb = world.noun(), world.noun(), r.choice(VERBS)
    kinds = ("int", "small", "id", "hex", "user", "path", "address", "uuid", "port", "host")
    a, b = "{" + r.choice(kinds) + "}", "{" + r.choice(kinds) + "}"
    shapes = (
        f"{past(verb)} {noun} {a}",
        f"{past(verb)} {noun} {a} in {{ms}}",
        f"{verb} {noun} {a} for {other} {b}",
        f"{noun} {a} {past(verb)}",
        f"{noun} {a} {past(verb)} by {{user}}",
        f"{past(verb)} {{int}} {noun}s from {{path}}",
        f"starting {noun} {a}",
        f"{noun} {a} is {r.choice(ADJECTIVES)}",
        f"{noun}={a} {other}={b}",
        f"{noun}: {past(verb)} ({other} {a})",
        f"{r.choice(ADJECTIVES)} {noun} {past(verb)}",
        f"no {noun} for {other} {a}, using {r.choice(ADJECTIVES)} one",
        f"{noun} usage at {{percent}} ({{size}} of {{size}})",
        f"connection from {{address}}:{{port}} {past(verb)}",
        f"{verb} {{path}} took {{ms}}",
        f"{{user}} {past(verb)} {noun} {a}",
        f"{noun} [{a}] {past(verb)}, {{small}} {other}s left",
        f"{verb.title()}ing {noun} {a}..." if not verb.endswith("e") else f"{verb.title()[:-1]}ing {noun} {a}...",
    )
    if r.random() < 0.25:
        return r.choice(("WARN", "ERROR")), r.choice(
            (
                f"failed to {verb} {noun} {a}: {{reason}}",
                f"could not {verb} {{path}}: {{reason}}",
                f"{noun} {a}: {{reason}}",
                f"{verb} of {noun} {a} failed after {{small}} attempts: {{reason}}",
                f"retrying {noun} {a} in {{ms}} ({{reason}})",
                f"error while trying to {verb} {noun} from {{host}}: {{reason}}",
            )
        )
    text = r.choice(shapes)
    return r.choice(("INFO", "INFO", "INFO", "DEBUG", "TRACE", "NOTICE")), (
        text[0].upper() + text[1:] if r.random() < 0.5 else text
    )


class Messages:
    """The messages of one program: few are said often, many now and then."""

    def __init__(self, world):
        self.world, r = world, world.rng
        self.templates = [
            message_template(world) + (r.choice(world.modules), r.randrange(10, 900))
            for _ in range(r.choice((2, 4, 8, 20, 50)))
        ]
        self.weights = [r.paretovariate(0.8) for _ in self.templates]
        self.last = self.templates[0]

    def draw(self):
        """Level, text, module and line of the next message."""
        if self.world.rng.random() > 0.15:
            self.last = self.world.rng.choices(self.templates, self.weights)[0]
        level, text, module, line = self.last
        out = []
        for part in text.split("{"):
            kind, brace, rest = part.partition("}")
            out.append(self.world.value(kind) + rest if brace else part)
        return level, "".join(out), module, line


# Logs: each makes a function that gives the next line.


def syslog(w, m):
    program, form = w.rng.choice((w.word() + "d", w.noun() + "d", w.noun())), w.rng.randrange(3)

    def line():
        t, (_, text, module, _) = w.tick(), m.draw()
        pid = w.rng.choice(w.pids)
        if form == 0:
            return f"{t:%b} {t.day:2} {t:%H:%M:%S} {w.rng.choice(w.hosts)} {program}[{pid}]: {text}"
        if form == 1:
            return f"<{w.rng.choice((13, 14, 30, 134, 165))}>1 {t:%Y-%m-%dT%H:%M:%S.%f}Z {w.rng.choice(w.hosts)} {program} {pid} - - {text}"
        return f"{t:%Y-%m-%dT%H:%M:%S}+0{w.rng.choice((1, 1, 2))}:00 {w.rng.choice(w.hosts)} {program}[{pid}]: {text}"

    return line


def application(w, m):
    r = w.rng
    stamp = r.choice(
        (
            "%Y-%m-%d %H:%M:%S,{ms}",
            "%Y-%m-%d %H:%M:%S.{ms}",
            "%Y-%m-%dT%H:%M:%S.{ms}Z",
            "%d/%b/%Y %H:%M:%S",
            "%H:%M:%S.{ms}",
            "%Y/%m/%d %H:%M:%S",
            "%m-%d %H:%M:%S.{ms}",
            "%d.%m.%Y %H:%M:%S",
            "%y%m%d %H%M%S",
            "{unix}",
        )
    )
    shape = r.choice(
        (
            "{t} {l} [{m}] {x}",
            "{t} [{l}] {m}: {x}",
            "[{t}] [{l}] {x}",
            "{t} - {m} - {l} - {x}",
            "{t} {l:5} {m} - {x}",
            "[{t}] {l} -- {m}: {x}",
            "{l}:{m}:{x}",
            "{t}|{l}|{m}|{x}",
            "{t} {l} {p} --- [{th}] {m} : {x}",
            "{t} {p} {l} {m}:{n} {x}",
            "{t} [{th}] {l} {m} - {x}",
            "{k}{t} {p} {m}:{n}] {x}",
            "{t}\t{l}\t{m}\t{x}",
            "{l} {t} {x} ({m}.c:{n})",
            "{t} {l} {m} {x}",
            "{t} {x}",
        )
    )
    lower, width = r.random() < 0.3, r.choice((3, 3, 6))
    threads = [f"{w.noun()}-{i}" for i in range(r.choice((1, 4, 12)))] + ["main"]

    def line():
        t, (level, text, module, number) = w.tick(), m.draw()
        when = t.strftime(
            stamp.replace("{ms}", f"{t.microsecond:06}"[:width]).replace("{unix}", f"{t.timestamp():.{width}f}")
        )
        return shape.format(
            t=when,
            l=level.lower() if lower else level,
            m=module,
            x=text,
            p=r.choice(w.pids),
            n=number,
            th=r.choice(threads),
            k=level[0],
        )

    return line


def access(w, m):
    r, form = w.rng, w.rng.randrange(4)
    agents = [r.choice(AGENTS).format(r.randrange(10, 130)) for _ in range(r.choice((1, 3, 8)))]
    paths = [w.new_path() for _ in range(r.choice((3, 12, 40)))]
    weights = [r.paretovariate(1) for _ in paths]
    site = f"https://{w.word()}.{r.choice(TOP)}"

    def line():
        t, path = w.tick(), r.choices(paths, weights)[0]
        if r.random() < 0.2:
            path += f"?{w.noun()}={w.value('int')}"
        request = f"{r.choices(('GET', 'POST', 'HEAD', 'PUT', 'DELETE'), (70, 15, 3, 3, 2))[0]} {path} HTTP/{r.choice(('1.1', '1.1', '2.0'))}"
        status, size = r.choices((200, 204, 301, 304, 400, 401, 404, 500, 503), (70, 3, 4, 10, 2, 2, 6, 1, 1))[0], int(
            10 ** r.uniform(1, 5)
        )
        start = f'{r.choice(w.addresses)} - {r.choice(w.users) if r.random() < 0.05 else "-"} [{t:%d/%b/%Y:%H:%M:%S} +0000] "{request}" {status} {size}'
        if form == 0:
            return start
        if form == 1:
            return f'{start} "{r.choice((site + r.choice(paths), "-"))}" "{r.choice(agents)}"'
        if form == 2:
            return f'{start} "-" "{r.choice(agents)}" {r.expovariate(20):.3f} {r.choice(w.hosts)}:8080'
        return f"{t:%Y-%m-%d %H:%M:%S} {r.choice(w.addresses)} {request.split()[0]} {path} {status} {size} {r.expovariate(0.02):.0f}"

    return line


def json_log(w, m):
    r = w.rng
    names = [
        r.choice(n)
        for n in (
            ("time", "ts", "timestamp", "@timestamp", "t"),
            ("level", "severity", "lvl", "log.level"),
            ("msg", "message", "event"),
            ("logger", "module", "component", "caller", "service"),
        )
    ]
    extra = fields(w, r.randrange(4))
    form, tight = r.randrange(3), (",", ":") if r.random() < 0.7 else None
    order = r.sample(range(4), 4) if r.random() < 0.5 else range(4)

    def line():
        t, (level, text, module, _) = w.tick(), m.draw()
        when = (t.isoformat() + "Z", round(t.timestamp(), 3), int(t.timestamp() * 1000))[form]
        values = when, level.lower(), text, module
        row = {names[i]: values[i] for i in order}
        row.update({n: f() for n, f in extra})
        return json.dumps(row, separators=tight)

    return line


def key_value(w, m):
    r = w.rng
    extra, quote = fields(w, r.randrange(1, 7), flat=True), r.random() < 0.5
    stamp = r.choice(("time={}", "ts={}", "{}", "timestamp={}"))

    def line():
        t, (level, text, module, _) = w.tick(), m.draw()
        rest = " ".join(
            f'{n}={json.dumps(v) if quote or " " in str(v) else v}' for n, v in ((n, f()) for n, f in extra)
        )
        return f'{stamp.format(t.strftime("%Y-%m-%dT%H:%M:%SZ"))} level={level.lower()} msg="{text}" {rest}'

    return line


def kernel(w, m):
    r, up = w.rng, [w.rng.uniform(0, 9e4)]
    devices = [
        f"{r.choice(('usb', 'sd', 'eth', 'pci', 'nvme', 'tty', 'i2c', 'acpi'))}{r.choice(('', ' 1-1', '0', '1', ' 0000:00:1f.2'))}"
        for _ in range(4)
    ]
    chain = f"{w.word().upper()}-{r.choice(('DROP', 'IN', 'OUT'))}"
    firewall = r.random() < 0.4

    def line():
        up[0] += r.expovariate(1) * w.pace
        if firewall:
            return (
                f"[{up[0]:12.6f}] {chain}: IN=eth0 OUT= SRC={r.choice(w.addresses)} DST={w.addresses[0]} LEN={r.randrange(40, 1500)} TOS=0x00 "
                f"PREC=0x00 TTL={r.randrange(32, 128)} ID={r.randrange(65536)} DF PROTO=TCP SPT={r.randrange(1024, 65536)} DPT={r.choice((22, 80, 443, 8080))} WINDOW={r.choice((1024, 14600, 29200, 65535))} SYN"
            )
        return f"[{up[0]:12.6f}] {r.choice(devices)}: {m.draw()[1]}"

    return line


def metrics(w, m):
    r, form = w.rng, w.rng.randrange(3)
    names = [
        f"{w.noun()}_{w.noun()}_{r.choice(('total', 'bytes', 'seconds', 'count', 'ratio'))}"
        for _ in range(r.choice((1, 4, 12)))
    ]
    label, values = w.noun(), {}

    def line():
        name, t = r.choice(names), w.tick()
        values[name] = values.get(name, 10 ** r.uniform(0, 5)) * r.uniform(0.98, 1.05)
        if form == 0:
            return f'{name}{{{label}="{r.choice(w.users)}",instance="{r.choice(w.hosts)}:9100"}} {values[name]:.6g}'
        if form == 1:
            return f"{name},host={r.choice(w.hosts)},{label}={r.choice(w.users)} value={values[name]:.3f} {int(t.timestamp() * 1e9)}"
        return f"{t:%Y-%m-%d %H:%M:%S}  {name:40} {values[name]:14.2f}"

    return line


def trace(w, m):
    """A message now and then with a stack trace below it."""
    r, head, form = w.rng, application(w, m), w.rng.randrange(3)
    frames = [(w.new_module().replace("/", "."), w.noun(), r.randrange(5, 900)) for _ in range(14)]

    def line():
        if r.random() > 0.2:
            return head()
        start = r.randrange(len(frames) - 3)
        part = frames[start : start + r.randrange(2, 9)]
        name = r.choice(("Timeout", "Value", "Key", "Runtime", "State", "Format", "Access"))
        if form == 0:
            return "\n".join(
                [head(), f"java.lang.{name}Exception: {r.choice(REASONS)}"]
                + [f"\tat com.{w.users[0]}.{a}.{b}({b.title()}.java:{n})" for a, b, n in part]
            )
        if form == 1:
            return "\n".join(
                [head(), "Traceback (most recent call last):"]
                + [
                    f'  File "/opt/{w.users[0]}/{b}.py", line {n}, in {a.split(".")[-1]}\n    {b}.{r.choice(VERBS)}({b})'
                    for a, b, n in part
                ]
                + [f"{name}Error: {r.choice(REASONS)}"]
            )
        return "\n".join(
            [head()] + [f"  #{i} 0x{w.hexadecimal(12)} in {b}_{a} src/{b}.c:{n}" for i, (a, b, n) in enumerate(part)]
        )

    return line


def build_output(w, m):
    r = w.rng
    names, done, form = [f"{w.noun()}-{w.noun()}" for _ in range(30)], [0], r.randrange(4)
    total = r.randrange(30, 2000)

    def line():
        done[0] = done[0] % total + 1
        name = r.choice(names)
        version = f"{r.randrange(9)}.{r.randrange(30)}.{r.randrange(20)}"
        if form == 0:
            return f"{r.choice(('   Compiling', '    Checking', ' Downloading', '  Downloaded'))} {name} v{version}"
        if form == 1:
            return f"[{100 * done[0] // total:3}%] Building C object src/CMakeFiles/{names[0]}.dir/{name.replace('-', '_')}.c.o"
        if form == 2:
            return f"test {name.replace('-', '::')}_{r.choice(VERBS)} ... {r.choices(('ok', 'FAILED', 'ignored'), (60, 2, 1))[0]}"
        t = w.tick()
        return f"{t:%Y-%m-%d %H:%M:%S} {r.choice(('status installed', 'configure', 'upgrade', 'status unpacked', 'trigproc'))} lib{name}:amd64 {version}-{r.randrange(1, 9)}"

    return line


LOGS = (
    syslog,
    application,
    application,
    application,
    access,
    json_log,
    json_log,
    key_value,
    kernel,
    metrics,
    trace,
    build_output,
)


# Records


def fields(w, count, flat=False):
    """Names of fields and functions giving their next values."""
    r, out = w.rng, {}
    while len(out) < count:
        noun = w.noun()
        name = r.choice(
            (noun, noun + "_id", f"{noun}_{w.noun()}", noun + w.noun().title(), f"{r.choice(ADJECTIVES)}_{noun}")
        )
        out[name] = maker(w, noun, flat)
    return list(out.items())


def maker(w, noun, flat):
    """A function giving values of one kind, drawn at random."""
    r, base = w.rng, 10 ** w.rng.uniform(0, 6)
    few = [r.choice((w.noun(), w.word(), r.choice(ADJECTIVES))) for _ in range(r.randrange(2, 9))]
    start = [r.randrange(100000)]
    places = r.randrange(1, 5)

    def count():
        start[0] += 1
        return start[0]

    simple = (
        count,
        lambda: r.choice(few),
        lambda: r.choice(few),
        lambda: int(r.expovariate(1) * base),
        lambda: round(r.gauss(base, base / 4), places),
        lambda: r.random() < 0.7,
        lambda: w.tick().strftime("%Y-%m-%dT%H:%M:%SZ"),
        lambda: w.tick().strftime("%Y-%m-%d"),
        w.uuid,
        lambda: w.hexadecimal(12),
        w.word,
        lambda: f"{r.choice(ADJECTIVES)} {w.noun()}",
        lambda: r.choice(w.addresses),
        lambda: f"https://{w.users[0]}.example/{noun}/{r.randrange(100000)}",
        lambda: int(w.tick().timestamp()),
        lambda: r.randrange(100),
    )
    if flat or r.random() < 0.75:
        return r.choice(simple)
    if r.random() < 0.4:
        one = r.choice(simple)
        return lambda: [one() for _ in range(r.randrange(5))]
    if r.random() < 0.3:
        return lambda: None if r.random() < 0.5 else r.choice(few)
    inner = fields(w, r.randrange(1, 5))
    return lambda: {n: f() for n, f in inner}


def rows(w, count, flat=False):
    row = fields(w, w.rng.randrange(2, 13), flat)
    return [{n: f() for n, f in row} for _ in range(count)]


def json_text(w, count):
    r = w.rng
    data, tight = rows(w, count), (",", ":") if r.random() < 0.5 else None
    form = r.randrange(4)
    if form == 0:
        return json.dumps(data if count > 1 else data[0], indent=r.choice((2, 2, 4))) + "\n"
    if form == 1:
        return json.dumps({"total": count, w.noun() + "s": data, "next": None}, separators=tight)
    return "".join(json.dumps(d, separators=tight) + "\n" for d in data)


def csv_text(w, count):
    data, separator = rows(w, count, flat=True), w.rng.choice(",,,;\t|")
    head = separator.join(data[0]) + "\n" if w.rng.random() < 0.9 else ""
    return head + "".join(separator.join(str(v) for v in d.values()) + "\n" for d in data)


def yaml_lines(value, indent):
    pad = "  " * indent
    for name, v in value.items():
        if isinstance(v, dict) and v:
            yield f"{pad}{name}:"
            yield from yaml_lines(v, indent + 1)
        elif isinstance(v, list) and v:
            yield f"{pad}{name}:"
            yield from (f"{pad}  - {json.dumps(i) if isinstance(i, dict) else i}" for i in v)
        else:
            yield f"{pad}{name}: {str(v).lower() if isinstance(v, bool) or v is None else v}".replace(
                ": none", ": null"
            )


def yaml_text(w, count):
    out = []
    for d in rows(w, count):
        lines = list(yaml_lines(d, 1))
        out.append("- " + lines[0][2:])
        out += lines[1:]
    return f"{w.noun()}s:\n" + "\n".join(out) + "\n" if w.rng.random() < 0.5 else "\n".join(out) + "\n"


def xml_text(w, count):
    r, name, data = w.rng, w.noun(), rows(w, count, flat=True)
    attributes = r.random() < 0.4
    out = ['<?xml version="1.0" encoding="UTF-8"?>', f"<{name}s>"]
    for d in data:
        if attributes:
            out.append(f"  <{name} " + " ".join(f'{n}="{v}"' for n, v in d.items()) + "/>")
        else:
            out += [f"  <{name}>"] + [f"    <{n}>{v}</{n}>" for n, v in d.items()] + [f"  </{name}>"]
    return "\n".join(out + [f"</{name}s>", ""])


def sql_text(w, count):
    name, data = w.noun() + "s", rows(w, count, flat=True)

    def literal(v):
        return str(v).upper() if isinstance(v, bool) else str(v) if isinstance(v, (int, float)) else f"'{v}'"

    columns = ", ".join(data[0])
    return "".join(f"INSERT INTO {name} ({columns}) VALUES ({', '.join(map(literal, d.values()))});\n" for d in data)


def url_list(w, count):
    r = w.rng
    sites = [
        f"{r.choice(('http', 'https'))}://{r.choice(('www.', '', 'api.', w.word() + '.'))}{w.word()}.{r.choice(TOP)}"
        for _ in range(r.choice((1, 5, 40)))
    ]
    out = []
    for _ in range(count):
        query = (
            "?"
            + "&".join(
                f"{w.noun()}={r.choice((w.value('int'), w.word(), w.value('hex')))}" for _ in range(r.randrange(1, 4))
            )
            if r.random() < 0.3
            else ""
        )
        out.append(r.choice(sites) + (r.choice(w.paths) if r.random() < 0.4 else w.new_path()) + query)
    return "\n".join(out) + "\n"


def table_text(w, count):
    data = rows(w, count, flat=True)
    names = list(data[0])
    widths = [max(len(n), *(len(str(d[n])) for d in data)) for n in names]
    if w.rng.random() < 0.5:
        lines = [names, ["-" * k for k in widths]] + [[str(d[n]) for n in names] for d in data]
        return "".join("| " + " | ".join(c.ljust(k) for c, k in zip(x, widths)) + " |\n" for x in lines)
    return "".join(
        "  ".join(c.ljust(k) for c, k in zip(x, widths)).rstrip() + "\n"
        for x in [[n.upper() for n in names]] + [[str(d[n]) for n in names] for d in data]
    )


RECORDS = (
    json_text,
    json_text,
    json_text,
    json_text,
    csv_text,
    csv_text,
    csv_text,
    yaml_text,
    xml_text,
    sql_text,
    url_list,
    table_text,
)


# Configuration


def settings(w, count):
    """Sections of names and values in one of the common notations."""
    r, form = w.rng, w.rng.randrange(6)
    out = []
    for _ in range(max(1, count // 6)):
        section = f"{w.noun()}.{w.noun()}" if r.random() < 0.2 else w.noun()
        values = [(n, f()) for n, f in fields(w, r.randrange(2, 9), flat=True)]
        comment = f"{r.choice(VERBS).title()} the {r.choice(ADJECTIVES)} {w.noun()} before the {w.noun()} is {past(r.choice(VERBS))}."
        if r.random() < 0.4:
            out.append(("# ", "; ", "# ", "# ", "# ", "# ")[form] + comment)
        if form == 0:
            out += [f"[{section}]"] + [f"{n} = {json.dumps(v)}" for n, v in values] + [""]
        elif form == 1:
            out += [f"[{section}]"] + [f"{n}={v}" for n, v in values] + [""]
        elif form == 2:
            out += [f"{section}.{n.replace('_', '.')}={v}" for n, v in values]
        elif form == 3:
            out += [f"{section.upper()}_{n.upper()}={v}".replace(".", "_", 1) for n, v in values]
        elif form == 4:
            out += [f"{section} {{"] + [f"    {n} {v};" for n, v in values] + ["}", ""]
        else:
            out += (
                [f'resource "{section}" "{w.word()}" {{'] + [f"  {n} = {json.dumps(v)}" for n, v in values] + ["}", ""]
            )
    return "\n".join(out) + "\n"


def unit_file(w, count):
    r, name = w.rng, w.noun()
    return (
        f"[Unit]\nDescription={r.choice(ADJECTIVES).title()} {name} {w.noun()}\nAfter=network.target {w.noun()}.service\n\n[Service]\n"
        f"Type={r.choice(('simple', 'forking', 'oneshot', 'notify'))}\nUser={r.choice(w.users)}\nExecStart=/usr/bin/{name} --{w.noun()} {r.choice(w.paths)}\n"
        f"Restart={r.choice(('always', 'on-failure', 'no'))}\nRestartSec={r.randrange(1, 60)}\n\n[Install]\nWantedBy=multi-user.target\n"
    )


def server_blocks(w, count):
    r, out = w.rng, []
    for _ in range(max(1, count // 12)):
        out += [
            "server {",
            f"    listen {r.choice((80, 443, 8080))};",
            f"    server_name {w.word()}.{r.choice(TOP)};",
            f"    root /var/www{r.choice(w.paths)};",
        ]
        for _ in range(r.randrange(1, 5)):
            out += [
                f"    location {w.new_path()} {{",
                f"        proxy_pass http://{r.choice(w.addresses)}:{r.randrange(3000, 9000)};",
                f"        proxy_read_timeout {r.randrange(5, 300)}s;",
                "    }",
            ]
        out += ["}", ""]
    return "\n".join(out)


def deployment(w, count):
    r, out = w.rng, []
    for _ in range(max(1, count // 25)):
        name, port = f"{w.noun()}-{w.noun()}", r.randrange(3000, 9000)
        environment = "".join(
            f"            - name: {w.noun().upper()}_{w.noun().upper()}\n              value: \"{w.value('int')}\"\n"
            for _ in range(r.randrange(5))
        )
        out.append(
            f"apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: {name}\n  namespace: {w.users[0]}\nspec:\n  replicas: {r.randrange(1, 9)}\n"
            f"  selector:\n    matchLabels:\n      app: {name}\n  template:\n    metadata:\n      labels:\n        app: {name}\n    spec:\n      containers:\n"
            f"        - name: {name}\n          image: registry.{w.users[1]}.example/{name}:{r.randrange(9)}.{r.randrange(30)}.{r.randrange(9)}\n          ports:\n"
            f"            - containerPort: {port}\n"
            + (f"          env:\n{environment}" if environment else "")
            + f"          resources:\n            limits:\n              cpu: {r.randrange(1, 20) * 100}m\n              memory: {2 ** r.randrange(6, 12)}Mi\n"
        )
    return "---\n".join(out)


def host_table(w, count):
    r = w.rng
    if r.random() < 0.5:
        return "".join(f"{w.new_address()}\t{w.host()} {w.word()}\n" for _ in range(count))
    return "".join(
        f"{r.choice(('*/5', '0', str(r.randrange(60))))} {r.choice(('*', str(r.randrange(24))))} * * {r.choice('*12345')} {r.choice(w.users)} /usr/local/bin/{w.noun()}-{w.noun()} --{w.noun()} {r.choice(w.paths)}\n"
        for _ in range(count)
    )


CONFIGURATIONS = (settings, settings, settings, unit_file, server_blocks, deployment, host_table)


def document(rng):
    """One document: category, kind and text."""
    w, count = World(rng), rng.choice(LENGTHS)
    draw = rng.random()
    if draw < 0.7:
        kind = rng.choice(LOGS)
        line = kind(w, Messages(w))
        return "logs", kind.__name__, "\n".join(line() for _ in range(count)) + ("\n" if rng.random() < 0.9 else "")
    if draw < 0.87:
        kind = rng.choice(RECORDS)
        return "data", kind.__name__, kind(w, min(count, 600))
    kind = rng.choice(CONFIGURATIONS)
    return "logs", kind.__name__, kind(w, min(count, 250))


def documents(seed, size):
    """Documents until `size` bytes are made: category, a name, text."""
    made, number = 0, 0
    while made < size:
        category, kind, text = document(random.Random(seed * 1_000_003 + number))
        yield category, f"{number}-{kind}", text
        made += len(text)
        number += 1


if __name__ == "__main__":
    for _, name, text in documents(int(sys.argv[1]) if sys.argv[1:] else 1, 60_000):
        print(f"=== {name}\n{text[:1200]}")
