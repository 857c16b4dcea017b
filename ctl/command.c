/* SPDX-License-Identifier: Apache-2.0 */
/* Flags and words of a command line, by the tables. */
#include "ctl/command.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"

#define ENV_PREFIX   "ETCDCTL_"
#define FLAGS_MAX    32u
#define PATH_WORDS   2u /* of a command at most */
#define HELP_COLUMNS 28

#define ROW(name, type, field, groups, complete, help)                                             \
    {                                                                                              \
        name, type, offsetof(struct ctl_values, field), groups, complete, help                     \
    }

const struct ctl_flag CTL_FLAGS[] = {
    ROW("endpoints", FLAG_STRING, endpoints, CTL_FLAGS_CONNECT, CTL_COMPLETE_NONE,
        "The member to ask: host:port, or a URL. One."),
    ROW("cacert", FLAG_STRING, cacert, CTL_FLAGS_CONNECT, CTL_COMPLETE_FILE,
        "Authorities that the member's certificate is checked by (PEM). Empty: the system's."),
    ROW("cert", FLAG_STRING, cert, CTL_FLAGS_CONNECT, CTL_COMPLETE_FILE,
        "Certificate to show to the member (PEM)."),
    ROW("key", FLAG_STRING, key, CTL_FLAGS_CONNECT, CTL_COMPLETE_FILE,
        "Private key of that certificate (PEM)."),
    ROW("user", FLAG_STRING, user, CTL_FLAGS_CONNECT, CTL_COMPLETE_NONE,
        "User name, or name:password; without a password it is asked for on the terminal."),
    ROW("password", FLAG_STRING, password, CTL_FLAGS_CONNECT, CTL_COMPLETE_NONE,
        "The user's password (then --user is the name alone)."),
    ROW("insecure-skip-tls-verify", FLAG_BOOL, insecure_skip_tls_verify, CTL_FLAGS_CONNECT,
        CTL_COMPLETE_NONE, "Take any certificate of the member. Only for tests."),
    ROW("insecure-transport", FLAG_BOOL, insecure_transport, CTL_FLAGS_CONNECT, CTL_COMPLETE_NONE,
        "Speak without TLS to endpoints that name no scheme, when no certificates are given."),
    ROW("dial-timeout", FLAG_DURATION_MS, dial_timeout_ms, CTL_FLAGS_CONNECT, CTL_COMPLETE_NONE,
        "How long a member may take to answer at all."),
    ROW("command-timeout", FLAG_DURATION_MS, command_timeout_ms, CTL_FLAGS_CONNECT,
        CTL_COMPLETE_NONE,
        "How long one answer may take (a snapshot may take as long as it flows)."),
    ROW("data-dir", FLAG_STRING, data_dir, CTL_FLAGS_SAVE, CTL_COMPLETE_DIR,
        "Read the data directory of a member that is stopped, of etcd or of Quorate, and ask "
        "nobody."),
    ROW("wal-dir", FLAG_STRING, wal_dir, CTL_FLAGS_SAVE, CTL_COMPLETE_DIR,
        "Where that member has its log, when it was started with --wal-dir."),
    ROW("data-dir", FLAG_STRING, data_dir, CTL_FLAGS_RESTORE, CTL_COMPLETE_DIR,
        "The data directory to make. Empty: NAME.etcd"),
    ROW("wal-dir", FLAG_STRING, wal_dir, CTL_FLAGS_RESTORE, CTL_COMPLETE_DIR,
        "Where to make the log. Empty: in the data directory."),
    ROW("name", FLAG_STRING, name, CTL_FLAGS_RESTORE, CTL_COMPLETE_NONE,
        "Name of the member that the directory is for."),
    ROW("initial-cluster", FLAG_STRING, initial_cluster, CTL_FLAGS_RESTORE, CTL_COMPLETE_NONE,
        "All members of the new cluster: name=peer-url,name=peer-url. Empty: "
        "NAME=http://localhost:2380"),
    ROW("initial-cluster-token", FLAG_STRING, initial_cluster_token, CTL_FLAGS_RESTORE,
        CTL_COMPLETE_NONE, "Token of the new cluster; the ids come from it and the peer URLs."),
    ROW("initial-advertise-peer-urls", FLAG_STRING, initial_advertise_peer_urls, CTL_FLAGS_RESTORE,
        CTL_COMPLETE_NONE, "Peer URLs of this member, as --initial-cluster has them."),
    ROW("skip-hash-check", FLAG_BOOL, skip_hash_check, CTL_FLAGS_RESTORE, CTL_COMPLETE_NONE,
        "Take a file without checksum (a database that was copied), or with a wrong one."),
    ROW("bump-revision", FLAG_UINT, bump_revision, CTL_FLAGS_RESTORE, CTL_COMPLETE_NONE,
        "Begin this many revisions later, so that no revision that clients know comes again."),
    ROW("mark-compacted", FLAG_BOOL, mark_compacted, CTL_FLAGS_RESTORE, CTL_COMPLETE_NONE,
        "Compact up to the bumped revision, so that old watches end (goes with --bump-revision)."),
    ROW("initial-memory-map-size", FLAG_UINT, initial_memory_map_size, CTL_FLAGS_RESTORE,
        CTL_COMPLETE_NONE, "Taken for the sake of etcdutl's command lines; not needed here."),
    ROW("write-out", FLAG_STRING, write_out, CTL_FLAGS_OUTPUT, CTL_COMPLETE_FORMAT,
        "Form of the answer: simple, json, fields, table. Short: -w"),
    ROW("help", FLAG_BOOL, help, CTL_FLAGS_ALL, CTL_COMPLETE_NONE, "Print this. Short: -h"),
};
const size_t CTL_FLAG_COUNT = ARRAY_COUNT(CTL_FLAGS);

static void values_default(struct ctl_values *values)
{
    *values = (struct ctl_values){
        .write_out = "simple",
        .endpoints = "127.0.0.1:2379",
        .cacert = "",
        .cert = "",
        .key = "",
        .user = "",
        .password = "",
        .insecure_transport = true,
        .dial_timeout_ms = 2000,
        .command_timeout_ms = 5000,
        .data_dir = "",
        .wal_dir = "",
        .name = "default",
        .initial_cluster = "",
        .initial_cluster_token = "etcd-cluster",
        .initial_advertise_peer_urls = "http://localhost:2380",
    };
}

/* ---- flags ---- */

static size_t fill_flags(unsigned groups, struct ctl_values *values, struct flag *flags)
{
    size_t count = 0;
    for (size_t i = 0; i < CTL_FLAG_COUNT; i++) {
        const struct ctl_flag *row = &CTL_FLAGS[i];
        if ((row->groups & groups) != 0) {
            ASSERT(count < FLAGS_MAX - 2);
            flags[count++] = (struct flag){.name = row->name,
                                           .type = row->type,
                                           .target = (char *)values + row->offset,
                                           .help = row->help};
        }
    }
    if ((groups & CTL_FLAGS_OUTPUT) != 0) {
        flags[count++] =
            (struct flag){.name = "w", .type = FLAG_STRING, .target = &values->write_out};
    }
    flags[count++] = (struct flag){.name = "h", .type = FLAG_BOOL, .target = &values->help};
    return count;
}

/* How many words of the command line a flag takes; 0: it is none. */
static size_t flag_words(const char *word)
{
    if (word[0] != '-' || word[1] == '\0') {
        return 0;
    }
    const char *name = word + (word[1] == '-' ? 2 : 1);
    if (strchr(name, '=') != NULL) {
        return 1;
    }
    for (size_t i = 0; i < CTL_FLAG_COUNT; i++) {
        if (strcmp(name, CTL_FLAGS[i].name) == 0) {
            return CTL_FLAGS[i].type == FLAG_BOOL ? 1 : 2;
        }
    }
    return strcmp(name, "w") == 0 ? 2 : 1;
}

/* ---- words ---- */

/* Sorts the command line: flags with their values into flag_words, the rest into plain. */
struct sorted {
    char **flags, **plain;
    int flag_count, plain_count;
};

static void sort_words(int argc, char **argv, struct sorted *out)
{
    out->flags = mem_array((size_t)argc + 2, sizeof(*out->flags));
    out->plain = mem_array((size_t)argc + 2, sizeof(*out->plain));
    out->flag_count = 1; /* as argv has the program first */
    out->flags[0] = argv[0];
    out->plain_count = 0;
    bool only_plain = false;
    for (int i = 1; i < argc; i++) {
        size_t words = only_plain ? 0 : flag_words(argv[i]);
        if (!only_plain && strcmp(argv[i], "--") == 0) {
            only_plain = true;
            continue;
        }
        if (words == 0) {
            out->plain[out->plain_count++] = argv[i];
        }
        for (; words > 0 && i < argc; words--) {
            out->flags[out->flag_count++] = argv[i];
            i += words > 1 ? 1 : 0;
        }
    }
}

/* The command whose path the first words are; *out_used how many. */
static const struct ctl_command *find_command(const struct ctl_command *commands, size_t count,
                                              const struct sorted *words, int *out_used)
{
    for (int used = (int)PATH_WORDS; used > 0; used--) {
        if (words->plain_count < used) {
            continue;
        }
        char *path = used == 1 ? str_dup(words->plain[0])
                               : str_printf("%s %s", words->plain[0], words->plain[1]);
        for (size_t i = 0; i < count; i++) {
            if (strcmp(commands[i].path, path) == 0) {
                mem_free(path);
                *out_used = used;
                return &commands[i];
            }
        }
        mem_free(path);
    }
    *out_used = 0;
    return NULL;
}

static bool is_group(const struct ctl_command *commands, size_t count, const char *word)
{
    for (size_t i = 0; i < count; i++) {
        size_t size = strlen(word);
        if (strncmp(commands[i].path, word, size) == 0 && commands[i].path[size] == ' ') {
            return true;
        }
    }
    return false;
}

static int take_words(const struct ctl_command *commands, size_t count, const struct sorted *words,
                      struct ctl_call *call, struct err *err)
{
    int used;
    call->command = find_command(commands, count, words, &used);
    if (call->command == NULL) {
        bool names_group = words->plain_count > 0 && is_group(commands, count, words->plain[0]);
        if (names_group) {
            call->group = words->plain[0];
        }
        int known = names_group ? 1 : 0;
        return words->plain_count == known
                   ? 0
                   : err_set(err, E_INVALID, "unknown command \"%.60s\" (see --help)",
                             words->plain[known]);
    }
    size_t args = (size_t)(words->plain_count - used);
    call->arg_count = BASE_MIN(args, COMMAND_ARGS_MAX);
    for (size_t i = 0; i < call->arg_count; i++) {
        call->args[i] = words->plain[used + (int)i];
    }
    if (args != call->command->arg_count && !call->values.help) {
        return err_set(err, E_INVALID, "%s requires exactly %zu argument%s: %s %s",
                       call->command->path, call->command->arg_count,
                       call->command->arg_count == 1 ? "" : "s", call->command->path,
                       call->command->args);
    }
    return 0;
}

static int take_flags(const struct sorted *words, unsigned groups, struct ctl_values *values,
                      struct err *err)
{
    struct flag flags[FLAGS_MAX];
    int rest;
    /* The environment stands for what etcdctl has in common for all commands, and no more. */
    size_t count = fill_flags(groups & (CTL_FLAGS_CONNECT | CTL_FLAGS_OUTPUT), values, flags);
    int rc = flags_parse(flags, count, ENV_PREFIX, 1, words->flags, &rest, err);
    if (rc != 0) {
        return rc;
    }
    count = fill_flags(groups, values, flags);
    return flags_parse(flags, count, NULL, words->flag_count, words->flags, &rest, err);
}

int ctl_call_read(const struct ctl_command *commands, size_t command_count, int argc, char **argv,
                  struct ctl_call *out_call, struct err *err)
{
    struct sorted words;
    int used;
    *out_call = (struct ctl_call){0};
    values_default(&out_call->values);
    sort_words(argc, argv, &words);
    const struct ctl_command *command = find_command(commands, command_count, &words, &used);
    unsigned groups = CTL_FLAGS_ALL | (command == NULL ? 0 : command->groups);
    int rc = take_flags(&words, groups, &out_call->values, err);
    if (rc == 0) {
        rc = take_words(commands, command_count, &words, out_call, err);
    }
    mem_free(words.flags);
    mem_free(words.plain);
    return rc;
}

/* ---- help ---- */

static void help_flags(unsigned groups, struct buf *out)
{
    struct ctl_values values;
    values_default(&values);
    for (size_t i = 0; i < CTL_FLAG_COUNT; i++) {
        const struct ctl_flag *row = &CTL_FLAGS[i];
        const void *target = (const char *)&values + row->offset;
        if ((row->groups & groups) == 0) {
            continue;
        }
        buf_printf(out, "  --%s", row->name);
        if (row->type == FLAG_STRING) {
            buf_printf(out, " '%s'", *(const char *const *)target);
        } else if (row->type == FLAG_DURATION_MS) {
            buf_printf(out, " %llds", (long long)(*(const int64_t *)target / 1000));
        } else if (row->type == FLAG_UINT) {
            buf_printf(out, " %llu", (unsigned long long)*(const uint64_t *)target);
        }
        buf_printf(out, "\n        %s\n", row->help);
    }
}

static void help_group(const struct ctl_command *commands, size_t count, const char *group,
                       const char *program, struct buf *out)
{
    size_t size = group == NULL ? 0 : strlen(group);
    buf_printf(out, "Usage: %s%s%s COMMAND [flags]\n\nCommands:\n", program,
               group == NULL ? "" : " ", group == NULL ? "" : group);
    for (size_t i = 0; i < count; i++) {
        if (group == NULL ||
            (strncmp(commands[i].path, group, size) == 0 && commands[i].path[size] == ' ')) {
            char *usage = str_printf("%s %s", commands[i].path, commands[i].args);
            buf_printf(out, "  %-*s %s\n", HELP_COLUMNS, usage, commands[i].summary);
            mem_free(usage);
        }
    }
    buf_printf(out, "\n%s COMMAND --help tells more of each.\n", program);
}

void ctl_help(const struct ctl_command *commands, size_t command_count,
              const struct ctl_command *command, const char *group, const char *program,
              struct buf *out)
{
    if (command == NULL) {
        help_group(commands, command_count, group, program, out);
        return;
    }
    buf_printf(out, "%s\n\nUsage: %s %s %s [flags]\n", command->summary, program, command->path,
               command->args);
    if (command->details[0] != '\0') {
        buf_printf(out, "\n%s\n", command->details);
    }
    buf_append_str(out, "\nFlags:\n");
    help_flags(command->groups | CTL_FLAGS_ALL, out);
    if ((command->groups & CTL_FLAGS_CONNECT) != 0) {
        buf_append_str(out, "\nETCDCTL_ENDPOINTS, ETCDCTL_CACERT, ETCDCTL_USER and so on stand "
                            "in for flags that are not given.\n");
    }
}
