/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The real file system behind the disk seam. Short reads and writes and EINTR are handled here;
 * every other failure is passed on, because only the caller knows what it means.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/seam/disk.h"

struct disk_file {
    int fd;
};

static int open_fd(const char *path, int flags, int *out_fd)
{
    int fd;
    do {
        fd = open(path, flags | O_CLOEXEC, 0600);
    } while (fd < 0 && errno == EINTR);
    if (fd < 0) {
        return err_from_errno(errno);
    }
    *out_fd = fd;
    return 0;
}

static int disk_open(void *ctx, const char *path, enum disk_open_mode mode,
                     struct disk_file **out_file)
{
    (void)ctx;
    int flags = mode == DISK_READ ? O_RDONLY : O_RDWR;
    if (mode == DISK_CREATE) {
        flags |= O_CREAT | O_TRUNC;
    }
    int fd;
    int rc = open_fd(path, flags, &fd);
    if (rc != 0) {
        return rc;
    }
    struct disk_file *file = mem_alloc(sizeof(*file));
    file->fd = fd;
    *out_file = file;
    return 0;
}

static void disk_close(struct disk_file *file)
{
    (void)close(file->fd);
    mem_free(file);
}

static int disk_read_at(struct disk_file *file, uint64_t offset, void *data, size_t size,
                        size_t *out_read)
{
    size_t done = 0;
    while (done < size) {
        ssize_t count = pread(file->fd, (char *)data + done, size - done, (off_t)(offset + done));
        if (count < 0) {
            if (errno == EINTR) {
                continue;
            }
            return err_from_errno(errno);
        }
        if (count == 0) {
            break;
        }
        done += (size_t)count;
    }
    *out_read = done;
    return 0;
}

static int disk_write_at(struct disk_file *file, uint64_t offset, const void *data, size_t size)
{
    size_t done = 0;
    while (done < size) {
        ssize_t count =
            pwrite(file->fd, (const char *)data + done, size - done, (off_t)(offset + done));
        if (count < 0) {
            if (errno == EINTR) {
                continue;
            }
            return err_from_errno(errno);
        }
        if (count == 0) {
            return E_IO;
        }
        done += (size_t)count;
    }
    return 0;
}

static int disk_sync(struct disk_file *file)
{
    /* Never repeated: after a failure the kernel forgets which pages were dirty. */
    return fdatasync(file->fd) == 0 ? 0 : err_from_errno(errno);
}

static int disk_truncate(struct disk_file *file, uint64_t size)
{
    int rc;
    do {
        rc = ftruncate(file->fd, (off_t)size);
    } while (rc != 0 && errno == EINTR);
    return rc == 0 ? 0 : err_from_errno(errno);
}

static int disk_size(struct disk_file *file, uint64_t *out_size)
{
    struct stat info;
    if (fstat(file->fd, &info) != 0) {
        return err_from_errno(errno);
    }
    *out_size = (uint64_t)info.st_size;
    return 0;
}

/*
 * An open-file-description lock, because that is what etcd takes: the two must exclude each other.
 * Where the file system has none, flock.
 */
static int disk_lock(struct disk_file *file)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    if (fcntl(file->fd, F_OFD_SETLK, &lock) == 0) {
        return 0;
    }
    if (errno == EAGAIN || errno == EACCES) {
        return E_IN_USE;
    }
    if (errno != EINVAL) {
        return err_from_errno(errno);
    }
    if (flock(file->fd, LOCK_EX | LOCK_NB) == 0) {
        return 0;
    }
    return errno == EWOULDBLOCK ? E_IN_USE : err_from_errno(errno);
}

static int disk_rename(void *ctx, const char *from, const char *to)
{
    (void)ctx;
    return rename(from, to) == 0 ? 0 : err_from_errno(errno);
}

static int disk_remove(void *ctx, const char *path)
{
    (void)ctx;
    return remove(path) == 0 ? 0 : err_from_errno(errno);
}

static int disk_make_dir(void *ctx, const char *path)
{
    (void)ctx;
    if (mkdir(path, 0700) == 0) {
        return 0;
    }
    int saved = errno;
    struct stat info;
    if (saved == EEXIST && stat(path, &info) == 0 && S_ISDIR(info.st_mode)) {
        return 0;
    }
    return err_from_errno(saved);
}

static int disk_list_dir(void *ctx, const char *path, disk_list_fn each, void *each_ctx)
{
    (void)ctx;
    DIR *dir = opendir(path);
    if (dir == NULL) {
        return err_from_errno(errno);
    }
    int rc = 0;
    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(dir);
        if (entry == NULL) {
            rc = errno == 0 ? 0 : err_from_errno(errno);
            break;
        }
        if (!str_equal(entry->d_name, ".") && !str_equal(entry->d_name, "..")) {
            each(each_ctx, entry->d_name);
        }
    }
    (void)closedir(dir);
    return rc;
}

static int disk_sync_dir(void *ctx, const char *path)
{
    (void)ctx;
    int fd;
    int rc = open_fd(path, O_RDONLY | O_DIRECTORY, &fd);
    if (rc != 0) {
        return rc;
    }
    rc = fsync(fd) == 0 ? 0 : err_from_errno(errno);
    (void)close(fd);
    return rc;
}

static int disk_free_bytes(void *ctx, const char *path, uint64_t *out_bytes)
{
    (void)ctx;
    struct statvfs info;
    if (statvfs(path, &info) != 0) {
        return err_from_errno(errno);
    }
    *out_bytes = (uint64_t)info.f_bavail * info.f_frsize;
    return 0;
}

const struct disk_seam *disk_posix(void)
{
    static const struct disk_seam disk = {
        .open = disk_open,
        .close = disk_close,
        .read_at = disk_read_at,
        .write_at = disk_write_at,
        .sync = disk_sync,
        .truncate = disk_truncate,
        .size = disk_size,
        .lock = disk_lock,
        .rename = disk_rename,
        .remove = disk_remove,
        .make_dir = disk_make_dir,
        .list_dir = disk_list_dir,
        .sync_dir = disk_sync_dir,
        .free_bytes = disk_free_bytes,
    };
    return &disk;
}
