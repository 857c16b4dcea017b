/* SPDX-License-Identifier: Apache-2.0 */
/* Validation of a value against a structural schema; every wrong field becomes a cause. */
#include <ctype.h>
#include <math.h>
#include <regex.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "reply.h"
#include "schema.h"

struct validator {
    struct buf path;
    struct json *causes;
};

static void validate_value(struct validator *validator, const struct json *schema,
                           const struct json *value);

static const char *type_name(const struct json *value)
{
    switch (json_type_of(value)) {
    case JSON_NULL:
        return "null";
    case JSON_BOOL:
        return "boolean";
    case JSON_INT:
        return "integer";
    case JSON_NUMBER:
        return "number";
    case JSON_STRING:
        return "string";
    case JSON_ARRAY:
        return "array";
    case JSON_OBJECT:
        return "object";
    }
    return "null";
}

static const char *here(struct validator *validator)
{
    return buf_cstr(&validator->path);
}

/* "Invalid value: VALUE: PATH in body TEXT" */
static void invalid(struct validator *validator, const struct json *value, const char *text)
{
    char *shown = json_text(value, JSON_COMPACT);
    cause_add(validator->causes, "FieldValueInvalid", here(validator),
              "Invalid value: %s: %s in body %s", shown, here(validator), text);
    mem_free(shown);
}

static void invalidf(struct validator *validator, const struct json *value, const char *format, ...)
    BASE_PRINTF(3, 4);
static void invalidf(struct validator *validator, const struct json *value, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *text = str_vprintf(format, args);
    va_end(args);
    invalid(validator, value, text);
    mem_free(text);
}

static bool type_fits(const char *type, const struct json *value)
{
    if (strcmp(type, "number") == 0) {
        return json_is(value, JSON_INT) || json_is(value, JSON_NUMBER);
    }
    if (strcmp(type, "integer") == 0) {
        double number = json_f64(value, 0.5);
        return json_is(value, JSON_INT) || (json_is(value, JSON_NUMBER) && floor(number) == number);
    }
    return strcmp(type, type_name(value)) == 0;
}

/* Go's \d and (?: are unknown to POSIX: say them in its words. */
static char *pattern_translate(const char *pattern)
{
    struct buf out;
    buf_init(&out, BUF_NO_LIMIT);
    bool in_brackets = false;
    for (const char *at = pattern; *at != '\0'; at++) {
        if (at[0] == '\\' && at[1] == 'd') {
            buf_append_str(&out, in_brackets ? "0-9" : "[0-9]");
            at++;
        } else if (at[0] == '\\' && in_brackets && at[1] != '\0') {
            at++;
            if (*at == 'w') {
                buf_append_str(&out, "A-Za-z0-9_");
            } else {
                buf_append_byte(&out, (uint8_t)*at);
            }
        } else if (at[0] == '\\' && at[1] != '\0') {
            buf_append(&out, at, 2);
            at++;
        } else if (strncmp(at, "(?:", 3) == 0) {
            buf_append_str(&out, "(");
            at += 2;
        } else {
            in_brackets = in_brackets ? *at != ']' : *at == '[';
            buf_append_byte(&out, (uint8_t)*at);
        }
    }
    buf_append_byte(&out, 0);
    size_t size;
    return (char *)buf_take(&out, &size);
}

static bool pattern_matches(const char *pattern, const char *text)
{
    char *translated = pattern_translate(pattern);
    regex_t regex;
    bool is_match = true; /* what POSIX cannot read is left to real API servers */
    if (regcomp(&regex, translated, REG_EXTENDED | REG_NOSUB) == 0) {
        is_match = regexec(&regex, text, 0, NULL, 0) == 0;
        regfree(&regex);
    }
    mem_free(translated);
    return is_match;
}

static bool digits_at(const char *text, const char *shape)
{
    for (; *shape != '\0'; shape++, text++) {
        bool fits = *shape == '0' ? isdigit((unsigned char)*text) != 0 : *shape == *text;
        if (!fits) {
            return false;
        }
    }
    return true;
}

static bool is_date_time(const char *text)
{
    if (!digits_at(text, "0000-00-00T00:00:00")) {
        return false;
    }
    text += strlen("0000-00-00T00:00:00");
    if (*text == '.') {
        text++;
        while (isdigit((unsigned char)*text)) {
            text++;
        }
    }
    bool is_offset = (*text == '+' || *text == '-') && digits_at(text + 1, "00:00");
    return strcmp(text, "Z") == 0 || (is_offset && text[6] == '\0');
}

static bool is_base64(const char *text)
{
    size_t size = strlen(text);
    size_t body = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/");
    size_t padding = strspn(text + body, "=");
    return body + padding == size && padding <= 2 && size % 4 == 0;
}

static bool format_fits(const char *format, const char *text)
{
    if (strcmp(format, "date-time") == 0) {
        return is_date_time(text);
    }
    if (strcmp(format, "date") == 0) {
        return digits_at(text, "0000-00-00") && text[10] == '\0';
    }
    if (strcmp(format, "byte") == 0) {
        return is_base64(text);
    }
    if (strcmp(format, "uuid") == 0) {
        return pattern_matches(
            "^[0-9a-fA-F]{8}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{12}$",
            text);
    }
    if (strcmp(format, "ipv4") == 0) {
        return pattern_matches("^([0-9]{1,3}\\.){3}[0-9]{1,3}$", text);
    }
    if (strcmp(format, "uri") == 0) {
        return strstr(text, ":") != NULL || *text == '/';
    }
    if (strcmp(format, "duration") == 0) {
        return pattern_matches("^[0-9]+(\\.[0-9]+)? ?(ns|us|ms|s|m|h|d|w)"
                               "([0-9]+(\\.[0-9]+)?(ns|us|ms|s|m|h|d|w))*$",
                               text);
    }
    return true;
}

static size_t utf8_count(const char *text)
{
    size_t count = 0;
    for (; *text != '\0'; text++) {
        count += ((unsigned char)*text & 0xc0u) != 0x80u ? 1 : 0;
    }
    return count;
}

static void validate_string(struct validator *validator, const struct json *schema,
                            const struct json *value)
{
    const char *text = json_str(value, "");
    int64_t least = json_path_i64(schema, "minLength", 0);
    int64_t most = json_path_i64(schema, "maxLength", INT64_MAX);
    int64_t size = (int64_t)utf8_count(text);
    if (size < least) {
        invalidf(validator, value, "should be at least %lld chars long", (long long)least);
    }
    if (size > most) {
        cause_add(validator->causes, "FieldValueTooLong", here(validator),
                  "Too long: may not be more than %lld bytes", (long long)most);
    }
    const char *pattern = json_path_str(schema, "pattern", NULL);
    if (pattern != NULL && !pattern_matches(pattern, text)) {
        invalidf(validator, value, "should match '%s'", pattern);
    }
    const char *format = json_path_str(schema, "format", NULL);
    if (format != NULL && !format_fits(format, text)) {
        invalidf(validator, value, "must be of type %s: \"%s\"", format, text);
    }
}

static void validate_number(struct validator *validator, const struct json *schema,
                            const struct json *value)
{
    double number = json_f64(value, 0);
    const struct json *least = json_get(schema, "minimum");
    const struct json *most = json_get(schema, "maximum");
    bool above = json_path_truth(schema, "exclusiveMinimum", false);
    bool below = json_path_truth(schema, "exclusiveMaximum", false);
    if (least != NULL && (number < json_f64(least, 0) || (above && number <= json_f64(least, 0)))) {
        invalidf(validator, value, "should be greater than %s%g", above ? "" : "or equal to ",
                 json_f64(least, 0));
    }
    if (most != NULL && (number > json_f64(most, 0) || (below && number >= json_f64(most, 0)))) {
        invalidf(validator, value, "should be less than %s%g", below ? "" : "or equal to ",
                 json_f64(most, 0));
    }
    double step = json_f64(json_get(schema, "multipleOf"), 0);
    if (step > 0 && fmod(number, step) != 0) {
        invalidf(validator, value, "should be a multiple of %g", step);
    }
}

static void validate_enum(struct validator *validator, const struct json *schema,
                          const struct json *value)
{
    const struct json *allowed = json_get(schema, "enum");
    if (json_count(allowed) == 0) {
        return;
    }
    struct buf names;
    buf_init(&names, BUF_NO_LIMIT);
    bool is_allowed = false;
    for (size_t i = 0; i < json_count(allowed); i++) {
        is_allowed = is_allowed || json_equal(json_at(allowed, i), value);
        buf_append_str(&names, i > 0 ? ", " : "");
        json_write(json_at(allowed, i), JSON_COMPACT, &names);
    }
    if (!is_allowed) {
        char *shown = json_text(value, JSON_COMPACT);
        cause_add(validator->causes, "FieldValueNotSupported", here(validator),
                  "Unsupported value: %s: supported values: %s", shown, buf_cstr(&names));
        mem_free(shown);
    }
    buf_free(&names);
}

static bool same_element(const struct json *schema, const struct json *a, const struct json *b)
{
    const struct json *keys = schema_list_keys(schema);
    if (schema_list_type(schema) == SCHEMA_SET) {
        return json_equal(a, b);
    }
    for (size_t i = 0; i < json_count(keys); i++) {
        const char *key = json_str(json_at(keys, i), "");
        if (!json_equal(json_get(a, key), json_get(b, key))) {
            return false;
        }
    }
    return json_count(keys) > 0;
}

static void validate_duplicates(struct validator *validator, const struct json *schema,
                                const struct json *value)
{
    for (size_t i = 1; i < json_count(value); i++) {
        for (size_t before = 0; before < i; before++) {
            if (!same_element(schema, json_at(value, i), json_at(value, before))) {
                continue;
            }
            char *shown = json_text(json_at(value, i), JSON_COMPACT);
            char *field = str_printf("%s[%zu]", here(validator), i);
            cause_add(validator->causes, "FieldValueDuplicate", field, "Duplicate value: %s",
                      shown);
            mem_free(field);
            mem_free(shown);
            break;
        }
    }
}

static void validate_array(struct validator *validator, const struct json *schema,
                           const struct json *value)
{
    int64_t count = (int64_t)json_count(value);
    int64_t least = json_path_i64(schema, "minItems", 0);
    int64_t most = json_path_i64(schema, "maxItems", INT64_MAX);
    if (count < least) {
        cause_add(validator->causes, "FieldValueInvalid", here(validator),
                  "Invalid value: %lld: %s in body should have at least %lld items",
                  (long long)count, here(validator), (long long)least);
    }
    if (count > most) {
        cause_add(validator->causes, "FieldValueTooMany", here(validator),
                  "Too many: %lld: must have at most %lld items", (long long)count,
                  (long long)most);
    }
    if (schema_list_type(schema) != SCHEMA_ATOMIC) {
        validate_duplicates(validator, schema, value);
    }
    const struct json *items = schema_items(schema);
    for (size_t i = 0; items != NULL && i < json_count(value); i++) {
        size_t path_size = validator->path.size;
        buf_printf(&validator->path, "[%zu]", i);
        validate_value(validator, items, json_at(value, i));
        validator->path.size = path_size;
    }
}

static void validate_required(struct validator *validator, const struct json *schema,
                              const struct json *value)
{
    const struct json *required = json_get(schema, "required");
    for (size_t i = 0; i < json_count(required); i++) {
        const char *name = json_str(json_at(required, i), "");
        if (json_get(value, name) != NULL) {
            continue;
        }
        char *field =
            str_printf("%s%s%s", here(validator), validator->path.size > 0 ? "." : "", name);
        cause_add(validator->causes, "FieldValueRequired", field, "Required value");
        mem_free(field);
    }
}

static void validate_object(struct validator *validator, const struct json *schema,
                            const struct json *value)
{
    validate_required(validator, schema, value);
    int64_t count = (int64_t)json_count(value);
    int64_t least = json_path_i64(schema, "minProperties", 0);
    int64_t most = json_path_i64(schema, "maxProperties", INT64_MAX);
    if (count < least) {
        invalidf(validator, value, "should have at least %lld properties", (long long)least);
    }
    if (count > most) {
        cause_add(validator->causes, "FieldValueTooMany", here(validator),
                  "Too many: %lld: must have at most %lld items", (long long)count,
                  (long long)most);
    }
    for (size_t i = 0; i < json_count(value); i++) {
        const struct json *field = schema_field(schema, json_key_at(value, i));
        if (field == NULL) {
            continue;
        }
        size_t path_size = validator->path.size;
        if (path_size > 0) {
            buf_append_str(&validator->path, ".");
        }
        buf_append_str(&validator->path, json_key_at(value, i));
        validate_value(validator, field, json_at(value, i));
        validator->path.size = path_size;
    }
}

/* True when value breaks no rule of schema. */
static bool is_valid(const struct json *schema, const struct json *value)
{
    struct json *causes = json_array();
    schema_validate(schema, value, causes);
    bool is_clean = json_count(causes) == 0;
    json_free(causes);
    return is_clean;
}

static size_t count_valid(const struct json *schemas, const struct json *value)
{
    size_t count = 0;
    for (size_t i = 0; i < json_count(schemas); i++) {
        count += is_valid(json_at(schemas, i), value) ? 1 : 0;
    }
    return count;
}

static void validate_logic(struct validator *validator, const struct json *schema,
                           const struct json *value)
{
    const struct json *all = json_get(schema, "allOf");
    for (size_t i = 0; i < json_count(all); i++) {
        validate_value(validator, json_at(all, i), value);
    }
    const struct json *any = json_get(schema, "anyOf");
    if (json_count(any) > 0 && count_valid(any, value) == 0) {
        invalid(validator, value, "must validate at least one schema (anyOf)");
    }
    const struct json *one = json_get(schema, "oneOf");
    if (json_count(one) > 0 && count_valid(one, value) != 1) {
        invalid(validator, value, "must validate one and only one schema (oneOf)");
    }
    const struct json *none = json_get(schema, "not");
    if (none != NULL && is_valid(none, value)) {
        invalid(validator, value, "must not validate the schema (not)");
    }
}

static bool validate_type(struct validator *validator, const struct json *schema,
                          const struct json *value)
{
    if (json_is(value, JSON_NULL)) {
        const char *wanted = json_path_str(schema, "type", NULL);
        if (json_path_truth(schema, "nullable", false) || wanted == NULL) {
            return false;
        }
    }
    if (json_path_truth(schema, "x-kubernetes-int-or-string", false)) {
        if (!json_is(value, JSON_INT) && !json_is(value, JSON_STRING) &&
            !json_is(value, JSON_NUMBER)) {
            invalidf(validator, value, "must be of type integer,string: \"%s\"", type_name(value));
            return false;
        }
        return true;
    }
    const char *type = json_path_str(schema, "type", NULL);
    if (type == NULL || type_fits(type, value)) {
        return true;
    }
    cause_add(validator->causes, "FieldValueTypeInvalid", here(validator),
              "Invalid value: \"%s\": %s in body must be of type %s: \"%s\"", type_name(value),
              here(validator), type, type_name(value));
    return false;
}

static void validate_value(struct validator *validator, const struct json *schema,
                           const struct json *value)
{
    if (!validate_type(validator, schema, value)) {
        return;
    }
    validate_enum(validator, schema, value);
    switch (json_type_of(value)) {
    case JSON_STRING:
        validate_string(validator, schema, value);
        break;
    case JSON_INT:
    case JSON_NUMBER:
        validate_number(validator, schema, value);
        break;
    case JSON_ARRAY:
        validate_array(validator, schema, value);
        break;
    case JSON_OBJECT:
        validate_object(validator, schema, value);
        break;
    case JSON_NULL:
    case JSON_BOOL:
        break;
    }
    validate_logic(validator, schema, value);
}

void schema_validate(const struct json *schema, const struct json *value, struct json *causes)
{
    struct validator validator = {.causes = causes};
    buf_init(&validator.path, BUF_NO_LIMIT);
    validate_value(&validator, schema, value);
    buf_free(&validator.path);
}
