/* SPDX-License-Identifier: Apache-2.0 */
/* Names, and what is due. Reads facts only: no key comes near here. */
#include "controller/model/certs.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/buf.h"

#define FNV_OFFSET UINT64_C(0xcbf29ce484222325)
#define FNV_PRIME  UINT64_C(0x100000001b3)

static const char *const SECRETS[CERTS_SECRET_COUNT] = {
    [CERTS_PEER_CA] = "peer-ca", [CERTS_CLIENT_CA] = "client-ca", [CERTS_PEER] = "peer",
    [CERTS_SERVER] = "server",   [CERTS_OPERATOR] = "operator",   [CERTS_USER] = "client",
};

const char *certs_secret_text(enum certs_secret secret)
{
    ASSERT(secret < CERTS_SECRET_COUNT);
    return SECRETS[secret];
}

const char *certs_step_text(enum certs_step step)
{
    static const char *const TEXTS[] = {"Stable", "TrustingNext", "Reissuing"};
    ASSERT(step < ARRAY_COUNT(TEXTS));
    return TEXTS[step];
}

bool certs_are_wanted(const struct cluster_spec *want)
{
    return want->tls_mode != SPEC_TLS_DISABLED;
}

static const char *given_name(const struct cluster_spec *want, enum certs_secret secret)
{
    const char *name = secret == CERTS_PEER       ? want->tls.peer_secret
                       : secret == CERTS_SERVER   ? want->tls.server_secret
                       : secret == CERTS_OPERATOR ? want->tls.operator_secret
                                                  : NULL;
    return name == NULL ? "" : name;
}

struct name certs_secret_name(const struct cluster_spec *want, enum certs_secret secret)
{
    static const char *const SUFFIXES[CERTS_SECRET_COUNT] = {
        [CERTS_PEER_CA] = "peer-ca",   [CERTS_CLIENT_CA] = "client-ca",   [CERTS_PEER] = "peer-tls",
        [CERTS_SERVER] = "server-tls", [CERTS_OPERATOR] = "operator-tls", [CERTS_USER] = "client"};
    struct name name;
    if (want->tls_mode == SPEC_TLS_SECRETS) {
        snprintf(name.text, sizeof(name.text), "%s", given_name(want, secret));
    } else {
        snprintf(name.text, sizeof(name.text), "%s-%s", want->name, SUFFIXES[secret]);
    }
    return name;
}

bool certs_manager_is_issuer(size_t index)
{
    return index < CERTS_MANAGER_FIRST;
}

struct name certs_manager_name(const struct cluster_spec *want, size_t index)
{
    ASSERT(index < CERTS_MANAGER_COUNT);
    struct name name;
    if (index == CERTS_MANAGER_SELF) {
        snprintf(name.text, sizeof(name.text), "%s-self-signed", want->name);
        return name;
    }
    /* Issuers of the authorities have the names of their Secrets. */
    size_t secret = certs_manager_is_issuer(index) ? index - 1 : index - CERTS_MANAGER_FIRST;
    return certs_secret_name(want, (enum certs_secret)secret);
}

enum certs_secret certs_authority_of(enum certs_secret leaf)
{
    ASSERT(leaf > CERTS_CLIENT_CA && leaf < CERTS_SECRET_COUNT);
    return leaf == CERTS_PEER ? CERTS_PEER_CA : CERTS_CLIENT_CA;
}

struct name certs_common_name(const struct cluster_spec *want, enum certs_secret secret)
{
    struct name name;
    if (secret == CERTS_OPERATOR) {
        snprintf(name.text, sizeof(name.text), "%s", NAMES_FIELD_MANAGER);
    } else {
        snprintf(name.text, sizeof(name.text), "%s-%s", want->name, SECRETS[secret]);
    }
    return name;
}

/* A Service and, with a wildcard, every Pod behind it, in all lengths that DNS knows. */
static void add_service(struct buf *out, const char *service, const char *ns, bool with_pods)
{
    static const char *const TAILS[] = {".svc", ".svc.cluster.local"};
    for (size_t i = 0; i < ARRAY_COUNT(TAILS); i++) {
        buf_printf(out, "%sDNS:%s.%s%s", out->size == 0 ? "" : ",", service, ns, TAILS[i]);
        if (with_pods) {
            buf_printf(out, ",DNS:*.%s.%s%s", service, ns, TAILS[i]);
        }
    }
}

static bool is_address(const char *text)
{
    return strchr(text, ':') != NULL || strspn(text, "0123456789.") == strlen(text);
}

char *certs_names(const struct cluster_spec *want, enum certs_secret leaf)
{
    struct buf out;
    buf_init(&out, BUF_NO_LIMIT);
    if (leaf == CERTS_PEER || leaf == CERTS_SERVER) {
        add_service(&out, names_peer_service(want->name).text, want->ns, true);
    }
    if (leaf == CERTS_SERVER) {
        struct name client = names_client_service(want->name);
        add_service(&out, client.text, want->ns, false);
        buf_printf(&out, ",DNS:%s,DNS:%s.%s", client.text, client.text, want->ns);
        buf_append_str(&out, ",DNS:localhost,IP:127.0.0.1,IP:::1");
        for (size_t i = 0; i < json_count(want->tls.server_names); i++) {
            const char *extra = json_str(json_at(want->tls.server_names, i), "");
            buf_printf(&out, ",%s:%s", is_address(extra) ? "IP" : "DNS", extra);
        }
    }
    char *text = str_from(out.data == NULL ? (const uint8_t *)"" : out.data, out.size);
    buf_free(&out);
    return text;
}

char *certs_user_endpoints(const struct cluster_spec *want)
{
    struct name service = names_client_service(want->name);
    return str_printf("https://%s.%s.svc:%d", service.text, want->ns, PORT_CLIENT);
}

char *certs_user_flags(const struct cluster_spec *want)
{
    char *endpoints = certs_user_endpoints(want);
    char *flags = str_printf("--etcd-servers=%s\n"
                             "--etcd-cafile=" CERTS_USER_DIR "/ca.crt\n"
                             "--etcd-certfile=" CERTS_USER_DIR "/tls.crt\n"
                             "--etcd-keyfile=" CERTS_USER_DIR "/tls.key\n",
                             endpoints);
    mem_free(endpoints);
    return flags;
}

static uint64_t hash_text(uint64_t hash, const char *text)
{
    for (const char *at = text; *at != '\0'; at++) {
        hash = (hash ^ (uint8_t)*at) * FNV_PRIME;
    }
    return (hash ^ 0xff) * FNV_PRIME;
}

uint64_t certs_made_for(const struct cluster_spec *want, enum certs_secret leaf)
{
    char *names = certs_names(want, leaf);
    uint64_t hash = hash_text(FNV_OFFSET, certs_common_name(want, leaf).text);
    hash = hash_text(hash, names);
    mem_free(names);
    if (leaf == CERTS_USER) {
        char *flags = certs_user_flags(want);
        hash = hash_text(hash, flags);
        mem_free(flags);
    }
    return hash;
}

int64_t certs_renew_ms(const struct certs_fact *fact)
{
    return fact->not_before_ms + (fact->not_after_ms - fact->not_before_ms) / 3 * 2;
}

int64_t certs_worry_ms(const struct certs_fact *fact)
{
    return fact->not_before_ms + (fact->not_after_ms - fact->not_before_ms) / 6 * 5;
}

/* One pass of the decision. */
struct judge {
    const struct cluster_spec *want;
    const struct certs_facts *facts;
    int64_t now_ms;
    struct certs_due *out;
};

static void report(struct judge *in, enum certs_problem problem, enum certs_secret secret)
{
    bool is_worse = in->out->problem == CERTS_NO_PROBLEM || problem < in->out->problem;
    if (is_worse) {
        in->out->problem = problem;
        in->out->problem_secret = secret;
    }
}

static void add_task(struct judge *in, enum certs_secret secret, enum certs_what what,
                     const char *why)
{
    ASSERT(in->out->task_count < CERTS_TASKS_MAX);
    in->out->tasks[in->out->task_count++] = (struct certs_task){secret, what, why};
}

static void wake_at(struct judge *in, int64_t time_ms)
{
    if (in->out->next_ms == 0 || time_ms < in->out->next_ms) {
        in->out->next_ms = time_ms;
    }
}

static bool is_trusted(const struct certs_fact *leaf, const char *id)
{
    for (size_t i = 0; i < leaf->trusted_count; i++) {
        if (strcmp(leaf->trusted[i], id) == 0) {
            return true;
        }
    }
    return false;
}

/* It trusts exactly whom the authority's Secret says. */
static bool trust_is_right(const struct certs_fact *leaf, const struct certs_fact *authority)
{
    const char *const ids[] = {authority->id, authority->next, authority->old};
    size_t count = 0;
    for (size_t i = 0; i < ARRAY_COUNT(ids); i++) {
        if (ids[i][0] == '\0') {
            continue;
        }
        count++;
        if (!is_trusted(leaf, ids[i])) {
            return false;
        }
    }
    return count == leaf->trusted_count;
}

/* Why a leaf is issued anew; NULL: it stays. */
static const char *why_issue(const struct judge *in, enum certs_secret secret,
                             const struct certs_fact *leaf, const struct certs_fact *authority)
{
    if (leaf->presence == CERTS_ABSENT) {
        return "there is none";
    }
    if (!leaf->is_usable) {
        return "it cannot be used";
    }
    if (strcmp(leaf->issuer, authority->id) != 0) {
        return "another authority issues now";
    }
    if (leaf->made_for != certs_made_for(in->want, secret)) {
        return "its names have changed";
    }
    return in->now_ms >= certs_renew_ms(leaf) ? "two thirds of its life are over" : NULL;
}

static bool is_of(enum certs_secret secret, enum certs_secret authority)
{
    return secret > CERTS_CLIENT_CA && certs_authority_of(secret) == authority;
}

/* The Secrets of one authority can be judged: all were read, and all are ours. */
static bool group_is_clear(struct judge *in, enum certs_secret authority)
{
    bool is_clear = true;
    for (int i = 0; i < CERTS_SECRET_COUNT; i++) {
        enum certs_secret secret = (enum certs_secret)i;
        const struct certs_fact *fact = &in->facts->of[i];
        if (secret != authority && !is_of(secret, authority)) {
            continue;
        }
        if (fact->presence == CERTS_UNKNOWN) {
            report(in, CERTS_NOT_READ, secret);
            is_clear = false;
        } else if (fact->is_foreign) {
            report(in, CERTS_NOT_OURS, secret);
            is_clear = false;
        }
    }
    return is_clear;
}

/* True when the authority is there; else what is done about it is on the list. */
static bool authority_is_there(struct judge *in, enum certs_secret authority)
{
    const struct certs_fact *fact = &in->facts->of[authority];
    if (fact->presence == CERTS_PRESENT) {
        if (!fact->is_usable) {
            report(in, CERTS_NOT_USABLE, authority);
        }
        return fact->is_usable;
    }
    for (int i = 0; i < CERTS_SECRET_COUNT; i++) {
        /* A new authority at once would cut off everybody who trusts the lost one. */
        if (is_of((enum certs_secret)i, authority) && in->facts->of[i].presence == CERTS_PRESENT) {
            report(in, CERTS_CA_NOT_THERE, authority);
            return false;
        }
    }
    report(in, CERTS_PENDING, authority);
    add_task(in, authority, CERTS_MAKE_CA, "there is none");
    return false;
}

/* What the leaves need; *out_settled_ms is when their last change of trust has settled. */
static bool leaves_are_right(struct judge *in, enum certs_secret authority, int64_t *out_settled_ms)
{
    const struct certs_fact *ca = &in->facts->of[authority];
    size_t before = in->out->task_count;
    for (int i = 0; i < CERTS_SECRET_COUNT; i++) {
        enum certs_secret secret = (enum certs_secret)i;
        const struct certs_fact *leaf = &in->facts->of[i];
        if (!is_of(secret, authority)) {
            continue;
        }
        const char *why = why_issue(in, secret, leaf, ca);
        if (leaf->presence == CERTS_ABSENT || !leaf->is_usable) {
            report(in, CERTS_PENDING, secret);
        }
        if (why != NULL) {
            add_task(in, secret, CERTS_ISSUE, why);
        } else if (!trust_is_right(leaf, ca)) {
            add_task(in, secret, CERTS_SHARE_TRUST, "its trust is not the present one");
        } else {
            wake_at(in, certs_renew_ms(leaf));
        }
        *out_settled_ms = BASE_MAX(*out_settled_ms, leaf->since_ms + in->want->tls.settle_ms);
    }
    return in->out->task_count == before;
}

static void judge_group(struct judge *in, enum certs_secret authority)
{
    const struct certs_fact *ca = &in->facts->of[authority];
    in->out->steps[authority] = ca->next[0] != '\0'  ? CERTS_TRUSTING
                                : ca->old[0] != '\0' ? CERTS_REISSUING
                                                     : CERTS_STABLE;
    int64_t settled_ms = 0;
    if (!group_is_clear(in, authority) || !authority_is_there(in, authority) ||
        !leaves_are_right(in, authority, &settled_ms)) {
        return;
    }
    if (in->out->steps[authority] == CERTS_STABLE) {
        bool is_asked = in->want->tls.ca_generation > ca->generation;
        if (is_asked || in->now_ms >= certs_renew_ms(ca)) {
            add_task(in, authority, CERTS_TRUST_NEXT,
                     is_asked ? "spec.tls.caGeneration asks for it"
                              : "two thirds of its life are over");
        } else {
            wake_at(in, certs_renew_ms(ca));
        }
        return;
    }
    /* An authority that has expired holds nobody together: there is nothing to wait for. */
    if (in->now_ms < settled_ms && in->now_ms < ca->not_after_ms) {
        wake_at(in, settled_ms);
        return;
    }
    bool trusting = in->out->steps[authority] == CERTS_TRUSTING;
    add_task(in, authority, trusting ? CERTS_USE_NEXT : CERTS_DROP_OLD,
             trusting ? "everybody trusts the next one" : "nobody shows its certificates any more");
}

/* Secrets that a person or cert-manager gives: nothing is written, only looked at. */
static void judge_given(struct judge *in)
{
    static const enum certs_secret GIVEN[] = {CERTS_PEER, CERTS_SERVER, CERTS_OPERATOR};
    for (size_t i = 0; i < ARRAY_COUNT(GIVEN); i++) {
        const struct certs_fact *fact = &in->facts->of[GIVEN[i]];
        if (fact->presence == CERTS_UNKNOWN) {
            report(in, CERTS_NOT_READ, GIVEN[i]);
        } else if (fact->presence == CERTS_ABSENT) {
            bool is_mine = in->want->tls_mode == SPEC_TLS_SECRETS;
            report(in, is_mine ? CERTS_NOT_THERE : CERTS_PENDING, GIVEN[i]);
        } else if (!fact->is_usable) {
            report(in, CERTS_NOT_USABLE, GIVEN[i]);
        }
    }
}

void certs_decide(const struct cluster_spec *want, const struct certs_facts *facts, int64_t now_ms,
                  struct certs_due *out)
{
    memset(out, 0, sizeof(*out));
    struct judge in = {want, facts, now_ms, out};
    if (want->tls_mode == SPEC_TLS_DISABLED) {
        return;
    }
    if (want->tls_mode == SPEC_TLS_AUTO) {
        judge_group(&in, CERTS_PEER_CA);
        judge_group(&in, CERTS_CLIENT_CA);
    } else {
        judge_given(&in);
    }
    static const enum certs_secret MOUNTED[] = {CERTS_PEER, CERTS_SERVER, CERTS_OPERATOR};
    out->is_ready = true;
    for (size_t i = 0; i < ARRAY_COUNT(MOUNTED); i++) {
        const struct certs_fact *fact = &facts->of[MOUNTED[i]];
        out->is_ready = out->is_ready && fact->presence == CERTS_PRESENT && fact->is_usable;
    }
}
