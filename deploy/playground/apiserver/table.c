/* SPDX-License-Identifier: Apache-2.0 */
/* Tables from the columns of built-in kinds and of CRDs. */
#include "table.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "jsonpath.h"
#include "meta.h"

static struct json *column_definition(const char *name, const char *type, const char *format,
                                      const char *about, int64_t priority)
{
    struct json *column = json_object();
    json_set_str(column, "name", name);
    json_set_str(column, "type", type);
    json_set_str(column, "format", format);
    json_set_str(column, "description", about);
    json_set_int(column, "priority", priority);
    return column;
}

static void add_builtin_columns(const struct kind *kind, struct json *columns)
{
    for (size_t i = 0; i < TABLE_COLUMN_COUNT; i++) {
        const struct table_column *column = &TABLE_COLUMNS[i];
        if (strcmp(column->store_key, kind->store_key) == 0) {
            json_append(columns, column_definition(column->name, column->type, "", column->name,
                                                   column->priority));
        }
    }
}

static bool has_builtin_columns(const struct kind *kind)
{
    for (size_t i = 0; i < TABLE_COLUMN_COUNT; i++) {
        if (strcmp(TABLE_COLUMNS[i].store_key, kind->store_key) == 0) {
            return true;
        }
    }
    return false;
}

struct json *table_columns(const struct kind_version *version)
{
    struct json *columns = json_array();
    bool is_event = strcmp(version->kind->store_key, "events") == 0;
    if (!is_event) {
        json_append(columns, column_definition("Name", "string", "name", "Name of the object", 0));
    }
    if (version->columns != NULL) {
        for (size_t i = 0; i < json_count(version->columns); i++) {
            const struct json *column = json_at(version->columns, i);
            json_append(columns, column_definition(json_path_str(column, "name", ""),
                                                   json_path_str(column, "type", "string"),
                                                   json_path_str(column, "format", ""),
                                                   json_path_str(column, "description", ""),
                                                   json_path_i64(column, "priority", 0)));
        }
    } else if (has_builtin_columns(version->kind)) {
        add_builtin_columns(version->kind, columns);
    } else {
        bool is_custom = (version->kind->flags & KIND_CUSTOM) != 0;
        json_append(columns,
                    column_definition(is_custom ? "Age" : "Created At", "date", "", "Age", 0));
    }
    return columns;
}

struct json *table_age(const char *since)
{
    int64_t from = meta_time_parse(since);
    if (from < 0) {
        return json_string("<unknown>");
    }
    int64_t s = (int64_t)time(NULL) - from;
    s = s < 0 ? 0 : s;
    long long n = s;
    if (s < 120) {
        return json_stringf("%llds", n);
    }
    if (s < 600) {
        return n % 60 == 0 ? json_stringf("%lldm", n / 60)
                           : json_stringf("%lldm%llds", n / 60, n % 60);
    }
    if (s < 3 * 3600) {
        return json_stringf("%lldm", n / 60);
    }
    if (s < 8 * 3600) {
        return n / 60 % 60 == 0 ? json_stringf("%lldh", n / 3600)
                                : json_stringf("%lldh%lldm", n / 3600, n / 60 % 60);
    }
    if (s < 48 * 3600) {
        return json_stringf("%lldh", n / 3600);
    }
    if (s < 8 * 86400) {
        return n / 3600 % 24 == 0 ? json_stringf("%lldd", n / 86400)
                                  : json_stringf("%lldd%lldh", n / 86400, n / 3600 % 24);
    }
    return json_stringf("%lldd", n / 86400);
}

static struct json *custom_cell(const struct json *column, const struct json *object)
{
    struct json *found = json_array();
    struct json *cell = NULL;
    const char *type = json_path_str(column, "type", "string");
    if (jsonpath_find(object, json_path_str(column, "jsonPath", ""), found) == 0 &&
        json_count(found) > 0) {
        const struct json *value = json_at(found, 0);
        if (strcmp(type, "date") == 0) {
            cell = table_age(json_str(value, NULL));
        } else if (strcmp(type, "string") == 0 && !json_is(value, JSON_STRING)) {
            char *text = json_text(value, JSON_COMPACT);
            cell = json_string(text);
            mem_free(text);
        } else {
            cell = json_copy(value);
        }
    }
    json_free(found);
    return cell != NULL ? cell : json_null();
}

static void add_builtin_cells(const struct kind *kind, const struct json *object,
                              struct json *cells)
{
    for (size_t i = 0; i < TABLE_COLUMN_COUNT; i++) {
        const struct table_column *column = &TABLE_COLUMNS[i];
        if (strcmp(column->store_key, kind->store_key) != 0) {
            continue;
        }
        if (column->cell != NULL) {
            json_append(cells, column->cell(object));
            continue;
        }
        if (strcmp(column->type, "date") == 0) {
            json_append(cells, table_age(json_path_str(object, column->path, NULL)));
            continue;
        }
        const struct json *value = json_path(object, column->path);
        bool is_number = strcmp(column->type, "integer") == 0;
        json_append(cells, value != NULL ? json_copy(value)
                           : is_number   ? json_int(0)
                                         : json_string("<none>"));
    }
}

/* The name; the default storage class is marked. */
static struct json *name_cell(const struct kind *kind, const struct json *object)
{
    const struct json *mark = json_get(json_path(object, "metadata.annotations"),
                                       "storageclass.kubernetes.io/is-default-class");
    bool is_default =
        strcmp(kind->plural, "storageclasses") == 0 && strcmp(json_str(mark, ""), "true") == 0;
    return json_stringf("%s%s", meta_name(object), is_default ? " (default)" : "");
}

static struct json *cells_of(const struct kind_version *version, const struct json *object)
{
    struct json *cells = json_array();
    if (strcmp(version->kind->store_key, "events") != 0) {
        json_append(cells, name_cell(version->kind, object));
    }
    if (version->columns != NULL) {
        for (size_t i = 0; i < json_count(version->columns); i++) {
            json_append(cells, custom_cell(json_at(version->columns, i), object));
        }
    } else if (has_builtin_columns(version->kind)) {
        add_builtin_cells(version->kind, object, cells);
    } else {
        const char *created = json_path_str(object, "metadata.creationTimestamp", "");
        bool is_custom = (version->kind->flags & KIND_CUSTOM) != 0;
        json_append(cells, is_custom ? table_age(created) : json_string(created));
    }
    return cells;
}

struct json *table_row(const struct kind_version *version, const struct json *object,
                       enum table_include include)
{
    struct json *row = json_object();
    json_set(row, "cells", cells_of(version, object));
    if (include == TABLE_OBJECT) {
        json_set(row, "object", json_copy(object));
    } else if (include == TABLE_METADATA) {
        struct json *partial = json_object();
        json_set_str(partial, "kind", "PartialObjectMetadata");
        json_set_str(partial, "apiVersion", "meta.k8s.io/v1");
        struct json *metadata = json_get(object, "metadata");
        json_set(partial, "metadata", metadata == NULL ? json_object() : json_copy(metadata));
        json_set(row, "object", partial);
    }
    return row;
}

struct json *table_new(const struct kind_version *version, const char *revision, bool with_columns)
{
    struct json *table = json_object();
    json_set_str(table, "kind", "Table");
    json_set_str(table, "apiVersion", "meta.k8s.io/v1");
    json_set_str(json_ensure_object(table, "metadata"), "resourceVersion", revision);
    json_set(table, "columnDefinitions", with_columns ? table_columns(version) : json_array());
    json_set(table, "rows", json_array());
    return table;
}
