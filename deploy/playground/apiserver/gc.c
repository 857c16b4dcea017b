/* SPDX-License-Identifier: Apache-2.0 */
/* Garbage collection by ownerReferences, and the end of namespaces and of CRDs. */
#include <string.h>

#include "base/alloc.h"
#include "controllers.h"
#include "meta.h"

typedef void (*object_fn)(struct store *store, const struct kind *kind, struct object *object,
                          void *ctx);

/* Calls fn for each object of each kind; fn may change anything. */
static void each_object(struct store *store, object_fn fn, void *ctx)
{
    for (size_t i = 0; i < store->kinds.count; i++) {
        const struct kind *kind = store->kinds.list[i];
        if ((kind->flags & KIND_REVIEW) != 0 || strcmp(kind->group, "events.k8s.io") == 0) {
            continue;
        }
        struct snapshot all;
        snapshot_take(store, kind->store_key, &all);
        for (size_t k = 0; k < all.count; k++) {
            if (object_is_current(store, kind->store_key, all.items[k])) {
                fn(store, kind, all.items[k], ctx);
            }
        }
        snapshot_free(&all);
    }
}

static bool owns(const struct object *owner, const struct json *dependent, bool only_blocking)
{
    const struct json *owners = json_path(dependent, "metadata.ownerReferences");
    for (size_t i = 0; i < json_count(owners); i++) {
        const struct json *reference = json_at(owners, i);
        if (strcmp(json_path_str(reference, "uid", ""), owner->uid) == 0) {
            return !only_blocking || json_path_truth(reference, "blockOwnerDeletion", false);
        }
    }
    return false;
}

static bool waits_foreground(const struct object *owner)
{
    return meta_is_deleting(owner->value) && meta_has_finalizer(owner->value, FINALIZER_FOREGROUND);
}

static void drop_references(struct store *store, const struct kind *kind, struct object *object,
                            const char *uid)
{
    struct json *value = json_copy(object->value);
    struct json *owners = json_path(value, "metadata.ownerReferences");
    for (size_t i = json_count(owners); i-- > 0;) {
        const char *owner = json_path_str(json_at(owners, i), "uid", "");
        bool is_meant = uid != NULL ? strcmp(owner, uid) == 0
                                    : objects_find_uid(&store->objects, owner) == NULL;
        if (is_meant) {
            json_remove_at(owners, i);
        }
    }
    if (json_count(owners) == 0) {
        json_remove(json_get(value, "metadata"), "ownerReferences");
    }
    write_commit(store, kind, object, value);
}

/* A dependent goes when no owner is left, or when the last ones wait for it. */
static void collect_dependent(struct store *store, const struct kind *kind, struct object *object,
                              void *ctx)
{
    (void)ctx;
    const struct json *owners = json_path(object->value, "metadata.ownerReferences");
    size_t solid = 0;
    size_t waiting = 0;
    for (size_t i = 0; i < json_count(owners); i++) {
        struct object *owner =
            objects_find_uid(&store->objects, json_path_str(json_at(owners, i), "uid", ""));
        if (owner != NULL) {
            *(waits_foreground(owner) ? &waiting : &solid) += 1;
        }
    }
    size_t count = json_count(owners);
    if (count == 0 || solid == count) {
        return;
    }
    if (solid == 0) {
        if (!meta_is_deleting(object->value)) {
            api_remove(store, kind, object,
                       waiting > 0 ? PROPAGATE_FOREGROUND : PROPAGATE_BACKGROUND);
        }
    } else if (solid + waiting < count) {
        drop_references(store, kind, object, NULL);
    }
}

struct search {
    const struct object *owner;
    bool is_found;
};

static void look_for_blocker(struct store *store, const struct kind *kind, struct object *object,
                             void *ctx)
{
    (void)store;
    (void)kind;
    struct search *search = ctx;
    search->is_found = search->is_found || owns(search->owner, object->value, true);
}

static void orphan_dependent(struct store *store, const struct kind *kind, struct object *object,
                             void *ctx)
{
    const struct object *owner = ctx;
    if (owns(owner, object->value, false)) {
        drop_references(store, kind, object, owner->uid);
    }
}

/* Ends the waiting of owners: nothing blocks them any longer, or all dependents are orphans. */
static void release_owner(struct store *store, const struct kind *kind, struct object *object,
                          void *ctx)
{
    (void)ctx;
    if (!meta_is_deleting(object->value)) {
        return;
    }
    const char *finalizer = NULL;
    if (meta_has_finalizer(object->value, FINALIZER_ORPHAN)) {
        each_object(store, orphan_dependent, object);
        finalizer = FINALIZER_ORPHAN;
    } else if (meta_has_finalizer(object->value, FINALIZER_FOREGROUND)) {
        struct search search = {object, false};
        each_object(store, look_for_blocker, &search);
        finalizer = search.is_found ? NULL : FINALIZER_FOREGROUND;
    }
    if (finalizer != NULL && object_is_current(store, kind->store_key, object)) {
        struct json *value = json_copy(object->value);
        meta_remove_finalizer(value, finalizer);
        write_commit(store, kind, object, value);
    }
}

void gc_pass(struct store *store)
{
    each_object(store, release_owner, NULL);
    each_object(store, collect_dependent, NULL);
}

struct emptying {
    const char *ns;
    size_t left;
};

static void empty_namespace(struct store *store, const struct kind *kind, struct object *object,
                            void *ctx)
{
    struct emptying *emptying = ctx;
    if (strcmp(object->ns, emptying->ns) != 0) {
        return;
    }
    if (!meta_is_deleting(object->value)) {
        api_remove(store, kind, object, PROPAGATE_BACKGROUND);
    }
    emptying->left +=
        objects_find(&store->objects, kind->store_key, object->ns, object->name) != NULL ? 1 : 0;
}

void namespaces_pass(struct store *store)
{
    const struct kind *kind = kinds_find_resource(&store->kinds, "namespaces")->kind;
    struct snapshot namespaces;
    snapshot_take(store, "namespaces", &namespaces);
    for (size_t i = 0; i < namespaces.count; i++) {
        struct object *ns = namespaces.items[i];
        if (!meta_is_deleting(ns->value)) {
            continue;
        }
        struct emptying emptying = {ns->name, 0};
        each_object(store, empty_namespace, &emptying);
        if (emptying.left == 0 && object_is_current(store, "namespaces", ns)) {
            struct json *value = json_copy(ns->value);
            json_remove(json_get(value, "spec"), "finalizers");
            write_commit(store, kind, ns, value);
        }
    }
    snapshot_free(&namespaces);
}

/* Deletes all resources of a CRD that goes away; gives how many are left. */
static size_t empty_crd(struct store *store, const struct json *crd)
{
    const struct kind_version *version =
        kinds_find(&store->kinds, json_path_str(crd, "spec.group", ""), NULL,
                   json_path_str(crd, "spec.names.plural", ""));
    if (version == NULL) {
        return 0;
    }
    struct snapshot all;
    snapshot_take(store, version->kind->store_key, &all);
    for (size_t i = 0; i < all.count; i++) {
        if (!meta_is_deleting(all.items[i]->value)) {
            api_remove(store, version->kind, all.items[i], PROPAGATE_BACKGROUND);
        }
    }
    snapshot_free(&all);
    return objects_table(&store->objects, version->kind->store_key)->count;
}

void crds_pass(struct store *store)
{
    static const char KEY[] = "customresourcedefinitions.apiextensions.k8s.io";
    const struct kind *kind = kinds_find_resource(&store->kinds, KEY)->kind;
    struct snapshot crds;
    snapshot_take(store, KEY, &crds);
    for (size_t i = 0; i < crds.count; i++) {
        struct object *crd = crds.items[i];
        if (meta_is_deleting(crd->value) && meta_has_finalizer(crd->value, FINALIZER_CRD) &&
            empty_crd(store, crd->value) == 0) {
            struct json *value = json_copy(crd->value);
            meta_remove_finalizer(value, FINALIZER_CRD);
            write_commit(store, kind, crd, value);
        }
    }
    snapshot_free(&crds);
}
