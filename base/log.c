/* SPDX-License-Identifier: Apache-2.0 */
/* Log lines in zap's JSON shape; one write(2) a line, so that lines of threads do not mix. */
#include "base/log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/json.h"

#define LOG_LINE_BYTES_MAX (64u * 1024u)

static _Atomic int log_level_min = LOG_LEVEL_INFO;
static _Atomic int log_format_now = LOG_FORMAT_JSON;
static _Atomic int log_files[LOG_FDS_MAX] = {2};
static _Atomic size_t log_file_count = 1;

static const char *const LEVEL_NAMES[] = {"debug", "info", "warn", "error", "panic", "fatal"};

void log_set_level(enum log_level level)
{
    atomic_store(&log_level_min, (int)level);
}

void log_set_format(enum log_format format)
{
    atomic_store(&log_format_now, (int)format);
}

void log_set_fd(int fd)
{
    log_set_fds(&fd, 1);
}

void log_set_fds(const int *fds, size_t count)
{
    count = BASE_MIN(count, LOG_FDS_MAX);
    for (size_t i = 0; i < count; i++) {
        atomic_store(&log_files[i], fds[i]);
    }
    atomic_store(&log_file_count, count);
}

bool log_level_parse(const char *text, enum log_level *out_level)
{
    for (size_t i = 0; i < ARRAY_COUNT(LEVEL_NAMES); i++) {
        if (strcmp(text, LEVEL_NAMES[i]) == 0) {
            *out_level = (enum log_level)i;
            return true;
        }
    }
    return false;
}

bool log_enabled(enum log_level level)
{
    return (int)level >= atomic_load_explicit(&log_level_min, memory_order_relaxed);
}

/* "engine/raft/raft.c" becomes "raft/raft.c", as zap's short caller. */
static const char *short_file(const char *file)
{
    const char *last = strrchr(file, '/');
    if (last == NULL) {
        return file;
    }
    for (const char *at = last - 1; at > file; at--) {
        if (*at == '/') {
            return at + 1;
        }
    }
    return file;
}

/* Go's time.Duration text, with the precision that people read. */
static void append_duration(struct buf *out, uint64_t ns)
{
    if (ns >= 1000000000u) {
        buf_printf(out, "%.9gs", (double)ns / 1e9);
    } else if (ns >= 1000000u) {
        buf_printf(out, "%.6gms", (double)ns / 1e6);
    } else {
        buf_printf(out, "%.6g\302\265s", (double)ns / 1e3);
    }
}

static void append_value(struct buf *out, const struct log_field *field, bool quoted)
{
    const char *quote = quoted ? "\"" : "";
    switch (field->type) {
    case LOG_FIELD_STR: {
        const char *text = field->str == NULL ? "" : field->str;
        json_write_string(text, strlen(text), out);
        break;
    }
    case LOG_FIELD_I64:
        buf_printf(out, "%" PRId64, (int64_t)field->number);
        break;
    case LOG_FIELD_U64:
        buf_printf(out, "%" PRIu64, field->number);
        break;
    case LOG_FIELD_BOOL:
        buf_append_str(out, field->number != 0 ? "true" : "false");
        break;
    case LOG_FIELD_DURATION_NS:
        buf_append_str(out, quote);
        append_duration(out, field->number);
        buf_append_str(out, quote);
        break;
    case LOG_FIELD_HEX:
        buf_printf(out, "%s%" PRIx64 "%s", quote, field->number, quote);
        break;
    }
}

static void append_time(struct buf *out, const char *zone)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    struct tm parts;
    gmtime_r(&now.tv_sec, &parts);
    buf_printf(out, "%04d-%02d-%02dT%02d:%02d:%02d.%06ld%s", parts.tm_year + 1900, parts.tm_mon + 1,
               parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec, now.tv_nsec / 1000, zone);
}

static void append_json_line(struct buf *out, enum log_level level, const char *caller, int line,
                             const char *msg, const struct log_field *fields, size_t field_count)
{
    buf_printf(out, "{\"level\":\"%s\",\"ts\":\"", LEVEL_NAMES[level]);
    append_time(out, "Z");
    buf_printf(out, "\",\"caller\":\"%s:%d\",\"msg\":", caller, line);
    json_write_string(msg, strlen(msg), out);
    for (size_t i = 0; i < field_count; i++) {
        buf_append_byte(out, ',');
        json_write_string(fields[i].name, strlen(fields[i].name), out);
        buf_append_byte(out, ':');
        append_value(out, &fields[i], true);
    }
    buf_append_str(out, "}\n");
}

static void append_console_line(struct buf *out, enum log_level level, const char *caller, int line,
                                const char *msg, const struct log_field *fields, size_t field_count)
{
    append_time(out, "Z");
    buf_printf(out, "\t%s\t%s:%d\t%s", LEVEL_NAMES[level], caller, line, msg);
    for (size_t i = 0; i < field_count; i++) {
        buf_printf(out, "%s%s=", i == 0 ? "\t" : " ", fields[i].name);
        append_value(out, &fields[i], false);
    }
    buf_append_byte(out, '\n');
}

static void write_all(int fd, const struct buf *line)
{
    size_t done = 0;
    while (done < line->size) {
        ssize_t written = write(fd, line->data + done, line->size - done);
        if (written < 0 && errno == EINTR) {
            continue;
        }
        if (written <= 0) {
            break; /* nowhere to tell that the log cannot be written */
        }
        done += (size_t)written;
    }
}

void log_write(enum log_level level, const char *file, int line, const char *msg,
               const struct log_field *fields, size_t field_count)
{
    struct buf out;
    buf_init(&out, LOG_LINE_BYTES_MAX);
    if (atomic_load(&log_format_now) == LOG_FORMAT_JSON) {
        append_json_line(&out, level, short_file(file), line, msg, fields, field_count);
    } else {
        append_console_line(&out, level, short_file(file), line, msg, fields, field_count);
    }
    for (size_t i = 0; i < atomic_load(&log_file_count); i++) {
        write_all(atomic_load(&log_files[i]), &out);
    }
    buf_free(&out);
}
