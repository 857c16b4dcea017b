/* SPDX-License-Identifier: Apache-2.0 */
/* Requests to a running playground, and commands inside its names. */
#include "control.h"

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/json.h"
#include "files.h"
#include "process.h"

#define EXIT_USAGE       2
#define EXIT_CANNOT_RUN  126
#define EXIT_NOT_FOUND   127
#define SMALL_FILE_BYTES 4096u
#define ANSWER_BYTES_MAX (64u * 1024u)

const char CONTROL_USAGE[] =
    "While it runs:\n"
    "  quorate-playground node lose NAME --dir DIR      the node stops answering\n"
    "  quorate-playground node back NAME --dir DIR      it is there again\n"
    "  quorate-playground pod kill NAME --dir DIR       kill -9 its processes (-n NAMESPACE)\n"
    "  quorate-playground pod destroy NAME --dir DIR    and lose its volumes for good\n"
    "  quorate-playground exec-env --dir DIR -- COMMAND run where names of Pods are known\n";

/* Borrowed from argv. */
struct words {
    const char *dir;
    const char *ns;
    const char *plain[3];
    size_t plain_count;
    char **command; /* behind "--" */
};

bool control_knows(const char *word)
{
    return str_equal(word, "node") || str_equal(word, "pod") || str_equal(word, "exec-env");
}

static int complain(const char *format, ...) BASE_PRINTF(1, 2);

static int complain(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *text = str_vprintf(format, args);
    va_end(args);
    fprintf(stderr, "quorate-playground: %s\n", text);
    mem_free(text);
    return EXIT_FAILURE;
}

/* The value of the flag at argv[*at] ("--dir X", "--dir=X"), or NULL when it is another word. */
static const char *flag_value(int argc, char **argv, int *at, const char *name)
{
    const char *word = argv[*at];
    size_t size = strlen(name);
    if (strncmp(word, name, size) != 0) {
        return NULL;
    }
    if (word[size] == '=') {
        return word + size + 1;
    }
    return word[size] == '\0' && *at + 1 < argc ? argv[++*at] : NULL;
}

static bool read_words(int argc, char **argv, struct words *out)
{
    memset(out, 0, sizeof(*out));
    out->ns = "default";
    for (int i = 1; i < argc; i++) {
        const char *value;
        if (strcmp(argv[i], "--") == 0) {
            out->command = argv + i + 1;
            break;
        }
        if ((value = flag_value(argc, argv, &i, "--dir")) != NULL) {
            out->dir = value;
        } else if ((value = flag_value(argc, argv, &i, "-n")) != NULL ||
                   (value = flag_value(argc, argv, &i, "--namespace")) != NULL) {
            out->ns = value;
        } else if (argv[i][0] == '-' || out->plain_count == ARRAY_COUNT(out->plain)) {
            return false;
        } else {
            out->plain[out->plain_count++] = argv[i];
        }
    }
    return out->dir != NULL;
}

static int connect_to(const char *dir, struct err *err)
{
    char *path = str_printf("%s/port", dir);
    char *text = files_read_text(path, SMALL_FILE_BYTES);
    mem_free(path);
    long port = text == NULL ? 0 : strtol(text, NULL, 10);
    mem_free(text);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = port <= 0 ? -1 : socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
        if (fd >= 0) {
            close(fd);
        }
        return err_set(err, E_REFUSED, "no playground runs in %s", dir);
    }
    return fd;
}

/* Prints the message of the answer; gives the exit code. */
static int show_answer(const char *text)
{
    const char *space = strchr(text, ' ');
    const char *body = strstr(text, "\r\n\r\n");
    long status = space == NULL ? 0 : strtol(space, NULL, 10);
    struct json *answer = body == NULL ? NULL : json_parse(body + 4, strlen(body + 4), NULL);
    const char *message = json_path_str(answer, "message", "no answer");
    bool ok = status == 200;
    fprintf(ok ? stdout : stderr, "%s\n", message);
    json_free(answer);
    return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int post(const char *dir, const char *path)
{
    struct err err = {""};
    char *token_path = str_printf("%s/token", dir);
    char *token = files_read_text(token_path, SMALL_FILE_BYTES);
    mem_free(token_path);
    int fd = connect_to(dir, &err);
    if (fd < 0) {
        mem_free(token);
        return complain("%s", err.text);
    }
    struct buf text;
    buf_init(&text, ANSWER_BYTES_MAX);
    if (token != NULL) {
        token[strcspn(token, "\r\n")] = '\0';
    }
    buf_printf(&text,
               "POST %s HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer %s\r\n"
               "Content-Length: 0\r\nConnection: close\r\n\r\n",
               path, token == NULL ? "" : token);
    mem_free(token);
    bool sent = send(fd, text.data, text.size, MSG_NOSIGNAL) == (ssize_t)text.size;
    buf_clear(&text);
    char part[SMALL_FILE_BYTES];
    for (ssize_t got; sent && (got = recv(fd, part, sizeof(part), 0)) > 0;) {
        buf_append(&text, part, (size_t)got);
    }
    close(fd);
    int code = show_answer(buf_cstr(&text));
    buf_free(&text);
    return code;
}

static int exec_env(const struct words *words)
{
    if (words->command == NULL || words->command[0] == NULL) {
        return complain("exec-env wants a command behind \"--\"");
    }
    struct err err = {""};
    char dir[PATH_MAX];
    if (realpath(words->dir, dir) == NULL) {
        return complain("no folder %s", words->dir);
    }
    if (process_enter_names(dir, &err) != 0) {
        complain("%s", err.text);
        return EXIT_CANNOT_RUN;
    }
    execvp(words->command[0], words->command);
    int code = errno == ENOENT ? EXIT_NOT_FOUND : EXIT_CANNOT_RUN;
    complain("cannot run %s: %s", words->command[0], strerror(errno));
    return code;
}

int control_run(int argc, char **argv)
{
    struct words words;
    bool is_good = read_words(argc, argv, &words);
    const char *object = words.plain_count > 0 ? words.plain[0] : "";
    if (is_good && strcmp(object, "exec-env") == 0 && words.plain_count == 1) {
        return exec_env(&words);
    }
    const char *verb = words.plain_count == 3 ? words.plain[1] : "";
    bool is_node =
        strcmp(object, "node") == 0 && (strcmp(verb, "lose") == 0 || strcmp(verb, "back") == 0);
    bool is_pod =
        strcmp(object, "pod") == 0 && (strcmp(verb, "kill") == 0 || strcmp(verb, "destroy") == 0);
    if (!is_good || (!is_node && !is_pod)) {
        fputs(CONTROL_USAGE, stderr);
        return EXIT_USAGE;
    }
    char *path = is_node ? str_printf("/playground/nodes/%s/%s", words.plain[2], verb)
                         : str_printf("/playground/pods/%s/%s/%s", words.ns, words.plain[2], verb);
    int code = post(words.dir, path);
    mem_free(path);
    return code;
}
