/* SPDX-License-Identifier: Apache-2.0 */
/* Member and cluster ids as every etcd computes them, so that mixed clusters agree on who is who.
 */
#ifndef ENGINE_SERVER_IDS_H
#define ENGINE_SERVER_IDS_H

#include "base/defs.h"

/* A member added to a running cluster also hashes the second it was added; the first members do
 * not. */
#define IDS_NO_TIME (-1)

/*
 * From the peer URLs (in any order) and the cluster token: --initial-cluster-token for the first
 * members,
 * "" with unix_s for one that is added later.
 */
uint64_t ids_member(const char *const *peer_urls, size_t count, const char *token, int64_t unix_s);

/* From the ids of the first members (in any order). */
uint64_t ids_cluster(const uint64_t *member_ids, size_t count);

#endif
