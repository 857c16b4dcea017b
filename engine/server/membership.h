/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who belongs to the cluster, as the log says: members, removed ids (never used again), cluster
 * version, downgrade. Pure: a change is parsed, checked against what is applied, and applied with
 * its stored form into the batch; all members come to the same verdict. Forms are etcd's: JSON in
 * the tables, the v2-store JSON in .snap files, protobuf for clients.
 */
#ifndef ENGINE_SERVER_MEMBERSHIP_H
#define ENGINE_SERVER_MEMBERSHIP_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/defs.h"
#include "base/err.h"
#include "engine/mvcc/store.h"
#include "engine/proto/etcd_error.h"
#include "engine/proto/raftpb.h"
#include "rpc.pb-c.h"

#define MEMBERSHIP_LEARNERS_DEFAULT 1u

/* Voters must have been connected this long to count for strict reconfiguration. */
#define MEMBERSHIP_HEALTH_INTERVAL_MS 5000

/* A sorted or unsorted list of URLs. Owns its strings. */
struct url_list {
    char **urls;
    size_t count;
};

void url_list_free(struct url_list *list);
void url_list_add(struct url_list *list, const char *url);

/*
 * Reads peer or client URLs as etcd does: scheme http or https with host:port and no path, or unix
 * or unixs. Spaces around each are dropped, the list is sorted. Gives *out_list; E_INVALID when one
 * is bad or the list is empty (ETCD_ERR_MEMBER_BAD_URLS for clients).
 */
BASE_MUST_CHECK int url_list_parse(const char *const *urls, size_t count, struct url_list *out_list,
                                   struct err *err);

/* The same in the order given: that of an update stays, as etcd keeps it. */
BASE_MUST_CHECK int url_list_read(const char *const *urls, size_t count, struct url_list *out_list,
                                  struct err *err);

/* One member. Owns its strings. */
struct member {
    uint64_t id;
    char *name; /* "": has not started yet; never NULL */
    struct url_list peer_urls;
    struct url_list client_urls;
    bool is_learner;
};

void member_clear(struct member *member);
struct member member_copy(const struct member *member);

/* The JSON that tables and change contexts hold. */
void member_json_write(const struct member *member, struct buf *out);

/* Reads it; id is what the surroundings say, whatever the JSON says. 0 or E_CORRUPT. Gives
 * *out_member. */
BASE_MUST_CHECK int member_json_read(struct bytes json, uint64_t id, struct member *out_member,
                                     struct err *err);

struct membership; /* opaque */

/* Makes one without members. */
struct membership *membership_new(size_t max_learners);
void membership_free(struct membership *membership);

/*
 * The first members, from --initial-cluster ("name=url,name=url,..."; a name may repeat for more
 * URLs) and the token; ids and cluster id are computed. Gives *out_membership; E_INVALID with the
 * reason.
 */
BASE_MUST_CHECK int membership_parse_initial(const char *initial_cluster, const char *token,
                                             size_t max_learners,
                                             struct membership **out_membership, struct err *err);

/* Reads what a member answers on its peer port under /members: a JSON array of members. Gives
 * *out_membership without cluster id (a response header holds it). 0 or E_CORRUPT. */
BASE_MUST_CHECK int membership_parse_members(struct bytes json, struct membership **out_membership,
                                             struct err *err);

/*
 * Joining: gives each local member the id of the existing one with the same peer URLs. E_CONFLICT
 * when the two lists do not describe the same members.
 */
BASE_MUST_CHECK int membership_match_existing(struct membership *local,
                                              const struct membership *existing, struct err *err);

uint64_t membership_cluster_id(const struct membership *membership);
void membership_set_cluster_id(struct membership *membership, uint64_t cluster_id);

/* ---- reads; pointers are borrowed until the next change ---- */

size_t membership_count(const struct membership *membership);
size_t membership_voter_count(const struct membership *membership);

/* In order of id. */
const struct member *membership_at(const struct membership *membership, size_t index);
const struct member *membership_find(const struct membership *membership, uint64_t id);
const struct member *membership_find_name(const struct membership *membership, const char *name);
bool membership_is_removed(const struct membership *membership, uint64_t id);
size_t membership_removed_count(const struct membership *membership);
uint64_t membership_removed_at(const struct membership *membership, size_t index);

/* "3.6.0", or NULL before the first leader has decided it. */
const char *membership_version(const struct membership *membership);
bool membership_downgrade_is_enabled(const struct membership *membership);
const char *membership_downgrade_target(const struct membership *membership); /* "": none */

/* The members for clients, in order of id, in arena memory (which needs no limit). */
void membership_to_proto(const struct membership *membership, struct arena *arena,
                         Etcdserverpb__Member ***out_members, size_t *out_count);

/* The JSON array of members that the peer port answers under /members. */
void membership_members_json(const struct membership *membership, struct buf *out);

/* ---- changes from the log ---- */

struct membership_change {
    enum raft_conf_change_type type;
    uint64_t id;
    bool is_promote;
    struct member member; /* add, update */
};

/* Reads a committed ConfChange. Gives *out_change (membership_change_clear); E_CORRUPT: its context
 * is none of etcd's, the member must stop. */
BASE_MUST_CHECK int membership_change_parse(const struct raftpb_conf_change *wire,
                                            struct membership_change *out_change, struct err *err);
void membership_change_clear(struct membership_change *change);

/* The context of a promotion; that of add and update is member_json_write (an update must carry the
 * is_learner that the member has). */
void membership_promote_context(uint64_t id, struct buf *out);

/*
 * Whether the change may be applied: ETCD_OK, ETCD_ERR_MEMBER_NOT_FOUND, _EXIST, _NOT_LEARNER,
 * ETCD_ERR_PEER_URL_EXIST, ETCD_ERR_TOO_MANY_LEARNERS. All members give the same answer.
 */
enum etcd_error membership_check(const struct membership *membership,
                                 const struct membership_change *change);

/* Applies a change that was checked; batch may be NULL when only memory is to change. */
void membership_apply(struct membership *membership, const struct membership_change *change,
                      struct store_batch *batch);

/* What a member published. 0 (also for a removed member, which is ignored) or E_NOT_FOUND. */
int membership_set_attributes(struct membership *membership, uint64_t id, const char *name,
                              const char *const *client_urls, size_t client_url_count,
                              struct store_batch *batch);

/* As the v2 form of older clusters: path "/0/members/<hex id>/attributes" and JSON value. Also 0
 * for paths that are none of ours; E_CORRUPT for an unreadable value. */
int membership_set_attributes_v2(struct membership *membership, const char *path, const char *value,
                                 struct store_batch *batch, struct err *err);

/* version as "3.6.0"; E_INVALID otherwise. */
int membership_set_version(struct membership *membership, const char *version,
                           struct store_batch *batch);
void membership_set_downgrade(struct membership *membership, bool is_enabled, const char *target,
                              struct store_batch *batch);

/* ---- strict reconfiguration, before proposing ---- */

/* What the leader's or this member's connections say. */
struct membership_health {
    uint64_t local_id;
    size_t connected_voters; /* this member included, connected for the health interval */
};

enum etcd_error membership_may_add(const struct membership *membership, bool is_learner,
                                   const struct membership_health *health);

/* target_is_active: there is a connection to it, however young. */
enum etcd_error membership_may_remove(const struct membership *membership, uint64_t id,
                                      bool target_is_active,
                                      const struct membership_health *health);

/* learner_match and leader_match: what Raft knows to be stored there. */
enum etcd_error membership_may_promote(const struct membership *membership, uint64_t id,
                                       uint64_t learner_match, uint64_t leader_match);

/* Whether a learner has caught up far enough (90 %), whatever strict reconfiguration says. */
bool membership_learner_is_ready(uint64_t learner_match, uint64_t leader_match);

/* ---- stored forms ---- */

/* Replaces everything by what tables members, members_removed and cluster hold; the cluster id
 * stays. */
BASE_MUST_CHECK int membership_load(struct membership *membership, const struct store_seam *seam,
                                    struct store_view *view, struct err *err);

/* Records all of it. */
void membership_store(const struct membership *membership, struct store_batch *batch);

/* The v2-store JSON of .snap files and MsgSnap. */
void membership_v2_encode(const struct membership *membership, struct buf *out);

/* Replaces members, removed ids and version by those of a v2-store JSON. 0 or E_CORRUPT. */
BASE_MUST_CHECK int membership_v2_decode(struct membership *membership, struct bytes json,
                                         struct err *err);

#endif
