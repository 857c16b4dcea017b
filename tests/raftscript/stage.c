/* SPDX-License-Identifier: Apache-2.0 */
/* The members of a script: effects, disk, state machine (see script.h). */
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "tests/raftscript/script.h"

struct script *script_new(void)
{
    struct script *script = mem_zalloc(sizeof(*script));
    script->invariants = raft_invariants_new();
    buf_init(&script->out, BUF_NO_LIMIT);
    return script;
}

static void entries_release(struct raft_entry *entries, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        raft_payload_unref(entries[i].payload);
    }
}

static void ops_drop(struct script_node *node, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        entries_release(node->ops[i].entries, node->ops[i].entry_count);
        mem_free(node->ops[i].entries);
    }
    node->op_count -= count;
    memmove(node->ops, node->ops + count, node->op_count * sizeof(node->ops[0]));
}

void script_disk_cut(struct script_disk *disk, uint32_t keep)
{
    if (keep < disk->entry_count) {
        entries_release(disk->entries + keep, disk->entry_count - keep);
        disk->entry_count = keep;
    }
}

static void to_apply_drop(struct script_node *node)
{
    entries_release(node->to_apply, node->to_apply_count);
    node->to_apply_count = 0;
}

void script_free(struct script *script)
{
    for (uint32_t id = 1; id <= SCRIPT_NODES_MAX; id++) {
        struct script_node *node = &script->nodes[id];
        raft_free(node->raft);
        ops_drop(node, node->op_count);
        to_apply_drop(node);
        script_disk_cut(&node->disk, 0);
    }
    for (uint32_t i = 0; i < script->air_count; i++) {
        raft_message_clear(&script->air[i].message);
    }
    raft_invariants_free(script->invariants);
    buf_free(&script->out);
    mem_free(script);
}

void script_say(struct script *script, const char *format, ...)
{
    va_list args;
    if (script->quiet) {
        return;
    }
    va_start(args, format);
    char *text = str_vprintf(format, args);
    va_end(args);
    buf_printf(&script->out, "%s\n", text);
    mem_free(text);
}

struct script_node *script_live(struct script *script, uint64_t id)
{
    if (id == 0 || id > SCRIPT_NODES_MAX || script->nodes[id].raft == NULL) {
        script_say(script, "error: node %lu does not run", (unsigned long)id);
        return NULL;
    }
    return &script->nodes[id];
}

void script_check(struct script *script, const struct script_node *node)
{
    if (script->no_laws) {
        return;
    }
    raft_invariants_watch(script->invariants, node->raft);
    const char *failure = raft_invariants_failure(script->invariants);
    if (failure != NULL) {
        script_say(script, "BROKEN RULE: %s", failure);
        script->no_laws = true; /* said once */
    }
}

static void disk_write(struct script *script, struct script_node *node, const struct script_op *op)
{
    struct script_disk *disk = &node->disk;
    if (op->is_install) {
        script_disk_cut(disk, 0);
        disk->mark = op->mark;
        return;
    }
    for (uint32_t i = 0; i < op->entry_count; i++) {
        if (op->entries[i].index <= disk->mark.index) {
            continue;
        }
        uint64_t place = op->entries[i].index - disk->mark.index - 1;
        ASSERT(place <= disk->entry_count && place < SCRIPT_ENTRIES_MAX);
        script_disk_cut(disk, (uint32_t)place);
        disk->entries[disk->entry_count++] = op->entries[i];
        raft_payload_ref(op->entries[i].payload);
    }
    if (op->has_hard_state) {
        disk->hard_state = op->hard_state;
        raft_invariants_durable(script->invariants, node->id, &disk->hard_state);
    }
}

void script_release(struct script *script, struct script_node *node, uint32_t count)
{
    for (; count > 0 && node->op_count > 0; count--) {
        struct script_op *op = &node->ops[0];
        disk_write(script, node, op);
        if (op->is_install) {
            node->applied = op->mark.index;
            node->conf_at[node->applied % SCRIPT_ENTRIES_MAX] = op->mark.conf_state;
            raft_snapshot_installed(node->raft);
        } else {
            raft_persisted(node->raft, op->ticket);
        }
        ops_drop(node, 1);
        script_check(script, node);
    }
}

static struct script_op *op_new(struct script_node *node)
{
    ASSERT(node->op_count < SCRIPT_OPS_MAX);
    struct script_op *op = &node->ops[node->op_count++];
    *op = (struct script_op){0};
    return op;
}

static void ready_persist(struct script *script, struct script_node *node,
                          const struct raft_effects *effects)
{
    const char *verb = node->hold_disk ? "flushing" : "persist";
    struct buf text;
    buf_init(&text, BUF_NO_LIMIT);
    if (effects->install != NULL) {
        struct script_op *op = op_new(node);
        op->is_install = true;
        op->mark = *effects->install;
        script_print_conf(&text, &op->mark.conf_state);
        script_say(script, "  install snapshot %lu/%lu %s", (unsigned long)op->mark.term,
                   (unsigned long)op->mark.index, buf_cstr(&text));
    }
    if (effects->has_persist) {
        struct script_op *op = op_new(node);
        op->ticket = effects->persist_ticket;
        op->has_hard_state = effects->hard_state_changed;
        op->hard_state = effects->hard_state;
        op->entry_count = effects->entry_count;
        op->entries = mem_array(effects->entry_count, sizeof(*op->entries));
        if (op->has_hard_state) {
            script_say(script, "  %s term=%lu vote=%lu commit=%lu%s", verb,
                       (unsigned long)op->hard_state.term, (unsigned long)op->hard_state.vote,
                       (unsigned long)op->hard_state.commit,
                       effects->must_sync ? "" : " (no flush)");
        }
        for (uint32_t i = 0; i < effects->entry_count; i++) {
            op->entries[i] = effects->entries[i];
            raft_payload_ref(op->entries[i].payload);
            buf_clear(&text);
            script_print_entry(&text, &op->entries[i]);
            script_say(script, "  %s %s", verb, buf_cstr(&text));
        }
    }
    buf_free(&text);
}

static void apply_one(struct script *script, struct script_node *node,
                      const struct raft_entry *entry)
{
    struct raft_conf_state conf = node->conf_at[node->applied % SCRIPT_ENTRIES_MAX];
    struct buf text;
    buf_init(&text, BUF_NO_LIMIT);
    script_print_entry(&text, entry);
    if (entry->type != RAFT_ENTRY_NORMAL && entry->payload != NULL) {
        struct raft_conf_change change = {
            .type = (enum raft_conf_change_type)entry->payload->data[0],
            .node_id = entry->payload->data[1],
        };
        raft_apply_conf_change(node->raft, &change, &conf);
        buf_append_str(&text, " -> ");
        script_print_conf(&text, &conf);
    }
    script_say(script, "  apply %s", buf_cstr(&text));
    buf_free(&text);
    node->applied = entry->index;
    node->conf_at[node->applied % SCRIPT_ENTRIES_MAX] = conf;
    if (!script->no_laws) {
        raft_invariants_applied(script->invariants, node->id, entry, &conf);
    }
}

void script_apply(struct script *script, struct script_node *node)
{
    if (node->to_apply_count == 0) {
        return;
    }
    for (uint32_t i = 0; i < node->to_apply_count; i++) {
        apply_one(script, node, &node->to_apply[i]);
    }
    to_apply_drop(node);
    raft_applied(node->raft, node->applied);
    script_check(script, node);
}

static void ready_apply(struct script *script, struct script_node *node,
                        const struct raft_effects *effects)
{
    for (uint32_t i = 0; i < effects->committed_count; i++) {
        ASSERT(node->to_apply_count < SCRIPT_ENTRIES_MAX);
        node->to_apply[node->to_apply_count] = effects->committed[i];
        raft_payload_ref(node->to_apply[node->to_apply_count].payload);
        node->to_apply_count++;
    }
    if (!node->hold_apply) {
        script_apply(script, node);
    }
}

static void ready_say_role(struct script *script, const struct script_node *node)
{
    struct raft_status s;
    raft_status(node->raft, &s);
    script_say(script, "  %s term=%lu leader=%lu", raft_role_name(s.role), (unsigned long)s.term,
               (unsigned long)s.leader);
}

bool script_ready(struct script *script, struct script_node *node)
{
    struct raft_effects effects;
    bool any = false;
    while (raft_take_effects(node->raft, &effects)) {
        if (!any) {
            script_say(script, "%lu:", (unsigned long)node->id);
        }
        any = true;
        script_check(script, node);
        if (effects.role_changed) {
            ready_say_role(script, node);
        }
        for (uint32_t i = 0; i < effects.message_now_count; i++) {
            script_send(script, node->id, &effects.messages_now[i]);
        }
        ready_persist(script, node, &effects);
        for (uint32_t i = 0; i < effects.read_count; i++) {
            script_say(script, "  read \"%.*s\" at %lu", (int)effects.reads[i].context_size,
                       (const char *)effects.reads[i].context,
                       (unsigned long)effects.reads[i].index);
        }
        ready_apply(script, node, &effects);
        if (!node->hold_disk) {
            script_release(script, node, node->op_count);
        }
    }
    return any;
}

void script_start(struct script *script, struct script_node *node, bool suspect)
{
    struct raft_config config = node->config;
    const struct script_disk *disk = &node->disk;
    config.suspect = suspect;
    config.hard_state = disk->hard_state;
    config.mark = disk->mark;
    config.entries = disk->entries;
    config.entry_count = disk->entry_count;
    config.applied_index = disk->mark.index;
    node->raft = raft_new(&config);
    node->applied = disk->mark.index;
    node->conf_at[node->applied % SCRIPT_ENTRIES_MAX] = disk->mark.conf_state;
    node->hold_disk = false;
    node->hold_apply = false;
    script_check(script, node);
}

void script_stop(struct script *script, struct script_node *node)
{
    raft_free(node->raft);
    node->raft = NULL;
    ops_drop(node, node->op_count); /* what had not ended is lost */
    to_apply_drop(node);
    raft_invariants_stopped(script->invariants, node->id);
}

void script_compact(struct script *script, struct script_node *node, uint64_t index)
{
    struct script_disk *disk = &node->disk;
    if (index <= disk->mark.index || index > node->applied ||
        index > disk->mark.index + disk->entry_count) {
        script_say(script, "error: %lu is not an applied entry on the disk", (unsigned long)index);
        return;
    }
    raft_compact(node->raft, index);
    uint32_t drop = (uint32_t)(index - disk->mark.index);
    disk->mark.term = disk->entries[drop - 1].term;
    disk->mark.index = index;
    disk->mark.conf_state = node->conf_at[index % SCRIPT_ENTRIES_MAX];
    entries_release(disk->entries, drop);
    disk->entry_count -= drop;
    memmove(disk->entries, disk->entries + drop, disk->entry_count * sizeof(disk->entries[0]));
    script_check(script, node);
}
