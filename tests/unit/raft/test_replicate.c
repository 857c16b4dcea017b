/* SPDX-License-Identifier: Apache-2.0 */
/* Log replication, flow control, commit rules and snapshots, message by message. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/err.h"
#include "lib_rig.h"

static void an_acknowledgement_waits_for_the_disk(void **state)
{
    (void)state;
    struct rig *rig = rig_new(3, RAFT_NO_ID);
    rig->hold_disk = true;

    rig_append(rig, 1, 0, 0, 3, 0);
    assert_null(rig_sent(rig, RAFT_MSG_APP_RESP, 2));

    rig_flush(rig);
    assert_int_equal(rig_sent(rig, RAFT_MSG_APP_RESP, 2)->index, 3);
    rig_free(rig);
}

static void an_old_flush_does_not_speak_for_entries_that_replaced_it(void **state)
{
    (void)state;
    struct rig *rig = rig_new(3, RAFT_NO_ID);
    rig->hold_disk = true;
    rig_append(rig, 1, 0, 0, 3, 0);
    uint64_t old_ticket = rig->ticket;
    rig_append(rig, 2, 1, 1, 3, 3);
    assert_true(rig->ticket > old_ticket);

    raft_persisted(rig->raft, old_ticket);
    rig_run(rig);
    assert_int_equal(rig_status(rig).persisted_index, 1);
    assert_int_equal(rig_status(rig).commit_index, 3);
    assert_int_equal(rig->applied, 1);

    rig_flush(rig);
    assert_int_equal(rig->applied, 3);
    rig_free(rig);
}

static void a_gap_is_refused_with_a_hint_that_skips_whole_terms(void **state)
{
    (void)state;
    struct rig *rig = rig_new(3, RAFT_NO_ID);
    rig_append(rig, 1, 0, 0, 2, 0);
    rig_append(rig, 3, 2, 1, 9, 0);
    rig_forget(rig);

    rig_append(rig, 5, 7, 2, 7, 0); /* its entry 7 is of term 2, ours of term 3 */

    const struct raft_message *answer = rig_sent(rig, RAFT_MSG_APP_RESP, 2);
    assert_true(answer->reject);
    assert_int_equal(answer->index, 7);
    assert_int_equal(answer->reject_hint, 2);
    assert_int_equal(answer->log_term, 1);
    rig_free(rig);
}

static void a_late_short_append_cuts_nothing(void **state)
{
    (void)state;
    struct rig *rig = rig_new(3, RAFT_NO_ID);
    rig_append(rig, 1, 0, 0, 5, 0);
    rig_append(rig, 1, 0, 0, 2, 0);
    assert_int_equal(rig_status(rig).last_index, 5);
    rig_free(rig);
}

static void commit_goes_no_further_than_the_append_proved(void **state)
{
    (void)state;
    struct rig *rig = rig_new(3, RAFT_NO_ID);
    rig_append(rig, 1, 0, 0, 5, 0);
    rig_append(rig, 2, 1, 1, 2, 9); /* entry 2 is replaced, 3 to 5 are gone */
    assert_int_equal(rig_status(rig).last_index, 2);
    assert_int_equal(rig_status(rig).commit_index, 2);

    struct rig *other = rig_new(3, RAFT_NO_ID);
    rig_append(other, 1, 0, 0, 5, 0);
    rig_append(other, 2, 1, 1, 1, 9); /* nothing is said of 2 to 5 */
    assert_int_equal(rig_status(other).commit_index, 1);
    rig_free(other);
    rig_free(rig);
}

static void a_committed_entry_is_never_replaced(void **state)
{
    (void)state;
    struct rig *rig = rig_new(3, RAFT_NO_ID);
    rig_append(rig, 1, 0, 0, 3, 3);
    rig_append(rig, 2, 3, 1, 5, 3);
    rig_append(rig, 4, 2, 1, 3, 3); /* no true leader would */
    assert_int_equal(rig_status(rig).last_index, 5);
    assert_int_equal(raft_term_of(rig->raft, 3), 1);
    rig_free(rig);
}

/* The figure 8 of the Raft paper: an entry of an older term on a majority is not committed by that.
 */
static void copies_of_an_older_terms_entry_do_not_commit_it(void **state)
{
    (void)state;
    struct rig *rig = rig_new(3, RAFT_NO_ID);
    rig_append(rig, 2, 0, 0, 2, 0);
    rig_lead(rig);
    assert_int_equal(rig_status(rig).term, 3);

    rig_ack(rig, 3, 2);
    assert_int_equal(rig_status(rig).commit_index, 0);
    rig_ack(rig, 3, 3); /* its own no-op */
    assert_int_equal(rig_status(rig).commit_index, 3);
    rig_free(rig);
}

static void a_new_leader_writes_a_no_op(void **state)
{
    (void)state;
    struct rig *rig = rig_new(3, RAFT_NO_ID);
    rig_lead(rig);
    assert_int_equal(rig_status(rig).last_index, 1);
    assert_int_equal(raft_term_of(rig->raft, 1), rig_status(rig).term);
    rig_free(rig);
}

static void a_learner_does_not_count_for_commit(void **state)
{
    (void)state;
    struct rig *rig = rig_new(3, 4);
    rig_lead(rig);
    rig_ack(rig, 4, 1);
    assert_int_equal(rig_status(rig).commit_index, 0);
    rig_ack(rig, 2, 1);
    assert_int_equal(rig_status(rig).commit_index, 1);
    rig_free(rig);
}

static void a_leaders_own_copy_counts_once_it_is_durable(void **state)
{
    (void)state;
    struct rig *rig = rig_new(3, RAFT_NO_ID);
    rig_lead(rig);
    rig_ack(rig, 2, 1);
    rig->hold_disk = true;
    rig_propose(rig, "x");
    rig_ack(rig, 2, 2);
    assert_int_equal(rig_status(rig).commit_index, 1);
    rig_flush(rig);
    assert_int_equal(rig_status(rig).commit_index, 2);
    rig_free(rig);
}

static void a_probe_is_one_append_at_a_time(void **state)
{
    (void)state;
    struct rig *rig = rig_new(3, RAFT_NO_ID);
    rig_lead(rig);
    rig_propose(rig, "a");
    rig_propose(rig, "b");
    assert_int_equal(rig_sent_count(rig, RAFT_MSG_APP, 2), 0); /* the no-op's is unanswered */

    rig_ack(rig, 2, 1);
    assert_int_equal(rig_progress(rig, 2).state, RAFT_PROGRESS_REPLICATE);
    assert_int_equal(rig_sent(rig, RAFT_MSG_APP, 2)->entry_count, 2);
    rig_free(rig);
}

static void what_is_in_flight_is_bounded_and_freed_by_answers(void **state)
{
    (void)state;
    struct rig *rig = rig_new(3, RAFT_NO_ID);
    rig_lead(rig);
    rig_ack(rig, 2, 1);
    rig_forget(rig);
    for (int i = 0; i < 9; i++) {
        rig_propose(rig, "x");
    }
    assert_int_equal(rig_sent_count(rig, RAFT_MSG_APP, 2), 4);

    rig_ack(rig, 2, 3);
    assert_int_equal(rig_sent(rig, RAFT_MSG_APP, 2)->index, 5);
    assert_int_equal(rig_progress(rig, 2).next_index, 11);
    rig_free(rig);
}

static void an_append_carries_no_more_than_its_limit_of_bytes(void **state)
{
    (void)state;
    struct rig *rig = rig_new(3, RAFT_NO_ID);
    rig_lead(rig);
    char big[401] = {0};
    memset(big, 'x', 400);
    for (int i = 0; i < 6; i++) {
        rig_propose(rig, big);
    }
    rig_forget(rig);
    rig_ack(rig, 2, 1);
    assert_int_equal(rig_sent_count(rig, RAFT_MSG_APP, 2), 3);
    assert_int_equal(rig_sent(rig, RAFT_MSG_APP, 2)->entry_count, 2);
    rig_free(rig);
}

static void a_refused_append_steps_back_by_term_and_tries_again(void **state)
{
    (void)state;
    struct rig *rig = rig_new(3, RAFT_NO_ID);
    rig_append(rig, 1, 0, 0, 4, 0);
    rig_append(rig, 3, 4, 1, 9, 0);
    rig_lead(rig);
    rig_step(rig, (struct raft_message){.type = RAFT_MSG_APP_RESP,
                                        .from = 2,
                                        .reject = true,
                                        .index = 9,
                                        .reject_hint = 8,
                                        .log_term = 2});
    assert_int_equal(rig_sent(rig, RAFT_MSG_APP, 2)->index, 4);
    rig_free(rig);
}

static void a_lost_message_makes_a_probe_of_replication(void **state)
{
    (void)state;
    struct rig *rig = rig_new(3, RAFT_NO_ID);
    rig_lead(rig);
    rig_ack(rig, 2, 1);
    rig_propose(rig, "x");
    assert_int_equal(rig_progress(rig, 2).next_index, 3);
    raft_report_unreachable(rig->raft, 2);
    assert_int_equal(rig_progress(rig, 2).state, RAFT_PROGRESS_PROBE);
    assert_int_equal(rig_progress(rig, 2).next_index, 2);
    rig_free(rig);
}

static void a_heartbeat_tells_no_more_than_the_member_is_known_to_hold(void **state)
{
    (void)state;
    struct rig *rig = rig_new(3, RAFT_NO_ID);
    rig_lead(rig);
    rig_propose(rig, "x");
    rig_ack(rig, 2, 2);
    rig_tick(rig, 1);
    assert_int_equal(rig_sent(rig, RAFT_MSG_HEARTBEAT, 2)->commit, 2);
    assert_int_equal(rig_sent(rig, RAFT_MSG_HEARTBEAT, 3)->commit, 0);
    rig_free(rig);
}

/* A leader of three entries, compacted up to 2, that peer 3 has answered a heartbeat of. */
static struct rig *compacted_leader(void)
{
    struct rig *rig = rig_new(3, RAFT_NO_ID);
    rig_lead(rig);
    rig_propose(rig, "x");
    rig_propose(rig, "y");
    rig_ack(rig, 2, 3);
    assert_int_equal(rig->applied, 3);
    raft_compact(rig->raft, 2);
    rig_forget(rig);
    return rig;
}

static void who_is_behind_the_log_gets_a_snapshot_of_the_applied_state(void **state)
{
    (void)state;
    struct rig *rig = compacted_leader();
    rig_step(rig, (struct raft_message){.type = RAFT_MSG_HEARTBEAT_RESP, .from = 3});
    const struct raft_message *snap = rig_sent(rig, RAFT_MSG_SNAP, 3);
    assert_int_equal(snap->snapshot->index, 3);
    assert_int_equal(snap->snapshot->term, 1);
    assert_int_equal(snap->snapshot->conf_state.voter_count, 3);
    assert_int_equal(rig_progress(rig, 3).state, RAFT_PROGRESS_SNAPSHOT);

    rig_propose(rig, "z");
    assert_null(rig_sent(rig, RAFT_MSG_APP, 3));
    rig_ack(rig, 3, 3);
    assert_int_equal(rig_sent(rig, RAFT_MSG_APP, 3)->index, 3);
    rig_free(rig);
}

static void a_snapshot_that_failed_is_sent_again_after_a_heartbeat(void **state)
{
    (void)state;
    struct rig *rig = compacted_leader();
    rig_step(rig, (struct raft_message){.type = RAFT_MSG_HEARTBEAT_RESP, .from = 3});
    raft_report_snapshot(rig->raft, 3, false);
    rig_run(rig);
    assert_int_equal(rig_sent_count(rig, RAFT_MSG_SNAP, 3), 1);
    rig_step(rig, (struct raft_message){.type = RAFT_MSG_HEARTBEAT_RESP, .from = 3});
    assert_int_equal(rig_sent_count(rig, RAFT_MSG_SNAP, 3), 2);
    rig_free(rig);
}

static void a_snapshot_waits_while_the_configuration_is_ahead_of_the_index(void **state)
{
    (void)state;
    struct rig *rig = compacted_leader();
    struct raft_conf_state conf;
    rig->hold_apply = true;
    raft_apply_conf_change(rig->raft, &(struct raft_conf_change){RAFT_CONF_ADD_LEARNER, 4}, &conf);
    rig_step(rig, (struct raft_message){.type = RAFT_MSG_HEARTBEAT_RESP, .from = 3});
    assert_null(rig_sent(rig, RAFT_MSG_SNAP, 3));

    raft_applied(rig->raft, 3);
    rig_run(rig);
    assert_int_equal(rig_sent(rig, RAFT_MSG_SNAP, 3)->snapshot->conf_state.learner_count, 1);
    rig_free(rig);
}

static void step_snapshot(struct rig *rig, uint64_t index, uint64_t term, uint64_t member)
{
    struct raft_snapshot_mark *mark = mem_zalloc(sizeof(*mark));
    *mark = (struct raft_snapshot_mark){.index = index, .term = term};
    mark->conf_state =
        (struct raft_conf_state){.voters = {member, 2, 3}, .voter_count = member == 1 ? 3 : 0};
    rig_step(rig,
             (struct raft_message){.type = RAFT_MSG_SNAP, .from = 2, .term = 5, .snapshot = mark});
}

static void a_snapshot_is_answered_when_it_is_installed_and_durable(void **state)
{
    (void)state;
    struct rig *rig = rig_new(3, RAFT_NO_ID);
    rig->hold_apply = true;
    rig_append(rig, 1, 0, 0, 3, 1);
    rig_forget(rig);

    step_snapshot(rig, 10, 4, 1);
    assert_true(rig->install_wanted);
    assert_int_equal(rig->install.index, 10);
    assert_null(rig_sent(rig, RAFT_MSG_APP_RESP, 2));

    raft_snapshot_installed(rig->raft);
    rig->applied = 10;
    rig_run(rig);
    assert_int_equal(rig_sent(rig, RAFT_MSG_APP_RESP, 2)->index, 10);
    assert_int_equal(rig_status(rig).first_index, 11);
    assert_int_equal(rig_status(rig).commit_index, 10);
    rig_free(rig);
}

static void after_a_snapshot_older_than_the_applied_state_all_is_applied_again(void **state)
{
    (void)state;
    struct raft_config config = {
        .suspect = true,
        .applied_index = 10, /* the state machine was ahead of a log that rot has emptied */
        .mark = {.conf_state = {.voters = {1, 2, 3}, .voter_count = 3}},
    };
    struct rig *rig = rig_new_with(config);
    rig->hold_apply = true;
    step_snapshot(rig, 8, 4, 1);
    assert_true(rig->install_wanted);
    raft_snapshot_installed(rig->raft);
    rig->applied = 8;
    rig_append(rig, 5, 8, 4, 12, 12);
    assert_int_equal(rig->applied, 12);
    rig_free(rig);
}

static void a_snapshot_of_what_is_here_already_only_moves_the_commit_index(void **state)
{
    (void)state;
    struct rig *rig = rig_new(3, RAFT_NO_ID);
    rig_append(rig, 4, 0, 0, 6, 1);
    step_snapshot(rig, 5, 4, 1);
    assert_false(rig->install_wanted);
    assert_int_equal(rig_status(rig).commit_index, 5);
    assert_int_equal(rig_status(rig).last_index, 6);
    rig_free(rig);
}

static void a_snapshot_without_this_member_is_refused(void **state)
{
    (void)state;
    struct rig *rig = rig_new(3, RAFT_NO_ID);
    step_snapshot(rig, 10, 4, 0);
    assert_false(rig->install_wanted);
    assert_int_equal(rig_status(rig).commit_index, 0);
    assert_int_equal(rig_sent(rig, RAFT_MSG_APP_RESP, 2)->index, 0);
    rig_free(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_acknowledgement_waits_for_the_disk),
        cmocka_unit_test(an_old_flush_does_not_speak_for_entries_that_replaced_it),
        cmocka_unit_test(a_gap_is_refused_with_a_hint_that_skips_whole_terms),
        cmocka_unit_test(a_late_short_append_cuts_nothing),
        cmocka_unit_test(commit_goes_no_further_than_the_append_proved),
        cmocka_unit_test(a_committed_entry_is_never_replaced),
        cmocka_unit_test(copies_of_an_older_terms_entry_do_not_commit_it),
        cmocka_unit_test(a_new_leader_writes_a_no_op),
        cmocka_unit_test(a_learner_does_not_count_for_commit),
        cmocka_unit_test(a_leaders_own_copy_counts_once_it_is_durable),
        cmocka_unit_test(a_probe_is_one_append_at_a_time),
        cmocka_unit_test(what_is_in_flight_is_bounded_and_freed_by_answers),
        cmocka_unit_test(an_append_carries_no_more_than_its_limit_of_bytes),
        cmocka_unit_test(a_refused_append_steps_back_by_term_and_tries_again),
        cmocka_unit_test(a_lost_message_makes_a_probe_of_replication),
        cmocka_unit_test(a_heartbeat_tells_no_more_than_the_member_is_known_to_hold),
        cmocka_unit_test(who_is_behind_the_log_gets_a_snapshot_of_the_applied_state),
        cmocka_unit_test(a_snapshot_that_failed_is_sent_again_after_a_heartbeat),
        cmocka_unit_test(a_snapshot_waits_while_the_configuration_is_ahead_of_the_index),
        cmocka_unit_test(a_snapshot_is_answered_when_it_is_installed_and_durable),
        cmocka_unit_test(after_a_snapshot_older_than_the_applied_state_all_is_applied_again),
        cmocka_unit_test(a_snapshot_of_what_is_here_already_only_moves_the_commit_index),
        cmocka_unit_test(a_snapshot_without_this_member_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
