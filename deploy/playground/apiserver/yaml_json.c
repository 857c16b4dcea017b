/* SPDX-License-Identifier: Apache-2.0 */
/* YAML through libyaml's document tree. */
#include "yaml_json.h"

#include <stdlib.h>
#include <string.h>
#include <yaml.h>

static bool is_one_of(const char *text, const char *const *words, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(text, words[i]) == 0) {
            return true;
        }
    }
    return false;
}

static const char *const TRUE_WORDS[] = {"true", "True", "TRUE", "yes", "Yes", "YES",
                                         "on",   "On",   "ON",   "y",   "Y"};
static const char *const FALSE_WORDS[] = {"false", "False", "FALSE", "no", "No", "NO",
                                          "off",   "Off",   "OFF",   "n",  "N"};
static const char *const NULL_WORDS[] = {"", "~", "null", "Null", "NULL"};

static struct json *plain_scalar(const char *text)
{
    if (is_one_of(text, NULL_WORDS, ARRAY_COUNT(NULL_WORDS))) {
        return json_null();
    }
    if (is_one_of(text, TRUE_WORDS, ARRAY_COUNT(TRUE_WORDS))) {
        return json_bool(true);
    }
    if (is_one_of(text, FALSE_WORDS, ARRAY_COUNT(FALSE_WORDS))) {
        return json_bool(false);
    }
    bool starts_as_number = strchr("0123456789-+.", *text) != NULL;
    struct json *number = starts_as_number ? json_parse(text + (*text == '+' ? 1 : 0),
                                                        strlen(text) - (*text == '+' ? 1 : 0), NULL)
                                           : NULL;
    return number != NULL ? number : json_string(text);
}

static struct json *convert(yaml_document_t *document, int index, unsigned depth, struct err *err)
{
    yaml_node_t *node = yaml_document_get_node(document, index);
    if (node == NULL || depth > JSON_DEPTH_MAX) {
        err_set(err, E_INVALID, "YAML is nested too deeply");
        return NULL;
    }
    if (node->type == YAML_SCALAR_NODE) {
        const char *text = (const char *)node->data.scalar.value;
        bool is_plain = node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
        return is_plain ? plain_scalar(text) : json_string_n(text, node->data.scalar.length);
    }
    if (node->type == YAML_SEQUENCE_NODE) {
        struct json *list = json_array();
        for (yaml_node_item_t *item = node->data.sequence.items.start;
             item < node->data.sequence.items.top; item++) {
            struct json *value = convert(document, *item, depth + 1, err);
            if (value == NULL) {
                json_free(list);
                return NULL;
            }
            json_append(list, value);
        }
        return list;
    }
    struct json *object = json_object();
    for (yaml_node_pair_t *pair = node->data.mapping.pairs.start;
         pair < node->data.mapping.pairs.top; pair++) {
        yaml_node_t *key = yaml_document_get_node(document, pair->key);
        struct json *value = convert(document, pair->value, depth + 1, err);
        if (value == NULL || key == NULL || key->type != YAML_SCALAR_NODE) {
            json_free(value);
            json_free(object);
            return NULL;
        }
        json_set(object, (const char *)key->data.scalar.value, value);
    }
    return object;
}

struct json *yaml_parse(const char *text, size_t size, struct err *err)
{
    yaml_parser_t parser;
    yaml_document_t document;
    if (yaml_parser_initialize(&parser) == 0) {
        err_set(err, E_INVALID, "cannot start the YAML parser");
        return NULL;
    }
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, size);
    struct json *value = NULL;
    if (yaml_parser_load(&parser, &document) == 0) {
        err_set(err, E_INVALID, "line %zu: %s", parser.problem_mark.line + 1,
                parser.problem != NULL ? parser.problem : "not YAML");
    } else {
        err_set(err, E_INVALID, "empty YAML document");
        if (yaml_document_get_root_node(&document) != NULL) {
            value = convert(&document, 1, 0, err);
        }
        yaml_document_delete(&document);
    }
    yaml_parser_delete(&parser);
    return value;
}
