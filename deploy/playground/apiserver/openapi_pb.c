/* SPDX-License-Identifier: Apache-2.0 */
/* The few messages of gnostic's OpenAPIv2.proto that clients read. */
#include "openapi_pb.h"

#include <string.h>

#include "base/alloc.h"

/* Field numbers of OpenAPIv2.proto. */
enum {
    DOCUMENT_SWAGGER = 1,
    DOCUMENT_INFO = 2,
    DOCUMENT_PATHS = 8,
    DOCUMENT_DEFINITIONS = 9,
    INFO_TITLE = 1,
    INFO_VERSION = 2,
    PATHS_PATH = 2,
    NAMED_NAME = 1,
    NAMED_VALUE = 2,
    PATH_ITEM_PATCH = 8,
    OPERATION_ID = 5,
    OPERATION_PARAMETERS = 8,
    OPERATION_EXTENSION = 13,
    PARAMETERS_ITEM_PARAMETER = 1,
    PARAMETER_NON_BODY = 2,
    NON_BODY_QUERY = 3,
    QUERY_IN = 2,
    QUERY_NAME = 4,
    QUERY_TYPE = 6,
    SCHEMA_REF = 1,
    SCHEMA_FORMAT = 2,
    SCHEMA_DESCRIPTION = 4,
    SCHEMA_REQUIRED = 19,
    SCHEMA_ADDITIONAL = 21,
    SCHEMA_TYPE = 22,
    SCHEMA_ITEMS = 23,
    SCHEMA_PROPERTIES = 25,
    SCHEMA_EXTENSION = 31,
    ADDITIONAL_SCHEMA = 1,
    FIRST = 1, /* the only field of a wrapper message */
    ANY_YAML = 2,
};

#define WIRE_BYTES 2u

static void put_varint(struct buf *out, uint64_t value)
{
    while (value >= 0x80u) {
        buf_append_byte(out, (uint8_t)(value | 0x80u));
        value >>= 7;
    }
    buf_append_byte(out, (uint8_t)value);
}

static void put_bytes(struct buf *out, unsigned field, const void *data, size_t size)
{
    put_varint(out, field << 3 | WIRE_BYTES);
    put_varint(out, size);
    buf_append(out, data, size);
}

static void put_text(struct buf *out, unsigned field, const char *text)
{
    if (text != NULL && *text != '\0') {
        put_bytes(out, field, text, strlen(text));
    }
}

/* Appends inner as a message field and frees it. */
static void put_message(struct buf *out, unsigned field, struct buf *inner)
{
    put_bytes(out, field, inner->data, inner->size);
    buf_free(inner);
}

static void put_extensions(struct buf *out, unsigned field, const struct json *owner)
{
    for (size_t i = 0; i < json_count(owner); i++) {
        if (!str_starts_with(json_key_at(owner, i), "x-")) {
            continue;
        }
        struct buf any;
        struct buf named;
        buf_init(&any, BUF_NO_LIMIT);
        buf_init(&named, BUF_NO_LIMIT);
        char *text = json_text(json_at(owner, i), JSON_COMPACT);
        put_text(&any, ANY_YAML, text);
        mem_free(text);
        put_text(&named, NAMED_NAME, json_key_at(owner, i));
        put_message(&named, NAMED_VALUE, &any);
        put_message(out, field, &named);
    }
}

static void put_schema(struct buf *out, const struct json *schema);

static void put_named_schemas(struct buf *out, const struct json *schemas)
{
    for (size_t i = 0; i < json_count(schemas); i++) {
        struct buf value;
        struct buf named;
        buf_init(&value, BUF_NO_LIMIT);
        buf_init(&named, BUF_NO_LIMIT);
        put_schema(&value, json_at(schemas, i));
        put_text(&named, NAMED_NAME, json_key_at(schemas, i));
        put_message(&named, NAMED_VALUE, &value);
        put_message(out, FIRST, &named);
    }
}

/* A schema inside a wrapper message with one field. */
static void put_wrapped(struct buf *out, unsigned field, const struct json *schema)
{
    struct buf inner;
    struct buf wrapper;
    buf_init(&inner, BUF_NO_LIMIT);
    buf_init(&wrapper, BUF_NO_LIMIT);
    put_schema(&inner, schema);
    put_message(&wrapper, FIRST, &inner);
    put_message(out, field, &wrapper);
}

static void put_schema(struct buf *out, const struct json *schema)
{
    put_text(out, SCHEMA_REF, json_str(json_get(schema, "$ref"), NULL));
    put_text(out, SCHEMA_FORMAT, json_str(json_get(schema, "format"), NULL));
    put_text(out, SCHEMA_DESCRIPTION, json_str(json_get(schema, "description"), NULL));
    const struct json *required = json_get(schema, "required");
    for (size_t i = 0; i < json_count(required); i++) {
        put_text(out, SCHEMA_REQUIRED, json_str(json_at(required, i), ""));
    }
    if (json_is(json_get(schema, "additionalProperties"), JSON_OBJECT)) {
        put_wrapped(out, SCHEMA_ADDITIONAL, json_get(schema, "additionalProperties"));
    }
    const char *type = json_str(json_get(schema, "type"), NULL);
    if (type != NULL) {
        struct buf item;
        buf_init(&item, BUF_NO_LIMIT);
        put_text(&item, FIRST, type);
        put_message(out, SCHEMA_TYPE, &item);
    }
    if (json_get(schema, "items") != NULL) {
        put_wrapped(out, SCHEMA_ITEMS, json_get(schema, "items"));
    }
    if (json_get(schema, "properties") != NULL) {
        struct buf properties;
        buf_init(&properties, BUF_NO_LIMIT);
        put_named_schemas(&properties, json_get(schema, "properties"));
        put_message(out, SCHEMA_PROPERTIES, &properties);
    }
    put_extensions(out, SCHEMA_EXTENSION, schema);
}

static void put_parameter(struct buf *out, const struct json *parameter)
{
    struct buf query;
    struct buf non_body;
    struct buf wrapped;
    struct buf item;
    buf_init(&query, BUF_NO_LIMIT);
    buf_init(&non_body, BUF_NO_LIMIT);
    buf_init(&wrapped, BUF_NO_LIMIT);
    buf_init(&item, BUF_NO_LIMIT);
    put_text(&query, QUERY_IN, "query");
    put_text(&query, QUERY_NAME, json_path_str(parameter, "name", ""));
    put_text(&query, QUERY_TYPE, "string");
    put_message(&non_body, NON_BODY_QUERY, &query);
    put_message(&wrapped, PARAMETER_NON_BODY, &non_body);
    put_message(&item, PARAMETERS_ITEM_PARAMETER, &wrapped);
    put_message(out, OPERATION_PARAMETERS, &item);
}

static void put_path(struct buf *out, const char *path, const struct json *item)
{
    const struct json *patch = json_get(item, "patch");
    struct buf operation;
    struct buf path_item;
    struct buf named;
    buf_init(&operation, BUF_NO_LIMIT);
    buf_init(&path_item, BUF_NO_LIMIT);
    buf_init(&named, BUF_NO_LIMIT);
    put_text(&operation, OPERATION_ID, json_path_str(patch, "operationId", ""));
    const struct json *parameters = json_get(patch, "parameters");
    for (size_t i = 0; i < json_count(parameters); i++) {
        put_parameter(&operation, json_at(parameters, i));
    }
    put_extensions(&operation, OPERATION_EXTENSION, patch);
    put_message(&path_item, PATH_ITEM_PATCH, &operation);
    put_text(&named, NAMED_NAME, path);
    put_message(&named, NAMED_VALUE, &path_item);
    put_message(out, PATHS_PATH, &named);
}

void openapi_pb_encode(const struct json *document, struct buf *out)
{
    struct buf part;
    buf_init(&part, BUF_NO_LIMIT);
    put_text(out, DOCUMENT_SWAGGER, json_path_str(document, "swagger", "2.0"));
    put_text(&part, INFO_TITLE, json_path_str(document, "info.title", ""));
    put_text(&part, INFO_VERSION, json_path_str(document, "info.version", ""));
    put_message(out, DOCUMENT_INFO, &part);
    const struct json *paths = json_get(document, "paths");
    buf_init(&part, BUF_NO_LIMIT);
    for (size_t i = 0; i < json_count(paths); i++) {
        put_path(&part, json_key_at(paths, i), json_at(paths, i));
    }
    put_message(out, DOCUMENT_PATHS, &part);
    buf_init(&part, BUF_NO_LIMIT);
    put_named_schemas(&part, json_get(document, "definitions"));
    put_message(out, DOCUMENT_DEFINITIONS, &part);
}
