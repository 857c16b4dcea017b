/* SPDX-License-Identifier: Apache-2.0 */
/* Who is in the cluster by the end of the log, and entries that leave this member alone. */
#include "engine/server/force_new.h"

#include "base/log.h"

/* One more than the members for the promotion of this one. */
#define CHANGES_MAX (2u * RAFT_MEMBERS_MAX + 1u)

/* Members by the end of the log; learners and voters alike. */
struct census {
    uint64_t ids[2 * RAFT_MEMBERS_MAX];
    bool is_voter[2 * RAFT_MEMBERS_MAX];
    uint32_t count;
};

static void census_drop(struct census *census, uint64_t id)
{
    for (uint32_t i = 0; i < census->count; i++) {
        if (census->ids[i] == id) {
            census->count--;
            census->ids[i] = census->ids[census->count];
            census->is_voter[i] = census->is_voter[census->count];
            return;
        }
    }
}

static void census_put(struct census *census, uint64_t id, bool is_voter)
{
    census_drop(census, id);
    if (census->count < ARRAY_COUNT(census->ids)) {
        census->ids[census->count] = id;
        census->is_voter[census->count++] = is_voter;
    }
}

static int census_take(struct census *census, const struct raft_entry *entry, struct err *err)
{
    struct raftpb_conf_change change;
    int rc = raftpb_conf_change_decode(raft_entry_bytes(entry), &change);
    if (rc != 0) {
        return err_set(err, rc, "the log holds a configuration change that cannot be read");
    }
    if (change.type == RAFT_CONF_REMOVE_NODE) {
        census_drop(census, change.node_id);
    } else if (change.type != RAFT_CONF_UPDATE_NODE) {
        census_put(census, change.node_id, change.type == RAFT_CONF_ADD_NODE);
    }
    return 0;
}

static int census_read(const struct server *server, const struct wal_contents *contents,
                       struct census *out, struct err *err)
{
    bool from_store = server->applied_index > contents->mark.index;
    const struct raft_conf_state *start =
        from_store ? &server->conf_state : &contents->mark.conf_state;
    uint64_t index = from_store ? server->applied_index : contents->mark.index;
    *out = (struct census){.count = 0};
    for (uint32_t i = 0; i < start->voter_count; i++) {
        census_put(out, start->voters[i], true);
    }
    for (uint32_t i = 0; i < start->learner_count; i++) {
        census_put(out, start->learners[i], false);
    }
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && i < contents->entry_count; i++) {
        const struct raft_entry *entry = &contents->entries[i];
        if (entry->index > index && entry->type == RAFT_ENTRY_CONF_CHANGE) {
            rc = census_take(out, entry, err);
        }
    }
    return rc;
}

static struct raft_entry change_entry(enum raft_conf_change_type type, uint64_t id, uint64_t index,
                                      uint64_t term)
{
    struct buf context;
    struct buf data;
    buf_init(&context, BUF_NO_LIMIT);
    buf_init(&data, BUF_NO_LIMIT);
    if (type == RAFT_CONF_ADD_NODE) {
        membership_promote_context(id, &context);
    }
    const struct raftpb_conf_change change = {
        .type = type, .node_id = id, .context = buf_bytes(&context)};
    raftpb_conf_change_encode(&change, &data);
    struct raft_entry entry = {.index = index,
                               .term = term,
                               .type = RAFT_ENTRY_CONF_CHANGE,
                               .payload = raft_payload_new(buf_bytes(&data))};
    buf_free(&context);
    buf_free(&data);
    return entry;
}

static int find_self(const struct server *server, const struct wal_contents *contents,
                     const struct census *census, bool *out_is_voter, struct err *err)
{
    if (contents->tail == WAL_TAIL_SUSPECT) {
        return err_set(err, E_CORRUPT,
                       "--force-new-cluster: the log of this member is damaged below what was "
                       "acknowledged (%s): take another member, or restore a snapshot",
                       contents->tail_text);
    }
    for (uint32_t i = 0; i < census->count; i++) {
        if (census->ids[i] == server->member_id) {
            *out_is_voter = census->is_voter[i];
            return 0;
        }
    }
    return err_set(err, E_CONFLICT,
                   "--force-new-cluster: the log in %s does not have this member in its cluster: "
                   "it was removed, or had not joined yet; take another member, or restore a "
                   "snapshot",
                   server->wal_dir);
}

int force_new_cluster(struct server *server, const struct wal_contents *contents, bool *out_changed,
                      struct err *err)
{
    struct census census;
    struct raft_entry entries[CHANGES_MAX];
    struct raft_hard_state hard_state = contents->hard_state;
    const uint64_t last = contents->mark.index + contents->entry_count;
    uint32_t count = 0;
    bool is_voter = false;
    int rc = census_read(server, contents, &census, err);
    if (rc == 0) {
        rc = find_self(server, contents, &census, &is_voter, err);
    }
    if (rc != 0) {
        return rc;
    }
    if (!is_voter) {
        entries[count++] =
            change_entry(RAFT_CONF_ADD_NODE, server->member_id, last + 1, hard_state.term);
    }
    for (uint32_t i = 0; i < census.count; i++) {
        if (census.ids[i] != server->member_id) {
            entries[count] = change_entry(RAFT_CONF_REMOVE_NODE, census.ids[i], last + 1 + count,
                                          hard_state.term);
            LOG_WARN("--force-new-cluster: a member is taken out",
                     LOG_HEX("removed-member-id", census.ids[i]));
            count++;
        }
    }
    *out_changed = count > 0;
    hard_state.commit = last + count;
    if (count > 0) {
        rc = wal_append(server->wal, entries, count, &hard_state);
    }
    if (rc == 0 && count > 0) {
        rc = wal_sync(server->wal);
    }
    for (uint32_t i = 0; i < count; i++) {
        raft_payload_unref(entries[i].payload);
    }
    if (rc != 0) {
        return err_set(err, rc, "write to %s that this member is alone: %s", server->wal_dir,
                       err_code_text(rc));
    }
    if (count == 0) {
        LOG_INFO("--force-new-cluster: this member is alone already");
    }
    return 0;
}
