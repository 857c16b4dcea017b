/* SPDX-License-Identifier: Apache-2.0 */
/* CustomResourceDefinitions: checked, accepted at once, and turned into kinds of the registry. */
#include <string.h>

#include "api.h"
#include "base/alloc.h"
#include "meta.h"
#include "schema.h"
#include "types.h"

static void check_names(const struct json *crd, struct json *causes)
{
    const char *plural = json_path_str(crd, "spec.names.plural", "");
    const char *group = json_path_str(crd, "spec.group", "");
    char *wanted = str_printf("%s.%s", plural, group);
    if (strcmp(meta_name(crd), wanted) != 0) {
        cause_add(causes, "FieldValueInvalid", "metadata.name",
                  "Invalid value: \"%s\": must be spec.names.plural+\".\"+spec.group",
                  meta_name(crd));
    }
    mem_free(wanted);
    const char *scope = json_path_str(crd, "spec.scope", "");
    if (strcmp(scope, "Namespaced") != 0 && strcmp(scope, "Cluster") != 0) {
        cause_add(causes, "FieldValueNotSupported", "spec.scope",
                  "Unsupported value: \"%s\": supported values: \"Cluster\", \"Namespaced\"",
                  scope);
    }
}

static void check_versions(const struct json *crd, struct json *causes)
{
    const struct json *versions = json_path(crd, "spec.versions");
    size_t stored = 0;
    for (size_t i = 0; i < json_count(versions); i++) {
        const struct json *version = json_at(versions, i);
        stored += json_path_truth(version, "storage", false) ? 1 : 0;
        char *path = str_printf("spec.versions[%zu].schema.openAPIV3Schema", i);
        const struct json *schema = json_path(version, "schema.openAPIV3Schema");
        if (schema == NULL) {
            cause_add(causes, "FieldValueRequired", path, "Required value: schemas are required");
        } else {
            schema_check_structural(schema, path, causes);
        }
        mem_free(path);
    }
    if (stored != 1) {
        cause_add(causes, "FieldValueInvalid", "spec.versions",
                  "Invalid value: %zu: must have exactly one version marked as storage version",
                  stored);
    }
}

static void fill_names(struct json *crd)
{
    struct json *names = json_path(crd, "spec.names");
    const char *kind = json_path_str(names, "kind", "");
    if (json_get(names, "singular") == NULL) {
        char *lower = str_dup(kind);
        for (char *at = lower; *at != '\0'; at++) {
            *at = (char)(*at >= 'A' && *at <= 'Z' ? *at - 'A' + 'a' : *at);
        }
        json_set_str(names, "singular", lower);
        mem_free(lower);
    }
    if (json_get(names, "listKind") == NULL) {
        json_set(names, "listKind", json_stringf("%sList", kind));
    }
    struct json *spec = json_get(crd, "spec");
    if (json_get(spec, "conversion") == NULL) {
        json_set_str(json_ensure_object(spec, "conversion"), "strategy", "None");
    }
}

static void fill_status(struct json *crd)
{
    struct json *status = json_ensure_object(crd, "status");
    json_set(status, "acceptedNames", json_copy(json_path(crd, "spec.names")));
    struct json *stored = json_ensure_array(status, "storedVersions");
    const struct json *versions = json_path(crd, "spec.versions");
    for (size_t i = 0; i < json_count(versions); i++) {
        const char *name = json_path_str(json_at(versions, i), "name", "");
        bool is_known = false;
        for (size_t k = 0; k < json_count(stored); k++) {
            is_known = is_known || strcmp(json_str(json_at(stored, k), ""), name) == 0;
        }
        if (!is_known && json_path_truth(json_at(versions, i), "storage", false)) {
            json_append(stored, json_string(name));
        }
    }
    meta_set_condition(crd, "NamesAccepted", "True", "NoConflicts", "no conflicts found");
    meta_set_condition(crd, "Established", "True", "InitialNamesAccepted",
                       "the initial names have been accepted");
}

void crd_admit(struct json *crd, struct json *causes)
{
    check_names(crd, causes);
    check_versions(crd, causes);
    if (json_count(causes) == 0) {
        fill_names(crd);
        fill_status(crd);
    }
}

/* The CRD's schema with what every object has: types and full metadata. */
static struct json *complete_schema(const struct json *schema)
{
    struct json *complete = json_copy(schema);
    struct json *fields = json_ensure_object(complete, "properties");
    static const char *const STRINGS[] = {"apiVersion", "kind"};
    for (size_t i = 0; i < ARRAY_COUNT(STRINGS); i++) {
        json_set_str(json_ensure_object(fields, STRINGS[i]), "type", "string");
    }
    json_set(fields, "metadata", types_expand("ObjectMeta"));
    return complete;
}

static void fill_version(struct kind_version *version, const struct json *source)
{
    version->name = str_dup(json_path_str(source, "name", ""));
    version->is_served = json_path_truth(source, "served", false);
    version->is_storage = json_path_truth(source, "storage", false);
    version->schema = complete_schema(json_path(source, "schema.openAPIV3Schema"));
    const struct json *columns = json_get(source, "additionalPrinterColumns");
    version->columns = columns == NULL ? NULL : json_copy(columns);
    if (json_path(source, "subresources.status") != NULL) {
        version->flags |= KIND_STATUS;
    }
    const struct json *scale = json_path(source, "subresources.scale");
    if (scale != NULL) {
        version->flags |= KIND_SCALE;
        version->scale = json_copy(scale);
    }
}

void crd_register(struct store *store, const struct json *crd)
{
    const struct json *names = json_path(crd, "spec.names");
    const struct json *versions = json_path(crd, "spec.versions");
    bool is_namespaced = strcmp(json_path_str(crd, "spec.scope", ""), "Namespaced") == 0;
    struct kind *kind =
        kind_new(json_path_str(crd, "spec.group", ""), json_path_str(names, "plural", ""),
                 json_path_str(names, "singular", ""), json_path_str(names, "kind", ""),
                 KIND_CUSTOM | (is_namespaced ? KIND_NAMESPACED : 0), json_count(versions));
    mem_free(kind->list_name);
    kind->list_name = str_dup(json_path_str(names, "listKind", ""));
    static const char *const LISTS[] = {"shortNames", "categories"};
    struct json **targets[] = {&kind->short_names, &kind->categories};
    for (size_t i = 0; i < ARRAY_COUNT(LISTS); i++) {
        if (json_get(names, LISTS[i]) != NULL) {
            json_free(*targets[i]);
            *targets[i] = json_copy(json_get(names, LISTS[i]));
        }
    }
    for (size_t i = 0; i < json_count(versions); i++) {
        fill_version(&kind->versions[i], json_at(versions, i));
    }
    kinds_put(&store->kinds, kind);
}

void crd_unregister(struct store *store, const struct json *crd)
{
    kinds_retire(&store->kinds, json_path_str(crd, "spec.group", ""),
                 json_path_str(crd, "spec.names.plural", ""));
}
