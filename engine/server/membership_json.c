/* SPDX-License-Identifier: Apache-2.0 */
/* Members as JSON: rows of the tables, contexts of membership changes, the peer port's list. */
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/json.h"
#include "engine/server/membership_impl.h"

#define KEY_VERSION   "clusterVersion"
#define KEY_DOWNGRADE "downgrade"
#define VALUE_REMOVED "removed"

/* Shortest run of digits that may not fit in a signed 64-bit number. */
#define BIG_NUMBER_DIGITS 19u

void id_write(uint64_t id, char out[ID_TEXT_BYTES])
{
    (void)snprintf(out, ID_TEXT_BYTES, "%llx", (unsigned long long)id);
}

bool id_read(struct bytes text, uint64_t *out_id)
{
    if (text.size == 0 || text.size > 16) {
        return false;
    }
    uint64_t id = 0;
    for (size_t i = 0; i < text.size; i++) {
        char c = (char)text.data[i];
        unsigned digit = 0;
        if (c >= '0' && c <= '9') {
            digit = (unsigned)(c - '0');
        } else if (c >= 'a' && c <= 'f') {
            digit = (unsigned)(c - 'a') + 10;
        } else if (c >= 'A' && c <= 'F') {
            digit = (unsigned)(c - 'A') + 10;
        } else {
            return false;
        }
        id = id << 4 | digit;
    }
    *out_id = id;
    return true;
}

/* ---- writing ---- */

static void urls_write(const struct url_list *list, struct buf *out)
{
    buf_append_byte(out, '[');
    for (size_t i = 0; i < list->count; i++) {
        if (i > 0) {
            buf_append_byte(out, ',');
        }
        json_write_string(list->urls[i], strlen(list->urls[i]), out);
    }
    buf_append_byte(out, ']');
}

void member_json_write(const struct member *member, struct buf *out)
{
    buf_printf(out, "{\"id\":%llu,\"peerURLs\":", (unsigned long long)member->id);
    urls_write(&member->peer_urls, out);
    if (member->is_learner) {
        buf_append_str(out, ",\"isLearner\":true");
    }
    if (member->name[0] != '\0') {
        buf_append_str(out, ",\"name\":");
        json_write_string(member->name, strlen(member->name), out);
    }
    if (member->client_urls.count > 0) {
        buf_append_str(out, ",\"clientURLs\":");
        urls_write(&member->client_urls, out);
    }
    buf_append_byte(out, '}');
}

void membership_promote_context(uint64_t id, struct buf *out)
{
    buf_printf(out, "{\"id\":%llu,\"peerURLs\":null,\"isPromote\":true}", (unsigned long long)id);
}

void membership_members_json(const struct membership *membership, struct buf *out)
{
    buf_append_byte(out, '[');
    for (size_t i = 0; i < membership->member_count; i++) {
        if (i > 0) {
            buf_append_byte(out, ',');
        }
        member_json_write(&membership->members[i], out);
    }
    buf_append_byte(out, ']');
}

/* ---- reading ---- */

/* Absent and null are the empty list; anything but strings is an error. */
static int urls_read(const struct json *object, const char *key, struct url_list *out_list)
{
    const struct json *value = json_get(object, key);
    *out_list = (struct url_list){0};
    if (json_type_of(value) == JSON_NULL) {
        return 0;
    }
    if (!json_is(value, JSON_ARRAY)) {
        return E_CORRUPT;
    }
    for (size_t i = 0; i < json_count(value); i++) {
        const char *url = json_str(json_at(value, i), NULL);
        if (url == NULL) {
            url_list_free(out_list);
            return E_CORRUPT;
        }
        url_list_add(out_list, url);
    }
    return 0;
}

/* Reads what stands in both the raft attributes and the attributes. */
static int member_fields_read(const struct json *object, uint64_t id, struct member *out_member)
{
    struct member member = {.id = id, .name = str_dup(json_str(json_get(object, "name"), ""))};
    member.is_learner = json_truth(json_get(object, "isLearner"), false);
    int rc = json_is(object, JSON_OBJECT) ? 0 : E_CORRUPT;
    if (rc == 0) {
        rc = urls_read(object, "peerURLs", &member.peer_urls);
    }
    if (rc == 0) {
        rc = urls_read(object, "clientURLs", &member.client_urls);
    }
    if (rc != 0) {
        member_clear(&member);
        return rc;
    }
    *out_member = member;
    return 0;
}

int member_json_read(struct bytes json, uint64_t id, struct member *out_member, struct err *err)
{
    struct json *object = json_parse((const char *)json.data, json.size, err);
    if (object == NULL) {
        return E_CORRUPT;
    }
    int rc = member_fields_read(object, id, out_member);
    json_free(object);
    if (rc != 0) {
        return err_set(err, rc, "the JSON of member %llx is not a member's",
                       (unsigned long long)id);
    }
    return 0;
}

/*
 * Ids are unsigned 64-bit numbers and half of them do not fit a signed one: long numbers are put in
 * quotes before the text is parsed.
 */
static void big_numbers_quote(struct bytes json, struct buf *out)
{
    bool in_string = false;
    for (size_t i = 0; i < json.size;) {
        char c = (char)json.data[i];
        size_t digits = 0;
        while (!in_string && i + digits < json.size && json.data[i + digits] >= '0' &&
               json.data[i + digits] <= '9') {
            digits++;
        }
        if (digits >= BIG_NUMBER_DIGITS) {
            buf_append_byte(out, '"');
            buf_append(out, json.data + i, digits);
            buf_append_byte(out, '"');
            i += digits;
            continue;
        }
        if (c == '\\' && in_string && i + 1 < json.size) {
            buf_append(out, json.data + i, 2);
            i += 2;
            continue;
        }
        if (c == '"') {
            in_string = !in_string;
        }
        buf_append_byte(out, json.data[i]);
        i++;
    }
}

static bool json_id(const struct json *value, uint64_t *out_id)
{
    if (json_is(value, JSON_INT) && json_i64(value, -1) >= 0) {
        *out_id = (uint64_t)json_i64(value, 0);
        return true;
    }
    const char *text = json_str(value, NULL);
    if (text == NULL || strlen(text) > 20) {
        return false;
    }
    uint64_t id = 0;
    for (const char *at = text; *at != '\0'; at++) {
        unsigned digit = (unsigned)(*at - '0');
        if (*at < '0' || *at > '9' || id > (UINT64_MAX - digit) / 10) {
            return false;
        }
        id = id * 10 + digit;
    }
    *out_id = id;
    return text[0] != '\0';
}

static int members_read(const struct json *array, struct membership *membership)
{
    for (size_t i = 0; i < json_count(array); i++) {
        const struct json *object = json_at(array, i);
        uint64_t id = 0;
        struct member member;
        if (!json_id(json_get(object, "id"), &id) || id == 0 ||
            membership_find(membership, id) != NULL ||
            member_fields_read(object, id, &member) != 0) {
            return E_CORRUPT;
        }
        membership_insert(membership, member);
    }
    return 0;
}

int membership_parse_members(struct bytes json, struct membership **out_membership, struct err *err)
{
    struct buf quoted;
    buf_init(&quoted, BUF_NO_LIMIT);
    big_numbers_quote(json, &quoted);
    struct json *array = json_parse((const char *)quoted.data, quoted.size, err);
    buf_free(&quoted);
    if (!json_is(array, JSON_ARRAY)) {
        json_free(array);
        return err_set(err, E_CORRUPT, "the list of members is not a JSON array");
    }
    struct membership *membership = membership_new(MEMBERSHIP_LEARNERS_DEFAULT);
    int rc = members_read(array, membership);
    json_free(array);
    if (rc != 0) {
        membership_free(membership);
        return err_set(err, rc, "the list of members holds something that is none");
    }
    *out_membership = membership;
    return 0;
}

int membership_change_parse(const struct raftpb_conf_change *wire,
                            struct membership_change *out_change, struct err *err)
{
    struct membership_change change = {.type = wire->type, .id = wire->node_id};
    switch (wire->type) {
    case RAFT_CONF_REMOVE_NODE:
        break;
    case RAFT_CONF_ADD_NODE:
    case RAFT_CONF_ADD_LEARNER:
    case RAFT_CONF_UPDATE_NODE: {
        struct json *object = json_parse((const char *)wire->context.data, wire->context.size, err);
        if (object == NULL || member_fields_read(object, wire->node_id, &change.member) != 0) {
            json_free(object);
            return err_set(err, E_CORRUPT,
                           "the membership change of member %llx has an unreadable context",
                           (unsigned long long)wire->node_id);
        }
        change.is_promote =
            wire->type != RAFT_CONF_UPDATE_NODE && json_truth(json_get(object, "isPromote"), false);
        json_free(object);
        break;
    }
    default:
        return err_set(err, E_CORRUPT, "membership change of unknown type %d", (int)wire->type);
    }
    *out_change = change;
    return 0;
}

void membership_change_clear(struct membership_change *change)
{
    member_clear(&change->member);
    *change = (struct membership_change){0};
}

/* ---- tables ---- */

void member_store(const struct member *member, struct store_batch *batch)
{
    char key[ID_TEXT_BYTES];
    id_write(member->id, key);
    struct buf value;
    buf_init(&value, BUF_NO_LIMIT);
    member_json_write(member, &value);
    store_batch_put(batch, STORE_MEMBERS, bytes_of_str(key), buf_bytes(&value));
    buf_free(&value);
}

void member_store_removed(uint64_t id, struct store_batch *batch)
{
    char key[ID_TEXT_BYTES];
    id_write(id, key);
    store_batch_remove(batch, STORE_MEMBERS, bytes_of_str(key));
    store_batch_put(batch, STORE_MEMBERS_REMOVED, bytes_of_str(key), bytes_of_str(VALUE_REMOVED));
}

void version_store(const struct membership *membership, struct store_batch *batch)
{
    store_batch_put(batch, STORE_CLUSTER, bytes_of_str(KEY_VERSION),
                    bytes_of_str(membership->version));
}

void downgrade_store(const struct membership *membership, struct store_batch *batch)
{
    struct buf value;
    buf_init(&value, BUF_NO_LIMIT);
    buf_append_str(&value, "{\"target-version\":");
    json_write_string(membership->downgrade_target, strlen(membership->downgrade_target), &value);
    buf_printf(&value, ",\"enabled\":%s}", membership->downgrade_is_enabled ? "true" : "false");
    store_batch_put(batch, STORE_CLUSTER, bytes_of_str(KEY_DOWNGRADE), buf_bytes(&value));
    buf_free(&value);
}

void membership_store(const struct membership *membership, struct store_batch *batch)
{
    for (size_t i = 0; i < membership->member_count; i++) {
        member_store(&membership->members[i], batch);
    }
    for (size_t i = 0; i < membership->removed_count; i++) {
        member_store_removed(membership->removed[i], batch);
    }
    if (membership->version[0] != '\0') {
        version_store(membership, batch);
    }
    if (membership->downgrade_is_enabled || membership->downgrade_target[0] != '\0') {
        downgrade_store(membership, batch);
    }
}

typedef int (*row_fn)(struct membership *membership, const struct store_item *row, struct err *err);

static int row_member(struct membership *membership, const struct store_item *row, struct err *err)
{
    uint64_t id = 0;
    struct member member;
    if (!id_read(row->key, &id) || membership_find(membership, id) != NULL) {
        return err_set(err, E_CORRUPT, "table members holds a key that is no member id");
    }
    int rc = member_json_read(row->value, id, &member, err);
    if (rc == 0) {
        membership_insert(membership, member);
    }
    return rc;
}

static int row_removed(struct membership *membership, const struct store_item *row, struct err *err)
{
    uint64_t id = 0;
    if (!id_read(row->key, &id)) {
        return err_set(err, E_CORRUPT, "table members_removed holds a key that is no member id");
    }
    membership_mark_removed(membership, id);
    return 0;
}

static int row_cluster(struct membership *membership, const struct store_item *row, struct err *err)
{
    int rc = 0;
    if (bytes_equal(row->key, bytes_of_str(KEY_VERSION))) {
        char *version = str_from(row->value.data, row->value.size);
        rc = membership_set_version(membership, version, NULL);
        mem_free(version);
    } else if (bytes_equal(row->key, bytes_of_str(KEY_DOWNGRADE))) {
        struct json *object = json_parse((const char *)row->value.data, row->value.size, err);
        rc = json_is(object, JSON_OBJECT) ? 0 : E_CORRUPT;
        membership_set_downgrade(membership, json_truth(json_get(object, "enabled"), false),
                                 json_str(json_get(object, "target-version"), ""), NULL);
        json_free(object);
    }
    return rc == 0 ? 0 : err_set(err, E_CORRUPT, "table cluster holds an unreadable row");
}

static int table_read(struct membership *membership, const struct store_seam *seam,
                      struct store_view *view, enum store_table table, row_fn read, struct err *err)
{
    static const uint8_t first_key[1] = {0};
    struct store_item row;
    int rc = seam->view_seek(view, table, bytes_of(first_key, sizeof(first_key)), &row);
    while (rc == 0) {
        rc = read(membership, &row, err);
        if (rc != 0) {
            return rc;
        }
        rc = seam->view_next(view, table, &row);
    }
    return rc == E_NOT_FOUND ? 0
                             : err_set(err, rc, "table %s cannot be read", store_table_name(table));
}

int membership_load(struct membership *membership, const struct store_seam *seam,
                    struct store_view *view, struct err *err)
{
    membership_clear(membership);
    int rc = table_read(membership, seam, view, STORE_MEMBERS, row_member, err);
    if (rc == 0) {
        rc = table_read(membership, seam, view, STORE_MEMBERS_REMOVED, row_removed, err);
    }
    if (rc == 0) {
        rc = table_read(membership, seam, view, STORE_CLUSTER, row_cluster, err);
    }
    if (rc != 0) {
        membership_clear(membership);
    }
    return rc;
}
