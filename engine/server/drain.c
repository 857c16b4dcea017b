/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The client ports when the member stops: nobody new, GOAWAY to all who are there, and time for the
 * answers to what they had asked. Streams that have no end of their own (watches, keep-alives,
 * locks) are cut: their clients go on elsewhere, and waiting for them would take all the time.
 */
#include "engine/server/internal.h"

#define DRAIN_STEP_MS     5
#define DRAIN_PONG_MS     1000 /* a client that does not answer is not waited for any longer */
#define DRAIN_CALLS_MS    5000 /* and the election twice, as requests have */
#define DRAIN_CALLS_TIMES 2

static void io_drain_step(void *ctx)
{
    struct server *server = ctx;
    uint64_t now_ms = loop_now_ms(server->io.loop);
    bool all_know =
        now_ms >= server->drain_pong_deadline_ms || grpc_server_is_drained(server->grpc);
    bool all_done =
        now_ms >= server->drain_deadline_ms || grpc_server_ending_calls(server->grpc) == 0;
    if (all_know && all_done) {
        atomic_store(&server->shared.drained, true);
        return;
    }
    loop_timer_set(&server->drain_timer, DRAIN_STEP_MS);
}

static void io_drain_start(void *ctx)
{
    struct server *server = ctx;
    if (server->io_closed) {
        return;
    }
    uint64_t now_ms = loop_now_ms(server->io.loop);
    uint64_t election_ms = (uint64_t)server->config->election_ms;
    server->drain_pong_deadline_ms = now_ms + DRAIN_PONG_MS;
    server->drain_deadline_ms = now_ms + DRAIN_CALLS_MS + DRAIN_CALLS_TIMES * election_ms;
    if (server->client_port != NULL) {
        port_stop_listening(server->client_port);
    }
    if (server->client_http_port != NULL) {
        port_stop_listening(server->client_http_port);
    }
    grpc_server_drain(server->grpc);
    loop_timer_init(server->io.loop, &server->drain_timer, io_drain_step, server);
    loop_timer_set(&server->drain_timer, DRAIN_STEP_MS);
}

void drain_start(struct server *server)
{
    loop_post(server->io.loop, io_drain_start, server);
}

bool drain_is_over(const struct server *server)
{
    return atomic_load(&server->shared.drained);
}

void io_drain_end(struct server *server)
{
    if (server->drain_deadline_ms != 0) {
        loop_timer_cancel(&server->drain_timer);
    }
}
