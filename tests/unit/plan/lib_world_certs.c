/* SPDX-License-Identifier: Apache-2.0 */
/* The world's Secrets: facts alone, changed as the shell changes them, and a judge of each step. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "lib_world.h"
#include "lib_world_kube.h"

void world_use_tls(struct world *world)
{
    world_set_spec(world, "tls",
                   "{\"mode\":\"Auto\",\"leafLifetime\":\"2h\",\"settleTime\":\"5m\","
                   "\"caLifetime\":\"10h\"}");
    for (int i = 0; i < CERTS_SECRET_COUNT; i++) {
        world->certs.of[i].presence = CERTS_ABSENT;
    }
}

static void new_id(struct world *world, char out[CERTS_ID_MAX])
{
    snprintf(out, CERTS_ID_MAX, "key-%d", ++world->key_count);
}

static void trust(struct certs_fact *fact, const struct certs_fact *authority)
{
    const char *const ids[] = {authority->id, authority->next, authority->old};
    memset(fact->trusted, 0, sizeof(fact->trusted));
    fact->trusted_count = 0;
    for (size_t i = 0; i < ARRAY_COUNT(ids); i++) {
        if (ids[i][0] != '\0') {
            snprintf(fact->trusted[fact->trusted_count++], CERTS_ID_MAX, "%s", ids[i]);
        }
    }
}

static void live(struct certs_fact *fact, int64_t now_ms, int64_t lifetime_ms)
{
    fact->presence = CERTS_PRESENT;
    fact->is_usable = true;
    fact->not_before_ms = now_ms;
    fact->not_after_ms = now_ms + lifetime_ms;
}

/* The judge: the old authority is dropped only when nobody shows it, and everybody could know. */
static void judge_leaves(const struct world *world, enum certs_secret authority, const char *id)
{
    for (int i = CERTS_CLIENT_CA + 1; i < CERTS_SECRET_COUNT; i++) {
        const struct certs_fact *leaf = &world->certs.of[i];
        if (certs_authority_of((enum certs_secret)i) != authority) {
            continue;
        }
        bool settled = world->now_ms >= leaf->since_ms + world->want.tls.settle_ms;
        if (strcmp(leaf->issuer, id) != 0 || !settled) {
            fail_msg("%s: a step too early: issuer %s, not %s",
                     certs_secret_text((enum certs_secret)i), leaf->issuer, id);
        }
    }
}

static void change_authority(struct world *world, const struct certs_task *task)
{
    struct certs_fact *fact = &world->certs.of[task->secret];
    switch (task->what) {
    case CERTS_MAKE_CA:
        new_id(world, fact->id);
        fact->generation = world->want.tls.ca_generation;
        live(fact, world->now_ms, world->want.tls.ca_lifetime_ms);
        break;
    case CERTS_TRUST_NEXT:
        judge_leaves(world, task->secret, fact->id);
        new_id(world, fact->next);
        break;
    case CERTS_USE_NEXT:
        judge_leaves(world, task->secret, fact->id);
        memcpy(fact->old, fact->id, sizeof(fact->old));
        memcpy(fact->id, fact->next, sizeof(fact->id));
        fact->next[0] = '\0';
        fact->generation++;
        world->authorities++;
        live(fact, world->now_ms, world->want.tls.ca_lifetime_ms);
        break;
    case CERTS_DROP_OLD:
        judge_leaves(world, task->secret, fact->id);
        fact->old[0] = '\0';
        break;
    case CERTS_ISSUE:
    case CERTS_SHARE_TRUST:
    default:
        fail_msg("an authority is issued");
    }
    fact->since_ms = world->now_ms;
}

int world_act_certificate(struct world *world, const struct action *action)
{
    const struct certs_task *task = &action->task;
    struct certs_fact *fact = &world->certs.of[task->secret];
    if (strcmp(fact->version, action->version) != 0) {
        return E_CONFLICT;
    }
    if (fact->is_foreign) {
        fail_msg("Secret %s of somebody else is written", action->name);
    }
    if (task->secret <= CERTS_CLIENT_CA) {
        change_authority(world, task);
    } else {
        const struct certs_fact *authority = &world->certs.of[certs_authority_of(task->secret)];
        if (authority->presence != CERTS_PRESENT) {
            fail_msg("%s is issued by nobody", action->name);
        }
        if (task->what == CERTS_ISSUE) {
            if (strcmp(fact->issuer, authority->id) != 0) {
                fact->since_ms = world->now_ms;
            }
            memcpy(fact->issuer, authority->id, sizeof(fact->issuer));
            fact->made_for = certs_made_for(&world->want, task->secret);
            live(fact, world->now_ms, world->want.tls.leaf_lifetime_ms);
        }
        struct certs_fact before = *fact;
        trust(fact, authority);
        if (memcmp(before.trusted, fact->trusted, sizeof(before.trusted)) != 0) {
            fact->since_ms = world->now_ms;
        }
    }
    world_touch(world, fact->version, sizeof(fact->version));
    return 0;
}
