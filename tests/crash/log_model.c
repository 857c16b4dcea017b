/* SPDX-License-Identifier: Apache-2.0 */
/* What a log must read as. */
#include "tests/crash/log_model.h"

#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"

#define INDEXES_MAX 1024u

void log_model_free(struct log_model *model)
{
    mem_free(model->records);
    *model = (struct log_model){0};
}

static void record_add(struct log_model *model, struct model_record record)
{
    if (model->count == model->capacity) {
        model->capacity = model->capacity == 0 ? 64 : model->capacity * 2;
        model->records = mem_realloc(model->records, model->capacity * sizeof(*model->records));
    }
    model->records[model->count++] = record;
}

/* Never a zero byte: no sector of a payload can look torn. */
static void payload_fill(uint8_t *out, uint64_t index, uint64_t term, uint32_t bytes)
{
    for (uint32_t i = 0; i < bytes; i++) {
        out[i] = (uint8_t)(1 + (index * 31 + term * 57 + i * 7) % 255);
    }
}

struct raft_entry log_model_entry(uint64_t index, uint64_t term, uint32_t bytes)
{
    uint8_t *data = mem_alloc(bytes + 1);
    payload_fill(data, index, term, bytes);
    struct raft_entry entry = {
        .index = index, .term = term, .payload = raft_payload_new(bytes_of(data, bytes))};
    mem_free(data);
    return entry;
}

void log_model_append(struct log_model *model, struct wal *wal, uint64_t index, uint32_t count,
                      uint64_t term, uint32_t bytes)
{
    struct raft_entry *entries = mem_array(count, sizeof(*entries));
    for (uint32_t i = 0; i < count; i++) {
        entries[i] = log_model_entry(index + i, term, bytes);
        record_add(model,
                   (struct model_record){
                       .kind = MODEL_ENTRY, .index = index + i, .term = term, .bytes = bytes});
    }
    struct raft_hard_state state = {
        .term = term, .vote = 7 + term % 3, .commit = index + count - 1};
    record_add(model, (struct model_record){.kind = MODEL_STATE, .state = state});
    ASSERT(wal_append(wal, entries, count, &state) == 0);
    for (uint32_t i = 0; i < count; i++) {
        raft_payload_unref(entries[i].payload);
    }
    mem_free(entries);
}

void log_model_mark(struct log_model *model, const struct raft_snapshot_mark *mark)
{
    record_add(model,
               (struct model_record){.kind = MODEL_MARK, .index = mark->index, .term = mark->term});
}

/* The log after the first m records. */
struct replay {
    const struct model_record *entries[INDEXES_MAX]; /* by index */
    uint64_t last;
    struct raft_hard_state state;
};

static void replay_one(struct replay *replay, const struct model_record *record)
{
    if (record->kind == MODEL_ENTRY) {
        ASSERT(record->index < INDEXES_MAX);
        replay->entries[record->index] = record;
        replay->last = record->index;
    } else if (record->kind == MODEL_STATE) {
        replay->state = record->state;
    }
}

static bool entry_is(const struct raft_entry *entry, const struct model_record *record)
{
    struct bytes bytes = raft_entry_bytes(entry);
    if (record == NULL || entry->index != record->index || entry->term != record->term ||
        bytes.size != record->bytes) {
        return false;
    }
    uint8_t *wanted = mem_alloc(record->bytes + 1);
    payload_fill(wanted, record->index, record->term, record->bytes);
    bool same = bytes.size == 0 || memcmp(bytes.data, wanted, bytes.size) == 0;
    mem_free(wanted);
    return same;
}

static bool replay_is(const struct replay *replay, const struct wal_contents *contents)
{
    const struct raft_hard_state *state = &contents->hard_state;
    if (contents->mark.index + contents->entry_count != replay->last ||
        state->term != replay->state.term || state->vote != replay->state.vote ||
        state->commit != replay->state.commit) {
        return false;
    }
    for (uint32_t i = 0; i < contents->entry_count; i++) {
        if (!entry_is(&contents->entries[i], replay->entries[contents->mark.index + 1 + i])) {
            return false;
        }
    }
    return true;
}

int log_model_compare(const struct log_model *model, uint32_t least, uint32_t most,
                      const struct wal_contents *contents, uint32_t *out_records, struct err *err)
{
    struct replay replay = {.last = 0};
    if (contents->metadata.node_id != MODEL_NODE ||
        contents->metadata.cluster_id != MODEL_CLUSTER) {
        return err_set(err, E_CORRUPT, "the log belongs to somebody else");
    }
    for (uint32_t m = 0;; m++) {
        if (m >= least && replay_is(&replay, contents)) {
            *out_records = m;
            return 0;
        }
        if (m == most || m == model->count) {
            break;
        }
        replay_one(&replay, &model->records[m]);
    }
    return err_set(err, E_CORRUPT,
                   "the log reads up to index %llu, term %llu, commit %llu: that is none of its "
                   "states between record %u, which was flushed, and record %u",
                   (unsigned long long)(contents->mark.index + contents->entry_count),
                   (unsigned long long)contents->hard_state.term,
                   (unsigned long long)contents->hard_state.commit, least, most);
}
