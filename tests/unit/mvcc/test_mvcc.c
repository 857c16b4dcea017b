/* SPDX-License-Identifier: Apache-2.0 */
/* Rules of the key space that the random model does not single out. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "base/crc32c.h"
#include "lib_world.h"

static struct bytes text(const char *bytes)
{
    return bytes_of_str(bytes);
}

static int get(struct world *world, const char *key, int64_t revision, struct keyvalue *out_kv)
{
    struct bytes record;
    int rc = mvcc_get_at(world->mvcc, text(key), revision, &record);
    if (rc == 0) {
        assert_int_equal(keyvalue_decode(record, out_kv), 0);
    }
    return rc;
}

static uint64_t records_in_store(struct world *world)
{
    struct store_view *view;
    struct store_item item;
    uint64_t count = 0;
    assert_int_equal(world->seam->view_begin(world->seam->ctx, &view), 0);
    int rc = world->seam->view_seek(view, STORE_KEY, (struct bytes){NULL, 0}, &item);
    for (; rc == 0; rc = world->seam->view_next(view, STORE_KEY, &item)) {
        count++;
    }
    world->seam->view_end(view);
    return count;
}

static void an_empty_key_space_is_at_revision_1_and_the_first_write_makes_2(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, NULL);

    assert_int_equal(mvcc_revision(world.mvcc), 1);
    assert_int_equal(mvcc_compact_revision(world.mvcc), -1);
    assert_int_equal(world_put(&world, "a", "1"), 2);
    assert_int_equal(world.batch.revision, 2);

    world_close(&world);
}

static void a_transaction_that_changes_nothing_keeps_the_revision(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, NULL);
    world_put(&world, "a", "1");

    assert_int_equal(world_delete(&world, "nothing"), 2);
    assert_int_equal(world.batch.op_count, 1);

    world_close(&world);
}

static void reads_inside_a_transaction_see_its_changes_and_reads_below_do_not(void **state)
{
    (void)state;
    struct world world;
    struct keyvalue kv;
    world_open(&world, NULL);
    world_put(&world, "a", "old");

    mvcc_txn_begin(world.mvcc, &world.batch);
    mvcc_txn_put(world.mvcc, text("a"), text("new"), 0);
    assert_int_equal(mvcc_txn_revision(world.mvcc), 3);
    assert_int_equal(get(&world, "a", 0, &kv), 0);
    assert_true(bytes_equal(kv.value, text("new")));
    assert_int_equal(get(&world, "a", 2, &kv), 0);
    assert_true(bytes_equal(kv.value, text("old")));
    assert_int_equal(mvcc_txn_end(world.mvcc), 3);

    world_close(&world);
}

static void a_recreated_key_starts_at_version_1_with_a_new_create_revision(void **state)
{
    (void)state;
    struct world world;
    struct keyvalue kv;
    world_open(&world, NULL);
    world_put(&world, "a", "1");
    world_put(&world, "a", "2");
    world_delete(&world, "a");
    world_put(&world, "a", "3");

    assert_int_equal(get(&world, "a", 0, &kv), 0);
    assert_true(kv.version == 1 && kv.create_revision == 5 && kv.mod_revision == 5);
    assert_int_equal(get(&world, "a", 3, &kv), 0);
    assert_true(kv.version == 2 && kv.create_revision == 2 && kv.mod_revision == 3);
    assert_int_equal(get(&world, "a", 4, &kv), E_NOT_FOUND);

    world_close(&world);
}

static void persisted_revisions_leave_the_tail_and_are_read_from_the_store(void **state)
{
    (void)state;
    struct world world;
    struct keyvalue kv;
    world_open(&world, NULL);
    world_put(&world, "a", "1");
    assert_int_equal(get(&world, "b", 0, &kv), E_NOT_FOUND);
    struct bytes record;
    world_commit(&world, 10);
    assert_int_equal(mvcc_get_at(world.mvcc, text("a"), 0, &record), 0); /* opens a view */
    world_put(&world, "b", "2");
    assert_true(mvcc_tail_bytes(world.mvcc) > 0);

    world_commit(&world, 11);

    assert_int_equal(mvcc_tail_count(world.mvcc), 0);
    assert_int_equal(mvcc_tail_bytes(world.mvcc), 0);
    assert_int_equal(get(&world, "b", 0, &kv), 0);
    assert_true(bytes_equal(kv.value, text("2")));
    world_close(&world);
}

static void compaction_keeps_what_etcd_keeps(void **state)
{
    (void)state;
    struct world world;
    struct keyvalue kv;
    world_open(&world, NULL);
    world_put(&world, "old", "1");  /* 2: superseded, goes */
    world_put(&world, "old", "2");  /* 3: newest <= 6, stays */
    world_put(&world, "gone", "x"); /* 4: goes */
    world_delete(&world, "gone");   /* 5: tombstone below 6, goes */
    world_put(&world, "new", "1");  /* 6: stays */
    world_put(&world, "new", "2");  /* 7: above */
    world_commit(&world, 1);

    assert_int_equal(mvcc_compact(world.mvcc, &world.batch, 6), 0);
    assert_int_equal(mvcc_compact_revision(world.mvcc), 6);
    assert_int_equal(get(&world, "old", 5, &kv), E_COMPACTED);
    assert_int_equal(get(&world, "old", 6, &kv), 0);
    world_compact_all(&world);
    world_commit(&world, 2);

    assert_false(mvcc_compacting(world.mvcc));
    assert_int_equal(records_in_store(&world), 3);
    struct mvcc_stats stats;
    mvcc_stats_read(world.mvcc, &stats);
    assert_int_equal(stats.key_count, 2);
    assert_int_equal(mvcc_compact(world.mvcc, &world.batch, 6), E_COMPACTED);
    assert_int_equal(mvcc_compact(world.mvcc, &world.batch, 8), E_FUTURE);
    world_close(&world);
}

static void the_tombstone_at_the_compact_revision_stays_until_the_next_compaction(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, NULL);
    world_put(&world, "a", "1");
    world_delete(&world, "a"); /* 3 */
    world_put(&world, "b", "1");
    world_commit(&world, 1);

    assert_int_equal(mvcc_compact(world.mvcc, &world.batch, 3), 0);
    world_compact_all(&world);
    world_commit(&world, 2);
    assert_int_equal(records_in_store(&world), 2); /* the tombstone and b */
    world_reopen(&world, NULL);
    assert_int_equal(mvcc_compact(world.mvcc, &world.batch, 4), 0);
    world_compact_all(&world);
    world_commit(&world, 3);

    assert_int_equal(records_in_store(&world), 1);
    world_close(&world);
}

static void an_unfinished_compaction_is_resumed_after_a_restart(void **state)
{
    (void)state;
    struct world world;
    struct bytes mark;
    struct store_view *view;
    world_open(&world, NULL);
    for (unsigned i = 0; i < 50; i++) {
        char key[16];
        snprintf(key, sizeof(key), "key%02u", i % 25);
        world_put(&world, key, "v");
    }
    assert_int_equal(mvcc_compact(world.mvcc, &world.batch, 51), 0);
    assert_false(mvcc_compact_slice(world.mvcc, &world.batch, 10));
    world_commit(&world, 60);

    world_reopen(&world, NULL);
    assert_true(mvcc_compacting(world.mvcc));
    assert_int_equal(mvcc_compact_revision(world.mvcc), 51);
    world_compact_all(&world);
    world_commit(&world, 61);

    assert_int_equal(records_in_store(&world), 25);
    assert_int_equal(world.seam->view_begin(world.seam->ctx, &view), 0);
    assert_int_equal(
        world.seam->view_get(view, STORE_META, text(MVCC_META_FINISHED_COMPACT), &mark), 0);
    assert_int_equal(mark.size, REVISION_KEY_BYTES);
    assert_int_equal(get_be64(mark.data), 51);
    world.seam->view_end(view);
    world_reopen(&world, NULL);
    assert_false(mvcc_compacting(world.mvcc));
    world_close(&world);
}

static void a_higher_compaction_takes_over_from_one_that_still_runs(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, NULL);
    for (unsigned i = 0; i < 60; i++) {
        char key[16];
        snprintf(key, sizeof(key), "key%02u", i % 20); /* three versions of each */
        world_put(&world, key, "v");
    }
    assert_int_equal(mvcc_compact(world.mvcc, &world.batch, 41), 0);
    assert_false(mvcc_compact_slice(world.mvcc, &world.batch, 10));

    assert_int_equal(mvcc_compact(world.mvcc, &world.batch, 61), 0);
    world_compact_all(&world);
    world_commit(&world, 1);

    assert_int_equal(records_in_store(&world), 20);
    world_close(&world);
}

static void the_revision_does_not_go_back_when_everything_is_compacted_away(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, NULL);
    world_put(&world, "a", "1");
    world_delete(&world, "a"); /* 3 */
    world_put(&world, "b", "1");
    world_delete(&world, "b"); /* 5 */
    assert_int_equal(mvcc_compact(world.mvcc, &world.batch, 5), 0);
    world_compact_all(&world);
    world_commit(&world, 1);
    struct store_batch remove_all;
    uint8_t key[REVISION_KEY_BYTES_MAX];
    store_batch_init(&remove_all);
    size_t size = revision_encode((struct revision){5, 0, true}, key);
    store_batch_remove(&remove_all, STORE_KEY, bytes_of(key, size)); /* as older etcd leaves it */
    assert_int_equal(world.seam->commit(world.seam->ctx, &remove_all, NULL), 0);
    store_batch_free(&remove_all);

    world_reopen(&world, NULL);

    assert_int_equal(records_in_store(&world), 0);
    assert_int_equal(mvcc_revision(world.mvcc), 5);
    world_close(&world);
}

static void an_empty_record_of_a_revision_bump_raises_the_revision_and_is_never_seen(void **state)
{
    (void)state;
    struct world world;
    struct store_batch bump;
    struct key_span all = key_span_of(bytes_of("\0", 1), bytes_of("\0", 1));
    uint8_t key[REVISION_KEY_BYTES_MAX];
    world_open(&world, NULL);
    world_put(&world, "a", "1");
    world_commit(&world, 1);
    store_batch_init(&bump);
    size_t size = revision_encode((struct revision){1000, 0, false}, key);
    store_batch_put(&bump, STORE_KEY, bytes_of(key, size), (struct bytes){NULL, 0});
    store_batch_put(&bump, STORE_META, text(MVCC_META_SCHEDULED_COMPACT), bytes_of(key, size));
    assert_int_equal(world.seam->commit(world.seam->ctx, &bump, NULL), 0);
    store_batch_free(&bump);

    world_reopen(&world, NULL);

    assert_int_equal(mvcc_revision(world.mvcc), 1000);
    assert_int_equal(mvcc_compact_revision(world.mvcc), 1000);
    assert_int_equal(mvcc_count(world.mvcc, &all, 0), 1);
    world_compact_all(&world);
    world_commit(&world, 2);
    assert_int_equal(world_put(&world, "a", "2"), 1001);
    assert_int_equal(mvcc_count(world.mvcc, &all, 1000), 1);
    world_close(&world);
}

static bool count_event(void *ctx, const struct mvcc_event *event)
{
    assert_true(event->key.size > 0);
    (*(unsigned *)ctx)++;
    return true;
}

static void events_below_the_compact_revision_are_refused_and_at_it_are_given(void **state)
{
    (void)state;
    struct world world;
    unsigned events = 0;
    world_open(&world, NULL);
    world_put(&world, "a", "1");
    world_delete(&world, "a"); /* 3 */
    world_put(&world, "a", "2");
    assert_int_equal(mvcc_compact(world.mvcc, &world.batch, 3), 0);
    world_compact_all(&world);
    world_commit(&world, 1);

    assert_int_equal(mvcc_each_event(world.mvcc, 2, 10, count_event, &events), E_COMPACTED);
    assert_int_equal(events, 0);
    assert_int_equal(mvcc_each_event(world.mvcc, 3, 10, count_event, &events), 0);
    assert_int_equal(events, 2);
    world_close(&world);
}

static void a_pin_holds_compaction_back_until_it_is_taken_out(void **state)
{
    (void)state;
    struct world world;
    struct key_span all = key_span_of(text("a"), bytes_of("\0", 1));
    world_open(&world, NULL);
    world_put(&world, "a", "1"); /* 2 */
    world_put(&world, "a", "2");
    world_delete(&world, "a"); /* 4 */
    world_put(&world, "b", "1");
    mvcc_pin(world.mvcc, 3);
    mvcc_pin(world.mvcc, 3);

    assert_int_equal(mvcc_compact(world.mvcc, &world.batch, 5), 0);
    assert_false(mvcc_compact_slice(world.mvcc, &world.batch, 100));
    assert_int_equal(mvcc_count(world.mvcc, &all, 3), 1);
    mvcc_unpin(world.mvcc, 3);
    assert_false(mvcc_compact_slice(world.mvcc, &world.batch, 100));
    mvcc_unpin(world.mvcc, 3);
    assert_true(mvcc_compact_slice(world.mvcc, &world.batch, 100));

    assert_int_equal(mvcc_count(world.mvcc, &all, 0), 1);
    world_close(&world);
}

static uint32_t hash_record(uint32_t hash, struct revision revision, const char *key,
                            int64_t create, int64_t version, const char *value)
{
    uint8_t revision_key[REVISION_KEY_BYTES_MAX];
    uint8_t record[128];
    struct keyvalue kv = {.key = text(key)};
    if (!revision.tombstone) {
        kv = (struct keyvalue){text(key), create, revision.main, version, text(value), 0};
    }
    hash = crc32c(hash, revision_key, revision_encode(revision, revision_key));
    return crc32c(hash, record, keyvalue_encode(&kv, record));
}

static uint32_t hash_at(struct world *world, int64_t revision)
{
    struct mvcc_hash hash;
    assert_int_equal(mvcc_hash_kv(world->mvcc, revision, &hash), 0);
    return hash.hash;
}

static void hash_kv_covers_tail_and_store_alike(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, NULL);
    world_put(&world, "a", "1");
    world_put(&world, "b", "2");
    uint32_t want = crc32c(0, "key", 3);
    want = hash_record(want, (struct revision){2, 0, false}, "a", 2, 1, "1");
    want = hash_record(want, (struct revision){3, 0, false}, "b", 3, 1, "2");

    assert_int_equal(hash_at(&world, 0), want);
    world_commit(&world, 1);
    assert_int_equal(hash_at(&world, 0), want);
    world_delete(&world, "a");
    assert_int_equal(hash_at(&world, 3), want);
    want = hash_record(want, (struct revision){4, 0, true}, "a", 0, 0, "");
    assert_int_equal(hash_at(&world, 0), want);
    /* As etcd: a negative revision is no word for the newest here, it lies before all records. */
    assert_int_equal(hash_at(&world, -1), crc32c(0, "key", 3));

    world_close(&world);
}

static void compacting_to_revision_zero_leaves_nothing_to_do(void **state)
{
    (void)state;
    struct world world;
    struct store_batch batch;
    world_open(&world, NULL);
    store_batch_init(&batch);
    assert_int_equal(mvcc_compact(world.mvcc, &batch, 0), 0);
    assert_false(mvcc_compacting(world.mvcc)); /* nobody may wait for it */
    assert_int_equal(mvcc_compact(world.mvcc, &batch, 0), E_COMPACTED);
    store_batch_free(&batch);
    world_close(&world);
}

static void hash_kv_does_not_depend_on_how_far_compaction_is(void **state)
{
    (void)state;
    struct world world;
    struct mvcc_hash refused;
    world_open(&world, NULL);
    world_put(&world, "a", "1"); /* 2 */
    world_put(&world, "b", "1");
    world_put(&world, "a", "2");
    world_delete(&world, "b");   /* 5 */
    world_put(&world, "c", "1"); /* 6 */
    uint32_t want = crc32c(0, "key", 3);
    want = hash_record(want, (struct revision){4, 0, false}, "a", 2, 2, "2");
    want = hash_record(want, (struct revision){6, 0, false}, "c", 6, 1, "1");

    assert_int_equal(mvcc_compact(world.mvcc, &world.batch, 5), 0);
    assert_int_equal(hash_at(&world, 0), want);
    assert_false(mvcc_compact_slice(world.mvcc, &world.batch, 1));
    assert_int_equal(hash_at(&world, 0), want);
    world_compact_all(&world);
    world_commit(&world, 1);
    assert_int_equal(hash_at(&world, 0), want);

    assert_int_equal(mvcc_hash_kv(world.mvcc, 4, &refused), E_COMPACTED);
    assert_int_equal(mvcc_hash_kv(world.mvcc, 7, &refused), E_FUTURE);
    world_close(&world);
}

static void hash_kv_at_a_revision_without_live_keys_counts_what_compaction_kept(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, NULL);
    world_put(&world, "a", "1"); /* 2 */
    world_put(&world, "a", "2"); /* 3 */
    world_delete(&world, "a");   /* 4 */
    uint32_t want = crc32c(0, "key", 3);
    want = hash_record(want, (struct revision){3, 0, false}, "a", 2, 2, "2");
    want = hash_record(want, (struct revision){4, 0, true}, "a", 0, 0, "");

    assert_int_equal(mvcc_compact(world.mvcc, &world.batch, 3), 0);
    assert_int_equal(hash_at(&world, 0), want);
    world_compact_all(&world);
    world_commit(&world, 1);
    assert_int_equal(hash_at(&world, 0), want);

    world_close(&world);
}

static void a_record_that_the_index_names_and_the_store_lost_is_corruption(void **state)
{
    (void)state;
    struct world world;
    struct keyvalue kv;
    struct store_batch loss;
    uint8_t key[REVISION_KEY_BYTES_MAX];
    world_open(&world, NULL);
    world_put(&world, "a", "1");
    world_commit(&world, 1);
    store_batch_init(&loss);
    size_t size = revision_encode((struct revision){2, 0, false}, key);
    store_batch_remove(&loss, STORE_KEY, bytes_of(key, size));
    assert_int_equal(world.seam->commit(world.seam->ctx, &loss, NULL), 0);
    store_batch_free(&loss);

    assert_int_equal(get(&world, "a", 0, &kv), E_CORRUPT);

    world_close(&world);
}

static void a_store_with_a_broken_record_is_not_opened(void **state)
{
    (void)state;
    struct world world;
    struct store_batch bad;
    struct mvcc *mvcc = NULL;
    struct err err = {{0}};
    world_open(&world, NULL);
    store_batch_init(&bad);
    store_batch_put(&bad, STORE_KEY, text("not a revision"), text("x"));
    assert_int_equal(world.seam->commit(world.seam->ctx, &bad, NULL), 0);
    store_batch_free(&bad);

    assert_int_equal(mvcc_open(world.seam, NULL, &mvcc, &err), E_CORRUPT);

    assert_null(mvcc);
    assert_non_null(strstr(err.text, "no revision"));
    world_close(&world);
}

static void a_count_at_an_older_revision_is_corrected_from_the_newest(void **state)
{
    (void)state;
    struct world world;
    struct key_span span = key_span_of(text("k"), text("l"));
    uint64_t fast = 0;
    world_open(&world, NULL);
    for (unsigned i = 0; i < 400; i++) {
        char key[16];
        snprintf(key, sizeof(key), "k%03u", i);
        world_put(&world, key, "v");
    }
    int64_t then = mvcc_revision(world.mvcc);
    world_delete(&world, "k001");
    world_delete(&world, "k002");
    world_put(&world, "k002", "again");
    world_put(&world, "k500", "new");
    world_put(&world, "k501", "new");
    world_delete(&world, "k501");
    world_put(&world, "k003", "again"); /* two changes and one key less */
    world_delete(&world, "k003");
    world_put(&world, "outside", "new");

    assert_true(mvcc_count_fast(world.mvcc, &span, then, &fast));
    assert_int_equal(fast, 400);
    assert_int_equal(mvcc_count(world.mvcc, &span, 0), 399);
    assert_int_equal(mvcc_count(world.mvcc, &span, then + 1), 399);
    assert_int_equal(mvcc_count(world.mvcc, &span, then + 2), 398);
    assert_false(mvcc_count_fast(world.mvcc, &span, 10, &fast));
    assert_int_equal(mvcc_count(world.mvcc, &span, 10), 9);
    world_close(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_key_space_is_at_revision_1_and_the_first_write_makes_2),
        cmocka_unit_test(a_transaction_that_changes_nothing_keeps_the_revision),
        cmocka_unit_test(reads_inside_a_transaction_see_its_changes_and_reads_below_do_not),
        cmocka_unit_test(a_recreated_key_starts_at_version_1_with_a_new_create_revision),
        cmocka_unit_test(persisted_revisions_leave_the_tail_and_are_read_from_the_store),
        cmocka_unit_test(compaction_keeps_what_etcd_keeps),
        cmocka_unit_test(the_tombstone_at_the_compact_revision_stays_until_the_next_compaction),
        cmocka_unit_test(an_unfinished_compaction_is_resumed_after_a_restart),
        cmocka_unit_test(a_higher_compaction_takes_over_from_one_that_still_runs),
        cmocka_unit_test(the_revision_does_not_go_back_when_everything_is_compacted_away),
        cmocka_unit_test(an_empty_record_of_a_revision_bump_raises_the_revision_and_is_never_seen),
        cmocka_unit_test(events_below_the_compact_revision_are_refused_and_at_it_are_given),
        cmocka_unit_test(a_pin_holds_compaction_back_until_it_is_taken_out),
        cmocka_unit_test(hash_kv_covers_tail_and_store_alike),
        cmocka_unit_test(compacting_to_revision_zero_leaves_nothing_to_do),
        cmocka_unit_test(hash_kv_does_not_depend_on_how_far_compaction_is),
        cmocka_unit_test(hash_kv_at_a_revision_without_live_keys_counts_what_compaction_kept),
        cmocka_unit_test(a_record_that_the_index_names_and_the_store_lost_is_corruption),
        cmocka_unit_test(a_store_with_a_broken_record_is_not_opened),
        cmocka_unit_test(a_count_at_an_older_revision_is_corrected_from_the_newest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
