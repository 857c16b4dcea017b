/* SPDX-License-Identifier: Apache-2.0 */
/* What is told of a file, and how it is laid out. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "ctl/report/audit.h"
#include "ctl/report/audit_words.h"
#include "ctl/report/format.h"
#include "ctl/report/status.h"
#include "engine/mvcc/keyvalue.h"
#include "engine/mvcc/store.h"

static const char *size_text(uint64_t bytes)
{
    static char text[32];
    struct buf out;
    buf_init(&out, BUF_NO_LIMIT);
    format_size(bytes, &out);
    snprintf(text, sizeof(text), "%s", buf_cstr(&out));
    buf_free(&out);
    return text;
}

static void sizes_are_rounded_as_etcd_tools_round(void **state)
{
    (void)state;
    assert_string_equal(size_text(0), "0 B");
    assert_string_equal(size_text(9), "9 B");
    assert_string_equal(size_text(10), "10 B");
    assert_string_equal(size_text(999), "999 B");
    assert_string_equal(size_text(1000), "1.0 kB");
    assert_string_equal(size_text(1049), "1.0 kB");
    assert_string_equal(size_text(1050), "1.1 kB");
    assert_string_equal(size_text(24576), "25 kB");
    assert_string_equal(size_text(2200000), "2.2 MB");
    assert_string_equal(size_text(94000000), "94 MB");
    assert_string_equal(size_text(8589934592), "8.6 GB");
    assert_string_equal(size_text(UINT64_MAX), "18 EB");
}

static void expect_form(enum output_format format, const char *want)
{
    struct snapshot_status status = {0xcafe, 251, 12, 24576, "3.6.0"};
    struct buf out;
    buf_init(&out, BUF_NO_LIMIT);
    format_status(&status, format, &out);
    assert_string_equal(buf_cstr(&out), want);
    buf_free(&out);
}

static void a_status_has_the_four_forms_of_etcdutl(void **state)
{
    (void)state;
    expect_form(OUTPUT_SIMPLE, "cafe, 251, 12, 25 kB, 3.6.0\n");
    expect_form(OUTPUT_JSON, "{\"hash\":51966,\"revision\":251,\"totalKey\":12,"
                             "\"totalSize\":24576,\"version\":\"3.6.0\"}\n");
    expect_form(OUTPUT_FIELDS, "\"Hash\" : 51966\n\"Revision\" : 251\n\"Keys\" : 12\n"
                               "\"Size\" : 24576\n\"Version\" : 3.6.0\n");
    expect_form(OUTPUT_TABLE, "+------+----------+------------+------------+---------+\n"
                              "| HASH | REVISION | TOTAL KEYS | TOTAL SIZE | VERSION |\n"
                              "+------+----------+------------+------------+---------+\n"
                              "| cafe |      251 |         12 |      25 kB |   3.6.0 |\n"
                              "+------+----------+------------+------------+---------+\n");
}

static void other_forms_are_refused_by_name(void **state)
{
    (void)state;
    enum output_format format = OUTPUT_TABLE;
    struct err err;
    assert_int_equal(output_format_parse("json", &format, NULL), 0);
    assert_int_equal(format, OUTPUT_JSON);
    assert_int_equal(output_format_parse("protobuf", &format, &err), E_INVALID);
    assert_non_null(strstr(err.text, "protobuf"));
}

static void bytes_of_a_file_do_not_reach_the_terminal(void **state)
{
    (void)state;
    struct audit_words words;
    char longest[400];
    memset(longest, 1, sizeof(longest));
    assert_string_equal(audit_words_of(bytes_of_str("/a\"\x1b[2J"), &words), "\"/a\\x22\\x1b[2J\"");
    const char *cut = audit_words_of(bytes_of(longest, sizeof(longest)), &words);
    assert_true(strlen(cut) < sizeof(words.text));
    assert_true(str_ends_with(cut, "...\""));
}

/* ---- audits ---- */

struct record {
    int64_t revision;
    const char *key;
    int64_t create, version, lease;
    bool tombstone;
};

static void give_record(struct audit *audit, const struct record *record)
{
    uint8_t key[REVISION_KEY_BYTES_MAX];
    uint8_t value[256];
    struct revision revision = {.main = record->revision, .tombstone = record->tombstone};
    struct keyvalue kv = {.key = bytes_of_str(record->key)};
    if (!record->tombstone) {
        kv.create_revision = record->create;
        kv.mod_revision = record->revision;
        kv.version = record->version;
        kv.lease = record->lease;
    }
    assert_true(keyvalue_size(&kv) <= sizeof(value));
    struct bytes encoded = bytes_of(value, keyvalue_encode(&kv, value));
    (void)audit_item(audit, bytes_of_str("key"), bytes_of(key, revision_encode(revision, key)),
                     encoded);
}

static void give(struct audit *audit, const char *bucket, struct bytes key, struct bytes value)
{
    (void)audit_bucket(audit, bytes_of_str(bucket));
    (void)audit_item(audit, bytes_of_str(bucket), key, value);
}

static void give_index(struct audit *audit)
{
    static const uint8_t INDEX[8] = {0, 0, 0, 0, 0, 0, 0, 9};
    give(audit, "meta", bytes_of_str("consistent_index"), bytes_of(INDEX, sizeof(INDEX)));
}

/* The audit of these records (the last one has no key) must say part once, or nothing for NULL. */
static void expect_finding(const struct record *records, int64_t compacted, const char *part)
{
    struct audit *audit = audit_new();
    uint8_t mark[REVISION_KEY_BYTES_MAX];
    struct revision revision = {.main = compacted};
    (void)audit_bucket(audit, bytes_of_str("key"));
    for (; records->key != NULL; records++) {
        give_record(audit, records);
    }
    give_index(audit);
    if (compacted > 0) {
        give(audit, "meta", bytes_of_str("finishedCompactRev"),
             bytes_of(mark, revision_encode(revision, mark)));
    }
    audit_end(audit);
    if (part == NULL) {
        assert_int_equal(audit_count(audit), 0);
    } else {
        assert_int_equal(audit_count(audit), 1);
        assert_non_null(strstr(audit_finding(audit, 0), part));
    }
    audit_free(audit);
}

static void a_whole_history_is_good(void **state)
{
    (void)state;
    static const struct record RECORDS[] = {
        {2, "a", 2, 1, 0, false}, {3, "a", 2, 2, 0, false}, {4, "a", 0, 0, 0, true},
        {5, "a", 5, 1, 0, false}, {6, "b", 6, 1, 0, false}, {0},
    };
    expect_finding(RECORDS, 0, NULL);
}

static void a_compaction_takes_the_beginning_and_no_more(void **state)
{
    (void)state;
    static const struct record RECORDS[] = {
        {3, "a", 2, 2, 0, false}, {4, "a", 2, 3, 0, false}, {0}};
    expect_finding(RECORDS, 3, NULL);
    expect_finding(RECORDS, 0, "history is not there");
}

static void a_hole_in_a_history_is_told(void **state)
{
    (void)state;
    static const struct record HOLE[] = {{2, "a", 2, 1, 0, false}, {4, "a", 2, 3, 0, false}, {0}};
    static const struct record GONE[] = {{4, "a", 0, 0, 0, true}, {0}};
    static const struct record LATE[] = {{4, "a", 2, 1, 0, false}, {0}};
    static const struct record NONE[] = {{4, "a", 4, 0, 0, false}, {0}};
    expect_finding(HOLE, 0, "has a hole");
    expect_finding(GONE, 0, "history is not there");
    expect_finding(GONE, 4, NULL); /* a compaction may leave the tombstone at its revision */
    expect_finding(LATE, 0, "is new and was created at 2");
    expect_finding(NONE, 0, "version 0");
}

static void a_lease_that_is_not_there_is_told(void **state)
{
    (void)state;
    static const struct record RECORDS[] = {{2, "a", 2, 1, 77, false}, {0}};
    static const struct record REPLACED[] = {
        {2, "a", 2, 1, 77, false}, {3, "a", 2, 2, 0, false}, {0}};
    expect_finding(RECORDS, 0, "lease 4d");
    expect_finding(REPLACED, 0, NULL);
}

static void what_other_buckets_hold_is_looked_at(void **state)
{
    (void)state;
    static const struct {
        const char *bucket, *key, *value, *part;
    } CASES[] = {
        {"lease", "short", "x", "bucket lease"},
        {"alarm", "\xff", "", "bucket alarm"},
        {"auth", "authEnabled", "xx", "authEnabled"},
        {"auth", "authRevision", "x", "authRevision"},
        {"auth", "authEnabled", "\x01", "no user root"},
        {"authRoles", "reader", "\x0a\x05other", "role \"reader\""},
        {"authUsers", "alice", "\xff", "user \"alice\""},
        {"authUsers", "alice",
         "\x0a\x05"
         "alice\x1a\x04none",
         "has role none"},
        {"members", "1", "{}", "member \"1\""},
        {"meta", "confState", "{\"voters\":[]}", "no voters"},
        {"meta", "scheduledCompactRev", "x", "no revision of this file"},
        {"meta", "term", "x", "term is no number"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(CASES); i++) {
        struct audit *audit = audit_new();
        give(audit, CASES[i].bucket, bytes_of_str(CASES[i].key), bytes_of_str(CASES[i].value));
        give_index(audit);
        audit_end(audit);
        assert_int_equal(audit_count(audit), 1);
        assert_non_null(strstr(audit_finding(audit, 0), CASES[i].part));
        audit_free(audit);
    }
}

static void many_findings_are_counted_and_few_kept(void **state)
{
    (void)state;
    struct audit *audit = audit_new();
    (void)audit_bucket(audit, bytes_of_str("key"));
    for (int i = 0; i < 100; i++) {
        (void)audit_item(audit, bytes_of_str("key"), bytes_of_str("no"), bytes_of_str("x"));
    }
    assert_int_equal(audit_count(audit), 100);
    assert_non_null(strstr(audit_finding(audit, AUDIT_FINDINGS_MAX - 1), "no revision"));
    audit_free(audit);
}

static void a_nested_bucket_is_told_and_a_foreign_one_passed(void **state)
{
    (void)state;
    struct audit *audit = audit_new();
    give_index(audit);
    give(audit, "mine", bytes_of_str("k"), bytes_of_str("v"));
    assert_int_equal(audit_count(audit), 0);
    give(audit, "key", bytes_of_str("k"), bytes_of(NULL, 0));
    assert_int_equal(audit_count(audit), 1);
    audit_free(audit);
}

/* ---- the tally ---- */

static void an_unreadable_record_ends_a_status(void **state)
{
    (void)state;
    struct status_tally *tally = status_tally_new();
    uint8_t key[REVISION_KEY_BYTES_MAX];
    struct revision revision = {.main = 7};
    struct bytes encoded = bytes_of(key, revision_encode(revision, key));
    assert_int_equal(status_tally_item(tally, bytes_of_str("key"), encoded, bytes_of_str("\xff")),
                     E_CORRUPT);
    assert_non_null(strstr(status_tally_error(tally), "revision 7"));
    assert_int_equal(
        status_tally_item(tally, bytes_of_str("key"), bytes_of_str("x"), bytes_of_str("")),
        E_CORRUPT);
    status_tally_free(tally);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_are_rounded_as_etcd_tools_round),
        cmocka_unit_test(a_status_has_the_four_forms_of_etcdutl),
        cmocka_unit_test(other_forms_are_refused_by_name),
        cmocka_unit_test(bytes_of_a_file_do_not_reach_the_terminal),
        cmocka_unit_test(a_whole_history_is_good),
        cmocka_unit_test(a_compaction_takes_the_beginning_and_no_more),
        cmocka_unit_test(a_hole_in_a_history_is_told),
        cmocka_unit_test(a_lease_that_is_not_there_is_told),
        cmocka_unit_test(what_other_buckets_hold_is_looked_at),
        cmocka_unit_test(many_findings_are_counted_and_few_kept),
        cmocka_unit_test(a_nested_bucket_is_told_and_a_foreign_one_passed),
        cmocka_unit_test(an_unreadable_record_ends_a_status),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
