/* SPDX-License-Identifier: Apache-2.0 */
/* Answers as text: simple, json, fields, table, laid out as etcdctl and etcdutl do. Pure. */
#ifndef CTL_REPORT_FORMAT_H
#define CTL_REPORT_FORMAT_H

#include "base/buf.h"
#include "base/err.h"
#include "ctl/report/status.h"

enum output_format { OUTPUT_SIMPLE, OUTPUT_JSON, OUTPUT_FIELDS, OUTPUT_TABLE };

/* "simple", "json", "fields", "table"; E_INVALID with a text for another word. */
BASE_MUST_CHECK int output_format_parse(const char *text, enum output_format *out_format,
                                        struct err *err);

/* "94 MB": decimal units, two digits at most, as etcd's tools round. */
void format_size(uint64_t bytes, struct buf *out);

#define FORMAT_COLUMNS_MAX 12u

/*
 * One row under headings; each column also has the names that json and fields use. A number is
 * given as its digits. All borrowed.
 */
struct format_column {
    const char *heading;
    const char *json_name;
    const char *field_name;
    const char *text; /* simple and table */
    const char *raw;  /* json and fields, when other than text; NULL: text */
    bool is_number;   /* json: not quoted */
};

/* Appends the row and a newline. */
void format_row(const struct format_column *columns, size_t count, enum output_format format,
                struct buf *out);

/* What `snapshot status` prints. */
void format_status(const struct snapshot_status *status, enum output_format format,
                   struct buf *out);

#endif
