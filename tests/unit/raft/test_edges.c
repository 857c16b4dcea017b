/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The far ends: limits, full queues, members that lose their place in the middle of something, and
 * answers that only a broken or hostile peer gives. Together with the other tests and the scripts
 * they take every branch of the core (tests/coverage.sh).
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/err.h"
#include "engine/raft/log.h"
#include "engine/raft/readindex.h"
#include "lib_rig.h"

static void snapshot(struct rig *rig, const struct raft_conf_state *conf)
{
    struct raft_snapshot_mark *mark = mem_zalloc(sizeof(*mark));
    *mark = (struct raft_snapshot_mark){.index = 10, .term = 1, .conf_state = *conf};
    rig_step(rig,
             (struct raft_message){.type = RAFT_MSG_SNAP, .from = 2, .term = 1, .snapshot = mark});
}

static void a_message_that_claims_entries_and_has_none_is_dropped(void **state)
{
    (void)state;
    struct rig *rig = rig_new(3, RAFT_NO_ID);
    rig_step(rig,
             (struct raft_message){.type = RAFT_MSG_APP, .from = 2, .term = 1, .entry_count = 3});
    rig_step(rig, (struct raft_message){.type = RAFT_MSG_PROP, .from = 2, .entry_count = 1});
    assert_int_equal(rig_status(rig).term, 0);
    rig_free(rig);
}

static void a_message_with_a_context_that_is_too_long_is_dropped(void **state)
{
    (void)state;
    struct rig *rig = rig_new(3, RAFT_NO_ID);
    rig_step(rig, (struct raft_message){.type = RAFT_MSG_HEARTBEAT,
                                        .from = 2,
                                        .term = 1,
                                        .context_size = RAFT_CONTEXT_BYTES_MAX + 1});
    assert_int_equal(rig_status(rig).term, 0);
    rig_free(rig);
}

static void a_snapshot_with_an_impossible_configuration_is_dropped(void **state)
{
    (void)state;
    static const struct raft_conf_state CASES[] = {
        {.voter_count = RAFT_MEMBERS_MAX + 1},
        {.voters = {1, 2, 3}, .voter_count = 3, .learner_count = RAFT_MEMBERS_MAX + 1},
        {.voters = {1, 2, 3}, .voter_count = 3, .learner_count = RAFT_MEMBERS_MAX - 2},
        {.voters = {1, 2, 3}, .voter_count = 3, .learners = {3, 4}, .learner_count = 2},
        {.voters = {1, 2, 3}, .voter_count = 3, .learners = {5, 4}, .learner_count = 2},
        {.voters = {0, 1, 3}, .voter_count = 3},
    };
    for (size_t i = 0; i < ARRAY_COUNT(CASES); i++) {
        struct rig *rig = rig_new(3, RAFT_NO_ID);
        snapshot(rig, &CASES[i]);
        assert_false(rig->install_wanted);
        assert_int_equal(rig_status(rig).last_index, 0);
        rig_free(rig);
    }
    struct rig *rig = rig_new(3, RAFT_NO_ID);
    snapshot(rig, &(struct raft_conf_state){
                      .voters = {2, 3}, .voter_count = 2, .learners = {1}, .learner_count = 1});
    assert_true(rig->install_wanted);
    rig_free(rig);
}

static void there_is_room_for_so_many_members_and_no_more(void **state)
{
    (void)state;
    struct rig *rig = rig_new(3, RAFT_NO_ID);
    for (uint64_t id = 4; id <= RAFT_MEMBERS_MAX; id++) {
        (void)rig_change(rig, RAFT_CONF_ADD_LEARNER, id);
    }
    struct raft_conf_state conf = rig_change(rig, RAFT_CONF_ADD_LEARNER, RAFT_MEMBERS_MAX + 1);
    assert_int_equal(conf.voter_count + conf.learner_count, RAFT_MEMBERS_MAX);
    conf = rig_change(rig, RAFT_CONF_ADD_NODE, RAFT_MEMBERS_MAX + 1);
    assert_int_equal(conf.voter_count, 3);
    conf =
        rig_change(rig, RAFT_CONF_ADD_NODE, RAFT_MEMBERS_MAX); /* who is in can still be promoted */
    assert_int_equal(conf.voter_count, 4);
    rig_free(rig);
}

static void a_change_of_nobody_or_of_an_unknown_kind_changes_nothing(void **state)
{
    (void)state;
    struct rig *rig = rig_new(3, RAFT_NO_ID);
    assert_int_equal(rig_change(rig, RAFT_CONF_ADD_NODE, RAFT_NO_ID).voter_count, 3);
    assert_int_equal(rig_change(rig, (enum raft_conf_change_type)9, 7).voter_count, 3);
    rig_free(rig);
}

static void a_leader_that_leaves_lives_through_another_change(void **state)
{
    (void)state;
    struct rig *rig = rig_new(3, RAFT_NO_ID);
    rig_lead(rig);
    rig_ack(rig, 2, 1);
    (void)rig_change(rig, RAFT_CONF_REMOVE_NODE, 1);
    rig_run(rig);
    uint64_t beats = rig_sent_count(rig, RAFT_MSG_HEARTBEAT, 2);
    struct raft_conf_state conf = rig_change(rig, RAFT_CONF_REMOVE_NODE, 3);
    rig_run(rig);
    assert_int_equal(conf.voter_count, 1);
    assert_int_equal(rig_status(rig).role, RAFT_LEADER);
    assert_int_equal(rig_sent_count(rig, RAFT_MSG_HEARTBEAT, 2), beats); /* it says it once */
    rig_free(rig);
}

/* With the last other voter alone in the configuration a read still needs that one's word. */
static void a_leader_that_leaves_answers_no_read_by_itself(void **state)
{
    (void)state;
    struct raft_config config = {.mark = {.conf_state = {.voters = {1, 2}, .voter_count = 2}}};
    struct rig *rig = rig_new_with(config);
    rig_lead(rig);
    rig_ack(rig, 2, 1);
    (void)rig_change(rig, RAFT_CONF_REMOVE_NODE, 1);
    rig_run(rig);
    assert_int_equal(raft_read_index(rig->raft, bytes_of_str("r")), E_OK);
    rig_run(rig);
    assert_int_equal(rig->read_count, 0);
    const struct raft_message *beat = rig_sent(rig, RAFT_MSG_HEARTBEAT, 2);
    struct raft_message answer = {.type = RAFT_MSG_HEARTBEAT_RESP, .from = 2};
    answer.context_size = beat->context_size;
    memcpy(answer.context, beat->context, beat->context_size);
    rig_step(rig, answer);
    assert_int_equal(rig->read_count, 1);
    rig_free(rig);
}

static void an_earlier_flush_ends_for_what_it_had_when_later_entries_are_replaced(void **state)
{
    (void)state;
    struct rig *rig = rig_new(3, RAFT_NO_ID);
    rig->hold_disk = true;
    rig_append(rig, 1, 0, 0, 3, 0);
    uint64_t first = rig->ticket;
    rig_append(rig, 1, 3, 1, 6, 0);
    uint64_t second = rig->ticket;
    rig_append(rig, 2, 4, 1, 5, 0);
    raft_persisted(rig->raft, first);
    assert_int_equal(rig_status(rig).persisted_index, 3);
    raft_persisted(rig->raft, second);
    assert_int_equal(rig_status(rig).persisted_index, 4);
    rig_free(rig);
}

/* Two inputs without effects in between: entries that were never given out are replaced. */
static void entries_may_be_replaced_before_anybody_has_seen_them(void **state)
{
    (void)state;
    struct rig *rig = rig_new(3, RAFT_NO_ID);
    struct raft_message first = {.type = RAFT_MSG_APP,
                                 .to = 1,
                                 .from = 2,
                                 .term = 1,
                                 .entries = rig_entries(1, 5, 1),
                                 .entry_count = 5};
    raft_step(rig->raft, &first);
    rig_append(rig, 2, 3, 1, 4, 0);
    assert_int_equal(rig_status(rig).last_index, 4);
    assert_int_equal(rig_status(rig).persisted_index, 4);
    assert_int_equal(raft_term_of(rig->raft, 4), 2);
    rig_free(rig);
}

static void what_is_committed_at_once_is_handed_out_in_batches(void **state)
{
    (void)state;
    struct rig *rig = rig_new(3, RAFT_NO_ID);
    struct raft_effects effects;
    rig->hold_disk = true;
    rig_append(rig, 1, 0, 0, 5000, 5000);
    raft_persisted(rig->raft, rig->ticket);
    assert_true(raft_take_effects(rig->raft, &effects));
    assert_int_equal(effects.committed_count, 4096);
    assert_true(raft_take_effects(rig->raft, &effects));
    assert_int_equal(effects.committed_count, 904);
    rig_free(rig);
}

static void at_the_end_of_the_terms_nobody_campaigns(void **state)
{
    (void)state;
    struct raft_config config = {
        .hard_state = {.term = RAFT_TERM_MAX},
        .mark = {.conf_state = {.voters = {1, 2, 3}, .voter_count = 3}},
    };
    struct rig *rig = rig_new_with(config);
    rig_tick(rig, 50);
    assert_int_equal(rig_status(rig).role, RAFT_FOLLOWER);
    assert_int_equal(rig_status(rig).term, RAFT_TERM_MAX);
    rig_free(rig);
}

static void a_leader_that_is_told_to_campaign_goes_on_leading(void **state)
{
    (void)state;
    struct rig *rig = rig_new(3, RAFT_NO_ID);
    rig_lead(rig);
    raft_campaign(rig->raft);
    rig_run(rig);
    assert_int_equal(rig_status(rig).role, RAFT_LEADER);
    assert_int_equal(rig_status(rig).term, 1);
    assert_int_equal(rig->sent_count, 0);
    rig_free(rig);
}

/* A change that is applied while an election runs takes effect in it. */
static void a_candidate_that_is_removed_or_demoted_does_not_win(void **state)
{
    (void)state;
    static const enum raft_conf_change_type CHANGES[] = {RAFT_CONF_REMOVE_NODE,
                                                         RAFT_CONF_ADD_LEARNER};
    for (size_t i = 0; i < ARRAY_COUNT(CHANGES); i++) {
        for (int pre = 0; pre <= 1; pre++) {
            struct raft_config config = {
                .pre_vote = pre == 1,
                .mark = {.conf_state = {.voters = {1, 2, 3}, .voter_count = 3}}};
            struct rig *rig = rig_new_with(config);
            raft_campaign(rig->raft);
            rig_run(rig);
            enum raft_role before = rig_status(rig).role;
            (void)rig_change(rig, CHANGES[i], 1);
            for (uint64_t peer = 2; peer <= 3; peer++) {
                rig_step(rig, (struct raft_message){.type = pre == 1 ? RAFT_MSG_PRE_VOTE_RESP
                                                                     : RAFT_MSG_VOTE_RESP,
                                                    .from = peer,
                                                    .term = 1});
            }
            assert_int_equal(rig_status(rig).role, before);
            rig_free(rig);
        }
    }
}

static void a_leader_may_step_down_and_nobody_else_can(void **state)
{
    (void)state;
    struct rig *rig = rig_new(3, RAFT_NO_ID);
    raft_campaign(rig->raft);
    raft_step_down(rig->raft);
    assert_int_equal(rig_status(rig).role, RAFT_PRE_CANDIDATE);
    rig_lead(rig);
    raft_step_down(rig->raft);
    assert_int_equal(rig_status(rig).role, RAFT_FOLLOWER);
    assert_int_equal(rig_status(rig).leader, RAFT_NO_ID);
    assert_int_equal(rig_status(rig).term, 1);
    rig_free(rig);
}

static void heartbeats_come_every_so_many_ticks(void **state)
{
    (void)state;
    struct raft_config config = {.heartbeat_ticks = 3,
                                 .mark = {.conf_state = {.voters = {1, 2}, .voter_count = 2}}};
    struct rig *rig = rig_new_with(config);
    rig_lead(rig);
    rig_tick(rig, 8);
    assert_int_equal(rig_sent_count(rig, RAFT_MSG_HEARTBEAT, 2), 2);
    rig_free(rig);
}

static void an_empty_payload_is_an_entry_like_any_other(void **state)
{
    (void)state;
    struct rig *rig = rig_new(1, RAFT_NO_ID);
    rig_lead(rig);
    struct raft_payload *empty = raft_payload_new(bytes_of(NULL, 0));
    assert_int_equal(raft_propose(rig->raft, &empty, 1), E_OK);
    rig_run(rig);
    assert_int_equal(rig->applied, 2);
    assert_non_null(raft_entry_of(rig->raft, 2)->payload);
    assert_int_equal(raft_propose(rig->raft, NULL, 0), E_OK); /* nothing is nothing */
    assert_int_equal(rig_status(rig).last_index, 2);
    rig_free(rig);
}

static void many_appends_may_be_in_flight(void **state)
{
    (void)state;
    struct raft_config config = {.max_inflight = 40,
                                 .mark = {.conf_state = {.voters = {1, 2}, .voter_count = 2}}};
    struct rig *rig = rig_new_with(config);
    rig_lead(rig);
    rig_ack(rig, 2, 1);
    for (int i = 0; i < 10; i++) {
        rig_propose(rig, "x");
    }
    rig_ack(rig, 2, 6); /* the ring has turned before it grows */
    for (int i = 0; i < 30; i++) {
        rig_propose(rig, "y");
    }
    assert_int_equal(rig_progress(rig, 2).inflight_count, 35);
    rig_ack(rig, 2, 39);
    assert_int_equal(rig_progress(rig, 2).inflight_count, 2);
    rig_free(rig);
}

/* Hints of a broken follower: next still goes back and never below what is known. */
static void a_refusal_that_agrees_with_what_it_refuses_still_moves(void **state)
{
    (void)state;
    struct rig *rig = rig_new(3, RAFT_NO_ID);
    rig_append(rig, 1, 0, 0, 8, 0);
    rig_lead(rig);
    assert_int_equal(rig_progress(rig, 2).next_index, 9);
    rig_step(
        rig,
        (struct raft_message){
            .type = RAFT_MSG_APP_RESP, .from = 2, .index = 8, .reject = true, .reject_hint = 8});
    assert_int_equal(rig_progress(rig, 2).next_index, 8);
    rig_ack(rig, 3, 9);
    assert_int_equal(rig_status(rig).commit_index, 9);
    rig_free(rig);
}

static void a_refusal_of_what_was_acknowledged_that_hints_at_no_less_is_old(void **state)
{
    (void)state;
    struct rig *rig = rig_new(3, RAFT_NO_ID);
    rig_lead(rig);
    rig_ack(rig, 2, 1);
    rig_step(
        rig,
        (struct raft_message){
            .type = RAFT_MSG_APP_RESP, .from = 2, .index = 1, .reject = true, .reject_hint = 1});
    assert_int_equal(rig_progress(rig, 2).match_index, 1);
    assert_int_equal(rig_progress(rig, 2).state, RAFT_PROGRESS_REPLICATE);
    rig_free(rig);
}

/* The snapshot waits for the configuration; meanwhile a liar acknowledges more than it was sent. */
static void a_snapshot_never_moves_the_next_index_back_below_the_match(void **state)
{
    (void)state;
    struct raft_config config = {.max_inflight = 1,
                                 .mark = {.conf_state = {.voters = {1, 2, 3}, .voter_count = 3}}};
    struct rig *rig = rig_new_with(config);
    struct raft_conf_state conf;
    rig_lead(rig);
    rig_ack(rig, 2, 1);
    rig_ack(rig, 3, 1);
    rig_propose(rig, "a");
    rig_ack(rig, 2, 2);
    rig_propose(rig, "b");
    rig_ack(rig, 2, 3);
    raft_compact(rig->raft, 3);
    rig->hold_apply = true;
    raft_apply_conf_change(rig->raft, &(struct raft_conf_change){RAFT_CONF_ADD_LEARNER, 4}, &conf);
    rig_propose(rig, "c");
    rig_propose(rig, "d");
    rig_ack(rig, 3, 2); /* its next entry is compacted */
    assert_null(rig_sent(rig, RAFT_MSG_SNAP, 3));

    rig_ack(rig, 3, 5);
    raft_applied(rig->raft, 3);
    rig_run(rig);
    assert_int_equal(rig_sent(rig, RAFT_MSG_SNAP, 3)->snapshot->index, 3);
    assert_int_equal(rig_progress(rig, 3).match_index, 5);
    assert_int_equal(rig_progress(rig, 3).next_index, 6);
    rig_free(rig);
}

static void a_round_that_was_never_sent_confirms_nothing(void **state)
{
    (void)state;
    struct rig *rig = rig_new(3, RAFT_NO_ID);
    rig_lead(rig);
    rig_ack(rig, 2, 1);
    struct raft_message answer = {
        .type = RAFT_MSG_HEARTBEAT_RESP, .from = 2, .context_size = sizeof(uint64_t)};
    put_be64(answer.context, 1000);
    rig_step(rig, answer);
    assert_int_equal(raft_read_index(rig->raft, bytes_of(NULL, 0)), E_OK);
    rig_run(rig);
    assert_int_equal(rig->read_count, 0);
    put_be64(answer.context, 1);
    rig_step(rig, answer);
    assert_int_equal(rig->read_count, 1);
    assert_int_equal(rig->reads[0].context_size, 0);
    rig_free(rig);
}

static void reads_that_are_too_long_or_too_many_are_refused(void **state)
{
    (void)state;
    struct rig *rig = rig_new(3, RAFT_NO_ID);
    uint8_t context[RAFT_CONTEXT_BYTES_MAX + 1] = {0};
    rig_lead(rig);
    rig_ack(rig, 2, 1);
    assert_int_equal(raft_read_index(rig->raft, bytes_of(context, sizeof(context))), E_TOO_BIG);
    for (uint32_t i = 0; i < RAFT_READS_WAITING_MAX; i++) {
        assert_int_equal(raft_read_index(rig->raft, bytes_of(context, 8)), E_OK);
    }
    assert_int_equal(raft_read_index(rig->raft, bytes_of(context, 8)), E_AGAIN);
    rig_free(rig);
}

static void a_follower_takes_an_answer_that_is_as_long_as_a_suspects_question(void **state)
{
    (void)state;
    struct rig *rig = rig_new(3, RAFT_NO_ID);
    rig_append(rig, 1, 0, 0, 1, 0);
    rig_step(rig, (struct raft_message){.type = RAFT_MSG_READ_INDEX_RESP,
                                        .from = 2,
                                        .index = 1,
                                        .context_size = 16,
                                        .context = "0123456789abcdef"});
    assert_int_equal(rig->read_count, 1);
    rig_free(rig);
}

/* A suspect member whose question the leader has answered: entry 1 is the proof. */
static struct rig *suspect_with_proof(void)
{
    struct raft_config config = {
        .suspect = true,
        .hard_state = {.term = 1},
        .mark = {.conf_state = {.voters = {1, 2, 3}, .voter_count = 3}},
    };
    struct rig *rig = rig_new_with(config);
    rig_append(rig, 1, 0, 0, 1, 1);
    rig_tick(rig, 30);
    rig_step(rig, rig_read_answer(rig, 1));
    return rig;
}

/* Several flushes are on their way: only the one with the proof ends the suspicion. */
static void a_suspect_member_waits_for_the_flush_that_has_the_proof(void **state)
{
    (void)state;
    struct rig *rig = suspect_with_proof();

    rig->hold_disk = true;
    rig_append(rig, 1, 1, 1, 2, 1);
    uint64_t first = rig->ticket;
    rig_append(rig, 1, 2, 1, 3, 3);
    raft_persisted(rig->raft, first);
    rig_run(rig);
    assert_true(rig_status(rig).suspect);
    rig_flush(rig);
    assert_false(rig_status(rig).suspect);
    rig_free(rig);
}

/* The proof is there, but a snapshot has taken the place of the log: it has to be installed first.
 */
static void a_suspect_member_waits_for_a_snapshot_that_came_after_the_proof(void **state)
{
    (void)state;
    struct rig *rig = suspect_with_proof();
    rig->hold_disk = true;
    rig->hold_apply = true;
    rig_append(rig, 1, 1, 1, 3, 3);
    snapshot(rig, &(struct raft_conf_state){.voters = {1, 2, 3}, .voter_count = 3});
    assert_true(rig->install_wanted);
    rig_flush(rig);
    assert_true(rig_status(rig).suspect);
    raft_snapshot_installed(rig->raft);
    assert_false(rig_status(rig).suspect);
    rig_free(rig);
}

static void what_observers_ask_for_that_is_not_there_is_said_so(void **state)
{
    (void)state;
    struct rig *rig = rig_new(3, RAFT_NO_ID);
    struct raft_progress_status status;
    rig_append(rig, 1, 0, 0, 5, 5);
    assert_int_equal(raft_progress_of(rig->raft, 2, &status), E_NOT_FOUND);
    raft_compact(rig->raft, 2);
    assert_null(raft_entry_of(rig->raft, 2));
    assert_int_equal(raft_entry_of(rig->raft, 3)->index, 3);
    assert_null(raft_entry_of(rig->raft, 6));
    assert_int_equal(raft_term_of(rig->raft, 2), 1);
    assert_int_equal(raft_term_of(rig->raft, 1), 0);
    assert_int_equal(raft_term_of(rig->raft, 6), 0);
    assert_string_equal(raft_role_name(RAFT_LEADER), "leader");
    assert_string_equal(raft_role_name((enum raft_role)9), "unknown");
    assert_string_equal(raft_message_name(RAFT_MSG_PRE_VOTE_RESP), "MsgPreVoteResp");
    assert_string_equal(raft_message_name((enum raft_message_type)99), "unknown");
    rig_free(rig);
}

static void applied_told_again_changes_nothing(void **state)
{
    (void)state;
    struct rig *rig = rig_new(3, RAFT_NO_ID);
    rig_append(rig, 1, 0, 0, 5, 5);
    raft_applied(rig->raft, 3);
    assert_int_equal(rig_status(rig).applied_index, 5);
    raft_compact(rig->raft, 4);
    raft_compact(rig->raft, 2); /* compacted already */
    assert_int_equal(rig_status(rig).first_index, 5);
    rig_free(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_message_that_claims_entries_and_has_none_is_dropped),
        cmocka_unit_test(a_message_with_a_context_that_is_too_long_is_dropped),
        cmocka_unit_test(a_snapshot_with_an_impossible_configuration_is_dropped),
        cmocka_unit_test(there_is_room_for_so_many_members_and_no_more),
        cmocka_unit_test(a_change_of_nobody_or_of_an_unknown_kind_changes_nothing),
        cmocka_unit_test(a_leader_that_leaves_lives_through_another_change),
        cmocka_unit_test(a_leader_that_leaves_answers_no_read_by_itself),
        cmocka_unit_test(an_earlier_flush_ends_for_what_it_had_when_later_entries_are_replaced),
        cmocka_unit_test(entries_may_be_replaced_before_anybody_has_seen_them),
        cmocka_unit_test(what_is_committed_at_once_is_handed_out_in_batches),
        cmocka_unit_test(at_the_end_of_the_terms_nobody_campaigns),
        cmocka_unit_test(a_leader_that_is_told_to_campaign_goes_on_leading),
        cmocka_unit_test(a_candidate_that_is_removed_or_demoted_does_not_win),
        cmocka_unit_test(a_leader_may_step_down_and_nobody_else_can),
        cmocka_unit_test(heartbeats_come_every_so_many_ticks),
        cmocka_unit_test(an_empty_payload_is_an_entry_like_any_other),
        cmocka_unit_test(many_appends_may_be_in_flight),
        cmocka_unit_test(a_refusal_that_agrees_with_what_it_refuses_still_moves),
        cmocka_unit_test(a_refusal_of_what_was_acknowledged_that_hints_at_no_less_is_old),
        cmocka_unit_test(a_snapshot_never_moves_the_next_index_back_below_the_match),
        cmocka_unit_test(a_round_that_was_never_sent_confirms_nothing),
        cmocka_unit_test(reads_that_are_too_long_or_too_many_are_refused),
        cmocka_unit_test(a_follower_takes_an_answer_that_is_as_long_as_a_suspects_question),
        cmocka_unit_test(a_suspect_member_waits_for_the_flush_that_has_the_proof),
        cmocka_unit_test(a_suspect_member_waits_for_a_snapshot_that_came_after_the_proof),
        cmocka_unit_test(what_observers_ask_for_that_is_not_there_is_said_so),
        cmocka_unit_test(applied_told_again_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
