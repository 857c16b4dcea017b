/* SPDX-License-Identifier: Apache-2.0 */
/* What the store holds of auth, and the checks. */
#include "engine/mvcc/auth.h"

#include "base/alloc.h"
#include "engine/mvcc/auth_table.h"
#include "engine/proto/codec.h"

struct auth *auth_new(auth_hash_fn hash, void *ctx)
{
    struct auth *auth = mem_zalloc(sizeof(*auth));
    auth->users.where = STORE_AUTH_USERS;
    auth->users.descriptor = &authpb__user__descriptor;
    auth->roles.where = STORE_AUTH_ROLES;
    auth->roles.descriptor = &authpb__role__descriptor;
    auth->revision = 1;
    auth->unsaved = true;
    auth->hash = hash;
    auth->hash_ctx = ctx;
    return auth;
}

void auth_free(struct auth *auth)
{
    if (auth != NULL) {
        auth_table_clear(&auth->users);
        auth_table_clear(&auth->roles);
        mem_free(auth);
    }
}

int auth_load(struct auth *auth, const struct store_seam *seam, struct store_view *view,
              struct err *err)
{
    struct bytes value;
    int rc = store_view_get_u64(seam, view, STORE_AUTH, bytes_of_str(AUTH_META_REVISION),
                                &auth->revision);
    auth->unsaved = rc == E_NOT_FOUND || (rc == 0 && auth->revision == 0);
    if (auth->unsaved) {
        auth->revision = 1;
    } else if (rc != 0) {
        return err_set(err, rc, "table auth holds no revision that can be read");
    }
    rc = seam->view_get(view, STORE_AUTH, bytes_of_str(AUTH_META_ENABLED), &value);
    if (rc != 0 && rc != E_NOT_FOUND) {
        return err_set(err, rc, "read table auth: %s", err_code_text(rc));
    }
    auth->enabled = rc == 0 && value.size == 1 && value.data[0] == 1;
    rc = auth_table_load(&auth->users, seam, view, err);
    return rc != 0 ? rc : auth_table_load(&auth->roles, seam, view, err);
}

static void save_revision(struct auth *auth, struct store_batch *batch)
{
    uint8_t value[8];
    put_be64(value, auth->revision);
    store_batch_put(batch, STORE_AUTH, bytes_of_str(AUTH_META_REVISION),
                    bytes_of(value, sizeof(value)));
    auth->unsaved = false;
}

void auth_save_first(struct auth *auth, struct store_batch *batch)
{
    if (auth->unsaved) {
        save_revision(auth, batch);
    }
}

void auth_commit(struct auth *auth, struct store_batch *batch)
{
    auth->revision++;
    save_revision(auth, batch);
}

bool auth_is_enabled(const struct auth *auth)
{
    return auth->enabled;
}

uint64_t auth_revision(const struct auth *auth)
{
    return auth->revision;
}

/* ---- reads ---- */

const Authpb__User *auth_user(const struct auth *auth, const char *name)
{
    const struct auth_record *record = auth_table_find(&auth->users, bytes_of_str(name));
    return record == NULL ? NULL : (const Authpb__User *)(const void *)record->message;
}

const Authpb__Role *auth_role(const struct auth *auth, const char *name)
{
    const struct auth_record *record = auth_table_find(&auth->roles, bytes_of_str(name));
    return record == NULL ? NULL : (const Authpb__Role *)(const void *)record->message;
}

size_t auth_user_count(const struct auth *auth)
{
    return auth->users.count;
}

const Authpb__User *auth_user_at(const struct auth *auth, size_t index)
{
    return (const Authpb__User *)(const void *)auth->users.records[index]->message;
}

size_t auth_role_count(const struct auth *auth)
{
    return auth->roles.count;
}

const Authpb__Role *auth_role_at(const struct auth *auth, size_t index)
{
    return (const Authpb__Role *)(const void *)auth->roles.records[index]->message;
}

/* ---- checks ---- */

static bool has_role(const Authpb__User *user, const char *role)
{
    for (size_t i = 0; i < user->n_roles; i++) {
        if (strcmp(user->roles[i], role) == 0) {
            return true;
        }
    }
    return false;
}

bool auth_user_has_role(const struct auth *auth, const char *user, const char *role)
{
    const Authpb__User *found = auth_user(auth, user);
    return found != NULL && has_role(found, role);
}

/* Puts together what the roles of a user allow. */
static void make_perms(struct auth *auth, struct auth_record *record)
{
    const Authpb__User *user = (const Authpb__User *)(const void *)record->message;
    arena_free(&record->perms_arena);
    for (int access = AUTH_READ; access <= AUTH_WRITE; access++) {
        perm_set_free(&record->perms[access]);
    }
    for (size_t i = 0; i < user->n_roles; i++) {
        const Authpb__Role *role = auth_role(auth, user->roles[i]);
        for (size_t k = 0; role != NULL && k < role->n_keypermission; k++) {
            const Authpb__Permission *perm = role->keypermission[k];
            struct bytes key = proto_bytes(perm->key);
            struct bytes range_end = proto_bytes(perm->range_end);
            if (perm->permtype == AUTHPB__PERMISSION__TYPE__READ ||
                perm->permtype == AUTHPB__PERMISSION__TYPE__READWRITE) {
                perm_set_add(&record->perms[AUTH_READ], key, range_end, &record->perms_arena);
            }
            if (perm->permtype == AUTHPB__PERMISSION__TYPE__WRITE ||
                perm->permtype == AUTHPB__PERMISSION__TYPE__READWRITE) {
                perm_set_add(&record->perms[AUTH_WRITE], key, range_end, &record->perms_arena);
            }
        }
    }
    perm_set_finish(&record->perms[AUTH_READ]);
    perm_set_finish(&record->perms[AUTH_WRITE]);
    record->perms_revision = auth->revision;
}

enum etcd_error auth_check_span(struct auth *auth, const struct auth_who *who,
                                enum auth_access access, struct bytes key, struct bytes range_end)
{
    if (!auth->enabled) {
        return ETCD_OK;
    }
    if (who->revision == 0) {
        return ETCD_ERR_USER_EMPTY;
    }
    if (who->revision < auth->revision) {
        return ETCD_ERR_AUTH_OLD_REVISION;
    }
    struct auth_record *record = auth_table_find(&auth->users, bytes_of_str(who->name));
    if (record == NULL) {
        return ETCD_ERR_PERMISSION_DENIED;
    }
    if (has_role((const Authpb__User *)(const void *)record->message, AUTH_ROOT)) {
        return ETCD_OK;
    }
    if (record->perms_revision != auth->revision) {
        make_perms(auth, record);
    }
    return perm_set_holds(&record->perms[access], key, range_end) ? ETCD_OK
                                                                  : ETCD_ERR_PERMISSION_DENIED;
}

enum etcd_error auth_check_root(const struct auth *auth, const struct auth_who *who)
{
    if (!auth->enabled) {
        return ETCD_OK;
    }
    if (*who->name == '\0') {
        return ETCD_ERR_USER_EMPTY;
    }
    const Authpb__User *user = auth_user(auth, who->name);
    if (user == NULL) {
        return ETCD_ERR_USER_NOT_FOUND;
    }
    return has_role(user, AUTH_ROOT) ? ETCD_OK : ETCD_ERR_PERMISSION_DENIED;
}
