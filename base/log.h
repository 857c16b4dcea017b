/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Log lines as etcd's zap writes them: one JSON object per line with level, ts, caller, msg and
 * fields. LOG_INFO("ready to serve client requests", LOG_STR("member-id", id), LOG_U64("index",
 * i));
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include "base/defs.h"

enum log_level {
    LOG_LEVEL_DEBUG,
    LOG_LEVEL_INFO,
    LOG_LEVEL_WARN,
    LOG_LEVEL_ERROR,
    LOG_LEVEL_PANIC,
    LOG_LEVEL_FATAL
};
enum log_format { LOG_FORMAT_JSON, LOG_FORMAT_CONSOLE };

enum log_field_type {
    LOG_FIELD_STR,
    LOG_FIELD_I64,
    LOG_FIELD_U64,
    LOG_FIELD_BOOL,
    LOG_FIELD_DURATION_NS,
    LOG_FIELD_HEX
};

struct log_field {
    const char *name;
    enum log_field_type type;
    const char *str;
    uint64_t number;
};

#define LOG_STR(n, v)       ((struct log_field){(n), LOG_FIELD_STR, (v), 0})
#define LOG_I64(n, v)       ((struct log_field){(n), LOG_FIELD_I64, NULL, (uint64_t)(int64_t)(v)})
#define LOG_U64(n, v)       ((struct log_field){(n), LOG_FIELD_U64, NULL, (uint64_t)(v)})
#define LOG_BOOL(n, v)      ((struct log_field){(n), LOG_FIELD_BOOL, NULL, (v) ? 1u : 0u})
#define LOG_DURATION(n, ns) ((struct log_field){(n), LOG_FIELD_DURATION_NS, NULL, (uint64_t)(ns)})
#define LOG_HEX(n, v)       ((struct log_field){(n), LOG_FIELD_HEX, NULL, (uint64_t)(v)})

/* Process-wide; default: info, JSON, file descriptor 2. */
void log_set_level(enum log_level level);
void log_set_format(enum log_format format);
void log_set_fd(int fd);

#define LOG_FDS_MAX 4u

/* Every line to each of these (1 to LOG_FDS_MAX); before there are threads. */
void log_set_fds(const int *fds, size_t count);
bool log_level_parse(const char *text, enum log_level *out_level);
bool log_enabled(enum log_level level);

/* Writes one line with a single write(2); field_count fields are borrowed for the call.
 * Thread-safe. */
void log_write(enum log_level level, const char *file, int line, const char *msg,
               const struct log_field *fields, size_t field_count);

#define LOG_AT(level, msg, ...)                                                                    \
    do {                                                                                           \
        if (log_enabled(level)) {                                                                  \
            const struct log_field log_fields_[] = {                                               \
                __VA_ARGS__ __VA_OPT__(, ){NULL, LOG_FIELD_STR, NULL, 0}};                         \
            log_write((level), __FILE__, __LINE__, (msg), log_fields_,                             \
                      ARRAY_COUNT(log_fields_) - 1);                                               \
        }                                                                                          \
    } while (0)

#define LOG_DEBUG(...) LOG_AT(LOG_LEVEL_DEBUG, __VA_ARGS__)
#define LOG_INFO(...)  LOG_AT(LOG_LEVEL_INFO, __VA_ARGS__)
#define LOG_WARN(...)  LOG_AT(LOG_LEVEL_WARN, __VA_ARGS__)
#define LOG_ERROR(...) LOG_AT(LOG_LEVEL_ERROR, __VA_ARGS__)

#endif
