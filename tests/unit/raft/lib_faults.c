/* SPDX-License-Identifier: Apache-2.0 */
/* What clients do and what breaks, by chance; and the end of each run, when all must work again. */
#include "lib_cluster.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"

/* Runs past the last fault: enough for elections, catching up and a suspect member's waiting time.
 */
#define HEALED_UNITS 4000u

void cluster_propose(struct cluster *cluster, struct node *node)
{
    uint8_t data[sizeof(uint64_t)];
    put_be64(data, cluster->next_value++ << 16);
    struct raft_payload *payload = raft_payload_new(bytes_of(data, sizeof(data)));
    if (raft_propose(node->raft, &payload, 1) != E_OK) {
        return;
    }
    check_node(cluster, node);
}

void cluster_propose_change(struct cluster *cluster, struct node *node,
                            enum raft_conf_change_type type, uint64_t id)
{
    uint8_t data[sizeof(uint64_t)];
    put_be64(data, cluster->next_value++ << 8);
    data[0] = (uint8_t)type;
    data[1] = (uint8_t)id;
    if (raft_propose_conf_change(node->raft, raft_payload_new(bytes_of(data, sizeof(data)))) !=
        E_OK) {
        return;
    }
    check_node(cluster, node);
}

void cluster_read(struct cluster *cluster, struct node *node)
{
    uint64_t number = cluster->next_read++;
    uint8_t context[sizeof(uint64_t)];
    put_be64(context, number);
    cluster->reads[number % ARRAY_COUNT(cluster->reads)] = (struct read_request){
        .number = number, .needed = raft_invariants_committed(cluster->invariants)};
    if (raft_read_index(node->raft, bytes_of(context, sizeof(context))) != E_OK) {
        cluster->reads[number % ARRAY_COUNT(cluster->reads)].number = 0; /* no leader: not asked */
    }
}

static struct node *random_live_node(struct cluster *cluster)
{
    struct node *node = &cluster->nodes[rng_below(&cluster->rng, cluster->node_count)];
    return node->raft == NULL ? NULL : node;
}

static void random_change(struct cluster *cluster, struct node *node)
{
    uint64_t id = 1 + rng_below(&cluster->rng, cluster->node_count);
    bool is_voter = raft_is_voter(node->raft, id);
    bool is_member = raft_member(node->raft, id) != NULL;
    uint32_t voters = raft_voter_count(node->raft);
    if (!is_member) {
        cluster_propose_change(
            cluster, node,
            rng_below(&cluster->rng, 3) == 0 ? RAFT_CONF_ADD_NODE : RAFT_CONF_ADD_LEARNER, id);
    } else if (!is_voter) {
        cluster_propose_change(
            cluster, node,
            rng_below(&cluster->rng, 3) == 0 ? RAFT_CONF_REMOVE_NODE : RAFT_CONF_ADD_NODE, id);
    } else if (voters > 2 && node->raft->role == RAFT_LEADER) {
        cluster_propose_change(
            cluster, node,
            rng_below(&cluster->rng, 4) == 0 ? RAFT_CONF_ADD_LEARNER : RAFT_CONF_REMOVE_NODE, id);
    }
}

void cluster_random_client(struct cluster *cluster)
{
    struct node *node = random_live_node(cluster);
    struct node *leader = cluster_leader(cluster);
    if (raft_invariants_committed(cluster->invariants) + 64 > CLUSTER_ENTRIES_MAX || node == NULL) {
        return;
    }
    struct node *at = leader != NULL && rng_below(&cluster->rng, 2) == 0 ? leader : node;
    switch (rng_below(&cluster->rng, 16)) {
    case 0:
    case 1:
        for (uint64_t i = rng_below(&cluster->rng, 5); i > 0; i--) {
            cluster_propose(cluster, at);
        }
        break;
    case 2:
    case 3:
        cluster_read(cluster, node);
        break;
    case 4:
        if (cluster->options.conf_changes && rng_below(&cluster->rng, 4) == 0) {
            random_change(cluster, at);
        }
        break;
    case 5:
        if (rng_below(&cluster->rng, 16) == 0) {
            raft_transfer_leader(at->raft, 1 + rng_below(&cluster->rng, cluster->node_count));
        }
        break;
    case 6:
        if (cluster->options.faults && rng_below(&cluster->rng, 32) == 0) {
            raft_campaign(node->raft);
        } else if (cluster->options.faults && rng_below(&cluster->rng, 64) == 0) {
            raft_step_down(at->raft);
        }
        break;
    default:
        break;
    }
}

static void fault_partition(struct cluster *cluster)
{
    memset(cluster->cut, 0, sizeof(cluster->cut));
    uint64_t side = rng_below(&cluster->rng, 1u << cluster->node_count);
    bool one_way = rng_below(&cluster->rng, 4) == 0;
    for (uint32_t a = 1; a <= cluster->node_count; a++) {
        for (uint32_t b = 1; b <= cluster->node_count; b++) {
            uint64_t side_a = (side >> (a - 1)) & 1u;
            uint64_t side_b = (side >> (b - 1)) & 1u;
            cluster->cut[a][b] = one_way ? side_a < side_b : side_a != side_b;
        }
    }
}

/* Rot hits at most one member at a time: the others can still form every quorum of three or more.
 */
static bool rot_allowed(const struct cluster *cluster)
{
    for (uint32_t i = 0; i < cluster->node_count; i++) {
        if (cluster->nodes[i].disk.suspect) {
            return false;
        }
    }
    return cluster->options.rot;
}

void cluster_random_fault(struct cluster *cluster)
{
    struct node *node = &cluster->nodes[rng_below(&cluster->rng, cluster->node_count)];
    switch (rng_below(&cluster->rng, 400)) {
    case 0:
    case 1:
    case 2:
    case 3:
        if (node->raft != NULL) {
            cluster_crash(cluster, node);
            if (rot_allowed(cluster) && rng_below(&cluster->rng, 3) == 0) {
                cluster_rot(cluster, node);
            }
        }
        break;
    case 4:
        fault_partition(cluster);
        break;
    case 5:
    case 6:
        memset(cluster->cut, 0, sizeof(cluster->cut));
        break;
    case 7:
        cluster->drop_permille = (uint32_t)rng_below(&cluster->rng, 300);
        break;
    case 8:
        cluster->disk_delay = (uint32_t)rng_below(&cluster->rng, 30);
        break;
    default:
        if (node->raft == NULL && rng_below(&cluster->rng, 30) == 0) {
            cluster_start(cluster, node);
        }
        break;
    }
}

void cluster_heal(struct cluster *cluster)
{
    cluster->options.faults = false;
    cluster->options.conf_changes = false;
    memset(cluster->cut, 0, sizeof(cluster->cut));
    cluster->drop_permille = 0;
    cluster->disk_delay = 2;
    for (uint32_t i = 0; i < cluster->node_count; i++) {
        if (cluster->nodes[i].raft == NULL) {
            cluster_start(cluster, &cluster->nodes[i]);
        }
    }
}

static bool is_settled(struct cluster *cluster, uint64_t goal)
{
    struct node *leader = cluster_leader(cluster);
    if (leader == NULL || leader->applied <= goal) {
        return false;
    }
    for (uint32_t i = 0; i < leader->raft->member_count; i++) {
        struct node *node = cluster_node(cluster, leader->raft->members[i].id);
        if (node->applied <= goal || node->disk.suspect) {
            return false;
        }
    }
    return true;
}

static void print_ids(const char *title, const uint64_t *ids, uint32_t count)
{
    printf(" %s", title);
    for (uint32_t i = 0; i < count; i++) {
        printf(" %lu", (unsigned long)ids[i]);
    }
}

/* One line per node, for whoever looks into a failing seed. */
static void cluster_print(const struct cluster *cluster)
{
    for (uint32_t i = 0; i < cluster->node_count; i++) {
        const struct node *node = &cluster->nodes[i];
        struct raft_status s;
        struct raft_conf_state conf;
        raft_status(node->raft, &s);
        raft_conf_state(node->raft, &conf);
        printf("%lu %s term %lu leader %lu log %lu-%lu.%lu commit %lu applied %lu%s",
               (unsigned long)s.id, raft_role_name(s.role), (unsigned long)s.term,
               (unsigned long)s.leader, (unsigned long)s.first_index, (unsigned long)s.last_index,
               (unsigned long)raft_term_of(node->raft, s.last_index), (unsigned long)s.commit_index,
               (unsigned long)s.applied_index, s.suspect ? " suspect" : "");
        print_ids("voters", conf.voters, conf.voter_count);
        print_ids("learners", conf.learners, conf.learner_count);
        printf("\n");
    }
}

static void run_to_the_end(struct cluster *cluster)
{
    for (uint32_t i = 0; i < cluster->options.steps && cluster->failure[0] == '\0'; i++) {
        cluster_advance(cluster);
    }
    cluster_heal(cluster);
    uint64_t goal = raft_invariants_committed(cluster->invariants) + 5;
    uint64_t reads_before = cluster->counts.reads;
    for (uint32_t i = 0; i < HEALED_UNITS && cluster->failure[0] == '\0'; i++) {
        cluster_advance(cluster);
        if (i > 100 && is_settled(cluster, goal) && cluster->counts.reads > reads_before) {
            return;
        }
    }
    if (getenv("RAFT_SEED") != NULL) {
        cluster_print(cluster);
    }
    check_failed(cluster, "healed, but it does not work: leader %d, last commit %lu",
                 cluster_leader(cluster) != NULL,
                 (unsigned long)raft_invariants_committed(cluster->invariants));
}

void cluster_run(struct cluster *cluster)
{
    run_to_the_end(cluster);
    struct raft_invariants_counts seen;
    raft_invariants_counts(cluster->invariants, &seen);
    cluster->counts.elections = seen.elections;
    cluster->counts.commits = seen.commits;
}
