/* SPDX-License-Identifier: Apache-2.0 */
/* Membership for clients: each change is checked against quorum before it is proposed, and waits
 * for its entry. */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/log.h"
#include "engine/server/authz.h"
#include "engine/server/fetch.h"
#include "engine/server/ids.h"
#include "engine/server/metrics.h"
#include "engine/server/rpc.h"

#define PROMOTE_TIMEOUT_MS 5000u

/* Header and members: what all five answers share (fields 1 and 2 or 3 differ by message). */
static void fill_members(struct server *server, struct arena *arena,
                         Etcdserverpb__ResponseHeader *out_header,
                         Etcdserverpb__Member ***out_members, size_t *out_count)
{
    header_of(server, 0, out_header);
    membership_to_proto(server->membership, arena, out_members, out_count);
}

static void list_now(struct server *server, struct request *request)
{
    if (!authz_answer(server, request)) {
        return;
    }
    Etcdserverpb__MemberListResponse response = ETCDSERVERPB__MEMBER_LIST_RESPONSE__INIT;
    Etcdserverpb__ResponseHeader header;
    struct arena arena;
    arena_init(&arena, BUF_NO_LIMIT);
    fill_members(server, &arena, &header, &response.members, &response.n_members);
    response.header = &header;
    request_reply_message(server, request, &response.base);
    arena_free(&arena);
}

void rpc_member_list(struct server *server, struct request *request)
{
    request->run = list_now;
    if (((const Etcdserverpb__MemberListRequest *)request->message)->linearizable) {
        read_linearizable(server, request);
    } else {
        list_now(server, request);
    }
}

/* What the connections of this member say. */
static struct membership_health health_of(const struct server *server)
{
    return (struct membership_health){.local_id = server->member_id,
                                      .connected_voters = cluster_connected_voters(server)};
}

static bool refuse(struct server *server, struct request *request, enum etcd_error error,
                   const char *what)
{
    if (error == ETCD_OK) {
        return false;
    }
    LOG_WARN("rejecting a membership change", LOG_STR("change", what),
             LOG_STR("reason", etcd_error_text(error)));
    request_fail(server, request, error);
    return true;
}

void rpc_member_add(struct server *server, struct request *request)
{
    const Etcdserverpb__MemberAddRequest *add =
        (const Etcdserverpb__MemberAddRequest *)request->message;
    struct member member = {.is_learner = add->islearner};
    struct err err;
    if (url_list_parse((const char *const *)add->peerurls, add->n_peerurls, &member.peer_urls,
                       &err) != 0) {
        request_fail(server, request, ETCD_ERR_MEMBER_BAD_URLS);
        return;
    }
    struct membership_health health = health_of(server);
    enum etcd_error error = server->config->strict_reconfig_check
                                ? membership_may_add(server->membership, add->islearner, &health)
                                : ETCD_OK;
    if (!refuse(server, request, error, "add")) {
        struct buf context;
        buf_init(&context, BUF_NO_LIMIT);
        member.name = str_dup("");
        member.id = ids_member((const char *const *)member.peer_urls.urls, member.peer_urls.count,
                               "", server->clock->wall_ns(server->clock->ctx) / 1000000000);
        member_json_write(&member, &context);
        request->number = member.id;
        propose_conf_change(server, request,
                            add->islearner ? RAFT_CONF_ADD_LEARNER : RAFT_CONF_ADD_NODE, member.id,
                            buf_bytes(&context));
        buf_free(&context);
    }
    member_clear(&member);
}

void rpc_member_remove(struct server *server, struct request *request)
{
    uint64_t id = ((const Etcdserverpb__MemberRemoveRequest *)request->message)->id;
    struct membership_health health = health_of(server);
    enum etcd_error error = ETCD_OK;
    if (membership_find(server->membership, id) == NULL) {
        error = ETCD_ERR_MEMBER_NOT_FOUND;
    } else if (server->config->strict_reconfig_check) {
        error = membership_may_remove(server->membership, id, cluster_is_connected(server, id),
                                      &health);
    }
    if (!refuse(server, request, error, "remove")) {
        request->number = id;
        propose_conf_change(server, request, RAFT_CONF_REMOVE_NODE, id, (struct bytes){NULL, 0});
    }
}

void rpc_member_update(struct server *server, struct request *request)
{
    const Etcdserverpb__MemberUpdateRequest *update =
        (const Etcdserverpb__MemberUpdateRequest *)request->message;
    const struct member *present = membership_find(server->membership, update->id);
    struct member member = {.id = update->id};
    struct err err;
    if (url_list_read((const char *const *)update->peerurls, update->n_peerurls, &member.peer_urls,
                      &err) != 0) {
        request_fail(server, request, ETCD_ERR_MEMBER_BAD_URLS);
        return;
    }
    if (!refuse(server, request, present == NULL ? ETCD_ERR_MEMBER_NOT_FOUND : ETCD_OK, "update")) {
        struct buf context;
        buf_init(&context, BUF_NO_LIMIT);
        member.name = str_dup("");
        member.is_learner = present->is_learner; /* an update must not promote */
        member_json_write(&member, &context);
        request->number = member.id;
        propose_conf_change(server, request, RAFT_CONF_UPDATE_NODE, member.id, buf_bytes(&context));
        buf_free(&context);
    }
    member_clear(&member);
}

/* On the leader only: it alone knows how far a learner has come. */
static void promote_here(struct server *server, struct request *request, uint64_t id)
{
    struct raft_progress_status learner = {0};
    struct raft_progress_status leader = {0};
    enum etcd_error error = ETCD_OK;
    const struct member *member = membership_find(server->membership, id);
    if (member == NULL) {
        error = ETCD_ERR_MEMBER_NOT_FOUND;
    } else if (!member->is_learner) {
        error = ETCD_ERR_MEMBER_NOT_LEARNER;
    } else if (raft_progress_of(server->raft, id, &learner) != 0 ||
               raft_progress_of(server->raft, server->member_id, &leader) != 0) {
        error = ETCD_ERR_LEARNER_NOT_READY;
    } else if (server->config->strict_reconfig_check) {
        error =
            membership_may_promote(server->membership, id, learner.match_index, leader.match_index);
    } else if (!membership_learner_is_ready(learner.match_index, leader.match_index)) {
        error = ETCD_ERR_LEARNER_NOT_READY;
    }
    if (refuse(server, request, error, "promote")) {
        return;
    }
    struct buf context;
    buf_init(&context, BUF_NO_LIMIT);
    membership_promote_context(id, &context);
    request->number = id;
    propose_conf_change(server, request, RAFT_CONF_ADD_NODE, id, buf_bytes(&context));
    buf_free(&context);
}

static void promote_fetched(struct server *server, void *ctx, const struct fetch_answer *answer)
{
    struct request *request = ctx;
    enum etcd_error error = ETCD_ERR_TIMEOUT;
    if (answer->code == 0 && answer->status == 200) {
        /* Done there; the answer is given once this member has applied it too. */
        request->run = list_now;
        read_linearizable(server, request);
        return;
    }
    if (answer->code == 0) {
        char text[256];
        snprintf(text, sizeof(text), "%.*s", (int)BASE_MIN(answer->body.size, sizeof(text) - 1),
                 (const char *)answer->body.data);
        text[strcspn(text, "\n")] = '\0';
        (void)etcd_error_find(text, &error);
    }
    request_fail(server, request, error);
}

void rpc_member_promote(struct server *server, struct request *request)
{
    uint64_t id = ((const Etcdserverpb__MemberPromoteRequest *)request->message)->id;
    if (atomic_load(&server->shared.is_leader)) {
        promote_here(server, request, id);
        return;
    }
    const char *url = cluster_leader_url(server);
    if (url == NULL || request->origin == REQUEST_PEER_HTTP) {
        request_fail(server, request, url == NULL ? ETCD_ERR_NO_LEADER : ETCD_ERR_NOT_LEADER);
        return;
    }
    char path[64];
    snprintf(path, sizeof(path), "/members/promote/%llu", (unsigned long long)id);
    const struct fetch fetch = {.url = url,
                                .method = "POST",
                                .path = path,
                                .timeout_ms = PROMOTE_TIMEOUT_MS,
                                .on_done = promote_fetched,
                                .ctx = request};
    fetch_start(server, &fetch);
}

/* The change of a request is applied: its answer. */
void rpc_member_applied(struct server *server, struct request *request)
{
    struct arena arena;
    Etcdserverpb__ResponseHeader header;
    Etcdserverpb__Member **members;
    size_t count;
    arena_init(&arena, BUF_NO_LIMIT);
    fill_members(server, &arena, &header, &members, &count);
    if (request->method == RPC_MEMBER_PROMOTE && atomic_load(&server->shared.is_leader)) {
        metric_add(&METRIC_PROMOTE_SUCCESSES, 1);
    }
    if (request->origin == REQUEST_RPC && request->method == RPC_MEMBER_ADD) {
        Etcdserverpb__MemberAddResponse response = ETCDSERVERPB__MEMBER_ADD_RESPONSE__INIT;
        response.header = &header;
        response.members = members;
        response.n_members = count;
        for (size_t i = 0; i < count; i++) {
            response.member = members[i]->id == request->number ? members[i] : response.member;
        }
        request_reply_message(server, request, &response.base);
    } else if (request->origin == REQUEST_PEER_HTTP) {
        struct buf body;
        buf_init(&body, BUF_NO_LIMIT);
        membership_members_json(server->membership, &body);
        request_reply_plain(server, request, &body);
    } else {
        /* Remove, update, promote and list: header 1, members 2. */
        Etcdserverpb__MemberListResponse response = ETCDSERVERPB__MEMBER_LIST_RESPONSE__INIT;
        response.header = &header;
        response.members = members;
        response.n_members = count;
        request_reply_message(server, request, &response.base);
    }
    arena_free(&arena);
}
