/* SPDX-License-Identifier: Apache-2.0 */
/* The fault table, its percentages and the /playground paths. */
#include "faults.h"

#include <string.h>

#include "apiserver.h"
#include "base/alloc.h"
#include "meta.h"

#define DELAY_DEFAULT_MS      500
#define STALE_DEFAULT_CHANGES 20

static const char *const NAMES[FAULT_COUNT] = {
    [FAULT_CONFLICT] = "conflict",           [FAULT_GONE] = "gone",
    [FAULT_TOO_MANY] = "tooManyRequests",    [FAULT_INTERNAL] = "internalError",
    [FAULT_CUT_BEFORE] = "cutBefore",        [FAULT_CUT_AFTER] = "cutAfter",
    [FAULT_CUT_WATCH] = "cutWatch",          [FAULT_DUPLICATE_EVENT] = "duplicateEvents",
    [FAULT_DELAY_EVENT] = "delayEvents",     [FAULT_STALE_LIST] = "staleList",
    [FAULT_STALE_ANY_LIST] = "staleAnyList",
};

void faults_init(struct faults *faults)
{
    memset(faults, 0, sizeof(*faults));
    pthread_mutex_init(&faults->lock, NULL);
    faults->delay_ms = DELAY_DEFAULT_MS;
    faults->stale_changes = STALE_DEFAULT_CHANGES;
    faults->writes = json_object();
}

void faults_free(struct faults *faults)
{
    mem_free(faults->user_agent);
    json_free(faults->writes);
    pthread_mutex_destroy(&faults->lock);
}

static bool is_known(const char *name)
{
    static const char *const OTHERS[] = {"delayMs", "staleChanges", "userAgent"};
    for (size_t i = 0; i < ARRAY_COUNT(OTHERS); i++) {
        if (strcmp(OTHERS[i], name) == 0) {
            return true;
        }
    }
    for (size_t i = 0; i < FAULT_COUNT; i++) {
        if (strcmp(NAMES[i], name) == 0) {
            return true;
        }
    }
    return false;
}

int faults_set(struct faults *faults, const struct json *wanted, struct err *err)
{
    if (!json_is(wanted, JSON_OBJECT)) {
        return err_set(err, E_INVALID, "faults are a JSON object of percentages");
    }
    for (size_t i = 0; i < json_count(wanted); i++) {
        const char *name = json_key_at(wanted, i);
        if (!is_known(name)) {
            return err_set(err, E_INVALID, "unknown fault \"%s\"", name);
        }
    }
    for (size_t i = 0; i < FAULT_COUNT; i++) {
        int64_t percent = json_path_i64(wanted, NAMES[i], 0);
        if (percent < 0 || percent > 100) {
            return err_set(err, E_INVALID, "%s: a percentage is 0 to 100", NAMES[i]);
        }
    }
    pthread_mutex_lock(&faults->lock);
    for (size_t i = 0; i < FAULT_COUNT; i++) {
        faults->percent[i] = (uint8_t)json_path_i64(wanted, NAMES[i], 0);
    }
    faults->delay_ms = json_path_i64(wanted, "delayMs", DELAY_DEFAULT_MS);
    faults->stale_changes = json_path_i64(wanted, "staleChanges", STALE_DEFAULT_CHANGES);
    mem_free(faults->user_agent);
    faults->user_agent = str_dup(json_path_str(wanted, "userAgent", NULL));
    pthread_mutex_unlock(&faults->lock);
    return 0;
}

struct json *faults_get(struct faults *faults)
{
    struct json *out = json_object();
    pthread_mutex_lock(&faults->lock);
    for (size_t i = 0; i < FAULT_COUNT; i++) {
        json_set_int(out, NAMES[i], faults->percent[i]);
    }
    json_set_int(out, "delayMs", faults->delay_ms);
    json_set_int(out, "staleChanges", faults->stale_changes);
    if (faults->user_agent != NULL) {
        json_set_str(out, "userAgent", faults->user_agent);
    }
    pthread_mutex_unlock(&faults->lock);
    return out;
}

bool faults_hit(struct faults *faults, enum fault fault, const char *user_agent)
{
    pthread_mutex_lock(&faults->lock);
    uint8_t percent = faults->percent[fault];
    bool is_meant = faults->user_agent == NULL || str_starts_with(user_agent, faults->user_agent);
    pthread_mutex_unlock(&faults->lock);
    return percent > 0 && is_meant && meta_random(100) < percent;
}

int64_t faults_delay_ms(struct faults *faults)
{
    pthread_mutex_lock(&faults->lock);
    int64_t delay_ms = faults->delay_ms;
    pthread_mutex_unlock(&faults->lock);
    return delay_ms;
}

int64_t faults_stale_changes(struct faults *faults)
{
    pthread_mutex_lock(&faults->lock);
    int64_t changes = faults->stale_changes;
    pthread_mutex_unlock(&faults->lock);
    return changes;
}

static void count_up(struct json *counters, const char *name)
{
    json_set_int(counters, name, json_i64(json_get(counters, name), 0) + 1);
}

void faults_count_write(struct faults *faults, const char *user_agent, const char *verb,
                        const char *resource)
{
    char *what = str_printf("%s %s", verb, resource);
    pthread_mutex_lock(&faults->lock);
    count_up(faults->writes, "total");
    struct json *agents = json_ensure_object(faults->writes, "byUserAgent");
    struct json *agent = json_ensure_object(agents, user_agent);
    count_up(agent, "total");
    count_up(agent, what);
    pthread_mutex_unlock(&faults->lock);
    mem_free(what);
}

struct json *faults_writes(struct faults *faults)
{
    pthread_mutex_lock(&faults->lock);
    struct json *writes = json_copy(faults->writes);
    pthread_mutex_unlock(&faults->lock);
    if (json_get(writes, "total") == NULL) {
        json_set_int(writes, "total", 0);
    }
    return writes;
}

/* Asks the extension; 0 when the path is none of its own. */
static int ask_extension(struct call *call, const char *path, struct json **out_answer)
{
    struct apiserver *server = call->server;
    int status = 0;
    pthread_mutex_lock(&server->extension_lock);
    if (server->extension != NULL) {
        status = server->extension(server->extension_ctx, call->http->method, path, out_answer);
    }
    pthread_mutex_unlock(&server->extension_lock);
    return status;
}

bool playground_serve(struct call *call, const char *path)
{
    struct faults *faults = &call->server->faults;
    struct reply reply;
    reply_init(&reply);
    if (strcmp(path, "/playground/writes") == 0) {
        reply_set(&reply, 200, faults_writes(faults));
    } else if (strcmp(path, "/playground/faults") == 0) {
        struct err err = {""};
        bool is_write = strcmp(call->http->method, "GET") != 0;
        if (is_write && faults_set(faults, call->body, &err) != 0) {
            reply_bad_request(&reply, "%s", err.text);
        } else {
            reply_set(&reply, 200, faults_get(faults));
        }
    } else {
        struct json *answer = NULL;
        bool is_ours = str_starts_with(path, "/playground/");
        int status = is_ours ? ask_extension(call, path, &answer) : 0;
        if (status == 0) {
            return false;
        }
        reply_set(&reply, status, answer != NULL ? answer : json_object());
    }
    call_respond(call, &reply);
    reply_free(&reply);
    return true;
}
