/* SPDX-License-Identifier: Apache-2.0 */
/* Counters, gauges and histograms with Prometheus text output. Updates are atomic, from any thread.
 */
#ifndef BASE_METRICS_H
#define BASE_METRICS_H

#include <stdatomic.h>

#include "base/buf.h"
#include "base/defs.h"

#define METRIC_BUCKETS_MAX 26u

enum metric_type { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };

/*
 * One time series. labels is the text between the braces ("To=\"8e9e\"") or NULL. Define statically
 * or on the heap, register once, never free while registered. Series of one name must be registered
 * with the same help and type.
 */
struct metric {
    const char *name;
    const char *help;
    const char *labels;
    enum metric_type type;
    const double *bounds; /* histogram: bucket upper bounds, ascending, without +Inf */
    size_t bound_count;
    _Atomic int64_t value; /* counter and gauge */
    _Atomic uint64_t buckets[METRIC_BUCKETS_MAX];
    _Atomic uint64_t sum_nanos; /* histogram sum in 1e-9 of its unit */
    struct metric *next;
};

/* Adds to the process-wide registry. Thread-safe. */
void metric_register(struct metric *metric);
void metric_unregister(struct metric *metric);

static inline void metric_add(struct metric *metric, int64_t delta)
{
    atomic_fetch_add_explicit(&metric->value, delta, memory_order_relaxed);
}

static inline void metric_set(struct metric *metric, int64_t value)
{
    atomic_store_explicit(&metric->value, value, memory_order_relaxed);
}

static inline int64_t metric_get(const struct metric *metric)
{
    return atomic_load_explicit(&((struct metric *)(uintptr_t)metric)->value, memory_order_relaxed);
}

/* Counts one observation; value_nanos is in 1e-9 of the histogram's unit (ns for seconds). */
void metric_observe(struct metric *metric, uint64_t value_nanos);

/* Appends the whole registry in the text exposition format, sorted by name. */
void metrics_write(struct buf *out);

/* etcd's bucket layouts: 1 ms doubling 14 times, as its fsync and commit histograms. */
extern const double METRIC_BOUNDS_DISK[14];
extern const double METRIC_BOUNDS_RPC[11];

#endif
