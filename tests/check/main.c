/* SPDX-License-Identifier: Apache-2.0 */
/*
 * quorate-check: reads histories in the text form and judges them. Exit status 0: nothing wrong;
 * 1: violations, or a search without a result; 2: the file cannot be read.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "tests/check/check.h"

/* Of this process on a processor: what others do on the machine does not count. */
static double seconds(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static int read_history(const char *path, struct history *history)
{
    FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
    if (file == NULL) {
        perror(path);
        return -1;
    }
    char *line = NULL;
    size_t capacity = 0, number = 0;
    ssize_t size;
    int rc = 0;
    struct err err;
    while (rc == 0 && (size = getline(&line, &capacity, file)) >= 0) {
        number++;
        if (size > 0 && line[size - 1] == '\n') {
            size--;
        }
        rc = history_parse_line(history, bytes_of(line, (size_t)size), &err);
    }
    if (rc != 0) {
        fprintf(stderr, "%s:%zu: %s\n", path, number, err.text);
    } else if (ferror(file)) {
        perror(path);
        rc = -1;
    }
    free(line);
    if (file != stdin) {
        (void)fclose(file);
    }
    return rc;
}

static void print_verdict(const struct check_verdict *verdict)
{
    printf("operations %" PRIu64 " (writes %" PRIu64 ", reads %" PRIu64 ", failed %" PRIu64
           ", unknown %" PRIu64 " of which %" PRIu64 " happened), lease ends %" PRIu64 "\n",
           verdict->operations, verdict->writes, verdict->reads, verdict->failed, verdict->unknown,
           verdict->unknown_placed, verdict->lease_ends);
    printf("watches %" PRIu64 " (messages %" PRIu64 ", events %" PRIu64 ", progress notes %" PRIu64
           "), hashes %" PRIu64 "\n",
           verdict->watches, verdict->watch_messages, verdict->watch_events,
           verdict->progress_notes, verdict->hashes);
    printf("last revision %" PRId64 ", values compared %" PRIu64 ", choices %" PRIu64
           ", search steps %" PRIu64 ", undecided %" PRIu64 "\n",
           verdict->last_revision, verdict->values_compared, verdict->choices,
           verdict->search_steps, verdict->undecided);
    for (uint64_t i = 0; i < BASE_MIN(verdict->violation_count, CHECK_VIOLATIONS_MAX); i++) {
        printf("VIOLATION %s: %s\n", check_name_text(verdict->violations[i].name),
               verdict->violations[i].story);
    }
    for (int i = 0; i < CHECK_COUNT; i++) {
        if (verdict->by_name[i] > 0) {
            printf("broken: %s %" PRIu64 " times (%s)\n", check_name_text((enum check_name)i),
                   verdict->by_name[i], check_name_promise((enum check_name)i));
        }
    }
}

static int usage(void)
{
    fprintf(stderr, "usage: quorate-check [--drift-ppm N] [--lease-slack-ms N] [--overdue-ms N] "
                    "[--healthy-since-ns N]\n                     [--search-steps N] FILE|-\n"
                    "       quorate-check --names\n");
    return 2;
}

static bool take_option(const char *name, const char *text, struct check_config *config)
{
    char *end = NULL;
    uint64_t value = strtoull(text, &end, 10);
    if (end == text || *end != '\0') {
        return false;
    }
    if (strcmp(name, "--drift-ppm") == 0) {
        config->clock_drift_ppm = value;
    } else if (strcmp(name, "--lease-slack-ms") == 0) {
        config->lease_slack_ns = value * 1000000;
    } else if (strcmp(name, "--overdue-ms") == 0) {
        config->lease_overdue_ns = value * 1000000;
    } else if (strcmp(name, "--healthy-since-ns") == 0) {
        config->healthy_since_ns = value;
    } else if (strcmp(name, "--search-steps") == 0) {
        config->search_steps_max = value;
    } else {
        return false;
    }
    return true;
}

int main(int argc, char **argv)
{
    struct check_config config;
    check_config_init(&config);
    if (argc == 2 && strcmp(argv[1], "--names") == 0) {
        for (int i = 0; i < CHECK_COUNT; i++) {
            printf("%-18s %s\n", check_name_text((enum check_name)i),
                   check_name_promise((enum check_name)i));
        }
        return 0;
    }
    int at = 1;
    for (; at + 1 < argc; at += 2) {
        if (!take_option(argv[at], argv[at + 1], &config)) {
            return usage();
        }
    }
    if (at + 1 != argc) {
        return usage();
    }
    struct history history;
    history_init(&history);
    double began = seconds();
    if (read_history(argv[at], &history) != 0) {
        history_free(&history);
        return 2;
    }
    double read = seconds();
    static struct check_verdict verdict;
    check_run(&history, &config, &verdict);
    double judged = seconds();
    print_verdict(&verdict);
    struct rusage usage_now;
    (void)getrusage(RUSAGE_SELF, &usage_now);
    printf("read in %.2f s, judged in %.2f s of processor time, %ld MiB at most\n", read - began,
           judged - read, usage_now.ru_maxrss / 1024);
    bool is_good = verdict.violation_count == 0 && verdict.undecided == 0;
    printf("%s\n", is_good ? "all is well" : "NOT WELL");
    history_free(&history);
    return is_good ? 0 : 1;
}
