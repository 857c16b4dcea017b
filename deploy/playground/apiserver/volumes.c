/* SPDX-License-Identifier: Apache-2.0 */
/* Claims are bound to volumes, volumes grow with their claims and go with them. */
#include <string.h>

#include "base/alloc.h"
#include "controllers.h"
#include "meta.h"

#define CLAIMS      "persistentvolumeclaims"
#define VOLUMES     "persistentvolumes"
#define PROVISIONER "quorate.dev/playground"

static struct json *volume_new(struct store *store, const struct object *claim,
                               const struct json *storage_class)
{
    struct json *volume = json_object();
    json_set_str(volume, "apiVersion", "v1");
    json_set_str(volume, "kind", "PersistentVolume");
    struct json *metadata = json_ensure_object(volume, "metadata");
    json_set(metadata, "name", json_stringf("pvc-%s", claim->uid));
    char uid[META_UID_SIZE];
    meta_uid(uid);
    json_set_str(metadata, "uid", uid);
    char now[META_TIME_SIZE];
    meta_now(now);
    json_set_str(metadata, "creationTimestamp", now);
    json_set_str(json_ensure_object(metadata, "annotations"), "pv.kubernetes.io/provisioned-by",
                 PROVISIONER);
    struct json *spec = json_ensure_object(volume, "spec");
    const struct json *size = json_path(claim->value, "spec.resources.requests.storage");
    json_set(json_ensure_object(spec, "capacity"), "storage", json_copy(size));
    json_set(spec, "accessModes", json_copy(json_path(claim->value, "spec.accessModes")));
    json_set_str(spec, "persistentVolumeReclaimPolicy",
                 json_path_str(storage_class, "reclaimPolicy", "Delete"));
    json_set_str(spec, "storageClassName", meta_name(storage_class));
    json_set_str(spec, "volumeMode", "Filesystem");
    json_set(json_ensure_object(spec, "hostPath"), "path",
             json_stringf("%s/pvc-%s", store->volumes_dir, claim->uid));
    return volume;
}

static void set_claim_reference(struct json *volume, const struct object *claim)
{
    struct json *reference = json_ensure_object(json_ensure_object(volume, "spec"), "claimRef");
    json_set_str(reference, "apiVersion", "v1");
    json_set_str(reference, "kind", "PersistentVolumeClaim");
    json_set_str(reference, "namespace", claim->ns);
    json_set_str(reference, "name", claim->name);
    json_set_str(reference, "uid", claim->uid);
    json_set_str(json_ensure_object(volume, "status"), "phase", "Bound");
}

/* Takes volume, which is bound to claim from now on. */
static void bind_claim(struct store *store, const struct object *claim, struct json *volume)
{
    set_claim_reference(volume, claim);
    struct json *value = json_copy(claim->value);
    json_set_str(json_ensure_object(value, "spec"), "volumeName", meta_name(volume));
    struct json *annotations =
        json_ensure_object(json_ensure_object(value, "metadata"), "annotations");
    json_set_str(annotations, "pv.kubernetes.io/bind-completed", "yes");
    struct json *status = json_ensure_object(value, "status");
    json_set_str(status, "phase", "Bound");
    json_set(status, "accessModes", json_copy(json_path(value, "spec.accessModes")));
    const struct json *capacity = json_path(volume, "spec.capacity");
    json_set(status, "capacity", capacity == NULL ? json_object() : json_copy(capacity));
    objects_put(&store->objects, VOLUMES, volume);
    objects_put(&store->objects, CLAIMS, value);
}

/* An Available volume that fits the claim: the one it names, or one of its class. */
static struct object *find_volume(struct store *store, const struct object *claim)
{
    const char *name = json_path_str(claim->value, "spec.volumeName", "");
    if (*name != '\0') {
        return objects_find(&store->objects, VOLUMES, "", name);
    }
    const char *class_name = json_path_str(claim->value, "spec.storageClassName", "");
    struct table *volumes = objects_table(&store->objects, VOLUMES);
    for (size_t i = 0; i < volumes->count; i++) {
        struct object *volume = volumes->rows[i];
        bool fits =
            json_path(volume->value, "spec.claimRef") == NULL && !meta_is_deleting(volume->value) &&
            strcmp(json_path_str(volume->value, "spec.storageClassName", ""), class_name) == 0;
        if (fits) {
            return volume;
        }
    }
    return NULL;
}

static void settle_pending(struct store *store, const struct object *claim)
{
    struct object *volume = find_volume(store, claim);
    if (volume != NULL) {
        const char *uid = json_path_str(volume->value, "spec.claimRef.uid", claim->uid);
        if (strcmp(uid, claim->uid) == 0) {
            bind_claim(store, claim, json_copy(volume->value));
        }
        return;
    }
    if (*json_path_str(claim->value, "spec.volumeName", "") != '\0') {
        return;
    }
    const char *class_name = json_path_str(claim->value, "spec.storageClassName", "");
    struct object *storage_class =
        objects_find(&store->objects, "storageclasses.storage.k8s.io", "", class_name);
    if (storage_class != NULL &&
        strcmp(json_path_str(storage_class->value, "provisioner", ""), PROVISIONER) == 0) {
        bind_claim(store, claim, volume_new(store, claim, storage_class->value));
    }
}

/* A bound claim: its volume is still there, and as large as wished. */
static void settle_bound(struct store *store, const struct object *claim)
{
    const char *name = json_path_str(claim->value, "spec.volumeName", "");
    struct object *volume = objects_find(&store->objects, VOLUMES, "", name);
    if (volume == NULL) {
        struct json *value = json_copy(claim->value);
        json_set_str(json_ensure_object(value, "status"), "phase", "Lost");
        objects_put(&store->objects, CLAIMS, value);
        return;
    }
    const struct json *wanted = json_path(claim->value, "spec.resources.requests.storage");
    const struct json *present_size = json_path(claim->value, "status.capacity.storage");
    bool is_provisioned = json_path(volume->value, "spec.hostPath") != NULL;
    if (wanted == NULL || !is_provisioned || json_equal(wanted, present_size)) {
        return;
    }
    struct json *grown = json_copy(volume->value);
    json_set(json_ensure_object(json_get(grown, "spec"), "capacity"), "storage", json_copy(wanted));
    objects_put(&store->objects, VOLUMES, grown);
    struct json *value = json_copy(claim->value);
    json_set(json_ensure_object(json_ensure_object(value, "status"), "capacity"), "storage",
             json_copy(wanted));
    objects_put(&store->objects, CLAIMS, value);
}

static bool is_in_use(struct store *store, const struct object *claim)
{
    struct table *pods = objects_table(&store->objects, "pods");
    for (size_t row = table_seek(pods, claim->ns, ""); row < pods->count; row++) {
        const struct object *pod = pods->rows[row];
        if (strcmp(pod->ns, claim->ns) != 0) {
            break;
        }
        const char *phase = json_path_str(pod->value, "status.phase", "");
        if (strcmp(phase, "Succeeded") == 0 || strcmp(phase, "Failed") == 0) {
            continue;
        }
        const struct json *volumes = json_path(pod->value, "spec.volumes");
        for (size_t i = 0; i < json_count(volumes); i++) {
            const char *name =
                json_path_str(json_at(volumes, i), "persistentVolumeClaim.claimName", "");
            if (strcmp(name, claim->name) == 0) {
                return true;
            }
        }
    }
    return false;
}

static void settle_claim(struct store *store, struct object *claim)
{
    if (meta_is_deleting(claim->value)) {
        if (meta_has_finalizer(claim->value, FINALIZER_PVC) && !is_in_use(store, claim)) {
            struct json *value = json_copy(claim->value);
            meta_remove_finalizer(value, FINALIZER_PVC);
            write_commit(store, kinds_find_resource(&store->kinds, CLAIMS)->kind, claim, value);
        }
        return;
    }
    const char *phase = json_path_str(claim->value, "status.phase", "Pending");
    if (strcmp(phase, "Bound") == 0) {
        settle_bound(store, claim);
    } else if (strcmp(phase, "Pending") == 0) {
        settle_pending(store, claim);
    }
}

/* A volume whose claim is gone is deleted or released. */
static void settle_volume(struct store *store, struct object *volume)
{
    const char *uid = json_path_str(volume->value, "spec.claimRef.uid", "");
    if (*uid == '\0' || objects_find_uid(&store->objects, uid) != NULL ||
        meta_is_deleting(volume->value)) {
        return;
    }
    const char *policy =
        json_path_str(volume->value, "spec.persistentVolumeReclaimPolicy", "Retain");
    if (strcmp(policy, "Delete") == 0) {
        api_remove(store, kinds_find_resource(&store->kinds, VOLUMES)->kind, volume,
                   PROPAGATE_BACKGROUND);
    } else if (strcmp(json_path_str(volume->value, "status.phase", ""), "Released") != 0) {
        struct json *value = json_copy(volume->value);
        json_set_str(json_ensure_object(value, "status"), "phase", "Released");
        objects_put(&store->objects, VOLUMES, value);
    }
}

typedef void (*settle_fn)(struct store *store, struct object *object);

static void settle_all(struct store *store, const char *key, settle_fn settle)
{
    struct snapshot all;
    snapshot_take(store, key, &all);
    for (size_t i = 0; i < all.count; i++) {
        if (object_is_current(store, key, all.items[i])) {
            settle(store, all.items[i]);
        }
    }
    snapshot_free(&all);
}

void volumes_pass(struct store *store)
{
    settle_all(store, CLAIMS, settle_claim);
    settle_all(store, VOLUMES, settle_volume);
}
