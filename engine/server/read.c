/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Linearizable reads by ReadIndex (dissertation 6.4): all reads that arrive while a round runs
 * share the next one. A read runs when the index that its round confirmed is applied. Never by wall
 * clock.
 */
#include "engine/server/internal.h"
#include "engine/server/metrics.h"

#include "base/plant.h"

#define READ_RETRY_MS 500u /* a lost round is asked again, as in etcd */

static void list_move_all(struct list *to, struct list *from)
{
    while (!list_empty(from)) {
        struct list *first = from->next;
        list_remove(first);
        list_append(to, first);
    }
}

void read_linearizable(struct server *server, struct request *request)
{
    if (server->waiting_count >= READS_WAITING_MAX) {
        request_fail(server, request, ETCD_ERR_TOO_MANY_REQUESTS);
        return;
    }
    request_arm_deadline(server, request);
    list_append(&server->reads, &request->link);
}

static int ask_round(struct server *server, uint64_t context)
{
    uint8_t bytes[8];
    put_be64(bytes, context);
    return raft_read_index(server->raft, bytes_of(bytes, sizeof(bytes)));
}

void reads_start_round(struct server *server)
{
    uint64_t now = server_now_ms(server);
    if (server->read_round != 0) {
        if (now - server->read_round_sent_ms >= READ_RETRY_MS) {
            server->read_round_sent_ms = now;
            metric_add(&METRIC_READ_INDEXES_SLOW, 1);
            (void)ask_round(server, server->read_round); /* without a leader: asked again later */
        }
        return;
    }
    if (list_empty(&server->reads)) {
        return;
    }
    uint64_t context = next_request_id(server);
    if (ask_round(server, context) != 0) {
        metric_add(&METRIC_READ_INDEXES_FAILED, 1);
        return; /* no leader: the reads wait, their deadlines run */
    }
    server->read_round = context;
    server->read_round_sent_ms = now;
    list_move_all(&server->reads_in_round, &server->reads);
}

void reads_on_states(struct server *server, const struct raft_read_state *states, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (states[i].context_size != 8 || get_be64(states[i].context) != server->read_round ||
            server->read_round == 0) {
            continue; /* the answer of a round that was given up */
        }
        server->read_round = 0;
        LIST_EACH(it, &server->reads_in_round)
        {
            LIST_ENTRY(it, struct request, link)->number = states[i].index;
        }
        list_move_all(&server->reads_confirmed, &server->reads_in_round);
    }
}

void reads_after_apply(struct server *server)
{
    while (!list_empty(&server->reads_confirmed)) {
        struct request *request = LIST_ENTRY(server->reads_confirmed.next, struct request, link);
        if (request->number > server->applied_index && !PLANT(read_before_applied)) {
            return; /* confirmed indices ascend: the others wait too */
        }
        request_disarm(server, request);
        request->run(server, request);
    }
}

void reads_on_leader_change(struct server *server)
{
    if (server->read_round != 0) {
        server->read_round = 0;
        list_move_all(&server->reads, &server->reads_in_round);
    }
}
