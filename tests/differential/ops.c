/* SPDX-License-Identifier: Apache-2.0 */
/* See ops.h. */
#include "tests/differential/ops.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "engine/proto/health.pb-c.h"
#include "engine/proto/rpc.pb-c.h"

#define RPC(name, service, method, message)                                                        \
    {                                                                                              \
        name, "/etcdserverpb." service "/" method, &etcdserverpb__##message##_request__descriptor, \
            &etcdserverpb__##message##_response__descriptor                                        \
    }

#define STREAM(name, message)                                                                      \
    {                                                                                              \
        name, "/etcdserverpb.Watch/Watch", &etcdserverpb__watch_##message##_request__descriptor,   \
            &etcdserverpb__watch_response__descriptor                                              \
    }
#define HEALTH(name, method, message)                                                              \
    {                                                                                              \
        name, "/grpc.health.v1.Health/" method,                                                    \
            &grpc__health__v1__health_##message##_request__descriptor,                             \
            &grpc__health__v1__health_##message##_response__descriptor                             \
    }
#define AUTH(name, method, message) RPC(name, "Auth", method, message)

static const struct op_rpc RPCS[] = {
    [OP_RANGE] = RPC("range", "KV", "Range", range),
    [OP_PUT] = RPC("put", "KV", "Put", put),
    [OP_DELETE] = RPC("delete", "KV", "DeleteRange", delete_range),
    [OP_TXN] = RPC("txn", "KV", "Txn", txn),
    [OP_COMPACT] = RPC("compact", "KV", "Compact", compaction),
    [OP_GRANT] = RPC("grant", "Lease", "LeaseGrant", lease_grant),
    [OP_REVOKE] = RPC("revoke", "Lease", "LeaseRevoke", lease_revoke),
    [OP_TIME_TO_LIVE] = RPC("ttl", "Lease", "LeaseTimeToLive", lease_time_to_live),
    [OP_LEASES] = RPC("leases", "Lease", "LeaseLeases", lease_leases),
    [OP_KEEPALIVE] = RPC("keepalive", "Lease", "LeaseKeepAlive", lease_keep_alive),
    [OP_HASH] = {"hash", "/etcdserverpb.Maintenance/HashKV",
                 &etcdserverpb__hash_kvrequest__descriptor,
                 &etcdserverpb__hash_kvresponse__descriptor},
    [OP_WATCH] = {"watch", "/etcdserverpb.Watch/Watch",
                  &etcdserverpb__watch_create_request__descriptor,
                  &etcdserverpb__watch_response__descriptor},
    [OP_AUTH_ENABLE] = AUTH("auth-enable", "AuthEnable", auth_enable),
    [OP_AUTH_DISABLE] = AUTH("auth-disable", "AuthDisable", auth_disable),
    [OP_AUTH_STATUS] = AUTH("auth-status", "AuthStatus", auth_status),
    [OP_AUTHENTICATE] = AUTH("authenticate", "Authenticate", authenticate),
    [OP_USER_ADD] = AUTH("user-add", "UserAdd", auth_user_add),
    [OP_USER_GET] = AUTH("user-get", "UserGet", auth_user_get),
    [OP_USER_LIST] = AUTH("user-list", "UserList", auth_user_list),
    [OP_USER_DELETE] = AUTH("user-delete", "UserDelete", auth_user_delete),
    [OP_USER_PASSWORD] = AUTH("user-password", "UserChangePassword", auth_user_change_password),
    [OP_USER_GRANT] = AUTH("user-grant", "UserGrantRole", auth_user_grant_role),
    [OP_USER_REVOKE] = AUTH("user-revoke", "UserRevokeRole", auth_user_revoke_role),
    [OP_ROLE_ADD] = AUTH("role-add", "RoleAdd", auth_role_add),
    [OP_ROLE_GET] = AUTH("role-get", "RoleGet", auth_role_get),
    [OP_ROLE_LIST] = AUTH("role-list", "RoleList", auth_role_list),
    [OP_ROLE_DELETE] = AUTH("role-delete", "RoleDelete", auth_role_delete),
    [OP_ROLE_GRANT] = AUTH("role-grant", "RoleGrantPermission", auth_role_grant_permission),
    [OP_ROLE_REVOKE] = AUTH("role-revoke", "RoleRevokePermission", auth_role_revoke_permission),
    [OP_MEMBER_ADD] = RPC("member-add", "Cluster", "MemberAdd", member_add),
    [OP_MEMBER_REMOVE] = RPC("member-remove", "Cluster", "MemberRemove", member_remove),
    [OP_MEMBER_UPDATE] = RPC("member-update", "Cluster", "MemberUpdate", member_update),
    [OP_MEMBER_PROMOTE] = RPC("member-promote", "Cluster", "MemberPromote", member_promote),
    [OP_MEMBER_LIST] = RPC("member-list", "Cluster", "MemberList", member_list),
    [OP_MOVE_LEADER] = RPC("move-leader", "Maintenance", "MoveLeader", move_leader),
    [OP_ALARM] = RPC("alarm", "Maintenance", "Alarm", alarm),
    [OP_STATUS] = RPC("status", "Maintenance", "Status", status),
    [OP_HEALTH] = HEALTH("health", "Check", check),
    [OP_HEALTH_WATCH] = HEALTH("health-watch", "Watch", check),
    [OP_HEALTH_LIST] = HEALTH("health-list", "List", list),
    [OP_STREAM_CREATE] = STREAM("stream-create", create),
    [OP_STREAM_CANCEL] = STREAM("stream-cancel", cancel),
    [OP_STREAM_SYNC] = STREAM("stream-sync", progress),
};
_Static_assert(ARRAY_COUNT(RPCS) == OP_KIND_COUNT, "every kind has a call");

const struct op_rpc *op_rpc(enum op_kind kind)
{
    return &RPCS[kind];
}

static struct op *list_grow(struct op_list *list)
{
    if (list->count == list->capacity) {
        list->capacity = list->capacity == 0 ? 1024 : list->capacity * 2;
        list->ops = mem_realloc(list->ops, list->capacity * sizeof(*list->ops));
    }
    return &list->ops[list->count++];
}

struct op *op_list_add(struct op_list *list, enum op_kind kind, const ProtobufCMessage *message)
{
    struct op *op = list_grow(list);
    op->kind = kind;
    op->user = USER_NOBODY;
    op->size = protobuf_c_message_get_packed_size(message);
    op->data = mem_alloc(op->size + 1);
    protobuf_c_message_pack(message, op->data);
    return op;
}

void op_list_take(struct op_list *list, struct op *op)
{
    *list_grow(list) = *op;
    *op = (struct op){.data = NULL};
}

bool op_is_of_stream(enum op_kind kind)
{
    return kind == OP_STREAM_CREATE || kind == OP_STREAM_CANCEL || kind == OP_STREAM_SYNC;
}

void op_list_free(struct op_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        mem_free(list->ops[i].data);
    }
    mem_free(list->ops);
    *list = (struct op_list){.ops = NULL};
}

ProtobufCMessage *op_request(const struct op *op)
{
    return protobuf_c_message_unpack(RPCS[op->kind].request, NULL, op->size, op->data);
}

int op_list_save(const struct op_list *list, const char *path)
{
    FILE *file = fopen(path, "w");
    if (file == NULL) {
        return -1;
    }
    for (size_t i = 0; i < list->count; i++) {
        const struct op *op = &list->ops[i];
        fprintf(file, "%s@%d ", RPCS[op->kind].name, (int)op->user);
        for (size_t k = 0; k < op->size; k++) {
            fprintf(file, "%02x", op->data[k]);
        }
        fputc('\n', file);
    }
    return fclose(file) == 0 ? 0 : -1;
}

static int hex_digit(char c)
{
    const char *const digits = "0123456789abcdef";
    const char *found = c == '\0' ? NULL : strchr(digits, c);
    return found == NULL ? -1 : (int)(found - digits);
}

static int parse_line(struct op_list *list, const char *line)
{
    const char *space = strchr(line, '@');
    for (size_t kind = 0; space != NULL && kind < OP_KIND_COUNT; kind++) {
        size_t name_size = strlen(RPCS[kind].name);
        if ((size_t)(space - line) != name_size || memcmp(line, RPCS[kind].name, name_size) != 0) {
            continue;
        }
        const char *hex = space + 3; /* @, who, a space */
        if (space[1] < '0' || space[1] >= '0' + USER_COUNT || space[2] != ' ') {
            return -1;
        }
        struct op *op = list_grow(list);
        *op = (struct op){.kind = (enum op_kind)kind,
                          .user = (enum op_user)(space[1] - '0'),
                          .data = mem_alloc(strlen(hex) / 2 + 1)};
        for (; hex_digit(hex[0]) >= 0 && hex_digit(hex[1]) >= 0; hex += 2) {
            op->data[op->size++] = (uint8_t)(hex_digit(hex[0]) * 16 + hex_digit(hex[1]));
        }
        return *hex == '\n' || *hex == '\0' ? 0 : -1;
    }
    return -1;
}

int op_list_load(struct op_list *list, const char *path)
{
    char *line = NULL;
    size_t capacity = 0;
    int rc = 0;
    FILE *file = fopen(path, "r");
    if (file == NULL) {
        return -1;
    }
    while (rc == 0 && getline(&line, &capacity, file) > 0) {
        rc = parse_line(list, line);
        errno = EINVAL;
    }
    free(line);
    fclose(file);
    return rc;
}
