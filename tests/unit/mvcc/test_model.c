/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The key space against a naive model: a plain list of all changes that were ever made. Random
 * writes, compactions, slices, commits, crashes with replay; every kind of read is compared at
 * random revisions.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/crc32c.h"
#include "base/rng.h"
#include "lib_world.h"

#define KEY_COUNT   48u
#define OPS         9000u
#define BATCHES_MAX 8u

/* ---- the model: every change, in order ---- */

struct change {
    struct revision revision;
    unsigned key;
    uint64_t value; /* its number; the bytes follow from it */
    int64_t create;
    int64_t version;
    int64_t lease;
};

struct log {
    struct change *changes;
    size_t count;
    size_t capacity;
    int64_t revision;
    int64_t compacted;
};

static void log_add(struct log *log, struct change change)
{
    if (log->count == log->capacity) {
        log->capacity = log->capacity == 0 ? 1024 : log->capacity * 2;
        log->changes = mem_realloc(log->changes, log->capacity * sizeof(*log->changes));
    }
    log->changes[log->count++] = change;
}

/* The last change of a key up to a revision, or NULL. */
static const struct change *log_last(const struct log *log, unsigned key, int64_t at)
{
    for (size_t i = log->count; i-- > 0;) {
        if (log->changes[i].key == key && log->changes[i].revision.main <= at) {
            return &log->changes[i];
        }
    }
    return NULL;
}

static const struct change *log_live(const struct log *log, unsigned key, int64_t at)
{
    const struct change *last = log_last(log, key, at);
    return last == NULL || last->revision.tombstone ? NULL : last;
}

static struct bytes key_of(unsigned key, char out[32])
{
    int size = snprintf(out, 32, key % 3 == 0 ? "a/%04u" : "registry/long/%05u", key * 7);
    return bytes_of(out, (size_t)size);
}

static struct bytes value_of(uint64_t value, char out[300])
{
    size_t size = value % 200;
    for (size_t i = 0; i < size; i++) {
        out[i] = (char)(value >> (i % 8) * 8);
    }
    return bytes_of(out, size);
}

/* ---- operations that are logged and replayed ---- */

enum op_kind { OP_PUT, OP_DELETE, OP_TXN, OP_COMPACT, OP_KINDS };

struct op {
    enum op_kind kind;
    uint64_t seed;
};

struct run {
    struct world world;
    struct log log;
    struct op ops[OPS];
    size_t op_count;
    size_t applied;
    struct rng rng;
    struct store_batch waiting[BATCHES_MAX]; /* closed batches that are not committed yet */
    size_t waiting_count;
    int64_t committed_revision; /* committed, but the mvcc was not told yet */
    int64_t leases[KEY_COUNT];  /* as the hook was told */
    struct mvcc_lease_hook hook;
};

static unsigned key_number(struct bytes key)
{
    char text[32];
    for (unsigned i = 0; i < KEY_COUNT; i++) {
        if (bytes_equal(key_of(i, text), key)) {
            return i;
        }
    }
    fail_msg("unknown key");
    return 0;
}

static void on_attach(void *ctx, struct bytes key, int64_t lease)
{
    struct run *run = ctx;
    unsigned number = key_number(key);
    assert_int_equal(run->leases[number], 0);
    run->leases[number] = lease;
}

static void on_detach(void *ctx, struct bytes key, int64_t lease)
{
    struct run *run = ctx;
    unsigned number = key_number(key);
    assert_int_equal(run->leases[number], lease);
    run->leases[number] = 0;
}

struct txn_model {
    struct log *log; /* NULL in a replay: the log has it already */
    int64_t main;
    uint32_t sub;
};

static void model_put(struct txn_model *txn, unsigned key, uint64_t value, int64_t lease)
{
    if (txn->log == NULL) {
        return;
    }
    const struct change *before = log_live(txn->log, key, txn->main);
    struct change change = {
        .revision = {txn->main, txn->sub++, false},
        .key = key,
        .value = value,
        .create = before == NULL ? txn->main : before->create,
        .version = before == NULL ? 1 : before->version + 1,
        .lease = lease,
    };
    log_add(txn->log, change);
}

static uint64_t model_delete(struct txn_model *txn, const struct key_span *span)
{
    uint64_t deleted = 0;
    /* Keys in byte order: the "a/" keys before the "registry/" ones. */
    for (unsigned half = 0; half < 2 && txn->log != NULL; half++) {
        for (unsigned key = 0; key < KEY_COUNT; key++) {
            char text[32];
            if ((key % 3 != 0) != (half == 1) || !key_span_contains(span, key_of(key, text)) ||
                log_live(txn->log, key, txn->main) == NULL) {
                continue;
            }
            struct change change = {.revision = {txn->main, txn->sub++, true}, .key = key};
            log_add(txn->log, change);
            deleted++;
        }
    }
    return deleted;
}

static void do_put(struct run *run, struct txn_model *txn, struct rng *rng)
{
    char key_text[32];
    char value_text[300];
    unsigned key = (unsigned)rng_below(rng, KEY_COUNT);
    uint64_t value = rng_next(rng);
    int64_t lease = rng_below(rng, 3) == 0 ? (int64_t)rng_below(rng, 5) + 1 : 0;
    mvcc_txn_put(run->world.mvcc, key_of(key, key_text), value_of(value, value_text), lease);
    model_put(txn, key, value, lease);
}

static struct key_span random_span(struct rng *rng, char a[32], char b[32])
{
    struct bytes begin = key_of((unsigned)rng_below(rng, KEY_COUNT), a);
    struct bytes end = key_of((unsigned)rng_below(rng, KEY_COUNT), b);
    switch (rng_below(rng, 6)) {
    case 0:
        return key_span_of(begin, bytes_of("\0", 1));
    case 1:
    case 2:
        return key_span_of(begin, (struct bytes){NULL, 0});
    default:
        return key_span_of(begin, end); /* may be upside down: then empty */
    }
}

static void do_delete(struct run *run, struct txn_model *txn, struct rng *rng)
{
    char a[32];
    char b[32];
    struct key_span span = random_span(rng, a, b);
    if (span.kind == SPAN_FROM && rng_below(rng, 4) != 0) {
        span = key_span_of(span.begin, (struct bytes){NULL, 0}); /* keep some keys alive */
    }
    uint64_t deleted = mvcc_txn_delete(run->world.mvcc, &span);
    uint64_t want = model_delete(txn, &span);
    assert_true(txn->log == NULL || deleted == want);
}

static void apply_txn(struct run *run, const struct op *op, struct log *log)
{
    struct rng rng;
    rng_seed(&rng, op->seed);
    struct txn_model txn = {log, log == NULL ? 0 : log->revision + 1, 0};
    mvcc_txn_begin(run->world.mvcc, &run->world.batch);
    uint64_t steps = op->kind == OP_TXN ? rng_below(&rng, 6) : 1;
    for (uint64_t i = 0; i < steps; i++) {
        if (op->kind == OP_PUT || (op->kind == OP_TXN && rng_below(&rng, 3) != 0)) {
            do_put(run, &txn, &rng);
        } else {
            do_delete(run, &txn, &rng);
        }
    }
    int64_t revision = mvcc_txn_end(run->world.mvcc);
    if (log != NULL) {
        log->revision += txn.sub > 0 ? 1 : 0;
        assert_int_equal(revision, log->revision);
    }
}

static void apply_compact(struct run *run, const struct op *op, struct log *log)
{
    struct rng rng;
    rng_seed(&rng, op->seed);
    struct mvcc *mvcc = run->world.mvcc;
    int64_t span = mvcc_revision(mvcc) - BASE_MAX(mvcc_compact_revision(mvcc), 0);
    int64_t back = (int64_t)rng_below(&rng, (uint64_t)span + 3) - 1;
    int64_t revision = mvcc_revision(mvcc) - back;
    int rc = mvcc_compact(mvcc, &run->world.batch, revision);
    if (log != NULL) {
        int want = revision <= log->compacted ? E_COMPACTED
                   : revision > log->revision ? E_FUTURE
                                              : 0;
        assert_int_equal(rc, want);
        log->compacted = rc == 0 ? revision : log->compacted;
    }
}

static void apply(struct run *run, bool replay)
{
    const struct op *op = &run->ops[run->applied++];
    struct log *log = replay ? NULL : &run->log;
    if (op->kind == OP_COMPACT) {
        apply_compact(run, op, log);
    } else {
        apply_txn(run, op, log);
    }
    if (!replay) {
        assert_int_equal(mvcc_compact_revision(run->world.mvcc), run->log.compacted);
    }
}

/* ---- comparisons ---- */

struct found {
    struct run *run;
    int64_t at;
    struct key_span span;
    unsigned next; /* position in `order` */
    unsigned order[KEY_COUNT];
    unsigned order_count;
};

static void check_record(const struct change *want, struct bytes record)
{
    struct keyvalue kv;
    char key_text[32];
    char value_text[300];
    assert_int_equal(keyvalue_decode(record, &kv), 0);
    assert_true(bytes_equal(kv.key, key_of(want->key, key_text)));
    if (want->revision.tombstone) {
        assert_int_equal(kv.mod_revision, 0);
        return;
    }
    assert_true(bytes_equal(kv.value, value_of(want->value, value_text)));
    assert_int_equal(kv.mod_revision, want->revision.main);
    assert_int_equal(kv.create_revision, want->create);
    assert_int_equal(kv.version, want->version);
    assert_int_equal(kv.lease, want->lease);
}

static bool visit_found(void *ctx, const struct mvcc_item *item)
{
    struct found *found = ctx;
    struct bytes record;
    assert_true(found->next < found->order_count);
    const struct change *want = log_live(&found->run->log, found->order[found->next++], found->at);
    assert_int_equal(mvcc_item_record(found->run->world.mvcc, item, &record), 0);
    check_record(want, record);
    if (item->meta != NULL) {
        assert_int_equal(item->meta->create_revision, want->create);
        assert_int_equal(item->meta->version, want->version);
        assert_int_equal(item->meta->lease, want->lease);
    }
    return true;
}

static void check_range(struct run *run, int64_t at)
{
    char a[32];
    char b[32];
    struct found found = {.run = run, .at = at, .span = random_span(&run->rng, a, b)};
    for (unsigned half = 0; half < 2; half++) {
        for (unsigned key = 0; key < KEY_COUNT; key++) {
            char text[32];
            if ((key % 3 != 0) == (half == 1) &&
                key_span_contains(&found.span, key_of(key, text)) &&
                log_live(&run->log, key, at) != NULL) {
                found.order[found.order_count++] = key;
            }
        }
    }
    mvcc_walk(run->world.mvcc, &found.span, at, visit_found, &found);
    assert_int_equal(found.next, found.order_count);
    assert_int_equal(mvcc_count(run->world.mvcc, &found.span, at), found.order_count);
}

static void check_get(struct run *run, int64_t at)
{
    char text[32];
    struct bytes record;
    unsigned key = (unsigned)rng_below(&run->rng, KEY_COUNT);
    const struct change *want = log_live(&run->log, key, at);
    int rc = mvcc_get_at(run->world.mvcc, key_of(key, text), at, &record);
    assert_int_equal(rc, want == NULL ? E_NOT_FOUND : 0);
    if (want != NULL) {
        check_record(want, record);
    }
}

struct event_check {
    struct run *run;
    size_t next;
};

static bool visit_event(void *ctx, const struct mvcc_event *event)
{
    struct event_check *check = ctx;
    assert_true(check->next < check->run->log.count);
    const struct change *want = &check->run->log.changes[check->next++];
    assert_int_equal(revision_compare(event->revision, want->revision), 0);
    assert_int_equal(event->is_delete, want->revision.tombstone);
    assert_int_equal(event->is_create, want->create == want->revision.main);
    check_record(want, event->record);
    return true;
}

static void check_events(struct run *run, int64_t from)
{
    struct event_check check = {run, 0};
    int64_t to = from + (int64_t)rng_below(&run->rng, 40);
    while (check.next < run->log.count && run->log.changes[check.next].revision.main < from) {
        check.next++;
    }
    assert_int_equal(mvcc_each_event(run->world.mvcc, from, to, visit_event, &check), 0);
    assert_true(check.next == run->log.count || run->log.changes[check.next].revision.main > to);
}

/* HashKV from the list of all changes, by its definition. */
static uint32_t model_hash(const struct log *log, int64_t at)
{
    uint32_t hash = crc32c(0, "key", 3);
    for (size_t i = 0; i < log->count; i++) {
        const struct change *change = &log->changes[i];
        if (change->revision.main > at) {
            break;
        }
        if (change->revision.main <= log->compacted && log_live(log, change->key, at) != change) {
            continue;
        }
        char key_text[32];
        char value_text[300];
        uint8_t record[400];
        uint8_t key[REVISION_KEY_BYTES_MAX];
        struct keyvalue kv = {.key = key_of(change->key, key_text)};
        if (!change->revision.tombstone) {
            kv = (struct keyvalue){kv.key,
                                   change->create,
                                   change->revision.main,
                                   change->version,
                                   value_of(change->value, value_text),
                                   change->lease};
        }
        hash = crc32c(hash, key, revision_encode(change->revision, key));
        hash = crc32c(hash, record, keyvalue_encode(&kv, record));
    }
    return hash;
}

static bool model_any_live(const struct log *log, int64_t at)
{
    for (unsigned key = 0; key < KEY_COUNT; key++) {
        if (log_live(log, key, at) != NULL) {
            return true;
        }
    }
    return false;
}

static void check_hash(struct run *run, int64_t at)
{
    struct mvcc_hash hash;
    if (!model_any_live(&run->log, at)) {
        return; /* a rule of its own, see test_mvcc */
    }
    assert_int_equal(mvcc_hash_begin(run->world.mvcc, at, &hash), 0);
    while (!hash.done) {
        size_t budget = (size_t)rng_below(&run->rng, 300) + 1;
        assert_int_equal(mvcc_hash_slice(run->world.mvcc, &hash, budget), 0);
    }
    mvcc_hash_end(run->world.mvcc, &hash);
    assert_int_equal(hash.hash, model_hash(&run->log, at));
    assert_int_equal(hash.compact_revision, run->log.compacted);
}

static void check_state(struct run *run, bool thorough)
{
    struct mvcc *mvcc = run->world.mvcc;
    int64_t oldest = BASE_MAX(run->log.compacted, 1);
    int64_t at = oldest + (int64_t)rng_below(&run->rng, (uint64_t)(run->log.revision - oldest) + 1);
    assert_int_equal(mvcc_revision(mvcc), run->log.revision);
    assert_int_equal(mvcc_check_revision(mvcc, run->log.revision + 1), E_FUTURE);
    if (run->log.compacted > 1) {
        assert_int_equal(mvcc_check_revision(mvcc, run->log.compacted - 1), E_COMPACTED);
    }
    check_range(run, at);
    check_range(run, run->log.revision);
    check_get(run, at);
    if (thorough) {
        check_events(run, at + 1);
        check_hash(run, at);
        check_hash(run, run->log.revision);
        for (unsigned key = 0; key < KEY_COUNT; key++) {
            const struct change *live = log_live(&run->log, key, run->log.revision);
            assert_int_equal(run->leases[key], live == NULL ? 0 : live->lease);
        }
    }
    mvcc_release(mvcc);
}

/* ---- the store side ---- */

/* Ends the batch at the operation that was applied last. */
static void close_batch(struct run *run)
{
    if (run->waiting_count == BATCHES_MAX) {
        return;
    }
    run->world.batch.consistent_index = run->applied;
    run->world.batch.term = 7;
    run->waiting[run->waiting_count++] = run->world.batch;
    store_batch_init(&run->world.batch);
}

static void commit_one(struct run *run)
{
    struct err err;
    if (run->waiting_count == 0) {
        return;
    }
    struct store_batch *batch = &run->waiting[0];
    assert_int_equal(run->world.seam->commit(run->world.seam->ctx, batch, &err), 0);
    run->committed_revision = BASE_MAX(run->committed_revision, batch->revision);
    store_batch_free(batch);
    run->waiting_count--;
    memmove(run->waiting, run->waiting + 1, run->waiting_count * sizeof(run->waiting[0]));
}

/* Loses what is not committed, opens again, replays the operations above the consistent index. */
static void crash(struct run *run)
{
    uint64_t index;
    uint64_t term;
    memset(run->leases, 0, sizeof(run->leases));
    world_reopen(&run->world, &run->hook);
    while (run->waiting_count > 0) {
        store_batch_free(&run->waiting[--run->waiting_count]);
    }
    run->committed_revision = 0;
    assert_int_equal(store_read_position(run->world.seam, &index, &term), 0);
    assert_true(index <= run->applied && (index == 0 || term == 7));
    size_t end = run->applied;
    run->applied = (size_t)index;
    while (run->applied < end) {
        apply(run, true);
    }
    assert_int_equal(mvcc_compact_revision(run->world.mvcc), run->log.compacted);
}

static void background(struct run *run)
{
    if (rng_below(&run->rng, 6) == 0) {
        (void)mvcc_compact_slice(run->world.mvcc, &run->world.batch,
                                 (size_t)rng_below(&run->rng, 20) + 1);
    }
    if (rng_below(&run->rng, 10) == 0) {
        close_batch(run);
    }
    if (rng_below(&run->rng, 12) == 0) {
        commit_one(run);
    }
    if (rng_below(&run->rng, 12) == 0) {
        mvcc_persisted(run->world.mvcc, run->committed_revision);
    }
}

static enum op_kind random_kind(struct rng *rng)
{
    uint64_t draw = rng_below(rng, 200);
    return draw < 120 ? OP_PUT : draw < 150 ? OP_DELETE : draw < 199 ? OP_TXN : OP_COMPACT;
}

static void run_seed(uint64_t seed)
{
    struct run *run = mem_zalloc(sizeof(*run));
    rng_seed(&run->rng, seed);
    run->log.revision = 1;
    run->log.compacted = MVCC_NEVER_COMPACTED;
    run->hook = (struct mvcc_lease_hook){run, on_attach, on_detach};
    world_open(&run->world, &run->hook);
    while (run->op_count < OPS) {
        run->ops[run->op_count++] = (struct op){random_kind(&run->rng), rng_next(&run->rng)};
        apply(run, false);
        background(run);
        if (rng_below(&run->rng, 8) == 0) {
            check_state(run, rng_below(&run->rng, 12) == 0);
        }
        if (rng_below(&run->rng, 400) == 0) {
            crash(run);
            check_state(run, true);
        }
    }
    check_state(run, true);
    crash(run);
    check_state(run, true);
    world_close(&run->world);
    mem_free(run->log.changes);
    mem_free(run);
}

static void random_operations_and_crashes_agree_with_a_list_of_all_changes(void **state)
{
    (void)state;
    const char *only = getenv("MVCC_MODEL_SEED");
    if (only != NULL) {
        run_seed(strtoull(only, NULL, 10));
        return;
    }
    for (uint64_t seed = 1; seed <= 4; seed++) {
        run_seed(seed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_operations_and_crashes_agree_with_a_list_of_all_changes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
