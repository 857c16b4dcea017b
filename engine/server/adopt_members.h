/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who the members are at an index of a log: what the .snap file says at its mark, and what the log
 * changes from there. Databases that tools have restored say otherwise: etcdutl leaves the old
 * configuration in them, etcdctl 3.4 the old members too. Pure.
 */
#ifndef ENGINE_SERVER_ADOPT_MEMBERS_H
#define ENGINE_SERVER_ADOPT_MEMBERS_H

#include "engine/server/membership.h"
#include "engine/wal/wal.h"

/*
 * v2_json: of the .snap file at log->mark; empty when the mark is 0. Gives *out_members (without
 * cluster id and version). E_CORRUPT when the JSON or an entry cannot be read, E_NOT_FOUND when the
 * log does not reach index.
 */
BASE_MUST_CHECK int adopt_members_at(const struct wal_contents *log, struct bytes v2_json,
                                     uint64_t index, struct membership **out_members,
                                     struct err *err);

/* As Raft counts them. E_TOO_BIG above RAFT_MEMBERS_MAX. */
BASE_MUST_CHECK int adopt_conf_of(const struct membership *members,
                                  struct raft_conf_state *out_conf);

/* Records them as all that tables members and members_removed hold: what the view shows there and
 * is none of them goes. */
BASE_MUST_CHECK int adopt_members_store(struct membership *members, const struct store_seam *seam,
                                        struct store_view *view, struct store_batch *batch);

#endif
