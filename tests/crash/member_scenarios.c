/* SPDX-License-Identifier: Apache-2.0 */
/* Whole members: their first start, an ordinary life, and the data of an etcd. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "tests/crash/member_checks.h"
#include "tests/crash/record.h"

#define DATA QUORATE_SOURCE_DIR "/tests/data/"

/* ---- first_start ---- */

static void run_first_start(const char *dir)
{
    struct rig rig;
    member_must_open(&rig, dir);
    member_states_begin(&rig);
    for (uint32_t i = 0; i < 3; i++) {
        member_put(&rig, i, 100, 0);
    }
    rig_commit(&rig);
    member_put(&rig, 3, 100, 0);
    rig_close(&rig);
}

const struct scenario scenario_first_start = {
    .name = "first_start",
    .run = run_first_start,
    .check = member_check,
    .recover = member_recover,
    .recover_every = 4,
    .limits = {.singles = 12, .randoms = 16},
    .distinct_min = 460,
};

/* ---- whole_member ---- */

static void prepare_member(const char *dir)
{
    struct rig rig;
    member_must_open(&rig, dir);
    rig_close(&rig);
}

static void run_member(const char *dir)
{
    struct rig rig;
    member_must_open(&rig, dir);
    member_states_begin(&rig);
    for (uint32_t round = 0; round < 5; round++) {
        member_try();
        member_acknowledged(&rig, rig_grant(&rig, 100 + round));
        for (uint32_t i = 0; i < 5; i++) {
            member_put(&rig, round * 5 + i, 200 + 300 * i, i == 2 ? 100 + round : 0);
        }
        rig_commit(&rig);
        wal_write_durability_mark(rig.server->wal);
        member_try();
        member_acknowledged(&rig, rig_txn(&rig, "of-txn", "key-1"));
        member_try();
        member_acknowledged(&rig, rig_delete(&rig, "key-3"));
        if (round % 2 == 1) {
            member_try();
            member_acknowledged(&rig, rig_revoke(&rig, 99 + round));
            member_try();
            member_acknowledged(&rig, rig_compact(&rig, mvcc_revision(rig.server->mvcc) - 3));
        }
        rig_commit(&rig);
    }
    rig_close(&rig);
}

const struct scenario scenario_whole_member = {
    .name = "whole_member",
    .prepare = prepare_member,
    .run = run_member,
    .check = member_check,
    .recover = member_recover,
    .recover_every = 200,
    .limits = {.singles = 2, .randoms = 3},
    .distinct_min = 6000,
};

/* ---- import ---- */

static void file_make(const char *path, struct bytes bytes)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    ASSERT(fd >= 0 && write(fd, bytes.data, bytes.size) == (ssize_t)bytes.size);
    (void)close(fd);
}

/* A member of ours becomes what an etcd would have left: its log and .snap files are in etcd's
 * format anyway; the key space goes into member/snap/db. */
static void prepare_etcd(const char *dir)
{
    struct rig rig;
    struct buf db;
    member_must_open(&rig, dir);
    for (uint32_t i = 0; i < 20; i++) {
        char key[16];
        (void)snprintf(key, sizeof(key), "key-%u", i % 7);
        ASSERT(rig_put(&rig, key, 300, 0));
        if (i % 5 == 4) {
            rig_commit(&rig);
        }
    }
    member_store_as_bolt(&rig, &db);
    ASSERT(rig_put(&rig, "in-the-log-alone", 10, 0));
    rig_close(&rig);
    char *path = str_printf("%s/m1/member/snap/db", dir);
    file_make(path, buf_bytes(&db));
    mem_free(path);
    buf_free(&db);
    path = str_printf("%s/m1/member/store", dir);
    tree_clear(path);
    ASSERT(rmdir(path) == 0);
    mem_free(path);
    path = str_printf("%s/m1/member/quorate-durable.mark", dir);
    ASSERT(unlink(path) == 0);
    mem_free(path);
}

static void run_import(const char *dir)
{
    struct rig rig;
    member_must_open(&rig, dir);
    member_states_begin(&rig);
    member_put(&rig, 1, 100, 0);
    rig_commit(&rig);
    rig_close(&rig);
}

/* What etcd's file held is there always; afterwards no etcd can start on it by accident. */
static int check_import(const struct crash_case *crash, struct err *err)
{
    int rc = member_check(crash, err);
    char *db = str_printf("%s/m1/member/snap/db", crash->dir);
    if (rc == 0 && access(db, F_OK) == 0) {
        rc = err_set(err, E_CORRUPT, "the file of etcd still has its name");
    }
    mem_free(db);
    return rc;
}

const struct scenario scenario_import = {
    .name = "import",
    .prepare = prepare_etcd,
    .run = run_import,
    .check = check_import,
    .recover = member_recover,
    .recover_every = 8,
    .limits = {.singles = 6, .randoms = 8},
    .distinct_min = 730,
};

/* ---- import_of_3_4 ---- */

static struct bytes file_of(const char *path)
{
    static uint8_t bytes[1u << 20];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t size = fd < 0 ? -1 : pread(fd, bytes, sizeof(bytes), 0);
    ASSERT(size > 0);
    (void)close(fd);
    return bytes_of(bytes, (size_t)size);
}

/* As etcd 3.4 leaves it: the file does not name the members, the log is whole. */
static void prepare_etcd_3_4(const char *dir)
{
    const char *const folders[] = {"m1", "m1/member", "m1/member/wal", "m1/member/snap"};
    for (size_t i = 0; i < ARRAY_COUNT(folders); i++) {
        char *folder = str_printf("%s/%s", dir, folders[i]);
        ASSERT(mkdir(folder, 0700) == 0);
        mem_free(folder);
    }
    const char *segment = "0000000000000000-0000000000000000.wal";
    char *from = str_printf(DATA "wal/etcd-3.4/%s", segment);
    char *to = str_printf("%s/m1/member/wal/%s", dir, segment);
    file_make(to, file_of(from));
    mem_free(from);
    mem_free(to);
    struct bytes db = file_of(DATA "bolt/etcd-3.4-snapshot.db");
    to = str_printf("%s/m1/member/snap/db", dir);
    file_make(to, bytes_of(db.data, db.size / 512 * 512)); /* without the checksum behind it */
    mem_free(to);
}

const struct scenario scenario_import_of_3_4 = {
    .name = "import_of_3_4",
    .prepare = prepare_etcd_3_4,
    .run = run_import,
    .check = check_import,
    .recover = member_recover,
    .recover_every = 150,
    .limits = {.singles = 3, .randoms = 4},
    .distinct_min = 900,
};
