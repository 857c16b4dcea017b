/* SPDX-License-Identifier: Apache-2.0 */
/* Logs and snapshot files that real etcd wrote (tests/data/wal): read, gone on with, and written
 * alike. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "engine/wal/reader.h"
#include "engine/wal/snapfile.h"
#include "lib_log.h"

#define DATA          QUORATE_SOURCE_DIR "/tests/data/wal/"
#define SEGMENT       "0000000000000000-0000000000000000.wal"
#define SEGMENT_BYTES 131072u

static void file_load(const char *path, struct buf *out)
{
    struct disk_file *file;
    const struct disk_seam *disk = disk_posix();
    uint64_t size = 0;
    size_t got = 0;
    buf_init(out, BUF_NO_LIMIT);
    assert_int_equal(disk->open(disk->ctx, path, DISK_READ, &file), 0);
    assert_int_equal(disk->size(file, &size), 0);
    assert_int_equal(disk->read_at(file, 0, buf_reserve(out, (size_t)size), (size_t)size, &got), 0);
    assert_int_equal(got, size);
    out->size = got;
    disk->close(file);
}

/* A disk with etcd's segment, preallocated as etcd does. */
static void disk_make(struct fault_disk *disk, const char *path)
{
    struct buf bytes;
    file_load(path, &bytes);
    assert_true(bytes.size < SEGMENT_BYTES);
    size_t pad = SEGMENT_BYTES - bytes.size;
    memset(buf_reserve(&bytes, pad), 0, pad);
    bytes.size += pad;
    fault_disk_init(disk);
    (void)disk->seam.make_dir(disk, "member");
    (void)disk->seam.make_dir(disk, "member/snap");
    (void)disk->seam.make_dir(disk, LOG_DIR);
    (void)disk->seam.sync_dir(disk, ".");
    (void)disk->seam.sync_dir(disk, "member");
    fault_disk_put(disk, LOG_FIRST, bytes.data, bytes.size);
    buf_free(&bytes);
}

struct vector {
    const char *name;
    uint64_t node_id;
    uint64_t cluster_id;
    uint32_t entry_count;
    uint64_t commit;
};

static const struct vector VECTORS[] = {
    {"etcd-3.4/" SEGMENT, 0x60f98d3b71ac64f3, 0xad776dad6a9ee2eb, 5, 5},
    {"etcd-3.6/" SEGMENT, 0xac7c97ef0ec193b0, 0x8cc9da78b36d1115, 6, 6},
};

static void etcd_logs_are_read_and_gone_on_with(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(VECTORS); i++) {
        const struct vector *vector = &VECTORS[i];
        struct fault_disk disk;
        char *path = str_printf(DATA "%s", vector->name);
        disk_make(&disk, path);
        mem_free(path);

        struct wal_contents contents;
        struct wal *wal = log_open(&disk, SEGMENT_BYTES, &contents);
        assert_int_equal(contents.tail, WAL_TAIL_CLEAN);
        assert_true(contents.metadata.node_id == vector->node_id);
        assert_true(contents.metadata.cluster_id == vector->cluster_id);
        assert_int_equal(contents.entry_count, vector->entry_count);
        assert_int_equal(contents.hard_state.commit, vector->commit);
        assert_int_equal(contents.entries[0].type, RAFT_ENTRY_CONF_CHANGE);
        uint64_t next = contents.entry_count + 1;
        wal_contents_free(&contents);
        assert_int_equal(log_append(wal, next, 1, 3, 50), 0);
        assert_int_equal(wal_sync(wal), 0);
        wal_close(wal);

        wal = log_open(&disk, SEGMENT_BYTES, &contents);
        assert_int_equal(contents.entry_count, next);
        assert_int_equal(contents.tail, WAL_TAIL_CLEAN);
        wal_contents_free(&contents);
        wal_close(wal);
        fault_disk_free(&disk);
    }
}

/* Writes record again from its decoded form. */
static void record_rewrite(const struct wal_record *record, struct buf *out, uint32_t *crc)
{
    struct wal_metadata metadata;
    struct raft_entry entry;
    struct raft_hard_state hard_state;
    struct raft_snapshot_mark mark;
    switch (record->type) {
    case WAL_RECORD_CRC:
        wal_append_crc(out, crc);
        break;
    case WAL_RECORD_METADATA:
        assert_int_equal(wal_metadata_decode(record->data, &metadata), 0);
        wal_append_metadata(out, crc, &metadata);
        break;
    case WAL_RECORD_ENTRY:
        assert_int_equal(wal_entry_decode(record->data, &entry), 0);
        wal_append_entry(out, crc, &entry);
        raft_payload_unref(entry.payload);
        break;
    case WAL_RECORD_STATE:
        assert_int_equal(wal_state_decode(record->data, &hard_state), 0);
        wal_append_state(out, crc, &hard_state);
        break;
    case WAL_RECORD_SNAPSHOT:
        assert_int_equal(wal_mark_decode(record->data, &mark), 0);
        wal_append_mark(out, crc, &mark);
        break;
    }
}

static void our_bytes_are_etcds_bytes(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(VECTORS); i++) {
        char *path = str_printf(DATA "%s", VECTORS[i].name);
        struct buf theirs;
        file_load(path, &theirs);
        struct disk_file *file;
        const struct disk_seam *disk = disk_posix();
        assert_int_equal(disk->open(disk->ctx, path, DISK_READ, &file), 0);
        mem_free(path);
        struct wal_reader reader;
        assert_int_equal(wal_reader_open(disk, file, 0, false, &reader), 0);
        struct buf ours;
        buf_init(&ours, BUF_NO_LIMIT);
        uint32_t crc = 0;
        struct wal_record record;
        struct wal_fault fault;
        while (wal_reader_next(&reader, &record, &fault) > 0) {
            record_rewrite(&record, &ours, &crc);
        }
        assert_int_equal(ours.size, theirs.size);
        assert_memory_equal(ours.data, theirs.data, theirs.size);
        wal_reader_close(&reader);
        disk->close(file);
        buf_free(&ours);
        buf_free(&theirs);
    }
}

static void snap_put(struct fault_disk *disk, const char *name)
{
    char *from = str_printf(DATA "etcd-3.4-snap/snap/%s", name);
    char *to = str_printf("member/snap/%s", name);
    struct buf bytes;
    file_load(from, &bytes);
    fault_disk_put(disk, to, bytes.data, bytes.size);
    buf_free(&bytes);
    mem_free(to);
    mem_free(from);
}

static void the_newest_whole_snapshot_of_etcd_opens_its_log(void **state)
{
    (void)state;
    struct fault_disk disk;
    disk_make(&disk, DATA "etcd-3.4-snap/wal/" SEGMENT);
    snap_put(&disk, "0000000000000002-000000000000000b.snap");
    snap_put(&disk, "0000000000000002-0000000000000016.snap");
    snap_put(&disk, "0000000000000002-0000000000000021.snap");
    fault_disk_bytes(&disk, "member/snap/0000000000000002-0000000000000021.snap")->data[900] ^= 4;

    struct wal_options options = log_options(&disk, SEGMENT_BYTES);
    struct raft_snapshot_mark *marks = NULL;
    uint32_t mark_count = 0;
    assert_int_equal(wal_list_marks(&options, &marks, &mark_count, NULL), 0);
    assert_int_equal(mark_count, 4);
    assert_int_equal(marks[3].index, 0x21);
    struct raft_snapshot_mark mark;
    struct buf data;
    buf_init(&data, BUF_NO_LIMIT);
    assert_int_equal(
        snapfile_load_newest(&disk.seam, "member/snap", marks, mark_count, &mark, &data, NULL), 0);
    assert_int_equal(mark.index, 0x16);
    assert_int_equal(mark.term, 2);
    assert_int_equal(mark.conf_state.voter_count, 1);
    assert_memory_equal(data.data, "{\"Root\":", 8);
    assert_int_equal(fault_disk_count(&disk, "21.snap.broken"), 1);

    struct wal *wal = NULL;
    struct wal_contents contents;
    assert_int_equal(wal_open(&options, &mark, &wal, &contents, NULL), 0);
    assert_int_equal(contents.tail, WAL_TAIL_CLEAN);
    assert_int_equal(contents.entries[0].index, 0x17);
    assert_true(contents.hard_state.commit >= 0x21);
    wal_contents_free(&contents);
    wal_close(wal);

    /* Written again, the file has etcd's bytes. */
    assert_int_equal(snapfile_save(&disk.seam, "member/snap", &mark, buf_bytes(&data), NULL), 0);
    struct buf theirs;
    file_load(DATA "etcd-3.4-snap/snap/0000000000000002-0000000000000016.snap", &theirs);
    const struct buf *ours =
        fault_disk_bytes(&disk, "member/snap/0000000000000002-0000000000000016.snap");
    assert_int_equal(ours->size, theirs.size);
    assert_memory_equal(ours->data, theirs.data, theirs.size);
    buf_free(&theirs);
    buf_free(&data);
    mem_free(marks);
    fault_disk_free(&disk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(etcd_logs_are_read_and_gone_on_with),
        cmocka_unit_test(our_bytes_are_etcds_bytes),
        cmocka_unit_test(the_newest_whole_snapshot_of_etcd_opens_its_log),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
