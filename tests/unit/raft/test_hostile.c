/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages that no honest member sends: garbage of every kind is dropped, nothing is asserted, and
 * the core can be stepped on afterwards. Random ones are made from numbers around every edge.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/err.h"
#include "base/rng.h"
#include "lib_rig.h"

#define HOSTILE_RUNS  300
#define HOSTILE_STEPS 400

static uint64_t pick(struct rng *rng)
{
    static const uint64_t EDGES[] = {0,
                                     1,
                                     2,
                                     3,
                                     4,
                                     5,
                                     6,
                                     7,
                                     8,
                                     9,
                                     1000,
                                     UINT32_MAX,
                                     INT64_MAX,
                                     UINT64_MAX,
                                     UINT64_MAX - 1,
                                     UINT64_MAX / 4,
                                     UINT64_MAX / 4 + 1,
                                     UINT64_MAX / 2};
    return rng_below(rng, 4) == 0 ? EDGES[rng_below(rng, ARRAY_COUNT(EDGES))] : rng_below(rng, 12);
}

static void hostile_entries(struct rng *rng, struct raft_message *message)
{
    uint32_t count = (uint32_t)rng_below(rng, 5);
    if (count == 0) {
        return;
    }
    message->entries = mem_array(count, sizeof(*message->entries));
    message->entry_count = count;
    bool dense = rng_below(rng, 3) != 0;
    for (uint32_t i = 0; i < count; i++) {
        message->entries[i] = (struct raft_entry){
            .index = dense ? message->index + 1 + i : pick(rng),
            .term = dense ? message->term : pick(rng),
            .type = (enum raft_entry_type)rng_below(rng, 5),
            .payload = rng_below(rng, 2) == 0 ? raft_payload_new(bytes_of_str("payload")) : NULL,
        };
    }
}

static void hostile_snapshot(struct rng *rng, struct raft_message *message)
{
    if (rng_below(rng, 4) == 0) {
        return;
    }
    message->snapshot = mem_zalloc(sizeof(*message->snapshot));
    struct raft_snapshot_mark *mark = message->snapshot;
    mark->index = pick(rng);
    mark->term = pick(rng);
    mark->conf_state.voter_count = (uint32_t)pick(rng);
    mark->conf_state.learner_count = (uint32_t)rng_below(rng, 3);
    for (uint32_t i = 0; i < 4; i++) {
        mark->conf_state.voters[i] = i + rng_below(rng, 3);
        mark->conf_state.learners[i] = 5 + i + rng_below(rng, 2);
    }
}

static struct raft_message hostile_message(struct rng *rng)
{
    struct raft_message message = {
        .type = (enum raft_message_type)rng_below(rng, 22),
        .to = 1,
        .from = 2 + rng_below(rng, 3),
        .term = pick(rng),
        .log_term = pick(rng),
        .index = pick(rng),
        .commit = pick(rng),
        .vote = pick(rng),
        .reject_hint = pick(rng),
        .reject = rng_below(rng, 2) == 0,
        .context_size = (uint8_t)(rng_below(rng, 2) == 0 ? 8 : rng_below(rng, 40)),
    };
    if (rng_below(rng, 20) == 0) {
        message.from = pick(rng);
    }
    if (rng_below(rng, 20) == 0) {
        message.to = pick(rng);
    }
    put_be64(message.context, pick(rng));
    if (message.type == RAFT_MSG_APP || message.type == RAFT_MSG_PROP) {
        hostile_entries(rng, &message);
    } else if (message.type == RAFT_MSG_SNAP) {
        hostile_snapshot(rng, &message);
    }
    return message;
}

static void nothing_that_arrives_can_stop_the_core(void **state)
{
    (void)state;
    struct rng rng;
    uint64_t leaders = 0;
    for (uint64_t run = 0; run < HOSTILE_RUNS; run++) {
        rng_seed(&rng, run);
        struct rig *rig = rig_new(1 + (uint32_t)rng_below(&rng, 4), run % 2 == 0 ? 6 : RAFT_NO_ID);
        for (int i = 0; i < HOSTILE_STEPS; i++) {
            struct raft_message message = hostile_message(&rng);
            raft_step(rig->raft, &message);
            assert_null(message.entries);
            if (rng_below(&rng, 8) == 0) {
                raft_tick(rig->raft);
            }
            if (rng_below(&rng, 40) == 0) {
                struct raft_payload *payload = raft_payload_new(bytes_of_str("own"));
                int rc = raft_propose(rig->raft, &payload, 1);
                assert_true(rc == E_OK || rc == E_UNAVAILABLE);
            }
            rig->hold_disk = rng_below(&rng, 3) == 0;
            rig_run(rig);
            rig_forget(rig);
            if (rig->install_wanted) {
                raft_snapshot_installed(rig->raft);
                rig->applied = rig->install.index;
                rig->install_wanted = false;
            }
            struct raft_status status = rig_status(rig);
            assert_true(status.commit_index <= status.last_index);
            assert_true(status.term <= UINT64_MAX / 4);
            leaders += status.role == RAFT_LEADER ? 1u : 0u;
        }
        rig_free(rig);
    }
    assert_true(leaders > 100); /* leaders were under fire as well */
}

static void a_term_at_the_end_of_the_numbers_is_not_believed(void **state)
{
    (void)state;
    struct rig *rig = rig_new(3, RAFT_NO_ID);
    rig_step(rig, (struct raft_message){.type = RAFT_MSG_VOTE, .from = 2, .term = UINT64_MAX});
    rig_step(rig, (struct raft_message){.type = RAFT_MSG_APP, .from = 2, .term = UINT64_MAX - 1});
    assert_int_equal(rig_status(rig).term, 0);
    assert_int_equal(rig->sent_count, 0);
    rig_free(rig);
}

static void an_append_with_a_gap_is_dropped(void **state)
{
    (void)state;
    struct rig *rig = rig_new(3, RAFT_NO_ID);
    struct raft_entry *entries = rig_entries(1, 3, 1);
    entries[1].index = 7;
    rig_step(rig,
             (struct raft_message){
                 .type = RAFT_MSG_APP, .from = 2, .term = 1, .entries = entries, .entry_count = 3});
    assert_int_equal(rig_status(rig).last_index, 0);
    rig_free(rig);
}

static void an_acknowledgement_of_what_was_never_written_is_dropped(void **state)
{
    (void)state;
    struct rig *rig = rig_new(3, RAFT_NO_ID);
    rig_lead(rig);
    rig_ack(rig, 2, 99);
    assert_int_equal(rig_status(rig).commit_index, 0);
    rig_free(rig);
}

static void a_second_leader_of_the_same_term_is_not_heard(void **state)
{
    (void)state;
    struct rig *rig = rig_new(3, RAFT_NO_ID);
    rig_step(rig, (struct raft_message){.type = RAFT_MSG_HEARTBEAT, .from = 2, .term = 4});
    rig_step(rig, (struct raft_message){.type = RAFT_MSG_HEARTBEAT, .from = 3, .term = 4});
    assert_int_equal(rig_status(rig).leader, 2);
    rig_free(rig);
}

static void strangers_do_not_vote_or_acknowledge(void **state)
{
    (void)state;
    struct rig *rig = rig_new(3, RAFT_NO_ID);
    rig_tick(rig, 20);
    for (uint64_t id = 10; id < 20; id++) {
        rig_step(rig, (struct raft_message){.type = RAFT_MSG_PRE_VOTE_RESP, .from = id, .term = 1});
    }
    assert_int_equal(rig_status(rig).role, RAFT_PRE_CANDIDATE);
    rig_free(rig);
}

static void local_messages_do_not_come_from_the_wire(void **state)
{
    (void)state;
    struct rig *rig = rig_new(3, RAFT_NO_ID);
    rig_step(rig, (struct raft_message){.type = RAFT_MSG_HUP, .from = 2, .term = 1});
    assert_int_equal(rig_status(rig).role, RAFT_FOLLOWER);
    assert_int_equal(rig_status(rig).term, 0);
    rig_free(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_that_arrives_can_stop_the_core),
        cmocka_unit_test(a_term_at_the_end_of_the_numbers_is_not_believed),
        cmocka_unit_test(an_append_with_a_gap_is_dropped),
        cmocka_unit_test(an_acknowledgement_of_what_was_never_written_is_dropped),
        cmocka_unit_test(a_second_leader_of_the_same_term_is_not_heard),
        cmocka_unit_test(strangers_do_not_vote_or_acknowledge),
        cmocka_unit_test(local_messages_do_not_come_from_the_wire),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
