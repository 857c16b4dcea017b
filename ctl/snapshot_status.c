/* SPDX-License-Identifier: Apache-2.0 */
/* `snapshot status` and `snapshot verify`: a file is read whole, nothing of it is changed. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/json.h"
#include "ctl/output.h"
#include "ctl/report/audit.h"
#include "ctl/report/format.h"
#include "ctl/report/status.h"
#include "ctl/snapshot.h"
#include "engine/store/bolt.h"

/* A checksum that is there must be right; a copied database has none. */
static int check_sha(const char *path, bool *out_has, struct err *err)
{
    uint64_t size = 0;
    const struct disk_seam *disk = disk_posix();
    int rc = disk_size_of(disk, path, &size);
    if (rc != 0) {
        return err_set(err, rc, "open %s: %s", path, err_code_text(rc));
    }
    rc = bolt_verify_sha256(disk, path, err);
    *out_has = rc == 0;
    if (rc == E_NOT_FOUND) {
        err->text[0] = '\0';
        rc = 0;
    }
    return rc;
}

static int read_status(const char *path, struct snapshot_status *out_status, struct err *err)
{
    struct status_tally *tally = status_tally_new();
    struct bolt_visitor visitor = {status_tally_bucket, status_tally_item, tally};
    struct bolt_info info;
    int rc = bolt_walk(disk_posix(), path, &visitor, &info, err);
    if (rc == 0) {
        *out_status = status_tally_result(tally, info.used_bytes);
    } else if (status_tally_error(tally)[0] != '\0') {
        err_set(err, rc, "%s: %s", path, status_tally_error(tally));
    }
    status_tally_free(tally);
    return rc;
}

int snapshot_status_print(const struct ctl_values *values, char *const *args)
{
    enum output_format format;
    struct snapshot_status status;
    struct err err = {{0}};
    bool has_sha;
    if (output_format_parse(values->write_out, &format, &err) != 0) {
        (void)output_fail(&err);
        return EXIT_BAD_ARGS;
    }
    int rc = check_sha(args[0], &has_sha, &err);
    if (rc == 0) {
        rc = read_status(args[0], &status, &err);
    }
    if (rc != 0) {
        return output_fail(&err);
    }
    struct buf text;
    buf_init(&text, BUF_NO_LIMIT);
    format_status(&status, format, &text);
    int code = output_print(&text);
    buf_free(&text);
    return code;
}

/* ---- verify ---- */

struct verdict {
    struct snapshot_status status;
    struct err structure; /* "": each page is in order */
    struct err sha;       /* "": right, or not there */
    bool has_sha;
    struct audit *audit;
    struct status_tally *tally;
};

static int verify_bucket(void *ctx, struct bytes name)
{
    struct verdict *verdict = ctx;
    (void)status_tally_bucket(verdict->tally, name);
    return audit_bucket(verdict->audit, name);
}

/* A record that cannot be read is one of the audit's findings and does not end the walk. */
static int verify_item(void *ctx, struct bytes bucket, struct bytes key, struct bytes value)
{
    struct verdict *verdict = ctx;
    (void)status_tally_item(verdict->tally, bucket, key, value);
    return audit_item(verdict->audit, bucket, key, value);
}

static size_t wrong_count(const struct verdict *verdict)
{
    return audit_count(verdict->audit) + (verdict->structure.text[0] != '\0' ? 1 : 0) +
           (verdict->sha.text[0] != '\0' ? 1 : 0);
}

static void each_wrong(const struct verdict *verdict, void (*each)(void *ctx, const char *text),
                       void *ctx)
{
    size_t count = audit_count(verdict->audit);
    if (verdict->sha.text[0] != '\0') {
        each(ctx, verdict->sha.text);
    }
    if (verdict->structure.text[0] != '\0') {
        each(ctx, verdict->structure.text);
    }
    for (size_t i = 0; i < BASE_MIN(count, AUDIT_FINDINGS_MAX); i++) {
        each(ctx, audit_finding(verdict->audit, i));
    }
}

static void line_of(void *ctx, const char *text)
{
    buf_printf(ctx, "wrong: %s\n", text);
}

static void element_of(void *ctx, const char *text)
{
    json_append(ctx, json_string(text));
}

static void verdict_json(const struct verdict *verdict, const char *path, struct buf *out)
{
    struct json *json = json_object();
    struct json *wrong = json_array();
    each_wrong(verdict, element_of, wrong);
    json_set_str(json, "file", path);
    json_set_bool(json, "ok", wrong_count(verdict) == 0);
    json_set_bool(json, "sha256", verdict->has_sha);
    json_set_int(json, "hash", verdict->status.hash);
    json_set_int(json, "revision", verdict->status.revision);
    json_set_int(json, "totalKey", (int64_t)verdict->status.total_keys);
    json_set_int(json, "wrongCount", (int64_t)wrong_count(verdict));
    json_set(json, "wrong", wrong);
    json_write(json, JSON_COMPACT, out);
    buf_append_byte(out, '\n');
    json_free(json);
}

static void verdict_text(const struct verdict *verdict, const char *path, struct buf *out)
{
    each_wrong(verdict, line_of, out);
    if (audit_count(verdict->audit) > AUDIT_FINDINGS_MAX) {
        buf_printf(out, "and %zu more\n", audit_count(verdict->audit) - AUDIT_FINDINGS_MAX);
    }
    if (wrong_count(verdict) == 0) {
        buf_printf(out, "%s is good: %s, each page, %" PRIu64 " keys up to revision %" PRId64 "\n",
                   path, verdict->has_sha ? "its sha256" : "no sha256 (a copied database)",
                   verdict->status.total_keys, verdict->status.revision);
    }
}

int snapshot_verify(const struct ctl_values *values, char *const *args)
{
    enum output_format format;
    struct verdict verdict = {.audit = audit_new(), .tally = status_tally_new()};
    struct bolt_visitor visitor = {verify_bucket, verify_item, &verdict};
    struct bolt_info info = {0};
    struct buf text;
    struct err err = {{0}};
    int code = EXIT_FAILED;
    buf_init(&text, BUF_NO_LIMIT);
    if (output_format_parse(values->write_out, &format, &err) != 0) {
        (void)output_fail(&err);
        code = EXIT_BAD_ARGS;
    } else {
        (void)check_sha(args[0], &verdict.has_sha, &verdict.sha);
        if (bolt_walk(disk_posix(), args[0], &visitor, &info, &verdict.structure) == 0) {
            audit_end(verdict.audit);
        } else if (strcmp(verdict.structure.text, verdict.sha.text) == 0) {
            verdict.sha.text[0] = '\0'; /* the file cannot be opened: said once */
        }
        verdict.status = status_tally_result(verdict.tally, info.used_bytes);
        (format == OUTPUT_JSON ? verdict_json : verdict_text)(&verdict, args[0], &text);
        code = output_print(&text);
        code = code == 0 && wrong_count(&verdict) > 0 ? EXIT_FAILED : code;
    }
    buf_free(&text);
    audit_free(verdict.audit);
    status_tally_free(verdict.tally);
    return code;
}
