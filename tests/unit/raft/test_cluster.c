/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Thousands of whole-cluster runs by seed. RAFT_SEED=n runs that one alone, RAFT_SEEDS=n that many
 * per kind of run.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "lib_cluster.h"

#define SEEDS_DEFAULT 800u

static struct cluster_counts totals;

static void totals_add(const struct cluster_counts *counts)
{
    totals.messages += counts->messages;
    totals.drops += counts->drops;
    totals.crashes += counts->crashes;
    totals.rots += counts->rots;
    totals.elections += counts->elections;
    totals.commits += counts->commits;
    totals.reads += counts->reads;
    totals.conf_changes += counts->conf_changes;
    totals.snapshots += counts->snapshots;
    totals.suspects_cleared += counts->suspects_cleared;
}

static void run_seeds(struct cluster_options options, const char *kind)
{
    const char *one = getenv("RAFT_SEED");
    const char *many = getenv("RAFT_SEEDS");
    uint64_t first = one != NULL ? strtoull(one, NULL, 10) : 1;
    uint64_t count = one != NULL ? 1 : (many != NULL ? strtoull(many, NULL, 10) : SEEDS_DEFAULT);
    for (uint64_t seed = first; seed < first + count; seed++) {
        options.seed = seed;
        options.pre_vote = seed % 3 != 0;
        options.check_quorum = seed % 4 != 0;
        struct cluster *cluster = cluster_new(&options);
        cluster_run(cluster);
        totals_add(&cluster->counts);
        if (cluster->failure[0] != '\0') {
            fail_msg("%s, seed %lu, time %lu: %s", kind, (unsigned long)seed,
                     (unsigned long)cluster->now, cluster->failure);
        }
        cluster_free(cluster);
    }
}

static void a_quiet_cluster_elects_commits_and_reads(void **state)
{
    (void)state;
    for (uint32_t voters = 1; voters <= CLUSTER_NODES_MAX; voters++) {
        run_seeds((struct cluster_options){.voters = voters, .steps = 100}, "quiet");
    }
}

static void three_members_survive_crashes_and_splits(void **state)
{
    (void)state;
    run_seeds((struct cluster_options){.voters = 3, .faults = true, .steps = 1500}, "three");
}

static void five_members_with_compaction_survive(void **state)
{
    (void)state;
    run_seeds(
        (struct cluster_options){.voters = 5, .faults = true, .compaction = true, .steps = 1500},
        "five");
}

static void changing_membership_survives(void **state)
{
    (void)state;
    run_seeds((struct cluster_options){.voters = 3,
                                       .spares = 3,
                                       .faults = true,
                                       .conf_changes = true,
                                       .compaction = true,
                                       .steps = 1500},
              "changes");
}

static void a_member_with_a_rotten_log_breaks_nothing_and_comes_back(void **state)
{
    (void)state;
    run_seeds((struct cluster_options){.voters = 3, .faults = true, .rot = true, .steps = 1500},
              "rot of three");
    run_seeds(
        (struct cluster_options){
            .voters = 5, .faults = true, .rot = true, .compaction = true, .steps = 1500},
        "rot of five");
}

static void the_runs_have_seen_every_kind_of_trouble(void **state)
{
    (void)state;
    printf("elections %lu, commits %lu, reads %lu, changes %lu, snapshots %lu, crashes %lu, "
           "rots %lu (%lu cleared), messages %lu (%lu dropped)\n",
           (unsigned long)totals.elections, (unsigned long)totals.commits,
           (unsigned long)totals.reads, (unsigned long)totals.conf_changes,
           (unsigned long)totals.snapshots, (unsigned long)totals.crashes,
           (unsigned long)totals.rots, (unsigned long)totals.suspects_cleared,
           (unsigned long)totals.messages, (unsigned long)totals.drops);
    if (getenv("RAFT_SEED") == NULL && getenv("RAFT_SEEDS") == NULL) {
        assert_true(totals.crashes > 1000);
        assert_true(totals.conf_changes > 1000);
        assert_true(totals.snapshots > 100);
        assert_true(totals.rots > 100);
        assert_true(totals.suspects_cleared > 50);
        assert_true(totals.reads > 10000);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_quiet_cluster_elects_commits_and_reads),
        cmocka_unit_test(three_members_survive_crashes_and_splits),
        cmocka_unit_test(five_members_with_compaction_survive),
        cmocka_unit_test(changing_membership_survives),
        cmocka_unit_test(a_member_with_a_rotten_log_breaks_nothing_and_comes_back),
        cmocka_unit_test(the_runs_have_seen_every_kind_of_trouble),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
