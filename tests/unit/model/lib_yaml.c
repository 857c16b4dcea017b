/* SPDX-License-Identifier: Apache-2.0 */
/* YAML 1.1 scalars as Kubernetes reads them: plain words become numbers, booleans or text. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "base/alloc.h"
#include "lib_yaml.h"

#define TEXT_MAX (1u << 20)

char *file_text(const char *path)
{
    char *full = str_printf("%s/%s", QUORATE_SOURCE_DIR, path);
    FILE *file = fopen(full, "rb");
    assert_non_null(file);
    char *text = mem_alloc(TEXT_MAX);
    size_t size = fread(text, 1, TEXT_MAX - 1, file);
    text[size] = '\0';
    fclose(file);
    mem_free(full);
    return text;
}

static struct json *scalar(const yaml_node_t *node)
{
    const char *text = (const char *)node->data.scalar.value;
    if (node->data.scalar.style != YAML_PLAIN_SCALAR_STYLE) {
        return json_string(text);
    }
    if (strcmp(text, "true") == 0 || strcmp(text, "false") == 0) {
        return json_bool(text[0] == 't');
    }
    char *end = NULL;
    long long number = strtoll(text, &end, 10);
    if (text[0] != '\0' && *end == '\0') {
        return json_int(number);
    }
    return json_string(text);
}

static struct json *convert(yaml_document_t *document, int index)
{
    const yaml_node_t *node = yaml_document_get_node(document, index);
    if (node->type == YAML_SCALAR_NODE) {
        return scalar(node);
    }
    if (node->type == YAML_SEQUENCE_NODE) {
        struct json *array = json_array();
        for (const yaml_node_item_t *item = node->data.sequence.items.start;
             item < node->data.sequence.items.top; item++) {
            json_append(array, convert(document, *item));
        }
        return array;
    }
    struct json *object = json_object();
    for (const yaml_node_pair_t *pair = node->data.mapping.pairs.start;
         pair < node->data.mapping.pairs.top; pair++) {
        const yaml_node_t *key = yaml_document_get_node(document, pair->key);
        json_set(object, (const char *)key->data.scalar.value, convert(document, pair->value));
    }
    return object;
}

struct json *yaml_read(const char *path)
{
    char *text = file_text(path);
    yaml_parser_t parser;
    yaml_document_t document;
    assert_true(yaml_parser_initialize(&parser));
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, strlen(text));
    assert_true(yaml_parser_load(&parser, &document));
    struct json *value = convert(&document, 1);
    yaml_document_delete(&document);
    yaml_parser_delete(&parser);
    mem_free(text);
    return value;
}
