/* SPDX-License-Identifier: Apache-2.0 */
/* From a request to an entry of the log, and the table of those that wait for their entry to be
 * applied. */
#include "base/alloc.h"
#include "base/log.h"
#include "base/plant.h"
#include "engine/proto/raftpb.h"
#include "engine/server/authz.h"
#include "engine/server/version.h"

#define FIELD_HEADER       100u
#define FIELD_AUTHENTICATE 1012u

/* etcd's: five seconds, and two election timeouts for a leader to be found. */
static uint64_t request_timeout_ms(const struct server *server)
{
    return 5000u + 2u * (uint64_t)server->config->election_ms;
}

/* As etcd's idutil: 16 bits of the member, 40 bits of milliseconds, 8 bits and more of a counter.
 */
uint64_t next_request_id(struct server *server)
{
    if (server->request_count == 0) { /* the prefix may be 0: the id ends so in one of 65,536 */
        uint64_t ms = (uint64_t)(server->clock->wall_ns(server->clock->ctx) / 1000000);
        server->request_prefix = server->member_id << 48;
        server->request_count = (ms & 0xffffffffffu) << 8;
    }
    server->request_count++;
    return server->request_prefix | (server->request_count & 0xffffffffffffu);
}

void request_arm_deadline(struct server *server, struct request *request)
{
    uint64_t latest = server_now_ms(server) + request_timeout_ms(server);
    if (request->deadline_ms == 0 || request->deadline_ms > latest) {
        request->deadline_ms = latest;
    }
    heap_set(&server->deadlines, &request->deadline, request->deadline_ms);
    if (!request->log_counted) {
        request->log_counted = true;
        server->waiting_count++;
    }
}

void request_disarm(struct server *server, struct request *request)
{
    heap_remove(&server->deadlines, &request->deadline);
    list_remove(&request->link);
    if (request->id != 0) {
        (void)map_remove_u64(&server->waiters, request->id);
        request->id = 0;
    }
    if (request->log_counted) {
        request->log_counted = false;
        server->waiting_count--;
    }
}

struct request *waiter_take(struct server *server, uint64_t id)
{
    struct request *request = map_get_u64(&server->waiters, id);
    if (request != NULL) {
        request_disarm(server, request);
    }
    return request;
}

/* Why a request waited too long: it helps people to know whether the leader was lost meanwhile. */
static enum etcd_error timeout_reason(const struct server *server)
{
    uint64_t now = server_now_ms(server);
    if (server->leader_lost_ms != 0 &&
        now - server->leader_lost_ms < 3u * (uint64_t)server->config->election_ms) {
        return ETCD_ERR_TIMEOUT_LEADER_FAIL;
    }
    return ETCD_ERR_TIMEOUT;
}

void deadlines_check(struct server *server)
{
    uint64_t now = server_now_ms(server);
    for (struct heap_node *top = heap_top(&server->deadlines); top != NULL && top->key <= now;
         top = heap_top(&server->deadlines)) {
        struct request *request = CONTAINER_OF(top, struct request, deadline);
        bool moves = request->origin == REQUEST_RPC && request->method == RPC_MOVE_LEADER;
        request_fail(server, request,
                     moves ? ETCD_ERR_TIMEOUT_LEADER_TRANSFER : timeout_reason(server));
    }
}

/* A member that has just started may be far behind: its first requests wait until it is not, as
 * etcd's do, which serves nobody before. */
static bool must_refuse(struct server *server, struct request *request)
{
    struct raft_status status;
    raft_status(server->raft, &status);
    bool lags = status.commit_index > server->applied_index + APPLY_GAP_MAX &&
                atomic_load(&server->shared.ready);
    if (lags || server->waiting_count >= WAITING_REQUESTS_MAX) {
        request_fail(server, request, ETCD_ERR_TOO_MANY_REQUESTS);
        return true;
    }
    return false;
}

/* Gives the payload to Raft; without a leader the request waits for one, and a change of the
 * membership for the end of the one before it, which would make an empty entry of it. */
static bool leads(const struct server *server)
{
    struct raft_status status;
    raft_status(server->raft, &status);
    return status.role == RAFT_LEADER;
}

static void propose_now(struct server *server, struct request *request)
{
    if (request->must_lead && !leads(server)) {
        request_fail(server, request, ETCD_ERR_LEASE_NOT_PRIMARY);
        return;
    }
    if (request->is_conf_change && raft_has_pending_conf_change(server->raft) &&
        !PLANT(overlapping_changes)) {
        list_append(&server->proposals, &request->link);
        return;
    }
    struct raft_payload *payload = raft_payload_ref(request->payload);
    int rc = request->is_conf_change ? raft_propose_conf_change(server->raft, payload)
                                     : raft_propose(server->raft, &payload, 1);
    if (rc == 0 && PLANT(proposal_twice) && !request->is_conf_change) {
        if (list_empty(&request->link)) {
            list_append(&server->proposals, &request->link);
        }
    } else if (rc == 0) {
        raft_payload_unref(request->payload);
        request->payload = NULL;
        list_remove(&request->link);
    } else if (list_empty(&request->link)) {
        list_append(&server->proposals, &request->link);
    }
}

void proposals_retry(struct server *server)
{
    struct list waiting;
    list_init(&waiting);
    while (!list_empty(&server->proposals)) {
        struct list *first = server->proposals.next;
        list_remove(first);
        list_append(&waiting, first);
    }
    while (!list_empty(&waiting)) {
        struct request *request = LIST_ENTRY(waiting.next, struct request, link);
        list_remove(&request->link);
        propose_now(server, request);
    }
}

static void propose_payload(struct server *server, struct request *request, uint64_t id,
                            struct bytes data)
{
    request->payload = raft_payload_new(data);
    request->id = id;
    (void)map_set_u64(&server->waiters, id, request);
    request_arm_deadline(server, request);
    propose_now(server, request);
}

static void append_tag(struct buf *out, uint32_t field, uint64_t size)
{
    (void)proto_varint_append(out, (uint64_t)field << 3 | 2u);
    (void)proto_varint_append(out, size);
}

/* Id, and who asks (nobody while a login is what is asked for). */
static enum etcd_error append_header(struct server *server, struct request *request,
                                     uint32_t field_number, uint64_t id, struct buf *entry)
{
    Etcdserverpb__RequestHeader header = ETCDSERVERPB__REQUEST_HEADER__INIT;
    struct auth_who who = {"", 0};
    enum etcd_error error = ETCD_OK;
    if (field_number != FIELD_AUTHENTICATE) {
        error = authz_identify(server, request, &who);
    }
    header.id = id;
    header.username = (char *)(uintptr_t)who.name;
    header.auth_revision = who.revision;
    append_tag(entry, FIELD_HEADER, protobuf_c_message_get_packed_size(&header.base));
    (void)proto_pack_append(&header.base, entry); /* no limit: cannot fail */
    return error;
}

void propose_field(struct server *server, struct request *request, uint32_t field_number,
                   struct bytes body)
{
    if (must_refuse(server, request)) {
        return;
    }
    if (!version_knows_entry(atomic_load(&server->shared.cluster_version), field_number)) {
        LOG_WARN("a request that an older member of the cluster does not know is refused",
                 LOG_U64("field", field_number));
        request_fail(server, request, ETCD_ERR_NOT_CAPABLE);
        return;
    }
    if (disk_is_full(server)) { /* changes of the membership pass: they may be the way out */
        request_fail(server, request, ETCD_ERR_NO_SPACE);
        return;
    }
    uint64_t id = next_request_id(server);
    struct buf entry;
    buf_init(&entry, BUF_NO_LIMIT);
    enum etcd_error error = append_header(server, request, field_number, id, &entry);
    if (error != ETCD_OK) {
        buf_free(&entry);
        request_fail(server, request, error);
        return;
    }
    append_tag(&entry, field_number, body.size);
    buf_append(&entry, body.data, body.size);
    if (entry.size > server->config->max_request_bytes) {
        request_fail(server, request, ETCD_ERR_REQUEST_TOO_LARGE);
    } else {
        propose_payload(server, request, id, buf_bytes(&entry));
    }
    buf_free(&entry);
}

void propose_message(struct server *server, struct request *request, uint32_t field_number,
                     const ProtobufCMessage *body)
{
    struct buf packed;
    buf_init(&packed, BUF_NO_LIMIT);
    (void)proto_pack_append(body, &packed);
    propose_field(server, request, field_number, buf_bytes(&packed));
    buf_free(&packed);
}

void propose_conf_change(struct server *server, struct request *request,
                         enum raft_conf_change_type type, uint64_t node_id, struct bytes context)
{
    if (must_refuse(server, request)) {
        return;
    }
    struct raftpb_conf_change change = {
        .id = next_request_id(server), .type = type, .node_id = node_id, .context = context};
    struct buf entry;
    buf_init(&entry, BUF_NO_LIMIT);
    raftpb_conf_change_encode(&change, &entry);
    request->is_conf_change = true;
    propose_payload(server, request, change.id, buf_bytes(&entry));
    buf_free(&entry);
}
