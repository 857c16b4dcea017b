/* SPDX-License-Identifier: Apache-2.0 */
/* One row in four forms. */
#include "ctl/report/format.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/json.h"

#define NUMBER_BYTES 32u

static const char *const NAMES[] = {
    [OUTPUT_SIMPLE] = "simple",
    [OUTPUT_JSON] = "json",
    [OUTPUT_FIELDS] = "fields",
    [OUTPUT_TABLE] = "table",
};

int output_format_parse(const char *text, enum output_format *out_format, struct err *err)
{
    for (size_t i = 0; i < ARRAY_COUNT(NAMES); i++) {
        if (strcmp(text, NAMES[i]) == 0) {
            *out_format = (enum output_format)i;
            return 0;
        }
    }
    return err_set(err, E_INVALID,
                   "unsupported output format \"%.40s\": say simple, json, fields or table", text);
}

void format_size(uint64_t bytes, struct buf *out)
{
    static const char *const UNITS[] = {"B", "kB", "MB", "GB", "TB", "PB", "EB"};
    if (bytes < 10) {
        buf_printf(out, "%" PRIu64 " B", bytes);
        return;
    }
    size_t unit = 0;
    uint64_t scale = 1;
    while (unit + 1 < ARRAY_COUNT(UNITS) && bytes / scale >= 1000) {
        scale *= 1000;
        unit++;
    }
    /* Tenths, the half rounded up. */
    uint64_t whole = bytes / scale;
    uint64_t tenths = whole * 10 + ((bytes % scale) * 10 + scale / 2) / scale;
    if (tenths < 100) {
        buf_printf(out, "%" PRIu64 ".%" PRIu64 " %s", tenths / 10, tenths % 10, UNITS[unit]);
        return;
    }
    /* As Go prints a float without digits: the half goes to the even neighbour. */
    uint64_t rounded = tenths / 10;
    uint64_t rest = tenths % 10;
    if (rest > 5 || (rest == 5 && rounded % 2 == 1)) {
        rounded++;
    }
    buf_printf(out, "%" PRIu64 " %s", rounded, UNITS[unit]);
}

static const char *raw_of(const struct format_column *column)
{
    return column->raw != NULL ? column->raw : column->text;
}

static void row_simple(const struct format_column *columns, size_t count, struct buf *out)
{
    for (size_t i = 0; i < count; i++) {
        buf_printf(out, "%s%s", i == 0 ? "" : ", ", columns[i].text);
    }
    buf_append_byte(out, '\n');
}

static void row_json(const struct format_column *columns, size_t count, struct buf *out)
{
    for (size_t i = 0; i < count; i++) {
        const char *raw = raw_of(&columns[i]);
        buf_printf(out, "%c\"%s\":", i == 0 ? '{' : ',', columns[i].json_name);
        if (columns[i].is_number) {
            buf_append_str(out, raw);
        } else {
            json_write_string(raw, strlen(raw), out);
        }
    }
    buf_append_str(out, "}\n");
}

static void row_fields(const struct format_column *columns, size_t count, struct buf *out)
{
    for (size_t i = 0; i < count; i++) {
        buf_printf(out, "\"%s\" : %s\n", columns[i].field_name, raw_of(&columns[i]));
    }
}

static void pad(struct buf *out, size_t count, char byte)
{
    for (size_t i = 0; i < count; i++) {
        buf_append_byte(out, (uint8_t)byte);
    }
}

static void table_line(const size_t *widths, size_t count, struct buf *out)
{
    for (size_t i = 0; i < count; i++) {
        buf_append_byte(out, '+');
        pad(out, widths[i] + 2, '-');
    }
    buf_append_str(out, "+\n");
}

static void table_headings(const struct format_column *columns, const size_t *widths, size_t count,
                           struct buf *out)
{
    for (size_t i = 0; i < count; i++) {
        size_t gap = widths[i] - strlen(columns[i].heading);
        buf_append_str(out, "| ");
        pad(out, gap / 2, ' ');
        for (const char *at = columns[i].heading; *at != '\0'; at++) {
            buf_append_byte(out, (uint8_t)(*at >= 'a' && *at <= 'z' ? *at - 'a' + 'A' : *at));
        }
        pad(out, gap - gap / 2 + 1, ' ');
    }
    buf_append_str(out, "|\n");
}

static void row_table(const struct format_column *columns, size_t count, struct buf *out)
{
    size_t widths[FORMAT_COLUMNS_MAX];
    for (size_t i = 0; i < count; i++) {
        widths[i] = BASE_MAX(strlen(columns[i].heading), strlen(columns[i].text));
    }
    table_line(widths, count, out);
    table_headings(columns, widths, count, out);
    table_line(widths, count, out);
    for (size_t i = 0; i < count; i++) {
        buf_append_str(out, "| ");
        pad(out, widths[i] - strlen(columns[i].text), ' ');
        buf_append_str(out, columns[i].text);
        buf_append_byte(out, ' ');
    }
    buf_append_str(out, "|\n");
    table_line(widths, count, out);
}

void format_row(const struct format_column *columns, size_t count, enum output_format format,
                struct buf *out)
{
    ASSERT(count > 0 && count <= FORMAT_COLUMNS_MAX);
    switch (format) {
    case OUTPUT_SIMPLE:
        row_simple(columns, count, out);
        break;
    case OUTPUT_JSON:
        row_json(columns, count, out);
        break;
    case OUTPUT_FIELDS:
        row_fields(columns, count, out);
        break;
    case OUTPUT_TABLE:
        row_table(columns, count, out);
        break;
    }
}

void format_status(const struct snapshot_status *status, enum output_format format, struct buf *out)
{
    char hash[NUMBER_BYTES], hash_raw[NUMBER_BYTES], revision[NUMBER_BYTES], keys[NUMBER_BYTES],
        size_raw[NUMBER_BYTES];
    struct buf size;
    buf_init(&size, NUMBER_BYTES);
    format_size(status->total_bytes, &size);
    snprintf(hash, sizeof(hash), "%" PRIx32, status->hash);
    snprintf(hash_raw, sizeof(hash_raw), "%" PRIu32, status->hash);
    snprintf(revision, sizeof(revision), "%" PRId64, status->revision);
    snprintf(keys, sizeof(keys), "%" PRIu64, status->total_keys);
    snprintf(size_raw, sizeof(size_raw), "%" PRIu64, status->total_bytes);
    const struct format_column columns[] = {
        {"hash", "hash", "Hash", hash, hash_raw, true},
        {"revision", "revision", "Revision", revision, NULL, true},
        {"total keys", "totalKey", "Keys", keys, NULL, true},
        {"total size", "totalSize", "Size", buf_cstr(&size), size_raw, true},
        {"version", "version", "Version", status->version, NULL, false},
    };
    format_row(columns, ARRAY_COUNT(columns), format, out);
    buf_free(&size);
}
