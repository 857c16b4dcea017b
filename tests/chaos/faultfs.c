/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A FUSE file system in memory that can do to a program what disks do: forget what was not synced,
 * fail a sync, be full, be slow, rot. See README.md for the control socket.
 *
 *   faultfs --mount DIR --control SOCKET [--fsync-us N]
 *
 * Nothing is cached by the kernel but file pages, which it drops at each open; so read-only maps
 * and writes of one process agree, and what a power cut took back is read anew.
 */
#define FUSE_USE_VERSION 314

#include <errno.h>
#include <fcntl.h>
#include <fuse3/fuse_lowlevel.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "tests/chaos/faultcontrol.h"

#define DISK_BLOCKS (1u << 20) /* 4 GiB, as statfs tells */

static struct faultctl *ctl_of(fuse_req_t req)
{
    return fuse_req_userdata(req);
}

static struct faultnode *node_of(struct faultctl *ctl, fuse_ino_t ino)
{
    return ino == FUSE_ROOT_ID ? ctl->disk.root : (struct faultnode *)(uintptr_t)ino;
}

static fuse_ino_t ino_of(struct faultctl *ctl, const struct faultnode *node)
{
    return node == ctl->disk.root ? FUSE_ROOT_ID : (fuse_ino_t)(uintptr_t)node;
}

static struct stat stat_of(const struct faultnode *node)
{
    struct timespec time = {.tv_sec = (time_t)(node->changed_ns / 1000000000u),
                            .tv_nsec = (long)(node->changed_ns % 1000000000u)};
    return (struct stat){.st_ino = node->number,
                         .st_mode = node->mode,
                         .st_nlink = node->is_folder ? 2 : 1,
                         .st_uid = getuid(),
                         .st_gid = getgid(),
                         .st_size = (off_t)node->size,
                         .st_blksize = FAULTDISK_PAGE,
                         .st_blocks = (blkcnt_t)((node->size + 511) / 512),
                         .st_atim = time,
                         .st_mtim = time,
                         .st_ctim = time};
}

/* The answer to a lookup; the kernel then refers to the node. */
static struct fuse_entry_param entry_of(struct faultctl *ctl, struct faultnode *node)
{
    faultnode_ref(node);
    return (struct fuse_entry_param){.ino = ino_of(ctl, node), .attr = stat_of(node)};
}

static void fs_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    struct faultctl *ctl = ctl_of(req);
    pthread_mutex_lock(&ctl->lock);
    struct faultnode *node = faultdisk_find(node_of(ctl, parent), name);
    struct fuse_entry_param entry = {0};
    if (node != NULL) {
        entry = entry_of(ctl, node);
    }
    pthread_mutex_unlock(&ctl->lock);
    if (node == NULL) {
        fuse_reply_err(req, ENOENT);
    } else {
        fuse_reply_entry(req, &entry);
    }
}

static void fs_forget(fuse_req_t req, fuse_ino_t ino, uint64_t count)
{
    struct faultctl *ctl = ctl_of(req);
    pthread_mutex_lock(&ctl->lock);
    if (ino != FUSE_ROOT_ID) {
        faultnode_unref(&ctl->disk, node_of(ctl, ino), count);
    }
    pthread_mutex_unlock(&ctl->lock);
    fuse_reply_none(req);
}

static void fs_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct faultctl *ctl = ctl_of(req);
    (void)fi;
    pthread_mutex_lock(&ctl->lock);
    struct stat attr = stat_of(node_of(ctl, ino));
    pthread_mutex_unlock(&ctl->lock);
    fuse_reply_attr(req, &attr, 0);
}

static void fs_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *wanted, int what,
                       struct fuse_file_info *fi)
{
    struct faultctl *ctl = ctl_of(req);
    int rc = 0;
    (void)fi;
    pthread_mutex_lock(&ctl->lock);
    struct faultnode *node = node_of(ctl, ino);
    if ((what & FUSE_SET_ATTR_SIZE) != 0) {
        rc = faultdisk_truncate(&ctl->disk, node, (uint64_t)wanted->st_size);
    }
    if ((what & FUSE_SET_ATTR_MODE) != 0) {
        node->mode = (node->mode & (mode_t)S_IFMT) | (wanted->st_mode & 07777);
    }
    struct stat attr = stat_of(node);
    pthread_mutex_unlock(&ctl->lock);
    if (rc != 0) {
        fuse_reply_err(req, -rc);
    } else {
        fuse_reply_attr(req, &attr, 0);
    }
}

/* Makes a file or a folder; 0 or a negative errno. */
static int make(struct faultctl *ctl, fuse_ino_t parent, const char *name, mode_t mode,
                struct fuse_entry_param *out_entry)
{
    struct faultnode *node = NULL;
    pthread_mutex_lock(&ctl->lock);
    int rc = faultdisk_make(&ctl->disk, node_of(ctl, parent), name, mode, &node);
    if (rc == 0) {
        *out_entry = entry_of(ctl, node);
    }
    pthread_mutex_unlock(&ctl->lock);
    return rc;
}

static void fs_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
    struct fuse_entry_param entry;
    int rc = make(ctl_of(req), parent, name, S_IFDIR | (mode & 07777), &entry);
    if (rc != 0) {
        fuse_reply_err(req, -rc);
    } else {
        fuse_reply_entry(req, &entry);
    }
}

static void fs_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
                      struct fuse_file_info *fi)
{
    struct fuse_entry_param entry;
    int rc = make(ctl_of(req), parent, name, S_IFREG | (mode & 07777), &entry);
    if (rc != 0) {
        fuse_reply_err(req, -rc);
    } else {
        fuse_reply_create(req, &entry, fi);
    }
}

static void fs_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    struct faultctl *ctl = ctl_of(req);
    pthread_mutex_lock(&ctl->lock);
    int rc = faultdisk_unlink(&ctl->disk, node_of(ctl, parent), name);
    pthread_mutex_unlock(&ctl->lock);
    fuse_reply_err(req, -rc);
}

static void fs_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    struct faultctl *ctl = ctl_of(req);
    pthread_mutex_lock(&ctl->lock);
    int rc = faultdisk_rmdir(&ctl->disk, node_of(ctl, parent), name);
    pthread_mutex_unlock(&ctl->lock);
    fuse_reply_err(req, -rc);
}

static void fs_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t new_parent,
                      const char *new_name, unsigned flags)
{
    struct faultctl *ctl = ctl_of(req);
    if (flags != 0) {
        fuse_reply_err(req, EINVAL);
        return;
    }
    pthread_mutex_lock(&ctl->lock);
    int rc = faultdisk_rename(&ctl->disk, node_of(ctl, parent), name, node_of(ctl, new_parent),
                              new_name);
    pthread_mutex_unlock(&ctl->lock);
    fuse_reply_err(req, -rc);
}

static void fs_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    (void)ino;
    fuse_reply_open(req, fi);
}

static void fs_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t at,
                    struct fuse_file_info *fi)
{
    struct faultctl *ctl = ctl_of(req);
    uint8_t *data = mem_alloc(size);
    (void)fi;
    pthread_mutex_lock(&ctl->lock);
    size_t got = faultdisk_read(node_of(ctl, ino), (uint64_t)at, data, size);
    pthread_mutex_unlock(&ctl->lock);
    fuse_reply_buf(req, (const char *)data, got);
    mem_free(data);
}

static void fs_write(fuse_req_t req, fuse_ino_t ino, const char *data, size_t size, off_t at,
                     struct fuse_file_info *fi)
{
    struct faultctl *ctl = ctl_of(req);
    pthread_mutex_lock(&ctl->lock);
    struct faultnode *file = node_of(ctl, ino);
    int rc = faultctl_before_write(ctl, file);
    if (rc == 0) {
        rc = faultdisk_write(&ctl->disk, file, (uint64_t)at, data, size);
    }
    if (rc == 0 && (fi->flags & O_DSYNC) != 0) {
        rc = faultctl_sync(ctl, file, (uint64_t)at, size);
    }
    pthread_mutex_unlock(&ctl->lock);
    if (rc != 0) {
        fuse_reply_err(req, -rc);
    } else {
        fuse_reply_write(req, size);
    }
}

static void fs_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
    struct faultctl *ctl = ctl_of(req);
    (void)datasync;
    (void)fi;
    pthread_mutex_lock(&ctl->lock);
    int rc = faultctl_sync(ctl, node_of(ctl, ino), 0, 0);
    pthread_mutex_unlock(&ctl->lock);
    fuse_reply_err(req, -rc);
}

static void fs_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t at, off_t size,
                         struct fuse_file_info *fi)
{
    struct faultctl *ctl = ctl_of(req);
    (void)fi;
    if (mode != 0) {
        fuse_reply_err(req, EOPNOTSUPP);
        return;
    }
    pthread_mutex_lock(&ctl->lock);
    int rc = faultdisk_reserve(&ctl->disk, node_of(ctl, ino), (uint64_t)at, (uint64_t)size);
    pthread_mutex_unlock(&ctl->lock);
    fuse_reply_err(req, -rc);
}

/* Names at offset `at` and on, into a buffer of size bytes; how much of it was used. */
static size_t list_names(fuse_req_t req, struct faultnode *folder, char *out, size_t size, off_t at)
{
    size_t used = 0;
    off_t position = 0;
    LIST_EACH(it, &folder->names)
    {
        const struct faultname *name = LIST_ENTRY(it, struct faultname, node);
        struct stat attr = stat_of(name->target);
        if (position++ < at) {
            continue;
        }
        size_t needed =
            fuse_add_direntry(req, out + used, size - used, name->name, &attr, position);
        if (needed > size - used) {
            break;
        }
        used += needed;
    }
    return used;
}

static void fs_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t at,
                       struct fuse_file_info *fi)
{
    struct faultctl *ctl = ctl_of(req);
    char *out = mem_alloc(size);
    (void)fi;
    pthread_mutex_lock(&ctl->lock);
    size_t used = list_names(req, node_of(ctl, ino), out, size, at);
    pthread_mutex_unlock(&ctl->lock);
    fuse_reply_buf(req, out, used);
    mem_free(out);
}

static void fs_statfs(fuse_req_t req, fuse_ino_t ino)
{
    struct faultctl *ctl = ctl_of(req);
    (void)ino;
    pthread_mutex_lock(&ctl->lock);
    uint64_t left = ctl->disk.is_full || ctl->disk.used_pages > DISK_BLOCKS
                        ? 0
                        : DISK_BLOCKS - ctl->disk.used_pages;
    pthread_mutex_unlock(&ctl->lock);
    struct statvfs out = {.f_bsize = FAULTDISK_PAGE,
                          .f_frsize = FAULTDISK_PAGE,
                          .f_blocks = DISK_BLOCKS,
                          .f_bfree = left,
                          .f_bavail = left,
                          .f_files = DISK_BLOCKS,
                          .f_ffree = left,
                          .f_namemax = 255};
    fuse_reply_statfs(req, &out);
}

static const struct fuse_lowlevel_ops operations = {
    .lookup = fs_lookup,
    .forget = fs_forget,
    .getattr = fs_getattr,
    .setattr = fs_setattr,
    .mkdir = fs_mkdir,
    .create = fs_create,
    .unlink = fs_unlink,
    .rmdir = fs_rmdir,
    .rename = fs_rename,
    .open = fs_open,
    .read = fs_read,
    .write = fs_write,
    .fsync = fs_fsync,
    .opendir = fs_open,
    .readdir = fs_readdir,
    .fsyncdir = fs_fsync,
    .statfs = fs_statfs,
    .fallocate = fs_fallocate,
};

/* The kernel forgets the pages that it holds of a file. */
static void forget_pages(void *ctx, struct faultctl *ctl, const struct faultnode *node)
{
    fuse_lowlevel_notify_inval_inode(ctx, ino_of(ctl, node), 0, 0);
}

static int serve(struct faultctl *ctl, const char *folder)
{
    char *words[] = {(char *)(uintptr_t) "faultfs", (char *)(uintptr_t) "-o",
                     (char *)(uintptr_t) "fsname=faultfs,default_permissions,allow_other"};
    struct fuse_args args = FUSE_ARGS_INIT(3, words);
    struct fuse_session *session = fuse_session_new(&args, &operations, sizeof(operations), ctl);
    if (session == NULL || fuse_set_signal_handlers(session) != 0 ||
        fuse_session_mount(session, folder) != 0) {
        fprintf(stderr, "faultfs: could not mount on %s\n", folder);
        return 1;
    }
    if (faultctl_listen(ctl, forget_pages, session) != 0) {
        fprintf(stderr, "faultfs: %s: %s\n", ctl->socket_path, strerror(errno));
        fuse_session_unmount(session);
        return 1;
    }
    struct fuse_loop_config *config = fuse_loop_cfg_create();
    fuse_loop_cfg_set_clone_fd(config, 0);
    int rc = fuse_session_loop_mt(session, config);
    fuse_loop_cfg_destroy(config);
    fuse_session_unmount(session);
    unlink(ctl->socket_path);
    return rc < 0 ? 1 : 0;
}

int main(int argc, char **argv)
{
    static struct faultctl ctl; /* threads of FUSE and of the socket use it to the very end */
    const char *folder = NULL;
    const char *socket_path = NULL;
    long fsync_us = 0;
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--mount") == 0) {
            folder = argv[i + 1];
        } else if (strcmp(argv[i], "--control") == 0) {
            socket_path = argv[i + 1];
        } else if (strcmp(argv[i], "--fsync-us") == 0) {
            fsync_us = strtol(argv[i + 1], NULL, 10);
        } else {
            folder = NULL;
            break;
        }
    }
    if (folder == NULL || socket_path == NULL || fsync_us < 0) {
        fprintf(stderr, "usage: faultfs --mount DIR --control SOCKET [--fsync-us N]\n");
        return 2;
    }
    faultctl_init(&ctl, socket_path, (uint64_t)fsync_us);
    return serve(&ctl, folder);
}
