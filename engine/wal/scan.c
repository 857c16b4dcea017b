/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading a log. The verdict on its end, in order:
 *   below the side mark, or in a segment that is not the last: rot. What was acknowledged is gone,
 * so the member is suspect; without a side mark (a log that etcd wrote) it is not opened at all;
 *   beyond the side mark: torn by a crash, never acknowledged, an ordinary cut;
 *   no side mark, last segment: etcd's own rule (the file ends inside the record, or a sector is
 * zero).
 */
#include "engine/wal/scan.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/assert.h"

#define ADVICE_REPLACE                                                                             \
    "remove this member and add it anew, or restore its data directory from a backup"

static int fault(struct wal_scan *scan, const char *reason)
{
    scan->fault = (struct wal_fault){reason, false};
    return E_CORRUPT;
}

/* Keeps the first entries: an entry takes the place of all that were there from its index on. */
static void entries_truncate(struct wal_contents *contents, uint32_t keep)
{
    while (contents->entry_count > keep) {
        raft_payload_unref(contents->entries[--contents->entry_count].payload);
    }
}

static int entry_take(struct wal_scan *scan, struct bytes data, struct err *err)
{
    struct wal_contents *contents = &scan->contents;
    struct raft_entry entry;
    if (wal_entry_decode(data, &entry) != 0) {
        return fault(scan, "malformed entry");
    }
    if (entry.index <= scan->wanted.index) {
        entries_truncate(contents, 0);
        scan->wanted_term = entry.index == scan->wanted.index ? entry.term : 0;
        scan->last_index = entry.index;
        raft_payload_unref(entry.payload);
        return 0;
    }
    uint64_t at = entry.index - scan->wanted.index - 1;
    if (at > contents->entry_count) {
        uint64_t expected = scan->wanted.index + contents->entry_count + 1;
        int rc =
            err_set(err, E_CORRUPT,
                    "%s: the log jumps from index %" PRIu64 " to %" PRIu64
                    ": a snapshot file newer than index %" PRIu64 " is missing; " ADVICE_REPLACE,
                    scan->dir, expected - 1, entry.index, scan->wanted.index);
        raft_payload_unref(entry.payload);
        scan->fault.reason = NULL;
        return rc;
    }
    /* Before the snapshot's record, the entry at its index may be one that was overwritten, or that
     * the snapshot of a leader replaced. */
    uint64_t term_at_mark = scan->mark_found ? scan->wanted.term : scan->wanted_term;
    uint64_t term_before = at == 0 ? term_at_mark : contents->entries[at - 1].term;
    if (entry.term < term_before) {
        raft_payload_unref(entry.payload);
        return fault(scan, "entry of a term below the one before it");
    }
    entries_truncate(contents, (uint32_t)at);
    if (contents->entry_count == scan->entry_capacity) {
        ASSERT(scan->entry_capacity <= UINT32_MAX / 2);
        scan->entry_capacity = scan->entry_capacity == 0 ? 64u : scan->entry_capacity * 2u;
        contents->entries = mem_realloc(contents->entries, (size_t)scan->entry_capacity *
                                                               sizeof(contents->entries[0]));
    }
    contents->entries[contents->entry_count++] = entry;
    scan->last_index = entry.index;
    return 0;
}

static int state_take(struct wal_scan *scan, struct bytes data)
{
    struct raft_hard_state state;
    if (wal_state_decode(data, &state) != 0) {
        return fault(scan, "malformed hard state");
    }
    if (state.term < scan->contents.hard_state.term) {
        return fault(scan, "hard state of a term below the one before it");
    }
    scan->contents.hard_state = state;
    return 0;
}

static bool same_owner(const struct wal_metadata *a, const struct wal_metadata *b)
{
    return a->node_id == b->node_id && a->cluster_id == b->cluster_id;
}

static int metadata_take(struct wal_scan *scan, struct bytes data)
{
    struct wal_metadata metadata;
    if (wal_metadata_decode(data, &metadata) != 0) {
        return fault(scan, "malformed metadata");
    }
    if (scan->has_metadata && !same_owner(&metadata, &scan->contents.metadata)) {
        return fault(scan, "metadata of another member or cluster");
    }
    if (scan->marker != NULL && !same_owner(&metadata, &scan->marker->owner)) {
        scan->marker = NULL; /* left by another member whose directory was here before */
    }
    scan->contents.metadata = metadata;
    scan->has_metadata = true;
    return 0;
}

static int mark_take(struct wal_scan *scan, struct bytes data, struct err *err)
{
    struct raft_snapshot_mark mark;
    int rc = wal_mark_decode(data, &mark);
    if (rc == E_UNSUPPORTED) {
        scan->fault.reason = NULL;
        return err_set(err, rc,
                       "%s: a snapshot record is in joint consensus, which is not supported",
                       scan->dir);
    }
    if (rc != 0) {
        return fault(scan, "malformed snapshot record");
    }
    if (mark.index > scan->last_index) {
        scan->last_index = mark.index;
    }
    if (mark.index != scan->wanted.index) {
        return 0;
    }
    if (mark.term != scan->wanted.term) {
        scan->fault.reason = NULL;
        return err_set(err, E_CORRUPT,
                       "%s: snapshot %" PRIu64 " has term %" PRIu64 " in the log and %" PRIu64
                       " in its file; " ADVICE_REPLACE,
                       scan->dir, mark.index, mark.term, scan->wanted.term);
    }
    if (!scan->mark_found && scan->wanted_term != mark.term) {
        entries_truncate(&scan->contents, 0); /* they follow an entry that the snapshot replaced */
    }
    scan->mark_found = true;
    scan->contents.mark = mark;
    return 0;
}

static int record_take(struct wal_scan *scan, const struct wal_record *record, struct err *err)
{
    if (!scan->has_metadata && record->type != WAL_RECORD_CRC &&
        record->type != WAL_RECORD_METADATA) {
        return fault(scan, "record before the metadata");
    }
    switch (record->type) {
    case WAL_RECORD_METADATA:
        return metadata_take(scan, record->data);
    case WAL_RECORD_ENTRY:
        return entry_take(scan, record->data, err);
    case WAL_RECORD_STATE:
        return state_take(scan, record->data);
    case WAL_RECORD_SNAPSHOT:
        return mark_take(scan, record->data, err);
    case WAL_RECORD_CRC:
        break;
    }
    return 0;
}

/* Notes that the log is good up to the reader's place. */
static void end_set(struct wal_scan *scan, uint32_t at, const struct wal_reader *reader)
{
    scan->end_at = at;
    scan->end =
        (struct wal_position){scan->segments->items[at].sequence, reader->offset, reader->crc};
    if (scan->marker != NULL && wal_position_compare(&scan->end, &scan->marker->position) == 0 &&
        scan->end.crc == scan->marker->position.crc) {
        scan->position_met = true;
    }
}

/* Reads one segment to its end. Returns 0, E_CORRUPT with fault.reason set for a bad record, or an
 * error. */
static int segment_read(struct wal_scan *scan, uint32_t at, struct wal_reader *reader,
                        struct err *err)
{
    for (;;) {
        struct wal_record record;
        uint64_t before = reader->offset;
        int rc = wal_reader_next(reader, &record, &scan->fault);
        if (rc > 0) {
            rc = record_take(scan, &record, err);
            if (rc == 0) {
                end_set(scan, at, reader);
                continue;
            }
        } else if (rc == 0) {
            return 0;
        }
        if (rc == E_CORRUPT && scan->fault.reason != NULL) {
            scan->bad = true;
            scan->fault_at = at;
            scan->fault_offset = before;
        }
        return rc;
    }
}

/* What lies between the log's end and the end of its file. Returns 0 or an error. */
static int rest_judge(struct wal_scan *scan, struct wal_reader *reader)
{
    uint64_t offset = scan->end.offset;
    uint64_t sector_end = (offset / WAL_SECTOR_BYTES + 1) * WAL_SECTOR_BYTES;
    int dirty = wal_reader_is_dirty(reader, offset, reader->file_bytes);
    if (dirty < 0) {
        return dirty;
    }
    scan->dirty = dirty > 0;
    if (scan->bad || !scan->dirty || scan->marker != NULL) {
        return 0;
    }
    /* etcd takes a zero length field for the end. A lost sector reads so, a flipped bit does not.
     */
    dirty = wal_reader_is_dirty(reader, offset, sector_end);
    if (dirty < 0) {
        return dirty;
    }
    scan->bad = true;
    scan->fault = (struct wal_fault){"zero length field with data after it", dirty == 0};
    scan->fault_at = scan->end_at;
    scan->fault_offset = offset;
    return 0;
}

static int segments_read(struct wal_scan *scan, struct err *err)
{
    uint32_t crc = 0;
    bool chained = false;
    for (uint32_t at = scan->first; at < scan->segments->count; at++) {
        struct wal_reader reader;
        int rc = wal_reader_open(scan->disk, scan->segments->items[at].file, crc, chained, &reader);
        if (rc != 0) {
            return rc;
        }
        rc = segment_read(scan, at, &reader, err);
        bool empty = rc == 0 && reader.offset == 0;
        if (empty) {
            scan->bad = true;
            scan->fault = (struct wal_fault){"empty segment", true};
            scan->fault_at = at;
            scan->fault_offset = 0;
        }
        if (rc == 0 && !empty && at + 1 == scan->segments->count) {
            rc = rest_judge(scan, &reader);
        }
        crc = reader.crc;
        chained = reader.chained;
        wal_reader_close(&reader);
        if (scan->bad) {
            scan->dirty = true;
            return 0;
        }
        if (rc != 0) {
            return rc;
        }
    }
    return 0;
}

/* Puts file, offset and reason into text. */
static void text_fault(struct wal_scan *scan)
{
    char name[WAL_NAME_BYTES];
    const struct wal_segment *segment = &scan->segments->items[scan->fault_at];
    wal_name_format(segment->sequence, segment->index, name);
    (void)snprintf(scan->text, sizeof(scan->text), "%s/%s: offset %" PRIu64 ": %s", scan->dir, name,
                   scan->fault_offset, scan->fault.reason);
}

static void text_end(struct wal_scan *scan, const char *reason)
{
    scan->fault_at = scan->end_at;
    scan->fault_offset = scan->end.offset;
    scan->fault.reason = reason;
    text_fault(scan);
}

/* The verdict where a side mark says how far the log was durable. */
static enum wal_tail judge_by_mark(struct wal_scan *scan)
{
    const struct wal_marker *marker = scan->marker;
    bool old = marker->position.sequence < scan->segments->items[scan->first].sequence;
    bool last = !scan->bad || scan->fault_at + 1 == scan->segments->count;
    if (scan->bad && !last) {
        return WAL_TAIL_SUSPECT;
    }
    if (!old && wal_position_compare(&scan->end, &marker->position) < 0) {
        if (!scan->bad) {
            text_end(scan, "the log ends before the place that it is known to be durable to");
        }
        return WAL_TAIL_SUSPECT;
    }
    if (!old && !scan->position_met) {
        text_end(scan, "the log is not the one that its durability mark was written for");
        return WAL_TAIL_SUSPECT;
    }
    if (scan->dirty) {
        if (!scan->bad) {
            text_end(scan, "data after the end of the log");
        }
        return WAL_TAIL_CUT;
    }
    return WAL_TAIL_CLEAN;
}

static int judge(struct wal_scan *scan, struct err *err)
{
    if (scan->bad) {
        text_fault(scan);
    }
    if (!scan->mark_found) {
        if (scan->bad) {
            return err_set(err, E_CORRUPT, "%s; " ADVICE_REPLACE, scan->text);
        }
        return err_set(err, E_CORRUPT,
                       "%s: no record of the snapshot of index %" PRIu64 " term %" PRIu64
                       "; " ADVICE_REPLACE,
                       scan->dir, scan->wanted.index, scan->wanted.term);
    }
    if (scan->marker != NULL) {
        scan->contents.tail = judge_by_mark(scan);
        if (scan->marker->suspect && scan->contents.tail != WAL_TAIL_SUSPECT) {
            if (scan->contents.tail == WAL_TAIL_CLEAN) {
                text_end(scan, "suspect since an earlier start, not caught up yet");
            }
            scan->contents.tail = WAL_TAIL_SUSPECT;
        }
    } else if (!scan->bad) {
        scan->contents.tail = WAL_TAIL_CLEAN;
    } else if (scan->fault.torn && scan->fault_at + 1 == scan->segments->count) {
        scan->contents.tail = WAL_TAIL_CUT;
    } else {
        return err_set(err, E_CORRUPT, "%s; " ADVICE_REPLACE, scan->text);
    }
    return 0;
}

int wal_scan_run(struct wal_scan *scan, struct err *err)
{
    int rc = segments_read(scan, err);
    if (rc == E_CORRUPT || rc == E_UNSUPPORTED) {
        return rc; /* the text is set where it was found */
    }
    if (rc != 0) {
        return err_set(err, rc, "%s: cannot read the log: %s", scan->dir, err_code_text(rc));
    }
    rc = judge(scan, err);
    if (rc != 0) {
        return rc;
    }
    struct wal_contents *contents = &scan->contents;
    uint64_t last = contents->mark.index + contents->entry_count;
    if (contents->hard_state.commit > last) {
        if (contents->tail != WAL_TAIL_SUSPECT) {
            return err_set(err, E_CORRUPT,
                           "%s: the log ends at index %" PRIu64 " but %" PRIu64
                           " was committed: a newer snapshot file is missing; " ADVICE_REPLACE,
                           scan->dir, last, contents->hard_state.commit);
        }
        contents->hard_state.commit = last;
    }
    memcpy(contents->tail_text, scan->text, sizeof(contents->tail_text));
    return 0;
}
