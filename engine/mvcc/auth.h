/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Users, roles and permissions: what the log says of them, as etcd stores it (tables auth,
 * authUsers, authRoles), and who may do what. Pure, for the state thread; nothing here knows
 * tokens or compares passwords.
 * What it guarantees: the same entries give the same bytes on every member, and the same refusals
 * as on members of etcd; with auth disabled everything is allowed.
 */
#ifndef ENGINE_MVCC_AUTH_H
#define ENGINE_MVCC_AUTH_H

#include "auth.pb-c.h"
#include "base/buf.h"
#include "base/bytes.h"
#include "base/defs.h"
#include "base/err.h"
#include "engine/mvcc/store.h"
#include "engine/proto/etcd_error.h"
#include "rpc.pb-c.h"

#define AUTH_ROOT "root" /* the user and the role that may do all */

#define AUTH_META_ENABLED  "authEnabled"  /* one byte */
#define AUTH_META_REVISION "authRevision" /* 8 bytes big-endian */

struct auth; /* opaque */

/*
 * Entries of etcd before 3.5 hold the password itself. Hashes it the same way on every member;
 * false when it cannot be hashed.
 */
typedef bool (*auth_hash_fn)(void *ctx, const char *user, const char *password, struct buf *out);

/* Disabled, without users. */
struct auth *auth_new(auth_hash_fn hash, void *ctx);
void auth_free(struct auth *auth);

/* Replaces all by what the view holds; users and roles live in memory from then on. 0, E_CORRUPT or
 * the store's error. */
BASE_MUST_CHECK int auth_load(struct auth *auth, const struct store_seam *seam,
                              struct store_view *view, struct err *err);

/* In a new store: its first revision, 1. */
void auth_save_first(struct auth *auth, struct store_batch *batch);

bool auth_is_enabled(const struct auth *auth);

/* Moves with each change of users and roles; what was allowed under an older one is asked anew. */
uint64_t auth_revision(const struct auth *auth);

/* ---- who may do what ---- */

/* As the header of a log entry says it: name "" and revision 0 are nobody. The name is borrowed. */
struct auth_who {
    const char *name;
    uint64_t revision;
};

enum auth_access { AUTH_READ, AUTH_WRITE };

/* ETCD_OK, ETCD_ERR_USER_EMPTY, ETCD_ERR_AUTH_OLD_REVISION or ETCD_ERR_PERMISSION_DENIED. */
enum etcd_error auth_check_span(struct auth *auth, const struct auth_who *who,
                                enum auth_access access, struct bytes key, struct bytes range_end);

/* Role root: ETCD_OK, ETCD_ERR_USER_EMPTY, ETCD_ERR_USER_NOT_FOUND or ETCD_ERR_PERMISSION_DENIED.
 */
enum etcd_error auth_check_root(const struct auth *auth, const struct auth_who *who);
bool auth_user_has_role(const struct auth *auth, const char *user, const char *role);

/* ---- reads; borrowed until the next change ---- */

const Authpb__User *auth_user(const struct auth *auth, const char *name);
const Authpb__Role *auth_role(const struct auth *auth, const char *name);
size_t auth_user_count(const struct auth *auth);
const Authpb__User *auth_user_at(const struct auth *auth, size_t index); /* by name */
size_t auth_role_count(const struct auth *auth);
const Authpb__Role *auth_role_at(const struct auth *auth, size_t index);

/* ---- applied from the log ---- */

/* Idempotent; ETCD_ERR_ROOT_USER_NOT_EXIST, ETCD_ERR_ROOT_ROLE_NOT_EXIST. */
enum etcd_error auth_enable(struct auth *auth, struct store_batch *batch);
void auth_disable(struct auth *auth, struct store_batch *batch);

enum etcd_error auth_user_add(struct auth *auth, const Etcdserverpb__AuthUserAddRequest *request,
                              struct store_batch *batch);
enum etcd_error auth_user_delete(struct auth *auth, const char *name, struct store_batch *batch);
enum etcd_error
auth_user_change_password(struct auth *auth,
                          const Etcdserverpb__AuthUserChangePasswordRequest *request,
                          struct store_batch *batch);
enum etcd_error auth_user_grant_role(struct auth *auth, const char *user, const char *role,
                                     struct store_batch *batch);
enum etcd_error auth_user_revoke_role(struct auth *auth, const char *user, const char *role,
                                      struct store_batch *batch);
enum etcd_error auth_role_add(struct auth *auth, const char *name, struct store_batch *batch);
enum etcd_error auth_role_delete(struct auth *auth, const char *name, struct store_batch *batch);
enum etcd_error
auth_role_grant_permission(struct auth *auth,
                           const Etcdserverpb__AuthRoleGrantPermissionRequest *request,
                           struct store_batch *batch);
enum etcd_error auth_role_revoke_permission(struct auth *auth, const char *role, struct bytes key,
                                            struct bytes range_end, struct store_batch *batch);

#endif
