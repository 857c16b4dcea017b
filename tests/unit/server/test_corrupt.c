/* SPDX-License-Identifier: Apache-2.0 */
/* Who is to blame for hashes that differ. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/server/corrupt.h"

#define LEADER 1

static struct member_hash said(uint64_t id, uint32_t hash, int64_t compacted, int64_t current)
{
    return (struct member_hash){id, true, current, {hash, 10, compacted}};
}

static void members_that_agree_are_left_alone(void **state)
{
    (void)state;
    const struct key_hash own = {7, 10, 3};
    const struct member_hash peers[] = {said(2, 7, 3, 10), said(3, 7, 3, 10)};
    uint64_t ids[4];
    bool complete;
    assert_int_equal(corrupt_judge_now(LEADER, &own, &own, peers, 2, ids), 0);
    assert_int_equal(corrupt_judge_compaction(LEADER, &own, peers, 2, ids, &complete), 0);
    assert_true(complete);
}

static void a_peer_with_another_hash_is_named(void **state)
{
    (void)state;
    const struct key_hash own = {7, 10, 3};
    const struct member_hash peers[] = {said(2, 7, 3, 10), said(3, 8, 3, 10)};
    uint64_t ids[4];
    bool complete;
    assert_int_equal(corrupt_judge_now(LEADER, &own, &own, peers, 2, ids), 1);
    assert_int_equal(ids[0], 3);
    assert_int_equal(corrupt_judge_compaction(LEADER, &own, peers, 2, ids, &complete), 1);
    assert_int_equal(ids[0], 3);
}

static void a_peer_that_is_silent_or_compacted_elsewhere_is_not_compared(void **state)
{
    (void)state;
    const struct key_hash own = {7, 10, 3};
    struct member_hash peers[] = {said(2, 8, 2, 10), said(3, 9, 3, 10)};
    uint64_t ids[4];
    bool complete = true;
    peers[1].answered = false;
    assert_int_equal(corrupt_judge_now(LEADER, &own, &own, peers, 2, ids), 0);
    assert_int_equal(corrupt_judge_compaction(LEADER, &own, peers, 2, ids, &complete), 0);
    assert_false(complete);
}

static void a_peer_ahead_of_its_leader_is_named(void **state)
{
    (void)state;
    const struct key_hash own = {7, 10, 3};
    const struct member_hash peers[] = {said(2, 7, 3, 11), said(3, 7, 4, 10)};
    uint64_t ids[4];
    assert_int_equal(corrupt_judge_now(LEADER, &own, &own, peers, 2, ids), 2);
    assert_int_equal(ids[0], 2);
    assert_int_equal(ids[1], 3);
}

static void a_leader_whose_hash_changes_by_itself_is_named(void **state)
{
    (void)state;
    const struct key_hash before = {7, 10, 3};
    const struct key_hash after = {8, 10, 3};
    const struct key_hash later = {8, 11, 3}; /* something was put meanwhile */
    uint64_t ids[4];
    assert_int_equal(corrupt_judge_now(LEADER, &before, &after, NULL, 0, ids), 1);
    assert_int_equal(ids[0], LEADER);
    assert_int_equal(corrupt_judge_now(LEADER, &before, &later, NULL, 0, ids), 0);
}

static void the_majority_is_right_also_against_the_leader(void **state)
{
    (void)state;
    const struct key_hash own = {7, 10, 3};
    const struct member_hash peers[] = {said(2, 8, 3, 10), said(3, 8, 3, 10)};
    uint64_t ids[4];
    bool complete;
    assert_int_equal(corrupt_judge_compaction(LEADER, &own, peers, 2, ids, &complete), 1);
    assert_int_equal(ids[0], LEADER);
}

static void without_a_majority_nobody_knows_who_is_right(void **state)
{
    (void)state;
    const struct key_hash own = {7, 10, 3};
    const struct member_hash peers[] = {said(2, 8, 3, 10), said(3, 9, 3, 10)};
    uint64_t ids[4];
    bool complete;
    assert_int_equal(corrupt_judge_compaction(LEADER, &own, peers, 2, ids, &complete), 1);
    assert_int_equal(ids[0], 0);
    assert_int_equal(corrupt_judge_compaction(LEADER, &own, peers, 1, ids, &complete), 1);
    assert_int_equal(ids[0], 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(members_that_agree_are_left_alone),
        cmocka_unit_test(a_peer_with_another_hash_is_named),
        cmocka_unit_test(a_peer_that_is_silent_or_compacted_elsewhere_is_not_compared),
        cmocka_unit_test(a_peer_ahead_of_its_leader_is_named),
        cmocka_unit_test(a_leader_whose_hash_changes_by_itself_is_named),
        cmocka_unit_test(the_majority_is_right_also_against_the_leader),
        cmocka_unit_test(without_a_majority_nobody_knows_who_is_right),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
