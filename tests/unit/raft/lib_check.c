/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rules of tests/sim/raft_invariants.h, fed with all that nodes and disks do, and what only
 * this cluster can know: the terms stay few, a snapshot is that of the sender's applied state, no
 * read is stale.
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

static void check_invariants(struct cluster *cluster)
{
    const char *failure = raft_invariants_failure(cluster->invariants);
    if (failure != NULL) {
        check_failed(cluster, "%s", failure);
    }
}

void check_node(struct cluster *cluster, struct node *node)
{
    raft_invariants_watch(cluster->invariants, node->raft);
    check_invariants(cluster);
    if (node->raft->term >= CLUSTER_TERMS_MAX) {
        check_failed(cluster, "terms run away: %lu", (unsigned long)node->raft->term);
    }
}

void check_promise(struct cluster *cluster, struct node *node, const struct raft_message *message)
{
    raft_invariants_sent(cluster->invariants, message);
    check_invariants(cluster);
    if (message->type == RAFT_MSG_SNAP && message->snapshot->index != node->told_applied) {
        check_failed(cluster, "node %lu sends a snapshot that is not its state at %lu",
                     (unsigned long)node->id, (unsigned long)message->snapshot->index);
    }
}

/* Called after the entry has been applied: node->conf is the configuration from here on. */
void check_applied(struct cluster *cluster, struct node *node, const struct raft_entry *entry)
{
    raft_invariants_applied(cluster->invariants, node->id, entry, &node->conf);
    check_invariants(cluster);
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
