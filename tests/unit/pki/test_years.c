/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Five years of one cluster in seconds: members, the operator and a user read their Secrets late
 * (up to the settle time), the operator is away for weeks and stops between any two writes; at no
 * time does anybody refuse anybody.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/rng.h"
#include "lib_cluster.h"

#define MEMBERS       3
#define STEP_MS       (3 * HOUR_MS)
#define SETTLE_MS     (24 * HOUR_MS)
#define YEARS         5
#define AWAY_DAYS_MAX 20u

/* One mounted Secret of one program. */
struct mount {
    enum certs_secret secret;
    struct copy copy;
    int64_t taken_ms;
};

struct life {
    struct cluster cluster;
    struct rng rng;
    struct mount peers[MEMBERS];
    struct mount servers[MEMBERS];
    struct mount clients[2];
    int64_t away_until_ms;
    int64_t idle_until_ms; /* nothing is due before: deciding is what costs time here */
    size_t writes;
    size_t checks;
    size_t authorities;
};

/* It sees a change at some time, at the latest just before the settle time is over. */
static void refresh(struct life *life, struct mount *mount)
{
    int64_t changed_ms = life->cluster.changed_ms[mount->secret];
    if (mount->copy.cert != NULL && mount->taken_ms > changed_ms) {
        return;
    }
    bool must = life->cluster.now_ms - changed_ms >= SETTLE_MS - STEP_MS;
    if (mount->copy.cert == NULL || must || rng_below(&life->rng, 6) == 0) {
        copy_take(&mount->copy, life->cluster.secrets[mount->secret]);
        mount->taken_ms = life->cluster.now_ms + 1;
    }
}

static void expect(struct life *life, const struct mount *verifier, const struct mount *shown,
                   const char *host)
{
    life->checks++;
    if (!copy_verifies(&verifier->copy, &shown->copy, host, life->cluster.now_ms)) {
        fail_msg("day %d: one with %s refuses %s",
                 (int)((life->cluster.now_ms - START_MS) / DAY_MS),
                 certs_secret_text(verifier->secret), certs_secret_text(shown->secret));
    }
}

static void everybody_takes_everybody(struct life *life)
{
    for (size_t i = 0; i < MEMBERS; i++) {
        for (size_t k = 0; k < MEMBERS; k++) {
            expect(life, &life->peers[i], &life->peers[k], "demo-1.demo-peers.ns.svc");
            expect(life, &life->peers[i], &life->peers[k], NULL);
        }
        for (size_t k = 0; k < 2; k++) {
            expect(life, &life->clients[k], &life->servers[i], "demo-1.demo-peers.ns.svc");
            expect(life, &life->servers[i], &life->clients[k], NULL);
        }
    }
}

/* The operator writes one thing, or several, or is away. */
static void operate(struct life *life)
{
    struct cluster *cluster = &life->cluster;
    if (cluster->now_ms < life->away_until_ms) {
        return;
    }
    if (rng_below(&life->rng, 400) == 0) {
        life->away_until_ms =
            cluster->now_ms + (int64_t)(1 + rng_below(&life->rng, AWAY_DAYS_MAX)) * DAY_MS;
        return;
    }
    if (cluster->now_ms < life->idle_until_ms) {
        return;
    }
    for (uint64_t budget = 1 + rng_below(&life->rng, 4); budget > 0; budget--) {
        struct certs_due due;
        cluster_decide(cluster, &due);
        if (due.task_count == 0) {
            life->idle_until_ms = due.next_ms;
            return;
        }
        life->authorities += due.tasks[0].what == CERTS_TRUST_NEXT ? 1 : 0;
        cluster_run(cluster, &due.tasks[0]);
        life->writes++;
    }
}

static void live(struct life *life)
{
    int64_t last_ms = 0;
    for (int i = 0; i < CERTS_SECRET_COUNT; i++) {
        last_ms = BASE_MAX(last_ms, life->cluster.changed_ms[i]);
    }
    struct mount *const groups[] = {life->peers, life->servers};
    for (size_t i = 0; i < MEMBERS; i++) {
        refresh(life, &groups[0][i]);
        refresh(life, &groups[1][i]);
    }
    refresh(life, &life->clients[0]);
    refresh(life, &life->clients[1]);
    bool is_calm = life->cluster.now_ms - last_ms > SETTLE_MS + STEP_MS;
    if (!is_calm || rng_below(&life->rng, 200) == 0) {
        everybody_takes_everybody(life);
    }
}

static void play(uint64_t seed)
{
    struct life life;
    memset(&life, 0, sizeof(life));
    rng_seed(&life.rng, seed);
    /* Two years: an authority is replaced every sixteen months. */
    cluster_init(&life.cluster, ",\"caLifetime\":\"17520h\"");
    life.writes = cluster_settle(&life.cluster);
    for (size_t i = 0; i < MEMBERS; i++) {
        life.peers[i].secret = CERTS_PEER;
        life.servers[i].secret = CERTS_SERVER;
    }
    life.clients[0].secret = CERTS_OPERATOR;
    life.clients[1].secret = CERTS_USER;

    while (life.cluster.now_ms < START_MS + YEARS * 365 * DAY_MS) {
        operate(&life);
        live(&life);
        life.cluster.now_ms += STEP_MS;
    }

    printf("seed %d: %zu writes, %zu new authorities, %zu handshakes\n", (int)seed, life.writes,
           life.authorities, life.checks);
    assert_true(life.authorities >= 6);
    assert_true(life.writes > 150);
    for (size_t i = 0; i < MEMBERS; i++) {
        copy_free(&life.peers[i].copy);
        copy_free(&life.servers[i].copy);
    }
    copy_free(&life.clients[0].copy);
    copy_free(&life.clients[1].copy);
    cluster_free(&life.cluster);
}

static void in_five_years_of_renewals_nobody_refuses_anybody(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 1; seed++) {
        play(seed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_five_years_of_renewals_nobody_refuses_anybody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
