/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The judge. etcd gives every write a revision, so most of the order is known: acknowledged writes
 * are sorted by it and replayed, and everything that anybody saw is compared with the replay at its
 * revision. Writes of unknown outcome are placed by what others saw of them; what stays open is
 * searched, within bounds. A violation that is told is one: no order of the operations explains the
 * history. What the bounds cut off is counted as undecided.
 */
#ifndef TESTS_CHECK_CHECK_H
#define TESTS_CHECK_CHECK_H

#include "tests/check/history.h"

#define CHECK_VIOLATIONS_MAX 20u /* that are told; all are counted */
#define CHECK_STORY_BYTES    640u

/* name, what it promises */
#define CHECK_NAMES(X)                                                                             \
    X(REVISION_SHARED, "revision_shared", "no two writes have the same revision")                  \
    X(REVISION_GAP, "revision_gap", "every revision was written by somebody")                      \
    X(WRITE_ANSWER, "write_answer", "a write's own answer fits the order of revisions")            \
    X(DIVERGED, "diverged", "a revision of a key has one content, whoever shows it")               \
    X(INVENTED, "invented", "nothing is seen that nobody wrote, and nothing that failed")          \
    X(APPLIED_TWICE, "applied_twice", "a write happens once")                                      \
    X(REAL_TIME, "real_time", "a write comes after all that was seen before it was asked for")     \
    X(STALE_READ, "stale_read", "a linearizable answer is not older than what was seen before")    \
    X(LOST_WRITE, "lost_write", "what a revision covers is there to be read")                      \
    X(READ_CONTENT, "read_content", "a linearizable read shows the state at its revision")         \
    X(SERIALIZABLE_READ, "serializable_read", "a serializable read shows one past state")          \
    X(TXN_ANSWER, "txn_answer", "a transaction takes the right branch and reads its own writes")   \
    X(READ_ERROR, "read_error", "a refused operation was refused for a true reason")               \
    X(WATCH_FILTER, "watch_filter", "a watch brings what was asked for and nothing else")          \
    X(WATCH_ORDERED, "watch_ordered", "events come in the order of revisions")                     \
    X(WATCH_UNIQUE, "watch_unique", "no event comes twice")                                        \
    X(WATCH_ATOMIC, "watch_atomic", "the events of one revision come together")                    \
    X(WATCH_BOOKMARKABLE, "watch_bookmarkable", "nothing comes that a progress note covered")      \
    X(WATCH_RESUMABLE, "watch_resumable", "the first event is the first one from the start on")    \
    X(WATCH_IS_CREATE, "watch_is_create", "a creation is told as one, an update as one")           \
    X(WATCH_RELIABLE, "watch_reliable", "no event is missing")                                     \
    X(WATCH_PREV_KV, "watch_prev_kv", "the previous value is the one before")                      \
    X(WATCH_CONTENT, "watch_content", "an event tells what happened")                              \
    X(WATCH_FUTURE, "watch_future", "a watch from the future brings nothing from before")          \
    X(WATCH_COMPACTED, "watch_compacted", "a watch ends by compaction only when it is behind it")  \
    X(WATCH_HEADER, "watch_header", "a message's revision covers its events")                      \
    X(LEASE_EARLY, "lease_early", "a lease lives as long as its TTL")                              \
    X(LEASE_OVERDUE, "lease_overdue", "a lease that has run out takes its keys with it")           \
    X(LEASE_REVOKED, "lease_revoked", "a revoked lease has no keys")                               \
    X(LEASE_UNKNOWN, "lease_unknown", "no key hangs on a lease that does not exist")               \
    X(LEASE_ANSWER, "lease_answer", "ids and TTLs of leases are what was granted")                 \
    X(HASH_EQUAL, "hash_equal", "members agree about the hash of a revision")                      \
    X(HEADER_BACKWARDS, "header_backwards", "a member's revision and term never go back")          \
    X(COMPACTION, "compaction", "what is compacted cannot be read")                                \
    X(HISTORY, "history", "the record itself makes sense")

enum check_name {
#define X(name, text, promise) CHECK_##name,
    CHECK_NAMES(X)
#undef X
        CHECK_COUNT
};

struct check_config {
    uint64_t clock_drift_ppm;  /* how much faster or slower a member's clock may run */
    uint64_t lease_slack_ns;   /* a lease may end so much early (0 is right for true clocks) */
    uint64_t lease_overdue_ns; /* how long after its end a lease may still hold keys; 0: for ever */
    uint64_t healthy_since_ns; /* no faults from then on; leases count anew from there */
    uint64_t search_steps_max; /* of the search; then the rest is undecided */
};

/* drift 10 %, no slack, nothing overdue, 2 million steps. */
void check_config_init(struct check_config *config);

struct check_violation {
    enum check_name name;
    int64_t revision; /* 0: none in particular */
    char story[CHECK_STORY_BYTES];
};

struct check_verdict {
    uint64_t violation_count; /* 0: all is well (see undecided) */
    uint64_t by_name[CHECK_COUNT];
    struct check_violation violations[CHECK_VIOLATIONS_MAX]; /* the first ones */
    uint64_t operations, writes, reads, failed, unknown;
    uint64_t unknown_placed; /* of the unknown ones: took effect */
    uint64_t lease_ends;     /* revisions that were a lease's end */
    uint64_t watches, watch_messages, watch_events, progress_notes;
    uint64_t values_compared; /* keys with metadata that answers showed */
    uint64_t hashes;
    uint64_t choices; /* revisions for which more than one operation came in question */
    uint64_t search_steps;
    uint64_t undecided; /* mismatches that the search could neither explain nor exclude */
    int64_t last_revision;
};

/* Judges. Pure; needs about as much memory again as the history. */
void check_run(const struct history *history, const struct check_config *config,
               struct check_verdict *out);

/* "stale_read" and its promise; never NULL. */
const char *check_name_text(enum check_name name);
const char *check_name_promise(enum check_name name);

#endif
