/* SPDX-License-Identifier: Apache-2.0 */
/* Clients in turn: ask, wait, write down, think. */
#include "tests/sim/faults/workload.h"

#include <inttypes.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "tests/sim/faults/workload_internal.h"

#define RETRY_NS   UINT64_C(200000000)
#define NO_NODE_NS UINT64_C(500000000)

/* ---- the record ---- */

void workload_record(struct workload *workload)
{
    struct err err = {{0}};
    int rc = history_parse_line(workload->history, buf_bytes(&workload->line), &err);
    if (rc != 0) {
        sim_violation("history", "a record cannot be read: %s: %.*s", err.text,
                      (int)BASE_MIN(workload->line.size, (size_t)300),
                      (const char *)workload->line.data);
    }
}

static bool contains(const char *text, const char *part)
{
    return text != NULL && strstr(text, part) != NULL;
}

/* In the words of a history; what is not on the list may still take effect. */
static const char *outcome_of(const struct sim_answer *answer)
{
    switch (answer->code) {
    case GRPC_INVALID_ARGUMENT:
        return contains(answer->text, "key not found") ? "no-key" : "failed";
    case GRPC_RESOURCE_EXHAUSTED: /* refused before it was proposed, or by all who applied it */
        return "failed";
    case GRPC_NOT_FOUND:
        return contains(answer->text, "lease") ? "no-lease" : "failed";
    case GRPC_FAILED_PRECONDITION:
        return contains(answer->text, "lease already exists") ? "lease-exists" : "failed";
    case GRPC_OUT_OF_RANGE:
        return contains(answer->text, "compacted") ? "compacted" : "future";
    default:
        return "unknown";
    }
}

static void write_down(struct client *client, const char *outcome, bool is_ok)
{
    struct workload *workload = client->workload;
    struct buf *line = &workload->line;
    buf_clear(line);
    buf_printf(line, "op %u %" PRIu64 " %" PRIu64 " %s %" PRIx64 " %" PRIu64 " %" PRId64 " ",
               client->number, client->invoke_ns, sim_now_ns(), outcome, is_ok ? client->member : 0,
               is_ok ? client->term : 0, is_ok ? client->revision : 0);
    buf_append(line, client->request.data, client->request.size);
    if (is_ok) {
        buf_append_str(line, " -> ");
        buf_append(line, client->answer.data, client->answer.size);
    }
    workload_record(workload);
}

/* ---- one client ---- */

static void client_turn(void *ctx);

static void client_later(struct client *client, uint64_t mean_ns)
{
    sim_at(sim_now_ns() + sim_exponential_ns(client->workload->rng, mean_ns), client_turn, client);
}

static void client_advance(struct client *client, bool is_ok)
{
    if (is_ok && client->phase == CLIENT_LAST_PUT) {
        client->phase = CLIENT_LAST_READ;
    } else if (is_ok && client->phase == CLIENT_LAST_READ) {
        client->phase = CLIENT_DONE;
    }
}

static void client_over(struct client *client, const struct sim_answer *answer)
{
    struct workload *workload = client->workload;
    bool is_ok = client->is_answered;
    const char *outcome = is_ok ? "ok" : outcome_of(answer);
    client->is_waiting = false;
    client->call = 0;
    write_down(client, outcome, is_ok);
    if (is_ok) {
        workload->counts.ok++;
    } else if (strcmp(outcome, "unknown") == 0) {
        workload->counts.unknown++;
    } else {
        workload->counts.refused++;
    }
    sim_trace((uint64_t)client->revision << 8 | (uint64_t)answer->code);
    client_advance(client, is_ok);
    client_later(client, client->phase == CLIENT_MIXED ? workload->options.think_ns : RETRY_NS);
}

static void on_answer(void *ctx, const struct sim_answer *answer)
{
    struct client *client = ctx;
    if (answer->code == GRPC_OK && answer->body.size > 0 && !client->is_answered) {
        client->is_answered = operation_take(client, answer->body);
    }
    if (answer->is_message) { /* a keep-alive's answer: the stream has done its work */
        uint64_t call = client->call;
        struct sim_answer over = *answer;
        sim_call_cancel(call);
        client_over(client, &over);
        return;
    }
    client_over(client, answer);
}

void client_send(struct client *client, enum operation operation, const ProtobufCMessage *request)
{
    static const char *const methods[] = {
        [OPERATION_PUT] = "/etcdserverpb.KV/Put",
        [OPERATION_RANGE] = "/etcdserverpb.KV/Range",
        [OPERATION_DELETE] = "/etcdserverpb.KV/DeleteRange",
        [OPERATION_TXN] = "/etcdserverpb.KV/Txn",
        [OPERATION_COMPACT] = "/etcdserverpb.KV/Compact",
        [OPERATION_GRANT] = "/etcdserverpb.Lease/LeaseGrant",
        [OPERATION_REVOKE] = "/etcdserverpb.Lease/LeaseRevoke",
        [OPERATION_KEEP_ALIVE] = "/etcdserverpb.Lease/LeaseKeepAlive",
        [OPERATION_TIME_TO_LIVE] = "/etcdserverpb.Lease/LeaseTimeToLive",
    };
    struct workload *workload = client->workload;
    struct buf *packed = &workload->packed;
    buf_clear(packed);
    size_t size = protobuf_c_message_get_packed_size(request);
    protobuf_c_message_pack(request, buf_reserve(packed, size));
    packed->size = size;
    client->operation = operation;
    client->invoke_ns = sim_now_ns();
    client->is_waiting = true;
    client->is_answered = false;
    client->member = client->term = 0;
    client->revision = 0;
    client->call = sim_call(client->node, methods[operation], buf_bytes(packed),
                            workload->options.timeout_ns, on_answer, client);
}

static void client_turn(void *ctx)
{
    struct client *client = ctx;
    struct workload *workload = client->workload;
    if (client->phase == CLIENT_DONE || client->is_waiting) {
        return;
    }
    if (client->phase == CLIENT_MIXED && workload->is_finishing) {
        client->phase = CLIENT_LAST_PUT;
    }
    if (client->phase == CLIENT_MIXED && workload->operations >= workload->options.operations) {
        client_later(client, NO_NODE_NS);
        return;
    }
    client->node = workload->options.pick(workload->rng);
    if (client->node == SIM_NOBODY) {
        client_later(client, NO_NODE_NS);
        return;
    }
    workload->operations++;
    operation_begin(client);
}

/* ---- all ---- */

struct workload *workload_new(const struct workload_options *options, struct history *history)
{
    ASSERT(options->clients <= WORKLOAD_CLIENTS_MAX && options->watchers >= 1 &&
           options->watchers <= WORKLOAD_WATCHERS_MAX && options->keys <= KEYS_MAX);
    struct workload *workload = mem_zalloc(sizeof(*workload));
    workload->options = *options;
    workload->history = history;
    workload->rng = sim_rng(SIM_RNG_CLIENT);
    workload->newest_revision = 1;
    buf_init(&workload->line, BUF_NO_LIMIT);
    buf_init(&workload->packed, BUF_NO_LIMIT);
    for (uint32_t i = 0; i < options->clients; i++) {
        struct client *client = &workload->clients[i];
        client->workload = workload;
        client->number = i;
        buf_init(&client->request, BUF_NO_LIMIT);
        buf_init(&client->answer, BUF_NO_LIMIT);
    }
    for (uint32_t i = 0; i < options->watchers; i++) {
        workload->watchers[i] =
            (struct watcher){.workload = workload, .number = i, .next_revision = 1};
    }
    return workload;
}

void workload_free(struct workload *workload)
{
    for (uint32_t i = 0; i < workload->options.clients; i++) {
        buf_free(&workload->clients[i].request);
        buf_free(&workload->clients[i].answer);
    }
    buf_free(&workload->line);
    buf_free(&workload->packed);
    mem_free(workload);
}

void workload_start(struct workload *workload)
{
    for (uint32_t i = 0; i < workload->options.clients; i++) {
        client_later(&workload->clients[i], workload->options.think_ns);
    }
    for (uint32_t i = 0; i < workload->options.watchers; i++) {
        watcher_start(&workload->watchers[i]);
    }
}

void workload_allow(struct workload *workload, uint64_t operations)
{
    workload->options.operations += operations;
}

bool workload_is_done(const struct workload *workload)
{
    return workload->operations >= workload->options.operations;
}

void workload_finish(struct workload *workload)
{
    workload->is_finishing = true;
}

bool workload_is_finished(const struct workload *workload)
{
    int64_t last = 0;
    for (uint32_t i = 0; i < workload->options.clients; i++) {
        const struct client *client = &workload->clients[i];
        if (client->phase != CLIENT_DONE) {
            return false;
        }
        last = BASE_MAX(last, client->revision);
    }
    return watcher_has_seen(&workload->watchers[0], last);
}

int64_t workload_revision(const struct workload *workload)
{
    return workload->newest_revision;
}

void workload_counts(const struct workload *workload, struct workload_counts *out)
{
    *out = workload->counts;
    out->watches = workload->watch_count;
}

void workload_explain(const struct workload *workload)
{
    static const char *const phases[] = {"mixed", "last put", "last read", "done"};
    for (uint32_t i = 0; i < workload->options.clients; i++) {
        const struct client *client = &workload->clients[i];
        sim_note("client %u: %s, at n%d, waits %d, revision %" PRId64, i, phases[client->phase],
                 client->node, client->is_waiting, client->revision);
    }
    sim_note("the watcher of everything is at revision %" PRId64 ", node n%d",
             workload->watchers[0].seen_revision, workload->watchers[0].node);
}
