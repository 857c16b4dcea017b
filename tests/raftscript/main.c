/* SPDX-License-Identifier: Apache-2.0 */
/*
 * quorate-raft-script [--rewrite] FILE...: plays Raft scripts. A file is a row of steps: lines that
 * start with # (comments), command lines, a line ----, and the text that the commands are to write,
 * up to an empty line. Exits 1 and shows the differences when another text comes out; --rewrite
 * puts the new text into the file instead.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "tests/raftscript/script.h"

#define FILE_BYTES_MAX (1u << 20)

/* The lines of a text, borrowed from it; each ends with NUL. */
struct lines {
    char **at;
    size_t count;
};

static struct lines lines_of(char *text)
{
    struct lines lines = {0};
    size_t capacity = 0;
    char *rest = text;
    while (rest != NULL && *rest != '\0') {
        if (lines.count == capacity) {
            capacity = capacity * 2 + 64;
            lines.at = mem_realloc(lines.at, capacity * sizeof(*lines.at));
        }
        lines.at[lines.count++] = strsep(&rest, "\n");
    }
    return lines;
}

static char *file_read(const char *path)
{
    FILE *file = fopen(path, "r");
    if (file == NULL) {
        return NULL;
    }
    char *text = mem_zalloc(FILE_BYTES_MAX + 1);
    size_t size = fread(text, 1, FILE_BYTES_MAX, file);
    bool whole = feof(file) != 0 && ferror(file) == 0;
    (void)fclose(file);
    text[size] = '\0';
    if (!whole) {
        mem_free(text);
        return NULL;
    }
    return text;
}

/* Longest common subsequence; steps are short. */
static void diff_print(const struct lines *want, const struct lines *got)
{
    size_t width = got->count + 1;
    uint32_t *best = mem_array((want->count + 1) * width, sizeof(*best));
    for (size_t i = want->count; i-- > 0;) {
        for (size_t k = got->count; k-- > 0;) {
            uint32_t skip = BASE_MAX(best[(i + 1) * width + k], best[i * width + k + 1]);
            bool same = str_equal(want->at[i], got->at[k]);
            best[i * width + k] = same ? best[(i + 1) * width + k + 1] + 1 : skip;
        }
    }
    size_t i = 0;
    size_t k = 0;
    while (i < want->count || k < got->count) {
        if (i < want->count && k < got->count && str_equal(want->at[i], got->at[k])) {
            printf("  %s\n", want->at[i]);
            i++;
            k++;
        } else if (k == got->count ||
                   (i < want->count && best[(i + 1) * width + k] >= best[i * width + k + 1])) {
            printf("- %s\n", want->at[i++]);
        } else {
            printf("+ %s\n", got->at[k++]);
        }
    }
    mem_free(best);
}

/* One file on its way through. */
struct play {
    const char *path;
    struct script *script;
    struct buf written; /* the file with the new texts */
    uint32_t failures;
};

/* Compares what came out with the expected lines [first, end). */
static void step_compare(struct play *play, const struct lines *file, size_t command, size_t first,
                         size_t end)
{
    if (play->script->out.size == 0) {
        buf_append_str(&play->script->out, "ok\n");
    }
    (void)buf_append(&play->written, play->script->out.data, play->script->out.size);
    char *text = str_dup(buf_cstr(&play->script->out));
    struct lines got = lines_of(text);
    struct lines want = {.at = file->at + first, .count = end - first};
    bool same = got.count == want.count;
    for (size_t i = 0; same && i < got.count; i++) {
        same = str_equal(got.at[i], want.at[i]);
    }
    if (!same) {
        play->failures++;
        printf("%s:%zu: %s\n", play->path, command + 1, file->at[command]);
        diff_print(&want, &got);
    }
    mem_free(got.at);
    mem_free(text);
}

static void play_lines(struct play *play, const struct lines *file)
{
    size_t command = 0;
    for (size_t i = 0; i < file->count;) {
        char *line = file->at[i];
        buf_printf(&play->written, "%s\n", line);
        if (strcmp(line, "----") == 0) {
            size_t end = i + 1;
            while (end < file->count && file->at[end][0] != '\0') {
                end++;
            }
            step_compare(play, file, command, i + 1, end);
            buf_clear(&play->script->out);
            i = end;
            continue;
        }
        if (line[0] != '\0' && line[0] != '#') {
            char *copy = str_dup(line);
            command = i;
            script_run(play->script, copy);
            mem_free(copy);
        }
        i++;
    }
    if (play->script->out.size != 0) {
        printf("%s: what came out after the last ---- is not expected by anything\n", play->path);
        play->failures++;
    }
}

static bool play_file(const char *path, bool rewrite)
{
    char *text = file_read(path);
    if (text == NULL) {
        printf("%s: cannot be read\n", path);
        return false;
    }
    struct play play = {.path = path, .script = script_new()};
    struct lines lines = lines_of(text);
    buf_init(&play.written, BUF_NO_LIMIT);
    play_lines(&play, &lines);
    if (rewrite && play.failures != 0) {
        FILE *file = fopen(path, "w");
        bool done = file != NULL &&
                    fwrite(play.written.data, 1, play.written.size, file) == play.written.size;
        if (file == NULL || fclose(file) != 0 || !done) {
            printf("%s: cannot be written\n", path);
        }
    }
    buf_free(&play.written);
    script_free(play.script);
    mem_free(lines.at);
    mem_free(text);
    return play.failures == 0;
}

int main(int argc, char **argv)
{
    bool rewrite = argc > 1 && strcmp(argv[1], "--rewrite") == 0;
    bool good = true;
    if (argc < (rewrite ? 3 : 2)) {
        (void)fprintf(stderr, "usage: quorate-raft-script [--rewrite] FILE...\n");
        return 2;
    }
    for (int i = rewrite ? 2 : 1; i < argc; i++) {
        good = play_file(argv[i], rewrite) && good;
    }
    return good || rewrite ? 0 : 1;
}
