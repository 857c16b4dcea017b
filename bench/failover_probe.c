/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How long nobody can write when a leader dies: connects to the members that will survive, kills a
 * process with SIGKILL and puts at the survivors, in turns, until one put is acknowledged.
 *
 *   failover_probe --kill PID --endpoints URL,URL [--every-ms 5] [--timeout-ms 250] [--seconds 30]
 *   failover_probe --endpoints URL,URL,URL       prints "MEMBER LEADER" (ids) of each, exit 2 if
 * one is silent
 *
 * Every put leaves after the kill, and has a call of its own, so that none waits for another.
 * Prints one line of JSON with the time from the kill to the first acknowledgement; exit 1 when
 * none came.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "engine/proto/rpc.pb-c.h"
#include "tests/chaos/rpc.h"

#define ENDPOINTS_MAX 8
#define CALLS_MAX     512
#define MS            1000000u
#define CONNECT_NS    (5000u * (uint64_t)MS)
#define PUT_PATH      "/etcdserverpb.KV/Put"
#define STATUS_PATH   "/etcdserverpb.Maintenance/Status"

struct probe;

struct attempt {
    struct probe *probe;
    struct rpc_call call;
    uint64_t sent_ns;
};

struct survivor {
    struct rpc_endpoint endpoint;
    struct rpc_link link;
    uint64_t member, leader; /* by its Status */
};

struct probe {
    struct survivor survivors[ENDPOINTS_MAX];
    int survivor_count;
    pid_t victim;
    uint64_t every_ns, timeout_ns, limit_ns;
    struct attempt attempts[CALLS_MAX];
    int answered; /* of the first calls */
    uint64_t killed_ns, acked_ns, acked_sent_ns;
    uint64_t sent, refused;
    char refusal[128]; /* the last one */
};

static void put_message(struct rpc_call *call, struct bytes data)
{
    struct attempt *attempt = call->ctx;
    Etcdserverpb__PutResponse *answer =
        etcdserverpb__put_response__unpack(NULL, data.size, data.data);
    if (answer == NULL || answer->header == NULL || attempt->probe->acked_ns != 0) {
        return;
    }
    attempt->probe->acked_ns = rpc_now_ns();
    attempt->probe->acked_sent_ns = attempt->sent_ns;
    etcdserverpb__put_response__free_unpacked(answer, NULL);
}

static void put_end(struct rpc_call *call, int status, const char *text)
{
    struct attempt *attempt = call->ctx;
    if (status != 0) {
        attempt->probe->refused++;
        snprintf(attempt->probe->refusal, sizeof(attempt->probe->refusal), "%s", text);
    }
}

static const struct rpc_events put_events = {.on_message = put_message, .on_end = put_end};

static void status_message(struct rpc_call *call, struct bytes data)
{
    struct attempt *attempt = call->ctx;
    Etcdserverpb__StatusResponse *answer =
        etcdserverpb__status_response__unpack(NULL, data.size, data.data);
    if (answer == NULL || answer->header == NULL) {
        return;
    }
    struct survivor *survivor = &attempt->probe->survivors[attempt - attempt->probe->attempts];
    survivor->member = answer->header->member_id;
    survivor->leader = answer->leader;
    attempt->probe->answered++;
    etcdserverpb__status_response__free_unpacked(answer, NULL);
}

static void status_end(struct rpc_call *call, int status, const char *text)
{
    (void)call;
    (void)status;
    (void)text;
}

static const struct rpc_events status_events = {.on_message = status_message, .on_end = status_end};

/* Sends what waits to be sent, reads what came, for a millisecond at most. */
static void poll_links(struct probe *probe)
{
    struct pollfd polled[ENDPOINTS_MAX];
    for (int i = 0; i < probe->survivor_count; i++) {
        polled[i] = rpc_link_poll(&probe->survivors[i].link);
    }
    if (poll(polled, (nfds_t)probe->survivor_count, 1) <= 0) {
        return;
    }
    for (int i = 0; i < probe->survivor_count; i++) {
        rpc_link_ready(&probe->survivors[i].link, polled[i].revents);
    }
}

/* A connection to each survivor, used once: the first put shall not pay for it. */
static int connect_all(struct probe *probe)
{
    const Etcdserverpb__StatusRequest status = ETCDSERVERPB__STATUS_REQUEST__INIT;
    uint64_t due = rpc_now_ns() + CONNECT_NS;
    for (int i = 0; i < probe->survivor_count; i++) {
        struct survivor *survivor = &probe->survivors[i];
        struct attempt *attempt = &probe->attempts[i];
        rpc_call_init(&attempt->call, &status_events, attempt);
        if (rpc_start(&survivor->link, &survivor->endpoint, &attempt->call, STATUS_PATH,
                      &status.base, true) != 0) {
            return -1;
        }
    }
    while (probe->answered < probe->survivor_count) {
        if (rpc_now_ns() > due) {
            return -1;
        }
        poll_links(probe);
    }
    return 0;
}

static void put_at(struct probe *probe, struct survivor *survivor, struct attempt *attempt)
{
    Etcdserverpb__PutRequest put = ETCDSERVERPB__PUT_REQUEST__INIT;
    char value[32];
    int size = snprintf(value, sizeof(value), "%" PRIu64, probe->sent);
    put.key = (ProtobufCBinaryData){.data = (uint8_t *)(uintptr_t) "failover", .len = 8};
    put.value = (ProtobufCBinaryData){.data = (uint8_t *)value, .len = (size_t)size};
    attempt->sent_ns = rpc_now_ns();
    probe->sent++;
    if (rpc_start(&survivor->link, &survivor->endpoint, &attempt->call, PUT_PATH, &put.base,
                  true) != 0) {
        probe->refused++;
    }
}

/* Gives up what waits too long; gives a call that is free, or NULL. */
static struct attempt *sweep(struct probe *probe, uint64_t now)
{
    struct attempt *unused = NULL;
    for (int i = 0; i < CALLS_MAX; i++) {
        struct attempt *attempt = &probe->attempts[i];
        if (attempt->call.link != NULL && now - attempt->sent_ns > probe->timeout_ns) {
            rpc_cancel(&attempt->call);
            probe->refused++;
        }
        if (attempt->call.link == NULL) {
            unused = attempt;
        }
    }
    return unused;
}

static void run(struct probe *probe)
{
    for (int i = 0; i < CALLS_MAX; i++) {
        rpc_call_free(&probe->attempts[i].call);
        rpc_call_init(&probe->attempts[i].call, &put_events, &probe->attempts[i]);
    }
    probe->killed_ns = rpc_now_ns();
    if (kill(probe->victim, SIGKILL) != 0) {
        fprintf(stderr, "failover_probe: kill %d: %s\n", (int)probe->victim, strerror(errno));
        exit(2);
    }
    uint64_t next = rpc_now_ns();
    while (probe->acked_ns == 0) {
        uint64_t now = rpc_now_ns();
        if (now - probe->killed_ns > probe->limit_ns) {
            return;
        }
        struct attempt *unused = sweep(probe, now);
        if (now >= next && unused != NULL) {
            put_at(probe, &probe->survivors[probe->sent % (unsigned)probe->survivor_count], unused);
            next = now + probe->every_ns;
        }
        poll_links(probe);
    }
}

static void usage(void)
{
    fprintf(stderr, "usage: failover_probe [--kill PID] --endpoints URL,URL [--every-ms N] "
                    "[--timeout-ms N] [--seconds N]\n");
    exit(2);
}

static uint64_t number_of(const char *text, uint64_t most)
{
    char *end;
    unsigned long value = strtoul(text, &end, 10);
    if (*text == '\0' || *end != '\0' || value == 0 || value > most) {
        usage();
    }
    return value;
}

static void read_endpoints(struct probe *probe, char *text)
{
    char *rest = NULL;
    for (char *url = strtok_r(text, ",", &rest); url != NULL; url = strtok_r(NULL, ",", &rest)) {
        struct survivor *survivor = &probe->survivors[probe->survivor_count];
        if (probe->survivor_count == ENDPOINTS_MAX ||
            rpc_endpoint_parse(url, &survivor->endpoint) != 0) {
            usage();
        }
        probe->survivor_count++;
    }
}

static void read_options(int argc, char **argv, struct probe *probe)
{
    probe->every_ns = 5 * (uint64_t)MS;
    probe->timeout_ns = 250 * (uint64_t)MS;
    probe->limit_ns = 30000 * (uint64_t)MS;
    for (int i = 1; i + 1 < argc; i += 2) {
        char *value = argv[i + 1];
        if (strcmp(argv[i], "--kill") == 0) {
            probe->victim = (pid_t)number_of(value, INT32_MAX);
        } else if (strcmp(argv[i], "--endpoints") == 0) {
            read_endpoints(probe, value);
        } else if (strcmp(argv[i], "--every-ms") == 0) {
            probe->every_ns = number_of(value, 10000) * MS;
        } else if (strcmp(argv[i], "--timeout-ms") == 0) {
            probe->timeout_ns = number_of(value, 60000) * MS;
        } else if (strcmp(argv[i], "--seconds") == 0) {
            probe->limit_ns = number_of(value, 600) * 1000 * MS;
        } else {
            usage();
        }
    }
    if (argc % 2 == 0 || probe->victim == 1 || probe->survivor_count == 0) {
        usage();
    }
}

int main(int argc, char **argv)
{
    struct probe *probe = mem_zalloc(sizeof(*probe));
    read_options(argc, argv, probe);
    for (int i = 0; i < CALLS_MAX; i++) {
        probe->attempts[i].probe = probe;
        rpc_call_init(&probe->attempts[i].call, &put_events, &probe->attempts[i]);
    }
    for (int i = 0; i < probe->survivor_count; i++) {
        rpc_link_init(&probe->survivors[i].link);
    }
    if (connect_all(probe) != 0) {
        fprintf(stderr, "failover_probe: a survivor does not answer\n");
        return 2;
    }
    if (probe->victim == 0) {
        for (int i = 0; i < probe->survivor_count; i++) {
            printf("%" PRIu64 " %" PRIu64 "\n", probe->survivors[i].member,
                   probe->survivors[i].leader);
        }
        return 0;
    }
    run(probe);
    printf("{\"acked\":%s,\"ms\":%.3f,\"put_ms\":%.3f,\"sent\":%" PRIu64 ",\"refused\":%" PRIu64
           ",\"last_refusal\":\"%s\"}\n",
           probe->acked_ns != 0 ? "true" : "false",
           (double)(probe->acked_ns - probe->killed_ns) / MS,
           (double)(probe->acked_ns - probe->acked_sent_ns) / MS, probe->sent, probe->refused,
           probe->refusal);
    return probe->acked_ns != 0 ? 0 : 1;
}
