/* SPDX-License-Identifier: Apache-2.0 */
/* Tables of immutable objects and the ring of their changes. */
#include "objects.h"

#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"

#define TABLE_CAPACITY_FIRST 16u

void objects_init(struct objects *objects)
{
    memset(objects, 0, sizeof(*objects));
    pthread_mutex_init(&objects->lock, NULL);
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&objects->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    map_init(&objects->by_uid);
    objects->revision = 1;
    objects->oldest = 1;
}

static void event_clear(struct event *event)
{
    if (event->object != NULL) {
        object_unref(event->object);
    }
    if (event->previous != NULL) {
        object_unref(event->previous);
    }
    memset(event, 0, sizeof(*event));
}

void objects_free(struct objects *objects)
{
    for (size_t i = 0; i < EVENT_RING_SIZE; i++) {
        event_clear(&objects->ring[i]);
    }
    for (size_t i = 0; i < objects->table_count; i++) {
        struct table *table = objects->tables[i];
        for (size_t row = 0; row < table->count; row++) {
            object_unref(table->rows[row]);
        }
        mem_free(table->rows);
        mem_free(table->key);
        mem_free(table);
    }
    mem_free(objects->tables);
    map_free(&objects->by_uid);
    pthread_cond_destroy(&objects->changed);
    pthread_mutex_destroy(&objects->lock);
}

void objects_lock(struct objects *objects)
{
    pthread_mutex_lock(&objects->lock);
}

void objects_unlock(struct objects *objects)
{
    pthread_mutex_unlock(&objects->lock);
}

void objects_close(struct objects *objects)
{
    objects_lock(objects);
    objects->is_closed = true;
    pthread_cond_broadcast(&objects->changed);
    objects_unlock(objects);
}

struct object *object_ref(struct object *object)
{
    atomic_fetch_add_explicit(&object->refs, 1, memory_order_relaxed);
    return object;
}

void object_unref(struct object *object)
{
    if (atomic_fetch_sub_explicit(&object->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    json_free(object->value);
    mem_free(object->ns);
    mem_free(object->name);
    mem_free(object->uid);
    mem_free(object);
}

/* Takes value. */
static struct object *object_new(struct json *value, uint64_t revision)
{
    struct object *object = mem_zalloc(sizeof(*object));
    atomic_init(&object->refs, 1);
    object->value = value;
    object->revision = revision;
    object->ns = str_dup(json_path_str(value, "metadata.namespace", ""));
    object->name = str_dup(json_path_str(value, "metadata.name", ""));
    object->uid = str_dup(json_path_str(value, "metadata.uid", ""));
    return object;
}

struct table *objects_table(struct objects *objects, const char *key)
{
    for (size_t i = 0; i < objects->table_count; i++) {
        if (strcmp(objects->tables[i]->key, key) == 0) {
            return objects->tables[i];
        }
    }
    struct table *table = mem_zalloc(sizeof(*table));
    table->key = str_dup(key);
    objects->tables =
        mem_realloc(objects->tables, (objects->table_count + 1) * sizeof(struct table *));
    objects->tables[objects->table_count++] = table;
    return table;
}

static int row_compare(const struct object *row, const char *ns, const char *name)
{
    int order = strcmp(row->ns, ns);
    return order != 0 ? order : strcmp(row->name, name);
}

size_t table_seek(const struct table *table, const char *ns, const char *name)
{
    size_t low = 0;
    size_t high = table->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (row_compare(table->rows[middle], ns, name) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static bool row_is(const struct table *table, size_t row, const char *ns, const char *name)
{
    return row < table->count && row_compare(table->rows[row], ns, name) == 0;
}

struct object *objects_find(struct objects *objects, const char *key, const char *ns,
                            const char *name)
{
    struct table *table = objects_table(objects, key);
    size_t row = table_seek(table, ns, name);
    return row_is(table, row, ns, name) ? table->rows[row] : NULL;
}

struct object *objects_find_uid(struct objects *objects, const char *uid)
{
    return map_get(&objects->by_uid, bytes_of_str(uid));
}

static void row_insert(struct table *table, size_t row, struct object *object)
{
    if (table->count == table->capacity) {
        table->capacity = table->capacity == 0 ? TABLE_CAPACITY_FIRST : table->capacity * 2;
        table->rows = mem_realloc(table->rows, table->capacity * sizeof(struct object *));
    }
    memmove(&table->rows[row + 1], &table->rows[row],
            (table->count - row) * sizeof(struct object *));
    table->rows[row] = object;
    table->count++;
}

static void row_remove(struct table *table, size_t row)
{
    memmove(&table->rows[row], &table->rows[row + 1],
            (table->count - row - 1) * sizeof(struct object *));
    table->count--;
}

/* Takes the references. */
static void event_add(struct objects *objects, struct event event)
{
    struct event *slot = &objects->ring[event.revision % EVENT_RING_SIZE];
    if (slot->object != NULL) {
        objects->oldest = slot->revision;
    }
    event_clear(slot);
    *slot = event;
    if (objects->journal != NULL) {
        objects->journal(objects->journal_ctx, slot);
    }
    pthread_cond_broadcast(&objects->changed);
}

static void stamp_revision(struct json *value, uint64_t revision)
{
    json_set(json_ensure_object(value, "metadata"), "resourceVersion",
             json_stringf("%llu", (unsigned long long)revision));
}

/* Puts object (taken) in its row; gives the one that was there, its reference with it. */
static struct object *table_set(struct objects *objects, struct table *table, struct object *object)
{
    size_t row = table_seek(table, object->ns, object->name);
    struct object *previous = NULL;
    if (row_is(table, row, object->ns, object->name)) {
        previous = table->rows[row];
        table->rows[row] = object;
        if (*previous->uid != '\0') {
            map_remove(&objects->by_uid, bytes_of_str(previous->uid));
        }
    } else {
        row_insert(table, row, object);
    }
    if (*object->uid != '\0') {
        map_set(&objects->by_uid, bytes_of_str(object->uid), object);
    }
    return previous;
}

struct object *objects_put(struct objects *objects, const char *key, struct json *value)
{
    struct table *table = objects_table(objects, key);
    uint64_t revision = ++objects->revision;
    stamp_revision(value, revision);
    struct object *object = object_new(value, revision);
    ASSERT(*object->name != '\0');
    struct object *previous = table_set(objects, table, object);
    event_add(objects, (struct event){revision, previous == NULL ? EVENT_ADDED : EVENT_MODIFIED,
                                      table->key, object_ref(object), previous});
    return object;
}

void objects_delete(struct objects *objects, const char *key, struct object *object,
                    struct json *last_state)
{
    struct table *table = objects_table(objects, key);
    size_t row = table_seek(table, object->ns, object->name);
    ASSERT(row < table->count && table->rows[row] == object);
    row_remove(table, row);
    if (*object->uid != '\0') {
        map_remove(&objects->by_uid, bytes_of_str(object->uid));
    }
    struct json *value = last_state != NULL ? last_state : json_copy(object->value);
    uint64_t revision = ++objects->revision;
    stamp_revision(value, revision);
    event_add(objects, (struct event){revision, EVENT_DELETED, table->key,
                                      object_new(value, revision), object});
}

void objects_restore(struct objects *objects, const char *key, struct json *value)
{
    uint64_t revision = 0;
    const char *text = json_path_str(value, "metadata.resourceVersion", "0");
    for (; *text >= '0' && *text <= '9'; text++) {
        revision = revision * 10 + (uint64_t)(*text - '0');
    }
    struct object *previous =
        table_set(objects, objects_table(objects, key), object_new(value, revision));
    if (previous != NULL) {
        object_unref(previous);
    }
}

void objects_restore_delete(struct objects *objects, const char *key, const char *ns,
                            const char *name)
{
    struct table *table = objects_table(objects, key);
    size_t row = table_seek(table, ns, name);
    if (!row_is(table, row, ns, name)) {
        return;
    }
    struct object *object = table->rows[row];
    row_remove(table, row);
    if (*object->uid != '\0') {
        map_remove(&objects->by_uid, bytes_of_str(object->uid));
    }
    object_unref(object);
}

const struct event *objects_event(const struct objects *objects, uint64_t revision)
{
    const struct event *event = &objects->ring[revision % EVENT_RING_SIZE];
    return event->revision == revision && event->object != NULL ? event : NULL;
}
