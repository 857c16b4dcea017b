/* SPDX-License-Identifier: Apache-2.0 */
/* The named scenarios. Each is short, so that every call of it can be made to fail. */
#include "tests/sim/callk/run.h"

#define TRIES    6
#define RETRY_MS 300u
#define MARK_MS  1100u /* in which the durability mark is written, the next segment prepared */
#define OUT      1     /* slot of the member that is removed */
#define NEWCOMER 3
#define MEMORY   FAILURE_BIT(MALLOC)
#define DISK                                                                                       \
    (FAILURE_BIT(OPEN) | FAILURE_BIT(READ) | FAILURE_BIT(WRITE) | FAILURE_BIT(SYNC) |              \
     FAILURE_BIT(RENAME) | FAILURE_BIT(REMOVE) | FAILURE_BIT(COMMIT))
#define NET  (FAILURE_BIT(SEND) | FAILURE_BIT(BREAK))
#define FULL (FAILURE_BIT(ENOSPC) | FAILURE_BIT(ROOM))

static void script_one(void)
{
    wait_ready(0);
    drive(18);
    wait_ms(MARK_MS);
    admin_compact(0);
    drive(10);
    member_stop(0);
    member_start(0);
    wait_ready(0);
    drive(6);
}

static void three_begin(void)
{
    wait_ready(0);
    wait_ready(1);
    wait_ready(2);
    admin_lead(0);
}

static void script_three(void)
{
    three_begin();
    drive(16);
    wait_ms(MARK_MS);
    admin_compact(pick_running());
    admin_lead(1);
    drive(6);
    member_stop(2);
    drive(6);
    member_start(2);
    wait_ready(2);
    drive(6);
}

static void script_snapshot(void)
{
    three_begin();
    drive(4);
    member_stop(2);
    drive(30);
    member_start(2);
    wait_caught_up(2);
    drive(6);
    wait_ms(MARK_MS);
    drive(4);
}

/* ---- membership; what was left undone is done after the repair ---- */

static bool newcomer_votes(void)
{
    struct admin_member member;
    char cluster[SETUP_TEXT_MAX];
    for (int i = 0; i < TRIES; i++) {
        int node = pick_running();
        if (node == SIM_NOBODY || !admin_member_look(NEWCOMER, &member, cluster)) {
            wait_ms(RETRY_MS);
        } else if (member.id == 0) {
            admin_member_add(node, NEWCOMER);
        } else if (!member.is_learner) {
            return true;
        } else {
            member_joins(NEWCOMER, cluster);
            wait_caught_up(NEWCOMER);
            admin_member_promote(node, member.id);
        }
    }
    return false;
}

static bool old_one_is_gone(void)
{
    struct admin_member member;
    for (int i = 0; i < TRIES; i++) {
        int node = pick_running();
        if (node == SIM_NOBODY || !admin_member_look(OUT, &member, NULL)) {
            wait_ms(RETRY_MS);
        } else if (member.id == 0) {
            return true;
        } else {
            member_leaves(OUT);
            admin_member_remove(node, member.id);
        }
    }
    return false;
}

static void script_members(void)
{
    three_begin();
    drive(8);
    if (newcomer_votes()) {
        drive(4);
        (void)old_one_is_gone();
    }
    drive(6);
}

static bool settle_members(void)
{
    return newcomer_votes() && old_one_is_gone();
}

/* ---- power cuts ---- */

static void script_recovery(void)
{
    wait_ready(0);
    drive(24);
    drive_begin(8);
    wait_ms(40);
    member_power_cut(0);
    calls_count_from_here();
    member_start(0);
    wait_ready(0);
    drive(12); /* a snapshot of its own falls into it */
    wait_ms(MARK_MS);
    drive(4);
}

static void script_recovery_three(void)
{
    three_begin();
    drive(20);
    drive_begin(10);
    wait_ms(40);
    member_power_cut(0);
    calls_count_from_here();
    wait_ms(1500);
    member_start(0);
    wait_caught_up(0);
    drive(6);
}

/* ---- maintenance, full disks ---- */

static void script_maintenance(void)
{
    wait_ready(0);
    drive(10);
    drive_begin(16);
    admin_defragment(0);
    admin_snapshot(0);
    drive_wait();
    admin_compact(0);
    admin_snapshot(0);
    admin_defragment(0);
    drive(6);
}

/* Reads are served without room. */
static void look_at_reads(int slot)
{
    if (!run_is_without_room() || !member_is_ready(slot)) {
        return;
    }
    if (!admin_read_all(slot, true)) {
        sim_violation("full", "n%d has no room and serves no serializable read", slot);
    }
    if (leader_now() != SIM_NOBODY && !admin_read_all(slot, false) && run_is_without_room() &&
        member_is_ready(slot) && leader_now() != SIM_NOBODY) {
        wait_ms(2000); /* the leadership may have been on its way */
        if (!admin_read_all(slot, false) && leader_now() != SIM_NOBODY) {
            sim_violation("full", "n%d has no room and serves no linearizable read", slot);
        }
    }
}

static void script_full(void)
{
    wait_ready(0);
    drive(16);
    wait_ms(MARK_MS);
    drive(10);
    look_at_reads(0);
    admin_compact(0);
    wait_ms(MARK_MS);
    drive(6);
}

static void script_full_leader(void)
{
    three_begin();
    drive(16);
    wait_ms(MARK_MS);
    drive(10);
    look_at_reads(0);
    wait_ms(MARK_MS);
    drive(6);
}

static void script_full_follower(void)
{
    three_begin();
    drive(16);
    wait_ms(MARK_MS);
    drive(10);
    look_at_reads(2);
    wait_ms(MARK_MS);
    drive(6);
}

#define ALL_OF_ONE (MEMORY | DISK | NET)
const struct callk_scenario CALLK_SCENARIOS[] = {
    {"one", "one member: first start, writes, compaction, snapshot files, stop, start again", 1, 0,
     ALL_OF_ONE, script_one, NULL, 0, false},
    {"three-leader", "writes through all, the leadership moves on, a follower restarts", 3, 0,
     ALL_OF_ONE, script_three, NULL, 0, false},
    {"three-follower", "the same; of the follower that restarts", 3, 2, ALL_OF_ONE, script_three,
     NULL, 0, false},
    {"snapshot-receiver", "a member that was away gets a snapshot", 3, 2, ALL_OF_ONE,
     script_snapshot, NULL, 1, false},
    {"snapshot-sender", "the same; of the leader", 3, 0, ALL_OF_ONE, script_snapshot, NULL, 1,
     false},
    {"members-newcomer", "a learner is added, started, promoted; then a member is removed", 3,
     NEWCOMER, ALL_OF_ONE, script_members, settle_members, 1, false},
    {"members-leader", "the same; of the leader", 3, 0, ALL_OF_ONE, script_members, settle_members,
     1, false},
    {"recovery", "one member comes back after a power cut", 1, 0, ALL_OF_ONE, script_recovery, NULL,
     0, true},
    {"recovery-three", "the leader comes back after a power cut", 3, 0, ALL_OF_ONE,
     script_recovery_three, NULL, 0, true},
    {"maintenance", "defragmentation and snapshots for clients while writes go on", 1, 0,
     ALL_OF_ONE, script_maintenance, NULL, 0, false},
    {"full", "a full disk of one member", 1, 0, FULL, script_full, NULL, 0, false},
    {"full-leader", "a full disk of the leader", 3, 0, FULL, script_full_leader, NULL, 0, false},
    {"full-follower", "a full disk of a follower", 3, 2, FULL, script_full_follower, NULL, 0,
     false},
};
const size_t CALLK_SCENARIO_COUNT = ARRAY_COUNT(CALLK_SCENARIOS);
