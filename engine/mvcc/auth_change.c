/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Changes of users and roles as the log asks for them. Order of checks, what counts as a change and
 * the order inside a record are etcd's, because the bytes and the revision must come out the same.
 */
#include "base/alloc.h"
#include "base/base64.h"
#include "engine/mvcc/auth_table.h"
#include "engine/proto/codec.h"

static struct auth_record *find_user(const struct auth *auth, const char *name)
{
    return auth_table_find(&auth->users, bytes_of_str(name));
}

static const Authpb__User *user_of(const struct auth_record *record)
{
    return (const Authpb__User *)(const void *)record->message;
}

enum etcd_error auth_enable(struct auth *auth, struct store_batch *batch)
{
    static const uint8_t enabled = 1;
    if (auth->enabled) {
        return ETCD_OK;
    }
    const struct auth_record *root = find_user(auth, AUTH_ROOT);
    if (root == NULL) {
        return ETCD_ERR_ROOT_USER_NOT_EXIST;
    }
    if (!auth_user_has_role(auth, AUTH_ROOT, AUTH_ROOT)) {
        return ETCD_ERR_ROOT_ROLE_NOT_EXIST;
    }
    store_batch_put(batch, STORE_AUTH, bytes_of_str(AUTH_META_ENABLED), bytes_of(&enabled, 1));
    auth->enabled = true;
    return ETCD_OK;
}

void auth_disable(struct auth *auth, struct store_batch *batch)
{
    static const uint8_t disabled = 0;
    if (auth->enabled) {
        store_batch_put(batch, STORE_AUTH, bytes_of_str(AUTH_META_ENABLED), bytes_of(&disabled, 1));
        auth_commit(auth, batch);
        auth->enabled = false;
    }
}

/* ---- passwords ---- */

/* The hash to keep: what the member that was asked has made, or of an entry of etcd before 3.5. */
static bool password_hash(const struct auth *auth, const char *user, const char *password,
                          const char *hashed, struct buf *out)
{
    if (*password != '\0' && *hashed == '\0') {
        return auth->hash != NULL && auth->hash(auth->hash_ctx, user, password, out);
    }
    return base64_append_decoded(bytes_of_str(hashed), BASE64_PADDED | BASE64_LINES, out);
}

/* ---- users ---- */

enum etcd_error auth_user_add(struct auth *auth, const Etcdserverpb__AuthUserAddRequest *request,
                              struct store_batch *batch)
{
    Authpb__User user = AUTHPB__USER__INIT;
    Authpb__UserAddOptions options = AUTHPB__USER_ADD_OPTIONS__INIT;
    struct buf hash;
    if (*request->name == '\0') {
        return ETCD_ERR_USER_EMPTY;
    }
    if (find_user(auth, request->name) != NULL) {
        return ETCD_ERR_USER_ALREADY_EXIST;
    }
    options.no_password = request->options != NULL && request->options->no_password;
    buf_init(&hash, BUF_NO_LIMIT);
    if (!options.no_password &&
        !password_hash(auth, request->name, request->password, request->hashedpassword, &hash)) {
        buf_free(&hash);
        return ETCD_ERR_NO_PASSWORD_USER;
    }
    user.name = proto_binary(bytes_of_str(request->name));
    user.password = proto_binary(buf_bytes(&hash));
    user.options = &options;
    auth_table_put(&auth->users, proto_bytes(user.name), &user.base, batch);
    auth_commit(auth, batch);
    buf_free(&hash);
    return ETCD_OK;
}

enum etcd_error auth_user_delete(struct auth *auth, const char *name, struct store_batch *batch)
{
    if (auth->enabled && strcmp(name, AUTH_ROOT) == 0) {
        return ETCD_ERR_INVALID_AUTH_MGMT;
    }
    if (find_user(auth, name) == NULL) {
        return ETCD_ERR_USER_NOT_FOUND;
    }
    auth_table_remove(&auth->users, bytes_of_str(name), batch);
    auth_commit(auth, batch);
    return ETCD_OK;
}

enum etcd_error
auth_user_change_password(struct auth *auth,
                          const Etcdserverpb__AuthUserChangePasswordRequest *request,
                          struct store_batch *batch)
{
    const struct auth_record *record = find_user(auth, request->name);
    struct buf hash;
    if (record == NULL) {
        return ETCD_ERR_USER_NOT_FOUND;
    }
    Authpb__User user = *user_of(record);
    buf_init(&hash, BUF_NO_LIMIT);
    if ((user.options == NULL || !user.options->no_password) &&
        !password_hash(auth, request->name, request->password, request->hashedpassword, &hash)) {
        buf_free(&hash);
        return ETCD_ERR_NO_PASSWORD_USER;
    }
    user.password = proto_binary(buf_bytes(&hash));
    auth_table_put(&auth->users, record->name, &user.base, batch);
    auth_commit(auth, batch);
    buf_free(&hash);
    return ETCD_OK;
}

enum etcd_error auth_user_grant_role(struct auth *auth, const char *name, const char *role,
                                     struct store_batch *batch)
{
    const struct auth_record *record = find_user(auth, name);
    if (record == NULL) {
        return ETCD_ERR_USER_NOT_FOUND;
    }
    if (strcmp(role, AUTH_ROOT) != 0 && auth_role(auth, role) == NULL) {
        return ETCD_ERR_ROLE_NOT_FOUND;
    }
    Authpb__User user = *user_of(record);
    size_t at = 0;
    while (at < user.n_roles && strcmp(user.roles[at], role) < 0) {
        at++;
    }
    if (at < user.n_roles && strcmp(user.roles[at], role) == 0) {
        return ETCD_OK; /* no change: the revision stays */
    }
    char **roles = mem_array(user.n_roles + 1, sizeof(char *));
    if (user.n_roles > 0) {
        memcpy(roles, user.roles, at * sizeof(char *));
        memcpy(roles + at + 1, user.roles + at, (user.n_roles - at) * sizeof(char *));
    }
    roles[at] = (char *)(uintptr_t)role;
    user.roles = roles;
    user.n_roles++;
    auth_table_put(&auth->users, record->name, &user.base, batch);
    auth_commit(auth, batch);
    mem_free(roles);
    return ETCD_OK;
}

/* Takes a role from a user; false when there is none such. */
static bool take_role(struct auth *auth, const struct auth_record *record, const char *role,
                      struct store_batch *batch)
{
    Authpb__User user = *user_of(record);
    size_t had = user.n_roles;
    char **roles = mem_array(had + 1, sizeof(char *));
    user.n_roles = 0;
    for (size_t i = 0; i < had; i++) {
        if (strcmp(user.roles[i], role) != 0) {
            roles[user.n_roles++] = user.roles[i];
        }
    }
    user.roles = roles;
    bool taken = user.n_roles < had;
    if (taken) {
        auth_table_put(&auth->users, record->name, &user.base, batch);
    }
    mem_free(roles);
    return taken;
}

enum etcd_error auth_user_revoke_role(struct auth *auth, const char *name, const char *role,
                                      struct store_batch *batch)
{
    if (auth->enabled && strcmp(name, AUTH_ROOT) == 0 && strcmp(role, AUTH_ROOT) == 0) {
        return ETCD_ERR_INVALID_AUTH_MGMT;
    }
    const struct auth_record *record = find_user(auth, name);
    if (record == NULL) {
        return ETCD_ERR_USER_NOT_FOUND;
    }
    if (!take_role(auth, record, role, batch)) {
        return ETCD_ERR_ROLE_NOT_GRANTED;
    }
    auth_commit(auth, batch);
    return ETCD_OK;
}

/* ---- roles ---- */

enum etcd_error auth_role_add(struct auth *auth, const char *name, struct store_batch *batch)
{
    Authpb__Role role = AUTHPB__ROLE__INIT;
    if (*name == '\0') {
        return ETCD_ERR_ROLE_EMPTY;
    }
    if (auth_role(auth, name) != NULL) {
        return ETCD_ERR_ROLE_ALREADY_EXIST;
    }
    role.name = proto_binary(bytes_of_str(name));
    auth_table_put(&auth->roles, bytes_of_str(name), &role.base, batch);
    auth_commit(auth, batch);
    return ETCD_OK;
}

enum etcd_error auth_role_delete(struct auth *auth, const char *name, struct store_batch *batch)
{
    if (auth->enabled && strcmp(name, AUTH_ROOT) == 0) {
        return ETCD_ERR_INVALID_AUTH_MGMT;
    }
    if (auth_role(auth, name) == NULL) {
        return ETCD_ERR_ROLE_NOT_FOUND;
    }
    auth_table_remove(&auth->roles, bytes_of_str(name), batch);
    for (size_t i = 0; i < auth->users.count; i++) { /* their records change places with none */
        (void)take_role(auth, auth->users.records[i], name, batch);
    }
    auth_commit(auth, batch);
    return ETCD_OK;
}

static bool is_valid_run(struct bytes key, struct bytes range_end)
{
    bool is_open = range_end.size == 1 && range_end.data[0] == 0;
    return key.size > 0 && (range_end.size == 0 || is_open || bytes_compare(key, range_end) < 0);
}

/* perms with one more, behind those whose key is not greater. */
static void insert_perm(Authpb__Role *role, Authpb__Permission *perm)
{
    size_t at = role->n_keypermission;
    while (at > 0 && bytes_compare(proto_bytes(role->keypermission[at - 1]->key),
                                   proto_bytes(perm->key)) > 0) {
        role->keypermission[at] = role->keypermission[at - 1];
        at--;
    }
    role->keypermission[at] = perm;
    role->n_keypermission++;
}

enum etcd_error
auth_role_grant_permission(struct auth *auth,
                           const Etcdserverpb__AuthRoleGrantPermissionRequest *request,
                           struct store_batch *batch)
{
    if (request->perm == NULL) {
        return ETCD_ERR_PERMISSION_NOT_GIVEN;
    }
    struct bytes key = proto_bytes(request->perm->key);
    struct bytes range_end = proto_bytes(request->perm->range_end);
    if (!is_valid_run(key, range_end)) {
        return ETCD_ERR_INVALID_AUTH_MGMT;
    }
    const Authpb__Role *present = auth_role(auth, request->name);
    if (present == NULL) {
        return ETCD_ERR_ROLE_NOT_FOUND;
    }
    Authpb__Role role = *present;
    Authpb__Permission perm = *request->perm;
    role.keypermission = mem_array(present->n_keypermission + 1, sizeof(Authpb__Permission *));
    for (size_t i = 0; i < role.n_keypermission; i++) {
        role.keypermission[i] = present->keypermission[i];
    }
    size_t at = 0;
    while (at < role.n_keypermission &&
           bytes_compare(proto_bytes(role.keypermission[at]->key), key) < 0) {
        at++;
    }
    /* Only the first of that key is looked at, as in etcd. */
    if (at < role.n_keypermission && bytes_equal(proto_bytes(role.keypermission[at]->key), key) &&
        bytes_equal(proto_bytes(role.keypermission[at]->range_end), range_end)) {
        role.keypermission[at] = &perm;
    } else {
        insert_perm(&role, &perm);
    }
    auth_table_put(&auth->roles, proto_bytes(role.name), &role.base, batch);
    auth_commit(auth, batch);
    mem_free(role.keypermission);
    return ETCD_OK;
}

enum etcd_error auth_role_revoke_permission(struct auth *auth, const char *name, struct bytes key,
                                            struct bytes range_end, struct store_batch *batch)
{
    const Authpb__Role *present = auth_role(auth, name);
    if (present == NULL) {
        return ETCD_ERR_ROLE_NOT_FOUND;
    }
    Authpb__Role role = *present;
    role.keypermission = mem_array(present->n_keypermission + 1, sizeof(Authpb__Permission *));
    role.n_keypermission = 0;
    for (size_t i = 0; i < present->n_keypermission; i++) {
        Authpb__Permission *perm = present->keypermission[i];
        if (!bytes_equal(proto_bytes(perm->key), key) ||
            !bytes_equal(proto_bytes(perm->range_end), range_end)) {
            role.keypermission[role.n_keypermission++] = perm;
        }
    }
    bool taken = role.n_keypermission < present->n_keypermission;
    if (taken) {
        auth_table_put(&auth->roles, proto_bytes(role.name), &role.base, batch);
        auth_commit(auth, batch);
    }
    mem_free(role.keypermission);
    return taken ? ETCD_OK : ETCD_ERR_PERMISSION_NOT_GRANTED;
}
