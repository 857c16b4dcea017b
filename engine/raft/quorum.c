/* SPDX-License-Identifier: Apache-2.0 */
/* Majority arithmetic (Raft paper 5.2 for votes, 5.3 for the commit index). */
#include "engine/raft/quorum.h"

#include "base/assert.h"

uint32_t raft_quorum_size(uint32_t voter_count)
{
    return voter_count / 2 + 1;
}

uint64_t raft_quorum_value(uint64_t *values, uint32_t count)
{
    if (count == 0) {
        return 0;
    }
    /* Insertion sort, descending: a handful of voters. */
    for (uint32_t i = 1; i < count; i++) {
        uint64_t value = values[i];
        uint32_t place = i;
        while (place > 0 && values[place - 1] < value) {
            values[place] = values[place - 1];
            place--;
        }
        values[place] = value;
    }
    return values[raft_quorum_size(count) - 1];
}

enum raft_vote_result raft_quorum_vote(uint32_t granted, uint32_t rejected, uint32_t voter_count)
{
    ASSERT(granted + rejected <= voter_count);
    if (voter_count == 0) {
        return RAFT_VOTE_PENDING;
    }
    uint32_t needed = raft_quorum_size(voter_count);
    if (granted >= needed) {
        return RAFT_VOTE_WON;
    }
    /* Even all who have not answered would not be enough. */
    return voter_count - rejected < needed ? RAFT_VOTE_LOST : RAFT_VOTE_PENDING;
}
