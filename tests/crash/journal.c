/* SPDX-License-Identifier: Apache-2.0 */
/* Journals and lists of names. */
#include "tests/crash/journal.h"

#include <string.h>

#include "base/alloc.h"

struct journal *journal_new(void)
{
    struct journal *journal = mem_zalloc(sizeof(*journal));
    (void)journal_node_add(journal, true, "");
    return journal;
}

void journal_free(struct journal *journal)
{
    for (uint32_t i = 0; i < journal->node_count; i++) {
        dir_names_free(&journal->nodes[i].names);
        mem_free(journal->nodes[i].data);
        mem_free(journal->nodes[i].label);
    }
    for (uint32_t i = 0; i < journal->op_count; i++) {
        mem_free(journal->ops[i].name);
        mem_free(journal->ops[i].to_name);
        mem_free(journal->ops[i].data);
    }
    mem_free(journal->nodes);
    mem_free(journal->ops);
    mem_free(journal);
}

uint32_t journal_node_add(struct journal *journal, bool is_dir, const char *label)
{
    if (journal->node_count == journal->node_capacity) {
        journal->node_capacity = journal->node_capacity == 0 ? 64 : journal->node_capacity * 2;
        journal->nodes =
            mem_realloc(journal->nodes, journal->node_capacity * sizeof(*journal->nodes));
    }
    journal->nodes[journal->node_count] = (struct node){
        .is_dir = is_dir, .is_lock = str_ends_with(label, "-lock"), .label = str_dup(label)};
    return journal->node_count++;
}

struct op *journal_op_add(struct journal *journal, enum op_kind kind)
{
    if (journal->op_count == journal->op_capacity) {
        journal->op_capacity = journal->op_capacity == 0 ? 256 : journal->op_capacity * 2;
        journal->ops = mem_realloc(journal->ops, journal->op_capacity * sizeof(*journal->ops));
    }
    struct op *op = &journal->ops[journal->op_count++];
    *op = (struct op){.kind = kind, .node = NODE_NONE, .dir = NODE_NONE};
    return op;
}

static uint32_t place_of(const struct dir_names *names, const char *name)
{
    uint32_t at = 0;
    while (at < names->count && strcmp(names->items[at].name, name) != 0) {
        at++;
    }
    return at;
}

uint32_t dir_names_find(const struct dir_names *names, const char *name)
{
    uint32_t at = place_of(names, name);
    return at == names->count ? NODE_NONE : names->items[at].node;
}

void dir_names_set(struct dir_names *names, const char *name, uint32_t node)
{
    uint32_t at = place_of(names, name);
    if (at < names->count) {
        names->items[at].node = node;
        return;
    }
    if (names->count == names->capacity) {
        names->capacity = names->capacity == 0 ? 8 : names->capacity * 2;
        names->items = mem_realloc(names->items, names->capacity * sizeof(*names->items));
    }
    names->items[names->count++] = (struct dir_name){str_dup(name), node};
}

void dir_names_remove(struct dir_names *names, const char *name)
{
    uint32_t at = place_of(names, name);
    if (at < names->count) {
        mem_free(names->items[at].name);
        names->items[at] = names->items[--names->count];
    }
}

void dir_names_copy(struct dir_names *to, const struct dir_names *from)
{
    *to = (struct dir_names){0};
    for (uint32_t i = 0; i < from->count; i++) {
        dir_names_set(to, from->items[i].name, from->items[i].node);
    }
}

void dir_names_free(struct dir_names *names)
{
    for (uint32_t i = 0; i < names->count; i++) {
        mem_free(names->items[i].name);
    }
    mem_free(names->items);
    *names = (struct dir_names){0};
}
