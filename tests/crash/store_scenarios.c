/* SPDX-License-Identifier: Apache-2.0 */
/* The store alone: batches beside a log, a compaction in many batches, and its defragmentation. */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "engine/mvcc/mvcc.h"
#include "engine/store/lmdb_store.h"
#include "tests/crash/digest.h"
#include "tests/crash/log_model.h"
#include "tests/crash/record.h"
#include "tests/crash/scenario.h"

#define MAP_BYTES     (64u << 20)
#define SEGMENT_BYTES 32768u
#define STATES_MAX    256u

enum {
    NOTE_TRIED = 1, /* commits that may be there */
    NOTE_DONE,      /* commits that must be there */
};

/* What the store held after each commit; 0: nothing yet. */
struct store_state {
    uint64_t digest, index;
    int64_t revision, compact_revision;
    uint32_t hash;
};

static struct store_state states[STATES_MAX];
static uint32_t state_count;

static void prepare_store(const char *dir)
{
    char *store = str_printf("%s/store", dir);
    ASSERT(mkdir(store, 0700) == 0);
    mem_free(store);
}

static struct lmdb_store *store_open(const char *dir, struct err *err)
{
    char *path = str_printf("%s/store", dir);
    struct lmdb_store *store = NULL;
    int rc = lmdb_store_open(path, MAP_BYTES, &store, err);
    mem_free(path);
    return rc == 0 ? store : NULL;
}

static struct lmdb_store *store_begin(const char *dir)
{
    struct err err;
    memset(states, 0, sizeof(states));
    state_count = 1;
    struct lmdb_store *store = store_open(dir, &err);
    ASSERT(store != NULL);
    states[0].digest = digest_of_store(lmdb_store_seam(store));
    return store;
}

/* Commits, and keeps what the store holds then. mvcc may be NULL. */
static void store_commit(struct lmdb_store *store, struct store_batch *batch, struct mvcc *mvcc)
{
    const struct store_seam *seam = lmdb_store_seam(store);
    struct err err;
    ASSERT(state_count < STATES_MAX);
    record_note(NOTE_TRIED, state_count);
    ASSERT(seam->commit(seam->ctx, batch, &err) == 0);
    record_note(NOTE_DONE, state_count);
    struct store_state *state = &states[state_count++];
    state->index = batch->consistent_index;
    if (mvcc != NULL) {
        struct mvcc_hash hash;
        mvcc_persisted(mvcc, batch->revision);
        state->revision = mvcc_revision(mvcc);
        state->compact_revision = mvcc_compact_revision(mvcc);
        ASSERT(mvcc_hash_kv(mvcc, 0, &hash) == 0);
        state->hash = hash.hash;
        mvcc_release(mvcc);
    }
    state->digest = digest_of_store(seam);
    store_batch_free(batch);
}

/* Which commit the store is at: between the one that returned last and the one that ran. */
static int find_state(const struct crash_case *crash, const struct store_seam *seam,
                      const struct store_state **out_state, struct err *err)
{
    uint64_t digest = digest_of_store(seam);
    uint64_t index = 0;
    uint64_t term = 0;
    int rc = store_read_position(seam, &index, &term);
    if (rc != 0) {
        return err_set(err, rc, "the store's position cannot be read");
    }
    for (uint64_t i = crash->notes[NOTE_DONE]; i <= crash->notes[NOTE_TRIED]; i++) {
        if (states[i].digest == digest && states[i].index == index) {
            *out_state = &states[i];
            return 0;
        }
    }
    return err_set(err, E_CORRUPT,
                   "the store, at index %llu, holds what no commit from %llu, which returned, to "
                   "%llu left",
                   (unsigned long long)index, (unsigned long long)crash->notes[NOTE_DONE],
                   (unsigned long long)crash->notes[NOTE_TRIED]);
}

/* The store takes one more batch, and has it at the next start. */
static int check_going_on(const char *dir, struct lmdb_store *store, uint64_t index,
                          struct err *err)
{
    const struct store_seam *seam = lmdb_store_seam(store);
    struct store_batch batch;
    store_batch_init(&batch);
    batch.consistent_index = index + 1;
    batch.term = 9;
    store_batch_put(&batch, STORE_LEASE, bytes_of_str("later"), bytes_of_str("value"));
    int rc = seam->commit(seam->ctx, &batch, err);
    store_batch_free(&batch);
    uint64_t before = digest_of_store(seam);
    lmdb_store_close(store);
    if (rc != 0) {
        return err_wrap(err, rc, "the opened store takes no batch");
    }
    store = store_open(dir, err);
    if (store == NULL) {
        return err_wrap(err, E_CORRUPT, "the store opens once only");
    }
    rc = digest_of_store(lmdb_store_seam(store)) == before
             ? 0
             : err_set(err, E_CORRUPT, "the store lost the batch after its reopening");
    lmdb_store_close(store);
    return rc;
}

static int check_store(const struct crash_case *crash, struct err *err)
{
    const struct store_state *state = NULL;
    struct lmdb_store *store = store_open(crash->dir, err);
    if (store == NULL) {
        return err_wrap(err, E_CORRUPT, "the store is refused");
    }
    int rc = find_state(crash, lmdb_store_seam(store), &state, err);
    if (rc != 0) {
        lmdb_store_close(store);
        return rc;
    }
    return check_going_on(crash->dir, store, state->index, err);
}

/* ---- store_batch ---- */

static struct log_model model;

static struct wal_options options_of(const char *wal_dir)
{
    return (struct wal_options){
        .disk = disk_posix(), .dir = wal_dir, .segment_bytes = SEGMENT_BYTES};
}

static void prepare_store_and_log(const char *dir)
{
    char *wal_dir = str_printf("%s/wal", dir);
    struct wal_options options = options_of(wal_dir);
    struct wal_metadata metadata = {MODEL_NODE, MODEL_CLUSTER};
    struct wal *wal = NULL;
    struct err err;
    prepare_store(dir);
    ASSERT(wal_create(&options, &metadata, &wal, &err) == 0);
    wal_close(wal);
    mem_free(wal_dir);
}

static void put_text(struct store_batch *batch, enum store_table table, uint32_t number,
                     uint32_t bytes)
{
    uint8_t key[8];
    uint8_t *value = mem_alloc(bytes + 1);
    put_be64(key, number);
    memset(value, (int)(1 + number % 250), bytes);
    store_batch_put(batch, table, bytes_of(key, sizeof(key)), bytes_of(value, bytes));
    mem_free(value);
}

/* A batch of a few tables, a long value now and then, and removals. */
static void batch_fill(struct store_batch *batch, uint32_t round)
{
    for (uint32_t i = 0; i < 6; i++) {
        put_text(batch, STORE_KEY, round * 6 + i, i == 3 ? 5000 : 120);
    }
    put_text(batch, STORE_LEASE, round, 20);
    put_text(batch, STORE_CLUSTER, 1, 10 + round);
    if (round > 2) {
        uint8_t key[8];
        put_be64(key, (round - 2) * 6 + 3);
        store_batch_remove(batch, STORE_KEY, bytes_of(key, sizeof(key)));
    }
}

static void run_batches(const char *dir)
{
    char *wal_dir = str_printf("%s/wal", dir);
    struct wal_options options = options_of(wal_dir);
    const struct raft_snapshot_mark none = {0};
    struct wal_contents contents;
    struct wal *wal = NULL;
    struct err err;
    log_model_free(&model);
    ASSERT(wal_open(&options, &none, &wal, &contents, &err) == 0);
    wal_contents_free(&contents);
    struct lmdb_store *store = store_begin(dir);
    for (uint32_t round = 0; round < 12; round++) {
        struct store_batch batch;
        log_model_append(&model, wal, 1 + round * 3, 3, 1, 300);
        ASSERT(wal_sync(wal) == 0);
        store_batch_init(&batch);
        batch_fill(&batch, round);
        batch.consistent_index = 3 + round * 3;
        batch.term = 1;
        store_commit(store, &batch, NULL);
    }
    lmdb_store_close(store);
    wal_close(wal);
    mem_free(wal_dir);
}

static int check_batches(const struct crash_case *crash, struct err *err)
{
    char *wal_dir = str_printf("%s/wal", crash->dir);
    struct wal_options options = options_of(wal_dir);
    const struct raft_snapshot_mark none = {0};
    struct wal_contents contents;
    struct wal *wal = NULL;
    int rc = wal_open(&options, &none, &wal, &contents, err);
    mem_free(wal_dir);
    if (rc != 0) {
        return err_wrap(err, rc, "the log is refused");
    }
    uint64_t last = contents.entry_count;
    wal_contents_free(&contents);
    wal_close(wal);
    struct lmdb_store *store = store_open(crash->dir, err);
    if (store == NULL) {
        return err_wrap(err, E_CORRUPT, "the store is refused");
    }
    uint64_t index = 0;
    uint64_t term = 0;
    rc = store_read_position(lmdb_store_seam(store), &index, &term);
    lmdb_store_close(store);
    if (rc == 0 && index > last) {
        return err_set(err, E_CORRUPT, "the store is at index %llu, the log ends at %llu",
                       (unsigned long long)index, (unsigned long long)last);
    }
    return rc == 0 ? check_store(crash, err) : err_set(err, rc, "the position cannot be read");
}

const struct scenario scenario_store_batch = {
    .name = "store_batch",
    .prepare = prepare_store_and_log,
    .run = run_batches,
    .check = check_batches,
    .limits = {.singles = 8, .randoms = 10},
    .distinct_min = 3200,
};

/* ---- compaction ---- */

#define COMPACT_KEYS 7u /* of a slice: many batches */

static void put_key(struct mvcc *mvcc, struct store_batch *batch, uint32_t number, bool is_delete)
{
    char key[16];
    (void)snprintf(key, sizeof(key), "key-%02u", number % 40);
    mvcc_txn_begin(mvcc, batch);
    if (is_delete) {
        struct key_span span = key_span_of(bytes_of_str(key), (struct bytes){NULL, 0});
        (void)mvcc_txn_delete(mvcc, &span);
    } else {
        uint8_t value[90];
        memset(value, (int)(1 + number % 200), sizeof(value));
        mvcc_txn_put(mvcc, bytes_of_str(key), bytes_of(value, sizeof(value)), 0);
    }
    (void)mvcc_txn_end(mvcc);
}

static void write_some(struct mvcc *mvcc, struct store_batch *batch, uint32_t *number,
                       uint32_t count)
{
    for (uint32_t i = 0; i < count; i++, (*number)++) {
        put_key(mvcc, batch, *number * 7, *number % 9 == 5);
    }
}

static void compact_and_write(struct lmdb_store *store, struct mvcc *mvcc, int64_t revision,
                              uint64_t *index, uint32_t *number)
{
    struct store_batch batch;
    store_batch_init(&batch);
    ASSERT(mvcc_compact(mvcc, &batch, revision) == 0);
    for (bool done = false; !done;) {
        done = mvcc_compact_slice(mvcc, &batch, COMPACT_KEYS);
        write_some(mvcc, &batch, number, 1);
        batch.consistent_index = ++*index;
        batch.term = 1;
        store_commit(store, &batch, mvcc);
        store_batch_init(&batch);
    }
    store_batch_free(&batch);
}

static void run_compaction(const char *dir)
{
    struct lmdb_store *store = store_begin(dir);
    struct mvcc *mvcc = NULL;
    struct err err;
    uint64_t index = 1;
    uint32_t number = 0;
    ASSERT(mvcc_open(lmdb_store_seam(store), NULL, &mvcc, &err) == 0);
    states[0].revision = mvcc_revision(mvcc);
    states[0].compact_revision = mvcc_compact_revision(mvcc);
    struct mvcc_hash hash;
    ASSERT(mvcc_hash_kv(mvcc, 0, &hash) == 0);
    states[0].hash = hash.hash;
    mvcc_release(mvcc);
    for (uint32_t round = 0; round < 4; round++) {
        struct store_batch batch;
        store_batch_init(&batch);
        write_some(mvcc, &batch, &number, 40);
        batch.consistent_index = ++index;
        batch.term = 1;
        store_commit(store, &batch, mvcc);
    }
    compact_and_write(store, mvcc, 90, &index, &number);
    compact_and_write(store, mvcc, 150, &index, &number);
    mvcc_close(mvcc);
    lmdb_store_close(store);
}

/* After its end: of each key at most one record at or below the compact revision, and no tombstone
 * below it. */
static int check_trimmed(const struct store_seam *seam, int64_t compact_revision, struct err *err)
{
    struct store_view *view;
    struct store_item item;
    char seen[64][16];
    uint32_t count = 0;
    int rc = seam->view_begin(seam->ctx, &view);
    ASSERT(rc == 0);
    rc = seam->view_seek(view, STORE_KEY, (struct bytes){NULL, 0}, &item);
    for (; rc == 0; rc = seam->view_next(view, STORE_KEY, &item)) {
        struct revision revision;
        struct keyvalue kv;
        ASSERT(revision_decode(item.key, &revision) == 0 && keyvalue_decode(item.value, &kv) == 0 &&
               kv.key.size < sizeof(seen[0]));
        if (revision.main > compact_revision) {
            break;
        }
        for (uint32_t i = 0; i < count; i++) {
            if (bytes_equal(kv.key, bytes_of_str(seen[i]))) {
                rc = err_set(err, E_CORRUPT, "%s has history that a finished compaction left",
                             seen[i]);
            }
        }
        if (revision.tombstone && revision.main < compact_revision) {
            rc = err_set(err, E_CORRUPT, "a finished compaction left a tombstone");
        }
        if (rc != 0) {
            break;
        }
        memcpy(seen[count], kv.key.data, kv.key.size);
        seen[count++][kv.key.size] = '\0';
    }
    seam->view_end(view);
    return rc == E_NOT_FOUND ? 0 : rc;
}

static int finish_compaction(const struct store_seam *seam, struct mvcc *mvcc, uint64_t index,
                             struct err *err)
{
    int rc = 0;
    for (bool done = !mvcc_compacting(mvcc); rc == 0 && !done; index++) {
        struct store_batch batch;
        store_batch_init(&batch);
        done = mvcc_compact_slice(mvcc, &batch, COMPACT_KEYS);
        batch.consistent_index = index + 1;
        batch.term = 1;
        rc = seam->commit(seam->ctx, &batch, err);
        mvcc_persisted(mvcc, batch.revision);
        store_batch_free(&batch);
    }
    return rc;
}

static int check_figures(struct mvcc *mvcc, const struct store_state *state, const char *when,
                         struct err *err)
{
    struct mvcc_hash hash;
    int rc = mvcc_hash_kv(mvcc, 0, &hash);
    if (rc != 0) {
        return err_set(err, rc, "%s: HashKV fails", when);
    }
    if (mvcc_revision(mvcc) != state->revision ||
        mvcc_compact_revision(mvcc) != state->compact_revision || hash.hash != state->hash) {
        return err_set(err, E_CORRUPT,
                       "%s: revision %lld, compacted at %lld, hash %08x; undisturbed: %lld, %lld, "
                       "%08x",
                       when, (long long)mvcc_revision(mvcc), (long long)mvcc_compact_revision(mvcc),
                       hash.hash, (long long)state->revision, (long long)state->compact_revision,
                       state->hash);
    }
    mvcc_release(mvcc);
    return 0;
}

static int check_compacted(const struct crash_case *crash, const struct store_seam *seam,
                           struct err *err)
{
    const struct store_state *state = NULL;
    struct mvcc *mvcc = NULL;
    int rc = find_state(crash, seam, &state, err);
    if (rc != 0) {
        return rc;
    }
    rc = mvcc_open(seam, NULL, &mvcc, err);
    if (rc != 0) {
        return err_wrap(err, rc, "the key space is refused");
    }
    rc = check_figures(mvcc, state, "after the start", err);
    if (rc == 0 && !mvcc_compacting(mvcc)) {
        rc = check_trimmed(seam, state->compact_revision, err);
    }
    if (rc == 0) {
        rc = finish_compaction(seam, mvcc, state->index, err);
    }
    if (rc == 0) {
        rc = check_figures(mvcc, state, "with its compaction finished", err);
    }
    if (rc == 0) {
        rc = check_trimmed(seam, state->compact_revision, err);
    }
    mvcc_close(mvcc);
    return rc;
}

static int check_compaction(const struct crash_case *crash, struct err *err)
{
    struct lmdb_store *store = store_open(crash->dir, err);
    if (store == NULL) {
        return err_wrap(err, E_CORRUPT, "the store is refused");
    }
    int rc = check_compacted(crash, lmdb_store_seam(store), err);
    lmdb_store_close(store);
    return rc;
}

const struct scenario scenario_compaction = {
    .name = "compaction",
    .prepare = prepare_store,
    .run = run_compaction,
    .check = check_compaction,
    .limits = {.singles = 6, .randoms = 8},
    .distinct_min = 3800,
};

/* ---- defragment ---- */

static void run_defragment(const char *dir)
{
    struct lmdb_store *store = store_begin(dir);
    struct err err;
    for (uint32_t round = 0; round < 8; round++) {
        struct store_batch batch;
        store_batch_init(&batch);
        batch_fill(&batch, round);
        batch.consistent_index = round + 1;
        batch.term = 1;
        store_commit(store, &batch, NULL);
        if (round % 3 == 2) {
            ASSERT(lmdb_store_defragment(store, &err) == 0);
        }
    }
    lmdb_store_close(store);
}

const struct scenario scenario_defragment = {
    .name = "defragment",
    .prepare = prepare_store,
    .run = run_defragment,
    .check = check_store,
    .limits = {.singles = 8, .randoms = 10},
    .distinct_min = 1700,
};
