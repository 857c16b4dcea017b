/* SPDX-License-Identifier: Apache-2.0 */
/* Configuration changes, linearizable reads, and a member whose log is suspect. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/err.h"
#include "lib_rig.h"

static int propose_change(struct rig *rig)
{
    int rc = raft_propose_conf_change(rig->raft, raft_payload_new(bytes_of_str("change")));
    rig_run(rig);
    return rc;
}

static int read_index(struct rig *rig, const char *context)
{
    int rc = raft_read_index(rig->raft, bytes_of_str(context));
    rig_run(rig);
    return rc;
}

static void beat_answer(struct rig *rig, uint64_t from)
{
    const struct raft_message *beat = rig_sent(rig, RAFT_MSG_HEARTBEAT, from);
    struct raft_message answer = {.type = RAFT_MSG_HEARTBEAT_RESP, .from = from};
    assert_non_null(beat);
    answer.context_size = beat->context_size;
    memcpy(answer.context, beat->context, beat->context_size);
    rig_step(rig, answer);
}

static struct rig *leader_in_term(uint32_t voters)
{
    struct rig *rig = rig_new(voters, RAFT_NO_ID);
    rig_lead(rig);
    rig_ack(rig, 2, 1);
    if (voters > 3) {
        rig_ack(rig, 3, 1);
    }
    assert_int_equal(rig_status(rig).commit_index, 1);
    rig_forget(rig);
    return rig;
}

static void a_second_change_becomes_an_empty_entry(void **state)
{
    (void)state;
    struct rig *rig = leader_in_term(3);
    assert_int_equal(propose_change(rig), E_OK);
    assert_true(raft_has_pending_conf_change(rig->raft));
    assert_int_equal(propose_change(rig), E_OK);
    rig_ack(rig, 2, 2);

    /* It waits until the first one is applied, committed is not enough: here both happened. */
    const struct raft_message *sent = rig_sent(rig, RAFT_MSG_APP, 2);
    assert_non_null(sent);
    bool first = false;
    bool second = false;
    for (uint32_t i = 0; i < rig->sent_count; i++) {
        for (uint32_t k = 0; k < rig->sent[i].entry_count; k++) {
            const struct raft_entry *entry = &rig->sent[i].entries[k];
            first = first || (entry->index == 2 && entry->type == RAFT_ENTRY_CONF_CHANGE);
            second = second || (entry->index == 3 && entry->type == RAFT_ENTRY_NORMAL &&
                                entry->payload == NULL);
        }
    }
    assert_true(first);
    assert_true(second);
    rig_free(rig);
}

static void a_new_leader_takes_no_change_before_it_knows_its_predecessors(void **state)
{
    (void)state;
    struct rig *rig = rig_new(3, RAFT_NO_ID);
    rig_step(rig, (struct raft_message){.type = RAFT_MSG_APP,
                                        .from = 2,
                                        .term = 1,
                                        .entries = rig_entries(1, 1, 1),
                                        .entry_count = 1});
    rig_lead(rig);
    assert_true(raft_has_pending_conf_change(rig->raft));
    rig_ack(rig, 2, 2);
    assert_false(raft_has_pending_conf_change(rig->raft));
    rig_free(rig);
}

/* After a power cut of all and the loss of one for good, the others must know who votes. */
static void the_commit_index_of_a_change_is_flushed_and_others_are_not(void **state)
{
    (void)state;
    struct rig *rig = rig_new(3, 4);
    rig_append(rig, 1, 0, 0, 5, 0);
    rig_append(rig, 1, 5, 1, 5, 4);
    assert_int_equal(rig->applied, 4);
    assert_int_equal(rig->synced_commit, 0);

    rig_append(rig, 1, 5, 1, 5, 5);
    rig_change(rig, RAFT_CONF_ADD_NODE, 4);
    assert_int_equal(rig->synced_commit, 5);
    rig_free(rig);
}

static void a_learner_is_promoted_by_adding_it(void **state)
{
    (void)state;
    struct rig *rig = leader_in_term(3);
    struct raft_conf_state conf = rig_change(rig, RAFT_CONF_ADD_LEARNER, 4);
    assert_int_equal(conf.voter_count, 3);
    assert_int_equal(conf.learner_count, 1);
    conf = rig_change(rig, RAFT_CONF_ADD_NODE, 4);
    assert_int_equal(conf.voter_count, 4);
    assert_int_equal(conf.learner_count, 0);
    conf = rig_change(rig, RAFT_CONF_REMOVE_NODE, 4);
    assert_int_equal(conf.voter_count, 3);
    assert_int_equal(raft_progress_of(rig->raft, 4, &(struct raft_progress_status){0}),
                     E_NOT_FOUND);
    rig_free(rig);
}

static void a_refused_change_changes_nothing(void **state)
{
    (void)state;
    struct rig *rig = leader_in_term(3);
    struct raft_conf_state conf = {0};
    raft_apply_conf_change(rig->raft, NULL, &conf);
    assert_int_equal(conf.voter_count, 3);
    conf = rig_change(rig, RAFT_CONF_REMOVE_NODE, 9);
    assert_int_equal(conf.voter_count, 3);
    conf = rig_change(rig, RAFT_CONF_UPDATE_NODE, 2);
    assert_int_equal(conf.voter_count, 3);
    rig_free(rig);
}

static void a_removal_commits_what_the_smaller_quorum_holds(void **state)
{
    (void)state;
    struct rig *rig = leader_in_term(4);
    rig_propose(rig, "x");
    rig_ack(rig, 2, 2);
    assert_int_equal(rig_status(rig).commit_index, 1);
    (void)rig_change(rig, RAFT_CONF_REMOVE_NODE, 4);
    assert_int_equal(rig_status(rig).commit_index, 2);
    rig_free(rig);
}

static void a_leader_that_removed_itself_leads_until_the_others_know(void **state)
{
    (void)state;
    struct raft_config config = {.mark = {.conf_state = {.voters = {1, 2}, .voter_count = 2}}};
    struct rig *rig = rig_new_with(config);
    rig_lead(rig);
    rig_ack(rig, 2, 1);
    assert_int_equal(propose_change(rig), E_OK);
    rig_ack(rig, 2, 2);
    assert_int_equal(rig_status(rig).commit_index, 2);

    (void)rig_change(rig, RAFT_CONF_REMOVE_NODE, 1);
    assert_int_equal(rig_status(rig).role, RAFT_LEADER);
    struct raft_payload *payload = raft_payload_new(bytes_of_str("x"));
    assert_int_equal(raft_propose(rig->raft, &payload, 1), E_UNAVAILABLE);
    assert_int_equal(rig_sent(rig, RAFT_MSG_HEARTBEAT, 2)->commit, 2);

    beat_answer(rig, 2);
    assert_int_equal(rig_status(rig).role, RAFT_FOLLOWER);
    assert_non_null(rig_sent(rig, RAFT_MSG_TIMEOUT_NOW, 2));
    rig_tick(rig, 50);
    assert_int_equal(rig_status(rig).role, RAFT_FOLLOWER);
    rig_free(rig);
}

static void a_read_is_answered_when_a_quorum_has_confirmed_the_leader(void **state)
{
    (void)state;
    struct rig *rig = leader_in_term(5);
    assert_int_equal(read_index(rig, "one"), E_OK);
    assert_int_equal(rig->read_count, 0);
    beat_answer(rig, 2);
    beat_answer(rig, 2);
    assert_int_equal(rig->read_count, 0);
    beat_answer(rig, 3);
    assert_int_equal(rig->read_count, 1);
    assert_int_equal(rig->reads[0].index, 1);
    assert_memory_equal(rig->reads[0].context, "one", 3);
    rig_free(rig);
}

static void reads_of_one_batch_share_a_round_and_later_ones_do_not_profit(void **state)
{
    (void)state;
    struct rig *rig = leader_in_term(3);
    assert_int_equal(raft_read_index(rig->raft, bytes_of_str("a")), E_OK);
    assert_int_equal(raft_read_index(rig->raft, bytes_of_str("b")), E_OK);
    rig_run(rig);
    assert_int_equal(rig_sent_count(rig, RAFT_MSG_HEARTBEAT, 2), 1);
    struct raft_message old = {.type = RAFT_MSG_HEARTBEAT_RESP, .from = 2, .context_size = 8};
    memcpy(old.context, rig_sent(rig, RAFT_MSG_HEARTBEAT, 2)->context, 8);
    assert_int_equal(read_index(rig, "c"), E_OK);

    rig_step(rig, old);
    assert_int_equal(rig->read_count, 2);
    beat_answer(rig, 3);
    assert_int_equal(rig->read_count, 3);
    rig_free(rig);
}

static void a_learners_answer_confirms_no_read(void **state)
{
    (void)state;
    struct rig *rig = leader_in_term(3);
    (void)rig_change(rig, RAFT_CONF_ADD_LEARNER, 4);
    assert_int_equal(read_index(rig, "one"), E_OK);
    beat_answer(rig, 4);
    assert_int_equal(rig->read_count, 0);
    rig_free(rig);
}

static void a_read_waits_for_the_first_commit_of_the_term(void **state)
{
    (void)state;
    struct rig *rig = rig_new(3, RAFT_NO_ID);
    rig_lead(rig);
    assert_int_equal(read_index(rig, "one"), E_OK);
    assert_null(rig_sent(rig, RAFT_MSG_HEARTBEAT, 2));
    rig_ack(rig, 2, 1);
    beat_answer(rig, 2);
    assert_int_equal(rig->read_count, 1);
    assert_int_equal(rig->reads[0].index, 1);
    rig_free(rig);
}

static void a_followers_read_goes_to_the_leader_and_back(void **state)
{
    (void)state;
    struct rig *leader = leader_in_term(3);
    rig_step(leader,
             (struct raft_message){
                 .type = RAFT_MSG_READ_INDEX, .from = 3, .context_size = 2, .context = "rq"});
    beat_answer(leader, 2);
    assert_int_equal(rig_sent(leader, RAFT_MSG_READ_INDEX_RESP, 3)->index, 1);
    assert_memory_equal(rig_sent(leader, RAFT_MSG_READ_INDEX_RESP, 3)->context, "rq", 2);
    rig_free(leader);

    struct rig *rig = rig_new(3, RAFT_NO_ID);
    assert_int_equal(read_index(rig, "rq"), E_UNAVAILABLE);
    rig_step(rig, (struct raft_message){.type = RAFT_MSG_HEARTBEAT, .from = 2, .term = 1});
    assert_int_equal(read_index(rig, "rq"), E_OK);
    assert_non_null(rig_sent(rig, RAFT_MSG_READ_INDEX, 2));
    rig_step(rig, (struct raft_message){.type = RAFT_MSG_READ_INDEX_RESP,
                                        .from = 2,
                                        .index = 7,
                                        .context_size = 2,
                                        .context = "rq"});
    assert_int_equal(rig->reads[0].index, 7);
    rig_free(rig);
}

static void proposals_and_changes_are_forwarded_with_their_kind(void **state)
{
    (void)state;
    struct rig *rig = rig_new(3, RAFT_NO_ID);
    assert_int_equal(propose_change(rig), E_UNAVAILABLE);
    rig_step(rig, (struct raft_message){.type = RAFT_MSG_HEARTBEAT, .from = 2, .term = 1});
    assert_int_equal(propose_change(rig), E_OK);
    const struct raft_message *prop = rig_sent(rig, RAFT_MSG_PROP, 2);
    assert_int_equal(prop->entries[0].type, RAFT_ENTRY_CONF_CHANGE);
    assert_int_equal(prop->term, 0);
    assert_int_equal(prop->from, 1);
    rig_free(rig);
}

/* A suspect member: two of its entries are left, the leader believes that it had more. */
static struct rig *suspect(void)
{
    struct raft_entry entries[2] = {{.index = 1, .term = 1}, {.index = 2, .term = 1}};
    struct raft_config config = {
        .suspect = true,
        .hard_state = {.term = 1},
        .entries = entries,
        .entry_count = 2,
        .mark = {.conf_state = {.voters = {1, 2, 3}, .voter_count = 3}},
    };
    return rig_new_with(config);
}

static void a_suspect_member_gives_no_vote_and_does_not_campaign(void **state)
{
    (void)state;
    struct rig *rig = suspect();
    rig_step(rig, (struct raft_message){
                      .type = RAFT_MSG_VOTE, .from = 3, .term = 2, .index = 9, .log_term = 1});
    rig_step(rig, (struct raft_message){
                      .type = RAFT_MSG_PRE_VOTE, .from = 3, .term = 3, .index = 9, .log_term = 1});
    assert_true(rig_sent(rig, RAFT_MSG_VOTE_RESP, 3)->reject);
    assert_true(rig_sent(rig, RAFT_MSG_PRE_VOTE_RESP, 3)->reject);
    rig_tick(rig, 100);
    raft_campaign(rig->raft);
    assert_int_equal(rig_status(rig).role, RAFT_FOLLOWER);
    rig_free(rig);
}

static void a_suspect_member_acknowledges_only_what_is_committed(void **state)
{
    (void)state;
    struct rig *rig = suspect();
    rig_append(rig, 1, 2, 1, 6, 4);
    assert_int_equal(rig_status(rig).persisted_index, 6);
    assert_int_equal(rig_sent(rig, RAFT_MSG_APP_RESP, 2)->index, 4);
    rig_free(rig);
}

static void a_suspect_members_heartbeat_answer_confirms_nothing(void **state)
{
    (void)state;
    struct rig *rig = suspect();
    rig_step(rig, (struct raft_message){.type = RAFT_MSG_HEARTBEAT,
                                        .from = 2,
                                        .commit = 2,
                                        .context_size = 8,
                                        .context = "12345678"});
    assert_int_equal(rig_sent(rig, RAFT_MSG_HEARTBEAT_RESP, 2)->context_size, 0);
    assert_int_equal(rig_status(rig).commit_index, 0);
    rig_free(rig);
}

static void a_suspect_member_is_whole_after_a_fresh_answer_and_a_newer_append(void **state)
{
    (void)state;
    struct rig *rig = suspect();
    rig_append(rig, 1, 2, 1, 3, 3);
    rig_tick(rig, 29);
    assert_null(rig_sent(rig, RAFT_MSG_READ_INDEX, 2));
    rig_tick(rig, 1);
    struct raft_message stale = rig_read_answer(rig, 3);
    stale.context[stale.context_size - 1] ^= 1u; /* an answer to a former life's question */
    struct raft_message answer = rig_read_answer(rig, 4);
    rig_step(rig, stale);
    rig_append(rig, 1, 3, 1, 4, 4);
    assert_true(rig_status(rig).suspect);

    rig_step(rig, answer);
    rig_append(rig, 1, 4, 1, 5, 4); /* may have been sent before the question */
    assert_true(rig_status(rig).suspect);
    rig_append(rig, 1, 5, 1, 6, 7); /* does not reach the leader's commit index */
    assert_true(rig_status(rig).suspect);

    rig->hold_disk = true;
    rig_append(rig, 1, 6, 1, 8, 7);
    assert_true(rig_status(rig).suspect);
    rig_flush(rig);
    assert_false(rig_status(rig).suspect);
    assert_int_equal(rig->read_count, 0);
    rig_free(rig);
}

static void a_log_that_ends_before_its_commit_index_is_suspect(void **state)
{
    (void)state;
    struct raft_entry entries[1] = {{.index = 1, .term = 1}};
    struct raft_config config = {
        .hard_state = {.term = 1, .commit = 3},
        .entries = entries,
        .entry_count = 1,
        .mark = {.conf_state = {.voters = {1, 2, 3}, .voter_count = 3}},
    };
    struct rig *rig = rig_new_with(config);
    assert_true(rig_status(rig).suspect);
    assert_int_equal(rig_status(rig).commit_index, 1);
    rig_free(rig);
}

static void a_leader_stops_counting_what_a_member_has_lost(void **state)
{
    (void)state;
    struct rig *rig = leader_in_term(5);
    rig_propose(rig, "x");
    rig_propose(rig, "y");
    rig_ack(rig, 2, 3);
    rig_step(rig, (struct raft_message){.type = RAFT_MSG_APP_RESP,
                                        .from = 2,
                                        .index = 3,
                                        .reject = true,
                                        .reject_hint = 1,
                                        .log_term = 1});
    rig_ack(rig, 3, 3);
    assert_int_equal(rig_status(rig).commit_index, 1);
    assert_int_equal(rig_sent(rig, RAFT_MSG_APP, 2)->index, 1);
    rig_free(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_second_change_becomes_an_empty_entry),
        cmocka_unit_test(a_new_leader_takes_no_change_before_it_knows_its_predecessors),
        cmocka_unit_test(the_commit_index_of_a_change_is_flushed_and_others_are_not),
        cmocka_unit_test(a_learner_is_promoted_by_adding_it),
        cmocka_unit_test(a_refused_change_changes_nothing),
        cmocka_unit_test(a_removal_commits_what_the_smaller_quorum_holds),
        cmocka_unit_test(a_leader_that_removed_itself_leads_until_the_others_know),
        cmocka_unit_test(a_read_is_answered_when_a_quorum_has_confirmed_the_leader),
        cmocka_unit_test(reads_of_one_batch_share_a_round_and_later_ones_do_not_profit),
        cmocka_unit_test(a_learners_answer_confirms_no_read),
        cmocka_unit_test(a_read_waits_for_the_first_commit_of_the_term),
        cmocka_unit_test(a_followers_read_goes_to_the_leader_and_back),
        cmocka_unit_test(proposals_and_changes_are_forwarded_with_their_kind),
        cmocka_unit_test(a_suspect_member_gives_no_vote_and_does_not_campaign),
        cmocka_unit_test(a_suspect_member_acknowledges_only_what_is_committed),
        cmocka_unit_test(a_suspect_members_heartbeat_answer_confirms_nothing),
        cmocka_unit_test(a_suspect_member_is_whole_after_a_fresh_answer_and_a_newer_append),
        cmocka_unit_test(a_log_that_ends_before_its_commit_index_is_suspect),
        cmocka_unit_test(a_leader_stops_counting_what_a_member_has_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
