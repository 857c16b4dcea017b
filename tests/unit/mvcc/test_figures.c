/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Prints what one thread reaches: puts, memory per key, counts, ranges, loading, compaction,
 * HashKV. MVCC_FIGURES_KEYS=1000000 for the real figures; speeds are never asserted, memory per key
 * is.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <cmocka.h>

#include "base/rng.h"
#include "engine/mvcc/kv.h"
#include "lib_request.h"
#include "lib_world.h"

#define KEYS_DEFAULT            20000u
#define BATCH_OPS               10000u
#define INDEX_BYTES_PER_KEY_MAX 130u

static double now_s(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static struct bytes key_of(uint64_t number, char out[48])
{
    int size = snprintf(out, 48, "/registry/pods/default/%09llu",
                        (unsigned long long)(number * 2654435761u % 1000000007u));
    return bytes_of(out, (size_t)size);
}

struct figures {
    struct world world;
    uint64_t keys;
    uint64_t index;
    double put_s;
    double commit_s;
};

static void put_all(struct figures *figures, const char *what)
{
    char text[48];
    uint8_t value[256] = {1, 2, 3};
    struct mvcc *mvcc = figures->world.mvcc;
    figures->put_s = figures->commit_s = 0;
    for (uint64_t done = 0; done < figures->keys;) {
        double start = now_s();
        for (uint64_t i = 0; i < BATCH_OPS && done < figures->keys; i++, done++) {
            mvcc_txn_begin(mvcc, &figures->world.batch);
            mvcc_txn_put(mvcc, key_of(done, text), bytes_of(value, sizeof(value)), 0);
            (void)mvcc_txn_end(mvcc);
        }
        double middle = now_s();
        world_commit(&figures->world, ++figures->index);
        figures->put_s += middle - start;
        figures->commit_s += now_s() - middle;
    }
    double keys = (double)figures->keys;
    printf("%-24s %8.0f puts/s on the state thread, %8.0f puts/s in the store\n", what,
           keys / figures->put_s, keys / figures->commit_s);
}

static void print_memory(const struct figures *figures, size_t heap_before)
{
    struct mvcc_stats stats;
    mvcc_stats_read(figures->world.mvcc, &stats);
    double keys = (double)stats.key_count;
    size_t heap = mallinfo2().uordblks - heap_before;
    printf("memory                   %.1f bytes per key accounted (key of 32 included), %.1f on "
           "the heap\n",
           (double)stats.index_bytes / keys, (double)heap / keys);
    assert_true(stats.index_bytes / stats.key_count < INDEX_BYTES_PER_KEY_MAX);
}

static void print_counts(struct figures *figures)
{
    struct mvcc *mvcc = figures->world.mvcc;
    struct key_span span =
        key_span_of(bytes_of_str("/registry/pods/"), bytes_of_str("/registry/pods0"));
    uint64_t sum = 0;
    double start = now_s();
    for (int i = 0; i < 10000; i++) {
        sum += mvcc_count(mvcc, &span, 0);
    }
    printf("count of all keys        %.2f us at the newest revision\n", (now_s() - start) * 100);
    assert_int_equal(sum, figures->keys * 10000);
    start = now_s();
    sum = mvcc_count(mvcc, &span, mvcc_revision(mvcc) - 1000);
    printf("                         %.0f us 1000 revisions ago\n", (now_s() - start) * 1e6);
    assert_int_equal(sum, figures->keys);
    start = now_s();
    sum = mvcc_count(mvcc, &span, (int64_t)figures->keys / 2);
    printf("                         %.0f us at an old revision (a walk)\n",
           (now_s() - start) * 1e6);
    assert_int_equal(sum, figures->keys / 2 - 1);
}

static void print_ranges(struct figures *figures)
{
    struct requests requests;
    struct buf body;
    int64_t revision;
    struct kv_env env = {figures->world.mvcc, NULL, NULL};
    requests_init(&requests);
    buf_init(&body, BUF_NO_LIMIT);
    Etcdserverpb__RangeRequest *request = range_of(&requests, "/registry/", FROM_KEY);
    for (int pass = 0; pass < 2; pass++) {
        request->keys_only = pass == 1;
        buf_clear(&body);
        double start = now_s();
        assert_int_equal(kv_range(&env, request, &body, &revision), 0);
        printf("range of all keys        %.2f us per key%s\n",
               (now_s() - start) * 1e6 / (double)figures->keys, pass == 1 ? ", keys only" : "");
    }
    request->keys_only = false;
    request->limit = 500;
    double start = now_s();
    for (int i = 0; i < 100; i++) {
        buf_clear(&body);
        assert_int_equal(kv_range(&env, request, &body, &revision), 0);
    }
    printf("page of 500 keys         %.0f us\n", (now_s() - start) * 1e4);
    char text[48];
    start = now_s();
    for (uint64_t i = 0; i < figures->keys; i++) {
        struct bytes record;
        assert_int_equal(mvcc_get_at(figures->world.mvcc, key_of(i, text), 0, &record), 0);
    }
    printf("get of one key           %.2f us\n", (now_s() - start) * 1e6 / (double)figures->keys);
    mvcc_release(figures->world.mvcc);
    requests_free(&requests);
    buf_free(&body);
}

static void print_maintenance(struct figures *figures)
{
    struct mvcc *mvcc = figures->world.mvcc;
    struct mvcc_hash hash;
    double start = now_s();
    assert_int_equal(mvcc_hash_kv(mvcc, 0, &hash), 0);
    printf("HashKV                   %.2f us per record\n",
           (now_s() - start) * 1e6 / (double)figures->keys / 2);
    mvcc_release(mvcc);
    assert_int_equal(mvcc_compact(mvcc, &figures->world.batch, mvcc_revision(mvcc)), 0);
    start = now_s();
    world_compact_all(&figures->world);
    double trimmed = now_s();
    world_commit(&figures->world, ++figures->index);
    printf("compaction               %.2f us per revision in the index, %.2f us in the store\n",
           (trimmed - start) * 1e6 / (double)figures->keys,
           (now_s() - trimmed) * 1e6 / (double)figures->keys);
    start = now_s();
    world_reopen(&figures->world, NULL);
    printf("load                     %.2f us per key\n",
           (now_s() - start) * 1e6 / (double)figures->keys);
}

static void figures_are_printed_and_memory_per_key_stays_small(void **state)
{
    (void)state;
    const char *keys = getenv("MVCC_FIGURES_KEYS");
    struct figures figures = {.keys = keys == NULL ? KEYS_DEFAULT : strtoull(keys, NULL, 10)};
    world_open(&figures.world, NULL);
    size_t heap_before = mallinfo2().uordblks;

    put_all(&figures, "new keys, random order");
    print_memory(&figures, heap_before);
    put_all(&figures, "second version");
    print_counts(&figures);
    print_ranges(&figures);
    print_maintenance(&figures);

    world_close(&figures.world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(figures_are_printed_and_memory_per_key_stays_small),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
