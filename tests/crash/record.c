/* SPDX-License-Identifier: Apache-2.0 */
/* The recorder. The real work is done by system calls, because the names of libc are ours here. */
#include "tests/crash/record.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/assert.h"

#define FDS_MAX 4096

static struct {
    pthread_mutex_t lock;
    struct journal *journal; /* NULL: nothing is recorded */
    char root[512];
    size_t root_size;
    struct dir_names *live; /* per node */
    uint32_t live_capacity;
    uint32_t fd_node[FDS_MAX]; /* node + 1; 0: not of the folder */
    uint64_t fd_offset[FDS_MAX];
    bool fd_dsync[FDS_MAX];
    void (*on_exit)(int status);
} recorder = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void enter(void)
{
    ASSERT(pthread_mutex_lock(&recorder.lock) == 0);
}

static void leave(void)
{
    ASSERT(pthread_mutex_unlock(&recorder.lock) == 0);
}

static struct dir_names *live_of(uint32_t node)
{
    if (node >= recorder.live_capacity) {
        uint32_t capacity = BASE_MAX(64u, node * 2);
        recorder.live = mem_realloc(recorder.live, capacity * sizeof(*recorder.live));
        memset(recorder.live + recorder.live_capacity, 0,
               (capacity - recorder.live_capacity) * sizeof(*recorder.live));
        recorder.live_capacity = capacity;
    }
    return &recorder.live[node];
}

static bool is_inside(const char *path)
{
    return recorder.journal != NULL && strncmp(path, recorder.root, recorder.root_size) == 0 &&
           (path[recorder.root_size] == '/' || path[recorder.root_size] == '\0');
}

/* The folder of path and the last part of its name; the folder itself: NODE_NONE. */
static uint32_t dir_of(const char *path, const char **out_name)
{
    uint32_t dir = 0;
    const char *at = path + recorder.root_size;
    while (*at == '/') {
        at++;
    }
    if (*at == '\0') {
        return NODE_NONE;
    }
    for (;;) {
        const char *slash = strchr(at, '/');
        if (slash == NULL) {
            *out_name = at;
            return dir;
        }
        char *part = str_from(at, (size_t)(slash - at));
        dir = dir_names_find(live_of(dir), part);
        mem_free(part);
        ASSERT(dir != NODE_NONE); /* the real file system has it, so must we */
        at = slash + 1;
    }
}

static uint32_t node_of(const char *path)
{
    const char *name = NULL;
    uint32_t dir = dir_of(path, &name);
    return dir == NODE_NONE ? 0 : dir_names_find(live_of(dir), name);
}

static void link_add(const char *path, bool is_dir)
{
    const char *name = NULL;
    uint32_t dir = dir_of(path, &name);
    uint32_t node = journal_node_add(recorder.journal, is_dir, path + recorder.root_size + 1);
    struct op *op = journal_op_add(recorder.journal, OP_LINK);
    op->node = node;
    op->dir = dir;
    op->name = str_dup(name);
    dir_names_set(live_of(dir), name, node);
}

static void unlink_add(const char *path)
{
    const char *name = NULL;
    uint32_t dir = dir_of(path, &name);
    struct op *op = journal_op_add(recorder.journal, OP_UNLINK);
    op->dir = dir;
    op->name = str_dup(name);
    op->node = dir_names_find(live_of(dir), name);
    ASSERT(op->node != NODE_NONE);
    dir_names_remove(live_of(dir), name);
}

static void rename_add(const char *from, const char *to)
{
    const char *name = NULL;
    const char *to_name = NULL;
    uint32_t dir = dir_of(from, &name);
    ASSERT(dir_of(to, &to_name) == dir); /* the engine moves nothing between folders */
    struct op *op = journal_op_add(recorder.journal, OP_RENAME);
    op->dir = dir;
    op->name = str_dup(name);
    op->to_name = str_dup(to_name);
    op->node = dir_names_find(live_of(dir), name);
    ASSERT(op->node != NODE_NONE);
    dir_names_remove(live_of(dir), name);
    dir_names_set(live_of(dir), to_name, op->node);
}

/* ---- begin and end ---- */

static void import_file(struct node *node, const char *path)
{
    int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY, 0);
    struct stat info;
    ASSERT(fd >= 0 && fstat(fd, &info) == 0);
    node->size = (uint64_t)info.st_size;
    node->data = mem_alloc((size_t)node->size);
    ASSERT(pread(fd, node->data, (size_t)node->size, 0) == (ssize_t)node->size);
    (void)syscall(SYS_close, fd);
}

static void import_dir(uint32_t at, const char *path)
{
    DIR *dir = opendir(path);
    const struct dirent *entry;
    ASSERT(dir != NULL);
    while ((entry = readdir(dir)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) {
            continue;
        }
        char *child = str_printf("%s/%s", path, entry->d_name);
        struct stat info;
        ASSERT(lstat(child, &info) == 0);
        uint32_t node = journal_node_add(recorder.journal, S_ISDIR(info.st_mode),
                                         child + recorder.root_size + 1);
        dir_names_set(&recorder.journal->nodes[at].names, entry->d_name, node);
        dir_names_set(live_of(at), entry->d_name, node);
        if (S_ISDIR(info.st_mode)) {
            import_dir(node, child);
        } else {
            import_file(&recorder.journal->nodes[node], child);
        }
        mem_free(child);
    }
    (void)closedir(dir);
}

void record_start(const char *root)
{
    enter();
    ASSERT(recorder.journal == NULL && strlen(root) < sizeof(recorder.root));
    recorder.journal = journal_new();
    recorder.root_size = strlen(root);
    memcpy(recorder.root, root, recorder.root_size + 1);
    memset(recorder.fd_node, 0, sizeof(recorder.fd_node));
    import_dir(0, root);
    leave();
}

void record_note(unsigned note, uint64_t value)
{
    enter();
    if (recorder.journal != NULL) {
        struct op *op = journal_op_add(recorder.journal, OP_NOTE);
        op->note = note;
        op->value = value;
    }
    leave();
}

struct journal *record_stop(void)
{
    enter();
    struct journal *journal = recorder.journal;
    ASSERT(journal != NULL);
    recorder.journal = NULL;
    for (uint32_t i = 0; i < recorder.live_capacity; i++) {
        dir_names_free(&recorder.live[i]);
    }
    mem_free(recorder.live);
    recorder.live = NULL;
    recorder.live_capacity = 0;
    leave();
    return journal;
}

void record_on_exit(void (*fn)(int status))
{
    recorder.on_exit = fn;
}

/* ---- the names of libc ---- */

static int open_any(const char *path, int flags, mode_t mode)
{
    struct stat info;
    enter();
    bool inside = is_inside(path);
    bool is_new = inside && (flags & O_CREAT) != 0 && lstat(path, &info) != 0;
    int fd = (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
    int saved = errno;
    if (fd >= 0 && fd < FDS_MAX) {
        recorder.fd_node[fd] = 0;
        if (inside) {
            if (is_new) {
                link_add(path, false);
            }
            uint32_t node = node_of(path);
            ASSERT(node != NODE_NONE);
            if (!is_new && (flags & O_TRUNC) != 0) {
                struct op *op = journal_op_add(recorder.journal, OP_TRUNCATE);
                op->node = node;
            }
            ASSERT((flags & O_APPEND) == 0);
            recorder.fd_node[fd] = node + 1;
            recorder.fd_offset[fd] = 0;
            recorder.fd_dsync[fd] = (flags & O_DSYNC) != 0;
        }
    }
    leave();
    errno = saved;
    return fd;
}

#define OPEN_BODY(path, flags)                                                                     \
    mode_t mode = 0;                                                                               \
    if (((flags)&O_CREAT) != 0) {                                                                  \
        va_list args;                                                                              \
        va_start(args, flags);                                                                     \
        mode = va_arg(args, mode_t);                                                               \
        va_end(args);                                                                              \
    }                                                                                              \
    return open_any(path, flags, mode);

int open(const char *path, int flags, ...)
{
    OPEN_BODY(path, flags)
}

int open64(const char *path, int flags, ...)
{
    OPEN_BODY(path, flags)
}

int __open_2(const char *path, int flags);
int __open_2(const char *path, int flags)
{
    return open_any(path, flags, 0);
}

int __open64_2(const char *path, int flags);
int __open64_2(const char *path, int flags)
{
    return open_any(path, flags, 0);
}

int close(int fd)
{
    enter();
    if (fd >= 0 && fd < FDS_MAX) {
        recorder.fd_node[fd] = 0;
    }
    leave();
    return (int)syscall(SYS_close, fd);
}

/* Whether writes to fd are to be noted; with the lock held. */
static bool is_recorded(int fd)
{
    return recorder.journal != NULL && fd >= 0 && fd < FDS_MAX && recorder.fd_node[fd] != 0;
}

/* With the lock held: bytes that the kernel has taken. */
static void write_add(int fd, const void *data, size_t size, uint64_t offset)
{
    struct op *op = journal_op_add(recorder.journal, OP_WRITE);
    op->node = recorder.fd_node[fd] - 1;
    op->offset = offset;
    op->size = size;
    op->data = mem_dup(data, size);
    if (recorder.fd_dsync[fd]) {
        op = journal_op_add(recorder.journal, OP_SYNC_RANGE);
        op->node = recorder.fd_node[fd] - 1;
        op->offset = offset;
        op->size = size;
    }
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t offset)
{
    enter();
    ssize_t done = syscall(SYS_pwrite64, fd, data, size, offset);
    int saved = errno;
    if (done > 0 && is_recorded(fd)) {
        write_add(fd, data, (size_t)done, (uint64_t)offset);
    }
    leave();
    errno = saved;
    return done;
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t offset)
{
    return pwrite(fd, data, size, offset);
}

ssize_t write(int fd, const void *data, size_t size)
{
    enter();
    bool recorded = is_recorded(fd);
    uint64_t offset = recorded ? (uint64_t)syscall(SYS_lseek, fd, 0, SEEK_CUR) : 0;
    if (!recorded) {
        leave(); /* a pipe may wait: nobody else must */
        return syscall(SYS_write, fd, data, size);
    }
    ssize_t done = syscall(SYS_write, fd, data, size);
    int saved = errno;
    if (done > 0) {
        write_add(fd, data, (size_t)done, offset);
    }
    leave();
    errno = saved;
    return done;
}

static void vector_add(int fd, const struct iovec *vector, int count, size_t done, uint64_t offset)
{
    for (int i = 0; i < count && done > 0; i++) {
        size_t part = BASE_MIN(done, vector[i].iov_len);
        write_add(fd, vector[i].iov_base, part, offset);
        offset += part;
        done -= part;
    }
}

ssize_t writev(int fd, const struct iovec *vector, int count)
{
    enter();
    bool recorded = is_recorded(fd);
    uint64_t offset = recorded ? (uint64_t)syscall(SYS_lseek, fd, 0, SEEK_CUR) : 0;
    ssize_t done = syscall(SYS_writev, fd, vector, count);
    int saved = errno;
    if (done > 0 && recorded) {
        vector_add(fd, vector, count, (size_t)done, offset);
    }
    leave();
    errno = saved;
    return done;
}

ssize_t pwritev(int fd, const struct iovec *vector, int count, off_t offset)
{
    ssize_t done = 0;
    for (int i = 0; i < count; i++) {
        ssize_t part = pwrite(fd, vector[i].iov_base, vector[i].iov_len, offset + done);
        if (part < 0) {
            return done > 0 ? done : part;
        }
        done += part;
    }
    return done;
}

static int sync_any(int fd, long call)
{
    enter();
    int rc = (int)syscall(call, fd);
    int saved = errno;
    if (rc == 0 && is_recorded(fd)) {
        uint32_t node = recorder.fd_node[fd] - 1;
        bool is_dir = recorder.journal->nodes[node].is_dir;
        journal_op_add(recorder.journal, is_dir ? OP_SYNC_DIR : OP_SYNC)->node = node;
    }
    leave();
    errno = saved;
    return rc;
}

int fsync(int fd)
{
    return sync_any(fd, SYS_fsync);
}

int fdatasync(int fd)
{
    return sync_any(fd, SYS_fdatasync);
}

int ftruncate(int fd, off_t size)
{
    enter();
    int rc = (int)syscall(SYS_ftruncate, fd, size);
    int saved = errno;
    if (rc == 0 && is_recorded(fd)) {
        struct op *op = journal_op_add(recorder.journal, OP_TRUNCATE);
        op->node = recorder.fd_node[fd] - 1;
        op->offset = (uint64_t)size;
    }
    leave();
    errno = saved;
    return rc;
}

int ftruncate64(int fd, off64_t size)
{
    return ftruncate(fd, size);
}

int rename(const char *from, const char *to)
{
    enter();
    int rc = (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
    int saved = errno;
    if (rc == 0 && is_inside(from)) {
        rename_add(from, to);
    }
    leave();
    errno = saved;
    return rc;
}

static int unlink_any(const char *path, int flags)
{
    enter();
    int rc = (int)syscall(SYS_unlinkat, AT_FDCWD, path, flags);
    int saved = errno;
    if (rc == 0 && is_inside(path)) {
        unlink_add(path);
    }
    leave();
    errno = saved;
    return rc;
}

int unlink(const char *path)
{
    return unlink_any(path, 0);
}

int rmdir(const char *path)
{
    return unlink_any(path, AT_REMOVEDIR);
}

int remove(const char *path)
{
    int rc = unlink_any(path, 0);
    return rc != 0 && errno == EISDIR ? unlink_any(path, AT_REMOVEDIR) : rc;
}

int mkdir(const char *path, mode_t mode)
{
    enter();
    int rc = (int)syscall(SYS_mkdirat, AT_FDCWD, path, mode);
    int saved = errno;
    if (rc == 0 && is_inside(path)) {
        link_add(path, true);
    }
    leave();
    errno = saved;
    return rc;
}

/* Memory that is mapped for writing could not be seen: LMDB maps its lock file alone so. */
int msync(void *memory, size_t size, int flags)
{
    ASSERT(recorder.journal == NULL);
    return (int)syscall(SYS_msync, memory, size, flags);
}

void _exit(int status)
{
    if (recorder.on_exit != NULL) {
        recorder.on_exit(status);
    }
    for (;;) {
        (void)syscall(SYS_exit_group, status);
    }
}
