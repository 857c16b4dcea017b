/* SPDX-License-Identifier: Apache-2.0 */
/* One core (id 1) whose peers, disk and shell are played by the test, message by message. */
#ifndef TESTS_RAFT_LIB_RIG_H
#define TESTS_RAFT_LIB_RIG_H

#include "engine/raft/raft.h"

#define RIG_MESSAGES_MAX 256u

struct rig {
    struct raft *raft;
    uint64_t id;            /* 1, if not given */
    bool hold_disk;         /* flushes do not end by themselves */
    bool hold_apply;        /* nothing is applied */
    uint64_t ticket;        /* of the last flush */
    uint64_t synced_commit; /* the commit index of the newest flush */
    struct raft_message sent[RIG_MESSAGES_MAX];
    uint32_t sent_count;
    uint64_t applied;
    bool install_wanted;
    struct raft_snapshot_mark install;
    struct raft_read_state reads[16];
    uint32_t read_count;
};

/* Gives a core with ids 1..voters as voters and, when learner is not 0, that learner. */
struct rig *rig_new(uint32_t voters, uint64_t learner);
/* As rig_new with everything given; id, timing and limits are filled in when 0. */
struct rig *rig_new_with(struct raft_config config);
void rig_free(struct rig *rig);

/* Takes all effects. */
void rig_run(struct rig *rig);
/* Ends all flushes. */
void rig_flush(struct rig *rig);
/* Hands the message in (to and, when 0, the core's own term are filled in) and runs. */
void rig_step(struct rig *rig, struct raft_message message);
void rig_tick(struct rig *rig, uint32_t count);

/* The newest message of that type to that peer, or NULL. */
const struct raft_message *rig_sent(const struct rig *rig, enum raft_message_type type,
                                    uint64_t to);
uint32_t rig_sent_count(const struct rig *rig, enum raft_message_type type, uint64_t to);
void rig_forget(struct rig *rig);

/* Makes it leader of a new term with the votes of peers 2 and 3, all it sends forgotten. */
void rig_lead(struct rig *rig);
/* Peer acknowledges up to index. */
void rig_ack(struct rig *rig, uint64_t peer, uint64_t index);
void rig_propose(struct rig *rig, const char *text);
/* Leader 2 of that term appends entries prev + 1..last behind entry prev of prev_term. */
void rig_append(struct rig *rig, uint64_t term, uint64_t prev, uint64_t prev_term, uint64_t last,
                uint64_t commit);
/* Applies a membership change. */
struct raft_conf_state rig_change(struct rig *rig, enum raft_conf_change_type type, uint64_t id);
/* What leader 2 answers to the core's newest question for a read index. */
struct raft_message rig_read_answer(const struct rig *rig, uint64_t index);

/* Entries first..last of one term for a message (mem_free by the core). */
struct raft_entry *rig_entries(uint64_t first, uint64_t last, uint64_t term);
struct raft_status rig_status(const struct rig *rig);
/* What the leader knows of that peer, which has to be one. */
struct raft_progress_status rig_progress(const struct rig *rig, uint64_t id);

#endif
