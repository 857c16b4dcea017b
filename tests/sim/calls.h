/* SPDX-License-Identifier: Apache-2.0 */
/* The calls of a node that somebody may make fail one by one ("the k-th write"). */
#ifndef TESTS_SIM_CALLS_H
#define TESTS_SIM_CALLS_H

/* name, text, what counts as one */
#define SIM_CALLS(X)                                                                               \
    X(ALLOCATE, "malloc", "an allocation: the process ends")                                       \
    X(OPEN, "open", "open, create, lock, make_dir, list_dir, and of a store its opening")          \
    X(READ, "read", "read_at")                                                                     \
    X(WRITE, "write", "write_at and truncate; any part of it may have been written")               \
    X(SYNC, "fdatasync", "sync and sync_dir; the unsynced pages are dropped")                      \
    X(RENAME, "rename", "rename")                                                                  \
    X(REMOVE, "remove", "remove")                                                                  \
    X(COMMIT, "commit", "of a store: a commit, which may turn out to be there, and a copy")        \
    X(SEND, "send", "a Raft message, a piece of an HTTP exchange, a word to a client")

enum sim_call_kind {
#define X(name, text, what) SIM_CALL_##name,
    SIM_CALLS(X)
#undef X
        SIM_CALL_COUNT
};

#endif
