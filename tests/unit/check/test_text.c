/* SPDX-License-Identifier: Apache-2.0 */
/* The text form: what is written reads back the same, and wrong lines are refused whole. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/check/check.h"
#include "tests/unit/check/lib_etcd.h"

static void read_all(struct history *history, struct bytes text)
{
    while (text.size > 0) {
        const uint8_t *end = memchr(text.data, '\n', text.size);
        size_t size = end == NULL ? text.size : (size_t)(end - text.data);
        struct err err;
        int rc = history_parse_line(history, bytes_of(text.data, size), &err);
        if (rc != 0) {
            fail_msg("%.*s: %s", (int)size, (const char *)text.data, err.text);
        }
        size += end != NULL;
        text = bytes_of(text.data + size, text.size - size);
    }
}

static void a_history_reads_back_as_it_was_written(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 50; seed++) {
        const struct world_options options = {.operations = 150,
                                              .clients = 5,
                                              .keys = 8,
                                              .unknown_percent = 20,
                                              .full_watch = seed % 2 == 0};
        struct history history, again;
        struct buf text, text_again;
        static struct check_verdict verdict, verdict_again;
        struct check_config config;
        history_init(&history);
        history_init(&again);
        buf_init(&text, BUF_NO_LIMIT);
        buf_init(&text_again, BUF_NO_LIMIT);
        check_config_init(&config);
        world_run(seed, &options, &history);

        history_print(&history, &text);
        read_all(&again, buf_bytes(&text));
        history_print(&again, &text_again);
        check_run(&history, &config, &verdict);
        check_run(&again, &config, &verdict_again);

        assert_int_equal(text.size, text_again.size);
        assert_memory_equal(text.data, text_again.data, text.size);
        assert_memory_equal(&verdict, &verdict_again, sizeof(verdict));
        buf_free(&text);
        buf_free(&text_again);
        history_free(&history);
        history_free(&again);
    }
}

static void bytes_of_any_kind_survive(void **state)
{
    (void)state;
    uint8_t all[256];
    for (size_t i = 0; i < sizeof(all); i++) {
        all[i] = (uint8_t)i;
    }
    struct history history, again;
    history_init(&history);
    history_init(&again);
    struct history_request put = {.kind = HISTORY_PUT,
                                  .key = history_intern(&history, bytes_of(all, sizeof(all))),
                                  .value = HISTORY_EMPTY};
    struct history_op op = {
        .outcome = HISTORY_UNKNOWN, .return_ns = HISTORY_NEVER, .request = &put};
    struct buf text;
    buf_init(&text, BUF_NO_LIMIT);

    history_add_op(&history, &op);
    history_print(&history, &text);
    read_all(&again, buf_bytes(&text));

    assert_int_equal(again.op_count, 1);
    assert_true(
        bytes_equal(history_bytes(&again, again.ops[0].request->key), bytes_of(all, sizeof(all))));
    assert_int_equal(again.ops[0].request->value, HISTORY_EMPTY);
    buf_free(&text);
    history_free(&history);
    history_free(&again);
}

static void wrong_lines_are_refused_whole(void **state)
{
    (void)state;
    static const char *const LINES[] = {
        "nonsense",
        "op",
        "op 1 10 20 ok a 1 2 put a",
        "op 1 10 20 ok a 1 2 put a 1",
        "op 1 10 20 ok a 1 2 put a 1 -> get 0",
        "op 1 10 20 ok a 1 2 put a 1 -> put x",
        "op 1 20 10 ok a 1 2 put a 1 -> put",
        "op 1 10 - ok a 1 2 put a 1 -> put",
        "op 1 10 20 ok a 1 99999999999999999999 put a 1 -> put",
        "op 1 10 20 good a 1 2 put a 1 -> put",
        "op 1 10 20 ok a 1 2 put a%2 1 -> put",
        "op 1 10 20 ok a 1 2 put a%zz 1 -> put",
        "op 1 10 20 unknown 0 0 0 txn [ mod = a % 2 ( ) ( )",
        "op 1 10 20 unknown 0 0 0 txn [ ] ( grant 1 2 ) ( )",
        "op 1 10 20 unknown 0 0 0 txn [ ] ( ) (",
        "op 1 10 20 ok a 1 2 txn [ ] ( put a 1 ) ( ) -> txn yes ( )",
        "op 1 10 20 ok a 1 2 txn [ ] ( ) ( ) -> txn maybe ( )",
        "watch 1 1 1 1 a % x",
        "watch 1 1 1 1 a % 1 often",
        "msg 1 1 a 1 put a 1 2 2 1",
        "msg 1 1 a 1 del a",
        "hash 1 a 1 1 123456789",
        "restart 1",
        "op 1 10 20 unknown 0 0 0 put  a 1",
    };
    struct history history;
    history_init(&history);

    for (size_t i = 0; i < ARRAY_COUNT(LINES); i++) {
        struct err err = {""};
        int rc = history_parse_line(&history, bytes_of_str(LINES[i]), &err);
        if (rc != E_INVALID) {
            fail_msg("accepted: %s", LINES[i]);
        }
        assert_true(err.text[0] != '\0');
    }

    assert_int_equal(history.op_count + history.watch_count + history.message_count +
                         history.hash_count + history.restart_count,
                     0);
    history_free(&history);
}

static void transactions_may_not_nest_without_end(void **state)
{
    (void)state;
    struct history history;
    struct buf line;
    struct err err;
    history_init(&history);
    buf_init(&line, BUF_NO_LIMIT);
    (void)buf_append_str(&line, "op 1 10 20 unknown 0 0 0");
    for (int i = 0; i < 100000; i++) {
        (void)buf_append_str(&line, " txn [ ] (");
    }

    assert_int_equal(history_parse_line(&history, buf_bytes(&line), &err), E_INVALID);

    buf_free(&line);
    history_free(&history);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_history_reads_back_as_it_was_written),
        cmocka_unit_test(bytes_of_any_kind_survive),
        cmocka_unit_test(wrong_lines_are_refused_whole),
        cmocka_unit_test(transactions_may_not_nest_without_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
