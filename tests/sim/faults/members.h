/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who is a member in a simulated cluster, and the hand that keeps it running as an operator would:
 * restarts what died, and carries out one change of the membership at a time, by looking at the
 * member list and doing the next step. And the atlas: whose data may be damaged without asking more
 * of the protocol than it promises.
 */
#ifndef TESTS_SIM_FAULTS_MEMBERS_H
#define TESTS_SIM_FAULTS_MEMBERS_H

#include "tests/sim/setup.h"

/* How all members are configured; adjusted from the seed. */
struct members_options {
    int voters; /* at the start */
    uint64_t snapshot_count, catchup_entries, segment_bytes, message_bytes, compact_keys;
    uint64_t pull_bytes, cache_bytes; /* of watches */
    int64_t heartbeat_ms, election_ms, batch_ms;
    int64_t corrupt_check_ms; /* 0: no checks of what the members hold */
    bool compact_hash_check;
};

struct members_counts {
    uint64_t restarts, added, removed, replaced, promoted, fatal;
};

void members_begin(const struct members_options *options);
void members_end(void);

/* True for slots whose process should run. */
bool member_is_wanted(int slot);
bool member_is_voter(int slot);
int members_count(void);
int members_voters(void);

/* A random slot that should run, whether it does or not; SIM_NOBODY: none. */
int members_pick(struct rng *rng);

/* One that runs; SIM_NOBODY: none. */
int members_pick_running(struct rng *rng);

/* The one that leads and runs; SIM_NOBODY: none. */
int members_leader(void);

/* Nobody restarts it until it is let go as often as it was held. */
void member_hold(int slot);
void member_let_go(int slot);

/* For ever dead: never restarted. Only when the atlas allows. */
void member_abandon(int slot);
bool member_is_abandoned(int slot);

/* ---- the atlas ---- */

/* True when the data of this slot may be damaged or lost now: the others that are sound remain a
 * majority of the voters, also if all damage of before is still there. */
bool atlas_allows(int slot);
void atlas_damage(int slot); /* until the member is replaced */
bool atlas_is_damaged(int slot);

/* ---- changes; one at a time, E_AGAIN while another is under way ---- */

int members_replace(int slot); /* wiped, removed, added again as a learner, promoted */
int members_add(void);         /* a further one: learner, then voter */
int members_remove(int slot);
bool members_are_changing(void);

/* True when everyone who should be there runs, votes, and knows as much as the others. */
bool members_are_healthy(void);
void members_explain(void);
void members_counts(struct members_counts *out);

#endif
