/* SPDX-License-Identifier: Apache-2.0 */
/* quorate-playground: the embedded API server and the process kubelet as one program. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/flags.h"
#include "base/log.h"
#include "deploy/playground/apiserver/server.h"
#include "deploy/playground/kubelet/control.h"
#include "deploy/playground/kubelet/kubelet.h"

#define EXIT_USAGE 2
#define NODES_MAX  100

static const char USAGE[] =
    "quorate-playground: a Kubernetes API server and nodes on this machine, for demos and tests\n"
    "\n"
    "  quorate-playground up --dir DIR --kubeconfig FILE [flags]\n"
    "\n"
    "Starts, writes FILE when it is ready, and runs until SIGINT or SIGTERM; the state stays in "
    "DIR.\n"
    "Then: kubectl --kubeconfig FILE get nodes\n"
    "\n";

struct options {
    const char *dir;
    const char *kubeconfig;
    int64_t port;
    int64_t nodes;
    const char **images; /* NAME=PROGRAM */
    size_t image_count;
    bool wants_help;
};

static int refuse(const char *text)
{
    fprintf(stderr, "quorate-playground: %s\nTry: quorate-playground --help\n", text);
    return EXIT_USAGE;
}

/* Moves every --image out of argv into options; gives the new argc, or -1 with a text in err. */
static int take_images(int argc, char **argv, struct options *options, struct err *err)
{
    int kept = 0;
    for (int i = 0; i < argc; i++) {
        const char *word = argv[i];
        const char *name = word + (str_starts_with(word, "--") ? 2 : *word == '-' ? 1 : 0);
        bool is_image =
            name > word && (str_equal(name, "image") || str_starts_with(name, "image="));
        if (!is_image) {
            argv[kept++] = argv[i];
            continue;
        }
        const char *value = name[5] == '=' ? name + 6 : i + 1 < argc ? argv[++i] : "";
        if (strchr(value, '=') == NULL || *value == '=') {
            err_set(err, E_INVALID, "--image wants NAME=PROGRAM, not \"%s\"", value);
            return -1;
        }
        options->images[options->image_count++] = value;
    }
    return kept;
}

/* Reads the command line; 0, or an exit code. */
static int read_options(int argc, char **argv, struct options *options)
{
    struct flag flags[] = {
        {.name = "dir",
         .type = FLAG_STRING,
         .target = &options->dir,
         .help = "folder of the state, made when absent",
         .group = "Flags"},
        {.name = "kubeconfig",
         .type = FLAG_STRING,
         .target = &options->kubeconfig,
         .help = "file to write for kubectl"},
        {.name = "port",
         .type = FLAG_INT,
         .target = &options->port,
         .help = "port on 127.0.0.1 (0: any free one)"},
        {.name = "nodes",
         .type = FLAG_INT,
         .target = &options->nodes,
         .help = "how many nodes there are"},
    };
    struct err err = {""};
    int rest;
    if (argc < 2 || str_equal(argv[1], "--help") || str_equal(argv[1], "-h") ||
        str_equal(argv[1], "help")) {
        fputs(USAGE, stdout);
        fputs(CONTROL_USAGE, stdout);
        putchar('\n');
        flags_print_help(flags, ARRAY_COUNT(flags));
        puts(
            "  --image NAME=PROGRAM\n    program that runs for a container image; may be repeated");
        options->wants_help = true;
        return argc < 2 ? EXIT_USAGE : 0;
    }
    if (strcmp(argv[1], "up") != 0) {
        err_set(&err, E_INVALID, "unknown command \"%s\"", argv[1]);
        return refuse(err.text);
    }
    argc = take_images(argc - 1, argv + 1, options, &err);
    if (argc < 0 ||
        flags_parse(flags, ARRAY_COUNT(flags), NULL, argc, argv + 1, &rest, &err) != 0) {
        return refuse(err.text);
    }
    if (rest < argc) {
        err_set(&err, E_INVALID, "unexpected argument \"%s\"", argv[1 + rest]);
        return refuse(err.text);
    }
    if (options->dir == NULL || options->kubeconfig == NULL) {
        return refuse("--dir and --kubeconfig are needed");
    }
    if (options->port < 0 || options->port > UINT16_MAX) {
        return refuse("--port must be 0 to 65535");
    }
    if (options->nodes < 0 || options->nodes > NODES_MAX) {
        return refuse("--nodes must be 0 to 100");
    }
    return 0;
}

static void wait_for_signal(const sigset_t *signals)
{
    int number = 0;
    sigwait(signals, &number);
    printf("quorate-playground: %s, stopping\n",
           number == SIGINT ? "interrupted" : "asked to stop");
    fflush(stdout);
}

static int answer_playground(void *ctx, const char *method, const char *path,
                             struct json **out_answer)
{
    return kubelet_request(ctx, method, path, out_answer);
}

/* Starts the nodes on a running server; without any there is no kubelet. */
static int start_nodes(const struct options *options, struct apiserver *server,
                       struct kubelet **out_kubelet, struct err *err)
{
    char *dir = realpath(options->dir, NULL);
    if (dir == NULL) {
        return err_set(err, E_IO, "the folder %s is gone", options->dir);
    }
    struct kubelet_config config = {
        .dir = dir,
        .store = apiserver_store(server),
        .api_port = apiserver_port(server),
        .node_count = (uint32_t)options->nodes,
        .images = options->images,
        .image_count = options->image_count,
    };
    int rc = kubelet_start(&config, out_kubelet, err);
    if (rc == 0) {
        struct pod_logs logs = kubelet_logs(*out_kubelet);
        apiserver_set_logs(server, &logs);
        apiserver_set_extension(server, answer_playground, *out_kubelet);
    }
    free(dir);
    return rc;
}

static void stop_nodes(struct apiserver *server, struct kubelet *kubelet)
{
    apiserver_set_extension(server, NULL, NULL);
    apiserver_set_logs(server, NULL);
    kubelet_stop(kubelet);
}

/* Tells that it is ready, and waits for the end. */
static int serve(const struct options *options, struct apiserver *server, const sigset_t *signals,
                 struct err *err)
{
    int rc = apiserver_write_kubeconfig(server, options->kubeconfig, err);
    if (rc == 0) {
        printf("quorate-playground is ready: https://127.0.0.1:%u, nodes: %lld, kubeconfig %s\n",
               apiserver_port(server), (long long)options->nodes, options->kubeconfig);
        fflush(stdout);
        wait_for_signal(signals);
    }
    return rc;
}

static int run(const struct options *options)
{
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    signal(SIGPIPE, SIG_IGN);
    struct err err = {""};
    struct apiserver_config config = {.dir = options->dir, .port = (uint16_t)options->port};
    struct apiserver *server;
    struct kubelet *kubelet = NULL;
    int claim_fd = -1;
    int rc = kubelet_claim_dir(options->dir, &claim_fd, &err);
    if (rc == 0) {
        rc = apiserver_start(&config, &server, &err);
    }
    if (rc != 0) {
        fprintf(stderr, "quorate-playground: %s\n", err.text);
        return EXIT_FAILURE;
    }
    if (options->nodes > 0) {
        rc = start_nodes(options, server, &kubelet, &err);
    }
    if (rc == 0) {
        rc = serve(options, server, &signals, &err);
    }
    if (rc != 0) {
        fprintf(stderr, "quorate-playground: %s\n", err.text);
    }
    if (kubelet != NULL) {
        stop_nodes(server, kubelet);
    }
    apiserver_stop(server);
    apiserver_free(server);
    close(claim_fd);
    return rc == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

int main(int argc, char **argv)
{
    struct options options = {.nodes = 3};
    options.images = mem_array((size_t)argc + 1, sizeof(char *));
    log_set_format(LOG_FORMAT_CONSOLE);
    if (argc > 1 && control_knows(argv[1])) {
        mem_free(options.images);
        return control_run(argc, argv);
    }
    int code = read_options(argc, argv, &options);
    if (code == 0 && !options.wants_help) {
        code = run(&options);
    }
    mem_free(options.images);
    return code;
}
