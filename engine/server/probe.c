/* SPDX-License-Identifier: Apache-2.0 */
/* /health, /livez and /readyz: asked of the state thread, because a server that cannot answer there
 * is not well. */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "engine/server/http.h"
#include "engine/server/metrics.h"
#include "engine/server/rpc.h"

#define PROBE_TIMEOUT_MS 5000u

enum probe_kind { PROBE_HEALTH, PROBE_LIVEZ, PROBE_READYZ };

/* The checks in the order of their lines. */
enum check {
    CHECK_DATA_CORRUPTION,
    CHECK_SERIALIZABLE_READ,
    CHECK_LINEARIZABLE_READ,
    CHECK_NON_LEARNER,
    CHECK_COUNT
};

static const struct {
    const char *name;
    bool live; /* part of /livez */
} CHECKS[CHECK_COUNT] = {
    [CHECK_DATA_CORRUPTION] = {"data_corruption", false},
    [CHECK_SERIALIZABLE_READ] = {"serializable_read", true},
    [CHECK_LINEARIZABLE_READ] = {"linearizable_read", false},
    [CHECK_NON_LEARNER] = {"non_learner", false},
};

/* Owned by its request. */
struct probe {
    enum probe_kind kind;
    enum request_origin origin;
    uint64_t handle;
    bool serializable, verbose;
    bool wanted[CHECK_COUNT];
    bool exclude_no_space, exclude_corrupt;
    char failure[CHECK_COUNT][128]; /* "": fine */
};

static void probe_reply(struct server *server, struct probe *probe, int status, const char *type,
                        struct buf *body)
{
    struct request *request = request_new(probe->origin, 0);
    request->handle = probe->handle;
    request_reply_http(server, request, status, type, body);
    mem_free(probe);
}

static void health_reply(struct server *server, struct probe *probe, const char *reason)
{
    struct buf body;
    buf_init(&body, BUF_NO_LIMIT);
    buf_printf(&body, "{\"health\":\"%s\",\"reason\":\"%s\"}", reason == NULL ? "true" : "false",
               reason == NULL ? "" : reason);
    metric_add(reason == NULL ? &METRIC_HEALTH_SUCCESS : &METRIC_HEALTH_FAILURE, 1);
    probe_reply(server, probe, reason == NULL ? 200 : 503, "application/json", &body);
}

static void checks_reply(struct server *server, struct probe *probe)
{
    struct buf body;
    bool failed = false;
    buf_init(&body, BUF_NO_LIMIT);
    for (int i = 0; i < CHECK_COUNT; i++) {
        failed = failed || (probe->wanted[i] && probe->failure[i][0] != '\0');
    }
    for (int i = 0; i < CHECK_COUNT && (failed || probe->verbose); i++) {
        if (probe->wanted[i] && probe->failure[i][0] != '\0') {
            buf_printf(&body, "[-]%s failed: %s\n", CHECKS[i].name, probe->failure[i]);
        } else if (probe->wanted[i]) {
            buf_printf(&body, "[+]%s ok\n", CHECKS[i].name);
        }
    }
    for (int i = 0; i < CHECK_COUNT; i++) {
        if (probe->wanted[i]) {
            metrics_count_check(probe->kind == PROBE_LIVEZ ? "livez" : "readyz", CHECKS[i].name,
                                probe->failure[i][0] == '\0');
        }
    }
    if (!failed) {
        buf_append_str(&body, "ok\n");
    }
    probe_reply(server, probe, failed ? 503 : 200, "text/plain; charset=utf-8", &body);
}

static void probe_finish(struct server *server, struct probe *probe, enum etcd_error error)
{
    char reason[160];
    if (probe->kind == PROBE_HEALTH) {
        snprintf(reason, sizeof(reason), "RANGE ERROR:%s", etcd_error_text(error));
        health_reply(server, probe, error == ETCD_OK ? NULL : reason);
        return;
    }
    if (error != ETCD_OK) {
        snprintf(probe->failure[CHECK_LINEARIZABLE_READ], sizeof(probe->failure[0]), "%s",
                 etcd_error_text(error));
    }
    checks_reply(server, probe);
}

/* The read went through: nothing acknowledged before is missing here. */
static void probe_read_done(struct server *server, struct request *request)
{
    probe_finish(server, request->user, ETCD_OK);
    request_free(request);
}

static void probe_read_failed(struct server *server, struct request *request, enum etcd_error error)
{
    probe_finish(server, request->user, error);
}

static void probe_read(struct server *server, struct probe *probe)
{
    struct request *request = request_internal(probe_read_failed);
    request->user = probe;
    request->run = probe_read_done;
    request->deadline_ms = server_now_ms(server) + PROBE_TIMEOUT_MS;
    read_linearizable(server, request);
}

static void run_health(struct server *server, struct probe *probe)
{
    bool no_space = alarms_any(&server->alarms, ETCDSERVERPB__ALARM_TYPE__NOSPACE);
    bool corrupt = alarms_any(&server->alarms, ETCDSERVERPB__ALARM_TYPE__CORRUPT);
    if (no_space && !probe->exclude_no_space) {
        health_reply(server, probe, "ALARM NOSPACE");
    } else if (corrupt && !probe->exclude_corrupt) {
        health_reply(server, probe, "ALARM CORRUPT");
    } else if (!probe->serializable && !state_has_leader(server)) {
        health_reply(server, probe, "RAFT NO LEADER");
    } else if (probe->serializable) {
        health_reply(server, probe, NULL);
    } else {
        probe_read(server, probe);
    }
}

static void probe_run(struct server *server, struct request *request)
{
    struct probe *probe = request->user;
    request_free(request);
    if (probe->kind == PROBE_HEALTH) {
        run_health(server, probe);
        return;
    }
    if (alarms_any(&server->alarms, ETCDSERVERPB__ALARM_TYPE__CORRUPT)) {
        snprintf(probe->failure[CHECK_DATA_CORRUPTION], sizeof(probe->failure[0]),
                 "alarm activated: CORRUPT");
    }
    if (atomic_load(&server->shared.is_learner)) {
        snprintf(probe->failure[CHECK_NON_LEARNER], sizeof(probe->failure[0]),
                 "the member is a learner");
    }
    if (probe->wanted[CHECK_LINEARIZABLE_READ]) {
        probe_read(server, probe);
    } else {
        checks_reply(server, probe);
    }
}

/* exclude may stand several times; each names one check or alarm. */
static void read_excludes(struct http1_request *http, struct probe *probe)
{
    const char *at = http1_query(http);
    while (*at != '\0') {
        size_t size = strcspn(at, "&");
        if (size > 8 && strncmp(at, "exclude=", 8) == 0) {
            struct bytes name = bytes_of(at + 8, size - 8);
            probe->exclude_no_space =
                probe->exclude_no_space || bytes_equal(name, bytes_of_str("NOSPACE"));
            probe->exclude_corrupt =
                probe->exclude_corrupt || bytes_equal(name, bytes_of_str("CORRUPT"));
            for (int i = 0; i < CHECK_COUNT; i++) {
                if (bytes_equal(name, bytes_of_str(CHECKS[i].name))) {
                    probe->wanted[i] = false;
                }
            }
        }
        if (strncmp(at, "verbose", 7) == 0) {
            probe->verbose = true;
        }
        at += size + (at[size] == '&' ? 1 : 0);
    }
}

/* Which checks a path asks for; false: there is no such path. */
static bool choose_checks(struct probe *probe, const char *path)
{
    const char *rest = path + strlen(probe->kind == PROBE_LIVEZ ? "/livez" : "/readyz");
    bool any = false;
    for (int i = 0; i < CHECK_COUNT; i++) {
        bool part = probe->kind == PROBE_READYZ || CHECKS[i].live;
        bool named = *rest == '\0' || (*rest == '/' && strcmp(rest + 1, CHECKS[i].name) == 0);
        probe->wanted[i] = part && named;
        any = any || probe->wanted[i];
    }
    return any;
}

void io_probe_start(struct server *server, struct http1_request *http, enum request_origin origin)
{
    const char *path = http1_path(http);
    struct probe *probe = mem_zalloc(sizeof(*probe));
    char value[16];
    probe->origin = origin;
    probe->handle = http1_request_handle(http);
    probe->kind = strcmp(path, "/health") == 0      ? PROBE_HEALTH
                  : str_starts_with(path, "/livez") ? PROBE_LIVEZ
                                                    : PROBE_READYZ;
    if (probe->kind != PROBE_HEALTH && !choose_checks(probe, path)) {
        mem_free(probe);
        http1_respond_error(http, 404, "404 page not found");
        return;
    }
    probe->serializable =
        http1_query_value(http, "serializable", value, sizeof(value)) && strcmp(value, "true") == 0;
    read_excludes(http, probe);
    struct request *request = request_new(REQUEST_INTERNAL, 0);
    request->user = probe;
    request->run = probe_run;
    server_submit(server, request);
}
