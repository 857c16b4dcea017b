/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A log as it must read after so many of its records: what the scenario appended, in order. A power
 * cut leaves the records up to some place between the last one that was promised and the last one
 * that was written.
 */
#ifndef TESTS_CRASH_LOG_MODEL_H
#define TESTS_CRASH_LOG_MODEL_H

#include "base/err.h"
#include "engine/wal/wal.h"

#define MODEL_NODE    0x8e9e05c52164694du
#define MODEL_CLUSTER 0xcdf818194e3a8c32u

struct model_record {
    enum { MODEL_ENTRY, MODEL_STATE, MODEL_MARK } kind;
    uint64_t index, term;
    uint32_t bytes;
    struct raft_hard_state state;
};

struct log_model {
    struct model_record *records;
    uint32_t count, capacity;
};

void log_model_free(struct log_model *model);

/* Appends count entries from index on, each of so many bytes, and a hard state; no flush. */
void log_model_append(struct log_model *model, struct wal *wal, uint64_t index, uint32_t count,
                      uint64_t term, uint32_t bytes);

/* Notes a snapshot record that the caller writes. */
void log_model_mark(struct log_model *model, const struct raft_snapshot_mark *mark);

/* An entry as log_model_append makes it; the caller owns the payload's reference. */
struct raft_entry log_model_entry(uint64_t index, uint64_t term, uint32_t bytes);

/* 0 when contents are those after m records, for one m from least to most; *out_records is m. */
int log_model_compare(const struct log_model *model, uint32_t least, uint32_t most,
                      const struct wal_contents *contents, uint32_t *out_records, struct err *err);

#endif
