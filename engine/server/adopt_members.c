/* SPDX-License-Identifier: Apache-2.0 */
/* The same verdicts as when the entries were applied: a change that was refused then is now. */
#include "engine/server/adopt_members.h"

#include <inttypes.h>

#include "engine/proto/codec.h"
#include "engine/server/membership_impl.h"
#include "raft_internal.pb-c.h"

static int replay_change(struct membership *members, const struct raft_entry *entry,
                         struct err *err)
{
    struct raftpb_conf_change wire;
    struct membership_change change;
    int rc = raftpb_conf_change_decode(raft_entry_bytes(entry), &wire);
    if (rc == 0) {
        rc = membership_change_parse(&wire, &change, err);
    }
    if (rc != 0) {
        return err_set(err, E_CORRUPT, "log index %" PRIu64 ": a change that cannot be read",
                       entry->index);
    }
    if (membership_check(members, &change) == ETCD_OK) {
        membership_apply(members, &change, NULL);
    }
    membership_change_clear(&change);
    return 0;
}

static int replay_v2(struct membership *members, const Etcdserverpb__Request *request,
                     struct err *err)
{
    if (request->method == NULL || strcmp(request->method, "PUT") != 0 || request->path == NULL ||
        request->val == NULL) {
        return 0;
    }
    int rc = membership_set_attributes_v2(members, request->path, request->val, NULL, err);
    return rc == E_CORRUPT ? rc : 0;
}

/* What members publish of themselves; anything else is none of ours. */
static int replay_normal(struct membership *members, const struct raft_entry *entry,
                         struct err *err)
{
    Etcdserverpb__InternalRaftRequest *request = NULL;
    Etcdserverpb__Request *bare = NULL;
    struct bytes wire = raft_entry_bytes(entry);
    struct arena arena;
    int rc = 0;
    arena_init(&arena, proto_arena_limit(wire.size));
    if (PROTO_UNPACK(etcdserverpb__internal_raft_request, wire, &arena, &request) != 0) {
        arena_free(&arena);
        if (PROTO_UNPACK(etcdserverpb__request, wire, &arena, &bare) == 0) {
            rc = replay_v2(members, bare, err);
        }
    } else if (request->v2 != NULL) {
        rc = replay_v2(members, request->v2, err);
    } else if (request->cluster_member_attr_set != NULL &&
               request->cluster_member_attr_set->member_attributes != NULL) {
        const Membershippb__Attributes *attributes =
            request->cluster_member_attr_set->member_attributes;
        (void)membership_set_attributes(
            members, request->cluster_member_attr_set->member_id, attributes->name,
            (const char *const *)attributes->client_urls, attributes->n_client_urls, NULL);
    }
    arena_free(&arena);
    return rc;
}

int adopt_members_at(const struct wal_contents *log, struct bytes v2_json, uint64_t index,
                     struct membership **out_members, struct err *err)
{
    struct membership *members = membership_new(RAFT_MEMBERS_MAX);
    uint64_t reached = log->mark.index;
    int rc = v2_json.size > 0 ? membership_v2_decode(members, v2_json, err) : 0;
    for (uint32_t i = 0; rc == 0 && i < log->entry_count; i++) {
        const struct raft_entry *entry = &log->entries[i];
        if (entry->index > index) {
            break;
        }
        reached = entry->index;
        if (entry->type == RAFT_ENTRY_CONF_CHANGE) {
            rc = replay_change(members, entry, err);
        } else if (entry->type == RAFT_ENTRY_NORMAL && raft_entry_bytes(entry).size > 0) {
            rc = replay_normal(members, entry, err);
        }
    }
    if (rc == 0 && reached != index) {
        rc = err_set(err, E_NOT_FOUND, "the log ends before index %" PRIu64, index);
    }
    if (rc != 0) {
        membership_free(members);
        return rc;
    }
    members->version[0] = '\0'; /* the database knows it better */
    members->downgrade_is_enabled = false;
    members->downgrade_target[0] = '\0';
    *out_members = members;
    return 0;
}

int adopt_conf_of(const struct membership *members, struct raft_conf_state *out_conf)
{
    struct raft_conf_state conf = {0};
    if (membership_count(members) > RAFT_MEMBERS_MAX) {
        return E_TOO_BIG;
    }
    for (size_t i = 0; i < membership_count(members); i++) { /* in order of id */
        const struct member *member = membership_at(members, i);
        if (member->is_learner) {
            conf.learners[conf.learner_count++] = member->id;
        } else {
            conf.voters[conf.voter_count++] = member->id;
        }
    }
    *out_conf = conf;
    return 0;
}

static int remove_rows(const struct store_seam *seam, struct store_view *view,
                       enum store_table table, struct store_batch *batch)
{
    struct store_item item;
    int rc = seam->view_seek(view, table, bytes_of(NULL, 0), &item);
    while (rc == 0) {
        store_batch_remove(batch, table, item.key);
        rc = seam->view_next(view, table, &item);
    }
    return rc == E_NOT_FOUND ? 0 : rc;
}

int adopt_members_store(struct membership *members, const struct store_seam *seam,
                        struct store_view *view, struct store_batch *batch)
{
    int rc = remove_rows(seam, view, STORE_MEMBERS, batch);
    if (rc == 0) {
        rc = remove_rows(seam, view, STORE_MEMBERS_REMOVED, batch);
    }
    if (rc == 0) {
        membership_store(members, batch);
    }
    return rc;
}
