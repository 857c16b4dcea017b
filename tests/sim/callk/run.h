/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One world in which one call of one member fails. A scenario's script drives members and clients;
 * the hand restarts what ended, as a supervisor would; then the disk is healthy again, and all that
 * was promised must be there: members that run and agree, clients that are served, a history that
 * the judge accepts, ends without leaks. Everything that was not caused by the call is a violation.
 */
#ifndef TESTS_SIM_CALLK_RUN_H
#define TESTS_SIM_CALLK_RUN_H

#include "tests/sim/setup.h"

/* name, text, kind of call, what the call comes back with, what it means */
#define FAILURES(X)                                                                                \
    X(MALLOC, "malloc", ALLOCATE, E_IO, "an allocation")                                           \
    X(OPEN, "open", OPEN, E_IO, "open, create, lock, mkdir, readdir, a store's opening")           \
    X(READ, "read", READ, E_IO, "a read of a file")                                                \
    X(WRITE, "write", WRITE, E_IO, "a write of a file, or its cutting")                            \
    X(SYNC, "fdatasync", SYNC, E_IO, "a flush of a file or of a directory")                        \
    X(RENAME, "rename", RENAME, E_IO, "a rename")                                                  \
    X(REMOVE, "remove", REMOVE, E_IO, "a removal")                                                 \
    X(COMMIT, "commit", COMMIT, E_IO, "a commit of the store, or its copy")                        \
    X(SEND, "send", SEND, E_IO, "a Raft message is lost, any other connection breaks")             \
    X(BREAK, "break", SEND, E_CLOSED, "the connection breaks, of Raft messages too")               \
    X(ENOSPC, "enospc", WRITE, E_NO_SPACE, "a write finds no room, wherever it goes")              \
    X(ROOM, "room", WRITE, E_NO_SPACE, "the disk is full; what has its room already is written")

enum failure {
#define X(name, text, kind, code, what) FAILURE_##name,
    FAILURES(X)
#undef X
        FAILURE_COUNT
};

#define FAILURE_BIT(name) (1u << FAILURE_##name)

struct failure_kind {
    const char *text;
    enum sim_call_kind kind;
    int code;
    const char *what;
};
extern const struct failure_kind FAILURE_KINDS[FAILURE_COUNT];

struct callk_scenario {
    const char *name;
    const char *what;
    int members;       /* n0, n1, ... at the start */
    int faulty;        /* whose calls fail */
    uint32_t failures; /* FAILURE_BIT */
    void (*script)(void);
    bool (*settle)(
        void); /* after the repair, what the script may have left undone; NULL: nothing */
    uint64_t snapshots_min; /* that are sent when nothing fails */
    bool counts_late;       /* calls fail only from calls_count_from_here on */
};

/* At each call of the faulty member while calls may fail: not 0, and it fails with that. */
typedef int (*callk_decide)(void *ctx, enum sim_call_kind kind);

struct callk_outcome;

struct callk_options {
    const struct callk_scenario *scenario;
    uint64_t seed;
    bool show;
    callk_decide decide;
    void *ctx;
    /* Told of the outcome before all is freed; a process that ends with it may end there. NULL:
     * nobody. */
    void (*leave)(void *ctx, const struct callk_outcome *outcome);
};

#define CALLK_CHECK_BYTES 32u

struct callk_outcome {
    uint64_t hash, violations, events;
    uint64_t operations, unknown, undecided;
    bool was_hit;
    bool has_ended;       /* the member did, of what failed */
    bool failed_to_start; /* one of its lives did */
    char first_check[CALLK_CHECK_BYTES];
};

void callk_run(const struct callk_options *options, struct callk_outcome *out);

/* By decide, when it lets a call fail: what is to be expected from now on. */
void callk_hit(enum failure failure, bool for_ever);

/* ---- for scripts (scenarios.c); nothing here waits for long, and all of it may fail ---- */

void member_start(int slot);
void member_stop(int slot); /* and waits for it */
void member_power_cut(int slot);
void member_joins(int slot, const char *initial_cluster); /* starts one that was added */
void member_leaves(int slot); /* it is no member any more: it stops by itself, or is stopped */
bool member_is_ready(int slot);
bool member_is_wanted(int slot); /* it should run, whether it does or not */
void wait_ready(int slot);
void wait_caught_up(int slot);
void wait_ms(uint64_t ms);

/* Some running member, the faulty one last; SIM_NOBODY: none. */
int pick_running(void);
int leader_now(void);

/* The clients make so many more operations; waits for them, but not for long. */
void drive(uint64_t operations);
void drive_begin(uint64_t operations);
void drive_wait(void);

/* From here on calls may fail; without it from the start on. */
void calls_count_from_here(void);
bool run_is_repaired(void);
bool run_is_undisturbed(void);  /* nothing fails in this world */
bool run_is_without_room(void); /* the faulty member's disk is full now */
struct history *run_history(void);
struct workload *run_workload(void);

/* ---- admin.c: what administrators ask for ---- */

void admin_compact(int node);
void admin_snapshot(int node); /* goes on by itself; what comes whole is checked */
void admin_defragment(int node);
void admin_lead(int slot);                           /* the leadership goes there, if it can */
bool admin_read_all(int node, bool is_serializable); /* recorded; false: not answered */
void admin_ask_hashes(void);
bool admin_has_hashes(void);
void admin_begin(void);

/* One try each; the member list tells what came of it. */
void admin_member_add(int node, int slot);
void admin_member_promote(int node, uint64_t id);
void admin_member_remove(int node, uint64_t id);

struct admin_member {
    uint64_t id; /* 0: not listed */
    bool is_learner;
};
/* False: nobody answered. out_cluster (NULL: not wanted): --initial-cluster of all that are listed.
 */
bool admin_member_look(int slot, struct admin_member *out, char out_cluster[SETUP_TEXT_MAX]);

extern const struct callk_scenario CALLK_SCENARIOS[];
extern const size_t CALLK_SCENARIO_COUNT;

#endif
