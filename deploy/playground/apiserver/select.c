/* SPDX-License-Identifier: Apache-2.0 */
/* Parsing and matching of selectors. */
#include "select.h"

#include <string.h>

#include "base/alloc.h"

enum operator{ OP_EQUALS, OP_NOT_EQUALS, OP_IN, OP_NOT_IN, OP_EXISTS, OP_ABSENT };

struct requirement {
    enum operator op;
    char *key;
    struct json *values;
};

struct selector {
    bool is_of_fields;
    struct requirement *rows;
    size_t count;
};

void selector_free(struct selector *selector)
{
    if (selector == NULL) {
        return;
    }
    for (size_t i = 0; i < selector->count; i++) {
        mem_free(selector->rows[i].key);
        json_free(selector->rows[i].values);
    }
    mem_free(selector->rows);
    mem_free(selector);
}

/* Takes key; gives the array for its values. */
static struct json *requirement_add(struct selector *selector, enum operator op, char *key)
{
    selector->rows =
        mem_realloc(selector->rows, (selector->count + 1) * sizeof(struct requirement));
    selector->rows[selector->count] = (struct requirement){op, key, json_array()};
    return selector->rows[selector->count++].values;
}

static const char *skip_space(const char *at)
{
    while (*at == ' ') {
        at++;
    }
    return at;
}

static char *take_word(const char **at)
{
    const char *start = skip_space(*at);
    const char *end = start;
    while (*end != '\0' && strchr(",=!() ", *end) == NULL) {
        end++;
    }
    *at = skip_space(end);
    return str_from(start, (size_t)(end - start));
}

/* Reads "(a, b)". */
static int take_set(const char **at, struct json *values, struct err *err)
{
    if (**at != '(') {
        return err_set(err, E_INVALID, "found '%s', expected: '('", *at);
    }
    (*at)++;
    for (;;) {
        char *word = take_word(at);
        json_append(values, json_string(word));
        mem_free(word);
        if (**at == ',') {
            (*at)++;
            continue;
        }
        if (**at != ')') {
            return err_set(err, E_INVALID, "found '%s', expected: ',' or ')'", *at);
        }
        *at = skip_space(*at + 1);
        return 0;
    }
}

static int take_operator(const char **at, struct selector *selector, char *key, struct err *err)
{
    if (**at == '\0' || **at == ',') {
        requirement_add(selector, OP_EXISTS, key);
        return 0;
    }
    if (**at == '=' || **at == '!') {
        enum operator op = ** at == '=' ? OP_EQUALS : OP_NOT_EQUALS;
        *at += (*at)[1] == '=' ? 2 : 1;
        struct json *values = requirement_add(selector, op, key);
        char *word = take_word(at);
        json_append(values, json_string(word));
        mem_free(word);
        return 0;
    }
    char *word = take_word(at);
    bool is_in = strcmp(word, "in") == 0;
    bool is_known = is_in || strcmp(word, "notin") == 0;
    mem_free(word);
    struct json *values = requirement_add(selector, is_in ? OP_IN : OP_NOT_IN, key);
    if (!is_known) {
        return err_set(err, E_INVALID, "unable to parse requirement near \"%s\"", *at);
    }
    return take_set(at, values, err);
}

static int parse_rows(const char *at, struct selector *selector, struct err *err)
{
    for (;;) {
        at = skip_space(at);
        bool is_absent = *at == '!';
        at += is_absent ? 1 : 0;
        char *key = take_word(&at);
        if (*key == '\0') {
            mem_free(key);
            return err_set(err, E_INVALID, "unable to parse requirement: found '%s'", at);
        }
        int rc = 0;
        if (is_absent) {
            requirement_add(selector, OP_ABSENT, key);
        } else {
            rc = take_operator(&at, selector, key, err);
        }
        if (rc != 0 || *at == '\0') {
            return rc;
        }
        if (*at != ',') {
            return err_set(err, E_INVALID, "found '%s', expected: ','", at);
        }
        at++;
    }
}

static int selector_parse(const char *text, bool is_of_fields, struct selector **out_selector,
                          struct err *err)
{
    if (text == NULL || *skip_space(text) == '\0') {
        *out_selector = NULL;
        return 0;
    }
    struct selector *selector = mem_zalloc(sizeof(*selector));
    selector->is_of_fields = is_of_fields;
    int rc = parse_rows(text, selector, err);
    if (rc != 0) {
        selector_free(selector);
        return rc;
    }
    *out_selector = selector;
    return 0;
}

int selector_parse_labels(const char *text, struct selector **out_selector, struct err *err)
{
    return selector_parse(text, false, out_selector, err);
}

int selector_parse_fields(const char *text, struct selector **out_selector, struct err *err)
{
    return selector_parse(text, true, out_selector, err);
}

/* The value as text in scratch or borrowed; absent fields are "". */
static const char *field_text(const struct json *object, const char *path, char scratch[32])
{
    const struct json *value = json_path(object, path);
    if (json_is(value, JSON_BOOL)) {
        return json_truth(value, false) ? "true" : "false";
    }
    if (json_is(value, JSON_INT)) {
        long long number = json_i64(value, 0);
        char *text = str_printf("%lld", number);
        memcpy(scratch, text, strlen(text) + 1);
        mem_free(text);
        return scratch;
    }
    return json_str(value, "");
}

static bool values_hold(const struct json *values, const char *text)
{
    for (size_t i = 0; text != NULL && i < json_count(values); i++) {
        if (strcmp(json_str(json_at(values, i), ""), text) == 0) {
            return true;
        }
    }
    return false;
}

static bool requirement_met(const struct requirement *row, const char *text)
{
    switch (row->op) {
    case OP_EQUALS:
    case OP_IN:
        return values_hold(row->values, text);
    case OP_NOT_EQUALS:
    case OP_NOT_IN:
        return !values_hold(row->values, text);
    case OP_EXISTS:
        return text != NULL;
    case OP_ABSENT:
        return text == NULL;
    }
    return false;
}

bool selector_matches(const struct selector *selector, const struct json *object)
{
    if (selector == NULL) {
        return true;
    }
    const struct json *labels = json_path(object, "metadata.labels");
    for (size_t i = 0; i < selector->count; i++) {
        const struct requirement *row = &selector->rows[i];
        char scratch[32];
        const char *text = selector->is_of_fields ? field_text(object, row->key, scratch)
                                                  : json_str(json_get(labels, row->key), NULL);
        if (!requirement_met(row, text)) {
            return false;
        }
    }
    return true;
}

bool select_simple(const struct json *wanted, const struct json *labels)
{
    for (size_t i = 0; i < json_count(wanted); i++) {
        const char *value = json_str(json_get(labels, json_key_at(wanted, i)), NULL);
        if (!str_equal(value, json_str(json_at(wanted, i), ""))) {
            return false;
        }
    }
    return json_count(wanted) > 0;
}

static bool expression_met(const struct json *expression, const struct json *labels)
{
    const char *op = json_path_str(expression, "operator", "");
    const char *text = json_str(json_get(labels, json_path_str(expression, "key", "")), NULL);
    bool is_in = values_hold(json_get(expression, "values"), text);
    if (strcmp(op, "In") == 0) {
        return is_in;
    }
    if (strcmp(op, "NotIn") == 0) {
        return !is_in;
    }
    return strcmp(op, "Exists") == 0 ? text != NULL : text == NULL;
}

bool select_label_selector(const struct json *label_selector, const struct json *labels)
{
    const struct json *wanted = json_get(label_selector, "matchLabels");
    if (json_count(wanted) > 0 && !select_simple(wanted, labels)) {
        return false;
    }
    const struct json *expressions = json_get(label_selector, "matchExpressions");
    for (size_t i = 0; i < json_count(expressions); i++) {
        if (!expression_met(json_at(expressions, i), labels)) {
            return false;
        }
    }
    return true;
}
