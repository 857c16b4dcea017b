/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A journal: everything that a run of the engine and of LMDB did to the files below one folder, in
 * order, and the notes that the scenario left between. Files and folders are numbered nodes, so
 * that a rename moves a name and never bytes. Node 0 is the folder itself.
 */
#ifndef TESTS_CRASH_JOURNAL_H
#define TESTS_CRASH_JOURNAL_H

#include "base/defs.h"

#define NODE_NONE UINT32_MAX

enum op_kind {
    OP_WRITE,      /* node, offset, data */
    OP_TRUNCATE,   /* node, offset: the new size */
    OP_SYNC,       /* node: its bytes and size */
    OP_SYNC_RANGE, /* node, offset, size: a write through an O_DSYNC descriptor has returned */
    OP_SYNC_DIR,   /* node: the names in it */
    OP_LINK,       /* dir, name: a new file or folder, node */
    OP_UNLINK,     /* dir, name */
    OP_RENAME,     /* dir, name to to_name in the same folder */
    OP_NOTE,       /* note, value: what the scenario knows from here on */
};

/* Owns name, to_name and data. */
struct op {
    enum op_kind kind;
    uint32_t node, dir;
    char *name, *to_name;
    uint64_t offset, size;
    uint8_t *data;
    unsigned note;
    uint64_t value;
};

struct dir_name {
    char *name; /* owned */
    uint32_t node;
};

struct dir_names {
    struct dir_name *items;
    uint32_t count, capacity;
};

/* What was there when the recording began; that counts as durable. */
struct node {
    bool is_dir;
    bool is_lock; /* LMDB's table of readers: its bytes mean nothing after a power cut */
    struct dir_names names;
    uint8_t *data;
    uint64_t size;
    char *label; /* the first name that it had, for messages and for planted lies */
};

struct journal {
    struct node *nodes;
    uint32_t node_count, node_capacity;
    struct op *ops;
    uint32_t op_count, op_capacity;
};

struct journal *journal_new(void);
void journal_free(struct journal *journal);
uint32_t journal_node_add(struct journal *journal, bool is_dir, const char *label);

/* Gives a zeroed operation at the end, good until the next one is added. */
struct op *journal_op_add(struct journal *journal, enum op_kind kind);

/* NODE_NONE: there is no such name. */
uint32_t dir_names_find(const struct dir_names *names, const char *name);
void dir_names_set(struct dir_names *names, const char *name, uint32_t node);
void dir_names_remove(struct dir_names *names, const char *name);
void dir_names_copy(struct dir_names *to, const struct dir_names *from);
void dir_names_free(struct dir_names *names);

#endif
