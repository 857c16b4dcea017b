/* SPDX-License-Identifier: Apache-2.0 */
/* Whole files, folders, trees. */
#include "files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"

#define WALK_FDS_MAX 16

char *files_read_text(const char *path, size_t max_size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return NULL;
    }
    char *text = mem_alloc(max_size + 1);
    size_t size = 0;
    ssize_t got;
    while (size < max_size && (got = read(fd, text + size, max_size - size)) > 0) {
        size += (size_t)got;
    }
    text[size] = '\0';
    close(fd);
    return text;
}

static bool write_all(int fd, const void *data, size_t size)
{
    const char *at = data;
    while (size > 0) {
        ssize_t sent = write(fd, at, size);
        if (sent < 0) {
            return false;
        }
        at += sent;
        size -= (size_t)sent;
    }
    return true;
}

bool files_write(const char *path, const void *data, size_t size, mode_t mode)
{
    char *other = str_printf("%s.new", path);
    int fd = open(other, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
    bool ok = fd >= 0 && write_all(fd, data, size);
    if (fd >= 0) {
        ok = fchmod(fd, mode) == 0 && ok;
        ok = close(fd) == 0 && ok;
    }
    ok = ok && rename(other, path) == 0;
    mem_free(other);
    return ok;
}

bool files_write_in_place(const char *path, const void *data, size_t size)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0) {
        return false;
    }
    /* One write, then the cut: a reader never finds the file empty. */
    bool ok = pwrite(fd, data, size, 0) == (ssize_t)size && ftruncate(fd, (off_t)size) == 0;
    close(fd);
    return ok;
}

bool files_make_dirs(const char *path)
{
    char *copy = str_dup(path);
    for (char *slash = strchr(copy + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(copy, 0700);
        *slash = '/';
    }
    bool ok = mkdir(copy, 0700) == 0 || errno == EEXIST;
    mem_free(copy);
    return ok;
}

static int remove_one(const char *path, const struct stat *info, int type, struct FTW *place)
{
    (void)info;
    (void)type;
    (void)place;
    (void)remove(path); /* what cannot be removed stays; the walk goes on */
    return 0;
}

void files_remove_tree(const char *path)
{
    nftw(path, remove_one, WALK_FDS_MAX, FTW_DEPTH | FTW_PHYS);
}

void files_each(const char *path, const char *suffix, files_fn each, void *ctx)
{
    DIR *dir = opendir(path);
    if (dir == NULL) {
        return;
    }
    for (const struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) {
            continue;
        }
        char *child = str_printf("%s/%s", path, entry->d_name);
        struct stat info;
        if (lstat(child, &info) == 0 && S_ISDIR(info.st_mode)) {
            files_each(child, suffix, each, ctx);
        } else if (str_ends_with(entry->d_name, suffix)) {
            each(ctx, child);
        }
        mem_free(child);
    }
    closedir(dir);
}
