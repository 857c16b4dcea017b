/* SPDX-License-Identifier: Apache-2.0 */
/* Elections, PreVote, CheckQuorum, the lease and leadership transfer, message by message. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/err.h"
#include "lib_rig.h"

#define TRANSFER_CONTEXT .context_size = 16, .context = "CampaignTransfer"

/* A follower of leader 2 in term 5 with entries 1 and 2. */
static struct rig *follower(void)
{
    struct rig *rig = rig_new(3, RAFT_NO_ID);
    rig_step(rig, (struct raft_message){.type = RAFT_MSG_APP,
                                        .from = 2,
                                        .term = 5,
                                        .entries = rig_entries(1, 2, 5),
                                        .entry_count = 2});
    assert_int_equal(rig_status(rig).leader, 2);
    rig_forget(rig);
    return rig;
}

static void a_vote_leaves_only_after_it_is_durable(void **state)
{
    (void)state;
    struct rig *rig = rig_new(3, RAFT_NO_ID);
    rig->hold_disk = true;

    rig_step(rig, (struct raft_message){.type = RAFT_MSG_VOTE, .from = 2, .term = 3});
    assert_null(rig_sent(rig, RAFT_MSG_VOTE_RESP, 2));

    rig_flush(rig);
    assert_non_null(rig_sent(rig, RAFT_MSG_VOTE_RESP, 2));
    assert_false(rig_sent(rig, RAFT_MSG_VOTE_RESP, 2)->reject);
    rig_free(rig);
}

static void one_vote_per_term_also_after_a_restart(void **state)
{
    (void)state;
    struct raft_config config = {
        .hard_state = {.term = 3, .vote = 2},
        .mark = {.conf_state = {.voters = {1, 2, 3}, .voter_count = 3}},
    };
    struct rig *rig = rig_new_with(config);

    rig_step(rig, (struct raft_message){.type = RAFT_MSG_VOTE, .from = 3, .term = 3});
    rig_step(rig, (struct raft_message){.type = RAFT_MSG_VOTE, .from = 2, .term = 3});

    assert_true(rig_sent(rig, RAFT_MSG_VOTE_RESP, 3)->reject);
    assert_false(rig_sent(rig, RAFT_MSG_VOTE_RESP, 2)->reject);
    rig_free(rig);
}

static void a_shorter_or_older_log_gets_no_vote(void **state)
{
    (void)state;
    static const struct {
        uint64_t index, term;
        bool reject;
    } CASES[] = {{1, 5, true}, {9, 4, true}, {2, 5, false}, {3, 5, false}, {1, 6, false}};
    for (size_t i = 0; i < ARRAY_COUNT(CASES); i++) {
        struct rig *rig = follower();
        rig_step(rig, (struct raft_message){.type = RAFT_MSG_VOTE,
                                            .from = 3,
                                            .term = 7,
                                            .index = CASES[i].index,
                                            .log_term = CASES[i].term,
                                            TRANSFER_CONTEXT});
        assert_int_equal(rig_sent(rig, RAFT_MSG_VOTE_RESP, 3)->reject, CASES[i].reject);
        rig_free(rig);
    }
}

static void a_lease_ignores_votes_but_not_a_transfer(void **state)
{
    (void)state;
    struct rig *rig = follower();

    rig_step(rig, (struct raft_message){
                      .type = RAFT_MSG_VOTE, .from = 3, .term = 7, .index = 2, .log_term = 5});
    assert_int_equal(rig->sent_count, 0);
    assert_int_equal(rig_status(rig).term, 5);

    rig_step(rig, (struct raft_message){.type = RAFT_MSG_VOTE,
                                        .from = 3,
                                        .term = 7,
                                        .index = 2,
                                        .log_term = 5,
                                        TRANSFER_CONTEXT});
    assert_int_equal(rig_status(rig).term, 7);
    rig_free(rig);
}

static void a_pre_vote_changes_nothing_and_is_answered_in_the_term_asked_for(void **state)
{
    (void)state;
    struct rig *rig = rig_new(3, RAFT_NO_ID);

    rig_step(rig, (struct raft_message){.type = RAFT_MSG_PRE_VOTE, .from = 2, .term = 9});

    assert_int_equal(rig_status(rig).term, 0);
    assert_int_equal(rig_status(rig).vote, RAFT_NO_ID);
    assert_int_equal(rig_sent(rig, RAFT_MSG_PRE_VOTE_RESP, 2)->term, 9);
    assert_false(rig_sent(rig, RAFT_MSG_PRE_VOTE_RESP, 2)->reject);
    rig_free(rig);
}

static void an_old_pre_vote_is_refused_with_the_own_term(void **state)
{
    (void)state;
    struct rig *rig = follower();

    rig_step(rig, (struct raft_message){.type = RAFT_MSG_PRE_VOTE, .from = 3, .term = 4});

    assert_true(rig_sent(rig, RAFT_MSG_PRE_VOTE_RESP, 3)->reject);
    assert_int_equal(rig_sent(rig, RAFT_MSG_PRE_VOTE_RESP, 3)->term, 5);
    rig_free(rig);
}

static void a_pre_candidate_keeps_its_term_until_it_has_won(void **state)
{
    (void)state;
    struct rig *rig = follower();
    rig_tick(rig, 20);
    assert_int_equal(rig_status(rig).role, RAFT_PRE_CANDIDATE);
    assert_int_equal(rig_status(rig).term, 5);
    assert_int_equal(rig_sent(rig, RAFT_MSG_PRE_VOTE, 3)->term, 6);

    rig_step(rig, (struct raft_message){.type = RAFT_MSG_PRE_VOTE_RESP, .from = 3, .term = 5});
    assert_int_equal(rig_status(rig).role, RAFT_PRE_CANDIDATE); /* answer to an older question */

    rig_step(rig, (struct raft_message){.type = RAFT_MSG_PRE_VOTE_RESP, .from = 3, .term = 6});
    assert_int_equal(rig_status(rig).role, RAFT_CANDIDATE);
    assert_int_equal(rig_status(rig).term, 6);
    rig_free(rig);
}

static void a_follower_whose_leader_is_gone_asks_within_a_few_ticks(void **state)
{
    (void)state;
    struct rig *rig = follower();

    raft_report_gone(rig->raft, 2);
    assert_int_equal(rig_status(rig).leader, RAFT_NO_ID);
    assert_int_equal(rig->sent_count, 0);
    rig_tick(rig, 3);

    assert_int_equal(rig_status(rig).role, RAFT_PRE_CANDIDATE);
    assert_int_equal(rig_status(rig).term, 5);
    assert_int_equal(rig_sent_count(rig, RAFT_MSG_PRE_VOTE, 3), 1);
    rig_free(rig);
}

static void those_who_miss_a_leader_ask_one_after_the_other(void **state)
{
    (void)state;
    static const struct {
        uint64_t id, gone;
        uint32_t ticks;
    } CASES[] = {{1, 2, 1}, {1, 4, 1}, {2, 1, 1}, {2, 4, 2}, {4, 1, 2}, {4, 2, 2}};
    for (size_t i = 0; i < ARRAY_COUNT(CASES); i++) {
        struct raft_config config = {
            .id = CASES[i].id,
            .pre_vote = true,
            .mark = {.conf_state = {.voters = {1, 2, 4},
                                    .voter_count = 3,
                                    .learners = {3},
                                    .learner_count = 1}},
        };
        struct rig *rig = rig_new_with(config);
        rig_step(rig, (struct raft_message){
                          .type = RAFT_MSG_HEARTBEAT, .from = CASES[i].gone, .term = 5});

        raft_report_gone(rig->raft, CASES[i].gone);
        rig_tick(rig, CASES[i].ticks - 1);
        assert_int_equal(rig_status(rig).role, RAFT_FOLLOWER);
        rig_tick(rig, 1);

        assert_int_equal(rig_status(rig).role, RAFT_PRE_CANDIDATE);
        rig_free(rig);
    }
}

static void an_early_question_is_put_once_and_the_timeout_goes_on_beside_it(void **state)
{
    (void)state;
    struct rig *rig = follower();

    raft_report_gone(rig->raft, 2);
    rig_tick(rig, 3);
    rig_forget(rig);
    rig_tick(rig, 6);
    assert_int_equal(rig->sent_count, 0); /* nobody answered; nine ticks are no timeout */
    rig_tick(rig, 11);

    assert_int_equal(rig_sent_count(rig, RAFT_MSG_PRE_VOTE, 3), 1);
    rig_free(rig);
}

static void one_who_knows_that_the_leader_is_gone_holds_no_lease_for_it(void **state)
{
    (void)state;
    struct rig *rig = follower();
    struct raft_message ask = {
        .type = RAFT_MSG_PRE_VOTE, .from = 3, .term = 6, .index = 2, .log_term = 5};

    rig_step(rig, ask);
    assert_null(rig_sent(rig, RAFT_MSG_PRE_VOTE_RESP, 3));
    raft_report_gone(rig->raft, 2);
    rig_step(rig, ask);

    assert_false(rig_sent(rig, RAFT_MSG_PRE_VOTE_RESP, 3)->reject);
    rig_free(rig);
}

static void a_leader_that_was_called_gone_by_mistake_is_followed_again(void **state)
{
    (void)state;
    struct rig *rig = follower();

    raft_report_gone(rig->raft, 2);
    rig_step(rig, (struct raft_message){.type = RAFT_MSG_HEARTBEAT, .from = 2, .term = 5});
    rig_forget(rig);
    rig_tick(rig, 5);

    assert_int_equal(rig_status(rig).leader, 2);
    assert_int_equal(rig_status(rig).role, RAFT_FOLLOWER);
    assert_int_equal(rig->sent_count, 0);
    rig_free(rig);
}

static void only_a_follower_of_the_one_who_is_gone_is_concerned(void **state)
{
    (void)state;
    struct rig *rig = follower();
    raft_report_gone(rig->raft, 3);
    rig_tick(rig, 5);
    assert_int_equal(rig_status(rig).leader, 2);
    assert_int_equal(rig->sent_count, 0);
    rig_free(rig);

    rig = rig_new(3, RAFT_NO_ID);
    rig_lead(rig);
    raft_report_gone(rig->raft, 2);
    raft_report_gone(rig->raft, 1);
    assert_int_equal(rig_status(rig).role, RAFT_LEADER);
    assert_int_equal(rig_status(rig).leader, 1);
    rig_free(rig);
}

static void without_pre_vote_nobody_is_called_gone(void **state)
{
    (void)state;
    struct raft_config config = {
        .mark = {.conf_state = {.voters = {1, 2, 3}, .voter_count = 3}},
    };
    struct rig *rig = rig_new_with(config);
    rig_step(rig, (struct raft_message){.type = RAFT_MSG_HEARTBEAT, .from = 2, .term = 5});

    raft_report_gone(rig->raft, 2);

    assert_int_equal(rig_status(rig).leader, 2);
    rig_free(rig);
}

static void an_old_leader_learns_the_new_term_by_an_empty_answer(void **state)
{
    (void)state;
    struct rig *rig = follower();

    rig_step(rig, (struct raft_message){.type = RAFT_MSG_HEARTBEAT, .from = 3, .term = 4});

    assert_int_equal(rig_sent(rig, RAFT_MSG_APP_RESP, 3)->term, 5);
    assert_int_equal(rig_sent(rig, RAFT_MSG_APP_RESP, 3)->index, 0);
    rig_free(rig);
}

static void votes_cannot_be_asked_for_before_the_own_one_is_durable(void **state)
{
    (void)state;
    struct raft_config config = {.mark = {.conf_state = {.voters = {1, 2, 3}, .voter_count = 3}}};
    struct rig *rig = rig_new_with(config);
    rig->hold_disk = true;
    raft_campaign(rig->raft);
    rig_run(rig);
    assert_null(rig_sent(rig, RAFT_MSG_VOTE, 2));

    /* Nobody honest can have answered; somebody else's answers do not count. */
    rig_step(rig, (struct raft_message){.type = RAFT_MSG_VOTE_RESP, .from = 2});
    rig_step(rig, (struct raft_message){.type = RAFT_MSG_VOTE_RESP, .from = 3});
    assert_int_equal(rig_status(rig).role, RAFT_CANDIDATE);

    rig_flush(rig);
    assert_non_null(rig_sent(rig, RAFT_MSG_VOTE, 2));
    rig_free(rig);
}

static void a_leader_without_a_quorum_steps_down(void **state)
{
    (void)state;
    struct rig *rig = rig_new(3, RAFT_NO_ID);
    rig_lead(rig);
    rig_tick(rig, 10);
    assert_int_equal(rig_status(rig).role, RAFT_FOLLOWER);
    rig_free(rig);
}

static void a_learner_neither_campaigns_nor_counts_in_an_election(void **state)
{
    (void)state;
    struct raft_config config = {
        .mark = {.conf_state = {
                     .voters = {2, 3}, .voter_count = 2, .learners = {1}, .learner_count = 1}}};
    struct rig *learner = rig_new_with(config);
    rig_tick(learner, 50);
    assert_int_equal(rig_status(learner).role, RAFT_FOLLOWER);
    rig_free(learner);

    struct rig *rig = rig_new(3, 4);
    rig_tick(rig, 20);
    rig_step(rig, (struct raft_message){.type = RAFT_MSG_PRE_VOTE_RESP, .from = 4, .term = 1});
    assert_int_equal(rig_status(rig).role, RAFT_PRE_CANDIDATE);
    assert_null(rig_sent(rig, RAFT_MSG_PRE_VOTE, 4));
    rig_free(rig);
}

static void nobody_campaigns_with_a_committed_change_unapplied(void **state)
{
    (void)state;
    struct rig *rig = rig_new(3, RAFT_NO_ID);
    rig->hold_apply = true;
    struct raft_entry *entries = rig_entries(1, 1, 1);
    entries[0].type = RAFT_ENTRY_CONF_CHANGE;
    rig_step(rig, (struct raft_message){.type = RAFT_MSG_APP,
                                        .from = 2,
                                        .term = 1,
                                        .commit = 1,
                                        .entries = entries,
                                        .entry_count = 1});
    rig_tick(rig, 50);
    assert_int_equal(rig_status(rig).role, RAFT_FOLLOWER);

    rig->hold_apply = false;
    raft_applied(rig->raft, rig->applied);
    rig_tick(rig, 50);
    assert_int_equal(rig_status(rig).role, RAFT_PRE_CANDIDATE);
    rig_free(rig);
}

static void leadership_moves_to_one_who_has_everything(void **state)
{
    (void)state;
    struct rig *rig = rig_new(3, 4);
    rig_lead(rig);
    raft_transfer_leader(rig->raft, 4);
    assert_int_equal(rig_status(rig).transfer_target, RAFT_NO_ID); /* a learner cannot lead */

    raft_transfer_leader(rig->raft, 3);
    rig_run(rig);
    assert_null(rig_sent(rig, RAFT_MSG_TIMEOUT_NOW, 3));
    struct raft_payload *payload = raft_payload_new(bytes_of_str("x"));
    assert_int_equal(raft_propose(rig->raft, &payload, 1), E_UNAVAILABLE);

    rig_ack(rig, 3, 1);
    assert_non_null(rig_sent(rig, RAFT_MSG_TIMEOUT_NOW, 3));
    rig_free(rig);
}

static void a_transfer_is_given_up_after_an_election_timeout(void **state)
{
    (void)state;
    struct rig *rig = rig_new(3, RAFT_NO_ID);
    rig_lead(rig);
    raft_transfer_leader(rig->raft, 3);
    for (int i = 0; i < 10; i++) {
        rig_tick(rig, 1);
        rig_step(rig, (struct raft_message){.type = RAFT_MSG_HEARTBEAT_RESP, .from = 2});
    }
    assert_int_equal(rig_status(rig).role, RAFT_LEADER);
    assert_int_equal(rig_status(rig).transfer_target, RAFT_NO_ID);
    rig_propose(rig, "x");
    rig_free(rig);
}

static void a_follower_passes_a_transfer_on_and_campaigns_when_told(void **state)
{
    (void)state;
    struct rig *rig = follower();
    raft_transfer_leader(rig->raft, 3);
    rig_run(rig);
    assert_int_equal(rig_sent(rig, RAFT_MSG_TRANSFER_LEADER, 2)->from, 3);

    rig_step(rig, (struct raft_message){.type = RAFT_MSG_TIMEOUT_NOW, .from = 2});
    assert_int_equal(rig_status(rig).role, RAFT_CANDIDATE); /* no pre-vote */
    assert_int_equal(rig_sent(rig, RAFT_MSG_VOTE, 3)->context_size, 16);
    rig_free(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_vote_leaves_only_after_it_is_durable),
        cmocka_unit_test(one_vote_per_term_also_after_a_restart),
        cmocka_unit_test(a_shorter_or_older_log_gets_no_vote),
        cmocka_unit_test(a_lease_ignores_votes_but_not_a_transfer),
        cmocka_unit_test(a_pre_vote_changes_nothing_and_is_answered_in_the_term_asked_for),
        cmocka_unit_test(an_old_pre_vote_is_refused_with_the_own_term),
        cmocka_unit_test(a_pre_candidate_keeps_its_term_until_it_has_won),
        cmocka_unit_test(a_follower_whose_leader_is_gone_asks_within_a_few_ticks),
        cmocka_unit_test(those_who_miss_a_leader_ask_one_after_the_other),
        cmocka_unit_test(an_early_question_is_put_once_and_the_timeout_goes_on_beside_it),
        cmocka_unit_test(one_who_knows_that_the_leader_is_gone_holds_no_lease_for_it),
        cmocka_unit_test(a_leader_that_was_called_gone_by_mistake_is_followed_again),
        cmocka_unit_test(only_a_follower_of_the_one_who_is_gone_is_concerned),
        cmocka_unit_test(without_pre_vote_nobody_is_called_gone),
        cmocka_unit_test(an_old_leader_learns_the_new_term_by_an_empty_answer),
        cmocka_unit_test(votes_cannot_be_asked_for_before_the_own_one_is_durable),
        cmocka_unit_test(a_leader_without_a_quorum_steps_down),
        cmocka_unit_test(a_learner_neither_campaigns_nor_counts_in_an_election),
        cmocka_unit_test(nobody_campaigns_with_a_committed_change_unapplied),
        cmocka_unit_test(leadership_moves_to_one_who_has_everything),
        cmocka_unit_test(a_transfer_is_given_up_after_an_election_timeout),
        cmocka_unit_test(a_follower_passes_a_transfer_on_and_campaigns_when_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
