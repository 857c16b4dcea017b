/* SPDX-License-Identifier: Apache-2.0 */
/* The log in memory: every truncation of small logs, backtracking against its definition, the ring.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "engine/raft/log.h"

static void put(struct raft_log *log, uint64_t term)
{
    uint8_t byte = (uint8_t)(log->last_index + 1);
    struct raft_payload *payload = raft_payload_new(bytes_of(&byte, 1));
    struct raft_entry entry = {.index = log->last_index + 1, .term = term, .payload = payload};
    raft_log_append(log, &entry);
    raft_payload_unref(payload);
}

static void every_truncation_of_a_small_log_keeps_what_is_before(void **state)
{
    (void)state;
    for (uint64_t size = 1; size <= 8; size++) {
        for (uint64_t compacted = 0; compacted < size; compacted++) {
            for (uint64_t commit = compacted; commit <= size; commit++) {
                for (uint64_t cut = commit + 1; cut <= size; cut++) {
                    struct raft_log log;
                    raft_log_init(&log, 0, 0);
                    for (uint64_t i = 1; i <= size; i++) {
                        put(&log, (i + 1) / 2);
                    }
                    log.emitted = size;
                    log.persisted = size - 1;
                    raft_log_commit_to(&log, commit);
                    if (compacted > 0) {
                        raft_log_compact(&log, compacted);
                    }

                    raft_log_truncate(&log, cut);

                    uint64_t term = 0;
                    assert_int_equal(log.last_index, cut - 1);
                    assert_true(log.persisted <= log.emitted && log.emitted <= log.last_index);
                    assert_int_equal(log.commit, commit);
                    assert_false(raft_log_term(&log, cut, &term));
                    for (uint64_t i = compacted + 1; i < cut; i++) {
                        assert_true(raft_log_matches(&log, i, (i + 1) / 2));
                        assert_int_equal(raft_log_at(&log, i)->payload->data[0], i);
                    }
                    assert_true(raft_log_matches(&log, compacted, (compacted + 1) / 2));
                    raft_log_free(&log);
                }
            }
        }
    }
}

static void backtracking_finds_the_last_place_that_may_agree(void **state)
{
    (void)state;
    /* All logs of six entries with terms 1 to 4 that never fall, compacted at 0 to 2. */
    for (uint32_t code = 0; code < 4096; code++) {
        uint64_t terms[7] = {0};
        bool rising = true;
        for (uint32_t i = 1; i <= 6; i++) {
            terms[i] = 1 + ((code >> (2 * (i - 1))) & 3u);
            rising = rising && terms[i] >= terms[i - 1];
        }
        for (uint64_t mark = 0; rising && mark <= 2; mark++) {
            struct raft_log log;
            raft_log_init(&log, 0, 0);
            for (uint32_t i = 1; i <= 6; i++) {
                put(&log, terms[i]);
            }
            if (mark > 0) {
                raft_log_compact(&log, mark);
            }
            for (uint64_t index = mark; index <= 8; index++) {
                for (uint64_t term = 0; term <= 5; term++) {
                    uint64_t want = index < 6 ? index : 6;
                    while (want > mark && terms[want] > term) {
                        want--;
                    }
                    bool below = terms[want] > term;
                    uint64_t got_term = 99;
                    uint64_t got = raft_log_find_conflict_by_term(&log, index, term, &got_term);
                    assert_int_equal(got, below ? want - 1 : want);
                    assert_int_equal(got_term, below ? 0 : terms[want]);
                }
            }
            raft_log_free(&log);
        }
    }
}

static void the_ring_goes_round_and_grows(void **state)
{
    (void)state;
    struct raft_log log;
    raft_log_init(&log, 1000, 7);
    for (int round = 0; round < 50; round++) {
        for (int i = 0; i < 37; i++) {
            put(&log, 7);
        }
        raft_log_compact(&log, log.last_index - 20);
    }
    assert_int_equal(log.last_index, 1000 + 50 * 37);
    assert_int_equal(log.capacity, 64);
    for (int i = 0; i < 200; i++) {
        put(&log, 8);
    }
    for (uint64_t i = log.mark_index + 1; i <= log.last_index; i++) {
        assert_int_equal(raft_log_at(&log, i)->payload->data[0], (uint8_t)i);
    }
    raft_log_free(&log);
}

static void a_log_is_up_to_date_by_term_first(void **state)
{
    (void)state;
    struct raft_log log;
    raft_log_init(&log, 4, 2);
    put(&log, 3);
    assert_true(raft_log_is_up_to_date(&log, 5, 3));
    assert_true(raft_log_is_up_to_date(&log, 6, 3));
    assert_true(raft_log_is_up_to_date(&log, 1, 4));
    assert_false(raft_log_is_up_to_date(&log, 4, 3));
    assert_false(raft_log_is_up_to_date(&log, 99, 2));
    raft_log_free(&log);
}

static void a_restored_log_starts_at_the_mark(void **state)
{
    (void)state;
    struct raft_log log;
    raft_log_init(&log, 0, 0);
    for (int i = 0; i < 5; i++) {
        put(&log, 1);
    }
    raft_log_restore(&log, 100, 9);
    assert_int_equal(log.last_index, 100);
    assert_int_equal(log.commit, 100);
    assert_true(raft_log_matches(&log, 100, 9));
    assert_false(raft_log_matches(&log, 5, 1));
    put(&log, 9);
    assert_int_equal(raft_log_at(&log, 101)->term, 9);
    raft_log_free(&log);
}

static void a_batch_has_at_least_one_entry_and_at_most_its_bytes(void **state)
{
    (void)state;
    struct raft_log log;
    raft_log_init(&log, 0, 0);
    for (int i = 0; i < 10; i++) {
        put(&log, 1);
    }
    assert_int_equal(raft_log_count_within(&log, 1, 10, 0), 1);
    assert_int_equal(raft_log_count_within(&log, 1, 10, 50), 2);
    assert_int_equal(raft_log_count_within(&log, 8, 10, 1000), 3);
    assert_int_equal(raft_log_count_within(&log, 11, 10, 1000), 0);
    raft_log_free(&log);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_truncation_of_a_small_log_keeps_what_is_before),
        cmocka_unit_test(backtracking_finds_the_last_place_that_may_agree),
        cmocka_unit_test(the_ring_goes_round_and_grows),
        cmocka_unit_test(a_log_is_up_to_date_by_term_first),
        cmocka_unit_test(a_restored_log_starts_at_the_mark),
        cmocka_unit_test(a_batch_has_at_least_one_entry_and_at_most_its_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
