/* SPDX-License-Identifier: Apache-2.0 */
/* Small logs for tests: entries whose bytes follow from their index, and what a log must read as.
 */
#ifndef TESTS_UNIT_WAL_LIB_LOG_H
#define TESTS_UNIT_WAL_LIB_LOG_H

#include "engine/wal/wal.h"
#include "lib_fault_disk.h"

#define LOG_DIR       "member/wal"
#define LOG_MARK_PATH "member/quorate-durable.mark"
#define LOG_FIRST     LOG_DIR "/0000000000000000-0000000000000000.wal"

/* Options for a log on disk with segments of segment_bytes. */
struct wal_options log_options(struct fault_disk *disk, uint64_t segment_bytes);

/* Makes the log in an empty disk; stops the test on failure. */
struct wal *log_create(struct fault_disk *disk, uint64_t segment_bytes);

/* Appends count entries from index on in term, each of payload_bytes, and a hard state; no flush.
 */
int log_append(struct wal *wal, uint64_t index, uint32_t count, uint64_t term,
               size_t payload_bytes);

/* Opens at mark 0/0 and stops the test on failure. */
struct wal *log_open(struct fault_disk *disk, uint64_t segment_bytes,
                     struct wal_contents *out_contents);

/* True when contents holds entries that log_append wrote, 1 to entry_count, of payload_bytes. */
bool log_is_prefix(const struct wal_contents *contents, size_t payload_bytes);

#endif
