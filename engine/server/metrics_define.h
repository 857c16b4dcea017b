/* SPDX-License-Identifier: Apache-2.0 */
/* How metrics are defined, for metrics.c and metrics_work.c alone. */
#ifndef ENGINE_SERVER_METRICS_DEFINE_H
#define ENGINE_SERVER_METRICS_DEFINE_H

#include "base/metrics.h"

#define COUNTER(n, h)                                                                              \
    {                                                                                              \
        .name = (n), .help = (h), .type = METRIC_COUNTER                                           \
    }
#define GAUGE(n, h)                                                                                \
    {                                                                                              \
        .name = (n), .help = (h), .type = METRIC_GAUGE                                             \
    }
#define HISTOGRAM(n, h, b, c)                                                                      \
    {                                                                                              \
        .name = (n), .help = (h), .type = METRIC_HISTOGRAM, .bounds = (b), .bound_count = (c)      \
    }
#define DISK_HISTOGRAM(n, h) HISTOGRAM(n, h, METRIC_BOUNDS_DISK, 14)

#endif
