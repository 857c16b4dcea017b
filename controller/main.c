/* SPDX-License-Identifier: Apache-2.0 */
/* quorate-operator: flags, signals, and who we are; the work is operator.c's. */
#include <curl/curl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/flags.h"
#include "base/log.h"
#include "controller/operator.h"

#define ENV_PREFIX "QUORATE_OPERATOR_"
#define VERSION    "0.1.0"

#define EXIT_USAGE 2

struct settings {
    const char *kubeconfig;
    const char *namespaces;
    bool leader_elect;
    const char *metrics_address;
    const char *log_level;
    const char *log_format;
    int64_t resync_ms;
    bool version;
    bool help;
};

static int config_find(const struct settings *settings, struct kube_config **out_config,
                       bool *out_in_cluster, struct err *err)
{
    *out_in_cluster = false;
    if (settings->kubeconfig[0] != 0) {
        return kube_config_load(settings->kubeconfig, NULL, out_config, err);
    }
    const char *host = getenv("KUBERNETES_SERVICE_HOST");
    if (host != NULL && host[0] != 0) {
        *out_in_cluster = true;
        return kube_config_in_cluster(host, getenv("KUBERNETES_SERVICE_PORT"), KUBE_IN_CLUSTER_DIR,
                                      out_config, err);
    }
    const char *named = getenv("KUBECONFIG");
    if (named != NULL && named[0] != 0) {
        return kube_config_load(named, NULL, out_config, err);
    }
    const char *home = getenv("HOME");
    char *path = str_printf("%s/.kube/config", home == NULL ? "" : home);
    int rc = kube_config_load(path, NULL, out_config, err);
    mem_free(path);
    return rc;
}

/* Splits "a,b" in place into options; spaces and empty words are left out. */
static int namespaces_split(char *text, struct operator_options *options, struct err *err)
{
    char *rest = text;
    for (char *word; (word = strsep(&rest, ", ")) != NULL;) {
        if (word[0] == 0) {
            continue;
        }
        if (options->namespace_count == OPERATOR_NAMESPACES_MAX) {
            return err_set(err, E_TOO_BIG, "--namespace names more than %u namespaces",
                           OPERATOR_NAMESPACES_MAX);
        }
        options->namespaces[options->namespace_count++] = word;
    }
    return 0;
}

/* "host_pid_random": a process that comes back must not take itself for its predecessor. */
static char *identity_make(void)
{
    char host[256] = "unknown";
    if (gethostname(host, sizeof(host) - 1) != 0) {
        snprintf(host, sizeof(host), "unknown");
    }
    uint64_t random = 0;
    if (getrandom(&random, sizeof(random), 0) != (ssize_t)sizeof(random)) {
        return NULL;
    }
    return str_printf("%.60s_%d_%016llx", host, (int)getpid(), (unsigned long long)random);
}

static int signals_take(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static int settings_read(struct settings *settings, int argc, char **argv, struct err *err)
{
    struct flag flags[] = {
        {.name = "kubeconfig",
         .type = FLAG_STRING,
         .target = &settings->kubeconfig,
         .help = "Kubeconfig file. Empty: the Pod's service account, else KUBECONFIG, else "
                 "~/.kube/config."},
        {.name = "namespace",
         .type = FLAG_STRING,
         .target = &settings->namespaces,
         .help = "Namespaces to watch, separated by commas. Empty: all."},
        {.name = "leader-elect",
         .type = FLAG_BOOL,
         .target = &settings->leader_elect,
         .help = "Act only while holding the Lease quorate-operator."},
        {.name = "metrics-address",
         .type = FLAG_STRING,
         .target = &settings->metrics_address,
         .help = "Where to serve /healthz, /readyz and /metrics; 0: nowhere. Empty: :8080 in a "
                 "cluster, 127.0.0.1:8080 elsewhere."},
        {.name = "resync",
         .type = FLAG_DURATION_MS,
         .target = &settings->resync_ms,
         .help = "Look at each cluster at least so often."},
        {.name = "log-level",
         .type = FLAG_STRING,
         .target = &settings->log_level,
         .help = "debug, info, warn or error."},
        {.name = "log-format",
         .type = FLAG_STRING,
         .target = &settings->log_format,
         .help = "json or console."},
        {.name = "version",
         .type = FLAG_BOOL,
         .target = &settings->version,
         .help = "Print the version and exit."},
        {.name = "help", .type = FLAG_BOOL, .target = &settings->help, .help = "Print this help."},
    };
    int rest = 0;
    int rc = flags_parse(flags, ARRAY_COUNT(flags), ENV_PREFIX, argc, argv, &rest, err);
    if (rc == 0 && settings->help) {
        settings->help = false; /* what is printed are the defaults */
        printf("quorate-operator runs etcd clusters on Kubernetes.\n\n");
        flags_print_help(flags, ARRAY_COUNT(flags));
        printf("\nEach flag has an environment variable, %sKUBECONFIG for --kubeconfig.\n"
               "%s=k:before|after is for tests only: it kills the process at its k-th change.\n",
               ENV_PREFIX, ACT_CRASH_ENV);
        settings->help = true;
        return 0;
    }
    if (rc == 0 && rest < argc) {
        rc = err_set(err, E_INVALID, "unexpected argument \"%s\"", argv[rest]);
    }
    enum log_level level = LOG_LEVEL_INFO;
    if (rc == 0 && !log_level_parse(settings->log_level, &level)) {
        rc = err_set(err, E_INVALID, "--log-level: \"%s\" is none", settings->log_level);
    }
    bool is_console = strcmp(settings->log_format, "console") == 0;
    if (rc == 0 && !is_console && strcmp(settings->log_format, "json") != 0) {
        rc = err_set(err, E_INVALID, "--log-format: \"%s\" is none", settings->log_format);
    }
    if (rc == 0 && settings->resync_ms <= 0) {
        rc = err_set(err, E_INVALID, "--resync must be above 0");
    }
    log_set_level(level);
    log_set_format(is_console ? LOG_FORMAT_CONSOLE : LOG_FORMAT_JSON);
    return rc;
}

static int run(const struct settings *settings, struct err *err)
{
    struct operator_options options = {.leader_elect = settings->leader_elect,
                                       .metrics_address = settings->metrics_address,
                                       .resync_ms = settings->resync_ms};
    bool in_cluster = false;
    int rc = act_crash_parse(getenv(ACT_CRASH_ENV), &options.crash, err);
    if (rc == 0) {
        rc = config_find(settings, &options.config, &in_cluster, err);
    }
    if (rc != 0) {
        return rc;
    }
    if (settings->metrics_address[0] == 0) {
        options.metrics_address = in_cluster ? ":8080" : "127.0.0.1:8080";
    }
    char *namespaces = str_dup(settings->namespaces);
    char *identity = identity_make();
    options.identity = identity;
    options.stop_fd = signals_take();
    rc = namespaces_split(namespaces, &options, err);
    if (rc == 0 && (options.stop_fd < 0 || identity == NULL)) {
        rc = err_set(err, E_IO, "no signals or no random numbers");
    }
    if (rc == 0) {
        rc = operator_run(&options, err);
    } else {
        kube_config_free(options.config);
    }
    if (options.stop_fd >= 0) {
        close(options.stop_fd);
    }
    mem_free(identity);
    mem_free(namespaces);
    return rc;
}

int main(int argc, char **argv)
{
    struct settings settings = {.kubeconfig = "",
                                .namespaces = "",
                                .leader_elect = true,
                                .metrics_address = "",
                                .log_level = "info",
                                .log_format = "json",
                                .resync_ms = 30000};
    struct err err = {{0}};
    if (settings_read(&settings, argc, argv, &err) != 0) {
        fprintf(stderr, "quorate-operator: %s\n", err.text);
        return EXIT_USAGE;
    }
    if (settings.help) {
        return EXIT_SUCCESS;
    }
    if (settings.version) {
        printf("quorate-operator %s\n", VERSION);
        return EXIT_SUCCESS;
    }
    /* It holds tokens and keys: no core file, no debugger of the same user. */
    (void)prctl(PR_SET_DUMPABLE, 0);
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        fprintf(stderr, "quorate-operator: libcurl does not start\n");
        return EXIT_FAILURE;
    }
    int rc = run(&settings, &err);
    curl_global_cleanup();
    if (rc != 0) {
        LOG_ERROR("stopped", LOG_STR("error", err.text));
        return EXIT_FAILURE;
    }
    return EXIT_SUCCESS;
}
