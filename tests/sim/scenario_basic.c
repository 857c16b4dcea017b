/* SPDX-License-Identifier: Apache-2.0 */
/* Writes, a leader that dies, and everything is still there. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "rpc.pb-c.h"
#include "tests/sim/scenario.h"
#include "tests/sim/setup.h"

#define SECOND     UINT64_C(1000000000)
#define TIMEOUT_NS (2 * SECOND)

struct run;

/* One client: its next call begins when the last one has ended. */
struct client {
    struct run *run;
    uint64_t number; /* of the key that is being written or read */
    int node;
};

struct run {
    const struct sim_options *options;
    bool *acked;
    bool reading;
    uint64_t next, end, answered, missing;
    struct client clients[SIM_CLIENTS_MAX];
};

static void key_of(uint64_t number, char out[32])
{
    snprintf(out, 32, "key-%06" PRIu64, number);
}

static void client_next(struct client *client);

static bool holds(struct bytes body, const char *value)
{
    Etcdserverpb__RangeResponse *response =
        etcdserverpb__range_response__unpack(NULL, body.size, body.data);
    bool equal = response != NULL && response->n_kvs == 1 &&
                 response->kvs[0]->value.len == strlen(value) &&
                 memcmp(response->kvs[0]->value.data, value, strlen(value)) == 0;
    if (response != NULL) {
        etcdserverpb__range_response__free_unpacked(response, NULL);
    }
    return equal;
}

static void on_answer(void *ctx, const struct sim_answer *answer)
{
    struct client *client = ctx;
    struct run *run = client->run;
    char key[32];
    key_of(client->number, key);
    run->answered++;
    if (!run->reading) {
        run->acked[client->number] = answer->code == GRPC_OK;
    } else if (run->acked[client->number] &&
               (answer->code != GRPC_OK || !holds(answer->body, key))) {
        sim_note("%s was acknowledged and is not there: code %d %s", key, (int)answer->code,
                 answer->text);
        run->missing++;
    }
    client_next(client);
}

static ProtobufCBinaryData binary(char *text)
{
    return (ProtobufCBinaryData){strlen(text), (uint8_t *)text};
}

static void client_next(struct client *client)
{
    struct run *run = client->run;
    char key[32];
    uint8_t packed[128];
    if (run->next == run->end) {
        return;
    }
    client->number = run->next++;
    client->node = (client->node + 1) % run->options->nodes;
    key_of(client->number, key);
    if (run->reading) {
        Etcdserverpb__RangeRequest range = ETCDSERVERPB__RANGE_REQUEST__INIT;
        range.key = binary(key);
        size_t size = etcdserverpb__range_request__pack(&range, packed);
        (void)sim_call(client->node, "/etcdserverpb.KV/Range", bytes_of(packed, size), TIMEOUT_NS,
                       on_answer, client);
    } else {
        Etcdserverpb__PutRequest put = ETCDSERVERPB__PUT_REQUEST__INIT;
        put.key = binary(key);
        put.value = binary(key);
        size_t size = etcdserverpb__put_request__pack(&put, packed);
        (void)sim_call(client->node, "/etcdserverpb.KV/Put", bytes_of(packed, size), TIMEOUT_NS,
                       on_answer, client);
    }
}

static bool all_answered(void *ctx)
{
    const struct run *run = ctx;
    return run->answered == run->end;
}

static void run_to(struct run *run, uint64_t end)
{
    run->end = end;
    for (int i = 0; i < run->options->clients; i++) {
        run->clients[i].run = run;
        run->clients[i].node = i;
        client_next(&run->clients[i]);
    }
    sim_run_until(UINT64_MAX / 2, all_answered, run);
}

static void write_and_read(struct run *run, int leader, const char *cluster)
{
    const struct sim_options *options = run->options;
    run_to(run, options->puts / 2);
    if (options->nodes > 2) {
        sim_node_kill(leader);
        sim_run_until(sim_now_ns() + 5 * SECOND, NULL, NULL);
    } else {
        sim_node_power_cut(leader);
    }
    setup_start(leader, cluster, true, NULL, NULL);
    sim_run_until(sim_now_ns() + 5 * SECOND, NULL, NULL);
    run_to(run, options->puts);
    run->reading = true;
    run->next = run->answered = 0;
    run_to(run, options->puts);
    if (run->missing > 0) {
        sim_violation("durability", "%" PRIu64 " acknowledged keys are gone", run->missing);
    }
}

static void run_basic(const struct sim_options *options, struct sim_outcome *outcome)
{
    char cluster[SETUP_TEXT_MAX];
    struct run *run = mem_zalloc(sizeof(*run));
    run->options = options;
    run->acked = mem_array(options->puts + 1, sizeof(bool));
    setup_initial_cluster(options->nodes, cluster, sizeof(cluster));
    for (int i = 0; i < options->nodes; i++) {
        setup_start(i, cluster, true, NULL, NULL);
    }
    int leader = setup_wait_leader(30 * SECOND);
    if (leader == SIM_NOBODY) {
        sim_violation("liveness", "nobody leads after 30 s (n0: %s)", sim_node_why(0));
    } else {
        write_and_read(run, leader, cluster);
    }
    outcome->calls = 2 * options->puts;
    for (int i = 0; i < options->nodes; i++) {
        sim_node_stop(i);
    }
    sim_run_until(sim_now_ns() + 10 * SECOND, NULL, NULL);
    for (int i = 0; i < options->nodes; i++) {
        if (sim_node_state(i) != SIM_NODE_OFF) {
            sim_violation("stop", "n%d did not stop: %s", i, sim_node_why(i));
        }
    }
    mem_free(run->acked);
    mem_free(run);
}

const struct scenario SCENARIO_BASIC = {"basic", run_basic};
