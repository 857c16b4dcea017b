/* SPDX-License-Identifier: Apache-2.0 */
/* A cluster of one: elects itself, and commits nothing that its disk does not hold. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/err.h"
#include "engine/raft/raft.h"

static struct raft *single_new(bool pre_vote)
{
    struct raft_config config = {
        .id = 1,
        .election_ticks = 10,
        .heartbeat_ticks = 1,
        .pre_vote = pre_vote,
        .check_quorum = true,
        .max_message_bytes = RAFT_MAX_MESSAGE_BYTES_DEFAULT,
        .max_inflight = RAFT_MAX_INFLIGHT_DEFAULT,
        .mark = {.conf_state = {.voters = {1}, .voter_count = 1}},
    };
    return raft_new(&config);
}

static struct raft_status status_of(const struct raft *raft)
{
    struct raft_status status;
    raft_status(raft, &status);
    return status;
}

static struct raft_payload *payload_of(const char *text)
{
    return raft_payload_new(bytes_of_str(text));
}

static struct raft *single_leader(bool pre_vote)
{
    struct raft *raft = single_new(pre_vote);
    struct raft_effects effects;
    raft_campaign(raft);
    for (int i = 0; i < 4 && raft_take_effects(raft, &effects); i++) {
        if (effects.has_persist) {
            raft_persisted(raft, effects.persist_ticket);
        }
        if (effects.committed_count > 0) {
            raft_applied(raft, effects.committed[effects.committed_count - 1].index);
        }
    }
    assert_int_equal(status_of(raft).role, RAFT_LEADER);
    assert_int_equal(status_of(raft).applied_index, 1);
    return raft;
}

static void a_single_member_leads_only_after_its_vote_is_durable(void **state)
{
    (void)state;
    struct raft *raft = single_new(true);
    struct raft_effects effects;

    raft_campaign(raft);
    assert_true(raft_take_effects(raft, &effects));
    assert_true(effects.must_sync);
    assert_int_equal(effects.hard_state.term, 1);
    assert_int_equal(effects.hard_state.vote, 1);
    uint64_t ticket = effects.persist_ticket;
    (void)raft_take_effects(raft, &effects);
    assert_int_equal(status_of(raft).role, RAFT_CANDIDATE);

    raft_persisted(raft, ticket);
    assert_true(raft_take_effects(raft, &effects));
    assert_int_equal(status_of(raft).role, RAFT_LEADER);
    assert_true(effects.role_changed);
    raft_free(raft);
}

static void nothing_is_committed_before_it_is_durable(void **state)
{
    (void)state;
    struct raft *raft = single_leader(false);
    struct raft_effects effects;
    struct raft_payload *payload = payload_of("a");

    assert_int_equal(raft_propose(raft, &payload, 1), E_OK);
    assert_true(raft_take_effects(raft, &effects));
    assert_int_equal(effects.entry_count, 1);
    assert_int_equal(effects.committed_count, 0);
    uint64_t ticket = effects.persist_ticket;
    assert_int_equal(status_of(raft).commit_index, 1);

    raft_persisted(raft, ticket);
    assert_int_equal(status_of(raft).commit_index, 2);
    assert_true(raft_take_effects(raft, &effects));
    assert_int_equal(effects.committed_count, 1);
    assert_memory_equal(effects.committed[0].payload->data, "a", 1);
    raft_free(raft);
}

static void flushes_in_flight_commit_in_their_order(void **state)
{
    (void)state;
    struct raft *raft = single_leader(true);
    struct raft_effects effects;
    uint64_t tickets[3];
    for (int i = 0; i < 3; i++) {
        struct raft_payload *payload = payload_of("x");
        assert_int_equal(raft_propose(raft, &payload, 1), E_OK);
        assert_true(raft_take_effects(raft, &effects));
        tickets[i] = effects.persist_ticket;
    }

    raft_persisted(raft, tickets[1]);
    assert_int_equal(status_of(raft).commit_index, 3);
    raft_persisted(raft, tickets[0]);
    assert_int_equal(status_of(raft).commit_index, 3);
    raft_persisted(raft, tickets[2]);
    assert_int_equal(status_of(raft).commit_index, 4);
    raft_free(raft);
}

static void a_read_before_the_first_commit_of_the_term_waits_for_it(void **state)
{
    (void)state;
    struct raft *raft = single_new(false);
    struct raft_effects effects;
    raft_campaign(raft);
    assert_true(raft_take_effects(raft, &effects));
    raft_persisted(raft, effects.persist_ticket);
    assert_true(raft_take_effects(raft, &effects)); /* leader, no-op not durable */

    assert_int_equal(raft_read_index(raft, bytes_of_str("read")), E_OK);
    uint64_t ticket = effects.persist_ticket;
    (void)raft_take_effects(raft, &effects);
    assert_int_equal(effects.read_count, 0);

    raft_persisted(raft, ticket);
    assert_true(raft_take_effects(raft, &effects));
    assert_int_equal(effects.read_count, 1);
    assert_int_equal(effects.reads[0].index, 1);
    assert_int_equal(effects.reads[0].context_size, 4);
    raft_free(raft);
}

static void the_last_voter_is_never_removed(void **state)
{
    (void)state;
    struct raft *raft = single_leader(true);
    struct raft_conf_state conf;

    raft_apply_conf_change(raft, &(struct raft_conf_change){RAFT_CONF_REMOVE_NODE, 1}, &conf);

    assert_int_equal(conf.voter_count, 1);
    assert_int_equal(status_of(raft).role, RAFT_LEADER);
    raft_free(raft);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_single_member_leads_only_after_its_vote_is_durable),
        cmocka_unit_test(nothing_is_committed_before_it_is_durable),
        cmocka_unit_test(flushes_in_flight_commit_in_their_order),
        cmocka_unit_test(a_read_before_the_first_commit_of_the_term_waits_for_it),
        cmocka_unit_test(the_last_voter_is_never_removed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
