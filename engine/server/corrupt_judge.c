/* SPDX-License-Identifier: Apache-2.0 */
/* Who is to blame for hashes that differ. Pure. */
#include "engine/server/corrupt.h"

static size_t add_once(uint64_t *ids, size_t count, uint64_t id)
{
    for (size_t i = 0; i < count; i++) {
        if (ids[i] == id) {
            return count;
        }
    }
    ids[count] = id;
    return count + 1;
}

size_t corrupt_judge_now(uint64_t leader_id, const struct key_hash *before,
                         const struct key_hash *after, const struct member_hash *peers,
                         size_t count, uint64_t *out_ids)
{
    size_t found = 0;
    if (after->hash != before->hash && after->revision == before->revision &&
        after->compact_revision == before->compact_revision) {
        found = add_once(out_ids, found, leader_id);
    }
    for (size_t i = 0; i < count; i++) {
        const struct member_hash *peer = &peers[i];
        if (!peer->answered) {
            continue;
        }
        bool ahead = peer->current_revision > after->revision ||
                     peer->hash.compact_revision > after->compact_revision;
        bool differs = peer->hash.compact_revision == before->compact_revision &&
                       peer->hash.hash != before->hash;
        if (ahead || differs) {
            found = add_once(out_ids, found, peer->member_id);
        }
    }
    return found;
}

static bool is_compared(const struct member_hash *peer, const struct key_hash *leader)
{
    return peer->answered && peer->hash.compact_revision == leader->compact_revision;
}

/* How many members have this hash. */
static size_t votes_for(uint32_t hash, const struct key_hash *leader,
                        const struct member_hash *peers, size_t count)
{
    size_t votes = leader->hash == hash ? 1 : 0;
    for (size_t i = 0; i < count; i++) {
        votes += is_compared(&peers[i], leader) && peers[i].hash.hash == hash ? 1 : 0;
    }
    return votes;
}

size_t corrupt_judge_compaction(uint64_t leader_id, const struct key_hash *leader,
                                const struct member_hash *peers, size_t count, uint64_t *out_ids,
                                bool *out_complete)
{
    size_t quorum = (count + 1) / 2 + 1;
    size_t compared = 0;
    size_t found = 0;
    bool differ = false;
    uint32_t right = leader->hash;
    bool has_majority = votes_for(right, leader, peers, count) >= quorum;
    for (size_t i = 0; i < count; i++) {
        if (!is_compared(&peers[i], leader)) {
            continue;
        }
        compared++;
        differ = differ || peers[i].hash.hash != leader->hash;
        if (!has_majority && votes_for(peers[i].hash.hash, leader, peers, count) >= quorum) {
            has_majority = true;
            right = peers[i].hash.hash;
        }
    }
    *out_complete = compared == count;
    if (!differ) {
        return 0;
    }
    if (!has_majority) {
        out_ids[0] = 0;
        return 1;
    }
    if (leader->hash != right) {
        found = add_once(out_ids, found, leader_id);
    }
    for (size_t i = 0; i < count; i++) {
        if (is_compared(&peers[i], leader) && peers[i].hash.hash != right) {
            found = add_once(out_ids, found, peers[i].member_id);
        }
    }
    return found;
}
