/* SPDX-License-Identifier: Apache-2.0 */
/* The metric registry and its text form. */
#include "base/metrics.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"

const double METRIC_BOUNDS_DISK[14] = {0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064,
                                       0.128, 0.256, 0.512, 1.024, 2.048, 4.096, 8.192};
const double METRIC_BOUNDS_RPC[11] = {0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10};

static pthread_mutex_t registry_lock = PTHREAD_MUTEX_INITIALIZER;
static struct metric *registry;

void metric_register(struct metric *metric)
{
    ASSERT(metric->bound_count < METRIC_BUCKETS_MAX);
    pthread_mutex_lock(&registry_lock);
    metric->next = registry;
    registry = metric;
    pthread_mutex_unlock(&registry_lock);
}

void metric_unregister(struct metric *metric)
{
    pthread_mutex_lock(&registry_lock);
    for (struct metric **at = &registry; *at != NULL; at = &(*at)->next) {
        if (*at == metric) {
            *at = metric->next;
            break;
        }
    }
    pthread_mutex_unlock(&registry_lock);
}

void metric_observe(struct metric *metric, uint64_t value_nanos)
{
    double value = (double)value_nanos / 1e9;
    size_t bucket = 0;
    while (bucket < metric->bound_count && value > metric->bounds[bucket]) {
        bucket++;
    }
    atomic_fetch_add_explicit(&metric->buckets[bucket], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&metric->sum_nanos, value_nanos, memory_order_relaxed);
}

static int compare_metrics(const void *a, const void *b)
{
    const struct metric *left = *(const struct metric *const *)a;
    const struct metric *right = *(const struct metric *const *)b;
    int order = strcmp(left->name, right->name);
    if (order != 0) {
        return order;
    }
    return strcmp(left->labels == NULL ? "" : left->labels,
                  right->labels == NULL ? "" : right->labels);
}

static void write_histogram(const struct metric *metric, struct buf *out)
{
    const char *labels = metric->labels == NULL ? "" : metric->labels;
    const char *comma = *labels == '\0' ? "" : ",";
    uint64_t total = 0;
    for (size_t i = 0; i <= metric->bound_count; i++) {
        total += atomic_load_explicit(&metric->buckets[i], memory_order_relaxed);
        if (i < metric->bound_count) {
            buf_printf(out, "%s_bucket{%s%sle=\"%g\"} %" PRIu64 "\n", metric->name, labels, comma,
                       metric->bounds[i], total);
        } else {
            buf_printf(out, "%s_bucket{%s%sle=\"+Inf\"} %" PRIu64 "\n", metric->name, labels, comma,
                       total);
        }
    }
    double sum = (double)atomic_load_explicit(&metric->sum_nanos, memory_order_relaxed) / 1e9;
    const char *open = *labels == '\0' ? "" : "{";
    const char *close = *labels == '\0' ? "" : "}";
    buf_printf(out, "%s_sum%s%s%s %.9g\n", metric->name, open, labels, close, sum);
    buf_printf(out, "%s_count%s%s%s %" PRIu64 "\n", metric->name, open, labels, close, total);
}

static void write_metric(const struct metric *metric, struct buf *out)
{
    if (metric->type == METRIC_HISTOGRAM) {
        write_histogram(metric, out);
    } else if (metric->labels != NULL) {
        buf_printf(out, "%s{%s} %" PRId64 "\n", metric->name, metric->labels, metric_get(metric));
    } else {
        buf_printf(out, "%s %" PRId64 "\n", metric->name, metric_get(metric));
    }
}

void metrics_write(struct buf *out)
{
    static const char *const type_names[] = {"counter", "gauge", "histogram"};
    pthread_mutex_lock(&registry_lock);
    size_t count = 0;
    for (struct metric *metric = registry; metric != NULL; metric = metric->next) {
        count++;
    }
    struct metric **sorted = mem_array(count, sizeof(*sorted));
    size_t filled = 0;
    for (struct metric *metric = registry; metric != NULL; metric = metric->next) {
        sorted[filled++] = metric;
    }
    qsort(sorted, count, sizeof(*sorted), compare_metrics);
    for (size_t i = 0; i < count; i++) {
        if (i == 0 || strcmp(sorted[i]->name, sorted[i - 1]->name) != 0) {
            buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", sorted[i]->name, sorted[i]->help,
                       sorted[i]->name, type_names[sorted[i]->type]);
        }
        write_metric(sorted[i], out);
    }
    mem_free(sorted);
    pthread_mutex_unlock(&registry_lock);
}
