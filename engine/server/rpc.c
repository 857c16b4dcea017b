/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gRPC on the I/O thread: messages are decoded here, checked by the table, and posted to the state
 * thread; answers come back as a list per turn.
 */
#include "engine/server/rpc.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/log.h"
#include "engine/server/metrics.h"
#include "engine/server/rpc_metrics.h"
#include "engine/server/snapshot.h"
#include "health.pb-c.h"
#include "v3election.pb-c.h"
#include "v3lock.pb-c.h"

#define KV          "/etcdserverpb.KV/"
#define LEASE       "/etcdserverpb.Lease/"
#define CLUSTER     "/etcdserverpb.Cluster/"
#define MAINTENANCE "/etcdserverpb.Maintenance/"
#define AUTH        "/etcdserverpb.Auth/"
#define LOCK        "/v3lockpb.Lock/"
#define ELECTION    "/v3electionpb.Election/"

const struct rpc_spec RPC_SPECS[RPC_COUNT] = {
    [RPC_RANGE] = {KV "Range", GRPC_UNARY, &etcdserverpb__range_request__descriptor, rpc_range,
                   LEARNER_IF_SERIALIZABLE, .waits = true},
    [RPC_RANGE_STREAM] = {KV "RangeStream", GRPC_SERVER_STREAM,
                          &etcdserverpb__range_request__descriptor, rpc_range_stream, LEARNER_NO},
    [RPC_PUT] = {KV "Put", GRPC_UNARY, &etcdserverpb__put_request__descriptor, rpc_put, LEARNER_NO},
    [RPC_DELETE_RANGE] = {KV "DeleteRange", GRPC_UNARY,
                          &etcdserverpb__delete_range_request__descriptor, rpc_delete_range,
                          LEARNER_NO},
    [RPC_TXN] = {KV "Txn", GRPC_UNARY, &etcdserverpb__txn_request__descriptor, rpc_txn, LEARNER_NO,
                 .waits = true},
    [RPC_COMPACT] = {KV "Compact", GRPC_UNARY, &etcdserverpb__compaction_request__descriptor,
                     rpc_compact, LEARNER_NO},
    [RPC_WATCH] = {"/etcdserverpb.Watch/Watch", GRPC_BIDI, &etcdserverpb__watch_request__descriptor,
                   rpc_watch, LEARNER_NO},
    [RPC_LEASE_GRANT] = {LEASE "LeaseGrant", GRPC_UNARY,
                         &etcdserverpb__lease_grant_request__descriptor, rpc_lease_grant,
                         LEARNER_NO},
    [RPC_LEASE_REVOKE] = {LEASE "LeaseRevoke", GRPC_UNARY,
                          &etcdserverpb__lease_revoke_request__descriptor, rpc_lease_revoke,
                          LEARNER_NO},
    [RPC_LEASE_KEEP_ALIVE] = {LEASE "LeaseKeepAlive", GRPC_BIDI,
                              &etcdserverpb__lease_keep_alive_request__descriptor,
                              rpc_lease_keep_alive, LEARNER_NO},
    [RPC_LEASE_TIME_TO_LIVE] = {LEASE "LeaseTimeToLive", GRPC_UNARY,
                                &etcdserverpb__lease_time_to_live_request__descriptor,
                                rpc_lease_time_to_live, LEARNER_NO},
    [RPC_LEASE_LEASES] = {LEASE "LeaseLeases", GRPC_UNARY,
                          &etcdserverpb__lease_leases_request__descriptor, rpc_lease_leases,
                          LEARNER_NO},
    [RPC_MEMBER_ADD] = {CLUSTER "MemberAdd", GRPC_UNARY,
                        &etcdserverpb__member_add_request__descriptor, rpc_member_add, LEARNER_NO},
    [RPC_MEMBER_REMOVE] = {CLUSTER "MemberRemove", GRPC_UNARY,
                           &etcdserverpb__member_remove_request__descriptor, rpc_member_remove,
                           LEARNER_NO},
    [RPC_MEMBER_UPDATE] = {CLUSTER "MemberUpdate", GRPC_UNARY,
                           &etcdserverpb__member_update_request__descriptor, rpc_member_update,
                           LEARNER_NO},
    [RPC_MEMBER_LIST] = {CLUSTER "MemberList", GRPC_UNARY,
                         &etcdserverpb__member_list_request__descriptor, rpc_member_list,
                         LEARNER_NO},
    [RPC_MEMBER_PROMOTE] = {CLUSTER "MemberPromote", GRPC_UNARY,
                            &etcdserverpb__member_promote_request__descriptor, rpc_member_promote,
                            LEARNER_NO},
    [RPC_ALARM] = {MAINTENANCE "Alarm", GRPC_UNARY, &etcdserverpb__alarm_request__descriptor,
                   rpc_alarm, LEARNER_NO},
    [RPC_STATUS] = {MAINTENANCE "Status", GRPC_UNARY, &etcdserverpb__status_request__descriptor,
                    rpc_status, LEARNER_YES},
    [RPC_HASH_KV] = {MAINTENANCE "HashKV", GRPC_UNARY, &etcdserverpb__hash_kvrequest__descriptor,
                     rpc_hash_kv, LEARNER_NO},
    [RPC_DEFRAGMENT] = {MAINTENANCE "Defragment", GRPC_UNARY,
                        &etcdserverpb__defragment_request__descriptor, rpc_defragment, LEARNER_NO},
    [RPC_SNAPSHOT] = {MAINTENANCE "Snapshot", GRPC_SERVER_STREAM,
                      &etcdserverpb__snapshot_request__descriptor, rpc_snapshot, LEARNER_YES},
    [RPC_MOVE_LEADER] = {MAINTENANCE "MoveLeader", GRPC_UNARY,
                         &etcdserverpb__move_leader_request__descriptor, rpc_move_leader,
                         LEARNER_NO},
    [RPC_HEALTH_CHECK] = {"/grpc.health.v1.Health/Check", GRPC_UNARY,
                          &grpc__health__v1__health_check_request__descriptor, rpc_health_check,
                          LEARNER_NO},
    [RPC_HEALTH_WATCH] = {"/grpc.health.v1.Health/Watch", GRPC_SERVER_STREAM,
                          &grpc__health__v1__health_check_request__descriptor, rpc_health_watch,
                          LEARNER_NO},
    [RPC_AUTH_ENABLE] = {AUTH "AuthEnable", GRPC_UNARY,
                         &etcdserverpb__auth_enable_request__descriptor, rpc_auth_change,
                         LEARNER_NO},
    [RPC_AUTH_DISABLE] = {AUTH "AuthDisable", GRPC_UNARY,
                          &etcdserverpb__auth_disable_request__descriptor, rpc_auth_change,
                          LEARNER_NO},
    [RPC_AUTH_STATUS] = {AUTH "AuthStatus", GRPC_UNARY,
                         &etcdserverpb__auth_status_request__descriptor, rpc_auth_status,
                         LEARNER_NO},
    [RPC_AUTHENTICATE] = {AUTH "Authenticate", GRPC_UNARY,
                          &etcdserverpb__authenticate_request__descriptor, rpc_authenticate,
                          LEARNER_NO},
    [RPC_USER_ADD] = {AUTH "UserAdd", GRPC_UNARY, &etcdserverpb__auth_user_add_request__descriptor,
                      rpc_user_add, LEARNER_NO},
    [RPC_USER_GET] = {AUTH "UserGet", GRPC_UNARY, &etcdserverpb__auth_user_get_request__descriptor,
                      rpc_auth_change, LEARNER_NO},
    [RPC_USER_LIST] = {AUTH "UserList", GRPC_UNARY,
                       &etcdserverpb__auth_user_list_request__descriptor, rpc_auth_change,
                       LEARNER_NO},
    [RPC_USER_DELETE] = {AUTH "UserDelete", GRPC_UNARY,
                         &etcdserverpb__auth_user_delete_request__descriptor, rpc_auth_change,
                         LEARNER_NO},
    [RPC_USER_CHANGE_PASSWORD] = {AUTH "UserChangePassword", GRPC_UNARY,
                                  &etcdserverpb__auth_user_change_password_request__descriptor,
                                  rpc_user_change_password, LEARNER_NO},
    [RPC_USER_GRANT_ROLE] = {AUTH "UserGrantRole", GRPC_UNARY,
                             &etcdserverpb__auth_user_grant_role_request__descriptor,
                             rpc_auth_change, LEARNER_NO},
    [RPC_USER_REVOKE_ROLE] = {AUTH "UserRevokeRole", GRPC_UNARY,
                              &etcdserverpb__auth_user_revoke_role_request__descriptor,
                              rpc_auth_change, LEARNER_NO},
    [RPC_ROLE_ADD] = {AUTH "RoleAdd", GRPC_UNARY, &etcdserverpb__auth_role_add_request__descriptor,
                      rpc_auth_change, LEARNER_NO},
    [RPC_ROLE_GET] = {AUTH "RoleGet", GRPC_UNARY, &etcdserverpb__auth_role_get_request__descriptor,
                      rpc_auth_change, LEARNER_NO},
    [RPC_ROLE_LIST] = {AUTH "RoleList", GRPC_UNARY,
                       &etcdserverpb__auth_role_list_request__descriptor, rpc_auth_change,
                       LEARNER_NO},
    [RPC_ROLE_DELETE] = {AUTH "RoleDelete", GRPC_UNARY,
                         &etcdserverpb__auth_role_delete_request__descriptor, rpc_auth_change,
                         LEARNER_NO},
    [RPC_ROLE_GRANT_PERMISSION] = {AUTH "RoleGrantPermission", GRPC_UNARY,
                                   &etcdserverpb__auth_role_grant_permission_request__descriptor,
                                   rpc_auth_change, LEARNER_NO},
    [RPC_ROLE_REVOKE_PERMISSION] = {AUTH "RoleRevokePermission", GRPC_UNARY,
                                    &etcdserverpb__auth_role_revoke_permission_request__descriptor,
                                    rpc_auth_change, LEARNER_NO},
    [RPC_HEALTH_LIST] = {"/grpc.health.v1.Health/List", GRPC_UNARY,
                         &grpc__health__v1__health_list_request__descriptor, rpc_health_list,
                         LEARNER_NO},
    [RPC_HASH] = {MAINTENANCE "Hash", GRPC_UNARY, &etcdserverpb__hash_request__descriptor, rpc_hash,
                  LEARNER_NO},
    [RPC_DOWNGRADE] = {MAINTENANCE "Downgrade", GRPC_UNARY,
                       &etcdserverpb__downgrade_request__descriptor, rpc_downgrade, LEARNER_NO},
    [RPC_LOCK] = {LOCK "Lock", GRPC_UNARY, &v3lockpb__lock_request__descriptor, rpc_lock,
                  LEARNER_NO, .waits = true},
    [RPC_UNLOCK] = {LOCK "Unlock", GRPC_UNARY, &v3lockpb__unlock_request__descriptor, rpc_unlock,
                    LEARNER_NO, .waits = true},
    [RPC_CAMPAIGN] = {ELECTION "Campaign", GRPC_UNARY, &v3electionpb__campaign_request__descriptor,
                      rpc_campaign, LEARNER_NO, .waits = true},
    [RPC_PROCLAIM] = {ELECTION "Proclaim", GRPC_UNARY, &v3electionpb__proclaim_request__descriptor,
                      rpc_proclaim, LEARNER_NO, .waits = true},
    [RPC_LEADER] = {ELECTION "Leader", GRPC_UNARY, &v3electionpb__leader_request__descriptor,
                    rpc_leader, LEARNER_NO, .waits = true},
    [RPC_OBSERVE] = {ELECTION "Observe", GRPC_SERVER_STREAM,
                     &v3electionpb__leader_request__descriptor, rpc_observe, LEARNER_NO},
    [RPC_RESIGN] = {ELECTION "Resign", GRPC_UNARY, &v3electionpb__resign_request__descriptor,
                    rpc_resign, LEARNER_NO, .waits = true},
};

static void fail_call(struct grpc_call *call, enum etcd_error error)
{
    grpc_call_finish(call, etcd_error_code(error), etcd_error_text(error));
}

/* The gate in front of all dispatch: what this member, as it is now, may answer. */
static enum etcd_error io_gate(struct server *server, const struct rpc_spec *spec,
                               const struct request *request, bool require_leader)
{
    if (atomic_load(&server->shared.stopping)) {
        return ETCD_ERR_STOPPED;
    }
    if (require_leader && atomic_load(&server->shared.leader) == RAFT_NO_ID) {
        return ETCD_ERR_NO_LEADER;
    }
    if (!atomic_load(&server->shared.is_learner) || spec->learner == LEARNER_YES) {
        return ETCD_OK;
    }
    if (spec->learner == LEARNER_IF_SERIALIZABLE &&
        ((const Etcdserverpb__RangeRequest *)(const void *)request->message)->serializable) {
        return ETCD_OK;
    }
    return ETCD_ERR_NOT_SUPPORTED_FOR_LEARNER;
}

/* A client's password must not stay behind in a buffer. */
static bool holds_password(int method)
{
    return method == RPC_AUTHENTICATE || method == RPC_USER_ADD ||
           method == RPC_USER_CHANGE_PASSWORD;
}

/* Who asks: its token, or the name in its certificate. */
static void io_take_identity(const struct grpc_call *call, struct request *request)
{
    const char *token = grpc_call_metadata(call, "token");
    const char *name = grpc_call_peer_name(call);
    token = token != NULL ? token : grpc_call_metadata(call, "authorization");
    if (token != NULL) {
        request->arena.max_bytes += strlen(token) + 64; /* as its blocks are aligned */
        request->token = arena_str(&request->arena, token);
    } else if (name != NULL) {
        request->arena.max_bytes += strlen(name) + 64;
        request->peer_name = arena_str(&request->arena, name);
    }
}

static void io_on_message(void *ctx, struct grpc_call *call, struct bytes message)
{
    struct server *server = ctx;
    const struct rpc_spec *spec = &RPC_SPECS[grpc_call_method(call)->id];
    rpc_metrics_received((enum rpc_method)grpc_call_method(call)->id);
    struct request *request =
        request_new(REQUEST_RPC, proto_arena_limit(message.size) + message.size);
    request->wire = arena_copy(&request->arena, message);
    if (holds_password(grpc_call_method(call)->id)) {
        request->holds_password = true;
        explicit_bzero((void *)(uintptr_t)message.data, message.size); /* it was the call's */
    }
    int rc = proto_unpack(spec->request, request->wire, &request->arena, &request->message);
    if (rc != 0) {
        request_free(request);
        grpc_call_finish(call, GRPC_INTERNAL,
                         "grpc: error unmarshalling request: the message is malformed");
        return;
    }
    const char *has_leader = grpc_call_metadata(call, "hasleader");
    request->require_leader = str_equal(has_leader, "true");
    enum etcd_error refused = io_gate(server, spec, request, request->require_leader);
    if (refused != ETCD_OK) {
        request_free(request);
        fail_call(call, refused);
        return;
    }
    io_take_identity(call, request);
    request->held = held_ref(grpc_call_held(call));
    request->held_bytes = REQUEST_BYTES + 2 * message.size; /* as it came, and what refers to it */
    held_add(request->held, HELD_REQUESTS, request->held_bytes);
    request->is_local = grpc_call_is_local(call);
    request->method = grpc_call_method(call)->id;
    request->run = spec->run;
    request->handle = grpc_call_handle(call);
    request->started_ns = grpc_call_started_ns(call);
    uint64_t deadline = grpc_call_deadline_ms(call);
    request->deadline_ms = deadline == UINT64_MAX ? 0 : deadline;
    if (request->method == RPC_LEASE_KEEP_ALIVE) {
        grpc_call_pause(call); /* one at a time, as etcd does: its answer lets the next one in */
    }
    if (request->method == RPC_MEMBER_ADD || request->method == RPC_MEMBER_REMOVE) {
        io_links_refresh(server); /* they look at who is connected now, not a moment ago */
    }
    server_submit(server, request);
}

/* A connection with many requests on their way is read no further until some are answered. */
static bool io_may_read(void *ctx, const struct held *held)
{
    struct server *server = ctx;
    uint64_t own = held_bytes(held, HELD_REQUESTS);
    return own < REQUESTS_BYTES_SHARE ||
           (own < REQUESTS_BYTES_PER_CLIENT &&
            held_sum_bytes(&server->shared.held, HELD_REQUESTS) < REQUESTS_BYTES_MAX);
}

struct stream_notice {
    struct server *server;
    uint64_t handle;
    size_t bytes;
};

static void post_notice(struct server *server, uint64_t handle, size_t bytes, loop_fn fn)
{
    struct stream_notice *notice = mem_zalloc(sizeof(*notice));
    notice->server = server;
    notice->handle = handle;
    notice->bytes = bytes;
    loop_post(server->state.loop, fn, notice);
}

static void state_half_closed(void *ctx)
{
    struct stream_notice *notice = ctx;
    stream_half_closed(notice->server, notice->handle);
    mem_free(notice);
}

static void state_canceled(void *ctx)
{
    struct stream_notice *notice = ctx;
    stream_canceled(notice->server, notice->handle);
    mem_free(notice);
}

static void state_drained(void *ctx)
{
    struct stream_notice *notice = ctx;
    stream_drained(notice->server, notice->handle, notice->bytes);
    mem_free(notice);
}

static void io_on_half_close(void *ctx, struct grpc_call *call)
{
    post_notice(ctx, grpc_call_handle(call), 0, state_half_closed);
}

/* The user slot of a stream's call counts bytes whose draining the state thread waits for. */
static void io_on_drained(void *ctx, struct grpc_call *call)
{
    if (grpc_call_method(call)->id == RPC_SNAPSHOT) {
        io_snapshot_drained(call);
        return;
    }
    size_t bytes = (size_t)(uintptr_t)grpc_call_user(call);
    if (bytes > 0) {
        grpc_call_set_user(call, NULL);
        post_notice(ctx, grpc_call_handle(call), bytes, state_drained);
    }
    if (grpc_call_method(call)->id == RPC_LEASE_KEEP_ALIVE) {
        grpc_call_resume(call);
    }
}

static void io_on_cancel(void *ctx, struct grpc_call *call, enum grpc_cancel why)
{
    rpc_metrics_finished((enum rpc_method)grpc_call_method(call)->id,
                         why == GRPC_CANCEL_DEADLINE ? GRPC_DEADLINE_EXCEEDED : GRPC_CANCELED);
    if (grpc_call_method(call)->id == RPC_SNAPSHOT) {
        io_snapshot_gone(call);
    } else if (grpc_call_method(call)->kind != GRPC_UNARY ||
               RPC_SPECS[grpc_call_method(call)->id].waits) {
        post_notice(ctx, grpc_call_handle(call), 0, state_canceled);
    }
}

static void io_on_start(void *ctx, struct grpc_call *call)
{
    (void)ctx;
    rpc_metrics_started((enum rpc_method)grpc_call_method(call)->id);
    metrics_count_client(grpc_call_metadata(call, "client-api-version"),
                         grpc_call_method(call)->kind != GRPC_UNARY);
}

static void warn_of_slow_call(const struct server *server, const struct grpc_call *call,
                              enum grpc_code code)
{
    const uint64_t limit_ns = (uint64_t)server->config->warning_unary_ms * NS_PER_MS;
    uint64_t took_ns = server->clock->monotonic_ns(server->clock->ctx) - grpc_call_started_ns(call);
    if (took_ns > limit_ns) {
        LOG_WARN("request stats", LOG_DURATION("time spent", took_ns),
                 LOG_STR("remote", grpc_call_peer_address(call)),
                 LOG_STR("response type", grpc_call_method(call)->path),
                 LOG_STR("code", grpc_code_name(code)));
    }
}

static void io_on_finished(void *ctx, struct grpc_call *call, enum grpc_code code)
{
    const struct server *server = ctx;
    rpc_metrics_finished((enum rpc_method)grpc_call_method(call)->id, code);
    if (server->config->warning_unary_ms > 0 && grpc_call_method(call)->kind == GRPC_UNARY) {
        warn_of_slow_call(server, call, code);
    }
    if (grpc_call_method(call)->kind != GRPC_UNARY && grpc_call_method(call)->id != RPC_SNAPSHOT) {
        /* The last word about this call, behind all its messages: what they opened is closed. */
        post_notice(ctx, grpc_call_handle(call), 0, state_canceled);
    }
}

/* The answer of a reply, and its count with it. Watch answers come framed, several in one. */
static void io_send_body(struct grpc_call *call, struct reply *reply)
{
    struct held *held = reply->held;
    enum rpc_method method = (enum rpc_method)grpc_call_method(call)->id;
    if ((reply->kinds & (REPLY_MESSAGE | REPLY_PART)) == 0) {
        return;
    }
    reply->held = NULL;
    if ((reply->kinds & REPLY_PART) != 0) {
        if (reply->message_bytes > 0) {
            grpc_call_send_size(call, reply->message_bytes);
            rpc_metrics_sent(method);
        }
        grpc_call_send_part(call, &reply->body, held);
    } else if (method == RPC_WATCH) {
        rpc_metrics_sent_many(method, grpc_call_send_framed(call, &reply->body, held));
    } else {
        rpc_metrics_sent(method);
        grpc_call_send_held(call, &reply->body, held);
    }
}

static void io_send_reply(struct server *server, struct reply *reply)
{
    struct grpc_call *call = grpc_call_from_handle(server->grpc, reply->handle);
    if (call == NULL) { /* the client has gone */
        if (reply->want_drain_notice) {
            post_notice(server, reply->handle, 0, state_canceled); /* and nobody may have said so */
        }
        return;
    }
    size_t bytes = reply->body.size;
    io_send_body(call, reply);
    if (reply->want_drain_notice) {
        size_t waiting = (size_t)(uintptr_t)grpc_call_user(call) + bytes;
        if (grpc_call_pending_bytes(call) <= GRPC_CALL_LOW_BYTES) {
            grpc_call_set_user(call, NULL);
            post_notice(server, reply->handle, waiting, state_drained);
        } else {
            grpc_call_set_user(call, (void *)(uintptr_t)waiting);
        }
    }
    if ((reply->kinds & REPLY_FINISH) != 0) {
        grpc_call_finish(call, reply->code, reply->text);
    } else if ((reply->kinds & REPLY_ABORT) != 0) {
        grpc_call_abort(call);
    } else if ((reply->kinds & REPLY_PAUSE) != 0) {
        grpc_call_pause(call);
    } else if ((reply->kinds & REPLY_RESUME) != 0 ||
               (grpc_call_method(call)->id == RPC_LEASE_KEEP_ALIVE &&
                grpc_call_pending_bytes(call) <= GRPC_CALL_LOW_BYTES)) {
        grpc_call_resume(call); /* the call may be over when this returns */
    }
}

static void reply_free(struct reply *reply)
{
    held_sub(reply->held, HELD_ANSWERS, reply->body.size);
    held_unref(reply->held);
    buf_free(&reply->body);
    mem_free(reply->text);
    mem_free(reply);
}

struct reply_list {
    struct server *server;
    struct reply *first;
};

static void io_send_replies(void *ctx)
{
    struct reply_list *list = ctx;
    struct reply *reply = list->first;
    while (reply != NULL) {
        struct reply *next = reply->next;
        if (list->server->io_closed) {
            /* nobody is there to read it */
        } else if (reply->origin == REQUEST_RPC) {
            io_send_reply(list->server, reply);
        } else {
            io_http_send_reply(list->server, reply);
        }
        reply_free(reply);
        reply = next;
    }
    mem_free(list);
}

void replies_flush(struct server *server)
{
    if (server->replies == NULL) {
        return;
    }
    struct reply_list *list = mem_zalloc(sizeof(*list));
    list->server = server;
    list->first = server->replies;
    server->replies = server->replies_last = NULL;
    loop_post(server->io.loop, io_send_replies, list);
}

void replies_drop(struct server *server)
{
    while (server->replies != NULL) {
        struct reply *reply = server->replies;
        server->replies = reply->next;
        reply_free(reply);
    }
    server->replies_last = NULL;
}

/* What a flag says; 0, which means the default, for nothing. */
static uint64_t milliseconds(int64_t flag)
{
    return flag > 0 ? (uint64_t)flag : 0;
}

void io_rpc_start(struct server *server)
{
    static struct grpc_method methods[RPC_COUNT];
    for (int i = 0; i < RPC_COUNT; i++) {
        bool is_endless = RPC_SPECS[i].kind == GRPC_BIDI || i == RPC_OBSERVE ||
                          i == RPC_HEALTH_WATCH || i == RPC_LOCK || i == RPC_CAMPAIGN;
        methods[i] =
            (struct grpc_method){RPC_SPECS[i].path, RPC_SPECS[i].kind, i, .is_endless = is_endless};
    }
    rpc_metrics_register();
    uint64_t streams = server->config->max_concurrent_streams;
    const struct grpc_server_config config = {
        .loop = server->io.loop,
        .ctx = server,
        .methods = methods,
        .method_count = RPC_COUNT,
        .message_bytes_max = server->config->max_request_bytes + PROTO_RECV_OVERHEAD_BYTES,
        .held = &server->shared.held,
        .may_read = io_may_read,
        .max_concurrent_streams = streams > UINT32_MAX ? UINT32_MAX : (uint32_t)streams,
        .on_start = io_on_start,
        .on_message = io_on_message,
        .on_half_close = io_on_half_close,
        .on_cancel = io_on_cancel,
        .on_drained = io_on_drained,
        .on_finished = io_on_finished,
        .ping_min_interval_ms = milliseconds(server->config->keepalive_min_ms),
        .keepalive_interval_ms = milliseconds(server->config->keepalive_interval_ms),
        .keepalive_timeout_ms = milliseconds(server->config->keepalive_timeout_ms),
    };
    server->grpc = grpc_server_new(&config);
}
