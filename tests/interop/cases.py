# SPDX-License-Identifier: Apache-2.0
"""What is asked: groups of steps, each group on clusters of its own, one of Quorate and one of etcd.

A step runs etcdctl and its exit code, output and errors are compared; or it starts one that runs on, waits for what it
says, tells it more, ends it. $name in an argument is a value of that side: $m1 (client address), $m1.peer, $m1.id,
$dir, or what an earlier step saved."""
import re
import signal as signals

import quorate

FORMATS = ("simple", "json", "fields", "table", "protobuf")

# Flags that no case sets, and why. (command, flag)
_TLS = "how the client dials; tests/e2e/engine_tls.py"
LEFT_OUT = {
    **{("(global)", flag): _TLS for flag in ("--cacert", "--cert", "--key", "--insecure-skip-tls-verify",
                                             "--insecure-transport")},
    **{("(global)", flag): "asks a name server" for flag in ("--discovery-srv", "--discovery-srv-name",
                                                            "--insecure-discovery")},
    **{("make-mirror", flag): _TLS for flag in ("--dest-cacert", "--dest-cert", "--dest-key",
                                                "--dest-insecure-transport")},
    **{("migrate", flag): "reads files of etcd 2, which no server of 3.x writes" for flag in (
        "--no-ttl", "--transformer", "--wal-dir")},
    **{(f"completion {shell}", "--no-descriptions"): "asks no server" for shell in ("bash", "fish", "powershell",
                                                                                     "zsh")},
}


class Step:
    """One thing that is done on both sides."""

    def __init__(self, kind, args=(), **more):
        self.kind, self.args = kind, list(args)
        self.at, self.stdin, self.name, self.until, self.signal, self.function = "m1", None, None, None, None, None
        self.save, self.masks, self.sort, self.any_code, self.env = {}, [], None, False, {}
        for key, value in more.items():
            setattr(self, key, value)

    def how(self):
        """The format of its output."""
        for i, arg in enumerate(self.args):
            if arg in ("-w", "--write-out") and i + 1 < len(self.args):
                return self.args[i + 1]
            if arg.startswith(("-w=", "--write-out=")):
                return arg.split("=", 1)[1]
        return "simple"

    def label(self):
        words = " ".join(self.args) or self.name or self.kind
        return re.sub(r"[\n|]", " ", words)[:120] + (f" at {self.at}" if self.at not in ("m1", None) else "")


class Group:
    """Steps on one cluster of each kind."""

    def __init__(self, name, steps, members=1, flags=None):
        self.name, self.members, self.flags = name, members, dict(flags or {})
        self.steps = []
        for step in steps:
            self.steps += step if isinstance(step, list) else [step]


def run(*args, **more):
    return Step("run", args, **more)


def formats(*args, only=FORMATS, **more):
    """The same in each format."""
    return [run(*args, "-w", how, **more) for how in only]


def start(name, *args, **more):
    return Step("start", args, name=name, **more)


def expect(name, pattern, **more):
    return Step("expect", name=name, until=pattern, **more)


def send(name, text):
    return Step("send", name=name, stdin=text)


def finish(name, signal=None, **more):
    """It ends: by a signal, or by the end of its input."""
    return Step("finish", name=name, signal=signal, **more)


def call(function):
    return Step("call", function=function)


# ---- answers whose order follows from ids that hold a time ----

def _blocks(lines, first):
    blocks = [[]]
    for line in lines:
        if line.startswith(first):
            blocks.append([])
        blocks[-1].append(line)
    return [line for block in blocks[:1] + sorted(blocks[1:], key=lambda b: [w for w in b if "ID" not in w])
            for line in block]


def sorted_output(out, how, by):
    """by: what of an entry does not depend on ids: a json key, or "line" for whole lines without numbers in hex."""
    text = out.decode("utf-8", "surrogateescape")
    text = "\n".join("ETCD_INITIAL_CLUSTER=" + ",".join(sorted(line.split("=", 1)[1].strip('"').split(",")))
                     if line.startswith("ETCD_INITIAL_CLUSTER=") else line for line in text.split("\n"))
    if how == "json":
        import json  # pylint: disable=import-outside-toplevel
        try:
            document = json.loads(text)
        except ValueError:
            return out
        for key, value in document.items():
            if isinstance(value, list):
                document[key] = sorted(value, key=lambda entry: str(entry.get(by)) if isinstance(entry, dict) else
                                       str(entry))
        text = json.dumps(document)
    elif how == "fields":
        text = "\n".join(_blocks(text.split("\n"), '"ID"'))
    elif by == "line":
        text = "\n".join(sorted(re.sub(r"127[.]0[.]0[.]1:\d+", "<a member>", line) for line in text.split("\n")))
    elif how in ("simple", "table"):
        lines = text.split("\n")
        rows = [i for i, line in enumerate(lines) if re.match(r"(\| +)?[0-9a-f]{12,16}[, ]", line)]
        for i, line in zip(rows, sorted((lines[i] for i in rows), key=lambda line: re.sub(
                r" *[0-9a-f]{12,16}", "", line))):
            lines[i] = line
        text = "\n".join(lines)
    elif how == "protobuf":
        return out
    return text.encode("utf-8", "surrogateescape")


# ---- masks ----

LEFT = [(r"remaining\(\d+s\)", "remaining(left)"), (r'"ttl":[1-9]\d*', '"ttl":"left"'), (r'"TTL" : [1-9]\d*', '"TTL" : left')]
BAR = (r"(?s)\r?[^\n]*(\[[=>_-]*\]|\d+ / \d+ +[\d.]+%)[^\n]*\n?", "")
SPEED = [(r"(PASS|FAIL): Throughput (is )?(too low: )?\d+ writes/s", "throughput"),
         (r"(PASS|FAIL): Slowest request took (too long: )?[\d.]+s", "slowest"),
         (r"(PASS|FAIL): Stddev (is )?(too high: )?[\d.]+s", "deviation"), (r"\n(PASS|FAIL)\n", "\nverdict\n"),
         (r"(?s)^.*?throughput", "throughput")]
INFO = [(r"(?m)^\{\"level\":\"info\".*\n", ""), (r"(?m)^\d{4}-\d\d-\d\d .*\n", "")]
AGAIN = [(r'"attempt":\d+', '"attempt":"n"'),
         (r"(?m)^(\{.*not supported for learner.*\n)(\{.*not supported for learner.*\n)+", r"\1")]
MEMORY = [(r": [\d.]+ MB", ": some MB")]
DB_SIZE = [(r"[\d.]+ [kM]B", "some kB")]


# ---- the groups ----

def keys():
    steps = []
    steps += formats("put", "a", "1")
    steps += formats("put", "a", "2", "--prev-kv")
    steps += [run("put", "b", "x y"), run("put", "--", "-dash", "-value"), run("put", "c", stdin="from stdin"),
              run("put", "empty", ""), run("put", "bin\x01ary", "\u00e9\u4e16"), run("put", "a/1", "v"),
              run("put", "a/2", "v"), run("put", "a/10", "v"), run("put", "b/1", "w"),
              run("put", "a", "--ignore-value", "--prev-kv"), run("put", "a", "x", "--ignore-value"),
              run("put", "nothing", "--ignore-value"), run("put", "nothing", "x", "--ignore-lease"),
              run("put", "a", "2", "--ignore-lease"), run("put", "a", "x", "--ignore-lease", "--lease=7"),
              run("put", "a", "x", "--lease=7"), run("put", "a", "x", "--lease=zz"), run("put"), run("put", "", "x"),
              run("put", "a", "b", "c"), run("put", "big", stdin="x" * 1_600_000),
              run("put", "big", stdin="x" * 2_200_000), run("put", "fits", stdin="x" * 1_000_000, masks=[]),
              run("get", "fits", "-w", "fields", "--keys-only"), run("del", "fits"), run("put", "a", "x", "--nothing"),
              run("put", "a", "x", "-w", "nothing")]
    steps += formats("get", "a") + formats("get", "a", "--prefix") + formats("get", "missing")
    steps += formats("get", "a/1", "b") + formats("get", "b", "--from-key", "--limit=2")
    steps += formats("get", "", "--prefix", "--keys-only") + formats("get", "", "--from-key")
    steps += [run("get", "a", "--hex"), run("get", "bin\x01ary", "--hex", "-w", "json"), run("get", "a", "-w", "json",
                                                                                            "--hex"),
              run("get", "", "--prefix", "--print-value-only"), run("get", "a", "--print-value-only", "-w", "json"),
              run("get", "a", "--rev=2"), run("get", "a", "--rev=1"), run("get", "a", "--rev=1000"),
              run("get", "a", "--rev=-1"), run("get", "a", "--consistency=s"), run("get", "a", "--consistency=l"),
              run("get", "a", "--consistency=x"), run("get", "a", "--limit=-1", "--prefix"), run("get"),
              run("get", "a", "b", "c"), run("get", "a", "b", "--prefix"), run("get", "a", "--prefix", "--from-key"),
              run("get", ""), run("get", "a", "--order=UP"), run("get", "a", "--sort-by=SIZE"),
              run("get", "b", "a"), run("get", "", "--prefix", "--limit=3", "-w", "json")]
    for target in ("CREATE", "KEY", "MODIFY", "VALUE", "VERSION"):
        for order in ("ASCEND", "DESCEND"):
            steps += [run("get", "", "--prefix", f"--sort-by={target}", f"--order={order}", "-w", "json")]
    steps += formats("del", "a/1", "--prev-kv") + formats("put", "a/1", "again")
    steps += formats("del", "missing") + [run("del"), run("del", "a", "b", "c"), run("del", ""),
                                         run("del", "a", "b", "--prefix"), run("del", "a", "--prefix", "--from-key"),
                                         run("del", "a/", "--prefix", "--prev-kv"), run("put", "y", "1"),
                                         run("put", "z", "1"), run("del", "y", "--from-key", "-w", "json"),
                                         run("put", "d/1", "1"), run("put", "d/2", "1"), run("put", "d/3", "1"),
                                         run("del", "d/1", "d/3"), run("get", "d/", "--prefix", "-w", "fields")]
    return Group("keys", steps)


def keys_36():
    return Group("keys-36", [
        run("put", "a", "1"), run("put", "a", "2"), run("put", "b", "1"), run("put", "c", "1"),
        formats("get", "", "--prefix", "--count-only"), run("get", "a", "--count-only", "--print-value-only"),
        formats("get", "", "--prefix", "--min-mod-rev=3"), run("get", "", "--prefix", "--max-mod-rev=4", "-w", "json"),
        run("get", "", "--prefix", "--min-create-rev=3", "--max-create-rev=4", "-w", "json"),
        run("get", "", "--prefix", "--min-mod-rev=9", "-w", "json"), run("get", "a", "--keys-only", "--count-only"),
        run("del", "a", "c", "--range"), run("del", "a", "--range"), run("del", "c", "--range", "--prefix"),
        formats("auth", "status"), run("get", "a", "--max-recv-bytes=3", masks=[(r"\(\d+ vs", "(n vs")]), run("put", "a", "123456", "--max-request-bytes=3"),
        formats("downgrade", "validate", "3.5"), formats("downgrade", "validate", "3.4"), run("downgrade", "validate"),
        run("downgrade", "validate", "x"), run("downgrade", "validate", "3.5.1"), run("downgrade", "validate", "3.6"),
        formats("downgrade", "cancel"), run("downgrade", "enable"), run("downgrade", "enable", "3.4"),
        run("downgrade", "enable", "bad"), run("downgrade", "enable", "3.5", "-w", "json"), run("downgrade", "enable", "3.5.0"),
        run("downgrade", "validate", "3.5"), run("endpoint", "status", "-w", "json"), run("downgrade", "cancel"),
        run("downgrade", "cancel"), run("downgrade", "cancel", "more"),
    ])


def global_flags():
    dead = ["--endpoints=127.0.0.1:1", "--command-timeout=600ms", "--dial-timeout=300ms"]
    masked = [(r'"attempt":\d+', '"attempt":"n"')]
    last = [(r"(?s)^.*\n(?=Error|\{\"level\":\"warn\"[^\n]*\n\S*Error)", "")]
    return [Group("global", [
        run("put", "k", "v", "--keepalive-time=1s", "--keepalive-timeout=2s", "--command-timeout=4s",
            "--dial-timeout=1s"),
        run("get", "k", "--debug=false"), run("get", "k", "--user=nobody:x"), run("get", "k", "--user=nobody",
                                                                                  "--password=x"),
        run("get", "k", *dead, at=None, masks=masked), run("nothing"), run("member", "nothing"), run("version"),
        run("version", "-w", "json"), run("help"), run("help", "put"), run("help", "nothing"), run("member", "--help"),
        run("get", "k", "--command-timeout=x"), run("endpoint", "health", *dead, at=None, masks=masked + last),
        run("get", "k", "--debug", masks=[(r"(?s)^.*$", "texts of the client library")]),
    ])]


def transactions():
    both = 'mod("a") > "0"\nvalue("b") = "1"\n\nput c yes\nget c\ndel a\n\nput c no\nget a\n\n'
    steps = [run("put", "a", "1"), run("put", "b", "1")]
    for how in FORMATS:
        steps += [run("txn", "-w", how, stdin=both), run("txn", "-w", how, stdin=both)]
    steps += [run("txn", stdin=text) for text in (
        'create("b") = "3"\n\nput d 1 --prev-kv\nget d --prefix\ndel d --prev-kv\n\n\n',
        'ver("b") < "9"\nlease("b") = "0"\n\nget b\n\nget c\n\n', 'version("b") = "1"\n\nget b\n\n\n',
        'c("b") = "1"\n\nget b\n\nget a\n\n', 'm("b") < "100"\n\nget b --rev=2\n\nget a\n\n',
        '\nget b\nget c --keys-only\n\n\n', '\nget b --rev=1000\n\n\n', '\nget b --rev=-1\n\n\n',
        '\nput same 1\nput same 2\n\n\n', '\nput same 1\ndel s --prefix\n\n\n', '\ndel same\ndel same\n\n\n',
        '\nput new x --ignore-value\n\n\n', '\nput new --ignore-value\n\n\n', '\nput b x --lease=77\n\n\n',
        'nothing("b") = "1"\n\n\n\n', 'value("b") ~ "1"\n\n\n\n', 'value(b) = 1\n\nget b\n\n\n', '\nmove b\n\n\n',
        'mod("b") = "x"\n\n\n\n', '\nput\n\n\n', '\n\n\n', '', 'value("b") = "1"', '\nput "quoted key" "a\\nb"\n\n\n',
        '\nget "quoted key"\n\n\n', "\n" + "".join(f"put many{i} 1\n" for i in range(128)) + "\n\n",
        "\n" + "".join(f"put many{i} 1\n" for i in range(129)) + "\n\n",
        "".join(f'value("many{i}") = "1"\n' for i in range(129)) + "\n\n\n")]
    steps += [run("txn", "more"), run("txn", "-i", stdin='value("b") = "1"\n\nget b\n\nget c\n\n'),
              run("txn", "--interactive", "-w", "json", stdin='value("b") = "2"\n\nget b\n\nput e 1\n\n'),
              run("get", "", "--prefix", "-w", "json")]
    return Group("transactions", steps)


def compaction():
    return Group("compaction", [
        [run("put", "k", str(i)) for i in range(5)], run("put", "other", "1"), run("del", "k"), run("put", "k", "again"),
        formats("endpoint", "hashkv"), formats("endpoint", "hashkv", "--rev=4"), run("endpoint", "hashkv", "--rev=99"),
        run("compaction"), run("compaction", "x"), run("compaction", "1", "2"), run("compaction", "99"),
        formats("compaction", "3", only=("simple",)), run("compaction", "3"), run("compaction", "2"),
        run("compaction", "0"), run("compaction", "-1"), run("compact", "4", "--physical"),
        run("compaction", "5", "-w", "json"), run("compaction", "6", "-w", "table"), run("get", "k", "--rev=2"),
        run("get", "k", "--rev=6", "-w", "json"), run("get", "k", "--rev=5"), run("endpoint", "hashkv", "--rev=3"),
        run("endpoint", "hashkv", "--rev=9"), run("endpoint", "hashkv", "-w", "json"),
        run("watch", "k", "--rev=1", until="compacted"), formats("defrag"), run("defrag", "--cluster"),
        run("defrag", "more"), run("get", "", "--prefix", "-w", "json"), run("endpoint", "hashkv", "-w", "json"),
        run("compaction", "9", "--physical"), run("endpoint", "hashkv", "-w", "json"),
    ])


def watches(version):
    steps = [run("put", "w/1", "a"), run("put", "w/2", "b"), run("put", "other", "x")]

    def stream(name, pattern, changes, *args, **more):
        return [start(name, "watch", *args, **more), changes, expect(name, pattern), finish(name, signals.SIGINT)]
    for how in ("simple", "json", "fields"):
        steps += stream("old " + how, "w/2|dy8y", [], "w/", "--prefix", "--rev=2", "-w", how)
    steps += [start("live", "watch", "w/", "--prefix", "--prev-kv", "-w", "json"),
              start("one", "watch", "w/1"), start("range", "watch", "w/1", "w/3"),
              start("run", "watch", "w/1", "--rev=2", "--", "sh", "-c",
                    "echo $ETCD_WATCH_EVENT_TYPE $ETCD_WATCH_KEY $ETCD_WATCH_VALUE $ETCD_WATCH_REVISION"),
              expect("run", "PUT"), call(lambda side: quorate.time.sleep(0.7)),
              run("put", "w/1", "c"), run("put", "w/2", "d"), run("del", "w/1"), run("put", "w/1", "e"),
              run("txn", stdin="\nput w/1 t1\nput w/2 t2\ndel w/3\n\n\n"), run("del", "w/", "--prefix"),
              run("put", "w/1", "end"), expect("live", "ZW5k"), expect("one", "end"), expect("range", "end"),
              expect("run", "end"),
              finish("live", signals.SIGINT), finish("one", signals.SIGINT), finish("range", signals.SIGINT),
              finish("run", signals.SIGINT)]
    steps += stream("from revision", "end.*", [], "w/", "--prefix", "--rev=4", "--prev-kv", "-w", "simple")
    steps += stream("future", "later", [run("put", "f", "now"), run("put", "f", "then"), run("put", "f", "later")],
                    "f", "--rev=19")
    steps += [run("watch"), run("watch", "a", "b", "--prefix"),
              run("watch", "b", "a"), run("watch", "a", "--rev=x")]
    steps += [start("interactive", "watch", "-i", "-w", "simple"), send("interactive", "watch i\n"),
              call(lambda side: quorate.time.sleep(0.7)), run("put", "i", "1"), expect("interactive", "PUT"),
              send("interactive", "watch j --prefix --prev-kv\n"), call(lambda side: quorate.time.sleep(0.7)),
              run("put", "j1", "1"), run("put", "j1", "2"), expect("interactive", "j1\n2"),
              send("interactive", "progress\n"), expect("interactive", "progress notify"),
              send("interactive", "watch i --rev=1\n"), expect("interactive", "(?s)i\n1.*i\n1"),
              finish("interactive"),
              start("bad lines", "watch", "--interactive"), send("bad lines", "nothing\n"),
              expect("bad lines", "nvalid|nothing"), finish("bad lines", signals.SIGINT),
              start("environment", "watch", env={"ETCDCTL_WATCH_KEY": "e", "ETCDCTL_WATCH_RANGE_END": "g"}),
              call(lambda side: quorate.time.sleep(0.7)), run("put", "f", "env"), expect("environment", "env"),
              finish("environment", signals.SIGINT)]
    if version == "3.6":
        steps += stream("notify", "PUT", [call(lambda side: quorate.time.sleep(0.7)), run("put", "n", "1")], "n",
                        "--progress-notify")
    steps += [run("compaction", "10")]
    steps += [start("compacted", "watch", "w/", "--prefix", "--rev=3"), finish("compacted")]
    return Group("watches", steps)


def leases():
    grant = r"lease ([0-9a-f]+) granted"
    steps = [run("lease", "grant", "100", save={"lease": grant})] + formats("lease", "grant", "200", only=FORMATS[1:])
    steps += [run("lease", "grant", "1"), run("lease", "grant", "0"), run("lease", "grant", "-1"), run("lease", "grant"),
              run("lease", "grant", "--", "-5"), run("lease", "grant", "x"), run("lease", "grant", "9000000001"),
              run("lease", "grant", "9000000000", save={"long": grant}), run("lease", "revoke", "$long"),
              run("put", "l/1", "1", "--lease=$lease", "--prev-kv")]
    steps += formats("lease", "timetolive", "$lease", "--keys", masks=LEFT)[:3]
    steps += [run("lease", "timetolive", "$lease", masks=LEFT), run("lease", "timetolive", "$lease", "-w", "table",
                                                                   masks=LEFT),
              run("lease", "timetolive", "77"), run("lease", "timetolive", "77", "-w", "json"),
              run("lease", "timetolive", "77", "-w", "fields"), run("lease", "timetolive"),
              run("lease", "timetolive", "zz")]
    steps += formats("lease", "keep-alive", "--once", "$lease")
    steps += [run("lease", "keep-alive", "77"), run("lease", "keep-alive", "--once", "77"), run("lease", "keep-alive"),
              start("alive", "lease", "keep-alive", "$lease"), expect("alive", "keepalived"),
              finish("alive", signals.SIGINT), formats("get", "l/1", only=FORMATS[:4]),
              run("put", "l/2", "2", "--lease=$lease"), run("put", "l/2", "3", "--ignore-lease"),
              run("get", "l/2", "-w", "json"), run("put", "l/2", "3"), run("get", "l/2", "-w", "json"),
              formats("lease", "revoke", "$lease"), run("get", "l/", "--prefix"),
              run("lease", "revoke", "77"), run("lease", "revoke", "zz"), run("lease", "revoke"),
              run("put", "l/9", "1", "--lease=$lease"), run("put", "l/8", "1", "--lease=77", "-w", "json"),
              run("lease", "grant", "2", save={"short": grant}), run("put", "s", "1", "--lease=$short"),
              run("get", "s", until="^$"), run("lease", "timetolive", "$short"), run("lease", "revoke", "$short"),
              run("lease", "keep-alive", "--once", "$short")]
    return Group("leases", steps)


def lease_lists():
    grant = r"lease ([0-9a-f]+) granted"
    return Group("lease-lists", [formats("lease", "list"), run("lease", "grant", "100", save={"one": grant}),
                                 formats("lease", "list"), run("lease", "grant", "5000", save={"two": grant}),
                                 run("lease", "grant", "300000", save={"three": grant}), formats("lease", "list"),
                                 run("lease", "list", "more")])


def locks():
    return Group("locks", [
        run("lock", "l", "sh", "-c", "echo key $ETCD_LOCK_KEY rev $ETCD_LOCK_REV"),
        run("lock", "l", "--ttl=5", "true"), run("lock", "l", "--", "sh", "-c", "exit 3"), run("lock", "l", "no-such"),
        run("lock"), run("lock", "l", "--ttl=x"), start("holder", "lock", "job"), expect("holder", "job/"),
        run("get", "job", "--prefix", "-w", "fields"), start("waiter", "lock", "job", "echo", "taken"),
        call(lambda side: quorate.time.sleep(0.7)), finish("holder", signals.SIGINT), finish("waiter"),
        run("get", "job", "--prefix", "-w", "fields"), run("lock", "j", "-w", "json", "true"),
        start("leader", "elect", "e", "first"), expect("leader", "first"),
        start("next", "elect", "e", "second"), call(lambda side: quorate.time.sleep(0.7)),
        start("listener", "elect", "-l", "e"), expect("listener", "first"),
        run("get", "e/", "--prefix", "--sort-by=CREATE", "-w", "fields"), finish("leader", signals.SIGINT), expect("next", "second"),
        expect("listener", "second"), finish("next", signals.SIGINT), finish("listener", signals.SIGINT, masks=[(r"(?m)^\{.*context canceled.*\n", "")]),
        run("get", "e/", "--prefix"), run("elect"), run("elect", "e"), run("elect", "-l", "e", "x"),
        run("elect", "a", "b", "c"),
    ])


def endpoints(version):
    panics = {"masks": [(r"(?s)^panic: .*$", "the client panics")]}
    return Group("endpoints", [
        formats("endpoint", "health"), formats("endpoint", "status"), formats("endpoint", "health", "--cluster"),
        formats("endpoint", "status", "--cluster"), run("put", "k", "v"), formats("endpoint", "hashkv"),
        formats("endpoint", "hashkv", "--cluster"), run("endpoint", "nothing"), run("endpoint", "status", "more"),
        formats("alarm", "list", **panics), formats("alarm", "disarm", **panics), run("alarm", "list", "more"), run("alarm", "disarm", "x"),
        formats("member", "list"), run("member", "list", "--hex"), run("member", "list", "-w", "json", "--hex"),
        run("member", "list", "more"), run("move-leader", "$m1.id"), run("move-leader", "77"), run("move-leader"),
        run("move-leader", "zz"), run("endpoint", "health", at="m1,m1"),
        [run("member", "list", "--consistency=s"), run("member", "list", "--consistency=x")]
        if version == "3.6" else [],
    ])


def quota():
    panics = {"masks": [(r"(?s)^panic: .*$", "the client panics")]}
    return Group("quota", [
        run("put", "small", "1"), run("put", "big0", stdin="x" * 1_400_000), call(lambda side: quorate.time.sleep(1)),
        run("put", "big5", stdin="x" * 1_400_000), run("put", "big5", "x"),
        formats("alarm", "list", **panics), run("endpoint", "health"), run("endpoint", "health", "-w", "json"),
        run("endpoint", "status", "-w", "json"), run("lease", "grant", "10"), run("get", "small"),
        run("txn", stdin="\nput x 1\n\n\n"), run("txn", stdin="\nget small\n\n\n"), run("del", "big0"),
        run("del", "big", "--prefix"), run("get", "small", "-w", "json"), run("compaction", "4"), run("defrag"),
        formats("alarm", "disarm", **panics), run("alarm", "list"), run("put", "big5", "x"), run("endpoint", "health"),
    ], flags={"quota-backend-bytes": "2000000"})


def members_of_one():
    add = {"added": r"Member +([0-9a-f]+) added"}
    urls = "--peer-urls=http://127.0.0.1:21790"
    return Group("members-1", [
        run("member", "add"), run("member", "add", "x"), run("member", "add", "x", "y", urls),
        run("member", "add", "x", "--peer-urls=nothing"), run("member", "add", "x", "--peer-urls=http://nothing"),
        run("member", "add", "x", "--peer-urls=http://127.0.0.1"), run("member", "add", "x", "--peer-urls=$m1.peer"),
        run("member", "remove", "77"), run("member", "remove", "zz"), run("member", "remove"),
        run("member", "promote", "77"), run("member", "promote", "zz"), run("member", "promote"),
        run("member", "promote", "$m1.id"), run("member", "update", "77", urls), run("member", "update", "zz", urls),
        run("member", "update", "$m1.id"), run("member", "update"), run("member", "update", "$m1.id",
                                                                      "--peer-urls=nothing"),
        run("member", "add", "learner", "--learner", urls, save=add, sort="peerURLs"),
        formats("member", "list", sort="peerURLs", only=FORMATS[:4]),
        run("member", "add", "another", "--learner", "--peer-urls=http://127.0.0.1:21791"),
        call(lambda side: quorate.time.sleep(1.1)), run("member", "add", "again", "--learner", urls), run("member", "promote", "$added"),
        run("move-leader", "$added"),
        run("member", "update", "$added", "--peer-urls=http://127.0.0.1:21792"), run("member", "list", sort="peerURLs"),
        run("member", "update", "$added", "--peer-urls=$m1.peer"),
        run("member", "remove", "$added"), run("member", "remove", "$added"), run("member", "list"),
        run("member", "add", "j", "--learner", "--peer-urls=http://127.0.0.1:21795", "-w", "json", sort="peerURLs"), run("member", "list", "-w", "json",
                                                                                       sort="peerURLs"),
        run("member", "remove", "$m1.id"),
    ])


def join(side):
    """A member of the same kind starts as what was added last."""
    member = side.kind(side.suite, "m4", data_dir=side.dir + "/joined")
    side.members.append(member)
    side.know(member)


def start_joined(side):
    member = side.members[-1]
    member.initial_cluster = ",".join(f"{m.name}={m.peer}" for m in side.members)
    member.cluster_state = "existing"
    member.flags = dict(side.members[0].flags)
    member.start(wait=False)


def learners(version):
    def gone(side):
        member = side.members[-1]
        member.wait_exit(30)
    return Group("members-3", [
        formats("member", "list"), formats("endpoint", "status", at="m1,m2,m3"),
        run("endpoint", "health", at="m1,m2,m3", sort="line"),
        run("endpoint", "status", "--cluster"), run("endpoint", "hashkv", "--cluster"), run("put", "k", "v"),
        run("move-leader", "$m2.id", at="m2"), run("move-leader", "$m2.id"),
        run("endpoint", "status", at="m1,m2,m3"), run("move-leader", "$m1.id", at="all"),
        run("get", "k", at="m2", until="v"), call(join),
        run("member", "add", "m4", "--learner", "--peer-urls=$m4.peer", save={"added": r"Member +([0-9a-f]+) added"},
            sort="peerURLs", until="added"),
        run("member", "promote", "$added"), call(start_joined),
        run("endpoint", "status", "-w", "json", at="m4",
            until='"isLearner":true' + ("" if version == "3.4" else '.*"storageVersion":"3.6.0"')),
        run("get", "k", at="m4", masks=AGAIN), run("get", "k", "--consistency=s", at="m4"),
        run("put", "k", "v", at="m4", masks=AGAIN), run("member", "list", at="m4", masks=AGAIN), run("move-leader", "$added"),
        run("member", "list", sort="peerURLs"), run("member", "promote", "$added", until="promoted in"),
        run("member", "promote", "$added"), run("member", "list", sort="peerURLs"), run("put", "k", "w", at="m4", until="OK"),
        run("get", "k", at="m4", masks=AGAIN), run("member", "remove", "$added", at="m2"), call(gone), run("member", "list"),
        run("member", "update", "$m3.id", "--peer-urls=$m3.peer,http://127.0.0.1:21793"), run("member", "list"),
        run("member", "update", "$m3.id", "--peer-urls=$m2.peer"), formats("defrag", at="m1,m2,m3", only=("simple",)),
        run("defrag", "--cluster", sort="line"),
    ], members=3)


def access():
    root, al = "--user=root:pw", "--user=al:pw"
    steps = [run("user", "add", "root:pw"), run("user", "add", "al", "--new-user-password=pw"),
             run("user", "add", "bo", "--interactive=false", stdin="bopw\n"), run("user", "add", "no", "--no-password"),
             run("user", "add", "al:x"), run("user", "add", ":x"), run("user", "add"), run("user", "add", "x", "y"),
             formats("user", "list"), formats("user", "get", "al"), run("user", "get", "missing"), run("user", "get"),
             run("user", "list", "more"), run("user", "delete"), run("user", "delete", "missing"),
             formats("role", "add", "rw"), run("role", "add", "rw"), run("role", "add"), run("role", "add", ""),
             run("role", "add", "root"), run("role", "add", "rd"),
             formats("role", "grant-permission", "rw", "readwrite", "k/", "k0"),
             run("role", "grant-permission", "rw", "read", "r"), run("role", "grant-permission", "rw", "write", "w",
                                                                    "--prefix"),
             run("role", "grant-permission", "rd", "read", "z", "--from-key"),
             run("role", "grant-permission", "rd", "read", "", "--prefix"),
             run("role", "grant-permission", "rd", "fly", "x"), run("role", "grant-permission", "rd", "read"),
             run("role", "grant-permission", "missing", "read", "x"), run("role", "grant-permission", "rd", "read", "b",
                                                                         "a"),
             run("role", "grant-permission", "rd", "read", "x", "--prefix", "--from-key"),
             run("role", "grant-permission", "rd", "read", "x", "y", "--prefix"),
             formats("role", "list"), formats("role", "get", "rw"), formats("role", "get", "rd"),
             run("role", "get", "missing"), run("role", "get"), run("role", "get", "root"),
             formats("user", "grant-role", "al", "rw", only=("simple", "json")), run("user", "grant-role", "al", "rw"),
             run("user", "grant-role", "al", "missing"), run("user", "grant-role", "missing", "rw"),
             run("user", "grant-role", "al"), run("user", "revoke-role", "al", "missing"), run("user", "revoke-role", "al"),
             run("user", "revoke-role", "missing", "rw"), formats("user", "get", "al", "--detail", only=FORMATS[:4]),
             run("auth", "enable"), run("user", "grant-role", "root", "root"), run("auth", "disable"),
             formats("auth", "enable"), run("auth", "enable", root), run("auth", "enable", "more"), run("put", "k/1", "x"),
             run("get", "k/1", "-w", "json"), run("put", "k/1", "x", "--user=al:wrong"), run("put", "k/1", "x", al),
             run("put", "k/1", "x", "--user=missing:x"), run("put", "k/2", "x", "--user=al", "--password=pw"),
             run("put", "other", "x", al), run("get", "k/", "--prefix", al), run("get", "k", "--prefix", al),
             run("get", "r", al), run("put", "r", "x", al), run("put", "w1", "x", al), run("get", "w1", al),
             run("put", "w1", "x", "--prev-kv", al), run("del", "w1", "--prev-kv", al), run("del", "w1", al),
             run("get", "", "--from-key", al), run("del", "k/", "--prefix", al), run("get", "k/1", "--user=no:x"),
             run("get", "k/1", "--user=bo:bopw"),
             run("txn", al, stdin='value("k/1") = "x"\n\nput k/1 y\n\nget other\n\n'),
             run("txn", al, stdin='value("other") = "x"\n\nput k/1 y\n\n\n'),
             run("txn", al, stdin='value("k/1") = "x"\n\nput k/1 y\n\nget k/1\n\n')]
    for command in (["user", "list"], ["user", "get", "al"], ["user", "get", "root"], ["role", "get", "rw"],
                    ["role", "get", "rd"], ["role", "list"], ["user", "add", "x:y"], ["role", "add", "x"],
                    ["compaction", "3"], ["member", "list"], ["endpoint", "status"], ["endpoint", "hashkv"], ["defrag"],
                    ["alarm", "list"], ["alarm", "disarm"], ["snapshot", "save", "$dir/denied"], ["move-leader", "77"],
                    ["member", "remove", "77"], ["lease", "list"], ["auth", "disable"], ["watch", "other"],
                    ["endpoint", "health"], ["lease", "revoke", "77"], ["lease", "timetolive", "77"]):
        masks = INFO if command[0] == "snapshot" else []
        if command[0] == "watch":
            steps += [run(*command, al), run(*command)]
        else:
            steps += [run(*command, al, masks=masks), run(*command, masks=masks)]
    steps += [run("user", "list", root), run("user", "get", "al", root), run("endpoint", "health", root),
              run("lease", "grant", "100", al, save={"lease": r"lease ([0-9a-f]+) granted"}),
              run("put", "k/3", "x", "--lease=$lease", al), run("put", "other", "x", "--lease=$lease", root),
              run("put", "k/4", "x", "--lease=$lease", al), run("lease", "revoke", "$lease", al),
              run("lease", "timetolive", "$lease", "--keys", al, masks=LEFT), run("lease", "revoke", "$lease", root),
              run("user", "delete", "root", root), run("role", "delete", "root", root),
              run("user", "revoke-role", "root", "root", root),
              run("user", "passwd", "al", "--interactive=false", root, stdin="new\n"), run("get", "k/1", al),
              run("get", "k/1", "--user=al:new"), run("user", "passwd", "missing", "--interactive=false", root,
                                                      stdin="new\n"), run("user", "passwd", root),
              formats("role", "revoke-permission", "rw", "r", root), run("role", "revoke-permission", "rw", "r", root),
              run("role", "revoke-permission", "rw", "k/", "k0", root), run("get", "k/1", "--user=al:new"),
              run("role", "revoke-permission", "rw", "w", "--prefix", root), run("role", "revoke-permission", "rw", root),
              run("role", "revoke-permission", "rd", "z", "--from-key", root),
              run("role", "revoke-permission", "missing", "z", root), run("role", "get", "rw", root),
              formats("user", "revoke-role", "al", "rw", root), run("role", "delete", "rw", root),
              run("role", "delete", "rw", root), run("role", "delete", root), formats("user", "delete", "al", root),
              run("get", "k/1", "--user=al:new"), formats("role", "delete", "rd", root), run("user", "list", root),
              formats("auth", "disable", root), run("get", "k/", "--prefix", "-w", "json"), run("user", "list"),
              run("get", "k/1", "--user=al:new"), run("auth", "disable")]
    return Group("access", steps, flags={"bcrypt-cost": "4"})


def snapshots(version):
    def file_of(side):
        """The saved file has a whole number of pages and a checksum."""
        import os  # pylint: disable=import-outside-toplevel
        size = os.path.getsize(side.dir + "/a.db")
        return (0, f"size % 512 = {size % 512}".encode(), b"")
    log = INFO
    steps = [[run("put", f"s/{i}", "x" * i) for i in range(20)], run("del", "s/3"),
             run("snapshot", "save", "$dir/a.db", masks=log), call(file_of),
             run("snapshot", "save", masks=log), run("snapshot", "save", "/nothing/here", masks=log),
             run("snapshot", "save", "$dir/b.db", "-w", "json", masks=log)]
    if version == "3.4":
        status = [(r'"totalSize":\d+', '"totalSize":"size"'), (r'"hash":\d+', '"hash":"h"'),
                  (r'"Hash" : \d+', '"Hash" : h'), (r'"Size" : \d+', '"Size" : s'), *DB_SIZE,
                  (r"(?m)^(\| +)?[0-9a-f]{6,8}\b", "hash"), (r"\d+ [kM]B", "size")]
        steps += formats("snapshot", "status", "$dir/a.db", masks=status)
        steps += [run("snapshot", "status", "$dir/nothing"), run("snapshot", "status")]
        steps += [run("snapshot", "restore", "$dir/a.db", "--data-dir=$dir/restored", "--name=r",
                      "--initial-cluster=r=http://127.0.0.1:21794", "--initial-cluster-token=t",
                      "--initial-advertise-peer-urls=http://127.0.0.1:21794", "--wal-dir=$dir/wal",
                      "--skip-hash-check", masks=log),
                  run("snapshot", "restore", "$dir/a.db", "--data-dir=$dir/restored", masks=log),
                  run("snapshot", "restore", "$dir/nothing", "--data-dir=$dir/other", masks=log),
                  run("snapshot", "restore"), run("defrag", "--data-dir=$dir/restored"),
                  run("migrate", "--data-dir=$dir/none", masks=[(r"(?s)^.*$", "no store of etcd 2")])]
    return Group("snapshots", steps)


def mirrors(version):
    def second(side):
        member = side.kind(side.suite, "m2", data_dir=side.dir + "/second")
        member.flags = {"unsafe-no-fsync": "true"}
        side.members.append(member)
        side.know(member)
        member.start()

    def mirror(name, *args, wait, at="m2"):
        return [start(name, "make-mirror", *args), run("get", wait[0], at=at, until=wait[1]),
                finish(name, signals.SIGINT, any_code=True)]
    steps = [call(second), run("put", "m/a", "1"), run("put", "m/b", "2"), run("put", "x", "3"),
             mirror("all", "$m2", wait=("x", "3")), run("get", "", "--prefix", "-w", "json", at="m2"),
             mirror("prefix", "$m2", "--prefix=m/", "--dest-prefix=d/", wait=("d/b", "2")),
             mirror("root", "$m2", "--prefix=m/", "--no-dest-prefix", wait=("b", "2")),
             start("live", "make-mirror", "$m2", "--prefix=m/", "--dest-prefix=live/"),
             run("get", "live/b", at="m2", until="2"), run("put", "m/c", "3"), run("del", "m/a"),
             run("get", "live/c", at="m2", until="3"), run("get", "live/a", at="m2", until="^$"),
             finish("live", signals.SIGINT, any_code=True), run("get", "", "--prefix", at="m2"),
             run("make-mirror"), run("make-mirror", "$m2", "--prefix=m/", "--dest-prefix=x", "--no-dest-prefix")]
    if version == "3.6":
        steps += [mirror("from", "$m2", "--prefix=m/", "--dest-prefix=rev/", "--rev=2", "--max-txn-ops=2",
                         "--dest-user=x", "--dest-password=y", wait=("rev/c", "3")),
                  run("get", "rev/", "--prefix", "-w", "json", at="m2"),
                  ]
    return Group("mirrors", steps)


def checks():
    return [Group("check-perf", [
        run("check", "perf", "--load=s", "--prefix=/p/", "--auto-compact", "--auto-defrag", any_code=True,
            masks=SPEED + [(r"(?m)^Compact(ing|ed) with revision .*$", "compaction"),
                           BAR]),
        run("get", "/p/", "--prefix"), run("endpoint", "health")]), Group("check-scale", [
            run("check", "perf", "--load=nothing"), run("check", "datascale", "--load=nothing"), run("put", "/d/x", "1"),
            run("check", "datascale", "--prefix=/d/"), run("del", "/d/x"),
            run("check", "datascale", "--load=s", "--prefix=/d/", "--auto-compact", "--auto-defrag",
                masks=MEMORY + [BAR]),
            run("get", "/d/", "--prefix"), run("check")])]


def completion():
    args = [["completion", shell] for shell in ("bash", "zsh", "fish", "powershell")]
    return Group("completion", [run(*words, masks=[(r"(?s)^.{200,}$", "a long text")]) for words in args] + [
        run("completion"), run("completion", "csh")])


def groups(version):
    """All groups for that version, the longest first."""
    found = checks() + [access(), learners(version), members_of_one(), watches(version), keys(), transactions(), leases(),
                        lease_lists(), locks(), compaction(), endpoints(version), quota(), snapshots(version),
                        mirrors(version), completion()] + global_flags()
    return found + ([keys_36()] if version == "3.6" else [])
