/* SPDX-License-Identifier: Apache-2.0 */
/* Alarms and what the store keeps of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "engine/server/alarm.h"
#include "engine/store/lmdb_store.h"
#include "rpc.pb-c.h"

#define NOSPACE ETCDSERVERPB__ALARM_TYPE__NOSPACE
#define CORRUPT ETCDSERVERPB__ALARM_TYPE__CORRUPT

struct kept {
    char *dir;
    struct lmdb_store *store;
    const struct store_seam *seam;
    struct store_batch batch;
};

static void kept_open(struct kept *kept)
{
    struct err err;
    char name[] = "/tmp/quorate-alarm-XXXXXX";
    assert_non_null(mkdtemp(name));
    kept->dir = str_dup(name);
    assert_int_equal(lmdb_store_open(name, 64u * 1024 * 1024, &kept->store, &err), 0);
    kept->seam = lmdb_store_seam(kept->store);
    store_batch_init(&kept->batch);
}

static void kept_commit(struct kept *kept)
{
    struct err err;
    assert_int_equal(kept->seam->commit(kept->seam->ctx, &kept->batch, &err), 0);
    store_batch_free(&kept->batch);
}

static void kept_load(struct kept *kept, struct alarms *out)
{
    struct store_view *view;
    struct err err;
    assert_int_equal(kept->seam->view_begin(kept->seam->ctx, &view), 0);
    assert_int_equal(alarms_load(out, kept->seam, view, &err), 0);
    kept->seam->view_end(view);
}

static void kept_close(struct kept *kept)
{
    store_batch_free(&kept->batch);
    lmdb_store_close(kept->store);
    char *command = str_printf("rm -rf '%s'", kept->dir);
    assert_int_equal(system(command), 0);
    mem_free(command);
    mem_free(kept->dir);
}

static void alarms_are_kept_by_member_and_kind(void **state)
{
    (void)state;
    struct kept kept;
    struct alarms alarms = {.count = 0};
    struct alarms again = {.count = 9};
    struct alarm first = {0xf000000000000001u, NOSPACE};
    struct alarm second = {2, CORRUPT};
    struct alarm third = {2, NOSPACE};
    kept_open(&kept);
    assert_true(alarms_activate(&alarms, first, &kept.batch));
    assert_false(alarms_activate(&alarms, first, &kept.batch));
    assert_true(alarms_activate(&alarms, second, &kept.batch));
    assert_true(alarms_activate(&alarms, third, &kept.batch));
    kept_commit(&kept);
    kept_load(&kept, &again);
    assert_int_equal(again.count, 3);
    assert_true(alarms_has(&again, first) && alarms_has(&again, second));
    assert_true(alarms_any(&again, CORRUPT));

    assert_true(alarms_deactivate(&alarms, second, &kept.batch));
    assert_false(alarms_deactivate(&alarms, second, &kept.batch));
    assert_false(alarms_any(&alarms, CORRUPT));
    assert_true(alarms_any(&alarms, NOSPACE)); /* two members raised it */
    assert_true(alarms_deactivate(&alarms, first, &kept.batch));
    assert_true(alarms_any(&alarms, NOSPACE));
    kept_commit(&kept);
    kept_load(&kept, &again);
    assert_int_equal(again.count, 1);
    assert_true(alarms_has(&again, third));
    kept_close(&kept);
}

static void a_full_table_takes_no_more_and_forgets_nothing(void **state)
{
    (void)state;
    struct kept kept;
    struct alarms alarms = {.count = 0};
    kept_open(&kept);
    for (uint64_t id = 1; id <= ALARMS_MAX; id++) {
        assert_true(alarms_activate(&alarms, (struct alarm){id, NOSPACE}, &kept.batch));
    }
    assert_false(alarms_activate(&alarms, (struct alarm){9999, NOSPACE}, &kept.batch));
    assert_int_equal(alarms.count, ALARMS_MAX);
    kept_commit(&kept);
    kept_load(&kept, &alarms);
    assert_int_equal(alarms.count, ALARMS_MAX);
    kept_close(&kept);
}

static void a_row_that_is_no_alarm_is_refused(void **state)
{
    (void)state;
    struct kept kept;
    struct alarms alarms;
    struct store_view *view;
    struct err err;
    kept_open(&kept);
    store_batch_put(&kept.batch, STORE_ALARM, bytes_of_str("\xff\xff"), (struct bytes){NULL, 0});
    kept_commit(&kept);
    assert_int_equal(kept.seam->view_begin(kept.seam->ctx, &view), 0);
    assert_int_equal(alarms_load(&alarms, kept.seam, view, &err), E_CORRUPT);
    kept.seam->view_end(view);
    kept_close(&kept);
}

static void alarms_have_the_names_that_clients_compare(void **state)
{
    (void)state;
    assert_string_equal(alarm_name(NOSPACE), "NOSPACE");
    assert_string_equal(alarm_name(CORRUPT), "CORRUPT");
    assert_string_equal(alarm_name(0), "NONE");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(alarms_are_kept_by_member_and_kind),
        cmocka_unit_test(a_full_table_takes_no_more_and_forgets_nothing),
        cmocka_unit_test(a_row_that_is_no_alarm_is_refused),
        cmocka_unit_test(alarms_have_the_names_that_clients_compare),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
