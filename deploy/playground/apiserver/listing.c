/* SPDX-License-Identifier: Apache-2.0 */
/* Lists of objects. */
#include "listing.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

void listing_free(struct listing *listing)
{
    for (size_t i = 0; i < listing->count; i++) {
        object_unref(listing->items[i]);
    }
    mem_free(listing->items);
    mem_free(listing->continue_at);
    memset(listing, 0, sizeof(*listing));
}

/* Token: "revision/namespace/name" of the next object. */
static int token_parse(struct store *store, const char *token, uint64_t *out_revision,
                       char **out_ns, char **out_name)
{
    char *end;
    uint64_t revision = strtoull(token, &end, 10);
    const char *slash = *end == '/' ? strchr(end + 1, '/') : NULL;
    if (slash == NULL) {
        return E_INVALID;
    }
    if (revision < store->objects.oldest) {
        return E_COMPACTED;
    }
    *out_revision = revision;
    *out_ns = str_from(end + 1, (size_t)(slash - end - 1));
    *out_name = str_dup(slash + 1);
    return 0;
}

static bool is_chosen(const struct list_options *options, const struct object *object)
{
    return (*options->ns == '\0' || strcmp(object->ns, options->ns) == 0) &&
           selector_matches(options->labels, object->value) &&
           selector_matches(options->fields, object->value);
}

static void listing_add(struct listing *listing, size_t *capacity, struct object *object)
{
    if (listing->count == *capacity) {
        *capacity = *capacity == 0 ? 64 : *capacity * 2;
        listing->items = mem_realloc(listing->items, *capacity * sizeof(struct object *));
    }
    listing->items[listing->count++] = object_ref(object);
}

/* Replaces (or removes, or inserts) what event changed, so that the listing shows the time before.
 */
static void undo(struct listing *listing, size_t *capacity, const struct event *event)
{
    size_t at = 0;
    while (at < listing->count && (strcmp(listing->items[at]->ns, event->object->ns) != 0 ||
                                   strcmp(listing->items[at]->name, event->object->name) != 0)) {
        at++;
    }
    if (at < listing->count) {
        object_unref(listing->items[at]);
        memmove(&listing->items[at], &listing->items[at + 1],
                (listing->count - at - 1) * sizeof(struct object *));
        listing->count--;
    }
    if (event->previous != NULL) {
        listing_add(listing, capacity, event->previous);
    }
}

/* The state of the past, by walking the ring backwards from now. */
static void listing_make_stale(struct store *store, const struct kind *kind,
                               const struct list_options *options, struct listing *listing)
{
    struct objects *objects = &store->objects;
    struct table *table = objects_table(objects, kind->store_key);
    size_t capacity = 0;
    for (size_t row = 0; row < table->count; row++) {
        listing_add(listing, &capacity, table->rows[row]);
    }
    for (uint64_t i = 0; i < options->stale_by && listing->revision > objects->oldest; i++) {
        const struct event *event = objects_event(objects, listing->revision);
        if (event == NULL) {
            break;
        }
        if (strcmp(event->resource, kind->store_key) == 0) {
            undo(listing, &capacity, event);
        }
        listing->revision--;
    }
    size_t kept = 0;
    for (size_t i = 0; i < listing->count; i++) {
        if (is_chosen(options, listing->items[i])) {
            listing->items[kept++] = listing->items[i];
        } else {
            object_unref(listing->items[i]);
        }
    }
    listing->count = kept;
}

int listing_make(struct store *store, const struct kind *kind, const struct list_options *options,
                 struct listing *out_listing)
{
    struct listing listing = {.revision = store->objects.revision};
    if (options->stale_by > 0) {
        listing_make_stale(store, kind, options, &listing);
        *out_listing = listing;
        return 0;
    }
    char *start_ns = NULL;
    char *start_name = NULL;
    if (*options->continue_at != '\0') {
        int rc =
            token_parse(store, options->continue_at, &listing.revision, &start_ns, &start_name);
        if (rc != 0) {
            return rc;
        }
    }
    struct table *table = objects_table(&store->objects, kind->store_key);
    size_t capacity = 0;
    size_t row = table_seek(table, start_ns != NULL ? start_ns : options->ns,
                            start_name != NULL ? start_name : "");
    for (; row < table->count; row++) {
        struct object *object = table->rows[row];
        if (!is_chosen(options, object)) {
            continue;
        }
        if (options->limit == 0 || listing.count < options->limit) {
            listing_add(&listing, &capacity, object);
            continue;
        }
        if (listing.remaining++ == 0) {
            listing.continue_at = str_printf("%llu/%s/%s", (unsigned long long)listing.revision,
                                             object->ns, object->name);
        }
    }
    mem_free(start_ns);
    mem_free(start_name);
    *out_listing = listing;
    return 0;
}
