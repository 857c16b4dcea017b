/* SPDX-License-Identifier: Apache-2.0 */
/* Command lines, help and completion, as the table has them. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "ctl/client.h"
#include "ctl/commands.h"

#define WORDS_MAX 16

static int read_line(struct ctl_call *call, struct err *err, const char *const *words)
{
    static char program[] = "quoratectl";
    char *argv[WORDS_MAX] = {program};
    int argc = 1;
    for (; words[argc - 1] != NULL; argc++) {
        argv[argc] = (char *)(uintptr_t)words[argc - 1];
    }
    return ctl_call_read(CTL_COMMANDS, CTL_COMMAND_COUNT, argc, argv, call, err);
}

#define LINE(call, err, ...) read_line((call), (err), (const char *const[]){__VA_ARGS__, NULL})

static void flags_stand_before_between_and_behind_words(void **state)
{
    (void)state;
    struct ctl_call call;
    struct err err = {{0}};
    assert_int_equal(LINE(&call, &err, "--endpoints", "h:1", "snapshot", "--user=u:p", "save",
                          "file", "--insecure-skip-tls-verify", "--cacert", "ca.pem"),
                     0);
    assert_string_equal(call.command->path, "snapshot save");
    assert_string_equal(call.args[0], "file");
    assert_string_equal(call.values.endpoints, "h:1");
    assert_string_equal(call.values.user, "u:p");
    assert_string_equal(call.values.cacert, "ca.pem");
    assert_true(call.values.insecure_skip_tls_verify);
}

static void words_behind_two_dashes_are_no_flags(void **state)
{
    (void)state;
    struct ctl_call call;
    struct err err = {{0}};
    assert_int_equal(LINE(&call, &err, "snapshot", "status", "-w=json", "--", "-odd-name"), 0);
    assert_string_equal(call.args[0], "-odd-name");
    assert_string_equal(call.values.write_out, "json");
    assert_int_equal(LINE(&call, &err, "snapshot", "status", "-w", "table", "f"), 0);
    assert_string_equal(call.values.write_out, "table");
}

static void wrong_lines_are_refused_with_a_reason(void **state)
{
    (void)state;
    struct ctl_call call;
    struct err err = {{0}};
    assert_int_equal(LINE(&call, &err, "snapshot", "save"), E_INVALID);
    assert_non_null(strstr(err.text, "exactly 1 argument"));
    assert_int_equal(LINE(&call, &err, "snapshot", "save", "a", "b"), E_INVALID);
    assert_int_equal(LINE(&call, &err, "snapshot", "sav", "a"), E_INVALID);
    assert_non_null(strstr(err.text, "sav"));
    assert_int_equal(LINE(&call, &err, "nonsense"), E_INVALID);
    assert_int_equal(LINE(&call, &err, "snapshot", "save", "a", "--name", "x"), E_INVALID);
    assert_non_null(strstr(err.text, "name"));
    assert_int_equal(LINE(&call, &err, "snapshot", "restore", "a", "--name"), E_INVALID);
    assert_int_equal(LINE(&call, &err, "snapshot", "restore", "a", "--bump-revision", "-1"),
                     E_INVALID);
}

static void a_group_alone_asks_for_its_help(void **state)
{
    (void)state;
    struct ctl_call call;
    struct err err = {{0}};
    assert_int_equal(LINE(&call, &err, "snapshot"), 0);
    assert_null(call.command);
    assert_string_equal(call.group, "snapshot");
    assert_int_equal(LINE(&call, &err, "snapshot", "save", "--help"), 0);
    assert_true(call.values.help);
}

static void variables_of_etcdctl_stand_in_for_its_flags_alone(void **state)
{
    (void)state;
    struct ctl_call call;
    struct err err = {{0}};
    setenv("ETCDCTL_ENDPOINTS", "env:1", 1);
    setenv("ETCDCTL_DATA_DIR", "/env", 1);
    assert_int_equal(LINE(&call, &err, "snapshot", "save", "f"), 0);
    assert_string_equal(call.values.endpoints, "env:1");
    assert_string_equal(call.values.data_dir, "");
    assert_int_equal(LINE(&call, &err, "snapshot", "save", "f", "--endpoints=line:2"), 0);
    assert_string_equal(call.values.endpoints, "line:2");
    unsetenv("ETCDCTL_ENDPOINTS");
    unsetenv("ETCDCTL_DATA_DIR");
}

static void help_names_each_flag_of_a_command_once(void **state)
{
    (void)state;
    for (size_t i = 0; i < CTL_COMMAND_COUNT; i++) {
        struct buf text;
        buf_init(&text, BUF_NO_LIMIT);
        ctl_help(CTL_COMMANDS, CTL_COMMAND_COUNT, &CTL_COMMANDS[i], NULL, "quoratectl", &text);
        for (size_t k = 0; k < CTL_FLAG_COUNT; k++) {
            char *line = str_printf("\n  --%s", CTL_FLAGS[k].name);
            const char *found = strstr(buf_cstr(&text), line);
            bool is_wanted = (CTL_FLAGS[k].groups & (CTL_COMMANDS[i].groups | CTL_FLAGS_ALL)) != 0;
            if (is_wanted) {
                assert_non_null(found);
            }
            mem_free(line);
        }
        assert_non_null(strstr(buf_cstr(&text), CTL_COMMANDS[i].summary));
        buf_free(&text);
    }
}

/* bash itself runs the script and says what it would offer; the words of one line, sorted. */
static void expect_offers(const char *line, const char *want)
{
    struct buf script;
    struct err err;
    char name[] = "/tmp/quorate-completion-XXXXXX";
    int fd = mkstemp(name);
    assert_true(fd >= 0);
    buf_init(&script, BUF_NO_LIMIT);
    assert_int_equal(
        ctl_completion(CTL_COMMANDS, CTL_COMMAND_COUNT, "bash", "quoratectl", &script, &err), 0);
    buf_printf(&script,
               "COMP_WORDS=(quoratectl %s)\nCOMP_CWORD=$((${#COMP_WORDS[@]} - 1))\n"
               "case '%s' in *' '|'') COMP_WORDS+=(''); COMP_CWORD=$((COMP_CWORD + 1)) ;; esac\n"
               "cd /nonexistent 2>/dev/null; _quoratectl; echo \"${COMPREPLY[*]}\"\n",
               line, line);
    assert_int_equal(write(fd, script.data, script.size), (ssize_t)script.size);
    close(fd);
    char *command = str_printf("bash %s", name);
    FILE *pipe = popen(command, "r");
    char said[1024] = "";
    assert_non_null(pipe);
    assert_non_null(fgets(said, sizeof(said), pipe));
    pclose(pipe);
    said[strcspn(said, "\n")] = '\0';
    assert_string_equal(said, want);
    unlink(name);
    mem_free(command);
    buf_free(&script);
}

static void bash_completes_what_the_table_holds(void **state)
{
    (void)state;
    expect_offers("", "completion snapshot version");
    expect_offers("sn", "snapshot");
    expect_offers("snapshot ", "restore save status verify");
    expect_offers("--endpoints h:1 snapshot s", "save status");
    expect_offers("snapshot status --w", "--write-out");
    expect_offers("snapshot status -w ", "simple json fields table");
    expect_offers("snapshot restore --bump-r", "--bump-revision");
}

static void other_shells_are_refused(void **state)
{
    (void)state;
    struct buf script;
    struct err err;
    buf_init(&script, BUF_NO_LIMIT);
    assert_int_equal(
        ctl_completion(CTL_COMMANDS, CTL_COMMAND_COUNT, "fish", "quoratectl", &script, &err),
        E_INVALID);
    assert_int_equal(
        ctl_completion(CTL_COMMANDS, CTL_COMMAND_COUNT, "zsh", "quoratectl", &script, &err), 0);
    assert_true(str_starts_with(buf_cstr(&script), "#compdef quoratectl\n"));
    buf_free(&script);
}

static void kubectl_finds_its_plugin_under_another_name(void **state)
{
    (void)state;
    assert_string_equal(ctl_program_name("/usr/bin/kubectl-quorate"), "kubectl quorate");
    assert_string_equal(ctl_program_name("quoratectl"), "quoratectl");
}

/* ---- endpoints ---- */

static void expect_url(struct ctl_values values, const char *want)
{
    char *url = NULL;
    struct err err;
    int rc = client_url(&values, &url, &err);
    if (want == NULL) {
        assert_int_equal(rc, E_INVALID);
    } else {
        assert_int_equal(rc, 0);
        assert_string_equal(url, want);
    }
    mem_free(url);
}

static void an_endpoint_gets_its_scheme_from_the_flags(void **state)
{
    (void)state;
    const struct ctl_values plain = {
        .cacert = "", .cert = "", .key = "", .insecure_transport = true};
    struct ctl_values values = plain;
    values.endpoints = "h:2379";
    expect_url(values, "http://h:2379");
    values.cacert = "ca.pem";
    expect_url(values, "https://h:2379");
    values.endpoints = "http://h:2379/";
    expect_url(values, "http://h:2379");
    values = plain;
    values.insecure_transport = false;
    values.endpoints = "h:1";
    expect_url(values, "https://h:1");
    values.endpoints = "a:1,b:1";
    expect_url(values, NULL);
    values.endpoints = "";
    expect_url(values, NULL);
    values.endpoints = "unix://x";
    expect_url(values, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(flags_stand_before_between_and_behind_words),
        cmocka_unit_test(words_behind_two_dashes_are_no_flags),
        cmocka_unit_test(wrong_lines_are_refused_with_a_reason),
        cmocka_unit_test(a_group_alone_asks_for_its_help),
        cmocka_unit_test(variables_of_etcdctl_stand_in_for_its_flags_alone),
        cmocka_unit_test(help_names_each_flag_of_a_command_once),
        cmocka_unit_test(bash_completes_what_the_table_holds),
        cmocka_unit_test(other_shells_are_refused),
        cmocka_unit_test(kubectl_finds_its_plugin_under_another_name),
        cmocka_unit_test(an_endpoint_gets_its_scheme_from_the_flags),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
