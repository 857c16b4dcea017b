/* SPDX-License-Identifier: Apache-2.0 */
/* Small steps that scenarios share: configurations as the flags give them, and calls that wait. */
#ifndef TESTS_SIM_SETUP_H
#define TESTS_SIM_SETUP_H

#include "tests/sim/world.h"

#define SETUP_TEXT_MAX 1024u

/* "n0=http://10.0.0.1:2380,n1=..." of the first count slots. */
void setup_initial_cluster(int count, char *out, size_t out_size);

/* Starts slot node as member "n<node>" with etcd's flags at their defaults (read by config_read);
 * adjust (NULL: nothing) changes the config before. */
typedef void (*setup_adjust)(void *ctx, struct server_config *config);
void setup_start(int node, const char *initial_cluster, bool is_new, setup_adjust adjust,
                 void *ctx);

/* One unary call, waited for; body is copied into the world's memory (mem_free). */
struct setup_answer {
    enum grpc_code code;
    char text[160];
    uint8_t *body;
    size_t body_size;
};
void setup_call(int node, const char *method, struct bytes request, uint64_t timeout_ns,
                struct setup_answer *out_answer);

/* Puts (true: it was acknowledged), and a linearizable read (true: it is there with that value). */
bool setup_put(int node, const char *key, const char *value);
bool setup_has(int node, const char *key, const char *value);

/* Waits until some running node leads; SIM_NOBODY when none does by then. */
int setup_wait_leader(uint64_t within_ns);

#endif
