/* SPDX-License-Identifier: Apache-2.0 */
/* grpc_server_started_total and grpc_server_handled_total, as dashboards know them. I/O thread. */
#ifndef ENGINE_SERVER_RPC_METRICS_H
#define ENGINE_SERVER_RPC_METRICS_H

#include "engine/server/rpc.h"

void rpc_metrics_register(void);
void rpc_metrics_started(enum rpc_method method);
void rpc_metrics_finished(enum rpc_method method, enum grpc_code code);

/* One message of a call, in and out. */
void rpc_metrics_received(enum rpc_method method);
void rpc_metrics_sent(enum rpc_method method);
void rpc_metrics_sent_many(enum rpc_method method, uint64_t count);

#endif
