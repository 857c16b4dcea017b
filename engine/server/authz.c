/* SPDX-License-Identifier: Apache-2.0 */
/* The gate: who sends a request, and whether it may pass. */
#include "engine/server/authz.h"

#include <string.h>

#include "base/alloc.h"
#include "base/log.h"
#include "engine/server/token.h"

#define BEARER               "Bearer "
#define VERSION_OF_OWN_INDEX 3004 /* see token_lag; while none is decided, members are newer */

/* Requests of a client, and of the server on behalf of one; all others are the member's own. */
static bool is_of_client(const struct request *request)
{
    return request->origin == REQUEST_RPC || request->is_call || request->on_behalf;
}

static const char *token_of(const struct request *request)
{
    const char *token = request->token;
    return token != NULL && str_starts_with(token, BEARER) ? token + strlen(BEARER) : token;
}

static enum etcd_error identify(struct server *server, struct request *request, struct authz *out)
{
    const char *token = token_of(request);
    *out = (struct authz){.auth = server->auth, .lessor = server->lessor, .who = {.name = ""}};
    if (!auth_is_enabled(server->auth)) {
        return ETCD_OK;
    }
    if (!is_of_client(request)) {
        out->who = (struct auth_who){AUTH_ROOT, auth_revision(server->auth)};
        out->is_known = true;
        return ETCD_OK;
    }
    if (token != NULL) {
        char *user;
        if (!tokens_check(server->tokens, token, auth_revision(server->auth), server_now_ms(server),
                          server->clock->wall_ns(server->clock->ctx), &user, &out->who.revision)) {
            char fingerprint[TOKEN_FINGERPRINT_CHARS + 1];
            token_fingerprint(token, fingerprint);
            LOG_WARN("invalid auth token", LOG_STR("token-fingerprint", fingerprint));
            return ETCD_ERR_INVALID_AUTH_TOKEN;
        }
        mem_free(request->user_name);
        request->user_name = user;
        out->who.name = user;
        out->is_known = true;
    } else if (request->peer_name != NULL && server->config->client_tls.client_cert_auth) {
        /* A certificate without a name is somebody's, though nobody has that name: as in etcd. */
        out->who = (struct auth_who){request->peer_name, auth_revision(server->auth)};
        out->is_known = true;
    }
    return ETCD_OK;
}

enum etcd_error authz_identify(struct server *server, struct request *request,
                               struct auth_who *out_who)
{
    struct authz authz;
    enum etcd_error error = identify(server, request, &authz);
    *out_who = authz.who;
    return error;
}

static enum etcd_error check_need(struct server *server, struct request *request,
                                  enum authz_need need)
{
    struct authz authz;
    if (need == AUTHZ_NOTHING || need == AUTHZ_PARTS || !auth_is_enabled(server->auth)) {
        return ETCD_OK;
    }
    enum etcd_error error = identify(server, request, &authz);
    if (error != ETCD_OK) {
        return error;
    }
    switch (need) {
    case AUTHZ_USER:
        return authz_user(&authz);
    case AUTHZ_ROOT:
        return auth_check_root(authz.auth, &authz.who);
    case AUTHZ_FIELDS:
        return authz_message(&authz, request->message);
    default:
        return ETCD_ERR_PERMISSION_DENIED;
    }
}

/* Whether it is one of the table's calls: by what will run, because not all that comes in by HTTP
 * is. */
static bool find_call(struct request *request)
{
    if (RPC_SPECS[request->method].run == request->run) {
        return true;
    }
    for (int i = 0; i < RPC_COUNT; i++) {
        if (RPC_SPECS[i].run == request->run) {
            request->method = i;
            return true;
        }
    }
    return request->origin == REQUEST_RPC;
}

uint64_t token_lag(const struct server *server)
{
    return atomic_load(&server->shared.cluster_version) == VERSION_OF_OWN_INDEX ? 0 : 1;
}

/* The token was made by an entry that is on its way to this member. A false one may name any entry:
 * the wait ends with the request's time. */
static bool waits_for_token(struct server *server, struct request *request)
{
    const char *token = token_of(request);
    if (token == NULL || !auth_is_enabled(server->auth) ||
        AUTHZ_ROWS[request->method].need == AUTHZ_NOTHING) {
        return false;
    }
    uint64_t index = tokens_index_of(server->tokens, token);
    if (index == 0 || index + token_lag(server) <= server->applied_index ||
        server->waiting_count >= WAITING_REQUESTS_MAX) {
        return false;
    }
    request->number = index + token_lag(server);
    request_arm_deadline(server, request);
    list_append(&server->token_waiters, &request->link);
    return true;
}

bool authz_gate(struct server *server, struct request *request)
{
    if (request->origin == REQUEST_INTERNAL || request->origin == REQUEST_PEER_HTTP ||
        !find_call(request)) {
        return true;
    }
    const struct authz_row *row = &AUTHZ_ROWS[request->method];
    request->is_call = true;
    if (waits_for_token(server, request)) {
        return false;
    }
    if (row->when != AUTHZ_AT_ONCE) {
        return true;
    }
    enum etcd_error error = check_need(server, request, row->need);
    if (error != ETCD_OK) {
        request_fail(server, request, error);
        return false;
    }
    request->authorized = true;
    return true;
}

void authz_after_apply(struct server *server)
{
    LIST_EACH_SAFE(it, &server->token_waiters)
    {
        struct request *request = LIST_ENTRY(it, struct request, link);
        if (request->number <= server->applied_index) {
            request_disarm(server, request);
            request->number = 0;
            if (authz_gate(server, request)) {
                request->run(server, request);
            }
        }
    }
}

void authz_call_gone(struct server *server, uint64_t handle)
{
    LIST_EACH_SAFE(it, &server->token_waiters)
    {
        struct request *request = LIST_ENTRY(it, struct request, link);
        if (request->handle == handle) {
            request_disarm(server, request);
            request_free(request);
        }
    }
}

bool authz_answer(struct server *server, struct request *request)
{
    if (!is_of_client(request)) {
        return true;
    }
    enum authz_need need = request->is_call ? AUTHZ_ROWS[request->method].need : AUTHZ_FIELDS;
    enum etcd_error error = check_need(server, request, need);
    if (error != ETCD_OK) {
        request_fail(server, request, error);
        return false;
    }
    request->authorized = true;
    return true;
}

enum etcd_error authz_check(struct server *server, struct request *request,
                            const ProtobufCMessage *message)
{
    struct authz authz;
    if (!auth_is_enabled(server->auth)) {
        return ETCD_OK;
    }
    enum etcd_error error = identify(server, request, &authz);
    return error != ETCD_OK ? error : authz_message(&authz, message);
}

enum etcd_error authz_check_keys(struct server *server, struct request *request,
                                 const ProtobufCBinaryData *keys, size_t count)
{
    struct authz authz;
    enum etcd_error error = identify(server, request, &authz);
    for (size_t i = 0; i < count && error == ETCD_OK; i++) {
        error = auth_check_span(authz.auth, &authz.who, AUTH_READ, proto_bytes(keys[i]),
                                (struct bytes){NULL, 0});
    }
    return error;
}

bool authz_may_leave(const struct request *request)
{
    if (!request->is_call || request->authorized) {
        return true;
    }
    LOG_ERROR("an answer is withheld that no check has let pass",
              LOG_STR("method", RPC_SPECS[request->method].path));
    return false;
}

void authz_on_behalf(struct request *asks, const struct request *client)
{
    asks->on_behalf = true;
    asks->token = client->token;
    asks->peer_name = client->peer_name;
}
