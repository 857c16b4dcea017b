/* SPDX-License-Identifier: Apache-2.0 */
/* The log alone: appending over several segments, the durability mark, snapshot marks and purging.
 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/rng.h"
#include "engine/wal/marker.h"
#include "engine/wal/segments.h"
#include "engine/wal/snapfile.h"
#include "tests/crash/log_model.h"
#include "tests/crash/record.h"
#include "tests/crash/scenario.h"

#define SEGMENT_BYTES 16384u
#define SECTORS       (SEGMENT_BYTES / SECTOR_BYTES + 16u) /* of one segment, with what is over */

enum {
    NOTE_CREATED = 1,
    NOTE_TRIED,  /* records that may be there */
    NOTE_SYNCED, /* records that must be there */
    NOTE_MARKED, /* records that the durability mark covers */
    NOTE_PLACE,  /* that it names: the segment's sequence << 32, and the offset */
    NOTE_ROTTEN, /* a start has said that the log is suspect */
    NOTE_SNAP,   /* the newest snapshot index that was promised */
};

static struct log_model model;

static char *wal_dir_of(const char *dir)
{
    return str_printf("%s/member/wal", dir);
}

static struct wal_options options_of(const char *wal_dir)
{
    return (struct wal_options){
        .disk = disk_posix(), .dir = wal_dir, .segment_bytes = SEGMENT_BYTES};
}

static void prepare_member(const char *dir)
{
    char *member = str_printf("%s/member", dir);
    char *snap = str_printf("%s/member/snap", dir);
    ASSERT(mkdir(member, 0700) == 0 && mkdir(snap, 0700) == 0);
    mem_free(member);
    mem_free(snap);
}

static struct wal *create(const char *dir)
{
    char *wal_dir = wal_dir_of(dir);
    struct wal_options options = options_of(wal_dir);
    struct wal_metadata metadata = {MODEL_NODE, MODEL_CLUSTER};
    struct wal *wal = NULL;
    struct err err;
    log_model_free(&model);
    ASSERT(wal_create(&options, &metadata, &wal, &err) == 0);
    record_note(NOTE_CREATED, 1);
    mem_free(wal_dir);
    return wal;
}

static void batch(struct wal *wal, uint64_t index, uint32_t count, uint64_t term, uint32_t bytes)
{
    record_note(NOTE_TRIED, model.count + count + 1);
    log_model_append(&model, wal, index, count, term, bytes);
}

static void flush(struct wal *wal)
{
    ASSERT(wal_sync(wal) == 0);
    record_note(NOTE_SYNCED, model.count);
}

/* ---- what must hold ---- */

static int open_log(const char *wal_dir, const struct raft_snapshot_mark *mark,
                    struct wal **out_wal, struct wal_contents *out_contents, struct err *err)
{
    struct wal_options options = options_of(wal_dir);
    int rc = wal_open(&options, mark, out_wal, out_contents, err);
    return rc == 0 ? 0 : err_wrap(err, rc, "the log is refused");
}

/* No promise yet: either there is no log and one can be made, or there is one, and it opens. */
static bool is_to_be_created(const struct crash_case *crash, const char *wal_dir)
{
    bool exists = true;
    return crash->notes[NOTE_CREATED] == 0 && wal_find(disk_posix(), wal_dir, &exists) == 0 &&
           !exists;
}

static int check_creation(const char *wal_dir, struct err *err)
{
    struct wal_options options = options_of(wal_dir);
    struct wal_metadata metadata = {MODEL_NODE, MODEL_CLUSTER};
    struct wal *wal = NULL;
    int rc = wal_create(&options, &metadata, &wal, err);
    wal_close(wal);
    return rc == 0 ? 0 : err_wrap(err, rc, "the first start cannot be done again");
}

/* What was read goes on: one more entry, flushed, is there at the next start. */
static int check_going_on(const char *wal_dir, struct wal *wal, const struct wal_contents *before,
                          struct err *err)
{
    uint64_t last = before->mark.index + before->entry_count;
    uint64_t term = BASE_MAX(before->hard_state.term, 1u) + 1;
    struct raft_entry entry = log_model_entry(last + 1, term, 700);
    struct wal_contents after;
    struct wal *again = NULL;
    int rc = wal_append(wal, &entry, 1, NULL);
    if (rc == 0) {
        rc = wal_sync(wal);
    }
    raft_payload_unref(entry.payload);
    wal_close(wal);
    if (rc != 0) {
        return err_set(err, rc, "the opened log takes no entry");
    }
    rc = open_log(wal_dir, &before->mark, &again, &after, err);
    if (rc != 0) {
        return rc;
    }
    bool good = after.entry_count == before->entry_count + 1 &&
                (before->tail == WAL_TAIL_SUSPECT || after.tail == WAL_TAIL_CLEAN) &&
                (before->tail != WAL_TAIL_SUSPECT || after.tail == WAL_TAIL_SUSPECT);
    int tail = (int)after.tail;
    wal_contents_free(&after);
    wal_close(again);
    return good ? 0 : err_set(err, E_CORRUPT, "the log does not go on after its repair (%d)", tail);
}

/* Opens the log as a start does. *out_records: how many of the records it has. */
static int open_and_compare(const struct crash_case *crash, const char *wal_dir,
                            const struct raft_snapshot_mark *mark, struct wal **out_wal,
                            struct wal_contents *out_contents, uint32_t *out_records,
                            struct err *err)
{
    int rc = open_log(wal_dir, mark, out_wal, out_contents, err);
    if (rc != 0) {
        return rc;
    }
    rc = log_model_compare(&model, (uint32_t)crash->notes[NOTE_SYNCED],
                           (uint32_t)crash->notes[NOTE_TRIED], out_contents, out_records, err);
    if (rc == 0 && out_contents->tail == WAL_TAIL_SUSPECT) {
        rc = err_set(err, E_CORRUPT, "a power cut alone makes the member suspect: %s",
                     out_contents->tail_text);
    }
    if (rc != 0) {
        wal_contents_free(out_contents);
        wal_close(*out_wal);
    }
    return rc;
}

static int check_log(const struct crash_case *crash, const char *wal_dir,
                     const struct raft_snapshot_mark *mark, struct err *err)
{
    struct wal_contents contents;
    struct wal *wal = NULL;
    uint32_t records;
    int rc = open_and_compare(crash, wal_dir, mark, &wal, &contents, &records, err);
    if (rc == 0) {
        rc = check_going_on(wal_dir, wal, &contents, err);
        wal_contents_free(&contents);
    }
    return rc;
}

/* The start alone. What it has read stays, and what it has cut off does not come back. */
static int recover_log(const struct crash_case *crash, const char *wal_dir,
                       const struct raft_snapshot_mark *mark, struct err *err)
{
    struct wal_contents contents;
    struct wal *wal = NULL;
    uint32_t records;
    int rc = open_and_compare(crash, wal_dir, mark, &wal, &contents, &records, err);
    if (rc == 0) {
        record_note(NOTE_SYNCED, records);
        record_note(NOTE_TRIED, records);
        wal_contents_free(&contents);
        wal_close(wal);
    }
    return rc;
}

static int check_append(const struct crash_case *crash, struct err *err)
{
    const struct raft_snapshot_mark none = {0};
    char *wal_dir = wal_dir_of(crash->dir);
    int rc = is_to_be_created(crash, wal_dir) ? check_creation(wal_dir, err)
                                              : check_log(crash, wal_dir, &none, err);
    mem_free(wal_dir);
    return rc;
}

static int recover_append(const struct crash_case *crash, struct err *err)
{
    const struct raft_snapshot_mark none = {0};
    char *wal_dir = wal_dir_of(crash->dir);
    int rc = is_to_be_created(crash, wal_dir) ? 0 : recover_log(crash, wal_dir, &none, err);
    mem_free(wal_dir);
    return rc;
}

/* ---- wal_append ---- */

static void run_append(const char *dir)
{
    struct wal *wal = create(dir);
    batch(wal, 1, 1, 1, 40);
    flush(wal);
    batch(wal, 2, 3, 1, 500);
    batch(wal, 5, 1, 1, 10);
    flush(wal);
    batch(wal, 6, 2, 1, 3000);
    flush(wal);
    (void)wal_prepare_next(wal); /* the next segment, beside the flushes */
    batch(wal, 7, 2, 2, 900);    /* another leader replaces entry 7 */
    flush(wal);
    batch(wal, 9, 1, 2, 7000); /* over the end of the segment */
    flush(wal);
    batch(wal, 10, 4, 2, 100);
    flush(wal);
    batch(wal, 14, 3, 3, 5000); /* a cut with nothing prepared */
    flush(wal);
    (void)wal_prepare_next(wal);
    for (uint64_t index = 17; index < 23; index++) {
        batch(wal, index, 1, 3, 1900);
        flush(wal);
    }
    batch(wal, 21, 2, 4, 30);
    flush(wal);
    wal_close(wal);
}

const struct scenario scenario_wal_append = {
    .name = "wal_append",
    .prepare = prepare_member,
    .run = run_append,
    .check = check_append,
    .recover = recover_append,
    .recover_every = 10,
    .limits = {.singles = 200, .randoms = 200},
    .distinct_min = 7000,
};

/* ---- durability_mark ---- */

static void mark_write(struct wal *wal, const char *dir, uint32_t covered)
{
    char *wal_dir = wal_dir_of(dir);
    struct wal_marker marker;
    bool has_mark;
    wal_write_durability_mark(wal);
    ASSERT(wal_marker_open(disk_posix(), wal_dir, &marker, &has_mark) == 0 && has_mark);
    record_note(NOTE_MARKED, covered);
    record_note(NOTE_PLACE, marker.position.sequence << 32 | marker.position.offset);
    wal_marker_close(&marker);
    mem_free(wal_dir);
}

static void run_mark(const char *dir)
{
    struct wal *wal = create(dir);
    uint32_t covered = 0;
    uint64_t index = 1;
    mark_write(wal, dir, covered);
    for (uint32_t round = 0; round < 10; round++) {
        batch(wal, index, 2, 1 + round / 4, 300 + round * 211);
        index += 2;
        if (round % 3 == 1) {
            mark_write(wal, dir, covered); /* between an append and its flush */
        }
        flush(wal);
        covered = model.count;
        if (round % 3 != 1) {
            mark_write(wal, dir, covered);
        }
    }
    batch(wal, index, 1, 4, 2500); /* beyond the last mark */
    flush(wal);
    wal_close(wal);
}

/* The damage: sector `which / 2` of the last segment is zeros or noise. */
static bool spoil_sector(const char *dir, uint32_t which)
{
    char *wal_dir = wal_dir_of(dir);
    struct wal_segments segments;
    bool changed = false;
    if (wal_segments_list(disk_posix(), wal_dir, &segments) != 0) {
        mem_free(wal_dir);
        return false;
    }
    if (segments.count > 0) {
        char *path = wal_segment_path(wal_dir, &segments.items[segments.count - 1]);
        uint8_t before[SECTOR_BYTES];
        uint8_t after[SECTOR_BYTES] = {0};
        off_t offset = (off_t)(which / 2 * SECTOR_BYTES);
        int fd = open(path, O_RDWR | O_CLOEXEC);
        if (which % 2 == 1) {
            struct rng rng;
            rng_seed(&rng, which);
            for (size_t i = 0; i < sizeof(after); i++) {
                after[i] = (uint8_t)rng_next(&rng);
            }
        }
        changed = pread(fd, before, sizeof(before), offset) == (ssize_t)sizeof(before) &&
                  !bytes_equal(bytes_of(before, sizeof(before)), bytes_of(after, sizeof(after)));
        ASSERT(!changed || pwrite(fd, after, sizeof(after), offset) == (ssize_t)sizeof(after));
        (void)close(fd);
        mem_free(path);
    }
    wal_segments_free(&segments);
    mem_free(wal_dir);
    return changed;
}

/* Where the spoiled sector lies, as the durability mark that is there now says. */
enum rot { ROT_NO_MARK, ROT_BEYOND_MARK, ROT_BELOW_MARK };

static enum rot rot_judge(const struct crash_case *crash, const char *wal_dir)
{
    struct wal_segments segments;
    struct wal_marker marker;
    bool has_mark;
    ASSERT(wal_segments_list(disk_posix(), wal_dir, &segments) == 0);
    ASSERT(wal_marker_open(disk_posix(), wal_dir, &marker, &has_mark) == 0);
    struct wal_position at = {segments.items[segments.count - 1].sequence,
                              (uint64_t)(crash->spoil / 2) * SECTOR_BYTES, 0};
    const struct wal_position promised = {crash->notes[NOTE_PLACE] >> 32,
                                          (uint32_t)crash->notes[NOTE_PLACE], 0};
    bool below = marker.suspect || crash->notes[NOTE_ROTTEN] != 0 ||
                 wal_position_compare(&at, &promised) < 0 ||
                 wal_position_compare(&at, &marker.position) < 0;
    wal_marker_close(&marker);
    wal_segments_free(&segments);
    return !has_mark && crash->notes[NOTE_CREATED] == 0 ? ROT_NO_MARK
           : below                                      ? ROT_BELOW_MARK
                                                        : ROT_BEYOND_MARK;
}

static int check_rot_below(const char *wal_dir, struct err *err)
{
    const struct raft_snapshot_mark none = {0};
    struct wal_options options = options_of(wal_dir);
    struct wal_contents contents;
    struct wal *wal = NULL;
    int rc = wal_open(&options, &none, &wal, &contents, err);
    if (rc == E_CORRUPT) {
        return 0; /* refused: never silently cut */
    }
    if (rc != 0) {
        return rc;
    }
    if (contents.tail == WAL_TAIL_SUSPECT) {
        rc = check_going_on(wal_dir, wal, &contents, err);
    } else {
        rc = err_set(err, E_CORRUPT, "rot below the durability mark goes unnoticed (%d)",
                     (int)contents.tail);
        wal_close(wal);
    }
    wal_contents_free(&contents);
    return rc;
}

/* Not known to be durable: a cut as after any crash, and all below the mark stays. */
static int check_rot_beyond(const struct crash_case *crash, struct err *err)
{
    uint64_t notes[NOTES_MAX];
    memcpy(notes, crash->notes, sizeof(notes));
    notes[NOTE_SYNCED] = notes[NOTE_MARKED];
    struct crash_case beyond = {crash->dir, notes, -1};
    return check_append(&beyond, err);
}

static int check_mark(const struct crash_case *crash, struct err *err)
{
    if (crash->spoil < 0) {
        return check_append(crash, err);
    }
    char *wal_dir = wal_dir_of(crash->dir);
    enum rot rot = rot_judge(crash, wal_dir);
    int rc = rot == ROT_BELOW_MARK    ? check_rot_below(wal_dir, err)
             : rot == ROT_BEYOND_MARK ? check_rot_beyond(crash, err)
                                      : 0;
    mem_free(wal_dir);
    return rc;
}

/* A start on a rotten log: once it has said "suspect", no power cut washes that off. */
static int recover_rot(const struct crash_case *crash, struct err *err)
{
    const struct raft_snapshot_mark none = {0};
    char *wal_dir = wal_dir_of(crash->dir);
    struct wal_contents contents;
    struct wal *wal = NULL;
    int rc = 0;
    if (rot_judge(crash, wal_dir) == ROT_BELOW_MARK) {
        rc = open_log(wal_dir, &none, &wal, &contents, err);
        if (rc == 0) {
            record_note(NOTE_ROTTEN, 1);
            wal_contents_free(&contents);
            wal_close(wal);
        }
        rc = rc == E_CORRUPT ? 0 : rc; /* refused, nothing changed */
    }
    mem_free(wal_dir);
    return rc;
}

static int recover_mark(const struct crash_case *crash, struct err *err)
{
    return crash->spoil < 0 ? recover_append(crash, err) : recover_rot(crash, err);
}

const struct scenario scenario_durability_mark = {
    .name = "durability_mark",
    .prepare = prepare_member,
    .run = run_mark,
    .check = check_mark,
    .recover = recover_mark,
    .recover_every = 20,
    .spoils = 2 * SECTORS,
    .spoil = spoil_sector,
    .limits = {.singles = 120, .randoms = 60},
    .distinct_min = 9800,
};

/* ---- wal_marks_and_purge ---- */

static void snapshot(struct wal *wal, const char *dir, uint64_t index, uint64_t term)
{
    char *snap_dir = str_printf("%s/member/snap", dir);
    struct raft_snapshot_mark mark = {.index = index, .term = term};
    struct err err;
    mark.conf_state.voters[0] = MODEL_NODE;
    mark.conf_state.voter_count = 1;
    ASSERT(snapfile_save(disk_posix(), snap_dir, &mark, bytes_of_str("{\"root\":{}}"), &err) == 0);
    record_note(NOTE_TRIED, model.count + 1);
    log_model_mark(&model, &mark);
    ASSERT(wal_save_mark(wal, &mark) == 0);
    record_note(NOTE_SYNCED, model.count);
    record_note(NOTE_SNAP, index);
    ASSERT(wal_purge(wal, index - 2, 1) == 0);
    ASSERT(snapfile_purge(disk_posix(), snap_dir, 2) == 0);
    mem_free(snap_dir);
}

static void run_marks(const char *dir)
{
    struct wal *wal = create(dir);
    uint64_t index = 1;
    for (uint32_t round = 0; round < 6; round++) {
        for (uint32_t i = 0; i < 4; i++) {
            batch(wal, index, 2, 1 + round / 3, 1400);
            index += 2;
            flush(wal);
        }
        snapshot(wal, dir, index - 2, 1 + round / 3);
        wal_write_durability_mark(wal);
    }
    batch(wal, index, 1, 2, 600);
    flush(wal);
    wal_close(wal);
}

/* The newest snapshot that has both its record and its file, as a start chooses it. */
static int choose_mark(const struct crash_case *crash, const char *wal_dir,
                       struct raft_snapshot_mark *out_mark, struct err *err)
{
    char *snap_dir = str_printf("%s/member/snap", crash->dir);
    struct wal_options options = options_of(wal_dir);
    struct raft_snapshot_mark *marks = NULL;
    struct buf data;
    uint32_t count = 0;
    buf_init(&data, BUF_NO_LIMIT);
    *out_mark = (struct raft_snapshot_mark){0};
    int rc = wal_list_marks(&options, &marks, &count, err);
    if (rc == 0) {
        rc = snapfile_load_newest(disk_posix(), snap_dir, marks, count, out_mark, &data, err);
        rc = rc == E_NOT_FOUND ? 0 : rc;
    }
    if (rc == 0 && out_mark->index < crash->notes[NOTE_SNAP]) {
        rc = err_set(err, E_CORRUPT, "snapshot %llu counts again, %llu was promised",
                     (unsigned long long)out_mark->index,
                     (unsigned long long)crash->notes[NOTE_SNAP]);
    }
    mem_free(marks);
    buf_free(&data);
    mem_free(snap_dir);
    return rc;
}

static int check_marks(const struct crash_case *crash, struct err *err)
{
    struct raft_snapshot_mark mark;
    char *wal_dir = wal_dir_of(crash->dir);
    int rc;
    if (is_to_be_created(crash, wal_dir)) {
        rc = check_creation(wal_dir, err);
    } else {
        rc = choose_mark(crash, wal_dir, &mark, err);
        rc = rc == 0 ? check_log(crash, wal_dir, &mark, err) : rc;
    }
    mem_free(wal_dir);
    return rc;
}

static int recover_marks(const struct crash_case *crash, struct err *err)
{
    struct raft_snapshot_mark mark;
    char *wal_dir = wal_dir_of(crash->dir);
    int rc = 0;
    if (!is_to_be_created(crash, wal_dir)) {
        rc = choose_mark(crash, wal_dir, &mark, err);
        rc = rc == 0 ? recover_log(crash, wal_dir, &mark, err) : rc;
        if (rc == 0) {
            record_note(NOTE_SNAP, mark.index);
        }
    }
    mem_free(wal_dir);
    return rc;
}

const struct scenario scenario_wal_marks_and_purge = {
    .name = "wal_marks_and_purge",
    .prepare = prepare_member,
    .run = run_marks,
    .check = check_marks,
    .recover = recover_marks,
    .recover_every = 50,
    .limits = {.singles = 16, .randoms = 24},
    .distinct_min = 7200,
};
