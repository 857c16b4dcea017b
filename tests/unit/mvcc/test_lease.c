/* SPDX-License-Identifier: Apache-2.0 */
/* The lessor: what is granted, who holds which key, when a lease ends, and what survives a restart.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "engine/mvcc/lease.h"
#include "lib_world.h"

#define MIN_TTL_S 2
#define NOW_MS    1000000

struct bench {
    struct world world;
    struct lessor *lessor;
    struct mvcc_lease_hook hook;
};

static void bench_open(struct bench *bench, bool checkpoints)
{
    struct lessor_config config = {.min_ttl_s = MIN_TTL_S, .checkpoints = checkpoints, .seed = 1};
    bench->lessor = lessor_new(&config);
    bench->hook = lessor_hook(bench->lessor);
    world_open(&bench->world, &bench->hook);
}

static void bench_close(struct bench *bench)
{
    world_close(&bench->world);
    lessor_free(bench->lessor);
}

static enum etcd_error bench_grant(struct bench *bench, int64_t id, int64_t ttl_s)
{
    int64_t granted_s = 0;
    return lessor_grant(bench->lessor, id, ttl_s, NOW_MS, &bench->world.batch, &granted_s);
}

static void bench_put(struct bench *bench, const char *key, int64_t lease)
{
    mvcc_txn_begin(bench->world.mvcc, &bench->world.batch);
    mvcc_txn_put(bench->world.mvcc, bytes_of_str(key), bytes_of_str("v"), lease);
    mvcc_txn_end(bench->world.mvcc);
}

static void bench_load(struct bench *bench)
{
    struct store_view *view = NULL;
    const struct store_seam *seam = bench->world.seam;
    assert_int_equal(seam->view_begin(seam->ctx, &view), 0);
    assert_int_equal(lessor_load(bench->lessor, seam, view, NULL), 0);
    seam->view_end(view);
}

static void keys_are(const struct bench *bench, int64_t id, const char *joined)
{
    struct arena arena;
    arena_init(&arena, BUF_NO_LIMIT);
    struct bytes *keys = NULL;
    size_t count = 0;
    assert_int_equal(lessor_keys(bench->lessor, id, &arena, &keys, &count), ETCD_OK);
    char text[256] = "";
    for (size_t i = 0; i < count; i++) {
        size_t used = strlen(text);
        snprintf(text + used, sizeof(text) - used, "%s%.*s", i > 0 ? "," : "", (int)keys[i].size,
                 (const char *)keys[i].data);
    }
    assert_string_equal(text, joined);
    arena_free(&arena);
}

static void the_shortest_lease_is_one_and_a_half_election_timeouts(void **state)
{
    (void)state;
    assert_int_equal(lessor_min_ttl_s(100, 10), 2);
    assert_int_equal(lessor_min_ttl_s(100, 50), 8);
    assert_int_equal(lessor_min_ttl_s(500, 10), 8);
    assert_int_equal(lessor_min_ttl_s(100, 20), 3);
}

static void a_grant_is_checked_and_raised_to_the_minimum(void **state)
{
    (void)state;
    struct bench bench;
    bench_open(&bench, false);
    int64_t ttl_s = -7;
    struct store_batch *batch = &bench.world.batch;

    assert_int_equal(lessor_grant(bench.lessor, 0, 5, NOW_MS, batch, &ttl_s),
                     ETCD_ERR_LEASE_NOT_FOUND);
    assert_int_equal(lessor_grant(bench.lessor, 1, LEASE_TTL_MAX + 1, NOW_MS, batch, &ttl_s),
                     ETCD_ERR_LEASE_TTL_TOO_LARGE);
    assert_int_equal(ttl_s, -7);
    assert_true(store_batch_empty(batch));
    assert_int_equal(lessor_grant(bench.lessor, 1, LEASE_TTL_MAX, NOW_MS, batch, &ttl_s), 0);
    assert_int_equal(ttl_s, LEASE_TTL_MAX);
    assert_int_equal(lessor_grant(bench.lessor, 1, 5, NOW_MS, batch, &ttl_s), ETCD_ERR_LEASE_EXIST);
    assert_int_equal(lessor_grant(bench.lessor, 2, 1, NOW_MS, batch, &ttl_s), 0);
    assert_int_equal(ttl_s, MIN_TTL_S);
    assert_int_equal(lessor_grant(bench.lessor, -3, -100, NOW_MS, batch, &ttl_s), 0);
    assert_int_equal(ttl_s, MIN_TTL_S);
    bench_close(&bench);
}

static void a_candidate_id_is_positive_and_free(void **state)
{
    (void)state;
    struct bench bench;
    bench_open(&bench, false);

    assert_int_equal(lease_id_candidate(bench.lessor, UINT64_MAX), INT64_MAX);
    assert_int_equal(lease_id_candidate(bench.lessor, (uint64_t)1 << 63), LEASE_NONE);
    bench_grant(&bench, 77, 5);
    assert_int_equal(lease_id_candidate(bench.lessor, 77), LEASE_NONE);
    bench_close(&bench);
}

static void keys_follow_the_lease_of_their_last_put(void **state)
{
    (void)state;
    struct bench bench;
    bench_open(&bench, false);
    bench_grant(&bench, 1, 60);
    bench_grant(&bench, 2, 60);

    bench_put(&bench, "b", 1);
    bench_put(&bench, "a", 1);
    bench_put(&bench, "c", 1);
    keys_are(&bench, 1, "a,b,c");
    bench_put(&bench, "b", 2);
    keys_are(&bench, 1, "a,c");
    keys_are(&bench, 2, "b");
    bench_put(&bench, "a", 0);
    keys_are(&bench, 1, "c");
    world_delete(&bench.world, "c");
    keys_are(&bench, 1, "");
    assert_int_equal(lessor_lease_of(bench.lessor, bytes_of_str("b")), 2);
    assert_int_equal(lessor_lease_of(bench.lessor, bytes_of_str("c")), LEASE_NONE);
    bench_close(&bench);
}

static void a_late_detach_does_not_take_a_key_from_its_new_lease(void **state)
{
    (void)state;
    struct bench bench;
    bench_open(&bench, false);
    bench_grant(&bench, 1, 60);
    bench_grant(&bench, 2, 60);
    struct mvcc_lease_hook hook = bench.hook;

    hook.attach(hook.ctx, bytes_of_str("k"), 1);
    hook.attach(hook.ctx, bytes_of_str("k"), 2);
    hook.detach(hook.ctx, bytes_of_str("k"), 1);
    keys_are(&bench, 1, "");
    keys_are(&bench, 2, "k");
    hook.attach(hook.ctx, bytes_of_str("k"), 99);
    keys_are(&bench, 2, "");
    hook.detach(hook.ctx, bytes_of_str("never"), 2);
    bench_close(&bench);
}

static void a_revoke_forgets_lease_and_attachments(void **state)
{
    (void)state;
    struct bench bench;
    bench_open(&bench, false);
    bench_grant(&bench, 5, 60);
    bench_put(&bench, "x", 5);

    assert_int_equal(lessor_revoke(bench.lessor, 6, &bench.world.batch), ETCD_ERR_LEASE_NOT_FOUND);
    assert_int_equal(lessor_revoke(bench.lessor, 5, &bench.world.batch), ETCD_OK);
    assert_false(lessor_exists(bench.lessor, 5));
    assert_int_equal(lessor_lease_of(bench.lessor, bytes_of_str("x")), LEASE_NONE);
    /* The caller deletes the keys afterwards; the key space detaches from a lease that is gone. */
    world_delete(&bench.world, "x");
    assert_int_equal(lessor_revoke(bench.lessor, 5, &bench.world.batch), ETCD_ERR_LEASE_NOT_FOUND);
    bench_close(&bench);
}

static void only_the_primary_counts_time(void **state)
{
    (void)state;
    struct bench bench;
    bench_open(&bench, false);
    bench_grant(&bench, 1, 10);
    int64_t ids[4];
    int64_t ttl_s = -1;
    struct lease_times times;

    assert_int_equal(lessor_expired(bench.lessor, INT64_MAX / 2, ids, 4), 0);
    assert_int_equal(lessor_renew(bench.lessor, 1, NOW_MS, &ttl_s), LEASE_RENEW_NOT_PRIMARY);
    assert_int_equal(lessor_times(bench.lessor, 1, NOW_MS, &times), ETCD_OK);
    assert_false(times.is_counting);
    assert_int_equal(lessor_next_deadline_ms(bench.lessor), INT64_MAX);

    lessor_promote(bench.lessor, NOW_MS, 1000);
    assert_int_equal(lessor_times(bench.lessor, 1, NOW_MS + 1, &times), ETCD_OK);
    assert_true(times.is_counting);
    assert_int_equal(times.ttl_s, 10);
    assert_int_equal(times.remaining_s, 10); /* 11 s less a millisecond, cut */
    assert_int_equal(lessor_expired(bench.lessor, NOW_MS + 10999, ids, 4), 0);
    assert_int_equal(lessor_expired(bench.lessor, NOW_MS + 11000, ids, 4), 1);
    assert_int_equal(ids[0], 1);

    lessor_demote(bench.lessor);
    assert_int_equal(lessor_expired(bench.lessor, INT64_MAX / 2, ids, 4), 0);
    assert_int_equal(lessor_times(bench.lessor, 2, NOW_MS, &times), ETCD_ERR_LEASE_NOT_FOUND);
    bench_close(&bench);
}

static void a_renewal_starts_the_ttl_anew(void **state)
{
    (void)state;
    struct bench bench;
    bench_open(&bench, false);
    lessor_promote(bench.lessor, NOW_MS, 0);
    bench_grant(&bench, 1, 10);
    int64_t ids[4];
    int64_t ttl_s = -1;

    assert_int_equal(lessor_renew(bench.lessor, 1, NOW_MS + 9999, &ttl_s), LEASE_RENEWED);
    assert_int_equal(ttl_s, 10);
    assert_int_equal(lessor_expired(bench.lessor, NOW_MS + 19998, ids, 4), 0);
    assert_int_equal(lessor_renew(bench.lessor, 2, NOW_MS, &ttl_s), LEASE_RENEW_NOT_FOUND);
    assert_int_equal(lessor_expired(bench.lessor, NOW_MS + 19999, ids, 4), 1);
    bench_close(&bench);
}

static void an_expired_lease_cannot_be_renewed_and_is_asked_for_again(void **state)
{
    (void)state;
    struct bench bench;
    bench_open(&bench, false);
    lessor_promote(bench.lessor, NOW_MS, 0);
    bench_grant(&bench, 1, 10);
    int64_t end_ms = NOW_MS + 10000;
    int64_t ids[4];
    int64_t ttl_s = -1;

    assert_int_equal(lessor_renew(bench.lessor, 1, end_ms, &ttl_s), LEASE_RENEW_EXPIRED);
    assert_int_equal(ttl_s, -1);
    assert_int_equal(lessor_expired(bench.lessor, end_ms, ids, 4), 1);
    assert_int_equal(lessor_expired(bench.lessor, end_ms, ids, 4), 0);
    int64_t retry_ms = end_ms + LEASE_EXPIRED_RETRY_MS;
    assert_int_equal(lessor_expired(bench.lessor, retry_ms - 1, ids, 4), 0);
    assert_int_equal(lessor_renew(bench.lessor, 1, retry_ms, &ttl_s), LEASE_RENEW_EXPIRED);
    assert_int_equal(lessor_expired(bench.lessor, retry_ms, ids, 4), 1);
    lessor_revoke(bench.lessor, 1, &bench.world.batch);
    assert_int_equal(lessor_expired(bench.lessor, retry_ms + 100000, ids, 4), 0);
    bench_close(&bench);
}

static void expired_leases_come_in_order_and_in_portions(void **state)
{
    (void)state;
    struct bench bench;
    bench_open(&bench, false);
    lessor_promote(bench.lessor, NOW_MS, 0);
    for (int64_t id = 1; id <= 5; id++) {
        bench_grant(&bench, id, 100 - id);
    }
    struct arena arena;
    arena_init(&arena, BUF_NO_LIMIT);
    int64_t *listed = NULL;
    size_t count = 0;
    int64_t ids[3];

    lessor_list(bench.lessor, &arena, &listed, &count);
    assert_int_equal(count, 5);
    assert_int_equal(listed[0], 5);
    assert_int_equal(listed[4], 1);
    assert_int_equal(lessor_next_deadline_ms(bench.lessor), NOW_MS + 95000);
    assert_int_equal(lessor_expired(bench.lessor, NOW_MS + 97000, ids, 2), 2);
    assert_int_equal(ids[0], 5);
    assert_int_equal(ids[1], 4);
    assert_int_equal(lessor_expired(bench.lessor, NOW_MS + 97000, ids, 3), 1);
    assert_int_equal(ids[0], 3);
    arena_free(&arena);
    bench_close(&bench);
}

static void a_pile_up_is_spread_after_a_promotion(void **state)
{
    (void)state;
    struct bench bench;
    bench_open(&bench, false);
    enum { LEASES = 5000 };
    for (int64_t id = 1; id <= LEASES; id++) {
        bench_grant(&bench, id, id % 10 == 0 ? 30 : 10);
    }
    static int64_t ids[LEASES];
    lessor_promote(bench.lessor, NOW_MS, 0);

    size_t total = 0;
    for (int64_t second = 0; second < 60; second++) {
        size_t ended = lessor_expired(bench.lessor, NOW_MS + second * 1000 + 999, ids, LEASES);
        assert_true(second >= 10 || ended == 0);
        size_t fresh = 0;
        for (size_t i = 0; i < ended; i++) {
            fresh += lessor_revoke(bench.lessor, ids[i], &bench.world.batch) == ETCD_OK;
        }
        assert_true(fresh < LEASE_REVOKES_PER_SECOND);
        total += fresh;
    }
    assert_int_equal(total, LEASES);
    bench_close(&bench);
}

static void a_few_leases_are_not_put_off(void **state)
{
    (void)state;
    struct bench bench;
    bench_open(&bench, false);
    enum { LEASES = LEASE_REVOKES_PER_SECOND - 1 };
    for (int64_t id = 1; id <= LEASES; id++) {
        bench_grant(&bench, id, 10);
    }
    static int64_t ids[LEASES];
    lessor_promote(bench.lessor, NOW_MS, 0);

    assert_int_equal(lessor_expired(bench.lessor, NOW_MS + 10000, ids, LEASES), LEASES);
    bench_close(&bench);
}

static void leases_survive_a_restart_and_get_their_keys_back(void **state)
{
    (void)state;
    struct bench bench;
    bench_open(&bench, false);
    bench_grant(&bench, 1, 60);
    bench_grant(&bench, -2, 90);
    bench_grant(&bench, 3, 30);
    lessor_revoke(bench.lessor, 3, &bench.world.batch);
    bench_put(&bench, "k2", 1);
    bench_put(&bench, "k1", 1);
    bench_put(&bench, "gone", 1);
    world_delete(&bench.world, "gone");
    world_commit(&bench.world, 7);

    bench_load(&bench);
    keys_are(&bench, 1, "");
    world_reopen(&bench.world, &bench.hook);
    assert_int_equal(lessor_count(bench.lessor), 2);
    keys_are(&bench, 1, "k1,k2");
    struct lease_times times;
    assert_int_equal(lessor_times(bench.lessor, -2, NOW_MS, &times), ETCD_OK);
    assert_int_equal(times.ttl_s, 90);
    assert_false(lessor_is_primary(bench.lessor));
    bench_close(&bench);
}

static void the_stored_lease_is_etcds_byte_for_byte(void **state)
{
    (void)state;
    struct bench bench;
    bench_open(&bench, false);
    bench_grant(&bench, 300, 60);

    const struct store_op *op = &bench.world.batch.ops[0];
    static const uint8_t key[] = {0, 0, 0, 0, 0, 0, 1, 44};
    static const uint8_t value[] = {0x08, 0xac, 0x02, 0x10, 60};
    assert_int_equal(op->table, STORE_LEASE);
    assert_true(bytes_equal(op->key, bytes_of(key, sizeof(key))));
    assert_true(bytes_equal(op->value, bytes_of(value, sizeof(value))));
    bench_close(&bench);
}

static void a_broken_lease_row_is_reported(void **state)
{
    (void)state;
    struct bench bench;
    bench_open(&bench, false);
    uint8_t key[8];
    put_be64(key, 9);
    static const uint8_t other_id[] = {0x08, 0x08, 0x10, 60};
    store_batch_put(&bench.world.batch, STORE_LEASE, bytes_of(key, 8),
                    bytes_of(other_id, sizeof(other_id)));
    world_commit(&bench.world, 3);
    struct store_view *view = NULL;
    const struct store_seam *seam = bench.world.seam;

    assert_int_equal(seam->view_begin(seam->ctx, &view), 0);
    assert_int_equal(lessor_load(bench.lessor, seam, view, NULL), E_CORRUPT);
    assert_int_equal(lessor_count(bench.lessor), 0);
    seam->view_end(view);
    bench_close(&bench);
}

static void a_checkpoint_is_what_the_next_primary_starts_from(void **state)
{
    (void)state;
    struct bench bench;
    bench_open(&bench, true);
    lessor_promote(bench.lessor, NOW_MS, 0);
    bench_grant(&bench, 1, 1000);
    bench_grant(&bench, 2, 100); /* shorter than the interval: never checkpointed */
    struct lease_rest rests[4];
    int64_t due_ms = NOW_MS + LEASE_CHECKPOINT_INTERVAL_MS;

    assert_int_equal(lessor_checkpoints_due(bench.lessor, due_ms - 1, rests, 4), 0);
    assert_int_equal(lessor_checkpoints_due(bench.lessor, due_ms, rests, 4), 1);
    assert_int_equal(rests[0].id, 1);
    assert_int_equal(rests[0].remaining_ttl_s, 700);
    size_t ops = bench.world.batch.op_count;
    lessor_checkpoint(bench.lessor, 1, 700, due_ms, &bench.world.batch);
    assert_int_equal(bench.world.batch.op_count, ops); /* not persisted unless asked */
    lessor_set_persist_checkpoints(bench.lessor, true);
    lessor_checkpoint(bench.lessor, 1, 700, due_ms, &bench.world.batch);
    lessor_checkpoint(bench.lessor, 99, 700, due_ms, &bench.world.batch);
    assert_int_equal(bench.world.batch.op_count, ops + 1);
    world_commit(&bench.world, 9);

    bench_load(&bench);
    lessor_promote(bench.lessor, NOW_MS, 0);
    struct lease_times times;
    assert_int_equal(lessor_times(bench.lessor, 1, NOW_MS, &times), ETCD_OK);
    assert_int_equal(times.remaining_s, 700);
    assert_int_equal(times.ttl_s, 1000);
    bench_close(&bench);
}

static void without_the_feature_nothing_is_checkpointed(void **state)
{
    (void)state;
    struct bench bench;
    bench_open(&bench, false);
    lessor_promote(bench.lessor, NOW_MS, 0);
    bench_grant(&bench, 1, 1000);
    struct lease_rest rest;

    assert_int_equal(
        lessor_checkpoints_due(bench.lessor, NOW_MS + LEASE_CHECKPOINT_INTERVAL_MS, &rest, 1), 0);
    bench_close(&bench);
}

static void a_renewal_clears_the_checkpoint_first(void **state)
{
    (void)state;
    struct bench bench;
    bench_open(&bench, true);
    lessor_promote(bench.lessor, NOW_MS, 0);
    bench_grant(&bench, 1, 1000);
    lessor_checkpoint(bench.lessor, 1, 400, NOW_MS, &bench.world.batch);
    int64_t ttl_s = -1;

    assert_int_equal(lessor_renew(bench.lessor, 1, NOW_MS, &ttl_s), LEASE_RENEW_CHECKPOINT);
    lessor_checkpoint(bench.lessor, 1, 0, NOW_MS, &bench.world.batch);
    assert_int_equal(lessor_renew(bench.lessor, 1, NOW_MS, &ttl_s), LEASE_RENEWED);
    assert_int_equal(ttl_s, 1000);
    struct lease_times times;
    assert_int_equal(lessor_times(bench.lessor, 1, NOW_MS, &times), ETCD_OK);
    assert_int_equal(times.remaining_s, 1000);
    bench_close(&bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_shortest_lease_is_one_and_a_half_election_timeouts),
        cmocka_unit_test(a_grant_is_checked_and_raised_to_the_minimum),
        cmocka_unit_test(a_candidate_id_is_positive_and_free),
        cmocka_unit_test(keys_follow_the_lease_of_their_last_put),
        cmocka_unit_test(a_late_detach_does_not_take_a_key_from_its_new_lease),
        cmocka_unit_test(a_revoke_forgets_lease_and_attachments),
        cmocka_unit_test(only_the_primary_counts_time),
        cmocka_unit_test(a_renewal_starts_the_ttl_anew),
        cmocka_unit_test(an_expired_lease_cannot_be_renewed_and_is_asked_for_again),
        cmocka_unit_test(expired_leases_come_in_order_and_in_portions),
        cmocka_unit_test(a_pile_up_is_spread_after_a_promotion),
        cmocka_unit_test(a_few_leases_are_not_put_off),
        cmocka_unit_test(leases_survive_a_restart_and_get_their_keys_back),
        cmocka_unit_test(the_stored_lease_is_etcds_byte_for_byte),
        cmocka_unit_test(a_broken_lease_row_is_reported),
        cmocka_unit_test(a_checkpoint_is_what_the_next_primary_starts_from),
        cmocka_unit_test(without_the_feature_nothing_is_checkpointed),
        cmocka_unit_test(a_renewal_clears_the_checkpoint_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
