/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The write-ahead log, in etcd's record format and directory layout (docs/formats/wal.md), over the
 * disk seam. One owner thread. After any error of a function that writes, the WAL is poisoned:
 * every later call returns the same error and the member must stop (fsyncgate: never retry a failed
 * flush).
 */
#ifndef ENGINE_WAL_WAL_H
#define ENGINE_WAL_WAL_H

#include "base/err.h"
#include "base/seam/disk.h"
#include "engine/raft/types.h"

#define WAL_SEGMENT_BYTES_DEFAULT 64000000u /* as etcd: 64 MB decimal */
#define WAL_RECORD_BYTES_MAX      (64u * 1024u * 1024u)

struct wal; /* opaque */

struct wal_options {
    const struct disk_seam *disk;
    const char *dir;        /* .../member/wal */
    uint64_t segment_bytes; /* 0: WAL_SEGMENT_BYTES_DEFAULT */
    bool unsafe_no_fsync;
};

/* walpb.Metadata. */
struct wal_metadata {
    uint64_t node_id;
    uint64_t cluster_id;
};

/* What was wrong with the log's end when it was opened (design.md, "WAL"). */
enum wal_tail {
    WAL_TAIL_CLEAN,
    WAL_TAIL_CUT, /* torn beyond the durability mark: never acknowledged, cut; the member may vote
                   */
    WAL_TAIL_SUSPECT, /* a bad record below the mark: rot; what follows it is dropped; no vote
                         (raft_config.suspect) */
};

/* Everything that was read; free with wal_contents_free. */
struct wal_contents {
    struct wal_metadata metadata;
    struct raft_hard_state hard_state;
    struct raft_snapshot_mark mark; /* newest snapshot record that the caller accepted */
    struct raft_entry *entries;     /* after mark.index, dense */
    uint32_t entry_count;
    enum wal_tail tail;
    char tail_text[ERR_TEXT_MAX]; /* file, offset and reason when not clean */
};

/* Whether there is a log. An error when the directory cannot be read: it says nothing then, and
 * must not be taken for an empty one. */
BASE_MUST_CHECK int wal_find(const struct disk_seam *disk, const char *dir, bool *out_exists);

/* Makes dir with its first segment (metadata, snapshot mark 0/0), synced with its parent. E_EXISTS.
 */
BASE_MUST_CHECK int wal_create(const struct wal_options *options,
                               const struct wal_metadata *metadata, struct wal **out_wal,
                               struct err *err);

/* Lists the snapshot records in the log, for choosing the .snap file: newest last (mem_free). */
BASE_MUST_CHECK int wal_list_marks(const struct wal_options *options,
                                   struct raft_snapshot_mark **out_marks, uint32_t *out_count,
                                   struct err *err);

/*
 * The verdict is kept in the side mark until wal_clear_suspect; what was dropped stays as *.broken.
 * With WAL_TAIL_SUSPECT the hard state's commit is at most the last index that is left.
 * Opens and reads all from the segment that holds mark on (mark {0,0}: from the start), verifies
 * CRC chains, repairs the tail by the rules above and makes the log ready to append. Locks the
 * segments: E_IN_USE when another process has them. E_CORRUPT with file, offset and what to do for
 * anything that cannot be opened safely; E_NOT_FOUND when there is no log that reaches back to
 * mark.
 */
BASE_MUST_CHECK int wal_open(const struct wal_options *options,
                             const struct raft_snapshot_mark *mark, struct wal **out_wal,
                             struct wal_contents *out_contents, struct err *err);
void wal_contents_free(struct wal_contents *contents);

/* Appends to the buffer: entries, then the hard state when not NULL. Cuts segments as needed. */
BASE_MUST_CHECK int wal_append(struct wal *wal, const struct raft_entry *entries,
                               uint32_t entry_count, const struct raft_hard_state *hard_state);

/* Writes out and flushes: when it returns 0, everything appended so far survives a power cut. */
BASE_MUST_CHECK int wal_sync(struct wal *wal);

/* Records a snapshot (after its .snap file is durable) and flushes. */
BASE_MUST_CHECK int wal_save_mark(struct wal *wal, const struct raft_snapshot_mark *mark);

/* Removes segments that hold only entries up to index, keeping at least keep_segments. */
BASE_MUST_CHECK int wal_purge(struct wal *wal, uint64_t index, uint32_t keep_segments);

/*
 * Writes the side mark (how far the log is known durable) now; the shell calls it about once a
 * second and wal_append calls it at each cut. Its failure is logged and does not poison the log.
 * Then it prepares up to WAL_PREPARE_SLICES_PER_MARK slices of the next segment. May be called from
 * another thread than the owner's, so that neither is ever in the way of a flush.
 */
void wal_write_durability_mark(struct wal *wal);

#define WAL_PREPARE_SLICES_PER_MARK 16u /* of 1 MiB each */

/*
 * Prepares one slice of the next segment (any thread, as above). True: call again, more remains.
 * The owner also prepares about as many bytes as it flushes, so that a cut seldom has to wait for
 * zeros.
 */
bool wal_prepare_next(struct wal *wal);

/*
 * Ends the suspicion of WAL_TAIL_SUSPECT, once a leader has brought the member to its commit index
 * and that is flushed. Until then every wal_open says WAL_TAIL_SUSPECT again, whatever the log
 * looks like.
 */
BASE_MUST_CHECK int wal_clear_suspect(struct wal *wal);

/*
 * True while the disk has no room for another segment and less than a quarter of this one is left:
 * time to take no new writes. Any thread. Preparing is tried again with each durability mark.
 */
bool wal_is_short_of_space(const struct wal *wal);

/* As before, with less than an eighth left, which is for terms, votes, commit indexes and the empty
 * entries of new leaders. Whoever goes on appending ends with E_NO_SPACE. */
bool wal_is_out_of_space(const struct wal *wal);

uint64_t wal_flush_count(const struct wal *wal);
uint64_t wal_written_bytes(const struct wal *wal);

/* Closes; appended but unsynced records are lost. NULL allowed. */
void wal_close(struct wal *wal);

#endif
