/* SPDX-License-Identifier: Apache-2.0 */
/* Metadata helpers. */
#include "meta.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "reply.h"

#define NAME_SIZE_MAX    253u
#define LABEL_SIZE_MAX   63u
#define GENERATED_SUFFIX 5u

void meta_time(int64_t unix_seconds, char out[META_TIME_SIZE])
{
    time_t seconds = (time_t)unix_seconds;
    struct tm parts;
    gmtime_r(&seconds, &parts);
    strftime(out, META_TIME_SIZE, "%Y-%m-%dT%H:%M:%SZ", &parts);
}

void meta_now(char out[META_TIME_SIZE])
{
    meta_time((int64_t)time(NULL), out);
}

int64_t meta_time_parse(const char *text)
{
    struct tm parts;
    memset(&parts, 0, sizeof(parts));
    const char *end = text == NULL ? NULL : strptime(text, "%Y-%m-%dT%H:%M:%S", &parts);
    return end == NULL ? -1 : (int64_t)timegm(&parts);
}

static void random_bytes(void *out, size_t size)
{
    ssize_t done = getrandom(out, size, 0);
    ASSERT(done == (ssize_t)size);
}

uint32_t meta_random(uint32_t bound)
{
    uint32_t value;
    random_bytes(&value, sizeof(value));
    return value % bound;
}

void meta_uid(char out[META_UID_SIZE])
{
    uint8_t raw[16];
    random_bytes(raw, sizeof(raw));
    raw[6] = (uint8_t)((raw[6] & 0x0fu) | 0x40u);
    raw[8] = (uint8_t)((raw[8] & 0x3fu) | 0x80u);
    size_t at = 0;
    for (size_t i = 0; i < sizeof(raw); i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10) {
            out[at++] = '-';
        }
        snprintf(out + at, 3, "%02x", raw[i]);
        at += 2;
    }
}

char *meta_generate_name(const char *prefix)
{
    static const char LETTERS[] = "bcdfghjklmnpqrstvwxz2456789";
    char suffix[GENERATED_SUFFIX + 1];
    for (size_t i = 0; i < GENERATED_SUFFIX; i++) {
        suffix[i] = LETTERS[meta_random(sizeof(LETTERS) - 1)];
    }
    suffix[GENERATED_SUFFIX] = '\0';
    return str_printf("%s%s", prefix, suffix);
}

const char *meta_name(const struct json *object)
{
    return json_path_str(object, "metadata.name", "");
}

const char *meta_namespace(const struct json *object)
{
    return json_path_str(object, "metadata.namespace", "");
}

const char *meta_uid_of(const struct json *object)
{
    return json_path_str(object, "metadata.uid", "");
}

bool meta_is_deleting(const struct json *object)
{
    return json_path_str(object, "metadata.deletionTimestamp", NULL) != NULL;
}

static bool is_subdomain(const char *name)
{
    size_t size = strlen(name);
    if (size == 0 || size > NAME_SIZE_MAX) {
        return false;
    }
    char before = '.';
    for (size_t i = 0; i < size; i++) {
        char c = name[i];
        bool is_alnum = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
        if (!is_alnum && c != '-' && c != '.') {
            return false;
        }
        if ((c == '.' && (before == '.' || before == '-')) || (c == '-' && before == '.')) {
            return false;
        }
        before = c;
    }
    return before != '-' && before != '.';
}

static bool is_label_value(const char *text)
{
    size_t size = strlen(text);
    if (size > LABEL_SIZE_MAX) {
        return false;
    }
    for (size_t i = 0; i < size; i++) {
        bool is_edge = i == 0 || i == size - 1;
        bool fits =
            isalnum((unsigned char)text[i]) != 0 || (!is_edge && strchr("-_.", text[i]) != NULL);
        if (!fits) {
            return false;
        }
    }
    return true;
}

void meta_validate(const struct json *object, bool name_is_path_only, struct json *causes)
{
    const char *name = meta_name(object);
    bool is_good =
        name_is_path_only ? *name != '\0' && strpbrk(name, "/%") == NULL : is_subdomain(name);
    if (!is_good) {
        cause_add(
            causes, "FieldValueInvalid", "metadata.name",
            "Invalid value: \"%s\": a lowercase RFC 1123 subdomain must consist of lower case "
            "alphanumeric characters, '-' or '.', and must start and end with an alphanumeric "
            "character",
            name);
    }
    const struct json *labels = json_path(object, "metadata.labels");
    for (size_t i = 0; i < json_count(labels); i++) {
        const char *value = json_str(json_at(labels, i), "");
        if (!is_label_value(value)) {
            cause_add(causes, "FieldValueInvalid", "metadata.labels",
                      "Invalid value: \"%s\": a valid label must be an empty string or consist of "
                      "alphanumeric characters, '-', '_' or '.', and must start and end with an "
                      "alphanumeric character",
                      value);
        }
    }
}

bool meta_has_finalizer(const struct json *object, const char *name)
{
    const struct json *list = json_path(object, "metadata.finalizers");
    for (size_t i = 0; i < json_count(list); i++) {
        if (name == NULL || strcmp(json_str(json_at(list, i), ""), name) == 0) {
            return true;
        }
    }
    return false;
}

void meta_add_finalizer(struct json *object, const char *name)
{
    if (!meta_has_finalizer(object, name)) {
        struct json *metadata = json_ensure_object(object, "metadata");
        json_append(json_ensure_array(metadata, "finalizers"), json_string(name));
    }
}

void meta_remove_finalizer(struct json *object, const char *name)
{
    struct json *list = json_path(object, "metadata.finalizers");
    for (size_t i = json_count(list); i-- > 0;) {
        if (strcmp(json_str(json_at(list, i), ""), name) == 0) {
            json_remove_at(list, i);
        }
    }
    if (list != NULL && json_count(list) == 0) {
        json_remove(json_get(object, "metadata"), "finalizers");
    }
}

void meta_set_condition(struct json *object, const char *type, const char *status,
                        const char *reason, const char *message)
{
    struct json *list = json_ensure_array(json_ensure_object(object, "status"), "conditions");
    struct json *found = NULL;
    for (size_t i = 0; i < json_count(list); i++) {
        if (strcmp(json_path_str(json_at(list, i), "type", ""), type) == 0) {
            found = json_at(list, i);
        }
    }
    if (found == NULL) {
        found = json_object();
        json_set_str(found, "type", type);
        json_append(list, found);
    }
    if (strcmp(json_path_str(found, "status", ""), status) != 0) {
        char now[META_TIME_SIZE];
        meta_now(now);
        json_set_str(found, "lastTransitionTime", now);
    }
    json_set_str(found, "status", status);
    json_set_str(found, "reason", reason);
    json_set_str(found, "message", message);
}
