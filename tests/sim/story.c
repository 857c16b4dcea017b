/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The story of a run: a hash of all that happened, the last lines (all of them when shown), what
 * was broken. It also stands in for base/log (lines of nodes are part of the story), base/assert
 * (a broken invariant of the code ends the run) and base/metrics (of one process, so of no use
 * here).
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/log.h"
#include "base/metrics.h"
#include "tests/sim/sim_internal.h"

#define LINE_BYTES 512
#define LAST_LINES 64u
#define HASH_PRIME UINT64_C(0x9e3779b97f4a7c15)

static struct {
    uint64_t seed, hash, violations;
    bool is_shown;
    char first_check[64];
    char last[LAST_LINES][LINE_BYTES];
    uint64_t line_count;
} story;

void story_begin(uint64_t seed)
{
    story.seed = seed;
    story.hash = seed * HASH_PRIME;
    story.violations = 0;
    story.first_check[0] = '\0';
    story.line_count = 0;
}

void story_end(void)
{
}

uint64_t story_seed(void)
{
    return story.seed;
}

bool sim_is_shown(void)
{
    return story.is_shown;
}

void sim_show(bool on)
{
    story.is_shown = on;
}

void sim_trace(uint64_t word)
{
    uint64_t mixed = (story.hash ^ word) * HASH_PRIME;
    story.hash = mixed ^ mixed >> 29;
}

uint64_t sim_trace_hash(void)
{
    return story.hash;
}

static void trace_text(const char *text)
{
    size_t size = strlen(text);
    while (size > 0) {
        uint64_t word = 0;
        size_t part = BASE_MIN(size, sizeof(word));
        memcpy(&word, text, part);
        sim_trace(word);
        text += part;
        size -= part;
    }
}

static size_t begin_line(char *line)
{
    uint64_t now = sim_now_ns();
    int written = snprintf(line, LINE_BYTES, "%4" PRIu64 ".%09" PRIu64 " ", now / 1000000000u,
                           now % 1000000000u);
    size_t size = (size_t)written;
    if (sim_node() == SIM_NOBODY) {
        size += (size_t)snprintf(line + size, LINE_BYTES - size, "     ");
    } else {
        size += (size_t)snprintf(line + size, LINE_BYTES - size, "n%d/%" PRIu64 " ", sim_node(),
                                 sim_life(sim_node()));
    }
    return size;
}

static void end_line(const char *line)
{
    trace_text(line);
    if (story.is_shown) {
        fprintf(stderr, "%s\n", line);
    }
}

void sim_note(const char *format, ...)
{
    char *line = story.last[story.line_count++ % LAST_LINES];
    size_t size = begin_line(line);
    va_list args;
    va_start(args, format);
    vsnprintf(line + size, LINE_BYTES - size, format, args);
    va_end(args);
    end_line(line);
}

void story_tell(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
}

static void tell_last_lines(void)
{
    if (story.is_shown) {
        return; /* they are there already */
    }
    uint64_t first = story.line_count > LAST_LINES ? story.line_count - LAST_LINES : 0;
    for (uint64_t i = first; i < story.line_count; i++) {
        fprintf(stderr, "%s\n", story.last[i % LAST_LINES]);
    }
}

void sim_violation(const char *check, const char *format, ...)
{
    char text[LINE_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    if (story.violations++ == 0) {
        snprintf(story.first_check, sizeof(story.first_check), "%s", check);
        tell_last_lines();
    }
    fprintf(stderr, "seed %" PRIu64 ": VIOLATION of %s: %s\n", story.seed, check, text);
    sim_note("VIOLATION of %s: %s", check, text);
}

uint64_t sim_violations(void)
{
    return story.violations;
}

const char *sim_first_violation(void)
{
    return story.first_check;
}

/* ---- base/assert.h ---- */

void base_assert_fail(const char *file, int line, const char *condition)
{
    sim_violation("assertions", "%s:%d: broken invariant: %s (node %d)", file, line, condition,
                  sim_node());
    fflush(NULL);
    _Exit(1);
}

/* ---- base/log.h ---- */

void log_set_level(enum log_level level)
{
    (void)level;
}

void log_set_format(enum log_format format)
{
    (void)format;
}

void log_set_fds(const int *fds, size_t count)
{
    (void)fds;
    (void)count;
}

void log_set_fd(int fd)
{
    (void)fd;
}

bool log_level_parse(const char *text, enum log_level *out_level)
{
    static const char *const NAMES[] = {"debug", "info", "warn", "error", "panic", "fatal"};
    for (size_t i = 0; i < ARRAY_COUNT(NAMES); i++) {
        if (strcmp(text, NAMES[i]) == 0) {
            *out_level = (enum log_level)i;
            return true;
        }
    }
    return false;
}

bool log_enabled(enum log_level level)
{
    return level >= LOG_LEVEL_INFO;
}

static size_t append_field(char *line, size_t size, const struct log_field *field)
{
    const char *format = field->type == LOG_FIELD_HEX ? " %s=%" PRIx64 : " %s=%" PRIu64;
    if (size >= LINE_BYTES - 1) {
        return size;
    }
    int written;
    if (field->type == LOG_FIELD_STR) {
        written = snprintf(line + size, LINE_BYTES - size, " %s=\"%s\"", field->name,
                           field->str == NULL ? "" : field->str);
    } else if (field->type == LOG_FIELD_I64) {
        written = snprintf(line + size, LINE_BYTES - size, " %s=%" PRId64, field->name,
                           (int64_t)field->number);
    } else {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        written = snprintf(line + size, LINE_BYTES - size, format, field->name, field->number);
#pragma GCC diagnostic pop
    }
    return size + (size_t)BASE_MAX(written, 0);
}

void log_write(enum log_level level, const char *file, int line_number, const char *msg,
               const struct log_field *fields, size_t field_count)
{
    static const char LETTERS[] = "DIWEPF";
    (void)file;
    (void)line_number;
    char *line = story.last[story.line_count++ % LAST_LINES];
    size_t size = begin_line(line);
    size_t text = size + 2;
    size += (size_t)snprintf(line + size, LINE_BYTES - size, "%c %s", LETTERS[level], msg);
    for (size_t i = 0; i < field_count; i++) {
        size = append_field(line, size, &fields[i]);
    }
    end_line(line);
    if (level >= LOG_LEVEL_PANIC) {
        node_remember_why(line + text);
    }
}

/* ---- base/metrics.h ---- */

const double METRIC_BOUNDS_DISK[14] = {0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064,
                                       0.128, 0.256, 0.512, 1.024, 2.048, 4.096, 8.192};
const double METRIC_BOUNDS_RPC[11] = {0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10};

void metric_register(struct metric *metric)
{
    (void)metric;
}

void metric_unregister(struct metric *metric)
{
    (void)metric;
}

void metric_observe(struct metric *metric, uint64_t value_nanos)
{
    (void)metric;
    (void)value_nanos;
}

void metrics_write(struct buf *out)
{
    (void)buf_append_str(out, "");
}
