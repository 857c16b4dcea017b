/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a Raft script plays on: members with a disk and a state machine of their own, and the
 * messages between them, all of which move only when a command says so (README.md has the
 * commands). Everything that happens is written to one text, which is what a case expects.
 */
#ifndef TESTS_RAFTSCRIPT_SCRIPT_H
#define TESTS_RAFTSCRIPT_SCRIPT_H

#include "base/buf.h"
#include "engine/raft/raft.h"
#include "tests/sim/raft_invariants.h"

#define SCRIPT_NODES_MAX   9u
#define SCRIPT_ENTRIES_MAX 256u
#define SCRIPT_OPS_MAX     64u
#define SCRIPT_AIR_MAX     1024u
#define SCRIPT_WORDS_MAX   32u

/* One flush, or one snapshot to install, on its way to the disk. */
struct script_op {
    bool is_install;
    uint64_t ticket;
    bool has_hard_state;
    struct raft_hard_state hard_state;
    struct raft_entry *entries;
    uint32_t entry_count;
    struct raft_snapshot_mark mark;
};

/* What survives a restart. The state machine is at the mark then. */
struct script_disk {
    struct raft_hard_state hard_state;
    struct raft_snapshot_mark mark;
    struct raft_entry entries[SCRIPT_ENTRIES_MAX]; /* [0] is mark.index + 1 */
    uint32_t entry_count;
};

struct script_node {
    uint64_t id; /* 0: no such node */
    struct raft *raft;
    struct raft_config config; /* of its start; what the disk holds is filled in */
    struct script_disk disk;
    bool hold_disk, hold_apply;
    struct script_op ops[SCRIPT_OPS_MAX];
    uint32_t op_count;
    struct raft_entry to_apply[SCRIPT_ENTRIES_MAX];
    uint32_t to_apply_count;
    uint64_t applied;
    struct raft_conf_state conf_at[SCRIPT_ENTRIES_MAX]; /* after the entry applied at that index */
};

struct script_flying {
    uint64_t sender; /* a forwarded transfer names somebody else as from */
    struct raft_message message;
};

struct script {
    struct script_node nodes[SCRIPT_NODES_MAX + 1]; /* by id */
    struct script_flying air[SCRIPT_AIR_MAX];       /* in the order of sending */
    uint32_t air_count;
    bool cut[SCRIPT_NODES_MAX + 1][SCRIPT_NODES_MAX + 1];
    bool quiet;   /* nothing is written */
    bool no_laws; /* the script lies: invariants are not checked */
    struct raft_invariants *invariants;
    struct buf out;
};

struct script *script_new(void);
void script_free(struct script *script);

/* Writes a line of the story. */
void script_say(struct script *script, const char *format, ...) BASE_PRINTF(2, 3);

/* commands.c: carries out one line. */
void script_run(struct script *script, char *line);

/* stage.c. Gives the live node with that id; NULL (and says so): there is none. */
struct script_node *script_live(struct script *script, uint64_t id);
void script_start(struct script *script, struct script_node *node, bool suspect);
void script_stop(struct script *script, struct script_node *node);
/* Carries out effects until there are none. True when there was anything. */
bool script_ready(struct script *script, struct script_node *node);
/* Ends the oldest count flushes. */
void script_release(struct script *script, struct script_node *node, uint32_t count);
/* Applies what was held. */
void script_apply(struct script *script, struct script_node *node);
void script_compact(struct script *script, struct script_node *node, uint64_t index);
void script_disk_cut(struct script_disk *disk, uint32_t keep);
/* Compares with the rules of Raft; a broken one is said. */
void script_check(struct script *script, const struct script_node *node);

/* air.c. Which messages: 0 and -1 are any. */
struct script_filter {
    uint64_t from, to;
    int type;
    uint64_t only_first; /* not more than so many; 0: all */
    uint64_t receivers;  /* bit set of ids; 0: any */
};
void script_send(struct script *script, uint64_t sender, struct raft_message *message);
uint32_t script_deliver(struct script *script, const struct script_filter *filter, bool say);
void script_drop(struct script *script, const struct script_filter *filter);
void script_duplicate(struct script *script, const struct script_filter *filter);
void script_reverse(struct script *script, const struct script_filter *filter);
void script_list(struct script *script);
void script_stabilize(struct script *script, uint64_t receivers);

/* print.c: append the text of something to out. */
void script_print_message(struct buf *out, uint64_t sender, const struct raft_message *message);
void script_print_entry(struct buf *out, const struct raft_entry *entry);
void script_print_conf(struct buf *out, const struct raft_conf_state *conf);
void script_print_status(struct script *script, const struct script_node *node);
void script_print_log(struct script *script, const struct script_node *node);
void script_print_progress(struct script *script, const struct script_node *node);
int script_message_type(const char *name); /* -1: there is none of that name */

#endif
