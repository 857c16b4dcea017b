/* SPDX-License-Identifier: Apache-2.0 */
/* The thread that runs the passes after changes. */
#include "controllers.h"

#include <string.h>
#include <time.h>

#include "apiserver.h"
#include "base/alloc.h"
#include "meta.h"

#define IDLE_S      30
#define EVENT_TTL_S 3600

void snapshot_take(struct store *store, const char *key, struct snapshot *out_snapshot)
{
    struct table *table = objects_table(&store->objects, key);
    out_snapshot->items = mem_array(table->count + 1, sizeof(struct object *));
    out_snapshot->count = table->count;
    for (size_t i = 0; i < table->count; i++) {
        out_snapshot->items[i] = object_ref(table->rows[i]);
    }
}

void snapshot_free(struct snapshot *snapshot)
{
    for (size_t i = 0; i < snapshot->count; i++) {
        object_unref(snapshot->items[i]);
    }
    mem_free(snapshot->items);
}

bool object_is_current(struct store *store, const char *key, const struct object *object)
{
    return objects_find(&store->objects, key, object->ns, object->name) == object;
}

const char *condition_status(const struct json *object, const char *type)
{
    const struct json *list = json_path(object, "status.conditions");
    for (size_t i = 0; i < json_count(list); i++) {
        if (strcmp(json_path_str(json_at(list, i), "type", ""), type) == 0) {
            return json_path_str(json_at(list, i), "status", "Unknown");
        }
    }
    return "Unknown";
}

void events_pass(struct store *store, int64_t now_s)
{
    struct snapshot events;
    snapshot_take(store, "events", &events);
    for (size_t i = 0; i < events.count; i++) {
        const struct json *event = events.items[i]->value;
        const char *seen = json_path_str(event, "lastTimestamp",
                                         json_path_str(event, "metadata.creationTimestamp", NULL));
        if (meta_time_parse(seen) + EVENT_TTL_S < now_s) {
            objects_delete(&store->objects, "events", events.items[i], NULL);
        }
    }
    snapshot_free(&events);
}

/* What the new events ask for. */
struct dirt {
    bool garbage;
    bool pods;
    bool services;
    bool claims;
    bool budgets;
    bool any;
};

static void note_event(struct dirt *dirt, const struct event *event)
{
    const char *key = event->resource;
    dirt->any = true;
    dirt->garbage = dirt->garbage || event->type == EVENT_DELETED ||
                    meta_is_deleting(event->object->value) ||
                    json_path(event->object->value, "metadata.ownerReferences") != NULL;
    dirt->pods = dirt->pods || strcmp(key, "pods") == 0;
    dirt->services = dirt->services || strcmp(key, "services") == 0;
    dirt->claims = dirt->claims || strncmp(key, "persistentvolume", 16) == 0;
    dirt->budgets = dirt->budgets || strcmp(key, "poddisruptionbudgets.policy") == 0;
}

static void run_passes(struct store *store, const struct dirt *dirt)
{
    if (dirt->claims || dirt->pods) {
        volumes_pass(store);
    }
    if (dirt->services || dirt->pods) {
        endpoints_pass(store);
    }
    if (dirt->budgets || dirt->pods) {
        budgets_pass(store);
    }
    if (dirt->garbage) {
        gc_pass(store);
        crds_pass(store);
        namespaces_pass(store);
    }
}

void *controllers_main(void *arg)
{
    struct apiserver *server = arg;
    struct store *store = &server->store;
    struct objects *objects = &store->objects;
    struct dirt dirt = {true, true, true, true, true, true};
    objects_lock(objects);
    uint64_t cursor = objects->revision;
    int64_t aged_at = 0;
    while (!objects->is_closed) {
        int64_t now = (int64_t)time(NULL);
        if (now - aged_at >= IDLE_S) {
            aged_at = now;
            events_pass(store, now);
        }
        run_passes(store, &dirt);
        memset(&dirt, 0, sizeof(dirt));
        while (cursor < objects->revision) {
            const struct event *event = objects_event(objects, ++cursor);
            if (event != NULL) {
                note_event(&dirt, event);
            }
        }
        if (!dirt.any) {
            struct timespec until;
            clock_gettime(CLOCK_MONOTONIC, &until);
            until.tv_sec += IDLE_S;
            pthread_cond_timedwait(&objects->changed, &objects->lock, &until);
        }
    }
    objects_unlock(objects);
    return NULL;
}
