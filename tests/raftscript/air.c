/* SPDX-License-Identifier: Apache-2.0 */
/* The messages on their way: they wait until a command moves them. */
#include "base/alloc.h"
#include "base/assert.h"
#include "tests/raftscript/script.h"

static bool filter_takes(const struct script_filter *filter, const struct script_flying *flying)
{
    const struct raft_message *message = &flying->message;
    return (filter->from == 0 || filter->from == flying->sender) &&
           (filter->to == 0 || filter->to == message->to) &&
           (filter->type < 0 || filter->type == (int)message->type) &&
           (filter->receivers == 0 || (filter->receivers >> message->to & 1u) != 0);
}

/* Moves what the filter takes out of the air, in its order; gives how many. */
static uint32_t air_take(struct script *script, const struct script_filter *filter,
                         struct script_flying *taken)
{
    uint32_t count = 0;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < script->air_count; i++) {
        bool enough = filter->only_first != 0 && count == filter->only_first;
        if (!enough && filter_takes(filter, &script->air[i])) {
            taken[count++] = script->air[i];
        } else {
            script->air[kept++] = script->air[i];
        }
    }
    script->air_count = kept;
    return count;
}

static void air_say(struct script *script, const char *before, const struct script_flying *flying)
{
    struct buf text;
    buf_init(&text, BUF_NO_LIMIT);
    script_print_message(&text, flying->sender, &flying->message);
    script_say(script, "%s%s", before, buf_cstr(&text));
    buf_free(&text);
}

static void air_put(struct script *script, const struct script_flying *flying)
{
    ASSERT(script->air_count < SCRIPT_AIR_MAX);
    script->air[script->air_count++] = *flying;
}

void script_send(struct script *script, uint64_t sender, struct raft_message *message)
{
    struct script_flying flying = {.sender = sender, .message = *message};
    bool known = message->to <= SCRIPT_NODES_MAX && script->nodes[message->to].id != 0;
    bool lost = !known || script->cut[sender][message->to];
    air_say(script, lost ? "  (lost) " : "  ", &flying);
    if (!script->no_laws) {
        raft_invariants_sent(script->invariants, message);
    }
    if (lost) {
        raft_message_clear(&flying.message);
    } else {
        air_put(script, &flying);
    }
    *message = (struct raft_message){0};
}

uint32_t script_deliver(struct script *script, const struct script_filter *filter, bool say)
{
    static struct script_flying taken[SCRIPT_AIR_MAX];
    uint32_t count = air_take(script, filter, taken);
    for (uint32_t i = 0; i < count; i++) {
        struct script_node *to = &script->nodes[taken[i].message.to];
        if (say) {
            air_say(script, to->raft == NULL ? "(nobody there) " : "", &taken[i]);
        }
        if (to->raft != NULL) {
            raft_step(to->raft, &taken[i].message);
            script_check(script, to);
        } else {
            raft_message_clear(&taken[i].message);
        }
    }
    return count;
}

void script_drop(struct script *script, const struct script_filter *filter)
{
    static struct script_flying taken[SCRIPT_AIR_MAX];
    uint32_t count = air_take(script, filter, taken);
    for (uint32_t i = 0; i < count; i++) {
        air_say(script, "dropped ", &taken[i]);
        raft_message_clear(&taken[i].message);
    }
}

static struct raft_message message_copy(const struct raft_message *message)
{
    struct raft_message copy = *message;
    copy.entries = NULL;
    if (message->entry_count > 0) {
        copy.entries = mem_dup(message->entries, message->entry_count * sizeof(*message->entries));
        for (uint32_t i = 0; i < copy.entry_count; i++) {
            raft_payload_ref(copy.entries[i].payload);
        }
    }
    if (message->snapshot != NULL) {
        copy.snapshot = mem_dup(message->snapshot, sizeof(*message->snapshot));
    }
    raft_payload_ref(copy.snapshot_data);
    return copy;
}

void script_duplicate(struct script *script, const struct script_filter *filter)
{
    uint32_t before = script->air_count;
    uint64_t count = 0;
    for (uint32_t i = 0; i < before; i++) {
        bool enough = filter->only_first != 0 && count == filter->only_first;
        if (!enough && filter_takes(filter, &script->air[i])) {
            struct script_flying again = script->air[i];
            again.message = message_copy(&script->air[i].message);
            air_say(script, "again ", &again);
            air_put(script, &again);
            count++;
        }
    }
}

void script_reverse(struct script *script, const struct script_filter *filter)
{
    static struct script_flying taken[SCRIPT_AIR_MAX];
    uint32_t count = air_take(script, filter, taken);
    for (uint32_t i = count; i > 0; i--) {
        air_put(script, &taken[i - 1]);
        air_say(script, "", &taken[i - 1]);
    }
}

void script_list(struct script *script)
{
    for (uint32_t i = 0; i < script->air_count; i++) {
        air_say(script, "", &script->air[i]);
    }
}

#define STABILIZE_ROUNDS_MAX 100u

void script_stabilize(struct script *script, uint64_t receivers)
{
    struct script_filter filter = {.type = -1, .receivers = receivers};
    for (uint32_t round = 0; round < STABILIZE_ROUNDS_MAX; round++) {
        bool any = false;
        for (uint32_t id = 1; id <= SCRIPT_NODES_MAX; id++) {
            struct script_node *node = &script->nodes[id];
            if (node->raft != NULL && (receivers == 0 || (receivers >> id & 1u) != 0)) {
                any = script_ready(script, node) || any;
            }
        }
        any = script_deliver(script, &filter, false) != 0 || any;
        if (!any) {
            return;
        }
    }
    script_say(script, "error: no end after %u rounds", STABILIZE_ROUNDS_MAX);
}
