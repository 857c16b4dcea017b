#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Chaos on real processes: members in network namespaces, on disks that lie, while clients keep a history of all
that they do. Networks are cut, members stopped, killed, unplugged and replaced; in the end all is healed, every
member must hold the same, and quorate-check judges the history. `--help` names the options; a run repeats its
schedule from its seed."""
import argparse
import collections
import glob
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import world as w  # noqa: E402

FLAGS = ({"heartbeat-interval": "100", "election-timeout": "1000"},
         {"heartbeat-interval": "50", "election-timeout": "500"},
         {"heartbeat-interval": "30", "election-timeout": "300"})
SNAPSHOTS = (("500", "100"), ("2000", "500"), ("10000", "5000"))
STOPS_BY_ITSELF_SECONDS = 15
HEAL_SECONDS = 90
REPLACING_LANE, REPLACING_REST = 3, 4
CUT_AFTER_STOP = 0.7
SANITIZER_MARKS = ("ERROR: AddressSanitizer", "ERROR: LeakSanitizer", "WARNING: ThreadSanitizer", "runtime error:")


def say(text):
    print(text, flush=True)


class Chaos:
    """The faults, each a method that does it, waits, and undoes it. Two lanes pick among them at the same time, a
    third one replaces members; who does something to a member holds its lock."""

    def __init__(self, world, options):
        self.world, self.options = world, options
        self.started = time.monotonic()
        self.over = threading.Event()
        self.is_replacing = False  # one place is empty: faults come more slowly, or it would stay so
        self.counts = collections.Counter()
        self.errors, self.notes, self.ended = [], [], set()
        self.say_lock = threading.Lock()

    # ---- words ----

    def log(self, text):
        with self.say_lock:
            say(f"{time.monotonic() - self.started:8.3f} {text}")

    def fault(self, kind, text):
        self.counts[kind] += 1
        self.log(f"{kind}: {text}")

    def error(self, text):
        self.errors.append(text)
        self.log(f"FAIL - {text}")

    def rest(self, seconds):
        """Waits, but not beyond the end of the run."""
        self.over.wait(seconds)

    # ---- choosing ----

    def take(self, chance, engines_only=False, disk=None):
        """A random running member that nobody else works on, its lock taken; None: there is none."""
        members = list(self.world.members)
        chance.shuffle(members)
        for member in members:
            if engines_only and not member.is_engine() or disk and member.disk.kind != disk:
                continue
            if member.lock.acquire(blocking=False):
                if member.is_running() and not member.is_down and member.id:
                    return member
                member.lock.release()
        return None

    def take_leader(self):
        leader = self.world.leader()
        if leader and leader.lock.acquire(blocking=False):
            if leader.is_running() and not leader.is_down:
                return leader
            leader.lock.release()
        return None

    def take_all(self):
        """Every member, or none."""
        taken = []
        for member in self.world.members:
            if not member.lock.acquire(blocking=False):
                for other in taken:
                    other.lock.release()
                return None
            taken.append(member)
        return taken

    def stop_span(self, chance):
        """0.1 to 30 s, mostly short."""
        kind = chance.random()
        span = chance.uniform(0.1, 1.5) if kind < 0.6 else chance.uniform(1.5, 6) if kind < 0.95 else \
            chance.uniform(6, 30)
        return min(span, self.options.seconds / 6)

    # ---- networks ----

    def places(self):
        return range(1, len(self.world.members) + 1)

    def cut(self, chance, kind, text, pairs):
        name = f"{kind}-{self.counts[kind]}"
        span = chance.uniform(0.5, 7)
        self.fault(kind, f"{text} for {span:.1f} s")
        self.world.network.cut(name, pairs)
        try:
            self.rest(span)
        finally:
            self.world.network.heal(name)

    def net_one_way(self, chance):
        i, j = chance.sample(list(self.places()), 2)
        self.cut(chance, "one-way cut", f"{i} to {j}", [(i, j)])

    def net_deaf(self, chance):
        """It still sends, but hears nobody; or the other way round."""
        i = chance.choice(list(self.places()))
        others = [j for j in self.places() if j != i]
        if chance.random() < 0.5:
            self.cut(chance, "deaf member", f"{i} hears nobody", [(j, i) for j in others])
        else:
            self.cut(chance, "mute member", f"{i} is heard by nobody", [(i, j) for j in others])

    def net_isolate(self, chance):
        leader = self.world.leader() if chance.random() < 0.7 else None
        i = leader.place if leader else chance.choice(list(self.places()))
        pairs = [pair for j in self.places() if j != i for pair in ((i, j), (j, i))]
        self.cut(chance, "isolated leader" if leader else "isolated member", str(i), pairs)

    def net_split(self, chance):
        places = list(self.places())
        chance.shuffle(places)
        minority = places[:(len(places) - 1) // 2]
        pairs = [(i, j) for i in places for j in places if (i in minority) != (j in minority)]
        self.cut(chance, "split", f"{sorted(minority)} from the rest", pairs)

    def net_ring(self, chance):
        """Every member sees a majority, and no two the same one: five sit in a ring, three in a row."""
        places = list(self.places())
        chance.shuffle(places)
        size = len(places)
        if size == 3:
            pairs = [(places[0], places[2]), (places[2], places[0])]
        else:
            pairs = [(places[a], places[b]) for a in range(size) for b in range(size)
                     if min((a - b) % size, (b - a) % size) > 1]
        self.cut(chance, "majorities ring", "-".join(map(str, places)), pairs)

    def net_slow(self, chance):
        delay, jitter, span = chance.randint(2, 80), chance.randint(0, 60), chance.uniform(2, 8)
        i = chance.choice([0, *self.places()])
        self.fault("slow network", f"{'all' if i == 0 else f'from {i}'}, {delay} ms + {jitter} ms for {span:.1f} s")
        self.world.network.tell(f"delay {i} 0 {delay} {jitter}")
        try:
            self.rest(span)
        finally:
            self.world.network.tell(f"delay {i} 0 0 0")

    def net_hold(self, chance):
        """A link that stands still and later brings everything."""
        i, j = chance.sample(list(self.places()), 2)
        span = chance.uniform(0.3, 6)
        self.fault("held link", f"{i} to {j} for {span:.1f} s")
        self.world.network.tell(f"hold {i} {j}")
        try:
            self.rest(span)
        finally:
            self.world.network.tell(f"release {i} {j}")

    # ---- processes and disks ----

    def stop_one(self, chance):
        """A leader may also be cut off until after it went on, so that nothing tells it of its successor."""
        leader = self.take_leader() if chance.random() < 0.6 else None
        member = leader or self.take(chance)
        if not member:
            return
        span = self.stop_span(chance)
        is_cut = leader is not None and chance.random() < 0.5
        others = [i for i in self.places() if i != member.place]
        try:
            self.fault("stopped and cut off" if is_cut else "stopped", f"{member.name} for {span:.1f} s")
            member.process.send_signal(signal.SIGSTOP)
            try:
                if is_cut:
                    self.world.network.cut(f"stop-{member.place}", [pair for i in others for pair in
                                                    ((member.place, i), (i, member.place))])
                self.rest(span)
            finally:
                member.process.send_signal(signal.SIGCONT)
                if is_cut:
                    self.rest(CUT_AFTER_STOP)
                    self.world.network.heal(f"stop-{member.place}")
        finally:
            member.lock.release()

    def kill_one(self, chance):
        member = (self.take_leader() if chance.random() < 0.5 else None) or self.take(chance)
        if not member:
            return
        try:
            down = chance.choice((0.05, chance.uniform(0.2, 3), chance.uniform(1, 8)))
            self.fault("killed", f"{member.name}, back after {down:.1f} s")
            member.kill()
            self.rest(down)
            member.start()
        finally:
            member.lock.release()

    def kill_all(self, chance):
        taken = self.take_all()
        if not taken:
            return
        try:
            self.fault("killed all", "at once")
            for member in taken:
                member.kill()
            self.rest(chance.uniform(0.05, 1))
            for member in taken:
                member.start()
        finally:
            for member in taken:
                member.lock.release()

    def unplug(self, members, chance):
        """The power goes for all of them at once: SIGKILL, and what was not synced is gone. Their syncs are slow just
        before, so that something is under way; what was, is not synced either. The words for the log."""
        faulty = [m for m in members if m.disk.kind == "faultfs"]
        delay = chance.choice((0, 50, 200, 400))
        for member in faulty if delay else []:
            member.disk.fs.tell("delay-fsync", delay)
        if delay:
            time.sleep(chance.uniform(0, 0.4))
        for member in members:
            member.is_down = True
            if member.is_running():
                member.process.send_signal(signal.SIGKILL)
        for member in faulty:
            member.disk.fs.tell("fail-fsync", -1)
            member.disk.fs.tell("delay-fsync", 0)
        for member in members:
            member.kill()
            self.world.note_life(member)
        words = []
        for member in members:
            if member.disk.kind != "faultfs":
                words.append(f"{member.name}: its disk is a real one")
                continue
            lost = member.disk.fs.cut(chance.randrange(1 << 30), chance.choice((0, 0, 50, 90)))
            member.failures_seen = self.failures(member)
            words.append(f"{member.name}: {lost['lost']} sectors and {lost['names']} names lost, "
                         f"{lost['kept']} sectors kept")
        return "; ".join(words)

    @staticmethod
    def failures(member):
        """Syncs and writes that its disk has failed so far."""
        said = member.disk.fs.tell("stat")
        return said["syncs_failed"] + said["writes_failed"]

    def power_one(self, chance):
        member = self.take(chance, disk="faultfs")
        if not member:
            return
        try:
            self.fault("power cut", self.unplug([member], chance))
            self.rest(chance.uniform(0.05, 2))
            member.start()
        finally:
            member.lock.release()

    def power_all(self, chance):
        taken = self.take_all()
        if not taken:
            return
        try:
            self.fault("power cut of all", self.unplug(taken, chance))
            self.rest(chance.uniform(0.05, 1))
            for member in taken:
                member.start()
        finally:
            for member in taken:
                member.lock.release()

    def disk_fails(self, chance):
        """A sync or a write fails: the member must stop by itself. What it did not sync is gone."""
        member = self.take(chance, engines_only=True, disk="faultfs")
        if not member:
            return
        what = chance.choice(("fail-fsync", "fail-fsync", "fail-write"))
        try:
            self.fault("failed write" if what == "fail-write" else "failed fsync", member.name)
            member.may_exit = True
            # That of the log alone, or whichever comes first, or all.
            member.disk.fs.tell(what, *chance.choice(((1, ".wal"), (1, ".wal"), (1,), (-1,))))
            stopped = w.wait_for(lambda: not member.is_running(), STOPS_BY_ITSELF_SECONDS)
            if not stopped and self.failures(member) > member.failures_seen:
                self.error(f"{member.name} goes on after a {what}: {member.log_tail(600)}")
            elif not stopped:
                self.log(f"  {member.name} wrote nothing meanwhile")
            self.log("  " + self.unplug([member], chance))
            member.start()
        finally:
            member.may_exit = False
            member.lock.release()

    def disk_full(self, chance):
        member = self.take(chance, engines_only=True, disk=chance.choice(("loop", "faultfs", None)))
        if not member or member.disk.kind == "plain":
            if member:
                member.lock.release()
            return
        span = chance.uniform(1, 6)
        try:
            self.fault("full disk", f"{member.name} on {member.disk.kind} for {span:.1f} s")
            member.may_exit = True
            member.disk.fill()
            try:
                self.rest(span)
            finally:
                member.disk.free()
            if not member.is_running():
                self.log(f"  {member.name} had stopped")
                member.kill()
                member.start()
        finally:
            member.may_exit = False
            member.lock.release()

    def disk_slow(self, chance):
        """Under the leader: it steps down, or all writes wait for it."""
        leader = self.take_leader()
        if not leader or leader.disk.kind != "faultfs":
            if leader:
                leader.lock.release()
            return
        delay, span = chance.choice((50, 300, 2000, 8000)), chance.uniform(3, 9)
        try:
            self.fault("slow disk", f"{leader.name}, which leads: {delay} ms each fsync, for {span:.1f} s")
            leader.disk.fs.tell("delay-fsync", delay)
            began = time.monotonic()
            moved = None
            while time.monotonic() < began + span and not self.over.is_set():
                now = self.world.leader()
                if moved is None and now and now is not leader:
                    moved = time.monotonic() - began
                self.rest(0.2)
            leader.disk.fs.tell("delay-fsync", 0)
            self.notes.append((delay, span, moved))
            self.log(f"  {leader.name} " + (f"lost the lead after {moved:.1f} s" if moved else "led on"))
        finally:
            leader.lock.release()

    # ---- members replaced ----

    def until(self, step, seconds=40):
        """Tries a step until it holds; also beyond the end of the run, so that none is left half done."""
        return w.wait_for(step, seconds, 0.3)

    def replace(self, chance):
        """Removed, its disk thrown away, another one added as a learner and promoted."""
        running = [m for m in self.world.members if m.is_running() and not m.is_down]
        if len(running) < len(self.world.members):
            return
        member = self.take(chance)
        if not member:
            return
        try:
            old, old_id = member.name, member.id
            self.fault("replaced", f"{old}")
            member.may_exit = self.is_replacing = True
            others = [m.client for m in self.world.members if m is not member]

            def removed():
                listed = self.world.member_list(others)
                if listed is not None and member.peer not in listed:
                    return True
                self.world.ctl("member", "remove", f"{old_id:x}", endpoints=others)
                return False
            if not self.until(removed):
                self.log(f"  {old} could not be removed now")
                listed = self.world.member_list(others)
                if listed is None or member.peer in listed:
                    member.may_exit = False
                    if not member.is_running():
                        member.start()
                    return
            w.wait_for(lambda: not member.is_running(), chance.choice((0, 0, 2)))
            member.kill()
            self.admit(member, chance, others, old_id)
        finally:
            member.may_exit = self.is_replacing = False
            member.lock.release()

    def admit(self, member, chance, others, old_id):
        """An empty member joins at that place. Where it asks a member that lags, it ends and starts again."""
        if self.options.mixed and member.place in self.options.mixed_places:
            member.program = chance.choice((self.options.etcd, os.path.join(w.BIN, "quorate")))
        member.renew(self.options.disk_for(member.program, member.place, chance))
        member.failures_seen = 0
        member.state = "existing"

        def added():
            listed = self.world.member_list(others)
            if listed is not None and listed.get(member.peer, (old_id,))[0] != old_id:
                member.id = listed[member.peer][0]
                member.initial_cluster = ",".join(f"{name or member.name}={peer}"
                                                  for peer, (_, _, name) in listed.items())
                return True
            self.world.ctl("member", "add", member.name, "--learner", f"--peer-urls={member.peer}", endpoints=others)
            return False
        if not self.until(added, 120):
            self.error(f"{member.name} could not be added")
            return
        member.start()

        def promoted():
            listed = self.world.member_list(others)
            if listed is not None and not listed.get(member.peer, (0, True))[1]:
                return True
            if not member.is_running():
                member.kill()
                member.start()
            self.world.ctl("member", "promote", f"{member.id:x}", endpoints=others)
            return False
        if not self.until(promoted, 120):
            self.error(f"{member.name} could not be promoted: {member.log_tail()}")
        else:
            self.log(f"  {member.name} has taken its place")

    # ---- lanes ----

    def lane(self, number, faults, pause):
        """One fault after the other from a schedule of its own."""
        chance = random.Random(self.options.seed * 10 + number)
        names, weights = zip(*faults)
        while not self.over.is_set():
            self.rest(chance.uniform(*pause))
            if self.is_replacing and number != REPLACING_LANE:
                self.rest(REPLACING_REST)
            if self.over.is_set():
                return
            fault = chance.choices(names, weights)[0]
            own = random.Random(chance.getrandbits(64))  # what one fault draws changes nothing for the next
            try:
                fault(own)
            except Exception as error:  # a broken fault must be told, and the run goes on to heal
                self.error(f"{fault.__name__}: {type(error).__name__}: {error}")

    def ended_unasked(self, member):
        """Told once for each member; it is started again."""
        if member.name not in self.ended:
            self.ended.add(member.name)
            self.error(f"{member.name} ended by itself with {member.process.returncode}: {member.log_tail(1500)}")
        member.kill()

    def watch_exits(self):
        """Nobody stops unasked."""
        while not self.over.is_set():
            for member in self.world.members:
                if member.lock.acquire(blocking=False):
                    try:
                        if not member.is_down and not member.is_running() and not member.may_exit:
                            self.ended_unasked(member)
                            member.start()
                    finally:
                        member.lock.release()
            self.rest(0.5)

    def run(self):
        """The faults, until the time is over; all are undone when it returns."""
        network = ((self.net_one_way, 3), (self.net_deaf, 2), (self.net_isolate, 4), (self.net_split, 2),
                   (self.net_ring, 2), (self.net_slow, 3), (self.net_hold, 2))
        machines = ((self.stop_one, 5), (self.kill_one, 5), (self.kill_all, 1), (self.power_one, 4),
                    (self.power_all, 3), (self.disk_fails, 3), (self.disk_full, 2), (self.disk_slow, 2))
        schedule = [(1, network, (0.5, 4)), (2, machines, (0.3, 3)), (REPLACING_LANE, ((self.replace, 1),), (2, 10))]
        if len(self.world.members) > 3:  # five stand more
            schedule.append((4, machines, (0.3, 3)))
        lanes = [threading.Thread(target=self.lane, args=lane) for lane in schedule]
        lanes.append(threading.Thread(target=self.watch_exits))
        for lane in lanes:
            lane.start()
        self.over.wait(self.options.seconds)
        self.over.set()
        for lane in lanes:
            lane.join()

    def heal(self):
        """Every member runs and has caught up, within a bound."""
        for name in list(self.world.network.cuts):
            self.world.network.heal(name)
        self.world.network.tell("clear")
        for member in self.world.members:
            member.disk.free()
            if not member.is_running():
                if not member.is_down:
                    self.ended_unasked(member)
                member.start()
        end = time.monotonic() + HEAL_SECONDS * w.SLOW
        for member in self.world.members:
            if not w.wait_for(member.is_ready, max(1, end - time.monotonic())):
                self.error(f"{member.name} does not come back: running {member.is_running()}, {member.log_tail()}")
        self.log(f"healed in {HEAL_SECONDS * w.SLOW - (end - time.monotonic()):.1f} s")

    def sanitizer_reports(self):
        for name in sorted(os.listdir(self.world.folder)):
            if name.endswith(".txt"):
                with open(os.path.join(self.world.folder, name), encoding="utf-8", errors="replace") as file:
                    text = file.read()
                for mark in SANITIZER_MARKS:
                    at = text.find(mark)
                    if at >= 0:
                        self.error(f"{name}: {text[at:at + 3000]}")


class Load:
    """The clients; their history is theirs until they end."""

    def __init__(self, world, options):
        self.path = os.path.join(world.folder, "clients.history")
        # Watches of etcd 3.4 to 3.5 break rules that ours keep (progress ahead of events): none of theirs is judged.
        watched = [m.client for m in world.members if not options.mixed or m.place not in options.mixed_places]
        self.process = subprocess.Popen(
            [os.path.join(w.TOOLS, "history_client"), "--endpoints", ",".join(m.client for m in world.members),
             "--watch-endpoints", ",".join(watched),
             "--out", self.path, "--seed", str(options.seed), "--workers", str(options.workers),
             "--watchers", "3", "--rate", str(options.rate), "--timeout-ms", str(int(700 * w.SLOW))],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def finish(self):
        self.process.send_signal(signal.SIGTERM)
        out, err = self.process.communicate(timeout=150)
        return json.loads(out), err


def judge(chaos, world, load, said):
    """quorate-check over everything; its words."""
    path = os.path.join(world.folder, "history")
    with open(path, "wb") as target:
        with open(load.path, "rb") as source:
            shutil.copyfileobj(source, target)
        for at, member in world.lives:
            target.write(f"restart {at} {member:x}\n".encode())
    if said["missing"]:
        chaos.error(f"after the faults: {said['missing']} did not come")
    program = os.path.join(w.TOOLS, "quorate-check")
    began = time.monotonic()
    done = w.run(program, path, check=False, timeout=600)
    text = (done.stdout + done.stderr).strip()
    chaos.log(f"quorate-check took {time.monotonic() - began:.1f} s, exit {done.returncode}")
    if done.returncode != 0:
        chaos.error(f"quorate-check: exit {done.returncode}: {text[-4000:]}")
    return text


def longest_gaps(chaos, load):
    """The three longest times without an acknowledged write, as (seconds, from, to) on the clock of the log."""
    ends = [chaos.started]
    with open(load.path, encoding="ascii") as file:
        for line in file:
            words = line.split(" ", 9)
            if words[0] == "op" and words[4] == "ok" and words[8] in ("put", "del", "txn"):
                ends.append(int(words[3]) / 1e9)
    ends.sort()
    gaps = sorted(((b - a, a - chaos.started, b - chaos.started) for a, b in zip(ends, ends[1:])), reverse=True)
    return gaps[:3]


def summary(chaos, options, said, verdict, members, gaps):
    say("")
    say(f"seed {options.seed}, {len(members)} members ({', '.join(m.name for m in members)}), "
        f"{options.seconds:.0f} s of faults")
    say(f"faults: {sum(chaos.counts.values())} ({', '.join(f'{k} {n}' for k, n in sorted(chaos.counts.items()))})")
    for delay, span, moved in chaos.notes:
        say(f"slow disk, {delay} ms each fsync for {span:.1f} s: " +
            (f"another one led after {moved:.1f} s" if moved else "the leader led on"))
    say(f"operations: {said['ok']} ok, {said['unknown']} unknown, {said['refused']} refused; "
        f"{said['events']} watch events, {said['watches']} watches")
    say("longest times without a write: " + ", ".join(f"{gap:.1f} s (from {a:.1f} to {b:.1f})" for gap, a, b in gaps))
    say(f"violations: {len(chaos.errors)}")
    if verdict:
        say("quorate-check: " + verdict.splitlines()[-1])


def inside(options, folder):
    """Runs in the namespaces; the exit code."""
    chance = random.Random(options.seed)
    engine = os.path.join(w.BIN, "quorate")
    options.workers = 10
    options.mixed_places = (options.members,) if options.members == 3 else (options.members - 1, options.members)
    places = range(1, options.members + 1)
    programs = [options.etcd if options.mixed and i in options.mixed_places else engine for i in places]

    def disk_for(program, place, chance):
        if program != engine:
            return w.PlainDisk
        return w.LoopDisk if place == 1 and chance.random() < 0.7 or chance.random() < 0.1 else w.FaultyDisk
    options.disk_for = disk_for
    snapshots = chance.choice(SNAPSHOTS)
    flags = {**chance.choice(FLAGS if w.SLOW == 1 else FLAGS[:1]), "snapshot-count": snapshots[0]}
    engine_flags = {"snapshot-catchup-entries": snapshots[1]}
    if options.mixed:  # so that one of etcd's may come back when the last has left
        engine_flags["hold-cluster-version"] = w.etcd_version(options.etcd)
    say(f"seed {options.seed}: {json.dumps({**flags, **engine_flags})}")
    world = w.World(folder, programs, [disk_for(p, i, chance) for i, p in zip(places, programs)], flags, engine_flags)
    chaos = Chaos(world, options)
    for member in world.members:
        member.failures_seen = 0
    said, verdict = None, ""
    try:
        world.start()
        load = Load(world, options)
        chaos.started = time.monotonic()
        chaos.log("start")
        chaos.run()
        chaos.heal()
        said, err = load.finish()
        if err.strip():
            chaos.log(err.strip())
        verdict = judge(chaos, world, load, said)
        chaos.sanitizer_reports()
        summary(chaos, options, said, verdict, world.members, longest_gaps(chaos, load))
    except Exception as error:
        chaos.error(f"{type(error).__name__}: {error}")
        raise
    finally:
        if chaos.errors:
            world.keep(folder)
        world.stop()
    return 1 if chaos.errors else 0


def reason_to_skip(options):
    if os.getuid() != 0:
        return "namespaces need root"
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        return "there is no /dev/fuse"
    for program in ("nft", "ip", "unshare", "nsenter", "mkfs.ext4"):
        if not shutil.which(program):
            return f"{program} is not installed"
    for program in ("faultfs", "linkproxy", "history_client", "quorate-check"):
        if not os.path.exists(os.path.join(w.TOOLS, program)):
            return f"{program} was not built (./dev chaos installs what it needs)"
    probe = subprocess.run(["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "true"],
                           capture_output=True, text=True, check=False)
    if probe.returncode != 0:
        return f"no namespaces of our own: {probe.stderr.strip()}"
    if options.mixed and not options.etcd:
        return "there is no etcd to mix in"
    return None


def find_etcd(which):
    """A path, or the program of an etcd of that version that is here; None: there is none."""
    if os.path.exists(which):
        return os.path.abspath(which)
    found = [os.environ.get("DEBIAN_ETCD", ""), os.path.join(w.CACHE, "debian/usr/bin/etcd"),
             *glob.glob(os.path.join(w.CACHE, "go-tools-*/bin/etcd"))]
    return next((path for path in found if os.path.exists(path) and w.etcd_version(path) == which), None)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, help="of faults")
    parser.add_argument("--seconds", type=float, default=60, help="of faults")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--members", type=int, choices=(3, 5), default=3)
    parser.add_argument("--rate", type=int, default=300, help="operations a second that the clients try")
    parser.add_argument("--mixed", action="store_true", help="one of three, two of five members are etcd's own")
    parser.add_argument("--etcd", default="3.4", help="its version (3.4: Debian's; 3.5, 3.6: of tests/tools) or path")
    parser.add_argument("--keep", action="store_true", help="keep logs and history though all went well")
    parser.add_argument("--inside", help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.etcd = find_etcd(options.etcd) if options.mixed else None
    options.seconds = options.minutes * 60 if options.minutes else options.seconds
    if options.inside:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
        return inside(options, options.inside)
    reason = reason_to_skip(options)
    if reason:
        print(f"skipped: {reason}")
        return 77
    # Everything that is made in there (interfaces, mounts, processes) ends with it, however it ends.
    folder = tempfile.mkdtemp(prefix="quorate-chaos-")
    command = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc",
               sys.executable, os.path.abspath(__file__), *sys.argv[1:], "--seed", str(options.seed),
               "--inside", folder]
    child = subprocess.Popen(command)
    aborted = []

    def abort(number, _):
        aborted.append(number)
        child.kill()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, abort)
    code = child.wait()
    if aborted or code == 0 and not options.keep:
        shutil.rmtree(folder, ignore_errors=True)
    else:
        print(f"logs, history and data are in {folder}")
    return 1 if code not in (0, 77) else code


if __name__ == "__main__":
    sys.exit(main())
