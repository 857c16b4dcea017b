/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The invariants of the Raft paper (figure 3) and a few stronger ones, against the state of all
 * nodes: Election Safety, Log Matching, Leader Completeness, State Machine Safety, commit and term
 * never fall, committed entries are durable on a quorum, promises are durable before they leave, no
 * stale read.
 */
#include "lib_cluster.h"

#include <stdarg.h>
#include <stdio.h>

void check_failed(struct cluster *cluster, const char *format, ...)
{
    if (cluster->failure[0] != '\0') {
        return; /* the first one tells most */
    }
    va_list args;
    va_start(args, format);
    (void)vsnprintf(cluster->failure, sizeof(cluster->failure), format, args);
    va_end(args);
}

uint64_t check_value(const struct raft_entry *entry)
{
    if (entry->payload == NULL || entry->payload->size != sizeof(uint64_t)) {
        return 0;
    }
    return get_be64(entry->payload->data);
}

bool check_disk_has(const struct disk *disk, uint64_t index, uint64_t term)
{
    if (index <= disk->mark.index) {
        return true;
    }
    uint64_t place = index - disk->mark.index - 1;
    return place < disk->entry_count && disk->entries[place].term == term;
}

static void check_election_safety(struct cluster *cluster, const struct node *node)
{
    uint64_t term = node->raft->term;
    if (term >= CLUSTER_TERMS_MAX) {
        check_failed(cluster, "terms run away: %lu", (unsigned long)term);
        return;
    }
    uint64_t *leader = &cluster->leader_of_term[term];
    if (*leader != 0 && *leader != node->id) {
        check_failed(cluster, "Election Safety: %lu and %lu lead term %lu", (unsigned long)*leader,
                     (unsigned long)node->id, (unsigned long)term);
    }
    *leader = node->id;
}

static void check_leader_completeness(struct cluster *cluster, const struct node *node)
{
    const struct raft_log *log = &node->raft->log;
    for (uint64_t i = log->mark_index + 1; i <= cluster->truth_last; i++) {
        const struct truth *truth = &cluster->truth[i];
        if (truth->commit_term < node->raft->term && !raft_log_matches(log, i, truth->term)) {
            check_failed(cluster, "Leader Completeness: %lu leads term %lu without entry %lu",
                         (unsigned long)node->id, (unsigned long)node->raft->term,
                         (unsigned long)i);
            return;
        }
    }
}

/* The leader may call committed only what a majority of its voters has on disk. */
static void check_quorum_durable(struct cluster *cluster, const struct node *node, uint64_t index)
{
    if (cluster->options.rot) {
        return; /* rot takes away what was durable */
    }
    uint32_t have = 0;
    uint32_t voters = 0;
    for (uint32_t i = 0; i < node->raft->member_count; i++) {
        const struct raft_progress *member = &node->raft->members[i];
        if (member->is_learner) {
            continue;
        }
        voters++;
        const struct disk *disk = &cluster_node(cluster, member->id)->disk;
        have += check_disk_has(disk, index, cluster->truth[index].term) ? 1u : 0u;
    }
    if (2 * have <= voters) {
        check_failed(cluster, "entry %lu committed by %lu with %u of %u disks",
                     (unsigned long)index, (unsigned long)node->id, have, voters);
    }
}

/* State Machine Safety: what one has committed at a place, all commit there. */
static void check_commit(struct cluster *cluster, const struct node *node, uint64_t index)
{
    const struct raft_log *log = &node->raft->log;
    if (index <= log->mark_index) {
        if (index > cluster->truth_last) {
            check_failed(cluster, "a snapshot holds %lu, which nobody committed",
                         (unsigned long)index);
        }
        return;
    }
    const struct raft_entry *entry = raft_log_at(log, index);
    struct truth *truth = &cluster->truth[index];
    if (index > cluster->truth_last) {
        truth->term = entry->term;
        truth->value = check_value(entry);
        truth->commit_term = node->raft->term;
        cluster->truth_last = index;
        cluster->counts.commits++;
    } else if (truth->term != entry->term || truth->value != check_value(entry)) {
        check_failed(cluster,
                     "State Machine Safety: node %lu commits %lu.%lu=%lu, not term %lu=%lu",
                     (unsigned long)node->id, (unsigned long)index, (unsigned long)entry->term,
                     (unsigned long)check_value(entry), (unsigned long)truth->term,
                     (unsigned long)truth->value);
    }
    if (node->raft->role == RAFT_LEADER && truth->commit_term == node->raft->term) {
        check_quorum_durable(cluster, node, index);
    }
}

void check_node(struct cluster *cluster, struct node *node)
{
    struct raft_status status;
    raft_status(node->raft, &status);
    if (status.term < node->seen_term || status.commit_index < node->seen_commit) {
        check_failed(cluster, "node %lu goes back in term or commit", (unsigned long)node->id);
        return;
    }
    for (uint64_t i = node->seen_commit + 1; i <= status.commit_index; i++) {
        check_commit(cluster, node, i);
    }
    bool led_before = node->seen_role == RAFT_LEADER && node->seen_term == status.term;
    if (status.role == RAFT_LEADER && led_before && status.commit_index > node->seen_commit &&
        raft_term_of(node->raft, status.commit_index) != status.term) {
        check_failed(cluster, "leader %lu of term %lu counts copies of an older entry (Raft 5.4.2)",
                     (unsigned long)node->id, (unsigned long)status.term);
    }
    if (status.role == RAFT_LEADER) {
        check_election_safety(cluster, node);
        if (!led_before) {
            cluster->counts.elections++;
            check_leader_completeness(cluster, node);
            check_whole_log(cluster, node);
        }
    }
    if (status.commit_index > status.last_index || status.persisted_index > status.last_index) {
        check_failed(cluster, "node %lu: cursors beyond the log", (unsigned long)node->id);
    }
    node->seen_term = status.term;
    node->seen_commit = status.commit_index;
    node->seen_role = status.role;
}

/* Log Matching: two logs that agree at a place agree on all before it. */
void check_whole_log(struct cluster *cluster, struct node *node)
{
    const struct raft_log *mine = &node->raft->log;
    for (uint32_t k = 0; k < cluster->node_count; k++) {
        const struct node *other = &cluster->nodes[k];
        if (other->raft == NULL || other == node) {
            continue;
        }
        const struct raft_log *theirs = &other->raft->log;
        bool agreed = false;
        uint64_t first = BASE_MAX(mine->mark_index, theirs->mark_index) + 1;
        for (uint64_t i = BASE_MIN(mine->last_index, theirs->last_index); i >= first; i--) {
            const struct raft_entry *a = raft_log_at(mine, i);
            const struct raft_entry *b = raft_log_at(theirs, i);
            bool equal = a->term == b->term;
            if ((agreed && !equal) || (equal && check_value(a) != check_value(b))) {
                check_failed(cluster, "Log Matching: nodes %lu and %lu at %lu",
                             (unsigned long)node->id, (unsigned long)other->id, (unsigned long)i);
                return;
            }
            agreed = equal;
        }
    }
}

/* Persist before promise: what leaves must be on the disk already. */
void check_promise(struct cluster *cluster, struct node *node, const struct raft_message *message)
{
    const struct disk *disk = &node->disk;
    if (disk->hard_state.term > message->term) {
        return; /* an old word, overtaken by a newer term */
    }
    unsigned long id = (unsigned long)node->id;
    if (message->type == RAFT_MSG_VOTE_RESP && !message->reject &&
        (disk->hard_state.term != message->term || disk->hard_state.vote != message->to)) {
        check_failed(cluster, "node %lu votes before its disk knows", id);
    }
    if (message->type == RAFT_MSG_VOTE && disk->hard_state.term != message->term) {
        check_failed(cluster, "node %lu asks for votes before its disk knows", id);
    }
    uint64_t last = disk->mark.index + disk->entry_count;
    if (message->type == RAFT_MSG_APP_RESP && !message->reject && message->index > last) {
        check_failed(cluster, "node %lu acknowledges %lu, its disk ends at %lu", id,
                     (unsigned long)message->index, (unsigned long)last);
    }
    if (message->type == RAFT_MSG_SNAP) {
        const struct raft_snapshot_mark *mark = message->snapshot;
        const struct truth *truth = &cluster->truth[mark->index];
        if (mark->index != node->told_applied || mark->index > cluster->truth_last ||
            mark->term != truth->term ||
            memcmp(&mark->conf_state, &truth->conf, sizeof(truth->conf)) != 0) {
            check_failed(cluster, "node %lu sends a snapshot that is not its state at %lu", id,
                         (unsigned long)mark->index);
        }
    }
}

/* Called after the entry has been applied: node->conf is the configuration from here on. */
void check_applied(struct cluster *cluster, struct node *node, const struct raft_entry *entry)
{
    struct truth *truth = &cluster->truth[entry->index];
    if (entry->index != node->applied + 1 || entry->index > cluster->truth_last ||
        truth->term != entry->term || truth->value != check_value(entry)) {
        check_failed(cluster, "node %lu applies %lu after %lu, not what was committed",
                     (unsigned long)node->id, (unsigned long)entry->index,
                     (unsigned long)node->applied);
        return;
    }
    if (!check_disk_has(&node->disk, entry->index, entry->term)) {
        check_failed(cluster, "node %lu applies %lu before its disk has it",
                     (unsigned long)node->id, (unsigned long)entry->index);
    }
    if (!truth->applied) {
        truth->applied = true;
        truth->conf = node->conf;
    } else if (memcmp(&truth->conf, &node->conf, sizeof(truth->conf)) != 0) {
        check_failed(cluster, "configurations differ at %lu", (unsigned long)entry->index);
    }
}

void check_read(struct cluster *cluster, struct node *node, const struct raft_read_state *read)
{
    if (read->context_size != sizeof(uint64_t)) {
        check_failed(cluster, "a read came back with another context");
        return;
    }
    uint64_t number = get_be64(read->context);
    const struct read_request *request = &cluster->reads[number % ARRAY_COUNT(cluster->reads)];
    if (request->number != number) {
        return; /* answered too late to be remembered */
    }
    cluster->counts.reads++;
    if (read->index < request->needed) {
        check_failed(cluster, "stale read at %lu: index %lu, %lu was committed before",
                     (unsigned long)node->id, (unsigned long)read->index,
                     (unsigned long)request->needed);
    }
}
