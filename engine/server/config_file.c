/* SPDX-License-Identifier: Apache-2.0 */
/*
 * --config-file: YAML with the names of flags as keys. As etcd reads it: lists where a flag takes
 * several texts, TLS, sockets and discovery as objects of their own; a key that is not known is no
 * error, a value of the wrong type is one. Beyond etcd, durations may be written as on the command
 * line; bare numbers are nanoseconds, as there.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/log.h"
#include "base/yaml.h"
#include "engine/server/config_input.h"

#define AT(field)  offsetof(struct config_input, field)
#define NS_PER_MS  1000000
#define ROWS(rows) (rows), ARRAY_COUNT(rows)

/* Flags that are no keys: their values stand in the objects below, or nowhere. */
static const char *const NOT_KEYS[] = {
    "cert-file",
    "key-file",
    "client-cert-file",
    "client-key-file",
    "client-cert-auth",
    "client-crl-file",
    "client-cert-allowed-hostname",
    "trusted-ca-file",
    "auto-tls",
    "peer-cert-file",
    "peer-key-file",
    "peer-client-cert-file",
    "peer-client-key-file",
    "peer-client-cert-auth",
    "peer-crl-file",
    "peer-cert-allowed-cn",
    "peer-cert-allowed-hostname",
    "peer-skip-client-san-verification",
    "peer-trusted-ca-file",
    "peer-auto-tls",
    "raft-read-timeout",
    "raft-write-timeout",
    "socket-reuse-port",
    "socket-reuse-address",
    "discovery-endpoints",
    "discovery-token",
    "discovery-dial-timeout",
    "discovery-request-timeout",
    "discovery-keepalive-time",
    "discovery-keepalive-timeout",
    "discovery-insecure-transport",
    "discovery-insecure-skip-tls-verify",
    "discovery-cert",
    "discovery-key",
    "discovery-cacert",
    "discovery-user",
    "discovery-password",
    "discovery-fallback",
    "config-file",
    "version",
    "help",
    "h",
};

/* Keys that hold a list of texts. */
static const char *const LISTS[] = {"log-outputs", "cipher-suites", "allowed-cn",
                                    "allowed-hostname", "endpoints"};

#define TLS_ROWS(group)                                                                            \
    {                                                                                              \
        {"cert-file", FLAG_STRING, AT(c.group.cert_file), NULL, NULL, 0},                          \
            {"key-file", FLAG_STRING, AT(c.group.key_file), NULL, NULL, 0},                        \
            {"client-cert-file", FLAG_STRING, AT(c.group.client_cert_file), NULL, NULL, 0},        \
            {"client-key-file", FLAG_STRING, AT(c.group.client_key_file), NULL, NULL, 0},          \
            {"client-cert-auth", FLAG_BOOL, AT(c.group.client_cert_auth), NULL, NULL, 0},          \
            {"trusted-ca-file", FLAG_STRING, AT(c.group.trusted_ca_file), NULL, NULL, 0},          \
            {"auto-tls", FLAG_BOOL, AT(c.group.auto_tls), NULL, NULL, 0},                          \
            {"allowed-cn", FLAG_STRING, AT(c.group.allowed_names), NULL, NULL, 0},                 \
            {"allowed-hostname", FLAG_STRING, AT(c.group.allowed_hosts), NULL, NULL, 0},           \
            {"crl-file", FLAG_STRING, AT(c.group.crl_file), NULL, NULL, 0},                        \
        {                                                                                          \
            "skip-client-san-verification", FLAG_BOOL, AT(c.group.skip_client_san), NULL, NULL, 0  \
        }                                                                                          \
    }
static const struct config_row CLIENT_TLS[] = TLS_ROWS(client_tls);
static const struct config_row PEER_TLS[] = TLS_ROWS(peer_tls);

static const struct config_row SOCKET[] = {
    {"reuse-port", FLAG_BOOL, AT(c.reuse_port), NULL, NULL, 0},
    {"reuse-address", FLAG_BOOL, AT(c.reuse_address), NULL, NULL, 0},
};

static const struct config_row DISCOVERY[] = {
    {"token", FLAG_STRING, AT(c.discovery.token), NULL, NULL, 0},
};
static const struct config_row DISCOVERY_CLIENT[] = {
    {"endpoints", FLAG_STRING, AT(c.discovery.endpoints), NULL, NULL, 0},
    {"dial-timeout", FLAG_DURATION_MS, AT(c.discovery.dial_timeout_ms), NULL, NULL, 0},
    {"request-timeout", FLAG_DURATION_MS, AT(c.discovery.request_timeout_ms), NULL, NULL, 0},
    {"keepalive-time", FLAG_DURATION_MS, AT(c.discovery.keepalive_time_ms), NULL, NULL, 0},
    {"keepalive-timeout", FLAG_DURATION_MS, AT(c.discovery.keepalive_timeout_ms), NULL, NULL, 0},
};
static const struct config_row DISCOVERY_SECURE[] = {
    {"cert", FLAG_STRING, AT(c.discovery.cert), NULL, NULL, 0},
    {"key", FLAG_STRING, AT(c.discovery.key), NULL, NULL, 0},
    {"cacert", FLAG_STRING, AT(c.discovery.cacert), NULL, NULL, 0},
    {"insecure-transport", FLAG_BOOL, AT(c.discovery.insecure_transport), NULL, NULL, 0},
    {"insecure-skip-tls-verify", FLAG_BOOL, AT(c.discovery.insecure_skip_verify), NULL, NULL, 0},
};
static const struct config_row DISCOVERY_AUTH[] = {
    {"username", FLAG_STRING, AT(c.discovery.user), NULL, NULL, 0},
    {"password", FLAG_STRING, AT(c.discovery.password), NULL, NULL, 0},
};

/* Objects of the file, by their path. */
static const struct section {
    const char *path;
    const struct config_row *rows;
    size_t count;
} SECTIONS[] = {
    {"client-transport-security", ROWS(CLIENT_TLS)},
    {"peer-transport-security", ROWS(PEER_TLS)},
    {"socket-options", ROWS(SOCKET)},
    {"discovery-config", ROWS(DISCOVERY)},
    {"discovery-config.client", ROWS(DISCOVERY_CLIENT)},
    {"discovery-config.client.secure", ROWS(DISCOVERY_SECURE)},
    {"discovery-config.client.auth", ROWS(DISCOVERY_AUTH)},
};

static bool is_one_of(const char *name, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(name, names[i]) == 0) {
            return true;
        }
    }
    return false;
}

static const char *type_name(const struct json *value)
{
    switch (json_type_of(value)) {
    case JSON_BOOL:
        return "bool";
    case JSON_INT:
    case JSON_NUMBER:
        return "number";
    case JSON_STRING:
        return "string";
    case JSON_ARRAY:
        return "array";
    case JSON_OBJECT:
        return "object";
    case JSON_NULL:
    default:
        return "null";
    }
}

static int wrong_type(const char *path, const struct json *value, const char *wanted,
                      struct err *err)
{
    return err_set(err, E_INVALID, "cannot unmarshal %s into %s of type %s", type_name(value), path,
                   wanted);
}

/* A list of texts becomes one text with commas, kept in the tree. */
static int take_list(struct config_input *input, const struct flag *flag, const struct json *value,
                     const char *path, struct err *err)
{
    struct buf text;
    if (!json_is(value, JSON_ARRAY)) {
        return wrong_type(path, value, "list of strings", err);
    }
    buf_init(&text, BUF_NO_LIMIT);
    for (size_t i = 0; i < json_count(value); i++) {
        const char *one = json_str(json_at(value, i), NULL);
        if (one == NULL || strchr(one, ',') != NULL) {
            buf_free(&text);
            return wrong_type(path, json_at(value, i), "list of strings without commas", err);
        }
        buf_printf(&text, "%s%s", i == 0 ? "" : ",", one);
    }
    struct json *kept = json_array(); /* never part of the document: under a key that it cannot */
    json_append(kept, json_string(buf_cstr(&text)));
    buf_free(&text);
    char *key = str_printf("\n%s", path);
    json_set(input->c.file, key, kept);
    mem_free(key);
    *(const char **)flag->target = json_str(json_at(kept, 0), "");
    return 0;
}

static int take_number(const struct flag *flag, const struct json *value, const char *path,
                       struct err *err)
{
    const int64_t number = json_i64(value, 0);
    const char *wanted = flag->type == FLAG_UINT ? "whole number, not negative" : "whole number";
    if (!json_is(value, JSON_INT) || (flag->type == FLAG_UINT && number < 0)) {
        return wrong_type(path, value, wanted, err);
    }
    if (flag->type == FLAG_UINT && flag->max != 0 && (uint64_t)number > flag->max) {
        return err_set(err, E_INVALID, "%s is out of range", path);
    }
    if (flag->type == FLAG_UINT) {
        *(uint64_t *)flag->target = (uint64_t)number;
    } else {
        *(int64_t *)flag->target = number;
    }
    return 0;
}

static int take_duration(const struct flag *flag, const struct json *value, const char *path,
                         struct err *err)
{
    int64_t *target = flag->target;
    if (json_is(value, JSON_INT)) {
        int64_t ns = json_i64(value, 0);
        *target = ns / NS_PER_MS + (ns > 0 && ns % NS_PER_MS != 0 ? 1 : 0);
        return 0;
    }
    const char *text = json_str(value, NULL);
    if (text == NULL || flags_parse_duration_ms(text, target) != 0) {
        return wrong_type(path, value, "duration, such as 10s, or nanoseconds", err);
    }
    return 0;
}

/* As etcd, a text that is empty leaves URLs and the like as they are. */
static bool is_empty_list(const char *name, const char *text)
{
    static const char *const also[] = {"cors", "host-whitelist", "initial-cluster-state"};
    return *text == '\0' &&
           (str_ends_with(name, "-urls") || is_one_of(name, also, ARRAY_COUNT(also)));
}

static int take_value(struct config_input *input, struct flag *flag, const struct json *value,
                      const char *path, struct err *err)
{
    flag->is_set = true;
    if (json_is(value, JSON_NULL)) {
        return 0;
    }
    if (is_one_of(flag->name, LISTS, ARRAY_COUNT(LISTS))) {
        return take_list(input, flag, value, path, err);
    }
    switch (flag->type) {
    case FLAG_STRING: {
        const char *text = json_str(value, NULL);
        if (text == NULL) {
            return wrong_type(path, value, "string", err);
        }
        if (!is_empty_list(flag->name, text)) {
            *(const char **)flag->target = text;
        }
        return 0;
    }
    case FLAG_BOOL:
        if (!json_is(value, JSON_BOOL)) {
            return wrong_type(path, value, "bool", err);
        }
        *(bool *)flag->target = json_truth(value, false);
        return 0;
    case FLAG_INT:
    case FLAG_UINT:
        return take_number(flag, value, path, err);
    case FLAG_DURATION_MS:
        return take_duration(flag, value, path, err);
    case FLAG_IGNORED:
    default:
        return 0;
    }
}

static void warn_unknown(const char *path)
{
    LOG_WARN("a key of the configuration file is not known and has no effect",
             LOG_STR("key", path));
}

static int take_section(struct config_input *input, const struct section *section,
                        const struct json *object, struct err *err)
{
    if (object == NULL || json_is(object, JSON_NULL)) {
        return 0;
    }
    if (!json_is(object, JSON_OBJECT)) {
        return wrong_type(section->path, object, "object", err);
    }
    for (size_t i = 0; i < json_count(object); i++) {
        const char *key = json_key_at(object, i);
        char *path = str_printf("%s.%s", section->path, key);
        const struct config_row *row = NULL;
        bool is_section = false;
        for (size_t j = 0; j < section->count; j++) {
            row = strcmp(section->rows[j].name, key) == 0 ? &section->rows[j] : row;
        }
        for (size_t j = 0; j < ARRAY_COUNT(SECTIONS); j++) {
            is_section = is_section || strcmp(SECTIONS[j].path, path) == 0;
        }
        int rc = 0;
        if (row != NULL) {
            struct flag flag = config_row_flag(row, input);
            rc = take_value(input, &flag, json_at(object, i), path, err);
        } else if (!is_section) {
            warn_unknown(path);
        }
        mem_free(path);
        if (rc != 0) {
            return rc;
        }
    }
    return 0;
}

static const struct section *section_named(const char *key)
{
    for (size_t i = 0; i < ARRAY_COUNT(SECTIONS); i++) {
        if (strcmp(SECTIONS[i].path, key) == 0) {
            return &SECTIONS[i];
        }
    }
    return NULL;
}

static int take_top(struct config_input *input, struct flag *flags, size_t count, const char *key,
                    const struct json *value, struct err *err)
{
    if (key[0] == '\n' || section_named(key) != NULL) {
        return 0;
    }
    /* etcd's own slip of the pen, which its files have to go by. */
    const char *name = strcmp(key, "experimental-snapshot-catch-up-entries") == 0
                           ? "experimental-snapshot-catchup-entries"
                           : key;
    struct flag *flag = config_find(flags, count, name);
    if (flag == NULL || flag->type == FLAG_IGNORED ||
        is_one_of(name, NOT_KEYS, ARRAY_COUNT(NOT_KEYS))) {
        warn_unknown(key);
        return 0;
    }
    return take_value(input, flag, value, key, err);
}

static int read_whole(const char *path, struct buf *out, struct err *err)
{
    FILE *file = fopen(path, "rbe");
    if (file == NULL) {
        int code = err_from_errno(errno);
        return err_set(err, code, "open %s: %s", path, strerrordesc_np(errno));
    }
    char part[4096];
    size_t size;
    buf_init(out, (size_t)YAML_BYTES_MAX + sizeof(part));
    while ((size = fread(part, 1, sizeof(part), file)) > 0 && out->size <= YAML_BYTES_MAX) {
        buf_append(out, part, size);
    }
    bool failed = ferror(file) != 0;
    fclose(file);
    if (failed) {
        buf_free(out);
        return err_set(err, E_IO, "read %s: it is no file, or the disk fails", path);
    }
    return 0;
}

/* Nothing but blanks and comments: etcd runs with its defaults. */
static bool is_blank(const struct buf *text)
{
    bool in_comment = false;
    for (size_t i = 0; i < text->size; i++) {
        char c = (char)text->data[i];
        in_comment = c == '\n' ? false : in_comment || c == '#';
        if (!in_comment && strchr(" \t\r\n", c) == NULL) {
            return false;
        }
    }
    return true;
}

int config_file_read(struct config_input *input, struct flag *flags, size_t count, const char *path,
                     struct err *err)
{
    struct buf text;
    int rc = read_whole(path, &text, err);
    if (rc != 0) {
        return rc;
    }
    struct json *root =
        is_blank(&text) ? json_object() : json_parse_yaml((const char *)text.data, text.size, err);
    buf_free(&text);
    if (root == NULL) {
        return err_wrap(err, E_INVALID, "configuration file %s", path);
    }
    input->c.file = root;
    if (!json_is(root, JSON_OBJECT)) {
        return err_set(err, E_INVALID, "configuration file %s: it must be an object, not an %s",
                       path, type_name(root));
    }
    size_t keys = json_count(root); /* take_list adds to it */
    for (size_t i = 0; rc == 0 && i < keys; i++) {
        rc = take_top(input, flags, count, json_key_at(root, i), json_at(root, i), err);
    }
    for (size_t i = 0; rc == 0 && i < ARRAY_COUNT(SECTIONS); i++) {
        rc = take_section(input, &SECTIONS[i], json_path(root, SECTIONS[i].path), err);
    }
    return rc == 0 ? 0 : err_wrap(err, rc, "configuration file %s", path);
}
