/* SPDX-License-Identifier: Apache-2.0 */
/* The table of RPCs: one row for each method that is served. For the files of this folder only. */
#ifndef ENGINE_SERVER_RPC_H
#define ENGINE_SERVER_RPC_H

#include "engine/server/internal.h"

enum rpc_method {
    RPC_RANGE,
    RPC_RANGE_STREAM,
    RPC_PUT,
    RPC_DELETE_RANGE,
    RPC_TXN,
    RPC_COMPACT,
    RPC_WATCH,
    RPC_LEASE_GRANT,
    RPC_LEASE_REVOKE,
    RPC_LEASE_KEEP_ALIVE,
    RPC_LEASE_TIME_TO_LIVE,
    RPC_LEASE_LEASES,
    RPC_MEMBER_ADD,
    RPC_MEMBER_REMOVE,
    RPC_MEMBER_UPDATE,
    RPC_MEMBER_LIST,
    RPC_MEMBER_PROMOTE,
    RPC_ALARM,
    RPC_STATUS,
    RPC_HASH_KV,
    RPC_DEFRAGMENT,
    RPC_SNAPSHOT,
    RPC_MOVE_LEADER,
    RPC_HEALTH_CHECK,
    RPC_HEALTH_WATCH,
    RPC_HEALTH_LIST,
    RPC_HASH,
    RPC_DOWNGRADE,
    RPC_LOCK,
    RPC_UNLOCK,
    RPC_CAMPAIGN,
    RPC_PROCLAIM,
    RPC_LEADER,
    RPC_OBSERVE,
    RPC_RESIGN,
    RPC_AUTH_ENABLE,
    RPC_AUTH_DISABLE,
    RPC_AUTH_STATUS,
    RPC_AUTHENTICATE,
    RPC_USER_ADD,
    RPC_USER_GET,
    RPC_USER_LIST,
    RPC_USER_DELETE,
    RPC_USER_CHANGE_PASSWORD,
    RPC_USER_GRANT_ROLE,
    RPC_USER_REVOKE_ROLE,
    RPC_ROLE_ADD,
    RPC_ROLE_GET,
    RPC_ROLE_LIST,
    RPC_ROLE_DELETE,
    RPC_ROLE_GRANT_PERMISSION,
    RPC_ROLE_REVOKE_PERMISSION,
    RPC_COUNT
};

/* What a learner may answer (etcd-api: the learner rule). */
enum rpc_learner { LEARNER_NO, LEARNER_YES, LEARNER_IF_SERIALIZABLE };

struct rpc_spec {
    const char *path;
    enum grpc_kind kind;
    const ProtobufCMessageDescriptor *request;
    request_fn run; /* state thread */
    enum rpc_learner learner;
    bool waits; /* a unary call whose client's going away matters to the state thread */
};

extern const struct rpc_spec RPC_SPECS[RPC_COUNT];

/* run functions, by file */
void rpc_range(struct server *server, struct request *request);
void rpc_put(struct server *server, struct request *request);
void rpc_delete_range(struct server *server, struct request *request);
void rpc_txn(struct server *server, struct request *request);
void rpc_compact(struct server *server, struct request *request);

void rpc_range_stream(struct server *server, struct request *request);
void rpc_watch(struct server *server, struct request *request);
void rpc_health_watch(struct server *server, struct request *request);
void rpc_lease_keep_alive(struct server *server, struct request *request);

void rpc_lease_grant(struct server *server, struct request *request);
void rpc_lease_revoke(struct server *server, struct request *request);
void rpc_lease_time_to_live(struct server *server, struct request *request);
void rpc_lease_leases(struct server *server, struct request *request);

void rpc_member_add(struct server *server, struct request *request);
void rpc_member_remove(struct server *server, struct request *request);
void rpc_member_update(struct server *server, struct request *request);
void rpc_member_list(struct server *server, struct request *request);
void rpc_member_promote(struct server *server, struct request *request);

/* The configuration change of a request is applied: gives its answer. */
void rpc_member_applied(struct server *server, struct request *request);

void rpc_alarm(struct server *server, struct request *request);
void rpc_status(struct server *server, struct request *request);
void rpc_hash_kv(struct server *server, struct request *request);
void rpc_defragment(struct server *server, struct request *request);
void rpc_snapshot(struct server *server, struct request *request);
void rpc_move_leader(struct server *server, struct request *request);
void rpc_health_check(struct server *server, struct request *request);
void rpc_health_list(struct server *server, struct request *request);
void rpc_hash(struct server *server, struct request *request);
void rpc_downgrade(struct server *server, struct request *request);

void rpc_lock(struct server *server, struct request *request);
void rpc_unlock(struct server *server, struct request *request);
void rpc_campaign(struct server *server, struct request *request);
void rpc_proclaim(struct server *server, struct request *request);
void rpc_leader(struct server *server, struct request *request);
void rpc_observe(struct server *server, struct request *request);
void rpc_resign(struct server *server, struct request *request);

void rpc_auth_change(struct server *server, struct request *request);
void rpc_auth_status(struct server *server, struct request *request);
void rpc_authenticate(struct server *server, struct request *request);
void rpc_user_add(struct server *server, struct request *request);
void rpc_user_change_password(struct server *server, struct request *request);

/* The HTTP side uses these on the state thread. */
void kv_env_fill(struct server *server, struct kv_env *out_env);
bool state_has_leader(const struct server *server);

#endif
