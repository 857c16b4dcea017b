/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Power cuts: each scenario is recorded once; then, for every place in its journal, the states that
 * a disk may be in are laid out, started on with the code of the engine, and judged.
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/log.h"
#include "tests/crash/runner.h"

#define FAILURES_MAX 5u
#define DISTINCT_MIN 20000u /* of all scenarios together */

static const struct scenario *const SCENARIOS[] = {
    &scenario_wal_append,     &scenario_durability_mark, &scenario_wal_marks_and_purge,
    &scenario_store_batch,    &scenario_compaction,      &scenario_defragment,
    &scenario_first_start,    &scenario_import,          &scenario_snapshot_install,
    &scenario_suspect_member, &scenario_import_of_3_4,   &scenario_whole_member,
};

/* Which lies each scenario must notice (a lie about what it does not do changes nothing). */
struct proof {
    const struct scenario *scenario;
    enum crash_lie lie;
};
static const struct proof PROOFS[] = {
    {&scenario_wal_append, LIE_SKIP_WAL_SYNC},
    {&scenario_wal_append, LIE_SKIP_DIR_SYNC},
    {&scenario_wal_append, LIE_RENAME_BEFORE_SYNC},
    {&scenario_durability_mark, LIE_SKIP_WAL_SYNC},
    {&scenario_durability_mark, LIE_SKIP_DIR_SYNC},
    {&scenario_durability_mark, LIE_SKIP_MARK_SYNC},
    {&scenario_wal_marks_and_purge, LIE_SKIP_WAL_SYNC},
    {&scenario_wal_marks_and_purge, LIE_SKIP_DIR_SYNC},
    {&scenario_wal_marks_and_purge, LIE_RENAME_BEFORE_SYNC},
    {&scenario_store_batch, LIE_SKIP_STORE_SYNC},
    {&scenario_store_batch, LIE_SKIP_WAL_SYNC},
    {&scenario_compaction, LIE_SKIP_STORE_SYNC},
    {&scenario_defragment, LIE_SKIP_STORE_SYNC},
    {&scenario_defragment, LIE_SKIP_DIR_SYNC},
    {&scenario_defragment, LIE_RENAME_BEFORE_SYNC},
    {&scenario_first_start, LIE_SKIP_DIR_SYNC},
    {&scenario_first_start, LIE_SKIP_WAL_SYNC},
    {&scenario_first_start, LIE_SKIP_STORE_SYNC},
    {&scenario_import, LIE_SKIP_DIR_SYNC},
    {&scenario_import, LIE_SKIP_STORE_SYNC},
    {&scenario_snapshot_install, LIE_SKIP_WAL_SYNC},
    {&scenario_snapshot_install, LIE_SKIP_DIR_SYNC},
    {&scenario_snapshot_install, LIE_SKIP_STORE_SYNC},
    {&scenario_snapshot_install, LIE_RENAME_BEFORE_SYNC},
    {&scenario_whole_member, LIE_SKIP_WAL_SYNC},
    {&scenario_whole_member, LIE_SKIP_STORE_SYNC},
};

/* ---- planted lies ---- */

/* In a process of its own, because the engine may give up. True: the lie was noticed. */
static bool proof_run(const struct proof *proof, const char *work)
{
    char *own = str_printf("%s/proof", work);
    fflush(stdout);
    (void)mkdir(own, 0700);
    pid_t child = fork();
    ASSERT(child >= 0);
    if (child == 0) {
        struct options options = {.only = proof->scenario,
                                  .lie = proof->lie,
                                  .point = ANY,
                                  .subset = ANY,
                                  .again_point = ANY,
                                  .again_subset = ANY,
                                  .failures_max = 1,
                                  .quiet = true};
        struct totals totals = {0};
        ASSERT(freopen("/dev/null", "w", stdout) != NULL && freopen("/dev/null", "w", stderr));
        scenario_run(&options, proof->scenario, own, &totals);
        runner_unwatch_process();
        _exit(totals.failures > 0 ? 1 : 0);
    }
    int status;
    ASSERT(waitpid(child, &status, 0) == child);
    tree_clear(own);
    ASSERT(rmdir(own) == 0);
    mem_free(own);
    return status != 0;
}

static int proofs_run(const struct options *options, const char *work)
{
    int missed = 0;
    for (size_t i = 0; i < ARRAY_COUNT(PROOFS); i++) {
        if (options->only != NULL && options->only != PROOFS[i].scenario) {
            continue;
        }
        bool noticed = proof_run(&PROOFS[i], work);
        printf("%-22s %-20s %s\n", PROOFS[i].scenario->name, lie_name(PROOFS[i].lie),
               noticed ? "noticed" : "NOT NOTICED");
        missed += noticed ? 0 : 1;
    }
    printf("%d planted lies were not noticed\n", missed);
    return missed;
}

/* ---- the program ---- */

static void usage(FILE *out)
{
    fprintf(out,
            "usage: quorate-crash-images [options]\n\n"
            "Records what the engine writes in named scenarios, lays out what a disk may hold\n"
            "after a power cut at every place, starts on it and checks what was promised.\n\n"
            "  --scenario NAME   this one alone\n"
            "  --point P         after operation P of its journal alone\n"
            "  --subset X        selection X of that place alone\n"
            "  --keep DIR        leave the image in DIR as well\n"
            "  --lie LIE         pretend that the engine does not flush (see below)\n"
            "  --prove           each planted lie must be noticed\n"
            "  --help            this text\n\nscenarios:");
    for (size_t i = 0; i < ARRAY_COUNT(SCENARIOS); i++) {
        fprintf(out, " %s", SCENARIOS[i]->name);
    }
    fprintf(out, "\nlies:");
    for (enum crash_lie lie = LIE_NONE; lie < LIE_COUNT; lie++) {
        fprintf(out, " %s", lie_name(lie));
    }
    fprintf(out, "\n");
}

static int wrong(const char *option, const char *value)
{
    fprintf(stderr, "quorate-crash-images: %s: %s is not known; --help names what is\n", option,
            value);
    exit(2);
}

static const struct scenario *scenario_named(const char *name)
{
    for (size_t i = 0; i < ARRAY_COUNT(SCENARIOS); i++) {
        if (strcmp(SCENARIOS[i]->name, name) == 0) {
            return SCENARIOS[i];
        }
    }
    wrong("--scenario", name);
    return NULL;
}

static enum crash_lie lie_named(const char *name)
{
    for (enum crash_lie lie = LIE_NONE; lie < LIE_COUNT; lie++) {
        if (strcmp(lie_name(lie), name) == 0) {
            return lie;
        }
    }
    wrong("--lie", name);
    return LIE_NONE;
}

static uint32_t number_of(const char *option, const char *text)
{
    char *end;
    unsigned long value = strtoul(text, &end, 10);
    if (*text == '\0' || *end != '\0' || value >= ANY) {
        wrong(option, text);
    }
    return (uint32_t)value;
}

static void options_read(int argc, char **argv, struct options *out)
{
    static const struct option NAMES[] = {{"scenario", required_argument, NULL, 's'},
                                          {"point", required_argument, NULL, 'p'},
                                          {"subset", required_argument, NULL, 'x'},
                                          {"keep", required_argument, NULL, 'k'},
                                          {"again-point", required_argument, NULL, 'q'},
                                          {"again-subset", required_argument, NULL, 'y'},
                                          {"lie", required_argument, NULL, 'l'},
                                          {"prove", no_argument, NULL, 'P'},
                                          {"help", no_argument, NULL, 'h'},
                                          {NULL, 0, NULL, 0}};
    *out = (struct options){.point = ANY,
                            .subset = ANY,
                            .again_point = ANY,
                            .again_subset = ANY,
                            .failures_max = FAILURES_MAX};
    for (int c; (c = getopt_long(argc, argv, "", NAMES, NULL)) != -1;) {
        switch (c) {
        case 's':
            out->only = scenario_named(optarg);
            break;
        case 'p':
            out->point = number_of("--point", optarg);
            break;
        case 'x':
            out->subset = number_of("--subset", optarg);
            break;
        case 'q':
            out->again_point = number_of("--again-point", optarg);
            break;
        case 'y':
            out->again_subset = number_of("--again-subset", optarg);
            break;
        case 'k':
            out->keep = optarg;
            break;
        case 'l':
            out->lie = lie_named(optarg);
            break;
        case 'P':
            out->prove = true;
            break;
        case 'h':
            usage(stdout);
            exit(0);
        default:
            exit(2);
        }
    }
    bool one = out->point != ANY && out->subset != ANY && out->only != NULL;
    bool again = out->again_point != ANY || out->again_subset != ANY;
    if (optind != argc || ((out->subset != ANY || out->keep != NULL || again) && !one)) {
        fprintf(stderr, "quorate-crash-images: --subset, --keep and --again-... need --scenario, "
                        "--point and --subset\n");
        exit(2);
    }
}

/* A folder in memory where there is one: nothing here needs a real disk. */
static char *work_make(void)
{
    const char *place = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : getenv("TMPDIR");
    char *work = str_printf("%s/quorate-crash-XXXXXX", place == NULL ? "/tmp" : place);
    if (mkdtemp(work) == NULL) {
        fprintf(stderr, "quorate-crash-images: %s: %s\n", work, strerror(errno));
        exit(1);
    }
    return work;
}

static uint64_t images_run(const struct options *options, const char *work)
{
    struct totals totals = {0};
    printf("%-20s %6s %8s %8s %8s %8s %8s\n", "scenario", "places", "images", "judged", "starts",
           "time", "failures");
    for (size_t i = 0; i < ARRAY_COUNT(SCENARIOS); i++) {
        if (options->only == NULL || options->only == SCENARIOS[i]) {
            scenario_run(options, SCENARIOS[i], work, &totals);
        }
    }
    printf("%llu different images, judged %llu times, %llu failures\n",
           (unsigned long long)totals.distinct, (unsigned long long)totals.judged,
           (unsigned long long)totals.failures);
    if (options->only == NULL && options->lie == LIE_NONE && totals.distinct < DISTINCT_MIN) {
        printf("FAILED: fewer than %u images\n", DISTINCT_MIN);
        totals.failures++;
    }
    return totals.failures;
}

int main(int argc, char **argv)
{
    struct options options;
    options_read(argc, argv, &options);
    log_set_level(options.keep != NULL ? LOG_LEVEL_INFO : LOG_LEVEL_FATAL);
    char *work = work_make();
    signal(SIGPIPE, SIG_IGN);
    runner_watch_process();
    bool failed = options.prove ? proofs_run(&options, work) > 0 : images_run(&options, work) > 0;
    tree_clear(work);
    (void)rmdir(work);
    mem_free(work);
    runner_unwatch_process();
    return failed ? 1 : 0;
}
