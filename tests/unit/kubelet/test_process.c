/* SPDX-License-Identifier: Apache-2.0 */
/* Real processes: names, logs, orphans; and the folders they live in. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "deploy/playground/kubelet/files.h"
#include "deploy/playground/kubelet/process.h"

#define LOG_BYTES_MAX 65536u

struct fixture {
    char dir[64];
    char *log;
};

static void put(const struct fixture *fixture, const char *name, const char *text)
{
    char *path = str_printf("%s/%s", fixture->dir, name);
    assert_true(files_write_in_place(path, text, strlen(text)));
    mem_free(path);
}

static int set_up(void **state)
{
    struct fixture *fixture = mem_zalloc(sizeof(*fixture));
    snprintf(fixture->dir, sizeof(fixture->dir), "/tmp/kubelet-test-XXXXXX");
    assert_non_null(mkdtemp(fixture->dir));
    fixture->log = str_printf("%s/log", fixture->dir);
    put(fixture, "hosts", "127.0.0.1 localhost\n127.77.1.1 first.test.svc\n");
    put(fixture, "nsswitch.conf", "hosts: files\n");
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    files_remove_tree(fixture->dir);
    assert_int_not_equal(access(fixture->dir, F_OK), 0);
    mem_free(fixture->log);
    mem_free(fixture);
    return 0;
}

static int spawn_shell(const struct fixture *fixture, const char *script, pid_t *out_pid)
{
    char *argv[] = {(char *)(uintptr_t) "sh", (char *)(uintptr_t) "-c", (char *)(uintptr_t)script,
                    NULL};
    char *envp[] = {(char *)(uintptr_t) "PATH=/usr/bin:/bin", NULL};
    struct process_spec spec = {.dir = fixture->dir,
                                .argv = argv,
                                .envp = envp,
                                .cwd = fixture->dir,
                                .log_path = fixture->log};
    struct err err = {""};
    int rc = process_spawn(&spec, out_pid, &err);
    if (rc != 0) {
        print_message("%s\n", err.text);
    }
    return rc;
}

static int wait_for_end(pid_t pid)
{
    int status = 0;
    while (!process_reap(pid, &status)) {
        poll(NULL, 0, 5);
    }
    return status;
}

static void wait_for_log(const struct fixture *fixture, const char *text)
{
    for (;;) {
        char *log = files_read_text(fixture->log, LOG_BYTES_MAX);
        bool is_there = log != NULL && strstr(log, text) != NULL;
        mem_free(log);
        if (is_there) {
            return;
        }
        poll(NULL, 0, 5);
    }
}

static void a_process_sees_names_that_came_after_its_start(void **state)
{
    struct fixture *fixture = *state;
    pid_t pid;

    assert_int_equal(spawn_shell(fixture,
                                 "getent hosts first.test.svc; "
                                 "until getent hosts second.test.svc; do sleep 0.01; done",
                                 &pid),
                     0);
    wait_for_log(fixture, "127.77.1.1");
    put(fixture, "hosts", "127.77.1.2 second.test.svc\n");

    assert_int_equal(wait_for_end(pid), 0);
    wait_for_log(fixture, "127.77.1.2");
}

static void the_machine_itself_does_not_see_the_names(void **state)
{
    struct fixture *fixture = *state;
    pid_t pid;

    assert_int_equal(spawn_shell(fixture, "getent hosts first.test.svc", &pid), 0);
    wait_for_end(pid);

    char *hosts = files_read_text("/etc/hosts", LOG_BYTES_MAX);
    assert_true(hosts == NULL || strstr(hosts, "first.test.svc") == NULL);
    mem_free(hosts);
}

static void a_program_that_is_not_there_is_told_at_once(void **state)
{
    struct fixture *fixture = *state;
    char *argv[] = {(char *)(uintptr_t) "/nonexistent/program", NULL};
    char *envp[] = {NULL};
    struct process_spec spec = {.dir = fixture->dir, .argv = argv, .envp = envp};
    struct err err = {""};
    pid_t pid;

    assert_int_equal(process_spawn(&spec, &pid, &err), E_NOT_FOUND);

    assert_non_null(strstr(err.text, "/nonexistent/program"));
}

static void a_signal_reaches_all_that_a_process_started(void **state)
{
    struct fixture *fixture = *state;
    pid_t pid;
    assert_int_equal(
        spawn_shell(fixture,
                    "(trap 'echo child ended; exit' TERM; echo up; while :; do sleep 0.01; "
                    "done) & wait",
                    &pid),
        0);
    wait_for_log(fixture, "up");

    process_signal(pid, SIGTERM);

    int status = wait_for_end(pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
    wait_for_log(fixture, "child ended");
}

static void an_orphan_is_ended_by_its_note(void **state)
{
    struct fixture *fixture = *state;
    pid_t pid;
    assert_int_equal(spawn_shell(fixture, "exec sleep 1000", &pid), 0);
    char *note = str_printf("%s/main.pid", fixture->dir);
    process_note(note, pid);

    assert_true(process_end_orphan(note));

    assert_true(WIFSIGNALED(wait_for_end(pid)));
    assert_int_not_equal(access(note, F_OK), 0);
    mem_free(note);
}

static void another_process_with_the_same_number_is_left_alone(void **state)
{
    struct fixture *fixture = *state;
    pid_t pid;
    assert_int_equal(spawn_shell(fixture, "exec sleep 1000", &pid), 0);
    char *note = str_printf("%s/main.pid", fixture->dir);
    char *text = str_printf("%d 1\n", (int)pid); /* born at another time */
    put(fixture, "main.pid", text);

    assert_false(process_end_orphan(note));

    int status = 0;
    assert_false(process_reap(pid, &status));
    process_signal(pid, SIGKILL);
    wait_for_end(pid);
    mem_free(text);
    mem_free(note);
}

static void a_file_written_in_place_stays_the_same_file(void **state)
{
    struct fixture *fixture = *state;
    char *path = str_printf("%s/hosts", fixture->dir);
    char *link_path = str_printf("%s/other-name", fixture->dir);
    assert_int_equal(link(path, link_path), 0);

    put(fixture, "hosts", "short\n");

    char *seen = files_read_text(link_path, LOG_BYTES_MAX);
    assert_string_equal(seen, "short\n");
    mem_free(seen);
    mem_free(link_path);
    mem_free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_process_sees_names_that_came_after_its_start, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(the_machine_itself_does_not_see_the_names, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_program_that_is_not_there_is_told_at_once, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_signal_reaches_all_that_a_process_started, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(an_orphan_is_ended_by_its_note, set_up, tear_down),
        cmocka_unit_test_setup_teardown(another_process_with_the_same_number_is_left_alone, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_file_written_in_place_stays_the_same_file, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
