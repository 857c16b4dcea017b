/* SPDX-License-Identifier: Apache-2.0 */
/* Long histories: QUORATE_CHECK_SCALE operations, QUORATE_CHECK_FILE keeps the text of it. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/rng.h"
#include "tests/check/check.h"

#define KEYS       10000u
#define RANGE_KEYS 20u

/* Operations follow each other with overlap; one in fifty loses its answer. */
struct scale {
    struct history history;
    struct rng rng;
    struct history_kv keys[KEYS]; /* version 0: not there */
    int64_t revision;
    uint64_t now_ns, values;
};

static void say(struct scale *scale, const struct history_kv *kv, const struct history_kv *prev)
{
    struct history_event event = {.is_delete = kv->version == 0, .kv = *kv};
    if (event.is_delete) {
        event.kv.create_revision = 0;
    }
    event.has_prev = prev->version > 0;
    event.prev = *prev;
    history_add_message(&scale->history, &(struct history_message){.watch = 1,
                                                                   .time_ns = scale->now_ns + 5,
                                                                   .member = 1,
                                                                   .revision = scale->revision,
                                                                   .event_count = 1,
                                                                   .events = &event});
}

static uint32_t new_value(struct scale *scale)
{
    char text[32];
    (void)snprintf(text, sizeof(text), "value-%llu", (unsigned long long)scale->values++);
    return history_intern_str(&scale->history, text);
}

static void add(struct scale *scale, const struct history_request *request,
                const struct history_response *response)
{
    struct history_op op = {.invoke_ns = scale->now_ns,
                            .return_ns = scale->now_ns + 40,
                            .member = 1 + rng_below(&scale->rng, 3),
                            .term = 2,
                            .revision = scale->revision,
                            .client = (uint32_t)(scale->values % 10),
                            .request = request,
                            .response = response};
    if (response == NULL) {
        op.outcome = HISTORY_UNKNOWN;
        op.return_ns = HISTORY_NEVER;
        op.member = op.term = 0;
        op.revision = 0;
    }
    history_add_op(&scale->history, &op);
}

static void write_one(struct scale *scale, bool is_lost)
{
    struct history_kv *kv = &scale->keys[rng_below(&scale->rng, KEYS)];
    struct history_kv prev = *kv;
    bool is_delete = kv->version > 0 && rng_below(&scale->rng, 10) == 0;
    struct history_request request = {
        .kind = is_delete ? HISTORY_DELETE : HISTORY_PUT, .key = kv->key, .wants_prev_kv = true};
    struct history_response response = {.kv_count = prev.version > 0, .kvs = &prev};
    kv->mod_revision = ++scale->revision;
    if (is_delete) {
        response.count = 1;
        kv->version = kv->value = 0;
    } else {
        request.value = kv->value = new_value(scale);
        kv->create_revision = prev.version > 0 ? prev.create_revision : scale->revision;
        kv->version = prev.version + 1;
    }
    add(scale, &request, is_lost ? NULL : &response);
    say(scale, kv, &prev);
}

static void read_some(struct scale *scale, uint32_t keys)
{
    struct history_kv kvs[RANGE_KEYS];
    uint64_t first = rng_below(&scale->rng, KEYS - keys);
    struct history_request request = {.kind = HISTORY_RANGE, .key = scale->keys[first].key};
    struct history_response response = {.kvs = kvs};
    request.range_end = keys == 1 ? HISTORY_EMPTY : scale->keys[first + keys].key;
    request.is_serializable = rng_below(&scale->rng, 4) == 0;
    for (uint32_t i = 0; i < keys; i++) {
        if (scale->keys[first + i].version > 0) {
            kvs[response.kv_count++] = scale->keys[first + i];
        }
    }
    response.count = response.kv_count;
    add(scale, &request, &response);
}

static void update_by_txn(struct scale *scale)
{
    struct history_kv *kv = &scale->keys[rng_below(&scale->rng, KEYS)];
    struct history_kv prev = *kv;
    struct history_compare compare = {.target = HISTORY_TARGET_MOD,
                                      .key = kv->key,
                                      .number = kv->version > 0 ? kv->mod_revision : 0};
    struct history_request put = {.kind = HISTORY_PUT, .key = kv->key, .value = new_value(scale)};
    struct history_request get = {.kind = HISTORY_RANGE, .key = kv->key};
    struct history_request request = {.kind = HISTORY_TXN,
                                      .compare_count = 1,
                                      .compares = &compare,
                                      .then_count = 1,
                                      .then_requests = &put,
                                      .else_count = 1,
                                      .else_requests = &get};
    struct history_response nothing = {0};
    struct history_response response = {
        .succeeded = true, .response_count = 1, .responses = &nothing};
    kv->mod_revision = ++scale->revision;
    kv->create_revision = prev.version > 0 ? prev.create_revision : scale->revision;
    kv->version = prev.version + 1;
    kv->value = put.value;
    add(scale, &request, &response);
    say(scale, kv, &prev);
}

static void run(struct scale *scale, uint64_t operations)
{
    history_add_watch(
        &scale->history,
        &(struct history_watch){.id = 1,
                                .key = history_intern(&scale->history, bytes_of("\0", 1)),
                                .range_end = history_intern(&scale->history, bytes_of("\0", 1)),
                                .start_revision = 1,
                                .wants_prev_kv = true});
    for (uint32_t i = 0; i < KEYS; i++) {
        char text[32];
        (void)snprintf(text, sizeof(text), "/registry/pods/%05u", i);
        scale->keys[i].key = history_intern_str(&scale->history, text);
    }
    for (uint64_t i = 0; i < operations; i++) {
        uint64_t which = rng_below(&scale->rng, 100);
        scale->now_ns += 50;
        if (which < 45) {
            write_one(scale, rng_below(&scale->rng, 50) == 0);
        } else if (which < 55) {
            update_by_txn(scale);
        } else {
            read_some(scale, which < 60 ? RANGE_KEYS : 1);
        }
    }
}

static void keep_text(const struct history *history)
{
    const char *path = getenv("QUORATE_CHECK_FILE");
    if (path == NULL) {
        return;
    }
    struct buf text;
    buf_init(&text, BUF_NO_LIMIT);
    history_print(history, &text);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_int_equal(fwrite(text.data, 1, text.size, file), text.size);
    assert_int_equal(fclose(file), 0);
    buf_free(&text);
}

static void a_long_history_is_judged_whole(void **state)
{
    (void)state;
    const char *text = getenv("QUORATE_CHECK_SCALE");
    uint64_t operations = text == NULL ? 100000 : strtoull(text, NULL, 10);
    struct scale *scale = mem_zalloc(sizeof(*scale));
    struct check_verdict *verdict = mem_zalloc(sizeof(*verdict));
    struct check_config config;
    history_init(&scale->history);
    rng_seed(&scale->rng, 1);
    scale->revision = 1;
    check_config_init(&config);
    run(scale, operations);
    keep_text(&scale->history);

    check_run(&scale->history, &config, verdict);

    if (verdict->violation_count > 0) {
        fail_msg("%s: %s", check_name_text(verdict->violations[0].name),
                 verdict->violations[0].story);
    }
    assert_int_equal(verdict->operations, operations);
    assert_int_equal(verdict->unknown, verdict->unknown_placed);
    assert_int_equal(verdict->undecided, 0);
    assert_int_equal(verdict->last_revision, scale->revision);
    history_free(&scale->history);
    mem_free(verdict);
    mem_free(scale);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_long_history_is_judged_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
