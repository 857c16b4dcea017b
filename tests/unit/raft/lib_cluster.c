/* SPDX-License-Identifier: Apache-2.0 */
/* Nodes, their disks and the network between them (see lib_cluster.h). */
#include "lib_cluster.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "base/err.h"

struct node *cluster_node(struct cluster *cluster, uint64_t id)
{
    ASSERT(id >= 1 && id <= cluster->node_count);
    return &cluster->nodes[id - 1];
}

/* ---- disk ---- */

static void entry_release(struct raft_entry *entries, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        raft_payload_unref(entries[i].payload);
    }
}

static void disk_cut(struct disk *disk, uint32_t keep)
{
    if (keep < disk->entry_count) {
        entry_release(disk->entries + keep, disk->entry_count - keep);
        disk->entry_count = keep;
    }
}

static void disk_write_entries(struct disk *disk, const struct raft_entry *entries, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (entries[i].index <= disk->mark.index) {
            continue;
        }
        uint64_t place = entries[i].index - disk->mark.index - 1;
        ASSERT(place <= disk->entry_count && place < CLUSTER_ENTRIES_MAX);
        disk_cut(disk, (uint32_t)place);
        disk->entries[place] = entries[i];
        raft_payload_ref(entries[i].payload);
        disk->entry_count++;
    }
}

/* What the operation leaves on the disk; the core is not told here. */
static void disk_do(struct cluster *cluster, struct node *node, const struct disk_op *op)
{
    struct disk *disk = &node->disk;
    if (op->type == DISK_INSTALL) {
        disk_cut(disk, 0);
        disk->mark = op->mark;
        disk->checkpoint_index = op->mark.index;
        disk->checkpoint_conf = op->mark.conf_state;
        return;
    }
    disk_write_entries(disk, op->entries, op->entry_count);
    if (!op->has_hard_state) {
        return;
    }
    if (op->hard_state.term != disk->hard_state.term) {
        disk->older_hard_state = disk->hard_state;
    }
    disk->hard_state = op->hard_state;
    raft_invariants_durable(cluster->invariants, node->id, &disk->hard_state);
}

static void disk_op_drop(struct node *node, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        entry_release(node->ops[i].entries, node->ops[i].entry_count);
        mem_free(node->ops[i].entries);
    }
    node->op_count -= count;
    memmove(node->ops, node->ops + count, node->op_count * sizeof(node->ops[0]));
}

static struct disk_op *disk_queue(struct cluster *cluster, struct node *node)
{
    ASSERT(node->op_count < ARRAY_COUNT(node->ops));
    struct disk_op *op = &node->ops[node->op_count++];
    *op = (struct disk_op){.done_at =
                               cluster->now + rng_below(&cluster->rng, cluster->disk_delay + 1)};
    if (node->op_count > 1) {
        op->done_at = BASE_MAX(op->done_at, node->ops[node->op_count - 2].done_at);
    }
    return op;
}

static void disk_finish(struct cluster *cluster, struct node *node)
{
    while (node->op_count > 0 && node->ops[0].done_at <= cluster->now) {
        struct disk_op op = node->ops[0];
        disk_do(cluster, node, &op);
        disk_op_drop(node, 1);
        if (op.type == DISK_INSTALL) {
            node->applied = op.mark.index;
            node->told_applied = op.mark.index;
            node->conf = op.mark.conf_state;
            raft_snapshot_installed(node->raft);
        } else {
            raft_persisted(node->raft, op.ticket);
        }
    }
}

/* ---- network ---- */

static struct raft_message message_copy(const struct raft_message *message)
{
    struct raft_message copy = *message;
    if (message->entry_count > 0) {
        copy.entries = mem_dup(message->entries, message->entry_count * sizeof(*message->entries));
        for (uint32_t i = 0; i < copy.entry_count; i++) {
            raft_payload_ref(copy.entries[i].payload);
        }
    }
    if (message->snapshot != NULL) {
        copy.snapshot = mem_dup(message->snapshot, sizeof(*message->snapshot));
    }
    raft_payload_ref(copy.snapshot_data);
    return copy;
}

static void air_put(struct cluster *cluster, struct raft_message message)
{
    cluster->air = raft_array_grow(cluster->air, &cluster->air_capacity, cluster->air_count + 1,
                                   sizeof(*cluster->air));
    uint64_t delay = 1 + rng_below(&cluster->rng, 4);
    if (cluster->drop_permille > 0 && rng_below(&cluster->rng, 20) == 0) {
        delay = 1 + rng_below(&cluster->rng, CLUSTER_DELAY_MAX);
    }
    cluster->air[cluster->air_count++] =
        (struct flying){.due = cluster->now + delay, .message = message};
}

static void network_send(struct cluster *cluster, struct node *from, struct raft_message *message)
{
    cluster->counts.messages++;
    cluster->counts.snapshots += message->type == RAFT_MSG_SNAP ? 1u : 0u;
    bool known = message->to <= cluster->node_count;
    /* The link is that of the sender: a forwarded transfer names somebody else as from. */
    if (!known || cluster->cut[from->id][message->to] ||
        rng_below(&cluster->rng, 1000) < cluster->drop_permille) {
        cluster->counts.drops++;
        if (message->type == RAFT_MSG_SNAP) {
            raft_report_snapshot(from->raft, message->to, false);
        } else if (message->type == RAFT_MSG_APP && rng_below(&cluster->rng, 2) == 0) {
            raft_report_unreachable(from->raft, message->to);
        }
        raft_message_clear(message);
        return;
    }
    if (cluster->drop_permille > 0 && rng_below(&cluster->rng, 50) == 0) {
        air_put(cluster, message_copy(message));
    }
    air_put(cluster, *message);
}

static void network_deliver(struct cluster *cluster)
{
    for (uint32_t i = 0; i < cluster->air_count;) {
        if (cluster->air[i].due > cluster->now) {
            i++;
            continue;
        }
        struct raft_message message = cluster->air[i].message;
        cluster->air[i] = cluster->air[--cluster->air_count];
        struct node *to = cluster_node(cluster, message.to);
        bool is_snapshot = message.type == RAFT_MSG_SNAP;
        struct node *from = cluster_node(cluster, message.from);
        bool delivered = to->raft != NULL;
        if (delivered) {
            raft_step(to->raft, &message);
            check_node(cluster, to);
        } else {
            raft_message_clear(&message);
        }
        if (is_snapshot && from->raft != NULL) {
            raft_report_snapshot(from->raft, to->id, delivered);
        }
        if (to->raft != NULL && rng_below(&cluster->rng, 3) != 0) {
            cluster_pump(cluster, to);
        }
        i = 0; /* pumping moved the array */
    }
}

/* ---- nodes ---- */

static void node_apply(struct cluster *cluster, struct node *node, const struct raft_entry *entry)
{
    if (entry->type == RAFT_ENTRY_CONF_CHANGE && entry->payload != NULL) {
        const uint8_t *data = entry->payload->data;
        struct raft_conf_change change = {
            .type = (enum raft_conf_change_type)data[0],
            .node_id = data[1],
        };
        raft_apply_conf_change(node->raft, &change, &node->conf);
        cluster->counts.conf_changes++;
    }
    check_applied(cluster, node, entry);
    node->applied = entry->index;
}

static void pump_persist(struct cluster *cluster, struct node *node,
                         const struct raft_effects *effects)
{
    if (effects->install != NULL) {
        struct disk_op *op = disk_queue(cluster, node);
        op->type = DISK_INSTALL;
        op->mark = *effects->install;
    }
    if (!effects->has_persist) {
        return;
    }
    struct disk_op *op = disk_queue(cluster, node);
    op->ticket = effects->persist_ticket;
    op->has_hard_state = effects->hard_state_changed;
    op->hard_state = effects->hard_state;
    op->entry_count = effects->entry_count;
    op->entries = mem_array(effects->entry_count, sizeof(*op->entries));
    for (uint32_t i = 0; i < effects->entry_count; i++) {
        op->entries[i] = effects->entries[i];
        raft_payload_ref(op->entries[i].payload);
    }
}

/* A shell may report what it applied some time later. */
static void node_tell_applied(struct cluster *cluster, struct node *node)
{
    if (node->told_applied != node->applied && rng_below(&cluster->rng, 4) != 0) {
        node->told_applied = node->applied;
        raft_applied(node->raft, node->applied);
    }
}

void cluster_pump(struct cluster *cluster, struct node *node)
{
    struct raft_effects effects;
    disk_finish(cluster, node);
    node_tell_applied(cluster, node);
    check_node(cluster, node);
    while (node->op_count + 2 < ARRAY_COUNT(node->ops) && raft_take_effects(node->raft, &effects)) {
        check_node(cluster, node);
        for (uint32_t i = 0; i < effects.message_now_count; i++) {
            check_promise(cluster, node, &effects.messages_now[i]);
            network_send(cluster, node, &effects.messages_now[i]);
        }
        pump_persist(cluster, node, &effects);
        for (uint32_t i = 0; i < effects.committed_count; i++) {
            node_apply(cluster, node, &effects.committed[i]);
        }
        for (uint32_t i = 0; i < effects.read_count; i++) {
            check_read(cluster, node, &effects.reads[i]);
        }
        node_tell_applied(cluster, node);
        disk_finish(cluster, node);
        check_node(cluster, node);
    }
    if (node->disk.suspect) {
        struct raft_status status;
        raft_status(node->raft, &status);
        node->disk.suspect = status.suspect;
        cluster->counts.suspects_cleared += status.suspect ? 0u : 1u;
    }
}

void cluster_start(struct cluster *cluster, struct node *node)
{
    struct disk *disk = &node->disk;
    ASSERT(node->raft == NULL);
    struct raft_config config = {
        .id = node->id,
        .election_ticks = 10,
        .heartbeat_ticks = 1,
        .pre_vote = cluster->options.pre_vote,
        .check_quorum = cluster->options.check_quorum,
        .max_message_bytes = 256,
        .max_inflight = 8,
        .random_seed = rng_next(&cluster->rng),
        .suspect = disk->suspect,
        .hard_state = disk->hard_state,
        .mark = disk->mark,
        .entries = disk->entries,
        .entry_count = disk->entry_count,
        .applied_index = disk->checkpoint_index,
        .applied_conf_state = &disk->checkpoint_conf,
    };
    node->raft = raft_new(&config);
    node->applied = disk->checkpoint_index;
    node->told_applied = node->applied;
    node->conf = disk->checkpoint_conf;
    check_node(cluster, node);
}

void cluster_crash(struct cluster *cluster, struct node *node)
{
    ASSERT(node->raft != NULL);
    cluster->counts.crashes++;
    raft_free(node->raft);
    node->raft = NULL;
    raft_invariants_stopped(cluster->invariants, node->id);
    /* Some of what was in flight reached the disk, unknown to the node; the next write may be torn.
     */
    uint32_t done = (uint32_t)rng_below(&cluster->rng, node->op_count + 1);
    for (uint32_t i = 0; i < done; i++) {
        disk_do(cluster, node, &node->ops[i]);
    }
    if (done < node->op_count && node->ops[done].type == DISK_PERSIST) {
        const struct disk_op *torn = &node->ops[done];
        disk_write_entries(&node->disk, torn->entries,
                           (uint32_t)rng_below(&cluster->rng, torn->entry_count + 1));
    }
    disk_op_drop(node, node->op_count);
}

void cluster_rot(struct cluster *cluster, struct node *node)
{
    struct disk *disk = &node->disk;
    ASSERT(node->raft == NULL);
    cluster->counts.rots++;
    disk->suspect = true;
    disk->hard_state = disk->older_hard_state;
    disk_cut(disk, (uint32_t)rng_below(&cluster->rng, disk->entry_count + 1));
    uint64_t last = disk->mark.index + disk->entry_count;
    disk->hard_state.commit = BASE_MIN(disk->hard_state.commit, last);
    disk->older_hard_state = (struct raft_hard_state){0};
}

static void node_checkpoint(struct cluster *cluster, struct node *node)
{
    struct disk *disk = &node->disk;
    if (node->told_applied != node->applied || node->op_count > 0 ||
        node->applied <= disk->checkpoint_index ||
        node->applied > disk->mark.index + disk->entry_count) {
        return;
    }
    disk->checkpoint_index = node->applied;
    disk->checkpoint_conf = node->conf;
    uint64_t keep = rng_below(&cluster->rng, 8);
    if (cluster->options.compaction && node->applied > keep) {
        uint64_t index = node->applied - keep;
        raft_compact(node->raft, index);
        if (index > disk->mark.index) {
            uint32_t drop = (uint32_t)(index - disk->mark.index);
            disk->mark.term = disk->entries[drop - 1].term;
            disk->mark.index = index;
            entry_release(disk->entries, drop);
            disk->entry_count -= drop;
            memmove(disk->entries, disk->entries + drop,
                    disk->entry_count * sizeof(disk->entries[0]));
        }
    }
}

/* ---- the cluster ---- */

struct cluster *cluster_new(const struct cluster_options *options)
{
    struct cluster *cluster = mem_zalloc(sizeof(*cluster));
    cluster->options = *options;
    cluster->invariants = raft_invariants_new();
    cluster->disk_delay = 3;
    cluster->next_value = 1;
    cluster->next_read = 1;
    cluster->node_count = options->voters + options->spares;
    ASSERT(cluster->node_count <= CLUSTER_NODES_MAX);
    rng_seed(&cluster->rng, options->seed);
    struct raft_conf_state conf = {.voter_count = options->voters};
    for (uint32_t i = 0; i < options->voters; i++) {
        conf.voters[i] = i + 1;
    }
    for (uint32_t i = 0; i < cluster->node_count; i++) {
        struct node *node = &cluster->nodes[i];
        node->id = i + 1;
        /* Spares know the first configuration too; they are just not in it. */
        node->disk.mark.conf_state = conf;
        node->disk.checkpoint_conf = conf;
        cluster_start(cluster, node);
    }
    return cluster;
}

void cluster_free(struct cluster *cluster)
{
    for (uint32_t i = 0; i < cluster->node_count; i++) {
        struct node *node = &cluster->nodes[i];
        raft_free(node->raft);
        disk_op_drop(node, node->op_count);
        disk_cut(&node->disk, 0);
    }
    for (uint32_t i = 0; i < cluster->air_count; i++) {
        raft_message_clear(&cluster->air[i].message);
    }
    mem_free(cluster->air);
    raft_invariants_free(cluster->invariants);
    mem_free(cluster);
}

struct node *cluster_leader(struct cluster *cluster)
{
    struct node *leader = NULL;
    for (uint32_t i = 0; i < cluster->node_count; i++) {
        struct node *node = &cluster->nodes[i];
        if (node->raft != NULL && node->raft->role == RAFT_LEADER &&
            (leader == NULL || leader->raft->term < node->raft->term)) {
            leader = node;
        }
    }
    return leader;
}

void cluster_advance(struct cluster *cluster)
{
    cluster->now++;
    network_deliver(cluster);
    for (uint32_t i = 0; i < cluster->node_count; i++) {
        struct node *node = &cluster->nodes[i];
        if (node->raft == NULL) {
            continue;
        }
        if (rng_below(&cluster->rng, CLUSTER_TICK_UNITS) == 0) {
            raft_tick(node->raft);
            check_node(cluster, node);
        }
        cluster_pump(cluster, node);
        if (rng_below(&cluster->rng, 40) == 0) {
            node_checkpoint(cluster, node);
            check_node(cluster, node);
        }
    }
    cluster_random_client(cluster);
    if (cluster->options.faults) {
        cluster_random_fault(cluster);
    }
}
