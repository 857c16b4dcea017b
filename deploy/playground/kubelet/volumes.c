/* SPDX-License-Identifier: Apache-2.0 */
/* Volumes are folders: of claims where their PersistentVolume says, others in the Pod's own. */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/log.h"
#include "content.h"
#include "files.h"
#include "publish.h"

#define FILE_BYTES_MAX (2u * 1024u * 1024u)

static const char *claim_name(const struct json *volume)
{
    return json_path_str(volume, "persistentVolumeClaim.claimName", NULL);
}

static const struct json *claim_of(const struct kubelet *kubelet, const struct json *pod,
                                   const struct json *volume)
{
    return mirror_find(&kubelet->claims, json_path_str(pod, "metadata.namespace", ""),
                       claim_name(volume));
}

int volumes_node(const struct kubelet *kubelet, const struct json *pod, const char **out_node,
                 struct err *err)
{
    const char *node = NULL;
    const struct json *volumes = json_path(pod, "spec.volumes");
    for (size_t i = 0; i < json_count(volumes); i++) {
        const struct json *volume = json_at(volumes, i);
        if (claim_name(volume) == NULL) {
            continue;
        }
        const struct json *claim = claim_of(kubelet, pod, volume);
        if (claim == NULL) {
            return err_set(err, E_AGAIN, "persistentvolumeclaim \"%s\" not found",
                           claim_name(volume));
        }
        if (!str_equal(json_path_str(claim, "status.phase", ""), "Bound")) {
            return err_set(err, E_AGAIN, "persistentvolumeclaim \"%s\" is %s", claim_name(volume),
                           json_path_str(claim, "status.phase", "Pending"));
        }
        const struct json *annotations = json_path(claim, "metadata.annotations");
        const char *selected = json_str(json_get(annotations, SELECTED_ANNOTATION), NULL);
        node = selected != NULL ? selected : node;
    }
    *out_node = node;
    return 0;
}

void volumes_select_node(struct kubelet *kubelet, const struct json *pod, const char *node)
{
    const struct json *volumes = json_path(pod, "spec.volumes");
    for (size_t i = 0; i < json_count(volumes); i++) {
        const struct json *volume = json_at(volumes, i);
        const struct json *claim =
            claim_name(volume) == NULL ? NULL : claim_of(kubelet, pod, volume);
        if (claim == NULL) {
            continue;
        }
        struct json *patch = json_object();
        json_set_str(json_ensure_object(json_ensure_object(patch, "metadata"), "annotations"),
                     SELECTED_ANNOTATION, node);
        struct err err = {""};
        if (store_patch(kubelet->config.store, "persistentvolumeclaims",
                        json_path_str(pod, "metadata.namespace", ""), claim_name(volume), "", patch,
                        NULL, &err) != 0) {
            LOG_WARN("cannot note the node of a claim", LOG_STR("claim", claim_name(volume)),
                     LOG_STR("error", err.text));
        }
        json_free(patch);
    }
}

/* Gives the folder of a bound claim's volume (mem_free), or NULL with a text. */
static char *claim_folder(const struct kubelet *kubelet, const struct pod *pod,
                          const struct json *volume, struct err *err)
{
    const struct json *claim = claim_of(kubelet, pod->object, volume);
    const char *phase = json_path_str(claim, "status.phase", "missing");
    const struct json *persistent =
        mirror_find(&kubelet->volumes, "", json_path_str(claim, "spec.volumeName", ""));
    const char *folder = json_path_str(persistent, "spec.hostPath.path", NULL);
    if (!str_equal(phase, "Bound") || folder == NULL) {
        err_set(err, E_AGAIN, "volume \"%s\": claim \"%s\" is %s%s",
                json_path_str(volume, "name", ""), claim_name(volume), phase,
                str_equal(phase, "Bound") ? ", but its volume is gone" : "");
        return NULL;
    }
    return str_dup(folder);
}

static void put_file(const char *folder, const char *name, const char *data, size_t size,
                     mode_t mode)
{
    char *path = str_printf("%s/%s", folder, name);
    char *slash = strrchr(path, '/');
    *slash = '\0';
    files_make_dirs(path);
    *slash = '/';
    struct stat info;
    bool is_same = false;
    if (stat(path, &info) == 0 && (size_t)info.st_size == size) {
        char *old = files_read_text(path, FILE_BYTES_MAX);
        is_same = old != NULL && memcmp(old, data, BASE_MIN(size, FILE_BYTES_MAX)) == 0;
        mem_free(old);
    }
    if (!is_same) {
        files_write(path, data, size, mode);
    }
    mem_free(path);
}

static bool is_plain_path(const char *path)
{
    return path[0] != '/' && path[0] != '\0' && strstr(path, "..") == NULL;
}

/* One key of a Secret or ConfigMap as a file. */
static int put_key(const struct json *object, bool is_secret, const char *key, const char *path,
                   const char *folder, mode_t mode, struct err *err)
{
    size_t size = 0;
    char *value = content_value(object, is_secret, key, &size);
    if (value == NULL || !is_plain_path(path)) {
        mem_free(value);
        return err_set(err, E_AGAIN, "references non-existent key: %s", key);
    }
    put_file(folder, path, value, size, mode);
    mem_free(value);
    return 0;
}

static int put_all_keys(const struct json *object, bool is_secret, const char *folder, mode_t mode,
                        struct err *err)
{
    static const char *const MAPS[] = {"data", "binaryData"};
    int rc = 0;
    for (size_t map = 0; map < ARRAY_COUNT(MAPS); map++) {
        const struct json *values = json_get(object, MAPS[map]);
        for (size_t i = 0; i < json_count(values) && rc == 0; i++) {
            const char *key = json_key_at(values, i);
            rc = put_key(object, is_secret, key, key, folder, mode, err);
        }
    }
    return rc;
}

/* source is the part of a volume that names a Secret or ConfigMap. */
static int put_object(const struct kubelet *kubelet, const struct pod *pod, bool is_secret,
                      const struct json *source, const char *folder, struct err *err)
{
    const char *name = json_path_str(source, "secretName", json_path_str(source, "name", ""));
    const struct json *object = content_object(kubelet, is_secret, pod->ns, name);
    if (object == NULL) {
        return json_path_truth(source, "optional", false)
                   ? 0
                   : err_set(err, E_AGAIN, "%s \"%s\" not found",
                             is_secret ? "secret" : "configmap", name);
    }
    mode_t mode = (mode_t)json_path_i64(source, "defaultMode", 0644);
    const struct json *items = json_get(source, "items");
    if (items == NULL) {
        return put_all_keys(object, is_secret, folder, mode, err);
    }
    int rc = 0;
    for (size_t i = 0; i < json_count(items) && rc == 0; i++) {
        const struct json *item = json_at(items, i);
        rc = put_key(object, is_secret, json_path_str(item, "key", ""),
                     json_path_str(item, "path", ""), folder,
                     (mode_t)json_path_i64(item, "mode", mode), err);
    }
    return rc;
}

static int put_downward(const struct kubelet *kubelet, const struct pod *pod,
                        const struct json *source, const char *folder, struct err *err)
{
    const struct json *items = json_get(source, "items");
    for (size_t i = 0; i < json_count(items); i++) {
        const struct json *item = json_at(items, i);
        const char *field = json_path_str(item, "fieldRef.fieldPath", "");
        const char *path = json_path_str(item, "path", "");
        char *value = content_field(kubelet, pod, field);
        if (value == NULL || !is_plain_path(path)) {
            mem_free(value);
            return err_set(err, E_INVALID, "the playground does not offer the field \"%s\"", field);
        }
        put_file(folder, path, value, strlen(value), 0644);
        mem_free(value);
    }
    return 0;
}

static int put_source(const struct kubelet *kubelet, const struct pod *pod,
                      const struct json *volume, const char *folder, struct err *err);

static int put_projected(const struct kubelet *kubelet, const struct pod *pod,
                         const struct json *projected, const char *folder, struct err *err)
{
    const struct json *sources = json_get(projected, "sources");
    int rc = 0;
    for (size_t i = 0; i < json_count(sources) && rc == 0; i++) {
        rc = put_source(kubelet, pod, json_at(sources, i), folder, err);
    }
    return rc;
}

/* Writes what a volume that is made of objects holds. */
static int put_source(const struct kubelet *kubelet, const struct pod *pod,
                      const struct json *volume, const char *folder, struct err *err)
{
    const struct json *part;
    if ((part = json_get(volume, "secret")) != NULL) {
        return put_object(kubelet, pod, true, part, folder, err);
    }
    if ((part = json_get(volume, "configMap")) != NULL) {
        return put_object(kubelet, pod, false, part, folder, err);
    }
    if ((part = json_get(volume, "downwardAPI")) != NULL) {
        return put_downward(kubelet, pod, part, folder, err);
    }
    if ((part = json_get(volume, "projected")) != NULL) {
        return put_projected(kubelet, pod, part, folder, err);
    }
    return json_get(volume, "emptyDir") != NULL
               ? 0
               : err_set(err, E_INVALID, "the playground does not know this kind of volume");
}

/* The same, with all files replaced together. */
static int publish_source(const struct kubelet *kubelet, const struct pod *pod,
                          const struct json *volume, const char *folder, struct err *err)
{
    if (json_get(volume, "emptyDir") != NULL) {
        return 0; /* what stands there is the containers' */
    }
    char *staging = publish_begin(folder);
    int rc = put_source(kubelet, pod, volume, staging, err);
    if (rc == 0) {
        publish_end(folder, staging);
    } else {
        publish_cancel(staging);
    }
    return rc;
}

/* Gives the folder of one volume, ready for use (mem_free), or NULL with a text. */
static char *make_volume(struct kubelet *kubelet, const struct pod *pod, const struct json *volume,
                         struct err *err)
{
    char *folder = NULL;
    int rc = 0;
    if (claim_name(volume) != NULL) {
        folder = claim_folder(kubelet, pod, volume, err);
    } else if (json_get(volume, "hostPath") != NULL) {
        folder = str_dup(json_path_str(volume, "hostPath.path", "/nonexistent"));
        bool may_make =
            str_starts_with(json_path_str(volume, "hostPath.type", ""), "DirectoryOrCreate");
        if (!may_make) {
            return folder;
        }
    } else {
        folder = str_printf("%s/volumes/%s", pod->dir, json_path_str(volume, "name", ""));
        files_make_dirs(folder);
        rc = publish_source(kubelet, pod, volume, folder, err);
        if (rc != 0) {
            err_wrap(err, rc, "volume \"%s\"", json_path_str(volume, "name", ""));
        }
    }
    if (folder != NULL && rc == 0 && !files_make_dirs(folder)) {
        rc = err_set(err, E_IO, "cannot make the folder %s", folder);
    }
    if (rc != 0) {
        mem_free(folder);
        return NULL;
    }
    return folder;
}

static void forget_mounts(struct pod *pod)
{
    for (size_t i = 0; i < pod->mount_count; i++) {
        mem_free(pod->mounts[i].path);
        mem_free(pod->mounts[i].folder);
    }
    mem_free(pod->mounts);
    pod->mounts = NULL;
    pod->mount_count = 0;
}

int volumes_prepare(struct kubelet *kubelet, struct pod *pod, struct err *err)
{
    forget_mounts(pod);
    pod->has_volumes = false;
    const struct json *volumes = json_path(pod->object, "spec.volumes");
    pod->mounts = mem_array(json_count(volumes) + 1, sizeof(*pod->mounts));
    for (size_t i = 0; i < json_count(volumes); i++) {
        char *folder = make_volume(kubelet, pod, json_at(volumes, i), err);
        if (folder == NULL) {
            return E_AGAIN;
        }
        pod->mounts[pod->mount_count++] = (struct rewrite_mount){
            .path = str_dup(json_path_str(json_at(volumes, i), "name", "")), .folder = folder};
    }
    pod->has_volumes = true;
    return 0;
}

void volumes_refresh(struct kubelet *kubelet, struct pod *pod)
{
    const struct json *volumes = json_path(pod->object, "spec.volumes");
    for (size_t i = 0; i < json_count(volumes) && pod->has_volumes; i++) {
        const struct json *volume = json_at(volumes, i);
        bool is_made = claim_name(volume) == NULL && json_get(volume, "hostPath") == NULL;
        if (is_made) {
            struct err err = {""};
            char *folder = str_printf("%s/volumes/%s", pod->dir, json_path_str(volume, "name", ""));
            if (publish_source(kubelet, pod, volume, folder, &err) != 0) {
                LOG_DEBUG("a volume keeps what it has", LOG_STR("pod", pod->name),
                          LOG_STR("error", err.text));
            }
            mem_free(folder);
        }
    }
}

/* The Pod's own word counts before that of its service account. */
static bool wants_account(const struct kubelet *kubelet, const struct pod *pod)
{
    const struct json *own = json_path(pod->object, "spec.automountServiceAccountToken");
    if (own != NULL) {
        return json_truth(own, true);
    }
    struct json *account = NULL;
    const char *name = json_path_str(pod->object, "spec.serviceAccountName", "default");
    if (store_get(kubelet->config.store, "serviceaccounts", pod->ns, name, &account, NULL) != 0) {
        return false;
    }
    bool wants = json_path_truth(account, "automountServiceAccountToken", true);
    json_free(account);
    return wants;
}

char *volumes_account(const struct kubelet *kubelet, const struct pod *pod)
{
    static const struct {
        const char *from; /* in the playground's folder */
        const char *to;
    } FILES[] = {{"token", "token"}, {"tls.crt", "ca.crt"}};
    if (!wants_account(kubelet, pod)) {
        return NULL;
    }
    char *folder = str_printf("%s/serviceaccount", pod->dir);
    files_make_dirs(folder);
    for (size_t i = 0; i < ARRAY_COUNT(FILES); i++) {
        char *path = str_printf("%s/%s", kubelet->dir, FILES[i].from);
        char *text = files_read_text(path, FILE_BYTES_MAX);
        if (text != NULL) {
            put_file(folder, FILES[i].to, text, strlen(text), 0600);
        }
        mem_free(text);
        mem_free(path);
    }
    put_file(folder, "namespace", pod->ns, strlen(pod->ns), 0600);
    return folder;
}

/* Removes a volume's folder if it is one of ours. */
static void remove_folder(const struct kubelet *kubelet, const char *folder)
{
    char *prefix = str_printf("%s/", kubelet->volumes_dir);
    if (str_starts_with(folder, prefix) && strstr(folder, "..") == NULL) {
        /* Out of the way first: nothing may find half of it. */
        char *away = str_printf("%s.removed", folder);
        const char *gone = rename(folder, away) == 0 ? away : folder;
        files_remove_tree(gone);
        mem_free(away);
    }
    mem_free(prefix);
}

void volumes_on_gone(void *kubelet, const struct json *volume)
{
    bool is_deleted =
        str_equal(json_path_str(volume, "spec.persistentVolumeReclaimPolicy", "Retain"), "Delete");
    const char *folder = json_path_str(volume, "spec.hostPath.path", NULL);
    if (is_deleted && folder != NULL) {
        remove_folder(kubelet, folder);
    }
}

size_t volumes_destroy(struct kubelet *kubelet, const struct pod *pod)
{
    size_t count = 0;
    const struct json *volumes = json_path(pod->object, "spec.volumes");
    for (size_t i = 0; i < json_count(volumes); i++) {
        struct err err = {""};
        const struct json *volume = json_at(volumes, i);
        char *folder = claim_name(volume) == NULL ? NULL : claim_folder(kubelet, pod, volume, &err);
        if (folder == NULL) {
            continue;
        }
        const struct json *claim = claim_of(kubelet, pod->object, volume);
        const char *name = json_path_str(claim, "spec.volumeName", "");
        if (store_delete(kubelet->config.store, "persistentvolumes", NULL, name, NULL, 0, &err) !=
            0) {
            LOG_WARN("cannot delete a volume", LOG_STR("volume", name), LOG_STR("error", err.text));
        }
        remove_folder(kubelet, folder);
        mem_free(folder);
        count++;
    }
    return count;
}
