/* SPDX-License-Identifier: Apache-2.0 */
/* Turns the rows of types_core.c into structural schemas. */
#include "types.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"

#define FIELD_SIZE_MAX 160u

struct scalar {
    const char *code;
    const char *type;
    const char *format;
};

static const struct scalar SCALARS[] = {
    {"s", "string", NULL},   {"i", "integer", "int64"},      {"n", "number", NULL},
    {"b", "boolean", NULL},  {"t", "string", "date-time"},   {"y", "string", "byte"},
    {"q", NULL, "quantity"}, {"ios", NULL, "int-or-string"},
};

const struct type_row *types_find(const char *name)
{
    for (size_t i = 0; i < TYPE_ROW_COUNT; i++) {
        if (strcmp(TYPE_ROWS[i].name, name) == 0) {
            return &TYPE_ROWS[i];
        }
    }
    return NULL;
}

char *types_public_name(const struct type_row *row)
{
    if (strcmp(row->package, "meta.v1") == 0) {
        return str_printf("io.k8s.apimachinery.pkg.apis.meta.v1.%s", row->name);
    }
    if (strncmp(row->package, "apiextensions", 13) == 0) {
        return str_printf("io.k8s.apiextensions-apiserver.pkg.apis.%s.%s", row->package, row->name);
    }
    return str_printf("io.k8s.api.%s.%s", row->package, row->name);
}

/* ref_prefix NULL means: expand. */
static struct json *schema_of_type(const char *type, const char *ref_prefix);

static struct json *scalar_schema(const char *type)
{
    for (size_t i = 0; i < ARRAY_COUNT(SCALARS); i++) {
        if (strcmp(SCALARS[i].code, type) != 0) {
            continue;
        }
        struct json *schema = json_object();
        if (SCALARS[i].type == NULL) {
            json_set_bool(schema, "x-kubernetes-int-or-string", true);
            return schema;
        }
        json_set_str(schema, "type", SCALARS[i].type);
        if (SCALARS[i].format != NULL) {
            json_set_str(schema, "format", SCALARS[i].format);
        }
        return schema;
    }
    return NULL;
}

static struct json *map_schema(struct json *values)
{
    struct json *schema = json_object();
    json_set_str(schema, "type", "object");
    json_set(schema, "additionalProperties", values);
    return schema;
}

static void list_set_keys(struct json *schema, const char *keys)
{
    if (*keys == '\0') {
        json_set_str(schema, "x-kubernetes-list-type", "set");
        json_set_str(schema, "x-kubernetes-patch-strategy", "merge");
        return;
    }
    json_set_str(schema, "x-kubernetes-list-type", "map");
    json_set_str(schema, "x-kubernetes-patch-strategy", "merge");
    struct json *names = json_ensure_array(schema, "x-kubernetes-list-map-keys");
    while (*keys != '\0') {
        size_t size = strcspn(keys, ",");
        json_append(names, json_string_n(keys, size));
        keys += size + (keys[size] == ',' ? 1 : 0);
    }
    json_set_str(schema, "x-kubernetes-patch-merge-key", json_str(json_at(names, 0), ""));
}

static struct json *list_schema(const char *type, const char *ref_prefix)
{
    const char *end = strchr(type, ']');
    ASSERT(end != NULL);
    char *item = str_from(type + 1, (size_t)(end - type - 1));
    struct json *schema = json_object();
    json_set_str(schema, "type", "array");
    json_set(schema, "items", schema_of_type(item, ref_prefix));
    mem_free(item);
    if (end[1] == '@') {
        list_set_keys(schema, end + 2);
    } else {
        json_set_str(schema, "x-kubernetes-list-type", "atomic");
    }
    return schema;
}

static struct json *open_schema(const char *json_type)
{
    struct json *schema = json_object();
    if (json_type != NULL) {
        json_set_str(schema, "type", json_type);
    }
    json_set_bool(schema, "x-kubernetes-preserve-unknown-fields", true);
    return schema;
}

static struct json *row_reference(const char *name, const char *ref_prefix)
{
    const struct type_row *row = types_find(name);
    ASSERT(row != NULL);
    if (ref_prefix == NULL) {
        return types_schema(row, NULL);
    }
    struct json *schema = json_object();
    char *public_name = types_public_name(row);
    json_set(schema, "$ref", json_stringf("%s%s", ref_prefix, public_name));
    mem_free(public_name);
    return schema;
}

static struct json *schema_of_type(const char *type, const char *ref_prefix)
{
    struct json *scalar = scalar_schema(type);
    if (scalar != NULL) {
        return scalar;
    }
    if (strcmp(type, "o") == 0) {
        return open_schema("object");
    }
    if (strcmp(type, "any") == 0) {
        return open_schema(NULL);
    }
    if (type[0] == 'm' && type[1] != '\0' && type[2] == '\0') {
        return map_schema(scalar_schema(type + 1));
    }
    if (type[0] == '[') {
        return list_schema(type, ref_prefix);
    }
    if (type[0] == '{') {
        char *item = str_from(type + 1, strcspn(type + 1, "}"));
        struct json *schema = map_schema(schema_of_type(item, ref_prefix));
        mem_free(item);
        return schema;
    }
    return row_reference(type, ref_prefix);
}

static struct json *default_value(const struct json *schema, const char *text)
{
    const char *type = json_str(json_get(schema, "type"), "");
    if (strcmp(type, "string") == 0) {
        return json_string(text);
    }
    if (strcmp(type, "boolean") == 0) {
        return json_bool(strcmp(text, "true") == 0);
    }
    return json_int(strtoll(text, NULL, 10));
}

static void field_add(struct json *schema, char *field, const char *ref_prefix)
{
    char *colon = strchr(field, ':');
    ASSERT(colon != NULL);
    char *type = colon + 1;
    bool is_required = colon[-1] == '!';
    *(is_required ? colon - 1 : colon) = '\0';
    char *fallback = strchr(type, '=');
    if (fallback != NULL) {
        *fallback++ = '\0';
    }
    size_t type_size = strlen(type);
    bool retains_keys = type[type_size - 1] == '~';
    if (retains_keys) {
        type[type_size - 1] = '\0';
    }
    struct json *value = schema_of_type(type, ref_prefix);
    if (retains_keys) {
        bool is_list = json_get(value, "items") != NULL;
        json_set_str(value, "x-kubernetes-patch-strategy",
                     is_list ? "merge,retainKeys" : "retainKeys");
    }
    if (fallback != NULL) {
        json_set(value, "default", default_value(value, fallback));
    }
    if (is_required) {
        json_append(json_ensure_array(schema, "required"), json_string(field));
    }
    json_set(json_ensure_object(schema, "properties"), field, value);
}

struct json *types_schema(const struct type_row *row, const char *ref_prefix)
{
    struct json *schema = json_object();
    json_set_str(schema, "type", "object");
    if (row->about != NULL) {
        json_set_str(schema, "description", row->about);
    }
    const char *at = row->fields;
    at += strspn(at, " ");
    while (*at != '\0') {
        size_t size = strcspn(at, " ");
        char field[FIELD_SIZE_MAX];
        ASSERT(size < sizeof(field));
        memcpy(field, at, size);
        field[size] = '\0';
        field_add(schema, field, ref_prefix);
        at += size;
        at += strspn(at, " ");
    }
    return schema;
}

struct json *types_expand(const char *name)
{
    return row_reference(name, NULL);
}
