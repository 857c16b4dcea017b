/* SPDX-License-Identifier: Apache-2.0 */
/* The founders, in order of id: all first members write the same entries. */
#include "engine/server/founders.h"

#include "base/assert.h"

static struct raft_entry founder_entry(const struct member *member, uint64_t index)
{
    struct buf context;
    struct buf data;
    buf_init(&context, BUF_NO_LIMIT);
    buf_init(&data, BUF_NO_LIMIT);
    member_json_write(member, &context);
    struct raftpb_conf_change change = {
        .type = RAFT_CONF_ADD_NODE, .node_id = member->id, .context = buf_bytes(&context)};
    raftpb_conf_change_encode(&change, &data);
    struct raft_entry entry = {.index = index,
                               .term = FOUNDERS_TERM,
                               .type = RAFT_ENTRY_CONF_CHANGE,
                               .payload = raft_payload_new(buf_bytes(&data))};
    buf_free(&context);
    buf_free(&data);
    return entry;
}

int founders_write(struct wal *wal, const struct membership *founders)
{
    struct raft_entry entries[RAFT_MEMBERS_MAX];
    uint32_t count = (uint32_t)membership_count(founders);
    ASSERT(count <= RAFT_MEMBERS_MAX);
    for (uint32_t i = 0; i < count; i++) {
        entries[i] = founder_entry(membership_at(founders, i), i + 1);
    }
    struct raft_hard_state hard_state = {.term = FOUNDERS_TERM, .commit = count};
    int rc = wal_append(wal, entries, count, &hard_state);
    if (rc == 0) {
        rc = wal_sync(wal);
    }
    for (uint32_t i = 0; i < count; i++) {
        raft_payload_unref(entries[i].payload);
    }
    return rc;
}

struct raft_conf_state founders_conf_state(const struct membership *founders)
{
    struct raft_conf_state conf = {.voter_count = (uint32_t)membership_count(founders)};
    ASSERT(conf.voter_count <= RAFT_MEMBERS_MAX);
    for (uint32_t i = 0; i < conf.voter_count; i++) {
        conf.voters[i] = membership_at(founders, i)->id;
    }
    return conf;
}
