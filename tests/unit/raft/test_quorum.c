/* SPDX-License-Identifier: Apache-2.0 */
/* Majority arithmetic against its definition, for every configuration of one to nine voters. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "engine/raft/quorum.h"

/* The definition: the greatest value that more than half of the voters have reached. */
static uint64_t value_by_definition(const uint64_t *values, uint32_t count)
{
    uint64_t best = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t reached = 0;
        for (uint32_t k = 0; k < count; k++) {
            reached += values[k] >= values[i] ? 1u : 0u;
        }
        if (2 * reached > count && values[i] > best) {
            best = values[i];
        }
    }
    return best;
}

static void the_quorum_value_is_what_a_majority_has_reached(void **state)
{
    (void)state;
    for (uint32_t count = 1; count <= 9; count++) {
        uint32_t cases = 1;
        for (uint32_t i = 0; i < count; i++) {
            cases *= 4;
        }
        for (uint32_t code = 0; code < cases; code++) {
            uint64_t values[9];
            uint64_t scratch[9];
            for (uint32_t i = 0; i < count; i++) {
                values[i] = (code >> (2 * i)) & 3u;
                scratch[i] = values[i];
            }
            uint64_t got = raft_quorum_value(scratch, count);
            if (got != value_by_definition(values, count)) {
                fail_msg("count %u code %u: got %lu", count, code, (unsigned long)got);
            }
        }
    }
}

static void a_vote_is_won_by_more_than_half_and_lost_when_that_is_out_of_reach(void **state)
{
    (void)state;
    for (uint32_t voters = 1; voters <= 9; voters++) {
        for (uint32_t granted = 0; granted <= voters; granted++) {
            for (uint32_t rejected = 0; granted + rejected <= voters; rejected++) {
                enum raft_vote_result want = RAFT_VOTE_PENDING;
                if (2 * granted > voters) {
                    want = RAFT_VOTE_WON;
                } else if (2 * (voters - rejected) <= voters) {
                    want = RAFT_VOTE_LOST;
                }
                assert_int_equal(raft_quorum_vote(granted, rejected, voters), want);
            }
        }
    }
}

static void any_two_quorums_share_a_voter(void **state)
{
    (void)state;
    for (uint32_t voters = 1; voters <= 9; voters++) {
        assert_true(2 * raft_quorum_size(voters) > voters);
        assert_true(2 * (raft_quorum_size(voters) - 1) <= voters);
    }
}

static void without_voters_nothing_is_won_or_committed(void **state)
{
    (void)state;
    uint64_t nothing[1] = {7};
    assert_int_equal(raft_quorum_value(nothing, 0), 0);
    assert_int_equal(raft_quorum_vote(0, 0, 0), RAFT_VOTE_PENDING);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_quorum_value_is_what_a_majority_has_reached),
        cmocka_unit_test(a_vote_is_won_by_more_than_half_and_lost_when_that_is_out_of_reach),
        cmocka_unit_test(any_two_quorums_share_a_voter),
        cmocka_unit_test(without_voters_nothing_is_won_or_committed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
