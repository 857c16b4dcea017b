/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A member without its threads and ports: its real start-up, and its loops one turn at a time, so
 * that what it writes comes in the same order each time. Time stands still: no timer fires.
 */
#ifndef TESTS_CRASH_MEMBER_RIG_H
#define TESTS_CRASH_MEMBER_RIG_H

#include "engine/server/internal.h"

struct rig {
    struct server_config config;
    struct clock_seam clock;
    struct server *server; /* NULL: closed */
    uint32_t answered, succeeded;
};

/* Starts a member on dir/m1 and, where it is the only voter, lets it lead. The server's text in
 * err when it refuses; rig_close also then. */
int rig_open(struct rig *rig, const char *dir, struct err *err);

/* The threads' turns, one after the other, so many times. */
void rig_run(struct rig *rig, int turns);

/* Ends as a member does that was asked to stop. */
void rig_close(struct rig *rig);

/* Requests as clients send them; true: answered without an error. */
bool rig_put(struct rig *rig, const char *key, size_t value_bytes, int64_t lease);
bool rig_delete(struct rig *rig, const char *key);
bool rig_txn(struct rig *rig, const char *put_key, const char *delete_key);
bool rig_grant(struct rig *rig, int64_t id);
bool rig_revoke(struct rig *rig, int64_t id);
bool rig_add_learner(struct rig *rig, const char *peer_url);
bool rig_compact(struct rig *rig, int64_t revision);

/* What it has applied goes into the store, as when the batch timer fires. */
void rig_commit(struct rig *rig);

/* Key space (HashKV, revisions), leases and members as one number. */
uint64_t rig_digest(struct rig *rig);

#endif
