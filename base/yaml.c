/* SPDX-License-Identifier: Apache-2.0 */
/* libyaml's events turned into base/json trees. */
#include "base/yaml.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "base/alloc.h"

struct yaml_level {
    struct json *value; /* array or object under construction */
    char *key;          /* object: the key that waits for its value */
};

struct yaml_reader {
    yaml_parser_t parser;
    struct yaml_level levels[YAML_DEPTH_MAX];
    size_t depth;
    struct json *root;
    struct err *err;
};

static int fail(struct yaml_reader *reader, const yaml_event_t *event, const char *reason)
{
    size_t line = event != NULL ? event->start_mark.line : reader->parser.problem_mark.line;
    return err_set(reader->err, E_INVALID, "line %zu: %s", line + 1, reason);
}

static bool is_one_of(const char *text, const char *const *words, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(text, words[i]) == 0) {
            return true;
        }
    }
    return false;
}

/* A number, or NULL. */
static struct json *number_of(const char *text)
{
    char *end = NULL;
    if (strchr("+-.0123456789", text[0]) == NULL || strpbrk(text, "0123456789") == NULL) {
        return NULL;
    }
    errno = 0;
    long long whole = strtoll(text, &end, 0);
    if (*end == '\0' && errno == 0) {
        return json_int(whole);
    }
    if (strspn(text, "+-.0123456789eE") != strlen(text)) {
        return NULL; /* no hexadecimal fractions, no infinity */
    }
    errno = 0;
    double fraction = strtod(text, &end);
    return *end == '\0' && errno == 0 ? json_number(fraction) : NULL;
}

static struct json *scalar_plain(const char *text)
{
    static const char *const TRUE_WORDS[] = {"true", "True", "TRUE", "yes", "Yes", "YES",
                                             "on",   "On",   "ON",   "y",   "Y"};
    static const char *const FALSE_WORDS[] = {"false", "False", "FALSE", "no", "No", "NO",
                                              "off",   "Off",   "OFF",   "n",  "N"};
    static const char *const NULL_WORDS[] = {"", "~", "null", "Null", "NULL"};
    if (is_one_of(text, NULL_WORDS, ARRAY_COUNT(NULL_WORDS))) {
        return json_null();
    }
    if (is_one_of(text, TRUE_WORDS, ARRAY_COUNT(TRUE_WORDS))) {
        return json_bool(true);
    }
    if (is_one_of(text, FALSE_WORDS, ARRAY_COUNT(FALSE_WORDS))) {
        return json_bool(false);
    }
    struct json *number = number_of(text);
    return number != NULL ? number : json_string(text);
}

/* Puts a finished value where it belongs; takes value. */
static int place(struct yaml_reader *reader, const yaml_event_t *event, struct json *value)
{
    if (reader->depth == 0) {
        json_free(reader->root);
        reader->root = value;
        return 0;
    }
    struct yaml_level *level = &reader->levels[reader->depth - 1];
    if (json_is(level->value, JSON_ARRAY)) {
        json_append(level->value, value);
        return 0;
    }
    if (level->key == NULL) {
        json_free(value);
        return fail(reader, event, "a key must be a scalar");
    }
    if (json_count(level->value) >= YAML_KEYS_MAX) {
        json_free(value);
        return fail(reader, event, "too many keys");
    }
    json_set(level->value, level->key, value);
    mem_free(level->key);
    level->key = NULL;
    return 0;
}

static int open_level(struct yaml_reader *reader, const yaml_event_t *event, struct json *value)
{
    if (reader->depth == YAML_DEPTH_MAX && !FUZZ_PLANT(yaml_depth)) {
        json_free(value);
        return fail(reader, event, "nested too deep");
    }
    reader->levels[reader->depth++] = (struct yaml_level){.value = value, .key = NULL};
    return 0;
}

static int scalar(struct yaml_reader *reader, const yaml_event_t *event)
{
    const char *text = (const char *)event->data.scalar.value;
    size_t size = event->data.scalar.length;
    struct yaml_level *level = reader->depth == 0 ? NULL : &reader->levels[reader->depth - 1];
    if (level != NULL && json_is(level->value, JSON_OBJECT) && level->key == NULL) {
        if (memchr(text, '\0', size) != NULL) {
            return fail(reader, event, "a key holds a NUL");
        }
        level->key = str_from(text, size);
        return 0;
    }
    bool is_plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    return place(reader, event, is_plain ? scalar_plain(text) : json_string_n(text, size));
}

/* Handles one event; *out_is_end at the end of the first document. */
static int event_take(struct yaml_reader *reader, const yaml_event_t *event, bool *out_is_end)
{
    switch (event->type) {
    case YAML_SCALAR_EVENT:
        return scalar(reader, event);
    case YAML_SEQUENCE_START_EVENT:
        return open_level(reader, event, json_array());
    case YAML_MAPPING_START_EVENT:
        return open_level(reader, event, json_object());
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT: {
        struct json *value = reader->levels[--reader->depth].value;
        return place(reader, event, value);
    }
    case YAML_ALIAS_EVENT:
        return fail(reader, event, "aliases are not supported");
    case YAML_DOCUMENT_END_EVENT:
    case YAML_STREAM_END_EVENT:
        *out_is_end = true;
        return 0;
    case YAML_NO_EVENT:
    case YAML_STREAM_START_EVENT:
    case YAML_DOCUMENT_START_EVENT:
    default:
        return 0;
    }
}

static int read_document(struct yaml_reader *reader)
{
    bool is_end = false;
    int rc = 0;
    while (rc == 0 && !is_end) {
        yaml_event_t event;
        if (!yaml_parser_parse(&reader->parser, &event)) {
            const char *problem = reader->parser.problem;
            return fail(reader, NULL, problem != NULL ? problem : "not YAML");
        }
        rc = event_take(reader, &event, &is_end);
        yaml_event_delete(&event);
    }
    if (rc == 0 && reader->root == NULL) {
        rc = err_set(reader->err, E_INVALID, "empty document");
    }
    return rc;
}

struct json *json_parse_yaml(const char *text, size_t size, struct err *err)
{
    struct yaml_reader reader = {.err = err};
    if (size > YAML_BYTES_MAX) {
        err_set(err, E_TOO_BIG, "%zu bytes of YAML, at most %u are read", size, YAML_BYTES_MAX);
        return NULL;
    }
    if (!yaml_parser_initialize(&reader.parser)) {
        err_set(err, E_INVALID, "no YAML parser");
        return NULL;
    }
    yaml_parser_set_input_string(&reader.parser, (const unsigned char *)text, size);
    int rc = read_document(&reader);
    while (reader.depth > 0) {
        struct yaml_level *level = &reader.levels[--reader.depth];
        json_free(level->value);
        mem_free(level->key);
    }
    yaml_parser_delete(&reader.parser);
    if (rc != 0) {
        json_free(reader.root);
        return NULL;
    }
    return reader.root;
}
