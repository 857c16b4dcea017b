/* SPDX-License-Identifier: Apache-2.0 */
/* Blocking calls on top of call.h. */
#include "controller/etcd/change.h"

#include "rpc.pb-c.h"

#define ANSWER_ARENA_MAX (16u * 1024u * 1024u)

/* One call, waited for; the answer lives in arena. */
static int exchange(struct http *http, const struct etcd_endpoint *endpoint, const char *method,
                    const ProtobufCMessage *request, uint64_t timeout_ms,
                    const ProtobufCMessageDescriptor *descriptor, struct arena *arena,
                    ProtobufCMessage **out_answer, struct err *err)
{
    struct etcd_call *call = etcd_call_start(http, endpoint, method, request, timeout_ms);
    etcd_call_wait(call);
    int rc = etcd_call_result(call, descriptor, arena, out_answer, err);
    etcd_call_free(call);
    return rc;
}

/* As exchange, for answers that say nothing beyond "done". */
static int change(struct http *http, const struct etcd_endpoint *endpoint, const char *method,
                  const ProtobufCMessage *request, const ProtobufCMessageDescriptor *descriptor,
                  struct err *err)
{
    struct arena arena;
    arena_init(&arena, ANSWER_ARENA_MAX);
    ProtobufCMessage *answer = NULL;
    int rc =
        exchange(http, endpoint, method, request, ETCD_CHANGE_MS, descriptor, &arena, &answer, err);
    arena_free(&arena);
    return rc;
}

int etcd_check_cluster(struct http *http, const struct etcd_endpoint *endpoint, uint64_t cluster_id,
                       struct err *err)
{
    struct arena arena;
    arena_init(&arena, ANSWER_ARENA_MAX);
    Etcdserverpb__StatusRequest request = ETCDSERVERPB__STATUS_REQUEST__INIT;
    Etcdserverpb__StatusResponse *answer = NULL;
    int rc = exchange(http, endpoint, "/etcdserverpb.Maintenance/Status", &request.base,
                      ETCD_CHECK_MS, &etcdserverpb__status_response__descriptor, &arena,
                      (ProtobufCMessage **)(void *)&answer, err);
    if (rc == 0 && (answer->header == NULL || answer->header->cluster_id != cluster_id)) {
        uint64_t other = answer->header == NULL ? 0 : answer->header->cluster_id;
        rc = err_set(err, E_CONFLICT, "%s serves cluster %llx, not %llx", endpoint->url,
                     (unsigned long long)other, (unsigned long long)cluster_id);
    }
    arena_free(&arena);
    return rc;
}

int etcd_add_learner(struct http *http, const struct etcd_endpoint *endpoint, const char *peer_url,
                     struct err *err)
{
    char *urls[] = {(char *)(uintptr_t)peer_url};
    Etcdserverpb__MemberAddRequest request = ETCDSERVERPB__MEMBER_ADD_REQUEST__INIT;
    request.peerurls = urls;
    request.n_peerurls = ARRAY_COUNT(urls);
    request.islearner = 1;
    int rc = change(http, endpoint, "/etcdserverpb.Cluster/MemberAdd", &request.base,
                    &etcdserverpb__member_add_response__descriptor, err);
    return rc == E_EXISTS ? 0 : rc;
}

int etcd_promote(struct http *http, const struct etcd_endpoint *endpoint, uint64_t member_id,
                 struct err *err)
{
    Etcdserverpb__MemberPromoteRequest request = ETCDSERVERPB__MEMBER_PROMOTE_REQUEST__INIT;
    request.id = member_id;
    int rc = change(http, endpoint, "/etcdserverpb.Cluster/MemberPromote", &request.base,
                    &etcdserverpb__member_promote_response__descriptor, err);
    return rc == E_EXISTS ? 0 : rc;
}

int etcd_remove(struct http *http, const struct etcd_endpoint *endpoint, uint64_t member_id,
                struct err *err)
{
    Etcdserverpb__MemberRemoveRequest request = ETCDSERVERPB__MEMBER_REMOVE_REQUEST__INIT;
    request.id = member_id;
    int rc = change(http, endpoint, "/etcdserverpb.Cluster/MemberRemove", &request.base,
                    &etcdserverpb__member_remove_response__descriptor, err);
    return rc == E_NOT_FOUND ? 0 : rc;
}

int etcd_move_leader(struct http *http, const struct etcd_endpoint *endpoint, uint64_t target_id,
                     struct err *err)
{
    Etcdserverpb__MoveLeaderRequest request = ETCDSERVERPB__MOVE_LEADER_REQUEST__INIT;
    request.targetid = target_id;
    return change(http, endpoint, "/etcdserverpb.Maintenance/MoveLeader", &request.base,
                  &etcdserverpb__move_leader_response__descriptor, err);
}

int etcd_hash_kv(struct http *http, const struct etcd_endpoint *endpoint, int64_t revision,
                 struct etcd_hash *out_hash, struct err *err)
{
    struct arena arena;
    arena_init(&arena, ANSWER_ARENA_MAX);
    Etcdserverpb__HashKVRequest request = ETCDSERVERPB__HASH_KVREQUEST__INIT;
    request.revision = revision;
    Etcdserverpb__HashKVResponse *answer = NULL;
    int rc = exchange(http, endpoint, "/etcdserverpb.Maintenance/HashKV", &request.base,
                      ETCD_CHANGE_MS, &etcdserverpb__hash_kvresponse__descriptor, &arena,
                      (ProtobufCMessage **)(void *)&answer, err);
    if (rc == 0) {
        out_hash->hash = answer->hash;
        out_hash->compact_revision = answer->compact_revision;
        out_hash->revision = answer->header == NULL ? 0 : answer->header->revision;
    }
    arena_free(&arena);
    return rc;
}
