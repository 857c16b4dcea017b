/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What goes wrong in a simulated cluster: a list of faults, drawn from the seed before the world
 * begins, each with a time, a length and a seed of its own, so that leaving some out changes none
 * of the others (tests/sim/faults/shrink.h).
 */
#ifndef TESTS_SIM_FAULTS_NEMESIS_H
#define TESTS_SIM_FAULTS_NEMESIS_H

#include "base/buf.h"
#include "base/rng.h"
#include "tests/sim/world.h"

/* X(name, text, weight); those of weight 0 have draws of their own */
#define NEMESIS_FAULTS(X)                                                                          \
    X(KILL, "kill", 6)                                                                             \
    X(KILL_LEADER, "kill_leader", 4)                                                               \
    X(KILL_AT_DISK_CALL, "kill_at_disk_call", 6)                                                   \
    X(KILL_AT_ALLOCATION, "kill_at_allocation", 3)                                                 \
    X(STOP, "restart", 4)                                                                          \
    X(PAUSE, "pause", 4)                                                                           \
    X(PAUSE_LEADER, "pause_leader", 4)                                                             \
    X(POWER_LOST_UNSYNCED, "power_cut_lost", 5)                                                    \
    X(POWER_TORN, "power_cut_torn", 6)                                                             \
    X(POWER_ALL, "power_cut_of_all", 3)                                                            \
    X(ROT, "bit_rot", 6)                                                                           \
    X(MISDIRECTED, "misdirected_write", 2)                                                         \
    X(SYNC_ERROR, "sync_error", 4)                                                                 \
    X(WRITE_ERROR, "write_error", 3)                                                               \
    X(READ_ERROR, "read_error", 2)                                                                 \
    X(NO_SPACE, "no_space", 3)                                                                     \
    X(SLOW_DISK, "slow_disk", 4)                                                                   \
    X(DELAY, "delay", 3)                                                                           \
    X(LOSS, "loss", 4)                                                                             \
    X(DUPLICATE, "duplicate", 4)                                                                   \
    X(REORDER, "reorder", 4)                                                                       \
    X(CLOG, "clog", 3)                                                                             \
    X(CUT_ISOLATE, "cut_isolate", 4)                                                               \
    X(CUT_LEADER, "cut_leader", 4)                                                                 \
    X(CUT_SPLIT, "cut_split", 3)                                                                   \
    X(CUT_ONE_WAY, "cut_one_way", 4)                                                               \
    X(CUT_BRIDGE, "cut_bridge", 3)                                                                 \
    X(CUT_RING, "cut_ring_of_majorities", 3)                                                       \
    X(CLOCK_DRIFT, "clock_drift", 3)                                                               \
    X(CLOCK_JUMP, "clock_jump", 3)                                                                 \
    X(HICCUP, "busy_processor", 3)                                                                 \
    X(MEMBER_REPLACE, "wipe_and_rejoin", 4)                                                        \
    X(MEMBER_ADD, "member_add", 3)                                                                 \
    X(MEMBER_REMOVE, "member_remove", 4)                                                           \
    X(MOVE_LEADER, "move_leader", 5)                                                               \
    X(COMPACT, "compact", 4)                                                                       \
    X(DEFRAGMENT, "defragment", 3)                                                                 \
    X(SNAPSHOT, "snapshot_save", 4)                                                                \
    X(HASH, "hash", 6)                                                                             \
    X(STORE_ROT, "store_rot", 0)                                                                   \
    X(RESTORE, "snapshot_restore", 0)

enum fault_kind {
#define X(name, text, weight) FAULT_##name,
    NEMESIS_FAULTS(X)
#undef X
        FAULT_COUNT
};

struct fault {
    enum fault_kind kind;
    uint64_t at_ns, length_ns, seed;
    bool is_skipped;
};

struct nemesis_options {
    uint64_t begin_ns, end_ns;
    uint32_t count;
};

struct history;
struct workload;

/* Draws the faults, as many as options say; mem_free. There is room for those that a world has
 * beside them: nemesis_draw_more adds them (nothing of before depends on it) and gives their
 * number. */
#define NEMESIS_MORE_MAX 1u
struct fault *nemesis_draw(const struct nemesis_options *options, struct rng *rng);
uint32_t nemesis_draw_more(const struct nemesis_options *options, struct rng *rng,
                           struct fault *faults);

/* Sets them on their way; history and workload are borrowed until the world ends. */
void nemesis_begin(const struct fault *faults, uint32_t count, struct history *history,
                   const struct workload *workload);

/* Ends all that lasts: cuts, pauses, sick disks, wrong clocks. Nothing new begins. */
void nemesis_end(void);

/* All members that run are asked for the hash of the newest revision. */
void nemesis_ask_hashes(void);
bool nemesis_has_hashes(void); /* all have answered since */

/* The newest snapshot that a client has saved whole, and when it asked and had it. */
struct nemesis_saved {
    struct buf bytes;
    uint64_t invoke_ns, return_ns;
};

/* Gives it (buf_free); false: there is none. What nobody takes is freed by nemesis_free. */
bool nemesis_take_saved(struct nemesis_saved *out);
void nemesis_free(void);

/* True when no member serves that has a rotten record in its key space. */
bool nemesis_store_is_sound(void);

/* How often each kind took effect. */
void nemesis_counts(uint64_t out[FAULT_COUNT]);
void nemesis_count(enum fault_kind kind);
const char *fault_name(enum fault_kind kind);

#endif
