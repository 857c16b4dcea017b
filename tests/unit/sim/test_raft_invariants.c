/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The checker is checked: for each rule of tests/sim/raft_invariants.h a history that breaks it,
 * and the nearest one that does not. Members are made by hand, so that they can lie.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "tests/sim/raft_invariants.h"

#define LOG_MAX 32u

/* A member made by hand. */
struct puppet {
    struct raft_view view;
    struct raft_entry log[LOG_MAX]; /* by index */
};

static const struct raft_entry *puppet_entry(const void *ctx, uint64_t index)
{
    return &((const struct puppet *)ctx)->log[index];
}

static void puppet_make(struct puppet *puppet, uint64_t id, uint32_t voters)
{
    *puppet = (struct puppet){.view = {.entry_at = puppet_entry}};
    puppet->view.ctx = puppet;
    puppet->view.status.id = id;
    puppet->view.status.first_index = 1;
    for (uint32_t i = 0; i < voters; i++) {
        puppet->view.conf.voters[i] = i + 1;
    }
    puppet->view.conf.voter_count = voters;
}

struct stage {
    struct raft_invariants *inv;
    struct puppet puppets[4]; /* [1] to [3]: members of a cluster of three */
};

static struct stage *stage_new(void)
{
    struct stage *stage = mem_zalloc(sizeof(*stage));
    stage->inv = raft_invariants_new();
    for (uint64_t id = 1; id <= 3; id++) {
        puppet_make(&stage->puppets[id], id, 3);
    }
    return stage;
}

static void stage_free(struct stage *stage)
{
    for (uint32_t id = 1; id <= 3; id++) {
        for (uint32_t i = 0; i < LOG_MAX; i++) {
            raft_payload_unref(stage->puppets[id].log[i].payload);
        }
    }
    raft_invariants_free(stage->inv);
    mem_free(stage);
}

static void watch(struct stage *stage, uint64_t id)
{
    raft_invariants_observe(stage->inv, &stage->puppets[id].view);
}

static void watch_all(struct stage *stage)
{
    for (uint64_t id = 1; id <= 3; id++) {
        watch(stage, id);
    }
}

static struct raft_status *status(struct stage *stage, uint64_t id)
{
    return &stage->puppets[id].view.status;
}

/* Puts an entry at the end of the log, durable at once. */
static void put(struct stage *stage, uint64_t id, uint64_t term, const char *text)
{
    struct raft_status *s = status(stage, id);
    s->last_index++;
    s->persisted_index = s->last_index;
    stage->puppets[id].log[s->last_index] = (struct raft_entry){
        .index = s->last_index, .term = term, .payload = raft_payload_new(bytes_of_str(text))};
}

/* Takes entries off the end. */
static void cut(struct stage *stage, uint64_t id, uint64_t last)
{
    struct puppet *puppet = &stage->puppets[id];
    struct raft_status *s = &puppet->view.status;
    for (uint64_t i = last + 1; i <= s->last_index; i++) {
        raft_payload_unref(puppet->log[i].payload);
        puppet->log[i] = (struct raft_entry){0};
    }
    s->last_index = last;
    s->persisted_index = last < s->persisted_index ? last : s->persisted_index;
    puppet->view.log_rewrites++;
}

static void term(struct stage *stage, uint64_t id, uint64_t to, enum raft_role role)
{
    struct raft_status *s = status(stage, id);
    s->vote = s->term == to ? s->vote : RAFT_NO_ID;
    s->term = to;
    s->role = role;
    s->vote = role == RAFT_LEADER ? id : s->vote;
}

/* Member 1 leads term 1 and has committed "a" and "b"; 2 and 3 hold both and know. */
static struct stage *stage_of_two_commits(void)
{
    struct stage *stage = stage_new();
    watch_all(stage);
    for (uint64_t id = 1; id <= 3; id++) {
        term(stage, id, 1, id == 1 ? RAFT_LEADER : RAFT_FOLLOWER);
        put(stage, id, 1, "a");
        put(stage, id, 1, "b");
    }
    watch_all(stage);
    for (uint64_t id = 1; id <= 3; id++) {
        status(stage, id)->commit_index = 2;
        watch(stage, id);
    }
    assert_null(raft_invariants_failure(stage->inv));
    assert_int_equal(raft_invariants_committed(stage->inv), 2);
    assert_int_equal(raft_invariants_committed_term(stage->inv, 2), 1);
    return stage;
}

static void assert_broken(struct stage *stage, const char *rule)
{
    const char *failure = raft_invariants_failure(stage->inv);
    assert_non_null(failure);
    if (strncmp(failure, rule, strlen(rule)) != 0) {
        fail_msg("expected \"%s ...\", got \"%s\"", rule, failure);
    }
    stage_free(stage);
}

static void assert_whole(struct stage *stage)
{
    const char *failure = raft_invariants_failure(stage->inv);
    if (failure != NULL) {
        fail_msg("%s", failure);
    }
    stage_free(stage);
}

static void two_leaders_in_one_term_are_seen_even_one_after_the_other(void **state)
{
    (void)state;
    struct stage *stage = stage_of_two_commits();
    term(stage, 2, 2, RAFT_LEADER);
    watch(stage, 2);
    term(stage, 2, 2, RAFT_FOLLOWER);
    watch(stage, 2);
    term(stage, 3, 2, RAFT_LEADER);
    watch(stage, 3);
    assert_broken(stage, "Election Safety");

    stage = stage_of_two_commits();
    term(stage, 2, 2, RAFT_LEADER);
    watch(stage, 2);
    term(stage, 3, 3, RAFT_LEADER);
    watch(stage, 3);
    assert_whole(stage);
}

static void a_leader_that_cuts_its_own_log_is_seen(void **state)
{
    (void)state;
    struct stage *stage = stage_of_two_commits();
    put(stage, 1, 1, "c");
    watch(stage, 1);
    cut(stage, 1, 2);
    put(stage, 1, 1, "d");
    watch(stage, 1);
    assert_broken(stage, "Leader Append-Only");

    stage = stage_of_two_commits();
    put(stage, 1, 1, "c");
    watch(stage, 1);
    term(stage, 1, 2, RAFT_FOLLOWER);
    cut(stage, 1, 2);
    put(stage, 1, 2, "d");
    watch(stage, 1);
    assert_whole(stage);
}

static void two_entries_of_one_place_and_term_are_seen(void **state)
{
    (void)state;
    struct stage *stage = stage_of_two_commits();
    put(stage, 1, 1, "c");
    put(stage, 2, 1, "x");
    watch(stage, 1);
    watch(stage, 2);
    assert_broken(stage, "Log Matching");
}

static void logs_that_agree_after_a_difference_are_seen(void **state)
{
    (void)state;
    struct stage *stage = stage_of_two_commits();
    term(stage, 2, 3, RAFT_FOLLOWER);
    term(stage, 3, 3, RAFT_FOLLOWER);
    put(stage, 2, 2, "c");
    put(stage, 2, 3, "e");
    watch(stage, 2);
    put(stage, 3, 1, "x"); /* differs from 2's entry 3, and then agrees on 4 */
    put(stage, 3, 3, "e");
    watch(stage, 3);
    assert_broken(stage, "Log Matching");
}

static void terms_that_fall_along_a_log_are_seen(void **state)
{
    (void)state;
    struct stage *stage = stage_of_two_commits();
    term(stage, 2, 3, RAFT_FOLLOWER);
    put(stage, 2, 3, "c");
    put(stage, 2, 2, "d");
    watch(stage, 2);
    assert_broken(stage, "Log Matching");
}

static void a_cut_is_followed_by_reading_again(void **state)
{
    (void)state;
    struct stage *stage = stage_of_two_commits();
    put(stage, 2, 1, "c");
    put(stage, 2, 1, "d");
    watch(stage, 2);
    term(stage, 2, 2, RAFT_FOLLOWER);
    cut(stage, 2, 2);
    put(stage, 2, 2, "e");
    put(stage, 2, 2, "f");
    watch(stage, 2);
    put(stage, 3, 1, "c");
    term(stage, 3, 2, RAFT_FOLLOWER);
    watch(stage, 3);
    cut(stage, 3, 2);
    put(stage, 3, 2, "e");
    put(stage, 3, 2, "F");
    watch(stage, 3);
    assert_broken(stage, "Log Matching");
}

static void a_leader_without_a_committed_entry_is_seen(void **state)
{
    (void)state;
    struct stage *stage = stage_new();
    watch_all(stage);
    for (uint64_t id = 1; id <= 2; id++) {
        term(stage, id, 1, id == 1 ? RAFT_LEADER : RAFT_FOLLOWER);
        put(stage, id, 1, "a");
        watch(stage, id);
    }
    status(stage, 1)->commit_index = 1;
    watch(stage, 1);
    assert_null(raft_invariants_failure(stage->inv));
    term(stage, 3, 2, RAFT_LEADER);
    watch(stage, 3);
    assert_broken(stage, "Leader Completeness");
}

static void a_leader_with_another_entry_in_a_committed_place_is_seen(void **state)
{
    (void)state;
    struct stage *stage = stage_new();
    watch_all(stage);
    for (uint64_t id = 1; id <= 2; id++) {
        term(stage, id, 2, id == 1 ? RAFT_LEADER : RAFT_FOLLOWER);
        put(stage, id, 2, "a");
        watch(stage, id);
    }
    status(stage, 1)->commit_index = 1;
    watch(stage, 1);
    term(stage, 3, 3, RAFT_LEADER);
    put(stage, 3, 1, "z");
    watch(stage, 3);
    assert_broken(stage, "Leader Completeness");
}

static void a_leader_of_the_same_time_need_not_have_what_is_committed_later(void **state)
{
    (void)state;
    struct stage *stage = stage_of_two_commits();
    term(stage, 2, 5, RAFT_LEADER);
    put(stage, 2, 5, "n");
    watch(stage, 2);
    put(stage, 3, 5, "n");
    term(stage, 3, 5, RAFT_FOLLOWER);
    watch(stage, 3);
    status(stage, 2)->commit_index = 3;
    watch(stage, 2);
    term(stage, 1, 4, RAFT_LEADER); /* was elected before and learns of it only now */
    watch(stage, 1);
    assert_whole(stage);
}

static void different_entries_committed_at_one_place_are_seen(void **state)
{
    (void)state;
    struct stage *stage = stage_of_two_commits();
    term(stage, 3, 2, RAFT_FOLLOWER);
    put(stage, 3, 2, "x");
    watch(stage, 3);
    put(stage, 1, 1, "c");
    put(stage, 2, 1, "c");
    watch(stage, 2);
    status(stage, 1)->commit_index = 3;
    watch(stage, 1);
    assert_null(raft_invariants_failure(stage->inv));
    status(stage, 3)->commit_index = 3;
    watch(stage, 3);
    assert_broken(stage, "State Machine Safety");
}

static void a_commit_index_or_a_term_that_falls_is_seen(void **state)
{
    (void)state;
    struct stage *stage = stage_of_two_commits();
    status(stage, 2)->commit_index = 1;
    watch(stage, 2);
    assert_broken(stage, "Monotone");

    stage = stage_of_two_commits();
    term(stage, 2, 3, RAFT_FOLLOWER);
    watch(stage, 2);
    term(stage, 2, 2, RAFT_FOLLOWER);
    watch(stage, 2);
    assert_broken(stage, "Monotone");

    stage = stage_of_two_commits();
    status(stage, 2)->applied_index = 2;
    watch(stage, 2);
    status(stage, 2)->applied_index = 1;
    watch(stage, 2);
    assert_broken(stage, "Monotone");
}

static void a_log_cut_below_the_commit_index_is_seen(void **state)
{
    (void)state;
    struct stage *stage = stage_of_two_commits();
    cut(stage, 2, 1);
    watch(stage, 2);
    assert_broken(stage, "Cursors");

    stage = stage_of_two_commits();
    term(stage, 2, 2, RAFT_FOLLOWER);
    cut(stage, 2, 1);
    put(stage, 2, 2, "x");
    watch(stage, 2);
    assert_broken(stage, "Monotone");
}

static void a_commit_without_a_quorum_of_disks_is_seen(void **state)
{
    (void)state;
    struct stage *stage = stage_of_two_commits();
    put(stage, 1, 1, "c");
    put(stage, 2, 1, "c");
    status(stage, 2)->persisted_index = 2; /* 2 has it in memory only */
    watch(stage, 2);
    status(stage, 1)->commit_index = 3;
    watch(stage, 1);
    assert_broken(stage, "Durable: 1 commits 3 with 1 of 3 disks");
}

static void a_removed_voters_disk_does_not_count(void **state)
{
    (void)state;
    struct stage *stage = stage_of_two_commits();
    for (uint64_t id = 1; id <= 3; id++) {
        struct raft_conf_state *conf = &stage->puppets[id].view.conf;
        *conf = (struct raft_conf_state){.voters = {1, 2}, .voter_count = 2, .learners = {3}};
        conf->learner_count = 1;
        watch(stage, id);
    }
    put(stage, 1, 1, "c");
    put(stage, 3, 1, "c");
    watch(stage, 3);
    status(stage, 1)->commit_index = 3;
    watch(stage, 1);
    assert_broken(stage, "Durable: 1 commits 3 with 1 of 2 disks");
}

static void copies_of_an_older_entry_are_not_a_commit(void **state)
{
    (void)state;
    struct stage *stage = stage_of_two_commits();
    put(stage, 2, 1, "c");
    put(stage, 3, 1, "c");
    watch(stage, 3);
    term(stage, 2, 2, RAFT_LEADER);
    watch(stage, 2);
    status(stage, 2)->commit_index = 3;
    watch(stage, 2);
    assert_broken(stage, "Leader 2 of term 2 counts copies");
}

static void
a_log_that_lost_durable_entries_over_a_restart_is_seen_unless_it_is_suspect(void **state)
{
    (void)state;
    for (int is_suspect = 0; is_suspect <= 1; is_suspect++) {
        struct stage *stage = stage_of_two_commits();
        put(stage, 3, 1, "c");
        watch(stage, 3);
        raft_invariants_stopped(stage->inv, 3);
        cut(stage, 3, 2);
        status(stage, 3)->suspect = is_suspect == 1;
        watch(stage, 3);
        if (is_suspect == 1) {
            assert_whole(stage);
        } else {
            assert_broken(stage, "Durable: 3 has lost or changed");
        }
    }
}

static void what_was_not_durable_may_be_lost_over_a_restart(void **state)
{
    (void)state;
    struct stage *stage = stage_of_two_commits();
    put(stage, 3, 1, "c");
    status(stage, 3)->persisted_index = 2;
    watch(stage, 3);
    raft_invariants_stopped(stage->inv, 3);
    cut(stage, 3, 2);
    status(stage, 3)->commit_index = 1; /* nobody had told the disk */
    watch(stage, 3);
    assert_whole(stage);
}

static void a_log_that_changed_over_a_restart_is_seen(void **state)
{
    (void)state;
    struct stage *stage = stage_of_two_commits();
    put(stage, 3, 1, "c");
    watch(stage, 3);
    raft_invariants_stopped(stage->inv, 3);
    cut(stage, 3, 2);
    term(stage, 3, 2, RAFT_FOLLOWER);
    put(stage, 3, 2, "x");
    watch(stage, 3);
    assert_broken(stage, "Durable: 3 has lost or changed");
}

static void a_hard_state_that_falls_over_a_restart_is_seen(void **state)
{
    (void)state;
    static const struct raft_hard_state DURABLE[] = {
        {.term = 2}, {.term = 1, .commit = 2}, {.term = 1, .vote = 1}};
    static const char *const RULES[] = {"Monotone", "Monotone", "One Vote"};
    for (size_t i = 0; i < ARRAY_COUNT(DURABLE); i++) {
        struct stage *stage = stage_of_two_commits();
        raft_invariants_durable(stage->inv, 3, &DURABLE[i]);
        raft_invariants_stopped(stage->inv, 3);
        status(stage, 3)->commit_index = 1;
        watch(stage, 3);
        assert_broken(stage, RULES[i]);
    }
}

static void a_second_vote_in_a_term_is_seen(void **state)
{
    (void)state;
    struct stage *stage = stage_of_two_commits();
    term(stage, 3, 2, RAFT_FOLLOWER);
    status(stage, 3)->vote = 1;
    watch(stage, 3);
    status(stage, 3)->vote = 2;
    watch(stage, 3);
    assert_broken(stage, "One Vote");

    stage = stage_of_two_commits();
    struct raft_message vote = {.type = RAFT_MSG_VOTE_RESP, .from = 3, .to = 1, .term = 2};
    raft_invariants_sent(stage->inv, &vote);
    raft_invariants_stopped(stage->inv, 3);
    watch(stage, 3);
    raft_invariants_sent(stage->inv, &vote); /* the same again is nothing new */
    assert_null(raft_invariants_failure(stage->inv));
    vote.to = 2;
    raft_invariants_sent(stage->inv, &vote);
    assert_broken(stage, "One Vote");

    stage = stage_of_two_commits();
    raft_invariants_sent(stage->inv,
                         &(struct raft_message){.type = RAFT_MSG_VOTE, .from = 3, .term = 2});
    vote.reject = true;
    raft_invariants_sent(stage->inv, &vote);
    assert_null(raft_invariants_failure(stage->inv));
    vote.reject = false;
    raft_invariants_sent(stage->inv, &vote);
    assert_broken(stage, "One Vote");
}

static void promises_before_the_disk_knows_are_seen(void **state)
{
    (void)state;
    struct stage *stage = stage_of_two_commits();
    raft_invariants_durable(stage->inv, 3, &(struct raft_hard_state){.term = 1});
    raft_invariants_sent(
        stage->inv,
        &(struct raft_message){.type = RAFT_MSG_VOTE_RESP, .from = 3, .to = 1, .term = 2});
    assert_broken(stage, "Durable");

    stage = stage_of_two_commits();
    struct raft_message ack = {.type = RAFT_MSG_APP_RESP, .from = 3, .to = 1, .term = 1};
    ack.index = 2;
    raft_invariants_sent(stage->inv, &ack);
    assert_null(raft_invariants_failure(stage->inv));
    ack.index = 3;
    raft_invariants_sent(stage->inv, &ack);
    assert_broken(stage, "Durable");

    /* In a later term the log may have been cut since. */
    stage = stage_of_two_commits();
    term(stage, 3, 2, RAFT_FOLLOWER);
    watch(stage, 3);
    raft_invariants_sent(stage->inv, &ack);
    assert_whole(stage);
}

static void a_commit_index_that_nobody_has_is_seen_in_a_message(void **state)
{
    (void)state;
    struct stage *stage = stage_of_two_commits();
    struct raft_message beat = {.type = RAFT_MSG_HEARTBEAT, .from = 1, .to = 2, .commit = 2};
    raft_invariants_sent(stage->inv, &beat);
    assert_null(raft_invariants_failure(stage->inv));
    beat.commit = 3;
    raft_invariants_sent(stage->inv, &beat);
    assert_broken(stage, "State Machine Safety");
}

static void applying_something_else_or_too_early_is_seen(void **state)
{
    (void)state;
    struct stage *stage = stage_of_two_commits();
    const struct raft_entry *log = stage->puppets[1].log;
    raft_invariants_applied(stage->inv, 1, &log[1], &stage->puppets[1].view.conf);
    raft_invariants_applied(stage->inv, 1, &log[2], NULL);
    assert_null(raft_invariants_failure(stage->inv));
    raft_invariants_applied(stage->inv, 1, &log[2], NULL); /* twice */
    assert_broken(stage, "State Machine Safety");

    stage = stage_of_two_commits();
    raft_invariants_applied(stage->inv, 1, &stage->puppets[1].log[2], NULL); /* a gap */
    assert_broken(stage, "State Machine Safety");

    stage = stage_of_two_commits();
    struct raft_entry other = {
        .index = 1, .term = 1, .payload = raft_payload_new(bytes_of_str("b"))};
    raft_invariants_applied(stage->inv, 1, &other, NULL);
    raft_payload_unref(other.payload);
    assert_broken(stage, "State Machine Safety");

    stage = stage_of_two_commits();
    put(stage, 1, 1, "c");
    watch(stage, 1);
    status(stage, 1)->applied_index = 3;
    watch(stage, 1);
    assert_broken(stage, "Durable: 1 applied 3, committed 2");
}

static void another_configuration_at_one_place_is_seen(void **state)
{
    (void)state;
    struct stage *stage = stage_of_two_commits();
    struct raft_conf_state other = {.voters = {1, 2}, .voter_count = 2};
    const struct raft_entry *entry = &stage->puppets[1].log[1];
    raft_invariants_applied(stage->inv, 1, entry, &stage->puppets[1].view.conf);
    raft_invariants_applied(stage->inv, 2, entry, &other);
    assert_broken(stage, "State Machine Safety");
}

static void a_snapshot_of_what_nobody_committed_is_seen(void **state)
{
    (void)state;
    static const struct {
        uint64_t index, term;
        bool whole;
    } CASES[] = {{2, 1, true}, {2, 2, false}, {3, 1, false}};
    for (size_t i = 0; i < ARRAY_COUNT(CASES); i++) {
        struct stage *stage = stage_of_two_commits();
        struct raft_snapshot_mark mark = {.index = CASES[i].index, .term = CASES[i].term};
        raft_invariants_sent(
            stage->inv,
            &(struct raft_message){.type = RAFT_MSG_SNAP, .from = 1, .to = 3, .snapshot = &mark});
        if (CASES[i].whole) {
            assert_whole(stage);
        } else {
            assert_broken(stage, "State Machine Safety");
        }
    }
}

/* Member 3 has lost its place in the log and gets a snapshot of index and term. */
static void install(struct stage *stage, uint64_t index, uint64_t snapshot_term)
{
    struct raft_status *s = status(stage, 3);
    cut(stage, 3, 0);
    s->first_index = index + 1;
    s->last_index = s->commit_index = s->persisted_index = index;
    stage->puppets[3].view.mark_term = snapshot_term;
    watch(stage, 3);
}

static void a_snapshot_must_end_at_something_committed(void **state)
{
    (void)state;
    for (int wrong = 0; wrong <= 1; wrong++) {
        struct stage *stage = stage_of_two_commits();
        put(stage, 1, 1, "c");
        put(stage, 2, 1, "c");
        watch(stage, 2);
        status(stage, 1)->commit_index = 3;
        watch(stage, 1);
        install(stage, 3, wrong == 1 ? 2 : 1);
        status(stage, 3)->applied_index = 3;
        watch(stage, 3);
        put(stage, 3, 1, "d");
        watch(stage, 3);
        if (wrong == 1) {
            assert_broken(stage, "State Machine Safety: the snapshot of 3");
        } else {
            assert_whole(stage);
        }
    }
}

static void a_snapshot_counts_for_the_disk_only_when_it_is_installed(void **state)
{
    (void)state;
    for (int installed = 0; installed <= 1; installed++) {
        struct stage *stage = stage_of_two_commits();
        put(stage, 1, 1, "c");
        put(stage, 2, 1, "c");
        watch(stage, 2);
        status(stage, 1)->commit_index = 3;
        watch(stage, 1);
        install(stage, 3, 1);
        if (installed == 1) {
            status(stage, 3)->applied_index = 3;
            watch(stage, 3);
        }
        raft_invariants_stopped(stage->inv, 3);
        puppet_make(&stage->puppets[3], 3, 3); /* starts with the log of before */
        term(stage, 3, 1, RAFT_FOLLOWER);
        put(stage, 3, 1, "a");
        put(stage, 3, 1, "b");
        watch(stage, 3);
        if (installed == 1) {
            assert_broken(stage, "Durable: 3 has lost or changed");
        } else {
            assert_whole(stage);
        }
    }
}

static void a_history_may_begin_with_a_snapshot_and_empty_members(void **state)
{
    (void)state;
    struct stage *stage = stage_new();
    for (uint64_t id = 1; id <= 2; id++) {
        struct raft_status *s = status(stage, id);
        s->first_index = 11;
        s->last_index = s->commit_index = s->persisted_index = s->applied_index = 10;
        stage->puppets[id].view.mark_term = 1;
        term(stage, id, 1, RAFT_FOLLOWER);
    }
    watch_all(stage); /* 3 has nothing at all */
    assert_int_equal(raft_invariants_committed(stage->inv), 10);
    term(stage, 1, 2, RAFT_LEADER);
    put(stage, 1, 2, "n");
    watch(stage, 1);
    term(stage, 3, 3, RAFT_LEADER);
    watch(stage, 3);
    assert_broken(stage, "Leader Completeness");
}

static void long_logs_are_trimmed_and_still_compared(void **state)
{
    (void)state;
    struct raft_config config = {
        .id = 1,
        .election_ticks = 10,
        .heartbeat_ticks = 1,
        .max_message_bytes = 1024,
        .max_inflight = 4,
        .mark = {.conf_state = {.voters = {1}, .voter_count = 1}},
    };
    struct raft *raft = raft_new(&config);
    struct raft_invariants *inv = raft_invariants_new();
    struct raft_effects effects;
    raft_invariants_watch(inv, raft);
    raft_campaign(raft);
    for (uint64_t round = 0; round < 6000; round++) {
        while (raft_take_effects(raft, &effects)) {
            raft_invariants_watch(inv, raft);
            for (uint32_t i = 0; i < effects.committed_count; i++) {
                raft_invariants_applied(inv, 1, &effects.committed[i], NULL);
                raft_applied(raft, effects.committed[i].index);
            }
            if (effects.has_persist) {
                raft_persisted(raft, effects.persist_ticket);
                raft_invariants_durable(inv, 1, &effects.hard_state);
            }
            raft_invariants_watch(inv, raft);
        }
        struct raft_payload *payload = raft_payload_new(bytes_of(&round, sizeof(round)));
        assert_int_equal(raft_propose(raft, &payload, 1), 0);
        if (round % 7 == 6) {
            raft_compact(raft, round - 3);
        }
    }
    struct raft_invariants_counts counts;
    raft_invariants_counts(inv, &counts);
    assert_null(raft_invariants_failure(inv));
    assert_int_equal(counts.elections, 1);
    assert_int_equal(counts.applied, 6000);
    assert_int_equal(counts.entries, 6000); /* each entry was read once */
    raft_invariants_free(inv);
    raft_free(raft);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_leaders_in_one_term_are_seen_even_one_after_the_other),
        cmocka_unit_test(a_leader_that_cuts_its_own_log_is_seen),
        cmocka_unit_test(two_entries_of_one_place_and_term_are_seen),
        cmocka_unit_test(logs_that_agree_after_a_difference_are_seen),
        cmocka_unit_test(terms_that_fall_along_a_log_are_seen),
        cmocka_unit_test(a_cut_is_followed_by_reading_again),
        cmocka_unit_test(a_leader_without_a_committed_entry_is_seen),
        cmocka_unit_test(a_leader_with_another_entry_in_a_committed_place_is_seen),
        cmocka_unit_test(a_leader_of_the_same_time_need_not_have_what_is_committed_later),
        cmocka_unit_test(different_entries_committed_at_one_place_are_seen),
        cmocka_unit_test(a_commit_index_or_a_term_that_falls_is_seen),
        cmocka_unit_test(a_log_cut_below_the_commit_index_is_seen),
        cmocka_unit_test(a_commit_without_a_quorum_of_disks_is_seen),
        cmocka_unit_test(a_removed_voters_disk_does_not_count),
        cmocka_unit_test(copies_of_an_older_entry_are_not_a_commit),
        cmocka_unit_test(
            a_log_that_lost_durable_entries_over_a_restart_is_seen_unless_it_is_suspect),
        cmocka_unit_test(what_was_not_durable_may_be_lost_over_a_restart),
        cmocka_unit_test(a_log_that_changed_over_a_restart_is_seen),
        cmocka_unit_test(a_hard_state_that_falls_over_a_restart_is_seen),
        cmocka_unit_test(a_second_vote_in_a_term_is_seen),
        cmocka_unit_test(promises_before_the_disk_knows_are_seen),
        cmocka_unit_test(a_commit_index_that_nobody_has_is_seen_in_a_message),
        cmocka_unit_test(applying_something_else_or_too_early_is_seen),
        cmocka_unit_test(another_configuration_at_one_place_is_seen),
        cmocka_unit_test(a_snapshot_of_what_nobody_committed_is_seen),
        cmocka_unit_test(a_snapshot_must_end_at_something_committed),
        cmocka_unit_test(a_snapshot_counts_for_the_disk_only_when_it_is_installed),
        cmocka_unit_test(a_history_may_begin_with_a_snapshot_and_empty_members),
        cmocka_unit_test(long_logs_are_trimmed_and_still_compared),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
