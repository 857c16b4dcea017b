/* SPDX-License-Identifier: Apache-2.0 */
/* How things read in a script. Entries and places in a log are term/index, as in etcd's tests. */
#include <stdio.h>

#include "base/alloc.h"
#include "tests/raftscript/script.h"

#define LU(number)         ((unsigned long)(number))
#define TEXT_SHOWN_MAX     24u
#define SUSPECT_TAG        "suspect:"
#define SUSPECT_TAG_LENGTH 8u

static const char *const CHANGE_NAMES[] = {"add-voter", "remove", "update", "add-learner"};

void script_print_entry(struct buf *out, const struct raft_entry *entry)
{
    if (entry->index != 0) {
        buf_printf(out, "%lu/%lu ", LU(entry->term), LU(entry->index));
    }
    if (entry->type != RAFT_ENTRY_NORMAL && entry->payload != NULL) {
        buf_printf(out, "%s %u", CHANGE_NAMES[entry->payload->data[0] % ARRAY_COUNT(CHANGE_NAMES)],
                   entry->payload->data[1]);
        return;
    }
    struct bytes bytes = raft_entry_bytes(entry);
    if (bytes.size > TEXT_SHOWN_MAX) {
        buf_printf(out, "(%zu bytes)", bytes.size);
    } else {
        buf_printf(out, "\"%.*s\"", (int)bytes.size, (const char *)bytes.data);
    }
}

static void print_ids(struct buf *out, const uint64_t *ids, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        buf_printf(out, "%s%lu", i == 0 ? "" : ",", LU(ids[i]));
    }
}

void script_print_conf(struct buf *out, const struct raft_conf_state *conf)
{
    buf_append_str(out, "voters=");
    print_ids(out, conf->voters, conf->voter_count);
    if (conf->learner_count > 0) {
        buf_append_str(out, " learners=");
        print_ids(out, conf->learners, conf->learner_count);
    }
}

static void print_context(struct buf *out, const struct raft_message *message)
{
    bool is_beat = message->type == RAFT_MSG_HEARTBEAT || message->type == RAFT_MSG_HEARTBEAT_RESP;
    if (message->context_size == 0) {
        return;
    }
    if (is_beat && message->context_size == sizeof(uint64_t)) {
        buf_printf(out, " round=%lu", LU(get_be64(message->context)));
    } else if (message->context_size > SUSPECT_TAG_LENGTH &&
               memcmp(message->context, SUSPECT_TAG, SUSPECT_TAG_LENGTH) == 0) {
        buf_append_str(out, " \"suspect:...\"");
    } else {
        buf_printf(out, " \"%.*s\"", (int)message->context_size, (const char *)message->context);
    }
}

static void print_entries(struct buf *out, const struct raft_message *message)
{
    buf_append_str(out, " [");
    for (uint32_t i = 0; i < message->entry_count; i++) {
        buf_append_str(out, i == 0 ? "" : ", ");
        script_print_entry(out, &message->entries[i]);
    }
    buf_append_str(out, "]");
}

static void print_append_answer(struct buf *out, const struct raft_message *message)
{
    if (message->reject) {
        buf_printf(out, " rejects %lu, may agree at %lu/%lu", LU(message->index),
                   LU(message->log_term), LU(message->reject_hint));
    } else {
        buf_printf(out, " has %lu", LU(message->index));
    }
}

void script_print_message(struct buf *out, uint64_t sender, const struct raft_message *message)
{
    buf_printf(out, "%lu->%lu %s", LU(sender), LU(message->to), raft_message_name(message->type));
    if (message->term != 0) {
        buf_printf(out, " term=%lu", LU(message->term));
    }
    if (message->from != sender) {
        buf_printf(out, " from=%lu", LU(message->from));
    }
    switch (message->type) {
    case RAFT_MSG_VOTE:
    case RAFT_MSG_PRE_VOTE:
        buf_printf(out, " log=%lu/%lu", LU(message->log_term), LU(message->index));
        break;
    case RAFT_MSG_VOTE_RESP:
    case RAFT_MSG_PRE_VOTE_RESP:
        buf_append_str(out, message->reject ? " no" : " yes");
        break;
    case RAFT_MSG_APP:
        buf_printf(out, " after=%lu/%lu commit=%lu", LU(message->log_term), LU(message->index),
                   LU(message->commit));
        print_entries(out, message);
        break;
    case RAFT_MSG_APP_RESP:
        print_append_answer(out, message);
        break;
    case RAFT_MSG_HEARTBEAT:
        buf_printf(out, " commit=%lu", LU(message->commit));
        break;
    case RAFT_MSG_READ_INDEX_RESP:
        buf_printf(out, " index=%lu", LU(message->index));
        break;
    case RAFT_MSG_PROP:
        print_entries(out, message);
        break;
    case RAFT_MSG_SNAP:
        buf_printf(out, " state=%lu/%lu ", LU(message->snapshot->term),
                   LU(message->snapshot->index));
        script_print_conf(out, &message->snapshot->conf_state);
        break;
    default:
        break;
    }
    print_context(out, message);
}

void script_print_status(struct script *script, const struct script_node *node)
{
    struct raft_status s;
    raft_status(node->raft, &s);
    script_say(script, "%lu: %s term=%lu vote=%lu leader=%lu commit=%lu applied=%lu%s%s%s",
               LU(node->id), raft_role_name(s.role), LU(s.term), LU(s.vote), LU(s.leader),
               LU(s.commit_index), LU(s.applied_index), s.suspect ? " suspect" : "",
               s.transfer_target != 0 ? " hands over" : "",
               raft_has_pending_conf_change(node->raft) ? " change pending" : "");
}

void script_print_log(struct script *script, const struct script_node *node)
{
    struct raft_status s;
    struct buf text;
    raft_status(node->raft, &s);
    buf_init(&text, BUF_NO_LIMIT);
    if (s.first_index > 1) {
        script_say(script, "%lu/%lu (compacted)", LU(raft_term_of(node->raft, s.first_index - 1)),
                   LU(s.first_index - 1));
    }
    for (uint64_t i = s.first_index; i <= s.last_index; i++) {
        buf_clear(&text);
        script_print_entry(&text, raft_entry_of(node->raft, i));
        script_say(script, "%s%s%s", buf_cstr(&text), i <= s.commit_index ? "" : " uncommitted",
                   i <= s.persisted_index ? "" : " unflushed");
    }
    if (s.last_index == 0) {
        script_say(script, "empty");
    }
    buf_free(&text);
}

void script_print_progress(struct script *script, const struct script_node *node)
{
    static const char *const STATES[] = {"probe", "replicate", "snapshot"};
    struct raft_conf_state conf;
    struct raft_progress_status progress;
    struct buf text;
    buf_init(&text, BUF_NO_LIMIT);
    raft_conf_state(node->raft, &conf);
    script_print_conf(&text, &conf);
    script_say(script, "%s", buf_cstr(&text));
    buf_free(&text);
    for (uint64_t id = 1; id <= SCRIPT_NODES_MAX; id++) {
        if (raft_progress_of(node->raft, id, &progress) == 0) {
            bool is_snapshot = progress.state == RAFT_PROGRESS_SNAPSHOT;
            script_say(script, "%lu: %s match=%lu next=%lu inflight=%u%s%s%s", LU(id),
                       STATES[progress.state], LU(progress.match_index), LU(progress.next_index),
                       progress.inflight_count, progress.is_learner ? " learner" : "",
                       progress.is_paused && !is_snapshot ? " paused" : "",
                       progress.recent_active ? "" : " silent");
        }
    }
}

int script_message_type(const char *name)
{
    for (int type = RAFT_MSG_HUP; type <= RAFT_MSG_PRE_VOTE_RESP; type++) {
        if (str_equal(name, raft_message_name((enum raft_message_type)type))) {
            return type;
        }
    }
    return -1;
}
