/* SPDX-License-Identifier: Apache-2.0 */
/* Torn and rotten logs: what is cut, what makes the member suspect, what is not opened at all. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "lib_log.h"

#define SEGMENT_BYTES 16384u
#define PAYLOAD_BYTES 40u

/* The files of a small log, to put back before each trial. */
struct image {
    struct buf before; /* segment: 6 entries flushed, mark written */
    struct buf after;  /* segment: 12 entries flushed */
    struct buf mark;   /* says: durable up to before */
    size_t before_end;
    size_t after_end;
};

static struct buf bytes_copy(const struct buf *from)
{
    struct buf copy;
    buf_init(&copy, BUF_NO_LIMIT);
    (void)buf_append(&copy, from->data, from->size);
    return copy;
}

static size_t used_bytes(const struct buf *bytes)
{
    size_t size = bytes->size;
    while (size > 0 && bytes->data[size - 1] == 0) {
        size--;
    }
    return size;
}

static void image_make(struct image *image)
{
    struct fault_disk disk;
    fault_disk_init(&disk);
    struct wal *wal = log_create(&disk, SEGMENT_BYTES);
    assert_int_equal(log_append(wal, 1, 6, 1, PAYLOAD_BYTES), 0);
    assert_int_equal(wal_sync(wal), 0);
    wal_write_durability_mark(wal);
    image->before = bytes_copy(fault_disk_bytes(&disk, LOG_FIRST));
    image->mark = bytes_copy(fault_disk_bytes(&disk, LOG_MARK_PATH));
    assert_int_equal(log_append(wal, 7, 6, 1, PAYLOAD_BYTES), 0);
    assert_int_equal(wal_sync(wal), 0);
    image->after = bytes_copy(fault_disk_bytes(&disk, LOG_FIRST));
    image->before_end = (used_bytes(&image->before) + 7) / 8 * 8;
    image->after_end = (used_bytes(&image->after) + 7) / 8 * 8;
    wal_close(wal);
    fault_disk_free(&disk);
}

static void image_free(struct image *image)
{
    buf_free(&image->before);
    buf_free(&image->after);
    buf_free(&image->mark);
}

/* A disk with the segment (and the mark). */
static void disk_make(struct fault_disk *disk, const struct image *image, const struct buf *segment,
                      bool with_mark)
{
    fault_disk_init(disk);
    (void)disk->seam.make_dir(disk, "member");
    (void)disk->seam.make_dir(disk, LOG_DIR);
    (void)disk->seam.sync_dir(disk, ".");
    (void)disk->seam.sync_dir(disk, "member");
    fault_disk_put(disk, LOG_FIRST, segment->data, segment->size);
    if (with_mark) {
        fault_disk_put(disk, LOG_MARK_PATH, image->mark.data, image->mark.size);
    }
}

static int try_open(struct fault_disk *disk, struct wal **out_wal,
                    struct wal_contents *out_contents, struct err *err)
{
    struct wal_options options = log_options(disk, SEGMENT_BYTES);
    struct raft_snapshot_mark none = {0};
    return wal_open(&options, &none, out_wal, out_contents, err);
}

/* After whatever happened: the log takes an entry, and a second open finds it, clean. */
static void goes_on(struct fault_disk *disk, struct wal *wal, uint32_t entry_count,
                    enum wal_tail tail)
{
    assert_int_equal(log_append(wal, entry_count + 1, 1, 1, PAYLOAD_BYTES), 0);
    assert_int_equal(wal_sync(wal), 0);
    wal_close(wal);
    fault_disk_crash(disk);
    struct wal_contents contents;
    wal = log_open(disk, SEGMENT_BYTES, &contents);
    assert_int_equal(contents.tail, tail == WAL_TAIL_SUSPECT ? WAL_TAIL_SUSPECT : WAL_TAIL_CLEAN);
    assert_int_equal(contents.entry_count, entry_count + 1);
    assert_true(log_is_prefix(&contents, PAYLOAD_BYTES));
    wal_contents_free(&contents);
    wal_close(wal);
}

/* The last flush reached the disk only up to each offset; the rest is as before, zeros. */
static void torn_at(const struct image *image, size_t offset, bool with_mark)
{
    struct buf segment = bytes_copy(&image->before);
    memcpy(segment.data, image->after.data, offset);
    struct fault_disk disk;
    disk_make(&disk, image, &segment, with_mark);
    struct wal *wal = NULL;
    struct wal_contents contents;
    struct err err;
    int rc = try_open(&disk, &wal, &contents, &err);
    if (rc == 0) {
        assert_true(contents.entry_count >= 6 && contents.entry_count <= 12);
        assert_true(log_is_prefix(&contents, PAYLOAD_BYTES));
        assert_true(contents.tail == WAL_TAIL_CLEAN || contents.tail == WAL_TAIL_CUT);
        uint32_t count = contents.entry_count;
        enum wal_tail tail = contents.tail;
        wal_contents_free(&contents);
        goes_on(&disk, wal, count, tail);
        if (tail == WAL_TAIL_CUT) {
            assert_int_equal(fault_disk_count(&disk, ".broken"), with_mark ? 0 : 1);
        }
    } else {
        /* Without a mark a tear inside a sector cannot be told from rot: etcd refuses it too. */
        assert_false(with_mark);
        assert_int_equal(rc, E_CORRUPT);
    }
    fault_disk_free(&disk);
    buf_free(&segment);
}

static void a_tail_torn_beyond_the_mark_at_any_byte_is_an_ordinary_cut(void **state)
{
    (void)state;
    struct image image;
    image_make(&image);
    for (size_t offset = image.before_end; offset <= image.after_end; offset++) {
        torn_at(&image, offset, true);
    }
    image_free(&image);
}

static void a_torn_tail_without_a_mark_is_cut_or_refused_but_never_misread(void **state)
{
    (void)state;
    struct image image;
    image_make(&image);
    for (size_t offset = image.before_end; offset <= image.after_end; offset++) {
        torn_at(&image, offset, false);
    }
    image_free(&image);
}

static void a_file_that_ends_inside_a_record_is_cut_without_a_mark_too(void **state)
{
    (void)state;
    struct image image;
    image_make(&image);
    for (size_t size = image.before_end; size <= image.after_end; size++) {
        struct buf segment = bytes_copy(&image.after);
        segment.size = size;
        struct fault_disk disk;
        disk_make(&disk, &image, &segment, false);
        struct wal *wal = NULL;
        struct wal_contents contents;
        assert_int_equal(try_open(&disk, &wal, &contents, NULL), 0);
        assert_in_range(contents.entry_count, 6, 12);
        assert_true(log_is_prefix(&contents, PAYLOAD_BYTES));
        uint32_t count = contents.entry_count;
        enum wal_tail tail = contents.tail;
        wal_contents_free(&contents);
        goes_on(&disk, wal, count, tail);
        fault_disk_free(&disk);
        buf_free(&segment);
    }
    image_free(&image);
}

/* One bit, at each offset of the log: data is dropped or refused, never wrong, and the verdict
 * holds. */
static void flipped_at(const struct image *image, size_t offset, uint8_t bit, bool with_mark)
{
    struct buf segment = bytes_copy(&image->after);
    segment.data[offset] = (uint8_t)(segment.data[offset] ^ bit);
    struct fault_disk disk;
    disk_make(&disk, image, &segment, with_mark);
    struct wal *wal = NULL;
    struct wal_contents contents;
    struct err err = {""};
    int rc = try_open(&disk, &wal, &contents, &err);
    if (rc == 0) {
        assert_true(log_is_prefix(&contents, PAYLOAD_BYTES));
        assert_true(contents.metadata.node_id == 0x8e9e05c52164694d);
        assert_true(contents.hard_state.commit <= contents.entry_count);
        assert_true(contents.hard_state.term <= 1);
        bool whole = contents.entry_count == 12 && contents.hard_state.commit == 12;
        if (whole) {
            assert_int_equal(contents.tail, WAL_TAIL_CLEAN); /* a bit of the padding */
        } else if (with_mark && offset < image->before_end) {
            assert_int_equal(contents.tail, WAL_TAIL_SUSPECT);
            assert_int_equal(fault_disk_count(&disk, ".broken"), 1);
            assert_non_null(strstr(contents.tail_text, LOG_FIRST));
        } else {
            assert_int_equal(contents.tail, WAL_TAIL_CUT);
        }
        wal_contents_free(&contents);
        wal_close(wal);
    } else {
        assert_int_equal(rc, E_CORRUPT);
        assert_non_null(strstr(err.text, "member"));
    }
    fault_disk_free(&disk);
    buf_free(&segment);
}

static void a_flipped_bit_anywhere_never_gives_wrong_data(void **state)
{
    (void)state;
    struct image image;
    image_make(&image);
    for (size_t offset = 0; offset < image.after_end; offset++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            flipped_at(&image, offset, (uint8_t)(1u << bit), true);
            flipped_at(&image, offset, (uint8_t)(1u << bit), false);
        }
    }
    image_free(&image);
}

static void suspicion_outlives_restarts_until_it_is_cleared(void **state)
{
    (void)state;
    struct image image;
    image_make(&image);
    struct fault_disk disk;
    image.after.data[image.before_end - 20] ^= 0x10;
    disk_make(&disk, &image, &image.after, true);
    struct wal_contents contents;
    struct wal *wal = log_open(&disk, SEGMENT_BYTES, &contents);
    assert_int_equal(contents.tail, WAL_TAIL_SUSPECT);
    wal_contents_free(&contents);
    wal_close(wal);
    fault_disk_crash(&disk);

    wal = log_open(&disk, SEGMENT_BYTES, &contents);
    assert_int_equal(contents.tail, WAL_TAIL_SUSPECT);
    assert_int_equal(log_append(wal, contents.entry_count + 1, 3, 2, PAYLOAD_BYTES), 0);
    assert_int_equal(wal_sync(wal), 0);
    wal_write_durability_mark(wal);
    assert_int_equal(wal_clear_suspect(wal), 0);
    wal_contents_free(&contents);
    wal_close(wal);
    fault_disk_crash(&disk);

    wal = log_open(&disk, SEGMENT_BYTES, &contents);
    assert_int_equal(contents.tail, WAL_TAIL_CLEAN);
    wal_contents_free(&contents);
    wal_close(wal);
    fault_disk_free(&disk);
    image_free(&image);
}

static void a_log_that_is_older_than_its_mark_is_suspect(void **state)
{
    (void)state;
    struct image image;
    image_make(&image);
    struct buf segment = bytes_copy(&image.before);
    memset(segment.data + image.before_end - 64, 0, 64);
    struct fault_disk disk;
    disk_make(&disk, &image, &segment, true);
    struct wal_contents contents;
    struct wal *wal = log_open(&disk, SEGMENT_BYTES, &contents);
    assert_int_equal(contents.tail, WAL_TAIL_SUSPECT);
    wal_contents_free(&contents);
    wal_close(wal);
    fault_disk_free(&disk);
    buf_free(&segment);
    image_free(&image);
}

/* A log of many segments with one byte of the third spoiled. */
static void rotten_middle_make(struct fault_disk *disk)
{
    fault_disk_init(disk);
    struct wal *wal = log_create(disk, 4096);
    for (uint32_t i = 1; i <= 300; i++) {
        assert_int_equal(log_append(wal, i, 1, 1, PAYLOAD_BYTES), 0);
    }
    assert_int_equal(wal_sync(wal), 0);
    wal_close(wal);
    for (size_t i = 0; i < disk->live.count; i++) {
        if (strstr(disk->live.items[i].path, "/0000000000000002-") != NULL) {
            struct buf *bytes = fault_disk_bytes(disk, disk->live.items[i].path);
            bytes->data[2000] ^= 1;
        }
    }
}

static void rot_in_the_middle_drops_what_follows_and_makes_suspect(void **state)
{
    (void)state;
    struct fault_disk disk;
    rotten_middle_make(&disk);
    size_t segments = fault_disk_count(&disk, ".wal");
    struct wal_contents contents;
    struct wal *wal = log_open(&disk, 4096, &contents);
    assert_int_equal(contents.tail, WAL_TAIL_SUSPECT);
    assert_true(contents.entry_count > 50 && contents.entry_count < 200);
    assert_true(log_is_prefix(&contents, PAYLOAD_BYTES));
    assert_true(contents.hard_state.commit <= contents.entry_count);
    assert_int_equal(fault_disk_count(&disk, ".wal"), 3);
    assert_int_equal(fault_disk_count(&disk, ".broken"), segments - 2);
    wal_contents_free(&contents);
    wal_close(wal);
    fault_disk_free(&disk);
}

static void rot_in_the_middle_of_a_log_without_mark_is_refused_untouched(void **state)
{
    (void)state;
    struct fault_disk disk;
    rotten_middle_make(&disk);
    assert_int_equal(disk.seam.remove(&disk, LOG_MARK_PATH), 0);
    size_t segments = fault_disk_count(&disk, ".wal");
    struct wal *wal = NULL;
    struct wal_contents contents;
    struct err err;
    struct wal_options options = log_options(&disk, 4096);
    struct raft_snapshot_mark none = {0};
    assert_int_equal(wal_open(&options, &none, &wal, &contents, &err), E_CORRUPT);
    assert_non_null(strstr(err.text, "0000000000000002-"));
    assert_non_null(strstr(err.text, "offset"));
    assert_int_equal(fault_disk_count(&disk, ".wal"), segments);
    assert_int_equal(fault_disk_count(&disk, ".broken"), 0);
    fault_disk_free(&disk);
}

static void hostile_lengths_and_indexes_are_refused(void **state)
{
    (void)state;
    struct image image;
    image_make(&image);
    static const uint64_t FIELDS[] = {0x00ffffffffffffff, 0x80ffffffffffffff, 0x0000000100000000,
                                      0xffffffffffffffff, 0x0000000010000000, 0x8700000000000001};
    for (size_t i = 0; i < ARRAY_COUNT(FIELDS); i++) {
        struct buf segment = bytes_copy(&image.after);
        put_le64(segment.data + image.before_end, FIELDS[i]);
        struct fault_disk disk;
        disk_make(&disk, &image, &segment, false);
        struct wal *wal = NULL;
        struct wal_contents contents;
        struct err err = {""};
        assert_int_equal(try_open(&disk, &wal, &contents, &err), E_CORRUPT);
        assert_non_null(strstr(err.text, "offset"));
        fault_disk_free(&disk);
        buf_free(&segment);
    }
    image_free(&image);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_tail_torn_beyond_the_mark_at_any_byte_is_an_ordinary_cut),
        cmocka_unit_test(a_torn_tail_without_a_mark_is_cut_or_refused_but_never_misread),
        cmocka_unit_test(a_file_that_ends_inside_a_record_is_cut_without_a_mark_too),
        cmocka_unit_test(a_flipped_bit_anywhere_never_gives_wrong_data),
        cmocka_unit_test(suspicion_outlives_restarts_until_it_is_cleared),
        cmocka_unit_test(a_log_that_is_older_than_its_mark_is_suspect),
        cmocka_unit_test(rot_in_the_middle_drops_what_follows_and_makes_suspect),
        cmocka_unit_test(rot_in_the_middle_of_a_log_without_mark_is_refused_untouched),
        cmocka_unit_test(hostile_lengths_and_indexes_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
