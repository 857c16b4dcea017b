/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The version that a cluster agrees on, and by it what may be written to the log: an entry that one
 * member does not know would stop it (etcd 3.4 panics). It is the lowest of all members, never
 * decided while one does not answer, and never higher than where a member holds it. Pure; version.c
 * carries it out.
 */
#ifndef ENGINE_SERVER_VERSION_H
#define ENGINE_SERVER_VERSION_H

#include "base/defs.h"
#include "base/err.h"

#define VERSION_V3_MEMBERSHIP 3006 /* entries 1300 and 1301 instead of v2 requests */

/* "3.6.1" gives 3006; 0 when it is no version, or NULL. */
int version_number(const char *text);

/* What --hold-cluster-version may say: "3.4", "3.5", "3.6". Gives its number, 0 for "" (not held);
 * E_INVALID otherwise. */
BASE_MUST_CHECK int version_parse_hold(const char *text, int *out_number, struct err *err);

/* Whether every member of a cluster of this version (0: not decided) can apply an entry of this
 * field of InternalRaftRequest; etcd before 3.6 stops at one that it does not know. */
bool version_knows_entry(int version, uint32_t field);

/* What the members said in one poll, and what is decided so far. */
struct version_votes {
    int current; /* 0: not decided yet */
    int lowest;  /* of all that answered, this member included */
    bool any_unknown;
    bool downgrading; /* somebody asked for a downgrade to target */
    int target;
};

/* The version to propose; 0: leave it. Goes up to the lowest member, and down only to the target of
 * a downgrade, one minor at a time. */
int version_next(const struct version_votes *votes);

/*
 * Whether a member that goes up to highest, and holds the version at hold (0: not), may join a
 * cluster that has decided (0: not yet). 0, or E_UNSUPPORTED with the reason and what to do.
 */
BASE_MUST_CHECK int version_may_join(int decided, int highest, int hold, struct err *err);

#endif
