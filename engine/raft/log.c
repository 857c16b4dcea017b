/* SPDX-License-Identifier: Apache-2.0 */
/* The log in memory (Raft paper 5.3; compaction: section 7). Knows no roles and sends nothing. */
#include "engine/raft/log.h"

#include "base/alloc.h"
#include "base/assert.h"

#define LOG_CAPACITY_MIN 64u
/* What an entry costs on the wire beside its payload, rounded up. */
#define LOG_ENTRY_OVERHEAD_BYTES 24u

static struct raft_entry *log_slot(const struct raft_log *log, uint64_t index)
{
    return &log->ring[index & (log->capacity - 1)];
}

static bool log_has(const struct raft_log *log, uint64_t index)
{
    return index > log->mark_index && index <= log->last_index;
}

void raft_log_init(struct raft_log *log, uint64_t mark_index, uint64_t mark_term)
{
    *log = (struct raft_log){
        .ring = mem_array(LOG_CAPACITY_MIN, sizeof(struct raft_entry)),
        .capacity = LOG_CAPACITY_MIN,
        .mark_index = mark_index,
        .mark_term = mark_term,
        .last_index = mark_index,
        .commit = mark_index,
        .emitted = mark_index,
        .persisted = mark_index,
        .handed = mark_index,
        .applied = mark_index,
    };
}

static void log_drop_entries(struct raft_log *log, uint64_t from, uint64_t to)
{
    for (uint64_t i = from; i <= to; i++) {
        struct raft_entry *entry = log_slot(log, i);
        raft_payload_unref(entry->payload);
        entry->payload = NULL;
    }
}

void raft_log_free(struct raft_log *log)
{
    log_drop_entries(log, log->mark_index + 1, log->last_index);
    mem_free(log->ring);
    *log = (struct raft_log){0};
}

bool raft_log_term(const struct raft_log *log, uint64_t index, uint64_t *out_term)
{
    if (index == log->mark_index) {
        *out_term = log->mark_term;
        return true;
    }
    if (!log_has(log, index)) {
        return false;
    }
    *out_term = log_slot(log, index)->term;
    return true;
}

bool raft_log_matches(const struct raft_log *log, uint64_t index, uint64_t term)
{
    uint64_t own = 0;
    return raft_log_term(log, index, &own) && own == term;
}

uint64_t raft_log_last_term(const struct raft_log *log)
{
    uint64_t term = 0;
    bool known = raft_log_term(log, log->last_index, &term);
    ASSERT(known);
    return term;
}

const struct raft_entry *raft_log_at(const struct raft_log *log, uint64_t index)
{
    ASSERT(log_has(log, index));
    const struct raft_entry *entry = log_slot(log, index);
    ASSERT(entry->index == index);
    return entry;
}

bool raft_log_is_up_to_date(const struct raft_log *log, uint64_t index, uint64_t term)
{
    uint64_t last_term = raft_log_last_term(log);
    return term > last_term || (term == last_term && index >= log->last_index);
}

static void log_grow(struct raft_log *log)
{
    struct raft_log bigger = *log;
    bigger.capacity = log->capacity * 2;
    bigger.ring = mem_array((size_t)bigger.capacity, sizeof(struct raft_entry));
    for (uint64_t i = log->mark_index + 1; i <= log->last_index; i++) {
        *log_slot(&bigger, i) = *log_slot(log, i);
    }
    mem_free(log->ring);
    *log = bigger;
}

void raft_log_append(struct raft_log *log, const struct raft_entry *entry)
{
    ASSERT(entry->index == log->last_index + 1);
    ASSERT(entry->term >= raft_log_last_term(log));
    if (log->last_index - log->mark_index == log->capacity) {
        log_grow(log);
    }
    struct raft_entry *slot = log_slot(log, entry->index);
    *slot = *entry;
    raft_payload_ref(slot->payload);
    log->last_index = entry->index;
}

void raft_log_truncate(struct raft_log *log, uint64_t index)
{
    ASSERT(index > log->mark_index && index <= log->last_index);
    /* Raft 5.4: what is committed is in every later leader's log, so no leader may ask for this. */
    ASSERT(index > log->commit);
    log_drop_entries(log, index, log->last_index);
    log->last_index = index - 1;
    log->emitted = BASE_MIN(log->emitted, index - 1);
    log->persisted = BASE_MIN(log->persisted, index - 1);
    log->rewrites++;
}

void raft_log_compact(struct raft_log *log, uint64_t index)
{
    ASSERT(index > log->mark_index && index <= log->last_index);
    uint64_t term = raft_log_at(log, index)->term;
    log_drop_entries(log, log->mark_index + 1, index);
    log->mark_index = index;
    log->mark_term = term;
}

void raft_log_restore(struct raft_log *log, uint64_t index, uint64_t term)
{
    ASSERT(index > log->commit);
    log_drop_entries(log, log->mark_index + 1, log->last_index);
    log->mark_index = index;
    log->mark_term = term;
    log->last_index = index;
    log->commit = index;
    log->emitted = index;
    log->persisted = index;
    log->rewrites++;
}

void raft_log_commit_to(struct raft_log *log, uint64_t index)
{
    ASSERT(index <= log->last_index);
    log->commit = BASE_MAX(log->commit, index);
}

uint64_t raft_log_find_conflict_by_term(const struct raft_log *log, uint64_t index, uint64_t term,
                                        uint64_t *out_term)
{
    index = BASE_MIN(index, log->last_index);
    *out_term = 0;
    if (index < log->mark_index) {
        return index;
    }
    if (log->mark_term > term) {
        ASSERT(log->mark_index > 0); /* where nothing is, the term is 0 */
        return log->mark_index - 1;
    }
    /* Terms never fall along the log: the last place with a term <= term is found by halving. */
    uint64_t low = log->mark_index;
    uint64_t high = index;
    while (low < high) {
        uint64_t middle = high - (high - low) / 2;
        if (log_slot(log, middle)->term <= term) {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    bool known = raft_log_term(log, low, out_term);
    ASSERT(known);
    return low;
}

uint32_t raft_log_count_within(const struct raft_log *log, uint64_t index, uint64_t last,
                               uint64_t max_bytes)
{
    uint64_t bytes = 0;
    uint32_t count = 0;
    ASSERT(index > last || last - index < UINT32_MAX);
    for (uint64_t i = index; i <= last; i++) {
        const struct raft_payload *payload = raft_log_at(log, i)->payload;
        bytes += LOG_ENTRY_OVERHEAD_BYTES + (payload == NULL ? 0 : payload->size);
        if (bytes > max_bytes && count > 0) {
            break;
        }
        count++;
    }
    return count;
}

bool raft_log_has_conf_change(const struct raft_log *log, uint64_t after, uint64_t up_to)
{
    for (uint64_t i = BASE_MAX(after, log->mark_index) + 1; i <= up_to; i++) {
        if (raft_log_at(log, i)->type != RAFT_ENTRY_NORMAL) {
            return true;
        }
    }
    return false;
}
