/* SPDX-License-Identifier: Apache-2.0 */
/* Series with fixed labels: nothing that a user names can make them grow. */
#include "controller/operator_metrics.h"

#include <string.h>

#define CHANGES(X)                                                                                 \
    X("create")                                                                                    \
    X("replace")                                                                                   \
    X("apply")                                                                                     \
    X("patch")                                                                                     \
    X("delete")                                                                                    \
    X("MemberAdd")                                                                                 \
    X("MemberPromote")                                                                             \
    X("MemberRemove")                                                                              \
    X("MoveLeader")

#define CHANGE_HELP "Changes that the operator made, by what it called and how it ended."
#define CHANGE_ROW(what, result)                                                                   \
    {.name = "quorate_operator_changes_total",                                                     \
     .help = CHANGE_HELP,                                                                          \
     .labels = "call=\"" what "\",result=\"" result "\"",                                          \
     .type = METRIC_COUNTER},

static const char *const CHANGE_NAMES[] = {
#define X(what) what,
    CHANGES(X)
#undef X
};

static struct metric changes_ok[] = {
#define X(what) CHANGE_ROW(what, "ok")
    CHANGES(X)
#undef X
};

static struct metric changes_failed[] = {
#define X(what) CHANGE_ROW(what, "error")
    CHANGES(X)
#undef X
};

static struct metric passes_ok = {.name = "quorate_operator_reconcile_total",
                                  .help = "Passes over a cluster, by how they ended.",
                                  .labels = "result=\"ok\"",
                                  .type = METRIC_COUNTER};
static struct metric passes_failed = {.name = "quorate_operator_reconcile_total",
                                      .help = "Passes over a cluster, by how they ended.",
                                      .labels = "result=\"error\"",
                                      .type = METRIC_COUNTER};
static const double PASS_BOUNDS[] = {0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 2, 5, 10, 30};
static struct metric pass_seconds = {.name = "quorate_operator_reconcile_duration_seconds",
                                     .help = "From the start of a pass to its last change.",
                                     .type = METRIC_HISTOGRAM,
                                     .bounds = PASS_BOUNDS,
                                     .bound_count = ARRAY_COUNT(PASS_BOUNDS)};
static struct metric last_success = {
    .name = "quorate_operator_last_successful_reconcile_timestamp_seconds",
    .help = "When a pass last succeeded, in seconds since 1970.",
    .type = METRIC_GAUGE};
static struct metric leader = {.name = "quorate_operator_leader",
                               .help = "1 while this process holds the Lease.",
                               .type = METRIC_GAUGE};
static struct metric queue_depth = {.name = "quorate_operator_queue_depth",
                                    .help = "Clusters that wait for their next pass.",
                                    .type = METRIC_GAUGE};
static struct metric looks = {.name = "quorate_operator_looks_in_flight",
                              .help = "Clusters whose members are being probed.",
                              .type = METRIC_GAUGE};
static struct metric clusters = {.name = "quorate_operator_clusters",
                                 .help = "EtcdClusters in the watched namespaces.",
                                 .type = METRIC_GAUGE};

void operator_metrics_register(void)
{
    struct metric *const singles[] = {&passes_ok, &passes_failed, &pass_seconds, &last_success,
                                      &leader,    &queue_depth,   &looks,        &clusters};
    for (size_t i = 0; i < ARRAY_COUNT(singles); i++) {
        metric_register(singles[i]);
    }
    for (size_t i = 0; i < ARRAY_COUNT(CHANGE_NAMES); i++) {
        metric_register(&changes_ok[i]);
        metric_register(&changes_failed[i]);
    }
}

void operator_metrics_pass(bool succeeded, uint64_t duration_ns, int64_t wall_seconds)
{
    metric_add(succeeded ? &passes_ok : &passes_failed, 1);
    metric_observe(&pass_seconds, duration_ns);
    if (succeeded) {
        metric_set(&last_success, wall_seconds);
    }
}

void operator_metrics_change(const char *what, bool succeeded)
{
    for (size_t i = 0; i < ARRAY_COUNT(CHANGE_NAMES); i++) {
        if (strcmp(CHANGE_NAMES[i], what) == 0) {
            metric_add(succeeded ? &changes_ok[i] : &changes_failed[i], 1);
        }
    }
}

void operator_metrics_leader(bool is_leader)
{
    metric_set(&leader, is_leader ? 1 : 0);
}

void operator_metrics_queue(size_t depth, size_t looks_in_flight)
{
    metric_set(&queue_depth, (int64_t)depth);
    metric_set(&looks, (int64_t)looks_in_flight);
}

void operator_metrics_clusters(size_t count)
{
    metric_set(&clusters, (int64_t)count);
}
