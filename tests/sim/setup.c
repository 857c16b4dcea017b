/* SPDX-License-Identifier: Apache-2.0 */
/* Small steps that scenarios share. */
#include "tests/sim/setup.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "engine/server/internal.h"
#include "kv.pb-c.h"
#include "rpc.pb-c.h"

#define CALL_TIMEOUT_NS UINT64_C(5000000000)
#define CALL_WAIT_NS    UINT64_C(60000000000)
#define LOOK_NS         UINT64_C(10000000)

void setup_initial_cluster(int count, char *out, size_t out_size)
{
    size_t size = 0;
    out[0] = '\0';
    for (int i = 0; i < count; i++) {
        size += (size_t)snprintf(out + size, out_size - size, "%sn%d=%s", i == 0 ? "" : ",", i,
                                 sim_node_url(i, true));
        ASSERT(size < out_size);
    }
}

void setup_start(int node, const char *initial_cluster, bool is_new, setup_adjust adjust, void *ctx)
{
    char name[8];
    const char *argv[] = {"quorate",
                          "--name",
                          name,
                          "--data-dir",
                          "/data",
                          "--listen-peer-urls",
                          sim_node_url(node, true),
                          "--initial-advertise-peer-urls",
                          sim_node_url(node, true),
                          "--listen-client-urls",
                          sim_node_url(node, false),
                          "--advertise-client-urls",
                          sim_node_url(node, false),
                          "--initial-cluster",
                          initial_cluster,
                          "--initial-cluster-state",
                          is_new ? "new" : "existing",
                          NULL};
    struct server_config config;
    struct err err = {{0}};
    int exit_code;
    snprintf(name, sizeof(name), "n%d", node);
    enum config_outcome outcome = config_read((int)ARRAY_COUNT(argv) - 1, (char **)(uintptr_t)argv,
                                              &config, &exit_code, &err);
    if (outcome != CONFIG_RUN) {
        sim_violation("setup", "the flags of n%d were refused: %s", node, err.text);
        return;
    }
    if (adjust != NULL) {
        adjust(ctx, &config);
    }
    sim_node_start(node, &config);
    config_free(&config);
}

/* ---- calls that wait ---- */

struct waiting {
    struct setup_answer *answer;
    bool is_over;
};

static void on_answer(void *ctx, const struct sim_answer *answer)
{
    struct waiting *waiting = ctx;
    waiting->answer->code = answer->code;
    snprintf(waiting->answer->text, sizeof(waiting->answer->text), "%s",
             answer->text == NULL ? "" : answer->text);
    waiting->answer->body = mem_dup(answer->body.data, answer->body.size);
    waiting->answer->body_size = answer->body.size;
    waiting->is_over = true;
}

static bool is_over(void *ctx)
{
    return ((struct waiting *)ctx)->is_over;
}

void setup_call(int node, const char *method, struct bytes request, uint64_t timeout_ns,
                struct setup_answer *out_answer)
{
    struct waiting waiting = {out_answer, false};
    *out_answer = (struct setup_answer){.code = GRPC_UNAVAILABLE};
    uint64_t call = sim_call(node, method, request, timeout_ns, on_answer, &waiting);
    sim_run_until(sim_now_ns() + CALL_WAIT_NS, is_over, &waiting);
    if (!waiting.is_over) {
        sim_call_cancel(call);
    }
}

static void pack_and_call(int node, const char *method, const ProtobufCMessage *message,
                          struct setup_answer *out_answer)
{
    size_t size = protobuf_c_message_get_packed_size(message);
    uint8_t *packed = mem_alloc(size);
    protobuf_c_message_pack(message, packed);
    setup_call(node, method, bytes_of(packed, size), CALL_TIMEOUT_NS, out_answer);
    mem_free(packed);
}

static ProtobufCBinaryData binary(const char *text)
{
    return (ProtobufCBinaryData){strlen(text), (uint8_t *)(uintptr_t)text};
}

bool setup_put(int node, const char *key, const char *value)
{
    Etcdserverpb__PutRequest put = ETCDSERVERPB__PUT_REQUEST__INIT;
    struct setup_answer answer;
    put.key = binary(key);
    put.value = binary(value);
    pack_and_call(node, "/etcdserverpb.KV/Put", &put.base, &answer);
    mem_free(answer.body);
    return answer.code == GRPC_OK;
}

bool setup_has(int node, const char *key, const char *value)
{
    Etcdserverpb__RangeRequest range = ETCDSERVERPB__RANGE_REQUEST__INIT;
    struct setup_answer answer;
    bool has = false;
    range.key = binary(key);
    pack_and_call(node, "/etcdserverpb.KV/Range", &range.base, &answer);
    if (answer.code == GRPC_OK) {
        Etcdserverpb__RangeResponse *response =
            etcdserverpb__range_response__unpack(NULL, answer.body_size, answer.body);
        if (response != NULL) {
            has = response->n_kvs == 1 && response->kvs[0]->value.len == strlen(value) &&
                  memcmp(response->kvs[0]->value.data, value, strlen(value)) == 0;
            etcdserverpb__range_response__free_unpacked(response, NULL);
        }
    }
    mem_free(answer.body);
    return has;
}

int setup_wait_leader(uint64_t within_ns)
{
    for (uint64_t end = sim_now_ns() + within_ns; sim_now_ns() < end;) {
        for (int node = 0; node < SIM_NODES_MAX; node++) {
            const struct server *server = sim_node_server(node);
            if (server != NULL && sim_node_state(node) == SIM_NODE_RUNNING &&
                atomic_load(&server->shared.is_leader) && atomic_load(&server->shared.ready)) {
                return node;
            }
        }
        sim_run_until(sim_now_ns() + LOOK_NS, NULL, NULL);
    }
    return SIM_NOBODY;
}
