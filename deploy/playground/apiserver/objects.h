/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All objects, one lock, one revision counter, and the ring of the newest events from which every
 * watch reads. An object never changes once it is in: a write puts a new one in its place, so that
 * readers may use theirs outside the lock. Each change is handed to the journal before the lock is
 * left.
 */
#ifndef PLAYGROUND_APISERVER_OBJECTS_H
#define PLAYGROUND_APISERVER_OBJECTS_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/json.h"
#include "base/map.h"

#define EVENT_RING_SIZE 10000u

struct object {
    atomic_uint refs;
    struct json *value;
    uint64_t revision;
    char *ns;
    char *name;
    char *uid;
};

enum event_type { EVENT_ADDED, EVENT_MODIFIED, EVENT_DELETED };

/* One change. resource is the table's key and lives as long as the objects. */
struct event {
    uint64_t revision;
    enum event_type type;
    const char *resource;
    struct object *object;
    struct object *previous; /* NULL for EVENT_ADDED */
};

struct table {
    char *key;
    struct object **rows; /* sorted by namespace, then name */
    size_t count;
    size_t capacity;
};

typedef void (*objects_journal_fn)(void *ctx, const struct event *event);

struct objects {
    pthread_mutex_t lock;
    pthread_cond_t changed; /* broadcast after each change and by objects_close */
    uint64_t revision;
    uint64_t oldest; /* events with a greater revision are still in the ring */
    struct event ring[EVENT_RING_SIZE];
    struct table **tables;
    size_t table_count;
    struct map by_uid;
    bool is_closed;
    objects_journal_fn journal;
    void *journal_ctx;
};

void objects_init(struct objects *objects);
void objects_free(struct objects *objects);

void objects_lock(struct objects *objects);
void objects_unlock(struct objects *objects);

/* Wakes all watches for good. */
void objects_close(struct objects *objects);

/* Everything below wants the lock held. */

/* The table of a resource, made when absent. */
struct table *objects_table(struct objects *objects, const char *key);

/* Finds, borrowed; NULL when absent. ns "" for cluster scope. */
struct object *objects_find(struct objects *objects, const char *key, const char *ns,
                            const char *name);
struct object *objects_find_uid(struct objects *objects, const char *uid);

/*
 * Puts value (taken) in, under the name and namespace in its metadata, with the next revision as
 * its resourceVersion. Gives the object, borrowed.
 */
struct object *objects_put(struct objects *objects, const char *key, struct json *value);

/* Takes the object out; the last event carries last_state (taken; NULL: the state it had). */
void objects_delete(struct objects *objects, const char *key, struct object *object,
                    struct json *last_state);

/* Puts an object back as it was written down; no event, no journal. Takes value. */
void objects_restore(struct objects *objects, const char *key, struct json *value);
void objects_restore_delete(struct objects *objects, const char *key, const char *ns,
                            const char *name);

/* The place of the first row at or after (ns, name). */
size_t table_seek(const struct table *table, const char *ns, const char *name);

/* The event with that revision, or NULL when it is not in the ring (too old, or not yet). */
const struct event *objects_event(const struct objects *objects, uint64_t revision);

struct object *object_ref(struct object *object);
void object_unref(struct object *object);

#endif
