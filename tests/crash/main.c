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
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/log.h"
#include "tests/crash/record.h"
#include "tests/crash/scenario.h"

#define FAILURES_SHOWN 5u
#define DISTINCT_MIN   20000u /* of all scenarios together */
#define ANY            UINT32_MAX

static const struct scenario *const SCENARIOS[] = {
    &scenario_wal_append,   &scenario_durability_mark, &scenario_wal_marks_and_purge,
    &scenario_store_batch,  &scenario_compaction,      &scenario_defragment,
    &scenario_first_start,  &scenario_import,          &scenario_snapshot_install,
    &scenario_whole_member,
};

static const char *const LIES[LIE_COUNT] = {"none", "skip-dir-sync", "skip-wal-sync",
                                            "skip-store-sync", "rename-before-sync"};

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
    {&scenario_whole_member, LIE_SKIP_DIR_SYNC},
    {&scenario_whole_member, LIE_SKIP_STORE_SYNC},
};

struct options {
    const struct scenario *only; /* NULL: all */
    enum crash_lie lie;
    uint32_t point, subset; /* ANY: all */
    const char *keep;
    uint32_t failures_max;
    bool prove, quiet;
};

/* Hashes that were seen: open addressing, 0 is never a member. */
struct hash_set {
    uint64_t *slots;
    size_t count, capacity;
};

struct run {
    const struct options *options;
    const struct scenario *scenario;
    struct cursor cursor;
    const char *image_dir;
    uint32_t point, points;
    struct hash_set distinct, judged;
    uint64_t reopened, failures;
    bool is_terminal, found;
};

/* What is being judged, for when the engine ends the process. */
static struct {
    const char *scenario;
    const char *lie;
    uint32_t point, subset;
} current;

static bool set_put(struct hash_set *set, uint64_t hash)
{
    hash |= 1; /* never 0 */
    if (set->count * 2 >= set->capacity) {
        struct hash_set bigger = {.capacity = BASE_MAX((size_t)1024, set->capacity * 2)};
        bigger.slots = mem_array(bigger.capacity, sizeof(*bigger.slots));
        for (size_t i = 0; i < set->capacity; i++) {
            if (set->slots[i] != 0) {
                (void)set_put(&bigger, set->slots[i]);
            }
        }
        mem_free(set->slots);
        *set = bigger;
    }
    size_t at = (size_t)(hash * 0x9e3779b97f4a7c15u >> 20) & (set->capacity - 1);
    while (set->slots[at] != 0) {
        if (set->slots[at] == hash) {
            return false;
        }
        at = (at + 1) & (set->capacity - 1);
    }
    set->slots[at] = hash;
    set->count++;
    return true;
}

static void recipe_print(const char *what)
{
    printf("\nFAILED %s: %s\n  again: quorate-crash-images --scenario %s --point %u --subset %u",
           current.scenario, what, current.scenario, current.point, current.subset);
    if (strcmp(current.lie, LIES[LIE_NONE]) != 0) {
        printf(" --lie %s", current.lie);
    }
    printf(" --keep DIR\n");
    fflush(stdout);
}

/* The engine gave up inside of a check: that is a failure like any other, and the last one. */
static void on_engine_exit(int status)
{
    (void)status;
    recipe_print("the engine ended the process");
}

static void on_crash(int number)
{
    recipe_print(number == SIGABRT ? "an assertion of the engine failed" : "a memory fault");
    signal(number, SIG_DFL);
    raise(number);
}

static const char *op_text(const struct journal *journal, uint32_t point)
{
    static const char *const KINDS[] = {"write", "truncate", "sync",   "dsync", "sync-dir",
                                        "link",  "unlink",   "rename", "note"};
    static char text[256];
    if (point == 0) {
        return "the beginning";
    }
    const struct op *op = &journal->ops[point - 1];
    const char *label = op->node == NODE_NONE ? "" : journal->nodes[op->node].label;
    (void)snprintf(text, sizeof(text), "%s %s offset %llu size %llu %s%s%s", KINDS[op->kind], label,
                   (unsigned long long)op->offset, (unsigned long long)op->size,
                   op->name == NULL ? "" : op->name, op->to_name == NULL ? "" : " to ",
                   op->to_name == NULL ? "" : op->to_name);
    return text;
}

/* ---- one image ---- */

static void image_lay_out(const struct run *run, const struct selection *selection, const char *dir,
                          int spoil)
{
    image_write(&run->cursor, selection, dir);
    if (spoil >= 0) {
        (void)run->scenario->spoil(dir, (uint32_t)spoil);
    }
}

/* Judges what image_dir holds, and empties it. */
static bool image_judge(struct run *run, const struct selection *selection, int spoil)
{
    struct crash_case crash = {run->image_dir, run->cursor.notes, spoil};
    struct err err = {{0}};
    if (run->options->keep != NULL) {
        (void)mkdir(run->options->keep, 0700);
        tree_clear(run->options->keep);
        image_lay_out(run, selection, run->options->keep, spoil);
        printf("image kept in %s, after: %s\n", run->options->keep,
               op_text(run->cursor.journal, run->point));
    }
    int rc = run->scenario->check(&crash, &err);
    tree_clear(run->image_dir);
    run->reopened++;
    if (rc == 0) {
        return true;
    }
    if (run->failures++ < FAILURES_SHOWN) {
        recipe_print(err.text);
        printf("  after: %s\n", op_text(run->cursor.journal, run->point));
    }
    return run->failures < run->options->failures_max;
}

static bool is_asked_for(struct run *run, uint32_t index)
{
    bool wanted = run->options->subset == ANY || run->options->subset == index;
    run->found = run->found || (wanted && run->options->subset != ANY);
    return wanted;
}

/* Whether this image, with what was promised by now, is a new question. */
static bool is_new(struct run *run, uint64_t hash)
{
    bool fresh = set_put(&run->distinct, hash);
    bool asked =
        set_put(&run->judged, bytes_hash(hash, run->cursor.notes, sizeof(run->cursor.notes)));
    return asked || fresh || run->options->subset != ANY;
}

static bool on_selection(void *ctx, uint32_t index, const struct selection *selection)
{
    struct run *run = ctx;
    current.subset = index;
    if (!is_asked_for(run, index) || !is_new(run, image_hash(&run->cursor, selection))) {
        return true;
    }
    image_lay_out(run, selection, run->image_dir, -1);
    return image_judge(run, selection, -1);
}

/* All writes have arrived; then something is damaged. Numbered behind the subsets. */
static bool spoil_all(struct run *run, uint32_t first)
{
    size_t width = run->cursor.unit_count + run->cursor.dir_op_count + 1;
    bool *all = mem_alloc(width);
    memset(all, 1, width);
    struct selection selection = {all, all};
    uint64_t hash = image_hash(&run->cursor, &selection);
    bool go_on = true;
    for (uint32_t i = 0; go_on && i < run->scenario->spoils; i++) {
        current.subset = first + i;
        if (!is_asked_for(run, first + i)) {
            continue;
        }
        image_write(&run->cursor, &selection, run->image_dir);
        if (run->scenario->spoil(run->image_dir, i) &&
            is_new(run, bytes_hash(hash, &i, sizeof(i)))) {
            go_on = image_judge(run, &selection, (int)i);
        } else {
            tree_clear(run->image_dir);
        }
    }
    mem_free(all);
    return go_on;
}

/* ---- one scenario ---- */

#define SPOIL_FIRST 100000u /* the subset number of the first damage */

static bool point_try(struct run *run)
{
    const struct journal *journal = run->cursor.journal;
    uint64_t seed = bytes_hash(run->point, run->scenario->name, strlen(run->scenario->name));
    current.point = run->point;
    selections_each(&run->cursor, &run->scenario->limits, seed, on_selection, run);
    bool is_note = run->point > 0 && journal->ops[run->point - 1].kind == OP_NOTE;
    if (run->scenario->spoils > 0 && is_note && run->failures < run->options->failures_max) {
        (void)spoil_all(run, SPOIL_FIRST);
    }
    return run->failures < run->options->failures_max;
}

static void points_walk(struct run *run)
{
    for (run->point = 0;; run->point++) {
        bool wanted = run->options->point == ANY || run->options->point == run->point;
        if (wanted && !point_try(run)) {
            return;
        }
        if (run->point == run->points) {
            return;
        }
        if (run->is_terminal && run->point % 16 == 0) {
            printf("\r%-22s place %u of %u, %zu images, %llu judged ", run->scenario->name,
                   run->point, run->points, run->distinct.count, (unsigned long long)run->reopened);
            fflush(stdout);
        }
        cursor_step(&run->cursor);
    }
}

static struct journal *scenario_record(const struct scenario *scenario, const char *dir)
{
    if (scenario->prepare != NULL) {
        scenario->prepare(dir);
    }
    record_start(dir);
    scenario->run(dir);
    return record_stop();
}

/* The journal must tell the same as the disk, or images would be of another world. */
static void journal_verify(const struct scenario *scenario, const struct journal *journal,
                           const char *dir)
{
    struct cursor cursor;
    char *what = NULL;
    cursor_init(&cursor, journal, LIE_NONE);
    while (cursor.at < journal->op_count) {
        cursor_step(&cursor);
    }
    if (!tree_is_live(&cursor, dir, &what)) {
        printf("%s: the recording is not complete: %s\n", scenario->name, what);
        exit(1);
    }
    cursor_free(&cursor);
}

static double seconds_now(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Gives the number of failures; adds the images to *io_distinct. */
static uint64_t scenario_run(const struct options *options, const struct scenario *scenario,
                             const char *work, uint64_t *io_distinct, uint64_t *io_reopened)
{
    char *recorded = str_printf("%s/recorded", work);
    char *image_dir = str_printf("%s/image", work);
    double start = seconds_now();
    (void)mkdir(recorded, 0700);
    (void)mkdir(image_dir, 0700);
    current.scenario = scenario->name;
    current.lie = LIES[options->lie];
    current.point = current.subset = 0;
    struct journal *journal = scenario_record(scenario, recorded);
    journal_verify(scenario, journal, recorded);
    struct run run = {.options = options,
                      .scenario = scenario,
                      .image_dir = image_dir,
                      .points = journal->op_count,
                      .is_terminal = !options->quiet && isatty(1) != 0};
    cursor_init(&run.cursor, journal, options->lie);
    points_walk(&run);
    if (options->subset != ANY && !run.found) {
        printf("%s: place %u has no subset %u\n", scenario->name, options->point, options->subset);
        run.failures++;
    }
    bool whole = options->point == ANY && options->lie == LIE_NONE;
    if (!options->quiet) {
        printf("%s%-22s %5u %9zu %9llu %6.1f s  %llu failures\n", run.is_terminal ? "\r" : "",
               scenario->name, run.points, run.distinct.count, (unsigned long long)run.reopened,
               seconds_now() - start, (unsigned long long)run.failures);
        fflush(stdout);
    }
    if (whole && run.distinct.count < scenario->distinct_min) {
        printf("FAILED %s: %zu images are fewer than the %llu that it had\n", scenario->name,
               run.distinct.count, (unsigned long long)scenario->distinct_min);
        run.failures++;
    }
    *io_distinct += run.distinct.count;
    *io_reopened += run.reopened;
    cursor_free(&run.cursor);
    journal_free(journal);
    mem_free(run.distinct.slots);
    mem_free(run.judged.slots);
    tree_clear(recorded);
    mem_free(recorded);
    mem_free(image_dir);
    return run.failures;
}

/* ---- planted lies ---- */

/* In a process of its own, because the engine may give up. True: the lie was noticed. */
static bool proof_run(const struct proof *proof, const char *work)
{
    fflush(stdout);
    pid_t child = fork();
    ASSERT(child >= 0);
    if (child == 0) {
        struct options options = {.only = proof->scenario,
                                  .lie = proof->lie,
                                  .point = ANY,
                                  .subset = ANY,
                                  .failures_max = 1,
                                  .quiet = true};
        uint64_t distinct = 0;
        uint64_t reopened = 0;
        ASSERT(freopen("/dev/null", "w", stdout) != NULL && freopen("/dev/null", "w", stderr));
        char *own = str_printf("%s/proof", work);
        (void)mkdir(own, 0700);
        uint64_t failures = scenario_run(&options, proof->scenario, own, &distinct, &reopened);
        record_on_exit(NULL);
        _exit(failures > 0 ? 1 : 0);
    }
    int status;
    ASSERT(waitpid(child, &status, 0) == child);
    char *own = str_printf("%s/proof", work);
    if (access(own, F_OK) == 0) {
        tree_clear(own);
    }
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
        double start = seconds_now();
        bool noticed = proof_run(&PROOFS[i], work);
        printf("%-22s %-20s %s %.1f s\n", PROOFS[i].scenario->name, LIES[PROOFS[i].lie],
               noticed ? "noticed" : "NOT NOTICED", seconds_now() - start);
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
    for (size_t i = 0; i < ARRAY_COUNT(LIES); i++) {
        fprintf(out, " %s", LIES[i]);
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
    for (size_t i = 0; i < ARRAY_COUNT(LIES); i++) {
        if (strcmp(LIES[i], name) == 0) {
            return (enum crash_lie)i;
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
    static const struct option NAMES[] = {
        {"scenario", required_argument, NULL, 's'}, {"point", required_argument, NULL, 'p'},
        {"subset", required_argument, NULL, 'x'},   {"keep", required_argument, NULL, 'k'},
        {"lie", required_argument, NULL, 'l'},      {"prove", no_argument, NULL, 'P'},
        {"help", no_argument, NULL, 'h'},           {NULL, 0, NULL, 0}};
    *out = (struct options){.point = ANY, .subset = ANY, .failures_max = FAILURES_SHOWN};
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
    if (optind != argc || (out->subset != ANY && !one) || (out->keep != NULL && !one)) {
        fprintf(stderr, "quorate-crash-images: --subset and --keep need --scenario, --point and "
                        "--subset\n");
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
    uint64_t distinct = 0;
    uint64_t reopened = 0;
    uint64_t failures = 0;
    printf("%-22s %5s %9s %9s\n", "scenario", "places", "images", "judged");
    for (size_t i = 0; i < ARRAY_COUNT(SCENARIOS); i++) {
        if (options->only == NULL || options->only == SCENARIOS[i]) {
            failures += scenario_run(options, SCENARIOS[i], work, &distinct, &reopened);
        }
    }
    printf("%llu different images, judged %llu times, %llu failures\n",
           (unsigned long long)distinct, (unsigned long long)reopened,
           (unsigned long long)failures);
    if (options->only == NULL && options->lie == LIE_NONE && distinct < DISTINCT_MIN) {
        printf("FAILED: fewer than %u images\n", DISTINCT_MIN);
        failures++;
    }
    return failures;
}

int main(int argc, char **argv)
{
    struct options options;
    options_read(argc, argv, &options);
    log_set_level(options.keep != NULL ? LOG_LEVEL_INFO : LOG_LEVEL_FATAL);
    char *work = work_make();
    signal(SIGPIPE, SIG_IGN);
    signal(SIGABRT, on_crash);
    signal(SIGSEGV, on_crash);
    signal(SIGBUS, on_crash);
    record_on_exit(on_engine_exit);
    bool failed = options.prove ? proofs_run(&options, work) > 0 : images_run(&options, work) > 0;
    tree_clear(work);
    (void)rmdir(work);
    mem_free(work);
    record_on_exit(NULL);
    return failed ? 1 : 0;
}
