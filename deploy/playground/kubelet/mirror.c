/* SPDX-License-Identifier: Apache-2.0 */
/* A watch and what it has told. */
#include "mirror.h"

#include <string.h>

#include "base/alloc.h"

int mirror_open(struct mirror *mirror, struct store *store, const char *resource, struct err *err)
{
    memset(mirror, 0, sizeof(*mirror));
    mirror->store = store;
    mirror->resource = resource;
    return store_watch_open(store, resource, "", &mirror->watch, err);
}

static size_t index_of(const struct mirror *mirror, const char *ns, const char *name)
{
    for (size_t i = 0; i < mirror->count; i++) {
        if (str_equal(json_path_str(mirror->items[i], "metadata.name", ""), name) &&
            str_equal(json_path_str(mirror->items[i], "metadata.namespace", ""), ns)) {
            return i;
        }
    }
    return mirror->count;
}

static void put(struct mirror *mirror, struct json *object)
{
    size_t at = index_of(mirror, json_path_str(object, "metadata.namespace", ""),
                         json_path_str(object, "metadata.name", ""));
    if (at < mirror->count) {
        json_free(mirror->items[at]);
        mirror->items[at] = object;
        return;
    }
    if (mirror->count == mirror->capacity) {
        mirror->capacity = mirror->capacity == 0 ? 16 : mirror->capacity * 2;
        mirror->items = mem_realloc(mirror->items, mirror->capacity * sizeof(*mirror->items));
    }
    mirror->items[mirror->count++] = object;
}

static void take_out(struct mirror *mirror, const struct json *object)
{
    size_t at = index_of(mirror, json_path_str(object, "metadata.namespace", ""),
                         json_path_str(object, "metadata.name", ""));
    if (at < mirror->count) {
        json_free(mirror->items[at]);
        mirror->count--;
        memmove(mirror->items + at, mirror->items + at + 1,
                (mirror->count - at) * sizeof(*mirror->items));
    }
}

static void forget(struct mirror *mirror)
{
    for (size_t i = 0; i < mirror->count; i++) {
        json_free(mirror->items[i]);
    }
    mirror->count = 0;
}

/* After a gap: everything is told again. What went meanwhile is simply not there any more. */
static bool open_again(struct mirror *mirror)
{
    store_watch_close(mirror->watch);
    forget(mirror);
    mirror->changes++;
    return store_watch_open(mirror->store, mirror->resource, "", &mirror->watch, NULL) == 0;
}

bool mirror_poll(struct mirror *mirror, uint32_t timeout_ms, mirror_gone_fn on_gone, void *ctx)
{
    struct store_event event;
    int rc;
    while ((rc = store_watch_next(mirror->watch, timeout_ms, &event)) == 0) {
        timeout_ms = 0;
        if (event.type == STORE_SYNCED) {
            continue;
        }
        mirror->changes++;
        if (event.type != STORE_DELETED) {
            put(mirror, event.object);
            continue;
        }
        take_out(mirror, event.object);
        if (on_gone != NULL) {
            on_gone(ctx, event.object);
        }
        json_free(event.object);
    }
    return rc == E_TIMEOUT || (rc == E_COMPACTED && open_again(mirror));
}

void mirror_close(struct mirror *mirror)
{
    if (mirror->watch != NULL) {
        store_watch_close(mirror->watch);
    }
    forget(mirror);
    mem_free(mirror->items);
    memset(mirror, 0, sizeof(*mirror));
}

const struct json *mirror_find(const struct mirror *mirror, const char *ns, const char *name)
{
    size_t at = index_of(mirror, ns, name);
    return at < mirror->count ? mirror->items[at] : NULL;
}

const struct json *const *mirror_items(const struct mirror *mirror)
{
    return (const struct json *const *)mirror->items;
}
