#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Breaks the planner on purpose, one safety rule at a time, and asks the planner's tests to notice.

Usage: planner.py BUILD_DIR [NAME...]. BUILD_DIR holds a built libbase.a. The planner's own assertions
(invariants.c) are switched off, so that what notices is a test. Exit 1 when a mutant survives.
"""
import glob
import os
import re
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
FLAGS = ["-std=gnu11", "-O1", "-g", "-w", "-D_GNU_SOURCE", "-I", ROOT,
         f'-DQUORATE_SOURCE_DIR="{ROOT}"']
TESTS = ["tls", "update", "scenarios", "walk", "small_worlds"]

# name, then one or more of: file, text, replacement
MUTANTS = [
    # Two guards stand in a row here: the ladder stops without a quorum, and each removal asks again.
    ("removal without a quorum", "plan/plan.c",
     "!view->fresh || view->healthy_voter_count < spec_quorum(view->voter_count)", "!view->fresh",
     "model/view.c", "return view->fresh && voters_after > 0 &&", "return true ||"),
    # The order of victims keeps a healthy one from leaving first; the rule must hold without it.
    ("a healthy one leaves beside an unhealthy one", "plan/scale.c",
     "(member->healthy ? 0 : 4)", "(member->healthy ? 4 : 0)",
     "model/view.c", "healthy_after >= spec_quorum(voters_after)", "true"),
    ("members are added without a quorum", "plan/plan.c",
     "!view->fresh || view->healthy_voter_count < spec_quorum(view->voter_count)", "!view->fresh"),
    ("promotion before caught up", "plan/promote.c",
     "learner->healthy && learner->caught_up &&", ""),
    ("successor before the lost one left", "plan/scale.c",
     "int64_t target = pass->want->replicas + (may_surge(pass, must_go) ? 1 : 0);",
     "int64_t target = pass->want->replicas + 1;"),
    ("two changes in one plan", "plan/plan.c",
     "plan_cleanup(pass) || plan_repair(pass) || plan_promote(pass) || plan_scale(pass)",
     "plan_cleanup(pass) | plan_repair(pass) | plan_promote(pass) | plan_scale(pass)"),
    ("founding over an id", "plan/bootstrap.c",
     "pass->view->latched_id != 0 || pass->view->latch_conflict", "pass->view->latch_conflict"),
    ("the volume's latch is not read", "model/view.c",
     "latch_id(view, id);\n            view->latched_on_volume = true;",
     "view->latched_on_volume = true;"),
    ("founding with the volumes of an earlier cluster", "plan/bootstrap.c",
     "if (pass->view->old_volume_count > 0) {", "if (false) {"),
    ("a second seed from an old view", "plan/bootstrap.c",
     "seed == NULL ? journaled_seed(pass) : seed->ordinal",
     "seed == NULL ? pass->view->next_ordinal : seed->ordinal"),
    ("clients before the latch", "plan/objects.c",
     "if (!pass->view->latched_in_status || !pass->view->latched_on_volume) {", "if (false) {"),
    ("the founding Pod is kept", "plan/members.c",
     "member->pod->state_new && pass->view->latched_in_status", "false"),
    ("a voter on an empty volume", "plan/members.c",
     "ASSERT(member->never_started && !member->is_voter);", "",
     "plan/members.c", "bool first_start = member->never_started && !member->is_voter &&",
     "bool first_start =", "plan/members.c",
     "bool proof = evidence_is_proof(member->evidence) && has_quorum(pass->view);",
     "bool proof = false;"),
    ("volumes of members are dropped", "plan/cleanup.c",
     "if (member->etcd != NULL || member->ordinal == OBSERVED_NO_ORDINAL) {",
     "if (member->ordinal == OBSERVED_NO_ORDINAL) {"),
    ("retained volumes are dropped", "plan/cleanup.c",
     "if (pass->want->storage.reclaim == SPEC_RECLAIM_DELETE) {", "if (true) {"),
    ("acting while paused", "plan/plan.c", "if (want->paused) {", "if (false) {"),
    ("acting on an old list", "model/view.c",
     "return then_ms > 0 && now_ms - then_ms <= OBSERVED_FRESH_MAX_MS;", "return then_ms > 0;"),
    ("no storm brake", "plan/repair.c",
     "if (count < pass->want->repair.max_replacements_per_hour) {", "if (true) {"),
    ("no grace", "model/evidence.c",
     "in->now_ms - member->grace_since_ms < in->want->repair.not_ready_grace_ms", "false"),
    ("memory kills are proof", "model/evidence.c",
     "return EVIDENCE_OutOfMemory;", "return EVIDENCE_NotReady;"),
    ("image errors are proof", "model/evidence.c",
     "return EVIDENCE_ImagePullFailed;", "return EVIDENCE_NotReady;"),
    ("a healthy member leaves before its successor votes", "model/evidence.c",
     "member->must_go = asked || doomed;", "member->evidence = asked ? EVIDENCE_AskedByUser : 0;"),
    ("leadership is not moved", "plan/members.c",
     "if (move_leader_away(pass, victim, type, message)) {", "if (false) {"),
    ("foreign members count as ours", "plan/scale.c", "if (count_foreign(view) > 0) {", "if (false) {"),
    ("ordinals are used again", "model/view.c",
     "if (pvc->next_ordinal > view->next_ordinal) {", "if (false) {"),
    ("writes at rest", "plan/objects.c",
     "actual->deleting || build_covers(actual->raw, wanted)", "actual->deleting"),
    ("the journal is not begun", "plan/journal.c",
     "operation->started_ms = pass->now_ms;", "operation->started_ms = 0;"),
    ("an election counts as a lost quorum", "model/condition.c",
     "now_ms - since_ms >= CONDITION_QUORUM_LOST_MS", "true"),
    ("a successor joins before a second look", "plan/scale.c",
     "must_go != NULL && view->voter_count >= pass->want->replicas) {",
     "must_go != NULL && view->voter_count >= pass->want->replicas && plan_is_running(pass, "
     "OPERATION_REPLACE, must_go->name.text)) {"),
    ("a new spec reaches two members at once", "plan/update.c",
     "!view->fresh || view->healthy_voter_count < view->voter_count", "false",
     "plan/update.c", "plan_update_idle(pass) || wait_for_running(pass)", "plan_update_idle(pass)"),
    ("the leader restarts with its leadership", "plan/update.c",
     "!plan_move_leader_away(pass, next, OPERATION_UPDATE, \"its Pod is made again\")", "true"),
    ("a wrong spec costs a member", "plan/members.c", " || plan_spec_is_suspect(pass, member)", ""),
    ("a wrong spec reaches everybody", "plan/update.c",
     "view->healthy_voter_count < view->voter_count",
     "view->healthy_voter_count < spec_quorum(view->voter_count)", "plan/update.c",
     "plan_update_idle(pass) || wait_for_running(pass)", "plan_update_idle(pass)"),
    ("an authority takes over before all trust it", "model/certs.c",
     "in->now_ms < settled_ms && in->now_ms < ca->not_after_ms", "false"),
    ("the old authority goes while its certificates are shown", "model/certs.c",
     "if (strcmp(leaf->issuer, authority->id) != 0) {", "if (false) {"),
    ("a lost authority is made anew at once", "model/certs.c",
     "in->facts->of[i].presence == CERTS_PRESENT) {", "false) {"),
    ("somebody else's Secret is written", "model/certs.c", "} else if (fact->is_foreign) {", "} else if (false) {"),
    ("certificates are renewed at their end", "model/certs.c",
     "(fact->not_after_ms - fact->not_before_ms) / 3 * 2;", "(fact->not_after_ms - fact->not_before_ms);"),
    ("the first start does not wait for certificates", "plan/certs.c", "due.is_ready ||", "true ||"),
    ("a refused spec is acted on", "plan/plan.c", "if (want->problem_count > 0) {", "if (false) {"),
]


def sources(folder):
    return sorted(glob.glob(os.path.join(ROOT, folder, "*.c")))


def compile_to(out, source):
    return subprocess.run(["gcc", *FLAGS, "-c", source, "-o", out]).returncode == 0


def run_tests(work, objects, build):
    for name in TESTS:
        program = os.path.join(work, "t_" + name)
        base = os.path.join(build, "base/libbase.a")
        test = os.path.join(work, f"test_{name}.o")
        subprocess.run(["gcc", "-o", program, test, *objects, base, "-lyajl", "-lcmocka", "-lm",
                        "-lpthread"], check=True)
        env = dict(os.environ, WALK_RUNS="4000")
        try:
            done = subprocess.run([program], env=env, capture_output=True, timeout=300)
        except subprocess.TimeoutExpired:
            return name + " (did not end)"
        if done.returncode != 0:
            return name
    return None


def main():
    build, wanted = sys.argv[1], sys.argv[2:]
    survivors = 0
    with tempfile.TemporaryDirectory() as work:
        objects = {}
        for folder in ["controller/model", "controller/plan", "controller/build"]:
            for source in sources(folder):
                out = os.path.join(work, folder.replace("/", "_") + os.path.basename(source) + ".o")
                objects[source] = out
                if source.endswith("plan/invariants.c"):
                    source = os.path.join(work, "no_invariants.c")
                    with open(source, "w") as file:
                        file.write('#include "controller/plan/pass.h"\n'
                                   'void plan_check(const struct pass *pass) { (void)pass; }\n')
                assert compile_to(out, source)
        for source in sources("tests/unit/plan"):
            name = os.path.basename(source)[:-2]
            out = os.path.join(work, name + ".o")
            assert compile_to(out, source)
            if name.startswith("lib_"):
                objects[source] = out
        broken = run_tests(work, list(objects.values()), build)
        assert broken is None, f"tests fail without a mutant: {broken}"
        for name, *edits in MUTANTS:
            if wanted and name not in wanted:
                continue
            swapped = dict(objects)
            for number in range(0, len(edits), 3):
                path, text, replacement = edits[number:number + 3]
                source = os.path.join(ROOT, "controller", path)
                earlier = edits[number - 3] if number > 0 else None
                original = open(mutated if path == earlier else source).read()
                pattern = r"\s+".join(re.escape(word) for word in text.split())
                assert re.search(pattern, original), f"mutant '{name}': text not found in {path}"
                mutated = os.path.join(work, f"mutant{number}.c")
                with open(mutated, "w") as file:
                    file.write(re.sub(pattern, lambda _: replacement, original))
                out = os.path.join(work, f"mutant{number}.o")
                assert compile_to(out, mutated), name
                swapped[source] = out
            swapped = list(swapped.values())
            caught = run_tests(work, swapped, build)
            survivors += caught is None
            print(f"{'SURVIVED' if caught is None else 'caught by ' + caught:30} {name}", flush=True)
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
