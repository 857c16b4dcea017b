/* SPDX-License-Identifier: Apache-2.0 */
/* Entries of users, roles and logins. */
#include <openssl/sha.h>
#include <string.h>

#include "base/alloc.h"
#include "base/log.h"
#include "engine/server/authz.h"
#include "engine/server/password.h"
#include "engine/server/token.h"

static void pack(const ProtobufCMessage *message, struct buf *body)
{
    (void)proto_pack_append(message, body); /* no limit: cannot fail */
}

/*
 * Etcd before 3.5 hashes when it applies, with a random salt. Here the salt comes from the entry,
 * so that all members of ours store the same. It needs to differ, not to be secret.
 */
bool apply_password_hash(const struct server *server, const char *user, const char *password,
                         struct buf *out)
{
    uint8_t digest[SHA256_DIGEST_LENGTH];
    char hash[PASSWORD_HASH_BYTES + 1];
    struct buf seed;
    buf_init(&seed, BUF_NO_LIMIT);
    buf_append_be64(&seed, server->cluster_id);
    buf_append_be64(&seed, server->applied_index + 1);
    buf_append_str(&seed, user);
    SHA256(seed.data, seed.size, digest);
    buf_free(&seed);
    bool fine = password_hash(password, PASSWORD_COST_DEFAULT, digest, hash);
    if (fine) {
        buf_append_str(out, hash);
    }
    return fine;
}

static enum etcd_error apply_authenticate(struct server *server,
                                          const Etcdserverpb__InternalRaftRequest *entry,
                                          struct buf *body)
{
    const Etcdserverpb__InternalAuthenticateRequest *asked = entry->authenticate;
    const Authpb__User *user = auth_user(server->auth, asked->name);
    uint64_t id = entry->header != NULL ? entry->header->id : entry->id;
    Etcdserverpb__AuthenticateResponse response = ETCDSERVERPB__AUTHENTICATE_RESPONSE__INIT;
    struct buf token;
    if (!auth_is_enabled(server->auth)) {
        return ETCD_ERR_AUTH_NOT_ENABLED;
    }
    if (user == NULL || (user->options != NULL && user->options->no_password)) {
        return ETCD_ERR_AUTH_FAILED;
    }
    buf_init(&token, BUF_NO_LIMIT);
    bool signed_it =
        tokens_assign(server->tokens, asked->name, asked->simple_token,
                      server->applied_index + 1 - token_lag(server), auth_revision(server->auth),
                      map_get_u64(&server->waiters, id) != NULL, server_now_ms(server),
                      server->clock->wall_ns(server->clock->ctx), &token);
    if (signed_it) {
        response.token = (char *)(uintptr_t)buf_cstr(&token);
        pack(&response.base, body);
    }
    buf_free(&token);
    return signed_it ? ETCD_OK : ETCD_ERR_AUTH_VERIFY_ONLY;
}

static enum etcd_error apply_user_get(struct server *server, const char *name, struct buf *body)
{
    Etcdserverpb__AuthUserGetResponse response = ETCDSERVERPB__AUTH_USER_GET_RESPONSE__INIT;
    const Authpb__User *user = auth_user(server->auth, name);
    if (user == NULL) {
        return ETCD_ERR_USER_NOT_FOUND;
    }
    response.roles = user->roles;
    response.n_roles = user->n_roles;
    pack(&response.base, body);
    return ETCD_OK;
}

static enum etcd_error apply_role_get(struct server *server, const char *name, struct buf *body)
{
    static uint8_t open_end[1] = {0};
    Etcdserverpb__AuthRoleGetResponse response = ETCDSERVERPB__AUTH_ROLE_GET_RESPONSE__INIT;
    Authpb__Permission all = AUTHPB__PERMISSION__INIT;
    Authpb__Permission *only_all[] = {&all};
    const Authpb__Role *role = auth_role(server->auth, name);
    if (role == NULL) {
        return ETCD_ERR_ROLE_NOT_FOUND;
    }
    response.perm = role->keypermission;
    response.n_perm = role->n_keypermission;
    if (strcmp(name, AUTH_ROOT) == 0) {
        all.permtype = AUTHPB__PERMISSION__TYPE__READWRITE;
        all.range_end = (ProtobufCBinaryData){1, open_end};
        response.perm = only_all;
        response.n_perm = 1;
    }
    pack(&response.base, body);
    return ETCD_OK;
}

/* A name as text. */
static char *copy_name(struct arena *arena, ProtobufCBinaryData name)
{
    struct bytes bytes = proto_bytes(name);
    char *text = arena_zalloc(arena, bytes.size + 1);
    memcpy(text, bytes.data, bytes.size);
    return text;
}

static void apply_user_list(struct server *server, struct buf *body)
{
    Etcdserverpb__AuthUserListResponse response = ETCDSERVERPB__AUTH_USER_LIST_RESPONSE__INIT;
    struct arena arena;
    arena_init(&arena, BUF_NO_LIMIT);
    response.n_users = auth_user_count(server->auth);
    response.users = arena_zalloc(&arena, (response.n_users + 1) * sizeof(char *));
    for (size_t i = 0; i < response.n_users; i++) {
        response.users[i] = copy_name(&arena, auth_user_at(server->auth, i)->name);
    }
    pack(&response.base, body);
    arena_free(&arena);
}

static void apply_role_list(struct server *server, struct buf *body)
{
    Etcdserverpb__AuthRoleListResponse response = ETCDSERVERPB__AUTH_ROLE_LIST_RESPONSE__INIT;
    struct arena arena;
    arena_init(&arena, BUF_NO_LIMIT);
    response.n_roles = auth_role_count(server->auth);
    response.roles = arena_zalloc(&arena, (response.n_roles + 1) * sizeof(char *));
    for (size_t i = 0; i < response.n_roles; i++) {
        response.roles[i] = copy_name(&arena, auth_role_at(server->auth, i)->name);
    }
    pack(&response.base, body);
    arena_free(&arena);
}

static void apply_status(struct server *server, struct buf *body)
{
    Etcdserverpb__AuthStatusResponse response = ETCDSERVERPB__AUTH_STATUS_RESPONSE__INIT;
    response.enabled = auth_is_enabled(server->auth);
    response.authrevision = auth_revision(server->auth);
    pack(&response.base, body);
}

/* What is worth a line in the log, with whom it is about. */
static void say(enum etcd_error error, const char *msg, const char *user, const char *role)
{
    if (error == ETCD_OK) {
        LOG_INFO(msg, LOG_STR("user-name", user), LOG_STR("role-name", role));
    }
}

static enum etcd_error apply_switch(struct server *server,
                                    const Etcdserverpb__InternalRaftRequest *entry)
{
    bool was_enabled = auth_is_enabled(server->auth);
    enum etcd_error error = ETCD_OK;
    if (entry->auth_enable) {
        error = auth_enable(server->auth, server->batch);
    } else {
        auth_disable(server->auth, server->batch);
    }
    if (error == ETCD_OK && was_enabled != auth_is_enabled(server->auth)) {
        tokens_drop_all(server->tokens);
        LOG_INFO(was_enabled ? "disabled authentication" : "enabled authentication");
    }
    return error;
}

static enum etcd_error apply_user(struct server *server,
                                  const Etcdserverpb__InternalRaftRequest *entry, struct buf *body)
{
    struct auth *auth = server->auth;
    struct store_batch *batch = server->batch;
    enum etcd_error error = ETCD_OK;
    if (entry->auth_user_add) {
        error = auth_user_add(auth, entry->auth_user_add, batch);
        say(error, "added a user", entry->auth_user_add->name, "");
    } else if (entry->auth_user_delete) {
        const char *name = entry->auth_user_delete->name;
        error = auth_user_delete(auth, name, batch);
        say(error, "deleted a user", name, "");
        if (error == ETCD_OK) {
            tokens_drop_user(server->tokens, name);
        }
    } else if (entry->auth_user_change_password) {
        const char *name = entry->auth_user_change_password->name;
        error = auth_user_change_password(auth, entry->auth_user_change_password, batch);
        say(error, "changed a password of a user", name, "");
        if (error == ETCD_OK) {
            tokens_drop_user(server->tokens, name);
        }
    } else if (entry->auth_user_grant_role) {
        const Etcdserverpb__AuthUserGrantRoleRequest *grant = entry->auth_user_grant_role;
        error = auth_user_grant_role(auth, grant->user, grant->role, batch);
        say(error, "granted a role to a user", grant->user, grant->role);
    } else if (entry->auth_user_revoke_role) {
        const Etcdserverpb__AuthUserRevokeRoleRequest *revoke = entry->auth_user_revoke_role;
        error = auth_user_revoke_role(auth, revoke->name, revoke->role, batch);
        say(error, "revoked a role from a user", revoke->name, revoke->role);
    } else if (entry->auth_user_get) {
        error = apply_user_get(server, entry->auth_user_get->name, body);
    } else {
        apply_user_list(server, body);
    }
    return error;
}

static enum etcd_error apply_role(struct server *server,
                                  const Etcdserverpb__InternalRaftRequest *entry, struct buf *body)
{
    struct auth *auth = server->auth;
    struct store_batch *batch = server->batch;
    enum etcd_error error = ETCD_OK;
    if (entry->auth_role_add) {
        error = auth_role_add(auth, entry->auth_role_add->name, batch);
        say(error, "created a role", "", entry->auth_role_add->name);
    } else if (entry->auth_role_delete) {
        error = auth_role_delete(auth, entry->auth_role_delete->role, batch);
        say(error, "deleted a role", "", entry->auth_role_delete->role);
    } else if (entry->auth_role_grant_permission) {
        error = auth_role_grant_permission(auth, entry->auth_role_grant_permission, batch);
        say(error, "granted/updated a permission to a role", "",
            entry->auth_role_grant_permission->name);
    } else if (entry->auth_role_revoke_permission) {
        const Etcdserverpb__AuthRoleRevokePermissionRequest *revoke =
            entry->auth_role_revoke_permission;
        error = auth_role_revoke_permission(auth, revoke->role, proto_bytes(revoke->key),
                                            proto_bytes(revoke->range_end), batch);
        say(error, "revoked a permission on range", "", revoke->role);
    } else if (entry->auth_role_get) {
        error = apply_role_get(server, entry->auth_role_get->role, body);
    } else {
        apply_role_list(server, body);
    }
    return error;
}

bool apply_auth(struct server *server, const Etcdserverpb__InternalRaftRequest *entry,
                enum etcd_error *out_error, struct buf *body)
{
    if (entry->auth_enable || entry->auth_disable) {
        *out_error = apply_switch(server, entry);
    } else if (entry->authenticate) {
        *out_error = apply_authenticate(server, entry, body);
    } else if (entry->auth_status) {
        apply_status(server, body);
    } else if (entry->auth_user_add || entry->auth_user_delete || entry->auth_user_get ||
               entry->auth_user_change_password || entry->auth_user_grant_role ||
               entry->auth_user_revoke_role || entry->auth_user_list) {
        *out_error = apply_user(server, entry, body);
    } else if (entry->auth_role_add || entry->auth_role_delete || entry->auth_role_get ||
               entry->auth_role_grant_permission || entry->auth_role_revoke_permission ||
               entry->auth_role_list) {
        *out_error = apply_role(server, entry, body);
    } else {
        return false;
    }
    return true;
}
