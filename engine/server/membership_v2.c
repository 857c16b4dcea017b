/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The v2-store JSON: a tree of nodes under "/", of which directory "/0" is the cluster's: members
 * with their attributes as JSON in strings, removed ids, version. It is what .snap files and
 * MsgSnap carry, and what members before 3.7 take the membership from.
 */
#include <stdlib.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/json.h"
#include "engine/server/membership_impl.h"

#define NEVER_EXPIRES        "0001-01-01T00:00:00Z"
#define EVENT_QUEUE_CAPACITY 1000u
#define PATH_MEMBERS         "/0/members/"
#define NAME_ATTRIBUTES      "attributes"
#define NAME_RAFT_ATTRIBUTES "raftAttributes"

/* ---- writing ---- */

/* Adds an empty node under its parent's path and gives it. Children come later, or stay null. */
static struct json *node_add(struct json *parent, const char *name, int64_t index,
                             const char *value)
{
    const char *parent_path = json_str(json_get(parent, "Path"), "/");
    struct json *node = json_object();
    json_set(node, "Path",
             json_stringf("%s/%s", str_equal(parent_path, "/") ? "" : parent_path, name));
    json_set_int(node, "CreatedIndex", index);
    json_set_int(node, "ModifiedIndex", index);
    json_set_str(node, "ExpireTime", NEVER_EXPIRES);
    json_set_str(node, "Value", value);
    json_set(node, "Children", json_null());
    json_set(json_ensure_object(parent, "Children"), name, node);
    return node;
}

static struct json *directory_add(struct json *parent, const char *name, int64_t index)
{
    struct json *node = node_add(parent, name, index, "");
    json_ensure_object(node, "Children");
    return node;
}

static struct json *urls_json(const struct url_list *list)
{
    struct json *array = json_array();
    for (size_t i = 0; i < list->count; i++) {
        json_append(array, json_string(list->urls[i]));
    }
    return array;
}

static void leaf_add(struct json *parent, const char *name, int64_t index, struct json *value)
{
    char *text = json_text(value, JSON_COMPACT);
    node_add(parent, name, index, text);
    mem_free(text);
    json_free(value);
}

static void member_add(struct json *members, const struct member *member, int64_t index)
{
    char id[ID_TEXT_BYTES];
    id_write(member->id, id);
    struct json *directory = directory_add(members, id, index);
    if (member->name[0] != '\0' || member->client_urls.count > 0) {
        struct json *attributes = json_object();
        if (member->name[0] != '\0') {
            json_set_str(attributes, "name", member->name);
        }
        if (member->client_urls.count > 0) {
            json_set(attributes, "clientURLs", urls_json(&member->client_urls));
        }
        leaf_add(directory, NAME_ATTRIBUTES, index, attributes);
    }
    struct json *raft_attributes = json_object();
    json_set(raft_attributes, "peerURLs", urls_json(&member->peer_urls));
    if (member->is_learner) {
        json_set_bool(raft_attributes, "isLearner", true);
    }
    leaf_add(directory, NAME_RAFT_ATTRIBUTES, index, raft_attributes);
}

/* etcd writes into the slots of the queue later, so all of them must be there. */
static struct json *watcher_hub(void)
{
    struct json *events = json_array();
    for (size_t i = 0; i < EVENT_QUEUE_CAPACITY; i++) {
        json_append(events, json_null());
    }
    struct json *queue = json_object();
    json_set(queue, "Events", events);
    json_set_int(queue, "Size", 0);
    json_set_int(queue, "Front", 0);
    json_set_int(queue, "Back", 0);
    json_set_int(queue, "Capacity", EVENT_QUEUE_CAPACITY);
    struct json *history = json_object();
    json_set(history, "Queue", queue);
    json_set_int(history, "StartIndex", 0);
    json_set_int(history, "LastIndex", 0);
    struct json *hub = json_object();
    json_set(hub, "EventHistory", history);
    return hub;
}

static struct json *stats(void)
{
    static const char *const NAMES[] = {
        "getsSuccess",
        "getsFail",
        "setsSuccess",
        "setsFail",
        "deleteSuccess",
        "deleteFail",
        "updateSuccess",
        "updateFail",
        "createSuccess",
        "createFail",
        "compareAndSwapSuccess",
        "compareAndSwapFail",
        "compareAndDeleteSuccess",
        "compareAndDeleteFail",
        "expireCount",
        "watchers",
    };
    struct json *object = json_object();
    for (size_t i = 0; i < ARRAY_COUNT(NAMES); i++) {
        json_set_int(object, NAMES[i], 0);
    }
    return object;
}

void membership_v2_encode(const struct membership *membership, struct buf *out)
{
    struct json *root = json_object();
    json_set_str(root, "Path", "/");
    json_set_int(root, "CreatedIndex", 0);
    json_set_int(root, "ModifiedIndex", 0);
    json_set_str(root, "ExpireTime", NEVER_EXPIRES);
    json_set_str(root, "Value", "");
    struct json *cluster = directory_add(root, "0", 0);
    int64_t index = 0;
    struct json *members = directory_add(cluster, "members", 1);
    for (size_t i = 0; i < membership->member_count; i++) {
        member_add(members, &membership->members[i], ++index);
    }
    if (membership->removed_count > 0) {
        struct json *removed = directory_add(cluster, "removed_members", ++index);
        for (size_t i = 0; i < membership->removed_count; i++) {
            char id[ID_TEXT_BYTES];
            id_write(membership->removed[i], id);
            node_add(removed, id, index, "");
        }
    }
    if (membership->version[0] != '\0') {
        node_add(cluster, "version", ++index, membership->version);
    }
    directory_add(root, "1", 0);
    struct json *store = json_object();
    json_set(store, "Root", root);
    json_set(store, "WatcherHub", watcher_hub());
    json_set_int(store, "CurrentIndex", index);
    json_set(store, "Stats", stats());
    json_set_int(store, "CurrentVersion", 2);
    json_write(store, JSON_COMPACT, out);
    json_free(store);
}

/* ---- reading ---- */

static const struct json *child(const struct json *node, const char *name)
{
    return json_get(json_get(node, "Children"), name);
}

/* The JSON in a node's value, made into an object, or NULL. */
static struct json *node_value(const struct json *node)
{
    const char *text = json_str(json_get(node, "Value"), NULL);
    return text == NULL ? NULL : json_parse(text, strlen(text), NULL);
}

/* Copies a field from one object to another. */
static void field_copy(struct json *to, const struct json *from, const char *key)
{
    if (json_get(from, key) != NULL) {
        json_set(to, key, json_copy(json_get(from, key)));
    }
}

/* Puts both attribute leaves into the one object that a member's JSON is. */
static int member_read(const struct json *directory, uint64_t id, struct member *out_member,
                       struct err *err)
{
    struct json *merged = node_value(child(directory, NAME_RAFT_ATTRIBUTES));
    if (!json_is(merged, JSON_OBJECT)) {
        json_free(merged);
        return err_set(err, E_CORRUPT, "member %llx has no raft attributes",
                       (unsigned long long)id);
    }
    struct json *attributes = node_value(child(directory, NAME_ATTRIBUTES));
    field_copy(merged, attributes, "name");
    field_copy(merged, attributes, "clientURLs");
    char *text = json_text(merged, JSON_COMPACT);
    int rc = member_json_read(bytes_of_str(text), id, out_member, err);
    mem_free(text);
    json_free(attributes);
    json_free(merged);
    return rc;
}

static int members_read(struct membership *membership, const struct json *members, struct err *err)
{
    const struct json *children = json_get(members, "Children");
    for (size_t i = 0; i < json_count(children); i++) {
        uint64_t id = 0;
        struct member member;
        if (!id_read(bytes_of_str(json_key_at(children, i)), &id) ||
            membership_find(membership, id) != NULL) {
            return err_set(err, E_CORRUPT, "\"%s\" is no member id", json_key_at(children, i));
        }
        int rc = member_read(json_at(children, i), id, &member, err);
        if (rc != 0) {
            return rc;
        }
        membership_insert(membership, member);
    }
    return 0;
}

static int removed_read(struct membership *membership, const struct json *removed, struct err *err)
{
    const struct json *children = json_get(removed, "Children");
    for (size_t i = 0; i < json_count(children); i++) {
        uint64_t id = 0;
        if (!id_read(bytes_of_str(json_key_at(children, i)), &id)) {
            return err_set(err, E_CORRUPT, "\"%s\" is no member id", json_key_at(children, i));
        }
        membership_mark_removed(membership, id);
    }
    return 0;
}

int membership_v2_decode(struct membership *membership, struct bytes json, struct err *err)
{
    struct json *store = json_parse((const char *)json.data, json.size, err);
    const struct json *cluster = child(json_get(store, "Root"), "0");
    if (!json_is(cluster, JSON_OBJECT)) {
        json_free(store);
        return err_set(err, E_CORRUPT, "the snapshot holds no v2 store");
    }
    struct membership *fresh = membership_new(membership->max_learners);
    fresh->cluster_id = membership->cluster_id;
    int rc = members_read(fresh, child(cluster, "members"), err);
    if (rc == 0) {
        rc = removed_read(fresh, child(cluster, "removed_members"), err);
    }
    const char *version = json_str(json_get(child(cluster, "version"), "Value"), "");
    if (rc == 0 && version[0] != '\0' && membership_set_version(fresh, version, NULL) != 0) {
        rc = err_set(err, E_CORRUPT, "the snapshot holds cluster version \"%s\"", version);
    }
    json_free(store);
    if (rc == 0) {
        struct membership old = *membership;
        *membership = *fresh;
        *fresh = old;
    }
    membership_free(fresh);
    return rc;
}

int membership_set_attributes_v2(struct membership *membership, const char *path, const char *value,
                                 struct store_batch *batch, struct err *err)
{
    size_t start = strlen(PATH_MEMBERS);
    size_t tail = strlen("/" NAME_ATTRIBUTES);
    if (strlen(path) < start + tail || !str_starts_with(path, PATH_MEMBERS) ||
        !str_ends_with(path, "/" NAME_ATTRIBUTES)) {
        return 0;
    }
    uint64_t id = 0;
    if (!id_read(bytes_of(path + start, strlen(path) - start - tail), &id)) {
        return err_set(err, E_CORRUPT, "\"%s\" names no member", path);
    }
    struct member attributes;
    int rc = member_json_read(bytes_of_str(value), id, &attributes, err);
    if (rc != 0) {
        return rc;
    }
    rc = membership_set_attributes(membership, id, attributes.name,
                                   (const char *const *)attributes.client_urls.urls,
                                   attributes.client_urls.count, batch);
    member_clear(&attributes);
    return rc == E_NOT_FOUND ? err_set(err, rc, "member %llx is not known", (unsigned long long)id)
                             : rc;
}
