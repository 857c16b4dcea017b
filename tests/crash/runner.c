/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scenarios and their images. A second power cut is a walk inside of the walk: the start on an
 * image is recorded like a scenario, and the images of that start are judged by the same promises.
 */
#include "tests/crash/runner.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "tests/crash/hashset.h"
#include "tests/crash/record.h"

#define FAILURES_SHOWN 5u
#define PROGRESS_EVERY 16u

/* The walk over one journal: of the scenario, or of a start on one of its images. */
struct walk {
    struct run *run;
    struct cursor cursor;
    struct subset_limits limits;
    char *image_dir;
    uint32_t point, wanted_point, wanted_subset;
    int spoil; /* done to the image that this start is of; -1: nothing */
    bool is_again;
    bool found;
};

struct run {
    const struct options *options;
    const struct scenario *scenario;
    const char *work;
    struct hash_set distinct, judged;
    uint64_t judged_count, starts, failures;
    bool is_terminal, is_stopped;
};

/* What is being judged, for when the engine ends the process. */
static struct {
    const char *scenario;
    enum crash_lie lie;
    uint32_t point, subset, again_point, again_subset; /* ANY: not in a second walk */
} current;

const char *lie_name(enum crash_lie lie)
{
    static const char *const NAMES[LIE_COUNT] = {
        "none",          "skip-dir-sync", "skip-wal-sync", "skip-store-sync", "rename-before-sync",
        "skip-mark-sync"};
    return NAMES[lie];
}

/* ---- how to do it again ---- */

static void recipe_print(const char *what)
{
    printf("\nFAILED %s: %s\n  again: quorate-crash-images --scenario %s --point %u --subset %u",
           current.scenario, what, current.scenario, current.point, current.subset);
    if (current.again_point != ANY) {
        printf(" --again-point %u --again-subset %u", current.again_point, current.again_subset);
    }
    if (current.lie != LIE_NONE) {
        printf(" --lie %s", lie_name(current.lie));
    }
    printf(" --keep DIR\n");
    fflush(stdout);
}

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

void runner_watch_process(void)
{
    signal(SIGABRT, on_crash);
    signal(SIGSEGV, on_crash);
    signal(SIGBUS, on_crash);
    record_on_exit(on_engine_exit);
}

void runner_unwatch_process(void)
{
    record_on_exit(NULL);
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

static bool walk_each(struct walk *walk);
static void start_again(struct walk *walk, const struct selection *selection, int spoil);

static void image_keep(const struct walk *walk, const struct selection *selection, int spoil)
{
    const char *dir = walk->run->options->keep;
    (void)mkdir(dir, 0700);
    tree_clear(dir);
    image_write(&walk->cursor, selection, dir);
    if (spoil >= 0 && !walk->is_again) {
        (void)walk->run->scenario->spoil(dir, (uint32_t)spoil);
    }
    printf("image kept in %s, after: %s\n", dir, op_text(walk->cursor.journal, walk->point));
}

static void failure_note(struct walk *walk, const char *text)
{
    struct run *run = walk->run;
    if (run->failures++ < FAILURES_SHOWN) {
        recipe_print(text);
        printf("  after: %s\n", op_text(walk->cursor.journal, walk->point));
    }
    run->is_stopped = run->failures >= run->options->failures_max;
}

/* Judges what image_dir holds, and empties it. */
static void image_judge(struct walk *walk, const struct selection *selection, int spoil)
{
    struct run *run = walk->run;
    struct crash_case crash = {walk->image_dir, walk->cursor.notes, spoil};
    struct err err = {{0}};
    bool is_innermost = walk->is_again || run->options->again_point == ANY;
    if (run->options->keep != NULL && is_innermost) {
        image_keep(walk, selection, spoil);
    }
    int rc = run->scenario->check(&crash, &err);
    tree_clear(walk->image_dir);
    run->judged_count++;
    if (rc != 0) {
        failure_note(walk, err.text);
    }
}

static bool is_asked_for(struct walk *walk, uint32_t index)
{
    bool wanted = walk->wanted_subset == ANY || walk->wanted_subset == index;
    walk->found = walk->found || wanted;
    return wanted;
}

/* Whether this image, with what was promised by now, is a new question. */
static bool is_new(struct walk *walk, uint64_t hash)
{
    struct run *run = walk->run;
    const uint64_t *notes = walk->cursor.notes;
    bool fresh = hash_set_put(&run->distinct, hash);
    bool asked = hash_set_put(&run->judged, bytes_hash(hash, notes, NOTES_MAX * sizeof(*notes)));
    return fresh || asked || walk->wanted_subset != ANY;
}

static bool on_selection(void *ctx, uint32_t index, const struct selection *selection)
{
    struct walk *walk = ctx;
    struct run *run = walk->run;
    *(walk->is_again ? &current.again_subset : &current.subset) = index;
    if (!is_asked_for(walk, index) ||
        !is_new(walk, image_hash(&walk->cursor, selection) ^ (walk->is_again ? 1u << 20 : 0))) {
        return true;
    }
    image_write(&walk->cursor, selection, walk->image_dir);
    image_judge(walk, selection, walk->spoil);
    start_again(walk, selection, -1);
    return !run->is_stopped;
}

/* Damages the image in which all that is pending has arrived, or none of it. */
static void spoil_one(struct walk *walk, bool arrived, uint32_t first)
{
    const struct scenario *scenario = walk->run->scenario;
    size_t width = walk->cursor.unit_count + walk->cursor.dir_op_count + 1;
    bool *flags = mem_alloc(width);
    memset(flags, arrived ? 1 : 0, width);
    struct selection selection = {flags, flags};
    uint64_t hash = image_hash(&walk->cursor, &selection);
    for (uint32_t i = 0; !walk->run->is_stopped && i < scenario->spoils; i++) {
        current.subset = first + i;
        if (!is_asked_for(walk, first + i)) {
            continue;
        }
        image_write(&walk->cursor, &selection, walk->image_dir);
        if (scenario->spoil(walk->image_dir, i) && is_new(walk, bytes_hash(hash, &i, sizeof(i)))) {
            image_judge(walk, &selection, (int)i);
            start_again(walk, &selection, (int)i);
        } else {
            tree_clear(walk->image_dir);
        }
    }
    mem_free(flags);
}

/* Numbered behind the subsets. */
static void spoil_all(struct walk *walk)
{
    spoil_one(walk, true, SPOIL_FIRST);
    spoil_one(walk, false, SPOIL_FIRST + walk->run->scenario->spoils);
}

/* ---- a walk over a journal ---- */

static void point_try(struct walk *walk)
{
    struct run *run = walk->run;
    const struct journal *journal = walk->cursor.journal;
    uint64_t seed = bytes_hash(walk->point, run->scenario->name, strlen(run->scenario->name));
    *(walk->is_again ? &current.again_point : &current.point) = walk->point;
    selections_each(&walk->cursor, &walk->limits, seed, on_selection, walk);
    bool is_note = walk->point > 0 && journal->ops[walk->point - 1].kind == OP_NOTE;
    if (is_note && !walk->is_again && run->scenario->spoils > 0 && !run->is_stopped) {
        spoil_all(walk);
    }
}

static void progress_show(const struct walk *walk)
{
    const struct run *run = walk->run;
    if (run->is_terminal && !walk->is_again && walk->point % PROGRESS_EVERY == 0) {
        printf("\r%-22s place %u of %u, %zu images, %llu judged ", run->scenario->name, walk->point,
               walk->cursor.journal->op_count, run->distinct.count,
               (unsigned long long)run->judged_count);
        fflush(stdout);
    }
}

/* False when the place or subset that was asked for does not exist. */
static bool walk_each(struct walk *walk)
{
    for (walk->point = 0; !walk->run->is_stopped; walk->point++) {
        if (walk->wanted_point == ANY || walk->wanted_point == walk->point) {
            point_try(walk);
        }
        if (walk->point == walk->cursor.journal->op_count || walk->point == walk->wanted_point) {
            break;
        }
        progress_show(walk);
        cursor_step(&walk->cursor);
    }
    return walk->found;
}

static char *folder_make(const char *work, const char *name)
{
    char *dir = str_printf("%s/%s", work, name);
    (void)mkdir(dir, 0700);
    return dir;
}

/*
 * A second power cut, during the start on this image: the start is recorded, and what it has made
 * sure of by its notes holds from then on.
 */
static void start_again(struct walk *outer, const struct selection *selection, int spoil)
{
    struct run *run = outer->run;
    const struct options *options = run->options;
    bool is_asked = options->again_point != ANY;
    if (outer->is_again || run->is_stopped || run->scenario->recover == NULL ||
        (outer->wanted_subset != ANY ? !is_asked
                                     : run->judged_count % run->scenario->recover_every != 0)) {
        return;
    }
    char *dir = folder_make(run->work, "again");
    struct err err = {{0}};
    image_write(&outer->cursor, selection, dir);
    if (spoil >= 0) {
        (void)run->scenario->spoil(dir, (uint32_t)spoil);
    }
    record_start(dir);
    struct crash_case crash = {dir, outer->cursor.notes, spoil};
    int rc = run->scenario->recover(&crash, &err);
    struct journal *journal = record_stop();
    run->starts++;
    if (rc != 0) {
        failure_note(outer, err.text);
    }
    struct walk walk = {.run = run,
                        .spoil = spoil,
                        .limits = {4, 4},
                        .image_dir = folder_make(run->work, "again-image"),
                        .wanted_point = options->again_point,
                        .wanted_subset = options->again_subset,
                        .is_again = true};
    cursor_init(&walk.cursor, journal, options->lie);
    memcpy(walk.cursor.notes, outer->cursor.notes, sizeof(walk.cursor.notes));
    bool found = walk_each(&walk);
    if (is_asked && !found) {
        failure_note(outer, "the start has no such place or subset");
    }
    current.again_point = current.again_subset = ANY;
    cursor_free(&walk.cursor);
    journal_free(journal);
    mem_free(walk.image_dir);
    tree_clear(dir);
    mem_free(dir);
}

/* ---- one scenario ---- */

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

static struct journal *scenario_record(const struct scenario *scenario, const char *dir)
{
    if (scenario->prepare != NULL) {
        scenario->prepare(dir);
    }
    record_start(dir);
    scenario->run(dir);
    struct journal *journal = record_stop();
    journal_verify(scenario, journal, dir);
    return journal;
}

static double seconds_now(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void scenario_report(struct run *run, uint32_t points, double seconds)
{
    const struct options *options = run->options;
    if (!options->quiet) {
        printf("%s%-20s %6u %8zu %8llu %8llu %6.1f s %8llu\n", run->is_terminal ? "\r" : "",
               run->scenario->name, points, run->distinct.count,
               (unsigned long long)run->judged_count, (unsigned long long)run->starts, seconds,
               (unsigned long long)run->failures);
    }
    bool is_whole = options->point == ANY && options->lie == LIE_NONE;
    if (is_whole && run->distinct.count < run->scenario->distinct_min) {
        printf("FAILED %s: %zu images are fewer than the %llu that it had\n", run->scenario->name,
               run->distinct.count, (unsigned long long)run->scenario->distinct_min);
        run->failures++;
    }
    fflush(stdout);
}

void scenario_run(const struct options *options, const struct scenario *scenario, const char *work,
                  struct totals *io_totals)
{
    struct run run = {.options = options,
                      .scenario = scenario,
                      .work = work,
                      .is_terminal = !options->quiet && isatty(1) != 0};
    struct walk walk = {.run = &run,
                        .spoil = -1,
                        .limits = scenario->limits,
                        .image_dir = folder_make(work, "image"),
                        .wanted_point = options->point,
                        .wanted_subset = options->subset};
    char *recorded = folder_make(work, "recorded");
    double start = seconds_now();
    current.scenario = scenario->name;
    current.lie = options->lie;
    current.point = current.subset = 0;
    current.again_point = current.again_subset = ANY;
    struct journal *journal = scenario_record(scenario, recorded);
    cursor_init(&walk.cursor, journal, options->lie);
    bool found = walk_each(&walk);
    if (!found && !run.is_stopped) {
        printf("%s: there is no such place or subset\n", scenario->name);
        run.failures++;
    }
    scenario_report(&run, journal->op_count, seconds_now() - start);
    io_totals->distinct += run.distinct.count;
    io_totals->judged += run.judged_count;
    io_totals->failures += run.failures;
    cursor_free(&walk.cursor);
    journal_free(journal);
    mem_free(walk.image_dir);
    mem_free(run.distinct.slots);
    mem_free(run.judged.slots);
    tree_clear(recorded);
    mem_free(recorded);
}
