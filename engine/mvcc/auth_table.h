/* SPDX-License-Identifier: Apache-2.0 */
/* Users or roles in memory, by name, and their rows in the store. Private to auth*.c. */
#ifndef ENGINE_MVCC_AUTH_TABLE_H
#define ENGINE_MVCC_AUTH_TABLE_H

#include "engine/mvcc/auth.h"
#include "engine/mvcc/auth_perm.h"

/* One user or role; message is an Authpb__User or an Authpb__Role in arena. */
struct auth_record {
    struct arena arena;
    struct bytes name;
    const ProtobufCMessage *message;
    /* Of users: what their roles allow, made when first asked under an auth revision. */
    uint64_t perms_revision; /* 0: not made */
    struct arena perms_arena;
    struct perm_set perms[2]; /* by enum auth_access */
};

struct auth_table {
    enum store_table where;
    const ProtobufCMessageDescriptor *descriptor;
    struct auth_record **records; /* by name */
    size_t count, capacity;
};

struct auth {
    struct auth_table users, roles;
    bool enabled;
    bool unsaved; /* the first revision is not in the store */
    uint64_t revision;
    auth_hash_fn hash;
    void *hash_ctx;
};

void auth_table_clear(struct auth_table *table);
struct auth_record *auth_table_find(const struct auth_table *table, struct bytes name);

/* Puts message in place of what has that name, in memory and in the batch (NULL: memory alone). */
void auth_table_put(struct auth_table *table, struct bytes name, const ProtobufCMessage *message,
                    struct store_batch *batch);
void auth_table_remove(struct auth_table *table, struct bytes name, struct store_batch *batch);
BASE_MUST_CHECK int auth_table_load(struct auth_table *table, const struct store_seam *seam,
                                    struct store_view *view, struct err *err);

/* The next revision, in memory and in the batch. */
void auth_commit(struct auth *auth, struct store_batch *batch);

#endif
