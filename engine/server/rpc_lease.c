/* SPDX-License-Identifier: Apache-2.0 */
/* Leases: grant and revoke through the log, renewals by the leader alone, expiry proposed by the
 * leader. */
#include "base/alloc.h"
#include "base/log.h"
#include "base/plant.h"
#include "engine/server/authz.h"
#include "engine/server/fetch.h"
#include "engine/server/metrics.h"
#include "engine/server/rpc.h"
#include "lease.pb-c.h"

#define FIELD_LEASE_GRANT      8u
#define FIELD_LEASE_REVOKE     9u
#define FIELD_LEASE_CHECKPOINT 11u
#define LEASE_COST_BYTES       64u
#define FORWARD_TIMEOUT_MS     2000u
#define REVOKES_PER_CHECK      (LEASE_REVOKES_PER_SECOND * LEASE_CHECK_INTERVAL_MS / 1000u)

void rpc_lease_grant(struct server *server, struct request *request)
{
    Etcdserverpb__LeaseGrantRequest grant =
        *(const Etcdserverpb__LeaseGrantRequest *)request->message;
    /* That its TTL is too large is said where it is applied: an alarm that is raised comes first.
     */
    if (!quota_has_room(server, LEASE_COST_BYTES)) {
        quota_raise_alarm(server);
        request_fail(server, request, ETCD_ERR_NO_SPACE);
        return;
    }
    while (grant.id == LEASE_NONE) {
        grant.id = lease_id_candidate(server->lessor, rng_next(&server->rng));
    }
    propose_message(server, request, FIELD_LEASE_GRANT, &grant.base);
}

void rpc_lease_revoke(struct server *server, struct request *request)
{
    propose_field(server, request, FIELD_LEASE_REVOKE, request->wire);
}

void rpc_lease_leases(struct server *server, struct request *request)
{
    Etcdserverpb__LeaseLeasesResponse response = ETCDSERVERPB__LEASE_LEASES_RESPONSE__INIT;
    Etcdserverpb__ResponseHeader header;
    struct arena arena;
    int64_t *ids;
    size_t count;
    if (!authz_answer(server, request)) {
        return;
    }
    arena_init(&arena, BUF_NO_LIMIT);
    lessor_list(server->lessor, &arena, &ids, &count);
    response.leases = arena_zalloc(&arena, (count + 1) * sizeof(*response.leases));
    for (size_t i = 0; i < count; i++) {
        response.leases[i] = arena_zalloc(&arena, sizeof(**response.leases));
        etcdserverpb__lease_status__init(response.leases[i]);
        response.leases[i]->id = ids[i];
    }
    response.n_leases = count;
    header_of(server, mvcc_revision(server->mvcc), &header);
    response.header = &header;
    request_reply_message(server, request, &response.base);
    arena_free(&arena);
}

/* Fills a response for id; memory of the keys is the arena's. */
static void fill_time_to_live(struct server *server, int64_t id, bool with_keys,
                              struct arena *arena, Etcdserverpb__LeaseTimeToLiveResponse *out)
{
    struct lease_times times;
    struct bytes *keys;
    size_t count;
    out->id = id;
    out->ttl = -1;
    if (lessor_times(server->lessor, id, server_lease_now_ms(server), &times) != ETCD_OK) {
        return;
    }
    out->ttl = times.remaining_s;
    out->grantedttl = times.ttl_s;
    if (with_keys && lessor_keys(server->lessor, id, arena, &keys, &count) == ETCD_OK) {
        out->keys = arena_zalloc(arena, (count + 1) * sizeof(*out->keys));
        out->n_keys = count;
        for (size_t i = 0; i < count; i++) {
            out->keys[i] = proto_binary(keys[i]);
        }
    }
}

/* On the leader: answers whom asked, a client or a follower (which wants the answer wrapped). */
static void time_to_live_here(struct server *server, struct request *request)
{
    const Etcdserverpb__LeaseTimeToLiveRequest *asked =
        (const Etcdserverpb__LeaseTimeToLiveRequest *)request->message;
    Etcdserverpb__LeaseTimeToLiveResponse response =
        ETCDSERVERPB__LEASE_TIME_TO_LIVE_RESPONSE__INIT;
    Etcdserverpb__ResponseHeader header;
    struct arena arena;
    if (!authz_answer(server, request)) {
        return;
    }
    arena_init(&arena, BUF_NO_LIMIT);
    header_of(server, mvcc_revision(server->mvcc), &header);
    response.header = &header;
    fill_time_to_live(server, asked->id, asked->keys, &arena, &response);
    if (request->origin == REQUEST_PEER_HTTP) {
        Leasepb__LeaseInternalResponse wrapped = LEASEPB__LEASE_INTERNAL_RESPONSE__INIT;
        wrapped.leasetimetoliveresponse = &response;
        request_reply_message(server, request, &wrapped.base);
    } else {
        request_reply_message(server, request, &response.base);
    }
    arena_free(&arena);
}

/* The leader's answer to a follower's question, or why there is none. */
static void time_to_live_fetched(struct server *server, void *ctx,
                                 const struct fetch_answer *answer)
{
    struct request *request = ctx;
    Leasepb__LeaseInternalResponse *wrapped;
    struct arena arena; /* of the size of the answer: it may hold many keys */
    arena_init(&arena, proto_arena_limit(answer->body.size));
    if (answer->code != 0 || answer->status != 200 ||
        PROTO_UNPACK(leasepb__lease_internal_response, answer->body, &arena, &wrapped) != 0 ||
        wrapped->leasetimetoliveresponse == NULL) {
        arena_free(&arena);
        request_fail(server, request,
                     answer->status == 404 ? ETCD_ERR_LEASE_NOT_FOUND : ETCD_ERR_TIMEOUT);
        return;
    }
    Etcdserverpb__LeaseTimeToLiveResponse response = *wrapped->leasetimetoliveresponse;
    Etcdserverpb__ResponseHeader header;
    enum etcd_error error = request->number != auth_revision(server->auth)
                                ? ETCD_ERR_AUTH_OLD_REVISION
                                : authz_check_keys(server, request, response.keys, response.n_keys);
    if (error != ETCD_OK) {
        arena_free(&arena);
        request_fail(server, request, error);
        return;
    }
    header_of(server, mvcc_revision(server->mvcc), &header);
    response.header = &header;
    request_reply_message(server, request, &response.base);
    arena_free(&arena);
}

void rpc_lease_time_to_live(struct server *server, struct request *request)
{
    if (lessor_is_primary(server->lessor)) {
        request->run = time_to_live_here;
        read_linearizable(server, request);
        return;
    }
    const char *url = cluster_leader_url(server);
    if (request->origin == REQUEST_PEER_HTTP || url == NULL) {
        request_fail(server, request,
                     url == NULL ? ETCD_ERR_NO_LEADER : ETCD_ERR_LEASE_NOT_PRIMARY);
        return;
    }
    if (!authz_answer(server, request)) {
        return;
    }
    request->number = auth_revision(server->auth); /* the same when the answer comes */
    Leasepb__LeaseInternalRequest wrapped = LEASEPB__LEASE_INTERNAL_REQUEST__INIT;
    struct buf body;
    buf_init(&body, BUF_NO_LIMIT);
    wrapped.leasetimetoliverequest = (Etcdserverpb__LeaseTimeToLiveRequest *)request->message;
    (void)proto_pack_append(&wrapped.base, &body);
    const struct fetch fetch = {.url = url,
                                .method = "POST",
                                .path = "/leases/internal",
                                .body = buf_bytes(&body),
                                .timeout_ms = FORWARD_TIMEOUT_MS,
                                .on_done = time_to_live_fetched,
                                .ctx = request};
    fetch_start(server, &fetch);
    buf_free(&body);
}

/* ---- keep-alives that only the leader can answer ---- */

static void keep_alive_fetched(struct server *server, void *ctx, const struct fetch_answer *answer)
{
    struct request *request = ctx;
    Etcdserverpb__LeaseKeepAliveResponse *response;
    struct arena arena;
    arena_init(&arena, proto_arena_limit(answer->body.size));
    if (answer->code == 0 && answer->status == 404) {
        keep_alive_forwarded(server, request, true, 0);
    } else if (answer->code == 0 && answer->status == 200 &&
               PROTO_UNPACK(etcdserverpb__lease_keep_alive_response, answer->body, &arena,
                            &response) == 0) {
        keep_alive_forwarded(server, request, true, response->ttl);
    } else {
        keep_alive_forwarded(server, request, false, 0);
    }
    arena_free(&arena);
}

void lease_forward(struct server *server, struct request *request)
{
    if (request->deadline_ms == 0) {
        request->deadline_ms =
            server_now_ms(server) + 5000u + 2u * (uint64_t)server->config->election_ms;
    }
    const char *url = cluster_leader_url(server);
    if (url == NULL) {
        keep_alive_forwarded(server, request, false, 0);
        return;
    }
    const struct fetch fetch = {.url = url,
                                .method = "POST",
                                .path = "/leases",
                                .body = request->wire,
                                .timeout_ms = FORWARD_TIMEOUT_MS,
                                .on_done = keep_alive_fetched,
                                .ctx = request};
    fetch_start(server, &fetch);
}

/* The leader is unknown or not ready: the lease timer tries again (it may be ours by then). */
void lease_forward_later(struct server *server, struct request *request)
{
    list_append(&server->lease_forwards, &request->link);
}

static void retry_forwards(struct server *server)
{
    struct list waiting;
    list_init(&waiting);
    while (!list_empty(&server->lease_forwards)) {
        struct list *first = server->lease_forwards.next;
        list_remove(first);
        list_append(&waiting, first);
    }
    while (!list_empty(&waiting)) {
        struct request *request = LIST_ENTRY(waiting.next, struct request, link);
        list_remove(&request->link);
        if (stream_is_served(server, request->handle)) {
            rpc_lease_keep_alive(server, request);
        } else {
            request_free(request); /* its client has gone meanwhile */
        }
    }
}

/* ---- expiry ---- */

static void revoke_done(struct server *server, struct request *request, enum etcd_error error)
{
    (void)server;
    if (error != ETCD_OK && error != ETCD_ERR_LEASE_NOT_FOUND) {
        LOG_WARN("failed to revoke an expired lease, it will be tried again",
                 LOG_HEX("lease-id", request->number_signed),
                 LOG_STR("error", etcd_error_text(error)));
    }
}

/* What is left of long leases, so that a change of leaders does not give them all of it again. */
static void checkpoint_some(struct server *server)
{
    struct lease_rest *rests = mem_array(LEASE_CHECKPOINT_BATCH_MAX, sizeof(*rests));
    size_t count = lessor_checkpoints_due(server->lessor, server_lease_now_ms(server), rests,
                                          LEASE_CHECKPOINT_BATCH_MAX);
    if (count > 0) {
        Etcdserverpb__LeaseCheckpointRequest request = ETCDSERVERPB__LEASE_CHECKPOINT_REQUEST__INIT;
        Etcdserverpb__LeaseCheckpoint *items = mem_array(count, sizeof(*items));
        Etcdserverpb__LeaseCheckpoint **checkpoints = mem_array(count, sizeof(*checkpoints));
        for (size_t i = 0; i < count; i++) {
            items[i] = (Etcdserverpb__LeaseCheckpoint)ETCDSERVERPB__LEASE_CHECKPOINT__INIT;
            items[i].id = rests[i].id;
            items[i].remaining_ttl = rests[i].remaining_ttl_s;
            checkpoints[i] = &items[i];
        }
        request.checkpoints = checkpoints;
        request.n_checkpoints = count;
        struct request *internal = request_internal(NULL);
        internal->must_lead = true; /* who leads now knows better what is left */
        propose_message(server, internal, FIELD_LEASE_CHECKPOINT, &request.base);
        mem_free(checkpoints);
        mem_free(items);
    }
    mem_free(rests);
}

void leases_check(struct server *server)
{
    int64_t ids[REVOKES_PER_CHECK];
    retry_forwards(server);
    if (!lessor_is_primary(server->lessor) || disk_is_full(server)) {
        return;
    }
    size_t count =
        lessor_expired(server->lessor, server_lease_now_ms(server), ids, ARRAY_COUNT(ids));
    for (size_t i = 0; i < count; i++) {
        Etcdserverpb__LeaseRevokeRequest revoke = ETCDSERVERPB__LEASE_REVOKE_REQUEST__INIT;
        struct request *request = request_internal(revoke_done);
        revoke.id = ids[i];
        request->number_signed = ids[i];
        /* Who leads now may have renewed it: the word of a leader that was deposed ends here. */
        request->must_lead = !PLANT(lease_kept_after_demotion);
        metric_add(&METRIC_LEASE_EXPIRED, 1);
        propose_message(server, request, FIELD_LEASE_REVOKE, &revoke.base);
    }
    if (server->config->features[FEATURE_LEASE_CHECKPOINT]) {
        checkpoint_some(server);
    }
}

/* The checkpointed rest of a lease that is renewed counts no more; so says the log. */
void lease_forget_rest(struct server *server, int64_t id)
{
    Etcdserverpb__LeaseCheckpointRequest request = ETCDSERVERPB__LEASE_CHECKPOINT_REQUEST__INIT;
    Etcdserverpb__LeaseCheckpoint checkpoint = ETCDSERVERPB__LEASE_CHECKPOINT__INIT;
    Etcdserverpb__LeaseCheckpoint *checkpoints[] = {&checkpoint};
    checkpoint.id = id;
    request.checkpoints = checkpoints;
    request.n_checkpoints = 1;
    propose_message(server, request_internal(NULL), FIELD_LEASE_CHECKPOINT, &request.base);
}

/* The read went through: this is still the leader. */
static void leadership_proved(struct server *server, struct request *request)
{
    request_fn run = request->after_proof;
    request->is_proved = true;
    run(server, request);
}

/* A renewal changes nothing in the log, so nothing else would stop a leader that was deposed and
 * does not know it yet (it stood still, or is cut off) from giving leases a life that its successor
 * knows nothing of, or from telling a lease to be gone that its successor has granted. And what is
 * committed but not applied here yet (the others were faster with it) may be the grant of a lease
 * that its client already has. So it is answered as a linearizable read is: in rounds that are
 * shared, and never by a clock. */
bool lease_leadership_is_sure(struct server *server, struct request *request, request_fn run)
{
    if (request->is_proved) {
        request->is_proved = false; /* good for this once */
        return true;
    }
    if (!lessor_is_primary(server->lessor)) {
        return true; /* it has no say and will say so */
    }
    request->after_proof = run;
    request->run = leadership_proved;
    read_linearizable(server, request);
    return false;
}

/* POST /leases of a follower: renews here, or says that this is not the leader. */
void peer_lease_renew(struct server *server, struct request *request)
{
    Etcdserverpb__LeaseKeepAliveResponse response = ETCDSERVERPB__LEASE_KEEP_ALIVE_RESPONSE__INIT;
    Etcdserverpb__ResponseHeader header;
    int64_t id = ((const Etcdserverpb__LeaseKeepAliveRequest *)request->message)->id;
    int64_t ttl_s = 0;
    if (!lease_leadership_is_sure(server, request, peer_lease_renew)) {
        return;
    }
    switch (lessor_renew(server->lessor, id, server_lease_now_ms(server), &ttl_s)) {
    case LEASE_RENEWED:
        header_of(server, mvcc_revision(server->mvcc), &header);
        response.header = &header;
        response.id = id;
        response.ttl = ttl_s;
        request_reply_message(server, request, &response.base);
        return;
    case LEASE_RENEW_NOT_FOUND:
        request_fail(server, request, ETCD_ERR_LEASE_NOT_FOUND);
        return;
    case LEASE_RENEW_CHECKPOINT:
        lease_forget_rest(server, id);
        request_fail(server, request, ETCD_ERR_LEASE_NOT_PRIMARY); /* the asker tries again */
        return;
    case LEASE_RENEW_EXPIRED:
    case LEASE_RENEW_NOT_PRIMARY:
        request_fail(server, request, ETCD_ERR_LEASE_NOT_PRIMARY); /* the asker tries again */
        return;
    }
}
