/* SPDX-License-Identifier: Apache-2.0 */
/* The rules of the table, carried out on messages of any kind. */
#include <string.h>

#include "base/alloc.h"
#include "engine/server/authz.h"

static const void *member_of(const ProtobufCMessage *message, const char *field)
{
    const ProtobufCFieldDescriptor *found =
        protobuf_c_message_descriptor_get_field_by_name(message->descriptor, field);
    ASSERT(found != NULL); /* the table names it */
    return (const uint8_t *)message + found->offset;
}

static struct bytes bytes_in(const ProtobufCMessage *message, const char *field)
{
    if (field == NULL) {
        return (struct bytes){NULL, 0};
    }
    return proto_bytes(*(const ProtobufCBinaryData *)member_of(message, field));
}

static const char *text_in(const ProtobufCMessage *message, const char *field)
{
    return *(const char *const *)member_of(message, field);
}

/* Booleans and enumerations. */
static bool is_set(const ProtobufCMessage *message, const char *field)
{
    return *(const int *)member_of(message, field) != 0;
}

enum etcd_error authz_user(const struct authz *authz)
{
    if (!auth_is_enabled(authz->auth)) {
        return ETCD_OK;
    }
    if (!authz->is_known || *authz->who.name == '\0') {
        return ETCD_ERR_USER_EMPTY;
    }
    return auth_user(authz->auth, authz->who.name) != NULL ? ETCD_OK : ETCD_ERR_PERMISSION_DENIED;
}

/* The keys of one lease; a lease that is not there has none. Root is asked nothing more. */
static enum etcd_error check_lease(const struct authz *authz, int64_t id, enum auth_access access)
{
    struct arena arena;
    struct bytes *keys;
    size_t count;
    enum etcd_error error = ETCD_OK;
    if (auth_check_root(authz->auth, &authz->who) == ETCD_OK) {
        return ETCD_OK;
    }
    arena_init(&arena, BUF_NO_LIMIT);
    if (lessor_keys(authz->lessor, id, &arena, &keys, &count) == ETCD_OK) {
        for (size_t i = 0; i < count && error == ETCD_OK; i++) {
            error =
                auth_check_span(authz->auth, &authz->who, access, keys[i], (struct bytes){NULL, 0});
        }
    }
    arena_free(&arena);
    return error;
}

static enum etcd_error check_all_leases(const struct authz *authz)
{
    struct arena arena;
    int64_t *ids;
    size_t count;
    enum etcd_error error = ETCD_OK;
    if (auth_check_root(authz->auth, &authz->who) == ETCD_OK) {
        return ETCD_OK;
    }
    arena_init(&arena, BUF_NO_LIMIT);
    lessor_list(authz->lessor, &arena, &ids, &count);
    for (size_t i = 0; i < count && error == ETCD_OK; i++) {
        error = check_lease(authz, ids[i], AUTH_READ);
    }
    arena_free(&arena);
    return error;
}

static enum etcd_error check_run(const struct authz *authz, const struct authz_rule *rule,
                                 const ProtobufCMessage *message, enum auth_access access)
{
    static const uint8_t smallest = 0;
    struct bytes key = bytes_in(message, rule->field);
    if (key.size == 0 && rule->message == &etcdserverpb__watch_create_request__descriptor) {
        key = bytes_of(&smallest, 1); /* all keys from the first on */
    }
    return auth_check_span(authz->auth, &authz->who, access, key, bytes_in(message, rule->end));
}

static enum etcd_error check_rule(const struct authz *authz, const struct authz_rule *rule,
                                  const ProtobufCMessage *message)
{
    if (rule->only_if != NULL && !is_set(message, rule->only_if)) {
        return ETCD_OK;
    }
    enum etcd_error error;
    switch (rule->right) {
    case RIGHT_NONE:
    case RIGHT_PARTS:
        return ETCD_OK;
    case RIGHT_USER:
        return authz_user(authz);
    case RIGHT_ROOT:
        return is_set(message, rule->field) ? auth_check_root(authz->auth, &authz->who) : ETCD_OK;
    case RIGHT_READ:
        return check_run(authz, rule, message, AUTH_READ);
    case RIGHT_WRITE:
        return check_run(authz, rule, message, AUTH_WRITE);
    case RIGHT_LEASE_READ:
        return check_lease(authz, *(const int64_t *)member_of(message, rule->field), AUTH_READ);
    case RIGHT_LEASE_WRITE:
        return check_lease(authz, *(const int64_t *)member_of(message, rule->field), AUTH_WRITE);
    case RIGHT_LEASES_READ:
        return check_all_leases(authz);
    case RIGHT_SELF:
        error = auth_check_root(authz->auth, &authz->who);
        return strcmp(text_in(message, rule->field), authz->who.name) == 0 ? ETCD_OK : error;
    case RIGHT_OWN_ROLE:
        error = auth_check_root(authz->auth, &authz->who);
        return auth_user_has_role(authz->auth, authz->who.name, text_in(message, rule->field))
                   ? ETCD_OK
                   : error;
    }
    return ETCD_ERR_PERMISSION_DENIED;
}

/* The messages that a field holds; of a oneof the one that is there. */
static size_t parts_of(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field,
                       const ProtobufCMessage *const **out_parts)
{
    const uint8_t *base = (const uint8_t *)message;
    const void *member = base + field->offset;
    if (field->type != PROTOBUF_C_TYPE_MESSAGE) {
        return 0;
    }
    if (field->label == PROTOBUF_C_LABEL_REPEATED) {
        *out_parts = *(const ProtobufCMessage *const *const *)member;
        return *(const size_t *)(const void *)(base + field->quantifier_offset);
    }
    if ((field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0 &&
        *(const uint32_t *)(const void *)(base + field->quantifier_offset) != field->id) {
        return 0;
    }
    *out_parts = member;
    return **out_parts != NULL ? 1 : 0;
}

enum etcd_error authz_message(const struct authz *authz, const ProtobufCMessage *message)
{
    bool has_rule = false;
    for (size_t i = 0; i < AUTHZ_RULE_COUNT; i++) {
        if (AUTHZ_RULES[i].message == message->descriptor) {
            enum etcd_error error = check_rule(authz, &AUTHZ_RULES[i], message);
            if (error != ETCD_OK) {
                return error;
            }
            has_rule = true;
        }
    }
    if (!has_rule) {
        return ETCD_ERR_PERMISSION_DENIED;
    }
    for (unsigned f = 0; f < message->descriptor->n_fields; f++) {
        const ProtobufCMessage *const *parts;
        size_t count = parts_of(message, &message->descriptor->fields[f], &parts);
        for (size_t i = 0; i < count; i++) {
            enum etcd_error error = authz_message(authz, parts[i]);
            if (error != ETCD_OK) {
                return error;
            }
        }
    }
    return ETCD_OK;
}

enum etcd_error authz_entry(const struct authz *authz,
                            const Etcdserverpb__InternalRaftRequest *entry)
{
    if (!auth_is_enabled(authz->auth)) {
        return ETCD_OK;
    }
    for (size_t i = 0; i < AUTHZ_ENTRY_COUNT; i++) {
        const ProtobufCFieldDescriptor *field =
            protobuf_c_message_descriptor_get_field(entry->base.descriptor, AUTHZ_ENTRIES[i].field);
        const ProtobufCMessage *const *part;
        if (field == NULL || parts_of(&entry->base, field, &part) == 0) {
            continue;
        }
        switch (AUTHZ_ENTRIES[i].need) {
        case AUTHZ_NOTHING:
            return ETCD_OK;
        case AUTHZ_ROOT:
            return auth_check_root(authz->auth, &authz->who);
        case AUTHZ_FIELDS:
            return authz_message(authz, *part);
        default:
            return ETCD_ERR_PERMISSION_DENIED;
        }
    }
    return ETCD_ERR_PERMISSION_DENIED;
}
