/* SPDX-License-Identifier: Apache-2.0 */
/* Counters per method; those of a code, but OK, appear once it was answered. */
#include "engine/server/rpc_metrics.h"

#include <stdio.h>
#include <string.h>

#include "base/metrics.h"

#define LABELS_MAX 160u

struct counter {
    struct metric metric;
    char labels[LABELS_MAX];
    bool registered;
};

static struct counter started[RPC_COUNT];
static struct counter handled[RPC_COUNT][GRPC_CODE_COUNT];
static struct counter received[RPC_COUNT], sent[RPC_COUNT];

static const char *const KIND_NAMES[] = {
    [GRPC_UNARY] = "unary",
    [GRPC_SERVER_STREAM] = "server_stream",
    [GRPC_CLIENT_STREAM] = "client_stream",
    [GRPC_BIDI] = "bidi_stream",
};

/* "/etcdserverpb.KV/Range" gives grpc_method="Range",grpc_service="etcdserverpb.KV". */
static void register_counter(struct counter *counter, enum rpc_method method, const char *code)
{
    const char *service = RPC_SPECS[method].path + 1;
    const char *slash = strchr(service, '/');
    snprintf(counter->labels, LABELS_MAX,
             "%s%s%sgrpc_method=\"%s\",grpc_service=\"%.*s\",grpc_type=\"%s\"",
             code == NULL ? "" : "grpc_code=\"", code == NULL ? "" : code,
             code == NULL ? "" : "\",", slash + 1, (int)(slash - service), service,
             KIND_NAMES[RPC_SPECS[method].kind]);
    counter->metric.name = code == NULL ? "grpc_server_started_total" : "grpc_server_handled_total";
    counter->metric.help =
        code == NULL
            ? "Total number of RPCs started on the server."
            : "Total number of RPCs completed on the server, regardless of success or failure.";
    counter->metric.type = METRIC_COUNTER;
    counter->metric.labels = counter->labels;
    counter->registered = true;
    metric_register(&counter->metric);
}

/* As the calls that have begun are counted, under another name. */
static void register_messages(struct counter *counter, enum rpc_method method, const char *name,
                              const char *help)
{
    snprintf(counter->labels, LABELS_MAX, "%s", started[method].labels);
    counter->metric.name = name;
    counter->metric.help = help;
    counter->metric.type = METRIC_COUNTER;
    counter->metric.labels = counter->labels;
    counter->registered = true;
    metric_register(&counter->metric);
}

void rpc_metrics_received(enum rpc_method method)
{
    metric_add(&received[method].metric, 1);
}

void rpc_metrics_sent(enum rpc_method method)
{
    metric_add(&sent[method].metric, 1);
}

void rpc_metrics_sent_many(enum rpc_method method, uint64_t count)
{
    metric_add(&sent[method].metric, (int64_t)count);
}

void rpc_metrics_register(void)
{
    for (int i = 0; i < RPC_COUNT; i++) {
        if (!started[i].registered) {
            register_counter(&started[i], (enum rpc_method)i, NULL);
            register_counter(&handled[i][GRPC_OK], (enum rpc_method)i, grpc_code_name(GRPC_OK));
            register_messages(&received[i], (enum rpc_method)i, "grpc_server_msg_received_total",
                              "Total number of RPC stream messages received on the server.");
            register_messages(&sent[i], (enum rpc_method)i, "grpc_server_msg_sent_total",
                              "Total number of gRPC stream messages sent by the server.");
        }
    }
}

void rpc_metrics_started(enum rpc_method method)
{
    metric_add(&started[method].metric, 1);
}

void rpc_metrics_finished(enum rpc_method method, enum grpc_code code)
{
    unsigned number = (unsigned)code < GRPC_CODE_COUNT ? (unsigned)code : GRPC_UNKNOWN;
    struct counter *counter = &handled[method][number];
    if (!counter->registered) {
        register_counter(counter, method, grpc_code_name((enum grpc_code)number));
    }
    metric_add(&counter->metric, 1);
}
