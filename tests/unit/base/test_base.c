/* SPDX-License-Identifier: Apache-2.0 */
/* The shared library: buffers and their limits, maps and heaps against simple models, CRC, flags.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/crc32c.h"
#include "base/flags.h"
#include "base/heap.h"
#include "base/list.h"
#include "base/map.h"
#include "base/metrics.h"
#include "base/rng.h"

static void a_buffer_never_grows_past_its_limit(void **state)
{
    (void)state;
    struct buf buf;
    buf_init(&buf, 10);

    assert_int_equal(buf_append(&buf, "12345678", 8), 0);
    assert_int_equal(buf_append(&buf, "abc", 3), E_TOO_BIG);
    assert_true(buf.overflowed);
    assert_int_equal(buf.size, 8);
    assert_int_equal(buf_append(&buf, "ab", 2), 0);
    assert_string_equal(buf_cstr(&buf), "12345678ab");
    buf_consume(&buf, 3);
    assert_string_equal(buf_cstr(&buf), "45678ab");
    buf_free(&buf);
}

static void an_arena_stops_at_its_limit_and_keeps_what_it_gave(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, 100000);
    struct bytes first = arena_copy(&arena, bytes_of("hello", 5));

    for (int i = 0; i < 50; i++) {
        assert_non_null(arena_alloc(&arena, 1600));
    }

    assert_null(arena_alloc(&arena, 50000));
    assert_memory_equal(first.data, "hello", 5);
    arena_free(&arena);
}

static void map_agrees_with_a_plain_array(uint64_t seed)
{
    struct rng rng;
    struct map map;
    static int values[500];
    void *model[500] = {0};
    size_t model_count = 0;
    rng_seed(&rng, 7);
    map_init(&map);
    if (seed != 0) {
        map_init_seeded(&map, seed);
    }

    for (int step = 0; step < 100000; step++) {
        size_t key = rng_below(&rng, 500);
        char text[32];
        struct bytes bytes = bytes_of(
            text, (size_t)snprintf(text, sizeof(text), "%zu%s", key, key % 3 ? "" : "-a-long-key"));
        if (rng_below(&rng, 2) == 0) {
            void *old = map_set(&map, bytes, &values[key]);
            assert_ptr_equal(old, model[key]);
            model_count += model[key] == NULL;
            model[key] = &values[key];
        } else {
            assert_ptr_equal(map_remove(&map, bytes), model[key]);
            model_count -= model[key] != NULL;
            model[key] = NULL;
        }
        assert_int_equal(map.count, model_count);
    }

    size_t cursor = 0;
    size_t seen = 0;
    void *value;
    while (map_next(&map, &cursor, NULL, &value)) {
        seen++;
    }
    assert_int_equal(seen, model_count);
    map_free(&map);
}

static void a_map_agrees_with_a_plain_array(void **state)
{
    (void)state;
    map_agrees_with_a_plain_array(0);
    map_agrees_with_a_plain_array(1);
    map_agrees_with_a_plain_array(UINT64_MAX);
}

/* Where the keys of a map lie: the order of a walk. */
static void walk_order(uint64_t seed, char out[65])
{
    struct map map;
    size_t cursor = 0;
    struct bytes key;
    void *value;
    size_t count = 0;
    map_init_seeded(&map, seed);
    for (uint64_t i = 0; i < 64; i++) {
        (void)map_set_u64(&map, i << 32, out);
    }
    while (map_next(&map, &cursor, &key, &value)) {
        out[count++] = (char)('0' + key.data[3]);
    }
    out[count] = '\0';
    map_free(&map);
}

static void a_seed_alone_says_where_keys_lie(void **state)
{
    (void)state;
    char first[65];
    char again[65];
    char other[65];
    walk_order(1, first);
    walk_order(1, again);
    walk_order(2, other);
    assert_string_equal(first, again);
    assert_string_not_equal(first, other);
}

static void a_heap_gives_the_smallest_key_first(void **state)
{
    (void)state;
    struct rng rng;
    struct heap heap;
    struct heap_node nodes[300];
    rng_seed(&rng, 3);
    heap_init(&heap);
    for (size_t i = 0; i < 300; i++) {
        heap_node_init(&nodes[i]);
        heap_set(&heap, &nodes[i], rng_below(&rng, 1000));
    }
    for (size_t i = 0; i < 300; i += 3) {
        heap_set(&heap, &nodes[i], rng_below(&rng, 1000));
        heap_remove(&heap, &nodes[i + 1]);
    }

    uint64_t last = 0;
    size_t count = 0;
    while (heap_top(&heap) != NULL) {
        struct heap_node *top = heap_top(&heap);
        assert_true(top->key >= last);
        last = top->key;
        heap_remove(&heap, top);
        count++;
    }

    assert_int_equal(count, 200);
    heap_free(&heap);
}

static void crc32c_has_the_published_check_value(void **state)
{
    (void)state;
    assert_int_equal(crc32c(0, "123456789", 9), 0xe3069283u);
    uint32_t split = crc32c(crc32c(0, "1234", 4), "56789", 5);
    assert_int_equal(split, 0xe3069283u);
    assert_int_equal(crc32c(0, "", 0), 0);
}

static void durations_read_as_in_go(void **state)
{
    (void)state;
    int64_t ms = -1;
    assert_int_equal(flags_parse_duration_ms("1h30m", &ms), 0);
    assert_int_equal(ms, 5400000);
    assert_int_equal(flags_parse_duration_ms("1.5s", &ms), 0);
    assert_int_equal(ms, 1500);
    assert_int_equal(flags_parse_duration_ms("100ms", &ms), 0);
    assert_int_equal(ms, 100);
    assert_int_equal(flags_parse_duration_ms("0", &ms), 0);
    assert_int_equal(ms, 0);
    assert_int_equal(flags_parse_duration_ms("10", &ms), E_INVALID);
    assert_int_equal(flags_parse_duration_ms("", &ms), E_INVALID);
    assert_int_equal(flags_parse_duration_ms("5 s", &ms), E_INVALID);
}

static void the_command_line_wins_over_the_environment(void **state)
{
    (void)state;
    const char *name = "default";
    bool verbose = false;
    uint64_t count = 5;
    struct flag flags[] = {
        {.name = "name", .type = FLAG_STRING, .target = &name},
        {.name = "verbose", .type = FLAG_BOOL, .target = &verbose},
        {.name = "snapshot-count", .type = FLAG_UINT, .target = &count},
    };
    char *argv[] = {(char *)"prog", (char *)"--name=given", (char *)"-verbose", (char *)"rest"};
    int rest;
    struct err err;
    setenv("BASETEST_NAME", "env", 1);
    setenv("BASETEST_SNAPSHOT_COUNT", "77", 1);

    assert_int_equal(flags_parse(flags, 3, "BASETEST_", 4, argv, &rest, &err), 0);

    assert_string_equal(name, "given");
    assert_true(verbose);
    assert_int_equal(count, 77);
    assert_true(flags[2].from_env);
    assert_int_equal(rest, 3);
}

static void a_wrong_flag_is_named(void **state)
{
    (void)state;
    uint64_t count = 5;
    struct flag flags[] = {{.name = "count", .type = FLAG_UINT, .target = &count}};
    char *unknown[] = {(char *)"prog", (char *)"--cuont=1"};
    char *negative[] = {(char *)"prog", (char *)"--count", (char *)"-1"};
    int rest;
    struct err err;

    assert_int_equal(flags_parse(flags, 1, NULL, 2, unknown, &rest, &err), E_INVALID);
    assert_non_null(strstr(err.text, "-cuont"));
    assert_int_equal(flags_parse(flags, 1, NULL, 3, negative, &rest, &err), E_INVALID);
    assert_non_null(strstr(err.text, "count"));
    assert_int_equal(count, 5);
}

static void an_error_gains_context_outwards(void **state)
{
    (void)state;
    struct err err;
    int rc = err_set(&err, E_CORRUPT, "short read");
    rc = err_wrap(&err, rc, "open %s", "a.snap");
    assert_int_equal(rc, E_CORRUPT);
    assert_string_equal(err.text, "open a.snap: short read");
}

static void metrics_are_written_in_the_text_format(void **state)
{
    (void)state;
    static const double bounds[] = {0.5, 1};
    struct metric gauge = {
        .name = "b_gauge", .help = "A gauge.", .type = METRIC_GAUGE, .labels = "x=\"1\""};
    struct metric histogram = {.name = "a_seconds",
                               .help = "Time.",
                               .type = METRIC_HISTOGRAM,
                               .bounds = bounds,
                               .bound_count = 2};
    struct buf out;
    buf_init(&out, 4096);
    metric_register(&gauge);
    metric_register(&histogram);
    metric_set(&gauge, -3);
    metric_observe(&histogram, 700000000);
    metric_observe(&histogram, 2000000000);

    metrics_write(&out);

    assert_string_equal(buf_cstr(&out),
                        "# HELP a_seconds Time.\n# TYPE a_seconds histogram\n"
                        "a_seconds_bucket{le=\"0.5\"} 0\na_seconds_bucket{le=\"1\"} 1\n"
                        "a_seconds_bucket{le=\"+Inf\"} 2\na_seconds_sum 2.7\na_seconds_count 2\n"
                        "# HELP b_gauge A gauge.\n# TYPE b_gauge gauge\nb_gauge{x=\"1\"} -3\n");
    metric_unregister(&gauge);
    metric_unregister(&histogram);
    buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_buffer_never_grows_past_its_limit),
        cmocka_unit_test(an_arena_stops_at_its_limit_and_keeps_what_it_gave),
        cmocka_unit_test(a_map_agrees_with_a_plain_array),
        cmocka_unit_test(a_seed_alone_says_where_keys_lie),
        cmocka_unit_test(a_heap_gives_the_smallest_key_first),
        cmocka_unit_test(crc32c_has_the_published_check_value),
        cmocka_unit_test(durations_read_as_in_go),
        cmocka_unit_test(the_command_line_wins_over_the_environment),
        cmocka_unit_test(a_wrong_flag_is_named),
        cmocka_unit_test(an_error_gains_context_outwards),
        cmocka_unit_test(metrics_are_written_in_the_text_format),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
