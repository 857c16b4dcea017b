/* SPDX-License-Identifier: Apache-2.0 */
/* One row per command; sorted by first word, as completion and help show them. */
#include "ctl/commands.h"

#include <stdio.h>
#include <string.h>

#include "ctl/output.h"
#include "ctl/snapshot.h"

#define PROGRAM        "quoratectl"
#define PLUGIN_FILE    "kubectl-quorate"
#define PLUGIN_PROGRAM "kubectl quorate"
#define VERSION_LINE   "quoratectl Version: 0.1.0\n"

static int completion_print(const struct ctl_values *values, char *const *args);
static int version_print(const struct ctl_values *values, char *const *args);

const struct ctl_command CTL_COMMANDS[] = {
    {"completion", "bash|zsh", 1, 0, CTL_COMPLETE_NONE,
     "Print a script that completes commands and flags in the shell.",
     "bash: source <(quoratectl completion bash)\nzsh:  source <(quoratectl completion zsh)",
     completion_print},
    {"snapshot restore", "<filename>", 1, CTL_FLAGS_RESTORE | CTL_FLAGS_OUTPUT, CTL_COMPLETE_FILE,
     "Make the data directory of a new cluster's member from a snapshot.",
     "Run it once per member, with the same file, --initial-cluster and --initial-cluster-token, "
     "and the\nmember's own --name, --initial-advertise-peer-urls and --data-dir. Both Quorate and "
     "etcd 3.4 to 3.7\nstart on what it makes. Nothing is left behind when it fails.",
     snapshot_restore},
    {"snapshot save", "<filename>", 1, CTL_FLAGS_CONNECT | CTL_FLAGS_SAVE, CTL_COMPLETE_FILE,
     "Write a snapshot of a member to a file.",
     "Without --data-dir the member is asked, of etcd or of Quorate, while it runs. With it the "
     "files of\na member that is stopped are read. The file gets its name when it is whole.",
     snapshot_save},
    {"snapshot status", "<filename>", 1, CTL_FLAGS_OUTPUT, CTL_COMPLETE_FILE,
     "Print hash, newest revision, number of keys and size of a snapshot.",
     "The file is read whole: each page, and its checksum when it has one.", snapshot_status_print},
    {"snapshot verify", "<filename>", 1, CTL_FLAGS_OUTPUT, CTL_COMPLETE_FILE,
     "Check a snapshot: checksum, each page, each record, and print what is wrong.",
     "Exit status 0: nothing is wrong.", snapshot_verify},
    {"version", "", 0, 0, CTL_COMPLETE_NONE, "Print the version.", "", version_print},
};
const size_t CTL_COMMAND_COUNT = ARRAY_COUNT(CTL_COMMANDS);

const char *ctl_program_name(const char *argv0)
{
    const char *slash = strrchr(argv0, '/');
    return strcmp(slash == NULL ? argv0 : slash + 1, PLUGIN_FILE) == 0 ? PLUGIN_PROGRAM : PROGRAM;
}

static int completion_print(const struct ctl_values *values, char *const *args)
{
    struct buf text;
    struct err err;
    (void)values;
    buf_init(&text, BUF_NO_LIMIT);
    int code = EXIT_BAD_ARGS;
    if (ctl_completion(CTL_COMMANDS, CTL_COMMAND_COUNT, args[0], PROGRAM, &text, &err) != 0) {
        (void)output_fail(&err);
    } else {
        code = output_print(&text);
    }
    buf_free(&text);
    return code;
}

static int version_print(const struct ctl_values *values, char *const *args)
{
    (void)values;
    (void)args;
    struct buf text;
    buf_init(&text, BUF_NO_LIMIT);
    buf_append_str(&text, VERSION_LINE);
    int code = output_print(&text);
    buf_free(&text);
    return code;
}

int ctl_run(int argc, char **argv)
{
    struct ctl_call call;
    struct err err = {{0}};
    if (argc > 1 && strcmp(argv[1], "--version") == 0) {
        return version_print(NULL, NULL);
    }
    if (ctl_call_read(CTL_COMMANDS, CTL_COMMAND_COUNT, argc, argv, &call, &err) != 0) {
        (void)output_fail(&err);
        return EXIT_BAD_ARGS;
    }
    if (call.command != NULL && !call.values.help) {
        return call.command->run(&call.values, call.args);
    }
    struct buf text;
    buf_init(&text, BUF_NO_LIMIT);
    ctl_help(CTL_COMMANDS, CTL_COMMAND_COUNT, call.command, call.group, ctl_program_name(argv[0]),
             &text);
    int code = output_print(&text);
    buf_free(&text);
    return code;
}
