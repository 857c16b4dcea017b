/* SPDX-License-Identifier: Apache-2.0 */
/* A leader's view of one member: Raft paper 5.3 (nextIndex, matchIndex), dissertation 10.2.1
 * (pipelining). */
#include "engine/raft/progress.h"

#include "base/alloc.h"
#include "base/assert.h"

#define INFLIGHTS_CAPACITY_MIN 16u

void raft_progress_init(struct raft_progress *progress, uint64_t id, uint64_t next_index,
                        uint32_t inflight_limit)
{
    *progress = (struct raft_progress){
        .id = id,
        .next_index = BASE_MAX(next_index, 1u),
        .state = RAFT_PROGRESS_PROBE,
        .inflights = {.limit = inflight_limit},
    };
}

void raft_progress_free(struct raft_progress *progress)
{
    mem_free(progress->inflights.indexes);
    *progress = (struct raft_progress){0};
}

static void inflights_clear(struct raft_inflights *inflights)
{
    inflights->start = 0;
    inflights->count = 0;
}

void raft_progress_reset(struct raft_progress *progress, uint64_t match_index, uint64_t next_index)
{
    ASSERT(match_index < next_index);
    inflights_clear(&progress->inflights);
    *progress = (struct raft_progress){
        .id = progress->id,
        .match_index = match_index,
        .next_index = next_index,
        .inflights = progress->inflights,
        .state = RAFT_PROGRESS_PROBE,
        .is_learner = progress->is_learner,
    };
}

static void progress_enter(struct raft_progress *progress, enum raft_progress_state state)
{
    progress->state = state;
    progress->flow_paused = false;
    progress->want_snapshot = false;
    inflights_clear(&progress->inflights);
}

void raft_progress_become_probe(struct raft_progress *progress)
{
    /* After a snapshot that arrived, the member is where the snapshot ends. */
    uint64_t next = progress->match_index + 1;
    if (progress->state == RAFT_PROGRESS_SNAPSHOT) {
        next = BASE_MAX(next, progress->pending_snapshot + 1);
    }
    progress_enter(progress, RAFT_PROGRESS_PROBE);
    progress->pending_snapshot = 0;
    progress->next_index = next;
    progress->sent_commit = BASE_MIN(progress->sent_commit, next - 1);
}

void raft_progress_become_replicate(struct raft_progress *progress)
{
    progress_enter(progress, RAFT_PROGRESS_REPLICATE);
    progress->pending_snapshot = 0;
    progress->next_index = progress->match_index + 1;
}

void raft_progress_become_snapshot(struct raft_progress *progress, uint64_t snapshot_index)
{
    progress_enter(progress, RAFT_PROGRESS_SNAPSHOT);
    progress->pending_snapshot = snapshot_index;
    progress->next_index = BASE_MAX(snapshot_index, progress->match_index) + 1;
    progress->sent_commit = snapshot_index;
}

bool raft_progress_is_paused(const struct raft_progress *progress)
{
    return progress->state == RAFT_PROGRESS_SNAPSHOT || progress->flow_paused;
}

void raft_progress_sent(struct raft_progress *progress, uint32_t entry_count)
{
    ASSERT(progress->state != RAFT_PROGRESS_SNAPSHOT);
    if (progress->state == RAFT_PROGRESS_PROBE) {
        progress->flow_paused = entry_count > 0;
        return;
    }
    if (entry_count > 0) {
        progress->next_index += entry_count;
        raft_inflights_add(&progress->inflights, progress->next_index - 1);
    }
    progress->flow_paused = raft_inflights_full(&progress->inflights);
}

bool raft_progress_update(struct raft_progress *progress, uint64_t index)
{
    if (index <= progress->match_index) {
        return false;
    }
    progress->match_index = index;
    progress->next_index = BASE_MAX(progress->next_index, index + 1);
    progress->flow_paused = false;
    return true;
}

bool raft_progress_decrease(struct raft_progress *progress, uint64_t rejected, uint64_t hint)
{
    if (progress->state == RAFT_PROGRESS_REPLICATE) {
        if (rejected <= progress->match_index) {
            return false;
        }
        progress->next_index = progress->match_index + 1;
    } else {
        /* A probe is alone on its way: an answer to another index is old. */
        if (progress->state != RAFT_PROGRESS_PROBE || progress->next_index - 1 != rejected) {
            return false;
        }
        progress->next_index = BASE_MAX(BASE_MIN(rejected, hint + 1), progress->match_index + 1);
        progress->flow_paused = false;
    }
    progress->sent_commit = BASE_MIN(progress->sent_commit, progress->next_index - 1);
    return true;
}

bool raft_progress_can_bump_commit(const struct raft_progress *progress, uint64_t commit)
{
    return commit > progress->sent_commit && progress->sent_commit < progress->next_index - 1;
}

bool raft_inflights_full(const struct raft_inflights *inflights)
{
    return inflights->count >= inflights->limit;
}

void raft_inflights_add(struct raft_inflights *inflights, uint64_t index)
{
    ASSERT(!raft_inflights_full(inflights));
    if (inflights->count == inflights->capacity) {
        uint32_t capacity = BASE_MAX(inflights->capacity * 2, INFLIGHTS_CAPACITY_MIN);
        uint64_t *bigger = mem_array(capacity, sizeof(*bigger));
        for (uint32_t i = 0; i < inflights->count; i++) {
            bigger[i] = inflights->indexes[(inflights->start + i) % inflights->capacity];
        }
        mem_free(inflights->indexes);
        inflights->indexes = bigger;
        inflights->capacity = capacity;
        inflights->start = 0;
    }
    inflights->indexes[(inflights->start + inflights->count) % inflights->capacity] = index;
    inflights->count++;
}

void raft_inflights_free_to(struct raft_inflights *inflights, uint64_t index)
{
    while (inflights->count > 0 && inflights->indexes[inflights->start] <= index) {
        inflights->start = (inflights->start + 1) % inflights->capacity;
        inflights->count--;
    }
}
