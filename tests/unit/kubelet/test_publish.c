/* SPDX-License-Identifier: Apache-2.0 */
/* Files of Secrets come and go together. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "deploy/playground/kubelet/files.h"
#include "deploy/playground/kubelet/publish.h"

static char folder[64];

static int make_folder(void **state)
{
    (void)state;
    snprintf(folder, sizeof(folder), "/tmp/quorate-publish-XXXXXX");
    return mkdtemp(folder) == NULL ? -1 : 0;
}

static int drop_folder(void **state)
{
    (void)state;
    files_remove_tree(folder);
    return 0;
}

static void put(const char *staging, const char *name, const char *text)
{
    char *path = str_printf("%s/%s", staging, name);
    assert_true(files_write(path, text, strlen(text), 0600));
    mem_free(path);
}

static void assert_reads(const char *name, const char *text)
{
    char *path = str_printf("%s/%s", folder, name);
    char *found = files_read_text(path, 100);
    if (text == NULL) {
        assert_null(found);
    } else {
        assert_non_null(found);
        assert_string_equal(found, text);
    }
    mem_free(found);
    mem_free(path);
}

static void publish_pair(const char *cert, const char *key)
{
    char *staging = publish_begin(folder);
    put(staging, "tls.crt", cert);
    if (key != NULL) {
        put(staging, "tls.key", key);
    }
    publish_end(folder, staging);
}

static void shown_folder(char out[256])
{
    char *path = str_printf("%s/..data", folder);
    ssize_t size = readlink(path, out, 255);
    assert_true(size > 0);
    out[size] = '\0';
    mem_free(path);
}

static void new_files_show_together_and_old_names_go(void **state)
{
    (void)state;
    publish_pair("cert 1", "key 1");
    assert_reads("tls.crt", "cert 1");
    assert_reads("tls.key", "key 1");
    char before[256];
    shown_folder(before);

    publish_pair("cert 2", NULL);

    char after[256];
    shown_folder(after);
    assert_string_not_equal(before, after);
    assert_reads("tls.crt", "cert 2");
    assert_reads("tls.key", NULL);
    char *gone = str_printf("%s/%s", folder, before);
    assert_int_equal(access(gone, F_OK), -1);
    mem_free(gone);
}

static void the_same_files_move_nothing(void **state)
{
    (void)state;
    publish_pair("cert 3", "key 3");
    char before[256];
    char after[256];
    shown_folder(before);

    publish_pair("cert 3", "key 3");

    shown_folder(after);
    assert_string_equal(before, after);
    assert_reads("tls.key", "key 3");
}

static void files_that_are_given_up_leave_what_is_shown(void **state)
{
    (void)state;
    publish_pair("cert 4", "key 4");

    char *staging = publish_begin(folder);
    put(staging, "tls.crt", "cert 5");
    publish_cancel(staging);

    assert_reads("tls.crt", "cert 4");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(new_files_show_together_and_old_names_go),
        cmocka_unit_test(the_same_files_move_nothing),
        cmocka_unit_test(files_that_are_given_up_leave_what_is_shown),
    };
    return cmocka_run_group_tests(tests, make_folder, drop_folder);
}
