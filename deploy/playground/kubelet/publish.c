/* SPDX-License-Identifier: Apache-2.0 */
/* Links and one rename. */
#include "publish.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/log.h"
#include "files.h"

#define DATA_LINK      "..data"
#define DATA_PREFIX    "..data/"
#define FILE_BYTES_MAX (2u * 1024u * 1024u)
#define LINK_BYTES_MAX 512u
#define FNV_OFFSET     UINT64_C(0xcbf29ce484222325)
#define FNV_PRIME      UINT64_C(0x100000001b3)

char *publish_begin(const char *folder)
{
    char *path = NULL;
    struct stat info;
    for (unsigned number = 1; path == NULL; number++) {
        path = str_printf("%s/..%u", folder, number);
        if (lstat(path, &info) == 0) {
            mem_free(path);
            path = NULL;
        }
    }
    files_make_dirs(path);
    return path;
}

void publish_cancel(char *staging)
{
    files_remove_tree(staging);
    mem_free(staging);
}

/* A sum over all files, whatever their order. */
struct sum {
    size_t root_size;
    uint64_t value;
};

static void add_file(void *ctx, const char *path)
{
    struct sum *sum = ctx;
    char *text = files_read_text(path, FILE_BYTES_MAX);
    const char *const words[] = {path + sum->root_size, text == NULL ? "" : text};
    uint64_t hash = FNV_OFFSET;
    for (size_t i = 0; i < ARRAY_COUNT(words); i++) {
        for (const char *at = words[i]; *at != '\0'; at++) {
            hash = (hash ^ (uint8_t)*at) * FNV_PRIME;
        }
        hash = (hash ^ 0xff) * FNV_PRIME;
    }
    struct stat info;
    sum->value += hash ^ (stat(path, &info) == 0 ? (uint64_t)info.st_size * FNV_PRIME : 0);
    mem_free(text);
}

static uint64_t sum_of(const char *folder)
{
    struct sum sum = {strlen(folder), 1};
    files_each(folder, "", add_file, &sum);
    return sum.value;
}

/* The hidden folder that is shown now; "" when none is. */
static void shown(const char *folder, char out[LINK_BYTES_MAX])
{
    char *path = str_printf("%s/" DATA_LINK, folder);
    ssize_t size = readlink(path, out, LINK_BYTES_MAX - 1);
    out[size > 0 ? size : 0] = '\0';
    mem_free(path);
}

/* Each name of the new files gets its link through ..data. */
static void add_names(const char *folder, const char *staging)
{
    DIR *dir = opendir(staging);
    for (struct dirent *entry; dir != NULL && (entry = readdir(dir)) != NULL;) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) {
            continue;
        }
        char *target = str_printf(DATA_PREFIX "%s", entry->d_name);
        char *path = str_printf("%s/%s", folder, entry->d_name);
        struct stat info;
        if (lstat(path, &info) != 0 && symlink(target, path) != 0) {
            LOG_WARN("cannot link a file of a volume", LOG_STR("path", path));
        }
        mem_free(path);
        mem_free(target);
    }
    if (dir != NULL) {
        closedir(dir);
    }
}

/* Links whose file is no more. */
static void drop_names(const char *folder)
{
    DIR *dir = opendir(folder);
    for (struct dirent *entry; dir != NULL && (entry = readdir(dir)) != NULL;) {
        char *path = str_printf("%s/%s", folder, entry->d_name);
        char target[LINK_BYTES_MAX];
        ssize_t size = readlink(path, target, sizeof(target) - 1);
        target[size > 0 ? size : 0] = '\0';
        if (str_starts_with(target, DATA_PREFIX) && access(path, F_OK) != 0) {
            unlink(path);
        }
        mem_free(path);
    }
    if (dir != NULL) {
        closedir(dir);
    }
}

void publish_end(const char *folder, char *staging)
{
    char before[LINK_BYTES_MAX];
    shown(folder, before);
    char *old = before[0] == '\0' ? NULL : str_printf("%s/%s", folder, before);
    if (old != NULL && sum_of(old) == sum_of(staging)) {
        publish_cancel(staging);
        mem_free(old);
        return;
    }
    char *link = str_printf("%s/" DATA_LINK, folder);
    char *beside = str_printf("%s/" DATA_LINK "_new", folder);
    unlink(beside);
    if (symlink(strrchr(staging, '/') + 1, beside) != 0 || rename(beside, link) != 0) {
        LOG_WARN("cannot show new files of a volume", LOG_STR("folder", folder));
        files_remove_tree(staging);
    } else {
        add_names(folder, staging);
        drop_names(folder);
        if (old != NULL) {
            files_remove_tree(old);
        }
    }
    mem_free(link);
    mem_free(beside);
    mem_free(old);
    mem_free(staging);
}
